//! A job's file.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::endpoint;
use super::job::{
    Endpoint, Hook, Hooks, Job, JobName, KeepPrevious, Mode, Settings, StoreKind, Task, Verify,
};
use super::reader::{self, Table, Value};
use crate::policy::{Environment, Environments};
use crate::schedule::Schedule;
use crate::secret::Secret;

type Endpoints = BTreeMap<String, (Environment, Endpoint)>;

/// Kinds that will come.
const LATER_KINDS: [&str; 4] = ["mysql", "mongodb", "opensearch", "files"];

/// Loads a job's file. The second value is warnings.
pub fn load_job(file: &Path, settings: &Settings) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let fail = |one: Diagnostic| match Diagnostics::check(vec![one]) {
        Err(found) => found,
        Ok(_) => unreachable!("an error is an error"),
    };
    let name = JobName::of_file(&file).map_err(|why| fail(Diagnostic::of_file(&file, why)))?;
    let text = reader::text_of(&file).map_err(fail)?;
    let (job, mut found) = reader::parse(&text, |root| read(root, &file, name, settings));
    if let Some(job) = &job {
        found.extend(exposed(job, &file));
    }
    let warnings = Diagnostics::check(found)?;
    // Without an error, everything was there.
    job.map(|job| (job, warnings))
        .ok_or_else(|| fail(Diagnostic::of_file(&file, "the job is incomplete")))
}

/// A diagnostic at a task's key, for what only its store can know.
pub fn refuse(job: &Job, task: &Task, key: &str, why: String) -> Diagnostic {
    let path = job
        .tasks
        .iter()
        .position(|other| other.name == task.name)
        .map_or_else(|| key.to_owned(), |place| format!("task[{place}].{key}"));
    match (reader::text_of(&job.file), task.places.get(key)) {
        (Ok(text), Some(span)) => Diagnostic::at(&text, span, &path, why),
        _ => {
            let mut made = Diagnostic::of_file(&job.file, why);
            made.key = path;
            made
        }
    }
}

/// A file with a password that others may read.
fn exposed(job: &Job, file: &Path) -> Option<Diagnostic> {
    let inline = |endpoint: &Endpoint| {
        endpoint.name.is_none() && matches!(endpoint.password, Some(Secret::Inline(_)))
    };
    let holds = job
        .tasks
        .iter()
        .any(|task| inline(&task.source) || inline(&task.target));
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    (holds && mode & 0o044 != 0).then(|| {
        Diagnostic::of_file(file, "the file holds a password, and others may read it")
            .help(format!("chmod 600 {}", file.display()))
            .warning()
    })
}

fn read(root: &Table<'_>, file: &Path, name: JobName, settings: &Settings) -> Option<Job> {
    let base = file.parent().unwrap_or(Path::new("/")).to_owned();
    let environments = endpoint::environments(root, Some(&settings.environments));
    let mut endpoints = settings.endpoints.clone();
    endpoints.extend(endpoint::endpoints(root, &environments, &base));
    let description = root.get("description").and_then(|value| value.string());
    let from = root
        .require(
            "from",
            "the environment that data comes from: from = \"production\"",
        )
        .and_then(|value| endpoint::known(&value, &environments));
    let to = root
        .require("to", "the environment that data goes to: to = \"staging\"")
        .and_then(|value| endpoint::known(&value, &environments));
    let schedule = root.get("schedule").and_then(|value| {
        let text = value.filled()?;
        match Schedule::parse(&text) {
            Ok(schedule) => Some(schedule),
            Err(why) => {
                value.error(
                    format!("`{text}` is no schedule: {why}"),
                    "allowed: 5 cron fields (minute hour day month weekday), 6 with seconds in front, hourly | daily | weekly",
                );
                None
            }
        }
    });
    let timeout = root.get("timeout").and_then(|value| value.duration());
    let jitter = root.get("jitter").and_then(|value| value.duration());
    let catch_up = root.get("catch_up").and_then(|value| value.boolean());
    let hooks = root
        .table("hooks")
        .map(|table| hooks(&table))
        .unwrap_or_default();
    let mut tasks = Vec::new();
    let mut names = HashSet::new();
    if let Some(list) = root
        .require("task", "at least one [[task]]")
        .and_then(|value| value.list())
    {
        if list.is_empty() {
            root.notes.error_with(
                &(0..0),
                "task",
                "the job has no task",
                "write at least one [[task]]",
            );
        }
        for value in list {
            let Some(table) = value.table() else { continue };
            let made = task(
                &table,
                &base,
                &endpoints,
                &environments,
                from.as_ref(),
                to.as_ref(),
            );
            table.finish();
            let Some(made) = made else { continue };
            if !names.insert(made.name.clone()) {
                let span = made
                    .places
                    .get("name")
                    .cloned()
                    .unwrap_or(table.span.clone());
                table.notes.error_with(
                    &span,
                    &table.path_of("name"),
                    format!("there are two tasks `{}`", made.name),
                    "give each task a name of its own: name = \"...\"",
                );
            }
            tasks.push(made);
        }
    }
    Some(Job {
        name,
        file: file.to_owned(),
        description: description.unwrap_or_default(),
        from: from?,
        to: to?,
        environments,
        schedule,
        timeout,
        jitter,
        catch_up: catch_up.unwrap_or(false),
        tasks: if tasks.is_empty() { return None } else { tasks },
        hooks,
    })
}

