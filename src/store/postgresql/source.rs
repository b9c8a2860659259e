//! The source: one snapshot, held by one session and shared by as many as there are workers.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;

use super::connection::{Address, READING, Session, literal, quoted};
use super::left_out::{self, LeftOut};
use super::lineage::Lineage;
use super::split::{self, Taker};
use super::survey::{self, Table};
use super::traits::{self, Traits};
use super::{
    Definitions, advice, catalogue, checksum, code, constraints, foreign, large, lot, objects,
    planning, relay, sequences, settings, settled, spoken, waited,
};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::{
    self, Catalogue, Checksum, Chunk, Chunks, Context, Digest, Encoding, Fate, Lot, Part, Server,
    Survey,
};

/// A PostgreSQL database that is read.
pub struct Source {
    address: Address,
    context: Context,
    /// Holds the snapshot, and the locks that keep tables from being altered. `None` while it has stepped aside.
    keeper: Mutex<Option<Arc<Session>>>,
    /// Nobody but us is in it, or ever will be: it is what a dump was restored into.
    is_staged: bool,
    fixed: OnceCell<Fixed>,
    idle: Arc<Mutex<Vec<Session>>>,
}

/// What is known once the point in time is fixed.
struct Fixed {
    /// The server replays another one's changes.
    standby: bool,
    /// When the snapshot was taken, or a little before; and how old it may get before the server throws away what it needs.
    since: Instant,
    threshold: Option<Duration>,
    snapshot: String,
    traits: Traits,
    gone: HashSet<(u32, u32)>,
    /// Conditions on the rows of extensions' tables, by part.
    conditions: HashMap<usize, String>,
    large: Vec<large::Described>,
    by_root: HashMap<usize, (String, String)>,
    /// Tables of which not all is copied.
    left_out: Vec<(String, String, Fate)>,
}

/// What the survey asks of the snapshot beside the definitions.
struct Asked {
    parts: Vec<(u32, Part)>,
    conditions: HashMap<usize, String>,
    sequences: Vec<sequences::Sequence>,
    large: Vec<large::Described>,
    by_root: HashMap<usize, (String, String)>,
    populated: HashSet<(String, String)>,
    in_two: HashMap<u32, constraints::InTwo>,
    rights: Vec<super::rights::Right>,
    collations: Vec<super::collations::Collation>,
    needs: super::needs::Needs,
    lineage: Option<Lineage>,
}

impl Source {
    /// Connects.
    pub(super) async fn open(address: Address, context: &Context) -> Result<Self> {
        let keeper = address.connect(None, READING).await?;
        Ok(Self {
            address,
            context: context.clone(),
            keeper: Mutex::new(Some(Arc::new(keeper))),
            is_staged: false,
            fixed: OnceCell::new(),
            idle: Arc::default(),
        })
    }

    /// The same for a database that a dump was restored into.
    pub(super) async fn open_staged(address: Address, context: &Context) -> Result<Self> {
        let mut source = Self::open(address, context).await?;
        source.is_staged = true;
        Ok(source)
    }

