//! A job's tasks.

mod refusals;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use self::refusals::{refuse_of_others, refuse_with_archives, refuse_with_in_place};
use super::document::quote;
use super::endpoints::read_kind;
use super::job::{
    Definer, Endpoint, Events, KeepPrevious, Mode, Publish, Roles, StoreKind, Task, Unlisted,
    Verify,
};
use super::job_name::JobName;
use super::masks::{self, Rules};
use super::own_options::OwnOptions;
use super::reader::{Table, Value};
use super::side::Side;
use super::stores::StoreFormat;
use crate::trust;

/// Keys that belong in the table of an archive, or to the job itself.
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
            let Some(task) = member.table_or_nothing() else {
                return false;
            };
            let kind = task.get("kind");
            let kind = kind.and_then(|kind| target.stores.kind_named(kind.content.as_str()?));
            let to = task.get("target");
            to.is_some_and(|to| target.means_archive(&to, kind))
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
        if let Some(other) = places.insert(task.target.place(), task.name.clone()) {
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

/// Reads a task that stands alone.
pub(super) fn read_one(
    member: &Value<'_>,
    table: Table<'_>,
    source: &Side<'_>,
    target: &Side<'_>,
) -> Option<Task> {
    read_task(member, table, source, target, &mut BTreeMap::new())
}

fn read_task(
    member: &Value<'_>,
    table: Table<'_>,
    source: &Side<'_>,
    target: &Side<'_>,
    names: &mut BTreeMap<String, usize>,
) -> Option<Task> {
    let stores = target.stores;
    let kind = table
        .required("kind", "which kind of store it copies")
        .and_then(|value| read_kind(&value, stores));
    let name = read_name(member, table.get("name"), kind, names);

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
        value.is_some_and(|value| side.means_archive(&value, kind))
    };
    let is_push = meant(target);
    refuse_with_archives(&table, meant(source), is_push, stores);

    let objects = Objects::read(&table);
    let format = kind.and_then(|kind| stores.of_kind(kind));
    let words = Words::read(&table, format.is_some_and(StoreFormat::overlays));
    let options = format.map_or_else(|| Some(OwnOptions::default()), |it| read_own(&table, it));
    if let Some(kind) = kind
        && !is_push
    {
        refuse_of_others(&table, kind, stores);
    }
    if words.publish == Some(Publish::InPlace) && !is_push {
        refuse_with_in_place(&table, format, words.mode, words.previous, &objects.keep);
    }
    let pace = Pace::read(&table);
    let has_globs = format.is_some_and(StoreFormat::includes_by_glob);
    let rules = Rules::read(&table, target, !has_globs);
    let unlisted = [("refuse", Unlisted::Refuse), ("null", Unlisted::Null)];
    let unlisted = table.choice("unlisted", &unlisted, Unlisted::Refuse);
    if !source.has_mask_key && (rules.need_key() || unlisted == Some(Unlisted::Null)) {
        masks::refuse_without_key(&table);
    }
    let canary = masks::read_canary(&table, &rules.masks);
    let mut places: BTreeMap<String, std::ops::Range<usize>> = table.places().collect();
    // For what concerns the whole task.
    places.insert(String::new(), table.span());
    table.finish();

    let to = to?;
    let previous = previous_of(words.previous?, &to, &places);
    Some(Task {
        name: name?,
        kind: kind?,
        source: from?,
        target: to,
        mode: words.mode?,
        jobs: pace.jobs,
        exclude: objects.exclude,
        schema_only: objects.schema_only,
        leave_out: objects.leave_out,
        keep: objects.keep,
        scripts: objects.scripts,
        publish: words.publish?,
        verify: words.verify?,
        throttle: pace.throttle,
        max_replication_lag: pace.max_replication_lag,
        previous,
        roles: words.roles?,
        definer: words.definer?,
        events: words.events?,
        trust_source: words.trust_source?,
        masks: rules.masks,
        passes: rules.passes,
        path_passes: rules.path_passes,
        rows: rules.rows,
        references: rules.references,
        unlisted: unlisted?,
        included: rules.included,
        canary,
        options: options?,
        places,
    })
}

/// Whether previous is kept: what cannot be exchanged in one step has none by default.
fn previous_of(
    said: KeepPrevious,
    target: &Endpoint,
    places: &BTreeMap<String, std::ops::Range<usize>>,
) -> KeepPrevious {
    let has_no_swap = target.url.has_no_swap() && target.archive.is_none();
    if has_no_swap && !places.contains_key("previous") {
        return KeepPrevious::Drop;
    }
    said
}

