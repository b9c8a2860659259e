//! Incoming: a database of its own beside the live one, from nothing to complete.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::belongings::Places;
use super::chain::{Chain, Link};
use super::connection::{LOADING, READING, Session, quoted};
use super::marks::{self, Standing};
use super::picked::{self, Name};
use super::restore::{self, Sorted};
use super::roles::{Mapped, Roles};
use super::target::Target;
use super::toc::{Entry, Toc};
use super::{
    Definitions, batch, carry, catalogue, constraints, means, publications, publish, said, settled,
    survey,
};
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::{self, Catalogue, Digest, Part, Survey};

/// What is known once incoming is made.
pub(super) struct Incoming {
    pub(super) definitions: Arc<Definitions>,
    pub(super) roles: Roles,
    pub(super) sorted: Sorted,
    pub(super) carried: carry::Carried,
    /// Indexes and constraints that wait, by their place in `sorted.indexes`.
    pub(super) waiting: Mutex<BTreeSet<usize>>,
    /// Constraints that come when their tables' indexes are built.
    pub(super) on_top: constraints::Waiting,
    /// What an entry makes, as (catalogue, oid) of the source.
    pub(super) objects: HashMap<i64, (u32, u32)>,
    /// A table's entry, by its name.
    pub(super) tables: HashMap<(String, String), i64>,
    /// Places in `sorted.indexes` of what stands on a table, by its entry.
    pub(super) indexes_of: HashMap<i64, Vec<u32>>,
    /// Tables whose rows come in slices.
    pub(super) sliced: HashSet<(String, String)>,
    /// Tables whose rows were not frozen when they were loaded.
    pub(super) thawed: Mutex<HashSet<i64>>,
    pub(super) materialized: HashSet<i64>,
    /// How far tables are.
    pub(super) chain: Chain,
    /// What a step stands for, by its number.
    pub(super) links: Mutex<Vec<Link>>,
    /// How many locks one session may hold at a time.
    pub(super) locks: usize,
    /// It is a copy of the source's files: nothing of it was made, and nothing has to be.
    pub(super) is_adopted: bool,
    /// What is in a tablespace of its own.
    pub(super) places: Places,
    /// Objects of the source that the target's user may not treat as they are there.
    pub(super) excused: Mutex<HashSet<(u32, u32)>>,
}

impl Target {
    /// A session in incoming; an idle one if there is.
    pub(super) async fn session(&self) -> Result<Session> {
        let idle = {
            let mut idle = self.idle.lock().expect("no one panics with this lock");
            let place = idle.iter().rposition(|session| !session.compares);
            place.map(|place| idle.remove(place))
        };
        match idle {
            Some(session) => Ok(session),
            None => self.fresh_session().await,
        }
    }

    pub(super) async fn fresh_session(&self) -> Result<Session> {
        let session = self.loading_session().await?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let means = means::statements(&self.address, self.context.workers, cores);
        session.run(&means).await?;
        Ok(session)
    }

    /// The entry of a part's table.
    pub(super) fn table_of(&self, part: &Part) -> Option<i64> {
        let key = (part.schema.clone().unwrap_or_default(), part.name.clone());
        self.made().tables.get(&key).copied()
    }

    /// Places in `sorted.indexes` of what stands on a part's table.
    pub(super) fn indexes_on(&self, part: &Part) -> &[u32] {
        self.table_of(part)
            .and_then(|table| self.made().indexes_of.get(&table))
            .map_or(&[], Vec::as_slice)
    }

    pub(super) async fn live_session(&self) -> Result<Session> {
        self.address.connect(None, READING).await
    }

    /// A session in live that may write, and looks at `pg_catalog` alone for names that have no schema.
    pub(super) async fn writing_session_in_live(&self) -> Result<Session> {
        self.address.connect(None, LOADING).await
    }

    pub(super) fn made(&self) -> &Incoming {
        self.incoming
            .get()
            .or_else(|| self.tried.get())
            .or_else(|| self.adopted.get())
            .expect("prepare comes before anything that needs incoming")
    }

    pub(super) fn rest(&self, session: Session) {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .push(session);
    }

