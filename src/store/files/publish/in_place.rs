//! A tree that stays where it is, and whose files are exchanged: what becomes of what a run replaces in it, and of what runs and
//! rollbacks leave that are cut short.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use super::exchange::{Outcome, Way};
use super::folder::{Folder, PREVIOUS};
use super::journal::{Journal, State, rename};
use super::place::Place;
use super::swap::no_previous;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::told::{At, told};
use crate::store::files::rows::work::Work;

/// What is told of files that a run has replaced without keeping them, and that cannot go back.
const LOST: &str = "could not be kept where they were replaced, and stay as the run has made them";

/// Live, the folder in it, and what is done there.
pub(in crate::store::files) struct InPlace {
    folder: Arc<Folder>,
    live: Arc<Directory>,
    /// For people.
    shown: String,
    keeps_owners: bool,
}

impl InPlace {
    /// A place's, under its lock.
    pub(in crate::store::files) fn of(
        place: &Place,
        folder: &Arc<Folder>,
        keeps_owners: bool,
    ) -> Result<Self> {
        let gone = || {
            let what = format!("the target {} is gone", place.path.display());
            Error::new(Kind::Absent, what)
        };
        let (live, _) = place.live()?.ok_or_else(gone)?;
        Ok(Self {
            folder: Arc::clone(folder),
            live,
            shown: place.path.display().to_string(),
            keeps_owners,
        })
    }

    fn directory(&self) -> &Directory {
        &self.folder.directory
    }

    fn journal(&self, name: &CStr) -> Result<Option<Journal>> {
        Journal::open(self.directory(), name, self.keeps_owners)
    }

    /// What a run has built, or an empty directory instead.
    fn incoming(&self, run: &str) -> Result<Arc<Directory>> {
        let name = Folder::incoming(run)?;
        let opened = match self.directory().open(&name) {
            Err(rustix::io::Errno::NOENT) => self.directory().make(&name),
            opened => opened,
        };
        opened.map(Arc::new).at("cannot open", name.to_bytes())
    }

    /// Writes down what a run will change. What is built has to be on the disk by then.
    pub(in crate::store::files) fn begin(
        &self,
        run: &str,
        work: &Work,
        new: &Arc<Directory>,
    ) -> Result<Journal> {
        let name = Folder::replaced(run)?;
        let sides = (work, new, &self.live);
        Journal::begin(self.directory(), &name, sides, self.keeps_owners)
    }

    /// Puts what a run has built into live. `finish` does what is left to do; if that fails, all is taken back.
    pub(in crate::store::files) fn publish(
        &self,
        (run, journal): (&str, &Journal),
        new: &Arc<Directory>,
        keeps_all: bool,
        finish: impl FnOnce() -> Result<()>,
    ) -> Result<Outcome> {
        let published = journal.publish(&self.live, new, keeps_all);
        let published = published.and_then(|outcome| finish().map(|()| outcome));
        let published = published.and_then(|outcome| {
            journal.set(State::Is(Way::Forth))?;
            Ok(outcome)
        });
        published.map_err(|error| match self.undo(run, new) {
            Ok(0) => error,
            Ok(lost) => {
                let what = format!("{lost} files {LOST}, as the rest of the run failed");
                error.within(what).with_kind(Kind::AfterPublish)
            }
            Err(second) => {
                tracing::error!(error = %second, "what was done to live cannot be undone");
                let what = "some of the new files ARE live, each of them whole, and not all: the next run takes them back before it begins";
                error.within(what).with_kind(Kind::AfterPublish)
            }
        })
    }

    /// Takes back what a run has put into live; returns how many files it cannot give back what they had.
    pub(in crate::store::files) fn undo(&self, run: &str, new: &Arc<Directory>) -> Result<u64> {
        let name = Folder::replaced(run)?;
        let Some(journal) = self.journal(&name)? else {
            return remove(self.directory(), &name).map(|()| 0);
        };
        let outcome = journal.undo(&self.live, new)?;
        if outcome.lost > 0 {
            tracing::warn!(files = outcome.lost, live = self.shown, "files {LOST}");
        }
        self.put_away(&name, run, outcome)?;
        Ok(outcome.lost)
    }

