//! What comes after a part's rows, and after all rows: indexes, constraints, sequences, views, grants.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::error::SqlState;

use super::chain::Link;
use super::connection::{Session, literal, quoted};
use super::roles::{self, Mapped};
use super::settings::Writing;
use super::target::Target;
use super::toc::Entry;
use super::{foreign, large, numbering, restore, sequences};
use crate::error::{Error, Kind, Result};
use crate::store::{Part, Step};

/// So many sequences are set in one go.
const SEQUENCES: usize = 100;

/// So many tables are looked at by one statement.
const STATISTICS: usize = 100;

pub(super) const ANALYZE: &str = "ANALYZE";
const FREEZE: &str = "VACUUM (FREEZE, INDEX_CLEANUP false, TRUNCATE false)";
pub(super) const FREEZE_AND_ANALYZE: &str =
    "VACUUM (FREEZE, INDEX_CLEANUP false, TRUNCATE false, ANALYZE)";

/// Before it freezes what is left, again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
];

/// So many times all of that may be in vain.
const VAIN: u32 = 4;

/// Statements after which VACUUM takes all rows for committed that are: one whose commit is not on disk yet is none to it
/// (`SetHintBits` in PostgreSQL's source). The server remembers how far that is for 32 transactions together, so those to
/// come must not be among those that were; and a commit waits for the disk only if its transaction has written.
fn settled() -> String {
    let mut script = "BEGIN; SELECT txid_current(); COMMIT; ".repeat(32);
    script.push_str("BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_logical_emit_message(true, 'envsyncd', ''); COMMIT");
    script
}

fn quoted_all(names: &[&(String, String)]) -> Vec<String> {
    names
        .iter()
        .map(|(schema, table)| format!("{}.{}", quoted(schema), quoted(table)))
        .collect()
}

/// Freezes tables' rows, and does with them what else is asked for. VACUUM passes over what anybody else has a hand on
/// just then: a page that the checkpointer writes, rows that a client who is logging in might still look for, rows
/// beside whose commit another one has come. What it passed over, it gets again, a few times: that is soon over. Where it
/// is not, a standby's long query say, `vain` counts that, and later tables are not tried again: it is a matter of speed
/// alone.
pub(super) async fn freeze(
    session: &Session,
    what: &str,
    names: &[&(String, String)],
    vain: &AtomicU32,
) -> Result<()> {
    treat(session, what, names).await?;
    let mut left = names.to_vec();
    for pause in PAUSES {
        left = thawed(session, &left).await?;
        if left.is_empty() {
            return Ok(());
        }
        if vain.load(Ordering::Relaxed) >= VAIN {
            break;
        }
        tokio::time::sleep(pause).await;
        session.run(&settled()).await?;
        treat(session, FREEZE, &left).await?;
    }
    left = thawed(session, &left).await?;
    if !left.is_empty() {
        vain.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(tables = left.len(), "some rows are not frozen");
    }
    Ok(())
}

/// Those of which some rows are not marked as visible to all.
async fn thawed<'a>(
    session: &Session,
    names: &[&'a (String, String)],
) -> Result<Vec<&'a (String, String)>> {
    let all: Vec<String> = quoted_all(names).iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT place FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.regclass[]) WITH ORDINALITY AS t (id, place)
         JOIN pg_catalog.pg_class ON oid = id WHERE relallvisible < relpages",
        all.join(", ")
    );
    let rows = session.query(&sql, &[]).await.map_err(session.explain())?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            names
                .get(usize::try_from(row.get::<_, i64>(0)).ok()? - 1)
                .copied()
        })
        .collect())
}

/// Does something with tables; if that fails, with one by one, so that the error names the table.
pub(super) async fn treat(
    session: &Session,
    what: &str,
    names: &[&(String, String)],
) -> Result<()> {
    let (what, names) = &without_foreign(session, what, names).await?;
    let quoted = quoted_all(names);
    if quoted.is_empty()
        || session
            .run(&format!("{what} {}", quoted.join(", ")))
            .await
            .is_ok()
    {
        return Ok(());
    }
    for ((schema, table), name) in names.iter().zip(&quoted) {
        session
            .run(&format!("{what} {name}"))
            .await
            .map_err(|error| error.within(format!("statistics of {schema}.{table}")))?;
    }
    Ok(())
}

