//! Source and target on one server: the server copies the source's files by itself, where nothing has to change on the
//! way and nobody is in the source.
//!
//! `CREATE DATABASE ... STRATEGY FILE_COPY` makes a checkpoint, then copies, and whoever logs in to the source meanwhile
//! waits (`createdb` in PostgreSQL's source). Someone who is there already makes it look for up to five seconds whether
//! they leave, and all others wait with it. Nobody shall wait that long for us: a second session watches, and cancels it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;

use super::build_graph::BuildGraph;
use super::create_many;
use super::database::Incoming;
use super::preserved::Preserved;
use super::tables::Tables;
use super::waiting_constraints::Waiting;
use crate::config::job::Roles as Wanted;
use crate::error::{Kind, Result};
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::marks;
use crate::store::postgresql::rows::snapshot::Snapshot;
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::restore_order::Sorted;
use crate::store::postgresql::schema::roles::Roles;
use crate::store::postgresql::schema::{rights, rights_comparison, survey};
use crate::store::postgresql::sql::quoting::quoted;
use crate::sync::Mutex;

/// The first version that has a word for how files are copied.
const SINCE: u32 = 150_000;

/// The largest database, in bytes, that logins may have to wait for.
const LARGEST: i64 = 8 << 30;

/// The longest time that they may have to.
const LONGEST: Duration = Duration::from_secs(10);

/// How long our own session may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often somebody in the source is looked for while the server is at it.
const TICK: Duration = Duration::from_millis(20);

