//! What a run works with on another machine, from its lock until it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::place::Place;
use crate::config::job::{Mode, Task};
use crate::error::{Error, Kind, Result};
use crate::store::Context;
use crate::store::files::connection::directory::Directory;
use crate::store::files::remote::connection::Connection;
use crate::store::files::remote::facts::Rsync;
use crate::store::files::remote::rsync::{Direction, Pair};
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::Work;
use crate::store::files::schema::options::Options;
use crate::sync::Mutex;

/// What a run found before it makes anything.
#[derive(Clone)]
pub(super) struct Plan {
    /// The source.
    pub(super) source: Arc<Directory>,
    /// What is in live; `None`: it is not there.
    pub(super) live: Option<Listing>,
    /// What is to be done.
    pub(super) work: Work,
    /// Whether that is anything.
    pub(super) has_work: bool,
}

/// What a run's target, incoming and complete copy share.
pub(super) struct Workspace {
    pub(super) connection: Connection,
    pub(super) place: Place,
    pub(super) context: Context,
    pub(super) can: Rsync,
    /// Whether owners can be set there, and are.
    pub(super) keeps_owners: bool,
    pub(super) warnings: Arc<Warnings>,
    /// Bytes a second, if there is a pace.
    throttle: Option<u64>,
    pub(super) options: Options,
    pub(super) mode: Mode,
    plan: Mutex<Option<Plan>>,
    is_published: AtomicBool,
}

impl Workspace {
    /// A task's.
    pub(super) fn of(
        task: &Task,
        context: &Context,
        connection: Connection,
        (place, can): (Place, Rsync),
        keeps_owners: bool,
    ) -> Result<Self> {
        Ok(Self {
            connection,
            place,
            can,
            keeps_owners,
            options: task.options.get::<Options>()?.clone(),
            mode: task.mode,
            context: context.clone(),
            warnings: Arc::default(),
            throttle: task.throttle,
            plan: Mutex::new(None),
            is_published: AtomicBool::new(false),
        })
    }

    pub(super) fn set_plan(&self, plan: Plan) {
        *self.plan.lock() = Some(plan);
    }

    /// What `check` found out.
    pub(super) fn planned(&self) -> Result<Plan> {
        let missing = || Error::new(Kind::Internal, "nobody has looked at what changes");
        self.plan.lock().clone().ok_or_else(missing)
    }

    /// The source, and a tree on the other machine.
    pub(super) fn pair<'a>(
        &'a self,
        plan: &'a Plan,
        there: &'a [u8],
        keeps_owners: bool,
    ) -> Pair<'a> {
        Pair {
            connection: &self.connection,
            here: &plan.source,
            there,
            direction: Direction::There,
            can: self.can.clone(),
            keeps_owners,
            throttle: self.throttle,
        }
    }

    pub(super) fn is_published(&self) -> bool {
        self.is_published.load(Ordering::Acquire)
    }

    pub(super) fn set_published(&self) {
        self.is_published.store(true, Ordering::Release);
    }

    /// Removes what this run has beside live.
    pub(super) async fn remove_own(&self) -> Result<()> {
        let run = self.context.claim.short();
        let trees = [self.place.incoming(run), self.place.replaced(run)];
        self.remove(&trees).await.map(drop)
    }

    async fn remove(&self, trees: &[Vec<u8>]) -> Result<Vec<u8>> {
        const SCRIPT: &str = r#"for tree; do
  [ -e "$tree" ] || continue
  chmod -R u+rwx -- "$tree" 2>/dev/null
  rm -rf -- "$tree" || exit 1
done"#;
        let trees: Vec<&[u8]> = trees.iter().map(Vec::as_slice).collect();
        let what = "clearing up beside live";
        self.connection.run(what, SCRIPT, &trees).await
    }
}
