//! Incoming: a database of its own beside the live one, from nothing to complete.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::error::SqlState;

use super::connection::{LOADING, READING, Session, quoted};
use super::restore::{self, Sorted};
use super::roles::{self, Mapped, Roles};
use super::target::Target;
use super::toc::Entry;
use super::{Definitions, carry, catalogue, large, publish, relay, survey};
use crate::error::{Error, Kind, Result};
use crate::store::{self, Catalogue, Chunks, Encoding, Part, Survey};

/// What is known once incoming is made.
pub(super) struct Incoming {
    pub(super) definitions: Arc<Definitions>,
    pub(super) roles: Roles,
    pub(super) sorted: Sorted,
    pub(super) carried: carry::Carried,
    /// Indexes and constraints that wait, by their place in `sorted.indexes`.
    pub(super) waiting: Mutex<BTreeSet<usize>>,
    /// What an entry makes, as (catalogue, oid) of the source.
    pub(super) objects: HashMap<i64, (u32, u32)>,
    /// A table's entry, by its name.
    pub(super) tables: HashMap<(String, String), i64>,
    pub(super) materialized: HashSet<i64>,
    /// Objects of the source that the target's user may not treat as they are there.
    pub(super) excused: Mutex<HashSet<(u32, u32)>>,
}

/// Tables of at most so many bytes are not worth a TRUNCATE: it gives them a new file, and removing the old one makes
/// the commit wait for the disk, `synchronous_commit = off` or not (`RecordTransactionCommit` in PostgreSQL's source).
/// ANALYZE reads all of such a table, and so leaves its rows marked as committed.
const SMALL: u64 = 256 * 1024;

