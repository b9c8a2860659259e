//! Reading one part: a COPY to us in the snapshot, as a stream of chunks.

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::pool::Pool;
use crate::store::postgresql::rows::relation::{column_list, rows_in, rows_with, table_name};
use crate::store::postgresql::rows::snapshot::Snapshot;
use crate::store::postgresql::rows::{reading, slices};
use crate::store::postgresql::schema::search_path;
use crate::store::{Chunks, Part};

/// What is read of a part, beside its columns.
pub(super) struct Wanted<'a> {
    /// On the rows of an extension's table.
    pub(super) condition: Option<&'a str>,
    /// Conditions whose truth stands in front of each row.
    pub(super) marks: Vec<&'a str>,
}

impl Wanted<'_> {
    /// The values of a row.
    fn values(&self, part: &Part) -> String {
        // A comment at a condition's end ends with its line.
        let marks = self
            .marks
            .iter()
            .map(|mark| format!("((\n{mark}\n) IS TRUE), "));
        marks.collect::<String>() + &column_list(&part.columns)
    }
}

/// Has the server read a condition, and no row.
pub(super) async fn check(snapshot: &Snapshot, part: &Part, condition: &str) -> Result<()> {
    let session = snapshot.session().await?;
    let query = rows_with(part, "", condition, "LIMIT 0");
    search_path::make_ready(&session, part, &query).await?;
    let Err(error) = session.query(&query, &[]).await else {
        return Ok(());
    };
    // What the server's parser says is of the condition's own words, and of no row.
    let of_parser = error
        .as_db_error()
        .filter(|said| said.code().code().starts_with("42"));
    Err(match of_parser {
        Some(said) => Error::new(Kind::Config, said.message().to_owned())
            .hint("mend the `where`; names beyond the table need their schema"),
        None => session.explain()(error),
    })
}

/// Whether a condition is true for any row.
pub(super) async fn is_true_for_any(
    snapshot: &Snapshot,
    part: &Part,
    condition: &str,
) -> Result<bool> {
    let session = snapshot.session().await?;
    let query = rows_with(part, "1", condition, "LIMIT 1");
    search_path::make_ready(&session, part, &query).await?;
    let rows = session.query(&query, &[]).await;
    Ok(!rows.map_err(session.explain())?.is_empty())
}

/// Starts it.
pub(super) async fn start(snapshot: &Snapshot, part: &Part, wanted: Wanted<'_>) -> Result<Chunks> {
    let session = snapshot.session().await?;
    let mut conditions = Vec::new();
    // That of an extension has its own WHERE.
    let of_extension = wanted.condition.unwrap_or_default();
    if let (Some(slice), None) = (&part.slice, wanted.condition) {
        // Nothing but a scan of these blocks, and by this session alone.
        session
            .run("SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0")
            .await?;
        conditions.push(slices::condition(slice)?);
    }
    // A comment at a condition's end ends with its line.
    conditions
        .extend((part.condition.iter()).map(|condition| format!("(\n{condition}\n) IS TRUE")));
    let rows = if conditions.is_empty() && wanted.marks.is_empty() && of_extension.is_empty() {
        rows_in(part)
    } else {
        let and = if of_extension.is_empty() {
            "WHERE"
        } else {
            "AND"
        };
        let conditions = if conditions.is_empty() {
            String::new()
        } else {
            format!(" {and} {}", conditions.join(" AND "))
        };
        format!(
            "(SELECT {} FROM ONLY {} {of_extension}{conditions})",
            wanted.values(part),
            table_name(part)
        )
    };
    let is_query = rows.starts_with('(');
    if is_query {
        let query = &rows[1..rows.len() - 1];
        search_path::make_ready(&session, part, query).await?;
    }
    let properties = &snapshot.taken()?.properties;
    // A session with these settings is of no further use.
    let pool = if is_query {
        Pool::default()
    } else {
        snapshot.pool().clone()
    };
    reading::start(session, pool, part, &rows, properties).await
}
