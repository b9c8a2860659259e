//! Coverage: in front of an environment that requires masks, every column is decided on.

use super::tables::{On, Table, config};
use crate::config::job::{Job, Task};
use crate::error::{Error, Kind, Result};
use crate::mask::Type;
use crate::policy::RequireMasks;
use crate::store::selection::Globs;
use crate::store::{self, Form};

/// How many columns an error names.
const NAMED: usize = 12;

/// Which columns the environment that the run goes to wants masked or passed.
pub(in crate::run) fn required(job: &Job) -> RequireMasks {
    let rules = job.environments.get(&job.to);
    rules.map_or(RequireMasks::No, |rules| rules.require_masks)
}

/// Whether the environment that the run goes to requires masks.
pub(in crate::run) fn is_required(job: &Job) -> bool {
    required(job) != RequireMasks::No
}

/// Refuses to pull a dump into an environment that requires masks: it is restored raw, and says nothing of masks.
pub(in crate::run) fn refuse_raw_dumps(job: &Job) -> Result<()> {
    let mut pulling = job.tasks.iter();
    match pulling.find(|task| task.pulls() && task.dumps()) {
        Some(task) if is_required(job) => Err(Error::new(
            Kind::Policy,
            format!(
                "`{}` requires masks, and task `{}` restores a dump, whose rows cannot be masked on their way",
                job.to, task.name
            ),
        )
        .hint("copy from the environment itself, or pull a snapshot of envsyncd's own that was masked when it was pushed")),
        _ => Ok(()),
    }
}

/// Refuses a run into an environment that requires masks, unless every column is masked or passed, or can hold nothing personal.
pub(super) fn require(job: &Job, task: &Task, tables: &[Table<'_>]) -> Result<()> {
    if required(job) != RequireMasks::Every {
        return Ok(());
    }
    let ignores_case = store::registry::driver(task.kind)?.ignores_case();
    // Of each pass: its tables, and its columns.
    let passes = task.passes.iter().map(|pass| {
        let tables = Globs::new("pass", &pass.tables, ignores_case)?;
        Ok((tables, Globs::new("pass", &pass.columns, ignores_case)?))
    });
    let passes: Vec<(Globs, Globs)> = passes.collect::<Result<_>>()?;
    let mut undecided = Vec::new();
    for table in tables {
        let is_of_table = |(tables, _): &&(Globs, Globs)| {
            let mut names = table.shape.names.iter();
            names.any(|(schema, name)| tables.are_for(schema.as_deref(), name))
        };
        let passed: Vec<&Globs> = (passes.iter().filter(is_of_table))
            .map(|(_, columns)| columns)
            .collect();
        let is_passed = |column: &str| passed.iter().any(|globs| globs.are_for(None, column));
        // What is no table.
        if table.shape.columns.is_empty() && table.shape.unmaskable.is_some() && !is_passed("*") {
            undecided.push(table.part.label());
        }
        for (column, kinds) in table.shape.columns.iter().zip(&table.kinds) {
            let is_harmless = column.is_masked
                || column.form == Form::RowNumber
                || matches!(column.column.kind, Type::Boolean | Type::Enum(_));
            let is_masked = kinds.iter().any(On::covers);
            if !is_harmless && !is_masked && !is_passed(&column.column.name) {
                undecided.push(format!("{}.{}", table.part.label(), column.column.name));
            }
        }
    }
    if undecided.is_empty() {
        return Ok(());
    }
    let named: Vec<&str> = undecided.iter().take(NAMED).map(String::as_str).collect();
    let rest = match undecided.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::new(
        Kind::Policy,
        format!(
            "`{}` requires masks, and {} not decided on: {}{rest}",
            job.to,
            if undecided.len() == 1 { "a column is" } else { "columns are" },
            named.join(", ")
        ),
    )
    .hint("mask each by [[task.mask]], name it in [[task.pass]] with a reason, or leave its table out with `exclude`"))
}

/// A mask that is for no table, or for none of whose columns, is most likely misspelt: where masks are required that is an error.
pub(super) fn look_for_unused(job: &Job, task: &Task, tables: &[Table<'_>]) -> Result<()> {
    for (number, rule) in task.masks.iter().enumerate() {
        let is_used = |name: Option<&str>| {
            let mut on = tables.iter().flat_map(|table| {
                let columns = table.shape.columns.iter().zip(&table.kinds);
                columns.flat_map(|(column, kinds)| {
                    kinds.iter().map(|on| (&*column.column.name, on.number))
                })
            });
            on.any(|(column, of)| of == Some(number) && name.is_none_or(|name| name == column))
        };
        let table = rule.tables.join(", ");
        let what = if is_used(None) {
            let mut columns = rule.columns.iter();
            match columns.find(|(name, _)| !is_used(Some(name))) {
                None => continue,
                Some((name, _)) => {
                    format!("no table that is copied and called {table} has the column {name}")
                }
            }
        } else {
            format!("the mask for {table} is for no table that is copied")
        };
        if is_required(job) {
            return Err(config(what).hint("mend the [[task.mask]], or take it out"));
        }
        tracing::warn!(mask = number + 1, what, "a mask has nothing to do");
    }
    Ok(())
}
