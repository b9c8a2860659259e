//! What a run would change, before it changes anything.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::Stat;
use crate::store::files::connection::told::{At, told};
use crate::store::files::rows::decision::{Decision, Rules, Under};
use crate::store::files::rows::walk::{Descent, Pair, SOURCE, TARGET, Visitor};
use crate::store::files::rows::warnings::Warnings;
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
            changes: Changes::default(),
        }
    }

    fn keep(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.keeps = true;
        }
    }

    /// What is taken over from live needs room only as a copy.
    fn take_over(&mut self, pair: &Pair<'_>) -> Result<()> {
        self.keep();
        if self.link == Link::Copy {
            self.changes.bytes += pair.stat(TARGET)?.map_or(0, |found| found.stored);
        }
        Ok(())
    }
}

impl Visitor for Planner<'_> {
    type Level = ();

    fn entry(&mut self, (): &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
        let under = self.levels.last().map_or(Under::Both, |level| level.under);
        let decision = self.rules.decide(under, pair, self.warnings)?;
        let in_live = pair.kind(TARGET);
        if in_live
            .is_some_and(|kind| kind != crate::store::files::connection::stat::FileKind::Directory)
        {
            self.changes.live += 1;
        }
        match decision {
            Decision::Nothing => {}
            Decision::Delete => self.changes.deleted += 1,
            Decision::Keep | Decision::Same => self.take_over(pair)?,
            Decision::Copy(bytes) => {
                self.keep();
                self.changes.copied += 1;
                self.changes.bytes += match bytes {
                    Some(bytes) => bytes,
                    None => pair.stat(SOURCE)?.map_or(0, |found| found.stored),
                };
            }
            Decision::Enter(sides, under) => {
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

    fn opened(
        &mut self,
        (): &mut (),
        side: usize,
        directory: &Arc<Directory>,
        path: &[u8],
    ) -> Result<()> {
        let found = directory.own_stat().at("cannot look at", path)?;
        if side == TARGET {
            let is_elsewhere = self.device.is_some_and(|device| device != found.id.0);
            if is_elsewhere || (found.is_mounted_on && !path.is_empty()) {
                let what = format!("{}: another file system is mounted in live", told(path));
                return Err(Error::new(Kind::Verify, what)
                    .hint("a tree with a mount in it cannot be exchanged for another one"));
            }
            self.device = Some(found.id.0);
        }
        if let Some(level) = self.levels.last_mut() {
            level.stats[side] = Some(found);
        }
        Ok(())
    }

    fn leave(&mut self, (): (), _path: &[u8]) -> Result<()> {
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        let is_changed = match level.stats {
            [Some(source), Some(live)] => {
                source.mode != live.mode || !self.rules.has_same_owner(&source, &live)
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