/// Reads the keys that are the store's own; what is wrong with one is said at it.
fn read_own(table: &Table<'_>, format: &dyn StoreFormat) -> Option<OwnOptions> {
    let mut given = toml::Table::new();
    let include = format.includes_by_glob().then_some("include");
    for name in format.own_keys().iter().map(|key| key.name).chain(include) {
        if let Some(value) = table.get(name) {
            given.insert(name.to_owned(), masks::owned(value.content));
        }
    }
    let flaws = match format.read_own(&given) {
        Ok(options) => return Some(options),
        Err(flaws) => flaws,
    };
    for (key, flaw) in flaws {
        if let Some(value) = table.get(key) {
            value.report(value.wrong(flaw));
        }
    }
    None
}

/// A task's name, which no other task of the job has; without `name`, that of its kind.
fn read_name(
    member: &Value<'_>,
    value: Option<Value<'_>>,
    kind: Option<StoreKind>,
    names: &mut BTreeMap<String, usize>,
) -> Option<String> {
    let name = match &value {
        Some(value) => {
            let text = value.text()?;
            if JobName::parse(text).is_err() {
                value.report(
                    value
                        .wrong(format!("{} cannot be a task's name", quote(text)))
                        .allowed("a letter or digit, then letters, digits, `.`, `_`, `-`"),
                );
                return None;
            }
            text.to_owned()
        }
        None => kind?.as_str().to_owned(),
    };
    let here = names.len();
    if let Some(other) = names.insert(name.clone(), here) {
        let at = value.as_ref().unwrap_or(member);
        at.report(
            at.wrong(format!("two tasks are called `{name}`"))
                .help(format!(
                    "task[{other}] is the first; without `name`, a task is called as its kind"
                )),
        );
    }
    Some(name)
}

/// Which objects are copied, and what runs on them. What is wrong with one of these leaves it empty.
struct Objects {
    exclude: Vec<String>,
    schema_only: Vec<String>,
    keep: Vec<String>,
    leave_out: Vec<String>,
    scripts: Vec<PathBuf>,
}

impl Objects {
    fn read(table: &Table<'_>) -> Self {
        let globs = |key| {
            let value = table.get(key);
            value.and_then(|value| value.globs()).unwrap_or_default()
        };
        Self {
            exclude: globs("exclude"),
            schema_only: globs("schema_only"),
            keep: globs("keep"),
            leave_out: globs("leave_out"),
            scripts: table
                .get("scripts")
                .and_then(|value| read_scripts(&value))
                .unwrap_or_default(),
        }
    }
}

/// What is said in a word; `None`: it is wrong.
struct Words {
    mode: Option<Mode>,
    publish: Option<Publish>,
    verify: Option<Verify>,
    previous: Option<KeepPrevious>,
    roles: Option<Roles>,
    definer: Option<Definer>,
    events: Option<Events>,
    trust_source: Option<bool>,
}

impl Words {
    fn read(table: &Table<'_>, overlays: bool) -> Self {
        let modes = [("replace", Mode::Replace), ("overlay", Mode::Overlay)];
        let by_nature = if overlays {
            Mode::Overlay
        } else {
            Mode::Replace
        };
        let publishes = [("swap", Publish::Swap), ("in_place", Publish::InPlace)];
        let verifies = [
            ("rows", Verify::Rows),
            ("checksum", Verify::Checksum),
            ("none", Verify::None),
        ];
        let previous = [("keep", KeepPrevious::Keep), ("drop", KeepPrevious::Drop)];
        let roles = [
            ("map", Roles::Map),
            ("skip", Roles::Skip),
            ("fail", Roles::Fail),
        ];
        let definers = [("map", Definer::Map), ("keep", Definer::Keep)];
        let events = [("disabled", Events::Disabled), ("keep", Events::Keep)];
        let publish = table.choice("publish", &publishes, Publish::Swap);
        let by_default = match publish {
            Some(Publish::InPlace) => KeepPrevious::Drop,
            _ => KeepPrevious::Keep,
        };
        Self {
            mode: table.choice("mode", &modes, by_nature),
            publish,
            verify: table.choice("verify", &verifies, Verify::Rows),
            previous: table.choice("previous", &previous, by_default),
            roles: table.choice("roles", &roles, Roles::Map),
            definer: table.choice("definer", &definers, Definer::Map),
            events: table.choice("events", &events, Events::Disabled),
            trust_source: match table.get("trust_source") {
                Some(value) => value.boolean(),
                None => Some(false),
            },
        }
    }
}

/// How fast it is copied. What is wrong with one of these leaves it out.
struct Pace {
    jobs: Option<usize>,
    throttle: Option<u64>,
    max_replication_lag: Option<Duration>,
}

impl Pace {
    fn read(table: &Table<'_>) -> Self {
        let jobs = table.get("jobs").and_then(|value| value.integer(1..=64));
        Self {
            jobs: jobs.and_then(|jobs| usize::try_from(jobs).ok()),
            throttle: table.get("throttle").and_then(|value| value.rate()),
            max_replication_lag: table
                .get("max_replication_lag")
                .and_then(|value| value.duration()),
        }
    }
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
                    .help(format!("looked at {}", path.display())),
            ),
        }
        scripts.push(path);
    }
    Some(scripts)
}
