//! Job files of `managed_job_dir`, which the API and the control panel write.
//!
//! What stands in one may come from whoever has a token. So it only chooses among what the host's own files define: it names
//! endpoints and sites of envsyncd.toml, starts no program, opens no file, has no text that a server runs, and takes back
//! nothing that the host asks for. The list is of what is allowed: a new key of jobs is refused here until somebody adds it.
//! It holds whenever such a file is read, whoever has put it there.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::document::quote;
use super::findings::Findings;
use super::job::{Endpoint, Settings, Task};
use super::job_name::JobName;
use super::reader::{Table, Value};
use super::url;
use super::way::Way;

/// What a job may have.
const OF_JOBS: &[&str] = &[
    "catch_up",
    "description",
    "from",
    "jitter",
    "point_in_time",
    "schedule",
    "site",
    "task",
    "timeout",
    "timezone",
    "to",
];

/// What a task may have.
const OF_TASKS: &[&str] = &[
    "compare",
    "exclude",
    "jobs",
    "keep",
    "kind",
    "leave_out",
    "mask",
    "max_replication_lag",
    "max_size",
    "mode",
    "name",
    "newer_than",
    "preset",
    "previous",
    "schema_only",
    "source",
    "target",
    "throttle",
    "unlisted",
    "verify",
];

/// What a mask may have.
const OF_MASKS: &[&str] = &["columns", "table"];

/// Why keys that jobs have elsewhere are refused.
const WHY: &[(&str, &str)] = &[
    ("canary", "the host's rules for masks hold"),
    ("definer", "code of the source would run as somebody else"),
    ("endpoints", "endpoints are the host's"),
    ("environments", "environments are the host's"),
    ("events", "code of the source would run by itself"),
    ("hooks", "hooks run programs"),
    ("include", "it opens files of the host"),
    (
        "pass",
        "what is not personal is for those to say who answer for it",
    ),
    ("publish", "the live copy would be emptied first"),
    ("reference", "conditions are run by the source's server"),
    ("roles", "rights are the host's"),
    ("rows", "conditions are run by the source's server"),
    ("scripts", "scripts are run by the target's server"),
    ("trust_source", "code of the source would run"),
    ("where", "conditions are run by the source's server"),
];

/// What to do instead.
const BY_HAND: &str = "write this job into job_dir by hand";

impl Settings {
    /// The directories of job files, the one that people write into first.
    pub fn job_dirs(&self) -> impl Iterator<Item = &Path> {
        let managed = self.managed_job_dir.as_deref();
        std::iter::once(self.job_dir.as_path()).chain(managed)
    }

    /// The same as words.
    pub fn job_dirs_named(&self) -> String {
        let all: Vec<String> = self.job_dirs().map(|it| it.display().to_string()).collect();
        all.join(" and ")
    }

    /// A job's file. A name that both directories have is that of the file in `job_dir`, where the file of a job also belongs
    /// that has none.
    pub fn job_file(&self, name: &str) -> PathBuf {
        let named = |directory: &Path| directory.join(format!("{name}.toml"));
        let mut files = self.job_dirs().map(named);
        let found = files.find(|file| is_there(file));
        found.unwrap_or_else(|| named(&self.job_dir))
    }

    /// Whether a file lies in `managed_job_dir`, whatever the way there is called.
    pub fn is_managed(&self, file: &Path) -> bool {
        let Some(managed) = &self.managed_job_dir else {
            return false;
        };
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        file.parent()
            .is_some_and(|directory| directory == managed || is_same(directory, managed))
    }

    /// The file of the other directory that has the same job's name.
    pub fn namesake(&self, file: &Path) -> Option<PathBuf> {
        let managed = self.managed_job_dir.as_ref()?;
        let other = if self.is_managed(file) {
            &self.job_dir
        } else if file.parent() == Some(&self.job_dir) {
            managed
        } else {
            return None;
        };
        Some(other.join(file.file_name()?)).filter(|other| is_there(other))
    }
}

fn is_there(file: &Path) -> bool {
    std::fs::symlink_metadata(file).is_ok()
}

/// Whether two paths lead to one directory.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    one == other || place(one).is_some_and(|at| place(other) == Some(at))
}

/// Says that the other directory has a job of this name: an error of the file that does not count.
pub(super) fn report_namesake(findings: &Findings<'_>, settings: &Settings) {
    let file = &findings.document.file;
    let Some(other) = settings.namesake(file) else {
        return;
    };
    let name = JobName::of_file(file).map_or_else(|_| String::new(), |name| name.to_string());
    let report =
        |what: String| Diagnostic::of_file(file, what).help("remove or rename one of them");
    findings.push_whole(if settings.is_managed(file) {
        let other = other.display();
        report(format!(
            "job `{name}` is in {other}, and this file is not read"
        ))
    } else {
        let other = other.display();
        report(format!(
            "there is a job `{name}` in {other}, too, which is not read"
        ))
        .warning()
    });
}

