//! Coverage: in front of an environment that requires masks, every column is decided on.

use super::tables::{On, Table, config};
use crate::config::job::{Job, Task};
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Type};
use crate::store::selection::Globs;
use crate::store::{self, Form};

/// How many columns an error names.
const NAMED: usize = 12;

/// Whether the environment that the run goes to requires masks.
pub(in crate::run) fn is_required(job: &Job) -> bool {
    let rules = job.environments.get(&job.to);
    rules.is_some_and(|rules| rules.require_masks)
}

/// Refuses to pull a dump into an environment that requires masks: it is restored raw, and says nothing of masks.
pub(in crate::run) fn refuse_raw_dumps(job: &Job) -> Result<()> {
    let mut pulling = job.tasks.iter();
    let is_raw = |task: &&Task| {
        let dumps = store::registry::dumps(task.kind);
        task.pulls() && task.dumps() && dumps.is_ok_and(store::Dumps::are_raw)
    };
    match pulling.find(is_raw) {
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

/// What the task says of columns that are not personal: of each pass its tables, and its columns.
pub(super) struct Passes(Vec<(Globs, Globs)>);

impl Passes {
    pub(super) fn of(task: &Task) -> Result<Self> {
        let ignores_case = store::registry::driver(task.kind)?.ignores_case();
        let passes = task.passes.iter().map(|pass| {
            let tables = Globs::new("pass", &pass.tables, ignores_case)?;
            Ok((tables, Globs::new("pass", &pass.columns, ignores_case)?))
        });
        passes.collect::<Result<_>>().map(Self)
    }

    /// The columns that are passed of a table.
    fn of_table(&self, table: &Table<'_>) -> Vec<&Globs> {
        let is_of_table = |(tables, _): &&(Globs, Globs)| {
            let mut names = table.shape.names.iter();
            names.any(|(schema, name)| tables.are_for(schema.as_deref(), name))
        };
        let passes = self.0.iter().filter(is_of_table);
        passes.map(|(_, columns)| columns).collect()
    }

    /// The places of a table's columns that nobody has decided on.
    fn undecided(&self, table: &Table<'_>) -> Vec<usize> {
        let passed = self.of_table(table);
        let columns = table.shape.columns.iter().zip(&table.kinds).enumerate();
        let undecided = columns.filter(|(_, (column, kinds))| {
            let is_harmless = column.is_masked
                || column.form == Form::RowNumber
                || matches!(column.column.kind, Type::Boolean | Type::Enum(_));
            let is_masked = kinds.iter().any(On::covers);
            let name = &column.column.name;
            !is_harmless && !is_masked && !passed.iter().any(|globs| globs.are_for(None, name))
        });
        undecided.map(|(place, _)| place).collect()
    }

    /// What is no table, and has to be passed as a whole.
    fn is_unpassed_whole(&self, table: &Table<'_>) -> bool {
        table.shape.columns.is_empty()
            && table.shape.unmaskable.is_some()
            && !self
                .of_table(table)
                .iter()
                .any(|globs| globs.are_for(None, "*"))
    }
}

/// Lets columns that nobody has decided on arrive as NULL. One that takes none is an error.
pub(super) fn empty_unlisted(passes: &Passes, tables: &mut [Table<'_>]) -> Result<()> {
    for table in tables {
        let places = passes.undecided(table);
        if places.is_empty() {
            continue;
        }
        if let Some(why) = &table.shape.unmaskable {
            let what = format!("table {} cannot be masked: {why}", table.label());
            return Err(config(what).hint(
                "name its columns in [[task.pass]] with a reason, or leave it out with `exclude`",
            ));
        }
        let columns = &table.shape.columns;
        let name = |place: &usize| columns[*place].column.name.as_str();
        let takes_none: Vec<&str> = (places.iter())
            .filter(|place| !columns[**place].column.is_nullable)
            .map(name)
            .collect();
        if !takes_none.is_empty() {
            let what = format!(
                "table {}: nobody has decided on {}, and NULL cannot be put into it",
                table.label(),
                takes_none.join(", ")
            );
            return Err(Error::new(Kind::Policy, what)
                .hint("mask each by [[task.mask]], or name it in [[task.pass]] with a reason"));
        }
        let names: Vec<&str> = places.iter().map(name).collect();
        tracing::warn!(
            table = table.label(),
            columns = names.join(", "),
            "nobody has decided on these columns: they arrive empty"
        );
        for place in places {
            table.kinds[place] = vec![On {
                number: None,
                kind: mask::Kind::null(),
                is_conditional: false,
            }];
        }
    }
    Ok(())
}

/// Refuses a run into an environment that requires masks, unless every column is masked or passed, or can hold nothing personal.
pub(super) fn require(job: &Job, passes: &Passes, tables: &[Table<'_>]) -> Result<()> {
    if !is_required(job) {
        return Ok(());
    }
    let mut undecided = Vec::new();
    for table in tables {
        if passes.is_unpassed_whole(table) {
            undecided.push(table.part.label());
        }
        for place in passes.undecided(table) {
            let column = &table.shape.columns[place].column.name;
            undecided.push(format!("{}.{column}", table.part.label()));
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
