//! The source: one read transaction, from `survey` to `close`, is the point in time.
//!
//! A source in WAL mode goes on as if nobody read it. One with a rollback journal lets its readers go on, but its
//! writers cannot commit until `close`.

use std::any::Any;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::connection::{
    Session, explain, held, on, open_read, open_write, quoted, stopped, thread,
};
use super::handle::{companion, remove_one};
use super::needs::{self, Gone};
use super::place::Place;
use super::rows::{Packer, Summer};
use super::schema::{Definitions, Table, broken_keys, statistics};
use super::{unknown, views};
use crate::error::{Error, Kind, Result, io};
use crate::policy::Identity;
use crate::store::{
    Catalogue, Checksum, Chunk, Chunks, Context, Encoding, Fate, Part, Selection, Server, Source,
    Survey,
};

/// A database file to read from.
pub(super) struct SqliteSource {
    place: Place,
    context: Context,
    session: Mutex<Option<Session>>,
    definitions: Mutex<Option<Arc<Definitions>>>,
    /// Whether our reading made SQLite put its -wal and -shm beside the file.
    litter: Mutex<bool>,
}

impl SqliteSource {
    pub(super) async fn open(place: Place, context: &Context) -> Result<Self> {
        let file = place.file.clone();
        let (connection, litter) =
            super::connection::blocking(&context.cancel, move |_| connect(&file)).await?;
        Ok(Self {
            session: Mutex::new(Some(Session::new(connection, &context.cancel))),
            place,
            context: context.clone(),
            definitions: Mutex::new(None),
            litter: Mutex::new(litter),
        })
    }

    /// The connection that holds the point in time.
    pub(super) fn session(&self) -> Result<Session> {
        held(&self.session)
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "the source is closed"))
    }

    fn definitions(&self) -> Result<Arc<Definitions>> {
        held(&self.definitions)
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "the source was not surveyed"))
    }

    fn table(&self, part: &Part) -> Result<Table> {
        self.definitions()?
            .table(&part.name)
            .cloned()
            .ok_or_else(|| {
                Error::new(
                    Kind::Internal,
                    format!("the source has no table `{}`", part.name),
                )
            })
    }
}

/// Opens the file and looks at it; says whether that left -wal and -shm.
fn connect(file: &Path) -> Result<(Connection, bool)> {
    let shown = file.display();
    let found = file.metadata().map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::PermissionDenied {
            Kind::Permission
        } else {
            Kind::Connection
        };
        Error::new(kind, format!("cannot reach the database {shown}"))
            .because(error)
            .hint("check the source's path")
    })?;
    if found.len() == 0 {
        // To SQLite it is a database without tables, and a target would be emptied.
        return Err(Error::new(
            Kind::Verify,
            format!("the source {shown} is an empty file and no database yet"),
        )
        .hint(
            "check the path, and that its disk is mounted; `sqlite3 FILE VACUUM` makes it a database without tables, if it is meant to be one",
        ));
    }
    let shared = companion(file, "-shm");
    let was_there = shared.exists();
    let connection = open_read(file)?;
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(on(file))?;
    let litter = !was_there && shared.exists();
    if litter
        && shared
            .metadata()
            .is_ok_and(|made| made.uid() != found.uid())
    {
        drop(connection);
        // Only an empty log holds nothing of anyone's.
        let log = companion(file, "-wal");
        if log.metadata().is_ok_and(|log| log.len() == 0) {
            let _ = remove_one(&log);
            let _ = remove_one(&shared);
        }
        return Err(Error::new(
            Kind::Permission,
            format!("{shown} is in WAL mode and nobody has it open: reading it would leave files that its owner cannot write"),
        )
        .hint("run envsyncd as the file's owner or as root, or start the application that owns it"));
    }
    Ok((connection, litter))
}

