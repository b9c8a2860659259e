//! What a run will change in a tree on another machine, name by name.

use std::collections::HashSet;

use super::workspace::Plan;
use crate::error::{Result, io};
use crate::store::files::connection::stat::FileKind;
use crate::store::files::publish::list::{Change, Changes, Lines, Seen, Traits};
use crate::store::files::publish::paths::is_in;
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::pair::{SOURCE, TARGET};
use crate::store::files::rows::spool::{Spool, Spooled};
use crate::store::files::rows::work::Action;

/// The list, as text, and to be read. `kept`: the directories that the source does not have, and of which something stays.
pub(super) fn note(
    plan: &Plan,
    staged: &Listing,
    kept: &HashSet<Vec<u8>>,
) -> Result<(Spooled, Changes)> {
    let failed = || io("cannot keep the list of what will be changed in /var/tmp");
    let mut spool = Spool::new();
    let (mut lines, mut text) = (Lines::default(), Vec::new());
    Lines::begin(&mut text);
    let mut sides = Sides {
        live: Follow::of(plan.live.as_ref())?,
        staged: Follow::of(Some(staged))?,
        kept,
    };
    if let Some(old) = sides
        .live
        .find(b"")?
        .and_then(|root| Traits::of(&root.stat))
    {
        let new = plan.work.root.as_ref().and_then(Traits::of);
        lines.add(b"", &Change::Kept(old, new), &mut text)?;
    }
    let mut whole: Option<Vec<u8>> = None;
    let mut tasks = plan.work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        let path = &entry.path;
        if !whole.as_ref().is_some_and(|whole| is_in(path, whole))
            && let Some((change, is_whole)) = sides.change(entry, action)?
        {
            lines.add(path, &change, &mut text)?;
            whole = is_whole.then(|| path.clone());
            spool.write(&text).map_err(failed())?;
            text.clear();
        }
        tasks.advance()?;
    }
    lines.end(&mut text);
    spool.write(&text).map_err(failed())?;
    let spooled = spool.finish().map_err(failed())?;
    Ok((spooled.clone(), Changes::of(spooled)))
}

/// What is known of live, and of what was brought.
struct Sides<'a> {
    live: Follow,
    staged: Follow,
    kept: &'a HashSet<Vec<u8>>,
}

impl Sides<'_> {
    /// What becomes of a name, and whether that is all for what is in it.
    fn change(&mut self, entry: &Entry, action: Action) -> Result<Option<(Change, bool)>> {
        let path = &entry.path;
        let live = self.live.find(path)?.map(|found| found.stat);
        let staged = self.staged.find(path)?.map(|found| Seen::of(&found.stat));
        let come = |seen| match live {
            Some(_) => Change::Replaced(seen),
            None => Change::Added(seen),
        };
        Ok(match action {
            Action::TakeOver { .. } => None,
            Action::Delete => Some((Change::Deleted, false)),
            Action::Copy => staged.map(|seen| (come(seen), false)),
            Action::Enter {
                is_doomed: true, ..
            } if !self.kept.contains(path) => Some((Change::Deleted, true)),
            Action::Enter { sides, .. } => match live {
                Some(found) if found.kind == FileKind::Directory => {
                    let new = sides[SOURCE].then(|| Traits::of(&entry.stat)).flatten();
                    Traits::of(&found).map(|old| (Change::Kept(old, new), false))
                }
                _ if sides[SOURCE] && !sides[TARGET] => staged.map(|seen| (come(seen), true)),
                _ => None,
            },
        })
    }
}
