//! Pushes to archives and pulls from them; what a store's data is like afterwards is the conformance suite's.

mod bucket;
mod by_hand;
mod choosing;
mod cuts;
mod encryption;
mod govuk;
mod hostile;
mod in_place;
mod pulling;
mod pushing;
mod reading;
mod shelf;
mod snapshots;
mod through_s3;
mod versions;
mod words;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::job::{Bed, Job, whole_snapshots};
use crate::support::postgres::{Databases, Pair};
use crate::support::profile::named;

/// A database, an archive, and a database below.
struct Scene {
    databases: Databases,
    pair: &'static Pair,
    bed: Bed,
    from: String,
    to: String,
}

impl Scene {
    /// Three users above, one below, on the servers that all tests share.
    fn new() -> Self {
        Self::of(Databases::under(named("plain")))
    }

    /// The same on servers of the running test's profile.
    fn of_this_test() -> Self {
        Self::of(Databases::quiet())
    }

    fn of(databases: Databases) -> Self {
        let scene = Self {
            pair: databases.servers(),
            bed: Bed::new(),
            from: databases.from.clone(),
            to: databases.to.clone(),
            databases,
        };
        scene.databases.make_live();
        scene.source("CREATE TABLE users (id integer PRIMARY KEY, name text); INSERT INTO users VALUES (1, 'ann'), (2, 'bob'), (3, NULL)");
        scene.live("CREATE TABLE users (id integer PRIMARY KEY, name text); INSERT INTO users VALUES (9, 'old')");
        scene
    }

    fn source(&self, sql: &str) -> String {
        self.databases.source(sql)
    }

    fn live(&self, sql: &str) -> String {
        self.databases.live(sql)
    }

    fn archive(&self) -> PathBuf {
        self.bed.path("archive")
    }

    fn archive_url(&self) -> String {
        format!("file://{}", self.archive().display())
    }

    fn source_url(&self) -> String {
        self.databases.source_url()
    }

    fn target_url(&self) -> String {
        self.databases.target_url()
    }

    fn push(&self) -> Job {
        Job::between("postgresql", &self.source_url(), &self.archive_url())
    }

    /// With these keys beside the archive's URL.
    fn push_with(&self, keys: &str) -> Job {
        let url = crate::support::job::toml(&self.source_url());
        Job::new("postgresql", &url, &self.archive_with(keys))
    }

    fn pull(&self) -> Job {
        Job::between("postgresql", &self.archive_url(), &self.target_url())
    }

    fn pull_with(&self, keys: &str) -> Job {
        let url = crate::support::job::toml(&self.target_url());
        Job::new("postgresql", &self.archive_with(keys), &url)
    }

    fn archive_with(&self, keys: &str) -> String {
        let url = crate::support::job::toml(&self.archive_url());
        format!("{{ url = {url}, {keys} }}")
    }

    /// Runs a job called `push` or the like to its end.
    fn once(&self, name: &str, job: &Job) -> crate::support::job::Outcome {
        self.bed.once(&self.bed.job(name, job))
    }

    /// The folders of its snapshots, the oldest first.
    fn snapshots(&self) -> Vec<PathBuf> {
        whole_snapshots(&self.archive())
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.archive()).into_iter().flatten();
        let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }

    #[track_caller]
    fn live_is_old(&self) {
        assert_eq!(self.live("SELECT id, name FROM users"), "9|old");
        self.nothing_is_beside();
    }

    #[track_caller]
    fn nothing_is_beside(&self) {
        assert_eq!(self.databases.beside(), Vec::<String>::new());
    }

    #[track_caller]
    fn live_is_new(&self) {
        assert_eq!(
            self.live("SELECT id, name FROM users ORDER BY id"),
            "1|ann\n2|bob\n3|"
        );
    }
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}
