//! A job's tasks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use super::document::quote;
use super::endpoints::{self, Side};
use super::job::{
    Definer, Events, JobName, KeepPrevious, Mode, Publish, Roles, StoreKind, Task, Verify,
};
use super::reader::Table;
use super::value::Value;
use crate::trust;

const KINDS: &[(&str, StoreKind)] = &[
    ("postgresql", StoreKind::Postgresql),
    ("mysql", StoreKind::Mysql),
    ("sqlite", StoreKind::Sqlite),
];
const LATER_KINDS: &[&str] = &["files", "mongodb", "opensearch"];

/// What belongs into the table of an archive, or to the job itself.
const ELSEWHERE: &[(&str, &str)] = &[
    ("access_key_id", BESIDE),
    ("at", BESIDE),
    ("ca", BESIDE),
    ("catch_up", ABOVE),
    ("database", BESIDE),
    ("description", ABOVE),
    ("endpoint", BESIDE),
    ("format", BESIDE),
    ("from", ABOVE),
    ("identity", BESIDE),
    ("jitter", ABOVE),
    ("job", BESIDE),
    ("keep_daily", BESIDE),
    ("keep_last", BESIDE),
    ("keep_weekly", BESIDE),
    ("key", BESIDE),
    ("max_age", BESIDE),
    ("path_style", BESIDE),
    ("point_in_time", ABOVE),
    ("profile", BESIDE),
    ("recipients", BESIDE),
    ("region", BESIDE),
    ("schedule", ABOVE),
    ("secret_access_key", BESIDE),
    ("snapshot", BESIDE),
    ("timeout", ABOVE),
    ("timezone", ABOVE),
    ("to", ABOVE),
];
const ABOVE: &str = "at the job's top level: above the first [[task]], for in TOML all that follows a table's name is its own";
const BESIDE: &str = "beside an archive's URL: { url = \"s3://BUCKET/PREFIX\", ... }";

/// How many tasks push: none, some, or all of them. Says nothing of what is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushes {
    None,
    Some,
    All,
}

/// Looks at the targets of `[[task]]`.
pub(super) fn pushes(value: &Value<'_>, target: &Side<'_>) -> Pushes {
    let members = if value.is_list() { value.list() } else { None };
    let pushing: Vec<bool> = members
        .unwrap_or_default()
        .iter()
        .map(|member| {
            let to = member
                .table_or_nothing()
                .and_then(|task| task.get("target"));
            to.is_some_and(|to| target.means_archive(&to))
        })
        .collect();
    match (pushing.contains(&true), pushing.contains(&false)) {
        (false, _) => Pushes::None,
        (true, true) => Pushes::Some,
        (true, false) => Pushes::All,
    }
}

/// Reads `[[task]]`.
pub(super) fn read(value: &Value<'_>, source: &Side<'_>, target: &Side<'_>) -> Option<Vec<Task>> {
    if !value.is_list() {
        value.report(
            value
                .wrong("a job has a list of tasks")
                .help("write [[task]] with two brackets"),
        );
        return None;
    }
    let members = value.list()?;
    if members.is_empty() {
        value.report(value.wrong("a job has at least one task"));
        return None;
    }
    let mut names = BTreeMap::new();
    let mut places = BTreeMap::new();
    let mut tasks = Vec::new();
    let mut complete = true;
    for member in members {
        let task = member
            .table()
            .and_then(|table| read_task(&member, table, source, target, &mut names));
        let Some(task) = task else {
            complete = false;
            continue;
        };
        if let Some(other) = places.insert(endpoints::place(&task.target), task.name.clone()) {
            let help = if task.pushes() {
                "give each task a prefix or a directory of its own: s3://BUCKET/PREFIX/TASK"
            } else {
                "two tasks of a job cannot share a target"
            };
            member.report(
                member
                    .wrong(format!(
                        "task `{}` writes to the target of task `{other}`",
                        task.name
                    ))
                    .help(help),
            );
        }
        tasks.push(task);
    }
    complete.then_some(tasks)
}

