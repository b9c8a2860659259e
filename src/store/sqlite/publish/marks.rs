//! What envsyncd has put beside a database, written down in `FILE.envsyncd-marks`. What bears none of its marks is somebody
//! else's: it is never removed, replaced or swapped in.
//!
//! A mark is there before what it stands for. Incoming and the snapshot have a run's id in their names, so their mark is the
//! run; previous is known by its inode, size and time of change, which a rename leaves as they are: it is marked while it is
//! still the snapshot. So a run can be killed between any two steps, and what is there is known to be ours.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result, io};
use crate::store::Claim;
use crate::store::sqlite::connection::files::{
    self, COMPANIONS, companion, remove_one, rename_file,
};
use crate::store::sqlite::connection::location::Location;

/// The version of what is written.
const VERSION: u32 = 1;

/// Somebody may list a great many runs here, and no more.
const LONGEST: u64 = 1 << 20;

/// The marks beside one database.
pub(in crate::store::sqlite) struct Marks {
    location: Location,
    claim: Claim,
    content: Content,
    /// Somebody has made the file, and nothing is in it: what is there is ours, they say.
    believes: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::store::sqlite) struct Content {
    envsyncd_marks: u32,
    /// Runs that have built something here, and have not said that it is gone.
    #[serde(default)]
    runs: Vec<Maker>,
    /// What is previous, and during a publish what becomes it.
    #[serde(default)]
    previous: Vec<FileMark>,
}

/// The run that made something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Maker {
    job: String,
    run: String,
    at: String,
}

/// A file that somebody has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileMark {
    by: Maker,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

/// What lies at previous's name.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::sqlite) enum Previous {
    Missing,
    Ours,
    /// With the file, and why it is taken for that.
    Foreign(PathBuf, &'static str),
}

impl Maker {
    fn now(claim: &Claim) -> Self {
        Self {
            job: claim.job.clone(),
            run: claim.run.clone(),
            at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        }
    }
}

