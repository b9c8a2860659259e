//! A push: what is written is no snapshot until its manifest is, which comes last.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::Utc;
use futures_util::TryStreamExt;
use tracing::Instrument;

use super::Secrets;
use super::bucket::Bucket;
use super::draft::{AT_ONCE, Draft, SMALL, stored};
use super::files;
use super::layout;
use super::manifest::Stored;
use super::manual_restore;
use super::pool::{Digests, Of};
use super::shapes;
use crate::config::archive::Retention;
use crate::config::job::StoreKind;
use crate::error::{Error, Kind, Result};
use crate::policy::{Environment, Identity};
use crate::store::room::Room;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Complete, Context, Incoming, Part, Published, RecordSource,
    SourceRecord, Survey, Taker,
};
use crate::sync::Mutex;

/// An archive that is written.
pub struct Target(Arc<Draft>);

impl Target {
    /// An archive that `origin`'s data goes to. Nothing is written yet.
    pub(super) fn new(
        bucket: Bucket,
        context: &Context,
        kind: StoreKind,
        origin: &Environment,
        retention: Retention,
        secrets: Secrets,
    ) -> Result<Self> {
        let driver = store::registry::driver(kind)?;
        Ok(Self(Arc::new(Draft {
            digests: Digests::of(&secrets).filter(|_| driver.shares_parts()),
            bucket,
            context: context.clone(),
            driver,
            origin: origin.clone(),
            retention,
            secrets,
            began: Utc::now(),
            state: Mutex::default(),
            small: tokio::sync::Mutex::default(),
            pen: tokio::sync::Mutex::default(),
        })))
    }
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        let (place, job) = (self.0.bucket.place(), &self.0.context.claim.job);
        Ok(Identity {
            thing: None,
            // Jobs may share an archive: each has snapshots of its own.
            place: format!("archive {place} {job}"),
        })
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(Vec::new())
    }

    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Archive)
    }

    async fn room(&self) -> Option<Room> {
        self.0.bucket.room()
    }

    async fn lock(&self) -> Result<()> {
        // A run's id is in its snapshot's name: two pushes never meet, wherever they run.
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        let claim = &self.0.context.claim;
        match self.0.snapshots().sweep(claim).await {
            // What dead runs left stands in nobody's way.
            Err(error) if error.kind() == Kind::Permission => {
                tracing::warn!(%error, "what runs that died have left in the archive stays there");
                Ok(Vec::new())
            }
            swept => swept,
        }
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let kind = self.0.driver.kind();
        if survey.server.kind == kind {
            return survey.definitions.refuse_gaps();
        }
        Err(Error::new(
            Kind::Internal,
            format!("{} data for an archive of {kind}", survey.server.kind),
        ))
    }

    async fn look_at_script(&self, file: &Path, _text: &str) -> Result<()> {
        Err(no_scripts(file))
    }

    async fn prepare(&self, survey: &Survey) -> Result<Arc<dyn Incoming>> {
        let draft = &self.0;
        // A run may be prepared twice.
        draft.lay_down_pen().await;
        let (snapshots, name) = (draft.snapshots(), draft.name());
        let pen = snapshots.begin(&name, &draft.context.claim, draft.began);
        *draft.pen.lock().await = Some(pen.await?);
        draft.state().begun = true;
        draft.look_back().await?;
        Ok(Arc::new(Snapshot {
            draft: draft.clone(),
            survey: survey.clone(),
        }))
    }

    async fn discard(&self) -> Result<()> {
        let draft = &self.0;
        let begun = {
            let state = draft.state();
            state.begun && !state.published
        };
        if begun {
            draft.small.lock().await.shutdown().await;
            // Workers that were stopped have pieces under way; and one may have been about to begin another.
            for _ in 0..2 {
                draft.bucket.settle().await;
                draft.remove().await?;
            }
        }
        Ok(())
    }

    async fn rollback(&self) -> Result<()> {
        Err(Error::new(
            Kind::Config,
            "an archive has no previous: its snapshots stay as they are",
        )
        .hint("pull an older snapshot with `snapshot = \"NAME\"` or `at = TIME`"))
    }

    async fn close(&self) {
        self.0.bucket.settle().await;
    }
}