    /// Makes incoming with everything that comes before rows. Where it is not certain that kept tables hold live's rows as
    /// the source defines them, that is tried, and those that do not are made as live has them.
    pub(super) async fn make_incoming(&self, survey: &Survey) -> Result<()> {
        let store::Definitions::Postgresql(definitions) = &survey.definitions else {
            return Err(Error::new(
                Kind::Config,
                "the source is no PostgreSQL database",
            ));
        };
        let owner = self.create_incoming(definitions).await?;
        // What is made need not be kept: it goes with the lists that it is sorted into.
        let mut toc = std::mem::take(
            &mut *definitions
                .toc
                .lock()
                .expect("no one panics with this lock"),
        );
        let theirs = self.look_at_live(definitions, owner.is_some()).await?;
        let kept: HashSet<Name> = definitions.kept.iter().cloned().collect();
        let doubtful = match &theirs {
            Some(theirs) => picked::unlike(&toc, theirs, &kept),
            None => HashSet::new(),
        };
        let owner = owner.as_deref();
        let live = theirs.as_ref();
        if doubtful.is_empty() {
            let (made, mapped) = self
                .sort_out(survey, definitions, toc, live, owner, &[])
                .await?;
            return self.make_all(&self.incoming, made, mapped).await;
        }
        let again = toc.clone();
        let (made, mapped) = self
            .sort_out(survey, definitions, toc, live, owner, &[])
            .await?;
        self.make_all(&self.tried, made, mapped).await?;
        let failing = self.try_rows(&doubtful).await?;
        if failing.is_empty() {
            return Ok(());
        }
        toc = again;
        let mut own: HashSet<Name> = HashSet::new();
        for table in &failing {
            own.extend(picked::family(&toc, table));
            own.extend(
                live.map(|live| picked::family(live, table))
                    .unwrap_or_default(),
            );
        }
        let mut own: Vec<Name> = own.into_iter().collect();
        own.sort();
        for (schema, table) in &own {
            tracing::warn!(
                table = format!("{schema}.{table}"),
                "the source's definition does not hold the rows that are kept; the table is made as it is on the target"
            );
        }
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        self.drop_leftover(&self.names.incoming).await?;
        self.create_incoming(definitions).await?;
        let (made, mapped) = self
            .sort_out(survey, definitions, toc, live, owner, &own)
            .await?;
        self.make_all(&self.incoming, made, mapped)
            .await
            .map_err(|error| {
                let names: Vec<String> = own.iter().map(|(s, t)| format!("{s}.{t}")).collect();
                error.within(format!(
                    "the source's definition does not hold the rows of {}, and it cannot be as it is on the target, either",
                    names.join(", ")
                ))
            })
    }

    /// Creates the database; returns live's owner, if there is a live.
    async fn create_incoming(&self, definitions: &Definitions) -> Result<Option<String>> {
        let (mut tablespace, mut owner) = (String::new(), None);
        if let Some(live) = self.place_and_owner_of_live().await? {
            // The default needs no privilege unless it is named.
            if live.0 != "pg_default" {
                tablespace = format!(" TABLESPACE {}", quoted(&live.0));
            }
            owner = Some(live.1);
        }
        let incoming = quoted(&self.names.incoming);
        self.admin
            .run(&format!(
                "CREATE DATABASE {incoming} TEMPLATE template0 {}{tablespace}{}",
                definitions.traits.clause(),
                marks::birth(owner.as_deref())
            ))
            .await
            .map_err(|error| {
                error.within(format!(
                    "the database {} cannot be created",
                    self.names.incoming
                ))
            })?;
        self.close_and_set(owner.is_some()).await?;
        Ok(owner)
    }

    /// Live's definitions, where something of it stays.
    async fn look_at_live(&self, definitions: &Definitions, live: bool) -> Result<Option<Toc>> {
        if !live && !definitions.kept.is_empty() {
            tracing::warn!("there is no live database yet: tables in `keep` start empty");
        }
        let shell = self.live_is_shell().await?;
        if shell && !self.in_place {
            tracing::warn!(
                "live was emptied by a run that did not load it: nothing of its own is kept"
            );
        }
        let selection = &self.context.selection;
        if !live || shell || (selection.is_everything() && !selection.overlay) {
            return Ok(None);
        }
        let session = self.live_session().await?;
        let dump = definitions.dump().await?;
        settled::refuse_other_words(&self.address, &session).await?;
        let theirs = dump
            .definitions(
                &self.address,
                None,
                &[],
                definitions.traits.spoken(),
                selection.overlay,
            )
            .await?;
        Ok(Some(theirs))
    }

    /// Makes what comes before rows.
    async fn make_all(
        &self,
        cell: &OnceCell<Incoming>,
        made: Incoming,
        mut mapped: Mapped,
    ) -> Result<()> {
        if cell.set(made).is_err() {
            return Err(Error::new(Kind::Internal, "incoming was prepared twice"));
        }
        self.own_public(&mut mapped).await?;
        self.make_before(&mut mapped).await?;
        self.keep_quiet().await?;
        self.tell(mapped);
        Ok(())
    }

