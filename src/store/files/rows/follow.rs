//! Looks paths up in a list, in the order of the walk: in step with another list.

use std::cmp::Ordering;

use super::listing::{Cursor, Entry, Listing, order};
use crate::error::Result;
use crate::store::files::connection::stat::Stat;

/// A list that is looked up in.
#[derive(Default)]
pub(in crate::store::files) struct Follow(Option<Cursor>);

impl Follow {
    /// A list; `None`: one with nothing in it.
    pub(in crate::store::files) fn of(listing: Option<&Listing>) -> Result<Self> {
        listing.map(Listing::cursor).transpose().map(Self)
    }

    /// What is known of a path, which comes after all that were looked up before.
    pub(in crate::store::files) fn find(&mut self, path: &[u8]) -> Result<Option<&Entry>> {
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

    /// Whether this is so of anything below a path, which was looked up last.
    pub(in crate::store::files) fn any_below(
        &mut self,
        path: &[u8],
        is_so: impl Fn(&Stat) -> bool,
    ) -> Result<bool> {
        let Some(cursor) = &mut self.0 else {
            return Ok(false);
        };
        while let Some((entry, _)) = cursor.entry() {
            let rest = entry.path.strip_prefix(path);
            if !rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..])) {
                break;
            }
            if is_so(&entry.stat) {
                return Ok(true);
            }
            cursor.advance()?;
        }
        Ok(false)
    }
}
