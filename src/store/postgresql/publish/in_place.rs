//! In place: live gives its room to incoming, and a shell stands in its place.
//!
//! The shell is an empty database of live's name that takes no connections. It has live's owner, grants, settings, limit
//! and comment, so that whoever loads a copy later, after a `kill -9` too, finds what the copy has to have. It takes
//! live's name in one transaction, then live is dropped. Dropped, not emptied: an owner with CREATEDB may drop a database
//! with whatever a superuser has put into it, and a new one can have the source's encoding and locale.

use super::swap;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::connect::ADMIN;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::marks::{self, EMPTIED, Standing};
use crate::store::postgresql::databases::shell::is_shell;
use crate::store::postgresql::databases::{attributes, clear};
use crate::store::postgresql::sql::quoting::quoted;

/// The clause for where a database lies; empty for the default, which needs no privilege unless it is named.
async fn tablespace(admin: &Session, database: &str) -> Result<String> {
    let name: String = admin
        .query_one(
            "SELECT t.spcname::text FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = $1",
            &[&database],
        )
        .await
        .map_err(admin.explain())?
.read(0)?;
    Ok(if name == "pg_default" {
        String::new()
    } else {
        format!(" TABLESPACE {}", quoted(&name))
    })
}

impl Destination {
    /// Puts a shell in live's place and drops live, and previous with it. A live database that is not there, or is a shell
    /// already, is left alone.
    pub(in crate::store::postgresql) async fn empty_live(&self) -> Result<()> {
        let (admin, names) = (&self.admin, &self.names);
        let (live, shell) = (names.live.as_str(), names.emptied.as_str());
        if !attributes::exists(admin, live).await? || is_shell(admin, live).await? {
            return Ok(());
        }
        let made = self.create_shell().await;
        if let Err(error) = made {
            let _ = clear::drop_database(admin, shell).await;
            return Err(error.within("live was not emptied"));
        }
        let helper = self.address.connect(Some(admin.database()), ADMIN).await?;
        let gone = names.discarded.as_str();
        let own = marks::own_comment_of(admin, live).await?;
        let mark = self.mark(Standing::Discarded);
        let first = [marks::comment(live, Some(&mark), own.as_deref())];
        let swapped =
            swap::change_names(admin, &helper, &first, &[(live, gone), (shell, live)]).await;
        if let Err(error) = swapped {
            let _ = clear::drop_database(admin, shell).await;
            return Err(error.within("live was not emptied"));
        }
        let cleared = async {
            marks::refuse_stranger(admin, &names.previous, names).await?;
            clear::drop_database(admin, &names.previous).await?;
            clear::drop_database(admin, gone).await
        };
        if let Err(error) = cleared.await {
            // All of it is still there.
            let first = [marks::comment(gone, None, own.as_deref())];
            let back =
                swap::change_names(admin, &helper, &first, &[(live, shell), (gone, live)]).await;
            if back.is_ok() {
                let _ = clear::drop_database(admin, shell).await;
            }
            return Err(error.within("live was not emptied"));
        }
        tracing::info!("live is emptied, and takes no connections until it is loaded");
        Ok(())
    }

    async fn create_shell(&self) -> Result<()> {
        let (admin, names) = (&self.admin, &self.names);
        let (live, shell) = (names.live.as_str(), names.emptied.as_str());
        let place = tablespace(admin, live).await?;
        admin
            .run(&format!(
                "CREATE DATABASE {} TEMPLATE template0 ALLOW_CONNECTIONS false{place}{}",
                quoted(shell),
                marks::birth(None)
            ))
            .await?;
        let mark = format!(
            "{EMPTIED}{}; it is closed until a run has loaded it",
            self.context.claim.run
        );
        let own = marks::own_comment_of(admin, live).await?;
        let mut statements = marks::christened(shell, &mark, own.as_deref()).to_vec();
        statements.extend(attributes::settings_of(admin, live, shell).await?);
        statements.extend(attributes::rights_of(admin, live, shell).await?);
        for statement in statements {
            admin.run(&statement).await?;
        }
        Ok(())
    }

    /// Refuses a target on which loading would be stopped by what can be known now.
    pub(in crate::store::postgresql) async fn refuse_unfit_in_place(&self) -> Result<()> {
        let others = attributes::untouchable(&self.admin, &self.names.live).await?;
        if others.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Permission,
            format!(
                "sessions of {} in the live database cannot be ended by the target's user, and it has to be emptied",
                others.join(", ")
            ),
        )
        .hint("make the target's user a member of pg_signal_backend and of the roles that are connected, or end them"))
    }
}
