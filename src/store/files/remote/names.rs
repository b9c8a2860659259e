//! The names that an rsync is told, in lists of a size that fits into memory: rsync keeps all of a list in its own.

use super::rsync::Names;
use crate::error::Result;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::rows::listing::Entry;
use crate::store::files::rows::work::{Action, Tasks, Work};

/// A list has so many names at the most,
const NAMES: usize = 20_000;
/// and so many bytes of files, unless it is one.
const BYTES: u64 = 1 << 30;

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
