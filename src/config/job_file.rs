//! A job's file.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use super::document::{Document, has_secret, quote};
use super::endpoints;
use super::environments;
use super::findings::{Findings, secret_spans};
use super::job::{Hook, Hooks, Job, JobName, PointInTime, Settings, Task};
use super::managed;
use super::permissions::{warn_if_readable, warn_if_writable};
use super::reader::{Table, Value};
use super::side::Side;
use super::task::{self, Pushes};
use super::way::Way;
use crate::policy::{Environment, Environments};
use crate::schedule::Schedule;

/// Longer than any schedule's gap that one would spread starts over.
const LONGEST_JITTER: Duration = Duration::from_secs(31 * 24 * 3600);

/// Keys of envsyncd.toml and of tasks that people put at a job's top.
const ELSEWHERE: &[(&str, &str)] = &[
    ("scheduler", "in envsyncd.toml"),
    ("priority", "in envsyncd.toml"),
    ("reboot_lock", "in envsyncd.toml"),
    ("history", "in envsyncd.toml"),
    ("metrics", "in envsyncd.toml"),
    ("masking", "in envsyncd.toml"),
    ("mask", "under [[task]]: [[task.mask]]"),
    ("pass", "under [[task]]: [[task.pass]]"),
    ("rows", "under [[task]]: [[task.rows]]"),
    ("reference", "under [[task]]: [[task.reference]]"),
    ("include", "under [[task]]"),
    ("unlisted", "under [[task]]"),
    ("icinga2", "in envsyncd.toml"),
    ("sites", "in envsyncd.toml"),
    ("http", "in envsyncd.toml"),
    ("nsca", "in envsyncd.toml"),
    ("job_dir", "in envsyncd.toml"),
    ("managed_job_dir", "in envsyncd.toml"),
    ("state_dir", "in envsyncd.toml"),
    ("status_dir", "in envsyncd.toml"),
    ("lock_dir", "in envsyncd.toml"),
    ("env_dir", "in envsyncd.toml"),
    ("host_environment", "in envsyncd.toml"),
    ("kind", "under [[task]]"),
    ("source", "under [[task]]"),
    ("target", "under [[task]]"),
    ("mode", "under [[task]]"),
    ("definer", "under [[task]]"),
    ("events", "under [[task]]"),
    ("exclude", "under [[task]]"),
    ("scripts", "under [[task]]"),
];

/// Reads and validates one job's file. Also returns warnings.
pub fn load_job(file: &Path, settings: &Settings) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
    load_job_as(file, file, settings)
}

/// Reads a copy of a job's file as if it stood in the file's place: its last good version, while the file is broken.
pub fn load_job_as(
    file: &Path,
    copy: &Path,
    settings: &Settings,
) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
    let document = if settings.is_managed(file) {
        Document::read_managed(file, copy)
    } else {
        Document::read_as(file, copy)
    };
    understand(document?, file, settings)
}

/// Reads a text as if it stood in a job's file.
pub fn understand_text(
    file: &Path,
    text: String,
    settings: &Settings,
) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
    understand(Document::new(file, text), file, settings)
}

/// Reads a job's file.
pub(super) fn understand(
    mut document: Document,
    file: &Path,
    settings: &Settings,
) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
    let hidden = secret_spans(&document.text);
    document.hide(hidden);
    let (findings, root) = Findings::parse(&document);
    let name = match JobName::of_file(file) {
        Ok(_) if file.extension().is_none_or(|e| e != "toml") => {
            findings.push_whole(
                Diagnostic::of_file(file, "a job's file is called NAME.toml")
                    .help("the job's name is its file's name without .toml"),
            );
            None
        }
        Ok(name) => Some(name),
        Err(why) => {
            findings.push_whole(Diagnostic::of_file(file, why).help("rename the file"));
            None
        }
    };
    managed::report_namesake(&findings, settings);
    let is_managed = settings.is_managed(file);
    // What is refused here is not looked at: what it leads to is not for whoever wrote it to see.
    if is_managed && !managed::check(&Table::root(&findings, &root), settings) {
        findings.settle()?;
        return Err(incomplete(file).into());
    }
    let job = read(
        Table::root(&findings, &root).elsewhere(ELSEWHERE),
        &findings,
        settings,
        name,
    );
    if let Some(job) = &job {
        warn_if_readable(
            &findings,
            job.tasks
                .iter()
                .flat_map(|task| [&task.source, &task.target]),
        );
    }
    warn_if_writable(&findings, is_managed);
    let warnings = findings.settle()?;
    match job {
        Some(job) => Ok((job, warnings)),
        None => Err(incomplete(file).into()),
    }
}

fn incomplete(file: &Path) -> Diagnostic {
    Diagnostic::of_file(file, "the job is incomplete")
}

