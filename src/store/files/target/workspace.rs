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
use crate::store::files::connection::stat::{Moment, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::incoming::metadata::without_attributes;
use crate::store::files::incoming::plan::{Changes, Planner};
use crate::store::files::publish::folder::Folder;
use crate::store::files::publish::in_place::InPlace;
use crate::store::files::publish::place::Place;
use crate::store::files::publish::probe::probe;
use crate::store::files::publish::spare;
use crate::store::files::rows::candidates::Candidates;
use crate::store::files::rows::decision::{self, Rules};
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::precision::Kept;
use crate::store::files::rows::tree::{self, Tree, some_ticks_ago};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::Work;
use crate::store::files::schema::options::{Link, Options};
use crate::store::files::url::TreeUrl;
use crate::sync::Mutex;

/// What a run found before it makes anything.
#[derive(Clone)]
pub(super) struct Open {
    /// Live, if there is one.
    pub(super) live: Option<(Arc<Directory>, Stat)>,
    /// What is to be done, if anything is.
    pub(super) work: Option<Work>,
    /// How much of it.
    pub(super) changes: Changes,
    /// When anything was done to live's directories last.
    pub(super) touched: Moment,
    /// What was changed later may have changed while it was found out.
    pub(super) since: Moment,
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
    /// What the target's file system keeps, once that was found out.
    kept: Mutex<Kept>,
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
            kept: Mutex::default(),
            warnings: Arc::default(),
            is_published: AtomicBool::new(false),
        })
    }

    /// The folder beside live, once the lock is taken.
    pub(super) fn folder(&self) -> Result<Arc<Folder>> {
        let missing = || Error::new(Kind::Internal, "the target is not locked");
        self.folder.lock().clone().ok_or_else(missing)
    }

    /// Whether owners can be set, and are.
    pub(super) fn keeps_owners(&self) -> bool {
        nix::unistd::geteuid().is_root() && self.kept.lock().owners
    }

    /// Asks the file system that live is on. A `plan` has no folder, and leaves nothing behind where it asks.
    fn find_out_what_is_kept(&self, live: Option<&Directory>) -> Result<()> {
        let folder = self.folder.lock().clone();
        let kept = match (folder, live) {
            (Some(folder), _) => probe(&folder.directory, true)?,
            (None, Some(live)) => probe(live, false)?,
            (None, None) => Kept::default(),
        };
        if kept.is_coarse() || !kept.modes {
            tracing::info!(
                ?kept,
                "the target's file system keeps less than the source's may have"
            );
        }
        *self.kept.lock() = kept;
        Ok(())
    }

    /// Live, if its files are exchanged one by one; once the lock is taken.
    pub(super) fn in_place(&self) -> Result<Option<InPlace>> {
        if !self.place.file_by_file {
            return Ok(None);
        }
        InPlace::of(&self.place, &self.folder()?, self.keeps_owners()).map(Some)
    }

    /// What decides, for a source.
    pub(super) fn rules(&self, tree: &Tree, stop: &CancellationToken) -> Rules {
        Rules {
            filter: Arc::clone(&tree.filter),
            overlay: self.mode == Mode::Overlay,
            by_content: self.options.by_content,
            differing: None,
            keeps_owners: self.keeps_owners(),
            kept: *self.kept.lock(),
            stop: stop.clone(),
            likeness: match &tree.at {
                tree::At::Here(_) => None,
                tree::At::Elsewhere(source) => source.likeness(self.options.by_content, stop),
            },
        }
    }

    /// What decides; where contents do, and the source is on another machine, they are compared before.
    async fn rules_by_content(
        &self,
        tree: &Tree,
        live: Option<&(Arc<Directory>, Stat)>,
    ) -> Result<Rules> {
        let rules = self.rules(tree, &self.context.cancel);
        let tree::At::Elsewhere(source) = &tree.at else {
            return Ok(rules);
        };
        let (true, true, Some((live, _))) = (rules.by_content, source.compares_contents(), live)
        else {
            return Ok(rules);
        };
        let roots = [tree.root(false), Root::Directory(Arc::clone(live))].map(Some);
        let (mut rules, list) = blocking(&self.context.cancel, move |stop| {
            let mut candidates = Candidates::new(&rules);
            walk(roots, (), &mut candidates, stop)?;
            let list = candidates.finish()?;
            Ok((rules, list))
        })
        .await?;
        let differing = source.differing(&list, live, &self.warnings).await?;
        rules.differing = Some(Mutex::new(Follow::of(Some(&differing))?));
        Ok(rules)
    }

    /// Finds out what changes, and refuses what is too much.
    pub(super) async fn plan(
        &self,
        tree: &Tree,
        live: Option<(Arc<Directory>, Stat)>,
    ) -> Result<()> {
        let since = some_ticks_ago();
        self.find_out_what_is_kept(live.as_ref().map(|(live, _)| &**live))?;
        let link = self.options.link;
        let user = nix::unistd::geteuid();
        let sets_only_of = (self.place.file_by_file && !user.is_root()).then_some(user.as_raw());
        let rules = self.rules_by_content(tree, live.as_ref()).await?;
        let live_root = live.as_ref().map(|(directory, _)| Arc::clone(directory));
        let source = tree.root(self.options.by_content);
        let roots = [Some(source), live_root.map(Root::Directory)];
        let warnings = Arc::clone(&self.warnings);
        let (changes, fixed, touched, work) = blocking(&self.context.cancel, move |stop| {
            let mut planner = Planner::new(&rules, link, &warnings);
            planner.sets_only_of = sets_only_of;
            walk(roots, (), &mut planner, stop)?;
            let (fixed, touched) = (planner.fixed.take(), planner.touched);
            let (changes, work) = planner.finish()?;
            Ok((changes, fixed, touched, work))
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
        // It could never be removed from previous.
        if let (true, false, Some(path)) = (has_work, self.place.file_by_file, fixed) {
            return Err(decision::fixed(&path));
        }
        *self.open.lock() = Some(Open {
            live,
            work: has_work.then_some(work),
            changes,
            touched,
            since,
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

    /// Whether a tree is kept for the next run to build on.
    pub(super) fn keeps_spare(&self) -> bool {
        self.options.link == Link::Hard && !self.place.file_by_file
    }

    /// Makes incoming: empty, or of the spare, which is said.
    pub(super) fn make_incoming(&self) -> Result<(Arc<Directory>, bool)> {
        let name = Folder::incoming(self.context.claim.short())?;
        let folder = self.folder()?;
        let open = self.open.lock().clone();
        let live = open.and_then(|open| open.live).map(|(_, found)| found);
        let live = live.filter(|_| self.keeps_spare());
        if let Some(taken) = spare::take(&folder, &name, live.as_ref())? {
            return Ok((Arc::new(taken), true));
        }
        let made = folder
            .directory
            .make(&name)
            .at("cannot make", name.to_bytes())?;
        // What is made in it is not to have the ACL that the directory of live has for what is made there.
        without_attributes(&made, name.to_bytes())?;
        Ok((Arc::new(made), false))
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
        let run = self.context.claim.short();
        let (name, dropped) = (Folder::incoming(run)?, Folder::dropped(run)?);
        // A run that was cancelled clears up all the same.
        blocking(&CancellationToken::new(), move |_| {
            remove(&folder.directory, &dropped)?;
            remove(&folder.directory, &name)
        })
        .await
    }
}