impl FileMark {
    fn of(path: &Path, by: Maker) -> Result<Self> {
        let found = path
            .symlink_metadata()
            .map_err(io(format!("cannot reach {}", path.display())))?;
        Ok(Self {
            by,
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }

    fn is(&self, found: &std::fs::Metadata) -> bool {
        found.is_file()
            && self.inode == found.ino()
            && self.size == found.size()
            && self.modified == (found.mtime(), found.mtime_nsec())
    }
}

impl Marks {
    /// Reads them; none is fine.
    pub(in crate::store::sqlite) fn read(place: &Location, claim: &Claim) -> Result<Self> {
        let path = place.beside("marks");
        let mut believes = false;
        let content = match read_own(&path)? {
            None => Content::default(),
            Some(bytes) if is_blank(&bytes) => {
                believes = true;
                Content::default()
            }
            Some(bytes) => {
                let content: Content = serde_json::from_slice(&bytes).map_err(|_| {
                    foreign(
                        &path,
                        "is not the list of files that envsyncd writes under that name",
                    )
                })?;
                if content.envsyncd_marks > VERSION {
                    return Err(Error::new(
                        Kind::Config,
                        format!("{} was written by a newer envsyncd", path.display()),
                    )
                    .hint("upgrade envsyncd on this host"));
                }
                content
            }
        };
        Ok(Self {
            location: place.clone(),
            claim: claim.clone(),
            content,
            believes,
        })
    }

    /// Before this run makes anything: what bears its id from now on is ours.
    pub(in crate::store::sqlite) fn begin(&mut self) -> Result<()> {
        if self
            .content
            .runs
            .iter()
            .any(|run| run.run == self.claim.run)
        {
            return Ok(());
        }
        self.content.runs.push(Maker::now(&self.claim));
        self.save()
    }

    /// Whether what bears this end of a run's id is ours.
    pub(in crate::store::sqlite) fn has(&self, short: &str) -> bool {
        self.believes || self.content.runs.iter().any(|run| run.run.ends_with(short))
    }

    /// Runs whose files are gone.
    pub(in crate::store::sqlite) fn ended(&mut self, is_gone: impl Fn(&str) -> bool) -> Result<()> {
        let before = self.content.runs.len();
        self.content.runs.retain(|run| !is_gone(&run.run));
        if self.content.runs.len() == before {
            return Ok(());
        }
        self.settle()
    }

    /// Before this file takes the name of previous.
    pub(in crate::store::sqlite) fn take_previous(&mut self, file: &Path) -> Result<()> {
        let made = FileMark::of(file, Maker::now(&self.claim))?;
        self.content.previous.push(made);
        self.save()
    }

    /// Forgets what is no longer there.
    pub(in crate::store::sqlite) fn settle(&mut self) -> Result<()> {
        match self.location.previous().symlink_metadata() {
            Err(_) => self.content.previous.clear(),
            Ok(found) if self.content.previous.iter().any(|made| made.is(&found)) => {
                self.content.previous.retain(|made| made.is(&found));
            }
            Ok(_) => {}
        }
        self.save()
    }

    /// What lies at previous's name.
    pub(in crate::store::sqlite) fn previous(&self) -> Previous {
        let path = self.location.previous();
        for end in COMPANIONS {
            let companion = companion(&path, end);
            if companion.symlink_metadata().is_ok() {
                return Previous::Foreign(
                    companion,
                    "is of somebody who writes to what was live before",
                );
            }
        }
        let Ok(found) = path.symlink_metadata() else {
            return Previous::Missing;
        };
        if !found.is_file() {
            return Previous::Foreign(path, "is not a regular file, so no run of envsyncd made it");
        }
        if self.believes || self.content.previous.iter().any(|made| made.is(&found)) {
            return Previous::Ours;
        }
        let why = if self.content.previous.is_empty() {
            "has the name of what was live before, but bears no mark of a run: it is not envsyncd's"
        } else {
            "is not what envsyncd left there: somebody has written to it or put another file in its place"
        };
        Previous::Foreign(path, why)
    }

    /// Refuses to go on where a run would replace what is not ours.
    pub(in crate::store::sqlite) fn spare_previous(&self) -> Result<()> {
        match self.previous() {
            Previous::Missing | Previous::Ours => Ok(()),
            Previous::Foreign(path, why) => Err(foreign(&path, why).hint(format!(
                "move it away or remove it; if an envsyncd made it that wrote no marks yet, `touch {}` once",
                self.location.beside("marks").display()
            ))),
        }
    }

    /// Writes them down, in one step and durably; nothing to write down is no file.
    fn save(&mut self) -> Result<()> {
        let path = self.location.beside("marks");
        let previous = self.location.previous();
        // What somebody has called ours by an empty file bears a mark from now on.
        if std::mem::take(&mut self.believes) && previous.symlink_metadata().is_ok() {
            let made = FileMark::of(&previous, Maker::now(&self.claim))?;
            self.content.previous.push(made);
        }
        self.content.envsyncd_marks = VERSION;
        if self.content.runs.is_empty() && self.content.previous.is_empty() {
            return remove_one(&path);
        }
        let json = serde_json::to_vec(&self.content).map_err(|error| {
            Error::new(Kind::Internal, "marks cannot be written").because(error)
        })?;
        let new = self.location.beside("marks-new");
        let cannot = || format!("cannot write {}", new.display());
        // What a killed run left of it.
        if let Some(old) = read_own(&new)? {
            if !is_blank(&old) && !old.starts_with(br#"{"envsyncd_marks":"#) {
                return Err(foreign(
                    &new,
                    "is in the way of what envsyncd writes under that name",
                ));
            }
            remove_one(&new)?;
        }
        let mut file = files::create(&new, 0o644).map_err(io(cannot()))?;
        file.write_all(&json)
            .and_then(|()| file.sync_all())
            .map_err(io(cannot()))?;
        rename_file(&new, &path)
    }
}

/// The error of a file that is not ours.
pub(in crate::store::sqlite) fn foreign(path: &Path, why: &str) -> Error {
    Error::new(Kind::Policy, format!("{} {why}", path.display())).hint("move it away or remove it")
}

/// A file's bytes, but for what no file of ours is: a link, a directory, something long.
fn read_own(path: &Path) -> Result<Option<Vec<u8>>> {
    let strange = || foreign(path, "is not a file that envsyncd writes under that name");
    let cannot = || format!("cannot read {}", path.display());
    let file = match files::open(path, OFlag::O_RDONLY) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) if path.symlink_metadata().is_ok_and(|found| !found.is_file()) => {
            return Err(strange());
        }
        Err(error) => return Err(io(cannot())(error)),
    };
    let found = file.metadata().map_err(io(cannot()))?;
    if !found.is_file() || found.size() > LONGEST {
        return Err(strange());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(io(cannot()))?;
    Ok(Some(bytes))
}

/// Whether there is nothing in it, as after `touch` or a power cut.
fn is_blank(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| *byte == 0 || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::url::SqliteUrl;

    fn claim(run: u32) -> Claim {
        Claim {
            job: "nightly".to_owned(),
            run: format!("01990000-0000-7000-8000-{run:012x}"),
            host: "here".to_owned(),
        }
    }

    fn place(directory: &tempfile::TempDir) -> Location {
        let file = directory.path().join("live.db");
        Location::of(&SqliteUrl { file }).unwrap()
    }

    #[test]
    fn previous_is_ours_from_the_moment_before_it_is_renamed_and_as_long_as_nobody_writes_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory);
        let again = || Marks::read(&place, &claim(1)).unwrap();
        std::fs::write(place.previous(), "theirs").unwrap();
        assert!(matches!(again().previous(), Previous::Foreign(..)));
        std::fs::remove_file(place.previous()).unwrap();
        assert_eq!(again().previous(), Previous::Missing);

