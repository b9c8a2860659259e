//! An archive: a stored export in a directory or a bucket. It is a source and a target like any store, so push, pull and
//! sync are one engine.
//!
//! A snapshot is a folder; `layout` names what is in it, `manifest` says what it is. Rows lie in files that the store's own
//! tools read (`store::Codec`), compressed and hashed block by block (`write`, `files`), in a directory or a bucket (`bucket`).
//! What has not changed may be shared by the snapshots of a job (`pool`).

pub mod bucket;
pub mod crypt;
mod draft;
pub mod files;
#[cfg(test)]
mod fuzz;
pub mod govuk;
pub mod layout;
pub mod mac;
pub mod manifest;
mod manual_restore;
mod pool;
pub mod retention;
mod rows;
mod secrets;
mod shapes;
pub mod snapshots;
mod source;
mod target;
mod write;

use self::bucket::Bucket;
pub use self::secrets::Secrets;
use self::snapshots::{Snapshots, Which};
pub use self::source::Source;
pub use self::target::Target;
use crate::config::archive::{Archive, Format};
use crate::config::job::{Endpoint, Task};
use crate::error::Result;
use crate::policy::Environment;
use crate::store::{self, Context};

/// Opens a task's source: an archive, or a store's.
pub async fn open_source(task: &Task, context: &Context) -> Result<Box<dyn store::Source>> {
    let Some(archive) = &task.source.archive else {
        return store::registry::open_source(task, context).await;
    };
    let (bucket, secrets) = open(&task.source, archive, context).await?;
    if archive.format != Format::Envsyncd {
        let source = govuk::Source::open(bucket, archive, task, context).await?;
        return Ok(Box::new(source));
    }
    let which = Which {
        job: archive.job.as_deref(),
        // With it only the newest that fits is read, and not the manifests of all.
        kind: Some(task.kind),
        ..Which::default()
    };
    let chosen = Snapshots::new(bucket.clone(), secrets.key.clone())
        .choose(&archive.snapshot, &which)
        .await?;
    for (name, flaw) in &chosen.passed_over {
        tracing::warn!(snapshot = %name, %flaw, "a newer snapshot cannot be used and is passed over");
    }
    let source = Source::new(bucket, context, task, chosen.manifest, secrets)?;
    Ok(Box::new(source))
}

/// Opens a task's target, for data of `origin`: an archive, or a store's.
pub async fn open_target(
    task: &Task,
    origin: &Environment,
    context: &Context,
) -> Result<Box<dyn store::Target>> {
    let Some(archive) = &task.target.archive else {
        return store::registry::open_target(task, context).await;
    };
    let (bucket, secrets) = open(&task.target, archive, context).await?;
    if archive.format != Format::Envsyncd {
        let target = govuk::Target::new(bucket, archive, task, context)?;
        return Ok(Box::new(target));
    }
    let target = Target::new(
        bucket,
        context,
        task.kind,
        origin,
        archive.retention,
        secrets,
    )?;
    Ok(Box::new(target))
}

async fn open(
    endpoint: &Endpoint,
    archive: &Archive,
    context: &Context,
) -> Result<(Bucket, Secrets)> {
    let bucket = Bucket::open(endpoint, &context.lookup).await?;
    Ok((bucket, Secrets::of(archive, &context.lookup).await?))
}
