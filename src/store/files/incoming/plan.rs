//! What a run would change, before it changes anything.

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::mounts::{is_elsewhere, not_exchanged};
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::rows::decision::{Decision, Rules, Under, fixed};
use crate::store::files::rows::pair::{Descent, Pair, SOURCE, TARGET, Visitor};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::{Action, Notes, Work};
use crate::store::files::schema::options::{Link, MaxDelete};

/// What a run would do to live's files.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) struct Changes {
    /// Files that live has.
    pub(in crate::store::files) live: u64,
    /// Files that it has and the new tree does not.
    pub(in crate::store::files) deleted: u64,
    /// Files that are copied from the source.
    pub(in crate::store::files) copied: u64,
    /// Bytes that need room.
    pub(in crate::store::files) bytes: u64,
    /// Directories that are made, go, or get other permissions.
    pub(in crate::store::files) directories: u64,
}

impl Changes {
    /// Whether there is nothing to do.
    pub(in crate::store::files) fn are_none(&self) -> bool {
        self.deleted + self.copied + self.directories == 0
    }

    /// Refuses more deletions than a task allows.
    pub(in crate::store::files) fn check(&self, most: MaxDelete) -> Result<()> {
        if !most.is_exceeded_by(self.deleted, self.live) {
            return Ok(());
        }
        let what = format!(
            "{} of live's {} files would be deleted, and `max_delete` is {most}",
            self.deleted, self.live
        );
        Err(Error::new(Kind::Policy, what).hint(
            "see whether the source is whole; if it is meant so, raise `max_delete` for one run",
        ))
    }
}

/// A directory that the walk is in.
struct Level {
    under: Under,
    stats: [Option<Stat>; 2],
    /// Something of it stays.
    keeps: bool,
}

/// Finds out what a run would change.
pub(in crate::store::files) struct Planner<'a> {
    rules: &'a Rules,
    link: Link,
    warnings: &'a Warnings,
    /// Live's device: what is another file system's is not live's.
    device: Option<u64>,
    levels: Vec<Level>,
    root: Option<Stat>,
    notes: Notes,
    /// The first of live's files that is taken over, and must not be changed.
    pub(in crate::store::files) fixed: Option<Vec<u8>>,
    /// When a name was changed in live's directories last, or nothing of them was later.
    pub(in crate::store::files) touched: Moment,
    /// Whose directories can be given other permissions, where they stay in live; `None`: all.
    pub(in crate::store::files) sets_only_of: Option<u32>,
    /// What was found.
    pub(in crate::store::files) changes: Changes,
}

impl<'a> Planner<'a> {
    /// By these rules.
    pub(in crate::store::files) fn new(
        rules: &'a Rules,
        link: Link,
        warnings: &'a Warnings,
    ) -> Self {
        Self {
            rules,
            link,
            warnings,
            device: None,
            levels: vec![Level {
                under: Under::Both,
                stats: [None; 2],
                keeps: true,
            }],
            root: None,
            notes: Notes::new(),
            fixed: None,
            touched: Moment::default(),
            sets_only_of: None,
            changes: Changes::default(),
        }
    }

    /// What would change, and what is to be done.
    pub(in crate::store::files) fn finish(self) -> Result<(Changes, Work)> {
        Ok((self.changes, self.notes.finish(self.root)?))
    }

    fn keep(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.keeps = true;
        }
    }

    /// What is taken over from live needs room only as a copy.
    fn take_over(&mut self, pair: &Pair<'_>, is_same: bool) -> Result<()> {
        self.keep();
        let found = if is_same { pair.stat(SOURCE)? } else { None };
        let mut found = found.unwrap_or_else(|| Stat::unknown(kind_of(pair, TARGET)));
        let live = pair.stat(TARGET)?;
        if self.link == Link::Copy {
            self.changes.bytes += live.map_or(0, |live| live.stored);
        }
        if let Some(live) = live {
            found.id = live.id;
            if live.is_fixed && self.fixed.is_none() {
                self.fixed = Some(pair.path.to_vec());
            }
        }
        let action = Action::TakeOver { is_same };
        self.notes.add(pair.path, &found, None, action)
    }

    fn copy(&mut self, pair: &Pair<'_>) -> Result<()> {
        refuse_fixed(pair)?;
        let Some(found) = pair.stat(SOURCE)? else {
            self.warnings.add(Warning::Vanished, pair.path);
            if pair.kind(TARGET).is_some() {
                self.take_over(pair, false)?;
            }
            return Ok(());
        };
        self.keep();
        self.changes.copied += 1;
        self.changes.bytes += found.stored;
        let leads_to = match found.kind {
            FileKind::Link => pair.link(SOURCE)?,
            _ => None,
        };
        let link = leads_to.as_deref().or(pair.tag(SOURCE));
        self.notes.add(pair.path, &found, link, Action::Copy)
    }

    fn delete(&mut self, pair: &Pair<'_>) -> Result<()> {
        refuse_fixed(pair)?;
        self.changes.deleted += 1;
        let found = Stat::unknown(kind_of(pair, TARGET));
        self.notes.add(pair.path, &found, None, Action::Delete)
    }
}

