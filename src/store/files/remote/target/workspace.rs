//! What a run works with on another machine, from its lock until it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::place::Place;
use crate::config::job::{KeepPrevious, Mode, Task};
use crate::error::{Error, Kind, Result};
use crate::store::Context;
use crate::store::files::connection::directory::Directory;
use crate::store::files::remote::connection::Connection;
use crate::store::files::remote::facts::{Facts, Rsync};
use crate::store::files::remote::rsync::{Direction, Pair};
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::precision::{Kept, no_owners};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::Work;
use crate::store::files::schema::filter::Filter;
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

/// What was brought beside live.
#[derive(Clone)]
pub(super) struct Staged {
    /// It.
    pub(super) listing: Listing,
    /// The inode of the directory that was listed.
    pub(super) inode: u64,
    /// Whether its directories have what the source's have, but for what its owner may do with them.
    pub(super) has_directories: bool,
}

/// What a run's target, incoming and complete copy share.
pub(super) struct Workspace {
    pub(super) connection: Connection,
    pub(super) place: Place,
    pub(super) context: Context,
    pub(super) can: Rsync,
    /// Whether the tar there takes our options.
    has_untar: bool,
    /// Whether we are root there.
    is_root: bool,
    /// What the file system there keeps, once that was found out.
    kept: Mutex<Kept>,
    pub(super) warnings: Arc<Warnings>,
    /// Bytes a second, if there is a pace.
    throttle: Option<u64>,
    pub(super) options: Options,
    pub(super) mode: Mode,
    pub(super) previous: KeepPrevious,
    /// Which files the task is for.
    pub(super) filter: Filter,
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
        facts: &Facts,
    ) -> Result<Self> {
        Ok(Self {
            connection,
            place,
            can,
            has_untar: facts.has_untar,
            is_root: facts.user == Some(0),
            kept: Mutex::default(),
            options: task.options.get::<Options>()?.clone(),
            mode: task.mode,
            previous: task.previous,
            filter: Filter::of(task, false)?,
            context: context.clone(),
            warnings: Arc::default(),
            throttle: task.throttle,
            plan: Mutex::new(None),
            is_published: AtomicBool::new(false),
        })
    }

    /// What the file system there keeps.
    pub(super) fn kept(&self) -> Kept {
        *self.kept.lock()
    }

    pub(super) fn set_kept(&self, kept: Kept) {
        *self.kept.lock() = kept;
    }

    /// Whether owners can be set there, and are.
    pub(super) fn keeps_owners(&self) -> bool {
        self.is_root && self.kept().owners
    }

    /// Whether files go there as a stream for its tar. rsync alone keeps a pace, and says nothing of permissions that are not kept.
    pub(super) fn goes_by_tar(&self) -> bool {
        self.has_untar && self.throttle.is_none() && self.kept().modes
    }

    /// Why they are not.
    pub(super) fn why_no_owners(&self) -> &'static str {
        no_owners(self.is_root)
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
        source: &'a Arc<Directory>,
        there: &'a [u8],
        keeps_owners: bool,
    ) -> Pair<'a> {
        Pair {
            connection: &self.connection,
            here: source,
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
}
