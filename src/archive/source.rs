//! A pull: a snapshot that says of itself what it is, and is believed nothing that is not checked.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Mutex, OnceCell};

use super::Secrets;
use super::bucket::Bucket;
use super::crypt;
use super::files;
use super::layout;
use super::manifest::{File, Manifest};
use super::rows::Rows;
use super::shapes;
use super::snapshots::Mark;
use crate::config::job::{Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Type};
use crate::policy::{Environment, Identity};
use crate::store::{
    self, Batch, BatchChunk, ByName, Catalogue, Checksum, Chunks, Context, Driver, Form, Part,
    ReadBatches, Restored, Server, Shape, ShapeColumn, Shapes, Survey, Taker,
};

/// So many small tables are fetched at a time, as a bucket may be far away.
const AHEAD: usize = 16;

/// A snapshot that is read.
pub struct Source {
    rows: Arc<Rows>,
    context: Context,
    task: Task,
    driver: &'static dyn Driver,
    secrets: Secrets,
    catalogue: OnceCell<Catalogue>,
    /// What is passed by name in it, once it was surveyed.
    by_name: std::sync::OnceLock<Arc<dyn ByName>>,
    mark: Mutex<Option<Mark>>,
}

impl Source {
    /// A snapshot whose manifest was read and found authentic, for a task of this kind.
    pub(super) fn new(
        bucket: Bucket,
        context: &Context,
        task: &Task,
        manifest: Manifest,
        secrets: Secrets,
    ) -> Result<Self> {
        let (name, kind) = (&manifest.snapshot, task.kind);
        if manifest.kind != kind {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "the snapshot {name} is of {}, and the task's kind is {kind}",
                    manifest.kind
                ),
            )
            .hint("check the archive's URL and the task's `kind`"));
        }
        match (manifest.encryption.as_deref(), &secrets.identity) {
            (None, _) | (Some(crypt::NAME), Some(_)) => {}
            (Some(crypt::NAME), None) => {
                return Err(Error::new(
                    Kind::Config,
                    format!("the snapshot {name} is encrypted, and the task has no `identity`"),
                )
                .hint("give the source `identity = { file = \"PATH\" }`, of one of those that the push encrypted for"));
            }
            (Some(other), _) => {
                return Err(Error::new(
                    Kind::Verify,
                    format!("the snapshot {name} is encrypted with {other}, which is not known"),
                ));
            }
        }
        if manifest.compression != "zstd" {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "the snapshot {name} is compressed with {}, which is not known",
                    manifest.compression
                ),
            ));
        }
        Ok(Self {
            context: context.clone(),
            driver: store::registry::driver(kind)?,
            task: task.clone(),
            rows: Arc::new(Rows::new(bucket, manifest, secrets.identity.as_ref())),
            secrets,
            catalogue: OnceCell::new(),
            by_name: std::sync::OnceLock::new(),
            mark: Mutex::default(),
        })
    }

    fn manifest(&self) -> &Manifest {
        &self.rows.manifest
    }

    fn server(&self) -> Server {
        Server {
            kind: self.task.kind,
            version: self.manifest().server_version.clone(),
            major: self.manifest().server_major,
        }
    }

    /// A small stream under `definitions/`.
    async fn definition(&self, name: &str) -> Result<Vec<u8>> {
        let prefix = format!("definitions/{name}.");
        let files: Vec<File> = self
            .manifest()
            .definitions
            .iter()
            .filter(|file| file.path.starts_with(&prefix))
            .cloned()
            .collect();
        if files.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!("the snapshot {} has no {name}", self.manifest().snapshot),
            ));
        }
        files::read_whole(
            &self.rows.bucket,
            &self.manifest().snapshot,
            self.rows.reader(),
            &files,
        )
        .await
    }

    /// Has what is too much for definitions read.
    async fn look_inside(&self, restored: Restored) -> Result<Restored> {
        let Some(store) = self.driver.snapshots() else {
            return Ok(restored);
        };
        let parts = Arc::clone(&self.rows);
        let surveyed = store.survey_snapshot(&self.task, &self.context, restored, parts);
        let surveyed = surveyed.await?;
        // Of two surveys, the second is refused below.
        let _ = self.by_name.set(surveyed.by_name);
        Ok(surveyed.restored)
    }

    /// By the labels of their tables; of an older snapshot there are none.
    async fn recorded_shapes(&self) -> Result<HashMap<String, Shape>> {
        let prefix = format!("definitions/{}.", layout::SHAPES);
        let mut files = self.manifest().definitions.iter();
        if !files.any(|file| file.path.starts_with(&prefix)) {
            return Ok(HashMap::new());
        }
        shapes::parse(&self.definition(layout::SHAPES).await?)
    }
}

