//! The folder beside live: all that a run makes there is in it, and it bears our mark.

use std::ffi::{CStr, CString};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod, futimens, mkdirat, renameat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::{At, told};
use crate::store::files::incoming::metadata::times;

/// The mark's file.
const MARK: &CStr = c"mark.json";
/// No mark is longer.
const LONGEST: u64 = 4096;
/// What was live before.
pub(in crate::store::files) const PREVIOUS: &CStr = c"previous";
const INCOMING: &str = "incoming-";
const DROPPED: &str = "dropped-";
/// What a run has replaced where files are exchanged one by one.
const REPLACED: &str = "replaced-";
/// What of that could not go back, and is left for people.
const LEFT: &str = "left-";

/// What stands in the mark.
#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
    /// Whose folder it is.
    program: String,
}

/// The folder.
pub(in crate::store::files) struct Folder {
    /// It, open.
    pub(in crate::store::files) directory: Arc<Directory>,
    /// Its path, for people.
    pub(super) told: String,
}

impl Folder {
    /// The one of a place, if there is one. One that does not bear our mark is an error.
    pub(in crate::store::files) fn find(place: &Place) -> Result<Option<Self>> {
        let (above, name) = place.folder()?;
        let shown = place.told_folder();
        let directory = match above.open(&name) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(foreign(&shown, "is no directory")),
            opened => opened.at("cannot open", shown.as_bytes())?,
        };
        let found = directory
            .own_stat()
            .at("cannot look at", shown.as_bytes())?;
        if found.owner.0 != nix::unistd::geteuid().as_raw() || found.mode & 0o022 != 0 {
            return Err(foreign(&shown, "is not ours, or others may write to it"));
        }
        let folder = Self {
            directory: Arc::new(directory),
            told: shown,
        };
        folder.check_mark()?;
        Ok(Some(folder))
    }

    /// The one of a place, made if it is not there.
    pub(in crate::store::files) fn make(place: &Place) -> Result<Self> {
        if let Some(folder) = Self::find(place)? {
            return folder.marked();
        }
        let (above, name) = place.folder()?;
        let before = above.own_stat().at("cannot look at", b"")?;
        match mkdirat(&*above, &name, Mode::RWXU) {
            // Another run was faster.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).at("cannot make", name.to_bytes()),
        }
        if place.file_by_file {
            // Live has the time that it had. Only its owner may set it; else it has that of now.
            let _ = futimens(&*above, &times(before.modified));
        }
        let folder = Self::find(place)?;
        let folder = folder.ok_or_else(|| {
            Error::new(Kind::Io, format!("{} is gone again", told(name.to_bytes())))
        })?;
        // Without a group of the directory's above.
        fchmod(&*folder.directory, Mode::RWXU)
            .at("cannot set the permissions of", name.to_bytes())?;
        folder.marked()
    }

    /// Refuses a folder that has something in it and does not bear our mark.
    fn check_mark(&self) -> Result<()> {
        let file = match self.directory.read_file(MARK) {
            Ok(file) => file,
            Err(Errno::NOENT) => {
                let names = self
                    .directory
                    .names()
                    .at("cannot read", self.told.as_bytes())?;
                // One that a run was ended in before it had marked it.
                return match names.get(0) {
                    None => Ok(()),
                    Some(_) => Err(foreign(&self.told, "does not bear the mark of envsyncd")),
                };
            }
            Err(error) => return Err(error).at("cannot read the mark in", self.told.as_bytes()),
        };
        let mut text = Vec::new();
        let mut limited = std::fs::File::from(file).take(LONGEST);
        limited
            .read_to_end(&mut text)
            .map_err(io(self.told.clone()))?;
        match read_mark(&text) {
            Some(1) => Ok(()),
            Some(_) => {
                let what = format!("{} is of a newer envsyncd", self.told);
                Err(Error::new(Kind::Config, what))
            }
            // One that a run was ended in while it was written.
            None if text.is_empty() => Ok(()),
            None => Err(foreign(&self.told, "does not bear the mark of envsyncd")),
        }
    }

    fn marked(self) -> Result<Self> {
        let found = self
            .directory
            .find(MARK)
            .at("cannot look at", self.told.as_bytes())?;
        if found.is_some_and(|found| found.size > 0) {
            return Ok(self);
        }
        remove(&self.directory, MARK)?;
        let file = match self.directory.make_file(MARK, 0o600) {
            // Another run was faster.
            Err(Errno::EXIST) => return Ok(self),
            file => file.at("cannot make the mark in", self.told.as_bytes())?,
        };
        let mark = Mark {
            version: 1,
            program: "envsyncd".to_owned(),
        };
        let text = serde_json::to_vec(&mark)
            .map_err(|error| Error::new(Kind::Internal, "no mark").because(error))?;
        let mut file = std::fs::File::from(file);
        file.write_all(&text).map_err(io(self.told.clone()))?;
        Ok(self)
    }

    /// The name of what a run builds.
    pub(in crate::store::files) fn incoming(run: &str) -> Result<CString> {
        named(INCOMING, run)
    }

    /// The name of what a run removes.
    pub(in crate::store::files) fn dropped(run: &str) -> Result<CString> {
        named(DROPPED, run)
    }

    /// The name of what a run replaces.
    pub(in crate::store::files) fn replaced(run: &str) -> Result<CString> {
        named(REPLACED, run)
    }

    /// The name of what a run has replaced, and could not be put back.
    pub(super) fn left(run: &str) -> Result<CString> {
        named(LEFT, run)
    }

    /// The runs that have replaced something, and have not come to their end.
    pub(super) fn replaced_by(&self) -> Result<Vec<String>> {
        let names = self
            .directory
            .names()
            .at("cannot read", self.told.as_bytes())?;
        let all = (0..names.len()).filter_map(|at| names.get(at)?.0.to_str().ok());
        let runs = all.filter_map(|name| name.strip_prefix(REPLACED));
        Ok(runs.map(str::to_owned).collect())
    }

    /// Removes what dead runs left; returns the paths. Under the lock.
    pub(in crate::store::files) fn sweep(&self) -> Result<Vec<String>> {
        let names = self
            .directory
            .names()
            .at("cannot read", self.told.as_bytes())?;
        let (mut at, mut removed) = (0, Vec::new());
        while let Some((name, _)) = names.get(at) {
            at += 1;
            let text = name.to_bytes();
            let is_ours = [INCOMING, DROPPED]
                .iter()
                .any(|begin| text.starts_with(begin.as_bytes()));
            if is_ours {
                remove(&self.directory, name)?;
                removed.push(format!("{}/{}", self.told, told(text)));
            }
        }
        Ok(removed)
    }

    /// The trees in it that a run removes or renames.
    pub(in crate::store::files) fn trees(&self) -> Result<Vec<(CString, Stat)>> {
        let names = self
            .directory
            .names()
            .at("cannot read", self.told.as_bytes())?;
        let (mut at, mut trees) = (0, Vec::new());
        while let Some((name, _)) = names.get(at) {
            at += 1;
            let found = self
                .directory
                .find(name)
                .at("cannot look at", name.to_bytes())?;
            trees.extend(
                found
                    .filter(|found| found.kind == FileKind::Directory)
                    .map(|found| (name.to_owned(), found)),
            );
        }
        Ok(trees)
    }

    /// Sees to it that what was renamed in it stays so.
    pub(in crate::store::files) fn sync(&self) -> Result<()> {
        sync(&self.directory, &self.told)
    }
}

