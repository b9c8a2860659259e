//! What a run will do to each name, in the order of the walk.

use std::cmp::Ordering;
use std::sync::Arc;

use super::listing::{Cursor, Entry, Listing, Writer, order};
use super::pair::TARGET;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::Stat;

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Action {
    /// It is copied from the source.
    Copy,
    /// It is live's; if that has gone, the source's where `is_same`. What is known of it has live's inode.
    TakeOver {
        /// Whether the source has the same.
        is_same: bool,
    },
    /// It is live's, and goes.
    Delete,
    /// It is a directory, of what is in it on these sides.
    Enter {
        /// The source's and live's.
        sides: [bool; 2],
        /// It is made only if something in it stays.
        is_doomed: bool,
    },
}

impl Action {
    const ALL: [(u8, Self); 9] = {
        const fn enter(sides: [bool; 2], is_doomed: bool) -> Action {
            Action::Enter { sides, is_doomed }
        }
        [
            (1, Self::Copy),
            (2, Self::TakeOver { is_same: true }),
            (3, Self::TakeOver { is_same: false }),
            (4, Self::Delete),
            (5, enter([false, false], false)),
            (6, enter([true, false], false)),
            (7, enter([false, true], false)),
            (8, enter([true, true], false)),
            (9, enter([false, true], true)),
        ]
    };

    /// Whether the new tree has anything else under the name than live's own file, or a directory that live has, too.
    fn changes(self) -> bool {
        match self {
            Self::TakeOver { .. } => false,
            Self::Copy | Self::Delete => true,
            Self::Enter { sides, is_doomed } => is_doomed || !sides[TARGET],
        }
    }

    fn mark(self) -> u8 {
        let found = Self::ALL.iter().find(|(_, action)| *action == self);
        found.map_or(0, |(mark, _)| *mark)
    }

    fn of(mark: u8) -> Result<Self> {
        let found = Self::ALL.iter().find(|(one, _)| *one == mark);
        let broken = || Error::new(Kind::Internal, "the list of a run's work is broken");
        found.map(|(_, action)| *action).ok_or_else(broken)
    }
}

/// The paths of a tree at which a run changes something, in the order of the walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store::files) struct Changed {
    /// Each with a NUL.
    text: Vec<u8>,
}

impl Changed {
    /// The paths of a list that has no more bytes than this are kept.
    pub(in crate::store::files) const MOST: usize = 4 << 20;

    /// Of paths with a NUL each.
    pub(in crate::store::files) fn of(text: Vec<u8>) -> Self {
        Self { text }
    }

    /// The paths, with a NUL each.
    pub(in crate::store::files) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The paths.
    pub(in crate::store::files) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        let ended = self.text.strip_suffix(b"\0");
        ended
            .into_iter()
            .flat_map(|text| text.split(|byte| *byte == 0))
    }

    /// `false`: it would be too long.
    fn add(&mut self, path: &[u8]) -> bool {
        self.text.extend_from_slice(path);
        self.text.push(0);
        self.text.len() <= Self::MOST
    }
}

/// Takes down what becomes of names, in the order of the walk.
pub(in crate::store::files) struct Notes {
    writer: Writer,
    /// `None`: there were too many.
    changed: Option<Changed>,
}

impl Notes {
    /// Nothing yet.
    pub(in crate::store::files) fn new() -> Self {
        Self {
            writer: Writer::new(),
            changed: Some(Changed::default()),
        }
    }

    /// Adds a name.
    pub(in crate::store::files) fn add(
        &mut self,
        path: &[u8],
        stat: &Stat,
        link: Option<&[u8]>,
        action: Action,
    ) -> Result<()> {
        if action.changes() {
            self.changed.take_if(|changed| !changed.add(path));
        }
        self.writer.push(path, stat, link, action.mark())
    }

    /// Ends the list; of the tree itself is known what the source's root is.
    pub(in crate::store::files) fn finish(self, root: Option<Stat>) -> Result<Work> {
        let listing = self.writer.finish()?;
        Ok(Work {
            listing,
            root,
            changed: self.changed.map(Arc::new),
        })
    }
}

/// What a run will do, name by name.
#[derive(Clone)]
pub(in crate::store::files) struct Work {
    listing: Listing,
    /// What is known of the source's root.
    pub(in crate::store::files) root: Option<Stat>,
    /// Where it changes something; `None`: in too many places.
    pub(in crate::store::files) changed: Option<Arc<Changed>>,
}

impl Work {
    /// Reads it from the beginning.
    pub(in crate::store::files) fn tasks(&self) -> Result<Tasks> {
        self.listing.cursor().map(Tasks)
    }

    /// Looks names up in it, in the order of the walk.
    pub(in crate::store::files) fn planned(&self) -> Result<Planned> {
        self.tasks().map(Planned)
    }
}

/// A place in the list.
pub(in crate::store::files) struct Tasks(Cursor);

impl Tasks {
    /// The name that it is at: what is known of it on the side that it comes from, and what becomes of it.
    pub(in crate::store::files) fn task(&self) -> Result<Option<(&Entry, Action)>> {
        let Some((entry, mark)) = self.0.entry() else {
            return Ok(None);
        };
        Ok(Some((entry, Action::of(mark)?)))
    }

    /// Goes to the next.
    pub(in crate::store::files) fn advance(&mut self) -> Result<()> {
        self.0.advance()
    }
}

/// What of a run's work was planned for names that are looked up one after the other.
pub(in crate::store::files) struct Planned(Tasks);

impl Planned {
    /// What is to become of a path, which comes after all that were looked up before, and the inode of live's.
    pub(in crate::store::files) fn find(&mut self, path: &[u8]) -> Result<Option<(Action, u64)>> {
        while let Some((entry, action)) = self.0.task()? {
            match order(&entry.path, path) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some((action, entry.stat.id.1))),
                Ordering::Greater => break,
            }
            self.0.advance()?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::connection::stat::FileKind;

    #[test]
    fn names_are_looked_up_in_the_order_of_the_walk_and_none_twice() {
        let mut notes = Notes::new();
        for (path, inode) in [("a", 1), ("a/b", 2), ("a b", 3), ("c", 4)] {
            let mut stat = Stat::unknown(FileKind::Regular);
            stat.id.1 = inode;
            notes
                .add(path.as_bytes(), &stat, None, Action::Copy)
                .unwrap();
        }
        let mut planned = notes.finish(None).unwrap().planned().unwrap();
        let mut find = |path: &str| {
            planned
                .find(path.as_bytes())
                .unwrap()
                .map(|(_, inode)| inode)
        };
        assert_eq!(
            (find("a"), find("a/a"), find("a/b")),
            (Some(1), None, Some(2))
        );
        assert_eq!((find("b"), find("c"), find("d")), (None, Some(4), None));
    }

    #[test]
    fn each_action_is_read_as_it_was_written() {
        for (mark, action) in Action::ALL {
            assert_eq!(action.mark(), mark);
            assert_eq!(Action::of(mark).unwrap(), action);
        }
        assert!(Action::of(0).is_err());
    }
}
