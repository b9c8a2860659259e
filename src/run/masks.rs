//! A task's masks, put on the tables that were surveyed: what cannot work is refused before a row is read.

pub(super) mod compiled;
pub(super) mod coverage;
pub(super) mod detected;
pub(super) mod passes;
pub(super) mod references;
pub(super) mod rows;
pub(super) mod tables;
pub(super) mod telling;
pub(super) mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use self::compiled::Compiled;
use self::references::follow_references;
use self::rows::TableMask;
use self::tables::{On, Table, config, keep_unique, kinds};
use super::context::RunContext;
use super::task_run::TaskRun;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Key, RowMask, Rule};
use crate::store::{Incoming, MaskedColumn, Masking, Part, Survey};

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
    coverage::look_for_unused(&context.job, &run.task, &tables)?;
    follow_references(&mut tables)?;
    for table in &tables {
        keep_unique(table)?;
    }
    coverage::require(&context.job, &run.task, &tables)?;
    detected::require(&context.job, &run.task, &*run.source, &tables).await?;
    let mut compiled = Compiled::default();
    if tables.iter().any(Table::is_masked) {
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
        let watched =
            watch::is_wanted(&context.job, &run.task).then(|| watch::Watched::new(&tables));
        for table in tables.iter().filter(|table| table.is_masked()) {
            let watch = watched.as_ref().map(|watched| watched.of(table));
            let mask = Arc::new(compile(run, table, &key)?.watched_by(watch));
            compiled.tables.insert(table.label(), mask);
        }
        compiled.record = Some(Masking {
            key: key.fingerprint(),
            tables: recorded(&tables),
        });
    }
    run.masks.set(compiled)
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
