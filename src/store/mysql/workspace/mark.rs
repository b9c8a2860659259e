//! What says that a schema is ours: by which job and run, and when it was made. What bears no mark is somebody else's,
//! whatever it is called: it is never dropped, renamed or filled.
//!
//! Where schemas have comments (MariaDB 10.5 and newer), the mark is the schema's comment, from the statement on that makes
//! it. Elsewhere it is the comment of a table in it; between the two statements that takes, the schema is empty and of a
//! collation that nobody else has reason to give it, so that what a killed run left there is known, too.

use super::journal::{self, Journal};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::mysql::connection::server_identity;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::encryption;
use crate::store::mysql::sql::marks::{JOURNAL, NEXT, TABLE, is_mark, not_own};
use crate::store::mysql::sql::names::{Names, literal, quoted, within};

/// An empty schema of this collation was never finished.
const UNFINISHED: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_esperanto_ci";
const UNFINISHED_COLLATION: &str = "utf8mb4_esperanto_ci";

/// What older versions called their journals.
const OLDER: [(&str, &str); 2] = [("envsyncd_next", NEXT), ("envsyncd_journal", JOURNAL)];

/// The owner of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) enum Whose {
    /// There is none.
    Nobodys,
    /// It bears our mark.
    Ours,
    /// An older version made it, which left no mark but its journal.
    Older,
    /// Somebody else made it.
    Others,
}

/// Looks whose a schema is.
pub(in crate::store::mysql) async fn whose(session: &mut Session, schema: &str) -> Result<Whose> {
    let comment = if session.version().is_mariadb(10, 5) {
        "SCHEMA_COMMENT"
    } else {
        "''"
    };
    let name = literal(schema);
    let row = session
        .query_opt(&format!(
            "SELECT {comment}, DEFAULT_COLLATION_NAME = '{UNFINISHED_COLLATION}', \
               (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name} AND NOT ({})), \
               (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name}) \
               + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name}) \
               + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {name}) \
             FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {name}",
            not_own()
        ))
        .await?;
    let Some(row) = row else {
        return Ok(Whose::Nobodys);
    };
    let is_unfinished = row.number(1)? == 1 && row.number(3)? == 0;
    if is_mark(&row.maybe(0)?.unwrap_or_default()) || row.number(2)? > 0 || is_unfinished {
        return Ok(Whose::Ours);
    }
    for (older, _) in OLDER {
        if has_older(session, schema, older).await? {
            return Ok(Whose::Older);
        }
    }
    Ok(Whose::Others)
}

/// Whether a table of this name is a journal that an older version wrote.
async fn has_older(session: &mut Session, schema: &str, name: &str) -> Result<bool> {
    match Journal::read(session, schema, name).await {
        Ok(found) => Ok(found.is_some_and(|(journal, _)| journal::is_of_a_run(&journal.incoming))),
        Err(error) if session.is_usable() && error.kind() != Kind::Connection => {
            tracing::debug!(%error, schema, "a table that is called like an older journal is none");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Lets what an older version left be as if this one had: its journals get their names and the mark.
pub(in crate::store::mysql) async fn take_over(
    session: &mut Session,
    names: &Names,
    schema: &str,
) -> Result<()> {
    for (older, name) in OLDER {
        if has_older(session, schema, older).await? {
            session
                .run(&format!(
                    "ALTER TABLE {} COMMENT = {}, RENAME TO {}",
                    within(schema, older),
                    literal(&names.mark),
                    within(schema, name)
                ))
                .await?;
        }
    }
    // The journal goes elsewhere when a run replaces what it is of.
    let (schema, mark) = (quoted(schema), literal(&names.mark));
    let statement = if session.version().is_mariadb(10, 5) {
        format!("ALTER DATABASE {schema} COMMENT {mark}")
    } else {
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}.{} (nothing INT NOT NULL PRIMARY KEY) ENGINE = InnoDB COMMENT = {mark}",
            quoted(TABLE)
        )
    };
    session.run(&statement).await.map(drop)
}

/// Makes a schema with these defaults, which bears our mark from its first moment on.
pub(in crate::store::mysql) async fn create(
    session: &mut Session,
    names: &Names,
    schema: &str,
    charset: &str,
    collation: &str,
) -> Result<()> {
    let encryption = encryption::clause(session, names).await?;
    let (schema, mark) = (quoted(schema), literal(&names.mark));
    let defaults = format!("CHARACTER SET {charset} COLLATE {collation}");
    let statements = if session.version().is_mariadb(10, 5) {
        format!("CREATE DATABASE {schema} {defaults} COMMENT {mark}")
    } else {
        format!(
            "CREATE DATABASE {schema} {UNFINISHED}{encryption}; \
             CREATE TABLE {schema}.{} (nothing INT NOT NULL PRIMARY KEY) ENGINE = InnoDB COMMENT = {mark}; \
             ALTER DATABASE {schema} {defaults}",
            quoted(TABLE)
        )
    };
    session.run(&statements).await.map(drop)
}

/// The same where one of ours may be there already; somebody else's is refused.
pub(super) async fn ensure(
    session: &mut Session,
    names: &Names,
    schema: &str,
    charset: &str,
    collation: &str,
) -> Result<()> {
    match whose(session, schema).await? {
        Whose::Nobodys => create(session, names, schema, charset, collation).await,
        Whose::Ours | Whose::Older => Ok(()),
        Whose::Others => Err(foreign(schema)),
    }
}

/// The error for a schema that is called like one of ours and is none.
pub(in crate::store::mysql) fn foreign(schema: &str) -> Error {
    Error::new(
        Kind::Policy,
        format!(
            "the database `{schema}` on the target's server has a name that runs use for what they keep beside the target, and bears no mark of envsyncd: it is somebody else's, and is not touched"
        ),
    )
    .hint("move its tables elsewhere, or drop it if nobody needs it (what a killed run of an older envsyncd left has no mark, either)")
}

/// The schemas beside live under names that runs use: previous, and what runs left.
pub(in crate::store::mysql) async fn beside_live(
    session: &mut Session,
    names: &Names,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for row in session
        .query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")
        .await?
    {
        let name = row.text(0)?;
        if name == names.previous || names.is_leftover(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Their identities.
pub(in crate::store::mysql) async fn displaced(
    session: &mut Session,
    names: &Names,
) -> Result<Vec<Identity>> {
    let mut found = Vec::new();
    for schema in beside_live(session, names).await? {
        found.push(server_identity::identity(session, &schema).await?);
    }
    Ok(found)
}

/// Refuses to run where something is in the way that somebody else made, or where live is what a run keeps beside another.
pub(in crate::store::mysql) async fn refuse_others(
    session: &mut Session,
    names: &Names,
) -> Result<()> {
    for schema in beside_live(session, names).await? {
        if whose(session, &schema).await? == Whose::Others {
            return Err(foreign(&schema));
        }
    }
    if matches!(
        whose(session, &names.live).await?,
        Whose::Ours | Whose::Older
    ) {
        return Err(Error::new(
            Kind::Policy,
            format!(
                "the target `{}` is a database that a run keeps beside another target",
                names.live
            ),
        )
        .hint("copy into a database of another name"));
    }
    Ok(())
}
