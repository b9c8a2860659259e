//! Puts what was found of a tree in any order into that of the walk, in little memory: what lists a tree elsewhere has an order
//! of its own.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::listing::{Cursor, Entry, Listing, STAT, Writer, decode, encode, order};
use super::spool::Spool;
use crate::error::{Result, io};
use crate::store::files::connection::stat::{FileKind, Stat};

/// So many bytes of entries are in memory: what is more will not stay there as a list, either.
const SORTED: usize = 12 << 20;
/// So many are sorted at a time while more of them come; what is sorted piece by piece is soon sorted as a whole.
const TOGETHER: usize = 4096;

/// Puts entries that come in any order into their own, in little memory.
pub(in crate::store::files) struct Sorter {
    /// Of each entry what is known of it, its path, and where it leads.
    text: Vec<u8>,
    places: Vec<Place>,
    /// The places up to this one are sorted, piece by piece.
    sorted: usize,
    runs: Vec<Listing>,
}

/// Where an entry is.
#[derive(Clone, Copy)]
struct Place {
    begin: u32,
    path: u32,
    /// The length of where it leads, if it is a link.
    link: Option<u32>,
}

impl Place {
    fn rest(self, text: &[u8]) -> &[u8] {
        &text[self.begin as usize + STAT..]
    }

    fn path(self, text: &[u8]) -> &[u8] {
        &self.rest(text)[..self.path as usize]
    }

    fn link(self, text: &[u8]) -> Option<&[u8]> {
        let length = self.link? as usize;
        Some(&self.rest(text)[self.path as usize..][..length])
    }
}

impl Sorter {
    /// Nothing yet.
    pub(in crate::store::files) fn new() -> Self {
        Self {
            text: Vec::new(),
            places: Vec::new(),
            sorted: 0,
            runs: Vec::new(),
        }
    }

    /// Adds one. A directory may come more than once; the first one counts.
    pub(in crate::store::files) fn push(&mut self, entry: Entry) -> Result<()> {
        self.add(&entry.path, &entry.stat, entry.link.as_deref())
    }

    /// The same, of what need not be kept elsewhere.
    pub(in crate::store::files) fn add(
        &mut self,
        path: &[u8],
        stat: &Stat,
        link: Option<&[u8]>,
    ) -> Result<()> {
        self.places.push(Place {
            begin: self.text.len() as u32,
            path: path.len() as u32,
            link: link.map(|link| link.len() as u32),
        });
        self.text.extend_from_slice(&encode(stat));
        self.text.extend_from_slice(path);
        self.text.extend_from_slice(link.unwrap_or_default());
        if self.text.len() >= SORTED {
            self.end_run()?;
        } else if self.places.len() - self.sorted >= TOGETHER {
            sort(&mut self.places[self.sorted..], &self.text);
            self.sorted = self.places.len();
        }
        Ok(())
    }

    /// Shows what waits in its order, and forgets it.
    fn drain(
        &mut self,
        mut show: impl FnMut(&[u8], &[u8; STAT], Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let text = &self.text;
        sort(&mut self.places, text);
        for place in self.places.drain(..) {
            let stat = text[place.begin as usize..].first_chunk();
            if let Some(stat) = stat {
                show(place.path(text), stat, place.link(text))?;
            }
        }
        self.text.clear();
        self.sorted = 0;
        Ok(())
    }

    fn end_run(&mut self) -> Result<()> {
        let mut run = Writer::into(Spool::in_a_file());
        self.drain(|path, stat, link| run.push_encoded(path, stat, link, 0))?;
        self.runs.push(run.finish()?);
        Ok(())
    }

    /// All of them in their order. A path that came twice, and not as a directory both times, is given to `twice`.
    pub(in crate::store::files) fn finish(
        mut self,
        twice: impl FnMut(&Entry) -> Result<()>,
    ) -> Result<Listing> {
        if !self.runs.is_empty() {
            self.end_run()?;
            return merge(&self.runs, twice);
        }
        let mut all = Once::of(Writer::new(), twice);
        self.drain(|path, stat, link| all.push(path, stat, link))?;
        all.list.finish()
    }
}

/// What came first stays before what has the same path.
fn sort(places: &mut [Place], text: &[u8]) {
    places.sort_by(|one, other| order(one.path(text), other.path(text)));
}

/// Merges lists; of what is in several of them, the first one counts.
fn merge(runs: &[Listing], twice: impl FnMut(&Entry) -> Result<()>) -> Result<Listing> {
    let mut next = BinaryHeap::new();
    for (number, run) in runs.iter().enumerate() {
        let cursor = run.cursor()?;
        if cursor.entry().is_some() {
            next.push(Next { cursor, number });
        }
    }
    let mut all = Once::of(Writer::into(Spool::in_a_file()), twice);
    while let Some(mut first) = next.pop() {
        if let Some((entry, _)) = first.cursor.entry() {
            all.push(&entry.path, &encode(&entry.stat), entry.link.as_deref())?;
        }
        first.cursor.advance()?;
        if first.cursor.entry().is_some() {
            next.push(first);
        }
    }
    all.list.finish()
}

/// A list in which each path is once.
struct Once<T> {
    list: Writer,
    last: Option<(Vec<u8>, FileKind)>,
    /// Is given what comes twice, and not as a directory both times.
    twice: T,
}

impl<T: FnMut(&Entry) -> Result<()>> Once<T> {
    fn of(list: Writer, twice: T) -> Self {
        Self {
            list,
            last: None,
            twice,
        }
    }

    fn push(&mut self, path: &[u8], encoded: &[u8; STAT], link: Option<&[u8]>) -> Result<()> {
        let stat = decode(encoded).map_err(io("cannot sort the list of a tree's files"))?;
        match &mut self.last {
            Some((last, kind)) if last == path => {
                if (*kind, stat.kind) != (FileKind::Directory, FileKind::Directory) {
                    (self.twice)(&Entry {
                        path: path.to_vec(),
                        stat,
                        link: link.map(<[u8]>::to_vec),
                    })?;
                }
                return Ok(());
            }
            Some((last, kind)) => {
                path.clone_into(last);
                *kind = stat.kind;
            }
            last => *last = Some((path.to_vec(), stat.kind)),
        }
        self.list.push_encoded(path, encoded, link, 0)
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
        for number in (0..400_000).rev() {
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
        assert_eq!(found.len(), 400_001);
        assert!(found.is_sorted_by(|one, other| order(&one.path, &other.path).is_lt()));
        assert_eq!(twice, [b"a/000007".to_vec()]);
    }
}
