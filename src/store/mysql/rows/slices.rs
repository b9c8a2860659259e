//! Large tables in slices: ranges of their key that several workers copy at a time.
//!
//! InnoDB lets one LOAD DATA at a time into a table with an AUTO_INCREMENT column, unless innodb_autoinc_lock_mode is 2
//! (MariaDB's documentation, "AUTO_INCREMENT Handling in InnoDB"). So slices are for a table that would keep one worker
//! busy when the others have nothing left to do, and for no other.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::store::Part;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::sql::names::quoted;
use crate::store::mysql::sql::version::Version;
use crate::store::slices::{SMALLEST, Sliced, ranges};

/// Which of a table's rows a slice has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store::mysql) enum Rows {
    /// Those whose key is in this range.
    Keys {
        /// The first; `None`: whatever comes before.
        from: Option<i128>,
        /// The one after the last; `None`: whatever follows.
        until: Option<i128>,
    },
}

/// How many slices a table of so many bytes is worth, among all that is copied: more than workers, as keys may be
/// spread unevenly; none, if the others keep the other workers busy for as long as it takes.
fn slices(bytes: u64, all: u64, workers: usize) -> usize {
    let workers = workers as u64;
    if workers < 2 || bytes < 2 * SMALLEST || bytes <= all / workers {
        return 1;
    }
    usize::try_from((bytes / SMALLEST).min(2 * workers)).unwrap_or(1)
}

/// Puts slices in the place of parts that are worth it; biggest first.
pub(in crate::store::mysql) async fn divide(
    session: &mut Session,
    definitions: &Definitions,
    workers: usize,
    target: Option<&Version>,
    parts: &mut Vec<Part>,
) -> Result<()> {
    let all: u64 = parts.iter().map(|part| part.bytes).sum();
    let mut sliced = Sliced::of(parts.len());
    for part in parts.drain(..) {
        let count = slices(part.bytes, all, workers);
        let key = match definitions.table(&part.name) {
            Some(table)
                if count > 1
                    && (table.auto_increment.is_none() || interleaves(target, definitions)) =>
            {
                table.split_key.as_deref()
            }
            _ => None,
        };
        let Some(key) = key else {
            sliced.add::<Rows>((), part, &[])?;
            continue;
        };
        let key = quoted(key);
        let row = session
            .query_one(&format!(
                "SELECT MIN({key}), MAX({key}) FROM {}",
                quoted(&part.name)
            ))
            .await?;
        let bound = |text: Option<String>| text.and_then(|text| text.parse::<i128>().ok());
        let ranges = match (bound(row.maybe(0)?), bound(row.maybe(1)?)) {
            (Some(first), Some(last)) => key_ranges(first, last, count),
            _ => Vec::new(),
        };
        sliced.add((), part, &ranges)?;
    }
    *parts = sliced.sorted().into_iter().map(|((), part)| part).collect();
    Ok(())
}

/// Whether the server by its own default takes rows with AUTO_INCREMENT from several statements at a time. What goes to an
/// archive will go to a server like the source's.
fn interleaves(target: Option<&Version>, definitions: &Definitions) -> bool {
    target.unwrap_or(&definitions.version).is_mysql(8, 0)
}

/// Ranges of the same length; the first has no beginning and the last no end.
fn key_ranges(first: i128, last: i128, count: usize) -> Vec<Rows> {
    ranges(first, last - first + 1, count)
        .into_iter()
        .enumerate()
        .map(|(place, (from, until))| Rows::Keys {
            from: (place > 0).then_some(from),
            until,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Slice;
    use proptest::prelude::*;

    const GB: u64 = 1024 * 1024 * 1024;

    #[test]
    fn only_a_table_that_would_outlast_all_others_is_sliced() {
        for (bytes, all, workers, expected) in [
            (GB, GB, 1, 1),
            (GB, GB, 2, 4),
            (GB, 3 * GB, 2, 1),
            (2 * SMALLEST, 2 * SMALLEST, 4, 2),
            (SMALLEST, SMALLEST, 4, 1),
        ] {
            let found = slices(bytes, all, workers);
            assert_eq!(found, expected, "{bytes} of {all}, {workers}");
        }
    }

    proptest! {
        #[test]
        fn every_key_is_in_one_range(first in any::<i64>(), span in 0..u64::MAX, count in 1_usize..64, key in any::<i128>()) {
            let (first, last) = (i128::from(first), i128::from(first) + i128::from(span));
            let ranges = key_ranges(first, last, count);
            let holding = ranges.iter().filter(|slice| {
                let Rows::Keys { from, until } = slice;
                from.is_none_or(|from| key >= from) && until.is_none_or(|until| key < until)
            });
            prop_assert_eq!(holding.count(), 1);
        }

        #[test]
        fn slices_of_all_whole_numbers_that_columns_have_are_the_same_as_json(
            signed: (i64, i64), unsigned: (u64, u64), count in 1_usize..64,
        ) {
            let ordered = |a: i128, b: i128| (a.min(b), a.max(b));
            let signed = ordered(signed.0.into(), signed.1.into());
            let unsigned = ordered(unsigned.0.into(), unsigned.1.into());
            for (first, last) in [signed, unsigned] {
                for rows in key_ranges(first, last, count) {
                    let slice = Slice::new(&rows).expect("JSON has it");
                    prop_assert_eq!(slice.read::<Rows>().expect("the same"), rows);
                }
            }
        }
    }
}
