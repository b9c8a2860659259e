//! The same database in each store, so that one test holds for all of them.

use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::{settings, with};
use crate::support::job::{Bed, Job, Outcome};
use crate::support::mysql::shared as mysql;
use crate::support::postgres::{shared as postgresql, unique};

/// Production's database in one store, and where it goes.
pub(super) struct Store {
    pub(super) kind: &'static str,
    pub(super) bed: Bed,
    from: String,
    to: String,
    settings: PathBuf,
}

/// The three of them with the same rows; `staging` is what is said of the environment that they go to.
pub(super) fn all(sql: &str, staging: &str) -> [Store; 3] {
    ["postgresql", "mysql", "sqlite"].map(|kind| Store::new(kind, sql, staging))
}

impl Store {
    pub(super) fn new(kind: &'static str, sql: &str, staging: &str) -> Self {
        let bed = Bed::new();
        let (mut from, mut to) = (unique("prod"), unique("live"));
        match kind {
            "postgresql" => {
                postgresql().source.create_db(&from);
                postgresql().source.psql(&from, sql);
            }
            "mysql" => {
                mysql().source.create_db(&from);
                mysql().source.sql(&from, sql);
            }
            _ => {
                from = bed.path("production.db").display().to_string();
                to = bed.path("live.db").display().to_string();
                let file = Connection::open(&from).expect("a database");
                file.execute_batch(sql).expect("the test's own SQL");
            }
        }
        let settings = settings(&bed, staging);
        Self {
            kind,
            bed,
            from,
            to,
            settings,
        }
    }

    /// A job that copies it, with more of the task.
    pub(super) fn job(&self, task: &str) -> Job {
        let (source, target) = self.urls();
        Job::between(self.kind, &source, &target).task(task)
    }

    fn urls(&self) -> (String, String) {
        match self.kind {
            "postgresql" => (
                postgresql().source.url("postgres", &self.from),
                postgresql().target.url("postgres", &self.to),
            ),
            "mysql" => (
                mysql().source.url("root", &self.from),
                mysql().target.url("root", &self.to),
            ),
            _ => (
                format!("sqlite://{}", self.from),
                format!("sqlite://{}", self.to),
            ),
        }
    }

    /// Runs a verb with such a job.
    pub(super) fn with(&self, verb: &[&str], task: &str) -> Outcome {
        self.run(verb, &self.job(task))
    }

    /// Runs a verb with a job.
    pub(super) fn run(&self, verb: &[&str], job: &Job) -> Outcome {
        with(&self.bed, &self.settings, verb, job)
    }

    /// A job that pushes it into an archive beside it.
    pub(super) fn push(&self, task: &str) -> Job {
        Job::between(self.kind, &self.urls().0, &self.archive()).task(task)
    }

    /// A job that pulls it from there.
    pub(super) fn pull(&self, task: &str) -> Job {
        Job::between(self.kind, &self.archive(), &self.urls().1).task(task)
    }

    fn archive(&self) -> String {
        format!("file://{}", self.bed.path("archive").display())
    }

    /// What live says: rows of one column, with blanks between them.
    pub(super) fn live(&self, sql: &str) -> String {
        let rows = match self.kind {
            "postgresql" => postgresql().target.psql(&self.to, sql),
            "mysql" => mysql().target.sql(&self.to, sql),
            _ => query(&self.to, sql),
        };
        rows.lines().collect::<Vec<_>>().join(" ")
    }

    /// What production says.
    pub(super) fn source(&self, sql: &str) -> String {
        let rows = match self.kind {
            "postgresql" => postgresql().source.psql(&self.from, sql),
            "mysql" => mysql().source.sql(&self.from, sql),
            _ => query(&self.from, sql),
        };
        rows.lines().collect::<Vec<_>>().join(" ")
    }

    /// Whether there is a live one.
    pub(super) fn has_live(&self) -> bool {
        match self.kind {
            "postgresql" => postgresql().target.databases().contains(&self.to),
            "mysql" => mysql().target.databases().contains(&self.to),
            _ => std::path::Path::new(&self.to).exists(),
        }
    }
}

fn query(file: &str, sql: &str) -> String {
    let file = Connection::open(file).expect("a database");
    let mut statement = file.prepare(sql).expect("the test's own SQL");
    let text = |row: &rusqlite::Row<'_>| {
        Ok(match row.get(0)? {
            Value::Null => String::new(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Blob(bytes) => format!("{bytes:?}"),
        })
    };
    let rows = statement.query_map([], text).expect("the test's own SQL");
    let rows: Vec<String> = rows.collect::<Result<_, _>>().expect("rows");
    rows.join("\n")
}
