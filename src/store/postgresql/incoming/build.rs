//! What is built once a part's rows are in: indexes, the constraints on them, statistics, foreign keys.

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::error::SqlState;

use super::build_graph::Node;
use super::create_one;
use super::database::Incoming;
use super::owner::Writing;
use super::vacuum::{ANALYZE, treat};
use crate::error::Result;
use crate::store::postgresql::schema::restore_order;
use crate::store::postgresql::schema::toc::Entry;
use crate::store::{Part, Step};

impl Incoming {
    /// What can be done now that a part's rows are in.
    pub(in crate::store::postgresql) fn after_rows(&self, part: &Part) -> Vec<Step> {
        let indexes: Vec<usize> = self
            .indexes_on(part)
            .iter()
            .map(|place| *place as usize)
            .collect();
        let Some(table) = self.table_of(part) else {
            return Vec::new();
        };
        self.steps(self.graph.after_rows(table, part.bytes, &indexes))
    }

    /// Does a step; returns what can be done then.
    pub(in crate::store::postgresql) async fn build_step(&self, step: &Step) -> Result<Vec<Step>> {
        let node = self.nodes.lock()[step.id];
        match node {
            Node::Index(place) => self.build_index(place).await?,
            // Scripts come first: see `derive`.
            Node::Statistics(_) if self.to.has_scripts() => {}
            Node::Statistics(table) => {
                let wanted = |id| (id == table).then_some(());
                let Some((name, ())) = self.tables.wanted(wanted).next() else {
                    return Ok(Vec::new());
                };
                let session = self.session().await?;
                treat(&session, ANALYZE, &[&name]).await?;
                self.rest(session);
            }
            Node::Key(place) => {
                let key = &self.sorted.foreign_keys[place];
                self.several(std::slice::from_ref(key)).await?;
            }
        }
        Ok(self.steps(self.graph.after(node)))
    }

    fn steps(&self, nodes: Vec<Node>) -> Vec<Step> {
        let mut all = self.nodes.lock();
        let step = |node: Node| {
            let bytes = self.graph.bytes(node);
            let (label, cost) = match node {
                Node::Index(place) => {
                    let entry = &self.sorted.indexes[place];
                    (entry.label(), bytes * restore_order::weight(entry))
                }
                Node::Statistics(_) => ("statistics".to_owned(), bytes),
                Node::Key(place) => (self.sorted.foreign_keys[place].label(), bytes),
            };
            all.push(node);
            Step {
                label,
                id: all.len() - 1,
                cost,
            }
        };
        nodes.into_iter().map(step).collect()
    }

    /// Builds an index that waits, and after the last one of its table the constraints that wait for it.
    pub(super) async fn build_index(&self, place: usize) -> Result<()> {
        if !self.waiting.lock().remove(&place) {
            return Ok(());
        }
        let session = self.session().await?;
        let index = &self.sorted.indexes[place];
        let definition = index.definition();
        let written = Writing::Definition(&definition);
        let changed = self.compute(&session, &written).await?;
        create_one::create(&session, index).await?;
        self.read_again(&session, changed).await?;
        for constraint in self.on_top.after(place) {
            create_one::create(&session, &constraint).await?;
        }
        self.rest(session);
        Ok(())
    }

    /// Makes entries, several at a time. Two foreign keys that cross each other can deadlock: then again, later.
    pub(super) async fn several(&self, entries: &[Entry]) -> Result<()> {
        stream::iter((0..entries.len()).map(|place| async move {
            let entry = &entries[place];
            let definition = entry.definition();
            let session = self.session().await?;
            let mut tries = 0;
            loop {
                match session.batch_execute(&definition).await {
                    Err(error)
                        if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) && tries < 20 =>
                    {
                        tries += 1;
                    }
                    Err(_) => {
                        create_one::create(&session, entry).await?;
                        break;
                    }
                    Ok(()) => break,
                }
            }
            self.rest(session);
            Ok(())
        }))
        .buffer_unordered(self.to.context.workers)
        .try_collect::<()>()
        .await
    }
}
