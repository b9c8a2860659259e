//! Keys that do not belong beside an archive's URL.

use crate::config::reader::Table;

/// Reports those of the keys that are there.
pub(super) fn refuse(
    table: &Table<'_>,
    keys: &[&'static str],
    why: impl Fn(&str) -> (String, &'static str),
) {
    for key in keys.iter().copied().filter(|key| table.has(key)) {
        if let Some(value) = table.get(key) {
            let (why, help) = why(key);
            value.report(value.wrong(why).help(help));
        }
    }
}