/// What one side's server says it is: not only the cluster, which a standby shares, but this process of it.
const WHICH: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()), \
                            (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, \
                            pg_is_in_recovery(), pg_backend_pid()";

/// A database that has the source's files, and is not looked at yet.
pub(in crate::store::postgresql) struct Cloned {
    oid: Option<u32>,
}

impl Destination {
    /// Has the server copy the source's files into a new incoming, if nothing is in the way.
    pub(in crate::store::postgresql) async fn clone_files(
        &self,
        source: &Snapshot,
    ) -> Result<Option<Cloned>> {
        let why = match self.look(source).await {
            Ok(Ok(own)) => return self.clone_files_of(source, own).await,
            Ok(Err(why)) => why.to_owned(),
            Err(error) if error.kind() == Kind::Connection => return Err(error),
            // Who may not ask may still copy rows.
            Err(error) => error.to_string(),
        };
        tracing::debug!(why, "the database's files are not copied");
        Ok(None)
    }

    /// The same, when nothing is in the way; `own` is the server's process of the source's session.
    async fn clone_files_of(&self, source: &Snapshot, own: i32) -> Result<Option<Cloned>> {
        source.step_aside();
        let copied = self.copy_files(source.database(), own).await;
        let back = source.come_back().await;
        if !copied? {
            back?;
            return Ok(None);
        }
        back?;
        let live = self.place_and_owner_of_live().await?.is_some();
        let oid = self.close_and_set(live).await?;
        let incoming = quoted(&self.names.incoming);
        let open = format!("ALTER DATABASE {incoming} ALLOW_CONNECTIONS true");
        self.admin.run(&open).await?;
        Ok(Some(Cloned { oid }))
    }

    /// The server's process of the source's session; or what is in the way of copying files.
    async fn look(&self, source: &Snapshot) -> Result<std::result::Result<i32, &'static str>> {
        if self.context.selection.overlay || !self.context.selection.is_everything() {
            return Ok(Err("not everything is copied"));
        }
        if self.has_scripts() && !self.is_superuser().await? {
            return Ok(Err(
                "statistics come with files, and the target's user could not remove them after the scripts",
            ));
        }
        if self.roles == Wanted::Skip {
            return Ok(Err("owners and grants are left out"));
        }
        let keeper = &*source.keeper()?;
        let here = keeper.query_one(WHICH, &[]).await;
        let here = here.map_err(keeper.explain())?;
        let there = self.admin.query_one(WHICH, &[]).await;
        let there = there.map_err(self.admin.explain())?;
        let which = |row: &Row| -> Result<(String, i64, bool)> {
            Ok((row.read(0)?, row.read(1)?, row.read(2)?))
        };
        if which(&here)? != which(&there)? {
            return Ok(Err("source and target are on different servers"));
        }
        if let Some(name) = self.computes_otherwise(source.database()).await? {
            tracing::debug!(
                setting = name,
                "source and target compute with other settings"
            );
            return Ok(Err("live's settings are not the source's"));
        }
        let number = survey::version(&self.admin).await?.0;
        if number < SINCE {
            return Ok(Err("the server is too old"));
        }
        let own: i32 = here.read(3)?;
        let database = source.database();
        if let Some(why) = self.obstacle(database, own).await? {
            return Ok(Err(why));
        }
        if somebody(&self.admin, database, own).await? {
            return Ok(Err("somebody is in the source"));
        }
        let row = keeper
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_publication), pg_database_size(current_database()), \
                        EXISTS (SELECT FROM pg_attribute WHERE attrelid >= 16384 AND atthasmissing)",
                &[],
            )
            .await
            .map_err(keeper.explain())?;
        if row.read(0)? {
            return Ok(Err("the source has publications"));
        }
        if self.has_scripts() && row.read(2)? {
            return Ok(Err(
                "the source's catalogue has values of rows, which scripts do not reach",
            ));
        }
        if row.read::<i64>(1)? > LARGEST {
            return Ok(Err("the source is too large for its logins to wait"));
        }
        if !self.keeps_rights(keeper, number).await? {
            return Ok(Err(
                "the target's user may not have all owners and grants as they are",
            ));
        }
        Ok(Ok(own))
    }

    /// What keeps the server from copying the source as a template, if anything.
    async fn obstacle(&self, database: &str, own: i32) -> Result<Option<&'static str>> {
        let live = &self.names.live;
        let row = self
            .admin
            .query_one(
                "SELECT me.rolsuper, (me.rolsuper OR me.rolcreatedb AND (s.datistemplate OR pg_has_role(s.datdba, 'USAGE'))), \
                        s.dattablespace = coalesce((SELECT dattablespace FROM pg_database WHERE datname = $2), \
                                                   (SELECT oid FROM pg_tablespace WHERE spcname = 'pg_default')), \
                        NOT EXISTS (SELECT FROM pg_subscription WHERE subdbid = s.oid), \
                        NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = $1), \
                        NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = $1), \
                        EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND pid = $3), \
                        has_database_privilege(s.oid, 'CONNECT') \
                 FROM pg_database s, pg_roles me WHERE s.datname = $1 AND me.rolname = current_user",
                &[&database, &live, &own],
            )
            .await
            .map_err(self.admin.explain())?;
        let obstacles = [
            "the target's user may not copy the source as a template",
            "the source is in another tablespace than live",
            "the source has subscriptions",
            "the source has replication slots",
            "the source has prepared transactions",
            "the source's session cannot be seen",
            "the target's user may not ask for the source's size",
        ];
        for (place, why) in obstacles.into_iter().enumerate() {
            if !row.read::<bool>(place + 1)? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Whether a copy by rows would have the source's owners and grants as they are.
    async fn keeps_rights(&self, keeper: &Session, number: u32) -> Result<bool> {
        let owner = self.place_and_owner_of_live().await?.map(|live| live.1);
        let roles = Roles::load(&self.admin, number, owner.as_deref(), self.roles).await?;
        // Every role is there, and a superuser may hand things to all of them.
        if roles.is_superuser() {
            return Ok(true);
        }
        let foreign = keeper
            .query_opt(
                "SELECT 1 FROM pg_largeobject_metadata WHERE NOT pg_has_role($1::text::name, lomowner, 'USAGE') LIMIT 1",
                &[&roles.me()],
            )
            .await
            .map_err(keeper.explain())?;
        let none = HashSet::new();
        let rights = rights::read(keeper, &none).await?;
        Ok(foreign.is_none()
            && rights_comparison::differences(&rights, &rights, &roles, &none, true).is_empty())
    }

    /// Copies the files of a database that only the session `own` was in, which has just been closed; in no more time than logins
    /// may wait for it.
    async fn copy_files(&self, database: &str, own: i32) -> Result<bool> {
        let start = Instant::now();
        while somebody(&self.admin, database, 0).await? {
            if start.elapsed() > PATIENCE || somebody(&self.admin, database, own).await? {
                tracing::info!("somebody came into the source: its files are not copied");
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Logins would wait behind us if we waited for a lock on the source for long.
        self.admin.run("SET lock_timeout = '1s'").await?;
        // Where the server can tell, it gives up with a run that is killed.
        let noticing = "SET client_connection_check_interval = '1s'";
        let _ = self.admin.batch_execute(noticing).await;
        let owner = self.place_and_owner_of_live().await?.map(|live| live.1);
        let watch = Watch::start(self, database).await?;
        // Nobody gets in before it is closed to the public: it has everything in it at once.
        let created = self
            .admin
            .batch_execute(&format!(
                "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY ALLOW_CONNECTIONS false{}",
                quoted(&self.names.incoming),
                quoted(database),
                marks::birth(owner.as_deref())
            ))
            .await;
        watch.end().await;
        let usual = "RESET lock_timeout; RESET client_connection_check_interval";
        let _ = self.admin.batch_execute(usual).await;
        let seconds = start.elapsed().as_secs_f64();
        match created {
            Ok(()) => {
                tracing::info!(seconds, "copied the database's files");
                Ok(true)
            }
            Err(error) if self.admin.is_closed() => Err(self.admin.explain()(error)),
            Err(error) => {
                let reason = self.admin.explain()(error);
                tracing::info!(seconds, %reason, "the database's files could not be copied");
                Ok(false)
            }
        }
    }

    /// Completes an incoming that is made of files, so that it can be verified and published.
    pub(in crate::store::postgresql) async fn complete_clone(
        self: &Arc<Self>,
        cloned: Cloned,
        definitions: &Arc<Definitions>,
    ) -> Result<Incoming> {
        let owner = self.place_and_owner_of_live().await?.map(|live| live.1);
        let number = survey::version(&self.admin).await?.0;
        let incoming = Incoming {
            to: Arc::clone(self),
            oid: cloned.oid,
            own: OnceCell::new(),
            definitions: Arc::clone(definitions),
            roles: Roles::load(&self.admin, number, owner.as_deref(), self.roles).await?,
            sorted: Sorted::default(),
            preserved: Preserved::default(),
            waiting: Mutex::default(),
            on_top: Waiting::default(),
            objects: HashMap::new(),
            tables: Tables::default(),
            indexes_of: HashMap::new(),
            sliced: HashSet::new(),
            materialized: HashSet::new(),
            graph: BuildGraph::new(Vec::new(), HashSet::new()),
            nodes: Mutex::default(),
            thawed: Mutex::default(),
            locks: create_many::locks(&self.admin, self.context.workers).await?,
            is_cloned: true,
            places: HashMap::new(),
            excused: Mutex::default(),
        };
        incoming.drop_invalid_indexes().await?;
        Ok(incoming)
    }
}

impl Incoming {
    /// Files have what `pg_dump` leaves out.
    async fn drop_invalid_indexes(&self) -> Result<()> {
        let session = self.session().await?;
        for (schema, name) in survey::invalid_indexes(&session).await? {
            let index = format!("{}.{}", quoted(&schema), quoted(&name));
            session.run(&format!("DROP INDEX {index}")).await?;
        }
        self.rest(session);
        Ok(())
    }
}

/// Whether a session is in a database but for this one. What autovacuum does there, the server itself ends.
async fn somebody(admin: &Session, database: &str, but: i32) -> Result<bool> {
    let row = admin
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 \
                            AND backend_type IS DISTINCT FROM 'autovacuum worker')",
            &[&database, &but],
        )
        .await
        .map_err(admin.explain())?;
    row.read(0)
}

