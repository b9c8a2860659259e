//! What lies in a job's pool and no snapshot refers to any more.
//!
//! A push says that it is at work (`writer.json`) before it looks what there is that it may share, and who collects looks for
//! such pushes after it has seen which snapshots there are: whoever shares what seems to be nobody's is at work, or has become
//! a snapshot meanwhile. In both cases nothing is removed, and the next prune looks again. Where a manifest cannot be read,
//! nothing is removed either.

use std::collections::HashMap;

use super::{Folder, Series, Snapshots};
use crate::archive::layout::{MANIFEST, Name, is_pooled, pool, pool_of};
use crate::archive::manifest::Manifest;
use crate::error::Result;

/// What is known of the snapshots of a job.
enum Referred {
    /// All that could be asked; these folders have no manifest, and nobody writes them any more.
    Known(Vec<Name>),
    /// Somebody is writing one, or one cannot be read.
    Unknown,
}

impl Snapshots {
    /// Removes what lies in a job's pool and no snapshot refers to; returns how many bytes that was.
    pub async fn collect(&self, job: &str) -> Result<u64> {
        let pool = self.unshared(job, &[]).await?;
        if pool.is_empty() {
            return Ok(0);
        }
        let (files, bytes) = (pool.len(), pool.values().sum());
        self.bucket.delete(pool.into_keys().collect()).await?;
        tracing::info!(files, bytes, "what no snapshot shares any more is removed");
        Ok(bytes)
    }

    /// What lies in a job's pool and no snapshot refers to but, it may be, those `without` which the archive would be; with its
    /// size.
    pub(super) async fn unshared(
        &self,
        job: &str,
        without: &[Name],
    ) -> Result<HashMap<String, u64>> {
        let mut pool: HashMap<String, u64> = (self.bucket.list(&pool(job)).await?.into_iter())
            .filter(|object| is_pooled(&object.path, job))
            .map(|object| (object.path, object.size))
            .collect();
        if pool.is_empty() {
            return Ok(pool);
        }
        let names = self.names_of(job).await?;
        let kept: Vec<Name> = (names.iter())
            .filter(|name| !without.contains(name))
            .cloned()
            .collect();
        let Referred::Known(dead) = self.leave(&kept, &mut pool).await? else {
            return Ok(HashMap::new());
        };
        if pool.is_empty() || !self.is_still_so(job, &names, &dead).await? {
            return Ok(HashMap::new());
        }
        Ok(pool)
    }

    /// The manifest of the newest good snapshot of a series.
    pub async fn newest_of(&self, series: &Series) -> Result<Option<Manifest>> {
        for name in self.names_of(&series.job).await? {
            if let Folder::Good(manifest, _) = self.read(&name).await?
                && Series::of(&manifest) == *series
            {
                return Ok(Some(*manifest));
            }
        }
        Ok(None)
    }

    /// Removes what a push has put into the pool, of a snapshot that never was one.
    pub async fn empty_pool_of(&self, name: &Name) -> Result<()> {
        let folder = pool_of(&name.job, &name.id);
        let objects = self.bucket.list(&folder).await?.into_iter();
        let paths = objects.map(|object| object.path);
        let own: Vec<String> = paths.filter(|path| is_pooled(path, &name.job)).collect();
        self.bucket.clear_uploads(&folder).await?;
        if own.is_empty() {
            return Ok(());
        }
        self.bucket.delete(own).await
    }

    /// Newest first.
    async fn names_of(&self, job: &str) -> Result<Vec<Name>> {
        let mut names = self.names().await?;
        names.retain(|name| name.job == job);
        Ok(names)
    }

    /// Leaves in the pool's list what none of these snapshots refers to.
    async fn leave(&self, names: &[Name], pool: &mut HashMap<String, u64>) -> Result<Referred> {
        let mut dead = Vec::new();
        // One at a time: they may be large.
        let _alone = self.large.lock().await;
        for name in names {
            match self.read(name).await? {
                Folder::Good(manifest, _) => {
                    for file in manifest.files().filter(|file| file.pool) {
                        pool.remove(&file.path);
                    }
                }
                Folder::Unfinished if self.is_abandoned(name).await? => dead.push(name.clone()),
                Folder::Unfinished => {
                    tracing::debug!(snapshot = %name, "is being written: nothing of the pool is removed");
                    return Ok(Referred::Unknown);
                }
                Folder::Flawed(flaw) => {
                    tracing::warn!(snapshot = %name, %flaw, "nothing of the pool is removed: it cannot be said what this snapshot shares");
                    return Ok(Referred::Unknown);
                }
            }
        }
        Ok(Referred::Known(dead))
    }

    /// Whether no snapshot was begun meanwhile, and none that was taken for dead has been finished.
    async fn is_still_so(&self, job: &str, then: &[Name], dead: &[Name]) -> Result<bool> {
        if (self.names_of(job).await?.iter()).any(|name| !then.contains(name)) {
            return Ok(false);
        }
        for name in dead {
            if self.bucket.has(&format!("{name}/{MANIFEST}")).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
