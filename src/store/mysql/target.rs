//! The target: incoming is a schema of its own beside live, until their tables change places.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};

use super::address::{Address, Way};
use super::carry::{self, Carried};
use super::catalogue::{self, Accepted};
use super::confirm::{self, Seen};
use super::connection::Session;
use super::definitions::{self, Definitions, Table};
use super::derive::{self, Derived};
use super::doubts::ErrorValues;
use super::executing::{self, Ground};
use super::fitness::{self, Wanted};
use super::json;
use super::lexer::Dialect;
use super::load::{self, Inserts};
use super::lock::Lock;
use super::names::Names;
use super::objects::{self, Object, ObjectKind};
use super::piece::Piece;
use super::pool::{Lent, Pool};
use super::publish::{self, Publishing};
use super::source::table;
use super::staying::Staying;
use super::version::Flavour;
use super::{complete, encryption, incoming, mark, primary, schemas, select, summing, zones};
use crate::config::is_here;
use crate::config::job::{Definer, Events, KeepPrevious, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::process::host_name;
use crate::store::room::Room;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Context, Fate, Lot, Part, Selection, Server, Step, Survey,
};

/// Small tables are taken in lots of at most so many bytes, as stored on the source.
const LOT: u64 = 8 * 1024 * 1024;
/// And so many tables.
const LOT_TABLES: usize = 64;

/// A database that is replaced.
pub struct Target {
    address: Address,
    context: Context,
    names: Names,
    previous: KeepPrevious,
    definer: Definer,
    events: Events,
    /// The task has scripts.
    has_scripts: bool,
    /// One of them may make statistics.
    analyzes: AtomicBool,
    /// In no database; for all but rows.
    admin: Mutex<Session>,
    /// Has the lock.
    lock: OnceCell<Lock>,
    made: OnceCell<Made>,
    /// Incoming is live; `true`: something was live before.
    published: OnceCell<bool>,
}

/// Incoming.
struct Made {
    pool: Pool,
    definitions: Arc<Definitions>,
    /// The server takes files from us.
    local_infile: bool,
    /// The longest statement that it takes, in bytes.
    packet: usize,
    /// The time zone that its sessions have.
    zone: String,
    /// It keeps samples of statements that somebody may read who is not to see what scripts remove: rows go by no statement.
    keeps_samples: bool,
    complete: OnceCell<Complete>,
    /// The tables whose indexes are to be made, by the step's number.
    steps: StdMutex<HashMap<usize, String>>,
    /// Incoming as it was when it was looked at last.
    seen: StdMutex<Option<Seen>>,
}

/// What is known once incoming is complete.
struct Complete {
    /// Where it differs from the source, as was told.
    accepted: Accepted,
    /// What is live's own.
    carried: Carried,
    /// Views that are broken on the source, and could not be made in incoming.
    broken: Vec<Object>,
    /// The server's time then.
    at: String,
}

impl Target {
    /// Connects to the server; the database itself may be missing.
    pub(super) async fn open(address: Address, task: &Task, context: &Context) -> Result<Self> {
        let admin = Session::open(&address, None).await?;
        Ok(Self {
            names: Names::new(address.database(), &context.claim),
            address,
            context: context.clone(),
            previous: task.previous,
            definer: task.definer,
            events: task.events,
            has_scripts: !task.scripts.is_empty(),
            analyzes: AtomicBool::new(false),
            admin: Mutex::new(admin),
            lock: OnceCell::new(),
            made: OnceCell::new(),
            published: OnceCell::new(),
        })
    }

