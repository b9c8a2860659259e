//! A new tree that has everything: it is verified, and then it is published.

use std::ffi::CString;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::published::TreePublished;
use super::workspace::Workspace;
use crate::config::job::{KeepPrevious, Verify};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At as _;
use crate::store::files::incoming::check::Check;
use crate::store::files::incoming::directories::{self, Trees};
use crate::store::files::incoming::recycle::says_inodes;
use crate::store::files::publish::folder::Folder;
use crate::store::files::publish::in_place::InPlace;
use crate::store::files::publish::spare;
use crate::store::files::publish::unsettled;
use crate::store::files::rows::pair::{Pair, SOURCE};
use crate::store::files::rows::tree::{At, Tree, look};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::Work;
use crate::store::files::source::no_rows;
use crate::store::{
    Catalogue, Checksum, CompareWhole, Complete, Definitions, Part, Published, Survey, own,
};

/// A tree of which no more than one file in so many was copied is mostly live's.
const MANY: u64 = 8;

/// A new tree that has everything.
pub(super) struct TreeComplete {
    workspace: Arc<Workspace>,
    /// Its directory; `None`: live is as it is to be.
    root: Option<Arc<Directory>>,
    /// How many files were put into it.
    files: Option<u64>,
}

impl TreeComplete {
    pub(super) fn new(
        workspace: &Arc<Workspace>,
        root: Option<Arc<Directory>>,
        files: Option<u64>,
    ) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            root,
            files,
        }
    }

    /// Puts the new tree into live, file by file.
    async fn exchange(&self, in_place: InPlace) -> Result<TreePublished> {
        let workspace = &self.workspace;
        let (live, work) = workspace.to_build()?;
        let (Some(live), Some(new)) = (live, self.root.clone()) else {
            return Ok(TreePublished::unchanged(workspace));
        };
        let (keeps_owners, warnings) = (workspace.keeps_owners(), Arc::clone(&workspace.warnings));
        let run = workspace.context.claim.short().to_owned();
        let keeps_all = workspace.previous == KeepPrevious::Keep;
        // Not cut short: the fewer moments, the better.
        let stop = CancellationToken::new();
        let exchanged = blocking(&stop, move |stop| {
            let journal = in_place.begin(&run, &work, &new)?;
            in_place.publish((&run, &journal), &new, keeps_all, || {
                let trees = Trees {
                    root: Arc::clone(&live),
                    built: Some(Arc::clone(&new)),
                    // It is live, and has them.
                    live: None,
                };
                directories::finish(&work, trees, keeps_owners, &warnings, stop)?;
                rustix::fs::syncfs(&*live).at("cannot sync the file system of", b"")
            })
        });
        let outcome = exchanged.await?;
        workspace.warnings.tell();
        Ok(TreePublished::file_by_file(workspace, outcome.lost))
    }

    /// What the new tree was built by, and whether most of it is live's; `None`: files there cannot be told by their inodes.
    fn planned(&self) -> Result<Option<(Work, bool)>> {
        let workspace = &self.workspace;
        let is_told = |root: &Arc<Directory>| !workspace.place.file_by_file && says_inodes(&**root);
        if !self.root.as_ref().is_some_and(is_told) {
            return Ok(None);
        }
        let (_, work) = workspace.to_build()?;
        let changes = workspace.open.lock().as_ref().map(|open| open.changes);
        let is_mostly_live_s = changes.is_some_and(|found| found.copied < found.live / MANY);
        Ok(Some((work, is_mostly_live_s)))
    }

    /// What makes the first copy's spare.
    fn first_spare(&self) -> Result<Option<(Arc<Folder>, CString)>> {
        let workspace = &self.workspace;
        let has_live = (workspace.open.lock().as_ref()).is_some_and(|open| open.live.is_some());
        if has_live || !workspace.keeps_spare() {
            return Ok(None);
        }
        let name = Folder::dropped(workspace.context.claim.short())?;
        Ok(Some((workspace.folder()?, name)))
    }

    /// Refuses to publish over another directory than the one that was compared; returns its inode.
    fn check_live(&self) -> Result<Option<u64>> {
        let open = self.workspace.open.lock().clone();
        let known = open.and_then(|open| open.live).map(|(_, found)| found.id);
        let found = self.workspace.place.live()?.map(|(_, found)| found.id);
        if known == found {
            return Ok(found.map(|(_, inode)| inode));
        }
        let what = format!(
            "{} is another directory than when the run began",
            self.workspace.place.path.display()
        );
        Err(Error::new(Kind::Io, what).hint("find out who else replaces it, and run the job again"))
    }
}

/// What a copy is held against its source with.
struct Comparison {
    definitions: Arc<dyn Definitions>,
    goes_by_plan: bool,
    by_content: bool,
    /// The source, if it was listed anew.
    now: Option<Root>,
    target: Option<Arc<Directory>>,
    files: Option<u64>,
    /// The new tree, if one was built,
    built: Option<Arc<Directory>>,
    /// of which a spare is made under this name,
    spare: Option<(Arc<Folder>, CString)>,
    /// and what it was built by, with whether most of it is live's.
    planned: Option<(Work, bool)>,
    warnings: Arc<Warnings>,
}

