//! A task's masks, put on the tables that were surveyed: what cannot work is refused before a row is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use secrecy::ExposeSecret as _;

use super::context::RunContext;
use super::coverage;
use super::masking::TableMask;
use super::task_run::TaskRun;
use crate::config::job::{Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Key, RowMask, Rule};
use crate::store::{Form, Incoming, MaskedColumn, Masking, Part, Shape, Survey};

/// The masks of a task's tables. There are none before the survey.
#[derive(Default)]
pub(super) struct Masks(OnceLock<Compiled>);

/// Masks that are ready for rows.
#[derive(Default)]
struct Compiled {
    /// By the labels of their tables.
    tables: HashMap<String, Arc<TableMask>>,
    /// For those who will have to rely on it.
    record: Option<Masking>,
}

impl Masks {
    /// A part's masks, if it has any. That nobody has put them on tables yet is an error.
    pub(super) fn of(&self, run: &TaskRun, part: &Part) -> Result<Option<Arc<TableMask>>> {
        match self.0.get() {
            Some(compiled) => Ok(compiled.tables.get(&part.label()).cloned()),
            None if run.context.selection.describes_columns => {
                let what = "rows are read before it is known what masks them";
                Err(Error::new(Kind::Internal, what))
            }
            None => Ok(None),
        }
    }

    /// Whether a part is masked.
    pub(super) fn has(&self, part: &Part) -> bool {
        let compiled = self.0.get();
        compiled.is_some_and(|compiled| compiled.tables.contains_key(&part.label()))
    }

    /// What masks a table's columns, in the words of people.
    pub(super) fn told(&self, label: &str) -> Vec<(String, String)> {
        let table = self.0.get().and_then(|compiled| compiled.tables.get(label));
        table.map_or_else(Vec::new, |table| table.told.clone())
    }

    /// What is masked, for an archive's manifest.
    pub(super) fn record(&self) -> Option<Masking> {
        self.0.get()?.record.clone()
    }
}

/// A kind on a column: of which mask, and whether that has a condition.
#[derive(Debug, Clone)]
pub(super) struct On {
    /// The mask's number in the task; `None`: it follows from a foreign key.
    number: Option<usize>,
    pub(super) kind: mask::Kind,
    is_conditional: bool,
}

impl On {
    /// Whether nothing of the column's values is left in any row.
    pub(super) fn covers(&self) -> bool {
        !self.is_conditional && self.kind.is_cover()
    }
}

/// A table with the kinds that are on its columns, by their places.
pub(super) struct Table<'a> {
    pub(super) shape: &'a Shape,
    pub(super) part: &'a Part,
    pub(super) kinds: Vec<Vec<On>>,
}

impl Table<'_> {
    fn label(&self) -> String {
        self.part.label()
    }

    fn place(&self, column: &str) -> Option<usize> {
        let mut columns = self.shape.columns.iter();
        columns.position(|one| one.column.name == column)
    }

    fn is_masked(&self) -> bool {
        self.kinds.iter().any(|kinds| !kinds.is_empty())
    }
}

/// Puts the task's masks on what was surveyed. Reads no row.
pub(super) async fn resolve(context: &RunContext, run: &TaskRun, survey: &Survey) -> Result<()> {
    if !run.context.selection.describes_columns {
        return Ok(());
    }
    let parts = survey.whole();
    let Some(source) = run.source.shapes() else {
        let what = "the columns of this source are not known, and nothing of it can be masked";
        return Err(config(what.to_owned()));
    };
    let shapes = source.shapes(&parts).await?;
    let mut tables = Vec::with_capacity(parts.len());
    for (part, shape) in parts.iter().zip(&shapes) {
        let names = shape.columns.iter().map(|one| &one.column.name);
        if !names.eq(part.columns.iter()) {
            let what = format!(
                "the columns of {} are not those that it is read with",
                part.label()
            );
            return Err(Error::new(Kind::Internal, what));
        }
        tables.push(Table {
            shape,
            part,
            kinds: kinds(&run.task, shape)?,
        });
    }
    look_for_unused(context, &run.task, &tables)?;
    follow_references(&mut tables)?;
    for table in &tables {
        keep_unique(table)?;
    }
    coverage::require(context, &run.task, &tables)?;
    let mut compiled = Compiled::default();
    if tables.iter().any(Table::is_masked) {
        let key = key(context).await?;
        tracing::info!(key = key.fingerprint(), "rows are masked on their way");
        for table in tables.iter().filter(|table| table.is_masked()) {
            let mask = Arc::new(compile(run, table, &key)?);
            compiled.tables.insert(table.label(), mask);
        }
        compiled.record = Some(Masking {
            key: key.fingerprint(),
            tables: recorded(&tables),
        });
    }
    run.masks
        .0
        .set(compiled)
        .map_err(|_| Error::new(Kind::Internal, "masks were put on tables twice"))
}