impl Target {
    /// A session in incoming; an idle one if there is.
    pub(super) async fn session(&self) -> Result<Session> {
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

    pub(super) async fn fresh_session(&self) -> Result<Session> {
        let session = self
            .address
            .connect(Some(&self.names.incoming), LOADING)
            .await?;
        let definitions = &self.made().definitions;
        if self.context.workers > 1 && !self.address.says("max_parallel_maintenance_workers") {
            // Several indexes are built at a time: each with helpers of its own, they would stand in each other's way.
            session
                .run("SET max_parallel_maintenance_workers = 0")
                .await?;
        }
        session
            .run(&format!(
                "SET client_encoding = {}; SET check_function_bodies = off; SET search_path = {}",
                super::connection::literal(&definitions.encoding),
                definitions.traits.search_path
            ))
            .await?;
        Ok(session)
    }

    pub(super) async fn restore_path(&self, session: &Session) -> Result<()> {
        session
            .run(&format!(
                "SET search_path = {}",
                self.made().definitions.traits.search_path
            ))
            .await
    }

    pub(super) async fn live_session(&self) -> Result<Session> {
        self.address.connect(None, READING).await
    }

    pub(super) async fn build_index(&self, place: usize) -> Result<()> {
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
    pub(super) async fn several(&self, entries: &[Entry]) -> Result<()> {
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

    /// Statistics of every table, several at a time: the first queries on the published database need them.
    pub(super) async fn analyze(&self) -> Result<()> {
        let statements: Vec<String> = self
            .made()
            .tables
            .keys()
            .map(|(schema, table)| format!("ANALYZE {}.{}", quoted(schema), quoted(table)))
            .collect();
        stream::iter(statements.into_iter().map(|statement| async move {
            let session = self.session().await?;
            session.run(&statement).await?;
            self.rest(session);
            Ok(())
        }))
        .buffer_unordered(self.context.workers)
        .try_collect::<()>()
        .await
    }

    pub(super) async fn refresh_views(&self, made_in: &[Entry]) -> Result<()> {
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

    pub(super) async fn set_sequences(&self, session: &Session) -> Result<()> {
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

    pub(super) fn made(&self) -> &Incoming {
        self.incoming
            .get()
            .expect("prepare comes before anything that needs incoming")
    }

    pub(super) fn rest(&self, session: Session) {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .push(session);
    }

    /// Makes incoming with everything that comes before rows.
    pub(super) async fn make_incoming(&self, survey: &Survey) -> Result<()> {
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
        if !live && !definitions.kept.is_empty() {
            tracing::warn!("there is no live database yet: tables in `keep` start empty");
        }
        let shell = self.live_is_shell().await?;
        if shell && !self.in_place {
            tracing::warn!(
                "live was emptied by a run that did not load it: nothing of its own is kept"
            );
        }
        if live
            && !shell
            && (self.context.selection.overlay || !self.context.selection.is_everything())
        {
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
        let roles = Roles::load(&self.admin, number, owner.as_deref(), self.roles).await?;
        let mut sorted = restore::sort(&definitions.toc, &definitions.gone);
        let mut mapped = Mapped::default();
        for entries in [&mut sorted.before, &mut sorted.after] {
            let fitting = std::mem::take(entries).into_iter();
            *entries = fitting
                .filter_map(|entry| roles.fitting(entry, &mut mapped))
                .collect();
        }
        if !roles.are_copied() {
            sorted.grants.clear();
        }
        let theirs = restore::sort(&carried.toc, &HashSet::new());
        // Numbers of live's entries must not meet the source's.
        sorted.before.extend(renumbered(theirs.before));
        sorted.indexes.extend(renumbered(theirs.indexes));
        sorted.attach.extend(renumbered(theirs.attach));
        sorted.foreign_keys.extend(renumbered(theirs.foreign_keys));
        sorted.after.extend(renumbered(theirs.after));
        sorted.grants.extend(renumbered(theirs.grants));
        self.place_files(&mut sorted).await?;
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
        let objects = definitions
            .toc
            .entries
            .iter()
            .map(|entry| (entry.id, entry.object))
            .collect();
        let made = Incoming {
            objects,
            definitions: definitions.clone(),
            waiting: Mutex::new((0..sorted.indexes.len()).collect()),
            roles,
            sorted,
            carried,
            tables,
            materialized,
            excused: Mutex::default(),
        };
        if self.incoming.set(made).is_err() {
            return Err(Error::new(Kind::Internal, "incoming was prepared twice"));
        }
        let session = self.session().await?;
        self.make_in_order(&session, &self.made().sorted.before, &mut mapped)
            .await?;
        self.tell(mapped);
        self.rest(session);
        Ok(())
    }

    /// Takes a part's rows in one transaction.
    pub(super) async fn take_rows(&self, part: &Part, chunks: Chunks) -> Result<u64> {
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
        let frozen = !shared && part.bytes > SMALL;
        if frozen {
            // Emptied in the same transaction, a table may be filled with rows that are frozen from the start, and on a
            // server with wal_level = minimal, without WAL.
            session.run(&format!("BEGIN; TRUNCATE ONLY {name}")).await?;
            options.push("FREEZE");
        }
        let with = if options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", options.join(", "))
        };
        let within = |error: Error| error.within(format!("writing {}", part.label()));
        let mut copy =
            relay::In::start(&session, &format!("COPY {name}{columns} FROM STDIN{with}"))
                .await
                .map_err(within)?;
        let mut chunks = chunks;
        while let Some(chunk) = chunks.next().await {
            // An error here leaves the COPY unfinished: the server undoes it when the session goes.
            copy.send(chunk?.data).await.map_err(within)?;
        }
        let rows = copy.finish().await.map_err(within)?;
        if frozen {
            session.run("COMMIT").await.map_err(within)?;
        }
        self.rest(session);
        Ok(rows)
    }

    /// Everything after the rows.
    pub(super) async fn complete(&self) -> Result<()> {
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
        // A materialized view is filled by its owner, who may need to be granted what it reads.
        let mut mapped = Mapped::default();
        let after: HashSet<i64> = made.sorted.after.iter().map(|entry| entry.id).collect();
        let (late, early): (Vec<&Entry>, Vec<&Entry>) =
            made.sorted.grants.iter().partition(|entry| {
                entry.kind == "DEFAULT ACL" || entry.needs.iter().any(|need| after.contains(need))
            });
        self.grant(&session, &early, &mut mapped).await?;
        self.analyze().await?;
        // Those of views that are still empty: filling them builds them again.
        for place in later {
            self.build_index(place).await?;
        }
        self.several(&made.sorted.foreign_keys).await?;
        self.make_in_order(&session, &made.sorted.after, &mut mapped)
            .await?;
        self.grant(&session, &late, &mut mapped).await?;
        // Not before all views are what they are: one that needs a primary key is a placeholder until then.
        self.refresh_views(&made.sorted.before).await?;
        self.refresh_views(&made.sorted.after).await?;
        for (object, statement) in large::statements(&made.definitions.large, &made.roles) {
            roles::grant_one(
                &session,
                &statement,
                "large objects",
                object,
                &made.roles,
                &mut mapped,
            )
            .await?;
        }
        self.make_in_order(&session, &made.sorted.event_triggers, &mut mapped)
            .await?;
        self.tell(mapped);
        self.rest(session);
        Ok(())
    }

    /// What is in incoming, but for what came from live.
    pub(super) async fn own_catalogue(&self) -> Result<Catalogue> {
        let session = self.session().await?;
        session.run("SET search_path = ''").await?;
        let mut found = catalogue::read(&session, &HashSet::new()).await?;
        self.compare_rights(&session).await?;
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
