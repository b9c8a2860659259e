//! The source: one read transaction, from `survey` to `close`, is the point in time.
//!
//! A source in WAL mode goes on as if nobody read it. One with a rollback journal lets its readers go on, but its
//! writers cannot commit until `close`.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Error, Kind, Result, io};
use crate::policy::Identity;
use crate::store::sqlite::connection::errors::{explain, on};
use crate::store::sqlite::connection::location::Location;
use crate::store::sqlite::connection::open::{open_read, open_write};
use crate::store::sqlite::connection::session::{Session, blocking, locked, stopped, thread};
use crate::store::sqlite::connection::{backup, library};
use crate::store::sqlite::rows::checksum::sum;
use crate::store::sqlite::rows::{reading, sample};
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::extensions;
use crate::store::sqlite::schema::names::quoted;
use crate::store::sqlite::schema::objects::Table;
use crate::store::sqlite::schema::shapes;
use crate::store::{
    Catalogue, Checksum, Chunks, Conditions, Context, Native, Part, Sample, Samples, Shape, Shapes,
    Source, Survey, Taker,
};
use crate::sync::Mutex;

mod connect;
mod survey;

/// A database file to read from.
pub(in crate::store::sqlite) struct SqliteSource {
    location: Location,
    context: Context,
    session: Mutex<Option<Session>>,
    definitions: Mutex<Option<Arc<Definitions>>>,
    /// Whether our reading made SQLite put its -wal and -shm beside the file.
    litter: Mutex<bool>,
}

impl SqliteSource {
    pub(in crate::store::sqlite) async fn open(
        location: Location,
        context: &Context,
    ) -> Result<Self> {
        let file = location.file.clone();
        let (connection, litter) =
            blocking(&context.cancel, move |_| connect::connect(&file)).await?;
        Ok(Self {
            session: Mutex::new(Some(Session::new(connection, &context.cancel))),
            location,
            context: context.clone(),
            definitions: Mutex::new(None),
            litter: Mutex::new(litter),
        })
    }

    /// The connection that holds the point in time.
    pub(in crate::store::sqlite) fn session(&self) -> Result<Session> {
        locked(&self.session)
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "the source is closed"))
    }

    fn definitions(&self) -> Result<Arc<Definitions>> {
        locked(&self.definitions)
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

#[async_trait]
impl Source for SqliteSource {
    async fn identity(&self) -> Result<Identity> {
        self.location.identity()
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        let file = self.location.file.clone();
        let selection = Arc::clone(&self.context.selection);
        // Pages do not go to an archive.
        let is_archive = *taker == Taker::Archive;
        let row_by_row = !backup::can_take_all(&selection) || is_archive;
        let (definitions, parts, taken_at) = self
            .session()?
            .run(move |connection, _| {
                let (mut definitions, parts, taken_at) =
                    survey::read(connection, &selection, row_by_row, is_archive, &file)?;
                definitions.missing_extensions =
                    extensions::missing(&open_read(&file)?, &definitions).map_err(on(&file))?;
                if row_by_row && !definitions.not_utf8.is_empty() {
                    return Err(survey::not_utf8(&file, &definitions.not_utf8));
                }
                if row_by_row {
                    extensions::refuse_rows(&definitions)?;
                    survey::warn_of_widest(&definitions);
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
        *locked(&self.definitions) = Some(Arc::clone(&definitions));
        Ok(Survey {
            server: library::server(),
            taken_at,
            parts: parts.into(),
            left_out: definitions.left_out(),
            definitions,
        })
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        let table = self.table(part)?;
        let session = self.session()?;
        let stop = self.context.cancel.clone();
        let selection = &self.context.selection;
        let masks = selection.masks_of_table(&table.name);
        let marks = selection.conditions(&masks).map(str::to_owned).collect();
        let only = part.condition.clone();
        Ok(reading::stream(session, table, marks, only, stop))
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
        let session = locked(&self.session).take();
        let litter = std::mem::take(&mut *locked(&self.litter));
        let file = self.location.file.clone();
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

    fn shapes(&self) -> Option<&dyn Shapes> {
        Some(self)
    }

    fn samples(&self) -> Option<&dyn Samples> {
        Some(self)
    }

    fn native(&self) -> Native<'_> {
        Native::of(self)
    }
}

#[async_trait]
impl Samples for SqliteSource {
    async fn sample(&self, part: &Part, rows: u64) -> Result<Sample> {
        let table = self.table(part)?;
        self.session()?
            .run(move |connection, _| {
                sample::read(connection, &table, rows)
                    .map_err(|error| explain(error, &format!("source table `{}`", table.name)))
            })
            .await
    }
}

#[async_trait]
impl Shapes for SqliteSource {
    async fn shapes(&self, parts: &[Part]) -> Result<Vec<Shape>> {
        let tables: Vec<Table> = parts
            .iter()
            .map(|part| self.table(part))
            .collect::<Result<_>>()?;
        let selection = Arc::clone(&self.context.selection);
        self.session()?
            .run(move |connection, _| {
                let shape = |table: &Table| {
                    shapes::read(connection, table, &selection)
                        .map_err(|error| explain(error, &format!("source table `{}`", table.name)))
                };
                tables.iter().map(shape).collect()
            })
            .await
    }

    fn conditions(&self) -> Option<&dyn Conditions> {
        Some(self)
    }
}

#[async_trait]
impl Conditions for SqliteSource {
    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    async fn check(&self, part: &Part, condition: &str) -> Result<()> {
        let table = self.table(part)?;
        let query = table.select(&[], Some(condition));
        self.session()?
            .run(move |connection, _| {
                let prepared = connection.prepare(&query).map(drop);
                prepared.map_err(|error| {
                    explain(error, &format!("source table `{}`", table.name))
                        .with_kind(Kind::Config)
                })
            })
            .await
    }

    async fn is_true_for_any(&self, part: &Part, condition: &str) -> Result<bool> {
        let table = self.table(part)?;
        let query = table.select(&[], Some(condition));
        self.session()?
            .run(move |connection, _| {
                let found = connection
                    .prepare(&query)
                    .and_then(|mut found| found.exists([]));
                found.map_err(|error| explain(error, &format!("source table `{}`", table.name)))
            })
            .await
    }
}
