//! Incoming: the tree that is built.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::complete::TreeComplete;
use super::workspace::Workspace;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::incoming::build::Build;
use crate::store::files::incoming::directories::{self, Trees};
use crate::store::files::incoming::out::Shared;
use crate::store::files::incoming::throttle::Throttle;
use crate::store::files::incoming::vanished;
use crate::store::files::rows::precision::no_owners;
use crate::store::files::rows::tree::{At, Fetching, Tree};
use crate::store::files::source::no_rows;
use crate::store::{Chunks, Complete, Incoming, Meter, Part, Source, Survey, Transfer, own};
use crate::sync::Mutex;

/// A tree beside live that is being built.
pub(super) struct TreeIncoming {
    workspace: Arc<Workspace>,
    /// Its directory; `None`: live is as it is to be, and nothing is built.
    root: Option<Arc<Directory>>,
    /// Whether it is the spare.
    recycles: bool,
    /// How many files were put into it.
    files: Mutex<Option<u64>>,
}

impl TreeIncoming {
    /// Of a directory, with whether it is the spare.
    pub(super) fn new(workspace: &Arc<Workspace>, made: Option<(Arc<Directory>, bool)>) -> Self {
        let recycles = made.as_ref().is_some_and(|(_, recycles)| *recycles);
        Self {
            workspace: Arc::clone(workspace),
            root: made.map(|(root, _)| root),
            recycles,
            files: Mutex::new(None),
        }
    }

    /// Builds the tree; whoever counts is told on the way.
    async fn build(&self, root: Arc<Directory>, survey: &Survey, meter: &dyn Meter) -> Result<u64> {
        let (sender, mut progress) = mpsc::unbounded_channel::<(usize, u64, u64)>();
        let mut parts: Vec<&Part> = survey.parts.iter().collect();
        parts.sort_by_key(|part| part.id);
        let metering = async {
            while let Some((part, files, bytes)) = progress.recv().await {
                if let Some(part) = parts.get(part) {
                    meter.add(part, files, bytes);
                }
            }
        };
        let building = async {
            let made = self.make(Arc::clone(&root), survey, sender.clone()).await?;
            let fetched = self.fetch(root, survey, sender).await?;
            Ok(made + fetched)
        };
        let (built, ()) = tokio::join!(building, metering);
        built
    }

    /// Makes directories, takes over what is live's, and copies what is on this machine.
    async fn make(
        &self,
        root: Arc<Directory>,
        survey: &Survey,
        progress: mpsc::UnboundedSender<(usize, u64, u64)>,
    ) -> Result<u64> {
        let workspace = &self.workspace;
        let definitions = Arc::clone(&survey.definitions);
        let (live, work) = workspace.to_build()?;
        let shared = Shared::new(workspace.keeps_owners(), Arc::clone(&workspace.warnings));
        let (link, workers) = (workspace.options.link, workspace.context.workers);
        let (throttle, file_by_file) = (workspace.throttle, workspace.place.file_by_file);
        let rules = workspace.rules(own::<Tree>(&*definitions)?, &workspace.context.cancel);
        let (recycles, since) = (self.recycles, workspace.planned()?.since);
        let building = Arc::clone(&workspace.building).lock_owned().await;
        blocking(&workspace.context.cancel, move |stop| {
            let _until_done = building;
            let tree = own::<Tree>(&*definitions)?;
            let told = |part: usize, files: u64, bytes: u64| {
                let _ = progress.send((part, files, bytes));
            };
            let throttle = throttle.map(Throttle::new);
            let build = Build {
                rules: &rules,
                link,
                roots: [tree.directory().map(Arc::clone), live],
                work: &work,
                starts: &tree.starts,
                workers,
                throttle: throttle.as_ref(),
                shared: Arc::new(shared),
                replaces_live: !file_by_file,
                recycles,
                since,
                told: &told,
            };
            build.run(root, stop)
        })
        .await
    }

    /// Fetches what is elsewhere.
    async fn fetch(
        &self,
        root: Arc<Directory>,
        survey: &Survey,
        progress: mpsc::UnboundedSender<(usize, u64, u64)>,
    ) -> Result<u64> {
        let workspace = &self.workspace;
        let definitions = Arc::clone(&survey.definitions);
        let At::Elsewhere(source) = own::<Tree>(&*definitions)?.at.clone() else {
            return Ok(0);
        };
        let (live, work) = workspace.to_build()?;
        let lends = live.clone().filter(|_| source.is_vague());
        let again = Arc::clone(&survey.definitions);
        let told = move |path: &[u8], files: u64, bytes: u64| {
            if let Ok(tree) = own::<Tree>(&*definitions) {
                let _ = progress.send((tree.part_of(path), files, bytes));
            }
        };
        let keeps_owners = workspace.keeps_owners();
        let busy = Arc::clone(&workspace.building).lock_owned().await;
        let fetching = Fetching {
            work: work.clone(),
            into: Arc::clone(&root),
            keeps_owners,
            told: Arc::new(told),
            warnings: Arc::clone(&workspace.warnings),
            busy: Arc::new(busy),
        };
        let fetched = source.fetch(fetching).await?;
        let building = Arc::clone(&workspace.building).lock_owned().await;
        let warnings = Arc::clone(&workspace.warnings);
        let rules = workspace.rules(own::<Tree>(&*again)?, &workspace.context.cancel);
        let (link, file_by_file) = (workspace.options.link, workspace.place.file_by_file);
        blocking(&workspace.context.cancel, move |stop| {
            let _until_done = building;
            let mut kept = 0;
            if fetched < vanished::wanted(&work)? {
                let build = Build {
                    rules: &rules,
                    link,
                    roots: [None, live],
                    work: &work,
                    starts: &[],
                    workers: 1,
                    throttle: None,
                    shared: Arc::new(Shared::new(keeps_owners, Arc::clone(&warnings))),
                    replaces_live: !file_by_file,
                    recycles: false,
                    since: (0, 0),
                    told: &|_, _, _| {},
                };
                kept = vanished::keep(&build, Arc::clone(&root), stop)?;
            }
            let trees = Trees {
                root,
                built: None,
                live: lends,
            };
            directories::finish(&work, trees, keeps_owners, &warnings, stop)?;
            Ok(fetched + kept)
        })
        .await
    }
}

#[async_trait]
impl Incoming for TreeIncoming {
    async fn write(&self, _part: &Part, _chunks: Chunks) -> Result<u64> {
        Err(no_rows())
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        if self.root.is_some() && self.files.lock().is_none() {
            return Err(Error::new(Kind::Internal, "the new tree was not built"));
        }
        self.workspace.warnings.tell();
        Ok(Box::new(TreeComplete::new(
            &self.workspace,
            self.root.clone(),
            *self.files.lock(),
        )))
    }

    fn transfer(&self) -> Option<&dyn Transfer> {
        Some(self)
    }
}

#[async_trait]
impl Transfer for TreeIncoming {
    fn keeps_pace(&self) -> bool {
        true
    }

    async fn transfer(
        &self,
        _source: &dyn Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        if !self.workspace.keeps_owners() {
            let why = no_owners(nix::unistd::geteuid().is_root());
            tracing::warn!("{why}");
        }
        let Some(root) = &self.root else {
            tracing::info!("nothing has changed: live stays as it is");
            return Ok(true);
        };
        let files = self.build(Arc::clone(root), survey, meter).await?;
        *self.files.lock() = Some(files);
        Ok(true)
    }
}
