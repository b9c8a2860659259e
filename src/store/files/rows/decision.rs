//! What becomes of a name that the source has, or live, or both.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::content;
use super::follow::Follow;
use super::pair::{Pair, SOURCE, TARGET};
use super::precision::Kept;
use super::warnings::{Warning, Warnings};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::{At, told};
use crate::store::files::schema::filter::{Filter, OWN_FOLDER};
use crate::sync::Mutex;

/// What is to become of all that is in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Under {
    /// It is what source and task say.
    Both,
    /// It stays as it is in live.
    Kept,
    /// It goes, but for what is excluded: the source has no such directory.
    Doomed,
}

/// What becomes of a name.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::files) enum Decision {
    /// It is not in the new tree, and was not in live.
    Nothing,
    /// It is in live, and not in the new tree.
    Delete,
    /// The new tree has live's.
    Keep,
    /// It has live's, which is what the source's is.
    Same,
    /// It has the source's.
    Copy,
    /// The new tree has a directory, made of what is in it on these sides.
    Enter([bool; 2], Under),
}

/// What decides.
pub(in crate::store::files) struct Rules {
    /// Which files of the source are copied.
    pub(in crate::store::files) filter: Arc<Filter>,
    /// What only live has stays.
    pub(in crate::store::files) overlay: bool,
    /// Files are compared by content.
    pub(in crate::store::files) by_content: bool,
    /// Files that have another content, where that is found out before and not by reading them one by one.
    pub(in crate::store::files) differing: Option<Mutex<Follow>>,
    /// Owners are kept.
    pub(in crate::store::files) keeps_owners: bool,
    /// What the target's file system keeps beside them.
    pub(in crate::store::files) kept: Kept,
    /// Ends the comparison of contents.
    pub(in crate::store::files) stop: CancellationToken,
    /// What compares files where one side is in no file system.
    pub(in crate::store::files) likeness: Option<Arc<dyn Likeness>>,
}

/// Compares files of which one at least is in no file system.
pub(in crate::store::files) trait Likeness: Send + Sync {
    /// Whether live's file is what the source's is.
    fn is_same(&self, pair: &Pair<'_>, source: &Stat, live: &Stat, kept: &Kept) -> Result<bool>;
}

impl Rules {
    /// What becomes of a name.
    pub(in crate::store::files) fn decide(
        &self,
        under: Under,
        pair: &Pair<'_>,
        warnings: &Warnings,
    ) -> Result<Decision> {
        let (source, live) = (pair.kind(SOURCE), pair.kind(TARGET));
        let Some(kind) = source.or(live) else {
            return Ok(Decision::Nothing);
        };
        if pair.path == OWN_FOLDER {
            return Ok(Decision::Nothing);
        }
        if under == Under::Kept || self.filter.excludes(pair.path, kind) {
            return Ok(kept(live));
        }
        match source {
            // What the task is not for stays.
            None if live != Some(FileKind::Directory) && !self.filter.includes(pair.path) => {
                Ok(kept(live))
            }
            None => Ok(self.alone(live)),
            Some(FileKind::Directory) => directory(pair, live),
            Some(FileKind::Special) => {
                warnings.add(Warning::Special, pair.path);
                Ok(kept(live))
            }
            Some(FileKind::Regular | FileKind::Link) => self.file(pair, live, warnings),
        }
    }

    /// Of a name that only live has.
    fn alone(&self, live: Option<FileKind>) -> Decision {
        match live {
            _ if self.overlay => kept(live),
            Some(FileKind::Directory) => Decision::Enter([false, true], Under::Doomed),
            Some(_) => Decision::Delete,
            None => Decision::Nothing,
        }
    }

    /// Of a file or a link of the source.
    fn file(
        &self,
        pair: &Pair<'_>,
        live: Option<FileKind>,
        warnings: &Warnings,
    ) -> Result<Decision> {
        let mut found = None;
        if !self.filter.includes(pair.path) {
            return Ok(kept(live));
        }
        if live.is_some() || self.filter.looks_closer() {
            found = pair.stat(SOURCE)?;
            let Some(found) = found else {
                warnings.add(Warning::Vanished, pair.path);
                return Ok(kept(live));
            };
            if !self.filter.takes(pair.path, &found) {
                return Ok(kept(live));
            }
        }
        if !self.filter.is_decided(pair.path) {
            let what = format!(
                "nobody has decided on {}, which came after the survey",
                told(pair.path)
            );
            return Err(Error::new(Kind::Policy, what));
        }
        if live == Some(FileKind::Directory) {
            return Err(in_the_way("a directory", "a file", pair.path));
        }
        if let (Some(found), Some(there)) = (found, pair.stat(TARGET)?)
            && self.is_same(pair, &found, &there)?
        {
            return Ok(Decision::Same);
        }
        Ok(Decision::Copy)
    }