fn hooks(table: &Table<'_>) -> Hooks {
    let hooks = Hooks {
        maintenance_on: table.get("maintenance_on").and_then(|value| hook(&value)),
        maintenance_off: table.get("maintenance_off").and_then(|value| hook(&value)),
        after_publish: table.get("after_publish").and_then(|value| hook(&value)),
    };
    table.finish();
    if let (Some(_), None, Some(value)) = (
        &hooks.maintenance_on,
        table.get("maintenance_off"),
        table.get("maintenance_on"),
    ) {
        value.warn(
            "nothing turns maintenance off again",
            "write maintenance_off, too; if there is nothing to do, [\"true\"]",
        );
    }
    hooks
}

/// `["program", "argument"]`, or `{ command = [...], timeout = "30s" }`.
fn hook(value: &Value<'_>) -> Option<Hook> {
    let (list, timeout) = if value.is_list() {
        (value.clone(), None)
    } else if value.is_table() {
        let table = value.table()?;
        let command = table.require("command", "command = [\"PROGRAM\", \"ARGUMENT\"]");
        let timeout = table.get("timeout").and_then(|value| value.duration());
        table.finish();
        (command?, timeout)
    } else {
        value.error(
            "a hook is a list: its program and its arguments, without a shell",
            "allowed: [\"PROGRAM\", \"ARGUMENT\"] | { command = [\"PROGRAM\"], timeout = \"30s\" }",
        );
        return None;
    };
    let argv: Vec<String> = list
        .list()?
        .iter()
        .map(Value::string)
        .collect::<Option<_>>()?;
    if argv.first().is_none_or(String::is_empty) {
        list.error(
            "a hook has at least a program",
            "allowed: [\"PROGRAM\", \"ARGUMENT\"]",
        );
        return None;
    }
    Some(Hook { argv, timeout })
}

