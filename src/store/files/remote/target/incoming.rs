//! What has changed, on its way into the folder beside live.

use std::sync::Arc;

use async_trait::async_trait;

use super::complete::FarComplete;
use super::workspace::{Plan, Workspace};
use crate::error::{Error, Kind, Result};
use crate::store::files::remote::names::Lists;
use crate::store::files::remote::tree::listed;
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::tree::Tree;
use crate::store::files::rows::walk::{SOURCE, TARGET};
use crate::store::files::rows::work::Action;
use crate::store::{Chunks, Complete, Incoming, Meter, Part, Source, Survey, Transfer, own};
use crate::sync::Mutex;

/// A tree there that is being changed.
pub(super) struct FarIncoming {
    workspace: Arc<Workspace>,
    /// What has arrived.
    staged: Mutex<Option<Listing>>,
}

/// Files, links, and directories that live does not have.
fn brought(_: &Entry, action: Action) -> bool {
    match action {
        Action::Copy => true,
        Action::Enter { sides, .. } => sides[SOURCE] && !sides[TARGET],
        _ => false,
    }
}

impl FarIncoming {
    pub(super) fn new(workspace: &Arc<Workspace>) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            staged: Mutex::new(None),
        }
    }

    /// Brings all that has changed.
    async fn bring(&self, plan: &Plan, survey: &Survey, meter: &dyn Meter) -> Result<()> {
        let workspace = &self.workspace;
        let tree = own::<Tree>(&*survey.definitions)?;
        let mut parts: Vec<&Part> = survey.parts.iter().collect();
        parts.sort_by_key(|part| part.id);
        let incoming = workspace.place.incoming(workspace.context.claim.short());
        let pair = workspace.pair(plan, &incoming, workspace.keeps_owners);
        // What is in a directory has to be renamed out of it.
        let options = ["--dirs", "--whole-file", "--chmod=Du+rwx"];
        let mut lists = Lists::of(&plan.work, brought)?;
        while let Some(names) = lists.next()? {
            let first = names.iter().next().unwrap_or_default();
            let part = parts.get(tree.part_of(first));
            let told = |files, bytes| {
                if let Some(part) = part {
                    meter.add(part, files, bytes);
                }
            };
            pair.copy(&names, &options, &workspace.warnings, &told)
                .await?;
        }
        let staged = listed(&workspace.connection, &incoming, &tree.filter, None).await?;
        *self.staged.lock() = Some(staged);
        Ok(())
    }
}

#[async_trait]
impl Incoming for FarIncoming {
    async fn write(&self, _part: &Part, _chunks: Chunks) -> Result<u64> {
        Err(Error::new(Kind::Internal, "a tree of files has no rows"))
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        let plan = self.workspace.planned()?;
        let staged = self.staged.lock().clone();
        if plan.has_work && staged.is_none() {
            return Err(Error::new(Kind::Internal, "nothing was brought"));
        }
        Ok(Box::new(FarComplete::new(&self.workspace, plan, staged)))
    }

    fn transfer(&self) -> Option<&dyn Transfer> {
        Some(self)
    }
}

#[async_trait]
impl Transfer for FarIncoming {
    fn keeps_pace(&self) -> bool {
        true
    }

    async fn transfer(
        &self,
        _source: &dyn Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        if !self.workspace.keeps_owners {
            tracing::warn!("owners are not kept: only root may set them");
        }
        let plan = self.workspace.planned()?;
        if plan.has_work {
            self.bring(&plan, survey, meter).await?;
        } else {
            tracing::info!("nothing has changed: live stays as it is");
        }
        Ok(true)
    }
}
