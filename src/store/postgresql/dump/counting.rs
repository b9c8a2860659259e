//! Rows of tables in a dump, counted while it streams by: behind the head come blocks, each with a number, and in it
//! chunks of what COPY says (`pg_backup_custom.c`).

use std::collections::HashMap;

use flate2::{Decompress, FlushDecompress, Status};
use memchr::memchr_iter;

use super::head::{self, Head};

/// How a dump's rows are compressed; what else there is cannot be counted.
const NONE: i64 = 0;

const GZIP: i64 = 1;

/// A block of a table's rows, and one of large objects.
const DATA: u8 = 1;

const LARGE: u8 = 3;

/// Counts.
pub(super) struct Counter {
    /// Tables whose rows are counted, by their entry.
    tables: HashMap<i64, String>,
    counts: HashMap<String, u64>,
    zipped: bool,
    int: usize,
    at: Place,
    /// The bytes of a number that is not whole yet.
    number: Vec<u8>,
    inflate: Decompress,
    plain: Vec<u8>,
    rows: Rows,
}

/// What comes next.
enum Place {
    /// A block's kind.
    Block,
    /// Its number.
    Id(u8),
    /// A chunk's length; of a table that is counted, or of nothing of interest.
    Length(Option<i64>),
    /// So much of a chunk.
    Chunk(usize, Option<i64>),
    /// A large object's number; 0: it was the last.
    Object,
    /// A chunk of it.
    ObjectLength,
    ObjectChunk(usize),
    /// This is no such file: nothing is counted any more.
    Lost,
}

/// Line feeds that end a row: the last line of all is `\.`, and blank lines follow.
#[derive(Default)]
struct Rows {
    lines: u64,
    /// At a line's start, and what of `\.` was there.
    marker: u8,
    over: bool,
}

impl Rows {
    fn feed(&mut self, text: &[u8]) {
        if self.over {
            return;
        }
        // Only a line that begins like this can be the end: in rows a backslash is never followed by a point.
        let mut start = 0;
        for end in memchr_iter(b'\n', text) {
            let line = &text[start..end];
            start = end + 1;
            let whole = match self.marker {
                0 => line == b"\\.",
                1 => line == b".",
                2 => line.is_empty(),
                _ => false,
            };
            self.marker = 0;
            if whole {
                self.over = true;
                return;
            }
            self.lines += 1;
        }
        let rest = &text[start..];
        if rest.is_empty() {
            return;
        }
        self.marker = match (self.marker, rest) {
            (0, b"\\") => 1,
            (0, b"\\.") | (1, b".") => 2,
            _ => 3,
        };
    }
}

impl Counter {
    /// For a dump with this head; it is fed with what comes behind it.
    pub(super) fn new(head: &Head) -> Option<Self> {
        let zipped = match (head.minor, head.compression) {
            (15.., NONE) | (..15, 0) => false,
            (15.., GZIP) | (..15, _) => true,
            _ => return None,
        };
        let tables: HashMap<i64, String> = head.tables().collect();
        Some(Self {
            counts: tables.values().map(|label| (label.clone(), 0)).collect(),
            tables,
            zipped,
            int: head.int(),
            at: Place::Block,
            number: Vec::new(),
            inflate: Decompress::new(true),
            plain: Vec::with_capacity(256 * 1024),
            rows: Rows::default(),
        })
    }

