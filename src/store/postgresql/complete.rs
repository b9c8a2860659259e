//! What comes after a part's rows, and after all rows: indexes, constraints, sequences, views, grants.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::error::SqlState;

use super::connection::quoted;
use super::roles::{self, Mapped};
use super::target::Target;
use super::toc::Entry;
use super::{carry, large, restore, survey};
use crate::error::{Error, Kind, Result};

/// So many sequences are set in one go.
const SEQUENCES: usize = 100;

impl Target {
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
        restore::make(&session, &made.sorted.indexes[place]).await?;
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

    /// Statistics of every table that has none yet, several at a time: the first queries on the published database need
    /// them. Rows that came in slices are not frozen yet, nor marked as visible to all; now no transaction of ours is
    /// left that is older than they are, and would stand in the way of that.
    pub(super) async fn analyze(&self) -> Result<()> {
        let made = self.made();
        let mut statements: Vec<String> = {
            let analyzed = made.analyzed.lock().expect("no one panics with this lock");
            let left = made.tables.iter().filter(|(_, id)| !analyzed.contains(id));
            left.map(|(name, _)| {
                let what = if made.sliced.contains(name) {
                    "VACUUM (FREEZE, ANALYZE, INDEX_CLEANUP false, TRUNCATE false)"
                } else {
                    "ANALYZE"
                };
                format!("{what} {}.{}", quoted(&name.0), quoted(&name.1))
            })
            .collect()
        };
        // What takes longest comes first.
        statements.sort_by_key(|statement| statement.starts_with("ANALYZE"));
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

    pub(super) async fn refresh_views(&self, made_in: &[Arc<Entry>]) -> Result<()> {
        let session = self.session().await?;
        for entry in made_in
            .iter()
            .filter(|entry| entry.kind == "MATERIALIZED VIEW")
        {
            let schema = entry.schema.as_deref().unwrap_or_default().to_owned();
            if self
                .made()
                .definitions
                .populated
                .contains(&(schema.clone(), entry.tag().to_owned()))
            {
                let view = format!("{}.{}", quoted(&schema), quoted(entry.tag()));
                session
                    .run(&format!("REFRESH MATERIALIZED VIEW {view}"))
                    .await
                    .map_err(|error| error.within(format!("{} cannot be filled", entry.label())))?;
            }
        }
        self.rest(session);
        Ok(())
    }

    pub(super) async fn set_sequences(&self) -> Result<()> {
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

    async fn set_some(&self, some: &[&survey::Sequence]) -> Result<()> {
        let session = self.session().await?;
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
        let now = survey::sequence_values(&session, &names).await?;
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
        if !made.carried.parts.is_empty() {
            let live = self.live_session().await?;
            for part in &made.carried.parts {
                let rows = carry::copy(&live, &session, part).await?;
                tracing::info!(table = part.label(), rows, "kept the target's own rows");
            }
        }
        self.set_sequences().await?;
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
        // Tables whose statistics came with their rows are small.
        let small = made
            .analyzed
            .lock()
            .expect("no one panics with this lock")
            .clone();
        let tables: HashSet<i64> = made.tables.values().copied().collect();
        self.make_several(&made.sorted.foreign_keys, |key| {
            let mut tables = key.needs().filter(|need| tables.contains(need));
            !tables.all(|table| small.contains(&table))
        })
        .await?;
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
}
