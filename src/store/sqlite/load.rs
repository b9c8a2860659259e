//! Into incoming: its tables, then rows - all at once as pages, or part by part.

use std::path::Path;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection::{explain, on, quoted, stopped};
use super::handle::Made;
use super::rows::insert;
use super::schema::{Definitions, Table};
use super::{copy, unknown};
use crate::error::{Error, Kind, Result};
use crate::store::{Chunk, Fate, Meter, Part, Selection};

/// Whether a copy takes the whole source and nothing of live: then it can be taken page by page.
pub(super) fn whole(selection: &Selection) -> bool {
    selection.is_everything() && !selection.overlay
}

/// Makes an empty incoming with the source's settings and tables.
pub(super) fn prepare(path: &Path, definitions: &Definitions) -> Result<(Connection, Made)> {
    let made = Made::create(path)?;
    let connection = copy::open_building(path)?;
    made.is_there()?;
    let settings = &definitions.settings;
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {}; PRAGMA encoding = '{}'; PRAGMA auto_vacuum = {}; \
             PRAGMA user_version = {}; PRAGMA application_id = {}; PRAGMA ignore_check_constraints = ON",
            settings.page_size,
            settings.encoding,
            settings.auto_vacuum,
            settings.user_version,
            settings.application_id
        ))
        .map_err(on(path))?;
    // Names that are text in double quotes were allowed when the table was made.
    for table in &definitions.tables {
        // Those come with their pages, or not at all.
        if is_made_here(table) && !unknown::is_lacking(definitions, &table.name) {
            table
                .make(&connection)
                .map_err(|error| explain(error, &format!("table `{}`", table.name)))?;
        }
    }
    Ok((connection, made))
}

/// A virtual table that is copied gets its shadows as tables, and itself comes last; one whose rows do not come is made
/// anew, and makes its shadows itself.
pub(super) fn is_made_here(table: &Table) -> bool {
    match table.fate {
        Fate::Exclude => false,
        Fate::Copy => !table.is_virtual,
        Fate::SchemaOnly | Fate::Keep => table.shadow_of.is_none(),
    }
}

/// How far a copy of pages is: done, and in all.
pub(super) type Progress = (i64, i64);

/// Spreads pages over the parts, in their order, since pages do not say whose they are.
pub(super) struct Spread<'a> {
    parts: &'a [Part],
    meter: &'a dyn Meter,
    told: u64,
    at: usize,
    part_bytes: u64,
}

impl<'a> Spread<'a> {
    pub(super) fn new(parts: &'a [Part], meter: &'a dyn Meter) -> Self {
        Self {
            parts,
            meter,
            told: 0,
            at: 0,
            part_bytes: 0,
        }
    }

    /// Tells the meter what is new; rows are counted when all pages are there.
    pub(super) fn reach(&mut self, (done, all): Progress) {
        let total: u64 = self.parts.iter().map(|part| part.bytes).sum();
        let reached = (total as f64 * done as f64 / all.max(1) as f64) as u64;
        while let Some(part) = self.parts.get(self.at) {
            let left = part.bytes - self.part_bytes;
            let bytes = left.min(reached.saturating_sub(self.told));
            self.part_bytes += bytes;
            self.told += bytes;
            if bytes > 0 {
                self.meter.add(part, 0, bytes);
            }
            if bytes < left || (reached <= self.told && done != all) {
                break;
            }
            self.at += 1;
            self.part_bytes = 0;
        }
    }
}

/// How many rows each of these tables has.
pub(super) fn counts(connection: &Connection, names: &[String]) -> rusqlite::Result<Vec<u64>> {
    names
        .iter()
        .map(|name| {
            let query = format!("SELECT count(*) FROM main.{}", quoted(name));
            connection.query_row(&query, [], |row| {
                row.get::<_, i64>(0).map(|count| count as u64)
            })
        })
        .collect()
}

/// Inserts a part's rows in one transaction. `None` ends them; a channel that closes without it is an end half-way.
pub(super) fn write(
    connection: &Connection,
    table: &Table,
    mut chunks: mpsc::Receiver<Option<Chunk>>,
    stop: &CancellationToken,
) -> Result<u64> {
    let failed = |error| explain(error, &format!("table `{}`", table.name));
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let mut taken = 0;
    {
        let mut statement = transaction.prepare(&table.insert()).map_err(failed)?;
        loop {
            match chunks.blocking_recv() {
                Some(Some(chunk)) => {
                    stopped(stop)?;
                    taken += insert(&mut statement, &chunk, table.values(), &table.name)?;
                }
                Some(None) => break,
                None => {
                    return Err(Error::new(
                        Kind::Connection,
                        format!("the rows of `{}` ended half-way", table.name),
                    ));
                }
            }
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(taken)
}
