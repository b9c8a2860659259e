//! A list of what is in a tree, in the order in which trees are walked: what was seen of a tree once need not be looked at
//! again, and a tree on another machine need not be walked name by name. It takes little memory, however long it is.

use std::cmp::Ordering;
use std::ffi::CString;
use std::io::{self, BufReader, Read};

use super::spool::{Reader, Spool, Spooled};
use crate::error::{Error, Kind, Result, io as failed};
use crate::store::files::connection::stat::{FileKind, Stat};

/// A name in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::files) struct Entry {
    /// Its path in the tree; the tree itself has none.
    pub(in crate::store::files) path: Vec<u8>,
    /// What is known of it.
    pub(in crate::store::files) stat: Stat,
    /// Where it leads, of a link.
    pub(in crate::store::files) link: Option<Vec<u8>>,
}

impl Entry {
    /// The path of the directory that it is in, and its name there. The tree itself has none.
    pub(in crate::store::files) fn place(&self) -> Result<(&[u8], CString)> {
        let end = self.path.iter().rposition(|byte| *byte == b'/');
        let name = &self.path[end.map_or(0, |end| end + 1)..];
        let name = CString::new(name)
            .map_err(|_| Error::new(Kind::Internal, "no name of a file has a NUL in it"))?;
        Ok((&self.path[..end.unwrap_or(0)], name))
    }
}

/// The order in which paths are walked: a directory's own files and directories by name, and what is in it right behind it.
pub(in crate::store::files) fn order(one: &[u8], other: &[u8]) -> Ordering {
    let shared = shared(one, other);
    // No name has a NUL in it, and none a slash.
    let place = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    let [one, other] = [one, other].map(|path| path.get(shared).map(place));
    one.cmp(&other)
}

/// How many bytes are the same at the beginning of both.
fn shared(one: &[u8], other: &[u8]) -> usize {
    const TOGETHER: usize = 8;
    let mut at = 0;
    let pieces = one.chunks_exact(TOGETHER).zip(other.chunks_exact(TOGETHER));
    for (one, other) in pieces {
        if one != other {
            break;
        }
        at += TOGETHER;
    }
    let rest = one[at..].iter().zip(&other[at..]);
    at + rest.take_while(|(one, other)| one == other).count()
}

/// A place in a list, from which it can be read on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) struct Mark {
    bytes: u64,
    /// Entries before it.
    pub(in crate::store::files) entries: u64,
}

/// Takes entries in their order, each with a byte for whoever reads it.
pub(in crate::store::files) struct Writer {
    spool: Spool,
    last: Vec<u8>,
    record: Vec<u8>,
    entries: u64,
    bytes: u64,
}

impl Writer {
    /// Nothing yet.
    pub(in crate::store::files) fn new() -> Self {
        Self::into(Spool::new())
    }

    /// The same, into a spool.
    pub(super) fn into(spool: Spool) -> Self {
        Self {
            spool,
            last: Vec::new(),
            record: Vec::new(),
            entries: 0,
            bytes: 0,
        }
    }

    /// The place of the entry that comes next.
    pub(in crate::store::files) fn mark(&mut self) -> Mark {
        // Who reads from there on has not seen the path before it.
        self.last.clear();
        let (bytes, entries) = (self.bytes, self.entries);
        Mark { bytes, entries }
    }

    /// Adds one. Its path comes after the last one's.
    pub(in crate::store::files) fn push(
        &mut self,
        path: &[u8],
        stat: &Stat,
        link: Option<&[u8]>,
        mark: u8,
    ) -> Result<()> {
        self.push_encoded(path, &encode(stat), link, mark)
    }

    /// The same, of what is encoded already.
    pub(super) fn push_encoded(
        &mut self,
        path: &[u8],
        stat: &[u8; STAT],
        link: Option<&[u8]>,
        mark: u8,
    ) -> Result<()> {
        let shared = shared(&self.last, path);
        let own = &path[shared..];
        let record = &mut self.record;
        record.clear();
        record.extend_from_slice(&(shared as u32).to_le_bytes());
        record.extend_from_slice(&(own.len() as u32).to_le_bytes());
        let length = link.map_or(u32::MAX, |link| link.len() as u32);
        record.extend_from_slice(&length.to_le_bytes());
        record.push(mark);
        record.extend_from_slice(stat);
        record.extend_from_slice(own);
        record.extend_from_slice(link.unwrap_or_default());
        self.spool.write(record).map_err(not_kept)?;
        self.bytes += record.len() as u64;
        self.last.truncate(shared);
        self.last.extend_from_slice(own);
        self.entries += 1;
        Ok(())
    }

    /// Ends the list.
    pub(in crate::store::files) fn finish(self) -> Result<Listing> {
        Ok(Listing {
            spooled: self.spool.finish().map_err(not_kept)?,
            entries: self.entries,
        })
    }
}

fn not_kept(error: io::Error) -> Error {
    failed("cannot keep the list of a tree's files in /var/tmp")(error)
}

/// Bytes of what is known of a file.
pub(super) const STAT: usize = 61;
/// Where the bytes of an entry's lengths end, and those of what is known of it.
const LENGTHS: usize = 13;
const HEAD: usize = LENGTHS + STAT;

