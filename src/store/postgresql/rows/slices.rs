//! Large tables in slices: runs of blocks that several workers copy at a time.
//!
//! Only one session can load rows that are frozen from the start: the one that has emptied the table in the same
//! transaction. So the target vacuums a table that came in slices when all is built (`complete`), which takes about an
//! eighth of the time of its load. Slices are for a table that would keep one worker busy when the others have nothing
//! left to do, and for no other.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::row_encodings::{COPY_BINARY, COPY_TEXT};
use crate::store::slices::{SMALLEST, Sliced, ranges};
use crate::store::{self, Part, Slice, Taker};

/// The version that reads a run of blocks without looking at all others (TID range scans).
const SINCE: u32 = 140_000;

/// Which of a table's rows a slice has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Own {
    /// Those that lie in these blocks.
    Blocks {
        /// The first.
        from: u32,
        /// The one after the last; `None`: whatever follows.
        until: Option<u32>,
    },
}

/// How many slices a table of so many bytes is worth on its way to an archive: no slice keeps a worker busy for more than a
/// quarter of its time.
fn even(bytes: u64, all: u64, workers: usize) -> usize {
    if workers < 2 {
        return 1;
    }
    let longest = (all / (workers as u64 * 4)).max(SMALLEST);
    usize::try_from(bytes / longest).unwrap_or(1).max(1)
}

/// How many slices a table of so many bytes is worth, among all that is copied to a server.
///
/// Whole, it takes its own time, and all of it if that is longer than what everyone has to do divided by the workers. In
/// slices it is never longer than that, but a quarter of its time more has to be done, for the vacuum and for the WAL that
/// a server with `wal_level = minimal` would not write. The others' bytes count twice, as their indexes are built, too.
fn slices(bytes: u64, all: u64, workers: usize) -> usize {
    let workers = workers as u64;
    let others = all.saturating_sub(bytes).saturating_mul(2);
    if workers < 2 || bytes < 2 * SMALLEST || bytes.saturating_mul(3 * workers - 4) / 4 <= others {
        return 1;
    }
    usize::try_from((bytes / SMALLEST).min(workers)).unwrap_or(1)
}

/// Puts slices in the place of parts that are worth it, but for those of these numbers; biggest first.
pub(in crate::store::postgresql) async fn divide(
    session: &Session,
    version: u32,
    workers: usize,
    taker: &Taker,
    parts: &mut Vec<(u32, Part)>,
    whole: impl Fn(usize) -> bool,
) -> Result<()> {
    let bytes = parts.iter().map(|(_, part)| part.bytes);
    let all = bytes.fold(0, u64::saturating_add);
    let worth: HashMap<u32, usize> = parts
        .iter()
        .filter(|(oid, part)| {
            let rows = [COPY_BINARY, COPY_TEXT].contains(&part.encoding);
            version >= SINCE && rows && *oid != 0 && !part.columns.is_empty() && !whole(part.id)
        })
        .map(|(oid, part)| {
            let count = match taker {
                Taker::Server(_) => slices(part.bytes, all, workers),
                Taker::Archive => even(part.bytes, all, workers),
            };
            (*oid, count)
        })
        .filter(|(_, count)| *count > 1)
        .collect();
    if worth.is_empty() {
        return Ok(());
    }
    let oids: Vec<u32> = worth.keys().copied().collect();
    let rows = session
        .query(
            "SELECT c.oid, pg_relation_size(c.oid) / current_setting('block_size')::int8 \
             FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'heap' AND c.oid = ANY($1)",
            &[&oids],
        )
        .await
        .map_err(session.explain())?;
    let mut blocks: HashMap<u32, u32> = HashMap::new();
    for row in &rows {
        if let Ok(count) = u32::try_from(row.read::<i64>(1)?) {
            blocks.insert(row.read(0)?, count);
        }
    }
    let mut sliced = Sliced::of(parts.len());
    for (oid, part) in parts.drain(..) {
        let bounds = match (worth.get(&oid), blocks.get(&oid)) {
            (Some(count), Some(blocks)) => bounds(*blocks, *count),
            _ => Vec::new(),
        };
        sliced.add(oid, part, &bounds)?;
    }
    *parts = sliced.sorted();
    Ok(())
}

