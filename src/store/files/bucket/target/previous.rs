//! What becomes of what runs replace in a bucket, and of what runs and rollbacks leave that are cut short.

use std::time::Duration;

use super::folder::{Folder, Inside};
use super::journal::{Journal, Stand};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::publish::exchange::Way;
use crate::store::files::publish::journal::State;
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::sorter::Sorter;
use crate::sync::Mutex;

/// What a dead process had sent to the server has arrived by then.
const LANDING: Duration = Duration::from_secs(2);

/// What was found before the run began, and has been as it was since.
struct Seen {
    inside: Inside,
    /// How far the run has come that is previous.
    previous: Option<Stand>,
}

/// Looks after what is kept.
pub(super) struct Keeper {
    folder: Folder,
    /// The run that is under way.
    pub(super) run: String,
    /// Whether what it replaces is kept.
    pub(super) keeps: bool,
    seen: Mutex<Option<Seen>>,
}

impl Keeper {
    /// Of a folder, for a run.
    pub(super) fn of(folder: Folder, run: &str, keeps: bool) -> Self {
        Self {
            folder,
            run: run.to_owned(),
            keeps,
            seen: Mutex::new(None),
        }
    }

    /// The run's own list and state.
    pub(super) fn own(&self) -> Journal {
        self.journal(&self.run)
    }

    /// Says that the folder is ours.
    pub(super) async fn mark(&self) -> Result<()> {
        self.folder.mark().await
    }

    /// What lies in the folder.
    async fn inside(&self) -> Result<Inside> {
        let seen = self.seen.lock().as_ref().map(|seen| seen.inside.clone());
        match seen {
            Some(inside) => Ok(inside),
            None => self.folder.look().await,
        }
    }

    /// How far a run has come that was there before this one.
    async fn stand(&self, run: &str, inside: &Inside) -> Result<Option<Stand>> {
        let seen = self.seen.lock().as_ref().map(|seen| seen.previous);
        match seen {
            Some(stand) if inside.previous.as_deref() == Some(run) => Ok(stand),
            _ => self.journal(run).stand().await,
        }
    }

    fn journal(&self, run: &str) -> Journal {
        Journal::of(&self.folder, run)
    }

    /// Objects that were put back: when they were written says nothing about their content. `None`: there are none.
    pub(super) async fn restored(&self) -> Result<Option<Listing>> {
        let inside = self.inside().await?;
        let mut sorter = Sorter::new();
        let mut has_any = false;
        for run in &inside.runs {
            let journal = self.journal(run);
            let Some(stand) = self.stand(run, &inside).await? else {
                continue;
            };
            if !stand.is_rolled && stand.state == State::Is(Way::Forth) {
                continue;
            }
            let changes = journal.changes().await?;
            let mut reading = changes.read()?;
            while let Some((path, _)) = reading.next()? {
                has_any = true;
                sorter.push(Entry {
                    path: path.into_bytes(),
                    stat: Stat::unknown(FileKind::Directory),
                    link: None,
                })?;
            }
        }
        has_any.then(|| sorter.finish(|_| Ok(()))).transpose()
    }

    /// Takes back what a run has made of live, as far as it has come.
    pub(super) async fn undo(&self, run: &str) -> Result<()> {
        let journal = self.journal(run);
        let Some(stand) = journal.stand().await? else {
            return self.folder.remove(run).await;
        };
        let outcome = journal.undo(stand).await?;
        if outcome.left > 0 {
            let (files, place) = (outcome.left, self.folder.told_left(run));
            tracing::warn!(
                files,
                place,
                "objects were written since a run had replaced them, and stay; what was there before it is kept here until you remove it"
            );
        }
        if outcome.changed == 0 && stand.state != State::On(Way::Back) {
            return self.folder.remove(run).await;
        }
        self.clear(run, &journal, stand).await
    }

    /// Removes what an undone run has kept. Its list stays: the next run has to know which objects were put back.
    async fn clear(&self, run: &str, journal: &Journal, stand: Stand) -> Result<()> {
        self.folder.remove_copies(run).await?;
        let state = State::Became(Way::Back);
        journal.set(Stand { state, ..stand }).await
    }

    /// Keeps what a run has replaced as previous; what was previous goes.
    async fn keep(&self, run: &str, inside: &Inside) -> Result<()> {
        // Whatever cuts this short, one of the two is previous.
        let others: Vec<&String> = inside.runs.iter().filter(|other| *other != run).collect();
        self.folder.void(&others).await?;
        self.folder.set_previous(run).await?;
        self.remove(&others).await
    }

    async fn remove(&self, runs: &[&String]) -> Result<()> {
        for run in runs {
            self.folder.remove(run).await?;
        }
        Ok(())
    }

