//! Masks and passes for what nothing is said of, in the form of a file that a task includes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{ColumnScan, Covered, TableScan, TaskScan};
use crate::error::{Error, Kind, Result};
use crate::store::selection::Globs;

/// What is to be added to a file, which has `existing` already; empty, if that is nothing. How many columns of it are masked, and
/// how many passed.
pub fn addition(
    task: &TaskScan,
    existing: &str,
    today: NaiveDate,
) -> Result<(String, usize, usize)> {
    let known = Known::read(existing)?;
    let mut text = String::new();
    let (mut masked, mut passed) = (0, 0);
    for (name, columns) in tables(task) {
        let wanted: Vec<&&ColumnScan> = columns
            .iter()
            .filter(|column| !column.covered.is_decided() && !known.has(&name, &column.name))
            .collect();
        let written = Written::of(task, &wanted, today);
        masked += written.masks.len();
        passed += written.passes.values().map(Vec::len).sum::<usize>();
        written.write(&glob::Pattern::escape(&name), &mut text);
    }
    if !text.is_empty() {
        let head = format!(
            "# Written by envsyncd scan on {today} for task `{}`: to be reviewed. A mask for a table's column, or a reason why it needs none.\n",
            task.name
        );
        let before = if existing.is_empty() { "" } else { "\n" };
        text = format!("{before}{head}{text}");
    }
    Ok((text, masked, passed))
}

/// Tables by the names that masks have them under: partitions by that of the whole, if they have the same columns.
fn tables(task: &TaskScan) -> BTreeMap<String, Vec<&ColumnScan>> {
    let mut of_root: BTreeMap<&str, Vec<&TableScan>> = BTreeMap::new();
    for table in &task.tables {
        of_root.entry(&table.root).or_default().push(table);
    }
    let names = |table: &TableScan| -> BTreeSet<String> {
        table
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect()
    };
    let mut found = BTreeMap::new();
    for (root, tables) in of_root {
        let are_alike = tables.iter().all(|table| names(table) == names(tables[0]));
        if !are_alike {
            for table in tables {
                found.insert(table.name.clone(), table.columns.iter().collect());
            }
            continue;
        }
        // Of each column the one that looks most personal.
        let mut columns: Vec<&ColumnScan> = tables[0].columns.iter().collect();
        for column in &mut columns {
            let all = tables.iter().flat_map(|table| &table.columns);
            let same = all.filter(|other| other.name == column.name);
            let surest =
                same.max_by_key(|other| other.found.as_ref().map(|found| found.confidence));
            *column = surest.unwrap_or(column);
        }
        found.insert(root.to_owned(), columns);
    }
    found
}

/// What is written of a table.
#[derive(Default)]
struct Written {
    /// Column, kind, and why.
    masks: Vec<(String, String, String)>,
    /// By their reasons.
    passes: BTreeMap<String, Vec<String>>,
}

impl Written {
    fn of(task: &TaskScan, columns: &[&&ColumnScan], today: NaiveDate) -> Self {
        let mut written = Self::default();
        for column in columns {
            let name = column.name.clone();
            if let Some((table, other)) = &column.refers_to {
                // A mask on a column goes on to those that refer to it.
                if !is_masked(task, table, other) {
                    let reason = format!("refers to {table}.{other} (scanned {today})");
                    written.passes.entry(reason).or_default().push(name);
                }
                continue;
            }
            let Some(found) = &column.found else {
                let reason = format!("looks like no personal data (scanned {today})");
                written.passes.entry(reason).or_default().push(name);
                continue;
            };
            let is_masked_in_part = matches!(column.covered, Covered::Part { .. });
            if found.leaves_parts || is_masked_in_part {
                let reason = format!("what looks personal in it is masked (scanned {today})");
                written.passes.entry(reason).or_default().push(name.clone());
            }
            if !is_masked_in_part {
                let why = format!("{}, {}", found.looks_like, found.confidence);
                written.masks.push((name, found.kind.clone(), why));
            }
        }
        written
    }

    fn write(&self, table: &str, text: &mut String) {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        if !self.masks.is_empty() {
            text.push_str(&format!(
                "\n[[mask]]\ntable = {}\n[mask.columns]\n",
                quoted(table)
            ));
            for (column, kind, why) in &self.masks {
                text.push_str(&format!("{} = {kind}  # {why}\n", key(column)));
            }
        }
        for (reason, columns) in &self.passes {
            let columns: Vec<String> = columns
                .iter()
                .map(|column| quoted(&glob::Pattern::escape(column)))
                .collect();
            text.push_str(&format!(
                "\n[[pass]]\ntable = {}\ncolumns = [{}]\nreason = {}\n",
                quoted(table),
                columns.join(", "),
                quoted(reason)
            ));
        }
    }
}

/// Whether a column is masked, or will be.
fn is_masked(task: &TaskScan, table: &str, column: &str) -> bool {
    let mut tables = task
        .tables
        .iter()
        .filter(|one| one.name == table || one.root == table);
    tables.any(|table| {
        let mut columns = table.columns.iter().filter(|one| one.name == column);
        columns.any(|column| {
            matches!(column.covered, Covered::Mask { .. } | Covered::Part { .. })
                || column.covered == Covered::Nothing && column.found.is_some()
        })
    })
}

/// A name as a key.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare {
        return name.to_owned();
    }
    toml::Value::String(name.to_owned()).to_string()
}

/// What a file says already.
struct Known(Vec<(Globs, Globs)>);

impl Known {
    fn read(existing: &str) -> Result<Self> {
        let wrong = |error: toml::de::Error| {
            Error::new(Kind::Config, "the file to write to is no TOML").because(error)
        };
        let table: toml::Table = toml::from_str(existing).map_err(wrong)?;
        let mut known = Vec::new();
        for list in ["mask", "pass"] {
            let members = table.get(list).and_then(toml::Value::as_array);
            for member in members.into_iter().flatten() {
                let tables = texts(member.get("table"));
                let columns = match member.get("columns") {
                    Some(toml::Value::Table(columns)) => columns
                        .keys()
                        .map(|name| glob::Pattern::escape(name))
                        .collect(),
                    other => texts(other),
                };
                known.push((
                    Globs::new("table", &tables, false)?,
                    Globs::new("columns", &columns, false)?,
                ));
            }
        }
        Ok(Self(known))
    }

    fn has(&self, table: &str, column: &str) -> bool {
        let (schema, name) = match table.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, table),
        };
        self.0.iter().any(|(tables, columns)| {
            (tables.are_for(schema, name) || tables.are_for(None, table))
                && columns.are_for(None, column)
        })
    }
}

fn texts(value: Option<&toml::Value>) -> Vec<String> {
    match value {
        Some(toml::Value::String(text)) => vec![text.clone()],
        Some(toml::Value::Array(members)) => members
            .iter()
            .filter_map(toml::Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
