//! What is made in incoming, and what has to wait for what: sorted out before anything is made.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::build_graph::BuildGraph;
use super::database::Incoming;
use super::preserved::{self, Preserved};
use super::tables::Tables;
use super::waiting_constraints::Waiting;
use super::{create_many, publications};
use crate::error::Result;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::ownership::Mapped;
use crate::store::postgresql::schema::picked;
use crate::store::postgresql::schema::restore_order::{self, Sorted};
use crate::store::postgresql::schema::roles::Roles;
use crate::store::postgresql::schema::survey::{self, Name};
use crate::store::postgresql::schema::toc::{Entry, Toc};
use crate::store::{Part, Survey};
use crate::sync::Mutex;

/// A database that was just created.
pub(in crate::store::postgresql) struct Created {
    pub(super) oid: Option<u32>,
    /// Live's owner, if there is a live.
    pub(super) owner: Option<String>,
}

/// Everything that an incoming is built from.
pub(in crate::store::postgresql) struct Plan<'a> {
    pub(super) to: &'a Arc<Destination>,
    pub(super) survey: &'a Survey,
    pub(super) definitions: &'a Arc<Definitions>,
    /// Live's definitions, where something of it stays.
    pub(super) live: Option<&'a Toc>,
    /// Kept tables that are made as live has them.
    pub(super) own: HashSet<Name>,
}

impl Plan<'_> {
    /// Makes what comes before rows, in a database that was just created.
    pub(super) async fn create_all(self, toc: Toc, created: &Created) -> Result<Incoming> {
        let (mut incoming, mut mapped) = self.sort_out(toc, created).await?;
        incoming.own_public(&mut mapped).await?;
        incoming.create_before(&mut mapped).await?;
        // What is made is looked at no more, but for views that are to be filled.
        let made = &mut incoming.sorted.before;
        made.retain(|entry| entry.kind == "MATERIALIZED VIEW");
        made.shrink_to_fit();
        incoming.disable_autovacuum().await?;
        incoming.tell(mapped);
        Ok(incoming)
    }

    async fn sort_out(&self, mut toc: Toc, created: &Created) -> Result<(Incoming, Mapped)> {
        let (to, definitions) = (self.to, self.definitions);
        let preserved = self.preserved(&mut toc).await?;
        let number = survey::version(&to.admin).await?.0;
        let roles = Roles::load(&to.admin, number, created.owner.as_deref(), to.roles).await?;
        let mut mapped = Mapped::default();
        let mut sorted = self.sorted(&toc, &preserved, &roles, &mut mapped);
        let tables = Tables::of(sorted.before.iter());
        let on_top = Waiting::divide(&mut sorted.indexes, &tables, &definitions.in_two);
        let places = to.place_files(&mut sorted).await?;
        let materialized = sorted
            .before
            .iter()
            .chain(&sorted.after)
            .filter(|entry| entry.kind == "MATERIALIZED VIEW")
            .map(Entry::id)
            .collect();
        let objects = spoken_of(&toc);
        drop(toc);
        let indexes_of = indexes_of(&sorted);
        let graph = self.graph(&sorted, &preserved, &tables, &indexes_of);
        let locks = create_many::locks(&to.admin, to.context.workers).await?;
        let gave_way = preserved.taken_out.iter();
        let gave_way = gave_way.map(|out| out.entry.object()).collect();
        let sliced = self.survey.parts.iter().filter(|part| part.slice.is_some());
        let incoming = Incoming {
            to: Arc::clone(to),
            oid: created.oid,
            own: OnceCell::new(),
            objects,
            definitions: Arc::clone(definitions),
            waiting: Mutex::new((0..sorted.indexes.len()).collect()),
            roles,
            sorted,
            on_top,
            preserved,
            tables,
            indexes_of,
            sliced: sliced.map(name_of).collect(),
            thawed: Mutex::default(),
            materialized,
            graph,
            nodes: Mutex::default(),
            locks,
            is_cloned: false,
            places,
            excused: Mutex::new(gave_way),
        };
        Ok((incoming, mapped))
    }

    /// What comes from live; what gives way to it is taken out of the source's definitions.
    async fn preserved(&self, toc: &mut Toc) -> Result<Preserved> {
        let (to, definitions) = (self.to, self.definitions);
        let taken_out = picked::take_out(toc, &self.own);
        let mut preserved = Preserved::default();
        if let Some(theirs) = self.live {
            let made = Toc {
                entries: toc
                    .entries
                    .iter()
                    .filter(|entry| !definitions.gone.contains(&entry.object()))
                    .cloned()
                    .collect(),
            };
            preserved = preserved::plan(
                &to.live_session().await?,
                &to.context.selection,
                &made,
                &definitions.preserved,
                theirs,
                &self.own,
            )
            .await?;
        }
        if let (Some(theirs), true) = (self.live, to.context.selection.overlay) {
            preserved.publications = renumbered(publications::picked(theirs));
        }
        preserved.taken_out = taken_out;
        Ok(preserved)
    }

    /// All that is made, in the order in which it is made.
    fn sorted(
        &self,
        toc: &Toc,
        preserved: &Preserved,
        roles: &Roles,
        mapped: &mut Mapped,
    ) -> Sorted {
        let mut sorted = restore_order::sort(toc, &self.definitions.gone);
        for entries in [&mut sorted.before, &mut sorted.after] {
            let fitting = std::mem::take(entries).into_iter();
            *entries = fitting
                .filter_map(|entry| roles.fitting(entry, mapped))
                .collect();
        }
        if !roles.are_copied() {
            sorted.grants.clear();
        }
        let theirs = restore_order::sort(&preserved.toc, &HashSet::new());
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
        sorted
    }

    /// What is built after what.
    fn graph(
        &self,
        sorted: &Sorted,
        preserved: &Preserved,
        tables: &Tables,
        indexes_of: &HashMap<i64, Vec<u32>>,
    ) -> BuildGraph {
        // A key names the table that it is on, and what makes the other one's rows unique.
        let mut tables_of: HashMap<i64, i64> = tables.ids().map(|id| (id, id)).collect();
        // What gave way to live's own is waited for in its place.
        let gave_way = preserved.taken_out.iter();
        tables_of.extend(
            gave_way
                .filter_map(|out| Some((out.entry.id(), tables.id(&out.table.0, &out.table.1)?))),
        );
        for table in tables.ids() {
            let places = indexes_of.get(&table).into_iter().flatten();
            let indexes = places.map(|place| &sorted.indexes[*place as usize]);
            tables_of.extend(indexes.map(|index| (index.id(), table)));
        }
        let keys = sorted.foreign_keys.iter().map(|key| {
            let needed: BTreeSet<i64> = key
                .needs()
                .filter_map(|need| tables_of.get(&need).copied())
                .collect();
            needed.into_iter().collect()
        });
        // Rows of a partition that is sorted anew come with other parts, too; slices are vacuumed when all is built.
        let by_root = &self.definitions.by_root;
        let open = self
            .survey
            .parts
            .iter()
            .filter(|part| part.slice.is_some() || by_root.contains_key(&part.id))
            .filter_map(|part| tables.id(part.schema.as_deref().unwrap_or_default(), &part.name))
            .collect();
        BuildGraph::new(keys.collect(), open)
    }
}