fn no_scripts(file: &Path) -> Error {
    Error::new(
        Kind::Config,
        format!("{} cannot run on an archive", file.display()),
    )
    .hint("give the script to the job that pulls")
}

/// A snapshot without its manifest.
struct Snapshot {
    draft: Arc<Draft>,
    survey: Survey,
}

impl Snapshot {
    /// The digest of what is known of a part without reading it.
    fn likeness(&self, part: &Part) -> Option<String> {
        let digests = self.draft.digests.as_ref()?;
        let likeness = self.survey.definitions.likeness(part)?;
        Some(digests.digest(Of::Likeness, &likeness))
    }
}

#[async_trait]
impl Incoming for Snapshot {
    async fn has(&self, part: &Part) -> Result<Option<(u64, u64)>> {
        let draft = &self.draft;
        let Some(likeness) = self.likeness(part) else {
            return Ok(None);
        };
        let known = Arc::clone(&draft.state().known);
        let Some(stored) = known.take(Of::Likeness, &likeness) else {
            return Ok(None);
        };
        let (rows, bytes) = (stored.rows, stored.bytes);
        draft.share(Stored {
            part: part.clone(),
            checksum: None,
            ..stored
        });
        Ok(Some((rows, bytes)))
    }

    async fn write(&self, part: &Part, mut chunks: Chunks) -> Result<u64> {
        let draft = &self.draft;
        let codec = store::registry::codec(draft.driver.kind(), part)?;
        let (id, label) = (part.id, part.label());
        let ending = files::ending(draft.secrets.recipients.is_some());
        let ending = format!("{}.{ending}", codec.file_ending());
        let known = Arc::clone(&draft.state().known);
        let mut writer = if draft.digests.is_some() {
            draft.pool_writer(part, &ending, known.is_any())
        } else {
            let label = label.clone();
            draft.writer(move |number| layout::rows(id, &label, number, &ending))
        };
        let mut hash = blake3::Hasher::new();
        let mut encoder = codec.encoder(part)?;
        let mut plain = BytesMut::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(chunk) = chunks.try_next().await? {
            rows += chunk.rows;
            bytes += chunk.data.len() as u64;
            encoder.feed(&chunk.data, &mut plain)?;
            if draft.digests.is_some() {
                hash.update(&plain);
            }
            writer
                .write(&plain)
                .await
                .map_err(|error| error.within(format!("writing {label}")))?;
            plain.clear();
        }
        encoder.end(&mut plain)?;
        writer.write(&plain).await?;
        let digests = draft.digests.as_ref();
        let content = digests.map(|digests| {
            hash.update(&plain);
            digests.digest(Of::Content, hash.finalize().as_bytes())
        });
        let marks = (content, self.likeness(part));
        if let Some(content) = &marks.0
            && let Some(found) = known.take(Of::Content, content)
        {
            let bytes = writer.abandon().await?;
            draft.share(Stored {
                part: part.clone(),
                rows,
                bytes,
                files: found.files,
                checksum: None,
                content: marks.0,
                likeness: marks.1,
            });
            return Ok(rows);
        }
        let stored = stored(part.clone(), rows, writer, marks);
        if bytes < SMALL {
            let mut small = draft.small.lock().await;
            while small.len() >= AT_ONCE {
                draft.land(&mut small).await?;
            }
            small.spawn(stored.in_current_span());
        } else {
            let stored = stored.await?;
            draft.state().add(stored);
        }
        Ok(rows)
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        let (draft, survey) = (self.draft.clone(), self.survey.clone());
        let mut small = draft.small.lock().await;
        while !small.is_empty() {
            draft.land(&mut small).await?;
        }
        drop(small);
        for script in survey.definitions.scripts()? {
            let name = format!("{}.sql", script.name);
            draft.put_away(&name, script.text.as_bytes()).await?;
        }
        if let Some(script) = draft.manual_restore(&survey)? {
            let name = manual_restore::NAME;
            draft.put_away(name, script.as_bytes()).await?;
        }
        let definitions = survey.definitions.to_json()?;
        draft.put_away(layout::DEFINITIONS, &definitions).await?;
        Ok(Box::new(Whole {
            draft,
            survey,
            catalogue: OnceLock::new(),
        }))
    }
}

