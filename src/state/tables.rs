//! What was copied of a run's tables, in the history.

use rusqlite::params;

use super::copied::{CopiedTables, TABLES, short};
use super::{Durable, State, strict};
use crate::error::{Error, Kind, Result};

impl State {
    /// What was copied of a task's tables so far.
    pub fn set_tables(&self, run: &str, task: &str, tables: &CopiedTables) -> Result<()> {
        let text = serde_json::to_string(tables).map_err(|error| {
            Error::new(Kind::Internal, "what was copied cannot be written as JSON").because(error)
        })?;
        self.write("cannot record a run's tables", Durable::Process, |t| {
            let run = match super::history::number(t, run)? {
                Ok(number) => number,
                Err(unknown) => return Ok(Err(unknown)),
            };
            t.prepare_cached(
                "INSERT INTO task_tables (run, task, tables) VALUES (?1, ?2, ?3)
                 ON CONFLICT (run, task) DO UPDATE SET tables = excluded.tables",
            )?
            .execute(params![run, task, text])?;
            Ok(Ok(()))
        })
    }

    /// What was copied of the tables of a run's tasks, by the tasks' names.
    pub fn tables(&self, run: &str) -> Result<Vec<(String, CopiedTables)>> {
        self.read("cannot read a run's tables", |t| {
            let mut statement = t.prepare_cached(
                "SELECT task, tables FROM task_tables
                 WHERE run = (SELECT seq FROM runs WHERE id = ?1) ORDER BY task",
            )?;
            let what = format!("run {run}, tables of task");
            strict::rows(statement.query([run])?, &what, |row| {
                let tables: Option<CopiedTables> = row.optional_json("tables")?;
                Ok((row.job("task")?, within_limits(tables.unwrap_or_default())))
            })
        })
    }
}

/// As it may be, whoever wrote it.
fn within_limits(mut tables: CopiedTables) -> CopiedTables {
    tables.tables.truncate(TABLES);
    for table in &mut tables.tables {
        table.name = short(&table.name);
        let is_fine = |seconds: &f64| (0.0..=strict::LONGEST).contains(seconds);
        table.seconds = table.seconds.filter(is_fine);
    }
    tables
}
