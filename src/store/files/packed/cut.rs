//! Cuts a tree into the parts of a snapshot, in such a way that parts stay the same where files come, go and change elsewhere:
//! whether one ends behind a file depends on the file's path and size, and on nothing around it.

use tokio_util::sync::CancellationToken;

use super::read::is_meant;
use crate::error::Result;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::stat::{FileKind, Moment};
use crate::store::files::rows::listing::{Entry, Listing, Writer};
use crate::store::files::rows::survey::Batch;
use crate::store::files::schema::filter::Filter;

/// A file takes about so many bytes beside its content: a header, and what fills its last block.
const HEADER: u64 = 1024;
/// The mean of parts, in bytes: for trees up to the size beside it. Small parts cost little to store again, many cost a large
/// manifest and a file each. Four times as large each time, so that all ends of larger parts are ends of smaller ones.
const MEANS: [(u64, u64); 6] = [
    (256 << 10, 256 << 20),
    (1 << 20, 1 << 30),
    (4 << 20, 64 << 30),
    (16 << 20, 256 << 30),
    (64 << 20, 1 << 40),
    (256 << 20, 4 << 40),
];
/// Of larger trees.
const LARGEST: u64 = 1 << 30;
/// A part has a quarter of the mean at the least, and four times the mean at the most, unless it is one file.
const LIMIT: u64 = 4;
/// The version of how trees are packed: with another one nothing is what it was.
const PACKING: &str = "envsyncd packed files 1";

/// The parts of a tree.
pub(in crate::store::files) struct Cut {
    /// They.
    pub(in crate::store::files) batches: Vec<Batch>,
    /// What is known of each without reading it; `None`: something in it was changed a moment ago.
    pub(in crate::store::files) likenesses: Vec<Option<[u8; 32]>>,
}

/// Cuts a tree with so many files and bytes, of which what was changed since then may be changed again unseen. The list is
/// written anew, as it is read from where parts begin.
pub(in crate::store::files) fn cut(
    listing: &Listing,
    filter: &Filter,
    (files, bytes): (u64, u64),
    since: Moment,
    stop: &CancellationToken,
) -> Result<(Cut, Listing)> {
    let mut list = Writer::new();
    let mut cutter = Cutter::new(mean(files, bytes), since);
    let mut cursor = listing.cursor()?;
    while let Some((entry, _)) = cursor.entry() {
        stopped(stop)?;
        if entry.stat.kind != FileKind::Directory && is_meant(filter, entry) {
            if cutter.begins(entry) {
                cutter.begin(Batch {
                    start: (*entry.path).into(),
                    mark: list.mark(),
                    ..Batch::default()
                });
            }
            cutter.add(entry);
        }
        list.push(&entry.path, &entry.stat, entry.link.as_deref(), 0)?;
        cursor.advance()?;
    }
    Ok((cutter.finish(), list.finish()?))
}

fn mean(files: u64, bytes: u64) -> u64 {
    let all = bytes.saturating_add(files.saturating_mul(HEADER));
    let fits = MEANS.iter().find(|(_, most)| all <= *most);
    fits.map_or(LARGEST, |(mean, _)| *mean)
}

/// What is gone through file by file.
struct Cutter {
    mean: u64,
    since: Moment,
    cut: Cut,
    /// Of the last part.
    weight: u64,
    is_ended: bool,
    hash: blake3::Hasher,
    is_certain: bool,
}

impl Cutter {
    fn new(mean: u64, since: Moment) -> Self {
        Self {
            mean,
            since,
            cut: Cut {
                batches: Vec::new(),
                likenesses: Vec::new(),
            },
            weight: 0,
            is_ended: true,
            hash: blake3::Hasher::new(),
            is_certain: true,
        }
    }

    /// Whether a part begins with a file. One of the mean's size is a part of its own.
    fn begins(&self, entry: &Entry) -> bool {
        let weight = weight(entry);
        self.is_ended || weight >= self.mean || self.weight + weight > self.mean * LIMIT
    }

    fn begin(&mut self, batch: Batch) {
        self.end();
        self.cut.batches.push(batch);
        (self.weight, self.is_ended, self.is_certain) = (0, false, true);
        self.hash = blake3::Hasher::new_derive_key(PACKING);
    }

    fn add(&mut self, entry: &Entry) {
        let Some(batch) = self.cut.batches.last_mut() else {
            return;
        };
        batch.files += 1;
        if entry.stat.kind == FileKind::Regular {
            batch.bytes += entry.stat.size;
        }
        self.weight += weight(entry);
        self.is_certain &= entry.stat.changed < self.since;
        look(entry, &mut self.hash);
        self.is_ended = weight(entry) >= self.mean
            || (self.weight >= self.mean / LIMIT && ends(entry, self.mean));
    }

    fn end(&mut self) {
        if self.cut.likenesses.len() < self.cut.batches.len() {
            let hash = self.hash.finalize();
            let likeness = self.is_certain.then(|| hash.into());
            self.cut.likenesses.push(likeness);
        }
    }

    fn finish(mut self) -> Cut {
        self.end();
        self.cut
    }
}

fn weight(entry: &Entry) -> u64 {
    let content = match entry.stat.kind {
        FileKind::Regular => entry.stat.size,
        _ => 0,
    };
    content.saturating_add(HEADER)
}

/// Whether a part ends behind a file: so likely that parts have their mean. Where that is larger, fewer of the same files.
fn ends(entry: &Entry, mean: u64) -> bool {
    let hash = blake3::hash(&entry.path);
    let (first, _) = hash.as_bytes().split_at(8);
    let number = first
        .iter()
        .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    // As large as a number of 64 bits is to all of them, the weight is to the mean.
    u128::from(number) * u128::from(mean) < u128::from(weight(entry)) << 64
}

