//! Writes the rows of a part into incoming.

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::store::Chunk;
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::connection::session::stopped;
use crate::store::sqlite::rows::chunks::insert;
use crate::store::sqlite::schema::names::quoted;
use crate::store::sqlite::schema::objects::Table;

/// How many rows each of these tables has.
pub(in crate::store::sqlite) fn counts(
    connection: &Connection,
    names: &[String],
) -> rusqlite::Result<Vec<u64>> {
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
pub(in crate::store::sqlite) fn write(
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
