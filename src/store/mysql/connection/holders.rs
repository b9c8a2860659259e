//! The sessions that hold locks on a schema's tables, for errors.

use super::session::Session;
use crate::error::Result;
use crate::store::mysql::sql::names::literal;
use crate::store::mysql::sql::version::Flavour;

/// Who is in a schema, as far as our user may see it, and is none of our own sessions: words to be put behind a sentence, or
/// none.
pub(in crate::store::mysql) async fn of(
    control: &mut Session,
    schema: &str,
    ours: &[u32],
) -> Result<String> {
    let schema = literal(schema);
    let ours: Vec<String> = ours.iter().map(u32::to_string).collect();
    let ours = format!("(CONNECTION_ID(), {})", ours.join(", ")).replace(", )", ")");
    let locks = match control.version().flavour {
        Flavour::MySql => format!(
            "SELECT p.ID, p.USER, p.HOST, p.TIME, p.COMMAND FROM performance_schema.metadata_locks m \
             JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID JOIN information_schema.PROCESSLIST p ON p.ID = t.PROCESSLIST_ID \
             WHERE m.OBJECT_SCHEMA = {schema} AND m.OBJECT_TYPE = 'TABLE' AND m.LOCK_STATUS = 'GRANTED' AND p.ID NOT IN {ours} \
             ORDER BY p.TIME DESC LIMIT 1"
        ),
        // A plugin that few servers have.
        Flavour::MariaDb => format!(
            "SELECT p.ID, p.USER, p.HOST, p.TIME, p.COMMAND FROM information_schema.METADATA_LOCK_INFO m JOIN information_schema.PROCESSLIST p ON p.ID = m.THREAD_ID \
             WHERE m.TABLE_SCHEMA = {schema} AND p.ID NOT IN {ours} ORDER BY p.TIME DESC LIMIT 1"
        ),
    };
    // The oldest transaction of somebody in the schema: one that idles holds its locks, too.
    let transactions = format!(
        "SELECT p.ID, p.USER, p.HOST, p.TIME, p.COMMAND FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id \
         WHERE p.DB = {schema} AND p.ID NOT IN {ours} ORDER BY t.trx_started LIMIT 1"
    );
    let sessions = format!(
        "SELECT ID, USER, HOST, TIME, COMMAND FROM information_schema.PROCESSLIST WHERE DB = {schema} AND ID NOT IN {ours} \
         ORDER BY COMMAND = 'Sleep', TIME DESC LIMIT 1"
    );
    for (sql, perhaps) in [
        (locks, ""),
        (transactions, "perhaps "),
        (sessions, "perhaps "),
    ] {
        // What our user may not see, or the server does not have.
        let Ok(Some(row)) = control.query_opt(&sql).await else {
            continue;
        };
        let idle = if row.maybe(4)?.as_deref() == Some("Sleep") {
            ", idle"
        } else {
            ""
        };
        return Ok(format!(
            " ({perhaps}user {} from {}, connection {}{idle} for {} seconds)",
            row.maybe(1)?.unwrap_or_default(),
            row.maybe(2)?.unwrap_or_default(),
            row.text(0)?,
            row.maybe(3)?.unwrap_or_default()
        ));
    }
    Ok(String::new())
}
