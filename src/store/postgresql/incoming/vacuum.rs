//! What comes after a part's rows, and after all rows: indexes, constraints, sequences, views, grants.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::foreign;
use crate::store::postgresql::sql::quoting::{literal, quoted};

/// Gathers statistics.
pub(super) const ANALYZE: &str = "ANALYZE";

/// Freezes rows and marks them as visible to all.
pub(super) const FREEZE: &str = "VACUUM (FREEZE, INDEX_CLEANUP false, TRUNCATE false)";

/// Both.
pub(super) const FREEZE_AND_ANALYZE: &str =
    "VACUUM (FREEZE, INDEX_CLEANUP false, TRUNCATE false, ANALYZE)";

/// Before it freezes what is left, again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
];

/// So many times all of that may be in vain.
const VAIN: u32 = 4;

/// Statements after which VACUUM takes all rows for committed that are: one whose commit is not on disk yet is none to it
/// (`SetHintBits` in PostgreSQL's source). The server remembers how far that is for 32 transactions together, so those to
/// come must not be among those that were; and a commit waits for the disk only if its transaction has written.
pub(super) fn settled() -> String {
    let mut script = "BEGIN; SELECT txid_current(); COMMIT; ".repeat(32);
    script.push_str("BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_logical_emit_message(true, 'envsyncd', ''); COMMIT");
    script
}

fn quoted_all(names: &[&(String, String)]) -> Vec<String> {
    names
        .iter()
        .map(|(schema, table)| format!("{}.{}", quoted(schema), quoted(table)))
        .collect()
}

/// Freezes tables' rows, and does with them what else is asked for. VACUUM passes over what anybody else has a hand on
/// just then: a page that the checkpointer writes, rows that a client who is logging in might still look for, rows
/// beside whose commit another one has come. What it passed over, it gets again, a few times: that is soon over. Where it
/// is not, a standby's long query say, `vain` counts that, and later tables are not tried again: it is a matter of speed
/// alone.
pub(in crate::store::postgresql) async fn freeze(
    session: &Session,
    what: &str,
    names: &[&(String, String)],
    vain: &AtomicU32,
) -> Result<()> {
    treat(session, what, names).await?;
    let mut left = names.to_vec();
    for pause in PAUSES {
        left = thawed(session, &left).await?;
        if left.is_empty() {
            return Ok(());
        }
        if vain.load(Ordering::Relaxed) >= VAIN {
            break;
        }
        tokio::time::sleep(pause).await;
        session.run(&settled()).await?;
        treat(session, FREEZE, &left).await?;
    }
    left = thawed(session, &left).await?;
    if !left.is_empty() {
        vain.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(tables = left.len(), "some rows are not frozen");
    }
    Ok(())
}

/// The tables with rows that are not marked as visible to all.
async fn thawed<'a>(
    session: &Session,
    names: &[&'a (String, String)],
) -> Result<Vec<&'a (String, String)>> {
    let all: Vec<String> = quoted_all(names).iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT place FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.regclass[]) WITH ORDINALITY AS t (id, place)
         JOIN pg_catalog.pg_class ON oid = id WHERE relallvisible < relpages",
        all.join(", ")
    );
    let rows = session.query(&sql, &[]).await.map_err(session.explain())?;
    let mut found = Vec::new();
    for row in &rows {
        let place = usize::try_from(row.read::<i64>(0)?).ok();
        found.extend(place.and_then(|place| names.get(place.checked_sub(1)?)));
    }
    Ok(found)
}

/// Does something with tables; if that fails, with one by one, so that the error names the table.
pub(super) async fn treat(
    session: &Session,
    what: &str,
    names: &[&(String, String)],
) -> Result<()> {
    let (what, names) = &without_foreign(session, what, names).await?;
    let quoted = quoted_all(names);
    if quoted.is_empty()
        || session
            .run(&format!("{what} {}", quoted.join(", ")))
            .await
            .is_ok()
    {
        return Ok(());
    }
    for ((schema, table), name) in names.iter().zip(&quoted) {
        session
            .run(&format!("{what} {name}"))
            .await
            .map_err(|error| error.within(format!("statistics of {schema}.{table}")))?;
    }
    Ok(())
}

/// Leaves tables out that have a foreign table below them, where statistics are gathered: that would connect to the other
/// server. What else is done with them is done by itself.
async fn without_foreign<'a>(
    session: &Session,
    what: &'a str,
    names: &[&'a (String, String)],
) -> Result<(&'a str, Vec<&'a (String, String)>)> {
    let mut names = names.to_vec();
    if what == FREEZE {
        return Ok((what, names));
    }
    let parents = foreign::parents(session).await?;
    let (with, rest): (Vec<_>, Vec<_>) = names.drain(..).partition(|name| parents.contains(*name));
    for (schema, table) in &with {
        tracing::info!(
            table = format!("{schema}.{table}"),
            "a part of it is a foreign table: it has no statistics, as gathering them would connect to the other server"
        );
    }
    if what == FREEZE_AND_ANALYZE && !with.is_empty() {
        session
            .run(&format!("{FREEZE} {}", quoted_all(&with).join(", ")))
            .await?;
    }
    Ok((what, rest))
}
