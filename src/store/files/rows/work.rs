//! What a run will do to each name, in the order of the walk.

use super::listing::{Cursor, Entry, Listing, Writer};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::Stat;

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Action {
    /// It is copied from the source.
    Copy,
    /// It is live's; if that has gone, the source's where `is_same`.
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

/// Takes down what becomes of names, in the order of the walk.
pub(in crate::store::files) struct Notes(Writer);

impl Notes {
    /// Nothing yet.
    pub(in crate::store::files) fn new() -> Self {
        Self(Writer::new())
    }

    /// Adds a name.
    pub(in crate::store::files) fn add(
        &mut self,
        path: &[u8],
        stat: &Stat,
        link: Option<&[u8]>,
        action: Action,
    ) -> Result<()> {
        self.0.push(path, stat, link, action.mark())
    }

    /// Ends the list; of the tree itself is known what the source's root is.
    pub(in crate::store::files) fn finish(self, root: Option<Stat>) -> Result<Work> {
        let listing = self.0.finish()?;
        Ok(Work { listing, root })
    }
}

/// What a run will do, name by name.
#[derive(Clone)]
pub(in crate::store::files) struct Work {
    listing: Listing,
    /// What is known of the source's root.
    pub(in crate::store::files) root: Option<Stat>,
}

impl Work {
    /// Reads it from the beginning.
    pub(in crate::store::files) fn tasks(&self) -> Result<Tasks> {
        self.listing.cursor().map(Tasks)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_is_read_as_it_was_written() {
        for (mark, action) in Action::ALL {
            assert_eq!(action.mark(), mark);
            assert_eq!(Action::of(mark).unwrap(), action);
        }
        assert!(Action::of(0).is_err());
    }
}
