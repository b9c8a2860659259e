//! Checksums of tables.

use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};

use super::values::encode;
use crate::store::sqlite::schema::objects::Table;
use crate::store::{Checksum, RowSum};

/// Adds up rows in any order: the sum of the first 128 bits of each row's SHA-256.
#[derive(Default)]
pub(in crate::store::sqlite) struct ChecksumBuilder {
    total: RowSum,
    row: Vec<u8>,
}

impl ChecksumBuilder {
    pub(in crate::store::sqlite) fn add(
        &mut self,
        row: &Row<'_>,
        values: usize,
    ) -> rusqlite::Result<()> {
        self.row.clear();
        encode(row, values, &mut self.row)?;
        self.total += RowSum::of_row(Sha256::digest(&self.row).into());
        Ok(())
    }

    pub(in crate::store::sqlite) fn total(&self) -> Checksum {
        self.total.into()
    }
}

/// A table's checksum.
pub(in crate::store::sqlite) fn sum(
    connection: &Connection,
    table: &Table,
) -> rusqlite::Result<Checksum> {
    let mut statement = connection.prepare(&table.select_all())?;
    let values = statement.column_count();
    let mut rows = statement.query([])?;
    let mut summer = ChecksumBuilder::default();
    while let Some(row) = rows.next()? {
        summer.add(row, values)?;
    }
    Ok(summer.total())
}
