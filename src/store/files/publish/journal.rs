//! What one run has replaced in live, beside what it has changed there, and how far that has come: enough to undo it, or to roll
//! it back and forth, whenever that was cut short.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::sync::Arc;

use rustix::fs::{RenameFlags, renameat, renameat_with};
use rustix::io::Errno;

use super::exchange::{Manner, Others, Outcome, Trees, Way, dress, exchange};
use super::folder::{sync, write_whole};
use super::list::{Changes, Lines};
use super::note::note;
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At;
use crate::store::files::rows::spool::Spooled;
use crate::store::files::rows::work::Work;

/// The list of what was changed.
const LIST: &CStr = c"list";
/// How far it has come.
const STATE: &CStr = c"state";
const NEXT: &CStr = c"state.next";
/// What is written down when it is taken back: on the disk before anything is changed, as there may be no room for it later.
const BACK: &CStr = c"state.back";
/// What live had, and the run has replaced.
const OLD: &CStr = c"old";
/// What the run has put in place, after a rollback.
const NEW: &CStr = c"new";
/// So many bytes of a list are written at a time.
const PIECE: usize = 64 * 1024;

/// What is live: what the run made, or what was there before; or it is on its way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum State {
    /// It is becoming this.
    On(Way),
    /// It is this.
    Is(Way),
    /// It is this since somebody has gone on with a rollback that was cut short, and whoever wanted that has not heard of it yet.
    Became(Way),
}

impl State {
    const ALL: [(&'static [u8], Self); 6] = [
        (b"to new", Self::On(Way::Forth)),
        (b"new", Self::Is(Way::Forth)),
        (b"to old", Self::On(Way::Back)),
        (b"old", Self::Is(Way::Back)),
        (b"became new", Self::Became(Way::Forth)),
        (b"became old", Self::Became(Way::Back)),
    ];

    /// The word for it.
    pub(in crate::store::files) fn word(self) -> &'static [u8] {
        let found = Self::ALL.iter().find(|(_, state)| *state == self);
        found.map_or(b"", |(word, _)| word)
    }

    /// What a word means.
    pub(in crate::store::files) fn of(word: &[u8]) -> Option<Self> {
        let found = Self::ALL.iter().find(|(one, _)| *one == word.trim_ascii());
        found.map(|(_, state)| *state)
    }

    /// Where a rollback goes from here: one that was cut short goes on, or has.
    pub(in crate::store::files) fn rolls(self) -> Way {
        match self {
            Self::Is(Way::Forth) | Self::On(Way::Back) | Self::Became(Way::Back) => Way::Back,
            Self::Is(Way::Back) | Self::On(Way::Forth) | Self::Became(Way::Forth) => Way::Forth,
        }
    }
}

/// What one run has replaced.
pub(in crate::store::files) struct Journal {
    directory: Arc<Directory>,
    changes: Changes,
    /// Whether owners are given back.
    keeps_owners: bool,
}

impl Journal {
    /// Writes down what a run will change in live, before it does. What lies in `name` was begun by nobody else.
    pub(in crate::store::files) fn begin(
        folder: &Directory,
        name: &CStr,
        (work, new, live): (&Work, &Arc<Directory>, &Arc<Directory>),
        keeps_owners: bool,
    ) -> Result<Self> {
        let made = folder.make(name).at("cannot make", name.to_bytes())?;
        let file = made
            .make_file(LIST, 0o600)
            .at("cannot make", LIST.to_bytes())?;
        let mut file = std::fs::File::from(file);
        let failed = || io("cannot write down what will be changed");
        let (mut lines, mut text) = (Lines::default(), Vec::new());
        Lines::begin(&mut text);
        note(work, new, live, &mut |path, change| {
            lines.add(path, change, &mut text)?;
            if text.len() >= PIECE {
                file.write_all(&text).map_err(failed())?;
                text.clear();
            }
            Ok(())
        })?;
        lines.end(&mut text);
        file.write_all(&text).map_err(failed())?;
        file.sync_all().map_err(failed())?;
        made.make(OLD).at("cannot make", OLD.to_bytes())?;
        let journal = Self::open(folder, name, keeps_owners)?;
        let broken = || Error::new(Kind::Internal, "what was just written down is gone");
        let journal = journal.ok_or_else(broken)?;
        journal.write(BACK, State::On(Way::Back))?;
        journal.set(State::On(Way::Forth))?;
        sync(folder, "the folder of the target")?;
        Ok(journal)
    }

