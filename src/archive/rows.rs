//! The rows of a snapshot's parts, on their way out of the archive.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::bucket::Bucket;
use super::crypt;
use super::draft::table;
use super::files;
use super::manifest::{File, Manifest, Stored};
use crate::error::{Error, Kind, Result};
use crate::store::{self, Chunk, Chunks, Part, ReadParts, RowDecoder};

/// Reads the parts of a snapshot.
pub(super) struct Rows {
    pub(super) bucket: Bucket,
    pub(super) manifest: Manifest,
    /// What reads the files, if they are encrypted.
    reader: Option<crypt::Identity>,
    /// Where in the manifest a part is.
    parts: HashMap<usize, usize>,
    /// Where its table's slices are.
    tables: HashMap<(Option<String>, String), Vec<usize>>,
}

impl Rows {
    /// Of a snapshot whose manifest was read and found authentic.
    pub(super) fn new(
        bucket: Bucket,
        manifest: Manifest,
        identity: Option<&crypt::Identity>,
    ) -> Self {
        let mut parts = HashMap::new();
        let mut tables: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, stored) in manifest.parts.iter().enumerate() {
            parts.insert(stored.part.id, place);
            tables.entry(table(&stored.part)).or_default().push(place);
        }
        Self {
            reader: identity.filter(|_| manifest.encryption.is_some()).cloned(),
            bucket,
            manifest,
            parts,
            tables,
        }
    }

    /// What reads the files, if they are encrypted.
    pub(super) fn reader(&self) -> Option<&crypt::Identity> {
        self.reader.as_ref()
    }

    /// The stored parts of a part: itself, or all slices of a table that is stored in slices.
    fn stored(&self, part: &Part) -> Result<Vec<&Stored>> {
        let place = self.parts.get(&part.id).ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("{} is not in the snapshot", part.label()),
            )
        })?;
        let stored = &self.manifest.parts[*place];
        if part.slice.is_none() && stored.part.slice.is_some() {
            return Ok(self.slices(part).collect());
        }
        Ok(vec![stored])
    }

    /// A part's rows, on their way.
    pub(super) fn rows(&self, part: &Part) -> Result<Chunks> {
        let stored = self.stored(part)?;
        let files: Vec<File> = stored.iter().flat_map(|one| one.files.clone()).collect();
        let reading = Reading {
            plain: files::read(&self.bucket, &self.manifest.snapshot, self.reader(), &files),
            decoder: Some(store::registry::codec(self.manifest.kind, part)?.decoder(part)?),
            rows: 0,
            expected: stored.iter().map(|one| one.rows).sum(),
            left: (stored.iter()).fold(0, |sum, one| sum.saturating_add(one.bytes)),
            label: part.label(),
        };
        Ok(stream::try_unfold(reading, Reading::next).boxed())
    }

    /// All of a table's slices.
    pub(super) fn slices(&self, part: &Part) -> impl Iterator<Item = &Stored> {
        let places = self.tables.get(&table(part));
        places
            .into_iter()
            .flatten()
            .map(|place| &self.manifest.parts[*place])
    }
}

impl ReadParts for Rows {
    fn read(&self, part: &Part) -> Result<Chunks> {
        self.rows(part)
    }
}

/// A part's rows on their way.
struct Reading {
    plain: BoxStream<'static, Result<Bytes>>,
    /// `None` at the end.
    decoder: Option<Box<dyn RowDecoder>>,
    rows: u64,
    expected: u64,
    /// How many bytes may still come, decompressed: what is small by the manifest is taken into memory, and what is a bomb is
    /// none unless the manifest says how big it is.
    left: u64,
    label: String,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Chunk, Self)>> {
        loop {
            let Some(decoder) = &mut self.decoder else {
                return Ok(None);
            };
            let chunk = if let Some(bytes) = self.plain.try_next().await? {
                let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
                    return Err(Error::new(
                        Kind::Verify,
                        format!("{}: its files have more bytes than the manifest says", self.label),
                    )
                    .hint("envsyncd snapshots verify looks at all of a snapshot; pull another one with `snapshot = \"NAME\"`"));
                };
                self.left = left;
                decoder.feed(&bytes)?
            } else {
                let last = decoder.end()?;
                self.decoder = None;
                self.check(last.as_ref())?;
                last
            };
            if let Some(chunk) = chunk {
                if self.decoder.is_some() {
                    self.rows += chunk.rows;
                }
                return Ok(Some((chunk, self)));
            }
        }
    }

    /// At the end: whether all rows were there.
    fn check(&self, last: Option<&Chunk>) -> Result<()> {
        let rows = self.rows + last.map_or(0, |chunk| chunk.rows);
        if rows == self.expected {
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!(
                "{}: the manifest has {} rows and its files have {rows}",
                self.label, self.expected
            ),
        ))
    }
}