    fn made(&self) -> Result<&Made> {
        self.made
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "incoming was not prepared"))
    }

    fn complete(&self) -> Result<&Complete> {
        self.made()?
            .complete
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "incoming is not complete"))
    }

    async fn session(&self) -> Result<(Lent, &Made)> {
        let made = self.made()?;
        Ok((made.pool.take().await?, made))
    }

    /// Makes incoming, and as many sessions in it as there are workers.
    async fn make_incoming(&self, survey: &Survey) -> Result<()> {
        let definitions = surveyed(survey)?;
        let mut admin = self.admin.lock().await;
        incoming::create_schema(&mut admin, definitions, &self.names).await?;
        let mut sessions = Vec::with_capacity(self.context.workers);
        for _ in 0..self.context.workers {
            sessions.push(self.loader(definitions).await?);
        }
        self.make_tables(&mut sessions, definitions).await?;
        let local_infile = local_infile(&mut admin).await?;
        let keeps_samples = self.has_scripts && derive::keeps_samples(&mut admin).await?;
        if keeps_samples && !local_infile {
            tracing::warn!(
                "rows are written by INSERT statements, and the target's performance_schema keeps samples of statements: whoever may read it can see values there that the scripts remove; set local_infile = ON there"
            );
        }
        if keeps_samples && local_infile {
            // Values of statements are what nobody is to see.
            for place in definitions.typed.all().iter() {
                json::warn(
                    place,
                    "DECIMAL, DATETIME or bytes, which take INSERT statements, of which the target's performance_schema keeps samples",
                );
            }
            definitions.typed.set(BTreeSet::new());
        }
        let made = Made {
            zone: zones::of(&mut admin).await?,
            keeps_samples,
            pool: Pool::new(sessions),
            definitions: definitions.clone(),
            local_infile,
            packet: admin.packet(),
            complete: OnceCell::new(),
            steps: StdMutex::default(),
            seen: StdMutex::default(),
        };
        self.made
            .set(made)
            .map_err(|_| Error::new(Kind::Internal, "incoming was prepared twice"))
    }

    /// Which rows and tables of live's are to be in incoming, too.
    async fn plan_carried(
        &self,
        session: &mut Session,
        definitions: &Definitions,
    ) -> Result<Carried> {
        let selection = &self.context.selection;
        let mut made = HashSet::new();
        let mut kept = Vec::new();
        let tables = definitions.tables.iter().map(|t| (&t.name, t.fate));
        let sequences = definitions.sequences.iter().map(|s| (&s.name, s.fate));
        for (name, fate) in tables.chain(sequences) {
            made.insert(name.as_str());
            if fate == Fate::Keep {
                kept.push(name.clone());
            }
        }
        let mut extra: Vec<String> = schemas::tables(session, &self.names.live)
            .await?
            .into_iter()
            .filter(|name| !made.contains(name.as_str()))
            .filter(|name| selection.overlay || selection.fate(None, name) == Fate::Keep)
            .collect();
        let numbered = kept.iter().chain(&extra).cloned().collect::<Vec<_>>();
        for sequence in carry::counted_by(session, &self.names, &numbered).await? {
            if !made.contains(sequence.as_str()) && !extra.contains(&sequence) {
                tracing::info!(
                    sequence,
                    "tables that the target keeps take their numbers from a sequence that only it has: it is kept, too"
                );
                extra.push(sequence);
            }
        }
        Carried::plan(session, &self.names, &kept, &extra).await
    }

    /// Makes the tables, each session its share of them.
    async fn make_tables(&self, sessions: &mut [Session], definitions: &Definitions) -> Result<()> {
        incoming::make_sequences(&mut sessions[0], definitions, &self.names.incoming).await?;
        let all: Vec<&Table> = definitions.tables.iter().collect();
        let share = all.len().div_ceil(sessions.len()).max(1);
        let making = sessions
            .iter_mut()
            .zip(all.chunks(share))
            .map(|(session, tables)| {
                incoming::make_tables(session, definitions, tables, &self.names.incoming)
            });
        futures_util::future::try_join_all(making).await?;
        Ok(())
    }

    /// A session in incoming. What was checked on the source is not checked again; what only some of the checks let
    /// through there (an old row that a later CHECK forbids) comes along.
    async fn loader(&self, definitions: &Definitions) -> Result<Session> {
        let mut session = Session::open(&self.address, Some(&self.names.incoming)).await?;
        let mut checks = match session.version().flavour {
            Flavour::MariaDb => ", check_constraint_checks = 0".to_owned(),
            Flavour::MySql => String::new(),
        };
        if definitions
            .tables
            .iter()
            .any(|table| table.versioning.is_some())
        {
            checks.push_str(", system_versioning_alter_history = KEEP");
            if session.version().is_mariadb(10, 11) {
                checks.push_str(", system_versioning_insert_history = ON");
            }
        }
        session
            .run(&format!("SET SESSION foreign_key_checks = 0{checks}"))
            .await?;
        if session.version().is_mysql(8, 0) {
            primary::demand(&mut session).await?;
        }
        Ok(session)
    }

    async fn take_rows(&self, part: &Part, chunks: Chunks) -> Result<u64> {
        let (mut session, made) = self.session().await?;
        let table = table(&made.definitions, part)?;
        let flavour = session.version().flavour;
        let typed = made.definitions.typed.of(&part.name);
        let taken = if made.local_infile && !part.columns.is_empty() && typed.is_empty() {
            load::load(
                &mut session,
                &select::load(table, part, flavour, "envsyncd"),
                ErrorValues::new(select::error_marks(table, part)),
                chunks,
            )
            .await
        } else {
            let inserts = Inserts::new(
                select::insert(table, part),
                select::texts(table, part, flavour),
                select::error_marks(table, part),
                made.packet,
            );
            load::insert(&mut session, inserts, chunks).await
        };
        taken.map_err(|error| error.within(format!("copying {}", part.label())))
    }

    async fn take_lot(&self, parts: &[Part], lot: Lot) -> Result<Vec<u64>> {
        let (mut session, made) = self.session().await?;
        let flavour = session.version().flavour;
        let mut inserts = Vec::with_capacity(parts.len());
        for part in parts {
            let table = table(&made.definitions, part)?;
            inserts.push(Inserts::new(
                select::insert(table, part),
                select::texts(table, part, flavour),
                select::error_marks(table, part),
                made.packet,
            ));
        }
        load::insert_lot(&mut session, inserts, lot)
            .await
            .map_err(|error| error.within(format!("copying {}", super::lot_label(parts))))
    }

    /// Neighbours that are small, and of an engine that takes all of a lot or nothing.
    fn small_ones(&self, parts: &[Part]) -> Vec<Range<usize>> {
        let Ok(made) = self.made() else {
            return Vec::new();
        };
        if made.keeps_samples && made.local_infile {
            return Vec::new();
        }
        let fits = |part: &Part| {
            part.slice.is_none()
                && made.definitions.table(&part.name).is_some_and(|table| {
                    incoming::is_small(table) && table.transactional && table.bytes < LOT / 8
                })
        };
        let mut lots = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (place, part) in parts.iter().enumerate() {
            let fits = fits(part);
            if !fits || bytes + part.bytes > LOT || place - start >= LOT_TABLES {
                if place > start + 1 {
                    lots.push(start..place);
                }
                start = if fits { place } else { place + 1 };
                bytes = 0;
            }
            if fits {
                bytes += part.bytes;
            }
        }
        if parts.len() > start + 1 {
            lots.push(start..parts.len());
        }
        lots
    }

    fn after_rows(&self, part: &Part) -> Vec<Step> {
        let Ok(made) = self.made() else {
            return Vec::new();
        };
        let Some(table) = made.definitions.table(&part.name) else {
            return Vec::new();
        };
        if self.statements_after(made, table).is_empty() {
            return Vec::new();
        }
        let mut steps = made.steps.lock().expect("nobody panics with it");
        let id = steps.len();
        steps.insert(id, table.name.clone());
        vec![Step {
            label: format!("indexes of {}", table.name),
            id,
            cost: part.bytes,
        }]
    }

    async fn make_indexes(&self, step: &Step) -> Result<()> {
        let (mut session, made) = self.session().await?;
        let name = {
            let steps = made.steps.lock().expect("nobody panics with it");
            steps.get(&step.id).cloned()
        };
        let table = name.and_then(|name| made.definitions.table(&name));
        let Some(table) = table else {
            return Err(Error::new(
                Kind::Internal,
                format!("there is no step {}", step.id),
            ));
        };
        for statement in self.statements_after(made, table) {
            session
                .run(&statement)
                .await
                .map_err(|error| error.within(format!("the {} cannot be made", step.label)))?;
        }
        Ok(())
    }

    /// What is to be run, in order, when a table's rows are in.
    fn statements_after(&self, made: &Made, table: &Table) -> Vec<String> {
        let indexes = incoming::index_statements(table, &self.names.incoming);
        zones::statements(table, &self.names.incoming, &made.zone, indexes)
    }

    /// Reads incoming, and remembers what live is to be.
    async fn look(&self) -> Result<Definitions> {
        let mut session = Session::open(&self.address, None).await?;
        let everything = Selection::everything();
        let mut there = definitions::read(&mut session, &self.names.incoming, &everything).await?;
        // Incoming's is our mark.
        let made = self.made()?;
        there.comment.clone_from(&made.definitions.comment);
        let mut seen = made.seen.lock().expect("nobody panics with it");
        *seen = Some(Seen::new(&there, &made.definitions, self.definer));
        Ok(there)
    }

    fn seen<T>(&self, take: impl Fn(&Seen) -> T) -> Result<Option<T>> {
        let seen = self.made()?.seen.lock().expect("nobody panics with it");
        Ok(seen.as_ref().map(take))
    }

    /// Ends whatever still works in incoming: a statement of a session that is gone would run on, and keep its table.
    async fn stop_workers(&self) -> Result<()> {
        if let Some(made) = self.made.get() {
            made.pool.close();
        }
        let mut session = Session::open(&self.address, None).await?;
        schemas::stop_sessions(&mut session, &self.names.incoming).await
    }
}

