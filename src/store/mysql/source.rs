//! The source: a database at one point in time, read by several sessions in transactions of that point.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};

use crate::config::job::{Definer, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::open;
use crate::store::mysql::connection::pool::{Lent, Pool};
use crate::store::mysql::connection::server_identity;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::rows::batch;
use crate::store::mysql::rows::checksum;
use crate::store::mysql::rows::codec::LOAD_DATA;
use crate::store::mysql::rows::json;
use crate::store::mysql::rows::reading;
use crate::store::mysql::rows::sample;
use crate::store::mysql::rows::select;
use crate::store::mysql::rows::slices;
use crate::store::mysql::rows::snapshot;
use crate::store::mysql::schema::catalogue;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::dumped::Dumped;
use crate::store::mysql::schema::reader;
use crate::store::mysql::schema::shapes;
use crate::store::mysql::schema::typed_columns::Place;
use crate::store::mysql::schema::unknown;
use crate::store::mysql::schema::vetting;
use crate::store::mysql::sql::marks;
use crate::store::mysql::sql::names::quoted;
use crate::store::mysql::sql::version::Version;
use crate::store::mysql::workspace::schemas;
use crate::store::{
    self, Batch, Catalogue, Checksum, Chunks, Comment, Conditions, Context, Digest, Fate, Interner,
    Native, Part, ReadBatches, Sample, Samples, Shape, Shapes, Survey, Taker, Unit,
};

/// A database to read from.
pub(super) struct Source {
    address: Address,
    context: Context,
    definer: Definer,
    /// For what is asked before the survey, and for noticing that the server is gone.
    control: Mutex<Session>,
    surveyed: OnceCell<Surveyed>,
    /// It has nothing but a dump's definitions, which were made for this run.
    dumped: Option<Dumped>,
}

struct Surveyed {
    pool: Pool,
    /// JSON columns of which is known what they have.
    known: BTreeSet<Place>,
    /// Types of JSON's values are kept on the way to the target.
    keeps_types: bool,
    definitions: Arc<Definitions>,
}

impl Source {
    pub(in crate::store::mysql) async fn open(
        address: Address,
        task: &Task,
        context: &Context,
    ) -> Result<Self> {
        let control = Session::open(&address, Some(address.database())).await?;
        Ok(Self {
            address,
            context: context.clone(),
            definer: task.definer,
            control: Mutex::new(control),
            surveyed: OnceCell::new(),
            dumped: None,
        })
    }

    /// A dump's definitions in a schema of the run's own, which is dropped when the source is closed.
    pub(in crate::store::mysql) async fn open_dumped(
        address: Address,
        task: &Task,
        context: &Context,
        dumped: Dumped,
    ) -> Result<Self> {
        let mut source = Self::open(address, task, context).await?;
        source.dumped = Some(dumped);
        Ok(source)
    }

    /// A dump's rows, where it is one.
    pub(in crate::store::mysql) fn dumped(&self) -> Option<&Dumped> {
        self.dumped.as_ref()
    }

    /// What a dump of the source needs: its address, sessions at its point in time, and its definitions.
    pub(in crate::store::mysql) fn surveyed_for_dump(
        &self,
    ) -> Result<(Address, Pool, Arc<Definitions>)> {
        let surveyed = self.surveyed()?;
        Ok((
            self.address.clone(),
            surveyed.pool.clone(),
            surveyed.definitions.clone(),
        ))
    }

    async fn drop_definitions(&self) -> Result<()> {
        // Its own is still asked whether the server is there.
        self.control
            .lock()
            .await
            .run("USE information_schema")
            .await?;
        let mut session = Session::open(&self.address, None).await?;
        schemas::stop_sessions(&mut session, self.address.database()).await?;
        schemas::drop_schema(&mut session, self.address.database()).await
    }

    fn surveyed(&self) -> Result<&Surveyed> {
        self.surveyed
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "the source was not surveyed"))
    }

    /// JSON columns of tables without masks: a masked document is text.
    fn unmasked(&self, mut typed: BTreeSet<Place>) -> BTreeSet<Place> {
        typed.retain(|(table, column)| {
            let stays = !self.context.selection.is_masked(None, table);
            if !stays {
                tracing::warn!(
                    table,
                    column,
                    "has JSON with values of types that its text does not have: in a masked table they arrive as numbers and strings"
                );
            }
            stays
        });
        typed
    }

    /// A session that has nothing else to do, and all definitions; once it is surveyed.
    pub(in crate::store::mysql) async fn session(&self) -> Result<(Lent, &Definitions)> {
        let surveyed = self.surveyed()?;
        Ok((surveyed.pool.take().await?, &surveyed.definitions))
    }
}

