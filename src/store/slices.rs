//! Slices of large tables: ranges of keys or blocks that several workers copy at a time. What is the same in all stores. Pure.

use std::cmp::Reverse;

use serde::Serialize;

use super::part::{Part, Slice};
use crate::error::Result;

/// A slice has at least so many bytes, as stored on the source.
pub(in crate::store) const SMALLEST: u64 = 64 * 1024 * 1024;

/// Ranges of the same length, together all of `length` whole numbers from `first` on: where each begins, and the number after its
/// last. The last range has no end, as rows may follow what was the end a moment ago.
pub(in crate::store) fn ranges(
    first: i128,
    length: i128,
    count: usize,
) -> Vec<(i128, Option<i128>)> {
    let count = length.min(count as i128).max(1);
    let bound = |place: i128| first + length * place / count;
    (0..count)
        .map(|place| {
            let until = (place + 1 < count).then(|| bound(place + 1));
            (bound(place), until)
        })
        .collect()
}

/// Parts with slices in the place of tables.
pub(in crate::store) struct Sliced<K> {
    /// The number of the next slice that is not a table's first.
    next: usize,
    parts: Vec<(K, Part)>,
}

impl<K: Copy> Sliced<K> {
    /// For so many parts, which are numbered from 0 on.
    pub(in crate::store) fn of(parts: usize) -> Self {
        Self {
            next: parts,
            parts: Vec::with_capacity(parts),
        }
    }

    /// Adds a part, in these slices if there are several: the first one keeps its number.
    pub(in crate::store) fn add<S: Serialize>(
        &mut self,
        key: K,
        part: Part,
        slices: &[S],
    ) -> Result<()> {
        if slices.len() < 2 {
            self.parts.push((key, part));
            return Ok(());
        }
        let count = slices.len() as u64;
        for (place, slice) in slices.iter().enumerate() {
            let id = if place == 0 { part.id } else { self.next };
            self.next += usize::from(place > 0);
            let slice = Part {
                id,
                slice: Some(Slice::new(slice)?),
                rows: part.rows / count,
                bytes: part.bytes / count,
                ..part.clone()
            };
            self.parts.push((key, slice));
        }
        Ok(())
    }

    /// All of them, biggest first.
    pub(in crate::store) fn sorted(mut self) -> Vec<(K, Part)> {
        self.parts.sort_by_key(|(_, part)| Reverse(part.bytes));
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Encoding, Unit};
    use proptest::prelude::*;

    fn table(id: usize, bytes: u64) -> Part {
        Part {
            id,
            schema: None,
            name: format!("t{id}"),
            columns: Vec::new().into(),
            unit: Unit::Rows,
            encoding: Encoding::new("lines"),
            rows: bytes / 10,
            bytes,
            slice: None,
            condition: None,
        }
    }

    #[test]
    fn the_first_slice_has_the_tables_number_and_the_others_have_new_ones() {
        let mut sliced = Sliced::of(2);
        sliced.add('a', table(1, 90), &[1, 2, 3]).unwrap();
        sliced.add('b', table(0, 60), &[4]).unwrap();
        let all = sliced.sorted();
        let shown: Vec<_> = all
            .iter()
            .map(|(key, part)| (*key, part.id, part.bytes, part.rows, part.slice.is_some()))
            .collect();
        assert_eq!(
            shown,
            [
                ('b', 0, 60, 6, false),
                ('a', 1, 30, 3, true),
                ('a', 2, 30, 3, true),
                ('a', 3, 30, 3, true),
            ]
        );
    }

    proptest! {
        #[test]
        fn ranges_follow_one_another(first in any::<i64>(), length in 0..u64::MAX, count in 1_usize..64) {
            let (first, length) = (i128::from(first), i128::from(length));
            let all = ranges(first, length, count);
            prop_assert_eq!(all[0].0, first);
            for pair in all.windows(2) {
                prop_assert_eq!(pair[0].1, Some(pair[1].0));
                prop_assert!(pair[0].0 < pair[1].0 && pair[1].0 < first + length);
            }
            prop_assert_eq!(all.last().and_then(|last| last.1), None);
        }
    }
}
