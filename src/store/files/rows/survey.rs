//! Lists a source's tree, counts what a task is for in it, and cuts that into parts.

use std::sync::Arc;

use super::listing::{Listing, Mark, Writer};
use super::pair::{Descent, Pair, SOURCE, Visitor};
use crate::error::Result;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::told;
use crate::store::files::schema::filter::Filter;

/// A part has so many files at the most,
const FILES: u64 = 20_000;
/// and so many bytes, unless it is one file.
const BYTES: u64 = 1 << 30;
/// So many names that nobody has decided on are told.
const NAMED: usize = 12;

/// A part of a tree: what is from its first path up to the next part's.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::store::files) struct Batch {
    /// Its first path.
    pub(in crate::store::files) start: Box<[u8]>,
    /// Where it is in the list.
    pub(in crate::store::files) mark: Mark,
    /// Files, links included.
    pub(in crate::store::files) files: u64,
    /// Their bytes.
    pub(in crate::store::files) bytes: u64,
}

/// What was found.
pub(in crate::store::files) struct Found {
    filter: Arc<Filter>,
    list: Writer,
    /// The parts, in the order of their paths.
    pub(in crate::store::files) batches: Vec<Batch>,
    /// Files that are copied.
    pub(in crate::store::files) files: u64,
    /// The first names that nobody has decided on, and how many there are.
    pub(in crate::store::files) undecided: (Vec<String>, u64),
}

impl Found {
    /// Nothing yet.
    pub(in crate::store::files) fn new(filter: Arc<Filter>) -> Self {
        Self {
            filter,
            list: Writer::new(),
            batches: Vec::new(),
            files: 0,
            undecided: (Vec::new(), 0),
        }
    }

    /// What is in the tree; of what is excluded no more than that it is there.
    pub(in crate::store::files) fn listing(&mut self) -> Result<Listing> {
        std::mem::replace(&mut self.list, Writer::new()).finish()
    }

    fn add(&mut self, path: &[u8], bytes: u64) {
        self.files += 1;
        if !self.filter.is_decided(path) {
            let (names, all) = &mut self.undecided;
            *all += 1;
            if names.len() < NAMED {
                names.push(told(path));
            }
        }
        let is_full = |last: &Batch| last.files >= FILES || last.bytes + bytes > BYTES;
        if self.batches.last().is_none_or(is_full) {
            self.batches.push(Batch {
                start: path.into(),
                mark: self.list.mark(),
                ..Batch::default()
            });
        }
        if let Some(last) = self.batches.last_mut() {
            last.files += 1;
            last.bytes += bytes;
        }
    }
}

impl Visitor for Found {
    type Level = ();

    fn entry(&mut self, (): &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
        let Some(kind) = pair.kind(SOURCE) else {
            return Ok(None);
        };
        if self.filter.excludes(pair.path, kind) || kind == FileKind::Special {
            self.list.push(pair.path, &Stat::unknown(kind), None, 0)?;
            return Ok(None);
        }
        if kind == FileKind::Directory {
            return Ok(Some(Descent {
                level: (),
                sides: [true, false],
            }));
        }
        // What is gone already is nobody's.
        let Some(found) = pair.stat(SOURCE)? else {
            return Ok(None);
        };
        let link = match found.kind {
            FileKind::Link => pair.link(SOURCE)?,
            _ => None,
        };
        // Before it is in the list: a part may begin with it.
        match found.kind {
            FileKind::Regular if self.filter.takes(pair.path, &found) => {
                self.add(pair.path, found.size);
            }
            FileKind::Link if self.filter.includes(pair.path) => self.add(pair.path, 0),
            _ => {}
        }
        self.list.push(pair.path, &found, link.as_deref(), 0)?;
        Ok(None)
    }

    fn passes_by(&self, path: &[u8]) -> bool {
        self.filter.excludes(path, FileKind::Directory)
    }

    fn opened(&mut self, (): &mut (), _side: usize, found: &Stat, path: &[u8]) -> Result<()> {
        self.list.push(path, found, None, 0)
    }
}