fn read_task(
    member: &Value<'_>,
    table: Table<'_>,
    source: &Side<'_>,
    target: &Side<'_>,
    names: &mut BTreeMap<String, usize>,
) -> Option<Task> {
    let kind = table
        .required("kind", "which kind of store it copies")
        .and_then(|value| value.choice(KINDS, LATER_KINDS));

    let name_value = table.get("name");
    let name = match &name_value {
        Some(value) => value.text().and_then(|text| {
            if JobName::parse(text).is_ok() {
                return Some(text.to_owned());
            }
            value.report(
                value
                    .wrong(format!("{} cannot be a task's name", quote(text)))
                    .allowed("a letter or digit, then letters, digits, `.`, `_`, `-`"),
            );
            None
        }),
        None => kind.map(|kind| kind.as_str().to_owned()),
    };
    if let Some(name) = &name {
        let here = names.len();
        if let Some(other) = names.insert(name.clone(), here) {
            let at = name_value.as_ref().unwrap_or(member);
            at.report(
                at.wrong(format!("two tasks are called `{name}`"))
                    .help(format!(
                        "task[{other}] is the first; without `name`, a task is called as its kind"
                    )),
            );
        }
    }

    let table = table.elsewhere(ELSEWHERE);
    let read_end = |side: &Side<'_>, what| {
        table
            .required(side.way.key(), what)
            .and_then(|value| side.read(&value, kind))
    };
    let from = read_end(source, "where from");
    let to = read_end(target, "where to");
    let meant = |side: &Side<'_>| {
        let value = table.get(side.way.key());
        value.is_some_and(|value| side.means_archive(&value))
    };
    refuse_with_archives(&table, meant(source), meant(target));

    let modes = [("replace", Mode::Replace), ("overlay", Mode::Overlay)];
    let mode = table.choice("mode", &modes, Mode::Replace);
    let jobs = table
        .get("jobs")
        .and_then(|value| value.integer(1..=64))
        .and_then(|jobs| usize::try_from(jobs).ok());
    let globs = |key| {
        table
            .get(key)
            .and_then(|value| read_globs(&value))
            .unwrap_or_default()
    };
    let exclude = globs("exclude");
    let schema_only = globs("schema_only");
    let keep = globs("keep");
    let leave_out = globs("leave_out");
    let scripts = table
        .get("scripts")
        .and_then(|value| read_scripts(&value))
        .unwrap_or_default();
    let publishes = [("swap", Publish::Swap), ("in_place", Publish::InPlace)];
    let publish = table.choice("publish", &publishes, Publish::Swap);
    let verifies = [
        ("rows", Verify::Rows),
        ("checksum", Verify::Checksum),
        ("none", Verify::None),
    ];
    let verify = table.choice("verify", &verifies, Verify::Rows);
    let previous = [("keep", KeepPrevious::Keep), ("drop", KeepPrevious::Drop)];
    let roles = [
        ("map", Roles::Map),
        ("skip", Roles::Skip),
        ("fail", Roles::Fail),
    ];
    let roles = table.choice("roles", &roles, Roles::Map);
    let definers = [("map", Definer::Map), ("keep", Definer::Keep)];
    let definer = table.choice("definer", &definers, Definer::Map);
    let events = [("disabled", Events::Disabled), ("keep", Events::Keep)];
    let events = table.choice("events", &events, Events::Disabled);
    if let Some(kind) = kind
        && kind != StoreKind::Mysql
        && !meant(target)
    {
        for key in ["definer", "events"] {
            if let Some(value) = table.get(key) {
                value.report(
                    value
                        .wrong(format!(
                            "`{key}` is for kind mysql, and this task's is {kind}"
                        ))
                        .help(format!("leave `{key}` out")),
                );
            }
        }
    }
    let trust = table.get("trust_source");
    let trust_source = match &trust {
        Some(value) => value.boolean()?,
        None => false,
    };
    if let (Some(kind), Some(value)) = (kind, &trust)
        && kind != StoreKind::Postgresql
        && !meant(target)
    {
        value.report(
            value
                .wrong(format!(
                    "`trust_source` is for kind postgresql, and this task's is {kind}"
                ))
                .help("leave `trust_source` out"),
        );
    }
    let by_default = match publish {
        Some(Publish::InPlace) => KeepPrevious::Drop,
        _ => KeepPrevious::Keep,
    };
    let previous = table.choice("previous", &previous, by_default);
    if publish == Some(Publish::InPlace) && !meant(target) {
        refuse_with_in_place(&table, mode, previous, &keep);
    }
    let throttle = table.get("throttle").and_then(|value| value.rate());
    let max_replication_lag = table
        .get("max_replication_lag")
        .and_then(|value| value.duration());
    let mut places: BTreeMap<String, std::ops::Range<usize>> = table.places().collect();
    // For what concerns the whole task.
    places.insert(String::new(), table.span());
    table.finish();

    Some(Task {
        name: name?,
        kind: kind?,
        source: from?,
        target: to?,
        mode: mode?,
        jobs,
        exclude,
        schema_only,
        leave_out,
        keep,
        scripts,
        publish: publish?,
        verify: verify?,
        throttle,
        max_replication_lag,
        previous: previous?,
        roles: roles?,
        definer: definer?,
        events: events?,
        trust_source,
        places,
    })
}

