//! The names that an rsync or a tar is told, in lists of a size that fits into memory: rsync keeps all of a list in its own.

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::told;
use crate::store::files::rows::listing::Entry;
use crate::store::files::rows::work::{Action, Tasks, Work};

/// A list has so many names at the most,
const NAMES: usize = 20_000;
/// and so many bytes of files, unless it is one.
const BYTES: u64 = 1 << 30;

/// No longer path is one call of the system's, with what rsync puts before and behind it.
pub(super) const LONGEST: usize = 4080;
/// What stands before each name: without it, rsync takes one that begins with `#` or `;` for a comment, and tar one with `-` for an option.
const HERE: &[u8] = b"./";

/// Names of files, as both are told them: with a NUL behind each.
pub(super) struct Names {
    text: Vec<u8>,
    /// How many there are.
    pub(super) count: usize,
    /// Bytes of the files.
    pub(super) bytes: u64,
    /// They have holes.
    pub(super) is_sparse: bool,
}

impl Names {
    /// None.
    pub(super) fn new(is_sparse: bool) -> Self {
        Self {
            text: Vec::new(),
            count: 0,
            bytes: 0,
            is_sparse,
        }
    }

    /// One more.
    pub(super) fn add(&mut self, path: &[u8], bytes: u64) {
        self.text.extend_from_slice(HERE);
        self.text.extend_from_slice(path);
        self.text.push(0);
        self.count += 1;
        self.bytes += bytes;
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.text.split(|byte| *byte == 0);
        names.take(self.count).map(|name| &name[HERE.len()..])
    }
    /// As a program reads them.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// As entries of which nothing else is known.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |name: &[u8]| Entry {
            path: name.to_vec(),
            stat: Stat::unknown(FileKind::Regular),
            link: None,
        };
        self.iter().map(entry).collect()
    }
}

/// Which names of a run's work are meant.
pub(super) type Meant = fn(&Entry, Action) -> bool;

/// Files and links that are copied.
pub(super) fn copied(_: &Entry, action: Action) -> bool {
    action == Action::Copy
}

/// Cuts the names of a run's work into lists; files with holes in lists of their own.
pub(super) struct Lists {
    tasks: Tasks,
    meant: Meant,
    /// Those without holes, and those with.
    begun: [Names; 2],
}

impl Lists {
    /// Of the names that are meant.
    pub(super) fn of(work: &Work, meant: Meant) -> Result<Self> {
        Ok(Self {
            tasks: work.tasks()?,
            meant,
            begun: [Names::new(false), Names::new(true)],
        })
    }

    /// The next list; `None`: there is none.
    pub(super) fn next(&mut self) -> Result<Option<Names>> {
        while let Some((entry, action)) = self.tasks.task()? {
            let mut full = None;
            if (self.meant)(entry, action) {
                if entry.path.len() > LONGEST {
                    return Err(too_long(&entry.path));
                }
                let is_sparse = entry.stat.kind == FileKind::Regular && entry.stat.is_sparse();
                let list = &mut self.begun[usize::from(is_sparse)];
                let is_full = list.count >= NAMES || list.bytes + entry.stat.size > BYTES;
                if is_full && list.count > 0 {
                    full = Some(std::mem::replace(list, Names::new(is_sparse)));
                }
                list.add(&entry.path, entry.stat.size);
            }
            self.tasks.advance()?;
            if full.is_some() {
                return Ok(full);
            }
        }
        let mut left = self.begun.iter_mut().filter(|list| list.count > 0);
        Ok(left
            .next()
            .map(|list| std::mem::replace(list, Names::new(list.is_sparse))))
    }
}

/// rsync would take it for one that has vanished, and tar cannot name it.
pub(super) fn too_long(path: &[u8]) -> Error {
    let what = format!(
        "{} is too long for rsync: its path has {} bytes, and {LONGEST} are possible over ssh",
        told(path),
        path.len()
    );
    Error::new(Kind::Verify, what).hint("leave it out with `exclude`, or move it further up")
}