/// Leaves tables out that have a foreign table below them, where statistics are gathered: that would connect to the other
/// server. What else is done with them is done by itself.
async fn without_foreign<'a>(
    session: &Session,
    what: &'a str,
    names: &[&'a (String, String)],
) -> Result<(&'a str, Vec<&'a (String, String)>)> {
    let mut names = names.to_vec();
    if what == FREEZE {
        return Ok((what, names));
    }
    let parents = foreign::parents(session).await?;
    let (with, rest): (Vec<_>, Vec<_>) = names.drain(..).partition(|name| parents.contains(*name));
    for (schema, table) in &with {
        tracing::info!(
            table = format!("{schema}.{table}"),
            "a part of it is a foreign table: it has no statistics, as gathering them would connect to the other server"
        );
    }
    if what == FREEZE_AND_ANALYZE && !with.is_empty() {
        session
            .run(&format!("{FREEZE} {}", quoted_all(&with).join(", ")))
            .await?;
    }
    Ok((what, rest))
}

impl Target {
    /// What can be done now that a part's rows are in.
    pub(super) fn after_rows(&self, part: &Part) -> Vec<Step> {
        let indexes: Vec<usize> = self
            .indexes_on(part)
            .iter()
            .map(|place| *place as usize)
            .collect();
        let Some(table) = self.table_of(part) else {
            return Vec::new();
        };
        self.steps(self.made().chain.after_rows(table, part.bytes, &indexes))
    }

    /// Does a step; returns what can be done then.
    pub(super) async fn do_step(&self, step: &Step) -> Result<Vec<Step>> {
        let made = self.made();
        let link = made.links.lock().expect("no one panics with this lock")[step.id];
        match link {
            Link::Index(place) => self.build_index(place).await?,
            // Scripts come first: see `derive`.
            Link::Statistics(_) if self.has_scripts => {}
            Link::Statistics(table) => {
                let Some(name) = made.tables.iter().find(|(_, id)| **id == table) else {
                    return Ok(Vec::new());
                };
                let session = self.session().await?;
                treat(&session, ANALYZE, &[name.0]).await?;
                self.rest(session);
            }
            Link::Key(place) => {
                let key = &made.sorted.foreign_keys[place];
                self.several(std::slice::from_ref(key)).await?;
            }
        }
        Ok(self.steps(made.chain.after(link)))
    }

    fn steps(&self, links: Vec<Link>) -> Vec<Step> {
        let made = self.made();
        let mut all = made.links.lock().expect("no one panics with this lock");
        let step = |link: Link| {
            let bytes = made.chain.bytes(link);
            let (label, cost) = match link {
                Link::Index(place) => {
                    let entry = &made.sorted.indexes[place];
                    (entry.label(), bytes * restore::weight(entry))
                }
                Link::Statistics(_) => ("statistics".to_owned(), bytes),
                Link::Key(place) => (made.sorted.foreign_keys[place].label(), bytes),
            };
            all.push(link);
            Step {
                label,
                id: all.len() - 1,
                cost,
            }
        };
        links.into_iter().map(step).collect()
    }

