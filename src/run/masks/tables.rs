//! Tables with the kinds that a task's masks put on their columns.

use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::mask;
use crate::store::{Form, Part, Shape};

/// A kind on a column: of which mask, and whether that has a condition.
#[derive(Debug, Clone)]
pub(in crate::run) struct On {
    /// The mask's number in the task; `None`: it follows from a foreign key.
    pub(in crate::run) number: Option<usize>,
    pub(in crate::run) kind: mask::Kind,
    pub(in crate::run) is_conditional: bool,
}

impl On {
    /// Whether nothing of the column's values is left in any row.
    pub(in crate::run) fn covers(&self) -> bool {
        !self.is_conditional && self.kind.is_cover()
    }
}

/// A table with the kinds that are on its columns, by their places.
pub(in crate::run) struct Table<'a> {
    pub(in crate::run) shape: &'a Shape,
    pub(in crate::run) part: &'a Part,
    pub(in crate::run) kinds: Vec<Vec<On>>,
}

impl Table<'_> {
    pub(in crate::run) fn label(&self) -> String {
        self.part.label()
    }

    pub(in crate::run) fn place(&self, column: &str) -> Option<usize> {
        let mut columns = self.shape.columns.iter();
        columns.position(|one| one.column.name == column)
    }

    /// Whether its rows pass a mask, if only as the truth of conditions stands in front of them.
    pub(in crate::run) fn is_masked(&self) -> bool {
        !self.shape.masks.is_empty() || self.kinds.iter().any(|kinds| !kinds.is_empty())
    }
}

/// The kinds on a table's columns, in the order of masks. One that names a column that the table does not have is an error,
/// unless it is for tables by a glob.
pub(in crate::run) fn kinds(task: &Task, shape: &Shape) -> Result<Vec<Vec<On>>> {
    let mut kinds: Vec<Vec<On>> = vec![Vec::new(); shape.columns.len()];
    if let (Some(why), false) = (&shape.unmaskable, shape.masks.is_empty()) {
        return Err(config(format!(
            "table {} cannot be masked: {why}",
            shape.label()
        )));
    }
    for number in &shape.masks {
        // Of a reference, which is followed later.
        let Some(rule) = task.masks.get(*number) else {
            continue;
        };
        for (name, kind) in &rule.columns {
            let mut columns = shape.columns.iter();
            let Some(place) = columns.position(|one| one.column.name == *name) else {
                if rule.tables.iter().any(|glob| is_pattern(glob)) {
                    continue;
                }
                let known: Vec<&str> = shape.columns.iter().map(|one| &*one.column.name).collect();
                let what = format!(
                    "table {} has no column {name} that a mask could be on",
                    shape.label()
                );
                return Err(config(what).hint(format!(
                    "it has {}; mend the [[task.mask]], or take the column out of it",
                    known.join(", ")
                )));
            };
            let column = &shape.columns[place];
            if column.form == Form::RowNumber {
                let what = format!(
                    "table {}: {name} is the number of a row, and no column",
                    shape.label()
                );
                return Err(config(what).hint("take it out of the [[task.mask]]"));
            }
            if column.form == Form::Opaque && kind.name() != "null" {
                let what = format!(
                    "table {}, column {name}: values of the type {} travel in a form of their own",
                    shape.label(),
                    column.type_name
                );
                return Err(config(what).hint("the kind null fits"));
            }
            kinds[place].push(On {
                number: Some(*number),
                kind: kind.clone(),
                is_conditional: rule.condition.is_some(),
            });
        }
    }
    Ok(kinds)
}

fn is_pattern(glob: &str) -> bool {
    glob.contains(['*', '?', '['])
}

/// Warns of masks on what decides to which partition a row belongs: rows are written to the partition that they are read from,
/// and the store refuses one that does not belong there any more.
pub(super) fn warn_of_partition(table: &Table<'_>) {
    let mut columns: Vec<&str> = Vec::new();
    for name in &table.shape.partitioned_by {
        let place = table.place(name);
        if place.is_some_and(|place| !table.kinds[place].is_empty()) {
            columns.push(name);
        }
    }
    if !columns.is_empty() {
        tracing::warn!(
            table = table.label(),
            columns = columns.join(", "),
            "a partition's rows are in it by masked columns: the run fails if the mask takes one out of its partition"
        );
    }
}

/// Warns of what rows have to satisfy, and looks at masked values: the store decides when they come.
pub(super) fn warn_of_checks(table: &Table<'_>) {
    for check in &table.shape.checks {
        let is_masked = |name: &&String| {
            let kinds = table
                .place(name)
                .map_or(&[][..], |place| &table.kinds[place]);
            // NULL satisfies a CHECK, unless that says otherwise.
            kinds.iter().any(|on| on.kind.name() != "null")
        };
        let mut columns: Vec<&str> = check
            .columns
            .iter()
            .filter(is_masked)
            .map(String::as_str)
            .collect();
        columns.sort_unstable();
        columns.dedup();
        if !columns.is_empty() {
            tracing::warn!(
                table = table.label(),
                check = check.name,
                columns = columns.join(", "),
                "a CHECK looks at masked columns: the run fails if it refuses what the mask makes"
            );
        }
    }
}

/// Refuses masks that would make values one in a column where they have to stay unique.
pub(super) fn keep_unique(table: &Table<'_>) -> Result<()> {
    for unique in &table.shape.unique {
        for name in &unique.columns {
            let Some(place) = table.place(name) else {
                continue;
            };
            for on in &table.kinds[place] {
                let column = &table.shape.columns[place].column;
                let uniqueness = on.kind.uniqueness(column);
                let is_enough = match uniqueness {
                    mask::Uniqueness::Nulls => !unique.is_one_null,
                    other => other.is_enough_for(table.part.rows),
                };
                if !is_enough {
                    let what = format!(
                        "table {}, column {name}: {} does not keep values distinct ({uniqueness}), and {} needs that of about {} rows",
                        table.label(),
                        on.kind.name(),
                        unique.name,
                        table.part.rows
                    );
                    return Err(config(what).hint(
                        "take a kind that does: email, username, hash or uuid, or template with {hash}; `docs/reference/masks.md` says it of each",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The error of masks that cannot work.
pub(super) fn config(what: String) -> Error {
    Error::new(Kind::Config, what)
}
