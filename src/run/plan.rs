//! Plan: what a run would do, with sizes. Nothing is locked, nothing is changed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::admission::admit;
use super::context::RunContext;
use super::masks;
use super::task_run::{TaskRun, open_all, span};
use crate::config::job::Publish;
use crate::error::Result;
use crate::state::State;
use crate::store::{self, Codec, Fate, Prospect, Selection, Survey};
use tracing::Instrument;

/// The plan of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The format's version.
    pub version: u32,
    /// The job.
    pub job: String,
    /// Where from.
    pub from: String,
    /// Where to.
    pub to: String,
    /// Its tasks.
    pub tasks: Vec<TaskPlan>,
}

/// What one task would do.
#[derive(Debug, Clone, Serialize)]
pub struct TaskPlan {
    /// Its name.
    pub name: String,
    /// Its store.
    pub kind: String,
    /// The source's server.
    pub source_version: String,
    /// The target's server.
    pub target_version: String,
    /// Workers.
    pub jobs: usize,
    /// Estimated bytes, as stored on the source.
    pub bytes: u64,
    /// Estimated rows.
    pub rows: u64,
    /// What is copied, biggest first.
    pub parts: Vec<PartPlan>,
    /// What is not copied whole, and what becomes of it.
    pub left_out: Vec<LeftOut>,
    /// How it becomes live: `swap` or `in_place`.
    pub publish: &'static str,
    /// Whether a run in place has emptied live and not loaded it.
    pub broken: bool,
    /// At most so many bytes a second are read.
    pub throttle: Option<u64>,
    /// Reading pauses above this lag of the source's replication, in seconds.
    pub max_replication_lag_seconds: Option<f64>,
    /// Scripts that run on incoming.
    pub scripts: Vec<String>,
    /// The room that the target has, where that can be seen from here.
    pub room: Option<RoomPlan>,
}

/// The room that a target has.
#[derive(Debug, Clone, Serialize)]
pub struct RoomPlan {
    /// The directory.
    pub place: String,
    /// Bytes that are free there.
    pub free: u64,
}

/// One part.
#[derive(Debug, Clone, Serialize)]
pub struct PartPlan {
    /// Its name.
    pub name: String,
    /// Estimated rows.
    pub rows: u64,
    /// Estimated bytes.
    pub bytes: u64,
    /// How its rows travel.
    pub encoding: &'static str,
    /// Which of its rows are copied; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// Its masked columns, each with the kinds of its masks.
    pub masks: Vec<MaskPlan>,
}

/// A masked column.
#[derive(Debug, Clone, Serialize)]
pub struct MaskPlan {
    /// Its name.
    pub column: String,
    /// The kinds of its masks.
    pub kind: String,
    /// What becomes of an invented value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// An invented value, and what a mask makes of it.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// The value, which is nobody's.
    pub value: String,
    /// What it becomes.
    pub becomes: String,
}

/// A table that is not copied whole.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// `excluded`, `schema only`, `kept`.
    pub fate: &'static str,
}

/// Surveys every task of a job, with the run's own checks. `history`: what came of earlier runs, if there is a state store.
pub async fn plan(context: Arc<RunContext>, history: Option<&State>) -> Result<Plan> {
    admit(&context, history)?;
    let mut runs = Vec::new();
    let planned = tokio::select! {
        planned = all(&context, &mut runs) => planned,
        error = context.cancelled() => Err(error),
    };
    for run in &runs {
        run.close().await;
    }
    let tasks = planned?;
    Ok(Plan {
        version: 1,
        job: context.job.name.to_string(),
        from: context.job.from.to_string(),
        to: context.job.to.to_string(),
        tasks,
    })
}

async fn all(context: &RunContext, runs: &mut Vec<Arc<TaskRun>>) -> Result<Vec<TaskPlan>> {
    open_all(context, runs).await?;
    let mut tasks = Vec::new();
    // Targets may share a file system.
    let mut needed: HashMap<PathBuf, u64> = HashMap::new();
    for run in runs {
        let planned = of(context, run).instrument(span(&run.task)).await;
        let mut planned =
            planned.map_err(|error| error.within(format!("task {}", run.task.name)))?;
        if let Some(room) = run.target.room().await {
            let needed = needed.entry(room.place.clone()).or_default();
            *needed += planned.bytes;
            // In place, the room of what is live is there, too.
            if run.task.publish == Publish::Swap && room.is_short_of(*needed) {
                tracing::warn!(
                    task = run.task.name,
                    place = %room.place.display(),
                    free = room.free,
                    needed = *needed,
                    "what is copied may not fit: free room there is less than what it is on the source"
                );
            }
            planned.room = Some(RoomPlan {
                place: room.place.display().to_string(),
                free: room.free,
            });
        }
        tasks.push(planned);
    }
    Ok(tasks)
}

