//! The target: the order of things, and what has been done so far.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::connection::{Session, blocking, held, on, open_read, open_write, stopped};
use super::kept::{self, Kept};
use super::live::{self, Watch};
use super::lock::Lock;
use super::place::{self, Place, companion};
use super::publish::{Publishing, after_publish, publish_new, rename};
use super::room::{check_live, check_room};
use super::schema::{Definitions, Table};
use super::{copy, finish, load, script, source};
use crate::config::job::{KeepPrevious, Task, Verify};
use crate::error::{Error, Kind, Result, io};
use crate::policy::Identity;
use crate::store::{
    Catalogue, Checksum, Chunks, Context, Meter, Part, Server, Source, Survey, Target,
};

/// A database file to write to.
pub(super) struct SqliteTarget {
    place: Place,
    context: Context,
    verify: Verify,
    previous: KeepPrevious,
    lock: Mutex<Option<Lock>>,
    /// Incoming, while it is open.
    session: Mutex<Option<Session>>,
    /// SQLite has one writer; whoever waits here has not begun to read.
    writing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What has been done so far.
#[derive(Default)]
struct State {
    definitions: Option<Arc<Definitions>>,
    /// Incoming is the source, page by page.
    is_adopted: bool,
    /// The snapshot is there, and this tells whether it still is what is live.
    watch: Option<Watch>,
    kept: Option<Arc<Kept>>,
    published: Option<Published>,
}

/// What a publish replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Published {
    /// A file that is now previous.
    Replaced,
    /// Nothing: the file is new.
    New,
}

impl SqliteTarget {
    pub(super) fn new(place: Place, task: &Task, context: &Context) -> Self {
        Self {
            place,
            context: context.clone(),
            verify: task.verify,
            previous: task.previous,
            lock: Mutex::new(None),
            session: Mutex::new(None),
            writing: tokio::sync::Mutex::new(()),
            state: Mutex::new(State::default()),
        }
    }

    fn incoming(&self) -> PathBuf {
        self.place.incoming(self.context.claim.short())
    }

    fn snapshot(&self) -> PathBuf {
        self.place.snapshot(self.context.claim.short())
    }

