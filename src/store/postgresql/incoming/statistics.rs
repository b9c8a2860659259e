//! Statistics of tables, frozen rows, and materialized views.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicU32;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::database::Incoming;
use super::owner::Writing;
use super::vacuum::{ANALYZE, FREEZE, FREEZE_AND_ANALYZE, freeze, settled, treat};
use crate::error::Result;
use crate::store::postgresql::schema::toc::Entry;
use crate::store::postgresql::sql::quoting::quoted;

/// So many tables are looked at by one statement.
const STATISTICS: usize = 100;

impl Incoming {
    /// Statistics of every table that has none yet, and rows that are frozen and marked as visible to all where they were
    /// not loaded so: the first queries on the published database need both. Now no transaction of ours is left that is
    /// older than the rows, and would stand in the way of that.
    pub(super) async fn analyze(&self) -> Result<()> {
        let mut groups: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        let mut lists = Vec::new();
        {
            let thawed = self.thawed.lock();
            let wanted = |id| match (thawed.contains(&id), self.graph.is_analyzed(id)) {
                (true, true) => Some(FREEZE),
                (true, false) if self.to.has_scripts() => Some(FREEZE),
                (true, false) => Some(FREEZE_AND_ANALYZE),
                (false, false) if !self.to.has_scripts() => Some(ANALYZE),
                (false, _) => None,
            };
            for (name, what) in self.tables.wanted(wanted) {
                if self.sliced.contains(&name) {
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
            let names: &Vec<&(String, String)> = &names.iter().collect();
            if *what == ANALYZE {
                treat(&session, what, names).await?;
            } else {
                freeze(&session, what, names, vain).await?;
            }
            self.rest(session);
            Ok(())
        }))
        .buffer_unordered(self.to.context.workers)
        .try_collect::<()>()
        .await
    }

    /// Statistics that are defined by themselves are made after their tables' own.
    pub(super) async fn analyze_extended(&self) -> Result<()> {
        if self.to.has_scripts() {
            return Ok(());
        }
        let extended: HashSet<i64> = self
            .sorted
            .after
            .iter()
            .filter(|entry| entry.kind == "STATISTICS")
            .flat_map(Entry::needs)
            .collect();
        let wanted = |id| extended.contains(&id).then_some(());
        let named: Vec<_> = self.tables.wanted(wanted).collect();
        let tables: Vec<&(String, String)> = named.iter().map(|(name, ())| name).collect();
        let session = self.session().await?;
        treat(&session, ANALYZE, &tables).await?;
        self.rest(session);
        Ok(())
    }

    /// Fills those materialized views among these entries that have rows.
    pub(super) async fn refresh_views(&self, made_in: &[Entry]) -> Result<()> {
        let session = self.session().await?;
        let changed = self.compute(&session, &Writing::Names).await?;
        let vain = AtomicU32::new(0);
        let what = if self.to.has_scripts() {
            FREEZE
        } else {
            FREEZE_AND_ANALYZE
        };
        for entry in made_in
            .iter()
            .filter(|entry| entry.kind == "MATERIALIZED VIEW")
        {
            let schema = entry.schema.as_deref().unwrap_or_default().to_owned();
            let populated = if entry.id() < 0 {
                &self.preserved.populated
            } else {
                &self.definitions.populated
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
}