/// All rows of a part of a batch, which is small, and what ends them there.
async fn in_batch(place: usize, end: &'static [u8], mut chunks: Chunks) -> Result<BatchChunk> {
    let (mut rows, mut data) = (0, BytesMut::new());
    while let Some(chunk) = chunks.try_next().await? {
        rows += chunk.rows;
        data.extend_from_slice(&chunk.data);
    }
    let bytes = data.len() as u64;
    data.extend_from_slice(end);
    Ok(BatchChunk {
        ended: vec![(place, rows, bytes)],
        data: data.freeze(),
    })
}

#[async_trait]
impl store::Source for Source {
    async fn identity(&self) -> Result<Identity> {
        Ok(Identity {
            thing: None,
            place: format!("archive {}", self.rows.bucket.place()),
        })
    }

    async fn origin(&self) -> Result<Option<Environment>> {
        Ok(Some(self.manifest().origin()))
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        let server = self.server();
        self.driver.refuse_older(&server, taker)?;
        let without = self.slices_without_sums();
        if self.task.verify == Verify::Checksum && without {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "the snapshot {} has no checksums of its tables",
                    self.manifest().snapshot
                ),
            )
            .hint("push with verify = \"checksum\", or pull with verify = \"rows\""));
        }
        let stored = self.definition(layout::DEFINITIONS).await?;
        let parts = self.manifest().parts.iter().map(|stored| {
            let mut part = stored.part.clone();
            // What it is known to be now, in place of what was estimated.
            (part.rows, part.bytes) = (stored.rows, stored.bytes);
            part
        });
        let left_out = self
            .manifest()
            .changes
            .iter()
            .map(|change| (change.name.clone(), change.fate));
        let selection = &self.context.selection;
        let restored = (self.driver)
            .read_definitions(&stored, parts.collect(), left_out.collect(), selection)
            .await
            .map_err(|error| error.within(format!("the snapshot {}", self.manifest().snapshot)))?;
        let restored = self.look_inside(restored).await?;
        let catalogue = self.definition(layout::CATALOGUE).await?;
        let catalogue: Catalogue = serde_json::from_slice(&catalogue).map_err(|error| {
            Error::new(Kind::Verify, "the snapshot's catalogue is damaged").because(error)
        })?;
        let catalogue = restored.definitions.catalogue(catalogue, &self.task)?;
        if self.catalogue.set(catalogue).is_err() {
            return Err(Error::new(
                Kind::Internal,
                "the snapshot was surveyed twice",
            ));
        }
        tracing::info!(
            snapshot = self.manifest().snapshot,
            taken_at = %self.manifest().taken_at,
            origin = self.manifest().origin,
            "pulling"
        );
        Ok(Survey {
            server,
            taken_at: self.manifest().taken_at,
            parts: (self.driver)
                .join_slices(restored.parts, self.context.workers)
                .into(),
            left_out: restored.left_out,
            definitions: restored.definitions,
        })
    }

    async fn pin(&self) -> Result<()> {
        let mut mark = self.mark.lock().await;
        if mark.is_none() {
            let (snapshot, reader) = (&self.manifest().snapshot, &self.context.claim);
            *mark = Some(Mark::keep(&self.rows.bucket, snapshot, reader)?);
        }
        Ok(())
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        self.rows.rows(part)
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        Ok(self.rows.slices(part).map(|stored| stored.rows).sum())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(self.catalogue.get().cloned().unwrap_or_default())
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        self.rows
            .slices(part)
            .find_map(|stored| stored.checksum.clone())
            .ok_or_else(|| {
                Error::new(
                    Kind::Verify,
                    format!("the snapshot has no checksum of {}", part.label()),
                )
            })
    }

    async fn close(&self) {
        if let Some(mark) = self.mark.lock().await.take() {
            mark.remove().await;
        }
        self.rows.bucket.settle().await;
    }

    fn shapes(&self) -> Option<&dyn Shapes> {
        Some(self)
    }

    fn by_name(&self) -> Option<&dyn ByName> {
        self.by_name.get().map(|by_name| &**by_name)
    }

    fn batches(&self) -> Option<&dyn ReadBatches> {
        Some(self)
    }
}

