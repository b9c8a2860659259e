//! A job's script is run on incoming, in a session of its own: as applications get it, so that what is computed is what an
//! application would compute. Whatever it set or locked ends with it.
//!
//! A transaction that it leaves open would be rolled back with its session, and the copy be published as if the script had
//! never run: that is an error.

use std::collections::BTreeSet;
use std::path::Path;

use super::cutter::{Cutter, Statement};
use super::footprint::Footprint;
use super::reach;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::known_names;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::objects::Object;
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::mysql::sql::references;
use crate::store::mysql::sql::version::Flavour;
use crate::store::redact;
use crate::store::statements::Flaw;

/// Where a script works, and what it is kept from.
pub(in crate::store::mysql) struct Ground<'a> {
    pub(in crate::store::mysql) address: &'a Address,
    pub(in crate::store::mysql) incoming: &'a str,
    /// Live, and the source if it may be on the same server.
    pub(in crate::store::mysql) others: Vec<&'a str>,
    /// What the script does is not in its text alone: see [`is_opaque`].
    pub(in crate::store::mysql) is_opaque: bool,
}

/// Looks whether a script can be cut into statements, as far as that can be told without running it: behind one that sets
/// `sql_mode`, strings may end otherwise.
pub(in crate::store::mysql) async fn look(
    address: &Address,
    file: &Path,
    text: &str,
) -> Result<()> {
    let mut session = Session::open_ordinary(address, None).await?;
    // No schema is a script's own yet.
    let fence = Fence::of(&mut session, "").await;
    let words = dialect(&mut session).await;
    session.quit().await;
    let (fence, words) = (fence?, words?);
    let mut cutter = Cutter::new(text);
    cutter.set_dialect(words);
    while let Some(statement) = cutter.next().map_err(|flaw| refused(file, &flaw))? {
        fence.hold(&statement.sql, words).map_err(|error| {
            error.within(format!("script {}:{}", file.display(), statement.line))
        })?;
        if sets_mode(&statement.sql) {
            break;
        }
    }
    Ok(())
}

fn refused(file: &Path, flaw: &Flaw) -> Error {
    let place = format!("script {}:{}", file.display(), flaw.line);
    Error::new(Kind::Config, format!("{place}: {}", flaw.what))
}

/// Runs a script in the schema `incoming`; stops at the first error.
pub(in crate::store::mysql) async fn run(
    ground: &Ground<'_>,
    file: &Path,
    text: &str,
) -> Result<()> {
    let mut control = Session::open(ground.address, None).await?;
    let fence = Fence::of(&mut control, ground.incoming).await?;
    let before = Footprint::of(&mut control, &ground.others, ground.is_opaque).await?;
    let mut session = Session::open_ordinary(ground.address, Some(ground.incoming)).await?;
    let ran = whole(&mut session, &fence, file, text).await;
    session.quit().await;
    // Of a script that failed, too: who reads of it has to know.
    let looked = before
        .is_as_before(&mut control, &file.display().to_string())
        .await;
    looked.and(ran)
}

/// Whether a script can do what its own text does not show: by calling procedures that put statements together, or by code
/// that reaches other databases than its own.
pub(in crate::store::mysql) fn is_opaque(objects: &[Object], schema: &str, script: &str) -> bool {
    let script = script.to_ascii_uppercase();
    let mut is_dynamic = script.contains("PREPARE") || script.contains("IMMEDIATE");
    for object in objects {
        let uses = references::of(&object.definition, Dialect::of(&object.sql_mode));
        let is_other = |other: &String| !other.eq_ignore_ascii_case(schema);
        is_dynamic |= uses.is_dynamic;
        if uses
            .tables
            .iter()
            .any(|(schema, _)| schema.as_ref().is_some_and(is_other))
        {
            return true;
        }
    }
    is_dynamic && script.contains("CALL")
}

/// The schemas that statements must not name.
struct Fence {
    own: String,
    schemas: BTreeSet<String>,
    folded: bool,
}

impl Fence {
    async fn of(session: &mut Session, incoming: &str) -> Result<Self> {
        let rows = session
            .query("SELECT SCHEMA_NAME, @@lower_case_table_names FROM information_schema.SCHEMATA")
            .await?;
        let mut schemas = BTreeSet::new();
        let mut folded = false;
        for row in rows {
            schemas.insert(row.text(0)?);
            folded = row.number(1)? != 0;
        }
        Ok(Self {
            own: incoming.to_owned(),
            schemas,
            folded,
        })
    }

