//! Sequences: their values, read as the tables of one row that they are.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::survey::{class_oid, unreadable_error};
use crate::error::Result;
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
    let rows = session
        .query(
            &format!(
                "SELECT c.oid, n.nspname::text, c.relname::text, has_sequence_privilege(c.oid, 'SELECT') \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {OURS} \
                   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' \
                       AND NOT EXISTS (SELECT FROM pg_extension x WHERE x.oid = d.refobjid AND c.oid = ANY(x.extconfig))) \
                 ORDER BY c.oid"
            ),
            &[],
        )
        .await
        .map_err(session.explain())?;
    let class = class_oid(session).await?;
    let wanted: Vec<&Row> = rows
        .iter()
        .filter(|row| !without.contains(&(class, row.get(0))))
        .collect();
    let unreadable: Vec<String> = wanted
        .iter()
        .filter(|row| !row.get::<_, bool>(3))
        .map(|row| format!("{}.{}", row.get::<_, &str>(1), row.get::<_, &str>(2)))
        .collect();
    if !unreadable.is_empty() {
        return Err(unreadable_error("sequences", &unreadable));
    }
    let mut found = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(200) {
        let names: Vec<(String, String)> =
            some.iter().map(|row| (row.get(1), row.get(2))).collect();
        found.extend(values(session, &names).await?);
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
        called[row.get::<_, i64>(0) as usize - 1] = row.get(1);
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
    Ok(rows
        .iter()
        .map(|row| {
            let (schema, name) = names[row.get::<_, i32>(0) as usize];
            Sequence {
                schema: schema.clone(),
                name: name.clone(),
                last_value: row.get(1),
                is_called: row.get(2),
            }
        })
        .collect())
}
