//! A push: a dump by the store's own tool, which is there when it is whole, and pointed at afterwards.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, MutexGuard, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{SubsecRound, TimeDelta, Utc};
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
    self, Catalogue, Checksum, Chunks, Complete, Context, Dumps, Incoming, Meter, Part, Published,
    RecordSource, SourceRecord, Survey, Taker, Transfer, dump,
};
use crate::sync::Mutex;

/// An interrupted upload that is younger than this may be another host's, and still under way.
const ABANDONED: TimeDelta = TimeDelta::days(1);

/// So many seconds in a row may have a dump each before a push gives way.
const NAMES: usize = 3;

/// An archive of dumps that is written.
pub(in crate::archive) struct Target(Arc<Draft>);

/// The dump that a run writes.
struct Draft {
    bucket: Bucket,
    task: Task,
    dumps: &'static dyn Dumps,
    context: Context,
    database: String,
    state: Mutex<State>,
}

/// The dump as far as it has been written.
#[derive(Default)]
struct State {
    /// Its file's name, from when it is prepared on.
    file: String,
    /// The dump, all of it, before it has its name.
    upload: Option<Upload>,
    rows: HashMap<usize, u64>,
}

impl Target {
    /// An archive that the task's source is dumped to. Nothing is written yet.
    pub(in crate::archive) fn new(
        bucket: Bucket,
        archive: &Archive,
        task: &Task,
        context: &Context,
    ) -> Result<Self> {
        Ok(Self(Arc::new(Draft {
            database: name::database(archive, &task.source)?,
            dumps: store::registry::dumps(task.kind)?,
            bucket,
            task: task.clone(),
            context: context.clone(),
            state: Mutex::default(),
        })))
    }
}

impl Draft {
    fn file(&self) -> String {
        self.state().file.clone()
    }

    /// A name that no dump has: names have no fraction of a second, and a dump of a small database takes less.
    async fn free_name(&self) -> Result<String> {
        let mut began = Utc::now();
        let mut files = self.bucket.files().await?;
        for _ in 0..NAMES {
            let file = Name::new(began, &self.database).to_string();
            if !files.iter().any(|object| object.path == file) {
                return Ok(file);
            }
            let next = began.trunc_subsecs(0) + TimeDelta::seconds(1);
            let until = (next - Utc::now()).to_std().unwrap_or_default();
            tokio::time::sleep(until).await;
            began = Utc::now().max(next);
            files = self.bucket.files().await?;
        }
        let file = Name::new(began, &self.database);
        Err(Error::new(
            Kind::Busy,
            format!("there is a {file} in {} already", self.bucket.place()),
        )
        .hint("somebody else dumps this database again and again: leave it to one of you"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// As others write it: the file's path in the bucket.
    fn pointing(&self) -> String {
        match self.task.target.url.archive() {
            Some(ArchiveUrl::Bucket(url)) if !url.prefix.is_empty() => {
                format!("{}/{}", url.prefix, self.file())
            }
            _ => self.file(),
        }
    }

    /// Streams a dump into the archive.
    async fn send(&self, bytes: dump::Dump) -> Result<()> {
        let mut bytes = if self.dumps.are_zipped() {
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
        if self.task.verify == Verify::None || !self.dumps.are_of_the_survey() {
            return Ok(Vec::new());
        }
        stream::iter((0..parts.len()).map(|place| source.count(&parts[place])))
            .buffered(self.context.workers)
            .try_collect()
            .await
    }

    /// Removes the dump, and points at what was pointed at before.
    async fn remove(&self, pointed_at: Option<&Bytes>) -> Result<()> {
        let pointer = name::pointer(&self.database);
        match pointed_at {
            Some(before) => self.bucket.put(&pointer, before.clone()).await?,
            None => self.bucket.delete(vec![pointer]).await?,
        }
        self.bucket.delete(vec![self.file()]).await
    }
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        let (place, database) = (self.0.bucket.place(), &self.0.database);
        Ok(Identity {
            thing: None,
            // Databases may share an archive.
            place: format!("archive {place} {database}"),
        })
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(Vec::new())
    }

    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Archive)
    }

    async fn lock(&self) -> Result<()> {
        // Two dumps have two names; the pointer is written in one step.
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        let database = self.0.database.clone();
        let before = Utc::now() - ABANDONED;
        self.0
            .bucket
            .clear_interrupted(&move |file, is_here| {
                Name::parse(file).is_some_and(|name| {
                    // In a directory, a lock says whether somebody is at it.
                    name.database == database && (is_here || name.at < before)
                })
            })
            .await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let kind = self.0.task.kind;
        if survey.server.kind == kind {
            return Ok(());
        }
        Err(Error::new(
            Kind::Internal,
            format!("{} data for dumps of {kind}", survey.server.kind),
        ))
    }

    async fn look_at_script(&self, file: &Path, _text: &str) -> Result<()> {
        Err(no_scripts(file))
    }

    async fn prepare(&self, _survey: &Survey) -> Result<Arc<dyn Incoming>> {
        let draft = &self.0;
        let file = draft.free_name().await?;
        draft.state().file = file;
        Ok(Arc::new(IncomingDump(draft.clone())))
    }

    async fn discard(&self) -> Result<()> {
        let upload = self.0.state().upload.take();
        drop(upload);
        self.0.bucket.settle().await;
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
        self.0.bucket.settle().await;
    }
}

fn no_scripts(file: &Path) -> Error {
    Error::new(
        Kind::Config,
        format!("{} cannot run on a dump", file.display()),
    )
    .hint("give the script to the job that pulls")
}

/// A dump that the store's own tool is to write.
struct IncomingDump(Arc<Draft>);

#[async_trait]
impl Incoming for IncomingDump {
    async fn write(&self, part: &Part, _chunks: Chunks) -> Result<u64> {
        Err(Error::new(
            Kind::Internal,
            format!("a dump takes no rows of {} alone", part.label()),
        ))
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        Ok(Box::new(CompleteDump {
            draft: self.0.clone(),
            catalogue: OnceLock::new(),
        }))
    }

