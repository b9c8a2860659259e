//! Everything after the rows, in its order.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::database::Incoming;
use crate::error::Result;
use crate::store::postgresql::schema::ownership::Mapped;
use crate::store::postgresql::schema::toc::Entry;

impl Incoming {
    /// Everything after the rows.
    pub(in crate::store::postgresql) async fn complete(&self) -> Result<()> {
        let session = self.session().await?;
        self.copy_preserved_rows().await?;
        self.set_sequences().await?;
        self.number_rows().await?;
        let on_views = |place: &usize| {
            self.sorted.indexes[*place]
                .needs()
                .any(|need| self.materialized.contains(&need))
        };
        let waiting: Vec<usize> = self.waiting.lock().iter().copied().collect();
        let (later, now): (Vec<usize>, Vec<usize>) = waiting.into_iter().partition(on_views);
        stream::iter(now.into_iter().map(|place| self.build_index(place)))
            .buffer_unordered(self.to.context.workers)
            .try_collect::<()>()
            .await?;
        self.on_top.refuse_rest()?;
        let mut mapped = Mapped::default();
        self.create_in_order(&session, &self.sorted.attach, &mut mapped)
            .await?;
        // A materialized view is filled by its owner, who may need to be granted what it reads.
        let after: HashSet<i64> = self.sorted.after.iter().map(Entry::id).collect();
        let (late, early): (Vec<&Entry>, Vec<&Entry>) =
            self.sorted.grants.iter().partition(|entry| {
                entry.kind == "DEFAULT ACL" || entry.needs().any(|need| after.contains(&need))
            });
        self.grant(&session, &early, &mut mapped).await?;
        self.analyze().await?;
        // Those of views that are still empty: filling them builds them again.
        for place in later {
            self.build_index(place).await?;
        }
        let left: Vec<Entry> = self
            .graph
            .keys_left()
            .into_iter()
            .map(|place| self.sorted.foreign_keys[place].clone())
            .collect();
        let tables: HashSet<i64> = self.tables.ids().collect();
        self.create_several(&left, |key| {
            let mut tables = key.needs().filter(|need| tables.contains(need));
            !tables.all(|table| self.graph.is_small(table))
        })
        .await?;
        self.create_in_order(&session, &self.sorted.after, &mut mapped)
            .await?;
        self.analyze_extended().await?;
        self.grant(&session, &late, &mut mapped).await?;
        self.disable_autovacuum().await?;
        // Not before all views are what they are: one that needs a primary key is a placeholder until then.
        self.refresh_views(&self.sorted.before).await?;
        self.refresh_views(&self.sorted.after).await?;
        self.grant_large_objects(&session, &self.definitions.large, &mut mapped)
            .await?;
        self.publish_as_before().await?;
        self.create_in_order(&session, &self.sorted.event_triggers, &mut mapped)
            .await?;
        self.tell(mapped);
        self.rest(session);
        Ok(())
    }
}
