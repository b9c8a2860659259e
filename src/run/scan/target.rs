//! What of a source is still to be seen in its target: a sample of the values of masked columns, searched for in a sample of the
//! target as it stands.

use std::collections::HashMap;

use serde::Serialize;

use super::{describing, each_task, surveyed, unseen, with_kinds};
use crate::archive;
use crate::config::job::{Task, Unlisted};
use crate::error::{Error, Kind, Result};
use crate::run::canary::{Haystack, Hit, Inside};
use crate::run::context::RunContext;
use crate::run::masks::references::with_known_references;
use crate::run::masks::tables::On;
use crate::run::masks::telling::{Hasher, is_telling};
use crate::run::masks::watch::is_watchable;
use crate::state::State;
use crate::store::{Context, Source, Taker};

/// So many rows of a table are looked at on each side, unless somebody says otherwise.
pub const ROWS: u64 = 10_000;

/// Masks out of a bank of names, and of short numbers, make another row's value now and then: in so many rows of a hundred.
const BY_CHANCE: u64 = 5;

/// What of a job's sources is to be seen in its targets.
#[derive(Debug, Clone, Serialize)]
pub struct TargetScan {
    /// The format's version.
    pub version: u32,
    /// The job.
    pub job: String,
    /// Its tasks.
    pub tasks: Vec<TaskTargetScan>,
}

/// What of one task's source is to be seen in its target.
#[derive(Debug, Clone, Serialize)]
pub struct TaskTargetScan {
    /// Its name.
    pub name: String,
    /// How many columns of the source are masked, and looked for.
    pub looked_for: usize,
    /// How many tables of the target were searched.
    pub tables: usize,
    /// Columns that have values of masked ones.
    pub seen: Vec<Seen>,
}

/// A column of the target that has values of a masked one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// `table.column` of the target.
    pub column: String,
    /// `table.column` of the source.
    pub of: String,
    /// In how many rows of the sample.
    pub rows: u64,
    /// Of how many.
    pub sampled: u64,
}

impl TargetScan {
    /// How many columns have values of masked ones.
    pub fn seen(&self) -> usize {
        self.tasks.iter().map(|task| task.seen.len()).sum()
    }
}

/// Looks at so many rows of each table on either side. `history`: what came of earlier runs, if there is a state store.
pub async fn scan(context: &RunContext, history: Option<&State>, rows: u64) -> Result<TargetScan> {
    let of_task = async |task: &Task| of_task(context, task, rows).await;
    Ok(TargetScan {
        version: 1,
        job: context.job.name.to_string(),
        tasks: each_task(context, history, of_task).await?,
    })
}

async fn of_task(context: &RunContext, task: &Task, rows: u64) -> Result<TaskTargetScan> {
    if task.pushes() {
        return Err(unseen());
    }
    if task.masks.is_empty() && task.unlisted != Unlisted::Null {
        return Err(Error::new(
            Kind::Usage,
            "masks nothing, and there is nothing to look for",
        )
        .hint("envsyncd scan without --target says what looks personal"));
    }
    let own = describing(context, task)?;
    let target = archive::open_target(task, &context.job.from, &own).await?;
    let taker = target.taker().await;
    target.close().await;
    let taker = taker?;
    let source = archive::open_source(task, &own).await?;
    let hay = haystack(task, &own, &*source, &taker, rows).await;
    source.close().await;
    let (haystack, masked) = hay?;
    let mut turned = task.clone();
    turned.source = task.target.clone();
    // Its tables are looked at as they are.
    turned.masks.clear();
    turned.rows.clear();
    turned.references.clear();
    turned.unlisted = Unlisted::Refuse;
    let live = archive::open_source(&turned, &context.store_context(&turned)?).await?;
    let found = search(&*live, &taker, &haystack, &masked, rows).await;
    live.close().await;
    let (tables, seen) = found?;
    Ok(TaskTargetScan {
        name: task.name.clone(),
        looked_for: haystack.columns(),
        tables,
        seen,
    })
}

/// Masked columns, by their tables' labels.
type Masked = HashMap<String, Vec<String>>;

/// A sample of the values of masked columns.
async fn haystack(
    task: &Task,
    own: &Context,
    source: &dyn Source,
    taker: &Taker,
    rows: u64,
) -> Result<(Haystack, Masked)> {
    let survey = surveyed(source, taker).await?;
    let (Some(samples), Some(shapes)) = (source.samples(), source.shapes()) else {
        return Err(unseen());
    };
    let parts = survey.whole();
    let shapes = with_known_references(&own.selection, shapes.shapes(&parts).await?)?;
    let mut haystack = Haystack::new(Hasher::default());
    let mut masked = Masked::new();
    for table in with_kinds(task, &parts, &shapes)? {
        if !table.is_masked() {
            continue;
        }
        let sample = samples.sample(table.part, rows).await?;
        for (place, (column, kinds)) in table.shape.columns.iter().zip(&table.kinds).enumerate() {
            if kinds.is_empty() {
                continue;
            }
            let name = &column.column.name;
            masked.entry(table.label()).or_default().push(name.clone());
            // Of a mask for some rows alone, the others are meant to be there.
            let is_sought =
                kinds.iter().all(|on| is_watchable(&on.kind)) && kinds.iter().any(On::covers);
            if !is_sought {
                continue;
            }
            let values = sample
                .rows
                .iter()
                .filter_map(|row| row.get(place)?.as_deref());
            let mut hashes: Vec<u64> = values
                .filter(|value: &&[u8]| is_telling(value))
                .map(|value| haystack.hasher().of(value))
                .collect();
            hashes.sort_unstable();
            let own = hashes.chunk_by(|one, other| one == other);
            // What stands in many rows is nobody's own.
            let own = own.filter(|same| same.len() <= 20 || same.len() * 100 <= sample.rows.len());
            let own: Vec<u64> = own.map(|same| same[0]).collect();
            haystack.add(format!("{}.{name}", table.label()), own.into_iter());
        }
    }
    Ok((haystack, masked))
}

async fn search(
    live: &dyn Source,
    taker: &Taker,
    haystack: &Haystack,
    masked: &Masked,
    rows: u64,
) -> Result<(usize, Vec<Seen>)> {
    let survey = surveyed(live, taker).await?;
    let Some(samples) = live.samples() else {
        return Err(unseen());
    };
    let mut seen = Vec::new();
    let parts = survey.whole();
    for part in &parts {
        let of_table = masked.get(&part.label());
        let is_masked =
            |column: &str| of_table.is_some_and(|columns| columns.iter().any(|one| one == column));
        let is_hit = |column: &str, _: u64, inside: Inside<'_>| match (
            is_masked(column),
            inside.is_rare(),
        ) {
            (false, _) | (true, true) => Some(true),
            (true, false) => inside.is_whole.then_some(false),
        };
        let hits = haystack.search(samples, part, rows, &is_hit).await?;
        seen.extend(
            hits.into_iter()
                .filter(is_more_than_chance)
                .map(|hit| Seen {
                    column: hit.found,
                    of: hit.of,
                    rows: hit.rows,
                    sampled: hit.sampled,
                }),
        );
    }
    Ok((parts.len(), seen))
}

fn is_more_than_chance(hit: &Hit) -> bool {
    hit.sure > 0 || hit.rows >= 3 && hit.rows * 100 >= hit.sampled * BY_CHANCE
}
