//! envsyncd.toml, the defaults where it is silent, and the environment variables that override it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::diagnostics::{Diagnostic, Diagnostics, did_you_mean, nearest};
use super::document::{Document, quote};
use super::endpoints::{self, Named};
use super::environments;
use super::file_proxy;
use super::findings::{Findings, secret_spans};
use super::http;
use super::job::{OnStop, Priority, RebootLock, Settings};
use super::managed;
use super::monitoring::{self, Monitoring};
use super::permissions::{warn_if_readable, warn_if_writable};
use super::reader::Table;
use super::reporting::{self, Metrics, Retention};
use super::running::{STOP_TIMEOUT, read_priority, read_reboot_lock, read_scheduler};
use super::secrets::read_secret;
use super::site_jobs;
use super::sites::{self, Sites};
use super::stores::Stores;
use crate::policy::{Environment, Environments};

/// Where envsyncd.toml is unless somebody says otherwise.
pub const SETTINGS_FILE: &str = "/etc/envsyncd/envsyncd.toml";
const JOB_DIR: &str = "/etc/envsyncd/config.d";
const ENV_DIR: &str = "/etc/envsyncd/env.d";
const STATE_DIR: &str = "/var/lib/envsyncd";
const LOCK_DIR: &str = "/run/envsyncd";

const KILL_AFTER: Duration = Duration::from_secs(30);

const PREFIX: &str = "ENVSYNCD_";
/// Variables of ours that are read elsewhere.
const OTHER_VARIABLES: &[&str] = &[
    "ENVSYNCD_LOG",
    "ENVSYNCD_CONFIG",
    "ENVSYNCD_SERVER",
    "ENVSYNCD_TOKEN",
    "ENVSYNCD_TOKEN_FILE",
];

/// The top-level scalars, from a file or from the environment. Paths are absolute by now.
#[derive(Debug, Default)]
pub(super) struct Scalars {
    job_dir: Option<PathBuf>,
    managed_job_dir: Option<PathBuf>,
    env_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    status_dir: Option<PathBuf>,
    lock_dir: Option<PathBuf>,
    host_environment: Option<Environment>,
    /// A variable alone: what amazee.io says of production.
    production_url: Option<String>,
}

/// The same as envy reads them: `ENVSYNCD_STATE_DIR` is `state_dir`.
#[derive(Debug, Default, Deserialize)]
struct Overrides {
    job_dir: Option<String>,
    managed_job_dir: Option<String>,
    env_dir: Option<String>,
    state_dir: Option<String>,
    status_dir: Option<String>,
    lock_dir: Option<String>,
    host_environment: Option<String>,
}

const SCALARS: &[&str] = &[
    "job_dir",
    "managed_job_dir",
    "env_dir",
    "state_dir",
    "status_dir",
    "lock_dir",
    "host_environment",
];

/// The process's environment as far as it is Unicode; other variables can be none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads envsyncd.toml and the environment's overrides. Without a path, [`SETTINGS_FILE`] if it is there, otherwise
/// the defaults alone; they are the same for every user, and a run says what to do where it may not write to them.
/// A relative path starts at the file's directory, in a variable at the working directory. `stores` are those that endpoints
/// and tasks may have. Also returns warnings.
pub fn load_settings(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    stores: Stores,
) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
    load_settings_or(path, None, Path::new(SETTINGS_FILE), env, stores)
}

/// Reads a copy of envsyncd.toml as if it stood in the file's place.
pub fn load_settings_as(
    path: Option<&Path>,
    copy: &Path,
    env: impl Iterator<Item = (String, String)>,
    stores: Stores,
) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
    load_settings_or(path, Some(copy), Path::new(SETTINGS_FILE), env, stores)
}

/// Reads a text as if it stood in envsyncd.toml, which is this file.
pub fn understand_settings(
    file: &Path,
    text: String,
    env: impl Iterator<Item = (String, String)>,
    stores: Stores,
) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
    let (over, warnings) = overrides(env)?;
    understand(Document::new(file, text), over, warnings, stores)
}