    /// Whether live's file is what the source's is.
    fn is_same(&self, pair: &Pair<'_>, source: &Stat, live: &Stat) -> Result<bool> {
        if let Some(likeness) = &self.likeness {
            return likeness.is_same(pair, source, live, &self.kept);
        }
        if !self.could_be_same(source, live) {
            return Ok(false);
        }
        if source.kind == FileKind::Link {
            let links = (pair.link(SOURCE)?, pair.link(TARGET)?);
            return Ok(links.0.is_some() && links.0 == links.1);
        }
        if let Some(differing) = &self.differing {
            return Ok(differing.lock().find(pair.path)?.is_none());
        }
        if !self.by_content {
            return Ok(self.kept.has_time_of(source.modified, live.modified));
        }
        let [Some(one), Some(other)] = pair.sides.each_ref().map(|side| side.as_ref()?.directory)
        else {
            // Nobody can read both.
            return Ok(false);
        };
        let files = [
            one.read_file(pair.name).at("cannot read", pair.path)?,
            other
                .read_file(pair.name)
                .at("cannot read live's", pair.path)?,
        ];
        content::is_same([&files[SOURCE], &files[TARGET]], pair.path, &self.stop)
    }

    /// Whether a file or link of live's has all that the source's has, as far as that is known without time and content.
    pub(in crate::store::files) fn could_be_same(&self, source: &Stat, live: &Stat) -> bool {
        let is_link = source.kind == FileKind::Link;
        let has_mode = !self.kept.modes || self.mode(source) == live.mode;
        source.kind == live.kind
            && self.has_same_owner(source, live)
            && (is_link || (source.size == live.size && has_mode))
    }

    /// Whether a file or directory of live's has the owner that a copy would have.
    pub(in crate::store::files) fn has_same_owner(&self, source: &Stat, live: &Stat) -> bool {
        !self.keeps_owners || source.is_vague() || live.is_vague() || source.owner == live.owner
    }

    /// Whether a directory of live's has the permissions that a copy would have.
    pub(in crate::store::files) fn has_same_mode(&self, source: &Stat, live: &Stat) -> bool {
        !self.kept.modes || source.is_vague() || live.is_vague() || source.mode == live.mode
    }

    /// The permissions of a copy: what lets it run as its owner goes only with the owner.
    pub(in crate::store::files) fn mode(&self, source: &Stat) -> u32 {
        mode_of_copy(source, self.keeps_owners)
    }
}

/// The permissions of a copy: what lets it run as its owner goes only with the owner.
pub(in crate::store::files) fn mode_of_copy(source: &Stat, keeps_owners: bool) -> u32 {
    let is_executable_as = 0o6000;
    match source.kind {
        FileKind::Regular if !keeps_owners => source.mode & !is_executable_as,
        _ => source.mode,
    }
}

/// Live's own stays, if there is something.
fn kept(live: Option<FileKind>) -> Decision {
    match live {
        None => Decision::Nothing,
        Some(FileKind::Directory) => Decision::Enter([false, true], Under::Kept),
        Some(_) => Decision::Keep,
    }
}

/// Of a directory of the source.
fn directory(pair: &Pair<'_>, live: Option<FileKind>) -> Result<Decision> {
    match live {
        Some(FileKind::Link) => Err(in_the_way("a link", "a directory", pair.path)),
        Some(FileKind::Directory) => Ok(Decision::Enter([true, true], Under::Both)),
        _ => Ok(Decision::Enter([true, false], Under::Both)),
    }
}

/// Refuses to change what somebody has made unchangeable.
pub(in crate::store::files) fn fixed(path: &[u8]) -> Error {
    let what = format!(
        "{} must not be changed in live: it is immutable, or may only be appended to",
        told(path)
    );
    Error::new(Kind::Permission, what)
        .hint("ask who has made it so; `chattr -i -a` on it lets the run change it")
}

/// Refuses what stands where something of another kind has to be.
pub(in crate::store::files) fn in_the_way(live: &str, source: &str, path: &[u8]) -> Error {
    let what = format!(
        "{}: live has {live} where the source has {source}",
        told(path)
    );
    Error::new(Kind::Verify, what)
        .hint("see what it is for; then move it away, or leave it alone with `exclude`")
}