/// The version of the server that the rows go to; `None`: they go to an archive.
fn version_of(taker: &Taker) -> Result<Option<Version>> {
    let server = taker.server();
    server
        .map(|server| Version::parse(&server.version))
        .transpose()
}

/// Whether what rows were before comes along: older servers take no rows with a past.
fn history(definitions: &Definitions, target: Option<&Version>) -> bool {
    // A server that an archive's rows go to one day is looked at then.
    let taken = target.is_none_or(Version::takes_past);
    let possible = taken && definitions.version.takes_past();
    for table in &definitions.tables {
        let periods = table.columns.iter().filter(|column| column.is_period);
        let by_time = periods.clone().count() > 0
            && periods
                .clone()
                .all(|column| column.data_type == "timestamp");
        if table.fate == Fate::Copy && table.versioning.is_some() && !(possible && by_time) {
            tracing::warn!(
                table = table.name,
                "the rows of a table with system versioning are copied as they are now, without their past"
            );
        }
    }
    possible
}

/// Tells of tables that a run of ours has made.
fn warn_of_own(definitions: &Definitions) {
    for (name, _) in &definitions.left_out {
        if marks::OWN.contains(&name.as_str()) {
            tracing::warn!(
                table = name,
                "a table of envsyncd's own is not copied: the source is what a run kept beside a target, or a copy of that"
            );
        }
    }
}

