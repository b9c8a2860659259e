//! A pull: the dump that is wanted. Its definitions are made on the target's server, and then it is a source like any.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::OnceCell;

use super::choose::{Dump, Dumps};
use super::gzip;
use super::name;
use crate::archive::bucket::Bucket;
use crate::config::archive::Archive;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::dump::DumpFile;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Context, Deferred, Digest, InOrder, Native, Part, Prospect,
    ReadBatches, Shapes, Survey, Taker,
};

/// How often it is said how far it is.
const EVERY: Duration = Duration::from_secs(60);

/// A dump that is read.
pub(in crate::archive) struct Source {
    bucket: Bucket,
    file: Arc<File>,
    task: Task,
    context: Context,
    /// From `begin` on.
    begun: OnceCell<Box<dyn store::Source>>,
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
            file: Arc::new(File { dumps, dump }),
            task: task.clone(),
            context: context.clone(),
            begun: OnceCell::new(),
        })
    }

    fn begun(&self) -> Result<&dyn store::Source> {
        match self.begun.get() {
            Some(begun) => Ok(&**begun),
            None => Err(Error::new(
                Kind::Internal,
                "a dump was asked before it was begun",
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
        self.begun()?.survey(taker).await
    }

    async fn pin(&self) -> Result<()> {
        self.begun()?.pin().await
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        self.begun()?.read(part).await
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        self.begun()?.count(part).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.begun()?.catalogue().await
    }

    async fn digest(&self) -> Result<Digest> {
        self.begun()?.digest().await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        self.begun()?.checksum(part).await
    }

    async fn lost(&self) -> Error {
        loop {
            if let Some(begun) = self.begun.get() {
                return begun.lost().await;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn close(&self) {
        if let Some(begun) = self.begun.get() {
            begun.close().await;
        }
        self.bucket.settle().await;
    }

    fn batches(&self) -> Option<&dyn ReadBatches> {
        self.begun.get()?.batches()
    }

    fn shapes(&self) -> Option<&dyn Shapes> {
        self.begun.get()?.shapes()
    }

    fn in_order(&self) -> Option<&dyn InOrder> {
        self.begun.get()?.in_order()
    }

    fn deferred(&self) -> Option<&dyn Deferred> {
        Some(self)
    }

    fn native(&self) -> Native<'_> {
        match self.begun.get() {
            Some(begun) => begun.native(),
            None => Native::none(),
        }
    }
}

#[async_trait]
impl Deferred for Source {
    fn prospect(&self) -> Prospect {
        Prospect {
            name: self.file.dump.name.clone(),
            bytes: self.file.dump.size,
        }
    }

    async fn begin(&self) -> Result<()> {
        tracing::info!(
            dump = self.file.dump.name,
            taken_at = %self.file.dump.at,
            bytes = self.file.dump.size,
            "pulling; the dump does not say what environment it is of: the job's `from` is believed"
        );
        let begun = store::registry::dumps(self.task.kind)?
            .restore(&self.task, &self.context, self.file.clone())
            .await?;
        if self.begun.set(begun).is_err() {
            return Err(Error::new(Kind::Internal, "a dump was begun twice"));
        }
        Ok(())
    }
}

/// Where a dump is.
struct File {
    dumps: Dumps,
    dump: Dump,
}

#[async_trait]
impl DumpFile for File {
    fn name(&self) -> &str {
        &self.dump.name
    }

    async fn open(&self) -> Result<store::dump::Dump> {
        let file = self.dumps.read(&self.dump).await?;
        gzip::unzipped(told(file, &self.dump), &self.dump.name).await
    }
}

/// Says now and then how much of a file has been read.
fn told(file: store::dump::Dump, dump: &Dump) -> store::dump::Dump {
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
