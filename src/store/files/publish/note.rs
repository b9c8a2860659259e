//! What a run will change in live, name by name, as it is right before it does: what it finds there is what can be had again.

use std::sync::Arc;

use super::list::{Change, Seen, Traits};
use super::paths::{Paths, is_in, split};
use crate::error::Result;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::connection::told::At;
use crate::store::files::rows::kept::kept;
use crate::store::files::rows::listing::Entry;
use crate::store::files::rows::pair::{SOURCE, TARGET};
use crate::store::files::rows::work::{Action, Work};

/// Is given each name that is changed, and each directory that stays.
type Take<'a> = dyn FnMut(&[u8], &Change) -> Result<()> + 'a;

/// Looks through live for all that a run's work will change there.
pub(super) fn note(
    work: &Work,
    new: &Arc<Directory>,
    live: &Arc<Directory>,
    take: &mut Take<'_>,
) -> Result<()> {
    let mut doomed = Paths::of(live);
    let kept = kept(work, |path, names| {
        let Some(directory) = doomed.find(path)? else {
            return Ok(false);
        };
        let there = directory.names().at("cannot read directory", path)?;
        Ok(there.len() as u64 != names)
    })?;
    let root = live.own_stat().at("cannot look at", b"")?;
    if let Some(old) = Traits::of(&root) {
        let new = work.root.as_ref().and_then(Traits::of);
        take(b"", &Change::Kept(old, new))?;
    }
    let mut sides = Sides {
        live: Paths::of(live),
        new: Paths::of(new),
    };
    // A directory that goes or comes as a whole.
    let mut whole: Option<Vec<u8>> = None;
    let mut tasks = work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        let path = &entry.path;
        if !whole.as_ref().is_some_and(|whole| is_in(path, whole)) {
            let stays = |path: &[u8]| kept.contains(path);
            if let Some((change, is_whole)) = sides.change(entry, action, &stays)? {
                take(path, &change)?;
                whole = is_whole.then(|| path.clone());
            }
        }
        tasks.advance()?;
    }
    Ok(())
}

/// Live and the new tree.
struct Sides {
    live: Paths,
    new: Paths,
}

impl Sides {
    /// What becomes of a name, and whether that is all for what is in it.
    fn change(
        &mut self,
        entry: &Entry,
        action: Action,
        stays: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<(Change, bool)>> {
        let path = &entry.path;
        let (above, name) = split(path)?;
        let look = |paths: &mut Paths| match paths.find(above)? {
            Some(directory) => directory.find(&name).at("cannot look at", path),
            None => Ok(None),
        };
        let live = look(&mut self.live)?;
        match action {
            Action::TakeOver { .. } => Ok(None),
            Action::Delete => Ok(live.map(|_| (Change::Deleted, false))),
            Action::Copy => {
                // It has vanished from the source, and was never copied.
                let Some(new) = look(&mut self.new)? else {
                    return Ok(None);
                };
                let seen = Seen::of(&new);
                let change = match live {
                    Some(_) => Change::Replaced(seen),
                    None => Change::Added(seen),
                };
                Ok(Some((change, false)))
            }
            Action::Enter { sides, is_doomed } => {
                let new = if sides[SOURCE] {
                    Traits::of(&entry.stat)
                } else {
                    None
                };
                match live {
                    Some(_) if is_doomed && !stays(path) => Ok(Some((Change::Deleted, true))),
                    Some(found) if found.kind == FileKind::Directory => {
                        Ok(Traits::of(&found).map(|old| (Change::Kept(old, new), false)))
                    }
                    // A file that has a directory's name makes way for all of it.
                    Some(_) if sides[SOURCE] => {
                        let found = look(&mut self.new)?;
                        Ok(found.map(|found| (Change::Replaced(Seen::of(&found)), true)))
                    }
                    None if sides[SOURCE] && !sides[TARGET] => Ok(Some((Change::Made(new), false))),
                    _ => Ok(None),
                }
            }
        }
    }
}
