//! Configuration files, right and wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::job::{Definer, Events, IoClass, Job, KeepPrevious, Mode, Publish, Settings, Verify};
use super::*;
use crate::error::{Error, Kind};
use crate::fuzz::stores;
use crate::policy::Environment;
use crate::secret::Secret;

const ENVIRONMENTS: &str = r#"
[environments.production]
[environments.staging]
parent = "production"
[environments.integration]
parent = "staging"
require_masks = true
"#;

const TASK: &str = r#"
[[task]]
kind = "sqlite"
source = "sqlite:a.db"
target = "sqlite:b.db"
"#;

mod archive;
mod archive_jobs;
mod endpoints;
mod examples;
mod job;
mod managed;
#[cfg(feature = "icinga")]
mod monitoring;
mod passwords;
mod reporting;
mod settings;
mod sites;
mod tasks;
mod times;

/// A directory with configuration files in it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        path
    }

    fn settings(&self, text: &str) -> Result<(Settings, Vec<Diagnostic>), Diagnostics> {
        let file = self.put("envsyncd.toml", text);
        load_settings(Some(&file), std::iter::empty(), stores())
    }

    fn job(&self, settings: &str, text: &str) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
        let (settings, _) = self.settings(settings).expect("the settings are right");
        load_job(&self.put("job.toml", text), &settings)
    }
}

fn wrong_job(text: &str) -> String {
    match Files::new().job(ENVIRONMENTS, text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(all) => all.to_string(),
    }
}

fn wrong_settings(text: &str) -> String {
    match Files::new().settings(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(all) => all.to_string(),
    }
}

/// A right job with one more line at its top, and one more in its task.
fn job_with(top: &str, task: &str) -> String {
    format!("from = \"production\"\nto = \"staging\"\n{top}\n{TASK}{task}\n")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[cfg(not(feature = "icinga"))]
#[test]
fn a_receiver_that_this_build_has_not_is_warned_of() {
    let (_, warnings) = Files::new()
        .settings("[icinga2]\nurl = \"https://icinga.example\"\nuser = \"a\"\npassword = { env = \"B\" }\n")
        .unwrap_or_else(|all| panic!("{all}"));
    let said = warnings[0].to_string();
    assert!(said.contains("built without Icinga 2's API"), "{said}");
}
