//! What a task says of rows and columns: `[[task.mask]]`, `[[task.pass]]`, `[[task.rows]]`, `[[task.reference]]`, and files of
//! their own that have these (`include`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::DeValue;

use super::document::{Document, quote};
use super::findings::{Findings, secret_spans};
use super::job::{KnownReference, MaskRule, Pass, PathPass, RowRule};
use super::permissions::warn_if_writable;
use super::reader::{Table, Value};
use super::side::Side;
use crate::mask::Kind;

/// Keys of `[[task.mask]]` that people put beside it.
const OF_KINDS: &[(&str, &str)] = &[
    ("kind", "in `columns`: { NAME = { kind = \"...\", ... } }"),
    ("reason", "in [[task.pass]]"),
];

/// Keys of a task that people put into a file that is included.
const OF_TASKS: &[(&str, &str)] = &[
    ("exclude", IN_THE_TASK),
    ("include", IN_THE_TASK),
    ("keep", IN_THE_TASK),
    ("schema_only", IN_THE_TASK),
    ("task", ITSELF),
    ("unlisted", IN_THE_TASK),
];
const IN_THE_TASK: &str = "in the job's file, under [[task]]";
const ITSELF: &str =
    "in the job's file; this file is a part of a task: write [[mask]] for [[task.mask]]";

/// What a task says of rows and columns.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) masks: Vec<MaskRule>,
    pub(super) passes: Vec<Pass>,
    pub(super) path_passes: Vec<PathPass>,
    pub(super) rows: Vec<RowRule>,
    pub(super) references: Vec<KnownReference>,
    /// The files that it is in beside the job's.
    pub(super) included: Vec<PathBuf>,
}

impl Rules {
    /// Reads a task's own, then those of the files that it includes. What is wrong is said, and left out.
    pub(super) fn read(task: &Table<'_>, target: &Side<'_>, includes_files: bool) -> Self {
        let mut rules = Self::default();
        rules.take(task, target);
        let files = task.get("include").filter(|_| includes_files);
        let files = files.and_then(|value| value.texts());
        for (member, text) in files.unwrap_or_default() {
            let Some(file) = member.path() else { continue };
            if rules.included.contains(&file) {
                member.report(member.wrong(format!("{} is included twice", quote(text))));
                continue;
            }
            rules.include(&member, &file, target);
            rules.included.push(file);
        }
        rules
    }

    fn take(&mut self, table: &Table<'_>, target: &Side<'_>) {
        self.masks.extend(read_masks(table, target));
        for table in members(table, "pass") {
            if table.has("path") {
                self.path_passes.extend(read_path_pass(table));
            } else {
                self.passes.extend(read_pass(table));
            }
        }
        self.rows.extend(read_rows(table));
        self.references.extend(read_references(table));
    }

    /// What is wrong in the file is said of the file, after what is wrong in the job's.
    fn include(&mut self, member: &Value<'_>, file: &Path, target: &Side<'_>) {
        let report = |diagnostic| member.findings.push(&member.span, diagnostic);
        let mut document = match Document::read(file) {
            Ok(document) => document,
            Err(unreadable) => return unreadable.iter().cloned().for_each(report),
        };
        document.hide(secret_spans(&document.text));
        let (findings, root) = Findings::parse(&document);
        let root = Table::root(&findings, &root).elsewhere(OF_TASKS);
        self.take(&root, target);
        root.finish();
        warn_if_writable(&findings, false);
        match findings.settle() {
            Ok(warnings) => warnings.into_iter().for_each(report),
            Err(all) => all.iter().cloned().for_each(report),
        }
    }

    /// Whether there is something that only a key can do.
    pub(super) fn need_key(&self) -> bool {
        !self.masks.is_empty()
    }
}

