//! Some rows of a table: the first, and some from other places of its rowid.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::store::sqlite::schema::names::quoted;
use crate::store::sqlite::schema::objects::Table;
use crate::store::{PLACES, Sample};

/// Reads them.
pub(in crate::store::sqlite) fn read(
    connection: &Connection,
    table: &Table,
    rows: u64,
) -> rusqlite::Result<Sample> {
    let mut sample = Sample::default();
    let first = table.select(&[], None);
    let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    let ends = table.key.filter(|_| rows >= 2 * PLACES).and_then(|key| {
        let query = format!(
            "SELECT min({key}), max({key}) FROM main.{}",
            quoted(&table.name)
        );
        let ends = connection.query_row(&query, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
        ends.ok()
            .map(|(low, high)| (key, i128::from(low), i128::from(high)))
    });
    let Some((key, low, high)) = ends else {
        let query = format!("{first} LIMIT ?1");
        take(
            connection,
            &query,
            [count(rows)],
            table.values(),
            &mut sample,
        )?;
        return Ok(sample);
    };
    let step = (high - low) / i128::from(PLACES) + 1;
    let query = format!("{first} WHERE {key} >= ?1 AND {key} <= ?2 ORDER BY {key} LIMIT ?3");
    for place in 0..i128::from(PLACES) {
        let from = low + place * step;
        let until = (from + step - 1).min(high);
        let (Ok(from), Ok(until)) = (i64::try_from(from), i64::try_from(until)) else {
            continue;
        };
        let bounds = [from, until, count(rows / PLACES)];
        take(connection, &query, bounds, table.values(), &mut sample)?;
    }
    Ok(sample)
}

fn take(
    connection: &Connection,
    query: &str,
    bounds: impl rusqlite::Params,
    values: usize,
    sample: &mut Sample,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query(bounds)?;
    while let Some(row) = rows.next()? {
        let mut texts: Vec<Option<Vec<u8>>> = Vec::with_capacity(values);
        for place in 0..values {
            texts.push(match row.get_ref(place)? {
                ValueRef::Null => None,
                ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
                ValueRef::Real(number) => Some(number.to_string().into_bytes()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    Some(bytes[..bytes.len().min(crate::store::SAMPLED)].to_vec())
                }
            });
        }
        sample.push(texts.iter().map(Option::as_deref));
    }
    Ok(())
}
