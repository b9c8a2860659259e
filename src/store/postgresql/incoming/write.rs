//! Rows into incoming.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::database::Incoming;
use super::owner::Writing;
use crate::error::{Error, Result};
use crate::store::postgresql::rows::relation::{column_list, table_name};
use crate::store::postgresql::rows::{copy_stream, large_object_rows};
use crate::store::postgresql::schema::large_objects;
use crate::store::postgresql::sql::quoting::quoted;
use crate::store::{Chunks, Part};

/// Tables of at most so many bytes are not worth a TRUNCATE: it gives them a new file, and removing the old one makes
/// the commit wait for the disk, `synchronous_commit = off` or not (`RecordTransactionCommit` in PostgreSQL's source).
/// They are frozen at the end, many at a time.
pub(super) const SMALL: u64 = 256 * 1024;

impl Incoming {
    /// Notes that these tables' rows are not frozen.
    pub(super) fn thaw(&self, parts: &[Part]) {
        let mut thawed = self.thawed.lock();
        thawed.extend(parts.iter().filter_map(|part| self.table_of(part)));
    }

    /// Takes a part's rows in one transaction.
    pub(in crate::store::postgresql) async fn write_part(
        &self,
        part: &Part,
        chunks: Chunks,
    ) -> Result<u64> {
        let (begun, chunks) = begin(part, chunks).await?;
        let session = self.session().await?;
        if large_objects::is(part) {
            let taken = large_object_rows::write(&session, chunks)
                .await
                .map_err(|error| error.within("writing large objects"))?;
            self.rest(session);
            return Ok(taken);
        }
        let definitions = &self.definitions;
        let root = definitions.by_root.get(&part.id);
        let name = root.map_or_else(
            || table_name(part),
            |(schema, name)| format!("{}.{}", quoted(schema), quoted(name)),
        );
        let columns = if part.columns.is_empty() {
            String::new()
        } else {
            format!(" ({})", column_list(&part.columns))
        };
        // An extension's table may have rows from its script, a root has other partitions' rows.
        // A slice's table has the other slices' rows.
        let shared =
            root.is_some() || definitions.conditions.contains_key(&part.id) || part.slice.is_some();
        let mut options: Vec<String> = definitions
            .properties
            .copy_option(&part.encoding)
            .into_iter()
            .collect();
        let frozen = !shared && part.bytes.max(begun) > SMALL;
        if frozen {
            // Emptied in the same transaction, a table may be filled with rows that are frozen from the start, and on a
            // server with wal_level = minimal, without WAL.
            session.run(&format!("BEGIN; TRUNCATE ONLY {name}")).await?;
            options.push("FREEZE".to_owned());
        } else {
            self.thaw(std::slice::from_ref(part));
        }
        let with = if options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", options.join(", "))
        };
        let within = |error: Error| error.within(format!("writing {}", part.label()));
        let changed = self
            .compute(&session, &Writing::Rows(&part.encoding))
            .await?;
        let mut copy =
            copy_stream::In::start(&session, &format!("COPY {name}{columns} FROM STDIN{with}"))
                .await
                .map_err(within)?;
        let mut chunks = chunks;
        while let Some(chunk) = chunks.next().await {
            // An error here leaves the COPY unfinished: the server undoes it when the session goes.
            copy.send(chunk?.data).await.map_err(within)?;
        }
        let rows = copy.finish().await.map_err(within)?;
        if frozen {
            session.run("COMMIT").await.map_err(within)?;
        }
        self.read_again(&session, changed).await?;
        self.rest(session);
        Ok(rows)
    }
}

/// Looks at the first bytes of a part that seems to be small: what a dump has of a table is often not known. Returns how many
/// there are, up to what is large.
async fn begin(part: &Part, chunks: Chunks) -> Result<(u64, Chunks)> {
    if part.bytes > SMALL {
        return Ok((0, chunks));
    }
    // It may end here, and is asked again below.
    let mut chunks = chunks.fuse();
    let (mut bytes, mut first) = (0, Vec::new());
    while bytes <= SMALL {
        let Some(chunk) = chunks.try_next().await? else {
            break;
        };
        bytes += chunk.data.len() as u64;
        first.push(Ok(chunk));
    }
    Ok((bytes, stream::iter(first).chain(chunks).boxed()))
}
