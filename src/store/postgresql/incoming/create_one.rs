//! Creates one schema object of a dump, and says what failed.

use tokio_postgres::error::SqlState;

use crate::error::{Error, Result};
use crate::store::postgresql::connection::server_error;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::toc::Entry;

/// Makes one entry. `false`: it is a comment that the target's user may not make.
pub(in crate::store::postgresql) async fn create(session: &Session, entry: &Entry) -> Result<bool> {
    let definition = entry.definition();
    if definition.trim().is_empty() {
        return Ok(true);
    }
    match session.batch_execute(&definition).await {
        Ok(()) => Ok(true),
        // A comment on what an extension or initdb made needs its owner.
        Err(error)
            if entry.kind == "COMMENT"
                && error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            tracing::warn!(
                entry = entry.tag(),
                "the target's user may not comment on this"
            );
            Ok(false)
        }
        Err(error) => Err(failed(session, entry, error)),
    }
}

/// The error of a definition that the target refused: names the object and the statement.
fn failed(session: &Session, entry: &Entry, error: tokio_postgres::Error) -> Error {
    let statement = &*entry.definition();
    let made = session.explain_of(statement)(error);
    let said = server_error::about(made, statement);
    if entry.id() > 0 {
        return said.within(format!("{} cannot be made", entry.label()));
    }
    said.within(format!(
        "{} is the target's own, and cannot stay as it is beside what comes from the source",
        entry.label()
    ))
    .hint("drop or change it on the target; or take what it hangs on out of `keep`, or the task out of overlay")
}
