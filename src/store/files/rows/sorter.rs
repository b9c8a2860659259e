//! Puts what was found of a tree in any order into that of the walk, in little memory: what lists a tree elsewhere has an order
//! of its own.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::listing::{Cursor, Entry, Listing, Writer, order};
use super::spool::Spool;
use crate::error::Result;
use crate::store::files::connection::stat::FileKind;

/// So many bytes of entries are in memory.
const SORTED: usize = 4 << 20;

/// Puts entries that come in any order into their own, in little memory.
pub(in crate::store::files) struct Sorter {
    waiting: Vec<Entry>,
    bytes: usize,
    runs: Vec<Listing>,
}

impl Sorter {
    /// Nothing yet.
    pub(in crate::store::files) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            bytes: 0,
            runs: Vec::new(),
        }
    }

    /// Adds one. A directory may come more than once; the first one counts.
    pub(in crate::store::files) fn push(&mut self, entry: Entry) -> Result<()> {
        self.bytes += entry.path.len() + size_of::<Entry>();
        self.waiting.push(entry);
        if self.bytes >= SORTED {
            self.end_run(Spool::in_a_file())?;
        }
        Ok(())
    }

    fn end_run(&mut self, spool: Spool) -> Result<()> {
        self.waiting
            .sort_by(|one, other| order(&one.path, &other.path));
        let mut run = Writer::into(spool);
        for entry in self.waiting.drain(..) {
            run.push(&entry.path, &entry.stat, entry.link.as_deref(), 0)?;
        }
        self.bytes = 0;
        self.runs.push(run.finish()?);
        Ok(())
    }

    /// All of them in their order. A path that came twice, and not as a directory both times, is given to `twice`.
    pub(in crate::store::files) fn finish(
        mut self,
        mut twice: impl FnMut(&Entry) -> Result<()>,
    ) -> Result<Listing> {
        self.end_run(Spool::in_a_file())?;
        let mut next = BinaryHeap::new();
        for (number, run) in self.runs.iter().enumerate() {
            let cursor = run.cursor()?;
            if cursor.entry().is_some() {
                next.push(Next { cursor, number });
            }
        }
        let mut all = Writer::new();
        let mut last: Option<(Vec<u8>, FileKind)> = None;
        while let Some(mut first) = next.pop() {
            if let Some((entry, _)) = first.cursor.entry() {
                match &mut last {
                    Some((path, kind)) if *path == entry.path => {
                        if (*kind, entry.stat.kind) != (FileKind::Directory, FileKind::Directory) {
                            twice(entry)?;
                        }
                    }
                    _ => {
                        all.push(&entry.path, &entry.stat, entry.link.as_deref(), 0)?;
                        last = Some((entry.path.clone(), entry.stat.kind));
                    }
                }
            }
            first.cursor.advance()?;
            if first.cursor.entry().is_some() {
                next.push(first);
            }
        }
        all.finish()
    }
}

/// A run that is being merged; the greatest is the one whose entry comes first.
struct Next {
    cursor: Cursor,
    number: usize,
}

impl Next {
    fn path(&self) -> &[u8] {
        self.cursor.entry().map_or(b"", |(entry, _)| &entry.path)
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        order(other.path(), self.path()).then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::connection::stat::Stat;
    use proptest::prelude::*;

    fn entry(path: &str, kind: FileKind) -> Entry {
        let mut stat = Stat::unknown(kind);
        stat.size = path.len() as u64;
        stat.modified = (-1, 999_999_999);
        Entry {
            path: path.as_bytes().to_vec(),
            stat,
            link: (kind == FileKind::Link).then(|| b"else\nwhere".to_vec()),
        }
    }

    fn all(listing: &Listing) -> Vec<Entry> {
        let mut found = Vec::new();
        let mut cursor = listing.cursor().unwrap();
        while let Some((entry, _)) = cursor.entry() {
            found.push(entry.clone());
            cursor.advance().unwrap();
        }
        found
    }

    proptest! {
        #[test]
        fn what_is_pushed_in_any_order_comes_in_that_of_the_walk(
            names in prop::collection::btree_set("[ab/ -]{0,6}", 0..60),
            files in 0..4_usize,
        ) {
            let kind = |number: usize| [FileKind::Regular, FileKind::Link, FileKind::Directory, FileKind::Special][number % 4];
            let mut expected: Vec<Entry> = (names.iter().enumerate())
                .map(|(number, name)| entry(name, kind(number + files)))
                .collect();
            let mut sorter = Sorter::new();
            for one in &expected {
                sorter.push(one.clone()).unwrap();
            }
            let listing = sorter.finish(|_| panic!("none is there twice")).unwrap();
            let split = |entry: &Entry| entry.path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
            expected.sort_by_key(split);
            prop_assert_eq!(&all(&listing), &expected);
            prop_assert_eq!(all(&listing), expected);
        }
    }

    #[test]
    fn many_runs_are_merged_and_what_comes_twice_is_found() {
        let mut sorter = Sorter::new();
        for number in (0..100_000).rev() {
            sorter
                .push(entry(&format!("a/{number:06}"), FileKind::Regular))
                .unwrap();
            if number % 1_000 == 0 {
                sorter.push(entry("a", FileKind::Directory)).unwrap();
            }
        }
        sorter.push(entry("a/000007", FileKind::Directory)).unwrap();
        assert!(sorter.runs.len() > 1);
        let mut twice = Vec::new();
        let listing = sorter.finish(|entry| {
            twice.push(entry.path.clone());
            Ok(())
        });
        let found = all(&listing.unwrap());
        assert_eq!(found.len(), 100_001);
        assert!(found.is_sorted_by(|one, other| order(&one.path, &other.path).is_lt()));
        assert_eq!(twice, [b"a/000007".to_vec()]);
    }
}