fn load_settings_or(
    path: Option<&Path>,
    copy: Option<&Path>,
    default: &Path,
    env: impl Iterator<Item = (String, String)>,
    stores: Stores,
) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
    let (over, mut warnings) = overrides(env)?;
    let file = match path {
        Some(path) => Some(path),
        // An unreadable one is an error: the defaults would silently be another policy.
        None => match default.try_exists() {
            Ok(false) => None,
            _ => Some(default),
        },
    };
    let Some(file) = file else {
        let mut settings = defaults(stores);
        apply(&mut settings, Scalars::default(), over, &mut warnings)?;
        return Ok((settings, warnings));
    };
    understand(
        Document::read_as(file, copy.unwrap_or(file))?,
        over,
        warnings,
        stores,
    )
}

/// What envsyncd.toml says, under what variables say.
pub(super) fn understand(
    mut document: Document,
    over: Scalars,
    mut warnings: Vec<Diagnostic>,
    stores: Stores,
) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
    let hidden = secret_spans(&document.text);
    document.hide(hidden);
    let (findings, root) = Findings::parse(&document);
    let (mut settings, scalars) = read(
        Table::root(&findings, &root).elsewhere(JOB_KEYS),
        &findings,
        stores,
        &over,
    );
    warn_if_readable(
        &findings,
        settings.endpoints.values().map(|(_, endpoint)| endpoint),
    );
    warn_if_writable(&findings, false);
    warnings.splice(0..0, findings.settle()?);
    settings.file = Some(document.file.clone());
    apply(&mut settings, scalars, over, &mut warnings)?;
    Ok((settings, warnings))
}

fn defaults(stores: Stores) -> Settings {
    Settings {
        file: None,
        stores,
        job_dir: JOB_DIR.into(),
        managed_job_dir: None,
        env_dir: None,
        state_dir: STATE_DIR.into(),
        status_dir: Path::new(STATE_DIR).join("status"),
        lock_dir: LOCK_DIR.into(),
        host_environment: None,
        environments: Environments::default(),
        endpoints: BTreeMap::new(),
        timezone: chrono_tz::UTC,
        max_concurrent_runs: 1,
        one_manual_run: false,
        on_stop: OnStop::Leave,
        stop_timeout: STOP_TIMEOUT,
        kill_after: KILL_AFTER,
        priority: Priority::default(),
        reboot_lock: RebootLock {
            directory: None,
            inhibit: true,
        },
        history: Retention::default(),
        metrics: Metrics::default(),
        monitoring: Monitoring::default(),
        mask_key: None,
        sites: Sites::new(),
        site_tasks: BTreeMap::new(),
        site_hooks: BTreeMap::new(),
        http: None,
        file_proxies: Vec::new(),
    }
}

