//! What of live's own is to be in incoming, too: by the task's `keep` and `mode`, and by what numbers are taken from.

use std::collections::HashSet;

use super::numbers::counted_by;
use super::preserved::Preserved;
use crate::error::Result;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::sql::names::Names;
use crate::store::mysql::workspace::schemas;
use crate::store::{Fate, Selection};

impl Preserved {
    /// Which rows and tables of live's are to be in incoming, too.
    pub(in crate::store::mysql) async fn of(
        session: &mut Session,
        names: &Names,
        definitions: &Definitions,
        selection: &Selection,
    ) -> Result<Self> {
        let mut made = HashSet::new();
        let mut kept = Vec::new();
        let tables = definitions.tables.iter().map(|t| (&t.name, t.fate));
        let sequences = definitions.sequences.iter().map(|s| (&s.name, s.fate));
        for (name, fate) in tables.chain(sequences) {
            made.insert(name.as_str());
            if fate == Fate::Keep {
                kept.push(name.clone());
            }
        }
        let mut extra: Vec<String> = schemas::tables(session, &names.live)
            .await?
            .into_iter()
            .filter(|name| !made.contains(name.as_str()))
            .filter(|name| selection.overlay || selection.fate(None, name) == Fate::Keep)
            .collect();
        let numbered = kept.iter().chain(&extra).cloned().collect::<Vec<_>>();
        for sequence in counted_by(session, names, &numbered).await? {
            if !made.contains(sequence.as_str()) && !extra.contains(&sequence) {
                tracing::info!(
                    sequence,
                    "tables that the target keeps take their numbers from a sequence that only it has: it is kept, too"
                );
                extra.push(sequence);
            }
        }
        Self::plan(session, names, &kept, &extra).await
    }
}
