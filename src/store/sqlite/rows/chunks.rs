//! Rows collected into chunks, and chunks inserted as rows.

use bytes::{Bytes, BytesMut};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Row, Statement};

use super::values::{decode, encode_within};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::store::Chunk;
use crate::store::sqlite::connection::errors::explain;

/// About how big a chunk is.
pub(super) const CHUNK: usize = 256 * 1024;

/// The error of a row that is too long.
pub(super) fn too_long(table: &str, most: usize) -> Error {
    let what = format!("{table} has a row of more than {most} bytes");
    Error::new(Kind::Full, what).hint(
        "that is a sixteenth of the memory that the run may have: raise `memory_max` in [priority], or leave the table or its rows out (`exclude`, `schema_only`)",
    )
}

/// Collects rows into chunks.
pub(in crate::store::sqlite) struct ChunkBuilder {
    data: BytesMut,
    rows: u64,
    /// Bytes that a row may have.
    most: usize,
}

impl ChunkBuilder {
    /// Nothing yet.
    pub(in crate::store::sqlite) fn new() -> Self {
        Self {
            data: BytesMut::new(),
            rows: 0,
            most: limits::longest_row(),
        }
    }

    /// Adds a row of the table; returns a chunk when one is full. A row that is too long for the memory that we may have is
    /// `Kind::Full`.
    pub(in crate::store::sqlite) fn add(
        &mut self,
        row: &Row<'_>,
        values: usize,
        table: &str,
    ) -> Result<Option<Chunk>> {
        let fits = encode_within(row, values, self.most, &mut self.data)
            .map_err(|error| explain(error, &format!("source table `{table}`")))?;
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
    pub(in crate::store::sqlite) fn take(&mut self) -> Option<Chunk> {
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
pub(in crate::store::sqlite) fn insert(
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
                .map_err(|error| explain(error, &format!("`{table}`")))?;
        }
        taken += statement
            .raw_execute()
            .map_err(|error| explain(error, &format!("`{table}`")))? as u64;
    }
    if data.is_empty() {
        Ok(taken)
    } else {
        Err(broken())
    }
}
