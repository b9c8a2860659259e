//! A new tree that has everything: it is verified, and then it is published.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::published::TreePublished;
use super::workspace::Workspace;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At as _;
use crate::store::files::incoming::check::Check;
use crate::store::files::incoming::directories;
use crate::store::files::publish::apply::apply;
use crate::store::files::publish::folder::Folder;
use crate::store::files::publish::swap;
use crate::store::files::rows::tree::{At, Tree, look};
use crate::store::files::rows::walk::{Pair, Root, SOURCE, walk};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::source::no_rows;
use crate::store::{Catalogue, Checksum, CompareWhole, Complete, Part, Published, Survey, own};

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
    async fn apply(&self) -> Result<()> {
        let workspace = &self.workspace;
        let (live, work) = workspace.to_build()?;
        let (Some(live), Some(new)) = (live, self.root.clone()) else {
            return Ok(());
        };
        let (keeps_owners, warnings) = (workspace.keeps_owners, Arc::clone(&workspace.warnings));
        // Not cut short: the fewer moments, the better.
        let stop = CancellationToken::new();
        let applied = blocking(&stop, move |stop| {
            apply(&work, &new, &live)?;
            directories::finish(&work, Arc::clone(&live), keeps_owners, &warnings, stop)?;
            rustix::fs::syncfs(&*live).at("cannot sync the file system of", b"")
        });
        applied.await.map_err(|error| {
            let what = "some of the new files ARE live, each of them whole, and not all: the next run goes on";
            error.within(what).with_kind(Kind::AfterPublish)
        })?;
        workspace.warnings.tell();
        Ok(())
    }

    /// Refuses to publish over another directory than the one that was compared.
    fn check_live(&self) -> Result<bool> {
        let open = self.workspace.open.lock().clone();
        let known = open.and_then(|open| open.live).map(|(_, found)| found.id);
        let found = self.workspace.place.live()?.map(|(_, found)| found.id);
        if known == found {
            return Ok(found.is_some());
        }
        let what = format!(
            "{} is another directory than when the run began",
            self.workspace.place.path.display()
        );
        Err(Error::new(Kind::Io, what).hint("find out who else replaces it, and run the job again"))
    }
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
        blocking(&workspace.context.cancel, move |_| {
            rustix::fs::syncfs(&*root).at("cannot sync the file system of", path.as_bytes())
        })
        .await?;
        let name = Folder::incoming(workspace.context.claim.short())?;
        let has_live = self.check_live()?;
        if workspace.place.file_by_file {
            self.apply().await?;
            return Ok(Box::new(TreePublished::file_by_file(workspace)));
        }
        swap::exchange(&workspace.place, &*workspace.folder()?, &name, has_live)?;
        workspace.set_published();
        Ok(Box::new(TreePublished::of(workspace, has_live)))
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
        let definitions = Arc::clone(&survey.definitions);
        blocking(&self.workspace.context.cancel, move |stop| {
            let tree = own::<Tree>(&*definitions)?;
            let again = |pair: &Pair<'_>| match tree.directory() {
                Some(directory) => look(directory, pair.path),
                // It was listed just now.
                None => pair.stat(SOURCE),
            };
            let mut check = Check {
                filter: &tree.filter,
                by_content: by_content && elsewhere.is_none(),
                since: tree.since,
                again: &again,
                has_directories: true,
                warnings: &warnings,
                stop,
                files: 0,
                differences: (Vec::new(), 0),
            };
            let source = now.unwrap_or_else(|| tree.root(by_content));
            let roots = [Some(source), target.map(Root::Directory)];
            walk(roots, (), &mut check, stop)?;
            warnings.tell();
            check.outcome(files)
        })
        .await
    }
}
