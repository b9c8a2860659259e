//! Settings of a session: set by statements, asked back, and refused where they do not stick.
//!
//! A pooler may drop what a client says at its start (`ignore_startup_parameters` of pgbouncer), and may give each
//! transaction to another of its own connections (`pool_mode = transaction`). Statements get through the first; the second
//! is found out by a second session, and refused: locks, snapshots and settings of a session mean nothing there.

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_postgres::tls::ChannelBinding;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::address::Address;
use super::inspector::Inspector;
use super::session::Session;
use super::wire::{Holder, Through};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::sql::quoting::literal;

/// A setting of our own, which no two sessions have the same value of.
const OWN: &str = "envsyncd.session";

/// How often a second session is looked for on a first one's connection. A pooler that hands out what came back last (as
/// pgbouncer does) is found out at once, one that goes round at the second try.
const ROUNDS: usize = 4;

/// How long a pooler may take for a second session.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is to be done where sessions are shared.
pub(super) const DIRECTLY: &str =
    "connect directly to the server, or through a pool with pool_mode = session";

/// The settings that a session was asked for.
pub(super) struct Asked {
    process: String,
    values: HashMap<String, Option<String>>,
}

/// Each setting once, with the last of its values.
fn distinct<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (name, value) in settings {
        found.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        found.push((name, value));
    }
    found
}

/// The statement that sets those that are not so already; what the server does not know is left out, but for an
/// application's own.
fn setting(settings: &[(&str, &str)]) -> String {
    let values: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("({}, {})", literal(name), literal(value)))
        .collect();
    format!(
        "SELECT s.name, pg_catalog.set_config(s.name, s.value, false), pg_catalog.pg_backend_pid() \
         FROM (VALUES {}) AS s (name, value) \
         WHERE pg_catalog.current_setting(s.name, true) <> s.value OR pg_catalog.strpos(s.name, '.') > 0",
        values.join(", ")
    )
}

/// The statement that asks for them.
fn asking(settings: &[(&str, &str)]) -> String {
    let names: Vec<String> = settings
        .iter()
        .map(|(name, _)| format!("({})", literal(name)))
        .collect();
    format!(
        "SELECT s.name, pg_catalog.current_setting(s.name, true), pg_catalog.pg_backend_pid() FROM (VALUES {}) AS s (name)",
        names.join(", ")
    )
}

/// A column's text; of a column that is not there, none.
pub(super) fn cell(row: &SimpleQueryRow, place: usize) -> Option<&str> {
    row.try_get(place).ok().flatten()
}

pub(super) fn read(messages: &[SimpleQueryMessage]) -> Asked {
    let mut asked = Asked {
        process: String::new(),
        values: HashMap::new(),
    };
    for message in messages {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        let name = cell(row, 0).unwrap_or_default().to_owned();
        asked.values.insert(name, cell(row, 1).map(str::to_owned));
        cell(row, 2)
            .unwrap_or_default()
            .clone_into(&mut asked.process);
    }
    asked
}

fn lost(session: &Session, what: &str) -> Error {
    Error::new(
        Kind::Config,
        format!(
            "{}: settings of a session do not stick: {what}",
            session.place()
        ),
    )
    .hint(DIRECTLY)
}

/// Sets them, asks them back, and makes sure that nobody shares the session.
pub(in crate::store::postgresql) async fn settle(
    address: &Address,
    session: &Session,
    settings: &[(&str, &str)],
) -> Result<()> {
    let own = uuid::Uuid::now_v7().to_string();
    let of_url = address.settings_of_url();
    let of_url = of_url
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let all = distinct(
        of_url
            .chain(settings.iter().copied())
            .chain([(OWN, own.as_str())]),
    );
    // Two statements, each a transaction of its own, on their way at the same time.
    let (set, ask) = (setting(&all), asking(&all));
    let (set, asked) = tokio::join!(session.simple_query(&set), session.simple_query(&ask));
    let set = read(&set.map_err(session.explain())?);
    let asked = read(&asked.map_err(session.explain())?);
    for (name, value) in &all {
        let Some(now) = asked.values.get(*name).cloned().flatten() else {
            // One that this server does not know.
            continue;
        };
        let expected = set.values.get(*name).cloned().flatten();
        if now != expected.as_deref().unwrap_or(value) {
            return Err(lost(session, &format!("{name} is not what was set")));
        }
    }
    if set.process != asked.process {
        return Err(lost(
            session,
            "the next statement was another server process's",
        ));
    }
    let told = told(session).await;
    if told.is_none_or(|told| told.to_string() != set.process)
        && address.note_pooler(session.database())
    {
        refuse_shared(address, session, &own, &set.process).await?;
    }
    Ok(())
}

