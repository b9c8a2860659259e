//! A push: a dump by the store's own tool, which is there when it is whole, and pointed at afterwards.

use std::collections::HashMap;
use std::path::Path;
use std::sync::MutexGuard;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::choose::LONGEST_POINTER;
use super::gzip;
use super::name::{self, Name};
use crate::archive::bucket::{Bucket, Upload};
use crate::config::ArchiveUrl;
use crate::config::archive::Archive;
use crate::config::job::{Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Context, Encoding, Meter, Part, Server, Survey, dump,
};
use crate::sync::Mutex;

/// What an interrupted upload leaves in a bucket is another host's, perhaps, for so long.
const ABANDONED: TimeDelta = TimeDelta::days(1);

/// An archive of dumps that is written.
pub(in crate::archive) struct Target {
    bucket: Bucket,
    task: Task,
    context: Context,
    database: String,
    began: DateTime<Utc>,
    state: Mutex<State>,
}

/// What there is so far.
#[derive(Default)]
struct State {
    /// The dump, all of it, before it has its name.
    upload: Option<Upload>,
    catalogue: Option<Catalogue>,
    rows: HashMap<usize, u64>,
    published: Option<Published>,
}

/// What a publish has changed.
struct Published {
    /// What was pointed at before.
    pointer: Option<Bytes>,
}

impl Target {
    /// An archive that the task's source is dumped to. Nothing is written yet.
    pub(in crate::archive) fn new(
        bucket: Bucket,
        archive: &Archive,
        task: &Task,
        context: &Context,
    ) -> Result<Self> {
        Ok(Self {
            database: name::database(archive, &task.source)?,
            bucket,
            task: task.clone(),
            context: context.clone(),
            began: Utc::now(),
            state: Mutex::default(),
        })
    }

    fn file(&self) -> String {
        Name::new(self.began, &self.database).to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// As others write it: the file's path in the bucket.
    fn pointing(&self) -> String {
        match ArchiveUrl::parse(&self.task.target.url) {
            Some(ArchiveUrl::Bucket { prefix, .. }) if !prefix.is_empty() => {
                format!("{prefix}/{}", self.file())
            }
            _ => self.file(),
        }
    }

    /// Streams a dump into the archive.
    async fn send(&self, bytes: dump::Dump) -> Result<()> {
        let mut bytes = if dump::is_zipped(self.task.kind) {
            gzip::zipped(bytes)
        } else {
            bytes
        };
        let mut upload = self.bucket.upload(&self.file()).await?;
        let mut length = 0;
        while let Some(some) = bytes.try_next().await? {
            length += some.len();
            upload.write(some).await?;
        }
        if length == 0 {
            return Err(Error::new(Kind::Verify, "the dump is empty"));
        }
        self.state().upload = Some(upload);
        Ok(())
    }

    /// The source's own rows of each part.
    async fn counts(&self, source: &dyn store::Source, parts: &[Part]) -> Result<Vec<u64>> {
        if self.task.verify == Verify::None || !dump::is_of_the_survey(self.task.kind) {
            return Ok(Vec::new());
        }
        stream::iter((0..parts.len()).map(|place| source.count(&parts[place])))
            .buffered(self.context.workers)
            .try_collect()
            .await
    }

    async fn remove(&self, published: &Published) -> Result<()> {
        let pointer = name::pointer(&self.database);
        match &published.pointer {
            Some(before) => self.bucket.put(&pointer, before.clone()).await?,
            None => self.bucket.delete(vec![pointer]).await?,
        }
        self.bucket.delete(vec![self.file()]).await
    }
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        Ok(Identity {
            thing: None,
            // Databases may share an archive.
            place: format!("archive {} {}", self.bucket.place(), self.database),
        })
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(Vec::new())
    }

    async fn server(&self) -> Result<Server> {
        Ok(Server::archive(self.task.kind))
    }

    async fn lock(&self) -> Result<()> {
        // Two dumps have two names; the pointer is written in one step.
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        let database = self.database.clone();
        let before = Utc::now() - ABANDONED;
        self.bucket
            .clear_interrupted(&move |file, is_here| {
                Name::parse(file).is_some_and(|name| {
                    // In a directory, a lock says whether somebody is at it.
                    name.database == database && (is_here || name.at < before)
                })
            })
            .await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        if survey.server.kind == self.task.kind {
            return Ok(());
        }
        Err(Error::new(
            Kind::Internal,
            format!(
                "{} data for dumps of {}",
                survey.server.kind, self.task.kind
            ),
        ))
    }

