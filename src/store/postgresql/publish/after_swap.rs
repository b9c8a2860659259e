//! After the swap: what users see now is held against what was built; then it stays, or the swap is undone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::swap;
use crate::config::job::KeepPrevious;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::marks::{self, Standing};
use crate::store::postgresql::databases::names::Names;
use crate::store::postgresql::databases::{attributes, clear};
use crate::store::postgresql::schema::survey::Name;
use crate::store::postgresql::sql::quoting::quoted;

/// What was incoming and is live now.
pub(in crate::store::postgresql) struct Published {
    pub(super) to: Arc<Destination>,
    /// The oid of the database that was built.
    pub(super) oid: Option<u32>,
    /// Materialized views that ask for the name of their database.
    pub(super) named: Vec<Name>,
    /// There was something to become previous.
    pub(super) had_live: bool,
    /// It was a shell, see `in_place`: nothing to go back to.
    pub(super) shell: bool,
}

impl Published {
    /// Holds what is live now against what was built: it is that very database, open to whom it was open, and nothing that
    /// is said of it speaks of incoming.
    pub(in crate::store::postgresql) async fn confirm(&self) -> Result<()> {
        let admin = &self.to.admin;
        let (live, incoming) = (&self.to.names.live, &self.to.names.incoming);
        let wrong = |what: &str| {
            Error::new(
                Kind::Verify,
                format!("the database {live} is not what was to be published: {what}"),
            )
            .hint("somebody else may have changed databases' names or properties at the same time; run the job again")
        };
        let row = admin
            .query_opt(
                "SELECT d.oid, d.datallowconn, \
                        strpos(coalesce(shobj_description(d.oid, 'pg_database'), ''), $2) > 0, \
                        EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND strpos(s.setconfig::text, $2) > 0), \
                        EXISTS (SELECT FROM pg_database o WHERE o.datname = $2) \
                 FROM pg_database d WHERE d.datname = $1",
                &[live, incoming],
            )
            .await
            .map_err(admin.explain())?;
        let Some(row) = row else {
            return Err(wrong("it is not there"));
        };
        if self.oid != Some(row.read(0)?) {
            return Err(wrong("it is another database than the one that was built"));
        }
        if !row.read::<bool>(1)? {
            return Err(wrong("it takes no connections"));
        }
        if row.read(2)? || row.read(3)? {
            return Err(wrong(
                "its comment or a setting of it speaks of the name that it was built under",
            ));
        }
        if row.read(4)? {
            return Err(wrong(
                "there is another database of the name that it was built under",
            ));
        }
        self.fill_named().await
    }

    /// Fills views that ask for the name of their database anew.
    async fn fill_named(&self) -> Result<()> {
        // Live may take few connections: those who wait for it come first.
        if self.named.is_empty() {
            return Ok(());
        }
        let session = self.to.writing_session_in_live().await?;
        for (schema, name) in &self.named {
            session
                .run(&format!(
                    "REFRESH MATERIALIZED VIEW {}.{}",
                    quoted(schema),
                    quoted(name)
                ))
                .await
                .map_err(|error| {
                    error.within(format!(
                        "materialized view {schema}.{name} cannot be filled"
                    ))
                })?;
        }
        Ok(())
    }

    /// Undoes the swap: what was live is live again, and what was built is dropped.
    pub(in crate::store::postgresql) async fn revert(&self) -> Result<()> {
        if !self.to.is_published.load(Ordering::SeqCst) {
            return Ok(());
        }
        let admin = &self.to.admin;
        let Names {
            live,
            incoming,
            previous,
            discarded,
            ..
        } = &self.to.names;
        let mut renames: Vec<(&str, &str)> = vec![(live, incoming)];
        let mark = self.to.mark(Standing::Incoming);
        let mut first = vec![marks::comment(live, Some(&mark), None)];
        if self.shell {
            renames.push((discarded, live));
        } else if self.had_live {
            first.extend(attributes::rights_of(admin, live, previous).await?);
            let own = marks::own_comment_of(admin, previous).await?;
            first.push(marks::comment(previous, None, own.as_deref()));
            renames.push((previous, live));
            if attributes::exists(admin, discarded).await? {
                renames.push((discarded, previous));
            }
        }
        let helper = self.to.another_admin().await?;
        swap::change_names(admin, &helper, &first, &renames).await?;
        self.to.is_published.store(false, Ordering::SeqCst);
        clear::drop_database(admin, incoming).await
    }

    /// Drops what was previous before, and previous, if the task does not keep it.
    pub(in crate::store::postgresql) async fn settle(&self) -> Result<()> {
        let (admin, names) = (&self.to.admin, &self.to.names);
        clear::drop_database(admin, &names.discarded).await?;
        if self.to.previous == KeepPrevious::Drop {
            clear::drop_database(admin, &names.previous).await?;
        }
        Ok(())
    }
}