/// What is known of a file, as it is in a list.
pub(super) fn encode(stat: &Stat) -> [u8; STAT] {
    let mut record = [0; STAT];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        record[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&[match stat.kind {
        FileKind::Directory => 0,
        FileKind::Regular => 1,
        FileKind::Link => 2,
        FileKind::Special => 3,
    }]);
    for number in [stat.mode, stat.owner.0, stat.owner.1] {
        put(&number.to_le_bytes());
    }
    for number in [stat.size, stat.stored, stat.id.1] {
        put(&number.to_le_bytes());
    }
    for (seconds, nanoseconds) in [stat.modified, stat.changed] {
        put(&seconds.to_le_bytes());
        put(&nanoseconds.to_le_bytes());
    }
    record
}

/// The same, read back.
pub(super) fn decode(mut record: &[u8]) -> io::Result<Stat> {
    let [kind] = take(&mut record)?;
    let kind = match kind {
        0 => FileKind::Directory,
        1 => FileKind::Regular,
        2 => FileKind::Link,
        _ => FileKind::Special,
    };
    let mode = u32::from_le_bytes(take(&mut record)?);
    let owner = (
        u32::from_le_bytes(take(&mut record)?),
        u32::from_le_bytes(take(&mut record)?),
    );
    let size = u64::from_le_bytes(take(&mut record)?);
    let stored = u64::from_le_bytes(take(&mut record)?);
    let inode = u64::from_le_bytes(take(&mut record)?);
    let mut moment = || -> io::Result<_> {
        let seconds = i64::from_le_bytes(take(&mut record)?);
        Ok((seconds, u32::from_le_bytes(take(&mut record)?)))
    };
    Ok(Stat {
        kind,
        mode,
        owner,
        size,
        stored,
        modified: moment()?,
        changed: moment()?,
        id: (0, inode),
        is_mounted_on: false,
        is_fixed: false,
    })
}

fn take<const N: usize>(record: &mut &[u8]) -> io::Result<[u8; N]> {
    let (first, rest) = (record.split_first_chunk()).ok_or(io::ErrorKind::UnexpectedEof)?;
    *record = rest;
    Ok(*first)
}

/// A finished list.
#[derive(Clone)]
pub(in crate::store::files) struct Listing {
    spooled: Spooled,
    entries: u64,
}

impl Listing {
    /// Reads it from the beginning.
    pub(in crate::store::files) fn cursor(&self) -> Result<Cursor> {
        self.between(Mark::default(), None)
    }

    /// Reads it from one place up to another, or to its end.
    pub(in crate::store::files) fn between(&self, from: Mark, to: Option<Mark>) -> Result<Cursor> {
        let end = to.map_or(self.entries, |to| to.entries);
        let mut cursor = Cursor {
            reader: self.spooled.reader(from.bytes),
            left: end.saturating_sub(from.entries),
            entry: Entry {
                path: Vec::new(),
                stat: Stat::unknown(FileKind::Directory),
                link: None,
            },
            mark: 0,
            is_at_end: false,
        };
        cursor.advance()?;
        Ok(cursor)
    }
}

/// A place in a list.
pub(in crate::store::files) struct Cursor {
    reader: BufReader<Reader>,
    left: u64,
    entry: Entry,
    mark: u8,
    is_at_end: bool,
}

impl Cursor {
    /// The entry that it is at, and its byte; `None`: at the end.
    pub(in crate::store::files) fn entry(&self) -> Option<(&Entry, u8)> {
        (!self.is_at_end).then_some((&self.entry, self.mark))
    }

    /// Goes to the next.
    pub(in crate::store::files) fn advance(&mut self) -> Result<()> {
        if self.left == 0 {
            self.is_at_end = true;
            return Ok(());
        }
        self.left -= 1;
        self.read()
            .map_err(failed("cannot read the list of a tree's files"))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut head = [0; HEAD];
        self.reader.read_exact(&mut head)?;
        let (mut lengths, rest) = head.split_at(LENGTHS);
        let shared = u32::from_le_bytes(take(&mut lengths)?) as usize;
        let own = u32::from_le_bytes(take(&mut lengths)?) as usize;
        let link = u32::from_le_bytes(take(&mut lengths)?);
        [self.mark] = take(&mut lengths)?;
        let entry = &mut self.entry;
        entry.stat = decode(rest)?;
        entry.path.resize(shared + own, 0);
        self.reader.read_exact(&mut entry.path[shared..])?;
        entry.link = None;
        if link != u32::MAX {
            let mut leads_to = vec![0; link as usize];
            self.reader.read_exact(&mut leads_to)?;
            entry.link = Some(leads_to);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_paths_is_that_of_the_walk() {
        assert_eq!(order(b"a/z", b"a b"), Ordering::Less);
        assert_eq!(order(b"a", b"a/b"), Ordering::Less);
        assert_eq!(order(b"b", b"a/b"), Ordering::Greater);
        assert_eq!(order(b"a", b"a"), Ordering::Equal);
        let long = b"a directory/with a long name";
        assert_eq!(
            order(long, b"a directory/with a long nam"),
            Ordering::Greater
        );
        assert_eq!(order(long, b"a directory b"), Ordering::Less);
    }
}
