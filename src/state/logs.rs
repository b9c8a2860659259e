//! A run's log.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Rows, params};

use super::{Durable, State, stored, strict};
use crate::error::Result;

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: DateTime<Utc>,
    /// error, warn, info, debug or trace.
    pub level: String,
    /// The task it is about; empty: the run itself.
    pub task: String,
    /// What.
    pub message: String,
}

impl State {
    /// Appends to the log of the run with this whole id.
    pub fn add_logs(&self, run: &str, lines: &[LogLine]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.write("cannot write a run's log", Durable::Process, |t| {
            let run = match super::history::number(t, run)? {
                Ok(number) => number,
                Err(unknown) => return Ok(Err(unknown)),
            };
            let last: i64 = t.query_row(
                "SELECT coalesce(max(seq), 0) FROM logs WHERE run = ?1",
                [run],
                |row| row.get(0),
            )?;
            let mut insert = t.prepare_cached(
                "INSERT INTO logs (run, seq, at, level, task, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (seq, line) in (last + 1..).zip(lines) {
                insert.execute(params![
                    run,
                    seq,
                    stored(line.at),
                    line.level,
                    line.task,
                    line.message
                ])?;
            }
            Ok(Ok(()))
        })
    }

    /// Up to `limit` lines of a run's log after line `after_seq` (0: from the first), each with its number. A run that
    /// is not there has none.
    pub fn logs(&self, run: &str, after_seq: i64, limit: usize) -> Result<Vec<(i64, LogLine)>> {
        self.read("cannot read a run's log", |t| {
            let mut statement = t.prepare_cached(
                "SELECT l.seq, l.at, l.level, l.task, l.message FROM logs l
                 WHERE l.run = (SELECT seq FROM runs WHERE id = ?1) AND l.seq > ?2 ORDER BY l.seq LIMIT ?3",
            )?;
            lines(run, statement.query(params![run, after_seq, most(limit)])?)
        })
    }

    /// As [`Self::logs`], those lines alone that have this text in their message or in their task's name, in capitals
    /// or not.
    pub fn find_logs(
        &self,
        run: &str,
        text: &str,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<(i64, LogLine)>> {
        self.read("cannot search a run's log", |t| {
            let mut statement = t.prepare_cached(
                "SELECT l.seq, l.at, l.level, l.task, l.message FROM logs l
                 WHERE l.run = (SELECT seq FROM runs WHERE id = ?1) AND l.seq > ?2
                       AND (instr(lower(l.message), lower(?4)) > 0 OR instr(lower(l.task), lower(?4)) > 0)
                 ORDER BY l.seq LIMIT ?3",
            )?;
            let found = statement.query(params![run, after_seq, most(limit), text])?;
            lines(run, found)
        })
    }

    /// How many lines of a run's log [`Self::find_logs`] finds.
    pub fn count_logs(&self, run: &str, text: &str) -> Result<u64> {
        self.read("cannot search a run's log", |t| {
            t.prepare_cached(
                "SELECT count(*) FROM logs
                 WHERE run = (SELECT seq FROM runs WHERE id = ?1)
                       AND (instr(lower(message), lower(?2)) > 0 OR instr(lower(task), lower(?2)) > 0)",
            )?
            .query_row([run, text], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
        })
    }

    /// The number of a run's last log line; 0 where there is none.
    pub fn last_log(&self, run: &str) -> Result<i64> {
        self.read("cannot read a run's log", |t| {
            t.query_row(
                "SELECT max(seq) FROM logs WHERE run = (SELECT seq FROM runs WHERE id = ?1)",
                [run],
                |row| row.get::<_, Option<i64>>(0),
            )
            .optional()
            .map(|found| found.flatten().unwrap_or(0))
        })
    }
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn lines(run: &str, rows: Rows<'_>) -> rusqlite::Result<Vec<(i64, LogLine)>> {
    let what = format!("run {run}, its log's line");
    strict::rows(rows, &what, |row| {
        Ok((
            row.get("seq")?,
            LogLine {
                at: row.time("at")?,
                level: row.keyword("level")?,
                task: row.word("task")?,
                message: row.text("message")?,
            },
        ))
    })
}
