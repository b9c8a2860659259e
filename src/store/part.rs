//! Parts: the pieces that a copy consists of, and their rows on the way from source to target.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::AddAssign;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::shared::List;
use crate::error::{Error, Kind, Result};

/// How a part's rows are encoded in chunks: a name that the part's store has given to one of its codecs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encoding(Cow<'static, str>);

impl Encoding {
    /// One with this name, as it stands in snapshots' manifests: `copy_text`.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of a table's rows a part has (blocks, a range of keys): a value of the store's own, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slice(serde_json::Value);

impl Slice {
    /// Of the store's own type. One that JSON cannot hold is an error.
    pub fn new<T: Serialize>(own: &T) -> Result<Self> {
        serde_json::to_value(own)
            .map(Self)
            .map_err(|error| Error::new(Kind::Internal, "a slice cannot be written").because(error))
    }

    /// As the store's own type. One that is another store's, or was made by a newer envsyncd, is an error.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.0).map_err(|_| {
            Error::new(
                Kind::Verify,
                "a slice of a table is of a kind that is not known",
            )
        })
    }
}

/// What a part has many of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Rows of a table.
    #[default]
    Rows,
    /// Documents of a collection or an index.
    Documents,
    /// Files of a directory.
    Files,
}

impl Unit {
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
    fn is_rows(&self) -> bool {
        *self == Self::Rows
    }
}

/// One piece of a copy: a table, a slice of a large one, a collection, an index or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number in the survey; the same for the whole run.
    pub id: usize,
    /// The table's schema, where the store has schemas.
    pub schema: Option<String>,
    /// Its name, unquoted.
    pub name: String,
    /// The columns that are copied, in order; empty where the store has none. Generated columns are not among them. Of an
    /// SQLite table whose rowid is no column of it, the rowid is the first.
    #[serde(default)]
    pub columns: List<String>,
    /// What it has many of.
    #[serde(default, skip_serializing_if = "Unit::is_rows")]
    pub unit: Unit,
    /// How its rows travel.
    pub encoding: Encoding,
    /// About how many rows, documents or files.
    pub rows: u64,
    /// About how many bytes, as stored on the source.
    pub bytes: u64,
    /// Which of the table's rows, where it is not all of them; then the other parts of the same table have the rest.
    pub slice: Option<Slice>,
    /// The rows that are copied, as an expression in the source's own language; `None`: all. Nobody but the source reads it.
    #[serde(skip)]
    pub condition: Option<Arc<str>>,
}

impl Part {
    /// A whole collection, index or file of so many bytes, in a store that has neither schemas nor columns.
    pub fn whole(id: usize, name: impl Into<String>, encoding: Encoding, bytes: u64) -> Self {
        Self {
            id,
            schema: None,
            name: name.into(),
            columns: List::default(),
            unit: Unit::Documents,
            encoding,
            rows: 0,
            bytes,
            slice: None,
            condition: None,
        }
    }

    /// `schema.table`, or the name alone; for people.
    pub fn label(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Slices of the tables that are asked for are one part again, with the number of the first.
pub fn joined(
    parts: impl IntoIterator<Item = Part>,
    is_wanted: impl Fn(&Part) -> bool,
) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    let mut sliced: HashMap<String, usize> = HashMap::new();
    for part in parts {
        if part.slice.is_none() || !is_wanted(&part) {
            all.push(part);
        } else if let Some(place) = sliced.get(&part.label()) {
            all[*place].rows += part.rows;
            all[*place].bytes += part.bytes;
        } else {
            sliced.insert(part.label(), all.len());
            all.push(Part {
                slice: None,
                ..part
            });
        }
    }
    all
}

/// A run of bytes out of a part's rows. In most encodings it has whole rows; of PostgreSQL's COPY it is a run of the
/// protocol's own CopyData messages, and a long one may go on in the next chunk: so no row has to fit in memory. From a
/// server each message has a row in it, from an archive any piece of the rows.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// How many rows end in it.
    pub rows: u64,
    /// The rows, in the part's encoding.
    pub data: Bytes,
}

/// The rows of one part, on their way. An error ends the stream.
pub type Chunks = BoxStream<'static, Result<Chunk>>;

/// A run of bytes out of a batch: the rows of several parts, one after the other, in the store's own encoding.
#[derive(Debug, Clone)]
pub struct BatchChunk {
    /// The parts that end in it, by their place in the batch, each with its rows and bytes.
    pub ended: Vec<(usize, u64, u64)>,
    /// The rows.
    pub data: Bytes,
}

/// The rows of several small parts, on their way together. An error ends the stream.
pub type Batch = BoxStream<'static, Result<BatchChunk>>;

/// A part's rows in one number that does not depend on their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// How many rows.
    pub rows: u64,
    /// The store's own sum over them.
    pub sum: String,
}

impl Checksum {
    /// Of text with a row a line.
    pub fn of_lines(text: &[u8]) -> Self {
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let mut total = RowSum::default();
        for line in lines {
            total += RowSum::of_row(Sha256::digest(line).into());
        }
        total.into()
    }
}

/// Rows, and a sum over them that does not depend on their order: of 128 bits of each one's SHA-256, modulo 2^128.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSum {
    /// How many rows.
    pub rows: u64,
    /// The sum.
    pub sum: u128,
}

impl RowSum {
    /// Of one row with this hash.
    pub fn of_row(hash: [u8; 32]) -> Self {
        let half = hash[..16].try_into().expect("sixteen bytes");
        Self {
            rows: 1,
            sum: u128::from_le_bytes(half),
        }
    }
}

impl AddAssign for RowSum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl From<RowSum> for Checksum {
    fn from(RowSum { rows, sum }: RowSum) -> Self {
        Self {
            rows,
            sum: format!("{sum:032x}"),
        }
    }
}

/// A piece of work on incoming that can start once a part's rows are in: an index, say.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it is, for people: `index users_email_idx`.
    pub label: String,
    /// The target's own number for it.
    pub id: usize,
    /// About how much work it is; the most expensive ones are started first, so that no worker idles at the end.
    pub cost: u64,
}
