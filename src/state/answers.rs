//! Answers to requests that bear a key: a request that is sent again is answered again, and done once.

use chrono::{Duration, Utc};
use rusqlite::{Transaction, params};

use super::strict;
use super::{Durable, State, stored};
use crate::error::Result;

/// How long an answer is kept.
const KEPT: Duration = Duration::hours(24);

impl State {
    /// What this caller's request with this key was answered with: the request's fingerprint, and the answer.
    pub fn answer(&self, who: &str, key: &str) -> Result<Option<(String, String)>> {
        self.read("cannot read an answer", |t| {
            let mut statement = t.prepare_cached(
                "SELECT key, fingerprint, answer FROM answers WHERE who = ?1 AND key = ?2 AND at >= ?3",
            )?;
            let found = statement.query(params![who, key, oldest()])?;
            strict::first(found, "answer to", |row| {
                Ok((row.word("fingerprint")?, row.text("answer")?))
            })
        })
    }

    /// Keeps an answer for a day. False: the caller's key has one already, which stays.
    pub fn keep_answer(
        &self,
        who: &str,
        key: &str,
        fingerprint: &str,
        answer: &str,
    ) -> Result<bool> {
        self.write("cannot keep an answer", Durable::Process, |t| {
            t.execute(
                "DELETE FROM answers WHERE who = ?1 AND key = ?2 AND at < ?3",
                params![who, key, oldest()],
            )?;
            let added = t.execute(
                "INSERT OR IGNORE INTO answers (who, key, fingerprint, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![who, key, fingerprint, answer, stored(Utc::now())],
            )?;
            Ok(Ok(added == 1))
        })
    }
}

/// Takes out a few of those that are too old; how many.
pub(super) fn prune(t: &Transaction<'_>, most: usize) -> rusqlite::Result<usize> {
    t.execute(
        "DELETE FROM answers WHERE (who, key) IN (SELECT who, key FROM answers WHERE at < ?1 LIMIT ?2)",
        params![oldest(), most as i64],
    )
}

fn oldest() -> i64 {
    stored(Utc::now() - KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_stays_for_a_day_and_is_its_callers_own() {
        let state = State::in_memory().unwrap();
        assert!(state.answer("ci", "k").unwrap().is_none());
        assert!(state.keep_answer("ci", "k", "f", "one").unwrap());
        assert!(!state.keep_answer("ci", "k", "g", "two").unwrap());
        let kept = Some(("f".to_owned(), "one".to_owned()));
        assert_eq!(state.answer("ci", "k").unwrap(), kept);
        assert!(state.answer("other", "k").unwrap().is_none());
        let age = || {
            let aged = state.with(|store| {
                let sql = "UPDATE answers SET at = at - 86400000000 - 1000";
                store.execute_batch(sql).unwrap();
                Ok(())
            });
            aged.unwrap();
        };
        age();
        assert!(state.answer("ci", "k").unwrap().is_none());
        assert!(state.keep_answer("ci", "k", "g", "two").unwrap());
        age();
        state
            .prune(&crate::config::reporting::Retention::default(), Utc::now())
            .unwrap();
        let left = state.read("count", |t| {
            t.query_row("SELECT count(*) FROM answers", [], |row| {
                row.get::<_, i64>(0)
            })
        });
        assert_eq!(left.unwrap(), 0);
    }
}
