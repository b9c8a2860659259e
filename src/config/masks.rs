//! `[[task.mask]]` and `[[task.pass]]`: what becomes of columns on their way, and which ones were looked at and stay.

use serde::Deserialize as _;
use toml::de::DeValue;

use super::job::{MaskRule, Pass};
use super::reader::{Table, Value};
use crate::mask::Kind;

/// Keys of `[[task.mask]]` that people put beside it.
const OF_KINDS: &[(&str, &str)] = &[
    ("kind", "in `columns`: { NAME = { kind = \"...\", ... } }"),
    ("reason", "in [[task.pass]]"),
];

/// Reads `[[task.mask]]`. What is wrong is said, and left out.
pub(super) fn read_masks(task: &Table<'_>) -> Vec<MaskRule> {
    members(task, "mask")
        .into_iter()
        .filter_map(|(member, table)| {
            let table = table.elsewhere(OF_KINDS);
            let tables = read_tables(&table);
            let columns = table
                .required("columns", "which columns, and the kind of each")
                .and_then(|value| read_columns(&value));
            let condition = table.get("where").map(|value| value.text());
            table.finish();
            Some(MaskRule {
                tables: tables?,
                columns: columns?,
                condition: condition
                    .map(|text| text.map(str::to_owned))
                    .unwrap_or_default(),
                place: member.span(),
            })
        })
        .collect()
}

/// Reads `canary`.
pub(super) fn read_canary(task: &Table<'_>, masks: &[MaskRule]) -> Option<bool> {
    let value = task.get("canary")?;
    let wanted = value.boolean()?;
    if wanted && masks.is_empty() {
        value.report(
            value
                .wrong("looks for values of masked columns, and the task masks none")
                .help("leave `canary` out, or add [[task.mask]]"),
        );
    }
    Some(wanted)
}

/// Reads `[[task.pass]]`.
pub(super) fn read_passes(task: &Table<'_>) -> Vec<Pass> {
    members(task, "pass")
        .into_iter()
        .filter_map(|(_, table)| {
            let tables = read_tables(&table);
            let columns = table
                .required("columns", "globs over the columns that are not personal")
                .and_then(|value| value.globs());
            let reason = table.required("reason", "why its columns are not personal");
            let reason = reason.and_then(|value| value.text()).map(str::to_owned);
            table.finish();
            Some(Pass {
                tables: tables?,
                columns: columns?,
                reason: reason?,
            })
        })
        .collect()
}

fn members<'a>(task: &Table<'a>, key: &'static str) -> Vec<(Value<'a>, Table<'a>)> {
    let Some(value) = task.get(key) else {
        return Vec::new();
    };
    if !value.is_list() {
        value.report(
            value
                .wrong("a task has a list of these")
                .help(format!("write [[task.{key}]] with two brackets")),
        );
        return Vec::new();
    }
    let members = value.list().unwrap_or_default();
    members
        .into_iter()
        .filter_map(|member| {
            let table = member.table()?;
            Some((member, table))
        })
        .collect()
}

/// `table`: a glob, or several.
fn read_tables(table: &Table<'_>) -> Option<Vec<String>> {
    let value = table.required(
        "table",
        "which tables: a glob over [schema.]table, or several",
    )?;
    if value.is_list() {
        return value.globs();
    }
    let text = value.text()?;
    value.check_glob(text);
    Some(vec![text.to_owned()])
}

fn read_columns(value: &Value<'_>) -> Option<Vec<(String, Kind)>> {
    let table = value.table()?;
    let entries = table.entries();
    if entries.is_empty() {
        value.report(value.wrong("masks no column"));
        return None;
    }
    let read: Vec<Option<(String, Kind)>> = entries
        .into_iter()
        .map(|(name, _, value)| Some((name.to_owned(), read_kind(&value)?)))
        .collect();
    read.into_iter().collect()
}

fn read_kind(value: &Value<'_>) -> Option<Kind> {
    match Kind::deserialize(owned(value.content)) {
        Ok(kind) => Some(kind),
        Err(error) => {
            let told = error.message().to_owned();
            // What serde lists at the end of its line is what is allowed.
            let (what, allowed) = match told.split_once(", expected one of ") {
                Some((what, all)) => (what.to_owned(), Some(all.replace('`', ""))),
                None => (told, None),
            };
            let text = value.content.as_str();
            let near = text.and_then(|text| {
                super::diagnostics::did_you_mean(text, crate::mask::kind::names())
            });
            let mut wrong = value.wrong(what).maybe_help(near);
            if let Some(allowed) = allowed {
                wrong = wrong.allowed(allowed);
            }
            value.report(wrong);
            None
        }
    }
}

/// A value of the file as one of its own.
fn owned(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(
                |_| toml::Value::String(number.to_string()),
                toml::Value::Integer,
            ),
        DeValue::Float(number) => number.as_str().parse().map_or_else(
            |_| toml::Value::String(number.to_string()),
            toml::Value::Float,
        ),
        DeValue::Boolean(truth) => toml::Value::Boolean(*truth),
        DeValue::Datetime(moment) => toml::Value::Datetime(*moment),
        DeValue::Array(members) => {
            toml::Value::Array(members.iter().map(|one| owned(one.get_ref())).collect())
        }
        DeValue::Table(table) => toml::Value::Table(
            table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), owned(value.get_ref())))
                .collect(),
        ),
    }
}

/// Says of masks without a key that they cannot work.
pub(super) fn refuse_without_key(task: &Table<'_>) {
    if let Some(value) = task.get("mask") {
        value.report(
            value
                .wrong("there is no key for masks")
                .help("add it to envsyncd.toml: [masking] key = { credential = \"mask-key\" }"),
        );
    }
}
