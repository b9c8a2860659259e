//! Running a job's script on incoming, statement by statement.

use std::path::Path;

use super::transactions::Transaction;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::server_error;
use crate::store::postgresql::incoming::database::Incoming;
use crate::store::statements;

/// Looks whether a script can be cut into statements.
pub(in crate::store::postgresql) fn look_at(file: &Path, text: &str) -> Result<()> {
    statements::split(text).map(drop).map_err(|flaw| {
        let place = format!("{}:{}", file.display(), flaw.line);
        Error::new(Kind::Statement, format!("{place}: {}", flaw.what))
    })
}

impl Incoming {
    /// Runs a script; stops at the first error.
    pub(in crate::store::postgresql) async fn run_script(
        &self,
        file: &Path,
        text: &str,
    ) -> Result<()> {
        let place = |line: usize| format!("{}:{line}", file.display());
        let cut = statements::split(text).map_err(|error| {
            Error::new(
                Kind::Statement,
                format!("{}: {}", place(error.line), error.what),
            )
        })?;
        let before = self.to.look_outside().await?;
        let session = self.script_session(text).await?;
        let mut transaction = Transaction::default();
        for statement in cut {
            transaction.next(file, &statement)?;
            session.run(statement.text).await.map_err(|error| {
                server_error::about(error, statement.text)
                    .within(format!("script {}", place(statement.line)))
            })?;
        }
        self.refuse_open(&session, file).await?;
        self.to.refuse_reached(&before, file).await?;
        self.to.mark_again().await
    }
}
