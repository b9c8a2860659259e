//! Looks paths up in a list, in the order of the walk: in step with another list.

use std::cmp::Ordering;

use crate::error::Result;
use crate::store::files::rows::listing::{Cursor, Entry, Listing, order};

/// A list that is looked up in.
pub(super) struct Follow(Option<Cursor>);

impl Follow {
    /// A list; `None`: one with nothing in it.
    pub(super) fn of(listing: Option<&Listing>) -> Result<Self> {
        listing.map(Listing::cursor).transpose().map(Self)
    }

    /// What is known of a path, which comes after all that were looked up before.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<&Entry>> {
        let Some(cursor) = &mut self.0 else {
            return Ok(None);
        };
        while let Some((entry, _)) = cursor.entry() {
            if order(&entry.path, path) != Ordering::Less {
                break;
            }
            cursor.advance()?;
        }
        let found = cursor.entry().map(|(entry, _)| entry);
        Ok(found.filter(|entry| entry.path == path))
    }
}
