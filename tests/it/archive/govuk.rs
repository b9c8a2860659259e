//! Dumps as GOV.UK's scripts leave them: real ones of `pg_dump`, pulled and pushed by the binary.

mod damaged;
mod equality;
mod far;
mod pulling;
mod pushing;
mod rights;
mod rows;
mod verbs;

use std::fs;
use std::path::PathBuf;

use super::Scene;
use crate::support::job::{Job, Outcome, toml};
use crate::support::postgres::{Must, bare};

/// The database in the files' names.
const DATABASE: &str = "app_production";

/// A scene whose archive has dumps in it.
struct Dumped {
    scene: Scene,
}

impl Dumped {
    fn new() -> Self {
        let dumped = Self {
            scene: Scene::new(),
        };
        fs::create_dir(dumped.scene.archive()).unwrap();
        dumped
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scene.archive().join(name)
    }

    /// Dumps the source as it is now, as the chart does.
    fn dump(&self, name: &str) -> PathBuf {
        self.dump_with(name, &["--format=custom", "--compress=1"])
    }

    fn dump_with(&self, name: &str, flags: &[&str]) -> PathBuf {
        let program = self.scene.pair.source.program("pg_dump");
        self.dump_by(&program, name, flags)
    }

    fn dump_by(&self, program: &std::path::Path, name: &str, flags: &[&str]) -> PathBuf {
        let file = self.file(name);
        bare(program)
            .args(flags)
            .arg("--file")
            .arg(&file)
            .arg("--dbname")
            .arg(self.scene.source_url())
            .must("pg_dump");
        file
    }

    fn archive(&self, keys: &str) -> String {
        format!(
            "{{ url = {}, format = \"govuk\", database = \"{DATABASE}\"{keys} }}",
            toml(&self.scene.archive_url())
        )
    }

    fn pull(&self) -> Job {
        self.pull_with("")
    }

    fn pull_with(&self, keys: &str) -> Job {
        Job::new(
            "postgresql",
            &self.archive(keys),
            &toml(&self.scene.target_url()),
        )
        .task("previous = \"drop\"")
    }

    fn push(&self) -> Job {
        Job::new(
            "postgresql",
            &toml(&self.scene.source_url()),
            &self.archive(""),
        )
    }

    fn once(&self, name: &str, job: &Job) -> Outcome {
        self.scene.once(name, job)
    }

    /// The names of all files in the archive, hidden ones, too.
    fn files(&self) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(self.scene.archive())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    }

    /// The only dump that there is.
    fn only_dump(&self) -> PathBuf {
        let mut dumps = self.files();
        dumps.retain(|name| name.ends_with(&format!("-{DATABASE}.gz")));
        assert_eq!(dumps.len(), 1, "{dumps:?}");
        self.file(&dumps[0])
    }
}
