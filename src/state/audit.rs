//! The audit list: what people and programs had done, from where, and what came of it.

use chrono::{DateTime, Utc};
use rusqlite::{Transaction, params};

use super::strict;
use super::{Durable, State, stored};
use crate::error::Result;

/// The longest text of an entry, in bytes.
const LONGEST: usize = 1000;

/// Something that somebody had done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a user, or a token's name.
    pub who: String,
    /// `cli`, `api` or `panel`.
    pub via: String,
    /// The address of the caller; empty: this machine.
    pub address: String,
    /// `run`, `cancel`, `pause`, `hold`, `token create` and the like.
    pub action: String,
    /// What it was done to.
    pub object: String,
    /// `ok`, or the error's sentence; [`BEGUN`]: it is not known how it ended.
    pub outcome: String,
}

/// What has begun, and has not ended so far as is known.
pub const BEGUN: &str = "begun";

impl Audited {
    /// Whether nothing is wrong with its outcome.
    pub fn is_good(&self) -> bool {
        matches!(self.outcome.as_str(), "ok" | BEGUN)
    }
}

impl State {
    /// Adds to the audit list, and returns the entry's number. Long texts are cut, and control characters spelt out.
    pub fn audit(&self, entry: &Audited) -> Result<i64> {
        self.write("cannot write the audit list", Durable::Process, |t| {
            t.prepare_cached(
                "INSERT INTO audit (at, who, via, address, action, object, outcome)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                stored(entry.at),
                line(&entry.who),
                line(&entry.via),
                line(&entry.address),
                line(&entry.action),
                line(&entry.object),
                line(&entry.outcome),
            ])?;
            Ok(Ok(t.last_insert_rowid()))
        })
    }

    /// Says of an entry that was [`BEGUN`], by its number and its object, what came of it.
    pub fn audit_end(&self, entry: i64, object: &str, outcome: &str) -> Result<()> {
        self.write("cannot write the audit list", Durable::Process, |t| {
            t.execute(
                "UPDATE audit SET outcome = ?4 WHERE seq = ?1 AND object = ?2 AND outcome = ?3",
                params![entry, line(object), BEGUN, line(outcome)],
            )?;
            Ok(Ok(()))
        })
    }

    /// The newest entries of the audit list with their numbers, newest first; with `before`, those of smaller numbers.
    pub fn audits(&self, before: Option<i64>, limit: usize) -> Result<Vec<(i64, Audited)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read("cannot read the audit list", |t| {
            let mut statement = t.prepare_cached(
                "SELECT seq, at, who, via, address, action, object, outcome FROM audit
                 WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
            )?;
            let found = statement.query([before.unwrap_or(i64::MAX), limit])?;
            strict::rows(found, "entry of the audit list", |row| {
                let entry = Audited {
                    at: row.time("at")?,
                    who: row.word("who")?,
                    via: row.word("via")?,
                    address: row.word("address")?,
                    action: row.word("action")?,
                    object: row.word("object")?,
                    outcome: row.word("outcome")?,
                };
                Ok((row.get("seq")?, entry))
            })
        })
    }
}

/// Takes out a few of those before this time; how many.
pub(super) fn prune(t: &Transaction<'_>, before: i64, most: usize) -> rusqlite::Result<usize> {
    t.execute(
        "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)",
        params![before, most as i64],
    )
}

/// One line of a text, not too long.
fn line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if line.len() >= LONGEST {
            line.push_str("...");
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;
    use crate::config::reporting::Retention;

    fn entry(object: &str, at: DateTime<Utc>) -> Audited {
        Audited {
            at,
            who: "ada\u{1b}[2J".to_owned(),
            via: "cli".to_owned(),
            address: String::new(),
            action: "hold".to_owned(),
            object: object.to_owned(),
            outcome: "a\nb".to_owned() + &"x".repeat(5000),
        }
    }

    #[test]
    fn entries_come_newest_first_a_page_at_a_time_in_lines_that_are_fit_to_be_shown() {
        let state = State::in_memory().unwrap();
        for number in 0..5 {
            state
                .audit(&entry(&number.to_string(), Utc::now()))
                .unwrap();
        }
        let objects = |before| {
            let page = state.audits(before, 2).unwrap();
            let last = page.last().map(|(seq, _)| *seq);
            let objects: Vec<String> = page.into_iter().map(|(_, it)| it.object).collect();
            (objects.join(""), last)
        };
        let (first, next) = objects(None);
        let (second, next) = (objects(next), first);
        assert_eq!((next.as_str(), second.0.as_str()), ("43", "21"));
        assert_eq!(objects(second.1).0, "0");
        let (_, shown) = state.audits(None, 1).unwrap().remove(0);
        assert_eq!(shown.who, "ada\\u{1b}[2J");
        assert!(shown.outcome.starts_with("a\\nbxxx") && shown.outcome.ends_with("x..."));
        assert!(shown.outcome.len() < LONGEST + 10);
    }

    #[test]
    fn an_entry_that_was_begun_is_ended_once_and_no_other_is_changed() {
        let state = State::in_memory().unwrap();
        let begun = |object| Audited {
            outcome: BEGUN.to_owned(),
            ..entry(object, Utc::now())
        };
        let (one, two) = (
            state.audit(&begun("one")).unwrap(),
            state.audit(&begun("two")).unwrap(),
        );
        // Its store was replaced, and the number is another entry's.
        state.audit_end(two, "one", "ok").unwrap();
        state.audit_end(one, "one", "no\nroom").unwrap();
        state.audit_end(one, "one", "ok").unwrap();
        let outcomes: Vec<String> = state
            .audits(None, 9)
            .unwrap()
            .into_iter()
            .map(|(_, entry)| entry.outcome)
            .collect();
        assert_eq!(outcomes, [BEGUN, "no\\nroom"]);
    }

    #[test]
    fn what_is_older_than_the_history_may_be_is_pruned() {
        let state = State::in_memory().unwrap();
        state
            .audit(&entry("old", Utc::now() - Duration::days(9)))
            .unwrap();
        state.audit(&entry("new", Utc::now())).unwrap();
        let retention = Retention {
            max_age: std::time::Duration::from_secs(8 * 86400),
            ..Retention::default()
        };
        state.prune(&retention, Utc::now()).unwrap();
        let left = state.audits(None, 9).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].1.object, "new");
    }
}
