//! How runs ended, as real monitoring systems hear of it.

mod definitions;
mod icinga2;
mod nsca;
mod refusals;

use std::path::PathBuf;

use crate::support::icinga::PASSWORD;
use crate::support::job::{Bed, Gate, Job, Outcome, Running};

/// A bed with a small SQLite job, `shop`, and settings.
struct Shop {
    bed: Bed,
    job: PathBuf,
}

impl Shop {
    /// `settings` is the host's whole envsyncd.toml.
    fn new(settings: &str) -> Self {
        let bed = Bed::new();
        std::fs::write(bed.path("envsyncd.toml"), settings).expect("a file");
        for (file, rows) in [("source.db", 3), ("target.db", 1)] {
            let database = rusqlite::Connection::open(bed.path(file)).expect("a database");
            database
                .execute_batch("create table item (id integer primary key)")
                .expect("our own SQL");
            for id in 0..rows {
                database
                    .execute("insert into item values (?)", [id])
                    .expect("our own SQL");
            }
        }
        let job = bed.job("shop", &Self::definition(&bed));
        Self { bed, job }
    }

    fn definition(bed: &Bed) -> Job {
        let url = |file: &str| format!("sqlite://{}", bed.path(file).display());
        Job::between("sqlite", &url("source.db"), &url("target.db"))
    }

    /// The job written anew.
    fn with(&self, change: impl Fn(Job) -> Job) {
        self.bed.job("shop", &change(Self::definition(&self.bed)));
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.bed.command();
        command
            .args(arguments)
            .env("ENVSYNCD_CONFIG", self.bed.path("envsyncd.toml"))
            .env("ICINGA_PASSWORD", PASSWORD);
        command
    }

    fn verb(&self, arguments: &[&str]) -> Outcome {
        self.bed.spawn(&mut self.command(arguments)).end()
    }

    fn file(&self) -> &str {
        self.job.to_str().expect("our paths are text")
    }

    fn once(&self) -> Outcome {
        self.verb(&["--once", "-f", self.file()])
    }

    fn start(&self) -> Running {
        self.bed
            .spawn(&mut self.command(&["--once", "-f", self.file()]))
    }

    /// A run that waits in maintenance until its gate is opened.
    fn under_way(&self) -> (Running, Gate) {
        let gate = self.bed.gate("gate");
        self.with(|job| job.hooks(&gate.maintenance()));
        let mut running = self.start();
        gate.wait(&mut running);
        (running, gate)
    }
}

/// A job that fails before it publishes.
fn failing(job: Job) -> Job {
    job.hooks("maintenance_on = [\"false\"]\nmaintenance_off = [\"true\"]")
}