impl Comparison {
    fn run(self, stop: &CancellationToken) -> Result<()> {
        let tree = own::<Tree>(&*self.definitions)?;
        let again = |pair: &Pair<'_>| match tree.directory() {
            Some(directory) => look(directory, pair.path),
            // It was listed just now.
            None => pair.stat(SOURCE),
        };
        let planned = self.planned.as_ref();
        let mut check = Check {
            filter: &tree.filter,
            by_content: self.by_content,
            since: tree.since,
            again: &again,
            planned: planned.map(|(work, _)| work.planned()).transpose()?,
            goes_by_plan: self.goes_by_plan,
            has_directories: true,
            warnings: &self.warnings,
            stop,
            files: 0,
            differences: (Vec::new(), 0),
        };
        let source = self.now.unwrap_or_else(|| tree.root(self.by_content));
        let is_mostly_live_s = planned.is_some_and(|(_, is_mostly_live_s)| *is_mostly_live_s);
        let target = self.target.map(if self.goes_by_plan && is_mostly_live_s {
            Root::Names
        } else {
            Root::Directory
        });
        while_it_is_written(self.built.as_ref(), self.spare.as_ref(), stop, || {
            walk([Some(source), target], (), &mut check, stop)?;
            self.warnings.tell();
            check.outcome(self.files)
        })
    }
}

/// Has a new tree written to the disk while it is compared, and the first copy's spare made.
fn while_it_is_written(
    root: Option<&Arc<Directory>>,
    spare: Option<&(Arc<Folder>, CString)>,
    stop: &CancellationToken,
    compare: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let Some(root) = root else { return compare() };
    std::thread::scope(|scope| {
        let start = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let sync = || rustix::fs::syncfs(&**root).at("cannot sync the file system of", b"");
        // Without a thread, it is written when the tree is published.
        let written = start("sync").spawn_scoped(scope, sync).ok();
        let make = || {
            spare.map_or(Ok(()), |(folder, name)| {
                spare::make(folder, name, root, stop)
            })
        };
        let made = start("spare").spawn_scoped(scope, make).ok();
        let compared = compare();
        // What could not be written is told once.
        let ended = [written, made].into_iter().flatten().map(|thread| {
            let broke = |_| Error::new(Kind::Internal, "a thread broke");
            thread.join().map_err(broke).and_then(|ended| ended)
        });
        let ended: Vec<_> = ended.collect();
        ended.into_iter().fold(compared, Result::and)
    })
}

#[async_trait]
impl Complete for TreeComplete {
    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(Catalogue::default())
    }

    async fn checksum(&self, _part: &Part) -> Result<Checksum> {
        Err(no_rows())
    }

    fn comparison(&self) -> Option<&dyn CompareWhole> {
        Some(self)
    }

    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>> {
        let workspace = &self.workspace;
        let Some(root) = self.root.clone() else {
            return Ok(Box::new(TreePublished::unchanged(workspace)));
        };
        // What is renamed has to be there after a power cut, too. Not cut short: it is the last that can fail.
        let path = workspace.place.path.display().to_string();
        let written = Arc::clone(&root);
        blocking(&workspace.context.cancel, move |_| {
            rustix::fs::syncfs(&*written).at("cannot sync the file system of", path.as_bytes())
        })
        .await?;
        let live = self.check_live()?;
        if let Some(in_place) = workspace.in_place()? {
            return Ok(Box::new(self.exchange(in_place).await?));
        }
        let (folder, built) = (
            workspace.folder()?,
            (workspace.context.claim.short(), &*root),
        );
        let keeps = workspace.previous == KeepPrevious::Keep;
        unsettled::exchange(&workspace.place, &folder, built, live, keeps)?;
        workspace.set_published();
        let at = root.own_stat().map(|found| found.changed).ok();
        Ok(Box::new(TreePublished::of(workspace, live.is_some(), at)))
    }
}

#[async_trait]
impl CompareWhole for TreeComplete {
    async fn compare_whole(&self, survey: &Survey, verify: Verify) -> Result<()> {
        let by_content = verify == Verify::Checksum;
        let live = self
            .workspace
            .open
            .lock()
            .as_ref()
            .and_then(|open| open.live.clone());
        let target = match &self.root {
            Some(root) => Some(Arc::clone(root)),
            // That it is the same in all else was seen before.
            None if by_content => live.map(|(directory, _)| directory),
            None => return Ok(()),
        };
        let (definitions, files) = (Arc::clone(&survey.definitions), self.files);
        let tree = own::<Tree>(&*definitions)?;
        let warnings = Arc::new(Warnings::default());
        let elsewhere = match &tree.at {
            At::Here(_) => None,
            At::Elsewhere(source) => Some(Arc::clone(source)),
        };
        let now = match &elsewhere {
            Some(source) => Some(Root::Listing(source.list().await?)),
            None => None,
        };
        if let (Some(source), true, Some(target)) = (&elsewhere, by_content, &target) {
            source.compare(target, tree.since, &warnings).await?;
        }
        let comparison = Comparison {
            definitions: Arc::clone(&survey.definitions),
            // A tree elsewhere was listed anew: what has changed there since is told.
            goes_by_plan: !by_content && elsewhere.is_none(),
            by_content: by_content && elsewhere.is_none(),
            now,
            target,
            files,
            built: self.root.clone(),
            spare: self.first_spare()?,
            planned: self.planned()?,
            warnings,
        };
        let building = Arc::clone(&self.workspace.building).lock_owned().await;
        blocking(&self.workspace.context.cancel, move |stop| {
            let _until_done = building;
            comparison.run(stop)
        })
        .await
    }
}
