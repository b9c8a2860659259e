//! A bucket's tree that is written. A bucket has no swap: objects are written one by one, each of them whole, and at the end
//! those are deleted that have to go. Where the task says so, what is replaced or deleted is kept below the prefix, in a folder of
//! ours.

mod changes;
mod complete;
mod exchange;
mod folder;
mod incoming;
mod journal;
mod previous;
mod workspace;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::incoming::BucketIncoming;
use self::workspace::Workspace;
use super::source::identity;
use crate::config::job::{Mode, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::s3::S3;
use crate::store::files::rows::tree::Tree;
use crate::store::files::source::server;
use crate::store::{Context, Incoming, Survey, Taker, Target, own};

/// A bucket's tree that is written.
pub(in crate::store::files) struct BucketTarget(Arc<Workspace>);

impl BucketTarget {
    /// A task's. Nothing is asked of the server yet.
    pub(in crate::store::files) async fn open(task: &Task, context: &Context) -> Result<Self> {
        Ok(Self(Arc::new(Workspace::of(task, context).await?)))
    }

    /// Refuses a source that lies in the target, or around it.
    fn refuse_nested(&self, source: &S3) -> Result<()> {
        let target = &self.0.s3;
        let is_in = |one: &S3, other: &S3| one.path().starts_with(&other.path());
        let is_one_bucket =
            (source.server(), source.bucket()) == (target.server(), target.bucket());
        if is_one_bucket && (is_in(source, target) || is_in(target, source)) {
            let what = format!(
                "source and target lie in one another: {} and {}",
                source.place(),
                target.place()
            );
            return Err(Error::new(Kind::Policy, what)
                .hint("check both URLs: a run would copy what it has copied"));
        }
        Ok(())
    }
}

#[async_trait]
impl Target for BucketTarget {
    async fn identity(&self) -> Result<Identity> {
        identity(&self.0.s3).await
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(Vec::new())
    }

    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Server(server()))
    }

    async fn lock(&self) -> Result<()> {
        // This machine's own lock is all that there is: a bucket has none.
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        // Uploads that dead runs have left are found when their objects are written again.
        self.0.keeper.sweep().await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let tree = own::<Tree>(&*survey.definitions)?;
        if let Some(source) = tree.bucket() {
            self.refuse_nested(source)?;
        }
        if self.0.mode == Mode::Replace && tree.files == 0 {
            let what = format!("the source {} has no file that is copied", tree.told);
            return Err(Error::new(Kind::Policy, what).hint(
                "with mode = \"replace\" the target would be emptied: see whether the source is mounted, and its prefix right",
            ));
        }
        self.0.plan(tree).await
    }

    async fn look_at_script(&self, file: &Path, _text: &str) -> Result<()> {
        let what = format!("{} cannot run: files have no scripts", file.display());
        Err(Error::new(Kind::Config, what).hint("leave `scripts` out"))
    }

    async fn prepare(&self, _survey: &Survey) -> Result<Arc<dyn Incoming>> {
        Ok(Arc::new(BucketIncoming(Arc::clone(&self.0))))
    }

    async fn discard(&self) -> Result<()> {
        let discarded = self.0.discard().await;
        self.0.s3.settle().await;
        discarded
    }

    async fn rollback(&self) -> Result<()> {
        self.0.keeper.roll_back().await
    }

    async fn close(&self) {
        self.0.s3.settle().await;
    }
}
