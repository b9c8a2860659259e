//! Reading one part: a COPY to us in the snapshot, as a stream of chunks.

use crate::error::Result;
use crate::store::postgresql::connection::pool::Pool;
use crate::store::postgresql::rows::relation::{column_list, rows_in, table_name};
use crate::store::postgresql::rows::snapshot::Snapshot;
use crate::store::postgresql::rows::{reading, slices};
use crate::store::postgresql::schema::search_path;
use crate::store::{Chunks, Part};

/// Starts it; `condition` is on the rows of an extension's table.
pub(super) async fn start(
    snapshot: &Snapshot,
    part: &Part,
    condition: Option<&str>,
) -> Result<Chunks> {
    let session = snapshot.session().await?;
    let rows = match condition {
        Some(condition) => format!(
            "(SELECT {} FROM ONLY {} {condition})",
            column_list(&part.columns),
            table_name(part)
        ),
        None if let Some(slice) = &part.slice => {
            // Nothing but a scan of these blocks, and by this session alone.
            session
                .run("SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0")
                .await?;
            format!(
                "(SELECT {} FROM ONLY {} {})",
                column_list(&part.columns),
                table_name(part),
                slices::condition(slice)?
            )
        }
        None => rows_in(part),
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