    /// Sorts out what is made and what has to wait for what; `theirs` are live's definitions, `own` kept tables that are made
    /// as live has them.
    async fn sort_out(
        &self,
        survey: &Survey,
        definitions: &Arc<Definitions>,
        mut toc: Toc,
        theirs: Option<&Toc>,
        owner: Option<&str>,
        own: &[Name],
    ) -> Result<(Incoming, Mapped)> {
        let own: HashSet<Name> = own.iter().cloned().collect();
        let taken_out = picked::take_out(&mut toc, &own);
        let mut carried = carry::Carried::default();
        if let Some(theirs) = theirs {
            let made = Toc {
                entries: toc
                    .entries
                    .iter()
                    .filter(|entry| !definitions.gone.contains(&entry.object))
                    .cloned()
                    .collect(),
            };
            carried = carry::plan(
                &self.live_session().await?,
                &self.context.selection,
                &made,
                &definitions.kept,
                theirs,
                &own,
            )
            .await?;
        }
        if let (Some(theirs), true) = (theirs, self.context.selection.overlay) {
            carried.publications = renumbered(publications::picked(theirs));
        }
        carried.taken_out = taken_out;
        let number = survey::version(&self.admin).await?.0;
        let roles = Roles::load(&self.admin, number, owner, self.roles).await?;
        let mut sorted = restore::sort(&toc, &definitions.gone);
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
        sorted
            .event_triggers
            .extend(renumbered(theirs.event_triggers));
        let tables: HashMap<(String, String), i64> = sorted
            .before
            .iter()
            .filter(|entry| entry.kind == "TABLE")
            .map(|entry| {
                (
                    (
                        entry.schema.as_deref().unwrap_or_default().to_owned(),
                        entry.tag().to_owned(),
                    ),
                    entry.id,
                )
            })
            .collect();
        let on_top =
            constraints::Waiting::divide(&mut sorted.indexes, &tables, &definitions.in_two);
        let places = self.place_files(&mut sorted).await?;
        let materialized = sorted
            .before
            .iter()
            .chain(&sorted.after)
            .filter(|entry| entry.kind == "MATERIALIZED VIEW")
            .map(|entry| entry.id)
            .collect();
        let objects = spoken_of(&toc);
        drop(toc);
        let mut indexes_of: HashMap<i64, Vec<u32>> = HashMap::new();
        for (place, entry) in sorted.indexes.iter().enumerate() {
            for need in entry.needs() {
                let places = indexes_of.entry(need).or_default();
                // A dump may say it twice.
                if places.last() != Some(&(place as u32)) {
                    places.push(place as u32);
                }
            }
        }
        // A key names the table that it is on, and what makes the other one's rows unique.
        let mut tables_of: HashMap<i64, i64> = tables.values().map(|id| (*id, *id)).collect();
        // What gave way to live's own is waited for in its place.
        let gave_way = carried.taken_out.iter();
        tables_of.extend(gave_way.filter_map(|out| Some((out.entry.id, *tables.get(&out.table)?))));
        for table in tables.values() {
            let places = indexes_of.get(table).into_iter().flatten();
            let indexes = places.map(|place| &sorted.indexes[*place as usize]);
            tables_of.extend(indexes.map(|index| (index.id, *table)));
        }
        let keys = sorted.foreign_keys.iter().map(|key| {
            let needed: BTreeSet<i64> = key
                .needs()
                .filter_map(|need| tables_of.get(&need).copied())
                .collect();
            needed.into_iter().collect()
        });
        // Rows of a partition that is sorted anew come with other parts, too; slices are vacuumed when all is built.
        let open = survey
            .parts
            .iter()
            .filter(|part| part.slice.is_some() || definitions.by_root.contains_key(&part.id))
            .filter_map(|part| {
                let name = (part.schema.clone().unwrap_or_default(), part.name.clone());
                tables.get(&name).copied()
            })
            .collect();
        let chain = Chain::new(keys.collect(), open);
        let locks = batch::locks(&self.admin, self.context.workers).await?;
        let gave_way = carried.taken_out.iter();
        let gave_way = gave_way.map(|out| out.entry.object).collect();
        let made = Incoming {
            objects,
            definitions: definitions.clone(),
            waiting: Mutex::new((0..sorted.indexes.len()).collect()),
            roles,
            sorted,
            on_top,
            carried,
            tables,
            indexes_of,
            sliced: survey
                .parts
                .iter()
                .filter(|part| part.slice.is_some())
                .map(|part| (part.schema.clone().unwrap_or_default(), part.name.clone()))
                .collect(),
            thawed: Mutex::default(),
            materialized,
            chain,
            links: Mutex::default(),
            locks,
            is_adopted: false,
            places,
            excused: Mutex::new(gave_way),
        };
        Ok((made, mapped))
    }