/// Reads what there is, and about how much, inside the transaction.
fn survey(
    connection: &Connection,
    selection: &Selection,
    row_by_row: bool,
    is_archive: bool,
    file: &Path,
) -> Result<(Definitions, Vec<Part>, DateTime<Utc>)> {
    let begin = || {
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        connection.execute_batch("BEGIN")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    begin().map_err(on(file))?;
    let taken_at = Utc::now();
    let mut definitions = Definitions::read(connection, selection).map_err(on(file))?;
    definitions
        .flawed
        .extend(views::overgrown(&definitions.others));
    if let Some((object, flaw)) = definitions.flawed.first() {
        return Err(flawed(file, object, flaw));
    }
    unknown::stand_in(connection).map_err(on(file))?;
    needs::settle(&mut definitions, selection, is_archive)?
        .iter()
        .for_each(Gone::tell);
    if row_by_row {
        definitions.broken_keys = broken_keys(connection).map_err(on(file))?;
        definitions.statistics = statistics(connection, |name| {
            definitions
                .table(name)
                .is_some_and(|table| table.fate == Fate::Copy)
        })
        .map_err(on(file))?;
    }
    let parts = parts(connection, &definitions).map_err(on(file))?;
    Ok((definitions, parts, taken_at))
}

/// What a copy consists of.
fn parts(connection: &Connection, definitions: &Definitions) -> rusqlite::Result<Vec<Part>> {
    let all = definitions.settings.bytes();
    let mut parts = Vec::new();
    for table in definitions
        .tables
        .iter()
        .filter(|table| !table.is_virtual && table.fate == Fate::Copy)
    {
        let (rows, bytes) = size(connection, table, all)?;
        parts.push(Part {
            id: 0,
            schema: None,
            name: table.name.clone(),
            columns: table.names(),
            encoding: Encoding::Rows,
            rows,
            bytes,
            slice: None,
        });
    }
    parts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    for (id, part) in parts.iter_mut().enumerate() {
        part.id = id;
    }
    Ok(parts)
}

fn warn_of_widest(definitions: &Definitions) {
    let is_copied = |table: &&Table| table.is_widest && table.fate == Fate::Copy;
    for table in definitions.tables.iter().filter(is_copied) {
        tracing::warn!(
            table = table.name,
            "has as many columns as SQLite allows: its rows come without their rowids, and are numbered anew in their order"
        );
    }
}

/// A definition is text on its way, unless it goes along with its page.
fn not_utf8(file: &Path, objects: &[String]) -> Error {
    Error::new(
        Kind::Verify,
        format!(
            "{}: the definition of {} is not valid UTF-8, and would not arrive as it is",
            file.display(),
            objects.join(", ")
        ),
    )
    .hint("copy the whole file: no `exclude`, `schema_only`, `keep` or overlay, and not into an archive; or define it anew")
}

/// A definition that was not written by SQLite, and that nobody should run.
fn flawed(file: &Path, object: &str, flaw: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("{}: the definition of {object} {flaw}", file.display()),
    )
    .hint(
        "SQLite never writes such a definition: find out who wrote to the file, and define it anew",
    )
}

/// About how many rows and bytes: the highest rowid, and the first rows' length. Counting would read everything.
fn size(connection: &Connection, table: &Table, all: u64) -> rusqlite::Result<(u64, u64)> {
    const SAMPLE: u64 = 64;
    let mut sample = Vec::new();
    let mut seen = 0;
    {
        let mut statement = connection.prepare(&format!("{} LIMIT {SAMPLE}", table.select()))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            super::rows::encode(row, table.values(), &mut sample)?;
            seen += 1;
        }
    }
    if seen < SAMPLE {
        return Ok((seen, sample.len() as u64));
    }
    let length = (sample.len() as u64 / seen).max(1);
    let name = quoted(&table.name);
    // Tables WITHOUT ROWID, and those that hide it, have to be counted.
    let rows: i64 = connection
        .query_row(
            &format!("SELECT coalesce(max(rowid) - min(rowid) + 1, 0) FROM main.{name}"),
            [],
            |row| row.get(0),
        )
        .or_else(|_| {
            connection.query_row(&format!("SELECT count(*) FROM main.{name}"), [], |row| {
                row.get(0)
            })
        })?;
    let rows = (rows.max(0) as u64).min(all / length + 1);
    Ok((rows, rows * length))
}

#[async_trait]
impl Source for SqliteSource {
    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn identity(&self) -> Result<Identity> {
        self.place.identity()
    }