    /// Takes in what comes next.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.at {
                Place::Block => {
                    self.at = match bytes[0] {
                        kind @ (DATA | LARGE) => Place::Id(kind),
                        _ => Place::Lost,
                    };
                    bytes = &bytes[1..];
                }
                Place::Id(kind) => {
                    let Some(id) = self.whole_number(&mut bytes) else {
                        return;
                    };
                    self.at = if kind == LARGE {
                        Place::Object
                    } else {
                        let counted = self.tables.contains_key(&id).then_some(id);
                        self.inflate.reset(true);
                        self.rows = Rows::default();
                        Place::Length(counted)
                    };
                }
                Place::Length(of) => {
                    let Some(length) = self.whole_number(&mut bytes) else {
                        return;
                    };
                    self.at = match usize::try_from(length) {
                        Ok(0) => {
                            self.end(of);
                            Place::Block
                        }
                        Ok(length) => Place::Chunk(length, of),
                        Err(_) => Place::Lost,
                    };
                }
                Place::Chunk(left, of) => {
                    let (chunk, rest) = bytes.split_at(left.min(bytes.len()));
                    bytes = rest;
                    if of.is_some() {
                        self.count(chunk);
                    }
                    if let Place::Lost = self.at {
                        return;
                    }
                    self.at = match left - chunk.len() {
                        0 => Place::Length(of),
                        left => Place::Chunk(left, of),
                    };
                }
                Place::Object | Place::ObjectLength | Place::ObjectChunk(_) => {
                    if !self.pass_large_object(&mut bytes) {
                        return;
                    }
                }
                Place::Lost => return,
            }
        }
    }

    /// Takes in what comes next of a large object, whose bytes are not counted; `false`: the number that is next is not whole yet.
    fn pass_large_object(&mut self, bytes: &mut &[u8]) -> bool {
        self.at = match self.at {
            Place::Object => match self.whole_number(bytes) {
                None => return false,
                Some(0) => Place::Block,
                Some(_) => Place::ObjectLength,
            },
            Place::ObjectLength => match self.whole_number(bytes).map(usize::try_from) {
                None => return false,
                Some(Ok(0)) => Place::Object,
                Some(Ok(length)) => Place::ObjectChunk(length),
                Some(Err(_)) => Place::Lost,
            },
            Place::ObjectChunk(left) => {
                let passed = left.min(bytes.len());
                *bytes = &bytes[passed..];
                match left - passed {
                    0 => Place::ObjectLength,
                    left => Place::ObjectChunk(left),
                }
            }
            _ => Place::Lost,
        };
        true
    }

    /// What was counted, if the dump was understood to its end.
    pub(super) fn counts(self) -> Option<HashMap<String, u64>> {
        matches!(self.at, Place::Block).then_some(self.counts)
    }

    fn whole_number(&mut self, bytes: &mut &[u8]) -> Option<i64> {
        let missing = self.int + 1 - self.number.len();
        let (some, rest) = bytes.split_at(missing.min(bytes.len()));
        self.number.extend(some);
        *bytes = rest;
        if self.number.len() <= self.int {
            return None;
        }
        let number = head::number(&self.number);
        self.number.clear();
        Some(number)
    }

    fn count(&mut self, mut chunk: &[u8]) {
        if !self.zipped {
            self.rows.feed(chunk);
            return;
        }
        loop {
            let before = (self.inflate.total_in(), self.inflate.total_out());
            self.plain.clear();
            let done = self
                .inflate
                .decompress_vec(chunk, &mut self.plain, FlushDecompress::None);
            let taken = (self.inflate.total_in() - before.0) as usize;
            let made = self.inflate.total_out() - before.1;
            chunk = &chunk[taken..];
            self.rows.feed(&self.plain);
            match done {
                Ok(Status::StreamEnd) => return,
                Ok(_) if taken == 0 && made == 0 => return,
                Ok(_) => {}
                Err(_) => {
                    self.at = Place::Lost;
                    return;
                }
            }
        }
    }

    fn end(&mut self, of: Option<i64>) {
        let label = of.and_then(|id| self.tables.get(&id));
        if let Some(count) = label.and_then(|label| self.counts.get_mut(label)) {
            *count = self.rows.lines;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_counted_wherever_they_are_cut(rows in 0_u64..40, cuts in prop::collection::vec(0_usize..400, 0..6)) {
            let mut text = Vec::new();
            for row in 0..rows {
                text.extend(match row % 4 {
                    0 => b"1\tx\n".as_slice(),
                    1 => b"\\\\.\n",
                    2 => b"\n",
                    _ => b"\\N\\.\n",
                });
            }
            text.extend(b"\\.\n\n\n");
            let mut counted = Rows::default();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut last = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                counted.feed(&text[last..cut]);
                last = cut;
            }
            prop_assert_eq!(counted.lines, rows);
        }
    }
}
