//! Rollback: previous becomes live again, and live previous.

use super::swap;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::databases::attributes;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::marks::{self, Standing};
use crate::store::postgresql::databases::names::Names;

impl Destination {
    /// Makes previous live again, and what is live previous.
    pub(in crate::store::postgresql) async fn roll_back(&self) -> Result<()> {
        let Names {
            live,
            incoming,
            previous,
            ..
        } = &self.names;
        if !attributes::exists(&self.admin, previous).await? {
            return Err(Error::new(
                Kind::Config,
                format!("there is no database {previous} to go back to"),
            )
            .hint("previous is kept until the next run, and only with previous = \"keep\""));
        }
        marks::refuse_stranger(&self.admin, previous, &self.names).await?;
        let own = marks::own_comment_of(&self.admin, previous).await?;
        let mut first = vec![marks::comment(previous, None, own.as_deref())];
        let mut renames: Vec<(&str, &str)> = vec![(previous, live)];
        if attributes::exists(&self.admin, live).await? {
            first.extend(attributes::rights_of(&self.admin, live, previous).await?);
            first.push(attributes::closed(live));
            let own = marks::own_comment_of(&self.admin, live).await?;
            let mark = self.mark(Standing::Previous);
            first.push(marks::comment(live, Some(&mark), own.as_deref()));
            renames = vec![(live, incoming), (previous, live), (incoming, previous)];
        }
        let helper = self.another_admin().await?;
        swap::change_names(&self.admin, &helper, &first, &renames).await
    }
}
