//! The target's server: the names of the databases there, and what the task says of them.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::marks::{self, Standing};
use super::names::Names;
use crate::config::job::{KeepPrevious, Publish, Roles, Task};
use crate::error::{Error, Kind, Result};
use crate::store::Context;
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::connection::connect::{ADMIN, LOADING, READING};
use crate::store::postgresql::connection::pool::Pool;
use crate::store::postgresql::connection::session::Session;

/// Where a copy goes: a server, the databases' names on it, and what the task says of them. What is built, published and
/// dropped there shares it.
pub(in crate::store::postgresql) struct Destination {
    pub(in crate::store::postgresql) address: Address,
    pub(in crate::store::postgresql) context: Context,
    pub(in crate::store::postgresql) names: Names,
    pub(in crate::store::postgresql) previous: KeepPrevious,
    /// What becomes of owners and grants.
    pub(in crate::store::postgresql) roles: Roles,
    pub(in crate::store::postgresql) in_place: bool,
    /// In a database that is never renamed; it has the lock.
    pub(in crate::store::postgresql) admin: Session,
    /// Sessions in incoming.
    pub(in crate::store::postgresql) pool: Pool,
    /// The job's scripts, which will change incoming.
    pub(in crate::store::postgresql) scripts: Vec<PathBuf>,
    /// The task trusts everyone who can write to the source with all rights of the target's user.
    pub(in crate::store::postgresql) trusts_source: bool,
    /// Incoming is live: there is nothing to discard any more.
    pub(in crate::store::postgresql) is_published: AtomicBool,
}

impl Destination {
    /// Connects to the server; the database itself may be missing.
    pub(in crate::store::postgresql) async fn open(
        address: Address,
        task: &Task,
        context: &Context,
    ) -> Result<Self> {
        let live = address.database().to_owned();
        if ["postgres", "template0", "template1"].contains(&live.as_str()) {
            return Err(Error::new(
                Kind::Config,
                format!("the database {live} belongs to the server and is never a target"),
            )
            .hint("name an application's database in the target's URL"));
        }
        let admin = administer(&address).await?;
        Ok(Self {
            names: Names::new(&live, context.claim.short()),
            address,
            context: context.clone(),
            previous: task.previous,
            roles: task.roles,
            in_place: task.publish == Publish::InPlace,
            admin,
            pool: Pool::default(),
            scripts: task.scripts.clone(),
            trusts_source: task.trust_source,
            is_published: AtomicBool::new(false),
        })
    }

    /// Whether scripts of the job will change incoming.
    pub(in crate::store::postgresql) fn has_scripts(&self) -> bool {
        !self.scripts.is_empty()
    }

    /// The database that the admin session is in.
    pub(super) fn admin_database(&self) -> &str {
        self.admin.database()
    }

    /// A second session for the server's administration.
    pub(in crate::store::postgresql) async fn another_admin(&self) -> Result<Session> {
        self.address
            .connect(Some(self.admin_database()), ADMIN)
            .await
    }

    /// The mark of this run for a database that is this to live.
    pub(in crate::store::postgresql) fn mark(&self, standing: Standing) -> String {
        marks::mark(standing, &self.names.live, &self.context.claim)
    }

    /// Gives incoming its mark again, after a script that may have written a comment of its own there.
    pub(in crate::store::postgresql) async fn mark_again(&self) -> Result<()> {
        let own = marks::own_comment_of(&self.admin, &self.names.live).await?;
        let mark = self.mark(Standing::Incoming);
        let statement = marks::comment(&self.names.incoming, Some(&mark), own.as_deref());
        self.admin.run(&statement).await
    }

    /// Ends with an error once the run was cancelled.
    pub(in crate::store::postgresql) fn refuse_cancelled(&self) -> Result<()> {
        if self.context.cancel.is_cancelled() {
            return Err(Error::new(Kind::Internal, "cancelled"));
        }
        Ok(())
    }

    /// A session that reads live.
    pub(in crate::store::postgresql) async fn live_session(&self) -> Result<Session> {
        self.address.connect(None, READING).await
    }

    /// A session in live that may write, and looks at `pg_catalog` alone for names that have no schema.
    pub(in crate::store::postgresql) async fn writing_session_in_live(&self) -> Result<Session> {
        self.address.connect(None, LOADING).await
    }

    /// The live database's tablespace and owner.
    pub(in crate::store::postgresql) async fn place_and_owner_of_live(
        &self,
    ) -> Result<Option<(String, String)>> {
        self.place_and_owner_of(&self.names.live).await
    }

    /// A database's tablespace and owner.
    pub(in crate::store::postgresql) async fn place_and_owner_of(
        &self,
        database: &str,
    ) -> Result<Option<(String, String)>> {
        let row = self
            .admin
            .query_opt(
                "SELECT t.spcname::text, r.rolname::text FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace \
                 JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = $1",
                &[&database],
            )
            .await
            .map_err(self.admin.explain())?;
        row.map(|row| Ok((row.read(0)?, row.read(1)?))).transpose()
    }

    /// Whether the target's user is a superuser.
    pub(in crate::store::postgresql) async fn is_superuser(&self) -> Result<bool> {
        let row = self
            .admin
            .query_one(
                "SELECT rolsuper FROM pg_roles WHERE rolname = current_user",
                &[],
            )
            .await
            .map_err(self.admin.explain())?;
        row.read(0)
    }

    /// Which database incoming is, for what is asked of live after the publish.
    pub(in crate::store::postgresql) async fn oid_of_incoming(&self) -> Result<Option<u32>> {
        let row = self
            .admin
            .query_opt(
                "SELECT oid FROM pg_database WHERE datname = $1",
                &[&self.names.incoming],
            )
            .await
            .map_err(self.admin.explain())?;
        row.map(|row| row.read(0)).transpose()
    }
}

/// A session in a database that is never renamed.
pub(in crate::store::postgresql) async fn administer(address: &Address) -> Result<Session> {
    match address.connect(Some("postgres"), ADMIN).await {
        Err(error) if matches!(error.kind(), Kind::Absent | Kind::Permission) => {
            // Some servers have no database `postgres`, or let nobody in.
            let other = address.connect(Some("template1"), ADMIN).await;
            other.map_err(|_| error)
        }
        other => other,
    }
}

/// The owner of a database, if it exists.
pub(in crate::store::postgresql) async fn owner_of(
    admin: &Session,
    database: &str,
) -> Result<Option<String>> {
    let row = admin
        .query_opt(
            "SELECT r.rolname::text FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = $1",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    row.map(|row| row.read(0)).transpose()
}
