//! A job's script is run on incoming, in a session of its own: as applications get it, so that what is computed is what an
//! application would compute. Whatever it set or locked ends with it.
//!
//! A transaction that it leaves open would be rolled back with its session, and the copy be published as if the script had
//! never run: that is an error.

use std::collections::BTreeSet;
use std::path::Path;

use super::address::Address;
use super::connection::Session;
use super::errors;
use super::lexer::Dialect;
use super::script::{Cutter, Statement};
use super::version::Flavour;
use crate::error::{Error, Kind, Result};
use crate::store::redact;
use crate::store::statements::Flaw;

/// Runs a script in the schema `incoming`; stops at the first error.
pub(super) async fn run(address: &Address, incoming: &str, file: &Path, text: &str) -> Result<()> {
    let mut session = Session::open_ordinary(address, Some(incoming)).await?;
    let ran = whole(&mut session, file, text).await;
    session.quit().await;
    ran
}

/// Looks whether a script can be cut into statements, as far as that can be told without running it: behind one that sets
/// `sql_mode`, strings may end otherwise.
pub(super) async fn look(address: &Address, file: &Path, text: &str) -> Result<()> {
    let mut session = Session::open_ordinary(address, None).await?;
    let dialect = dialect(&mut session).await;
    session.quit().await;
    let mut cutter = Cutter::new(text);
    cutter.set_dialect(dialect?);
    while let Some(statement) = cutter.next().map_err(|flaw| refused(file, &flaw))? {
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

async fn whole(session: &mut Session, file: &Path, text: &str) -> Result<()> {
    let place = |line: usize| format!("script {}:{line}", file.display());
    let before = prepared(session).await;
    let mut cutter = Cutter::new(text);
    cutter.set_dialect(dialect(session).await?);
    let mut last = None;
    while let Some(statement) = cutter.next().map_err(|flaw| refused(file, &flaw))? {
        statement_of(session, &statement)
            .await
            .map_err(|error| error.within(place(statement.line)))?;
        if sets_mode(&statement.sql) {
            cutter.set_dialect(dialect(session).await?);
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
        Err(error) if errors::code(&error) == Some(1065) => Ok(()),
        Err(error) => {
            let error = super::known::named(session, error).await;
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

/// Those that are prepared on the server, as far as our user may see them.
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