fn read(
    root: Table<'_>,
    findings: &Findings<'_>,
    stores: Stores,
    over: &Scalars,
) -> (Settings, Scalars) {
    let mut settings = defaults(stores);
    let path = |key| root.get(key).and_then(|value| value.path());
    let mut scalars = Scalars {
        job_dir: path("job_dir"),
        managed_job_dir: path("managed_job_dir"),
        env_dir: path("env_dir"),
        state_dir: path("state_dir"),
        status_dir: path("status_dir"),
        lock_dir: path("lock_dir"),
        host_environment: None,
        production_url: None,
    };
    let table = root.get("environments").and_then(|value| value.table());
    settings.environments = environments::read(table.as_ref(), &Environments::default(), findings);
    let has_environments = table.is_some();
    // The forest is empty as well when it made no sense; that was said.
    let forest = settings.environments.names().next().is_some();
    if let Some(value) = root.get("host_environment") {
        scalars.host_environment = if forest {
            endpoints::read_environment(&value, &settings.environments)
        } else {
            value.text().map(Environment::new)
        };
    }
    let endpoints = root.get("endpoints").and_then(|value| value.table());
    if let Some(table) = endpoints
        && (forest || !has_environments)
    {
        settings.endpoints = endpoints::read_named(
            &table,
            findings.document.directory(),
            &settings.environments,
            &Named::new(),
            stores,
        );
    }
    if let Some(table) = root.get("scheduler").and_then(|value| value.table()) {
        read_scheduler(table, &mut settings);
    }
    if let Some(table) = root.get("priority").and_then(|value| value.table()) {
        settings.priority = read_priority(table);
    }
    if let Some(table) = root.get("reboot_lock").and_then(|value| value.table()) {
        read_reboot_lock(table, &mut settings.reboot_lock);
    }
    if let Some(table) = root.get("history").and_then(|value| value.table()) {
        settings.history = reporting::read_history(table);
    }
    if let Some(table) = root.get("metrics").and_then(|value| value.table()) {
        settings.metrics = reporting::read_metrics(table);
    }
    settings.monitoring = monitoring::read(&root);
    if let Some(table) = root.get("masking").and_then(|value| value.table()) {
        let directory = findings.document.directory();
        settings.mask_key = table
            .required("key", "where the masks' key comes from")
            .and_then(|value| read_secret(&value, directory));
        table.finish();
    }
    if let Some(table) = root.get("http").and_then(|value| value.table()) {
        settings.http = http::read(
            table,
            over.managed_job_dir.is_some() || root.has("managed_job_dir"),
        );
    }
    read_file_proxies(&root, &mut settings, &scalars, over);
    if let Some(table) = root.get("sites").and_then(|value| value.table())
        && (forest || !has_environments)
    {
        settings.sites = sites::read_hosts(&table, &settings.environments);
        site_jobs::read_tasks(&table, &mut settings, findings);
    }
    root.finish();
    (settings, scalars)
}

fn read_file_proxies(root: &Table<'_>, settings: &mut Settings, scalars: &Scalars, over: &Scalars) {
    if let Some(value) = root.get("file_proxy") {
        let host = over.host_environment.as_ref();
        let surroundings = file_proxy::Surroundings {
            environments: &settings.environments,
            host: host.or(scalars.host_environment.as_ref()),
            production_url: over.production_url.as_deref(),
        };
        settings.file_proxies = file_proxy::read(&value, &surroundings);
    }
}

/// Keys of job files that people put here.
const JOB_KEYS: &[(&str, &str)] = &[
    ("task", "in a job's file"),
    ("from", "in a job's file"),
    ("to", "in a job's file"),
    ("schedule", "in a job's file"),
    ("timeout", "in a job's file"),
    ("hooks", "in a job's file"),
    ("mask", "in a job's file, as [[task.mask]]"),
    ("key", "under [masking]"),
    ("timezone", "under [scheduler]"),
    ("max_concurrent_runs", "under [scheduler]"),
    ("one_manual_run", "under [scheduler]"),
    ("on_stop", "under [scheduler]"),
    ("stop_timeout", "under [scheduler]"),
    ("kill_after", "under [scheduler]"),
    ("nice", "under [priority]"),
    ("io_class", "under [priority]"),
    ("io_level", "under [priority]"),
    ("memory_max", "under [priority]"),
    ("max_age", "under [history]"),
    ("max_runs", "under [history]"),
    ("log_max_age", "under [history]"),
    ("textfile", "under [metrics]"),
    ("listen", "under [http]"),
    ("edit_jobs", "under [http]"),
];

