//! The target: the order of things, and what has been done so far.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt;
use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::job::{KeepPrevious, Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::room::Room;
use crate::store::sqlite::connection::errors::{explain, on};
use crate::store::sqlite::connection::files::{self, CreatedFile};
use crate::store::sqlite::connection::location::Location;
use crate::store::sqlite::connection::open::{self, open_read};
use crate::store::sqlite::connection::session::{Session, blocking, held, stopped};
use crate::store::sqlite::connection::{backup, library};
use crate::store::sqlite::incoming::preflight::{check_live, check_room};
use crate::store::sqlite::incoming::preserve::{self, Preserved};
use crate::store::sqlite::incoming::{build, check, create, derive, load, progress};
use crate::store::sqlite::publish::confirm::PublishedCopy;
use crate::store::sqlite::publish::live::{self, Watch};
use crate::store::sqlite::publish::lock::{self, Lock};
use crate::store::sqlite::publish::marks;
use crate::store::sqlite::publish::swap::{Publishing, after_publish, publish_new};
use crate::store::sqlite::rows::checksum;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::extensions;
use crate::store::sqlite::schema::objects::Table;
use crate::store::sqlite::script::run;
use crate::store::sqlite::source;
use crate::store::{
    Catalogue, Checksum, Chunks, Context, Meter, Part, Server, Source, Survey, Target,
};

mod beside;
mod rewritten;

/// A database file to write to.
pub(in crate::store::sqlite) struct SqliteTarget {
    location: Location,
    context: Context,
    verify: Verify,
    previous: KeepPrevious,
    has_scripts: bool,
    lock: Mutex<Option<Lock>>,
    /// Incoming, while it is open.
    session: Mutex<Option<Session>>,
    /// SQLite has one writer; whoever waits here has not begun to read.
    writing: tokio::sync::Mutex<()>,
    /// Threads that make files beside live, even if nobody waits for them any more: until they are done, nothing is removed.
    creating: Arc<tokio::sync::RwLock<()>>,
    state: Mutex<State>,
}

/// What has been done so far.
#[derive(Default)]
struct State {
    definitions: Option<Arc<Definitions>>,
    /// Incoming's file.
    made: Option<Arc<CreatedFile>>,
    /// Incoming is the source, page by page.
    is_page_copy: bool,
    /// The snapshot is there, and this tells whether it still is what is live.
    watch: Option<Watch>,
    preserved: Option<Arc<Preserved>>,
    replaced: Option<Replaced>,
    /// What was published, until it is confirmed.
    published: Option<PublishedCopy>,
}

/// What a publish replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replaced {
    /// A file that is now previous.
    Previous,
    /// Nothing: the file is new, and has this inode.
    Nothing(u64),
}

impl SqliteTarget {
    pub(in crate::store::sqlite) fn new(
        location: Location,
        task: &Task,
        context: &Context,
    ) -> Self {
        Self {
            location,
            context: context.clone(),
            verify: task.verify,
            previous: task.previous,
            has_scripts: !task.scripts.is_empty(),
            lock: Mutex::new(None),
            session: Mutex::new(None),
            writing: tokio::sync::Mutex::new(()),
            creating: Arc::default(),
            state: Mutex::new(State::default()),
        }
    }

    fn incoming(&self) -> PathBuf {
        self.location.incoming(self.context.claim.short())
    }

    fn snapshot(&self) -> PathBuf {
        self.location.snapshot(self.context.claim.short())
    }

