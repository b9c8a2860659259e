//! Values in MySQL's JSON columns of types that JSON's text does not have: DECIMAL, DATETIME, bytes. The columns that have some
//! are found here; their values travel with their types ([`typed`]), or arrive as numbers and strings, with a warning.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use super::reading;
use super::typed;
use crate::error::{Error, Result};
use crate::store::Fate;
use crate::store::mysql::connection::pool::Pool;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::typed_columns::Place;
use crate::store::mysql::sql::names::quoted;
use crate::store::mysql::sql::version::Version;

/// So many rows of each table are looked at to say what a run would do.
const SAMPLE: u32 = 1000;

/// So long a run looks at all rows of a column, in milliseconds.
const PATIENCE: u32 = 20_000;

/// What `JSON_TYPE` calls them ("The JSON Data Type", MySQL's manual).
const TYPES: &str = "'DECIMAL', 'DATETIME', 'TIMESTAMP', 'DATE', 'TIME', 'BLOB', 'BIT', 'OPAQUE'";

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

/// What was found out about columns.
#[derive(Debug, Default)]
pub(in crate::store::mysql) struct Looked {
    /// Those whose values can travel with their types.
    pub(in crate::store::mysql) typed: BTreeSet<Place>,
    /// Those, and the others that a warning was about.
    pub(in crate::store::mysql) known: BTreeSet<Place>,
}

impl Looked {
    fn take(&mut self, place: Place, found: &Found, is_kept: bool) {
        match found {
            Found::Nothing => return,
            Found::Type(kind) => {
                if is_kept {
                    self.typed.insert(place.clone());
                }
                if !is_kept || !typed::can_be_made(kind) {
                    warn(&place, kind);
                }
            }
            Found::Unknown(why) => warn_of_unknown(&place, why),
        }
        self.known.insert(place);
    }
}

/// Whether the types of values can be kept on the way to a target.
pub(in crate::store::mysql) fn are_kept(source: &Version, target: Option<&Version>) -> bool {
    // Rows of an archive may be loaded by hand one day. Subqueries that begin with WITH see the row from 8.0.14 on.
    target.is_some() && source.is_mysql(8, 0) && source.number >= (8, 0, 14)
}

/// Looks at the first rows of each table, in the session's schema.
pub(in crate::store::mysql) async fn sample(
    session: &mut Session,
    definitions: &Definitions,
    is_kept: bool,
) -> Result<Looked> {
    let mut looked = Looked::default();
    if session.version().is_mysql(8, 0) {
        for place in columns(definitions) {
            let rows = format!(
                "(SELECT {} FROM {} LIMIT {SAMPLE})",
                quoted(&place.1),
                quoted(&place.0)
            );
            let found = look(session, &place, &rows).await?;
            looked.take(place, &found, is_kept);
        }
    }
    Ok(looked)
}

/// Looks at all rows of those of which nothing is known yet; returns what can travel with its types.
pub(in crate::store::mysql) async fn whole(
    pool: &Pool,
    workers: usize,
    definitions: &Definitions,
    known: &BTreeSet<Place>,
    is_kept: bool,
) -> Result<BTreeSet<Place>> {
    let mut looked = Looked::default();
    if !definitions.version.is_mysql(8, 0) {
        return Ok(looked.typed);
    }
    let rest = columns(definitions)
        .into_iter()
        .filter(|place| !known.contains(place));
    let mut looking = stream::iter(rest)
        .map(|place| async move {
            let mut session = pool.take().await?;
            let found = look(&mut session, &place, &quoted(&place.0)).await?;
            session.run(reading::BEFORE_READING).await?;
            Ok::<_, Error>((place, found))
        })
        .buffer_unordered(workers.max(1));
    while let Some(done) = looking.next().await {
        let (place, found) = done?;
        looked.take(place, &found, is_kept);
    }
    Ok(looked.typed)
}

/// What a column has.
enum Found {
    Nothing,
    /// A value of such a type.
    Type(String),
    /// Nobody knows, and why.
    Unknown(String),
}

/// Whether a column has such a value.
async fn look(session: &mut Session, place: &Place, rows: &str) -> Result<Found> {
    // Not EXISTS, which MySQL 9 answers wrongly over JSON_TABLE.
    let found = session
        .query_opt(&format!(
            "SELECT /*+ MAX_EXECUTION_TIME({PATIENCE}) */ JSON_TYPE(found.v) FROM {rows} AS looked_at, \
             JSON_TABLE(JSON_EXTRACT(looked_at.{}, '$', '$**.*', '$**[*]'), '$[*]' COLUMNS (v JSON PATH '$')) AS found \
             WHERE JSON_TYPE(found.v) IN ({TYPES}) LIMIT 1",
            quoted(&place.1)
        ))
        .await;
    match found {
        Ok(None) => Ok(Found::Nothing),
        Ok(Some(row)) => Ok(Found::Type(row.text(0)?)),
        Err(error) if session.is_usable() && server_error::code(&error).is_some() => Ok(
            Found::Unknown(if server_error::code(&error) == Some(3024) {
                "it takes too long".to_owned()
            } else {
                error.to_string()
            }),
        ),
        Err(error) => Err(error),
    }
}

/// Tells that types of a column's values are lost.
pub(in crate::store::mysql) fn warn((table, column): &Place, kind: &str) {
    tracing::warn!(
        table,
        column,
        kind,
        "a JSON column has values of a type that JSON's text does not have: they arrive as numbers or strings, as from mysqldump"
    );
}

fn warn_of_unknown((table, column): &Place, why: &str) {
    tracing::warn!(
        table,
        column,
        why,
        "not all rows of a JSON column were looked at: values of types that JSON's text does not have (DECIMAL, DATETIME, bytes) would arrive as numbers or strings, as from mysqldump"
    );
}