fn task(
    table: &Table<'_>,
    base: &Path,
    endpoints: &Endpoints,
    environments: &Environments,
    from: Option<&Environment>,
    to: Option<&Environment>,
) -> Option<Task> {
    let kinds = [
        ("postgresql", StoreKind::Postgresql),
        ("sqlite", StoreKind::Sqlite),
    ];
    let kind = table
        .require("kind", "kind = \"postgresql\" | \"sqlite\"")
        .and_then(|value| value.choice(&kinds, &LATER_KINDS));
    let name = match table.get("name") {
        Some(value) => value.filled().and_then(|text| match JobName::parse(&text) {
            Ok(_) => Some(text),
            Err(_) => {
                value.error(
                    "this cannot be a task's name",
                    "allowed: letters, digits, `.`, `_`, `-`; a letter or digit first",
                );
                None
            }
        }),
        None => kind.map(|kind| kind.to_string()),
    };
    let side = |key: &str, environment: Option<&Environment>| {
        let value = table.require(
            key,
            "an endpoint's name, a URL, or { url = \"...\", password = { ... } }",
        )?;
        let endpoint = side(&value, base, endpoints, environment, environments)?;
        if let Some(kind) = kind
            && !endpoint::fits(kind, &endpoint.url)
        {
            let scheme = endpoint
                .url
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            let allowed = match kind {
                StoreKind::Postgresql => "postgresql://user@host/database",
                StoreKind::Sqlite => "sqlite:///absolute/path.db | sqlite:relative/to/this/file.db",
            };
            value.error(
                format!("`{scheme}:` is no URL of kind {kind}"),
                format!("allowed: {allowed}"),
            );
            return None;
        }
        Some(endpoint)
    };
    let (source, target) = (side("source", from), side("target", to));
    let modes = [("replace", Mode::Replace), ("overlay", Mode::Overlay)];
    let verifies = [
        ("rows", Verify::Rows),
        ("checksum", Verify::Checksum),
        ("none", Verify::None),
    ];
    let keeps = [("keep", KeepPrevious::Keep), ("drop", KeepPrevious::Drop)];
    let mode = table
        .get("mode")
        .and_then(|value| value.choice(&modes, &[]));
    let jobs = table.get("jobs").and_then(|value| value.integer(1, 64));
    let verify = table
        .get("verify")
        .and_then(|value| value.choice(&verifies, &[]));
    let previous = table
        .get("previous")
        .and_then(|value| value.choice(&keeps, &[]));
    if let Some(value) = table.get("publish") {
        value.choice(&[("swap", ())], &["in_place"]);
    }
    let globs = |key: &str| -> Vec<String> {
        let Some(list) = table.get(key).and_then(|value| value.list()) else {
            return Vec::new();
        };
        list.iter()
            .filter_map(|value| {
                let text = value.filled()?;
                match glob::Pattern::new(&text) {
                    Ok(_) => Some(text),
                    Err(error) => {
                        value.error(
                            format!("this is no glob: {error}"),
                            "allowed: `*`, `?` and `[abc]` in `table` or `schema.table`",
                        );
                        None
                    }
                }
            })
            .collect()
    };
    let (exclude, schema_only, keep) = (globs("exclude"), globs("schema_only"), globs("keep"));
    let scripts = match table.get("scripts").and_then(|value| value.list()) {
        None => Vec::new(),
        Some(list) => list
            .iter()
            .filter_map(|value| {
                let path = value.path(base)?;
                match std::fs::File::open(&path).and_then(|file| file.metadata()) {
                    Ok(found) if found.is_file() => Some(path),
                    Ok(_) => {
                        value.error(
                            format!("{} is no file", path.display()),
                            "a script is relative to the job's file",
                        );
                        None
                    }
                    Err(error) => {
                        value.error(
                            format!("{}: {error}", path.display()),
                            "a script is relative to the job's file",
                        );
                        None
                    }
                }
            })
            .collect(),
    };
    Some(Task {
        name: name?,
        kind: kind?,
        source: source?,
        target: target?,
        mode: mode.unwrap_or(Mode::Replace),
        jobs: jobs.map(|jobs| jobs as usize),
        exclude,
        schema_only,
        keep,
        scripts,
        verify: verify.unwrap_or(Verify::Rows),
        previous: previous.unwrap_or(KeepPrevious::Keep),
        places: table.places().into_iter().collect(),
    })
}

/// A task's source or target: an endpoint's name, a URL, or a table.
fn side(
    value: &Value<'_>,
    base: &Path,
    endpoints: &Endpoints,
    environment: Option<&Environment>,
    environments: &Environments,
) -> Option<Endpoint> {
    if value.is_table() {
        let table = value.table()?;
        let endpoint = endpoint::of_table(&table, base);
        table.finish();
        return endpoint;
    }
    let text = value.filled()?;
    if text.contains("://") || text.starts_with("sqlite:") || text.starts_with("file:") {
        return endpoint::of_url(value, base);
    }
    let Some((of, endpoint)) = endpoints.get(&text) else {
        let near = endpoints
            .keys()
            .map(|known| (strsim::damerau_levenshtein(known, &text), known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .min();
        let help = match near {
            Some((_, known)) => format!("did you mean `{known}`?"),
            None => "define it as [endpoints.NAME], or write a URL: postgresql://user@host/database | sqlite:PATH".to_owned(),
        };
        value.error(format!("there is no endpoint `{text}`"), help);
        return None;
    };
    if let Some(environment) = environment
        && of != environment
        && environments.get(of).is_some()
    {
        value.error(
            format!("the endpoint `{text}` is in `{of}`, and the job says `{environment}` here"),
            "a source belongs to the job's `from`, a target to its `to`",
        );
        return None;
    }
    Some(endpoint.clone())
}
