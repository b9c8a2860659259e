//! How tables and schemas of envsyncd's own are named and marked. What bears no mark is somebody else's.

use super::names::{SIGN, literal};
use crate::error::{Error, Kind, Result};

/// The table while the tables are where they were.
pub(in crate::store::mysql) const NEXT: &str = "envsyncd~next";

/// The table once they have changed places.
pub(in crate::store::mysql) const JOURNAL: &str = "envsyncd~journal";

/// The table whose comment is the mark, where a schema has none.
pub(in crate::store::mysql) const TABLE: &str = "envsyncd~mark";

/// What the journal of a previous is called that is live again.
pub(in crate::store::mysql) const BEFORE: &str = "envsyncd~before";

/// Names of tables that are ours if they bear the mark.
pub(in crate::store::mysql) const OWN: [&str; 4] = [TABLE, NEXT, JOURNAL, BEFORE];

/// Whether a comment is a mark.
pub(in crate::store::mysql) fn is_mark(comment: &str) -> bool {
    comment.starts_with(SIGN)
}

/// Whether a table of this name and comment is ours.
pub(in crate::store::mysql) fn is_own(name: &str, comment: &str) -> bool {
    is_mark(comment) && OWN.contains(&name)
}

/// What leaves out our own tables from a query of information_schema.TABLES.
pub(in crate::store::mysql) fn not_own() -> String {
    format!(
        "NOT (TABLE_NAME IN ({}) AND TABLE_COMMENT LIKE '{SIGN}%')",
        OWN.map(literal).join(", ")
    )
}

/// Refuses tables and views that are called like ours; `place`: whose they are.
pub(in crate::store::mysql) fn refuse_names<'a>(
    mut all: impl Iterator<Item = &'a str>,
    place: &str,
) -> Result<()> {
    match all.find(|name| OWN.iter().any(|own| own.eq_ignore_ascii_case(name))) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            Kind::Verify,
            format!("`{name}` in {place} has a name that envsyncd gives to tables of its own"),
        )
        .hint("rename it, or, on the source, put it into the task's `exclude`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_ours_by_its_mark_and_not_by_its_name() {
        assert!(is_own(JOURNAL, "envsyncd: job x"));
        assert!(!is_own(JOURNAL, ""));
        assert!(!is_own("t", "envsyncd: job x"));
        assert!(refuse_names(["t", "ENVSYNCD~next"].into_iter(), "the source").is_err());
        assert!(refuse_names(["envsyncd_next"].into_iter(), "the source").is_ok());
    }
}
