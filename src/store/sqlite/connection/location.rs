//! Where a database is: its URL, its file, and the names of everything that we put beside it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::files::{self, COMPANIONS, companion};
use crate::error::{Error, Kind, Result, io};
use crate::policy::Identity;
use crate::store::sqlite::url::SqliteUrl;

/// A database's file, symbolic links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) struct Location {
    /// The file; it may be missing.
    pub(in crate::store::sqlite) file: PathBuf,
    directory: PathBuf,
    name: OsString,
}

impl Location {
    /// The place that a URL names. Its directory has to be there.
    pub(in crate::store::sqlite) fn of(url: &SqliteUrl) -> Result<Self> {
        Self::resolve(&url.file)
    }

    fn resolve(path: &Path) -> Result<Self> {
        let shown = path.display();
        let mut file = path.to_owned();
        // A link may lead to a file that is yet to be made, so its last step is followed by hand.
        for _ in 0..40 {
            match std::fs::read_link(&file) {
                Ok(to) => file = file.parent().unwrap_or(Path::new("/")).join(to),
                Err(_) => break,
            }
        }
        let name = file
            .file_name()
            .ok_or_else(|| Error::new(Kind::Config, format!("`{shown}` is not a file's name")))?
            .to_owned();
        let parent = file.parent().unwrap_or(Path::new("/"));
        let directory = parent
            .canonicalize()
            .map_err(io(format!("cannot reach the directory of {shown}")))?;
        let file = directory.join(&name);
        if let Ok(found) = file.metadata()
            && !found.is_file()
        {
            return Err(Error::new(
                Kind::Config,
                format!("{shown} is not a regular file"),
            ));
        }
        Ok(Self {
            file,
            directory,
            name,
        })
    }

    /// Device and inode of the file if it is there; of the directory, and the file's name.
    pub(in crate::store::sqlite) fn identity(&self) -> Result<Identity> {
        let about = |path: &Path| path.metadata();
        let directory = about(&self.directory)
            .map_err(io(format!("cannot reach {}", self.directory.display())))?;
        let thing = match about(&self.file) {
            Ok(found) => Some(format!("{}:{}", found.dev(), found.ino())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(format!("cannot reach {}", self.file.display()))(error)),
        };
        Ok(Identity {
            thing,
            place: format!(
                "{}:{}/{}",
                directory.dev(),
                directory.ino(),
                self.name.to_string_lossy()
            ),
        })
    }

