//! The files of two trees of which only their contents say whether they are the same.

use super::decision::Rules;
use super::pair::{Descent, Pair, SOURCE, TARGET, Visitor};
use super::work::{Action, Notes, Work};
use crate::error::Result;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::schema::filter::OWN_FOLDER;

/// Notes those files.
pub(in crate::store::files) struct Candidates<'a> {
    rules: &'a Rules,
    notes: Notes,
}

impl<'a> Candidates<'a> {
    /// None yet.
    pub(in crate::store::files) fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            notes: Notes::new(),
        }
    }

    /// All of them.
    pub(in crate::store::files) fn finish(self) -> Result<Work> {
        self.notes.finish(None)
    }
}

impl Visitor for Candidates<'_> {
    type Level = ();

    fn entry(&mut self, (): &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
        let (Some(kind), Some(other)) = (pair.kind(SOURCE), pair.kind(TARGET)) else {
            return Ok(None);
        };
        let filter = &self.rules.filter;
        if kind != other || pair.path == OWN_FOLDER || filter.excludes(pair.path, kind) {
            return Ok(None);
        }
        if kind == FileKind::Directory {
            let sides = [true, true];
            return Ok(Some(Descent { level: (), sides }));
        }
        if kind == FileKind::Regular
            && filter.includes(pair.path)
            && let (Some(source), Some(live)) = (pair.stat(SOURCE)?, pair.stat(TARGET)?)
            && filter.takes(pair.path, &source)
            && self.rules.could_be_same(&source, &live)
        {
            self.notes.add(pair.path, &source, None, Action::Copy)?;
        }
        Ok(None)
    }

    fn passes_by(&self, path: &[u8]) -> bool {
        self.rules.filter.excludes(path, FileKind::Directory)
    }
}
