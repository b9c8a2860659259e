//! Copies a snapshot into another archive, a directory say, where it is the same snapshot.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::read::{self, Watch};
use super::{Chosen, LONGEST_MAC, Mark, Snapshots};
use crate::archive::bucket::Bucket;
use crate::archive::layout::{MAC, MANIFEST, Name, is_own};
use crate::archive::manifest::File;
use crate::error::{Error, Kind, Result};
use crate::store::Claim;

impl Snapshots {
    /// Copies a snapshot into the archive `to`, several files at once, each held block by block against the manifest
    /// while it is written, and the manifest last: until then there is no snapshot. After a failure, or `cancel`,
    /// [`Snapshots::forget`] clears away what was written.
    pub async fn fetch(
        &self,
        chosen: &Chosen,
        to: &Bucket,
        reader: &Claim,
        watch: Arc<dyn Watch>,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let name = &chosen.name;
        let manifest = format!("{name}/{MANIFEST}");
        if to.has(&manifest).await? {
            return Err(Error::new(
                Kind::Usage,
                format!("snapshot {name} is in {} already", to.place()),
            )
            .hint("remove it there first, or fetch it into another directory"));
        }
        // What an interrupted fetch has left is written anew; nothing else is.
        let folder = format!("{name}/");
        let there = to.list(&name.to_string()).await?;
        if let Some(other) = there
            .iter()
            .find(|object| !object.path.strip_prefix(&folder).is_some_and(is_own))
        {
            return Err(Error::new(
                Kind::Usage,
                format!("{} in {} is not part of a snapshot", other.path, to.place()),
            )
            .hint("move it away, or fetch into another directory"));
        }
        let mark = Mark::keep(&self.bucket, &name.to_string(), reader)?;
        let copied = self.copy(chosen, to, watch, cancel).await;
        mark.remove().await;
        copied
    }

    async fn copy(
        &self,
        chosen: &Chosen,
        to: &Bucket,
        watch: Arc<dyn Watch>,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let name = &chosen.name;
        watch.expect(chosen.manifest.size());
        let files: Vec<_> = chosen.manifest.files().cloned().collect();
        let read = read::each(files, cancel, |file, stop| {
            let (from, to, name) = (self.bucket.clone(), to.clone(), name.clone());
            let watch = Arc::clone(&watch);
            async move {
                let path = file.place(&name.to_string());
                if file.pool && has(&to, &name, &file, &stop).await? {
                    watch.add(file.size);
                    return Ok(());
                }
                let mut upload = to.upload(&path).await?;
                match read::checked(&from, &name, &file, Some(&mut upload), &*watch, &stop).await? {
                    Ok(()) => upload.finish().await.map(drop),
                    Err(fault) => Err(Error::new(
                        Kind::Verify,
                        format!("snapshot {name} is damaged: {}: {fault}", file.path),
                    )
                    .hint("`envsyncd snapshots verify` shows all that is wrong with it")),
                }
            }
        });
        read.await?;
        if let Some(mac) = self
            .bucket
            .get(&format!("{name}/{MAC}"), LONGEST_MAC)
            .await?
        {
            to.put(&format!("{name}/{MAC}"), mac).await?;
        }
        to.put(&format!("{name}/{MANIFEST}"), Bytes::clone(&chosen.json))
            .await
    }

    /// Removes what an interrupted [`Snapshots::fetch`] has written, but for what other snapshots there may share.
    pub async fn forget(&self, chosen: &Chosen, to: &Bucket) -> Result<()> {
        let folder = chosen.name.to_string();
        let objects = to.list(&folder).await?;
        let own = objects
            .into_iter()
            .map(|object| object.path)
            .filter(|path| path.strip_prefix(&format!("{folder}/")).is_some_and(is_own));
        to.delete(own.collect()).await?;
        to.clear_uploads(&folder).await?;
        let there = Self::new(to.clone(), self.key.clone());
        there.collect(&chosen.name.job).await.map(drop)
    }
}

/// Whether an archive has a file of a pool already, from another snapshot, and it is good.
async fn has(to: &Bucket, name: &Name, file: &File, stop: &CancellationToken) -> Result<bool> {
    if !to.has(&file.path).await? {
        return Ok(false);
    }
    let read = read::checked(to, name, file, None, &(), stop).await?;
    Ok(read.is_ok())
}
