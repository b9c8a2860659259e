//! Large objects that rows of the target's own refer to: brought from live, and held against it.

use std::collections::{BTreeMap, HashSet};

use super::database::Incoming;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::cells::pairs;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::rows::large_object_rows;
use crate::store::postgresql::schema::large_objects::{self, Described};
use crate::store::postgresql::schema::object_references::referred_to;
use crate::store::postgresql::schema::ownership;

/// Bytes of large objects, as hashes.
async fn sums(session: &Session, oids: &[u32]) -> Result<BTreeMap<u32, String>> {
    let rows = session
        .query(
            "SELECT m.oid, pg_catalog.md5(pg_catalog.lo_get(m.oid)) FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = ANY($1)",
            &[&oids],
        )
        .await
        .map_err(session.explain())
        .map_err(|error| error.within("reading large objects that the target keeps"))?;
    pairs(&rows)
}

impl Incoming {
    /// Refuses scripts that changed large objects that are the target's own.
    pub(super) async fn refuse_touched_objects(&self) -> Result<()> {
        let before = {
            let objects = &self.preserved.objects;
            objects.lock().clone()
        };
        if before.is_empty() {
            return Ok(());
        }
        let oids: Vec<u32> = before.keys().copied().collect();
        let session = self.session().await?;
        let now = sums(&session, &oids).await?;
        self.rest(session);
        match before.iter().find(|(oid, sum)| now.get(oid) != Some(*sum)) {
            None => Ok(()),
            Some((oid, _)) => Err(Error::new(
                Kind::Verify,
                format!("the large object {oid}, which the target keeps, was changed in the copy"),
            )
            .hint("let no script write to what kept rows refer to")),
        }
    }

    /// Brings the large objects that kept rows refer to, and with overlay all that only the target has; again, if they have
    /// changed since. `live` is in the transaction in which the rows are read.
    pub(super) async fn copy_preserved_objects(
        &self,
        live: &Session,
        tables: &[u32],
    ) -> Result<()> {
        let definitions = &self.definitions;
        let from_source: HashSet<u32> = large_objects::oids(&definitions.large)
            .into_iter()
            .collect();
        let mut wanted = referred_to(live, tables).await?;
        let all = large_objects::describe(live).await?;
        if self.to.context.selection.overlay {
            let own = large_objects::oids(&all).into_iter();
            wanted.extend(own.filter(|oid| !from_source.contains(oid)));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut oids: Vec<u32> = wanted.into_iter().collect();
        oids.sort_unstable();
        let session = self.session().await?;
        let theirs = sums(live, &oids).await?;
        let ours = sums(&session, &oids).await?;
        let unlike: Vec<u32> = oids
            .iter()
            .filter(|oid| theirs.get(*oid) != ours.get(*oid))
            .copied()
            .collect();
        refuse_two(&unlike, &from_source)?;
        let again: Vec<u32> = unlike
            .iter()
            .filter(|oid| ours.contains_key(*oid))
            .copied()
            .collect();
        unlink(&session, &again).await?;
        let missing: Vec<Described> = all
            .into_iter()
            .filter(|one| unlike.contains(&one.filed().1))
            .collect();
        let remember = |sums: BTreeMap<u32, String>| {
            let objects = &self.preserved.objects;
            *objects.lock() = sums;
        };
        if missing.is_empty() {
            self.rest(session);
            remember(theirs);
            return Ok(());
        }
        let reader = self.to.live_session().await?;
        large_object_rows::write(&session, large_object_rows::read(reader, missing.clone()))
            .await
            .map_err(|error| error.within("keeping large objects"))?;
        let mut mapped = ownership::Mapped::default();
        self.grant_large_objects(&session, &missing, &mut mapped)
            .await?;
        self.tell(mapped);
        let ours = sums(&session, &oids).await?;
        if ours != theirs {
            return Err(Error::new(
                Kind::Verify,
                "large objects that kept rows refer to are not what they are on the target",
            )
            .hint("run the job again when nobody changes them"));
        }
        remember(ours);
        tracing::info!(
            objects = missing.len(),
            "kept the target's own large objects"
        );
        self.rest(session);
        Ok(())
    }

    /// Gives large objects their owners, grants and comments.
    pub(in crate::store::postgresql) async fn grant_large_objects(
        &self,
        session: &Session,
        objects: &[Described],
        mapped: &mut ownership::Mapped,
    ) -> Result<()> {
        for (object, statement) in large_objects::statements(objects, &self.roles) {
            ownership::grant_one(
                session,
                &statement,
                "large objects",
                object,
                &self.roles,
                mapped,
            )
            .await?;
        }
        Ok(())
    }
}

/// Removes those that are not what they are on live.
/// Refuses to keep an object that is another one on the source.
fn refuse_two(unlike: &[u32], from_source: &HashSet<u32>) -> Result<()> {
    let Some(oid) = unlike.iter().find(|oid| from_source.contains(*oid)) else {
        return Ok(());
    };
    let what = format!(
        "large object {oid} is one thing on the source and another on the target, where kept rows refer to it"
    );
    Err(Error::new(Kind::Verify, what)
        .hint("give the target's another oid (lo_from_bytea, and the rows that refer to it), or take the table out of `keep`"))
}

async fn unlink(session: &Session, oids: &[u32]) -> Result<()> {
    if oids.is_empty() {
        return Ok(());
    }
    session
        .execute(
            "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t (oid)",
            &[&oids],
        )
        .await
        .map_err(session.explain())?;
    Ok(())
}
