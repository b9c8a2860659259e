//! Values in MySQL's JSON columns of types that JSON's text does not have: DECIMAL, DATETIME, bytes. Like every copy that goes
//! by SQL, ours has numbers and strings in their place; a warning says in which columns.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use super::connection::Session;
use super::definitions::Definitions;
use super::errors;
use super::names::quoted;
use super::pool::Pool;
use super::reading;
use crate::error::Result;
use crate::store::Fate;

/// So many rows of each table are looked at to say what a run would do.
const SAMPLE: u32 = 1000;

/// So long a run looks at all rows of a column, in milliseconds.
const PATIENCE: u32 = 20_000;

/// What `JSON_TYPE` calls them ("The JSON Data Type", MySQL's manual).
const TYPES: &str = "'DECIMAL', 'DATETIME', 'TIMESTAMP', 'DATE', 'TIME', 'BLOB', 'BIT', 'OPAQUE'";

/// A table and its column.
pub(super) type Place = (String, String);

/// A column's document as a copy has it.
pub(super) fn as_copied(name: &str) -> String {
    format!("CAST(CONVERT({name} USING utf8mb4) AS JSON)")
}

/// Columns that are looked at.
fn columns(definitions: &Definitions) -> Vec<Place> {
    let tables = definitions
        .tables
        .iter()
        .filter(|table| table.fate == Fate::Copy);
    tables
        .flat_map(|table| {
            table
                .columns
                .iter()
                .filter(|column| column.data_type == "json" && !column.generated)
                .map(|column| (table.name.clone(), column.name.clone()))
        })
        .collect()
}

/// Looks at the first rows of each table, in the session's schema; returns the columns that were warned of.
pub(super) async fn sample(
    session: &mut Session,
    definitions: &Definitions,
) -> Result<BTreeSet<Place>> {
    let mut told = BTreeSet::new();
    if session.version().is_mysql(8, 0) {
        for place in columns(definitions) {
            let rows = format!(
                "(SELECT {} FROM {} LIMIT {SAMPLE})",
                quoted(&place.1),
                quoted(&place.0)
            );
            if look(session, &place, &rows).await? {
                told.insert(place);
            }
        }
    }
    Ok(told)
}

/// Looks at all rows of those that were not warned of yet.
pub(super) async fn whole(
    pool: &Pool,
    workers: usize,
    definitions: &Definitions,
    told: &BTreeSet<Place>,
) -> Result<()> {
    if !definitions.version.is_mysql(8, 0) {
        return Ok(());
    }
    let rest = columns(definitions)
        .into_iter()
        .filter(|place| !told.contains(place));
    let mut looking = stream::iter(rest)
        .map(|place| async move {
            let mut session = pool.take().await?;
            look(&mut session, &place, &quoted(&place.0)).await?;
            session.run(reading::BEFORE_READING).await
        })
        .buffer_unordered(workers.max(1));
    while let Some(looked) = looking.next().await {
        looked?;
    }
    Ok(())
}

/// Whether a column has such a value; warns if it has, or if nobody knows.
async fn look(session: &mut Session, place: &Place, rows: &str) -> Result<bool> {
    let (table, column) = (&place.0, &place.1);
    // Not EXISTS, which MySQL 9 answers wrongly over JSON_TABLE.
    let found = session
        .query_opt(&format!(
            "SELECT /*+ MAX_EXECUTION_TIME({PATIENCE}) */ JSON_TYPE(found.v) FROM {rows} AS looked_at, \
             JSON_TABLE(JSON_EXTRACT(looked_at.{}, '$', '$**.*', '$**[*]'), '$[*]' COLUMNS (v JSON PATH '$')) AS found \
             WHERE JSON_TYPE(found.v) IN ({TYPES}) LIMIT 1",
            quoted(column)
        ))
        .await;
    match found {
        Ok(None) => Ok(false),
        Ok(Some(row)) => {
            let kind = row.text(0)?;
            tracing::warn!(
                table,
                column,
                kind,
                "a JSON column has values of a type that JSON's text does not have: they arrive as numbers or strings, as from mysqldump"
            );
            Ok(true)
        }
        Err(error) if session.is_usable() && errors::code(&error).is_some() => {
            let why = if errors::code(&error) == Some(3024) {
                "it takes too long".to_owned()
            } else {
                error.to_string()
            };
            tracing::warn!(
                table,
                column,
                why,
                "not all rows of a JSON column were looked at: values of types that JSON's text does not have (DECIMAL, DATETIME, bytes) would arrive as numbers or strings, as from mysqldump"
            );
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