/// What a push or a pull cannot do.
fn refuse_with_archives(table: &Table<'_>, from_archive: bool, to_archive: bool) {
    let refuse = |key, why: &str, help: &str| {
        if let Some(value) = table.get(key) {
            value.report(value.wrong(why).help(help));
        }
    };
    if from_archive && to_archive {
        refuse(
            "target",
            "source and target are both archives",
            "a task reads from a store or writes to one; a snapshot is a folder, and any tool copies it as it is",
        );
        return;
    }
    if from_archive {
        refuse(
            "max_replication_lag",
            "an archive has no replication that could lag",
            "leave `max_replication_lag` out, or put it into the job that pushes",
        );
    }
    if !to_archive {
        return;
    }
    let said = |key: &str| {
        table
            .keys
            .get(key)
            .and_then(|value| value.get_ref().as_str())
    };
    if said("mode") == Some("overlay") {
        refuse(
            "mode",
            "a snapshot is written anew, and there is nothing in it that could stay",
            "leave `mode` out, or put it into the job that pulls",
        );
    }
    if said("publish") == Some("in_place") {
        refuse(
            "publish",
            "a snapshot is there as a whole once its manifest is, and there is nothing to empty",
            "leave `publish` out, or put it into the job that pulls",
        );
    }
    for (key, why) in [
        ("keep", "a snapshot has no rows of its own that could stay"),
        (
            "leave_out",
            "what a table needs is looked at where it is restored",
        ),
        (
            "scripts",
            "there is no server that could run them on a snapshot",
        ),
        (
            "previous",
            "a push replaces nothing: how many snapshots are kept is said beside the archive's `url`",
        ),
        (
            "roles",
            "whom things belong to is decided where they are restored",
        ),
        (
            "definer",
            "as whom views and routines run is decided where they are restored",
        ),
        (
            "events",
            "whether events run is decided where they are restored",
        ),
        (
            "trust_source",
            "whose code runs with which rights is decided where it is restored",
        ),
    ] {
        let help = match key {
            "previous" => "leave `previous` out; keep_last, keep_daily, keep_weekly and max_age keep snapshots".to_owned(),
            _ => format!("leave `{key}` out, or put it into the job that pulls"),
        };
        refuse(key, why, &help);
    }
}

/// What needs live beside the copy, while there is only one of them.
fn refuse_with_in_place(
    table: &Table<'_>,
    mode: Option<Mode>,
    previous: Option<KeepPrevious>,
    keep: &[String],
) {
    let refuse = |key, why: &str, instead: &str| {
        if let Some(value) = table.get(key) {
            let why = format!("this is not possible with publish = \"in_place\": {why}");
            value.report(value.wrong(why).help(instead));
        }
    };
    if mode == Some(Mode::Overlay) {
        refuse(
            "mode",
            "live is emptied before the copy is loaded, and nothing in it can stay",
            "take mode = \"replace\", or publish = \"swap\"",
        );
    }
    if !keep.is_empty() {
        refuse(
            "keep",
            "live is emptied before the copy is loaded, and no rows of its own can stay",
            "leave `keep` out, or take publish = \"swap\"",
        );
    }
    if previous == Some(KeepPrevious::Keep) {
        refuse(
            "previous",
            "live is emptied, and there is nothing to go back to",
            "leave `previous` out, or take publish = \"swap\"",
        );
    }
}

fn read_globs(value: &Value<'_>) -> Option<Vec<String>> {
    let mut globs = Vec::new();
    for (member, text) in value.texts()? {
        if let Err(error) = glob::Pattern::new(text) {
            member.report(
                member
                    .wrong(format!("{} is not a glob: {}", quote(text), error.msg))
                    .allowed("[schema.]table, with `*`, `?` and `[abc]`"),
            );
        }
        globs.push(text.to_owned());
    }
    Some(globs)
}

fn read_scripts(value: &Value<'_>) -> Option<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for (member, text) in value.texts()? {
        let path = member.path()?;
        // A pipe would be waited for.
        let readable = fs::metadata(&path).and_then(|found| {
            if found.is_file() {
                File::open(&path)?.metadata()
            } else {
                Ok(found)
            }
        });
        match readable {
            Ok(data) if data.is_file() => {
                if let Some(doubt) = trust::of_file(&path, &data) {
                    member.report(
                        member
                            .wrong(format!(
                                "{} {}, and root does not run it",
                                quote(text),
                                doubt.what
                            ))
                            .help(format!("run: {}", doubt.advice)),
                    );
                }
            }
            Ok(_) => member.report(member.wrong(format!("{} is not a file", quote(text)))),
            Err(error) => member.report(
                member
                    .wrong(format!("{} cannot be read: {error}", quote(text)))
                    .help(format!("it was looked for at {}", path.display())),
            ),
        }
        scripts.push(path);
    }
    Some(scripts)
}