    /// What a run replaces or removes beside the file, by device and inode and by place, as far as it is there.
    pub(in crate::store::sqlite) fn displaced(&self) -> Result<Vec<Identity>> {
        let directory = self
            .directory
            .metadata()
            .map_err(io(format!("cannot reach {}", self.directory.display())))?;
        let mut all = Vec::new();
        let leftovers = self.leftovers()?.into_iter().map(|(path, _)| path);
        for path in leftovers.chain([self.previous()]) {
            // By its own name it is there even if it is a link that leads nowhere.
            if path.symlink_metadata().is_err() {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            all.push(Identity {
                thing: path
                    .metadata()
                    .ok()
                    .map(|found| format!("{}:{}", found.dev(), found.ino())),
                place: format!("{}:{}/{name}", directory.dev(), directory.ino()),
            });
        }
        Ok(all)
    }

    /// Refuses a target that is what SQLite keeps beside a database that is there: it would be taken for its journal.
    pub(in crate::store::sqlite) fn refuse_companion(&self) -> Result<()> {
        let bytes = self.name.as_bytes();
        for end in COMPANIONS {
            let of = bytes
                .strip_suffix(end.as_bytes())
                .map(std::ffi::OsStr::from_bytes);
            if let Some(of) = of.filter(|of| !of.is_empty() && self.directory.join(of).exists()) {
                return Err(Error::new(
                    Kind::Policy,
                    format!(
                        "{} is one of SQLite's own files beside {}, not a database",
                        self.file.display(),
                        of.display()
                    ),
                )
                .hint("check the target's path"));
            }
        }
        Ok(())
    }

    /// Whether the file is there; a link that has been put there since counts as one, and cannot be opened.
    pub(in crate::store::sqlite) fn exists(&self) -> bool {
        self.file.symlink_metadata().is_ok()
    }

    /// `FILE.envsyncd-WHAT`.
    pub(in crate::store::sqlite) fn beside(&self, what: &str) -> PathBuf {
        companion(&self.file, &format!(".envsyncd-{what}"))
    }

    /// The copy that is being built.
    pub(in crate::store::sqlite) fn incoming(&self, run: &str) -> PathBuf {
        self.beside(&format!("incoming-{run}"))
    }

    /// The copy of live that becomes previous.
    pub(in crate::store::sqlite) fn snapshot(&self, run: &str) -> PathBuf {
        self.beside(&format!("snapshot-{run}"))
    }

    /// What was live before.
    pub(in crate::store::sqlite) fn previous(&self) -> PathBuf {
        self.beside("previous")
    }

    /// What has the names of runs' files beside this one, with the end of the run's id; all of them are dead if we hold the
    /// lock. Whether they are ours, their names do not say.
    pub(in crate::store::sqlite) fn leftovers(&self) -> Result<Vec<(PathBuf, String)>> {
        let cannot = || format!("cannot list {}", self.directory.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(io(cannot()))? {
            let entry = entry.map_err(io(cannot()))?;
            if let Some(run) = entry
                .file_name()
                .as_bytes()
                .strip_prefix(self.name.as_bytes())
                .and_then(run_of)
            {
                found.push((entry.path(), run.to_owned()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Makes renames and new names in the directory durable.
    pub(in crate::store::sqlite) fn sync_directory(&self) -> Result<()> {
        files::sync_directory(&self.directory)
            .map_err(io(format!("cannot sync {}", self.directory.display())))
    }

    /// The directory.
    pub(in crate::store::sqlite) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The run in the end of a name that is an incoming's or a snapshot's, or of what SQLite puts beside one; matched whole.
fn run_of(end: &[u8]) -> Option<&str> {
    let rest = [&b".envsyncd-incoming-"[..], b".envsyncd-snapshot-"]
        .iter()
        .find_map(|prefix| end.strip_prefix(*prefix))?;
    let (run, tail) = rest.split_at_checked(12)?;
    let tail = tail
        .strip_prefix(b".rewritten")
        // As older versions called it.
        .or_else(|| tail.strip_prefix(b".resized"))
        .or_else(|| tail.strip_prefix(b".again"))
        .unwrap_or(tail);
    let is_whole = tail.is_empty()
        || COMPANIONS
            .iter()
            .any(|companion| companion.as_bytes() == tail);
    (is_whole && run.iter().all(u8::is_ascii_hexdigit))
        .then_some(run)
        .and_then(|run| std::str::from_utf8(run).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_runs_are_leftovers() {
        for ours in [
            ".envsyncd-incoming-0123456789ab",
            ".envsyncd-incoming-0123456789ab-journal",
            ".envsyncd-incoming-0123456789ab.resized",
            ".envsyncd-incoming-0123456789ab.rewritten-journal",
            ".envsyncd-snapshot-0123456789ab-wal",
            ".envsyncd-snapshot-0123456789ab.again-journal",
        ] {
            assert!(run_of(ours.as_bytes()) == Some("0123456789ab"), "{ours}");
        }
        for other in [
            "",
            ".envsyncd-previous",
            ".envsyncd-lock",
            ".envsyncd-incoming-0123456789a",
            ".envsyncd-incoming-0123456789abc",
            ".envsyncd-incoming-0123456789ag",
            ".envsyncd-incoming-0123456789ab.bak",
            "x.envsyncd-incoming-0123456789ab",
        ] {
            assert!(run_of(other.as_bytes()).is_none(), "{other}");
        }
    }
}