    /// What nobody needs any more is removed; what could not go back to where somebody has written since is left for people.
    fn put_away(&self, name: &CString, run: &str, outcome: Outcome) -> Result<()> {
        if outcome.left == 0 {
            return remove(self.directory(), name);
        }
        let left = Folder::left(run)?;
        rename(self.directory(), name, &left)?;
        tracing::warn!(
            files = outcome.left,
            place = format!("{}/{}", self.folder.told, told(left.to_bytes())),
            "files were written since a run had replaced them, and stay; what they had before it is kept here until you remove it"
        );
        Ok(())
    }

    /// Keeps what a run has replaced as previous.
    pub(in crate::store::files) fn keep(&self, run: &str) -> Result<()> {
        let (name, dropped) = (Folder::replaced(run)?, Folder::dropped(run)?);
        let directory = self.directory();
        let has = |name: &CStr| directory.find(name).at("cannot look at", name.to_bytes());
        if has(&name)?.is_none() {
            return Ok(());
        }
        if has(PREVIOUS)?.is_some() {
            rename(directory, PREVIOUS, &dropped)?;
        }
        rename(directory, &name, &PREVIOUS.to_owned())?;
        self.folder.sync()?;
        remove(directory, &dropped)
    }

    /// Removes what a run has replaced, and previous.
    pub(in crate::store::files) fn drop_all(&self, run: &str) -> Result<()> {
        remove(self.directory(), &Folder::replaced(run)?)?;
        remove(self.directory(), PREVIOUS)
    }

    /// Ends what a rollback has begun that was cut short, and takes back what a run has.
    pub(in crate::store::files) fn recover(&self) -> Result<()> {
        if let Some(previous) = self.journal(PREVIOUS)?
            && let Some(State::On(way)) = previous.state()?
        {
            previous.roll(&self.live, way)?;
            previous.set(State::Became(way))?;
            tracing::warn!(
                live = self.shown,
                "a rollback that was cut short is complete"
            );
        }
        for run in self.folder.replaced_by()? {
            let name = Folder::replaced(&run)?;
            let journal = self.journal(&name)?;
            let state = journal.as_ref().map_or(Ok(None), Journal::state)?;
            match state {
                Some(State::Is(Way::Forth)) => self.keep(&run)?,
                Some(State::On(_)) => {
                    self.undo(&run, &self.incoming(&run)?)?;
                    let live = &self.shown;
                    tracing::warn!(
                        live,
                        dead = run,
                        "what a run that was cut short had put in place is taken back"
                    );
                }
                _ => remove(self.directory(), &name)?,
            }
        }
        Ok(())
    }

    /// After a run that has succeeded: nobody waits for a rollback any more.
    pub(in crate::store::files) fn forget_rollback(&self) -> Result<()> {
        match self.journal(PREVIOUS)? {
            Some(journal) => match journal.state()? {
                Some(State::Became(way)) => journal.set(State::Is(way)),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Makes live what it was before the last run that changed it, or what that has made of it.
    pub(in crate::store::files) fn roll_back(&self, place: &Place) -> Result<()> {
        self.recover()?;
        let Some(journal) = self.journal(PREVIOUS)? else {
            return Err(no_previous(place));
        };
        let nobody_knows = || {
            Error::new(
                Kind::Verify,
                "nobody knows whose files are in previous: it has no state",
            )
        };
        let state = journal.state()?.ok_or_else(nobody_knows)?;
        if let State::Became(way) = state {
            return journal.set(State::Is(way));
        }
        let rolled = journal.roll(&self.live, state.rolls());
        rolled
            .map(drop)
            .map_err(|error| self.roll_on(&journal, state, error))
    }

    /// After a failure in the midst of a rollback: back to where it began.
    fn roll_on(&self, journal: &Journal, state: State, error: Error) -> Error {
        let State::Is(way) = state else {
            return error.within("a rollback that was cut short cannot be completed: live has files of before and after");
        };
        match journal.roll(&self.live, way) {
            Ok(_) => error,
            Err(second) => {
                tracing::error!(error = %second, "a rollback that failed cannot be undone");
                error
                    .within("live has files of before and after, each of them whole: a rollback goes on with it")
                    .with_kind(Kind::AfterPublish)
            }
        }
    }
}