    pub(super) fn is_staged(&self) -> bool {
        self.is_staged
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The snapshot that was surveyed, and the tables of which it is not all.
    pub(super) fn point(&self) -> (&str, &[(String, String, Fate)]) {
        let fixed = self.fixed();
        (&fixed.snapshot, &fixed.left_out)
    }

    pub(super) fn database(&self) -> &str {
        self.address.database()
    }

    pub(super) fn keeper(&self) -> Result<Arc<Session>> {
        self.own_keeper().clone().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "the source was asked while it had stepped aside",
            )
        })
    }

    fn own_keeper(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.keeper.lock().expect("no one panics with this lock")
    }

    /// Leaves the database, so that the server can copy its files; only before the survey. The server may need a moment
    /// to see that we are gone.
    pub(super) fn step_aside(&self) {
        self.own_keeper().take();
    }

    /// Connects again.
    pub(super) async fn come_back(&self) -> Result<()> {
        let keeper = self.address.connect(None, READING).await?;
        *self.own_keeper() = Some(Arc::new(keeper));
        Ok(())
    }

    fn fixed(&self) -> &Fixed {
        self.fixed.get().expect("survey comes before anything else")
    }

    /// Locks every table that is not excluded, then takes the snapshot: so nothing can be truncated or rewritten, which
    /// old snapshots do not see, in the moment between the two. (`pg_dump` has it the other way round.)
    async fn fix(&self) -> Result<(String, DateTime<Utc>, Vec<Table>)> {
        let keeper = &*self.keeper()?;
        for _ in 0..5 {
            let before = survey::tables(keeper, &self.context.selection).await?;
            survey::readable(keeper, &before).await?;
            keeper
                .run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await?;
            let names: Vec<String> = before
                .iter()
                .filter(|table| matches!(table.fate, Fate::Copy))
                .map(|table| format!("ONLY {}.{}", quoted(&table.schema), quoted(&table.name)))
                .collect();
            let mut vanished = false;
            for some in names.chunks(500) {
                let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", some.join(", "));
                match keeper.batch_execute(&lock).await {
                    Ok(()) => {}
                    Err(error)
                        if error.code()
                            == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE) =>
                    {
                        vanished = true;
                        break;
                    }
                    Err(error) => return Err(keeper.explain()(error)),
                }
            }
            if !vanished {
                let row = keeper
                    .query_one("SELECT pg_export_snapshot()", &[])
                    .await
                    .map_err(keeper.explain())?;
                let taken_at = Utc::now();
                let tables = survey::tables(keeper, &self.context.selection).await?;
                let copied = |tables: &[Table]| -> HashSet<u32> {
                    tables
                        .iter()
                        .filter(|t| t.fate == Fate::Copy)
                        .map(|t| t.oid)
                        .collect()
                };
                if copied(&tables).is_subset(&copied(&before)) {
                    return Ok((row.get(0), taken_at, tables));
                }
            }
            tracing::debug!("tables came and went during the survey; once more");
            keeper.run("ROLLBACK").await?;
        }
        Err(Error::new(
            Kind::Statement,
            "the source's tables keep changing: no point in time could be fixed",
        )
        .hint("run the job when nobody creates or drops tables"))
    }

    /// All that is in the snapshot but for the definitions.
    async fn ask(
        &self,
        number: u32,
        binary: bool,
        taker: Taker,
        tables: &[Table],
        gone: &HashSet<(u32, u32)>,
    ) -> Result<Asked> {
        let keeper = &*self.keeper()?;
        let columns = survey::columns(keeper).await?;
        let mut parts = survey::parts(tables, &columns, binary, Fate::Copy);
        let mut conditions = HashMap::new();
        for (oid, schema, name, is_sequence, condition) in survey::extension_data(keeper).await? {
            let fate = self.context.selection.fate(Some(&schema), &name);
            if is_sequence || fate != Fate::Copy {
                continue;
            }
            let (columns, _) = columns.get(&oid).cloned().unwrap_or_default();
            let id = parts.len();
            conditions.insert(id, condition);
            let part = Part {
                id,
                schema: Some(schema),
                name,
                columns,
                encoding: Encoding::CopyText,
                rows: 0,
                bytes: 0,
                slice: None,
            };
            parts.push((oid, part));
        }
        let mut large = large::describe(keeper).await?;
        large.retain(|one| !gone.contains(&one.filed()));
        if !large.is_empty() {
            let id = parts.len();
            parts.push((0, large::part(id, large.len())));
        }
        let roots = survey::by_root(keeper).await?;
        if !roots.is_empty() {
            foreign::refuse_roots(keeper, roots.values()).await?;
        }
        let by_root: HashMap<usize, (String, String)> = parts
            .iter()
            .filter_map(|(oid, part)| Some((part.id, roots.get(oid)?.clone())))
            .collect();
        let workers = self.context.workers;
        split::divide(keeper, number, workers, taker, &mut parts, |id| {
            by_root.contains_key(&id) || conditions.contains_key(&id)
        })
        .await?;
        let copied: Vec<u32> = tables
            .iter()
            .filter(|table| table.fate == Fate::Copy)
            .map(|table| table.oid)
            .collect();
        Ok(Asked {
            parts,
            conditions,
            sequences: sequences::all(keeper, gone).await?,
            large,
            by_root,
            populated: survey::populated(keeper).await?,
            in_two: constraints::read(keeper, tables).await?,
            rights: super::rights::read(keeper, gone).await?,
            collations: super::collations::used(keeper, number, gone).await?,
            needs: super::needs::Needs::of(keeper, number, &copied, gone).await?,
            lineage: if taker == Taker::Archive {
                Some(Lineage::read(keeper, tables, gone).await?)
            } else {
                None
            },
        })
    }

    /// The condition on the rows of an extension's table.
    fn condition(&self, part: &Part) -> &str {
        let conditions = &self.fixed().conditions;
        conditions.get(&part.id).map_or("", String::as_str)
    }

    /// A session that sees the snapshot; an idle one if there is.
    pub(super) async fn session(&self) -> Result<Session> {
        let fixed = self.fixed();
        advice::refuse_too_old(fixed.since.elapsed(), fixed.threshold)?;
        if let Some(session) = self
            .idle
            .lock()
            .expect("no one panics with this lock")
            .pop()
        {
            return Ok(session);
        }
        let mut session = self.address.connect(None, READING).await?;
        session.has_snapshot = true;
        let fixed = self.fixed();
        session
            .run(&format!(
                "SET client_encoding = {}; BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                fixed.traits.spoken(),
                fixed.snapshot
            ))
            .await?;
        Ok(session)
    }

    /// A session that sees the snapshot and computes as one of the database's owner would.
    pub(super) async fn owners_session(&self) -> Result<Session> {
        let fixed = self.fixed();
        advice::refuse_too_old(fixed.since.elapsed(), fixed.threshold)?;
        let database = self.address.database();
        let mut session = self.address.connect_as_it_is(database, READING).await?;
        for (name, value) in settings::of_owner(&session, database).await? {
            let (name, value) = (literal(&name), literal(&value));
            let set = format!("SELECT pg_catalog.set_config({name}, {value}, false)");
            if let Err(error) = session.run(&set).await {
                tracing::debug!(%error, "a setting of the source's owner cannot be had");
            }
        }
        // Whatever an owner has: nothing is written here.
        let spoken = fixed.traits.spoken();
        session
            .run(&format!(
                "SET client_encoding = {spoken}; SET row_security = off; \
                 BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                fixed.snapshot
            ))
            .await?;
        session.has_snapshot = true;
        Ok(session)
    }

    pub(super) fn rest(&self, session: Session) {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .push(session);
    }
}