    /// The one that has this name; `None`: there is none.
    pub(in crate::store::files) fn open(
        folder: &Directory,
        name: &CStr,
        keeps_owners: bool,
    ) -> Result<Option<Self>> {
        let directory = match folder.open(name) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.at("cannot open", name.to_bytes())?,
        };
        let list = match directory.read_file(LIST) {
            // It was cut short before it had changed anything.
            Err(Errno::NOENT) => return Ok(None),
            list => list.at("cannot read", LIST.to_bytes())?,
        };
        Ok(Some(Self {
            directory: Arc::new(directory),
            changes: Changes::of(Spooled::File(Arc::new(list.into()))),
            keeps_owners,
        }))
    }

    /// How far it has come; `None`: nothing was changed yet.
    pub(in crate::store::files) fn state(&self) -> Result<Option<State>> {
        let file = match self.directory.read_file(STATE) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.at("cannot read", STATE.to_bytes())?,
        };
        let word = crate::limits::read_all(std::fs::File::from(file), 64);
        let word = word.map_err(io("cannot read how far a run has come"))?;
        let strange = || {
            let what = "nobody knows how far a run or a rollback has come: its state is damaged";
            Error::new(Kind::Verify, what)
                .hint("what was replaced lies in `old` in a directory in the folder of the target: put it back by hand if need be, and remove that directory")
        };
        State::of(&word).map(Some).ok_or_else(strange)
    }

    /// Writes down how far it has come.
    pub(in crate::store::files) fn set(&self, state: State) -> Result<()> {
        self.write(STATE, state)
    }

    fn write(&self, name: &CStr, state: State) -> Result<()> {
        let failed = "cannot write down how far a run has come";
        write_whole(&self.directory, (name, NEXT), state.word(), failed)
    }

    /// Writes down that what the run has done is taken back, on a full disk, too.
    fn turn_back(&self) -> Result<()> {
        let directory = &*self.directory;
        match renameat(directory, BACK, directory, STATE) {
            Ok(()) => sync(directory, "the folder of the target"),
            // What is on its way is taken back whenever that was cut short, whichever way it went.
            Err(_) if matches!(self.state()?, Some(State::On(_))) => Ok(()),
            Err(Errno::NOENT) => self.set(State::On(Way::Back)),
            Err(error) => Err(error).at("cannot write", STATE.to_bytes()),
        }
    }

    fn inner(&self, name: &CStr) -> Result<Arc<Directory>> {
        let opened = match self.directory.open(name) {
            Err(Errno::NOENT) => self.directory.make(name),
            opened => opened,
        };
        opened.map(Arc::new).at("cannot open", name.to_bytes())
    }

    /// Puts what a run has built into live. `keeps_all`: nothing that is replaced may be lost.
    pub(in crate::store::files) fn publish(
        &self,
        live: &Arc<Directory>,
        new: &Arc<Directory>,
        keeps_all: bool,
    ) -> Result<Outcome> {
        let trees = Trees {
            live: Arc::clone(live),
            give: Arc::clone(new),
            take: self.inner(OLD)?,
            own: Arc::clone(&self.directory),
        };
        let manner = Manner {
            way: Way::Forth,
            others: Others::Kept,
            clears_way: false,
            keeps_all,
        };
        exchange(&self.changes, &trees, manner)
    }

    /// Takes that back, however far it had come: what the run has put in place goes back to where it was built. What somebody
    /// has written since stays. Nothing is written for it, as the disk may be full; that it is done is known when the journal is
    /// gone, and until then it can be done once more.
    pub(in crate::store::files) fn undo(
        &self,
        live: &Arc<Directory>,
        new: &Arc<Directory>,
    ) -> Result<Outcome> {
        self.changes.check()?;
        self.turn_back()?;
        let trees = Trees {
            live: Arc::clone(live),
            give: self.inner(OLD)?,
            take: Arc::clone(new),
            own: Arc::clone(&self.directory),
        };
        let manner = Manner {
            way: Way::Back,
            others: Others::Stay,
            clears_way: false,
            keeps_all: true,
        };
        let outcome = exchange(&self.changes, &trees, manner)?;
        self.finish(live, Way::Back)?;
        Ok(outcome)
    }

    /// Makes live what it was before the run, or what the run has made of it; all that makes way is kept.
    pub(in crate::store::files) fn roll(&self, live: &Arc<Directory>, way: Way) -> Result<Outcome> {
        self.changes.check()?;
        self.set(State::On(way))?;
        let (old, new) = (self.inner(OLD)?, self.inner(NEW)?);
        let (give, take) = match way {
            Way::Back => (old, new),
            Way::Forth => (new, old),
        };
        let trees = Trees {
            live: Arc::clone(live),
            give,
            take,
            own: Arc::clone(&self.directory),
        };
        let manner = Manner {
            way,
            others: Others::Kept,
            clears_way: true,
            keeps_all: true,
        };
        let outcome = exchange(&self.changes, &trees, manner)?;
        self.finish(live, way)?;
        self.set(State::Is(way))?;
        Ok(outcome)
    }

    fn finish(&self, live: &Arc<Directory>, way: Way) -> Result<()> {
        dress(&self.changes, live, way, self.keeps_owners)?;
        rustix::fs::syncfs(&**live).at("cannot sync the file system of", b"")
    }
}

/// Gives what one run has replaced another name in the folder.
pub(in crate::store::files) fn rename(folder: &Directory, from: &CStr, to: &CString) -> Result<()> {
    renameat_with(folder, from, folder, &**to, RenameFlags::NOREPLACE)
        .or_else(|error| match error {
            // A file system without the flag; nothing has the new name.
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => renameat(folder, from, folder, &**to),
            error => Err(error),
        })
        .at("cannot rename", from.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_read_as_it_was_written() {
        for (word, state) in State::ALL {
            assert_eq!((state.word(), State::of(word)), (word, Some(state)));
        }
        assert_eq!(State::of(b""), None);
    }
}
