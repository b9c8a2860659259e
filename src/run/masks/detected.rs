//! Columns that look personal, by a sample of their rows; in front of an environment with `require_masks = "detected"` each of
//! them is masked or passed.

use super::coverage;
use super::passes::Passes;
use super::rows::unhex;
use super::tables::{On, Table};
use crate::config::job::{Job, Task};
use crate::error::{Error, Kind, Result};
use crate::mask::detect::{self, Finding, Subject};
use crate::policy::RequireMasks;
use crate::store::{Comment, Form, Part, Sample, Shape, Source};

/// So many rows of a table are looked at, unless somebody says otherwise.
pub const ROWS: u64 = 1_000;

/// What a table's columns look like, each at its place.
pub(in crate::run) fn findings(
    shape: &Shape,
    part: &Part,
    sample: &Sample,
    comments: &[Comment],
) -> Vec<Option<Finding>> {
    let (_, table) = shape.names.first().cloned().unwrap_or_default();
    let of_table = |comment: &&Comment| {
        let mut names = shape.names.iter();
        names.any(|(schema, name)| *schema == comment.schema && *name == comment.table)
    };
    let comments: Vec<&Comment> = comments.iter().filter(of_table).collect();
    let columns = shape.columns.iter().enumerate().map(|(place, column)| {
        // What the store numbers by itself, and what was masked before it came here.
        if column.form == Form::RowNumber || column.is_masked {
            return None;
        }
        let name = &column.column.name;
        let values: Vec<Vec<u8>> = sample
            .rows
            .iter()
            .filter_map(|row| row.get(place)?.as_deref())
            .map(|value| plain(value, column.form))
            .collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let of_column =
            |comment: &&&Comment| comment.column.as_ref().is_none_or(|column| column == name);
        let comments: Vec<&str> = comments
            .iter()
            .filter(of_column)
            .map(|comment| comment.text.as_str())
            .collect();
        let is_unique = shape
            .unique
            .iter()
            .any(|unique| unique.columns.contains(name));
        detect::look(&Subject {
            table: &table,
            column: &column.column,
            type_name: &column.type_name,
            comments: &comments,
            unique: is_unique.then_some(part.rows.max(values.len() as u64)),
            is_opaque: column.form == Form::Opaque,
            values: &values,
        })
    });
    columns.collect()
}

/// Bytes that come as digits, as bytes.
fn plain(value: &[u8], form: Form) -> Vec<u8> {
    if form == Form::Hex {
        let digits = value.strip_prefix(b"\\x").unwrap_or(value);
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        if unhex(&digits[..digits.len() & !1], &mut bytes) {
            return bytes;
        }
    }
    value.to_vec()
}

/// Refuses a run into an environment that wants what looks personal masked or passed, unless it is.
pub(super) async fn require(
    job: &Job,
    task: &Task,
    source: &dyn Source,
    tables: &[Table<'_>],
) -> Result<()> {
    if coverage::required(job) != RequireMasks::Detected {
        return Ok(());
    }
    let Some(samples) = source.samples() else {
        return require_known(job, task, tables);
    };
    let passes = Passes::of(task)?;
    let comments = samples.comments().await?;
    let mut undecided = Vec::new();
    for table in tables {
        let is_decided = |name: &str, kinds: &[On]| {
            kinds.iter().any(On::covers) || passes.reason(table.shape, name).is_some()
        };
        let columns = || table.shape.columns.iter().zip(&table.kinds);
        if table.shape.columns.is_empty() && !is_decided("*", &[]) {
            undecided.push(table.label());
        }
        if columns().all(|(column, kinds)| is_decided(&column.column.name, kinds)) {
            continue;
        }
        let sample = samples.sample(table.part, ROWS).await?;
        let found = findings(table.shape, table.part, &sample, &comments);
        for ((column, kinds), found) in columns().zip(found) {
            if let Some(found) = found
                && !is_decided(&column.column.name, kinds)
            {
                undecided.push(format!(
                    "{}.{} ({})",
                    table.label(),
                    column.column.name,
                    found.class
                ));
            }
        }
    }
    refuse(job, &undecided)
}

/// Of what cannot be looked into, an archive: what its manifest does not say to be masked has to be passed.
fn require_known(job: &Job, task: &Task, tables: &[Table<'_>]) -> Result<()> {
    let passes = Passes::of(task)?;
    let mut undecided = Vec::new();
    for table in tables {
        for column in table
            .shape
            .columns
            .iter()
            .filter(|column| !column.is_masked)
        {
            if passes.reason(table.shape, &column.column.name).is_none() {
                undecided.push(format!("{}.{}", table.label(), column.column.name));
            }
        }
    }
    refuse(job, &undecided)
}

fn refuse(job: &Job, undecided: &[String]) -> Result<()> {
    if undecided.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Policy,
        format!(
            "`{}` requires masks for what looks personal, and nothing is said of {}",
            job.to,
            coverage::named(undecided)
        ),
    )
    .hint("mask each by [[task.mask]], or name it in [[task.pass]] with a reason; envsyncd scan says why it looks so, and writes both"))
}
