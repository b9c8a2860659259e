//! What a part's rows pass on their way from source to target: nothing, as a rule; the masks of its table; what sums them up.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::masks::rows::Masking;
use super::sent::Sent;
use super::task_run::TaskRun;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::{self, Chunk, Chunks, Incoming, Part, RowSum, RowSums};

/// Stands between reading and writing. One for each part.
trait Transform: Send {
    /// What goes on for a chunk that came.
    fn chunk(&mut self, chunk: Chunk) -> Result<Chunk>;
    /// All chunks have passed: what is left, if anything is.
    fn end(&mut self) -> Result<Option<Chunk>>;
}

/// A part's rows as the target is to have them.
pub(super) fn transformed(
    run: &TaskRun,
    incoming: &dyn Incoming,
    part: &Part,
    chunks: Chunks,
) -> Result<Chunks> {
    let chunks = match run.masks.of(&run.context.selection, part)? {
        None => chunks,
        Some(table) => {
            let codec = store::registry::codec(run.task.kind, part)?;
            let rows = codec.values().ok_or_else(|| raw(part))?;
            through(Box::new(Masking::new(table, rows, part)), chunks)
        }
    };
    // What is masked is summed up as it was sent.
    Ok(match summing(run, incoming, part)? {
        None => chunks,
        Some(summing) => through(Box::new(summing), chunks),
    })
}

/// The error of a masked part whose rows cannot be cut into values.
fn raw(part: &Part) -> Error {
    Error::new(
        Kind::Internal,
        format!("{} is masked, and its rows have no values", part.label()),
    )
}

fn through(transform: Box<dyn Transform>, chunks: Chunks) -> Chunks {
    stream::try_unfold(Some((transform, chunks)), |under_way| async move {
        let Some((mut transform, mut chunks)) = under_way else {
            return Ok(None);
        };
        while let Some(chunk) = chunks.next().await {
            let chunk = transform.chunk(chunk?)?;
            // Nothing may be ready yet, in the middle of a long value.
            if !chunk.data.is_empty() {
                return Ok(Some((chunk, Some((transform, chunks)))));
            }
        }
        Ok(transform.end()?.map(|last| (last, None)))
    })
    .boxed()
}

impl Transform for Masking {
    fn chunk(&mut self, chunk: Chunk) -> Result<Chunk> {
        Masking::chunk(self, &chunk)
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        Masking::end(self)
    }
}

/// Sums up the rows that pass.
struct Summing {
    sums: Option<RowSums>,
    label: String,
    sent: Arc<Sent>,
}

/// With `verify = "checksum"`, of a part that is read back. A snapshot has sums of its own, but for what is masked.
fn summing(run: &TaskRun, incoming: &dyn Incoming, part: &Part) -> Result<Option<Summing>> {
    let is_wanted = run.task.verify == Verify::Checksum
        && (!run.task.pulls() || run.task.dumps() || run.masks.has(part));
    if !is_wanted || !incoming.is_read_back(part) {
        return Ok(None);
    }
    Ok(sums(run, part)?.map(|sums| Summing {
        sums: Some(sums),
        label: part.label(),
        sent: run.sent.clone(),
    }))
}

/// Sums over a part's rows, where they have values.
fn sums(run: &TaskRun, part: &Part) -> Result<Option<RowSums>> {
    let codec = store::registry::codec(run.task.kind, part)?;
    let splitter = codec.values().map(|rows| rows.splitter(part));
    Ok(splitter.map(RowSums::new))
}

impl Transform for Summing {
    fn chunk(&mut self, chunk: Chunk) -> Result<Chunk> {
        if let Some(sums) = &mut self.sums {
            sums.feed(&chunk.data)?;
        }
        Ok(chunk)
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        if let Some(sums) = self.sums.take() {
            self.sent
                .add(std::mem::take(&mut self.label), sums.total()?);
        }
        Ok(None)
    }
}

/// The sum of chunks that are read.
pub(super) async fn sum_of(
    run: &TaskRun,
    part: &Part,
    mut chunks: Chunks,
) -> Result<Option<RowSum>> {
    let Some(mut sums) = sums(run, part)? else {
        return Ok(None);
    };
    while let Some(chunk) = chunks.next().await {
        sums.feed(&chunk?.data)?;
    }
    sums.total().map(Some)
}
