//! Writes what is new or has changed.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::complete::BucketComplete;
use super::workspace::Workspace;
use crate::error::Result;
use crate::store::files::bucket::send::{Sending, send};
use crate::store::files::rows::tree::Tree;
use crate::store::files::source::no_rows;
use crate::store::{Chunks, Complete, Incoming, Meter, Part, Source, Survey, Transfer, own};

/// A bucket whose objects are being written.
pub(super) struct BucketIncoming(pub(super) Arc<Workspace>);

#[async_trait]
impl Incoming for BucketIncoming {
    async fn write(&self, _part: &Part, _chunks: Chunks) -> Result<u64> {
        Err(no_rows())
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        self.0.warnings.tell();
        Ok(Box::new(BucketComplete(Arc::clone(&self.0))))
    }

    fn transfer(&self) -> Option<&dyn Transfer> {
        Some(self)
    }
}

#[async_trait]
impl Transfer for BucketIncoming {
    fn keeps_pace(&self) -> bool {
        true
    }

    async fn transfer(
        &self,
        _source: &dyn Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        let workspace = &self.0;
        let Some(work) = workspace.work() else {
            tracing::info!("nothing has changed: live stays as it is");
            return Ok(true);
        };
        workspace.begin().await?;
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
        let definitions = Arc::clone(&survey.definitions);
        let told = move |path: &[u8], files: u64, bytes: u64| {
            if let Ok(tree) = own::<Tree>(&*definitions) {
                let _ = sender.send((tree.part_of(path), files, bytes));
            }
        };
        let sending = Sending {
            s3: Arc::clone(&workspace.s3),
            source: own::<Tree>(&*survey.definitions)?.at.clone(),
            work,
            told: Arc::new(told),
            warnings: Arc::clone(&workspace.warnings),
            context: workspace.context.clone(),
            throttle: workspace.throttle,
            busy: (workspace.keeper.keeps).then(|| Arc::clone(&workspace.busy)),
        };
        let (sent, ()) = tokio::join!(send(sending), metering);
        workspace.seal(sent?).await?;
        Ok(true)
    }
}
