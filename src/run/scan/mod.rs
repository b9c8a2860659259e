//! Scan: what of a job's sources looks personal and what covers it ([`scan`]); what of it is still to be seen in its targets
//! ([`target::scan`]); masks and passes for what nothing is said of ([`write`]). Reads samples, and changes nothing.

pub mod target;
pub mod write;

use serde::{Serialize, Serializer};
use tracing::Instrument as _;

use super::admission::admit;
use super::context::RunContext;
use super::masks::coverage::empty_unlisted;
use super::masks::detected;
use super::masks::passes::Passes;
use super::masks::references::{follow_references, with_known_references};
use super::masks::tables::{On, Table, kinds};
use super::task_run::span;
use crate::archive;
use crate::config::job::{Task, Unlisted};
use crate::error::{Error, Kind, Result};
use crate::mask::detect::{Class, Confidence, Finding};
use crate::state::State;
use crate::store::{
    Comment, Context, Fate, Form, Part, Sample, Samples, Shape, Source, Survey, Taker,
};

pub use super::masks::detected::ROWS;

/// What a job's sources have that looks personal.
#[derive(Debug, Clone, Serialize)]
pub struct Scan {
    /// The format's version.
    pub version: u32,
    /// The job.
    pub job: String,
    /// Its tasks.
    pub tasks: Vec<TaskScan>,
}

/// What one task's source has.
#[derive(Debug, Clone, Serialize)]
pub struct TaskScan {
    /// Its name.
    pub name: String,
    /// Its store.
    pub kind: String,
    /// The tables that are copied.
    pub tables: Vec<TableScan>,
    /// The tables whose rows are not.
    pub left_out: Vec<String>,
}

/// A table.
#[derive(Debug, Clone, Serialize)]
pub struct TableScan {
    /// `schema.table`, or the name alone.
    pub name: String,
    /// Its name, or that of the table that it is a partition or a child of.
    #[serde(skip)]
    pub root: String,
    /// How many rows were looked at.
    pub rows: u64,
    /// Its columns.
    pub columns: Vec<ColumnScan>,
}

/// A column.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnScan {
    /// Its name.
    pub name: String,
    /// Its type, as the store calls it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What it looks like, if that is something personal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// What covers it.
    pub covered: Covered,
    /// The column that it refers to: table and name.
    #[serde(skip)]
    pub refers_to: Option<(String, String)>,
}

/// What a column looks like.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// What.
    #[serde(serialize_with = "class")]
    pub looks_like: Class,
    /// How sure that is.
    #[serde(serialize_with = "confidence")]
    pub confidence: Confidence,
    /// Why; never a value.
    pub why: Vec<String>,
    /// A kind that fits.
    pub kind: String,
    /// Whether that kind leaves parts of values.
    #[serde(skip)]
    pub leaves_parts: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
fn class<S: Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.as_str())
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
fn confidence<S: Serializer>(confidence: &Confidence, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(confidence.as_str())
}

/// What the job says of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Covered {
    /// It is masked, in all rows.
    Mask {
        /// The kinds.
        kind: String,
    },
    /// It is masked in some rows, or parts of its values are.
    Part {
        /// The kinds.
        kind: String,
    },
    /// It is passed.
    Pass {
        /// Why.
        reason: String,
    },
    /// Its values were masked before they came to where they are read.
    Before,
    /// Nothing.
    Nothing,
}

impl Covered {
    /// Whether somebody has decided on it.
    pub fn is_decided(&self) -> bool {
        !matches!(self, Self::Part { .. } | Self::Nothing)
    }
}

impl Scan {
    /// Columns that look personal, of which nothing is said.
    pub fn uncovered(&self) -> usize {
        let tables = self.tasks.iter().flat_map(|task| &task.tables);
        let columns = tables.flat_map(|table| &table.columns);
        columns
            .filter(|column| column.found.is_some() && !column.covered.is_decided())
            .count()
    }
}

/// Looks at so many rows of each table that the job's tasks copy. `history`: what came of earlier runs, if there is a state store.
pub async fn scan(context: &RunContext, history: Option<&State>, rows: u64) -> Result<Scan> {
    let of_task = async |task: &Task| of_task(context, task, rows).await;
    Ok(Scan {
        version: 1,
        job: context.job.name.to_string(),
        tasks: each_task(context, history, of_task).await?,
    })
}

/// Looks at one task after the other, until the job is cancelled.
async fn each_task<T>(
    context: &RunContext,
    history: Option<&State>,
    of_task: impl AsyncFn(&Task) -> Result<T>,
) -> Result<Vec<T>> {
    admit(context, history)?;
    let mut tasks = Vec::new();
    for task in &context.job.tasks {
        let scanned = tokio::select! {
            scanned = of_task(task).instrument(span(task)) => scanned,
            error = context.cancelled() => Err(error),
        };
        tasks.push(scanned.map_err(|error| error.within(format!("task {}", task.name)))?);
    }
    Ok(tasks)
}

/// What columns have to be known for.
fn describing(context: &RunContext, task: &Task) -> Result<Context> {
    let mut own = context.store_context(task)?;
    let mut selection = (*own.selection).clone();
    selection.describes_columns = true;
    own.selection = selection.into();
    Ok(own)
}