    fn transfer(&self) -> Option<&dyn Transfer> {
        Some(self)
    }
}

#[async_trait]
impl Transfer for IncomingDump {
    async fn transfer(
        &self,
        source: &dyn store::Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        let draft = &self.0;
        let dumping = draft
            .dumps
            .dump(&draft.task, &draft.context, source, survey)
            .await?;
        let rows = dumping.rows.clone();
        let parts = survey.whole();
        let ((), counts) =
            tokio::try_join!(draft.send(dumping.bytes), draft.counts(source, &parts))?;
        let rows = rows.lock().clone();
        compare(draft.dumps, &parts, &counts, &rows)?;
        for part in &parts {
            let counted = rows.get(&part.label()).copied().unwrap_or(part.rows);
            meter.add(part, counted, part.bytes);
            draft.state().rows.insert(part.id, counted);
        }
        Ok(true)
    }
}

/// A dump that is whole, and has no name yet.
struct CompleteDump {
    draft: Arc<Draft>,
    /// The source's.
    catalogue: OnceLock<Catalogue>,
}

#[async_trait]
impl Complete for CompleteDump {
    async fn count(&self, part: &Part) -> Result<u64> {
        let state = self.draft.state();
        Ok(state.rows.get(&part.id).copied().unwrap_or_default())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(self.catalogue.get().cloned().unwrap_or_default())
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        Err(Error::new(
            Kind::Internal,
            format!("a dump has no checksum of {}", part.label()),
        ))
    }

    async fn run_script(&self, file: &Path, _text: &str) -> Result<()> {
        Err(no_scripts(file))
    }

    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>> {
        let draft = self.draft;
        let pointer = name::pointer(&draft.database);
        let before = draft.bucket.get(&pointer, LONGEST_POINTER).await?;
        let upload = draft.state().upload.take();
        let upload =
            upload.ok_or_else(|| Error::new(Kind::Internal, "there is no dump to publish"))?;
        let bytes = upload.finish().await?;
        let pointed = draft.bucket.put(&pointer, draft.pointing().into()).await;
        if let Err(error) = pointed {
            let error = error.within(format!("{pointer} cannot be written"));
            // Who looks for the newest would find a dump that the run says it has not made.
            return Err(match draft.remove(before.as_ref()).await {
                Ok(()) => error,
                Err(other) => Error::new(
                    Kind::AfterPublish,
                    format!("{error}; and {} is there: {other}", draft.file()),
                ),
            });
        }
        tracing::info!(dump = draft.file(), bytes, "the dump is complete");
        Ok(Box::new(PublishedDump {
            draft,
            pointed_at: before,
        }))
    }

    fn records(&self) -> Option<&dyn RecordSource> {
        Some(self)
    }
}

#[async_trait]
impl RecordSource for CompleteDump {
    /// What is in a dump is the tool's own affair: only its rows are counted.
    async fn record(&self, said: SourceRecord) -> Result<()> {
        let catalogue = said.catalogue;
        self.catalogue
            .set(catalogue)
            .map_err(|_| Error::new(Kind::Internal, "a dump was recorded twice"))
    }
}

/// A dump that is there, and pointed at.
struct PublishedDump {
    draft: Arc<Draft>,
    /// What was pointed at before.
    pointed_at: Option<Bytes>,
}

#[async_trait]
impl Published for PublishedDump {
    async fn revert(&self) -> Result<()> {
        self.draft.remove(self.pointed_at.as_ref()).await
    }
}

/// Compares what is in the dump with what is in the source.
fn compare(
    dumps: &dyn Dumps,
    parts: &[Part],
    counts: &[u64],
    rows: &HashMap<String, u64>,
) -> Result<()> {
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
            None if !dumps.counts(part) => {}
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