/// Refuses a `managed_job_dir` that is another directory of the settings as well.
pub(super) fn check_directory(settings: &Settings) -> Result<(), Diagnostics> {
    let Some(managed) = &settings.managed_job_dir else {
        return Ok(());
    };
    let others = [
        ("job_dir", Some(&settings.job_dir)),
        ("env_dir", settings.env_dir.as_ref()),
        ("state_dir", Some(&settings.state_dir)),
        ("status_dir", Some(&settings.status_dir)),
        ("lock_dir", Some(&settings.lock_dir)),
    ];
    let taken =
        |(_, other): &(&str, Option<&PathBuf>)| other.is_some_and(|other| is_same(managed, other));
    let Some((key, _)) = others.into_iter().find(taken) else {
        return Ok(());
    };
    let origin = settings.file.as_ref();
    let origin = origin.map_or_else(
        || "environment".to_owned(),
        |file| file.display().to_string(),
    );
    let what = format!("managed_job_dir {} is the {key} as well", managed.display());
    let mut refused = Diagnostic::error(origin, what)
        .help("give it a directory of its own: /var/lib/envsyncd/jobs");
    refused.key = Some("managed_job_dir".to_owned());
    Err(refused.into())
}

/// Whether a job has nothing but what is allowed; what it has beside is said.
pub(super) fn check(root: &Table<'_>, settings: &Settings) -> bool {
    let mut fine = only(root, OF_JOBS);
    let tasks = root.get("task").filter(Value::is_list);
    for task in tasks.and_then(|value| value.list()).unwrap_or_default() {
        let Some(task) = task.table_or_nothing() else {
            continue;
        };
        fine &= only(&task, OF_TASKS);
        for way in [Way::From, Way::To] {
            if let Some(value) = task.get(way.key())
                && !is_of_host(&value, way, root, settings)
            {
                let wrong = value.wrong("this is not the name of an endpoint in envsyncd.toml");
                value.report(wrong.help(
                    "define it there as [endpoints.NAME], or write this job into job_dir by hand",
                ));
                fine = false;
            }
        }
        if let Some(value) = task.get("verify")
            && value.content.as_str() == Some("none")
        {
            let wrong = value.wrong("every copy of such a job is verified");
            value.report(wrong.allowed("rows | checksum").help(BY_HAND));
            fine = false;
        }
        let masks = task.get("mask").filter(Value::is_list);
        for mask in masks.and_then(|value| value.list()).unwrap_or_default() {
            if let Some(mask) = mask.table_or_nothing() {
                fine &= only(&mask, OF_MASKS);
            }
        }
    }
    fine
}

/// Refuses all keys but these.
fn only(table: &Table<'_>, allowed: &[&str]) -> bool {
    let mut fine = true;
    for (name, span, value) in table.entries() {
        if allowed.contains(&name) {
            continue;
        }
        fine = false;
        let why = WHY.iter().find(|(key, _)| *key == name);
        let mut what = format!(
            "{} cannot be in a job that the API or the panel writes",
            quote(name)
        );
        if let Some((_, why)) = why {
            what = format!("{what}: {why}");
        }
        let mut refused = table.findings.document.at(span.clone(), what).help(BY_HAND);
        if why.is_none() {
            refused = refused.allowed(allowed.join(", "));
        }
        refused.key = Some(value.path);
        table.findings.push(&span, refused);
    }
    fine
}

/// Whether `source` or `target` is a name of the host's, or what the job's site has on that side.
fn is_of_host(value: &Value<'_>, way: Way, root: &Table<'_>, settings: &Settings) -> bool {
    let DeValue::String(text) = value.content else {
        return false;
    };
    if !url::looks_like_url(text, settings.stores) {
        // Whether there is such an endpoint is said with all else.
        return true;
    }
    site_tasks(root, settings).iter().any(|task| {
        let endpoint = match way {
            Way::From => &task.source,
            Way::To => &task.target,
        };
        has_bare_url(endpoint) && endpoint.url.to_string() == **text
    })
}

/// Whether an endpoint is wholly said by its URL.
fn has_bare_url(endpoint: &Endpoint) -> bool {
    endpoint.password.is_none() && endpoint.secrets.is_empty() && endpoint.archive.is_none()
}

/// How the job's site is copied from its `from` into its `to`.
fn site_tasks<'s>(root: &Table<'_>, settings: &'s Settings) -> &'s [Task] {
    let text = |key: &'static str| root.get(key)?.content.as_str().map(str::to_owned);
    let environment = |key: &'static str| settings.environments.named(&text(key)?).cloned();
    let key = || Some((text("site")?, environment("from")?, environment("to")?));
    key()
        .and_then(|key| settings.site_tasks.get(&key))
        .map_or(&[], Vec::as_slice)
}