/// Tables whose slices lie in an archive, in slices only where a server wants them: the others as a whole, with the number of
/// the first slice. Biggest first.
pub(in crate::store::postgresql) fn join(parts: Vec<Part>, workers: usize) -> Vec<Part> {
    let bytes = parts.iter().map(|part| part.bytes);
    let all = bytes.fold(0, u64::saturating_add);
    let mut tables: HashMap<String, u64> = HashMap::new();
    for part in parts.iter().filter(|part| part.slice.is_some()) {
        *tables.entry(part.label()).or_default() += part.bytes;
    }
    let mut joined = store::joined(parts, |part| {
        tables
            .get(&part.label())
            .is_none_or(|bytes| slices(*bytes, all, workers) == 1)
    });
    joined.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    joined
}

/// Runs of blocks of the same length. The last one has no end.
fn bounds(blocks: u32, count: usize) -> Vec<Own> {
    let block = |number: i128| u32::try_from(number).expect("no bound is behind the last block");
    ranges(0, blocks.into(), count)
        .into_iter()
        .map(|(from, until)| Own::Blocks {
            from: block(from),
            until: until.map(block),
        })
        .collect()
}

/// The condition on the rows of a slice, without WHERE.
pub(in crate::store::postgresql) fn condition(slice: &Slice) -> Result<String> {
    let Own::Blocks { from, until } = slice.read()?;
    let until = until.map_or_else(String::new, |block| format!(" AND ctid < '({block},0)'"));
    Ok(format!("ctid >= '({from},0)'{until}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Unit;
    use proptest::prelude::*;

    const GB: u64 = 1024 * 1024 * 1024;

    #[test]
    fn only_a_table_that_would_outlast_all_others_is_sliced() {
        for (bytes, all, workers, expected) in [
            (GB, GB, 1, 1),
            (GB, GB, 2, 2),
            (GB, 2 * GB, 2, 1),
            (GB, 2 * GB, 4, 1),
            (10 * GB, 14 * GB, 4, 4),
            (100 * 1024 * 1024, 100 * 1024 * 1024, 4, 1),
            (3 * SMALLEST, 3 * SMALLEST, 8, 3),
            (0, 0, 4, 1),
        ] {
            assert_eq!(
                slices(bytes, all, workers),
                expected,
                "{bytes} of {all}, {workers}"
            );
        }
    }

    #[test]
    fn no_slice_on_its_way_to_an_archive_takes_long() {
        for (bytes, all, workers, expected) in [
            (GB, GB, 1, 1),
            (GB, GB, 2, 8),
            (GB, 4 * GB, 2, 2),
            (GB, 40 * GB, 2, 1),
            (SMALLEST, SMALLEST, 8, 1),
            (0, 0, 4, 1),
        ] {
            assert_eq!(
                even(bytes, all, workers),
                expected,
                "{bytes} of {all}, {workers}"
            );
        }
    }

    fn part(id: usize, name: &str, bytes: u64, slice: Option<(u32, Option<u32>)>) -> Part {
        Part {
            id,
            schema: Some("public".to_owned()),
            name: name.to_owned(),
            columns: Vec::new().into(),
            unit: Unit::Rows,
            encoding: COPY_TEXT,
            rows: bytes / 100,
            bytes,
            slice: slice.map(|(from, until)| Slice::new(&Own::Blocks { from, until }).unwrap()),
            condition: None,
        }
    }

    #[test]
    fn slices_become_a_table_again_unless_it_would_outlast_all_others() {
        let slices = |size| {
            vec![
                part(1, "large", size, Some((0, Some(7)))),
                part(0, "other", GB, None),
                part(2, "large", size, Some((7, None))),
            ]
        };
        assert_eq!(
            join(slices(GB), 2),
            [part(1, "large", 2 * GB, None), part(0, "other", GB, None)]
        );
        assert_eq!(join(slices(10 * GB), 2).len(), 3);
        assert_eq!(join(slices(10 * GB), 1).len(), 2);
    }

    proptest! {
        #[test]
        fn slices_have_every_block_once(blocks in 0..u32::MAX, count in 1_usize..64) {
            let mut next = 0;
            let bounds = bounds(blocks, count);
            for (place, slice) in bounds.iter().enumerate() {
                let Own::Blocks { from, until } = slice;
                // As it stands in snapshots' manifests.
                let stored = Slice::new(slice).unwrap();
                prop_assert_eq!(serde_json::to_value(&stored).unwrap(), serde_json::json!({"blocks": {"from": from, "until": until}}));
                prop_assert_eq!(&stored.read::<Own>().unwrap(), slice);
                prop_assert_eq!(*from, next);
                prop_assert_eq!(until.is_none(), place + 1 == bounds.len());
                if let Some(until) = until {
                    prop_assert!(until > from && *until < blocks);
                    next = *until;
                }
            }
        }
    }
}
