//! Who holds locks on a schema's tables, for errors.

use super::connection::Session;
use super::names::literal;
use crate::error::Result;

/// Who is in a schema, as far as our user may see it: words to be put behind a sentence, or none.
pub(super) async fn of(control: &mut Session, schema: &str) -> Result<String> {
    let schema = literal(schema);
    let precise = format!(
        "SELECT p.ID, p.USER, p.HOST, p.TIME FROM information_schema.METADATA_LOCK_INFO m JOIN information_schema.PROCESSLIST p ON p.ID = m.THREAD_ID \
         WHERE m.TABLE_SCHEMA = {schema} AND p.ID <> CONNECTION_ID() ORDER BY p.TIME DESC LIMIT 1"
    );
    let row = match control.query_opt(&precise).await {
        Ok(row) => row,
        // A plugin that few servers have.
        Err(_) => {
            control
                .query_opt(&format!(
                    "SELECT ID, USER, HOST, TIME FROM information_schema.PROCESSLIST WHERE DB = {schema} AND ID <> CONNECTION_ID() \
                     ORDER BY COMMAND = 'Sleep', TIME DESC LIMIT 1"
                ))
                .await?
        }
    };
    Ok(match row {
        Some(row) => format!(
            " (perhaps user {} from {}, connection {}, for {} seconds)",
            row.maybe(1)?.unwrap_or_default(),
            row.maybe(2)?.unwrap_or_default(),
            row.text(0)?,
            row.maybe(3)?.unwrap_or_default()
        ),
        None => String::new(),
    })
}