/// Refuses a session whose connection another one is given, too.
async fn refuse_shared(
    address: &Address,
    session: &Session,
    own: &str,
    process: &str,
) -> Result<()> {
    let ask = asking(&[(OWN, "")]);
    let look = async {
        let other = address.log_in(session.database()).await?;
        for _ in 0..ROUNDS {
            let begun = other.simple_query(&format!("BEGIN; {ask}")).await;
            let theirs = read(&begun.map_err(other.explain())?);
            let mine = session.simple_query(&ask).await;
            let mine = read(&mine.map_err(session.explain())?);
            other.run("ROLLBACK").await?;
            let again = session.simple_query(&ask).await;
            let again = read(&again.map_err(session.explain())?);
            let is_mine = |asked: &Asked| {
                asked.process == process
                    && asked.values.get(OWN).and_then(Option::as_deref) == Some(own)
            };
            if theirs.process == process || !is_mine(&mine) || !is_mine(&again) {
                return Err(lost(
                    session,
                    "a pooler gives its connection to others between two transactions",
                ));
            }
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(looked) => looked.map_err(|error| match error.advice() {
            Some(_) => error,
            None => error.hint(DIRECTLY),
        }),
        Err(_) => Err(Error::new(
            Kind::Connection,
            format!(
                "{}: the pooler in between has no second connection for us",
                session.place()
            ),
        )
        .hint(DIRECTLY)),
    }
}

/// The server's process as the start of the session named it, for cancelling. A pooler names none of the server's.
async fn told(client: &Client) -> Option<i32> {
    let (mut here, there) = tokio::io::duplex(64);
    let sending = client.cancel_token();
    let tap = Holder::default().tap(Box::new(there), ChannelBinding::none(), Inspector::open());
    sending
        .cancel_query_raw(tokio::io::empty(), Through(tap))
        .await
        .ok()?;
    // Length, code, process, key (PostgreSQL manual, "Message Formats", CancelRequest).
    let mut request = [0; 16];
    here.read_exact(&mut request).await.ok()?;
    let process: [u8; 4] = request[8..12].try_into().ok()?;
    Some(i32::from_be_bytes(process))
}

/// Refuses to have `pg_dump` write definitions through a pooler where they would not be as we read them: it cannot be told
/// anything there.
pub(in crate::store::postgresql) async fn refuse_other_words(
    address: &Address,
    session: &Session,
) -> Result<()> {
    if !address.is_through_a_pooler() {
        return Ok(());
    }
    let row = session
        .query_opt(
            "SELECT name, reset_val FROM pg_catalog.pg_settings \
             WHERE (name = 'standard_conforming_strings' AND reset_val <> 'on') \
                OR (name = 'quote_all_identifiers' AND reset_val <> 'off') \
                OR (name = 'lc_monetary' AND reset_val NOT IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8') \
                    AND EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE atttypid IN (790, 791) AND attrelid >= 16384)) LIMIT 1",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let Some(row) = row else {
        return Ok(());
    };
    let (name, value): (String, String) = (row.read(0)?, row.read(1)?);
    Err(Error::new(
        Kind::Config,
        format!(
            "{}: pg_dump would write definitions with {name} = {value}, and cannot be told otherwise through a pooler",
            session.place()
        ),
    )
    .hint("connect directly to the server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_setting_counts() {
        let all = [("DateStyle", "ISO"), ("jit", "on"), ("datestyle", "SQL")];
        assert_eq!(
            distinct(all.into_iter()),
            [("jit", "on"), ("datestyle", "SQL")]
        );
    }
}