/// A part for each table that is copied, biggest first; `history`: with what its rows were before.
fn parts(definitions: &Definitions, history: bool) -> Vec<Part> {
    let mut lists = Interner::default();
    let mut parts: Vec<Part> = definitions
        .tables
        .iter()
        .filter(|table| table.fate == Fate::Copy)
        .enumerate()
        .map(|(id, table)| Part {
            id,
            schema: None,
            name: table.name.clone(),
            columns: table
                .columns
                .iter()
                .filter(|column| {
                    let past = history && column.is_period && column.data_type == "timestamp";
                    !column.generated || past
                })
                .map(|column| column.name.clone())
                .collect(),
            unit: Unit::Rows,
            encoding: LOAD_DATA,
            rows: table.rows,
            bytes: table.bytes,
            slice: None,
            condition: None,
        })
        .collect();
    for part in &mut parts {
        lists.intern_list(&mut part.columns);
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    parts
}

#[async_trait]
impl store::Source for Source {
    async fn identity(&self) -> Result<Identity> {
        server_identity::identity(&mut *self.control.lock().await, self.address.database()).await
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        let target = version_of(taker)?;
        let target = target.as_ref();
        let snapshot =
            snapshot::fix(&self.address, self.context.workers, self.dumped.is_some()).await?;
        let taken_at = snapshot.taken_at;
        let mut sessions = snapshot.sessions;
        let workers = sessions.len();
        let first = &mut sessions[0];
        let mut definitions =
            reader::read(first, self.address.database(), &self.context.selection).await?;
        unknown::warn(first, self.address.database()).await?;
        if let Some(dumped) = &self.dumped {
            dumped.complete(&mut definitions);
        }
        vetting::check(&definitions, first.version())?;
        warn_of_own(&definitions);
        let history = history(&definitions, target);
        let mut parts = parts(&definitions, history);
        match &self.dumped {
            Some(dumped) => dumped.arrange(&definitions, &mut parts)?,
            None => slices::divide(first, &definitions, workers, target, &mut parts).await?,
        }
        let selection = &self.context.selection;
        if selection.describes_columns {
            let shape = |part| Ok(shapes::of(definitions.table_of(part)?, part, selection));
            selection.follow(&parts.iter().map(shape).collect::<Result<Vec<_>>>()?);
        }
        let keeps_types = json::are_kept(&definitions.version, target);
        let looked = json::sample(first, &definitions, keeps_types).await?;
        definitions.typed.set(self.unmasked(looked.typed));
        first.run(reading::BEFORE_READING).await?;
        // From here on whoever alters a table waits for nobody; this server may be the target's, too.
        drop(snapshot.guard);
        if self.context.selection.has_conditions() {
            // NOW() is the same for all that is asked, however long it takes.
            let now = format!("SET SESSION timestamp = {}", taken_at.timestamp());
            for session in &mut sessions {
                session.run(&now).await.map_err(|error| {
                    error.within("giving all sessions one time, as rows are chosen by conditions")
                })?;
            }
        }
        for session in &mut sessions {
            // From here on values come as they are stored.
            session
                .run("SET SESSION character_set_results = NULL")
                .await?;
        }
        let server = sessions[0].version().server();
        let definitions = Arc::new(definitions);
        let surveyed = Surveyed {
            pool: Pool::new(sessions),
            known: looked.known,
            keeps_types,
            definitions: definitions.clone(),
        };
        if self.surveyed.set(surveyed).is_err() {
            return Err(Error::new(Kind::Internal, "the source was surveyed twice"));
        }
        Ok(Survey {
            server,
            taken_at,
            parts: parts.into(),
            left_out: definitions.left_out.clone(),
            definitions,
        })
    }

    async fn pin(&self) -> Result<()> {
        let surveyed = self.surveyed()?;
        let (pool, definitions) = (&surveyed.pool, &surveyed.definitions);
        let mut typed = json::whole(
            pool,
            self.context.workers,
            definitions,
            &surveyed.known,
            surveyed.keeps_types,
        )
        .await?;
        typed.extend(definitions.typed.all().iter().cloned());
        definitions.typed.set(self.unmasked(typed));
        Ok(())
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        let (session, definitions) = self.session().await?;
        let typed = definitions.typed.of(&part.name);
        let selection = &self.context.selection;
        let masks = selection.masks_of_table(&part.name);
        let marks: Vec<&str> = selection.conditions(&masks).collect();
        let sql = select::statement(definitions.table_of(part)?, part, &typed, &marks)?;
        let values = (marks.len() + part.columns.len()).max(1);
        reading::read(session, &sql, values, part.label()).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(catalogue::of(&self.surveyed()?.definitions, self.definer))
    }

    async fn digest(&self) -> Result<Digest> {
        let mut digest = Digest::default();
        let definitions = &self.surveyed()?.definitions;
        catalogue::each(definitions, self.definer, |object, definition| {
            digest.add(&object, &definition);
        });
        Ok(digest)
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        let (mut session, definitions) = self.session().await?;
        let rows = checksum::count(&mut session, definitions.table_of(part)?, part).await;
        session.run(reading::BEFORE_READING).await?;
        rows
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let (mut session, definitions) = self.session().await?;
        let typed = definitions.typed.of(&part.name);
        let sum = checksum::checksum(&mut session, definitions.table_of(part)?, part, &typed).await;
        session.run(reading::BEFORE_READING).await?;
        sum
    }

    async fn lost(&self) -> Error {
        open::lost(&self.control).await
    }

    async fn close(&self) {
        if let Some(surveyed) = self.surveyed.get() {
            surveyed.pool.close();
        }
        if self.dumped.is_some()
            && let Err(error) = self.drop_definitions().await
        {
            tracing::warn!(
                %error,
                schema = self.address.database(),
                "what a dump's definitions were made in could not be dropped; the next run does it"
            );
        }
    }

    fn batches(&self) -> Option<&dyn ReadBatches> {
        Some(self)
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
impl Samples for Source {
    async fn sample(&self, part: &Part, rows: u64) -> Result<Sample> {
        let (mut session, definitions) = self.session().await?;
        let table = definitions.table_of(part)?;
        let sample = sample::read(&mut session, table, part, rows).await;
        session.run(reading::BEFORE_READING).await?;
        sample
    }

    async fn comments(&self) -> Result<Vec<Comment>> {
        let (mut session, definitions) = self.session().await?;
        sample::comments(&mut session, &definitions.schema).await
    }
}

#[async_trait]
impl Shapes for Source {
    async fn shapes(&self, parts: &[Part]) -> Result<Vec<Shape>> {
        let definitions = &self.surveyed()?.definitions;
        let selection = &self.context.selection;
        let shape = |part| Ok(shapes::of(definitions.table_of(part)?, part, selection));
        parts.iter().map(shape).collect()
    }

    fn conditions(&self) -> Option<&dyn Conditions> {
        Some(self)
    }
}

#[async_trait]
impl Conditions for Source {
    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    async fn check(&self, part: &Part, condition: &str) -> Result<()> {
        // No row is read.
        let (mut session, _) = self.session().await?;
        let query = select::rows_with(part, condition, 0);
        let checked = session.query(&query).await;
        checked.map(drop).map_err(|error| match error.kind() {
            Kind::Connection => error,
            _ => error.with_kind(Kind::Config),
        })
    }

    async fn is_true_for_any(&self, part: &Part, condition: &str) -> Result<bool> {
        let (mut session, _) = self.session().await?;
        let query = select::rows_with(part, condition, 1);
        Ok(!session.query(&query).await?.is_empty())
    }
}

#[async_trait]
impl ReadBatches for Source {
    async fn read_batch(&self, parts: &[Part]) -> Result<Batch> {
        let (session, definitions) = self.session().await?;
        let mut statements = Vec::with_capacity(parts.len());
        for part in parts {
            let typed = definitions.typed.of(&part.name);
            let table = definitions.table_of(part)?;
            statements.push(select::statement(table, part, &typed, &[])?);
        }
        let columns = parts.iter().map(|part| part.columns.len().max(1)).collect();
        reading::read_many(session, &statements, columns, batch::label(parts)).await
    }
}
