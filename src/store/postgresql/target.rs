//! The target: incoming is a database of its own, beside the live one, until they change names.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;

use super::connection::{ADMIN, Address, LOADING, READING, Session, quoted};
use super::publish::{self, Names};
use super::restore::{self, Mapped, Roles, Sorted};
use super::toc::Entry;
use super::{Definitions, carry, catalogue, checksum, large, survey};
use crate::config::job::{KeepPrevious, StoreKind, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Context, Encoding, Part, Server, Step, Survey, statements,
};

/// A PostgreSQL database that is replaced.
pub struct Target {
    address: Address,
    context: Context,
    names: Names,
    previous: KeepPrevious,
    /// In a database that is never renamed; it has the lock.
    admin: Session,
    incoming: OnceCell<Incoming>,
    idle: Arc<Mutex<Vec<Session>>>,
    progress: Mutex<Progress>,
}

/// How far publish has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Building,
    /// Names have changed; `had_live`: there was something to become previous.
    Published {
        had_live: bool,
    },
}

/// What is known once incoming is made.
struct Incoming {
    definitions: Arc<Definitions>,
    roles: Roles,
    sorted: Sorted,
    carried: carry::Carried,
    /// Indexes and constraints that wait, by their place in `sorted.indexes`.
    waiting: Mutex<BTreeSet<usize>>,
    /// A table's entry, by its name.
    tables: HashMap<(String, String), i64>,
    materialized: HashSet<i64>,
}

impl Target {
    /// Connects to the server; the database itself may be missing.
    pub(super) async fn open(address: Address, task: &Task, context: &Context) -> Result<Self> {
        let live = address.database().to_owned();
        if ["postgres", "template0", "template1"].contains(&live.as_str()) {
            return Err(Error::new(
                Kind::Config,
                format!("the database {live} belongs to the server and is never a target"),
            )
            .hint("name an application's database in the target's URL"));
        }
        let admin = match address.connect(Some("postgres"), ADMIN).await {
            Err(error) if matches!(error.kind(), Kind::Absent | Kind::Permission) => {
                // Some servers have no database `postgres`, or let nobody in.
                address
                    .connect(Some("template1"), ADMIN)
                    .await
                    .map_err(|_| error)?
            }
            other => other?,
        };
        Ok(Self {
            names: Names::new(&live, context.claim.short()),
            address,
            context: context.clone(),
            previous: task.previous,
            admin,
            incoming: OnceCell::new(),
            idle: Arc::default(),
            progress: Mutex::new(Progress::Building),
        })
    }

    fn made(&self) -> &Incoming {
        self.incoming
            .get()
            .expect("prepare comes before anything that needs incoming")
    }

    /// A session in incoming; an idle one if there is.
    async fn session(&self) -> Result<Session> {
        if let Some(session) = self
            .idle
            .lock()
            .expect("no one panics with this lock")
            .pop()
        {
            return Ok(session);
        }
        self.fresh_session().await
    }

    async fn fresh_session(&self) -> Result<Session> {
        let session = self
            .address
            .connect(Some(&self.names.incoming), LOADING)
            .await?;
        let definitions = &self.made().definitions;
        session
            .run(&format!(
                "SET client_encoding = {}; SET check_function_bodies = off; SET search_path = {}",
                super::connection::literal(&definitions.encoding),
                definitions.traits.search_path
            ))
            .await?;
        Ok(session)
    }

    async fn restore_path(&self, session: &Session) -> Result<()> {
        session
            .run(&format!(
                "SET search_path = {}",
                self.made().definitions.traits.search_path
            ))
            .await
    }

    fn rest(&self, session: Session) {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .push(session);
    }

    async fn live_session(&self) -> Result<Session> {
        self.address.connect(None, READING).await
    }

    async fn build_index(&self, place: usize) -> Result<()> {
        let made = self.made();
        if !made
            .waiting
            .lock()
            .expect("no one panics with this lock")
            .remove(&place)
        {
            return Ok(());
        }
        let session = self.session().await?;
        restore::make(&session, &made.sorted.indexes[place]).await?;
        self.rest(session);
        Ok(())
    }

