//! What a run works with from its lock until it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::config::job::{KeepPrevious, Mode, Publish, Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::store::Context;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::stat::Stat;
use crate::store::files::connection::told::At;
use crate::store::files::incoming::plan::Planner;
use crate::store::files::publish::folder::Folder;
use crate::store::files::publish::place::Place;
use crate::store::files::rows::decision::Rules;
use crate::store::files::rows::tree::{self, Tree};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::Work;
use crate::store::files::schema::options::Options;
use crate::store::files::url::TreeUrl;
use crate::sync::Mutex;

/// What a run found before it makes anything.
#[derive(Clone)]
pub(super) struct Open {
    /// Live, if there is one.
    pub(super) live: Option<(Arc<Directory>, Stat)>,
    /// What is to be done, if anything is.
    pub(super) work: Option<Work>,
}

/// A run's places and options, which its target, incoming and complete copy share.
pub(super) struct Workspace {
    pub(super) place: Place,
    pub(super) context: Context,
    pub(super) options: Options,
    pub(super) mode: Mode,
    pub(super) previous: KeepPrevious,
    /// Bytes a second.
    pub(super) throttle: Option<u64>,
    pub(super) folder: Mutex<Option<Arc<Folder>>>,
    pub(super) open: Mutex<Option<Open>>,
    /// Whoever builds has it, even if nobody waits for them any more: until they are done, nothing is removed.
    pub(super) building: Arc<tokio::sync::Mutex<()>>,
    /// Whether owners can be set, and are.
    pub(super) keeps_owners: bool,
    /// What is told of single files when all are in.
    pub(super) warnings: Arc<Warnings>,
    is_published: AtomicBool,
}

/// A task's options. What is read back is unpacked: in a snapshot no content can be held against live's.
fn options(task: &Task) -> Result<Options> {
    let mut options = task.options.get::<Options>()?.clone();
    options.by_content |= task.pulls() && task.verify == Verify::Checksum;
    Ok(options)
}

impl Workspace {
    pub(super) fn of(task: &Task, context: &Context) -> Result<Self> {
        Ok(Self {
            place: Place::at(
                task.target.url.address::<TreeUrl>()?.directory()?,
                task.publish == Publish::InPlace,
            )?,
            context: context.clone(),
            options: options(task)?,
            mode: task.mode,
            previous: task.previous,
            throttle: task.throttle,
            folder: Mutex::new(None),
            open: Mutex::new(None),
            building: Arc::default(),
            keeps_owners: nix::unistd::geteuid().is_root(),
            warnings: Arc::default(),
            is_published: AtomicBool::new(false),
        })
    }

    /// The folder beside live, once the lock is taken.
    pub(super) fn folder(&self) -> Result<Arc<Folder>> {
        let missing = || Error::new(Kind::Internal, "the target is not locked");
        self.folder.lock().clone().ok_or_else(missing)
    }

    /// What decides, for a source.
    pub(super) fn rules(&self, tree: &Tree, stop: &CancellationToken) -> Rules {
        Rules {
            filter: Arc::clone(&tree.filter),
            overlay: self.mode == Mode::Overlay,
            by_content: self.options.by_content,
            keeps_owners: self.keeps_owners,
            stop: stop.clone(),
            likeness: match &tree.at {
                tree::At::Here(_) => None,
                tree::At::Elsewhere(source) => source.likeness(self.options.by_content, stop),
            },
        }
    }

    /// Finds out what changes, and refuses what is too much.
    pub(super) async fn plan(
        &self,
        tree: &Tree,
        live: Option<(Arc<Directory>, Stat)>,
    ) -> Result<()> {
        let link = self.options.link;
        let rules = self.rules(tree, &self.context.cancel);
        let live_root = live.as_ref().map(|(directory, _)| Arc::clone(directory));
        let source = tree.root(self.options.by_content);
        let roots = [Some(source), live_root.map(Root::Directory)];
        let warnings = Arc::clone(&self.warnings);
        let (changes, work) = blocking(&self.context.cancel, move |stop| {
            let mut planner = Planner::new(&rules, link, &warnings);
            walk(roots, (), &mut planner, stop)?;
            planner.finish()
        })
        .await?;
        changes.check(self.options.max_delete)?;
        self.check_room(changes.bytes)?;
        tracing::info!(
            copied = changes.copied,
            deleted = changes.deleted,
            live = changes.live,
            "compared with live"
        );
        let has_work = live.is_none() || !changes.are_none();
        *self.open.lock() = Some(Open {
            live,
            work: has_work.then_some(work),
        });
        Ok(())
    }

    fn check_room(&self, needed: u64) -> Result<()> {
        const MIB: u64 = 1 << 20;
        let shown = self.place.path.display();
        let (above, _) = self.place.folder()?;
        let found = nix::sys::statvfs::fstatvfs(&above).map_err(|error| {
            Error::new(Kind::Io, format!("cannot ask for the room beside {shown}")).because(error)
        })?;
        let free = found.blocks_available() * found.fragment_size() as u64;
        if free >= needed {
            return Ok(());
        }
        let (free, needed) = (free / MIB, needed.div_ceil(MIB));
        let what =
            format!("{free} MiB are free beside {shown}, and the copy needs about {needed} MiB");
        Err(Error::new(Kind::Full, what).hint("free space there and run the job again"))
    }

    /// Makes an empty incoming.
    pub(super) fn make_incoming(&self) -> Result<Arc<Directory>> {
        let name = Folder::incoming(self.context.claim.short())?;
        let folder = self.folder()?;
        let made = folder
            .directory
            .make(&name)
            .at("cannot make", name.to_bytes())?;
        Ok(Arc::new(made))
    }

    pub(super) fn set_published(&self) {
        self.is_published.store(true, Ordering::Release);
    }

    /// Removes incoming, once nobody writes to it any more.
    pub(super) async fn discard(&self) -> Result<()> {
        if self.is_published.load(Ordering::Acquire) {
            return Ok(());
        }
        // Of a run that never had the lock there is nothing.
        let Some(folder) = self.folder.lock().clone() else {
            return Ok(());
        };
        let _no_one_builds = self.building.lock().await;
        let name = Folder::incoming(self.context.claim.short())?;
        // A run that was cancelled clears up all the same.
        blocking(&CancellationToken::new(), move |_| {
            remove(&folder.directory, &name)
        })
        .await
    }
}