/// A snapshot that lacks nothing but its manifest.
struct Whole {
    draft: Arc<Draft>,
    survey: Survey,
    /// The source's.
    catalogue: OnceLock<Catalogue>,
}

#[async_trait]
impl Complete for Whole {
    async fn count(&self, part: &Part) -> Result<u64> {
        let state = self.draft.state();
        Ok(state.of(part).map(|stored| stored.rows).sum())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(self.catalogue.get().cloned().unwrap_or_default())
    }

    /// What the source said, once all that was written was read back and found as it was sent.
    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let draft = &self.draft;
        let (slices, sum) = {
            let state = draft.state();
            let slices: Vec<Stored> = state.of(part).cloned().collect();
            (slices, state.sums.get(&part.id).cloned())
        };
        for file in slices.iter().flat_map(|stored| &stored.files) {
            files::blocks(&draft.bucket, &draft.folder(), file)
                .try_for_each(|_| async { Ok(()) })
                .await?;
        }
        sum.ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("the source gave no checksum of {}", part.label()),
            )
        })
    }

    async fn run_script(&self, file: &Path, _text: &str) -> Result<()> {
        Err(no_scripts(file))
    }

    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>> {
        let draft = self.draft;
        let manifest = draft.manifest(&self.survey)?;
        draft.check_files(&manifest).await?;
        let json: Bytes = manifest.to_json()?.into();
        let folder = draft.folder();
        if let Some(key) = &draft.secrets.key {
            let mac = Bytes::from(key.mac(&json));
            let path = format!("{folder}/{}", layout::MAC);
            draft.bucket.put(&path, mac).await?;
        }
        let path = format!("{folder}/{}", layout::MANIFEST);
        draft.bucket.put(&path, json).await?;
        draft.check_shared(&manifest).await?;
        let (parts, bytes) = {
            let mut state = draft.state();
            state.published = true;
            state.shared
        };
        if parts > 0 {
            tracing::info!(
                parts,
                bytes,
                "what has not changed is shared with the snapshot before"
            );
        }
        tracing::info!(snapshot = folder, "the snapshot is complete");
        Ok(Box::new(PublishedSnapshot(draft)))
    }

    fn records(&self) -> Option<&dyn RecordSource> {
        Some(self)
    }
}

#[async_trait]
impl RecordSource for Whole {
    async fn record(&self, said: SourceRecord) -> Result<()> {
        let catalogue = said.catalogue;
        let json = serde_json::to_vec(&catalogue).map_err(|error| {
            Error::new(Kind::Internal, "the catalogue cannot be written").because(error)
        })?;
        self.draft.put_away(layout::CATALOGUE, &json).await?;
        let shapes = shapes::to_json(said.shapes)?;
        self.draft.put_away(layout::SHAPES, &shapes).await?;
        let mut state = self.draft.state();
        let sums = said.sums.into_iter();
        state.sums = sums.map(|(part, sum)| (part.id, sum)).collect();
        state.masking = said.masking;
        drop(state);
        self.catalogue
            .set(catalogue)
            .map_err(|_| Error::new(Kind::Internal, "a snapshot was recorded twice"))
    }
}

/// A snapshot that has its manifest.
struct PublishedSnapshot(Arc<Draft>);

#[async_trait]
impl Published for PublishedSnapshot {
    async fn revert(&self) -> Result<()> {
        self.0.revert().await
    }

    async fn settle(&self) -> Result<()> {
        let draft = &self.0;
        draft.lay_down_pen().await;
        let note = format!("{}/{}", draft.folder(), layout::WRITER);
        let noted = draft.bucket.delete(vec![note]).await;
        // The snapshot is complete: nothing from here on makes it less so.
        if !draft.retention.is_any() {
            match noted {
                Ok(()) => {}
                // Who may only add to an archive.
                Err(error) if error.kind() == Kind::Permission => {
                    tracing::info!(%error, "the snapshot's writer.json stays; it does no harm");
                }
                Err(error) => {
                    tracing::warn!(%error, "the snapshot's writer.json stays; it does no harm");
                }
            }
            return Ok(());
        }
        if let Err(error) = draft.let_go(noted).await {
            tracing::warn!(
                %error,
                "the snapshot is complete, but older ones that retention lets go could not be removed"
            );
        }
        Ok(())
    }
}