    /// Makes entries, several at a time. Two foreign keys that cross each other can deadlock: then again, later.
    async fn several(&self, entries: &[Entry]) -> Result<()> {
        stream::iter((0..entries.len()).map(|place| async move {
            let entry = &entries[place];
            let session = self.session().await?;
            let mut tries = 0;
            loop {
                match session.batch_execute(&entry.definition).await {
                    Err(error)
                        if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) && tries < 20 =>
                    {
                        tries += 1;
                    }
                    Err(_) => {
                        restore::make(&session, entry).await?;
                        break;
                    }
                    Ok(()) => break,
                }
            }
            self.rest(session);
            Ok(())
        }))
        .buffer_unordered(self.context.workers)
        .try_collect::<()>()
        .await
    }

    async fn refresh_views(&self, made_in: &[Entry]) -> Result<()> {
        let session = self.session().await?;
        for entry in made_in
            .iter()
            .filter(|entry| entry.kind == "MATERIALIZED VIEW")
        {
            let schema = entry.schema.clone().unwrap_or_default();
            if self
                .made()
                .definitions
                .populated
                .contains(&(schema.clone(), entry.tag.clone()))
            {
                let view = format!("{}.{}", quoted(&schema), quoted(&entry.tag));
                session
                    .run(&format!("REFRESH MATERIALIZED VIEW {view}"))
                    .await
                    .map_err(|error| error.within(format!("{} cannot be filled", entry.label())))?;
            }
        }
        self.rest(session);
        Ok(())
    }

    async fn set_sequences(&self, session: &Session) -> Result<()> {
        let made = self.made();
        let own: HashSet<(&str, &str)> = made
            .carried
            .sequences
            .iter()
            .map(|s| (s.schema.as_str(), s.name.as_str()))
            .collect();
        let all: Vec<&survey::Sequence> = made
            .definitions
            .sequences
            .iter()
            .filter(|s| !own.contains(&(s.schema.as_str(), s.name.as_str())))
            .chain(&made.carried.sequences)
            .collect();
        for some in all.chunks(200) {
            let script: Vec<String> = some
                .iter()
                .map(|s| {
                    let name = format!("{}.{}", quoted(&s.schema), quoted(&s.name));
                    format!(
                        "SELECT pg_catalog.setval({}, {}, {})",
                        super::connection::literal(&name),
                        s.last_value,
                        s.is_called
                    )
                })
                .collect();
            session
                .run(&script.join(";"))
                .await
                .map_err(|error| error.within("sequences cannot be set"))?;
            let names: Vec<(String, String)> = some
                .iter()
                .map(|s| (s.schema.clone(), s.name.clone()))
                .collect();
            let now = survey::sequence_values(session, &names).await?;
            if let Some(wrong) = now.iter().find(|s| !some.contains(s)) {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "sequence {}.{} did not take its value",
                        wrong.schema, wrong.name
                    ),
                ));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        super::identity(&self.admin, &self.names.live).await
    }

    async fn server(&self) -> Result<Server> {
        let (number, version) = survey::version(&self.admin).await?;
        Ok(Server {
            kind: StoreKind::Postgresql,
            version,
            major: number / 10_000,
        })
    }

    async fn lock(&self) -> Result<()> {
        let number = publish::lock_number(&self.names.live);
        let row = self
            .admin
            .query_one("SELECT pg_try_advisory_lock($1)", &[&number])
            .await
            .map_err(self.admin.explain())?;
        if row.get(0) {
            return Ok(());
        }
        let holder = self
            .admin
            .query_opt(
                "SELECT a.pid, coalesce(a.application_name, '?'), coalesce(host(a.client_addr), 'this server'), \
                        coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '?') \
                 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
                   AND (l.classid::bigint << 32) | l.objid::bigint = $1",
                &[&number],
            )
            .await
            .map_err(self.admin.explain())?;
        let who = holder.map_or_else(
            || "someone".to_owned(),
            |row| {
                let (pid, name, host, since): (i32, String, String, String) =
                    (row.get(0), row.get(1), row.get(2), row.get(3));
                format!("`{name}` from {host} (server process {pid}), since {since}")
            },
        );
        Err(Error::new(
            Kind::Busy,
            format!(
                "the target {} is locked on its server by {who}",
                self.names.live
            ),
        )
        .hint("run the job again when that run has ended"))
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        let rows = self
            .admin
            .query("SELECT datname::text FROM pg_database", &[])
            .await
            .map_err(self.admin.explain())?;
        let mut removed = Vec::new();
        for row in rows {
            let database: String = row.get(0);
            if self.names.is_leftover(&database) {
                publish::drop_database(&self.admin, &database).await?;
                removed.push(format!("database {database}"));
            }
        }
        Ok(removed)
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let store::Definitions::Postgresql(definitions) = &survey.definitions else {
            return Err(Error::new(
                Kind::Config,
                "the source is no PostgreSQL database",
            ));
        };
        let row = self
            .admin
            .query_one(
                "SELECT rolcreatedb OR rolsuper, rolname::text, \
                        (SELECT pg_has_role(current_user, datdba, 'MEMBER') FROM pg_database WHERE datname = $1), \
                        (SELECT datistemplate FROM pg_database WHERE datname = $1) \
                 FROM pg_roles WHERE rolname = current_user",
                &[&self.names.live],
            )
            .await
            .map_err(self.admin.explain())?;
        let (may, me, owner, template): (bool, String, Option<bool>, Option<bool>) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if !may {
            return Err(Error::new(
                Kind::Permission,
                format!("the target's user {me} may not create databases"),
            )
            .hint(format!("ALTER ROLE {} CREATEDB", quoted(&me))));
        }
        if owner == Some(false) {
            return Err(Error::new(
                Kind::Permission,
                format!(
                    "the target's user {me} does not own the database {}",
                    self.names.live
                ),
            )
            .hint(format!(
                "ALTER DATABASE {} OWNER TO {}, or make {me} a member of its owner",
                quoted(&self.names.live),
                quoted(&me)
            )));
        }
        if template == Some(true) {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "the database {} is a template and is never a target",
                    self.names.live
                ),
            ));
        }
        publish::refuse_if_bound(&self.admin, &self.names.live).await?;
        let others = publish::untouchable(&self.admin, &self.names.live).await?;
        if !others.is_empty() {
            tracing::warn!(
                users = others.join(", "),
                "sessions in the live database that the target's user cannot end; publish fails unless they leave"
            );
        }
        let same = |name: &str| name.to_lowercase().replace('-', "");
        let traits = &definitions.traits;
        if traits.provider == "c" && !["C", "POSIX"].contains(&traits.collate.as_str()) {
            let known: Vec<String> = self
                .admin
                .query("SELECT DISTINCT collcollate::text FROM pg_collation WHERE collcollate IS NOT NULL UNION SELECT datcollate::text FROM pg_database", &[])
                .await
                .map_err(self.admin.explain())?
                .iter()
                .map(|row| same(row.get(0)))
                .collect();
            if !known.contains(&same(&traits.collate)) {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "the target's server lacks the source's locale {}",
                        traits.collate
                    ),
                )
                .hint("install the locale on the target's host and restart its server"));
            }
        }
        let wanted: Vec<String> = definitions
            .toc
            .entries
            .iter()
            .filter(|entry| entry.kind == "EXTENSION")
            .map(|entry| entry.tag.clone())
            .collect();
        let missing: Vec<String> = self
            .admin
            .query("SELECT name FROM unnest($1::text[]) AS name WHERE name NOT IN (SELECT a.name::text FROM pg_available_extensions a)", &[&wanted])
            .await
            .map_err(self.admin.explain())?
            .iter()
            .map(|row| row.get(0))
            .collect();
        if !missing.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "the target's server lacks the extensions {}",
                    missing.join(", ")
                ),
            )
            .hint("install their packages on the target's host"));
        }
        Ok(())
    }

    async fn prepare(&self, survey: &Survey) -> Result<()> {
        let store::Definitions::Postgresql(definitions) = &survey.definitions else {
            return Err(Error::new(
                Kind::Config,
                "the source is no PostgreSQL database",
            ));
        };
        let live = publish::exists(&self.admin, &self.names.live).await?;
        let (mut tablespace, mut owner) = (String::new(), None);
        if live {
            let row = self
                .admin
                .query_one(
                    "SELECT t.spcname::text, r.rolname::text FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace \
                     JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = $1",
                    &[&self.names.live],
                )
                .await
                .map_err(self.admin.explain())?;
            // The default needs no privilege unless it is named.
            if row.get::<_, &str>(0) != "pg_default" {
                tablespace = format!(" TABLESPACE {}", quoted(row.get(0)));
            }
            owner = Some(row.get::<_, String>(1));
        }
        let incoming = quoted(&self.names.incoming);
        self.admin
            .run(&format!(
                "CREATE DATABASE {incoming} TEMPLATE template0 {}{tablespace}",
                definitions.traits.clause()
            ))
            .await
            .map_err(|error| {
                error.within(format!(
                    "the database {} cannot be created",
                    self.names.incoming
                ))
            })?;
        // Nobody looks at what is not published yet, or by mistake.
        self.admin
            .run(&publish::closed(&self.names.incoming))
            .await?;
        if live {
            // Now, so that what cannot be carried over fails the run before hours of copying.
            for statement in
                publish::settings_of(&self.admin, &self.names.live, &self.names.incoming).await?
            {
                self.admin.run(&statement).await.map_err(|error| {
                    error
                        .within("a setting of the live database cannot be carried over")
                        .hint(format!("the statement was: {statement}"))
                })?;
            }
        }
        let mut carried = carry::Carried::default();
        if live && (self.context.selection.overlay || !self.context.selection.is_everything()) {
            let session = self.live_session().await?;
            let theirs = definitions
                .dump
                .definitions(&self.address, None, &[])
                .await?;
            carried = carry::plan(
                &session,
                &self.context.selection,
                &definitions.toc,
                &definitions.kept,
                Some(&theirs),
            )
            .await?;
        }
        let number = survey::version(&self.admin).await?.0;
        let roles = Roles::load(&self.admin, number, owner.as_deref()).await?;
        let mut sorted = restore::sort(&definitions.toc, &definitions.gone);
        let theirs = restore::sort(&carried.toc, &HashSet::new());
        // Numbers of live's entries must not meet the source's.
        sorted.before.extend(renumbered(theirs.before));
        sorted.indexes.extend(renumbered(theirs.indexes));
        sorted.attach.extend(renumbered(theirs.attach));
        sorted.foreign_keys.extend(renumbered(theirs.foreign_keys));
        sorted.after.extend(renumbered(theirs.after));
        sorted.grants.extend(renumbered(theirs.grants));
        let tables = sorted
            .before
            .iter()
            .filter(|entry| entry.kind == "TABLE")
            .map(|entry| {
                (
                    (entry.schema.clone().unwrap_or_default(), entry.tag.clone()),
                    entry.id,
                )
            })
            .collect();
        let materialized = sorted
            .before
            .iter()
            .chain(&sorted.after)
            .filter(|entry| entry.kind == "MATERIALIZED VIEW")
            .map(|entry| entry.id)
            .collect();
        let made = Incoming {
            definitions: definitions.clone(),
            waiting: Mutex::new((0..sorted.indexes.len()).collect()),
            roles,
            sorted,
            carried,
            tables,
            materialized,
        };
        if self.incoming.set(made).is_err() {
            return Err(Error::new(Kind::Internal, "incoming was prepared twice"));
        }
        let session = self.session().await?;
        let made = self.made();
        let mut mapped = Mapped::default();
        for entry in &made.sorted.before {
            if self.context.cancel.is_cancelled() {
                return Err(Error::new(Kind::Internal, "cancelled"));
            }
            restore::make(&session, entry).await?;
            restore::own(&session, entry, &made.roles, &mut mapped).await?;
        }
        mapped.tell(&made.roles);
        self.rest(session);
        Ok(())
    }

    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64> {
        let session = self.session().await?;
        if large::is(part) {
            let taken = large::write(&session, chunks)
                .await
                .map_err(|error| error.within("writing large objects"))?;
            self.rest(session);
            return Ok(taken);
        }
        let definitions = &self.made().definitions;
        let root = definitions.by_root.get(&part.id);
        let name = root.map_or_else(
            || super::table_name(part),
            |(schema, name)| format!("{}.{}", quoted(schema), quoted(name)),
        );
        let columns = if part.columns.is_empty() {
            String::new()
        } else {
            format!(" ({})", super::column_list(&part.columns))
        };
        // An extension's table may have rows from its script, a root has other partitions' rows.
        let shared = root.is_some() || definitions.extension_tables.contains(&part.id);
        let mut options = Vec::new();
        if part.encoding == Encoding::CopyBinary {
            options.push("FORMAT binary");
        }
        session.run("BEGIN").await?;
        if !shared {
            // Emptied in the same transaction, a table may be filled with rows that are frozen from the start, and on a
            // server with wal_level = minimal, without WAL.
            session.run(&format!("TRUNCATE ONLY {name}")).await?;
            options.push("FREEZE");
        }
        let with = if options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", options.join(", "))
        };
        let within = |error: Error| error.within(format!("writing {}", part.label()));
        let sink = session
            .copy_in(&format!("COPY {name}{columns} FROM STDIN{with}"))
            .await
            .map_err(session.explain())
            .map_err(within)?;
        let mut sink = Box::pin(sink);
        let mut chunks = chunks;
        while let Some(chunk) = chunks.next().await {
            // An error here leaves the COPY unfinished: the server undoes it when the session goes.
            let chunk = chunk?;
            if let Err(error) = sink.send(chunk.data).await {
                // The reason is in the server's answer, not in the broken pipe.
                let reason = sink.as_mut().finish().await.err().unwrap_or(error);
                return Err(within(session.explain()(reason)));
            }
        }
        let rows = sink
            .as_mut()
            .finish()
            .await
            .map_err(session.explain())
            .map_err(within)?;
        session.run("COMMIT").await.map_err(within)?;
        self.rest(session);
        Ok(rows)
    }

    fn steps_after(&self, part: &Part) -> Vec<Step> {
        let made = self.made();
        let key = (part.schema.clone().unwrap_or_default(), part.name.clone());
        let Some(table) = made.tables.get(&key) else {
            return Vec::new();
        };
        made.sorted
            .indexes
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.needs.contains(table))
            .map(|(place, entry)| Step {
                label: entry.label(),
                id: place,
            })
            .collect()
    }

    async fn build(&self, step: &Step) -> Result<()> {
        self.build_index(step.id).await
    }

    async fn finish(&self) -> Result<()> {
        let made = self.made();
        let session = self.session().await?;
        if !made.carried.parts.is_empty() {
            let live = self.live_session().await?;
            for part in &made.carried.parts {
                let rows = carry::copy(&live, &session, part).await?;
                tracing::info!(table = part.label(), rows, "kept the target's own rows");
            }
        }
        self.set_sequences(&session).await?;
        let on_views = |place: &usize| {
            made.sorted.indexes[*place]
                .needs
                .iter()
                .any(|need| made.materialized.contains(need))
        };
        let waiting: Vec<usize> = made
            .waiting
            .lock()
            .expect("no one panics with this lock")
            .iter()
            .copied()
            .collect();
        let (later, now): (Vec<usize>, Vec<usize>) = waiting.into_iter().partition(on_views);
        stream::iter(now.into_iter().map(|place| self.build_index(place)))
            .buffer_unordered(self.context.workers)
            .try_collect::<()>()
            .await?;
        for entry in &made.sorted.attach {
            restore::make(&session, entry).await?;
        }
        session.run("ANALYZE").await?;
        self.refresh_views(&made.sorted.before).await?;
        for place in later {
            self.build_index(place).await?;
        }
        self.several(&made.sorted.foreign_keys).await?;
        let mut mapped = Mapped::default();
        for entry in &made.sorted.after {
            restore::make(&session, entry).await?;
            restore::own(&session, entry, &made.roles, &mut mapped).await?;
        }
        self.refresh_views(&made.sorted.after).await?;
        for entry in &made.sorted.grants {
            restore::grant(&session, entry, &mut mapped).await?;
        }
        for statement in large::statements(&made.definitions.large, made.roles.me()) {
            restore::grant_one(&session, &statement, "large objects", &mut mapped).await?;
        }
        // Grants may have changed who the session is.
        session.run("RESET SESSION AUTHORIZATION").await?;
        for entry in &made.sorted.event_triggers {
            restore::make(&session, entry).await?;
            restore::own(&session, entry, &made.roles, &mut mapped).await?;
        }
        mapped.tell(&made.roles);
        self.rest(session);
        Ok(())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        let session = self.session().await?;
        session.run("SET search_path = ''").await?;
        let mut found = catalogue::read(&session, &HashSet::new()).await?;
        let carried = &self.made().carried;
        if !carried.tables.is_empty() {
            // What came from live is not the source's to compare: the tables, and all that has their name in front.
            let own: Vec<String> = carried
                .toc
                .entries
                .iter()
                .map(|entry| {
                    let table = entry.tag.split(' ').next().unwrap_or_default();
                    entry
                        .schema
                        .as_ref()
                        .map_or_else(|| table.to_owned(), |schema| format!("{schema}.{table}"))
                })
                .chain(
                    carried
                        .tables
                        .iter()
                        .map(|(schema, table)| format!("{schema}.{table}")),
                )
                .collect();
            found.0.retain(|object, _| {
                let Some((_, name)) = object.split_once(' ') else {
                    return true;
                };
                let name = name
                    .trim_start_matches("on column ")
                    .trim_start_matches("on table ")
                    .trim_start_matches("on index ");
                !own.iter().any(|own| {
                    name == own
                        || name
                            .strip_prefix(own.as_str())
                            .is_some_and(|rest| rest.starts_with('.') || rest.starts_with('('))
                })
            });
        }
        session
            .run(&format!(
                "SET search_path = {}",
                self.made().definitions.traits.search_path
            ))
            .await?;
        self.rest(session);
        Ok(found)
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        // With the source's empty search path: the text of a regclass depends on it.
        let session = self.session().await?;
        session.run("SET search_path = ''").await?;
        let sum = checksum(
            &session,
            part,
            "",
            self.made().definitions.by_root.get(&part.id),
        )
        .await?;
        self.restore_path(&session).await?;
        self.rest(session);
        Ok(sum)
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        let place = |line: usize| format!("{}:{line}", file.display());
        let cut = statements::split(text).map_err(|error| {
            Error::new(
                Kind::Statement,
                format!("{}: {}", place(error.line), error.what),
            )
        })?;
        let session = self.fresh_session().await?;
        session.run("SET client_encoding = 'UTF8'").await?;
        for statement in cut {
            session.run(statement.text).await.map_err(|error| {
                let made = error.within(format!("script {}", place(statement.line)));
                made.hint(format!(
                    "the statement was: {}",
                    restore::shortened(statement.text)
                ))
            })?;
        }
        // Outside of a transaction a savepoint is an error.
        if session.batch_execute("SAVEPOINT envsyncd").await.is_ok() {
            return Err(Error::new(
                Kind::Statement,
                format!("script {} leaves a transaction open", file.display()),
            )
            .hint("end it with COMMIT"));
        }
        Ok(())
    }

    async fn publish(&self) -> Result<()> {
        let made = self.made();
        if !made.carried.parts.is_empty() {
            let live = self.live_session().await?;
            let incoming = self.fresh_session().await?;
            carry::refresh(&live, &incoming, &made.carried.parts).await?;
        }
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        let Names {
            live,
            incoming,
            previous,
            discarded,
        } = &self.names;
        let had_live = publish::exists(&self.admin, live).await?;
        let had_previous = publish::exists(&self.admin, previous).await?;
        let mut first = Vec::new();
        let mut renames: Vec<(&str, &str)> = Vec::new();
        if had_live {
            first.push(format!("ALTER DATABASE {} RESET ALL", quoted(incoming)));
            first.extend(publish::settings_of(&self.admin, live, incoming).await?);
            first.extend(publish::rights_of(&self.admin, live, incoming).await?);
            first.push(publish::closed(live));
            if had_previous {
                renames.push((previous, discarded));
            }
            renames.push((live, previous));
        }
        renames.push((incoming, live));
        let helper = self
            .address
            .connect(Some(self.admin_database()), ADMIN)
            .await?;
        publish::change_names(&self.admin, &helper, &first, &renames).await?;
        *self.progress.lock().expect("no one panics with this lock") =
            Progress::Published { had_live };
        Ok(())
    }

    async fn revert(&self) -> Result<()> {
        let progress = *self.progress.lock().expect("no one panics with this lock");
        let Progress::Published { had_live } = progress else {
            return Ok(());
        };
        let Names {
            live,
            incoming,
            previous,
            discarded,
        } = &self.names;
        let mut renames: Vec<(&str, &str)> = vec![(live, incoming)];
        let mut first = Vec::new();
        if had_live {
            first = publish::rights_of(&self.admin, live, previous).await?;
            renames.push((previous, live));
            if publish::exists(&self.admin, discarded).await? {
                renames.push((discarded, previous));
            }
        }
        let helper = self
            .address
            .connect(Some(self.admin_database()), ADMIN)
            .await?;
        publish::change_names(&self.admin, &helper, &first, &renames).await?;
        *self.progress.lock().expect("no one panics with this lock") = Progress::Building;
        publish::drop_database(&self.admin, incoming).await
    }

    async fn settle(&self) -> Result<()> {
        publish::drop_database(&self.admin, &self.names.discarded).await?;
        if self.previous == KeepPrevious::Drop {
            publish::drop_database(&self.admin, &self.names.previous).await?;
        }
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        if *self.progress.lock().expect("no one panics with this lock") != Progress::Building {
            return Ok(());
        }
        // The session that has the lock may be the one that broke.
        if self.admin.is_closed() {
            let admin = self
                .address
                .connect(Some(self.admin_database()), ADMIN)
                .await?;
            return publish::drop_database(&admin, &self.names.incoming).await;
        }
        publish::drop_database(&self.admin, &self.names.incoming).await
    }

    async fn rollback(&self) -> Result<()> {
        let Names {
            live,
            incoming,
            previous,
            ..
        } = &self.names;
        if !publish::exists(&self.admin, previous).await? {
            return Err(Error::new(
                Kind::Config,
                format!("there is no database {previous} to go back to"),
            )
            .hint("previous is kept until the next run, and only with previous = \"keep\""));
        }
        let mut first = Vec::new();
        let mut renames: Vec<(&str, &str)> = vec![(previous, live)];
        if publish::exists(&self.admin, live).await? {
            first = publish::rights_of(&self.admin, live, previous).await?;
            first.push(publish::closed(live));
            renames = vec![(live, incoming), (previous, live), (incoming, previous)];
        }
        let helper = self
            .address
            .connect(Some(self.admin_database()), ADMIN)
            .await?;
        publish::change_names(&self.admin, &helper, &first, &renames).await
    }

    async fn lost(&self) -> Error {
        self.admin.lost().await
    }

    async fn close(&self) {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        let _ = self.admin.run("SELECT pg_advisory_unlock_all()").await;
    }
}

impl Target {
    /// The database that the admin session is in.
    fn admin_database(&self) -> &str {
        self.admin.database()
    }
}

/// Entries of another dump, with numbers that no entry of ours has.
fn renumbered(entries: Vec<Entry>) -> Vec<Entry> {
    entries
        .into_iter()
        .map(|mut entry| {
            entry.id = -entry.id;
            entry.needs.iter_mut().for_each(|need| *need = -*need);
            entry
        })
        .collect()
}