#[async_trait]
impl store::Source for Source {
    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn identity(&self) -> Result<Identity> {
        super::identity(&*self.keeper()?, self.address.database()).await
    }

    async fn survey(&self, target: &Server) -> Result<Survey> {
        let keeper = &*self.keeper()?;
        let (number, text) = survey::version(keeper).await?;
        let major = number / 10_000;
        survey::refuse_older(major, &text, target)?;
        let dump = super::dump::PgDump::find(major).await?;
        let traits = traits::read(keeper, number).await?;
        if traits.spoken() == "SQL_ASCII" {
            spoken::refuse_unspeakable(keeper).await?;
        }
        let since = Instant::now();
        let (snapshot, taken_at, mut tables) = match self.fix().await {
            Ok(fixed) => fixed,
            Err(error) => return Err(waited::if_so(&self.address, error).await),
        };
        super::unknown::refuse(keeper).await?;
        let excluded: Vec<u32> = tables
            .iter()
            .filter(|t| t.fate == Fate::Exclude)
            .map(|t| t.oid)
            .collect();
        let with_excluded = LeftOut::read(keeper, &excluded).await?;
        with_excluded.tell(&self.context.selection)?;
        with_excluded.warn_of_rest(keeper, &excluded).await?;
        let mut gone = with_excluded.gone.clone();
        for (schema, name) in survey::invalid_indexes(keeper).await? {
            tracing::warn!(
                index = format!("{schema}.{name}"),
                "left out, because it is not valid on the source: nobody finished building it, or somebody is at it"
            );
        }
        let class = survey::class_oid(keeper).await?;
        for table in &mut tables {
            if gone.contains(&(class, table.oid)) {
                table.fate = Fate::Exclude;
            }
        }
        let objects = objects::left_out(keeper, &tables).await?;
        gone.extend(objects::filed(&objects));
        let without: Vec<(String, String)> = tables
            .iter()
            .filter(|table| table.fate == Fate::Exclude)
            .map(|table| (table.schema.clone(), table.name.clone()))
            .collect();
        let binary = major == target.major && traits.binary_is_raw();
        let taker = if target.is_archive() {
            Taker::Archive
        } else {
            Taker::Server
        };
        settled::refuse_other_words(&self.address, keeper).await?;
        // What a dump has was looked at before it was restored.
        let code = if self.is_staged {
            Vec::new()
        } else {
            code::read(keeper).await?
        };
        // pg_dump takes its time, and not all of the server.
        let (mut toc, asked) = tokio::try_join!(
            dump.definitions(
                &self.address,
                Some(&snapshot),
                &without,
                traits.spoken(),
                false
            ),
            self.ask(number, binary, taker, &tables, &gone)
        )?;
        left_out::cut(&with_excluded.cuts, &mut toc);
        let mut without_rows: Vec<(String, Fate)> = tables
            .iter()
            .filter(|table| table.fate != Fate::Copy)
            .map(|table| (format!("{}.{}", table.schema, table.name), table.fate))
            .collect();
        without_rows.extend(survey::of_extensions(keeper, &self.context.selection).await?);
        let with_fate = |fate: Fate| {
            tables
                .iter()
                .filter(|table| table.fate == fate && !table.partitioned)
                .map(|table| (table.schema.clone(), table.name.clone()))
                .collect()
        };
        let definitions = Definitions {
            dump: Some(dump),
            kept: with_fate(Fate::Keep),
            conditions: asked.conditions.clone(),
            traits: traits.clone(),
            sequences: asked.sequences,
            populated: asked.populated,
            gone: gone.clone(),
            large: asked.large.clone(),
            by_root: asked.by_root.clone(),
            in_two: asked.in_two,
            toc: Mutex::new(toc),
            rights: asked.rights,
            collations: asked.collations,
            needs: asked.needs,
            lineage: asked.lineage,
            uncatalogued: HashSet::new(),
            cuts: with_excluded.cuts,
            code: Some(code),
            major,
        };
        let survey = Survey {
            server: Server {
                kind: crate::store::postgresql::KIND,
                version: text,
                major,
            },
            taken_at,
            parts: asked.parts.into_iter().map(|(_, part)| part).collect(),
            left_out: without_rows,
            definitions: store::Definitions::Postgresql(Arc::new(definitions)),
        };
        let standby = keeper
            .query_one("SELECT pg_is_in_recovery()", &[])
            .await
            .map_err(keeper.explain())?
            .get(0);
        let threshold = advice::threshold(keeper).await?;
        let fixed = Fixed {
            standby,
            since,
            threshold,
            snapshot,
            traits,
            gone,
            conditions: asked.conditions,
            large: asked.large,
            by_root: asked.by_root,
            left_out: tables
                .iter()
                .filter(|table| table.fate != Fate::Copy)
                .map(|table| (table.schema.clone(), table.name.clone(), table.fate))
                .collect(),
        };
        if self.fixed.set(fixed).is_err() {
            return Err(Error::new(Kind::Internal, "the source was surveyed twice"));
        }
        Ok(survey)
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        let session = self.session().await?;
        if large::is(part) {
            return Ok(large::read(session, self.fixed().large.clone()));
        }
        let rows = match self.fixed().conditions.get(&part.id) {
            Some(condition) => format!(
                "(SELECT {} FROM ONLY {} {condition})",
                super::column_list(&part.columns),
                super::table_name(part)
            ),
            None if let Some(slice) = &part.slice => {
                // Nothing but a scan of these blocks, and by this session alone.
                session
                    .run("SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0")
                    .await?;
                format!(
                    "(SELECT {} FROM ONLY {} {})",
                    super::column_list(&part.columns),
                    super::table_name(part),
                    split::condition(slice)
                )
            }
            None if part.columns.is_empty() => super::table_name(part),
            None => format!(
                "{} ({})",
                super::table_name(part),
                super::column_list(&part.columns)
            ),
        };
        let is_query = rows.starts_with('(');
        if is_query {
            let query = &rows[1..rows.len() - 1];
            planning::make_ready(&session, part, query).await?;
        }
        let binary = part.encoding == Encoding::CopyBinary;
        let format = self.fixed().traits.copy_options(part.encoding);
        let label = part.label();
        let copy = relay::Out::start(&session, &format!("COPY {rows} TO STDOUT{format}"), binary)
            .await
            .map_err(|error| error.within(format!("reading {label}")))?;
        let reading = Reading {
            session,
            copy,
            // A session with these settings is of no further use.
            idle: if is_query {
                Arc::default()
            } else {
                self.idle.clone()
            },
            label,
        };
        Ok(stream::try_unfold(reading, Reading::next).boxed())
    }