fn name_of(part: &Part) -> Name {
    (part.schema.clone().unwrap_or_default(), part.name.clone())
}

/// Places of what stands on a table, by its entry.
fn indexes_of(sorted: &Sorted) -> HashMap<i64, Vec<u32>> {
    let mut found: HashMap<i64, Vec<u32>> = HashMap::new();
    for (place, entry) in sorted.indexes.iter().enumerate() {
        for need in entry.needs() {
            let places = found.entry(need).or_default();
            // A dump may say it twice.
            if places.last() != Some(&(place as u32)) {
                places.push(place as u32);
            }
        }
    }
    found
}

/// What entries make, as (catalogue, oid) of the source, as far as a comment or a grant speaks of it.
fn spoken_of(toc: &Toc) -> HashMap<i64, (u32, u32)> {
    let needed: HashSet<i64> = toc
        .entries
        .iter()
        .filter(|entry| entry.object().1 == 0)
        .flat_map(Entry::needs)
        .collect();
    toc.entries
        .iter()
        .filter(|entry| needed.contains(&entry.id()))
        .map(|entry| (entry.id(), entry.object()))
        .collect()
}

/// Entries of another dump, with numbers that no entry of ours has.
fn renumbered(entries: Vec<Entry>) -> Vec<Entry> {
    entries
        .into_iter()
        .map(|mut entry| {
            entry.renumber();
            entry
        })
        .collect()
}