/// Reads `[[task.mask]]`. What is wrong is said, and left out.
fn read_masks(task: &Table<'_>, target: &Side<'_>) -> Vec<MaskRule> {
    members(task, "mask")
        .into_iter()
        .filter_map(|table| {
            let table = table.elsewhere(OF_KINDS);
            let tables = read_tables(&table);
            let columns = table
                .required("columns", "which columns, and the kind of each")
                .and_then(|value| read_columns(&value, target));
            let condition = read_condition(&table);
            table.finish();
            Some(MaskRule {
                tables: tables?,
                columns: columns?,
                condition: condition?,
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

/// Reads a `[[task.pass]]` of columns. What is wrong is said, and left out.
fn read_pass(table: Table<'_>) -> Option<Pass> {
    let tables = read_tables(&table);
    let columns = table
        .required("columns", "globs over the columns that are not personal")
        .and_then(|value| value.globs());
    let reason = read_reason(&table, "why its columns are not personal");
    table.finish();
    Some(Pass {
        tables: tables?,
        columns: columns?,
        reason: reason?,
    })
}

/// Reads a `[[task.pass]]` of paths. What is wrong is said, and left out.
fn read_path_pass(table: Table<'_>) -> Option<PathPass> {
    let value = table.required("path", "which files: a glob over paths, or several")?;
    let paths = if value.is_list() {
        value.globs()
    } else {
        value.text().map(|text| {
            value.check_glob(text);
            vec![text.to_owned()]
        })
    };
    let reason = read_reason(&table, "why these files are not personal");
    table.finish();
    Some(PathPass {
        paths: paths?,
        reason: reason?,
    })
}

fn read_reason(table: &Table<'_>, what: &str) -> Option<String> {
    let reason = table.required("reason", what);
    reason.and_then(|value| value.text()).map(str::to_owned)
}

/// Reads `[[task.rows]]`.
fn read_rows(task: &Table<'_>) -> Vec<RowRule> {
    members(task, "rows")
        .into_iter()
        .filter_map(|table| {
            let tables = read_tables(&table);
            let condition = table
                .required("where", "the rows that are copied")
                .and_then(|value| value.text());
            let cascade = match table.get("cascade") {
                Some(value) => value.boolean(),
                None => Some(false),
            };
            table.finish();
            Some(RowRule {
                tables: tables?,
                condition: condition?.to_owned(),
                cascade: cascade?,
            })
        })
        .collect()
}

/// Reads `[[task.reference]]`.
fn read_references(task: &Table<'_>) -> Vec<KnownReference> {
    members(task, "reference")
        .into_iter()
        .filter_map(|table| {
            let tables = read_tables(&table);
            let columns = read_names(&table, "columns", "the columns that refer to others");
            let references = table
                .required("references", "the table that is referred to")
                .and_then(|value| {
                    let text = value.text()?;
                    value.check_glob(text);
                    Some(text.to_owned())
                });
            let referenced = read_names(&table, "referenced", "the columns that are referred to");
            let condition = read_condition(&table);
            if let (Some(columns), Some(referenced)) = (&columns, &referenced)
                && columns.len() != referenced.len()
                && let Some(value) = table.get("referenced")
            {
                value.report(value.wrong(format!(
                    "{} columns refer to {}",
                    columns.len(),
                    referenced.len()
                )));
            }
            table.finish();
            Some(KnownReference {
                tables: tables?,
                columns: columns?,
                references: references?,
                referenced: referenced?,
                condition: condition?,
            })
        })
        .collect()
}

/// A list of columns that is not empty.
fn read_names(table: &Table<'_>, key: &'static str, what: &str) -> Option<Vec<String>> {
    let value = table.required(key, what)?;
    let names = value.texts()?;
    if names.is_empty() {
        value.report(value.wrong("names no column"));
        return None;
    }
    Some(names.into_iter().map(|(_, name)| name.to_owned()).collect())
}

/// `where`, which may be missing; `None`: it is wrong.
#[allow(clippy::option_option)]
fn read_condition(table: &Table<'_>) -> Option<Option<String>> {
    match table.get("where") {
        None => Some(None),
        Some(value) => value.text().map(|text| Some(text.to_owned())),
    }
}

/// The tables of a list.
fn members<'a>(task: &Table<'a>, key: &'static str) -> Vec<Table<'a>> {
    let Some(value) = task.get(key) else {
        return Vec::new();
    };
    if !value.is_list() {
        let name = value.path.replace(char::is_numeric, "").replace("[]", "");
        value.report(
            value
                .wrong("a task has a list of these")
                .help(format!("write [[{name}]] with two brackets")),
        );
        return Vec::new();
    }
    let members = value.list().unwrap_or_default();
    members.iter().filter_map(Value::table).collect()
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

fn read_columns(value: &Value<'_>, target: &Side<'_>) -> Option<Vec<(String, Kind)>> {
    let table = value.table()?;
    let entries = table.entries();
    if entries.is_empty() {
        value.report(value.wrong("masks no column"));
        return None;
    }
    let read: Vec<Option<(String, Kind)>> = entries
        .into_iter()
        .map(|(name, _, value)| Some((name.to_owned(), read_kind(&value, target)?)))
        .collect();
    read.into_iter().collect()
}

fn read_kind(value: &Value<'_>, target: &Side<'_>) -> Option<Kind> {
    let mut content = owned(value.content);
    if let Err(why) = put_hosts(&mut content, target) {
        value.report(value.wrong(why));
        return None;
    }
    match Kind::deserialize(content) {
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

/// Puts a site's host names, as the target's environment has them, into kinds that ask for them, those inside documents
/// included.
fn put_hosts(value: &mut toml::Value, target: &Side<'_>) -> Result<(), String> {
    match value {
        toml::Value::Array(members) => {
            let mut members = members.iter_mut();
            members.try_for_each(|one| put_hosts(one, target))
        }
        toml::Value::Table(table) => {
            let is_replace = table.get("kind").and_then(toml::Value::as_str) == Some("replace");
            if is_replace && let Some(toml::Value::String(name)) = table.remove("hosts") {
                let literal = table
                    .entry("literal")
                    .or_insert_with(|| toml::Table::new().into());
                if let toml::Value::Table(literal) = literal {
                    for (host, other) in hosts_of(&name, target)? {
                        literal.entry(host).or_insert(other.into());
                    }
                }
            }
            let mut values = table.iter_mut();
            values.try_for_each(|(_, one)| put_hosts(one, target))
        }
        _ => Ok(()),
    }
}

/// A site's host names in the target's environment.
fn hosts_of(name: &str, target: &Side<'_>) -> Result<BTreeMap<String, String>, String> {
    let Some(site) = target.sites.get(name) else {
        return Err(format!(
            "there is no site {}: write its host names under [sites.NAME] in envsyncd.toml",
            quote(name)
        ));
    };
    let Some(to) = target.environment else {
        // That was said.
        return Ok(BTreeMap::new());
    };
    let hosts = site.hosts_in(to);
    if hosts.is_empty() {
        return Err(format!(
            "the site {} has no host names in `{to}`: write them under [sites.{name}] in envsyncd.toml",
            quote(name)
        ));
    }
    Ok(hosts)
}

/// A value of the file as one of its own.
pub(super) fn owned(value: &DeValue<'_>) -> toml::Value {
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
    let keys = ["mask", "include", "unlisted"];
    let Some(value) = keys.into_iter().find_map(|key| task.get(key)) else {
        return;
    };
    value.report(
        value
            .wrong("there is no key for masks")
            .help("add it to envsyncd.toml: [masking] key = { credential = \"mask-key\" }"),
    );
}