    async fn prepare(&self, _survey: &Survey) -> Result<()> {
        let file = self.file();
        if self
            .bucket
            .files()
            .await?
            .iter()
            .any(|object| object.path == file)
        {
            return Err(Error::new(
                Kind::Busy,
                format!("there is a {file} in {} already", self.bucket.place()),
            )
            .hint("somebody else dumps this database at the same time: leave it to one of you"));
        }
        Ok(())
    }

    async fn adopt(
        &self,
        source: &dyn store::Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        let dumping = dump::dump(&self.task, &self.context, source, survey).await?;
        let rows = dumping.rows.clone();
        let parts = survey.whole();
        let ((), counts) = tokio::try_join!(self.send(dumping.bytes), self.counts(source, &parts))?;
        let rows = rows.lock().expect("no one panics with this lock").clone();
        hold(&parts, &counts, &rows)?;
        for part in &parts {
            let counted = rows.get(&part.label()).copied().unwrap_or(part.rows);
            meter.add(part, counted, part.bytes);
            self.state().rows.insert(part.id, counted);
        }
        Ok(true)
    }

    async fn write(&self, part: &Part, _chunks: Chunks) -> Result<u64> {
        Err(Error::new(
            Kind::Internal,
            format!("a dump takes no rows of {} alone", part.label()),
        ))
    }

    async fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn takes_notes(&self) -> bool {
        true
    }

    /// What is in a dump is the tool's own affair: only its rows are counted.
    async fn note(&self, catalogue: Catalogue, _sums: Vec<(Part, Checksum)>) -> Result<()> {
        self.state().catalogue = Some(catalogue);
        Ok(())
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        Ok(self.state().rows.get(&part.id).copied().unwrap_or_default())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(self.state().catalogue.clone().unwrap_or_default())
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        Err(Error::new(
            Kind::Internal,
            format!("a dump has no checksum of {}", part.label()),
        ))
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        self.run_script(file, text).await
    }

    async fn run_script(&self, file: &Path, _text: &str) -> Result<()> {
        Err(Error::new(
            Kind::Config,
            format!("{} cannot run on a dump", file.display()),
        )
        .hint("give the script to the job that pulls"))
    }

    async fn derive(&self) -> Result<()> {
        Ok(())
    }

    async fn publish(&self) -> Result<()> {
        let pointer = name::pointer(&self.database);
        let before = self.bucket.get(&pointer, LONGEST_POINTER).await?;
        let upload = self.state().upload.take();
        let upload =
            upload.ok_or_else(|| Error::new(Kind::Internal, "there is no dump to publish"))?;
        let bytes = upload.finish().await?;
        let published = Published { pointer: before };
        let pointed = self.bucket.put(&pointer, self.pointing().into()).await;
        if let Err(error) = pointed {
            let error = error.within(format!("{pointer} cannot be written"));
            // Who looks for the newest would find a dump that the run says it has not made.
            return Err(match self.remove(&published).await {
                Ok(()) => error,
                Err(other) => Error::new(
                    Kind::AfterPublish,
                    format!("{error}; and {} is there: {other}", self.file()),
                ),
            });
        }
        self.state().published = Some(published);
        tracing::info!(dump = self.file(), bytes, "the dump is complete");
        Ok(())
    }

    async fn confirm(&self) -> Result<()> {
        Ok(())
    }

    async fn revert(&self) -> Result<()> {
        let published = self.state().published.take();
        match published {
            Some(published) => self.remove(&published).await,
            None => Ok(()),
        }
    }

    async fn settle(&self) -> Result<()> {
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        let upload = self.state().upload.take();
        drop(upload);
        self.bucket.settle().await;
        Ok(())
    }

    async fn rollback(&self) -> Result<()> {
        Err(Error::new(
            Kind::Config,
            "an archive has no previous: its dumps stay as they are",
        )
        .hint("pull an older dump with `snapshot = \"FILE\"` or `at = TIME`"))
    }

    async fn close(&self) {
        self.bucket.settle().await;
    }
}

/// Holds what is in the dump against what is in the source.
fn hold(parts: &[Part], counts: &[u64], rows: &HashMap<String, u64>) -> Result<()> {
    let mut uncounted = 0;
    for (part, count) in parts.iter().zip(counts) {
        match rows.get(&part.label()) {
            Some(rows) if rows == count => {}
            Some(rows) => {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "{}: the source has {count} rows and the dump has {rows}",
                        part.label()
                    ),
                ));
            }
            None if part.encoding == Encoding::LargeObjects => {}
            None => uncounted += 1,
        }
    }
    if uncounted > 0 {
        tracing::warn!(
            tables = uncounted,
            "rows of these could not be counted in the dump, and are held against nothing"
        );
    }
    Ok(())
}
