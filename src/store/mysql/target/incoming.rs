//! A copy that is being built: rows come into its tables, and indexes are made over them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;

use super::complete::Complete;
use super::shared::Shared;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::pool::Pool;
use crate::store::mysql::incoming::overlay::Staying;
use crate::store::mysql::incoming::preserve::Preserved;
use crate::store::mysql::incoming::{complete, create, derive, loader, zoned};
use crate::store::mysql::rows::load::{self, Inserts};
use crate::store::mysql::rows::warnings::ErrorValues;
use crate::store::mysql::rows::{batch, select};
use crate::store::mysql::schema::definitions::{Definitions, Table};
use crate::store::mysql::sql::version::Flavour;
use crate::store::{self, Batch, Chunks, Part, Step, WriteBatches};
use crate::sync::Mutex;

/// The schema that is to become live, with sessions in it.
pub(super) struct Incoming {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Pool,
    /// The source's definitions.
    pub(super) definitions: Arc<Definitions>,
    /// The server takes files from us.
    pub(super) local_infile: bool,
    /// The longest statement that it takes, in bytes.
    pub(super) packet: usize,
    /// The time zone that its sessions have.
    pub(super) zone: String,
    /// It keeps samples of statements that somebody may read who is not to see what scripts remove: rows go by no statement.
    pub(super) keeps_samples: bool,
    /// The tables whose indexes are to be made, by the step's number.
    pub(super) steps: Mutex<HashMap<usize, String>>,
}

impl Incoming {
    /// How a part's rows become INSERT statements.
    fn inserts(&self, table: &Table, part: &Part, flavour: Flavour) -> Inserts {
        Inserts::new(
            select::insert(table, part),
            select::texts(table, part, flavour),
            select::error_marks(table, part),
            self.packet,
        )
    }

    /// What is to be run, in order, when a table's rows are in.
    fn statements_after(&self, table: &Table) -> Vec<String> {
        let incoming = &self.shared.names.incoming;
        let indexes = create::index_statements(table, incoming);
        zoned::statements(table, incoming, &self.zone, indexes)
    }
}

#[async_trait]
impl store::Incoming for Incoming {
    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64> {
        let mut session = self.pool.take().await?;
        let table = self.definitions.table_of(part)?;
        let flavour = session.version().flavour;
        let typed = self.definitions.typed.of(&part.name);
        let is_masked = self.shared.context.selection.is_masked(None, &part.name);
        if is_masked {
            loader::check_rows(&mut session, true).await?;
        }
        let taken = if self.local_infile && !part.columns.is_empty() && typed.is_empty() {
            load::load(
                &mut session,
                &select::load(table, part, flavour, "envsyncd"),
                ErrorValues::new(select::error_marks(table, part)),
                chunks,
            )
            .await
        } else {
            load::insert(&mut session, self.inserts(table, part, flavour), chunks).await
        };
        let taken = taken.map_err(|error| error.within(format!("copying {}", part.label())))?;
        if is_masked {
            loader::check_rows(&mut session, false).await?;
        }
        Ok(taken)
    }

    fn steps_after(&self, part: &Part) -> Vec<Step> {
        let Some(table) = self.definitions.table(&part.name) else {
            return Vec::new();
        };
        if self.statements_after(table).is_empty() {
            return Vec::new();
        }
        let mut steps = self.steps.lock();
        let id = steps.len();
        steps.insert(id, table.name.clone());
        vec![Step {
            label: format!("indexes of {}", table.name),
            id,
            cost: part.bytes,
        }]
    }

    async fn build(&self, step: &Step) -> Result<Vec<Step>> {
        let mut session = self.pool.take().await?;
        let name = {
            let steps = self.steps.lock();
            steps.get(&step.id).cloned()
        };
        let table = name.and_then(|name| self.definitions.table(&name));
        let Some(table) = table else {
            return Err(Error::new(
                Kind::Internal,
                format!("there is no step {}", step.id),
            ));
        };
        for statement in self.statements_after(table) {
            session
                .run(&statement)
                .await
                .map_err(|error| error.within(format!("the {} cannot be made", step.label)))?;
        }
        Ok(Vec::new())
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn store::Complete>> {
        let mut session = self.pool.take().await?;
        let (definitions, names) = (&self.definitions, &self.shared.names);
        let incoming = &names.incoming;
        let selection = &self.shared.context.selection;
        let mut accepted = complete::tables(&mut session, definitions, incoming).await?;
        let preserved = Preserved::of(&mut session, names, definitions, selection).await?;
        let changed = preserved.fill(&mut session, names).await?;
        for table in &changed.tables {
            if let Some(table) = definitions.table(table) {
                accepted.table(table, definitions);
            }
        }
        for sequence in &definitions.sequences {
            if changed.sequences.contains(&sequence.name) {
                accepted.sequence(sequence);
            }
        }
        let definer = self.shared.definer;
        let broken =
            complete::objects(&mut session, definitions, incoming, definer, &mut accepted).await?;
        let stays = Staying {
            definitions,
            preserved: &preserved,
            overlay: selection.overlay,
        };
        stays.check(&mut session, names).await?;
        let at = derive::now(&mut session).await?;
        drop(session);
        Ok(Box::new(Complete {
            shared: self.shared.clone(),
            pool: self.pool.clone(),
            definitions: definitions.clone(),
            accepted,
            preserved,
            broken,
            at,
            analyzes: AtomicBool::new(false),
            seen: Mutex::default(),
        }))
    }

    fn is_read_back(&self, part: &Part) -> bool {
        self.definitions
            .is_read_back(part, &self.shared.context.selection)
    }

    fn batches(&self) -> Option<&dyn WriteBatches> {
        Some(self)
    }
}

#[async_trait]
impl WriteBatches for Incoming {
    /// Neighbours that are small, and of an engine that takes all of a batch or nothing.
    fn batches(&self, parts: &[Part]) -> Vec<Range<usize>> {
        if self.keeps_samples && self.local_infile {
            return Vec::new();
        }
        batch::of_small(parts, |part| {
            let table = self.definitions.table(&part.name);
            table.is_some_and(|table| {
                create::is_small(table) && table.transactional && table.bytes < batch::BYTES / 8
            })
        })
    }

    async fn write_batch(&self, parts: &[Part], batch: Batch) -> Result<Vec<u64>> {
        let mut session = self.pool.take().await?;
        let flavour = session.version().flavour;
        let mut inserts = Vec::with_capacity(parts.len());
        for part in parts {
            inserts.push(self.inserts(self.definitions.table_of(part)?, part, flavour));
        }
        load::insert_batch(&mut session, inserts, batch)
            .await
            .map_err(|error| error.within(format!("copying {}", batch::label(parts))))
    }
}
