//! Rows as strictly as what a person types.
//!
//! Whoever may write `state.db` is not always who reads it: root reads that of the daemon's user. And what an older program, a
//! full disk or a curious hand left in it is one row's business, and nobody else's. So a name is read as a name, a time as a
//! time, and a row that is malformed is passed over, with a warning that names it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, Type, ValueRef};
use rusqlite::{Row, Rows};
use serde::de::DeserializeOwned;

use super::copied::{STEPS, StepTime, StoredStep};
use crate::config::job::JobName;
use crate::sync::Mutex;

/// More than any line that we write.
const TEXT: usize = 1 << 20;
/// More than any name, path or word that we write.
const NAME: usize = 4096;
/// The last microsecond of the year 9999: later times cannot be written down.
const LATEST: i64 = 253_402_300_799_999_999;
/// Seconds that nothing takes: ten thousand years.
pub(super) const LONGEST: f64 = 3.2e11;
/// So many malformed rows of a file are named; of more there is no end.
const NAMED: usize = 100;

thread_local! {
    /// What was passed over while the state store was locked: a log line goes into it, too.
    static PASSED_OVER: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static SAID: Mutex<BTreeMap<PathBuf, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// Reads a row's values by the names of their columns.
pub(super) struct Strict<'r, 's>(pub(super) &'r Row<'s>);

impl Strict<'_, '_> {
    /// A value of a type that says itself what it may be.
    pub(super) fn get<T: FromSql>(&self, column: &str) -> rusqlite::Result<T> {
        self.0.get(column)
    }

    /// Text of any kind, as long as it is no book.
    pub(super) fn text(&self, column: &str) -> rusqlite::Result<String> {
        self.bounded(column, TEXT)
    }

    pub(super) fn optional_text(&self, column: &str) -> rusqlite::Result<Option<String>> {
        match self.0.get_ref(column)? {
            ValueRef::Null => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    /// A value of ours as JSON.
    pub(super) fn optional_json<T: DeserializeOwned>(
        &self,
        column: &str,
    ) -> rusqlite::Result<Option<T>> {
        if self.0.get_ref(column)? == ValueRef::Null {
            return Ok(None);
        }
        let text = self.bounded(column, super::masked::LONGEST)?;
        let value = serde_json::from_str(&text);
        value
            .map(Some)
            .map_err(|_| malformed(column, "is no JSON of ours"))
    }

    /// A short text, such as a host's name.
    pub(super) fn word(&self, column: &str) -> rusqlite::Result<String> {
        self.bounded(column, NAME)
    }

    pub(super) fn optional_word(&self, column: &str) -> rusqlite::Result<Option<String>> {
        match self.0.get_ref(column)? {
            ValueRef::Null => Ok(None),
            _ => self.word(column).map(Some),
        }
    }

    fn bounded(&self, column: &str, limit: usize) -> rusqlite::Result<String> {
        let value = self.0.get_ref(column)?;
        let text = (value.as_str()).map_err(|_| malformed(column, "is no text"))?;
        if text.len() > limit {
            return Err(malformed(column, "is too long"));
        }
        Ok(text.to_owned())
    }

    /// A job's name, or a task's.
    pub(super) fn job(&self, column: &str) -> rusqlite::Result<String> {
        let name = self.word(column)?;
        if JobName::known(&name).is_err() {
            return Err(malformed(column, "is no name"));
        }
        Ok(name)
    }

    /// Names with commas between.
    pub(super) fn names(&self, column: &str) -> rusqlite::Result<Vec<String>> {
        let Some(names) = self.optional_text(column)? else {
            return Ok(Vec::new());
        };
        let names: Vec<String> = names.split(',').map(str::to_owned).collect();
        if !names.iter().all(|name| is_name(name)) {
            return Err(malformed(column, "is no list of names"));
        }
        Ok(names)
    }

    pub(super) fn run_id(&self, column: &str) -> rusqlite::Result<String> {
        let id = self.word(column)?;
        if !is_run_id(&id) {
            return Err(malformed(column, "is no run's id"));
        }
        Ok(id)
    }

    pub(super) fn environment(&self, column: &str) -> rusqlite::Result<String> {
        let name = self.word(column)?;
        if !is_environment(&name) {
            return Err(malformed(column, "is no environment's name"));
        }
        Ok(name)
    }

    /// Names of environments as JSON; NULL: none.
    pub(super) fn environments(&self, column: &str) -> rusqlite::Result<Vec<String>> {
        let Some(names) = self.optional_json::<Vec<String>>(column)? else {
            return Ok(Vec::new());
        };
        if names.is_empty() || !names.iter().all(|name| is_environment(name)) {
            return Err(malformed(column, "is no list of environments"));
        }
        Ok(names)
    }

    /// A word of our own: a store's kind, a step.
    pub(super) fn keyword(&self, column: &str) -> rusqlite::Result<String> {
        let word = self.word(column)?;
        if !is_keyword(&word) {
            return Err(malformed(column, "is no word of ours"));
        }
        Ok(word)
    }

    /// Steps of a task as JSON; NULL: none.
    pub(super) fn steps(&self, column: &str) -> rusqlite::Result<Vec<StepTime>> {
        let stored: Option<Vec<StoredStep>> = self.optional_json(column)?;
        let stored = stored.unwrap_or_default();
        if stored.len() > STEPS {
            return Err(malformed(column, "is too long"));
        }
        let read = |step: StoredStep| {
            let started = moment(step.started).ok_or_else(|| malformed(column, "has no time"))?;
            if !is_keyword(&step.name) || !(0.0..=LONGEST).contains(&step.seconds) {
                return Err(malformed(column, "is no list of steps"));
            }
            Ok(StepTime {
                name: step.name,
                started,
                seconds: step.seconds,
            })
        };
        stored.into_iter().map(read).collect()
    }

    /// An absolute path.
    pub(super) fn path(&self, column: &str) -> rusqlite::Result<Vec<u8>> {
        let value = self.0.get_ref(column)?;
        let path = (value.as_blob()).map_err(|_| malformed(column, "is no path"))?;
        if !path.starts_with(b"/") || path.len() > NAME || path.contains(&0) {
            return Err(malformed(column, "is no absolute path"));
        }
        Ok(path.to_vec())
    }

    pub(super) fn time(&self, column: &str) -> rusqlite::Result<DateTime<Utc>> {
        let micros: i64 = self.0.get(column)?;
        moment(micros).ok_or_else(|| malformed(column, "is no time"))
    }

    pub(super) fn optional_time(&self, column: &str) -> rusqlite::Result<Option<DateTime<Utc>>> {
        match self.0.get_ref(column)? {
            ValueRef::Null => Ok(None),
            _ => self.time(column).map(Some),
        }
    }

    /// How many there are of something.
    pub(super) fn count(&self, column: &str) -> rusqlite::Result<u64> {
        let count: i64 = self.0.get(column)?;
        u64::try_from(count).map_err(|_| malformed(column, "is below zero"))
    }

    pub(super) fn optional_count(&self, column: &str) -> rusqlite::Result<Option<u64>> {
        match self.0.get_ref(column)? {
            ValueRef::Null => Ok(None),
            _ => self.count(column).map(Some),
        }
    }

    /// A process's id; `None`: there is none.
    pub(super) fn pid(&self, column: &str) -> rusqlite::Result<Option<u32>> {
        let pid: Option<u32> = self.0.get(column)?;
        // 0 and what is no `pid_t` would mean whole groups of processes to kill(2).
        if pid.is_some_and(|pid| i32::try_from(pid).map_or(true, |pid| pid == 0)) {
            return Err(malformed(column, "is no process's id"));
        }
        Ok(pid)
    }

    /// A number with a fraction, from zero to `most`.
    pub(super) fn measure(&self, column: &str, most: f64) -> rusqlite::Result<f64> {
        let number: f64 = self.0.get(column)?;
        if !(0.0..=most).contains(&number) {
            return Err(malformed(column, "is out of range"));
        }
        Ok(number)
    }
}

/// A time as it is stored.
fn moment(micros: i64) -> Option<DateTime<Utc>> {
    let is_one = (0..=LATEST).contains(&micros);
    is_one.then(|| DateTime::from_timestamp_micros(micros))?
}

/// A word of our own.
fn is_keyword(word: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || " _:-".contains(c);
    word.len() <= 64 && word.chars().all(fine)
}

/// As job files have them.
fn is_name(name: &str) -> bool {
    JobName::parse(name).is_ok()
}

/// What may be one, as we spell them: they are in names of files and units, and among a process's arguments.
fn is_run_id(id: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z');
    id.len() <= 36
        && id.bytes().next().is_some_and(digit)
        && id.bytes().all(|byte| byte == b'-' || digit(byte))
}

/// As settings and job files have them.
fn is_environment(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME && !name.contains(char::is_control)
}

fn malformed(column: &str, why: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, format!("{column} {why}").into())
}

/// Whether it is the row that is wrong, and not the database.
fn is_malformed(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// Reads rows; one that is malformed is passed over, and called `what` and its first column.
pub(super) fn rows<T>(
    mut rows: Rows<'_>,
    what: &str,
    mut read: impl FnMut(&Strict<'_, '_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(row_or_none(row, what, &mut read)?);
    }
    Ok(found)
}

/// Reads the first row, if there is one and it is well-formed.
pub(super) fn first<T>(
    mut rows: Rows<'_>,
    what: &str,
    read: impl FnOnce(&Strict<'_, '_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    match rows.next()? {
        Some(row) => row_or_none(row, what, read),
        None => Ok(None),
    }
}

/// Reads a row, unless it is malformed.
pub(super) fn row_or_none<T>(
    row: &Row<'_>,
    what: &str,
    read: impl FnOnce(&Strict<'_, '_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    match read(&Strict(row)) {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_malformed(&error) => {
            let name = match row.get_ref(0)? {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => {
                    let text = String::from_utf8_lossy(text);
                    let short: String = text.chars().take(40).collect();
                    format!("`{}`", short.escape_debug())
                }
                _ => "without a name".to_owned(),
            };
            pass_over(format!("{what} {name}: {}", why(&error)));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Never what stands in the row.
fn why(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::InvalidColumnType(_, column, _) => format!("{column} is none of ours"),
        rusqlite::Error::IntegralValueOutOfRange(..) => "a number is out of range".to_owned(),
        rusqlite::Error::FromSqlConversionFailure(_, Type::Null, why) => why.to_string(),
        _ => "a value is none of ours".to_owned(),
    }
}

fn pass_over(row: String) {
    PASSED_OVER.with_borrow_mut(|rows| {
        if rows.len() < NAMED {
            rows.push(row);
        }
    });
}

/// Warns of rows that were passed over, of each once. The state store must not be locked.
pub(super) fn tell(file: &Path) {
    let rows = PASSED_OVER.take();
    if rows.is_empty() {
        return;
    }
    let is_new = |row: &String| {
        let mut said = SAID.lock();
        let said = said.entry(file.to_owned()).or_default();
        said.len() < NAMED && said.insert(row.clone())
    };
    for row in rows.into_iter().filter(is_new) {
        warn(file.display(), &row);
    }
}

fn warn(file: impl Display, row: &str) {
    tracing::warn!(
        %file,
        row,
        "a row of the state store is malformed, and is passed over: envsyncd has not written it so"
    );
}

#[cfg(test)]
mod tests;