    fn session(&self) -> Result<Session> {
        held(&self.session)
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "incoming is not open"))
    }

    fn set_session(&self, connection: Connection) {
        *held(&self.session) = Some(Session::new(connection, &self.context.cancel));
    }

    /// Incoming for reading alone, which goes without what its application brings along.
    fn reader(&self) -> Result<Session> {
        let path = self.incoming();
        let connection = open_read(&path)?;
        extensions::stand_in(&connection).map_err(on(&path))?;
        Ok(Session::new(connection, &self.context.cancel))
    }

    /// Closes incoming and opens it again, so that nothing of its schema or a virtual table is remembered.
    async fn reopen(&self) -> Result<()> {
        drop(held(&self.session).take());
        let (path, made) = (self.incoming(), self.made()?);
        let connection = blocking(&self.context.cancel, move |_| {
            let connection = open::open_building(&path)?;
            made.is_there()?;
            Ok(connection)
        })
        .await?;
        self.set_session(connection);
        Ok(())
    }

    fn made(&self) -> Result<Arc<CreatedFile>> {
        held(&self.state)
            .made
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "incoming was not made"))
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
    async fn take_snapshot(&self, stop: &CancellationToken) -> Result<()> {
        if held(&self.state).watch.is_some() || !self.location.exists() {
            return Ok(());
        }
        let (live, to) = (self.location.file.clone(), self.snapshot());
        let creating = Arc::clone(&self.creating).read_owned().await;
        let watch = blocking(stop, move |stop| {
            let _until_done = creating;
            live::snapshot(&live, &to, stop)
        })
        .await?;
        held(&self.state).watch = Some(watch);
        Ok(())
    }

    /// Rows and tables of live, then all that comes after rows.
    async fn complete(&self, definitions: &Arc<Definitions>) -> Result<()> {
        let selection = Arc::clone(&self.context.selection);
        self.take_snapshot(&self.context.cancel).await?;
        let has_live = held(&self.state).watch.is_some();
        let (snapshot, definitions) = (self.snapshot(), Arc::clone(definitions));
        let preserved = self
            .session()?
            .run(move |connection, _| {
                if !has_live {
                    build::complete(connection, &definitions, &Preserved::none())?;
                    return Ok(Preserved::none());
                }
                let live = preserve::read(&snapshot, &selection)?;
                let mut preserved = Preserved::plan(&definitions, &live, &selection)?;
                preserved.can_stay(&definitions, &live)?;
                preserved.fill(connection, &snapshot, &definitions, &live)?;
                build::complete(connection, &definitions, &preserved)?;
                preserved.serves(&definitions, &live, connection, &selection)?;
                Ok(preserved)
            })
            .await?;
        held(&self.state).preserved = Some(Arc::new(preserved));
        Ok(())
    }

    /// Rows that are kept are nobody's to change.
    async fn check_preserved(&self) -> Result<()> {
        let preserved = held(&self.state).preserved.clone();
        let Some(preserved) = preserved.filter(|preserved| !preserved.is_empty()) else {
            return Ok(());
        };
        let snapshot = self.snapshot();
        self.session()?
            .run(move |connection, _| preserved.is_untouched(connection, &snapshot))
            .await
    }

    /// Checks incoming while live is copied: one reads and computes, the other reads and writes. What fails ends the other.
    async fn check_and_snapshot(&self, definitions: &Arc<Definitions>) -> Result<()> {
        let stop = self.context.cancel.child_token();
        let failed = Mutex::new(None);
        let ended = |done: Result<()>| {
            if let Err(error) = done {
                held(&failed).get_or_insert(error);
                stop.cancel();
            }
        };
        tokio::join!(
            async { ended(self.check_integrity(definitions, &stop).await) },
            async { ended(self.take_snapshot(&stop).await) },
        );
        failed
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }

    async fn check_integrity(
        &self,
        definitions: &Arc<Definitions>,
        stop: &CancellationToken,
    ) -> Result<()> {
        if self.verify == Verify::None {
            return Ok(());
        }
        let (path, definitions) = (self.incoming(), Arc::clone(definitions));
        let connection = open_read(&path)?;
        Session::new(connection, stop)
            .run(move |connection, _| {
                check::integrity(connection, &path)?;
                check::keys(connection, &definitions, &path)
            })
            .await
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn identity(&self) -> Result<Identity> {
        self.location.identity()
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        self.location.displaced()
    }

    async fn server(&self) -> Result<Server> {
        Ok(library::server())
    }

    async fn room(&self) -> Option<Room> {
        Room::of(self.location.directory())
    }

    async fn lock(&self) -> Result<()> {
        let lock = Lock::take(&self.location.beside("lock"), &self.context.claim)?;
        *held(&self.lock) = Some(lock);
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        self.remove_leftovers()
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let definitions = ours(survey)?;
        self.marks()?.spare_previous()?;
        if self.has_scripts {
            extensions::refuse_scripts(&definitions)?;
        }
        let lock = self.location.beside("lock");
        if !lock::is_ours(&lock) {
            return Err(marks::foreign(&lock, lock::FOREIGN));
        }
        let place = self.location.clone();
        let has_scripts = self.has_scripts;
        let selection = Arc::clone(&self.context.selection);
        blocking(&self.context.cancel, move |stop| {
            let incoming = definitions.settings.bytes();
            let needed = if place.exists() {
                let live = check_live(&place.file, &definitions, &selection, stop)?;
                // Incoming, the snapshot, and the journal of the transaction that publishes.
                incoming
                    .saturating_add(live)
                    .saturating_add(live.max(incoming))
            } else if has_scripts {
                // It is written anew once they have run.
                incoming.saturating_mul(2)
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
        self.marks()?.begin()?;
        let path = self.incoming();
        let creating = Arc::clone(&self.creating).read_owned().await;
        let (connection, made) = blocking(&self.context.cancel, move |_| {
            let _until_done = creating;
            create::prepare(&path, &definitions)
        })
        .await?;
        held(&self.state).made = Some(Arc::new(made));
        self.set_session(connection);
        Ok(())
    }

    async fn adopt(&self, source: &dyn Source, survey: &Survey, meter: &dyn Meter) -> Result<bool> {
        let Some(source) = source.as_any().downcast_ref::<source::SqliteSource>() else {
            return Ok(false);
        };
        if !backup::can_take_all(&self.context.selection) {
            return Ok(false);
        }
        drop(held(&self.session).take());
        let (sender, mut progress) = mpsc::unbounded_channel();
        let to = self.incoming();
        let session = source.session()?;
        let creating = Arc::clone(&self.creating).read_owned().await;
        let copying = session.run(move |connection, stop| {
            let _until_done = creating;
            backup::copy(connection, &to, stop, &mut |done, all| {
                let _ = sender.send((done, all));
            })
        });
        let metering = async {
            let mut spread = progress::Spread::new(&survey.parts, meter);
            while let Some(at) = progress.recv().await {
                spread.reach(at);
            }
        };
        let (copied, ()) = tokio::join!(copying, metering);
        {
            let mut state = held(&self.state);
            state.made = Some(Arc::new(copied?));
            state.is_page_copy = true;
        }
        self.reopen().await?;
        let definitions = ours(survey)?;
        let names: Vec<String> = survey.parts.iter().map(|part| part.name.clone()).collect();
        // What cannot be checked by its indexes is held against the source row by row.
        let summed: Vec<Table> = definitions
            .missing_extensions
            .iter()
            .filter(|_| self.verify != Verify::None)
            .filter_map(|lack| definitions.table(&lack.table))
            .filter(|table| !table.is_virtual)
            .cloned()
            .collect();
        let look = |names: Vec<String>, summed: Vec<Table>| {
            move |connection: &mut Connection, stop: &CancellationToken| {
                let counts = load::counts(connection, &names)
                    .map_err(|error| explain(error, "counting rows"))?;
                let sums = summed
                    .iter()
                    .map(|table| {
                        stopped(stop)?;
                        let sum = checksum::sum(connection, table)
                            .map_err(|error| explain(error, &format!("table `{}`", table.name)))?;
                        Ok((table.name.clone(), sum))
                    })
                    .collect::<Result<Vec<_>>>()?;
                Ok((counts, sums))
            }
        };
        let (reading, session) = (source.session()?, self.reader()?);
        let ((sent, theirs), (taken, ours)) = tokio::try_join!(
            reading.run(look(names.clone(), summed.clone())),
            session.run(look(names, summed))
        )?;
        if let Some(((name, _), _)) = theirs.iter().zip(&ours).find(|(a, b)| a != b) {
            return Err(Error::new(
                Kind::Verify,
                format!("`{name}`: the rows of the copy are not those of the source"),
            ));
        }
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
        if !held(&self.state).is_page_copy {
            self.complete(&definitions).await?;
        }
        self.fit_pages().await?;
        self.check_and_snapshot(&definitions).await?;
        self.reopen().await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        let selection = Arc::clone(&self.context.selection);
        let preserved = held(&self.state).preserved.clone();
        let definitions = self.definitions()?;
        let path = self.incoming();
        self.session()?
            .run(move |connection, _| {
                let incoming = Definitions::read(connection, &selection).map_err(on(&path))?;
                Ok(match preserved {
                    Some(preserved) => preserved.in_place_of(&definitions, &incoming),
                    None => incoming.everything(&BTreeSet::new()),
                })
            })
            .await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let table = self.table(part)?;
        let session = if extensions::is_missing(&*self.definitions()?, &table.name) {
            self.reader()?
        } else {
            self.session()?
        };
        session
            .run(move |connection, stop| {
                let sum = checksum::sum(connection, &table).map_err(|error| {
                    explain(error, &format!("table `{}` of incoming", table.name))
                });
                stopped(stop)?;
                sum
            })
            .await
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        run::look(file, text)
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        let (file, text) = (file.to_owned(), text.to_owned());
        // What one has set, attached or made for the time of its session is not there for the next.
        self.reopen().await?;
        self.session()?
            .run(move |connection, stop| run::run(connection, &file, &text, stop))
            .await
    }

    async fn derive(&self) -> Result<()> {
        self.reopen().await?;
        self.check_preserved().await?;
        self.session()?
            .run(|connection, _| derive::renew(connection))
            .await?;
        // A script may have changed the page size.
        let wanted = self.wanted_page_size().await?;
        self.rewrite(wanted).await
    }

    async fn publish(&self) -> Result<()> {
        drop(held(&self.session).take());
        let definitions = self.definitions()?;
        self.marks()?.spare_previous()?;
        let Some(watch) = held(&self.state).watch.take() else {
            let (incoming, live) = (self.incoming(), self.location.file.clone());
            let made = self.made()?;
            let inode = made.inode();
            let published = blocking(&self.context.cancel, move |_| {
                publish_new(&made, &incoming, &live, &definitions)
            })
            .await?;
            {
                let mut state = held(&self.state);
                state.replaced = Some(Replaced::Nothing(inode));
                state.published = Some(published);
            }
            return files::remove(&self.incoming())
                .and_then(|()| self.location.sync_directory())
                .and_then(|()| self.is_cleared())
                .map_err(after_publish);
        };
        let publishing = Publishing {
            live: self.location.file.clone(),
            incoming: self.incoming(),
            made: self.made()?,
            snapshot: self.snapshot(),
            definitions,
            selection: Arc::clone(&self.context.selection),
            preserved: held(&self.state).preserved.clone(),
        };
        let published = blocking(&self.context.cancel, move |stop| {
            publishing.run(watch, stop)
        })
        .await?;
        {
            let mut state = held(&self.state);
            state.replaced = Some(Replaced::Previous);
            state.published = Some(published);
        }
        self.becomes_previous()
            .and_then(|()| files::remove(&self.incoming()))
            .and_then(|()| self.is_cleared())
            .map_err(after_publish)
    }

    async fn confirm(&self) -> Result<()> {
        let published = held(&self.state).published.take();
        let Some(published) = published else {
            return Ok(());
        };
        let (live, incoming) = (self.location.file.clone(), self.incoming());
        blocking(&self.context.cancel, move |_| {
            published.confirm(&live, &incoming)
        })
        .await
    }

    async fn revert(&self) -> Result<()> {
        let replaced = {
            let mut state = held(&self.state);
            state.published = None;
            state.replaced.take()
        };
        match replaced {
            None => Ok(()),
            Some(Replaced::Nothing(inode)) => {
                let live = &self.location.file;
                if live
                    .symlink_metadata()
                    .is_ok_and(|found| found.ino() != inode)
                {
                    return Err(Error::new(
                        Kind::Io,
                        format!(
                            "{} is another file than the one that was published",
                            live.display()
                        ),
                    ));
                }
                files::remove(live)?;
                self.location.sync_directory()
            }
            Some(Replaced::Previous) => {
                let (live, previous) = (self.location.file.clone(), self.location.previous());
                // A run that was cancelled is undone all the same.
                blocking(&CancellationToken::new(), move |stop| {
                    let from = open_read(&previous)?;
                    live::replace(&live, &from, &mut || Ok(()), stop).map(drop)
                })
                .await?;
                // It is what is live: there is nothing to go back to.
                self.drop_previous()
            }
        }
    }

    async fn settle(&self) -> Result<()> {
        held(&self.state).published = None;
        if self.previous == KeepPrevious::Drop {
            self.drop_previous()?;
        }
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        let session = held(&self.session).take();
        if held(&self.state).replaced.is_some() {
            return Ok(());
        }
        // Who was interrupted may still be at it, and would leave files behind.
        let _nobody_makes = self.creating.write().await;
        if let Some(session) = session {
            let _ = tokio::task::spawn_blocking(move || drop(session.lock())).await;
        }
        held(&self.state).watch = None;
        self.remove_building()
    }

    async fn rollback(&self) -> Result<()> {
        self.swap_with_previous().await
    }

    async fn close(&self) {
        drop(held(&self.session).take());
        {
            let mut state = held(&self.state);
            state.watch = None;
            state.published = None;
            state.made = None;
        }
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