    /// After a run that has succeeded: what it has replaced is kept or removed, and nobody waits for a rollback any more.
    pub(super) async fn settle(&self, has_changed: bool) -> Result<()> {
        let mut inside = self.inside().await?;
        if !self.keeps {
            // What was put back is known by now to be what it is to be, or was written anew.
            let all: Vec<&String> = inside.runs.iter().collect();
            self.folder.void(&all).await?;
            if inside.previous.is_some() {
                self.folder.forget_previous().await?;
            }
            return self.remove(&all).await;
        }
        if has_changed {
            inside.runs.retain(|run| *run != self.run);
            return self.keep(&self.run, &inside).await;
        }
        let Some(previous) = &inside.previous else {
            return Ok(());
        };
        if let Some(stand) = self.stand(previous, &inside).await?
            && let State::Became(way) = stand.state
        {
            let state = State::Is(way);
            let journal = self.journal(previous);
            journal.set(Stand { state, ..stand }).await?;
        }
        Ok(())
    }

    /// Ends what a rollback has begun that was cut short, and takes back what a run has. Returns what was removed.
    pub(super) async fn sweep(&self) -> Result<Vec<String>> {
        let inside = self.folder.look().await?;
        if self.keeps {
            self.folder.refuse_foreign(&inside)?;
        }
        let mut stand = None;
        if let Some(previous) = &inside.previous {
            stand = self.complete_rollback(previous).await?;
        }
        let (mut removed, mut is_as_it_was) = (Vec::new(), true);
        for run in &inside.runs {
            if Some(run) != inside.previous.as_ref() {
                is_as_it_was = false;
                if self.end(run, &inside).await? {
                    removed.push(self.folder.told(run));
                }
            }
        }
        *self.seen.lock() = is_as_it_was.then_some(Seen {
            inside,
            previous: stand,
        });
        Ok(removed)
    }

    /// Goes on with a rollback that was cut short. Returns how far it has come then.
    async fn complete_rollback(&self, previous: &str) -> Result<Option<Stand>> {
        let journal = self.journal(previous);
        let stand = journal.stand().await?;
        let Some(stand) = stand else {
            return Ok(None);
        };
        let State::On(way) = stand.state else {
            return Ok(Some(stand));
        };
        tokio::time::sleep(LANDING).await;
        journal.roll(way, stand).await?;
        let became = Stand {
            state: State::Became(way),
            is_rolled: true,
            ..stand
        };
        journal.set(became).await?;
        let live = self.folder.s3.place();
        tracing::warn!(live, "a rollback that was cut short is complete");
        Ok(Some(became))
    }

    /// Ends what a dead run has begun; whether that was nothing, and is removed.
    async fn end(&self, run: &str, inside: &Inside) -> Result<bool> {
        let journal = self.journal(run);
        let Some(stand) = journal.stand().await? else {
            return self.folder.remove(run).await.map(|()| true);
        };
        match stand.state {
            State::Is(Way::Forth) => self.keep(run, inside).await?,
            State::Is(Way::Back) => self.clear(run, &journal, stand).await?,
            State::Became(_) => {}
            State::On(_) => {
                tokio::time::sleep(LANDING).await;
                self.undo(run).await?;
                let live = self.folder.s3.place();
                tracing::warn!(
                    live,
                    dead = run,
                    "what a run that was cut short had put in place is taken back"
                );
            }
        }
        Ok(false)
    }

    /// Makes live what it was before the last run that changed it, or what that has made of it.
    pub(super) async fn roll_back(&self) -> Result<()> {
        self.sweep().await?;
        let none = || {
            let what = format!("there is no previous copy of {}", self.folder.s3.place());
            Error::new(Kind::Statement, what).hint(
                "it is kept by runs with `previous = \"keep\"`, until the next run that changes something; what else a bucket keeps of overwritten objects is its own versioning's",
            )
        };
        let inside = self.folder.look().await?;
        let previous = inside.previous.ok_or_else(none)?;
        let journal = self.journal(&previous);
        let stand = journal.stand().await?.ok_or_else(none)?;
        if let State::Became(way) = stand.state {
            let state = State::Is(way);
            return journal.set(Stand { state, ..stand }).await;
        }
        let Err(error) = journal.roll(stand.state.rolls(), stand).await else {
            return Ok(());
        };
        let State::Is(way) = stand.state else {
            return Err(error);
        };
        match journal.stand().await {
            // Nothing was changed yet.
            Ok(Some(now)) if now.state == stand.state => return Err(error),
            _ => {}
        }
        match journal.roll(way, stand).await {
            Ok(()) => Err(error),
            Err(second) => {
                tracing::error!(error = %second, "a rollback that failed cannot be undone");
                let what = "live has objects of before and after, each of them whole: another rollback goes on with it";
                Err(error.within(what).with_kind(Kind::AfterPublish))
            }
        }
    }
}
