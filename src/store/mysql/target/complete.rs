//! A copy that has everything: it is verified, scripts run on it, and it is published.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::published::Published;
use super::shared::Shared;
use crate::config::job::Events;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::pool::Pool;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::incoming::derive::{self, Derived};
use crate::store::mysql::incoming::preserve::Preserved;
use crate::store::mysql::publish::confirm::{Looking, Seen};
use crate::store::mysql::publish::publication::{self, Publishing};
use crate::store::mysql::rows::{checksum, reading, sample, select};
use crate::store::mysql::schema::catalogue::{self, Accepted};
use crate::store::mysql::schema::definitions::{Definitions, Table};
use crate::store::mysql::schema::objects::{self, Object, ObjectKind};
use crate::store::mysql::schema::{encryption, primary_key, reader};
use crate::store::mysql::script::execution::{self, Ground};
use crate::store::mysql::sql::lexical::Dialect;
use crate::store::mysql::workspace::schema_object::SchemaObject;
use crate::store::{self, Catalogue, Checksum, Chunks, Digest, Fate, Part, Sample, Samples};
use crate::sync::Mutex;

/// Incoming with all its rows, indexes, foreign keys and objects.
pub(super) struct Complete {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Pool,
    /// The source's definitions.
    pub(super) definitions: Arc<Definitions>,
    /// Where it differs from the source, as was told.
    pub(super) accepted: Accepted,
    /// What is live's own.
    pub(super) preserved: Preserved,
    /// Views that are broken on the source, and could not be made in incoming.
    pub(super) broken: Vec<Object>,
    /// The server's time when it was complete.
    pub(super) at: String,
    /// One of the scripts may make statistics.
    pub(super) analyzes: AtomicBool,
    /// Incoming as it was when it was looked at last.
    pub(super) seen: Mutex<Option<Arc<Seen>>>,
}

impl Complete {
    /// Reads incoming, and remembers what live is to be. Its tables are shown; what is returned is all else.
    async fn look(&self, mut show: impl FnMut(Table) + Send) -> Result<Definitions> {
        let Shared {
            address,
            names,
            definer,
            ..
        } = &*self.shared;
        let mut session = Session::open(address, None).await?;
        let mut looking = Looking::at(&names.incoming, &self.definitions);
        let see = |table: Table| {
            looking.see(&table);
            show(table);
        };
        let mut there = reader::read_apart(&mut session, &names.incoming, see).await?;
        // Incoming's is our mark.
        there.comment.clone_from(&self.definitions.comment);
        *self.seen.lock() = Some(Arc::new(looking.seen(&there, *definer)));
        Ok(there)
    }

    /// The expected content of live: as it was when it was last read, or else as it is now.
    async fn seen(&self) -> Result<Arc<Seen>> {
        let known = || self.seen.lock().clone();
        if known().is_none() {
            self.look(drop).await?;
        }
        known().ok_or_else(|| Error::new(Kind::Internal, "incoming was not looked at"))
    }

    /// Shows incoming's catalogue as it is compared with the source's: without what is the target's own, or the server's, and
    /// with what is accepted as the source has it.
    async fn each(&self, mut show: impl FnMut(&str, &str) + Send) -> Result<()> {
        let accepted = &self.accepted;
        let mut show_found = |object: String, definition: String| {
            if !accepted.has(&object) {
                show(&object, &definition);
            }
        };
        let own: HashSet<&str> = self.preserved.extra().collect();
        let (schema, none) = (&self.shared.names.incoming, BTreeSet::new());
        let show_table = |mut table: Table| {
            if !own.contains(table.name.as_str()) {
                self.compare_as(&mut table);
                catalogue::of_table(&table, schema, &none, &mut show_found);
            }
        };
        let mut there = self.look(show_table).await?;
        there
            .sequences
            .retain(|sequence| !own.contains(sequence.name.as_str()));
        self.compare_rest_as(&mut there);
        catalogue::of_rest(&there, self.shared.definer, &mut show_found);
        for (object, definition) in accepted.all() {
            show(object, definition);
        }
        Ok(())
    }

    /// Takes out of a table what is no difference.
    fn compare_as(&self, table: &mut Table) {
        let source = self.definitions.table(&table.name);
        // Where the counter of a table stands that the target keeps is the target's own.
        table.fate = source.map_or(Fate::Copy, |source| source.fate);
        if let Some(source) = source {
            primary_key::without_generated(&mut table.create, &source.create);
            encryption::without_inherited(&mut table.create, &source.create);
        }
    }