/// What the push has recorded of tables, and what was masked on the way into the archive.
#[async_trait]
impl Shapes for Source {
    async fn shapes(&self, parts: &[Part]) -> Result<Vec<Shape>> {
        let masking = self.manifest().masking.as_ref();
        // Who can write into the archive could write that, too.
        let is_sealed = self.secrets.key.is_some();
        let masking = masking.filter(|_| is_sealed);
        if masking.is_none() && self.manifest().masking.is_some() {
            tracing::warn!(
                snapshot = self.manifest().snapshot,
                "says what is masked in it, and nothing seals that: give the archive a `key`, for the push and for the pull"
            );
        }
        let mut recorded = self.recorded_shapes().await?;
        let shape = |part: &Part| {
            let mut shape = match recorded.remove(&part.label()) {
                Some(shape) if is_of(&shape, part) => shape,
                _ => unknown(part),
            };
            let names = shape.names.iter();
            let names = names.map(|(schema, name)| (schema.as_deref(), name.as_str()));
            shape.masks = self.context.selection.masks_of(names);
            let masked = masking.and_then(|masking| masking.tables.get(&part.label()));
            for one in &mut shape.columns {
                let masked = masked.and_then(|columns| columns.get(&one.column.name));
                one.is_masked = masked.is_some_and(|column| column.is_covered);
                if !is_sealed && matches!(one.column.kind, Type::Boolean | Type::Enum(_)) {
                    // That it can hold nothing personal is for nobody to say who only can write there.
                    one.column.kind = Type::Other(one.type_name.clone());
                }
            }
            shape
        };
        Ok(parts.iter().map(shape).collect())
    }

    fn conditions(&self) -> Option<&dyn store::Conditions> {
        None
    }
}

/// Whether a shape is of this part's columns.
fn is_of(shape: &Shape, part: &Part) -> bool {
    let names = shape.columns.iter().map(|one| &one.column.name);
    names.eq(part.columns.iter())
}

/// The shape of a table of which nothing was recorded.
fn unknown(part: &Part) -> Shape {
    let why = "the snapshot was pushed by an older envsyncd, which did not record what its columns are; push again";
    let column = |name: &String| ShapeColumn {
        column: mask::Column {
            name: name.clone(),
            kind: Type::Other(String::new()),
            is_nullable: true,
        },
        form: Form::Opaque,
        type_name: String::new(),
        is_masked: false,
    };
    Shape {
        columns: part.columns.iter().map(column).collect(),
        ..Shape::without_columns(part, why)
    }
}

#[async_trait]
impl ReadBatches for Source {
    async fn read_batch(&self, parts: &[Part]) -> Result<Batch> {
        let readings: Vec<(usize, &'static [u8], Chunks)> = parts
            .iter()
            .enumerate()
            .map(|(place, part)| {
                let end = store::registry::codec(self.task.kind, part)?.end_in_batch();
                Ok((place, end, self.rows.rows(part)?))
            })
            .collect::<Result<_>>()?;
        Ok(stream::iter(readings)
            .map(|(place, end, rows)| in_batch(place, end, rows))
            .buffered(AHEAD)
            .boxed())
    }
}

impl Source {
    fn slices_without_sums(&self) -> bool {
        self.manifest().parts.iter().any(|stored| {
            self.rows
                .slices(&stored.part)
                .all(|slice| slice.checksum.is_none())
        })
    }
}
