//! Rows counted, and summed up in a number that does not depend on their order.

use super::large_object_rows;
use super::relation::{column_list, rows_of, table_name};
use crate::error::Result;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::{large_objects, search_path};
use crate::store::{Checksum, Part};

/// Rows of a part; `objects` are the large objects that are one.
pub(in crate::store::postgresql) async fn count(
    session: &Session,
    part: &Part,
    condition: &str,
    objects: &[large_objects::Described],
) -> Result<u64> {
    if large_objects::is(part) {
        return large_object_rows::count(session, &large_objects::oids(objects)).await;
    }
    let query = format!(
        "SELECT pg_catalog.count(*) FROM ONLY {} {condition}",
        table_name(part)
    );
    let row = search_path::query_one(session, &query)
        .await
        .map_err(|error| error.within(format!("counting the rows of {}", part.label())))?;
    Ok(row.read::<i64>(0)? as u64)
}

/// Rows and the sum of their hashes; two sums of halves, as one of whole hashes could overflow.
pub(in crate::store::postgresql) async fn checksum(
    session: &Session,
    part: &Part,
    condition: &str,
    root: Option<&(String, String)>,
    objects: &[large_objects::Described],
) -> Result<Checksum> {
    if large_objects::is(part) {
        let (rows, sum) =
            large_object_rows::checksum(session, &large_objects::oids(objects)).await?;
        return Ok(Checksum { rows, sum });
    }
    let from = rows_of(part, condition, root);
    sum(session, &part.label(), &part.columns, &from).await
}

/// The same of any rows.
pub(in crate::store::postgresql) async fn sum(
    session: &Session,
    label: &str,
    columns: &[String],
    from: &str,
) -> Result<Checksum> {
    let row = if columns.is_empty() {
        "''".to_owned()
    } else {
        format!("ROW({})::pg_catalog.text", column_list(columns))
    };
    let query = format!(
        "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(h & 4294967295), 0)::pg_catalog.text || '/' || \
                coalesce(pg_catalog.sum(h >> 32), 0)::pg_catalog.text \
         FROM (SELECT pg_catalog.hashtextextended({row} COLLATE pg_catalog.\"C\", 0) AS h FROM {from}) AS rows"
    );
    let row = search_path::query_one(session, &query)
        .await
        .map_err(|error| error.within(format!("checksum of {label}")))?;
    Ok(Checksum {
        rows: row.read::<i64>(0)? as u64,
        sum: row.read(1)?,
    })
}
