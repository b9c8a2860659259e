//! Rows on their way: each value a tag and its bytes, as SQLite stores it, so that nothing is converted.

use bytes::{BufMut, Bytes, BytesMut};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement};
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::store::{Checksum, Chunk};

/// About how big a chunk is.
pub(super) const CHUNK: usize = 256 * 1024;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;

/// Appends a row of so many values.
pub(super) fn encode(row: &Row<'_>, values: usize, out: &mut impl BufMut) -> rusqlite::Result<()> {
    for index in 0..values {
        put(row.get_ref(index)?, out);
    }
    Ok(())
}

/// The same; false, and nothing that can be used, if its texts and blobs have more than so many bytes.
fn encode_within(
    row: &Row<'_>,
    values: usize,
    most: usize,
    out: &mut impl BufMut,
) -> rusqlite::Result<bool> {
    let mut left = most;
    for index in 0..values {
        let value = row.get_ref(index)?;
        if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value {
            match left.checked_sub(bytes.len()) {
                Some(rest) => left = rest,
                None => return Ok(false),
            }
        }
        put(value, out);
    }
    Ok(true)
}

/// Appends one value.
pub(super) fn put(value: ValueRef<'_>, out: &mut impl BufMut) {
    match value {
        ValueRef::Null => out.put_u8(NULL),
        ValueRef::Integer(value) => {
            out.put_u8(INTEGER);
            out.put_i64_le(value);
        }
        ValueRef::Real(value) => {
            out.put_u8(REAL);
            out.put_f64_le(value);
        }
        ValueRef::Text(text) => bytes(TEXT, text, out),
        ValueRef::Blob(blob) => bytes(BLOB, blob, out),
    }
}

fn bytes(tag: u8, value: &[u8], out: &mut impl BufMut) {
    out.put_u8(tag);
    // SQLite's own limit on a value is 2^31 - 1 bytes.
    out.put_u32_le(value.len() as u32);
    out.put_slice(value);
}

/// Takes the next value off the front.
pub(super) fn decode<'a>(data: &mut &'a [u8]) -> Option<ValueRef<'a>> {
    fn take<'a>(data: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (value, rest) = data.split_at_checked(length)?;
        *data = rest;
        Some(value)
    }
    let tag = take(data, 1)?[0];
    Some(match tag {
        NULL => ValueRef::Null,
        INTEGER => ValueRef::Integer(i64::from_le_bytes(take(data, 8)?.try_into().ok()?)),
        REAL => ValueRef::Real(f64::from_le_bytes(take(data, 8)?.try_into().ok()?)),
        TEXT | BLOB => {
            let length = u32::from_le_bytes(take(data, 4)?.try_into().ok()?);
            let value = take(data, length as usize)?;
            if tag == TEXT {
                ValueRef::Text(value)
            } else {
                ValueRef::Blob(value)
            }
        }
        _ => return None,
    })
}

/// The error of a row that is too long.
pub(super) fn too_long(table: &str, most: usize) -> Error {
    let what = format!("{table} has a row of more than {most} bytes");
    Error::new(Kind::Full, what).hint(
        "that is a sixteenth of the memory that the run may have: raise `memory_max` in [priority], or leave the table or its rows out (`exclude`, `schema_only`)",
    )
}

/// Collects rows into chunks.
pub(super) struct Packer {
    data: BytesMut,
    rows: u64,
    /// Bytes that a row may have.
    most: usize,
}

impl Packer {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            data: BytesMut::new(),
            rows: 0,
            most: limits::longest_row(),
        }
    }

    /// Adds a row of the table; returns a chunk when one is full. A row that is too long for the memory that we may have is
    /// `Kind::Full`.
    pub(super) fn add(
        &mut self,
        row: &Row<'_>,
        values: usize,
        table: &str,
    ) -> Result<Option<Chunk>> {
        let fits = encode_within(row, values, self.most, &mut self.data).map_err(|error| {
            super::connection::explain(error, &format!("source table `{table}`"))
        })?;
        if !fits {
            return Err(too_long(&format!("source table `{table}`"), self.most));
        }
        self.rows += 1;
        Ok(if self.data.len() >= CHUNK {
            self.take()
        } else {
            None
        })
    }

    /// What is left, if anything is.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        if self.rows == 0 {
            return None;
        }
        let data: Bytes = std::mem::take(&mut self.data).freeze();
        Some(Chunk {
            rows: std::mem::take(&mut self.rows),
            data,
        })
    }
}

/// Runs an insert of so many values for each row of a chunk; returns how many rows SQLite took.
pub(super) fn insert(
    statement: &mut Statement<'_>,
    chunk: &Chunk,
    values: usize,
    table: &str,
) -> Result<u64> {
    let broken = || {
        Error::new(
            Kind::Internal,
            format!("a chunk of `{table}` is not whole rows"),
        )
    };
    let mut data = &chunk.data[..];
    let mut taken = 0;
    for _ in 0..chunk.rows {
        for index in 1..=values {
            let value = decode(&mut data).ok_or_else(broken)?;
            statement
                .raw_bind_parameter(index, ToSqlOutput::Borrowed(value))
                .map_err(|error| super::connection::explain(error, &format!("`{table}`")))?;
        }
        taken += statement
            .raw_execute()
            .map_err(|error| super::connection::explain(error, &format!("`{table}`")))?
            as u64;
    }
    if data.is_empty() {
        Ok(taken)
    } else {
        Err(broken())
    }
}

/// Adds up rows in any order: the sum of the first 128 bits of each row's SHA-256.
#[derive(Default)]
pub(super) struct Summer {
    rows: u64,
    sum: u128,
    row: Vec<u8>,
}

impl Summer {
    pub(super) fn add(&mut self, row: &Row<'_>, values: usize) -> rusqlite::Result<()> {
        self.row.clear();
        encode(row, values, &mut self.row)?;
        let digest = Sha256::digest(&self.row);
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(first));
        self.rows += 1;
        Ok(())
    }

    pub(super) fn total(&self) -> Checksum {
        Checksum {
            rows: self.rows,
            sum: format!("{:032x}", self.sum),
        }
    }
}