fn recorded(tables: &[Table<'_>]) -> BTreeMap<String, BTreeMap<String, MaskedColumn>> {
    let of = |table: &Table<'_>| {
        let columns = table.shape.columns.iter().zip(&table.kinds);
        let masked = columns.filter(|(_, kinds)| !kinds.is_empty());
        masked
            .map(|(column, kinds)| {
                let names: Vec<&str> = kinds.iter().map(|on| on.kind.name()).collect();
                let column_of = MaskedColumn {
                    kinds: names.join(", "),
                    is_covered: kinds.iter().any(On::covers),
                };
                (column.column.name.clone(), column_of)
            })
            .collect()
    };
    let masked = tables.iter().filter(|table| table.is_masked());
    masked.map(|table| (table.label(), of(table))).collect()
}

/// The kinds on a table's columns, in the order of masks. One that names a column that the table does not have is an error,
/// unless it is for tables by a glob.
fn kinds(task: &Task, shape: &Shape) -> Result<Vec<Vec<On>>> {
    let mut kinds: Vec<Vec<On>> = vec![Vec::new(); shape.columns.len()];
    if let (Some(why), false) = (&shape.unmaskable, shape.masks.is_empty()) {
        return Err(config(format!(
            "table {} cannot be masked: {why}",
            shape.label()
        )));
    }
    for number in &shape.masks {
        let rule = &task.masks[*number];
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

fn config(what: String) -> Error {
    Error::new(Kind::Config, what)
}

/// A mask that is for no table, or for none of whose columns, is most likely misspelt: where masks are required that is an error.
fn look_for_unused(context: &RunContext, task: &Task, tables: &[Table<'_>]) -> Result<()> {
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
        if coverage::is_required(context) {
            return Err(config(what).hint("mend the [[task.mask]], or take it out"));
        }
        tracing::warn!(mask = number + 1, what, "a mask has nothing to do");
    }
    Ok(())
}

/// A mask on a column goes on to those that refer to it. One on a side of a foreign key alone is an error: but for NULL, which
/// refers to nothing.
fn follow_references(tables: &mut [Table<'_>]) -> Result<()> {
    let mut has_changed = true;
    while has_changed {
        has_changed = false;
        for at in 0..tables.len() {
            let shape = tables[at].shape;
            for reference in &shape.references {
                for other in 0..tables.len() {
                    if !tables[other].shape.names.contains(&reference.table) {
                        continue;
                    }
                    for (from, to) in reference.columns.iter().zip(&reference.referenced) {
                        has_changed |= follow(tables, (at, from), (other, to), &reference.name)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Lets a column have the kinds of the one that it refers to; whether it had not.
fn follow(
    tables: &mut [Table<'_>],
    (at, from): (usize, &str),
    (other, to): (usize, &str),
    name: &str,
) -> Result<bool> {
    let (Some(place), Some(referred)) = (tables[at].place(from), tables[other].place(to)) else {
        // One of them is computed by the server.
        return Ok(false);
    };
    let (own, theirs) = (&tables[at].kinds[place], &tables[other].kinds[referred]);
    let is_null = |on: &On| on.kind.name() == "null";
    if own.iter().all(is_null) && theirs.is_empty() {
        return Ok(false);
    }
    let told =
        |kinds: &[On]| -> Vec<String> { kinds.iter().map(|on| format!("{:?}", on.kind)).collect() };
    let sides = format!(
        "{}.{from} refers to {}.{to} (foreign key {name})",
        tables[at].label(),
        tables[other].label()
    );
    if theirs.is_empty() {
        return Err(config(format!("{sides}, and has a mask that the other has not"))
            .hint("put the mask on the column that is referred to: it goes on to those that refer to it"));
    }
    if theirs
        .iter()
        .any(|on| on.is_conditional || !on.kind.looks_at().is_empty())
    {
        return Err(config(format!(
            "{sides}, and its mask depends on the row that it is in"
        ))
        .hint("take a kind without `where` that looks at no other column"));
    }
    if !own.is_empty() && !own.iter().all(is_null) && told(own) == told(theirs) {
        return same_type(tables, (at, place), (other, referred), &sides).map(|()| false);
    }
    if own.is_empty() {
        let kinds: Vec<On> = theirs
            .iter()
            .map(|on| On {
                number: None,
                ..on.clone()
            })
            .collect();
        same_type(tables, (at, place), (other, referred), &sides)?;
        tables[at].kinds[place] = kinds;
        return Ok(true);
    }
    if own.iter().all(is_null) && !own.iter().any(|on| on.is_conditional) {
        return Ok(false);
    }
    Err(config(format!("{sides}, and their masks are not the same"))
        .hint("put the mask on the column that is referred to alone: it goes on to those that refer to it"))
}

/// What a kind makes depends on the column's type.
fn same_type(
    tables: &[Table<'_>],
    (at, place): (usize, usize),
    (other, referred): (usize, usize),
    sides: &str,
) -> Result<()> {
    let (own, theirs) = (
        &tables[at].shape.columns[place],
        &tables[other].shape.columns[referred],
    );
    if own.column.kind == theirs.column.kind && own.form == theirs.form {
        return Ok(());
    }
    Err(config(format!(
        "{sides}, and they are of different types: {} and {}",
        own.type_name, theirs.type_name
    ))
    .hint("what a mask makes of the same value would not be the same"))
}

/// Refuses masks that would make values one in a column where they have to stay unique.
fn keep_unique(table: &Table<'_>) -> Result<()> {
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

fn compile(run: &TaskRun, table: &Table<'_>, key: &Key) -> Result<TableMask> {
    let shape = table.shape;
    let with_conditions: Vec<usize> = shape
        .masks
        .iter()
        .copied()
        .filter(|number| run.task.masks[*number].condition.is_some())
        .collect();
    let columns: Vec<mask::Column> = shape.columns.iter().map(|one| one.column.clone()).collect();
    let mut rules = Vec::new();
    let mut told = Vec::new();
    for (column, kinds) in columns.iter().zip(&table.kinds) {
        for on in kinds {
            let number = on.number.filter(|_| on.is_conditional);
            rules.push(Rule {
                column: column.name.clone(),
                condition: number
                    .and_then(|number| with_conditions.iter().position(|one| *one == number)),
                kind: on.kind.clone(),
            });
        }
        if !kinds.is_empty() {
            let names: Vec<&str> = kinds.iter().map(|on| on.kind.name()).collect();
            told.push((column.name.clone(), names.join(", ")));
        }
    }
    let mask = RowMask::compile(&table.label(), &columns, &rules, key)?;
    Ok(TableMask::new(
        mask,
        shape.columns.clone(),
        with_conditions.len(),
        told,
    ))
}

/// Refuses a masked part that cannot be verified as the task wants it.
pub(super) fn refuse_unverifiable(
    run: &TaskRun,
    incoming: &dyn Incoming,
    parts: &[Part],
) -> Result<()> {
    if run.task.verify != Verify::Checksum {
        return Ok(());
    }
    let mut masked = parts.iter().filter(|part| run.masks.has(part));
    match masked.find(|part| !incoming.is_read_back(part)) {
        None => Ok(()),
        Some(part) => Err(config(format!(
            "{} is masked and has columns that the server computes, or values that are not read back as they were sent: it has no checksum",
            part.label()
        ))
        .hint("take verify = \"rows\"")),
    }
}

/// The key of this host's masks.
async fn key(context: &RunContext) -> Result<Key> {
    let Some(secret) = &context.settings.mask_key else {
        return Err(config("there is no key for masks".to_owned())
            .hint("add it to envsyncd.toml: [masking] key = { credential = \"mask-key\" }"));
    };
    secret.refuse_readable_by_others()?;
    let variables = &context.variables;
    let text = secret
        .resolve("the masks' key", &|name| variables.get(name))
        .await?;
    Key::new(text.expose_secret().trim().as_bytes())
}
