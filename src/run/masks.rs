//! A task's masks, put on the tables that were surveyed: what cannot work is refused before a row is read.

pub(super) mod compiled;
pub(super) mod coverage;
pub(super) mod detected;
pub(super) mod passes;
pub(super) mod references;
mod restrictions;
pub(super) mod rows;
pub(super) mod tables;
pub(super) mod telling;
pub(super) mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use self::compiled::Compiled;
use self::coverage::empty_unlisted;
use self::passes::Passes;
use self::references::{follow_references, with_known_references};
use self::rows::{TableMask, Told};
use self::tables::{On, Table, config, keep_unique, kinds, warn_of_checks, warn_of_partition};
use super::context::RunContext;
use super::task_run::TaskRun;
use crate::config::job::{Unlisted, Verify};
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Key, RowMask, Rule};
use crate::store::{Conditions, Incoming, MaskedColumn, Masking, Part, Selection, Shape, Survey};

/// Puts the task's masks on what was surveyed, and finds the rows that are copied. Reads no row of a masked table.
pub(super) async fn resolve(
    context: &RunContext,
    run: &TaskRun,
    survey: &mut Survey,
) -> Result<()> {
    let (task, selection) = (&run.task, &run.context.selection);
    if !selection.describes_columns {
        return Ok(());
    }
    if let Some(source) = run.source.by_name() {
        coverage::require_by_name(&context.job, source).await?;
        return run.masks.set(Compiled::default());
    }
    let parts = survey.whole();
    let Some(source) = run.source.shapes() else {
        // A snapshot of a store that knows none is one that cannot be masked when it is pulled.
        if !task.masks() && task.rows.is_empty() && !coverage::is_required(&context.job) {
            return run.masks.set(Compiled::default());
        }
        let what = "the columns of this source are not known, and nothing of it can be masked";
        return Err(config(what.to_owned()));
    };
    let shapes = with_known_references(selection, source.shapes(&parts).await?)?;
    // What a store has not needed to know before.
    selection.follow(&shapes);
    let language = source.conditions();
    check_conditions(selection, language, &parts, &shapes).await?;
    let rows =
        restrictions::restrict(&context.job, task, selection, language, &shapes, survey).await?;
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
            kinds: kinds(task, shape)?,
        });
    }
    coverage::look_for_unused(&context.job, task, &tables)?;
    let passes = Passes::of(task)?;
    follow_references(&mut tables)?;
    if task.unlisted == Unlisted::Null {
        empty_unlisted(&passes, &mut tables)?;
        follow_references(&mut tables)?;
    }
    for table in &tables {
        keep_unique(table)?;
        warn_of_partition(table);
        warn_of_checks(table);
    }
    coverage::require(&context.job, &passes, &tables)?;
    detected::require(&context.job, task, &*run.source, &tables).await?;
    let compiled = compile_all(context, run, &tables).await?;
    run.masks.set(Compiled { rows, ..compiled })
}

/// Has the source read every condition of a mask.
async fn check_conditions(
    selection: &Selection,
    language: Option<&dyn Conditions>,
    parts: &[Part],
    shapes: &[Shape],
) -> Result<()> {
    for (part, shape) in parts.iter().zip(shapes) {
        for condition in selection.conditions(&shape.masks) {
            let Some(language) = language else {
                let what = "there is nobody who evaluates a mask's `where`";
                return Err(config(format!("{}: {what}", part.label())));
            };
            let checked = language.check(part, condition).await;
            checked.map_err(|error| {
                error.within(format!("the condition of a mask for {}", part.label()))
            })?;
        }
    }
    Ok(())
}

/// The masks of all tables, ready for rows.
async fn compile_all(
    context: &RunContext,
    run: &TaskRun,
    tables: &[Table<'_>],
) -> Result<Compiled> {
    let mut compiled = Compiled::default();
    if !tables.iter().any(Table::is_masked) {
        return Ok(compiled);
    }
    let key = key(context).await?;
    let fingerprint = key.fingerprint();
    tracing::info!(key = fingerprint, "rows are masked on their way");
    let last = context.state.mask_key(context.job.name.as_str())?;
    if let Some(last) = last.filter(|last| *last != fingerprint) {
        tracing::warn!(
            key = fingerprint,
            last,
            "the masks' key is another one than last time: the same values become others than before"
        );
    }
    let watched = watch::is_wanted(&context.job, &run.task).then(|| watch::Watched::new(tables));
    for table in tables.iter().filter(|table| table.is_masked()) {
        let (schema, name) = (table.part.schema.as_deref(), &table.part.name);
        let mut names = table.shape.names.iter();
        let is_expected = |(schema, name): &(Option<String>, String)| {
            run.context.selection.is_masked(schema.as_deref(), name)
        };
        if !run.context.selection.is_masked(schema, name) && !names.any(is_expected) {
            let what = format!("{} is masked, and its source does not know", table.label());
            return Err(Error::new(Kind::Internal, what));
        }
        let watch = watched.as_ref().map(|watched| watched.of(table));
        let mask = Arc::new(compile(run, table, &key)?.watched_by(watch));
        compiled.tables.insert(table.label(), mask);
    }
    compiled.record = Some(Masking {
        key: fingerprint,
        tables: recorded(tables),
    });
    Ok(compiled)
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
    let tables = tables.iter().map(|table| (table.label(), of(table)));
    tables
        .filter(|(_, columns): &(_, BTreeMap<_, _>)| !columns.is_empty())
        .collect()
}

fn compile(run: &TaskRun, table: &Table<'_>, key: &Key) -> Result<TableMask> {
    let (shape, selection) = (table.shape, &run.context.selection);
    let with_conditions: Vec<usize> = shape
        .masks
        .iter()
        .copied()
        .filter(|number| selection.condition(*number).is_some())
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
            told.push(Told {
                column: column.name.clone(),
                kinds: names.join(", "),
                example: kinds
                    .iter()
                    .find_map(|on| mask::example(&on.kind, column, key)),
            });
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

/// Refuses a part that is masked, or of which some rows are copied, and that cannot be verified as the task wants it.
pub(super) fn refuse_unverifiable(
    run: &TaskRun,
    incoming: &dyn Incoming,
    parts: &[Part],
) -> Result<()> {
    if run.task.verify != Verify::Checksum {
        return Ok(());
    }
    let mut altered = parts.iter().filter(|part| run.is_altered(part));
    match altered.find(|part| !incoming.is_read_back(part)) {
        None => Ok(()),
        Some(part) => Err(config(format!(
            "{} is masked or copied in part, and has columns that the server computes, or values that are not read back as they were sent: it has no checksum",
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
