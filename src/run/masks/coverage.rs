//! Coverage: in front of an environment that requires masks, every column is decided on.

use super::passes::Passes;
use super::tables::{On, Table, config};
use crate::config::job::{Job, Task};
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Type};
use crate::policy::RequireMasks;
use crate::store::{ByName, Form};

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

/// The places of a table's columns that nobody has decided on.
fn undecided(passes: &Passes<'_>, table: &Table<'_>) -> Vec<usize> {
    let columns = table.shape.columns.iter().zip(&table.kinds).enumerate();
    let undecided = columns.filter(|(_, (column, kinds))| {
        let is_harmless = column.is_masked
            || column.form == Form::RowNumber
            || matches!(column.column.kind, Type::Boolean | Type::Enum(_));
        let is_masked = kinds.iter().any(On::covers);
        let is_passed = || passes.reason(table.shape, &column.column.name).is_some();
        !is_harmless && !is_masked && !is_passed()
    });
    undecided.map(|(place, _)| place).collect()
}

/// Lets columns that nobody has decided on arrive as NULL. One that takes none is an error.
pub(in crate::run) fn empty_unlisted(passes: &Passes<'_>, tables: &mut [Table<'_>]) -> Result<()> {
    for table in tables {
        let places = undecided(passes, table);
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
pub(super) fn require(job: &Job, passes: &Passes<'_>, tables: &[Table<'_>]) -> Result<()> {
    if required(job) != RequireMasks::Every {
        return Ok(());
    }
    let mut found = Vec::new();
    for table in tables {
        // What is no table has to be passed as a whole.
        let is_none = table.shape.columns.is_empty() && table.shape.unmaskable.is_some();
        if is_none && passes.reason(table.shape, "*").is_none() {
            found.push(table.part.label());
        }
        for place in undecided(passes, table) {
            let column = &table.shape.columns[place].column.name;
            found.push(format!("{}.{column}", table.part.label()));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Policy,
        format!(
            "`{}` requires masks, and {} not decided on: {}",
            job.to,
            if found.len() == 1 { "a column is" } else { "columns are" },
            named(&found)
        ),
    )
    .hint("mask each by [[task.mask]], name it in [[task.pass]] with a reason, or leave its table out with `exclude`"))
}

/// Refuses a run into an environment that requires masks, unless all that is copied is passed by its name.
pub(super) async fn require_by_name(job: &Job, source: &dyn ByName) -> Result<()> {
    if !is_required(job) {
        return Ok(());
    }
    let (first, all) = source.unnamed().await?;
    if all == 0 {
        return Ok(());
    }
    let told = match all - first.len() as u64 {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    };
    let what = format!(
        "`{}` requires masks, and nobody has decided on {told}",
        job.to
    );
    Err(Error::new(Kind::Policy, what).hint(
        "name what is not personal in [[task.pass]] with a reason, and leave the rest out with `exclude`",
    ))
}

/// The first of these columns, and how many more there are.
pub(super) fn named(columns: &[String]) -> String {
    let first = columns[..columns.len().min(NAMED)].join(", ");
    match columns.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
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