    async fn read_lot(&self, parts: &[Part]) -> Result<Lot> {
        let session = self.session().await?;
        lot::Out::start(session, self.idle.clone(), parts, &self.fixed().traits).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        let session = self.session().await?;
        let found = catalogue::read(&session, &self.fixed().gone).await?;
        self.rest(session);
        Ok(found)
    }

    async fn digest(&self) -> Result<Digest> {
        let session = self.session().await?;
        let mut digest = Digest::default();
        catalogue::each(&session, &self.fixed().gone, |_, object, definition| {
            digest.add(object, definition);
        })
        .await?;
        self.rest(session);
        Ok(digest)
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        let session = self.session().await?;
        let rows = super::count(&session, part, self.condition(part), &self.fixed().large).await?;
        self.rest(session);
        Ok(rows)
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let session = self.session().await?;
        let condition = self.condition(part);
        let sum = checksum(
            &session,
            part,
            condition,
            self.fixed().by_root.get(&part.id),
            &self.fixed().large,
        )
        .await?;
        self.rest(session);
        Ok(sum)
    }

    async fn lost(&self) -> Error {
        let lost = loop {
            // Not held while we wait: who steps aside is gone at once.
            let gone = self
                .own_keeper()
                .as_ref()
                .filter(|k| k.is_closed())
                .cloned();
            if let Some(keeper) = gone {
                break keeper.lost().await;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        };
        match self.fixed.get() {
            Some(fixed) if fixed.standby => lost.hint(advice::LOST),
            _ => lost,
        }
    }

    async fn close(&self) {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        // The keeper's locks end with its transaction; its connection goes when we do.
        if let Ok(keeper) = self.keeper() {
            let _ = keeper.run("ROLLBACK").await;
        }
    }
}

/// A COPY under way. Dropped before its end, it takes its session with it.
struct Reading {
    session: Session,
    copy: relay::Out,
    idle: Arc<Mutex<Vec<Session>>>,
    label: String,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Chunk, Self)>> {
        let chunk = self
            .copy
            .next()
            .await
            .map_err(|error| error.within(format!("reading {}", self.label)))?;
        let Some(chunk) = chunk else {
            // The COPY ran to its end: the session can be used again.
            self.idle
                .lock()
                .expect("no one panics with this lock")
                .push(self.session);
            return Ok(None);
        };
        Ok(Some((chunk, self)))
    }
}