async fn of(context: &RunContext, run: &TaskRun) -> Result<TaskPlan> {
    run.pace.check().await?;
    let taker = run.target.taker().await?;
    if let Some(source) = run.source.deferred() {
        return planned_of(run, taker.to_string(), &source.prospect()).await;
    }
    let mut survey = run.source.survey(&taker).await?;
    warn_unmatched(&run.context.selection, &survey);
    masks::resolve(context, run, &mut survey).await?;
    run.target.check(&survey).await?;
    super::scripts::look(run).await?;
    Ok(TaskPlan {
        source_version: survey.server.version.clone(),
        bytes: survey.parts.iter().map(|part| part.bytes).sum(),
        rows: survey.parts.iter().map(|part| part.rows).sum(),
        parts: survey
            .whole()
            .iter()
            .map(|part| PartPlan {
                name: part.label(),
                rows: part.rows,
                bytes: part.bytes,
                encoding: store::registry::codec(run.task.kind, part).map_or("", Codec::summary),
                chosen: run.masks.rows_of(&part.label()),
                masks: (run.masks.told(&part.label()).into_iter())
                    .map(|told| MaskPlan {
                        column: told.column,
                        kind: told.kinds,
                        example: told
                            .example
                            .map(|(value, becomes)| Example { value, becomes }),
                    })
                    .collect(),
            })
            .collect(),
        left_out: survey
            .left_out
            .iter()
            .map(|(name, fate)| LeftOut {
                name: name.clone(),
                fate: match fate {
                    Fate::Copy => "copied",
                    Fate::Exclude => "excluded",
                    Fate::SchemaOnly => "schema only",
                    Fate::Keep => "kept",
                },
            })
            .collect(),
        ..bare(run, taker.to_string()).await?
    })
}

/// Of a source that is not there yet: the file that it is made of.
async fn planned_of(run: &TaskRun, version: String, prospect: &Prospect) -> Result<TaskPlan> {
    super::scripts::look(run).await?;
    Ok(TaskPlan {
        source_version: "dump".to_owned(),
        bytes: prospect.bytes,
        parts: vec![PartPlan {
            name: prospect.name.clone(),
            rows: 0,
            bytes: prospect.bytes,
            encoding: "dump",
            chosen: None,
            masks: Vec::new(),
        }],
        ..bare(run, version).await?
    })
}

/// What is known without the source.
async fn bare(run: &TaskRun, target_version: String) -> Result<TaskPlan> {
    Ok(TaskPlan {
        name: run.task.name.clone(),
        kind: run.task.kind.to_string(),
        source_version: String::new(),
        target_version,
        jobs: run.context.workers,
        bytes: 0,
        rows: 0,
        parts: Vec::new(),
        left_out: Vec::new(),
        publish: match run.task.publish {
            Publish::Swap => "swap",
            Publish::InPlace => "in_place",
        },
        broken: run.is_broken().await?,
        throttle: run.task.throttle,
        max_replication_lag_seconds: run.task.max_replication_lag.map(|lag| lag.as_secs_f64()),
        scripts: run
            .task
            .scripts
            .iter()
            .map(|file| file.display().to_string())
            .collect(),
        room: None,
    })
}

/// A glob that matches nothing is most likely misspelt.
pub(super) fn warn_unmatched(selection: &Selection, survey: &Survey) {
    // Of a store without schemas the dot is the name's own; where no part tells, it may be either.
    let has_schemas =
        (!survey.parts.is_empty()).then(|| survey.parts.iter().any(|part| part.schema.is_some()));
    let left_out: Vec<(Option<&str>, &str)> = survey
        .left_out
        .iter()
        .flat_map(|(label, _)| {
            let split = label
                .split_once('.')
                .filter(|_| has_schemas != Some(false))
                .map(|(schema, name)| (Some(schema), name));
            let whole = (has_schemas != Some(true) || split.is_none()).then_some((None, &**label));
            split.into_iter().chain(whole)
        })
        .collect();
    let all = survey
        .parts
        .iter()
        .map(|part| (part.schema.as_deref(), part.name.as_str()))
        .chain(left_out);
    for glob in selection.unmatched(all) {
        tracing::warn!(glob, "matches no table of the source");
    }
}
