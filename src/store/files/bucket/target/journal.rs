//! What one run has replaced in a bucket, in the folder below its prefix, and how far that has come: enough to undo it, or to roll
//! it back and forth, whenever that was cut short.

use super::changes::{Change, Changes, Lines, Version};
use super::exchange::{Exchange, Outcome, each, version_of};
use super::folder::{Folder, OLD, kept};
use crate::error::{Error, Kind, Result};
use crate::s3::put::Copied;
use crate::store::files::bucket::object::is_marked;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::connection::told::told;
use crate::store::files::publish::exchange::Way;
use crate::store::files::publish::journal::State;
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::work::{Action, Work};

/// The word for a run that has been rolled back once.
const ROLLED: &str = "rolled";

/// How far a run has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stand {
    pub(super) state: State,
    /// When it began to change live, by the server's clock.
    pub(super) began: i64,
    /// Whether it has been rolled back, or back and forth: then objects are newer than what is in them.
    pub(super) is_rolled: bool,
}

/// What one run has replaced.
#[derive(Clone)]
pub(super) struct Journal {
    folder: Folder,
    run: String,
}

impl Journal {
    /// A run's.
    pub(super) fn of(folder: &Folder, run: &str) -> Self {
        Self {
            folder: folder.clone(),
            run: run.to_owned(),
        }
    }

    /// Keeps all that a run will replace or delete, and writes down what it will change, before it does. `began`: by the server's
    /// clock.
    pub(super) async fn begin(&self, changes: &Changes, began: i64) -> Result<()> {
        self.folder.set_list(&self.run, changes).await?;
        let keep = |path: String, change: Change| {
            let (journal, old) = (self.clone(), change.old?);
            Some(async move { journal.keep(&path, &old).await })
        };
        each(changes, self.folder.at_once, keep, |()| Ok(())).await?;
        self.set(Stand {
            state: State::On(Way::Forth),
            began,
            is_rolled: false,
        })
        .await
    }

    async fn keep(&self, path: &str, old: &Version) -> Result<()> {
        let to = kept(&self.run, OLD, path);
        let tag = old.tag.as_deref();
        let copied = self.folder.copy((path, &to), old.size, tag).await?;
        if matches!(copied, Copied::Done(_)) {
            return Ok(());
        }
        let (path, place) = (told(path.as_bytes()), self.folder.s3.place());
        let what = format!(
            "{path} in {place} was written or deleted by somebody else since the run began: nothing was changed"
        );
        Err(Error::new(Kind::Verify, what)
            .hint("run the job again, when nobody else writes to its target"))
    }

    /// Writes down what the run has written.
    pub(super) async fn seal(&self, planned: &Changes, written: &Listing) -> Result<()> {
        self.folder
            .set_list(&self.run, &sealed(planned, written)?)
            .await
    }

