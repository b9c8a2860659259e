//! Coverage: in front of an environment that requires masks, every column is decided on.

use super::context::RunContext;
use super::masks::Table;
use crate::config::job::{Pass, Task};
use crate::error::{Error, Kind, Result};
use crate::mask::Type;
use crate::store::selection::is_one_of;
use crate::store::{self, Form};

/// How many columns an error names.
const NAMED: usize = 12;

/// Whether the environment that the run goes to requires masks.
pub(super) fn is_required(context: &RunContext) -> bool {
    let rules = context.job.environments.get(&context.job.to);
    rules.is_some_and(|rules| rules.require_masks)
}

/// Refuses to pull a dump into an environment that requires masks: it is restored raw, and says nothing of masks.
pub(super) fn refuse_raw_dumps(context: &RunContext) -> Result<()> {
    let mut pulling = context.job.tasks.iter();
    match pulling.find(|task| task.pulls() && task.dumps()) {
        Some(task) if is_required(context) => Err(Error::new(
            Kind::Policy,
            format!(
                "`{}` requires masks, and task `{}` restores a dump, whose rows cannot be masked on their way",
                context.job.to, task.name
            ),
        )
        .hint("copy from the environment itself, or pull a snapshot of envsyncd's own that was masked when it was pushed")),
        _ => Ok(()),
    }
}

/// Refuses a run into an environment that requires masks, unless every column is masked or passed, or can hold nothing personal.
pub(super) fn require(context: &RunContext, task: &Task, tables: &[Table<'_>]) -> Result<()> {
    if !is_required(context) {
        return Ok(());
    }
    let ignores_case = store::registry::driver(task.kind)?.ignores_case();
    let mut undecided = Vec::new();
    for table in tables {
        let passes: Vec<&Pass> = task
            .passes
            .iter()
            .filter(|pass| {
                let names = table.shape.names.iter();
                let names = names.map(|(schema, name)| (schema.as_deref(), name.as_str()));
                is_one_of(&pass.tables, ignores_case, names)
            })
            .collect();
        let is_passed = |column: &str| {
            let mut globs = passes.iter().flat_map(|pass| &pass.columns);
            globs.any(|glob| {
                is_one_of(
                    std::slice::from_ref(glob),
                    ignores_case,
                    [(None, column)].into_iter(),
                )
            })
        };
        // What is no table.
        if table.shape.columns.is_empty() && table.shape.unmaskable.is_some() && !is_passed("*") {
            undecided.push(table.part.label());
        }
        for (column, kinds) in table.shape.columns.iter().zip(&table.kinds) {
            let is_harmless = column.is_masked
                || column.form == Form::RowNumber
                || matches!(column.column.kind, Type::Boolean | Type::Enum(_));
            let is_masked = kinds.iter().any(super::masks::On::covers);
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
            context.job.to,
            if undecided.len() == 1 { "a column is" } else { "columns are" },
            named.join(", ")
        ),
    )
    .hint("mask each by [[task.mask]], name it in [[task.pass]] with a reason, or leave its table out with `exclude`"))
}