    /// Builds an index that waits, and after the last one of its table the constraints that wait for it.
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
        let index = &made.sorted.indexes[place];
        let written = Writing::Definition(index.definition());
        let changed = self.compute(&session, &written).await?;
        restore::make(&session, index).await?;
        self.read_again(&session, changed).await?;
        for constraint in made.on_top.after(place) {
            restore::make(&session, &constraint).await?;
        }
        self.rest(session);
        Ok(())
    }

    /// Makes entries, several at a time. Two foreign keys that cross each other can deadlock: then again, later.
    pub(super) async fn several(&self, entries: &[Arc<Entry>]) -> Result<()> {
        stream::iter((0..entries.len()).map(|place| async move {
            let entry = &entries[place];
            let session = self.session().await?;
            let mut tries = 0;
            loop {
                match session.batch_execute(entry.definition()).await {
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

    /// Statistics of every table that has none yet, and rows that are frozen and marked as visible to all where they were
    /// not loaded so: the first queries on the published database need both. Now no transaction of ours is left that is
    /// older than the rows, and would stand in the way of that.
    pub(super) async fn analyze(&self) -> Result<()> {
        let made = self.made();
        let mut groups: BTreeMap<&str, Vec<&(String, String)>> = BTreeMap::new();
        let mut lists = Vec::new();
        {
            let thawed = made.thawed.lock().expect("no one panics with this lock");
            for (name, id) in &made.tables {
                let what = match (thawed.contains(id), made.chain.is_analyzed(*id)) {
                    (true, true) => FREEZE,
                    (true, false) if self.has_scripts => FREEZE,
                    (true, false) => FREEZE_AND_ANALYZE,
                    (false, false) if !self.has_scripts => ANALYZE,
                    (false, _) => continue,
                };
                if made.sliced.contains(name) {
                    // What takes longest comes first.
                    lists.push((what, vec![name]));
                } else {
                    groups.entry(what).or_default().push(name);
                }
            }
        }
        for (what, names) in &groups {
            lists.extend(names.chunks(STATISTICS).map(|some| (*what, some.to_vec())));
        }
        if lists.iter().any(|(what, _)| *what != ANALYZE) {
            let session = self.session().await?;
            session.run(&settled()).await?;
            self.rest(session);
        }
        let lists = &lists;
        let vain = &AtomicU32::new(0);
        stream::iter((0..lists.len()).map(|place| async move {
            let session = self.session().await?;
            let (what, names) = &lists[place];
            if *what == ANALYZE {
                treat(&session, what, names).await?;
            } else {
                freeze(&session, what, names, vain).await?;
            }
            self.rest(session);
            Ok(())
        }))
        .buffer_unordered(self.context.workers)
        .try_collect::<()>()
        .await
    }

    /// Statistics that are defined by themselves are made after their tables' own.
    async fn analyze_extended(&self) -> Result<()> {
        if self.has_scripts {
            return Ok(());
        }
        let made = self.made();
        let extended: HashSet<i64> = made
            .sorted
            .after
            .iter()
            .filter(|entry| entry.kind == "STATISTICS")
            .flat_map(|entry| entry.needs())
            .collect();
        let tables: Vec<&(String, String)> = made
            .tables
            .iter()
            .filter(|(_, id)| extended.contains(id))
            .map(|(name, _)| name)
            .collect();
        let session = self.session().await?;
        treat(&session, ANALYZE, &tables).await?;
        self.rest(session);
        Ok(())
    }

    pub(super) async fn refresh_views(&self, made_in: &[Arc<Entry>]) -> Result<()> {
        let session = self.session().await?;
        let changed = self.compute(&session, &Writing::Names).await?;
        let vain = AtomicU32::new(0);
        let what = if self.has_scripts {
            FREEZE
        } else {
            FREEZE_AND_ANALYZE
        };
        for entry in made_in
            .iter()
            .filter(|entry| entry.kind == "MATERIALIZED VIEW")
        {
            let schema = entry.schema.as_deref().unwrap_or_default().to_owned();
            let made = self.made();
            let populated = if entry.id < 0 {
                &made.carried.populated
            } else {
                &made.definitions.populated
            };
            if populated.contains(&(schema.clone(), entry.tag().to_owned())) {
                let view = format!("{}.{}", quoted(&schema), quoted(entry.tag()));
                session
                    .run(&format!("REFRESH MATERIALIZED VIEW {view}"))
                    .await
                    .map_err(|error| error.within(format!("{} cannot be filled", entry.label())))?;
                freeze(&session, what, &[&(schema, entry.tag().to_owned())], &vain).await?;
            }
        }
        self.read_again(&session, changed).await?;
        self.rest(session);
        Ok(())
    }

    pub(super) async fn set_sequences(&self) -> Result<()> {
        let made = self.made();
        let gone: HashSet<(&str, &str)> = made
            .carried
            .taken_out
            .iter()
            .filter(|out| out.entry.kind == "SEQUENCE")
            .filter_map(|out| Some((out.entry.schema.as_deref()?, out.entry.tag())))
            .collect();
        let all: Vec<&sequences::Sequence> = made
            .definitions
            .sequences
            .iter()
            .filter(|s| !gone.contains(&(s.schema.as_str(), s.name.as_str())))
            .collect();
        let lots = all.len().div_ceil(SEQUENCES);
        let all = &all;
        stream::iter((0..lots).map(|lot| async move {
            let rest = &all[lot * SEQUENCES..];
            self.set_some(&rest[..rest.len().min(SEQUENCES)]).await
        }))
        .buffer_unordered(self.context.workers)
        .try_collect::<()>()
        .await
    }

    async fn set_some(&self, some: &[&sequences::Sequence]) -> Result<()> {
        let session = self.session().await?;
        let script: Vec<String> = some.iter().map(|one| numbering::setting(one)).collect();
        session
            .run(&script.join(";"))
            .await
            .map_err(|error| error.within("sequences cannot be set"))?;
        let names: Vec<(String, String)> = some
            .iter()
            .map(|s| (s.schema.clone(), s.name.clone()))
            .collect();
        let now = sequences::values(&session, &names).await?;
        if let Some(wrong) = now.iter().find(|s| !some.contains(s)) {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "sequence {}.{} did not take its value",
                    wrong.schema, wrong.name
                ),
            ));
        }
        self.rest(session);
        Ok(())
    }

    /// Everything after the rows.
    pub(super) async fn complete(&self) -> Result<()> {
        let made = self.made();
        let session = self.session().await?;
        self.bring_rows().await?;
        self.set_sequences().await?;
        self.number_rows().await?;
        let on_views = |place: &usize| {
            made.sorted.indexes[*place]
                .needs()
                .any(|need| made.materialized.contains(&need))
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
        made.on_top.refuse_rest()?;
        let mut mapped = Mapped::default();
        self.make_in_order(&session, &made.sorted.attach, &mut mapped)
            .await?;
        // A materialized view is filled by its owner, who may need to be granted what it reads.
        let after: HashSet<i64> = made.sorted.after.iter().map(|entry| entry.id).collect();
        let (late, early): (Vec<&Arc<Entry>>, Vec<&Arc<Entry>>) =
            made.sorted.grants.iter().partition(|entry| {
                entry.kind == "DEFAULT ACL" || entry.needs().any(|need| after.contains(&need))
            });
        self.grant(&session, &early, &mut mapped).await?;
        self.analyze().await?;
        // Those of views that are still empty: filling them builds them again.
        for place in later {
            self.build_index(place).await?;
        }
        let left: Vec<Arc<Entry>> = made
            .chain
            .keys_left()
            .into_iter()
            .map(|place| made.sorted.foreign_keys[place].clone())
            .collect();
        let tables: HashSet<i64> = made.tables.values().copied().collect();
        self.make_several(&left, |key| {
            let mut tables = key.needs().filter(|need| tables.contains(need));
            !tables.all(|table| made.chain.is_small(table))
        })
        .await?;
        self.make_in_order(&session, &made.sorted.after, &mut mapped)
            .await?;
        self.analyze_extended().await?;
        self.grant(&session, &late, &mut mapped).await?;
        self.keep_quiet().await?;
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
        self.publish_as_before().await?;
        self.make_in_order(&session, &made.sorted.event_triggers, &mut mapped)
            .await?;
        self.tell(mapped);
        self.rest(session);
        Ok(())
    }
}
