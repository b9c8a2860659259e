//! Masks as their users meet them: what arrives, what is refused, and that nothing raw is anywhere on the target's side.

mod canary;
mod conditions;
mod coverage;
mod dumps;
mod include;
mod keys;
mod mysql;
mod postgresql;
mod references;
mod rows;
mod scan;
mod scripts;
mod snapshots;
mod sqlite;
mod stores;
mod told;
mod unlisted;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::job::{Bed, Job, Outcome};

/// A key that is the same in every test.
const KEY: &str = "a key of the tests that is long enough for masks\n";

/// Settings with a key; `staging` is what else is said of the target's environment.
fn settings(bed: &Bed, staging: &str) -> PathBuf {
    let key = bed.file("mask.key", KEY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our file");
    let text = format!(
        "[environments.production]\n[environments.staging]\nparent = \"production\"\n{staging}\n[masking]\nkey = {{ file = \"mask.key\" }}\n"
    );
    bed.file("envsyncd.toml", &text)
}

/// Runs a verb with a job under these settings.
fn with(bed: &Bed, settings: &Path, verb: &[&str], job: &Job) -> Outcome {
    let file = bed.job("app", job);
    let mut command = bed.command();
    command
        .args(verb)
        .arg("-f")
        .arg(file)
        .arg("--config")
        .arg(settings);
    bed.spawn(&mut command).end()
}

/// Files below a directory that have any of these texts in them.
fn files_with(directory: &Path, needles: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_with(&path, needles)),
            Ok(kind) if kind.is_file() => {
                let content = fs::read(&path).unwrap_or_default();
                let has =
                    |needle: &&&str| memchr::memmem::find(&content, needle.as_bytes()).is_some();
                if needles.iter().find(has).is_some() {
                    found.push(path);
                }
            }
            _ => {}
        }
    }
    found
}