    /// How far it has come; `None`: nothing was changed yet, or it is not there.
    pub(super) async fn stand(&self) -> Result<Option<Stand>> {
        let Some(text) = self.folder.state(&self.run).await? else {
            return Ok(None);
        };
        if !self.folder.has_list(&self.run).await? {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        let state = lines.next().and_then(|word| State::of(word.as_bytes()));
        let began = lines.next().and_then(|began| began.parse().ok());
        let strange = || {
            let what = format!(
                "nobody knows how far a run or a rollback has come: {}/state is damaged",
                self.folder.told(&self.run)
            );
            Error::new(Kind::Verify, what)
                .hint("what was replaced lies in `old` beside it: copy it back by hand if need be, and remove all that is there")
        };
        let (state, began) = state.zip(began).ok_or_else(strange)?;
        Ok(Some(Stand {
            state,
            began,
            is_rolled: lines.next() == Some(ROLLED),
        }))
    }

    /// Writes down how far it has come.
    pub(super) async fn set(&self, stand: Stand) -> Result<()> {
        let word = String::from_utf8_lossy(stand.state.word());
        let rolled = if stand.is_rolled { ROLLED } else { "" };
        let text = format!("{word}\n{}\n{rolled}\n", stand.began);
        self.folder.set_state(&self.run, text).await
    }

    /// What the run has changed.
    pub(super) async fn changes(&self) -> Result<Changes> {
        let gone = || {
            let what = format!("{}/list is gone", self.folder.told(&self.run));
            Error::new(Kind::Verify, what)
        };
        self.folder.list(&self.run).await?.ok_or_else(gone)
    }

    fn exchange(&self, way: Way, undoes: Option<i64>) -> Exchange {
        Exchange {
            folder: self.folder.clone(),
            run: self.run.clone(),
            way,
            undoes,
        }
    }

    /// Makes live what it was before the run, or what the run has made of it; all that makes way is kept.
    pub(super) async fn roll(&self, way: Way, stand: Stand) -> Result<()> {
        let changes = self.changes().await?;
        let exchange = self.exchange(way, None);
        if way == Way::Back {
            // What was there before the run was kept by it.
            exchange.keep(&changes).await?;
        }
        let on = |state| Stand {
            state,
            is_rolled: true,
            ..stand
        };
        self.set(on(State::On(way))).await?;
        let outcome = exchange.exchange(&changes).await?;
        self.folder.set_list(&self.run, &outcome.changes).await?;
        self.set(on(State::Is(way))).await
    }

    /// Takes back what the run has made of live, however far that had come. What somebody has written since stays; then what was
    /// there before is kept elsewhere.
    pub(super) async fn undo(&self, stand: Stand) -> Result<Outcome> {
        let changes = self.changes().await?;
        let on = |state| Stand { state, ..stand };
        self.set(on(State::On(Way::Back))).await?;
        let exchange = self.exchange(Way::Back, Some(stand.began));
        let outcome = exchange.exchange(&changes).await?;
        self.set(on(State::Is(Way::Back))).await?;
        Ok(outcome)
    }
}

/// What a run will change, object by object. `source`: the bucket that it copies from.
pub(super) fn note(
    work: &Work,
    source: Option<&Listing>,
    live: &Listing,
    place: &str,
) -> Result<Changes> {
    let mut source = Follow::of(source)?;
    let mut live = Follow::of(Some(live))?;
    let mut lines = Lines::begin()?;
    let mut tasks = work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        let mut path = String::from_utf8_lossy(&entry.path).into_owned();
        let mut change = Change {
            old: None,
            new: None,
        };
        match action {
            Action::Copy | Action::Delete => {
                let found = live.find(&entry.path)?;
                let found = found.filter(|found| found.stat.kind != FileKind::Directory);
                change.old = found.map(version_of);
                if change.old.as_ref().is_some_and(|old| old.tag.is_none()) {
                    return Err(no_tag(&path, place));
                }
                if action == Action::Copy {
                    let tag = source.find(&entry.path)?.map(version_of);
                    change.new = Some(Version {
                        tag: tag.and_then(|source| source.tag),
                        size: entry.stat.size,
                        is_meant: true,
                    });
                }
            }
            Action::Enter {
                is_doomed: true, ..
            } if is_marked(&entry.stat) => {
                path.push('/');
                change.old = Some(Version {
                    size: 0,
                    tag: None,
                    is_meant: false,
                });
            }
            _ => {}
        }
        lines.add(&path, &change)?;
        tasks.advance()?;
    }
    lines.end()
}

fn no_tag(path: &str, place: &str) -> Error {
    let what = format!(
        "{} has no ETag in the list of {place}: nobody could say whether it is what a run left there",
        told(path.as_bytes())
    );
    Error::new(Kind::Config, what).hint("leave `previous` out: this server keeps no previous")
}

/// The list with what the run has written. What it has not written, since it was gone from the source, it has not changed.
fn sealed(planned: &Changes, written: &Listing) -> Result<Changes> {
    let mut written = Follow::of(Some(written))?;
    let mut lines = Lines::begin()?;
    let mut reading = planned.read()?;
    while let Some((path, mut change)) = reading.next()? {
        if change.new.is_some() {
            let Some(entry) = written.find(path.as_bytes())? else {
                continue;
            };
            change.new = Some(version_of(entry));
        }
        lines.add(&path, &change)?;
    }
    lines.end()
}