/// Reads `ENVSYNCD_*`.
pub(super) fn overrides(
    env: impl Iterator<Item = (String, String)>,
) -> Result<(Scalars, Vec<Diagnostic>), Diagnostics> {
    let (production, env): (Vec<_>, Vec<_>) =
        env.partition(|(name, _)| name == file_proxy::PRODUCTION);
    let production_url = production.into_iter().map(|(_, url)| url).next();
    let ours: Vec<(String, String)> = env
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str()))
        .collect();
    let known: Vec<String> = SCALARS
        .iter()
        .map(|key| format!("{PREFIX}{}", key.to_ascii_uppercase()))
        .collect();
    let mut list = Vec::new();
    for (name, value) in &ours {
        let origin = format!("environment variable {name}");
        if !known.contains(name) {
            let near = nearest(name, known.iter().map(String::as_str));
            list.push(
                Diagnostic::error(origin, "nothing reads this variable")
                    .warning()
                    .allowed(known.join(", "))
                    .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
            );
        } else if value.trim().is_empty() {
            list.push(
                Diagnostic::error(origin, "must not be empty").help("unset it to use the default"),
            );
        }
    }
    let list = Diagnostics::settle(list)?;
    let known_only = ours.into_iter().filter(|(name, _)| known.contains(name));
    let read: Overrides = envy::prefixed(PREFIX)
        .from_iter(known_only)
        .map_err(|error| {
            Diagnostics::from(Diagnostic::error(
                "environment variables",
                error.to_string(),
            ))
        })?;
    let path = |text: Option<String>| {
        text.map(|text| std::path::absolute(&text).unwrap_or_else(|_| PathBuf::from(text)))
    };
    let scalars = Scalars {
        job_dir: path(read.job_dir),
        managed_job_dir: path(read.managed_job_dir),
        env_dir: path(read.env_dir),
        state_dir: path(read.state_dir),
        status_dir: path(read.status_dir),
        lock_dir: path(read.lock_dir),
        host_environment: read.host_environment.map(Environment::new),
        production_url,
    };
    Ok((scalars, list))
}

/// A variable wins over the file, the file over the default.
fn apply(
    settings: &mut Settings,
    file: Scalars,
    variables: Scalars,
    warnings: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostics> {
    if let Some(name) = &variables.host_environment
        && settings.environments.get(name).is_none()
        && settings.environments.names().next().is_some()
    {
        let names: Vec<&str> = settings
            .environments
            .names()
            .map(Environment::as_str)
            .collect();
        return Err(Diagnostic::error(
            "environment variable ENVSYNCD_HOST_ENVIRONMENT",
            format!("environment {} is not defined", quote(name.as_str())),
        )
        .allowed(names.join(" | "))
        .maybe_help(did_you_mean(name.as_str(), names.iter().copied()))
        .into());
    }
    let set = |place: &mut PathBuf, value: Option<PathBuf>| {
        if let Some(value) = value {
            *place = value;
        }
    };
    set(&mut settings.job_dir, variables.job_dir.or(file.job_dir));
    set(&mut settings.lock_dir, variables.lock_dir.or(file.lock_dir));
    if let Some(state_dir) = variables.state_dir.or(file.state_dir) {
        settings.status_dir = state_dir.join("status");
        settings.state_dir = state_dir;
    }
    set(
        &mut settings.status_dir,
        variables.status_dir.or(file.status_dir),
    );
    settings.host_environment = variables.host_environment.or(file.host_environment);
    settings.managed_job_dir = variables.managed_job_dir.or(file.managed_job_dir);
    settings.env_dir = match variables.env_dir.or(file.env_dir) {
        Some(chosen) => {
            if !chosen.is_dir() {
                warnings.push(missing_env_dir(settings.file.as_deref(), &chosen));
            }
            Some(chosen)
        }
        // The default need not be there.
        None => Some(PathBuf::from(ENV_DIR)).filter(|dir| dir.is_dir()),
    };
    managed::check_directory(settings)
}

fn missing_env_dir(file: Option<&Path>, chosen: &Path) -> Diagnostic {
    let origin = file.map_or_else(|| "environment".to_owned(), |f| f.display().to_string());
    let what = format!("env_dir {} is not a directory", chosen.display());
    Diagnostic::error(origin, what)
        .warning()
        .help("no variables are read from it")
}
