//! Sequences: their values, read as the tables of one row that they are.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::survey::{class_oid, unreadable_error};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::survey::OURS;
use crate::store::postgresql::sql::quoting::quoted;

/// A sequence's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct Sequence {
    pub(in crate::store::postgresql) schema: String,
    pub(in crate::store::postgresql) name: String,
    pub(in crate::store::postgresql) last_value: i64,
    pub(in crate::store::postgresql) is_called: bool,
}

/// All sequences outside of extensions but for those in `without`, with their values.
pub(in crate::store::postgresql) async fn all(
    session: &Session,
    without: &HashSet<(u32, u32)>,
) -> Result<Vec<Sequence>> {
    let query = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, has_sequence_privilege(c.oid, 'SELECT') \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {OURS} \
                   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' \
                       AND NOT EXISTS (SELECT FROM pg_extension x WHERE x.oid = d.refobjid AND c.oid = ANY(x.extconfig))) \
                 ORDER BY c.oid"
    );
    let class = class_oid(session).await?;
    let (mut wanted, mut unreadable) = (Vec::new(), Vec::new());
    let take = |row: &Row| {
        if without.contains(&(class, row.read(0)?)) {
            return Ok(());
        }
        let name: (String, String) = (row.read(1)?, row.read(2)?);
        if !row.read::<bool>(3)? {
            unreadable.push(format!("{}.{}", name.0, name.1));
        }
        wanted.push(name);
        Ok(())
    };
    session.each_row(&query, take).await?;
    if !unreadable.is_empty() {
        return Err(unreadable_error("sequences", &unreadable));
    }
    let mut found = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(200) {
        found.extend(values(session, some).await?);
    }
    Ok(found)
}

/// The values of these sequences, in no order.
pub(in crate::store::postgresql) async fn values(
    session: &Session,
    names: &[(String, String)],
) -> Result<Vec<Sequence>> {
    let (schemas, all): (Vec<&str>, Vec<&str>) = names
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    // Ten times as fast as to read each of them as a table; but one that was not called yet has no last value.
    let rows = session
        .query(
            "SELECT k.place, pg_sequence_last_value(c.oid) \
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(schema, name, place) \
             JOIN pg_namespace n ON n.nspname = k.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.name",
            &[&schemas, &all],
        )
        .await
        .map_err(session.explain())?;
    let mut called: Vec<Option<i64>> = vec![None; names.len()];
    for row in rows {
        let place = usize::try_from(row.read::<i64>(0)?).ok();
        let value = place.and_then(|place| called.get_mut(place.checked_sub(1)?));
        *value.ok_or_else(unasked)? = row.read(1)?;
    }
    let mut found = Vec::with_capacity(names.len());
    let mut uncalled = Vec::new();
    for ((schema, name), last_value) in names.iter().zip(called) {
        match last_value {
            Some(last_value) => found.push(Sequence {
                schema: schema.clone(),
                name: name.clone(),
                last_value,
                is_called: true,
            }),
            None => uncalled.push((schema, name)),
        }
    }
    for some in uncalled.chunks(100) {
        found.extend(read_sequences(session, some).await?);
    }
    Ok(found)
}

/// The error of an answer about a sequence that was not asked for.
fn unasked() -> Error {
    Error::new(
        Kind::Connection,
        "the server answered with a sequence that was not asked for",
    )
}

/// Reads sequences as the tables of one row that they are.
async fn read_sequences(session: &Session, names: &[(&String, &String)]) -> Result<Vec<Sequence>> {
    let query: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, (schema, name))| {
            format!(
                "SELECT {place}, last_value, is_called FROM {}.{}",
                quoted(schema),
                quoted(name)
            )
        })
        .collect();
    let rows = session
        .query(&query.join(" UNION ALL "), &[])
        .await
        .map_err(session.explain())?;
    rows.iter()
        .map(|row| {
            let place = usize::try_from(row.read::<i32>(0)?).ok();
            let (schema, name) = place
                .and_then(|place| names.get(place))
                .ok_or_else(unasked)?;
            Ok(Sequence {
                schema: (*schema).clone(),
                name: (*name).clone(),
                last_value: row.read(1)?,
                is_called: row.read(2)?,
            })
        })
        .collect()
}
