//! Work on incoming with the target's files attached.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::error::Result;
use crate::store::sqlite::connection::errors::{explain, on};

/// Does something in one transaction with other files in reach.
pub(super) fn attached(
    connection: &Connection,
    files: &[(&str, &Path)],
    work: impl FnOnce(&Connection) -> Result<()>,
) -> Result<()> {
    let mut done = Ok(());
    for (name, path) in files {
        let text = ToSqlOutput::Borrowed(ValueRef::Text(path.as_os_str().as_bytes()));
        done = connection
            .execute(&format!("ATTACH ?1 AS {name}"), [text])
            .map(drop)
            .map_err(on(path));
        if done.is_err() {
            break;
        }
    }
    let done = done.and_then(|()| {
        let transaction = connection
            .unchecked_transaction()
            .map_err(|error| explain(error, "incoming"))?;
        work(&transaction)?;
        transaction
            .commit()
            .map_err(|error| explain(error, "incoming"))
    });
    for (name, _) in files {
        let _ = connection.execute_batch(&format!("DETACH {name}"));
    }
    done
}
