//! A table's rows, as a stream of chunks.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::chunks::ChunkBuilder;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::connection::session::{Session, stopped, thread};
use crate::store::sqlite::schema::objects::Table;
use crate::store::{Chunk, Chunks};

/// Streams a table's rows, or those for which a condition is true, with the truth of `marks`, which are conditions, in front of
/// each.
pub(in crate::store::sqlite) fn stream(
    session: Session,
    table: Table,
    marks: Vec<String>,
    only: Option<Arc<str>>,
    stop: CancellationToken,
) -> Chunks {
    // Nothing happens before the first chunk is asked for: a reader that waits for its writer must not hold the connection.
    stream::once(async move {
        let (sender, receiver) = mpsc::channel::<Result<Chunk>>(2);
        let refused = sender.clone();
        let worker = thread(move || {
            if let Err(error) = send_rows(
                &session.lock(),
                &table,
                &marks,
                only.as_deref(),
                &sender,
                &stop,
            ) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        let worker = match worker {
            Ok(worker) => Some(worker),
            Err(error) => {
                let _ = refused.try_send(Err(error));
                None
            }
        };
        drop(refused);
        stream::unfold((receiver, worker), |(mut receiver, worker)| async move {
            if let Some(chunk) = receiver.recv().await {
                return Some((chunk, (receiver, worker)));
            }
            // A thread that died must not look like the end of the rows.
            let lost = worker?.await.err()?;
            let error = Error::new(Kind::Internal, "a reading thread died").because(lost);
            Some((Err(error), (receiver, None)))
        })
    })
    .flatten()
    .boxed()
}

fn send_rows(
    connection: &Connection,
    table: &Table,
    marks: &[String],
    only: Option<&str>,
    sender: &mpsc::Sender<Result<Chunk>>,
    stop: &CancellationToken,
) -> Result<()> {
    let failed = |error| explain(error, &format!("table `{}`", table.name));
    let mut statement = connection
        .prepare(&table.select(marks, only))
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut packer = ChunkBuilder::new();
    while let Some(row) = rows.next().map_err(failed)? {
        if let Some(chunk) = packer.add(row, marks.len() + table.values(), &table.name)? {
            stopped(stop)?;
            if sender.blocking_send(Ok(chunk)).is_err() {
                // Nobody listens any more.
                return Ok(());
            }
        }
    }
    if let Some(chunk) = packer.take() {
        let _ = sender.blocking_send(Ok(chunk));
    }
    Ok(())
}
