//! Creates an empty incoming: the source's settings and tables.

use std::path::Path;

use rusqlite::Connection;

use crate::error::Result;
use crate::store::sqlite::connection::errors::{explain, on};
use crate::store::sqlite::connection::files::CreatedFile;
use crate::store::sqlite::connection::open;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::extensions;

/// Makes an empty incoming with the source's settings and tables.
pub(in crate::store::sqlite) fn prepare(
    path: &Path,
    definitions: &Definitions,
) -> Result<(Connection, CreatedFile)> {
    let made = CreatedFile::create(path)?;
    let connection = open::open_building(path)?;
    made.is_there()?;
    let settings = &definitions.settings;
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {}; PRAGMA encoding = '{}'; PRAGMA auto_vacuum = {}; \
             PRAGMA user_version = {}; PRAGMA application_id = {}; PRAGMA ignore_check_constraints = ON",
            settings.page_size,
            settings.encoding,
            settings.auto_vacuum,
            settings.user_version,
            settings.application_id
        ))
        .map_err(on(path))?;
    // Names that are text in double quotes were allowed when the table was made.
    for table in &definitions.tables {
        // Those come with their pages, or not at all.
        if table.is_created_first() && !extensions::is_missing(definitions, &table.name) {
            table
                .create(&connection)
                .map_err(|error| explain(error, &format!("table `{}`", table.name)))?;
        }
    }
    Ok((connection, made))
}
