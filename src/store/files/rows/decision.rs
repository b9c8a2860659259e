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
    /// Whether live's file is what the source's is. One that has vanished on either side is not.
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
        let (Some(found), Some(there)) = (found, pair.stat(TARGET)?) else {
            return Ok(Decision::Copy);
        };
        match self.is_same(pair, &found, &there)? {
            Some(true) => Ok(Decision::Same),
            Some(false) => Ok(Decision::Copy),
            None => {
                warnings.add(Warning::Vanished, pair.path);
                Ok(kept(live))
            }
        }
    }

    /// Whether live's file is what the source's is; `None`: the source's is there no more.
    fn is_same(&self, pair: &Pair<'_>, source: &Stat, live: &Stat) -> Result<Option<bool>> {
        let is_same = match &self.likeness {
            Some(likeness) => likeness.is_same(pair, source, live, &self.kept)?,
            None if self.has_to_be_read(source, live) => return self.has_same_content(pair),
            None => self.seems_same(pair, source, live)?,
        };
        Ok(Some(is_same))
    }

    /// Whether nothing but their contents tells two files apart.
    fn has_to_be_read(&self, source: &Stat, live: &Stat) -> bool {
        self.by_content
            && self.differing.is_none()
            && source.kind != FileKind::Link
            && self.could_be_same(source, live)
    }

    /// Whether live's file is what the source's is, where nobody has to read the two.
    fn seems_same(&self, pair: &Pair<'_>, source: &Stat, live: &Stat) -> Result<bool> {
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
        Ok(self.kept.has_time_of(source.modified, live.modified))
    }

    /// Whether live's file has the content of the source's; `None`: the source's is there no more.
    fn has_same_content(&self, pair: &Pair<'_>) -> Result<Option<bool>> {
        let [Some(one), Some(other)] = pair.sides.each_ref().map(|side| side.as_ref()?.directory)
        else {
            // Nobody can read both.
            return Ok(Some(false));
        };
        let file = one.read_file_still_there(pair.name);
        let Some(file) = file.at("cannot read", pair.path)? else {
            return Ok(None);
        };
        let live = other.read_file_still_there(pair.name);
        let Some(live) = live.at("cannot read live's", pair.path)? else {
            return Ok(Some(false));
        };
        content::is_same([&file, &live], pair.path, &self.stop).map(Some)
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

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::*;
    use crate::store::files::connection::directory::Directory;
    use crate::store::files::rows::pair::Side;

    /// What becomes of a file of which it was known, when contents are compared, that both sides have it, and which `change` has
    /// changed since; and whether it is told that it vanished.
    fn decided(change: impl FnOnce([&Path; 2])) -> (Decision, bool) {
        let place = tempfile::tempdir().unwrap();
        let name = CString::new("file").unwrap();
        let roots = ["source", "live"].map(|root| place.path().join(root));
        let directories = roots.each_ref().map(|root| {
            fs::create_dir(root).unwrap();
            fs::write(root.join("file"), "content").unwrap();
            Arc::new(Directory::at(root).unwrap())
        });
        let sides = directories.each_ref().map(|directory| {
            let stat = directory.stat(&name).unwrap();
            Some(Side {
                kind: FileKind::Regular,
                directory: Some(directory),
                inode: 0,
                stat: Some(stat),
                entry: None,
            })
        });
        let pair = Pair {
            name: &name,
            path: b"file",
            sides,
        };
        let files = roots.map(|root| root.join("file"));
        change(files.each_ref().map(AsRef::as_ref));
        let rules = Rules {
            filter: Arc::new(Filter::of_everything().unwrap()),
            overlay: false,
            by_content: true,
            differing: None,
            keeps_owners: true,
            kept: Kept::default(),
            stop: CancellationToken::new(),
            likeness: None,
        };
        let warnings = Warnings::default();
        let decision = rules.decide(Under::Both, &pair, &warnings).unwrap();
        (decision, warnings.has(Warning::Vanished))
    }

    #[test]
    fn a_file_that_goes_before_it_is_compared_fails_no_run() {
        let remove = |file: &Path| fs::remove_file(file).unwrap();
        let changes: [fn(&Path); 5] = [
            |_| {},
            |file| symlink("elsewhere", file).unwrap(),
            |file| drop(UnixListener::bind(file).unwrap()),
            |file| nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |file| fs::create_dir(file).unwrap(),
        ];
        assert_eq!(decided(|_| {}), (Decision::Same, false));
        for change in changes {
            let of_source = decided(|[source, _]| {
                remove(source);
                change(source);
            });
            assert_eq!(of_source, (Decision::Keep, true));
            let of_live = decided(|[_, live]| {
                remove(live);
                change(live);
            });
            assert_eq!(of_live, (Decision::Copy, false));
        }
    }
}