    /// The same of sequences and objects.
    fn compare_rest_as(&self, there: &mut Definitions) {
        let kept = &self.definitions;
        for object in &mut there.objects {
            let source = kept
                .objects
                .iter()
                .find(|kept| kept.kind == object.kind && kept.name == object.name);
            if source.is_some_and(|source| source.database_collation.is_none()) {
                object.database_collation = None;
            }
        }
        for sequence in &mut there.sequences {
            let source = kept
                .sequences
                .iter()
                .find(|kept| kept.name == sequence.name);
            sequence.fate = source.map_or(Fate::Copy, |kept| kept.fate);
        }
    }

    /// Events that are not to stay disabled, each with its status.
    fn running(&self) -> BTreeMap<String, String> {
        self.definitions
            .objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Event)
            .filter(|_| self.shared.events == Events::Keep)
            .filter_map(|event| {
                let status = objects::status(&event.definition, Dialect::of(&event.sql_mode))?;
                Some((event.name.clone(), status))
            })
            .collect()
    }

    /// Broken views that incoming does not have, as live is to have them.
    fn broken(&self) -> Result<Vec<SchemaObject>> {
        let (from, to) = (&self.definitions.schema, &self.shared.names.live);
        self.broken
            .iter()
            .map(|view| SchemaObject::of_source(view, from, to, self.shared.definer))
            .collect()
    }
}

#[async_trait]
impl store::Complete for Complete {
    async fn count(&self, part: &Part) -> Result<u64> {
        let mut session = self.pool.take().await?;
        checksum::count(&mut session, self.definitions.table_of(part)?, part).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        let mut found = Catalogue::default();
        self.each(|object, definition| {
            found.0.insert(object.to_owned(), definition.to_owned());
        })
        .await?;
        Ok(found)
    }

    async fn digest(&self) -> Result<Digest> {
        let mut digest = Digest::default();
        self.each(|object, definition| digest.add(object, definition))
            .await?;
        Ok(digest)
    }

    async fn read_back(&self, part: &Part) -> Result<Option<Chunks>> {
        let selection = &self.shared.context.selection;
        if !self.definitions.is_read_back(part, selection) {
            return Ok(None);
        }
        let session = self.pool.take().await?;
        let sql = select::statement(self.definitions.table_of(part)?, part, &[], &[])?;
        let columns = part.columns.len().max(1);
        reading::read_back(session, &sql, columns, part.label())
            .await
            .map(Some)
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let mut session = self.pool.take().await?;
        let typed = self.definitions.typed.of(&part.name);
        let table = self.definitions.table_of(part)?;
        checksum::checksum(&mut session, table, part, &typed).await
    }

    async fn is_true_for_any(&self, part: &Part, condition: &str) -> Result<Option<bool>> {
        let mut session = self.pool.take().await?;
        let query = select::rows_with(part, condition, 1);
        Ok(Some(!session.query(&query).await?.is_empty()))
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        if derive::may_analyze([text].into_iter()) {
            self.analyzes.store(true, Ordering::Relaxed);
        }
        let (definitions, names) = (&self.definitions, &self.shared.names);
        let mut others = vec![names.live.as_str()];
        if definitions.schema != names.live {
            others.push(&definitions.schema);
        }
        let ground = Ground {
            address: &self.shared.address,
            incoming: &names.incoming,
            others,
            is_opaque: execution::is_opaque(&definitions.objects, &definitions.schema, text),
        };
        execution::run(&ground, file, text).await
    }

    async fn derive(&self) -> Result<()> {
        let mut session = self.pool.take().await?;
        let routines = self.definitions.objects.iter();
        let routines = routines.map(|object| object.definition.as_str());
        let derived = Derived {
            schema: &self.shared.names.incoming,
            since: &self.at,
            may_be_analyzed: self.analyzes.load(Ordering::Relaxed) || derive::may_analyze(routines),
        };
        derived.make(&mut session).await?;
        // What is published is what scripts have made of it.
        self.look(drop).await.map(drop)
    }

    async fn publish(self: Box<Self>) -> Result<Box<dyn store::Published>> {
        // Nobody else works in incoming any more, and what it holds open is let go.
        self.pool.close();
        let seen = self.seen().await?;
        let how = Publishing {
            dangling: &seen.dangling,
            preserved: &self.preserved,
            overlay: self.shared.context.selection.overlay,
            comment: &self.definitions.comment,
            running: &self.running(),
            broken: &self.broken()?,
        };
        let shared = &self.shared;
        let had_live = publication::publish(&shared.address, &shared.names, &how).await?;
        shared.is_published.store(true, Ordering::Release);
        Ok(Box::new(Published {
            shared: self.shared.clone(),
            had_live,
            seen,
        }))
    }
    fn samples(&self) -> Option<&dyn Samples> {
        Some(self)
    }
}

#[async_trait]
impl Samples for Complete {
    async fn sample(&self, part: &Part, rows: u64) -> Result<Sample> {
        let mut session = self.pool.take().await?;
        sample::read(&mut session, self.definitions.table_of(part)?, part, rows).await
    }
}