fn read(
    root: Table<'_>,
    findings: &Findings<'_>,
    settings: &Settings,
    name: Option<JobName>,
) -> Option<Job> {
    let directory = findings.document.directory();
    let description = root.get("description").and_then(|value| value.string());

    let table = root.get("environments").and_then(|value| value.table());
    let environments = environments::read(table.as_ref(), &settings.environments, findings);
    let usable = table.is_none() || environments.names().next().is_some();
    let mut named = settings.endpoints.clone();
    let own = root.get("endpoints").and_then(|value| value.table());
    if let Some(table) = own
        && usable
    {
        let taken = &settings.endpoints;
        let own = endpoints::read_named(&table, directory, &environments, taken, settings.stores);
        named.extend(own);
    }

    let from = root.required("from", "the environment that data comes from");
    let from = from.and_then(|value| end(&value, &environments, usable));
    let side = |way, environment| Side {
        way,
        environment,
        named: &named,
        directory: directory.to_owned(),
        stores: settings.stores,
        has_mask_key: settings.mask_key.is_some(),
        sites: &settings.sites,
    };
    let pushes = root.get("task").map_or(Pushes::None, |value| {
        task::pushes(&value, &side(Way::To, None))
    });
    let to = read_to(&root, pushes, |value| end(value, &environments, usable));
    let times = Times::read(&root);
    let site = root
        .get("site")
        .and_then(|value| read_site(&value, settings));
    let point_in_time = root.get("point_in_time").and_then(|value| {
        value.choice(
            &[("job", PointInTime::Job), ("task", PointInTime::Task)],
            &[],
        )
    });
    let hooks = root
        .get("hooks")
        .and_then(|value| value.table())
        .map(read_hooks)
        .unwrap_or_default();

    let source = side(Way::From, from.as_ref());
    let target = side(Way::To, to.as_ref());
    let tasks = root.required("task", "at least one [[task]]");
    let tasks = tasks.and_then(|value| task::read(&value, &source, &target));
    root.finish();

    Some(Job {
        name: name?,
        file: findings.document.file.clone(),
        description: description.unwrap_or_default().to_owned(),
        site,
        from: from?,
        to: to?,
        environments,
        schedule: times.schedule,
        timezone: times.timezone,
        timeout: times.timeout,
        jitter: times.jitter,
        catch_up: times.catch_up,
        point_in_time: point_in_time.unwrap_or(PointInTime::Job),
        tasks: tasks?,
        left_out: Vec::new(),
        hooks,
    })
}

/// The site that a job belongs to.
fn read_site(value: &Value<'_>, settings: &Settings) -> Option<String> {
    let name = value.text()?;
    if settings.sites.contains_key(name) {
        return Some(name.to_owned());
    }
    let names: Vec<&str> = settings.sites.keys().map(String::as_str).collect();
    let wrong = value.wrong(format!("there is no site {}", quote(name)));
    value.report(if names.is_empty() {
        wrong.help("define it as [sites.NAME] in envsyncd.toml")
    } else {
        let near = did_you_mean(name, names.iter().copied());
        wrong.allowed(names.join(" | ")).maybe_help(near)
    });
    None
}

/// The environment that data goes to, which a job that pushes alone need not name.
fn read_to(
    root: &Table<'_>,
    pushes: Pushes,
    read: impl Fn(&Value<'_>) -> Option<Environment>,
) -> Option<Environment> {
    let what = match pushes {
        Pushes::All if !root.has("to") => {
            root.get("to");
            return Some(Environment::archive());
        }
        Pushes::Some => {
            "the environment that data goes to, as not every task's target is an archive"
        }
        _ => "the environment that data goes to",
    };
    root.required("to", what).and_then(|value| read(&value))
}

/// When a job runs by itself, and how long it may take.
struct Times {
    schedule: Option<Schedule>,
    timezone: Option<chrono_tz::Tz>,
    timeout: Option<Duration>,
    jitter: Option<Duration>,
    catch_up: bool,
}

impl Times {
    fn read(root: &Table<'_>) -> Self {
        let schedule = root.get("schedule").and_then(|value| read_schedule(&value));
        let timeout = root.get("timeout").and_then(|value| value.duration());
        let unscheduled = |value: &Value<'_>| {
            if schedule.is_none() && !root.has("schedule") {
                value.report(
                    value
                        .wrong("this has no effect without a `schedule`")
                        .warning(),
                );
            }
        };
        let timezone = root.get("timezone").and_then(|value| {
            unscheduled(&value);
            value.time_zone()
        });
        let jitter = root.get("jitter").and_then(|value| {
            unscheduled(&value);
            let jitter = value.duration()?;
            check_jitter(&value, jitter, schedule.as_ref()).then_some(jitter)
        });
        let catch_up = root.get("catch_up").and_then(|value| {
            unscheduled(&value);
            value.boolean()
        });
        Self {
            schedule,
            timezone,
            timeout,
            jitter,
            catch_up: catch_up.unwrap_or(false),
        }
    }
}

fn read_schedule(value: &Value<'_>) -> Option<Schedule> {
    let text = value.text()?;
    match Schedule::parse(text) {
        Ok(schedule) => Some(schedule),
        Err(why) => {
            // A password that went astray is not repeated.
            let why = if has_secret(text) {
                "this is not a schedule".to_owned()
            } else {
                why
            };
            value.report(value.wrong(why).allowed(
                "5 fields (minute hour day month weekday), 6 with seconds in front, or hourly | daily | weekly",
            ));
            None
        }
    }
}

