//! Incoming compared with the source: definitions, owners, grants, places, rows.

use std::collections::HashSet;

use super::database::Incoming;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::postgresql::rows::checksum::{checksum, count};
use crate::store::postgresql::rows::reading;
use crate::store::postgresql::rows::relation::{rows_in, rows_with};
use crate::store::postgresql::rows::sample;
use crate::store::postgresql::schema::{catalogue, large_objects, search_path};
use crate::store::{Catalogue, Checksum, Chunks, Digest, Part, Sample};

impl Incoming {
    /// What is in incoming, but for what came from live.
    pub(in crate::store::postgresql) async fn own_catalogue(&self) -> Result<Catalogue> {
        let mut found = Catalogue::default();
        self.each_own(|_, object, definition| {
            found.0.insert(object.to_owned(), definition.to_owned());
        })
        .await?;
        Ok(found)
    }

    /// The same in a few numbers.
    pub(in crate::store::postgresql) async fn own_digest(&self) -> Result<Digest> {
        let mut digest = Digest::default();
        self.each_own(|_, object, definition| digest.add(object, definition))
            .await?;
        Ok(digest)
    }

    /// Refuses a copy in which something is not whose it should be, granted to whom it should be, or where it should lie.
    pub(in crate::store::postgresql) async fn check_ownership(&self) -> Result<()> {
        let session = self.comparing_session().await?;
        self.compare_rights(&session).await?;
        self.compare_places(&session).await?;
        self.rest(session);
        Ok(())
    }

    async fn each_own(&self, mut show: impl FnMut((u32, u32), &str, &str)) -> Result<()> {
        let session = self.comparing_session().await?;
        let words = &self.preserved.words;
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

    /// The condition on the rows of an extension's table: its other rows are from its script, and not the source's.
    fn condition(&self, part: &Part) -> &str {
        let conditions = &self.definitions.conditions;
        conditions.get(&part.id).map_or("", String::as_str)
    }

    /// Rows of a part.
    pub(in crate::store::postgresql) async fn count(&self, part: &Part) -> Result<u64> {
        let session = self.comparing_session().await?;
        let large = &self.definitions.large;
        let rows = count(&session, part, self.condition(part), large).await?;
        self.rest(session);
        Ok(rows)
    }

    /// A checksum over a part's rows.
    pub(in crate::store::postgresql) async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let session = self.comparing_session().await?;
        let definitions = &self.definitions;
        let sum = checksum(
            &session,
            part,
            self.condition(part),
            definitions.by_root.get(&part.id),
            &definitions.large,
        )
        .await?;
        self.rest(session);
        Ok(sum)
    }

    /// Whether a condition is true for any of a table's rows.
    pub(in crate::store::postgresql) async fn is_true_for_any(
        &self,
        part: &Part,
        condition: &str,
    ) -> Result<bool> {
        let session = self.comparing_session().await?;
        let query = format!("SELECT EXISTS ({})", rows_with(part, "1", condition, ""));
        let row = search_path::query_one(&session, &query).await?;
        self.rest(session);
        row.read(0)
    }

    /// Whether a part's rows are read back as they were written: not large objects, and not the rows of tables that have
    /// others, too, or were sorted out anew, or came in other words.
    pub(in crate::store::postgresql) fn is_read_back(&self, part: &Part) -> bool {
        let definitions = &self.definitions;
        !large_objects::is(part)
            && !definitions.by_root.contains_key(&part.id)
            && !definitions.conditions.contains_key(&part.id)
            && !definitions.in_other_words.contains(&part.id)
    }

    /// Some rows of a part.
    pub(in crate::store::postgresql) async fn sample(
        &self,
        part: &Part,
        rows: u64,
    ) -> Result<Sample> {
        let session = self.comparing_session().await?;
        // What was set for the query is not set any more once that is rolled back.
        session.run("BEGIN READ ONLY").await?;
        let sample = sample::read(&session, part, self.condition(part), rows).await?;
        session.run("ROLLBACK").await?;
        self.rest(session);
        Ok(sample)
    }

    /// Streams a part's rows as they were written.
    pub(in crate::store::postgresql) async fn read_back(&self, part: &Part) -> Result<Chunks> {
        let session = self.comparing_session().await?;
        let (pool, properties) = (self.to.pool.clone(), &self.definitions.properties);
        reading::start(session, pool, part, &rows_in(part), properties).await
    }
}
