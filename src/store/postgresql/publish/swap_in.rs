//! Publishing: incoming takes live's name, with live's attributes, and live becomes previous.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::after_swap::Published;
use super::swap;
use crate::error::Result;
use crate::store::postgresql::databases::attributes;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::marks::{self, Standing};
use crate::store::postgresql::databases::names::Names;
use crate::store::postgresql::incoming::database::Incoming;
use crate::store::postgresql::sql::quoting::quoted;

impl Incoming {
    /// Makes it live.
    pub(in crate::store::postgresql) async fn swap_in(&self) -> Result<Published> {
        if self.preserved.is_of_live {
            self.copy_changed_again().await?;
        }
        let named = self.views_with_a_name().await?;
        let to = &self.to;
        to.pool.clear();
        let had_live = attributes::exists(&to.admin, &to.names.live).await?;
        let shell = to.live_is_shell().await?;
        let plan = Plan::of(to, had_live, shell).await?;
        let helper = to.another_admin().await?;
        swap::change_names(&to.admin, &helper, &plan.first, &plan.renames).await?;
        to.is_published.store(true, Ordering::SeqCst);
        Ok(Published {
            to: Arc::clone(to),
            oid: self.oid,
            named,
            had_live,
            shell,
        })
    }
}

/// What is done in the swap's transaction.
struct Plan<'a> {
    /// Statements that come before the renames.
    first: Vec<String>,
    renames: Vec<(&'a str, &'a str)>,
}

impl<'a> Plan<'a> {
    async fn of(to: &'a Destination, had_live: bool, shell: bool) -> Result<Self> {
        let admin = &to.admin;
        let Names {
            live,
            incoming,
            previous,
            discarded,
            ..
        } = &to.names;
        let had_previous = attributes::exists(admin, previous).await?;
        marks::refuse_stranger(admin, previous, &to.names).await?;
        let own = marks::own_comment_of(admin, live).await?;
        let mut first = vec![marks::comment(incoming, None, own.as_deref())];
        let mut renames: Vec<(&str, &str)> = Vec::new();
        if had_live {
            first.push(format!("ALTER DATABASE {} RESET ALL", quoted(incoming)));
            first.extend(attributes::settings_of(admin, live, incoming).await?);
            first.extend(attributes::rights_of(admin, live, incoming).await?);
            if shell {
                renames.push((live, discarded));
            } else {
                first.push(attributes::closed(live));
                let mark = to.mark(Standing::Previous);
                first.push(marks::comment(live, Some(&mark), own.as_deref()));
                if had_previous {
                    renames.push((previous, discarded));
                }
                renames.push((live, previous));
            }
        }
        if !had_live {
            first.extend(attributes::opened(admin, incoming).await?);
        }
        renames.push((incoming, live));
        Ok(Self { first, renames })
    }
}
