//! Schemas, and tables that go from one to another.

use super::journal::Journal;
use super::mark::{self, Whose};
use crate::error::Result;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::marks::{self, JOURNAL};
use crate::store::mysql::sql::names::{Names, literal, quoted, within};

/// Whether a schema is there.
pub(in crate::store::mysql) async fn exists(session: &mut Session, schema: &str) -> Result<bool> {
    let row = session
        .query_opt(&format!(
            "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            literal(schema)
        ))
        .await?;
    Ok(row.is_some())
}

/// Ends our user's sessions in a schema. (Others' would need a privilege, and nobody else works there.)
pub(in crate::store::mysql) async fn stop_sessions(
    session: &mut Session,
    schema: &str,
) -> Result<()> {
    let rows = session
        .query(&format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = {} AND ID <> CONNECTION_ID()",
            literal(schema)
        ))
        .await?;
    for row in rows {
        let killed = session.run(&format!("KILL {}", row.number(0)?)).await;
        // 1094: it has just ended by itself.
        if let Err(error) = killed
            && server_error::code(&error) != Some(1094)
        {
            tracing::debug!(%error, schema, "a session could not be ended");
        }
    }
    Ok(())
}

/// A schema's comment, where the server has such.
pub(in crate::store::mysql) async fn comment(
    session: &mut Session,
    schema: &str,
) -> Result<String> {
    if !session.version().is_mariadb(10, 5) {
        return Ok(String::new());
    }
    session
        .query_one(&format!(
            "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            literal(schema)
        ))
        .await?
        .text(0)
}

/// A schema's default character set and collation, and its comment, as CREATE and ALTER DATABASE write them.
pub(in crate::store::mysql) async fn options(
    session: &mut Session,
    schema: &str,
) -> Result<String> {
    let comment = comment(session, schema).await?;
    options_like(session, schema, &comment).await
}

/// The same with another comment.
pub(in crate::store::mysql) async fn options_like(
    session: &mut Session,
    schema: &str,
    comment: &str,
) -> Result<String> {
    let (charset, collation) = defaults(session, schema).await?;
    let comment = if session.version().is_mariadb(10, 5) {
        format!(" COMMENT {}", literal(comment))
    } else {
        String::new()
    };
    Ok(format!(
        "CHARACTER SET {charset} COLLATE {collation}{comment}"
    ))
}

/// Gives a schema such options, if it has others.
pub(in crate::store::mysql) async fn set_options(
    session: &mut Session,
    schema: &str,
    wanted: &str,
) -> Result<()> {
    if options(session, schema).await? == wanted {
        return Ok(());
    }
    session
        .run(&format!("ALTER DATABASE {} {wanted}", quoted(schema)))
        .await
        .map(drop)
}

/// Drops a schema of ours with all that is in it, if it is there; one without our mark is refused.
pub(in crate::store::mysql) async fn drop_schema(
    session: &mut Session,
    schema: &str,
) -> Result<()> {
    match mark::whose(session, schema).await? {
        Whose::Nobodys => Ok(()),
        Whose::Ours | Whose::Older => drop_any(session, schema).await,
        Whose::Others => Err(mark::foreign(schema)),
    }
}

/// Drops a schema, whosever it is: a live that this run has made, and that is not to be.
pub(in crate::store::mysql) async fn drop_any(session: &mut Session, schema: &str) -> Result<()> {
    session
        .run("SET SESSION foreign_key_checks = 0, lock_wait_timeout = 60")
        .await?;
    let dropped = session
        .run(&format!("DROP DATABASE IF EXISTS {}", quoted(schema)))
        .await;
    session.run("SET SESSION foreign_key_checks = 1").await?;
    dropped.map(drop).map_err(|error| {
        let hint = format!("drop the schema {} by hand", quoted(schema));
        error.within("clearing up").hint(hint)
    })
}

/// Everything of a schema that `RENAME TABLE` takes to another: tables and sequences; not our own.
pub(in crate::store::mysql) async fn tables(
    session: &mut Session,
    schema: &str,
) -> Result<Vec<String>> {
    let rows = session
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} \
             AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE') AND {} ORDER BY TABLE_NAME",
            literal(schema),
            marks::not_own()
        ))
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// One statement that renames tables.
#[derive(Debug, Default)]
pub(in crate::store::mysql) struct Renaming(String);