async fn of_task(context: &RunContext, task: &Task, rows: u64) -> Result<TaskScan> {
    let own = describing(context, task)?;
    let target = archive::open_target(task, &context.job.from, &own).await?;
    let taker = target.taker().await;
    target.close().await;
    let source = archive::open_source(task, &own).await?;
    let scanned = match taker {
        Ok(taker) => match surveyed(&*source, &taker).await {
            Ok(survey) => of_source(task, &own, &*source, &survey, rows).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    source.close().await;
    scanned
}

async fn surveyed(source: &dyn Source, taker: &Taker) -> Result<Survey> {
    if source.deferred().is_some() {
        return Err(unseen());
    }
    source.survey(taker).await
}

/// Of a source whose rows cannot be looked at: an archive.
fn unseen() -> Error {
    Error::new(Kind::Usage, "rows of an archive cannot be looked at")
        .hint("scan the job that pushes, on the host whose database it is")
}

async fn of_source(
    task: &Task,
    own: &Context,
    source: &dyn Source,
    survey: &Survey,
    rows: u64,
) -> Result<TaskScan> {
    let (Some(samples), Some(shapes)) = (source.samples(), source.shapes()) else {
        return Err(unseen());
    };
    let parts = survey.whole();
    let shapes = with_known_references(&own.selection, shapes.shapes(&parts).await?)?;
    let tables = with_kinds(task, &parts, &shapes)?;
    let passes = Passes::of(task)?;
    let comments = samples.comments().await?;
    let mut scanned = Vec::with_capacity(tables.len());
    for table in &tables {
        scanned.push(of_table(table, &passes, samples, &comments, rows).await?);
    }
    scanned.sort_by(|one, other| one.name.cmp(&other.name));
    let left_out = survey.left_out.iter();
    Ok(TaskScan {
        name: task.name.clone(),
        kind: task.kind.to_string(),
        tables: scanned,
        left_out: left_out
            .filter(|(_, fate)| *fate != Fate::Copy)
            .map(|(name, _)| name.clone())
            .collect(),
    })
}

async fn of_table(
    table: &Table<'_>,
    passes: &Passes<'_>,
    samples: &dyn Samples,
    comments: &[Comment],
    rows: u64,
) -> Result<TableScan> {
    let Table { shape, part, .. } = *table;
    let sample: Sample = samples.sample(part, rows).await?;
    let found = detected::findings(shape, part, &sample, comments);
    let columns = shape.columns.iter().zip(&table.kinds).zip(found);
    let columns = columns
        .filter(|((column, _), _)| column.form != Form::RowNumber)
        .map(|((column, kinds), found)| {
            let name = &column.column.name;
            ColumnScan {
                name: name.clone(),
                type_name: column.type_name.clone(),
                found: found.map(Found::from),
                covered: if column.is_masked {
                    Covered::Before
                } else {
                    covered(kinds, passes.reason(shape, name))
                },
                refers_to: refers_to(table, name),
            }
        });
    let root = shape
        .names
        .last()
        .map(|(schema, name)| labelled(schema.as_deref(), name));
    Ok(TableScan {
        name: table.label(),
        root: root.unwrap_or_else(|| table.label()),
        rows: sample.rows.len() as u64,
        columns: columns.collect(),
    })
}

fn labelled(schema: Option<&str>, name: &str) -> String {
    schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"))
}

fn refers_to(table: &Table<'_>, column: &str) -> Option<(String, String)> {
    table.shape.references.iter().find_map(|reference| {
        let place = reference.columns.iter().position(|one| one == column)?;
        let (schema, name) = &reference.table;
        Some((
            labelled(schema.as_deref(), name),
            reference.referenced.get(place)?.clone(),
        ))
    })
}

impl From<Finding> for Found {
    fn from(found: Finding) -> Self {
        Self {
            looks_like: found.class,
            confidence: found.confidence,
            why: found.why,
            kind: found.kind,
            leaves_parts: found.leaves_parts,
        }
    }
}

fn covered(kinds: &[On], passed: Option<&str>) -> Covered {
    let names: Vec<&str> = kinds.iter().map(|on| on.kind.name()).collect();
    let kind = names.join(", ");
    match passed {
        _ if kinds.iter().any(On::covers) => Covered::Mask { kind },
        Some(reason) => Covered::Pass {
            reason: reason.to_owned(),
        },
        None if kinds.is_empty() => Covered::Nothing,
        None => Covered::Part { kind },
    }
}

/// A source's tables, with the kinds on their columns.
fn with_kinds<'a>(task: &Task, parts: &'a [Part], shapes: &'a [Shape]) -> Result<Vec<Table<'a>>> {
    let mut tables = Vec::with_capacity(parts.len());
    for (part, shape) in parts.iter().zip(shapes) {
        tables.push(Table {
            shape,
            part,
            kinds: kinds(task, shape)?,
        });
    }
    follow_references(&mut tables)?;
    if task.unlisted == Unlisted::Null {
        empty_unlisted(&Passes::of(task)?, &mut tables)?;
        follow_references(&mut tables)?;
    }
    Ok(tables)
}