    /// Refuses a statement that reaches beyond the copy.
    fn hold(&self, sql: &str, dialect: Dialect) -> Result<()> {
        match reach::beyond(sql, dialect, &self.own, &self.schemas, self.folded) {
            None => Ok(()),
            Some(what) => Err(Error::new(
                Kind::Config,
                format!("the statement {what}, and a script works on its copy alone"),
            )
            .hint("leave the database's name out: the copy is the script's own database, and is called otherwise until it is published")),
        }
    }
}

async fn whole(session: &mut Session, fence: &Fence, file: &Path, text: &str) -> Result<()> {
    let place = |line: usize| format!("script {}:{line}", file.display());
    let before = prepared(session).await;
    let mut cutter = Cutter::new(text);
    let mut words = dialect(session).await?;
    cutter.set_dialect(words);
    let mut last = None;
    while let Some(statement) = cutter.next().map_err(|flaw| refused(file, &flaw))? {
        let within = |error: Error| error.within(place(statement.line));
        fence.hold(&statement.sql, words).map_err(within)?;
        if let Some(expression) = reach::prepared(&statement.sql, words) {
            // What is put together at the top of a script can be read before it is run.
            if let Ok(Some(row)) = session.query_opt(&format!("SELECT {expression}")).await
                && let Ok(Some(text)) = row.maybe(0)
            {
                fence.hold(&text, words).map_err(within)?;
            }
        }
        statement_of(session, &statement).await.map_err(within)?;
        if sets_mode(&statement.sql) {
            words = dialect(session).await?;
            cutter.set_dialect(words);
        }
        last = Some(statement.line);
    }
    let Some(last) = last else { return Ok(()) };
    let left: Vec<Xid> = prepared(session)
        .await
        .difference(&before)
        .cloned()
        .collect();
    // One that is prepared counts as open to its session, and outlives it with its locks.
    if left.is_empty() {
        if session.is_in_transaction() {
            return Err(Error::new(
                Kind::Statement,
                format!(
                    "script {} ends (line {last}) in an open transaction, which would be rolled back",
                    file.display()
                ),
            )
            .hint("end it with COMMIT, also where autocommit is off"));
        }
        return Ok(());
    }
    for xid in &left {
        if let Err(error) = session.run(&format!("XA ROLLBACK {}", xid.0)).await {
            tracing::warn!(%error, xid = xid.0, "a prepared transaction could not be rolled back");
        }
    }
    Err(Error::new(
        Kind::Statement,
        format!(
            "script {} leaves a prepared transaction (XA), which would not be in the copy",
            file.display()
        ),
    )
    .hint("use START TRANSACTION and COMMIT"))
}

async fn statement_of(session: &mut Session, statement: &Statement) -> Result<()> {
    match session.run(&statement.sql).await {
        Ok(_) => Ok(()),
        // A comment that is nothing to this server.
        Err(error) if server_error::code(&error) == Some(1065) => Ok(()),
        Err(error) => {
            let error = known_names::named(session, error).await;
            Err(redact::about(error, &statement.sql, redact::Dialect::Mysql))
        }
    }
}

/// Whether strings may end otherwise behind it.
fn sets_mode(sql: &str) -> bool {
    let word = b"sql_mode";
    sql.as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

async fn dialect(session: &mut Session) -> Result<Dialect> {
    let mode = session.query_one("SELECT @@sql_mode").await?.text(0)?;
    let mut dialect = Dialect::of(&mode);
    dialect.no_backslash |= session.has_no_backslash();
    Ok(dialect)
}

/// A distributed transaction's name, as statements write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Xid(String);

/// The XA transactions that are prepared on the server, as far as our user may see them.
async fn prepared(session: &mut Session) -> BTreeSet<Xid> {
    let sql = match session.version().flavour {
        Flavour::MariaDb => "XA RECOVER FORMAT='SQL'",
        Flavour::MySql => "XA RECOVER CONVERT XID",
    };
    let Ok(rows) = session.query(sql).await else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    for row in rows {
        let Ok(data) = row.text(3) else { continue };
        let (Ok(format), Ok(length)) = (row.number(0), row.number(1)) else {
            continue;
        };
        found.insert(Xid(match data.strip_prefix("0x") {
            // Its two parts in one number.
            Some(digits) => {
                let cut = usize::try_from(2 * length).unwrap_or(usize::MAX);
                let (global, branch) = digits.split_at_checked(cut).unwrap_or((digits, ""));
                format!("X'{global}', X'{branch}', {format}")
            }
            None => data,
        }));
    }
    found
}
