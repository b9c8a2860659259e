//! Reading one part: a COPY to us in the snapshot, as a stream of chunks.

use futures_util::{StreamExt, stream};

use crate::error::Result;
use crate::store::postgresql::connection::pool::Pool;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::rows::relation::{column_list, table_name};
use crate::store::postgresql::rows::snapshot::Snapshot;
use crate::store::postgresql::rows::{copy_stream, slices};
use crate::store::postgresql::schema::row_encodings::COPY_BINARY;
use crate::store::postgresql::schema::search_path;
use crate::store::{Chunk, Chunks, Part};

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
        None if part.columns.is_empty() => table_name(part),
        None => format!("{} ({})", table_name(part), column_list(&part.columns)),
    };
    let is_query = rows.starts_with('(');
    if is_query {
        let query = &rows[1..rows.len() - 1];
        search_path::make_ready(&session, part, query).await?;
    }
    let binary = part.encoding == COPY_BINARY;
    let format = snapshot.taken()?.properties.copy_options(&part.encoding);
    let label = part.label();
    let statement = format!("COPY {rows} TO STDOUT{format}");
    let copy = copy_stream::Out::start(&session, &statement, binary)
        .await
        .map_err(|error| error.within(format!("reading {label}")))?;
    let reading = Reading {
        session,
        copy,
        // A session with these settings is of no further use.
        pool: if is_query {
            Pool::default()
        } else {
            snapshot.pool().clone()
        },
        label,
    };
    Ok(stream::try_unfold(reading, Reading::next).boxed())
}

/// A COPY under way. Dropped before its end, it takes its session with it.
struct Reading {
    session: Session,
    copy: copy_stream::Out,
    pool: Pool,
    label: String,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Chunk, Self)>> {
        let chunk = self
            .copy
            .next()
            .await
            .map_err(|error| error.within(format!("reading {}", self.label)))?;
        let Some(chunk) = chunk else {
            // The COPY ran to its end: the session can be used again.
            self.pool.rest(self.session);
            return Ok(None);
        };
        Ok(Some((chunk, self)))
    }
}
