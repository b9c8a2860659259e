//! Many small tables in one go: their rows by one statement of many COPYs, what stands on them in the same transaction, their
//! statistics right afterwards.

use std::ops::Range;

use super::create_many::LOCKS_OF_A_TABLE;
use super::database::Incoming;
use super::owner::Writing;
use super::write::SMALL;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::rows::batch::{label, take};
use crate::store::postgresql::rows::relation::{rows_in, table_name};
use crate::store::postgresql::schema::row_encodings::{COPY_BINARY, COPY_TEXT};
use crate::store::postgresql::schema::{foreign, large_objects};
use crate::store::{Batch, Part};

/// A batch has at most so many bytes of rows, as stored on the source, so that workers finish at about the same time.
const BYTES: u64 = 4 * 1024 * 1024;

impl Incoming {
    /// Neighbours among the parts that are best taken together.
    pub(in crate::store::postgresql) fn batches(&self, parts: &[Part]) -> Vec<Range<usize>> {
        let definitions = &self.definitions;
        let alone = |part: &Part| {
            part.bytes > SMALL
                || large_objects::is(part)
                || definitions.by_root.contains_key(&part.id)
                || definitions.conditions.contains_key(&part.id)
        };
        let mut batches = Vec::new();
        let (mut start, mut bytes, mut locks) = (0, 0, 0);
        for (place, part) in parts.iter().enumerate() {
            let indexes = self.indexes_on(part).len();
            let more = LOCKS_OF_A_TABLE + 2 * indexes;
            let alone = alone(part);
            if alone || bytes + part.bytes > BYTES || locks + more > self.locks / 2 {
                if place > start + 1 {
                    batches.push(start..place);
                }
                start = if alone { place + 1 } else { place };
                (bytes, locks) = (0, 0);
                if alone {
                    continue;
                }
            }
            bytes += part.bytes;
            locks += more;
        }
        if parts.len() > start + 1 {
            batches.push(start..parts.len());
        }
        batches
    }

    /// Takes a batch's rows, and builds what stands on them.
    pub(in crate::store::postgresql) async fn write_batch(
        &self,
        parts: &[Part],
        batch: Batch,
    ) -> Result<Vec<u64>> {
        let session = self.session().await?;
        let mut script: Vec<String> = parts
            .iter()
            .map(|part| {
                let options = self.definitions.properties.copy_options(&part.encoding);
                format!("COPY {} FROM STDIN{options}", rows_in(part))
            })
            .collect();
        let indexes: Vec<usize> = {
            let mut waiting = self.waiting.lock();
            parts
                .iter()
                .flat_map(|part| self.indexes_on(part))
                .map(|place| *place as usize)
                .filter(|place| waiting.remove(place))
                .collect()
        };
        for place in &indexes {
            script.push(self.sorted.indexes[*place].definition().to_string());
        }
        // Text is read under the same settings, whoever it is that needs them.
        let text = parts.iter().find(|part| part.encoding == COPY_TEXT);
        let encoding = text.map_or(COPY_BINARY, |part| part.encoding.clone());
        let writing = Writing::Rows(&encoding);
        let is_plain = !indexes.iter().any(|place| {
            let definition = self.sorted.indexes[*place].definition();
            self.is_written_for(&Writing::Definition(&definition))
        });
        let changed = is_plain && self.compute(&session, &writing).await?;
        let taken = match take(&session, &script.join("\n;\n"), batch).await {
            Ok(taken) => taken,
            Err(error) => {
                let mut waiting = self.waiting.lock();
                waiting.extend(indexes);
                return Err(error.within(format!("writing {}", label(parts))));
            }
        };
        if taken.len() != parts.len() {
            return Err(Error::new(
                Kind::Internal,
                format!("writing {}: not every COPY was answered", label(parts)),
            ));
        }
        self.read_again(&session, changed).await?;
        self.thaw(parts);
        self.analyze_now(&session, parts).await;
        self.rest(session);
        Ok(taken)
    }

    /// Statistics of tables whose rows this very session has just loaded: it knows them still.
    async fn analyze_now(&self, session: &Session, parts: &[Part]) {
        // Those with a foreign table below them stay without: `complete` says so.
        let Ok(parents) = foreign::parents(session).await else {
            return;
        };
        let is_here = |part: &&Part| {
            let name = (part.schema.clone().unwrap_or_default(), part.name.clone());
            !parents.contains(&name)
        };
        let parts: Vec<&Part> = parts.iter().filter(is_here).collect();
        let names: Vec<String> = parts.iter().map(|part| table_name(part)).collect();
        if names.is_empty() {
            return;
        }
        let analyze = format!("ANALYZE {}", names.join(", "));
        // With scripts, it is done after them.
        if self.to.has_scripts() || session.batch_execute(&analyze).await.is_ok() {
            self.graph
                .are_ready(parts.iter().filter_map(|part| self.table_of(part)));
        }
        // If not, it is done again when everything is there, and then has to succeed.
    }
}
