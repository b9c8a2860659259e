//! The target: incoming is a schema of its own beside live, until their tables change places.

mod complete;
mod incoming;
mod published;
mod shared;

use std::any::Any;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};

use self::incoming::Incoming;
use self::shared::Shared;
use crate::config::is_here;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::process::host_name;
use crate::store::mysql::connection::address::{Address, Way};
use crate::store::mysql::connection::pool::Pool;
use crate::store::mysql::connection::server_identity;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::incoming::wanted::Wanted;
use crate::store::mysql::incoming::{create, derive, loader, preflight};
use crate::store::mysql::publish::lock::Lock;
use crate::store::mysql::publish::{rollback, sweep};
use crate::store::mysql::rows::json;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::zones;
use crate::store::mysql::script::execution;
use crate::store::mysql::sql::names::Names;
use crate::store::mysql::workspace::{mark, schemas};
use crate::store::room::Room;
use crate::store::{self, Context, Survey, Taker};
use crate::sync;

/// A database that is replaced.
pub(super) struct Target {
    shared: Arc<Shared>,
    /// In no database; for all but rows.
    admin: Mutex<Session>,
    /// Has the lock.
    lock: OnceCell<Lock>,
}

impl Target {
    /// Connects to the server; the database itself may be missing.
    pub(in crate::store::mysql) async fn open(
        address: Address,
        task: &Task,
        context: &Context,
    ) -> Result<Self> {
        let admin = Session::open(&address, None).await?;
        let shared = Shared {
            names: Names::new(address.database(), &context.claim),
            address,
            context: context.clone(),
            previous: task.previous,
            definer: task.definer,
            events: task.events,
            has_scripts: !task.scripts.is_empty(),
            pool: sync::Mutex::default(),
            is_published: false.into(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            admin: Mutex::new(admin),
            lock: OnceCell::new(),
        })
    }

    /// Makes incoming with the survey's tables, and as many sessions in it as there are workers.
    async fn make_incoming(&self, definitions: Arc<Definitions>) -> Result<Incoming> {
        let (address, names) = (&self.shared.address, &self.shared.names);
        let mut admin = self.admin.lock().await;
        create::create_schema(&mut admin, &definitions, names).await?;
        let workers = self.shared.context.workers;
        let mut sessions = Vec::with_capacity(workers);
        for _ in 0..workers {
            sessions.push(loader::open(address, &names.incoming, &definitions).await?);
        }
        create::make_all(&mut sessions, &definitions, &names.incoming).await?;
        let local_infile = loader::takes_files(&mut admin).await?;
        let keeps_samples = self.shared.has_scripts && derive::keeps_samples(&mut admin).await?;
        if keeps_samples {
            tell_no_values(local_infile, &definitions);
        }
        let pool = Pool::new(sessions);
        self.shared.has_sessions(&pool);
        Ok(Incoming {
            shared: self.shared.clone(),
            zone: zones::of(&mut admin).await?,
            keeps_samples,
            pool,
            definitions,
            local_infile,
            packet: admin.packet(),
            steps: sync::Mutex::default(),
        })
    }
}

/// Where the server keeps samples of statements, values are to be in none of them.
fn tell_no_values(local_infile: bool, definitions: &Definitions) {
    if !local_infile {
        tracing::warn!(
            "rows are written by INSERT statements, and the target's performance_schema keeps samples of statements: whoever may read it can see values there that the scripts remove; set local_infile = ON there"
        );
        return;
    }
    for place in definitions.typed.all().iter() {
        json::warn(
            place,
            "DECIMAL, DATETIME or bytes, which take INSERT statements, of which the target's performance_schema keeps samples",
        );
    }
    definitions.typed.set(BTreeSet::new());
}

/// A survey's definitions: the source knows them, too, and what the target says of them.
fn surveyed(survey: &Survey) -> Result<Arc<Definitions>> {
    let any: Arc<dyn Any + Send + Sync> = survey.definitions.clone();
    any.downcast()
        .map_err(|_| Error::new(Kind::Internal, "these are not definitions of MySQL"))
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        let mut admin = self.admin.lock().await;
        server_identity::identity(&mut admin, &self.shared.names.live).await
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        mark::displaced(&mut *self.admin.lock().await, &self.shared.names).await
    }

    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Server(self.admin.lock().await.version().server()))
    }

    async fn room(&self) -> Option<Room> {
        if let Way::Tcp(host, _) = &self.shared.address.way
            && !is_here(host)
        {
            return None;
        }
        let mut admin = self.admin.lock().await;
        let row = admin.query_one("SELECT @@datadir, @@hostname").await.ok()?;
        let (directory, host) = (row.text(0).ok()?, row.text(1).ok()?);
        // What is reached here may be another machine's, through a tunnel.
        (host == host_name() && Path::new(&directory).exists())
            .then(|| Room::of(Path::new(&directory)))
            .flatten()
    }

    async fn lock(&self) -> Result<()> {
        let Shared {
            address,
            names,
            context,
            ..
        } = &*self.shared;
        let lock = Lock::take(address, &names.live, &context.claim).await?;
        self.lock
            .set(lock)
            .map_err(|_| Error::new(Kind::Internal, "the lock was taken twice"))
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        sweep::sweep(&self.shared.address, &self.shared.names).await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let Shared {
            names,
            definer,
            events,
            context,
            ..
        } = &*self.shared;
        let mut admin = self.admin.lock().await;
        mark::refuse_others(&mut admin, names).await?;
        let wanted = Wanted {
            names,
            definer: *definer,
            events: *events,
            has_live: schemas::exists(&mut admin, &names.live).await?,
            selection: &context.selection,
        };
        let definitions = store::own::<Definitions>(&*survey.definitions)?;
        preflight::past(definitions, &survey.parts, admin.version())?;
        preflight::check(&mut admin, definitions, &wanted).await
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        execution::look(&self.shared.address, file, text).await
    }

    async fn prepare(&self, survey: &Survey) -> Result<Arc<dyn store::Incoming>> {
        Ok(Arc::new(self.make_incoming(surveyed(survey)?).await?))
    }

    async fn discard(&self) -> Result<()> {
        if self.shared.is_published() {
            return Ok(());
        }
        self.shared.stop_workers().await?;
        sweep::discard(&self.shared.address, &self.shared.names).await
    }

    async fn rollback(&self) -> Result<()> {
        rollback::rollback(&self.shared.address, &self.shared.names).await
    }

    async fn lost(&self) -> Error {
        match self.lock.get() {
            Some(lock) => lock.lost().await,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        self.shared.close_sessions();
    }
}