impl Renaming {
    /// One more table, from a schema and name to others.
    pub(in crate::store::mysql) fn add(&mut self, from: (&str, &str), to: (&str, &str)) {
        self.0.push_str(if self.0.is_empty() {
            "RENAME TABLE "
        } else {
            ", "
        });
        self.0.push_str(&within(from.0, from.1));
        self.0.push_str(" TO ");
        self.0.push_str(&within(to.0, to.1));
    }

    /// All of these, from one schema to another.
    pub(in crate::store::mysql) fn add_all(&mut self, tables: &[String], from: &str, to: &str) {
        for table in tables {
            self.add((from, table), (to, table));
        }
    }

    /// The statement; empty: there is nothing to rename.
    pub(in crate::store::mysql) fn statement(&self) -> &str {
        &self.0
    }

    /// Renames all of them, if there are any.
    pub(in crate::store::mysql) async fn run(&self, session: &mut Session) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        session.run(&self.0).await.map(drop)
    }
}

/// Puts previous out of the way, until the run has succeeded.
pub(in crate::store::mysql) async fn shelve(
    session: &mut Session,
    names: &Names,
    discarded: &str,
) -> Result<()> {
    if exists(session, &names.previous).await? {
        // Somebody may have made it a moment ago.
        if mark::whose(session, &names.previous).await? == Whose::Others {
            return Err(mark::foreign(&names.previous));
        }
        ensure_like(session, names, discarded, &names.previous).await?;
        move_all(session, &names.previous, discarded).await?;
        drop_schema(session, &names.previous).await?;
    }
    Ok(())
}

/// The reverse of [`shelve`].
pub(in crate::store::mysql) async fn unshelve(
    session: &mut Session,
    names: &Names,
    discarded: &str,
) -> Result<()> {
    if exists(session, discarded).await? {
        ensure_like(session, names, &names.previous, discarded).await?;
        move_all(session, discarded, &names.previous).await?;
        drop_schema(session, discarded).await?;
    } else if exists(session, &names.previous).await?
        && Journal::read(session, &names.previous, JOURNAL)
            .await?
            .is_none()
    {
        // Made for a swap that did not come.
        if tables(session, &names.previous).await?.is_empty()
            && mark::whose(session, &names.previous).await? == Whose::Ours
        {
            drop_schema(session, &names.previous).await?;
        }
    }
    Ok(())
}

/// A schema's default character set and collation.
pub(in crate::store::mysql) async fn defaults(
    session: &mut Session,
    schema: &str,
) -> Result<(String, String)> {
    let row = session
        .query_one(&format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            literal(schema)
        ))
        .await?;
    Ok((row.text(0)?, row.text(1)?))
}

/// A schema of ours with another's defaults, which may be there already.
pub(in crate::store::mysql) async fn ensure_like(
    session: &mut Session,
    names: &Names,
    schema: &str,
    other: &str,
) -> Result<()> {
    let (charset, collation) = defaults(session, other).await?;
    mark::ensure(session, names, schema, &charset, &collation).await
}

async fn move_all(session: &mut Session, from: &str, to: &str) -> Result<()> {
    let mut moved = tables(session, from).await?;
    if Journal::read(session, from, JOURNAL).await?.is_some() {
        moved.push(JOURNAL.to_owned());
    }
    session.run("SET SESSION foreign_key_checks = 1").await?;
    let mut renaming = Renaming::default();
    renaming.add_all(&moved, from, to);
    renaming.run(session).await
}

/// A live with another schema's defaults: it bears no mark, it is the applications'.
pub(in crate::store::mysql) async fn create_live(
    control: &mut Session,
    names: &Names,
    other: &str,
    comment: &str,
) -> Result<()> {
    let options = options_like(control, other, comment).await?;
    control
        .run(&format!(
            "CREATE DATABASE {} {options}",
            quoted(&names.live)
        ))
        .await
        .map(drop)
}
