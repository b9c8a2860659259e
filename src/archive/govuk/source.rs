//! A pull: the dump that is wanted, restored by the store's own tool on the target's server, and then a source like any.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::OnceCell;

use super::choose::{Dump, Dumps};
use super::gzip;
use super::name;
use crate::archive::bucket::Bucket;
use crate::config::archive::Archive;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Context, Deferred, Digest, Native, Part, Prospect,
    ReadBatches, Survey, Taker,
};

/// How often it is said how far it is.
const EVERY: Duration = Duration::from_secs(60);

/// A dump that is restored.
pub(in crate::archive) struct Source {
    bucket: Bucket,
    dumps: Dumps,
    dump: Dump,
    task: Task,
    context: Context,
    /// From `begin` on.
    restored: OnceCell<Box<dyn store::Source>>,
}

impl Source {
    /// Finds the dump that the task wants.
    pub(in crate::archive) async fn open(
        bucket: Bucket,
        archive: &Archive,
        task: &Task,
        context: &Context,
    ) -> Result<Self> {
        let database = name::database(archive, &task.target)?;
        let dumps = Dumps::new(bucket.clone());
        let dump = dumps.choose(&archive.snapshot, &database).await?;
        Ok(Self {
            bucket,
            dumps,
            dump,
            task: task.clone(),
            context: context.clone(),
            restored: OnceCell::new(),
        })
    }

    fn restored(&self) -> Result<&dyn store::Source> {
        match self.restored.get() {
            Some(restored) => Ok(&**restored),
            None => Err(Error::new(
                Kind::Internal,
                "a dump was asked before it was restored",
            )),
        }
    }
}

#[async_trait]
impl store::Source for Source {
    async fn identity(&self) -> Result<Identity> {
        Ok(Identity {
            thing: None,
            place: format!("archive {}", self.bucket.place()),
        })
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        self.restored()?.survey(taker).await
    }

    async fn pin(&self) -> Result<()> {
        self.restored()?.pin().await
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        self.restored()?.read(part).await
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        self.restored()?.count(part).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.restored()?.catalogue().await
    }

    async fn digest(&self) -> Result<Digest> {
        self.restored()?.digest().await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        self.restored()?.checksum(part).await
    }

    async fn lost(&self) -> Error {
        loop {
            if let Some(restored) = self.restored.get() {
                return restored.lost().await;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn close(&self) {
        if let Some(restored) = self.restored.get() {
            restored.close().await;
        }
        self.bucket.settle().await;
    }

    fn batches(&self) -> Option<&dyn ReadBatches> {
        self.restored.get()?.batches()
    }

    fn deferred(&self) -> Option<&dyn Deferred> {
        Some(self)
    }

    fn native(&self) -> Native<'_> {
        match self.restored.get() {
            Some(restored) => restored.native(),
            None => Native::none(),
        }
    }
}

#[async_trait]
impl Deferred for Source {
    fn prospect(&self) -> Prospect {
        Prospect {
            name: self.dump.name.clone(),
            bytes: self.dump.size,
        }
    }

    async fn begin(&self) -> Result<()> {
        tracing::info!(
            dump = self.dump.name,
            taken_at = %self.dump.at,
            bytes = self.dump.size,
            "pulling; the dump does not say what environment it is of: the job's `from` is believed"
        );
        let file = self.dumps.read(&self.dump).await?;
        let plain = gzip::unzipped(told(file, &self.dump), &self.dump.name).await?;
        let restored = store::registry::dumps(self.task.kind)?
            .restore(&self.task, &self.context, plain, &self.dump.name)
            .await?;
        if self.restored.set(restored).is_err() {
            return Err(Error::new(Kind::Internal, "a dump was restored twice"));
        }
        Ok(())
    }
}

/// Says now and then how much of a file has been read.
fn told(file: BoxStream<'static, Result<Bytes>>, dump: &Dump) -> BoxStream<'static, Result<Bytes>> {
    let (name, size) = (dump.name.clone(), dump.size.max(1));
    let (mut read, mut said) = (0_u64, Instant::now());
    file.inspect(move |bytes| {
        read += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if said.elapsed() >= EVERY {
            said = Instant::now();
            let percent = read.min(size) * 100 / size;
            tracing::info!(dump = name, percent, "reading the dump");
        }
    })
    .boxed()
}
