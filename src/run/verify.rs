//! Verify: before anything of the operator's own touches incoming, it is held against the source.
//!
//! Scripts come afterwards: they change rows and may change structure, and what they changed can be held against nothing.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::task_run::TaskRun;
use super::transform::sum_of;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::{Difference, first_of};
use crate::store::{Complete, Part, RecordSource, SourceRecord, Survey};

/// How many differences an error names.
const NAMED: usize = 3;

/// Compares catalogues, and with `verify = "checksum"` every row.
pub(super) async fn verify(run: &TaskRun, complete: &dyn Complete, survey: &Survey) -> Result<()> {
    if let Some(recorder) = complete.records() {
        record(run, recorder, survey).await?;
    }
    if run.task.verify == Verify::None {
        tracing::warn!("the copy is published without having been verified, as the job says");
        return Ok(());
    }
    if let Some(own) = complete.comparison() {
        return own.compare_whole(survey, run.task.verify).await;
    }
    let differences = differences(run, complete, survey).await?;
    if !differences.is_empty() {
        let told: Vec<String> = differences.iter().map(shortened).collect();
        for difference in &told {
            tracing::error!(difference, "not the same on both sides");
        }
        return Err(Error::new(
            Kind::Verify,
            format!(
                "the copy is not equal to the source: {}",
                first_of(&told, NAMED)
            ),
        )
        .hint("the run's log names every difference"));
    }
    references_hold(run, complete).await?;
    if run.task.verify == Verify::Checksum {
        let parts = survey.whole();
        let parts = &parts;
        stream::iter((0..parts.len()).map(|place| compare(run, complete, &parts[place])))
            .buffer_unordered(run.context.workers)
            .try_collect::<()>()
            .await?;
        // What is computed of masked columns is not what it was; of rows that are not copied there is nothing.
        let raw: Vec<Part> = parts
            .iter()
            .filter(|part| !run.is_altered(part))
            .cloned()
            .collect();
        complete.compare_computed(&*run.source, &raw).await?;
    }
    Ok(())
}

/// Looks for rows in the copy that refer to what is not there, as rows may where conditions are not the same at each reading.
async fn references_hold(run: &TaskRun, complete: &dyn Complete) -> Result<()> {
    for reference in run.masks.references() {
        let (part, dangling) = (&reference.part, &reference.dangling);
        if complete.is_true_for_any(part, dangling).await? != Some(true) {
            continue;
        }
        // What the source itself has arrives as it is.
        let language = run.source.shapes().and_then(|shapes| shapes.conditions());
        if let Some(language) = language
            && language.is_true_for_any(part, dangling).await?
        {
            tracing::warn!(
                reference = reference.told,
                "rows of the source refer to rows that are not there, and were copied so"
            );
            continue;
        }
        let what = format!(
            "the copy has rows that refer to rows that were not copied: {}",
            reference.told
        );
        return Err(Error::new(Kind::Verify, what).hint(
            "the `where` of a [[task.rows]] was not true for the same rows each time: compare with a fixed time, not with the time of day",
        ));
    }
    Ok(())
}

/// Tells the target what a pull will want to know of the source.
async fn record(run: &TaskRun, recorder: &dyn RecordSource, survey: &Survey) -> Result<()> {
    let mut sums = Vec::new();
    if run.task.verify == Verify::Checksum {
        let parts = survey.whole();
        let parts = &parts;
        sums = stream::iter((0..parts.len()).map(|place| async move {
            let part = parts[place].clone();
            let sum = run.source.checksum(&part).await?;
            Ok::<_, Error>((part, sum))
        }))
        .buffer_unordered(run.context.workers)
        .try_collect()
        .await?;
    }
    let catalogue = run.source.catalogue().await?;
    let masking = run.masks.record();
    let shapes = match run.source.shapes() {
        Some(source) if run.context.selection.describes_columns => {
            source.shapes(&survey.whole()).await?
        }
        _ => Vec::new(),
    };
    let said = SourceRecord {
        catalogue,
        sums,
        masking,
        shapes,
    };
    recorder.record(said).await
}

/// What is not the same on both sides, but for what each version has its own words for.
pub(super) async fn differences(
    run: &TaskRun,
    complete: &dyn Complete,
    survey: &Survey,
) -> Result<Vec<Difference>> {
    complete.check_ownership().await?;
    let (source, target) = tokio::try_join!(run.source.digest(), complete.digest())?;
    if source == target {
        return Ok(Vec::new());
    }
    let (source, target) = tokio::try_join!(run.source.catalogue(), complete.catalogue())?;
    let mut differences = source.differences(&target);
    differences.retain(|difference| !complete.has_its_own(difference.object()));
    if run.target.taker().await?.is_of(survey.server.major) {
        return Ok(differences);
    }
    let (changed, rest) = differences
        .into_iter()
        .partition::<Vec<_>, _>(|difference| matches!(difference, Difference::Changed { .. }));
    for difference in changed {
        tracing::debug!(
            object = difference.object(),
            "defined in other words by the target's version"
        );
    }
    Ok(rest)
}

pub(super) fn shortened(difference: &Difference) -> String {
    let text = difference
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if text.chars().count() > 300 {
        text.chars().take(300).chain("...".chars()).collect()
    } else {
        text
    }
}

/// Holds a part's rows on both sides against each other: what was sent against what is read back, or else the checksums that
/// the stores make of them.
pub(super) async fn compare(run: &TaskRun, complete: &dyn Complete, part: &Part) -> Result<()> {
    if let Some(sent) = run.sent.take(part)
        && let Some(chunks) = complete.read_back(part).await?
        && let Some(found) = sum_of(run, part, chunks).await?
    {
        return agree(part, (sent.rows, sent), (found.rows, found));
    }
    if run.is_altered(part) {
        let what = format!("{}: nothing was summed up of what was sent", part.label());
        return Err(Error::new(Kind::Internal, what));
    }
    if run.source.in_order().is_some() {
        // Its rows are gone. That all of them were taken was seen then.
        tracing::warn!(
            part = part.label(),
            "is not read back as it was sent, and has no checksum: its rows were counted"
        );
        return Ok(());
    }
    let (source, target) = tokio::try_join!(run.source.checksum(part), complete.checksum(part))?;
    agree(part, (source.rows, source), (target.rows, target))
}

/// Whether rows are as many on both sides, and their sums equal.
fn agree<T: PartialEq>(part: &Part, source: (u64, T), target: (u64, T)) -> Result<()> {
    if source == target {
        return Ok(());
    }
    let what = if source.0 == target.0 {
        "the checksums of its rows differ".to_owned()
    } else {
        format!(
            "{} rows on the source and {} on the target",
            source.0, target.0
        )
    };
    Err(Error::new(
        Kind::Verify,
        format!("{}: {what}", part.label()),
    ))
}
