//! The planner's statistics, and how they are stored.

use rusqlite::Connection;
use rusqlite::types::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::literals::{self, Literal, written};
use super::objects::has_table;

/// More rows of statistics than there are where ANALYZE made them: some two dozen for an index.
const MOST_STATISTICS: usize = 100_000;

/// Rows of `sqlite_stat1` and `sqlite_stat4`, by table.
pub(in crate::store::sqlite) type Statistics = Vec<(String, Vec<Vec<Value>>)>;

/// The planner's statistics on the tables that `is_copied` names.
pub(in crate::store::sqlite) fn read(
    connection: &Connection,
    is_copied: impl Fn(&str) -> bool,
) -> rusqlite::Result<Statistics> {
    let mut all = Vec::new();
    for (name, columns) in [("sqlite_stat1", 3), ("sqlite_stat4", 6)] {
        if !has_table(connection, name)? {
            continue;
        }
        let mut statement = connection.prepare(&format!("SELECT * FROM main.{name}"))?;
        if statement.column_count() != columns {
            continue;
        }
        let mut found = Vec::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if found.len() >= MOST_STATISTICS {
                tracing::warn!(
                    table = name,
                    "has more rows than ANALYZE makes: the planner's statistics are not copied"
                );
                return Ok(Vec::new());
            }
            // Anybody may write there.
            let Ok(table) = row.get_ref(0)?.as_str().map(str::to_owned) else {
                continue;
            };
            if is_copied(&table) {
                found.push(
                    (0..columns)
                        .map(|at| row.get(at))
                        .collect::<rusqlite::Result<_>>()?,
                );
            }
        }
        all.push((name.to_owned(), found));
    }
    Ok(all)
}

/// How they are stored.
type Written = Vec<(String, Vec<Vec<String>>)>;

/// Stores values as SQL literals.
pub(super) fn serialize<S: Serializer>(
    statistics: &Statistics,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut all: Written = Vec::with_capacity(statistics.len());
    for (table, rows) in statistics {
        let rows: Option<Vec<Vec<String>>> = rows
            .iter()
            .map(|row| row.iter().map(written).collect())
            .collect();
        let rows = rows.ok_or_else(|| serde::ser::Error::custom("a value is not a literal"))?;
        all.push((table.clone(), rows));
    }
    all.serialize(serializer)
}

/// Reads what [`serialize`] wrote.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Statistics, D::Error> {
    let all = Written::deserialize(deserializer)?;
    all.into_iter()
        .map(|(table, rows)| {
            let rows: Option<Vec<Vec<Value>>> = rows
                .iter()
                .map(|row| row.iter().map(|text| value(text)).collect())
                .collect();
            rows.map(|rows| (table, rows))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| serde::de::Error::custom("a value of the statistics is not a literal"))
}

fn value(text: &str) -> Option<Value> {
    let mut rest = text.as_bytes();
    let value = match literals::read(&mut rest)? {
        Literal::Null => Value::Null,
        Literal::Integer(value) => Value::Integer(value),
        Literal::Real(value) => Value::Real(value),
        Literal::Text(value) => Value::Text(String::from_utf8(value.into_owned()).ok()?),
        Literal::Blob(value) => Value::Blob(value),
    };
    rest.is_empty().then_some(value)
}
