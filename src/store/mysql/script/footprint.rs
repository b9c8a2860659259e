//! What live, and the source if it is on the same server, looked like before a script: what cannot be kept in its copy (code
//! that puts statements together) is looked for afterwards.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::literal;
use crate::store::mysql::workspace::schemas;

/// How many differences an error names.
const NAMED: usize = 3;

/// Schemas as they were.
pub(in crate::store::mysql) struct Footprint {
    /// By schema; `None`: it is not there.
    schemas: BTreeMap<String, Option<Look>>,
    /// Rows are looked at, too.
    with_rows: bool,
}

/// By what it is, in words: how it is defined; and of tables, when something was changed in them.
type Look = BTreeMap<String, String>;

impl Footprint {
    /// Looks at these. `with_rows`: a script may write where nobody can tell from its text.
    pub(in crate::store::mysql) async fn of(
        session: &mut Session,
        schemas: &[&str],
        with_rows: bool,
    ) -> Result<Self> {
        let mut found = BTreeMap::new();
        for schema in schemas {
            let look = look(session, schema, with_rows).await?;
            found.insert((*schema).to_owned(), look);
        }
        if with_rows && changed_just_now(session, schemas).await? {
            // Servers tell the time of a change in whole seconds: another one within this second could not be told from it.
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        }
        Ok(Self {
            schemas: found,
            with_rows,
        })
    }

    /// Fails if one of them looks otherwise now.
    pub(super) async fn is_as_before(&self, session: &mut Session, script: &str) -> Result<()> {
        let mut wrong = Vec::new();
        for (schema, before) in &self.schemas {
            let now = look(session, schema, self.with_rows).await?;
            let (Some(before), Some(now)) = (before, &now) else {
                if before.is_some() != now.is_some() {
                    let what = if now.is_some() { "is new" } else { "is gone" };
                    wrong.push(format!("the database `{schema}` {what}"));
                }
                continue;
            };
            for (name, text) in before {
                match now.get(name) {
                    None => wrong.push(format!("{name} of `{schema}` is gone")),
                    Some(other) if other != text => {
                        wrong.push(format!("{name} of `{schema}` has changed"));
                    }
                    Some(_) => {}
                }
            }
            wrong.extend(
                now.keys()
                    .filter(|name| !before.contains_key(*name))
                    .map(|name| format!("{name} of `{schema}` is new")),
            );
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!(
                "while the script {script} ran, something changed that is not its copy: {}",
                first_of(&wrong, NAMED)
            ),
        )
        .hint("if the script does that, let it name no other database, also in what it puts together; if somebody else did, run the job while nobody does"))
    }
}

/// Whether the last change in one of the schemas is less than a second or two old.
async fn changed_just_now(session: &mut Session, schemas: &[&str]) -> Result<bool> {
    let names: Vec<String> = schemas.iter().map(|schema| literal(schema)).collect();
    // The time of day, which a session's own `timestamp` does not stop.
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({}) \
         AND GREATEST(COALESCE(UPDATE_TIME, 0), COALESCE(CREATE_TIME, 0)) >= SYSDATE() - INTERVAL 1 SECOND",
        names.join(", ")
    );
    Ok(session.query_one(&sql).await?.number(0)? > 0)
}

async fn look(session: &mut Session, schema: &str, with_rows: bool) -> Result<Option<Look>> {
    if !schemas::exists(session, schema).await? {
        return Ok(None);
    }
    if session.version().is_mysql(8, 0) {
        // It answers from a cache otherwise.
        session
            .run("SET SESSION information_schema_stats_expiry = 0")
            .await?;
    }
    let name = literal(schema);
    let times = if with_rows {
        ", COALESCE(CREATE_TIME, ''), COALESCE(UPDATE_TIME, '')"
    } else {
        ""
    };
    let mut found = Look::new();
    for sql in [
        format!(
            "SELECT CONCAT('table ', TABLE_NAME), CONCAT_WS('/', TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(TABLE_COLLATION, ''){times}) \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name} AND TABLE_TYPE <> 'VIEW'"
        ),
        format!(
            "SELECT CONCAT('column ', TABLE_NAME, '.', COLUMN_NAME), CONCAT_WS('/', COLUMN_TYPE, IS_NULLABLE, COALESCE(COLUMN_DEFAULT, ''), EXTRA) \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {name}"
        ),
        format!(
            "SELECT CONCAT('index ', INDEX_NAME, ' of table ', TABLE_NAME), GROUP_CONCAT(COALESCE(COLUMN_NAME, '') ORDER BY SEQ_IN_INDEX) \
             FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {name} GROUP BY TABLE_NAME, INDEX_NAME"
        ),
        format!(
            "SELECT CONCAT('view ', TABLE_NAME), VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {name}"
        ),
        format!(
            "SELECT CONCAT('trigger ', TRIGGER_NAME), CONCAT_WS('/', EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT) \
             FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {name}"
        ),
        format!(
            "SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_NAME), CONCAT_WS('/', LAST_ALTERED, COALESCE(ROUTINE_DEFINITION, '')) \
             FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name}"
        ),
        format!(
            "SELECT CONCAT('event ', EVENT_NAME), CONCAT_WS('/', STATUS, EVENT_DEFINITION) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {name}"
        ),
    ] {
        for row in session.query(&sql).await? {
            found.insert(row.definition(0)?, row.definition(1).unwrap_or_default());
        }
    }
    Ok(Some(found))
}
