//! What our sessions are set to, whatever a server has set for everybody, or a user, or its `init_connect`. It is set by
//! statements and asked back: something between us and the server may not pass it on.

use super::row::Row;
use super::session::Session;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::names::literal;
use crate::store::mysql::sql::version::Flavour;

/// The sql_mode in which values arrive as they are: an id of 0, a date that no calendar has. A server sorts its words so.
pub(in crate::store::mysql) const MODE: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

/// The longest times that are allowed: a worker may have to wait for the other side as long as it takes.
const YEAR: &str = "31536000";

/// How long somebody's lock on a table is waited for, in seconds, where nothing shorter is asked for.
const HOUR: &str = "3600";

/// A variable of the session's, and its value as SQL.
type Setting = (&'static str, String);

/// What everybody may set: under it, values travel.
fn fixed(session: &Session) -> Vec<Setting> {
    let plain = |name, value: &str| (name, value.to_owned());
    let text = |name, value| (name, literal(value));
    let mut all = vec![
        text("character_set_client", "utf8mb4"),
        text("character_set_connection", "utf8mb4"),
        text("character_set_results", "utf8mb4"),
        text("sql_mode", MODE),
        text("time_zone", "+00:00"),
        // Which column a warning is about is read from its text.
        text("lc_messages", "en_US"),
        plain("autocommit", "1"),
        plain("sql_quote_show_create", "1"),
        plain("unique_checks", "1"),
        plain("foreign_key_checks", "1"),
        plain("sql_notes", "1"),
        plain("sql_auto_is_null", "0"),
        plain("lock_wait_timeout", HOUR),
    ];
    all.extend(patience(session));
    all
}

/// That nobody ends a session which waits, or a statement which takes its time.
fn patience(session: &Session) -> Vec<Setting> {
    let mut all: Vec<Setting> = ["wait_timeout", "net_read_timeout", "net_write_timeout"]
        .map(|name| (name, YEAR.to_owned()))
        .into();
    let limits: &[&str] = match session.version() {
        version if version.flavour == Flavour::MariaDb => &[
            "max_statement_time",
            "idle_transaction_timeout",
            "idle_readonly_transaction_timeout",
        ],
        version if version.is_mysql(5, 7) => &["max_execution_time"],
        _ => &[],
    };
    all.extend(limits.iter().map(|name| (*name, "0".to_owned())));
    all
}

/// Limits that a server may have set for everybody. MySQL lets only some users change some of them: where they are
/// as they have to be, they are left alone.
const LIMITS: [(&str, &str); 6] = [
    ("sql_select_limit", "18446744073709551615"),
    ("sql_safe_updates", "0"),
    ("sql_big_selects", "1"),
    ("completion_type", "'NO_CHAIN'"),
    ("explicit_defaults_for_timestamp", "1"),
    ("max_error_count", "64"),
];

/// Whether a transaction may only read, and what it sees: the variables' names.
fn transaction(session: &Session) -> [&'static str; 2] {
    if session.version().is_mysql(8, 0) {
        ["transaction_read_only", "transaction_isolation"]
    } else {
        ["tx_read_only", "tx_isolation"]
    }
}

/// Transactions may write, and what they read does not change under them.
const TRANSACTIONS: &str =
    "SET SESSION TRANSACTION READ WRITE; SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";

/// Sets all that a copy relies on, and asks for it; returns the longest packet that the server takes.
pub(in crate::store::mysql) async fn fix(session: &mut Session) -> Result<usize> {
    let mut wanted = fixed(session);
    // Who has an expired password may SET, and nothing else.
    session
        .run(&format!("{}; {TRANSACTIONS}; DO 1", assignments(&wanted)))
        .await?;
    let [read_only, isolation] = transaction(session);
    wanted.push((read_only, "0".to_owned()));
    wanted.push((isolation, literal("REPEATABLE-READ")));
    let packet = verify(session, &wanted, &LIMITS).await?;
    take_any_parent(session).await?;
    Ok(packet)
}

/// A foreign key may be to a key that is not unique, or to a part of one, as it could be before MySQL 8.4. Whose user may not say
/// so has it as the server has it: [`crate::store::mysql::schema::foreign_keys::check`] asks.
async fn take_any_parent(session: &mut Session) -> Result<()> {
    if !session.version().is_mysql(8, 4) {
        return Ok(());
    }
    match session
        .run("SET SESSION restrict_fk_on_non_standard_key = OFF")
        .await
    {
        Err(error) if !session.is_usable() => Err(error),
        _ => Ok(()),
    }
}

/// Leaves everything as applications get it, but for what would cut a script short: its text is UTF-8, each of its statements
/// is committed unless it says otherwise, and none is ended by a limit of time.
pub(in crate::store::mysql) async fn leave(session: &mut Session) -> Result<usize> {
    let mut wanted = vec![
        ("character_set_client", literal("utf8mb4")),
        ("character_set_results", literal("utf8mb4")),
        ("autocommit", "1".to_owned()),
    ];
    wanted.extend(patience(session));
    session
        .run(&format!(
            "SET NAMES utf8mb4; {}; SET SESSION TRANSACTION READ WRITE",
            assignments(&wanted)
        ))
        .await?;
    wanted.push((transaction(session)[0], "0".to_owned()));
    verify(session, &wanted, &[]).await
}

fn assignments(settings: &[Setting]) -> String {
    let list: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    format!("SET SESSION {}", list.join(", "))
}

/// Whether these are what they were set to, and sets those of the limits that are not as they have to be. Returns the longest
/// packet that the server takes.
async fn verify(
    session: &mut Session,
    wanted: &[Setting],
    limits: &[(&'static str, &'static str)],
) -> Result<usize> {
    let mut all = vec!["@@max_allowed_packet".to_owned()];
    all.extend(
        wanted
            .iter()
            .map(|(name, value)| format!("@@SESSION.{name} = {value}")),
    );
    all.extend(limits.iter().map(|(name, value)| match *name {
        // More of them is as well.
        "max_error_count" => format!("@@SESSION.{name} >= {value}"),
        _ => format!("@@SESSION.{name} = {value}"),
    }));
    let ask = format!("SELECT {}, USER(), CURRENT_USER()", all.join(", "));
    let mut row = session.query_one(&ask).await?;
    session.is_called([row.maybe(all.len())?, row.maybe(all.len() + 1)?]);
    let is_so = |row: &Row, at: usize| Ok::<_, Error>(row.maybe(at + 1)?.as_deref() == Some("1"));
    let mut lifted = false;
    for (at, (name, value)) in limits.iter().enumerate() {
        if is_so(&row, wanted.len() + at)? {
            continue;
        }
        let set = session.run(&format!("SET SESSION {name} = {value}")).await;
        match set {
            Ok(_) => lifted = true,
            // A table that comes out differently for it is found out.
            Err(_) if *name == "explicit_defaults_for_timestamp" => {}
            Err(error) => return Err(error),
        }
    }
    if lifted {
        row = session.query_one(&ask).await?;
    }
    let names = wanted.iter().map(|(name, _)| *name);
    let names: Vec<&str> = names.chain(limits.iter().map(|(name, _)| *name)).collect();
    for (at, name) in names.iter().enumerate() {
        if !is_so(&row, at)? && *name != "explicit_defaults_for_timestamp" {
            return Err(Error::new(
                Kind::Connection,
                format!(
                    "{}: the session's {name} is not what it was set to",
                    session.label()
                ),
            )
            .hint("is there a proxy in between, which shares or resets sessions? connect to the server directly"));
        }
    }
    // What a server's may be, whatever this one says.
    let packet = usize::try_from(row.number(0)?).unwrap_or(usize::MAX);
    Ok(packet.clamp(1024, 1 << 30))
}
