//! A bucket that has everything: it is held against the source, and then what has to go is deleted.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::workspace::Workspace;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::files::bucket::compare::{Comparison, End, compare};
use crate::store::files::bucket::fetch::at_once;
use crate::store::files::bucket::object::is_marked;
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::incoming::check::Check;
use crate::store::files::rows::pair::{Pair, SOURCE};
use crate::store::files::rows::tree::{At, Tree, look};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::{Action, Work};
use crate::store::files::source::no_rows;
use crate::store::{Catalogue, Checksum, CompareWhole, Complete, Part, Published, Survey, own};

/// So many objects are deleted by one request (`DeleteObjects`).
const TOGETHER: usize = 1000;

/// A bucket that has everything.
pub(super) struct BucketComplete(pub(super) Arc<Workspace>);

#[async_trait]
impl Complete for BucketComplete {
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
        let workspace = self.0;
        if let Some(work) = workspace.work() {
            let published = async {
                delete(&workspace, work).await?;
                workspace.finish().await
            };
            if let Err(error) = published.await {
                return Err(taken_back(&workspace, error).await);
            }
        }
        Ok(Box::new(BucketPublished(workspace)))
    }
}

/// After a failure: what has been done is taken back if it was kept, or that is said.
async fn taken_back(workspace: &Workspace, error: Error) -> Error {
    match workspace.discard().await {
        Ok(()) => error,
        Err(second) => {
            tracing::error!(error = %second, "what was done to live cannot be undone");
            error.within("some of the new objects ARE live, each of them whole, and not all: the next run takes them back before it begins")
        }
    }
}

/// Deletes what has to go.
async fn delete(workspace: &Workspace, work: Work) -> Result<()> {
    let (sender, mut batches) = mpsc::channel::<Vec<String>>(2);
    let reading = blocking(&workspace.context.cancel, move |stop| {
        let mut batch = Vec::new();
        // Objects that stand for directories go after what is in them.
        let mut open: Vec<String> = Vec::new();
        let mut tasks = work.tasks()?;
        while let Some((entry, action)) = tasks.task()? {
            stopped(stop)?;
            let path = String::from_utf8_lossy(&entry.path);
            while let Some(done) = open.pop_if(|above| !path.starts_with(above.as_str())) {
                batch.push(done);
            }
            match action {
                Action::Delete => batch.push(path.into_owned()),
                Action::Enter {
                    is_doomed: true, ..
                } if is_marked(&entry.stat) => open.push(format!("{path}/")),
                _ => {}
            }
            if batch.len() >= TOGETHER && sender.blocking_send(std::mem::take(&mut batch)).is_err()
            {
                return Ok(());
            }
            tasks.advance()?;
        }
        batch.extend(open.into_iter().rev());
        let _ = sender.blocking_send(batch);
        Ok(())
    });
    let deleting = async {
        while let Some(batch) = batches.recv().await {
            workspace.s3.delete_objects(&batch).await?;
        }
        Ok(())
    };
    tokio::try_join!(reading, deleting).map(|_| ())
}

#[async_trait]
impl CompareWhole for BucketComplete {
    async fn compare_whole(&self, survey: &Survey, verify: Verify) -> Result<()> {
        let workspace = &self.0;
        let by_content = verify == Verify::Checksum;
        if workspace.work().is_none() && !by_content {
            // That it is the same in all else was seen before.
            return Ok(());
        }
        let tree = own::<Tree>(&*survey.definitions)?;
        let target = workspace.list(tree).await?;
        let source = match &tree.at {
            At::Here(directory) => Root::Directory(Arc::clone(directory)),
            At::Elsewhere(source) => Root::Listing(source.list().await?),
        };
        let warnings = Arc::new(Warnings::default());
        if by_content {
            let end = match (&tree.at, tree.bucket()) {
                (At::Here(directory), _) => End::Here(Arc::clone(directory)),
                (At::Elsewhere(_), Some(source)) => End::Bucket(Arc::clone(source)),
                (At::Elsewhere(_), None) => return Err(super::super::send::not_here(tree)),
            };
            let comparison = Comparison {
                ends: [end, End::Bucket(Arc::clone(&workspace.s3))],
                roots: [source.clone(), Root::Listing(target.clone())],
                filter: Arc::clone(&tree.filter),
                since: tree.since,
                at_once: at_once(&workspace.context),
                cancel: workspace.context.cancel.clone(),
            };
            compare(comparison, &warnings).await?;
        }
        let definitions = Arc::clone(&survey.definitions);
        blocking(&workspace.context.cancel, move |stop| {
            let tree = own::<Tree>(&*definitions)?;
            let again = |pair: &Pair<'_>| match tree.directory() {
                Some(directory) => look(directory, pair.path),
                // It was listed just now.
                None => pair.stat(SOURCE),
            };
            let mut check = Check {
                filter: &tree.filter,
                by_content: false,
                since: tree.since,
                again: &again,
                planned: None,
                goes_by_plan: false,
                has_directories: false,
                warnings: &warnings,
                stop,
                files: 0,
                differences: (Vec::new(), 0),
            };
            walk(
                [Some(source), Some(Root::Listing(target))],
                (),
                &mut check,
                stop,
            )?;
            warnings.tell();
            check.outcome(None)
        })
        .await
    }
}

/// A bucket that is as it is to be.
struct BucketPublished(Arc<Workspace>);

#[async_trait]
impl Published for BucketPublished {
    async fn revert(&self) -> Result<()> {
        let workspace = &self.0;
        if workspace.work().is_none() {
            return Ok(());
        }
        if workspace.keeper.keeps {
            return workspace.take_back().await;
        }
        let what = format!(
            "what was overwritten and deleted in {} cannot be brought back: it was not kept",
            workspace.s3.place()
        );
        Err(Error::new(Kind::Verify, what)
            .hint("run the job again; with previous = \"keep\" what a run replaces is kept, and comes back"))
    }

    async fn settle(&self) -> Result<()> {
        let workspace = &self.0;
        workspace.keeper.settle(workspace.work().is_some()).await
    }
}