    /// The live database's tablespace and owner.
    pub(super) async fn place_and_owner_of_live(&self) -> Result<Option<(String, String)>> {
        self.place_and_owner_of(&self.names.live).await
    }

    /// A database's tablespace and owner.
    pub(super) async fn place_and_owner_of(
        &self,
        database: &str,
    ) -> Result<Option<(String, String)>> {
        let row = self
            .admin
            .query_opt(
                "SELECT t.spcname::text, r.rolname::text FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace \
                 JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = $1",
                &[&database],
            )
            .await
            .map_err(self.admin.explain())?;
        Ok(row.map(|row| (row.get(0), row.get(1))))
    }

    /// Keeps others out of an incoming that was just created, and gives it live's settings, if there is a live.
    pub(super) async fn close_and_set(&self, live: bool) -> Result<()> {
        // Nobody looks at what is not published yet, or by mistake.
        let own = marks::own_comment_of(&self.admin, &self.names.live).await?;
        let mark = self.mark(Standing::Incoming);
        let [comment, limit] = marks::christened(&self.names.incoming, &mark, own.as_deref());
        let first = [publish::closed(&self.names.incoming), comment, limit];
        self.admin.run(&first.join(";")).await?;
        self.remember_incoming().await?;
        if live {
            // Now, so that what cannot be carried over fails the run before hours of copying.
            for statement in
                publish::settings_of(&self.admin, &self.names.live, &self.names.incoming).await?
            {
                self.admin.run(&statement).await.map_err(|error| {
                    said::about(error, &statement)
                        .within("a setting of the live database cannot be carried over")
                })?;
            }
        }
        Ok(())
    }

    /// What is in incoming, but for what came from live.
    pub(super) async fn own_catalogue(&self) -> Result<Catalogue> {
        let mut found = Catalogue::default();
        self.each_own(|_, object, definition| {
            found.0.insert(object.to_owned(), definition.to_owned());
        })
        .await?;
        self.compare_own_rights().await?;
        Ok(found)
    }

    /// The same in a few numbers.
    pub(super) async fn own_digest(&self) -> Result<Digest> {
        let mut digest = Digest::default();
        let each = self.each_own(|_, object, definition| digest.add(object, definition));
        tokio::try_join!(each, self.compare_own_rights())?;
        Ok(digest)
    }

    async fn compare_own_rights(&self) -> Result<()> {
        let session = self.comparing_session().await?;
        self.compare_rights(&session).await?;
        self.compare_places(&session).await?;
        self.rest(session);
        Ok(())
    }

    async fn each_own(&self, mut show: impl FnMut((u32, u32), &str, &str)) -> Result<()> {
        let session = self.comparing_session().await?;
        let words = &self.made().carried.words;
        let mut missing: HashSet<&str> = words.keys().map(String::as_str).collect();
        let mut changed: Vec<String> = Vec::new();
        catalogue::each(&session, &HashSet::new(), |id, object, definition| {
            // What came from live is not the source's to compare.
            match words.get_key_value(object) {
                None => show(id, object, definition),
                Some((object, as_it_was)) => {
                    missing.remove(object.as_str());
                    if as_it_was != definition {
                        changed.push(object.clone());
                    }
                }
            }
        })
        .await?;
        changed.extend(missing.into_iter().map(str::to_owned));
        changed.sort();
        if !changed.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "what is the target's own is not as it is on the target: {}",
                    first_of(&changed, 3)
                ),
            )
            .hint("it needs something that the source has otherwise: drop or change it on the target, or take it out of `keep`"));
        }
        self.rest(session);
        Ok(())
    }
}

/// What entries make, as (catalogue, oid) of the source, as far as a comment or a grant speaks of it.
fn spoken_of(toc: &Toc) -> HashMap<i64, (u32, u32)> {
    let needed: HashSet<i64> = toc
        .entries
        .iter()
        .filter(|entry| entry.object.1 == 0)
        .flat_map(|entry| entry.needs())
        .collect();
    toc.entries
        .iter()
        .filter(|entry| needed.contains(&entry.id))
        .map(|entry| (entry.id, entry.object))
        .collect()
}

/// Entries of another dump, with numbers that no entry of ours has.
fn renumbered(entries: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
    entries
        .into_iter()
        .map(|mut entry| {
            let other = Arc::make_mut(&mut entry);
            other.id = -other.id;
            entry
        })
        .collect()
}

/// Who owns a database, if it is there.
pub(super) async fn owner_of(admin: &Session, database: &str) -> Result<Option<String>> {
    let row = admin
        .query_opt(
            "SELECT r.rolname::text FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = $1",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    Ok(row.map(|row| row.get(0)))
}