    fn session(&self) -> Result<Session> {
        held(&self.session)
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "incoming is not open"))
    }

    fn set_session(&self, connection: Connection) {
        *held(&self.session) = Some(Session::new(connection, &self.context.cancel));
    }

    /// Closes incoming and opens it again, so that nothing of its schema or a virtual table is remembered.
    async fn reopen(&self) -> Result<()> {
        drop(held(&self.session).take());
        let path = self.incoming();
        let connection =
            blocking(&self.context.cancel, move |_| copy::open_building(&path)).await?;
        self.set_session(connection);
        Ok(())
    }

    fn definitions(&self) -> Result<Arc<Definitions>> {
        held(&self.state)
            .definitions
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "incoming was not prepared"))
    }

    fn table(&self, part: &Part) -> Result<Table> {
        self.definitions()?
            .table(&part.name)
            .cloned()
            .ok_or_else(|| {
                Error::new(
                    Kind::Internal,
                    format!("incoming has no table `{}`", part.name),
                )
            })
    }

    /// Takes the snapshot of live, unless there is one, or no live.
    async fn take_snapshot(&self) -> Result<()> {
        if held(&self.state).watch.is_some() || !self.place.exists() {
            return Ok(());
        }
        let (live, to) = (self.place.file.clone(), self.snapshot());
        let watch = blocking(&self.context.cancel, move |stop| {
            live::snapshot(&live, &to, stop)
        })
        .await?;
        held(&self.state).watch = Some(watch);
        Ok(())
    }

    /// Rows and tables of live, then all that comes after rows.
    async fn complete(&self, definitions: &Arc<Definitions>) -> Result<()> {
        let selection = Arc::clone(&self.context.selection);
        self.take_snapshot().await?;
        let has_live = held(&self.state).watch.is_some();
        let (snapshot, definitions) = (self.snapshot(), Arc::clone(definitions));
        let kept = self
            .session()?
            .run(move |connection, _| {
                let kept = if has_live {
                    let live = kept::read(&snapshot, &selection)?;
                    let kept = Kept::plan(&definitions, &live, &selection)?;
                    kept.fill(connection, &snapshot, &live)?;
                    kept
                } else {
                    Kept::none()
                };
                finish::complete(connection, &definitions, &kept)?;
                Ok(kept)
            })
            .await?;
        held(&self.state).kept = Some(Arc::new(kept));
        Ok(())
    }

    /// SQLite cannot change the page size of a live file in WAL mode, so incoming follows it.
    async fn fit_pages(&self) -> Result<()> {
        if !self.place.exists() {
            return Ok(());
        }
        let (live, incoming) = (self.place.file.clone(), self.incoming());
        drop(held(&self.session).take());
        blocking(&self.context.cancel, move |_| {
            let size = |connection: &Connection, path: &Path| {
                connection
                    .pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))
                    .map_err(on(path))
            };
            let theirs = open_write(&live)?;
            if live::is_wal(&theirs).map_err(on(&live))? {
                let wanted = size(&theirs, &live)?;
                let ours = open_read(&incoming)?;
                if size(&ours, &incoming)? != wanted {
                    drop(ours);
                    finish::resize(&incoming, wanted)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn check_integrity(&self, definitions: &Arc<Definitions>) -> Result<()> {
        if self.verify == Verify::None {
            return Ok(());
        }
        let (path, definitions) = (self.incoming(), Arc::clone(definitions));
        let connection = open_read(&path)?;
        Session::new(connection, &self.context.cancel)
            .run(move |connection, _| {
                finish::integrity(connection, &path)?;
                finish::keys(connection, &definitions, &path)
            })
            .await
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn identity(&self) -> Result<Identity> {
        self.place.identity()
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(Vec::new())
    }

    async fn server(&self) -> Result<Server> {
        Ok(super::server())
    }

    async fn lock(&self) -> Result<()> {
        let lock = Lock::take(&self.place.beside("lock"), &self.context.claim)?;
        *held(&self.lock) = Some(lock);
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for path in self.place.leftovers()? {
            std::fs::remove_file(&path).map_err(io(format!("cannot remove {}", path.display())))?;
            removed.push(path.display().to_string());
        }
        Ok(removed)
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let definitions = ours(survey)?;
        let place = self.place.clone();
        let selection = Arc::clone(&self.context.selection);
        blocking(&self.context.cancel, move |_| {
            let incoming = definitions.settings.bytes();
            let needed = if place.exists() {
                let live = check_live(&place.file, &definitions, &selection)?;
                // Incoming, the snapshot, and the journal of the transaction that publishes.
                incoming + live + live.max(incoming)
            } else {
                incoming
            };
            check_room(place.directory(), needed)
        })
        .await
    }

    async fn prepare(&self, survey: &Survey) -> Result<()> {
        let definitions = ours(survey)?;
        held(&self.state).definitions = Some(Arc::clone(&definitions));
        let path = self.incoming();
        let connection = blocking(&self.context.cancel, move |_| {
            load::prepare(&path, &definitions)
        })
        .await?;
        self.set_session(connection);
        Ok(())
    }

    async fn adopt(&self, source: &dyn Source, survey: &Survey, meter: &dyn Meter) -> Result<bool> {
        let Some(source) = source.as_any().downcast_ref::<source::SqliteSource>() else {
            return Ok(false);
        };
        if !load::whole(&self.context.selection) {
            return Ok(false);
        }
        drop(held(&self.session).take());
        let (sender, mut progress) = mpsc::unbounded_channel();
        let to = self.incoming();
        let session = source.session()?;
        let copying = session.run(move |connection, stop| {
            copy::copy(connection, &to, stop, &mut |done, all| {
                let _ = sender.send((done, all));
            })
        });
        let metering = async {
            let mut spread = load::Spread::new(&survey.parts, meter);
            while let Some(at) = progress.recv().await {
                spread.reach(at);
            }
        };
        let (copied, ()) = tokio::join!(copying, metering);
        copied?;
        held(&self.state).is_adopted = true;
        self.reopen().await?;
        let names: Vec<String> = survey.parts.iter().map(|part| part.name.clone()).collect();
        let count = |names: Vec<String>| {
            move |connection: &mut rusqlite::Connection, _: &tokio_util::sync::CancellationToken| {
                load::counts(connection, &names)
                    .map_err(|error| super::connection::explain(error, "counting rows"))
            }
        };
        let (reading, session) = (source.session()?, self.session()?);
        let (sent, taken) =
            tokio::try_join!(reading.run(count(names.clone())), session.run(count(names)))?;
        for ((part, sent), taken) in survey.parts.iter().zip(sent).zip(taken) {
            if sent != taken {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "{}: {sent} rows on the source and {taken} in the copy",
                        part.label()
                    ),
                ));
            }
            meter.add(part, taken, 0);
        }
        Ok(true)
    }

    async fn write(&self, part: &Part, mut chunks: Chunks) -> Result<u64> {
        let _one_at_a_time = self.writing.lock().await;
        let table = self.table(part)?;
        let session = self.session()?;
        let (sender, receiver) = mpsc::channel(2);
        let writing =
            session.run(move |connection, stop| load::write(connection, &table, receiver, stop));
        let reading = async move {
            while let Some(chunk) = chunks.next().await {
                if sender.send(Some(chunk?)).await.is_err() {
                    // The writer has failed, and says why.
                    return Ok(());
                }
            }
            let _ = sender.send(None).await;
            Ok(())
        };
        let (taken, read): (Result<u64>, Result<()>) = tokio::join!(writing, reading);
        read?;
        taken
    }

    async fn finish(&self) -> Result<()> {
        let definitions = self.definitions()?;
        if !held(&self.state).is_adopted {
            self.complete(&definitions).await?;
        }
        self.fit_pages().await?;
        // One reads and computes, the other reads and writes.
        tokio::try_join!(self.check_integrity(&definitions), self.take_snapshot())?;
        self.reopen().await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        let selection = Arc::clone(&self.context.selection);
        let skip = held(&self.state)
            .kept
            .as_ref()
            .map_or_else(BTreeSet::new, |kept| kept.names());
        let path = self.incoming();
        self.session()?
            .run(move |connection, _| {
                Ok(Definitions::read(connection, &selection)
                    .map_err(on(&path))?
                    .everything(&skip))
            })
            .await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let table = self.table(part)?;
        self.session()?
            .run(move |connection, stop| {
                let sum = source::sum(connection, &table).map_err(|error| {
                    super::connection::explain(
                        error,
                        &format!("table `{}` of incoming", table.name),
                    )
                });
                stopped(stop)?;
                sum
            })
            .await
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        let (file, text) = (file.to_owned(), text.to_owned());
        self.session()?
            .run(move |connection, stop| script::run(connection, &file, &text, stop))
            .await
    }

    async fn derive(&self) -> Result<()> {
        Ok(())
    }

    async fn publish(&self) -> Result<()> {
        drop(held(&self.session).take());
        let definitions = self.definitions()?;
        let Some(watch) = held(&self.state).watch.take() else {
            let (incoming, live) = (self.incoming(), self.place.file.clone());
            blocking(&self.context.cancel, move |_| {
                publish_new(&incoming, &live, &definitions)
            })
            .await?;
            held(&self.state).published = Some(Published::New);
            return place::remove(&self.incoming())
                .and_then(|()| self.place.sync_directory())
                .map_err(after_publish);
        };
        let publishing = Publishing {
            live: self.place.file.clone(),
            incoming: self.incoming(),
            snapshot: self.snapshot(),
            definitions,
            selection: Arc::clone(&self.context.selection),
            kept: held(&self.state).kept.clone(),
        };
        blocking(&self.context.cancel, move |stop| {
            publishing.run(watch, stop)
        })
        .await?;
        held(&self.state).published = Some(Published::Replaced);
        let previous = self.place.previous();
        // An old journal beside it would be played back into it.
        place::remove_companions(&previous)
            .and_then(|()| rename(&self.snapshot(), &previous))
            .and_then(|()| self.place.sync_directory())
            .and_then(|()| place::remove(&self.incoming()))
            .map_err(after_publish)
    }

    async fn confirm(&self) -> Result<()> {
        Ok(())
    }

    async fn revert(&self) -> Result<()> {
        let published = held(&self.state).published.take();
        match published {
            None => Ok(()),
            Some(Published::New) => {
                place::remove(&self.place.file)?;
                self.place.sync_directory()
            }
            Some(Published::Replaced) => {
                let (live, previous) = (self.place.file.clone(), self.place.previous());
                // A run that was cancelled is undone all the same.
                blocking(&tokio_util::sync::CancellationToken::new(), move |stop| {
                    let from = open_read(&previous)?;
                    live::replace(&live, &from, &mut || Ok(()), stop)?;
                    drop(from);
                    // It is what is live: there is nothing to go back to.
                    place::remove(&previous)
                })
                .await
            }
        }
    }

    async fn settle(&self) -> Result<()> {
        if self.previous == KeepPrevious::Drop {
            place::remove(&self.place.previous())?;
        }
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        drop(held(&self.session).take());
        if held(&self.state).published.is_some() {
            return Ok(());
        }
        held(&self.state).watch = None;
        for path in [self.incoming(), self.snapshot()] {
            place::remove(&path)?;
            for end in [".resized", ".again"] {
                place::remove(&companion(&path, end))?;
            }
        }
        Ok(())
    }

    async fn rollback(&self) -> Result<()> {
        let (live, previous, snapshot) = (
            self.place.file.clone(),
            self.place.previous(),
            self.snapshot(),
        );
        if !previous.exists() {
            return Err(Error::new(
                Kind::Statement,
                format!("there is no previous copy of {}", live.display()),
            )
            .hint("it is kept by runs with `previous = \"keep\"`, until the next run"));
        }
        blocking(&self.context.cancel, move |stop| {
            let watch = live::snapshot(&live, &snapshot, stop)?;
            let from = open_read(&previous)?;
            let mut again = || {
                if watch.is_changed()? {
                    place::remove(&snapshot)?;
                    live::snapshot_under_lock(&watch, &live, &snapshot, stop)?;
                }
                Ok(())
            };
            live::replace(&live, &from, &mut again, stop)?;
            drop(from);
            rename(&snapshot, &previous)
        })
        .await?;
        self.place.sync_directory()
    }

    async fn close(&self) {
        drop(held(&self.session).take());
        held(&self.state).watch = None;
        drop(held(&self.lock).take());
    }
}

fn ours(survey: &Survey) -> Result<Arc<Definitions>> {
    #[allow(unreachable_patterns, clippy::match_wildcard_for_single_variants)]
    match &survey.definitions {
        crate::store::Definitions::Sqlite(definitions) => Ok(Arc::clone(definitions)),
        _ => Err(Error::new(
            Kind::Config,
            "a database of another kind cannot be copied into SQLite",
        )),
    }
}