        let snapshot = place.snapshot(claim(1).short());
        again().begin().unwrap();
        assert!(again().has(claim(1).short()) && !again().has(claim(2).short()));
        std::fs::write(&snapshot, "ours").unwrap();
        again().take_previous(&snapshot).unwrap();
        std::fs::rename(&snapshot, place.previous()).unwrap();
        assert_eq!(again().previous(), Previous::Ours);
        again().ended(|run| run == claim(1).run).unwrap();
        assert_eq!(again().previous(), Previous::Ours);

        // Of the same length, and by the same inode.
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(place.previous(), "THEM").unwrap();
        assert!(matches!(again().previous(), Previous::Foreign(..)));
        std::fs::remove_file(place.previous()).unwrap();
        again().settle().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_empty_file_vouches_for_what_is_there_and_for_nothing_that_comes_later() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory);
        std::fs::write(place.previous(), "an older envsyncd's").unwrap();
        std::fs::write(place.beside("marks"), "").unwrap();
        let mut marks = Marks::read(&place, &claim(1)).unwrap();
        assert_eq!(marks.previous(), Previous::Ours);
        marks.begin().unwrap();
        assert_eq!(
            Marks::read(&place, &claim(1)).unwrap().previous(),
            Previous::Ours
        );
        std::fs::remove_file(place.previous()).unwrap();
        std::fs::write(place.previous(), "somebody else's").unwrap();
        let found = Marks::read(&place, &claim(1)).unwrap().previous();
        assert!(matches!(found, Previous::Foreign(..)));
    }

    #[test]
    fn a_file_of_somebody_else_is_not_taken_for_marks_and_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory);
        for name in ["marks", "marks-new"] {
            let path = place.beside(name);
            std::fs::write(&path, "my notes").unwrap();
            let refused = Marks::read(&place, &claim(1)).and_then(|mut marks| marks.begin());
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), Kind::Policy, "{refused}");
            assert!(
                refused.to_string().contains(path.to_str().unwrap()),
                "{refused}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "my notes");
            std::fs::remove_file(&path).unwrap();
        }
        // What a killed run leaves half-way.
        for left in ["", "{\"envsyncd_marks\":1,\"ru"] {
            std::fs::write(place.beside("marks-new"), left).unwrap();
            Marks::read(&place, &claim(1)).unwrap().begin().unwrap();
            assert!(!place.beside("marks-new").exists());
            std::fs::remove_file(place.beside("marks")).unwrap();
        }
    }
}