/// Puts all that is known of a file into a hash. When it was changed in any way says that its attributes are the same, and
/// that nobody has set back the time of its content.
fn look(entry: &Entry, hash: &mut blake3::Hasher) {
    let stat = &entry.stat;
    let kind = match stat.kind {
        FileKind::Regular => b'f',
        _ => b'l',
    };
    let link = entry.link.as_deref().unwrap_or_default();
    hash.update(&[kind]);
    for text in [&*entry.path, link] {
        hash.update(&(text.len() as u64).to_le_bytes()).update(text);
    }
    for number in [stat.mode, stat.owner.0, stat.owner.1] {
        hash.update(&number.to_le_bytes());
    }
    hash.update(&stat.size.to_le_bytes());
    for (seconds, nanoseconds) in [stat.modified, stat.changed] {
        hash.update(&seconds.to_le_bytes())
            .update(&nanoseconds.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::store::files::connection::stat::Stat;

    const MEAN: u64 = 64 << 10;

    fn entry(path: &str, size: u64) -> Entry {
        let mut stat = Stat::unknown(FileKind::Regular);
        (stat.size, stat.changed) = (size, (5, 0));
        Entry {
            path: path.as_bytes().to_vec(),
            stat,
            link: None,
        }
    }

    fn tree() -> Vec<Entry> {
        let name = |number| format!("{:02}/{number:05}", number / 100);
        (0..5000_u32)
            .map(|number| entry(&name(number), 100 + u64::from(number) * 7919 % 4000))
            .collect()
    }

    fn cut_up(entries: &[Entry]) -> Cut {
        let mut cutter = Cutter::new(MEAN, (9, 0));
        for entry in entries {
            if cutter.begins(entry) {
                cutter.begin(Batch {
                    start: (*entry.path).into(),
                    ..Batch::default()
                });
            }
            cutter.add(entry);
        }
        cutter.finish()
    }

    /// Parts of the second that the first has not.
    fn new(one: &Cut, other: &Cut) -> usize {
        let old: HashSet<_> = one.likenesses.iter().flatten().collect();
        other
            .likenesses
            .iter()
            .flatten()
            .filter(|it| !old.contains(it))
            .count()
    }

    #[test]
    fn parts_have_their_mean_and_their_limits() {
        let (entries, cut) = (tree(), cut_up(&tree()));
        let all: u64 = entries.iter().map(weight).sum();
        let parts = cut.batches.len() as u64;
        assert!((all / MEAN / 2..all / MEAN * 2).contains(&parts), "{parts}");
        assert_eq!(cut.likenesses.len() as u64, parts);
        assert_eq!(cut.batches.iter().map(|one| one.files).sum::<u64>(), 5000);
        for batch in &cut.batches {
            assert!(batch.bytes + batch.files * HEADER <= MEAN * LIMIT);
        }
    }

    #[test]
    fn a_file_that_comes_goes_or_changes_leaves_nearly_all_parts_as_they_are() {
        let old = cut_up(&tree());
        assert!(old.batches.len() > 100);
        for place in [0, 1, 777, 2500, 4998, 4999] {
            let (mut changed, mut gone, mut come) = (tree(), tree(), tree());
            changed[place].stat.modified.1 += 1;
            assert_eq!(new(&old, &cut_up(&changed)), 1);
            gone.remove(place);
            assert!(new(&old, &cut_up(&gone)) <= 3);
            let path = String::from_utf8(come[place].path.clone()).unwrap() + "x";
            come.insert(place + 1, entry(&path, 4000));
            assert!(new(&old, &cut_up(&come)) <= 3);
        }
    }

    #[test]
    fn a_large_file_is_a_part_of_its_own() {
        let entries = [entry("a", 1), entry("b", MEAN), entry("c", 1)];
        let cut = cut_up(&entries);
        let files: Vec<u64> = cut.batches.iter().map(|one| one.files).collect();
        assert_eq!(files, [1, 1, 1]);
    }

    #[test]
    fn all_that_is_known_of_a_file_makes_a_difference_and_what_is_new_is_not_certain() {
        let first = entry("a", 1);
        let likeness = |change: &dyn Fn(&mut Entry)| {
            let mut one = first.clone();
            change(&mut one);
            cut_up(&[one]).likenesses[0]
        };
        let changes: [&dyn Fn(&mut Entry); 10] = [
            &|_| {},
            &|one| one.path = b"b".to_vec(),
            &|one| one.link = Some(b"b".to_vec()),
            &|one| one.stat.kind = FileKind::Link,
            &|one| one.stat.mode = 1,
            &|one| one.stat.owner.0 = 1,
            &|one| one.stat.owner.1 = 1,
            &|one| one.stat.size = 2,
            &|one| one.stat.modified.1 = 1,
            &|one| one.stat.changed.1 = 1,
        ];
        let all: HashSet<_> = changes
            .iter()
            .map(|change| likeness(change).unwrap())
            .collect();
        assert_eq!(all.len(), changes.len());
        assert_eq!(likeness(&|one| one.stat.changed = (9, 0)), None);
    }

    #[test]
    fn the_mean_grows_with_the_tree_and_its_ends_stay_ends() {
        let means: Vec<u64> = [0, 256 << 20, 1 << 30, 40 << 30, 1 << 40, 1 << 50]
            .map(|bytes| mean(0, bytes))
            .to_vec();
        assert_eq!(
            means,
            [256 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20, 1 << 30]
        );
        assert_eq!(mean(1 << 20, 0), 1 << 20);
        for entry in tree() {
            assert!(ends(&entry, MEAN) || !ends(&entry, MEAN * 4));
        }
    }
}
