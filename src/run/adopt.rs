//! Adopt: where the store copies the source's files by itself, no rows need be copied. The files are copied before the
//! survey, so what came of them is held against it; if it is not the same, the run goes on by rows, as if nothing had been.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Site, verify};
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::{Meter, Part, Survey};

/// Has the store copy the source's files, if it can.
pub(super) async fn files(site: &Site) -> Result<bool> {
    // What a server copies by itself keeps to no pace.
    if site.in_place() || !site.pace.is_free() {
        return Ok(false);
    }
    site.target.adopt_files(&*site.source).await
}

/// Holds incoming, made of files, against the survey. One that is not the same is discarded.
pub(super) async fn is_accepted(site: &Arc<Site>, survey: &Survey) -> Result<bool> {
    let parts = survey.whole();
    match rows(site, survey, &parts).await {
        Ok(rows) => {
            site.board.expect(parts.iter().map(|part| part.bytes).sum());
            for (part, rows) in parts.iter().zip(rows) {
                site.board.add(part, rows, part.bytes);
                site.board.leave(&part.label(), Some(part));
            }
            let (rows, bytes) = (site.board.rows(), site.board.bytes());
            tracing::info!(rows, bytes, "copied");
            Ok(true)
        }
        // Nobody is there to ask again.
        Err(error) if error.kind() == Kind::Connection => Err(error),
        Err(error) => {
            tracing::info!(
                reason = %error,
                "the copied files are not what the source is now: copying rows"
            );
            site.target.discard().await?;
            Ok(false)
        }
    }
}

/// The number of rows of each part, when both sides are found to be equal.
async fn rows(site: &Arc<Site>, survey: &Survey, parts: &[Part]) -> Result<Vec<u64>> {
    if site.task.verify == Verify::None {
        verify::verify(site, survey).await?;
    } else if let Some(difference) = verify::differences(site, survey).await?.first() {
        return Err(Error::new(Kind::Verify, verify::shortened(difference)));
    }
    stream::iter((0..parts.len()).map(|place| counted(site, &parts[place])))
        .buffered(site.context.workers)
        .try_collect()
        .await
}

async fn counted(site: &Arc<Site>, part: &Part) -> Result<u64> {
    if site.task.verify == Verify::None {
        return site.target.count(part).await;
    }
    if site.task.verify == Verify::Checksum {
        verify::compare(site, part).await?;
    }
    let (source, target) = tokio::try_join!(site.source.count(part), site.target.count(part))?;
    if source != target {
        let (label, kind) = (part.label(), Kind::Verify);
        let what = format!("{label}: {source} rows on the source and {target} in the files");
        return Err(Error::new(kind, what));
    }
    Ok(target)
}
