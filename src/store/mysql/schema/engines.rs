//! Which storage engines' tables can be copied. Pure but for the reading.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::store::Fate;
use crate::store::mysql::connection::session::Session;

/// What becomes of a table of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) enum Engine {
    /// Definition and rows.
    Copied,
    /// It never has rows.
    Empty,
    /// Not at all, and why.
    Refused(&'static str),
}

/// Decides for one table.
pub(in crate::store::mysql) fn of(engine: &str, fate: Fate) -> Engine {
    match engine.to_ascii_lowercase().as_str() {
        "innodb" | "myisam" | "aria" | "memory" | "csv" | "archive" | "rocksdb" | "tokudb"
        | "columnstore" => Engine::Copied,
        "blackhole" => Engine::Empty,
        // The target's rows stay, and nothing is read or written through it.
        _ if fate == Fate::Keep => Engine::Copied,
        "mrg_myisam" | "merge" => Engine::Refused(
            "a MERGE table is a view of other tables' files, which do not move with it",
        ),
        "federated" | "spider" | "connect" => Engine::Refused(
            "its rows are on another server or in a file, and its copy would write there",
        ),
        "s3" => Engine::Refused("its rows are in an object store, and it is read-only"),
        _ => Engine::Refused("tables of its storage engine are not known to envsyncd"),
    }
}

/// The error for a table of such an engine.
pub(in crate::store::mysql) fn refusal(table: &str, why: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("table `{table}` cannot be copied: {why}"),
    )
    .hint("put it into the task's `exclude`")
}

/// The engines, in lower case, that a consistent snapshot covers.
pub(in crate::store::mysql) async fn transactional(
    session: &mut Session,
) -> Result<BTreeSet<String>> {
    let rows = session
        .query("SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'")
        .await?;
    rows.iter()
        .map(|row| Ok(row.text(0)?.to_ascii_lowercase()))
        .collect()
}

/// The engines, in lower case, in which tables can be made.
pub(in crate::store::mysql) async fn supported(session: &mut Session) -> Result<BTreeSet<String>> {
    let rows = session
        .query("SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')")
        .await?;
    rows.iter()
        .map(|row| Ok(row.text(0)?.to_ascii_lowercase()))
        .collect()
}

/// Whether indexes over rows that are there are made faster than row by row; others do that by themselves (MyISAM and
/// Aria put off their indexes while LOAD DATA fills an empty table), and adding one later would copy the table.
pub(in crate::store::mysql) fn indexes_later(engine: &str) -> bool {
    engine.eq_ignore_ascii_case("innodb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_reach_another_server_is_refused_unless_it_is_kept() {
        assert!(matches!(of("FEDERATED", Fate::Copy), Engine::Refused(_)));
        assert!(matches!(of("SPIDER", Fate::SchemaOnly), Engine::Refused(_)));
        assert_eq!(of("InnoDB", Fate::Copy), Engine::Copied);
        assert_eq!(of("BLACKHOLE", Fate::Copy), Engine::Empty);
        assert_eq!(of("CONNECT", Fate::Keep), Engine::Copied);
    }
}