    async fn survey(&self, target: &Server) -> Result<Survey> {
        let file = self.place.file.clone();
        let selection = Arc::clone(&self.context.selection);
        // Pages do not go to an archive.
        let is_archive = target.is_archive();
        let row_by_row = !super::load::whole(&selection) || is_archive;
        let (definitions, parts, taken_at) = self
            .session()?
            .run(move |connection, _| {
                let (mut definitions, parts, taken_at) =
                    survey(connection, &selection, row_by_row, is_archive, &file)?;
                definitions.lacking =
                    unknown::lacking(&open_read(&file)?, &definitions).map_err(on(&file))?;
                if row_by_row && !definitions.not_utf8.is_empty() {
                    return Err(not_utf8(&file, &definitions.not_utf8));
                }
                if row_by_row {
                    unknown::refuse_rows(&definitions)?;
                    warn_of_widest(&definitions);
                }
                if is_archive {
                    // As those that lie in archives already have been summed up.
                    for table in &mut definitions.tables {
                        table.computed.clear();
                    }
                }
                definitions.mode = file
                    .metadata()
                    .map_err(io(format!("cannot reach {}", file.display())))?
                    .mode()
                    & 0o777;
                Ok((Arc::new(definitions), parts, taken_at))
            })
            .await?;
        *held(&self.definitions) = Some(Arc::clone(&definitions));
        Ok(Survey {
            server: super::server(),
            taken_at,
            parts: parts.into(),
            left_out: definitions.left_out(),
            definitions: crate::store::Definitions::Sqlite(definitions),
        })
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        let table = self.table(part)?;
        let session = self.session()?;
        let stop = self.context.cancel.clone();
        // Nothing happens before the first chunk is asked for: a reader that waits for its writer must not hold the connection.
        Ok(stream::once(async move {
            let (sender, receiver) = mpsc::channel::<Result<Chunk>>(2);
            let refused = sender.clone();
            let worker = thread(move || {
                if let Err(error) = stream_rows(&session.lock(), &table, &sender, &stop) {
                    let _ = sender.blocking_send(Err(error));
                }
            });
            let worker = match worker {
                Ok(worker) => Some(worker),
                Err(error) => {
                    let _ = refused.try_send(Err(error));
                    None
                }
            };
            drop(refused);
            stream::unfold((receiver, worker), |(mut receiver, worker)| async move {
                if let Some(chunk) = receiver.recv().await {
                    return Some((chunk, (receiver, worker)));
                }
                // A thread that died must not look like the end of the rows.
                let lost = worker?.await.err()?;
                let error = Error::new(Kind::Internal, "a reading thread died").because(lost);
                Some((Err(error), (receiver, None)))
            })
        })
        .flatten()
        .boxed())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(self.definitions()?.selected())
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let table = self.table(part)?;
        self.session()?
            .run(move |connection, stop| {
                sum(connection, &table)
                    .map_err(|error| explain(error, &format!("source table `{}`", table.name)))
                    .and_then(|sum| stopped(stop).map(|()| sum))
            })
            .await
    }

    async fn close(&self) {
        // Work that is still running holds the connection, and frees it when it is done.
        let session = held(&self.session).take();
        let litter = std::mem::take(&mut *held(&self.litter));
        let file = self.place.file.clone();
        let closing = thread(move || {
            drop(session);
            if litter {
                // A read-only connection leaves -wal and -shm behind; one that may write takes them along when it is the
                // last to close. It reads one page and writes nothing.
                if let Ok(connection) = open_write(&file) {
                    let _ =
                        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
                }
            }
        });
        if let Ok(closing) = closing {
            let _ = closing.await;
        }
    }
}

fn stream_rows(
    connection: &Connection,
    table: &Table,
    sender: &mpsc::Sender<Result<Chunk>>,
    stop: &tokio_util::sync::CancellationToken,
) -> Result<()> {
    let failed = |error| explain(error, &format!("source table `{}`", table.name));
    let mut statement = connection.prepare(&table.select()).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut packer = Packer::new();
    while let Some(row) = rows.next().map_err(failed)? {
        if let Some(chunk) = packer.add(row, table.values(), &table.name)? {
            stopped(stop)?;
            if sender.blocking_send(Ok(chunk)).is_err() {
                // Nobody listens any more.
                return Ok(());
            }
        }
    }
    if let Some(chunk) = packer.take() {
        let _ = sender.blocking_send(Ok(chunk));
    }
    Ok(())
}

/// A table's checksum.
pub(super) fn sum(connection: &Connection, table: &Table) -> rusqlite::Result<Checksum> {
    let mut statement = connection.prepare(&table.select_all())?;
    let values = statement.column_count();
    let mut rows = statement.query([])?;
    let mut summer = Summer::default();
    while let Some(row) = rows.next()? {
        summer.add(row, values)?;
    }
    Ok(summer.total())
}