/// Cancels what the admin session is at when somebody is in the source, when it takes too long, and when nobody waits for
/// it any more.
struct Watch {
    ended: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watch {
    async fn start(target: &Destination, database: &str) -> Result<Self> {
        let admin = &target.admin;
        let row = admin.query_one("SELECT pg_backend_pid()", &[]).await;
        let busy: i32 = row.map_err(admin.explain())?.read(0)?;
        let helper = target.another_admin().await?;
        let (ended, mut end) = oneshot::channel();
        let database = database.to_owned();
        let task = tokio::spawn(async move {
            let start = Instant::now();
            loop {
                let told = tokio::time::timeout(TICK, &mut end).await;
                if let Ok(Ok(())) = told {
                    return;
                }
                let abandoned = told.is_ok();
                // Who waits to get in is not seen yet.
                if abandoned
                    || start.elapsed() > LONGEST
                    || somebody(&helper, &database, 0).await.unwrap_or(true)
                {
                    let _ = helper
                        .query_one("SELECT pg_cancel_backend($1)", &[&busy])
                        .await;
                }
                if abandoned {
                    return;
                }
            }
        });
        Ok(Self { ended, task })
    }

    /// The session has come to its end: nothing of ours may hit what it does next.
    async fn end(self) {
        let _ = self.ended.send(());
        let _ = self.task.await;
    }
}