fn surveyed(survey: &Survey) -> Result<&Arc<Definitions>> {
    match &survey.definitions {
        store::Definitions::Mysql(definitions) => Ok(definitions),
        #[allow(unreachable_patterns)]
        _ => Err(Error::new(
            Kind::Internal,
            "these are no definitions of MySQL",
        )),
    }
}

async fn local_infile(session: &mut Session) -> Result<bool> {
    let on = session
        .query_one("SELECT @@local_infile")
        .await?
        .number(0)?
        != 0;
    if !on {
        tracing::warn!(
            "the target's server has local_infile off: rows are written by INSERT statements, which takes longer; set local_infile = ON there"
        );
    }
    Ok(on)
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        super::identity(&mut *self.admin.lock().await, &self.names.live).await
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        mark::displaced(&mut *self.admin.lock().await, &self.names).await
    }

    async fn server(&self) -> Result<Server> {
        let admin = self.admin.lock().await;
        let version = admin.version();
        Ok(Server {
            kind: crate::store::mysql::KIND,
            version: version.text.clone(),
            major: u32::from(version.number.0),
        })
    }

    async fn room(&self) -> Option<Room> {
        if let Way::Tcp(host, _) = &self.address.way
            && !is_here(host)
        {
            return None;
        }
        let mut admin = self.admin.lock().await;
        let row = admin.query_one("SELECT @@datadir, @@hostname").await.ok()?;
        let (directory, host) = (row.text(0).ok()?, row.text(1).ok()?);
        // What is reached here may be another machine's, through a tunnel.
        (host == host_name() && Path::new(&directory).exists())
            .then(|| Room::of(Path::new(&directory)))
            .flatten()
    }

    async fn lock(&self) -> Result<()> {
        let lock = Lock::take(&self.address, &self.names.live, &self.context.claim).await?;
        self.lock
            .set(lock)
            .map_err(|_| Error::new(Kind::Internal, "the lock was taken twice"))
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        publish::sweep(&self.address, &self.names).await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let mut admin = self.admin.lock().await;
        mark::refuse_others(&mut admin, &self.names).await?;
        let wanted = Wanted {
            names: &self.names,
            definer: self.definer,
            events: self.events,
            has_live: schemas::exists(&mut admin, &self.names.live).await?,
            selection: &self.context.selection,
        };
        let definitions = surveyed(survey)?;
        fitness::past(definitions, &survey.parts, admin.version())?;
        fitness::check(&mut admin, definitions, &wanted).await
    }

    async fn prepare(&self, survey: &Survey) -> Result<()> {
        self.make_incoming(survey).await
    }

    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64> {
        self.take_rows(part, chunks).await
    }

    fn lots(&self, parts: &[Part]) -> Vec<Range<usize>> {
        self.small_ones(parts)
    }

    async fn write_lot(&self, parts: &[Part], lot: Lot) -> Result<Vec<u64>> {
        self.take_lot(parts, lot).await
    }

    fn steps_after(&self, part: &Part) -> Vec<Step> {
        self.after_rows(part)
    }

    async fn build(&self, step: &Step) -> Result<Vec<Step>> {
        self.make_indexes(step).await?;
        Ok(Vec::new())
    }

    async fn finish(&self) -> Result<()> {
        let (mut session, made) = self.session().await?;
        let (definitions, incoming) = (&made.definitions, &self.names.incoming);
        let mut accepted = complete::tables(&mut session, definitions, incoming).await?;
        let carried = self.plan_carried(&mut session, definitions).await?;
        let changed = carried.fill(&mut session, &self.names).await?;
        for table in &changed.tables {
            if let Some(table) = definitions.table(table) {
                accepted.table(table, definitions);
            }
        }
        for sequence in &definitions.sequences {
            if changed.sequences.contains(&sequence.name) {
                accepted.sequence(sequence);
            }
        }
        let broken = complete::objects(
            &mut session,
            definitions,
            incoming,
            self.definer,
            &mut accepted,
        )
        .await?;
        let stays = Staying {
            definitions,
            carried: &carried,
            overlay: self.context.selection.overlay,
        };
        stays.check(&mut session, &self.names).await?;
        let complete = Complete {
            accepted,
            carried,
            broken,
            at: derive::now(&mut session).await?,
        };
        made.complete
            .set(complete)
            .map_err(|_| Error::new(Kind::Internal, "incoming was completed twice"))
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        let complete = self.complete()?;
        let mut there = self.look().await?;
        let own: HashSet<&str> = complete.carried.extra().collect();
        there
            .tables
            .retain(|table| !own.contains(table.name.as_str()));
        there
            .sequences
            .retain(|sequence| !own.contains(sequence.name.as_str()));
        let kept = &self.made()?.definitions;
        for table in &mut there.tables {
            // Where the counter of a table stands that the target keeps is the target's own.
            table.fate = kept.table(&table.name).map_or(Fate::Copy, |kept| kept.fate);
            if let Some(source) = kept.table(&table.name) {
                primary::without_generated(&mut table.create, &source.create);
                encryption::without_inherited(&mut table.create, &source.create);
            }
        }
        for object in &mut there.objects {
            let source = kept
                .objects
                .iter()
                .find(|kept| kept.kind == object.kind && kept.name == object.name);
            if source.is_some_and(|source| source.database_collation.is_none()) {
                object.database_collation = None;
            }
        }
        for sequence in &mut there.sequences {
            let source = kept
                .sequences
                .iter()
                .find(|kept| kept.name == sequence.name);
            sequence.fate = source.map_or(Fate::Copy, |kept| kept.fate);
        }
        Ok(complete.accepted.apply(catalogue::of(&there, self.definer)))
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        let (mut session, made) = self.session().await?;
        summing::count(&mut session, table(&made.definitions, part)?, part).await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let (mut session, made) = self.session().await?;
        let typed = made.definitions.typed.of(&part.name);
        summing::checksum(&mut session, table(&made.definitions, part)?, part, &typed).await
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        executing::look(&self.address, file, text).await
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        if derive::may_analyze([text].into_iter()) {
            self.analyzes.store(true, Ordering::Relaxed);
        }
        let definitions = &self.made()?.definitions;
        let mut others = vec![self.names.live.as_str()];
        if definitions.schema != self.names.live {
            others.push(&definitions.schema);
        }
        let ground = Ground {
            address: &self.address,
            incoming: &self.names.incoming,
            others,
            is_opaque: executing::is_opaque(&definitions.objects, &definitions.schema, text),
        };
        executing::run(&ground, file, text).await
    }

    async fn derive(&self) -> Result<()> {
        let (mut session, made) = self.session().await?;
        let routines = &made.definitions.objects;
        let routines = routines.iter().map(|object| object.definition.as_str());
        let derived = Derived {
            schema: &self.names.incoming,
            since: &self.complete()?.at,
            may_be_analyzed: self.analyzes.load(Ordering::Relaxed) || derive::may_analyze(routines),
        };
        derived.make(&mut session).await?;
        // What is published is what scripts have made of it.
        self.look().await.map(drop)
    }

    async fn publish(&self) -> Result<()> {
        let (made, complete) = (self.made()?, self.complete()?);
        // Nobody else works in incoming any more, and what it holds open is let go.
        made.pool.close();
        let running: BTreeMap<String, String> = made
            .definitions
            .objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Event && self.events == Events::Keep)
            .filter_map(|event| {
                let status = objects::status(&event.definition, Dialect::of(&event.sql_mode))?;
                Some((event.name.clone(), status))
            })
            .collect();
        if self.seen(|_| ())?.is_none() {
            self.look().await?;
        }
        let dangling = self.seen(|seen| seen.dangling.clone())?.unwrap_or_default();
        let broken = complete
            .broken
            .iter()
            .map(|view| {
                Piece::of_source(
                    view,
                    &made.definitions.schema,
                    &self.names.live,
                    self.definer,
                )
            })
            .collect::<Result<Vec<_>>>()?;
        let how = Publishing {
            dangling: &dangling,
            carried: &complete.carried,
            overlay: self.context.selection.overlay,
            comment: &made.definitions.comment,
            running: &running,
            broken: &broken,
        };
        let had_live = publish::publish(&self.address, &self.names, &how).await?;
        self.published
            .set(had_live)
            .map_err(|_| Error::new(Kind::Internal, "incoming was published twice"))
    }

    async fn confirm(&self) -> Result<()> {
        match self.seen(Seen::clone)? {
            Some(seen) => confirm::confirm(&self.address, &self.names, self.definer, &seen).await,
            None => Ok(()),
        }
    }

    async fn revert(&self) -> Result<()> {
        match self.published.get() {
            Some(had_live) => publish::revert(&self.address, &self.names, *had_live).await,
            None => Ok(()),
        }
    }

    async fn settle(&self) -> Result<()> {
        let keep = self.previous == KeepPrevious::Keep;
        publish::settle(&self.address, &self.names, keep).await
    }

    async fn discard(&self) -> Result<()> {
        if self.published.get().is_some() {
            return Ok(());
        }
        self.stop_workers().await?;
        publish::discard(&self.address, &self.names).await
    }

    async fn rollback(&self) -> Result<()> {
        publish::rollback(&self.address, &self.names).await
    }

    async fn lost(&self) -> Error {
        match self.lock.get() {
            Some(lock) => lock.lost().await,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        if let Some(made) = self.made.get() {
            made.pool.close();
        }
    }
}
