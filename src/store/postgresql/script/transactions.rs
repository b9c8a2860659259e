//! Transactions of a job's scripts: what a script does is committed, or the run fails. What it leaves open would be rolled
//! back without a word when its session ends, and the rows that it was to change would go live as they are.

use std::path::Path;

use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::sweep::prepared;
use crate::store::postgresql::incoming::database::Incoming;
use crate::store::postgresql::sql::words::words;
use crate::store::statements::Statement;

/// The transaction that a script is in, as far as its own statements begin and end one.
#[derive(Default)]
pub(in crate::store::postgresql) struct Transaction {
    is_open: bool,
}

/// What is wrong with a statement where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::postgresql) enum Wrong {
    /// What was done so far is undone.
    RollsBack,
    /// It does nothing.
    OutOfPlace,
}

impl Transaction {
    /// Looks at a script's next statement: refuses one that undoes what the script has done, and warns of one that has no
    /// effect here.
    pub(in crate::store::postgresql) fn next(
        &mut self,
        file: &Path,
        statement: &Statement<'_>,
    ) -> Result<()> {
        let place = format!("{}:{}", file.display(), statement.line);
        match self.step(statement.text) {
            None => Ok(()),
            Some(Wrong::RollsBack) => Err(Error::new(
                Kind::Statement,
                format!(
                    "script {place} rolls back what it has done: nothing of it would be in the copy"
                ),
            )
            .hint("end the transaction with COMMIT, or take it out of the script")),
            Some(Wrong::OutOfPlace) => {
                tracing::warn!(
                    script = place,
                    "SET LOCAL has no effect outside of a transaction: begin one before it, or use SET"
                );
                Ok(())
            }
        }
    }

    /// Goes on by one statement; what is wrong with it, if anything.
    pub(in crate::store::postgresql) fn step(&mut self, statement: &str) -> Option<Wrong> {
        let all = words(statement);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let chains = all.windows(2).any(|pair| pair == ["AND", "CHAIN"]);
        match all.as_slice() {
            ["ROLLBACK" | "ABORT", rest @ ..] => {
                let rest = match rest {
                    ["WORK" | "TRANSACTION", rest @ ..] => rest,
                    _ => rest,
                };
                match rest {
                    ["TO", ..] => None,
                    ["PREPARED", ..] => Some(Wrong::RollsBack),
                    // Nothing is open: the server says so, and nothing is undone.
                    _ if !self.is_open => None,
                    _ => Some(Wrong::RollsBack),
                }
            }
            ["BEGIN", ..] | ["START", "TRANSACTION", ..] => {
                self.is_open = true;
                None
            }
            ["COMMIT", "PREPARED", ..] => None,
            ["COMMIT" | "END", ..] => {
                self.is_open = self.is_open && chains;
                None
            }
            ["PREPARE", "TRANSACTION", ..] => {
                self.is_open = false;
                None
            }
            ["SET", "LOCAL", ..] if !self.is_open => Some(Wrong::OutOfPlace),
            _ => None,
        }
    }
}

impl Incoming {
    /// Refuses what a script has left open in its session, or prepared and not committed.
    pub(super) async fn refuse_open(&self, session: &Session, file: &Path) -> Result<()> {
        // Outside of a transaction a savepoint is an error, and this one.
        let open = match session.batch_execute("SAVEPOINT envsyncd").await {
            Ok(()) => true,
            Err(error) if error.code() == Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION) => false,
            Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => true,
            Err(error) => return Err(session.explain()(error)),
        };
        if open {
            return Err(Error::new(
                Kind::Statement,
                format!("script {} leaves a transaction open", file.display()),
            )
            .hint("end it with COMMIT"));
        }
        let prepared = prepared(&self.to.admin, &self.to.names.incoming).await?;
        if let Some(name) = prepared.first() {
            return Err(Error::new(
                Kind::Statement,
                format!(
                    "script {} leaves the transaction {name} prepared and not committed",
                    file.display()
                ),
            )
            .hint("end it with COMMIT PREPARED, or with COMMIT in the first place"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(script: &str) -> Option<Wrong> {
        let mut transaction = Transaction::default();
        let mut last = None;
        for statement in crate::store::statements::split(script).unwrap() {
            last = transaction.step(statement.text);
        }
        last
    }

    #[test]
    fn what_undoes_a_script_s_work_is_told_from_what_does_not() {
        for script in [
            "BEGIN; DELETE FROM t; ROLLBACK",
            "START TRANSACTION; rollback work",
            "BEGIN; COMMIT AND CHAIN; ABORT",
            "BEGIN; ROLLBACK /* to */ AND CHAIN",
            "BEGIN; PREPARE TRANSACTION 'x'; ROLLBACK PREPARED 'x'",
        ] {
            assert_eq!(last(script), Some(Wrong::RollsBack), "{script}");
        }
        for script in [
            "BEGIN; SAVEPOINT a; ROLLBACK TO a",
            "BEGIN; SAVEPOINT a; ROLLBACK TRANSACTION TO SAVEPOINT a",
            "ROLLBACK",
            "BEGIN; COMMIT; ROLLBACK",
            "BEGIN; END AND NO CHAIN; ROLLBACK",
            "COMMIT PREPARED 'x'",
            "BEGIN; SET LOCAL session_replication_role = replica",
            "SET session_replication_role = replica",
        ] {
            assert_eq!(last(script), None, "{script}");
        }
        assert_eq!(last("SET LOCAL x.y = 1"), Some(Wrong::OutOfPlace));
        assert_eq!(
            last("BEGIN; COMMIT; SET LOCAL x.y = 1"),
            Some(Wrong::OutOfPlace)
        );
    }
}
