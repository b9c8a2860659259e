//! envsyncd.toml, with the environment's overrides over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::endpoint;
use super::job::{IoClass, Priority, RebootLock, Settings};
use super::reader::{self, Table};
use crate::policy::{Environment, Environments};

/// Where settings are if nobody says otherwise.
const DEFAULT: &str = "/etc/envsyncd/envsyncd.toml";

/// Variables that are the command line's, not the file's.
const NO_KEYS: [&str; 2] = ["log", "config"];

/// The top-level scalars, as the environment gives them: `ENVSYNCD_STATE_DIR=...`.
#[derive(Debug, Default, Deserialize)]
struct Overrides {
    job_dir: Option<PathBuf>,
    env_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    status_dir: Option<PathBuf>,
    lock_dir: Option<PathBuf>,
    host_environment: Option<String>,
}

/// Loads the settings. `None`: the default file if it is there, else the defaults. The second value is warnings.
pub fn load_settings(
    path: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
    let ours: Vec<(String, String)> = variables
        .filter(|(name, value)| name.starts_with("ENVSYNCD_") && !value.is_empty())
        .collect();
    let mut found = Vec::new();
    let file = path.map_or_else(|| PathBuf::from(DEFAULT), Path::to_owned);
    let file = std::path::absolute(&file).unwrap_or(file);
    let mut settings = if path.is_none() && !file.exists() {
        defaults()
    } else {
        match reader::text_of(&file) {
            Err(unreadable) => {
                let help = "name another file with --config FILE or ENVSYNCD_CONFIG";
                return Diagnostics::check(vec![unreadable.help(help)])
                    .map(|_| (defaults(), Vec::new()));
            }
            Ok(text) => {
                let (settings, notes) = reader::parse(&text, |root| read(root, &file));
                found.extend(notes);
                settings
            }
        }
    };
    found.extend(overridden(&mut settings, &ours));
    Diagnostics::check(found).map(|warnings| (settings, warnings))
}

fn defaults() -> Settings {
    Settings {
        file: None,
        job_dir: "/etc/envsyncd/config.d".into(),
        env_dir: None,
        state_dir: "/var/lib/envsyncd".into(),
        status_dir: "/var/lib/envsyncd/status".into(),
        lock_dir: "/run/envsyncd".into(),
        host_environment: None,
        environments: Environments::default(),
        endpoints: BTreeMap::new(),
        timezone: chrono_tz::Tz::UTC,
        max_concurrent_runs: 1,
        priority: Priority::default(),
        reboot_lock: RebootLock {
            directory: None,
            inhibit: true,
        },
    }
}

fn read(root: &Table<'_>, file: &Path) -> Settings {
    let base = file.parent().unwrap_or(Path::new("/"));
    let mut settings = defaults();
    settings.file = Some(file.to_owned());
    let path = |key: &str| root.get(key).and_then(|value| value.path(base));
    if let Some(dir) = path("job_dir") {
        settings.job_dir = dir;
    }
    settings.env_dir = path("env_dir");
    if let Some(dir) = path("state_dir") {
        settings.status_dir = dir.join("status");
        settings.state_dir = dir;
    }
    if let Some(dir) = path("status_dir") {
        settings.status_dir = dir;
    }
    if let Some(dir) = path("lock_dir") {
        settings.lock_dir = dir;
    }
    settings.environments = endpoint::environments(root, None);
    settings.endpoints = endpoint::endpoints(root, &settings.environments, base);
    settings.host_environment = root
        .get("host_environment")
        .and_then(|value| endpoint::known(&value, &settings.environments));
    if let Some(table) = root.table("scheduler") {
        if let Some(value) = table.get("timezone")
            && let Some(name) = value.filled()
        {
            match name.parse() {
                Ok(zone) => settings.timezone = zone,
                Err(_) => value.error(
                    format!("`{name}` is no time zone"),
                    "allowed: a name of the IANA database, such as \"Europe/London\" or \"UTC\"",
                ),
            }
        }
        if let Some(runs) = table
            .get("max_concurrent_runs")
            .and_then(|value| value.integer(1, 1000))
        {
            settings.max_concurrent_runs = runs as usize;
        }
        table.finish();
    }
    if let Some(table) = root.table("priority") {
        let classes = [
            ("idle", IoClass::Idle),
            ("best-effort", IoClass::BestEffort),
            ("none", IoClass::None),
        ];
        if let Some(class) = table
            .get("io_class")
            .and_then(|value| value.choice(&classes, &[]))
        {
            settings.priority.io_class = class;
        }
        if let Some(level) = table.get("io_level").and_then(|value| value.integer(0, 7)) {
            settings.priority.io_level = level as u8;
        }
        if let Some(nice) = table.get("nice").and_then(|value| value.integer(-20, 19)) {
            settings.priority.nice = nice as i8;
        }
        table.finish();
    }
    if let Some(table) = root.table("reboot_lock") {
        settings.reboot_lock.directory = table.get("directory").and_then(|value| value.path(base));
        if let Some(inhibit) = table.get("inhibit").and_then(|value| value.boolean()) {
            settings.reboot_lock.inhibit = inhibit;
        }
        table.finish();
    }
    settings
}

fn overridden(settings: &mut Settings, variables: &[(String, String)]) -> Vec<Diagnostic> {
    let place = Path::new("the environment");
    let mut found = Vec::new();
    let known = [
        "job_dir",
        "env_dir",
        "state_dir",
        "status_dir",
        "lock_dir",
        "host_environment",
    ];
    for (name, _) in variables {
        let key = name["ENVSYNCD_".len()..].to_lowercase();
        if !known.contains(&key.as_str()) && !NO_KEYS.contains(&key.as_str()) {
            let near = known
                .iter()
                .min_by_key(|word| strsim::damerau_levenshtein(word, &key));
            let help = near.map_or_else(String::new, |word| {
                format!("did you mean ENVSYNCD_{}?", word.to_uppercase())
            });
            found.push(
                Diagnostic::of_file(place, format!("{name} sets nothing"))
                    .help(help)
                    .warning(),
            );
        }
    }
    let given: Overrides = match envy::prefixed("ENVSYNCD_").from_iter(variables.iter().cloned()) {
        Ok(given) => given,
        Err(error) => {
            found.push(Diagnostic::of_file(
                place,
                format!("ENVSYNCD_ variables cannot be read: {error}"),
            ));
            return found;
        }
    };
    if let Some(dir) = given.job_dir {
        settings.job_dir = dir;
    }
    if let Some(dir) = given.env_dir {
        settings.env_dir = Some(dir);
    }
    if let Some(dir) = given.state_dir {
        settings.status_dir = dir.join("status");
        settings.state_dir = dir;
    }
    if let Some(dir) = given.status_dir {
        settings.status_dir = dir;
    }
    if let Some(dir) = given.lock_dir {
        settings.lock_dir = dir;
    }
    if let Some(name) = given.host_environment {
        let environment = Environment::new(name);
        if settings.environments.get(&environment).is_none() {
            found.push(Diagnostic::of_file(
                place,
                format!("ENVSYNCD_HOST_ENVIRONMENT: environment `{environment}` is not defined"),
            ));
        }
        settings.host_environment = Some(environment);
    }
    found
}