/// Whether a jitter is possible. One that moves nothing, or past the schedule's next time, is a warning.
fn check_jitter(value: &Value<'_>, jitter: Duration, schedule: Option<&Schedule>) -> bool {
    if jitter > LONGEST_JITTER {
        value.report(
            value
                .wrong("a jitter of more than a month")
                .allowed("up to 31days"),
        );
        return false;
    }
    if jitter <= Duration::from_secs(1) {
        value.report(
            value
                .wrong("starts are moved by whole seconds below this: it moves nothing")
                .warning(),
        );
    }
    let gap = schedule.and_then(Schedule::shortest_gap);
    if let Some(gap) = gap
        && jitter >= gap
    {
        value.report(
            value
                .wrong(format!(
                    "the schedule's times lie {} apart: a start may move past the next one",
                    humantime::format_duration(gap)
                ))
                .warning()
                .help("no run is lost by that; a shorter jitter keeps to the schedule"),
        );
    }
    true
}

/// `from` or `to`. Whether data may flow between them is the run's question, and policy's answer.
fn end(value: &Value<'_>, environments: &Environments, usable: bool) -> Option<Environment> {
    if usable {
        endpoints::read_environment(value, environments)
    } else {
        value.text().map(Environment::new)
    }
}

/// Reads `[hooks]`.
pub(super) fn read_hooks(table: Table<'_>) -> Hooks {
    let hook = |key| table.get(key).and_then(|value| read_hook(&value));
    let hooks = Hooks {
        maintenance_on: hook("maintenance_on"),
        maintenance_off: hook("maintenance_off"),
        after_publish: hook("after_publish"),
        places: table.places().collect(),
    };
    if let Some(on) = table.get("maintenance_on")
        && !table.has("maintenance_off")
    {
        on.report(
            on.wrong("there is no `maintenance_off`: the target would stay in maintenance")
                .help("add maintenance_off = [\"PROGRAM\", ...]"),
        );
    }
    table.finish();
    hooks
}

fn read_hook(value: &Value<'_>) -> Option<Hook> {
    let Some(table) = value.table_or_nothing() else {
        return Some(Hook {
            argv: value.argv()?,
            timeout: None,
        });
    };
    let argv = table
        .required("command", "the program and its arguments")
        .and_then(|value| value.argv());
    let timeout = table.get("timeout").and_then(|value| value.duration());
    table.finish();
    Some(Hook {
        argv: argv?,
        timeout,
    })
}

/// A diagnostic at a task's key, for what only a store knows. `key` is a key of `[[task]]`; one that the file leaves
/// out is shown at the task itself.
pub fn refuse(job: &Job, task: &Task, key: &str, why: String) -> Diagnostic {
    refuse_at(job, Document::read(&job.file).ok(), task, key, why)
}

/// The same of a job whose file has this text, or is going to.
pub fn refuse_in(text: &str, job: &Job, task: &Task, key: &str, why: String) -> Diagnostic {
    let document = Document::new(&job.file, text.to_owned());
    refuse_at(job, Some(document), task, key, why)
}

fn refuse_at(
    job: &Job,
    document: Option<Document>,
    task: &Task,
    key: &str,
    why: String,
) -> Diagnostic {
    let place = task.places.get(key).or_else(|| task.places.get(""));
    at(job, document, place, path_of(job, task, key), why)
}

/// The path of a task's key: in the job's file, or where envsyncd.toml has it for a site.
fn path_of(job: &Job, task: &Task, key: &str) -> String {
    let Some(site) = &job.site else {
        let number = job.tasks.iter().position(|one| one.name == task.name);
        return format!("task[{}].{key}", number.unwrap_or(0));
    };
    match key {
        "source" => format!("sites.{site}.{}.{}", job.from, task.name),
        "target" => format!("sites.{site}.{}.{}", job.to, task.name),
        _ => format!("sites.{site}.tasks.{}.{key}", task.name),
    }
}

/// A diagnostic at a hook, for what only this host knows.
pub fn refuse_hook(job: &Job, key: &str, why: String) -> Diagnostic {
    let document = Document::read(&job.file).ok();
    let place = job.hooks.places.get(key);
    at(job, document, place, format!("hooks.{key}"), why)
}

fn at(
    job: &Job,
    document: Option<Document>,
    place: Option<&Range<usize>>,
    key: String,
    why: String,
) -> Diagnostic {
    let mut diagnostic = match (document, place) {
        (Some(mut document), Some(span)) => {
            let hidden = secret_spans(&document.text);
            document.hide(hidden);
            document.at(span.clone(), why)
        }
        // The file went away since it was read: what is wrong is still worth saying.
        _ => Diagnostic::of_file(&job.file, why),
    };
    diagnostic.key = Some(key);
    diagnostic
}