/// The version of a mark of ours.
pub(in crate::store::files) fn read_mark(text: &[u8]) -> Option<u32> {
    let mark = serde_json::from_slice::<Mark>(text).ok()?;
    (mark.program == "envsyncd").then_some(mark.version)
}

/// Sees to it that what was renamed in a directory stays so.
pub(in crate::store::files) fn sync(directory: impl AsFd, shown: &str) -> Result<()> {
    rustix::fs::fsync(directory).at("cannot sync", shown.as_bytes())
}

/// Writes a small file that is there as a whole or not at all, and stays; until then it has the other name.
pub(super) fn write_whole(
    directory: &Directory,
    (name, next): (&CStr, &CStr),
    text: &[u8],
    failed: &str,
) -> Result<()> {
    remove(directory, next)?;
    let file = directory
        .make_file(next, 0o600)
        .at("cannot make", next.to_bytes())?;
    let mut file = std::fs::File::from(file);
    let written = file.write_all(text).and_then(|()| file.sync_all());
    written.map_err(io(failed))?;
    renameat(directory, next, directory, name).at("cannot write", name.to_bytes())?;
    sync(directory, "the folder of the target")
}

fn named(begin: &str, run: &str) -> Result<CString> {
    CString::new(format!("{begin}{run}"))
        .map_err(|_| Error::new(Kind::Internal, "a run's id has a NUL in it"))
}

/// Something of somebody else's stands where a run would make its folder.
fn foreign(shown: &str, why: &str) -> Error {
    Error::new(Kind::Policy, format!("{shown} {why}"))
        .hint("a run would build and remove in it: move it away, if nobody needs it there")
}