/// Refuses to replace or remove live's where that must not be changed.
fn refuse_fixed(pair: &Pair<'_>) -> Result<()> {
    let live = pair.sides[TARGET].as_ref().and_then(|live| live.directory);
    let is_fixed = live.map(|live| live.is_fixed(pair.name).at("cannot look at", pair.path));
    match is_fixed.transpose()? {
        Some(true) => Err(fixed(pair.path)),
        _ => Ok(()),
    }
}

fn kind_of(pair: &Pair<'_>, side: usize) -> FileKind {
    pair.kind(side).unwrap_or(FileKind::Special)
}

impl Visitor for Planner<'_> {
    type Level = ();

    fn entry(&mut self, (): &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
        let under = self.levels.last().map_or(Under::Both, |level| level.under);
        let decision = self.rules.decide(under, pair, self.warnings)?;
        let in_live = pair.kind(TARGET);
        if in_live.is_some_and(|kind| kind != FileKind::Directory) {
            self.changes.live += 1;
        }
        match decision {
            Decision::Nothing => {}
            Decision::Delete => self.delete(pair)?,
            Decision::Keep => self.take_over(pair, false)?,
            Decision::Same => self.take_over(pair, true)?,
            Decision::Copy => self.copy(pair)?,
            Decision::Enter(sides, under) => {
                // A file of live's makes way for it.
                if sides == [true, false] && in_live.is_some() {
                    refuse_fixed(pair)?;
                }
                let is_doomed = under == Under::Doomed;
                let side = if sides[SOURCE] { SOURCE } else { TARGET };
                let found = match pair.stat(side)? {
                    // One that has no permissions of its own keeps those of live's.
                    Some(found) if found.is_vague() && sides[TARGET] => pair.stat(TARGET)?,
                    found => found,
                };
                let found = found.unwrap_or_else(|| Stat::unknown(FileKind::Directory));
                let action = Action::Enter { sides, is_doomed };
                self.notes.add(pair.path, &found, None, action)?;
                self.levels.push(Level {
                    under,
                    stats: [None; 2],
                    keeps: under != Under::Doomed,
                });
                return Ok(Some(Descent { level: (), sides }));
            }
        }
        Ok(None)
    }

    fn passes_by(&self, path: &[u8]) -> bool {
        self.rules.filter.excludes(path, FileKind::Directory)
    }

    fn opened(&mut self, (): &mut (), side: usize, found: &Stat, path: &[u8]) -> Result<()> {
        if side == TARGET {
            if !path.is_empty() && is_elsewhere(found, self.device) {
                return Err(not_exchanged(path, "live"));
            }
            self.device = Some(found.id.0);
            // Its exchange, too, has changed the tree's own directory, and no name in it.
            let touched = if path.is_empty() {
                found.modified
            } else {
                found.changed
            };
            self.touched = self.touched.max(touched);
        }
        let keeps = self.root.is_some_and(|root| !root.is_vague());
        if path.is_empty() && (side == SOURCE || !keeps) {
            self.root = Some(*found);
        }
        if let Some(level) = self.levels.last_mut() {
            level.stats[side] = Some(*found);
        }
        Ok(())
    }

    fn leave(&mut self, (): (), _path: &[u8]) -> Result<()> {
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        let is_changed = match level.stats {
            [Some(source), Some(live)] => {
                (self.sets_only_of).is_none_or(|user| live.owner.0 == user)
                    && (!self.rules.has_same_mode(&source, &live)
                        || !self.rules.has_same_owner(&source, &live))
            }
            // It is made, or it goes.
            [Some(_), None] => true,
            _ => !level.keeps,
        };
        self.changes.directories += u64::from(is_changed);
        if level.keeps {
            self.keep();
        }
        Ok(())
    }
}
