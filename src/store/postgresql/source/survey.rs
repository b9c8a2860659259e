//! The survey of a source: the snapshot is taken, and all that is in it but rows is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::connection::{lock_wait, session_settings};
use crate::store::postgresql::rows::slices;
use crate::store::postgresql::rows::snapshot::{self, Snapshot, Taken};
use crate::store::postgresql::schema::collations::{self, Collation};
use crate::store::postgresql::schema::constraints::{self, InTwo};
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::dependencies::Dependencies;
use crate::store::postgresql::schema::dumped::{self, Dumped};
use crate::store::postgresql::schema::large_objects::{self, Described};
use crate::store::postgresql::schema::left_out::{self, LeftOut};
use crate::store::postgresql::schema::pg_dump::PgDump;
use crate::store::postgresql::schema::requirements::Requirements;
use crate::store::postgresql::schema::rights::{self, Right};
use crate::store::postgresql::schema::row_encodings::COPY_TEXT;
use crate::store::postgresql::schema::sequences::{self, Sequence};
use crate::store::postgresql::schema::survey::{self, Object, Table};
use crate::store::postgresql::schema::{
    code, encoding, foreign, object_references, properties, shapes, unknown,
};
use crate::store::postgresql::sql::quoting::quoted;
use crate::store::postgresql::url::KIND;
use crate::store::{Context, Fate, Part, Server, Shape, Survey, Taker, Unit};
use crate::sync::Mutex;

/// The part of a survey that the source itself needs later.
pub(in crate::store::postgresql) struct Surveyed {
    pub(super) gone: HashSet<Object>,
    /// Conditions on the rows of extensions' tables, by part.
    pub(super) conditions: HashMap<usize, String>,
    pub(super) large: Vec<Described>,
    pub(super) by_root: HashMap<usize, (String, String)>,
    /// The shapes of tables, by their labels, where the selection wants them known.
    pub(super) shapes: HashMap<String, Shape>,
}

/// A survey that is being made.
struct Surveyor<'a> {
    snapshot: &'a Snapshot,
    context: &'a Context,
    /// It has nothing but a dump's definitions, and the rows come from there.
    dumped: Option<&'a Dumped>,
    keeper: &'a Session,
    /// The server's version as a number: 150018.
    number: u32,
}

/// The snapshot's name, when it was taken, and the tables in it.
struct Fixed {
    id: String,
    taken_at: DateTime<Utc>,
    tables: Vec<Table>,
}

/// What the survey asks of the snapshot beside the definitions.
struct Asked {
    parts: Parts,
    sequences: Vec<Sequence>,
    populated: HashSet<(String, String)>,
    in_two: HashMap<u32, InTwo>,
    rights: Vec<Right>,
    collations: Vec<Collation>,
    requirements: Requirements,
    dependencies: Option<Dependencies>,
}

/// What is copied.
struct Parts {
    all: Vec<(u32, Part)>,
    conditions: HashMap<usize, String>,
    large: Vec<Described>,
    by_root: HashMap<usize, (String, String)>,
    in_other_words: HashSet<usize>,
    shapes: HashMap<String, Shape>,
}

/// Makes the survey, for who takes the rows.
pub(super) async fn survey(
    snapshot: &Snapshot,
    context: &Context,
    dumped: Option<&Dumped>,
    taker: &Taker,
) -> Result<(Survey, Surveyed)> {
    let keeper = &*snapshot.keeper()?;
    let (number, text) = survey::version(keeper).await?;
    survey::refuse_older(number / 10_000, &text, taker)?;
    let surveyor = Surveyor {
        snapshot,
        context,
        dumped,
        keeper,
        number,
    };
    surveyor.survey(text, taker).await
}

impl Surveyor<'_> {
    async fn survey(&self, text: String, taker: &Taker) -> Result<(Survey, Surveyed)> {
        let (keeper, snapshot) = (self.keeper, self.snapshot);
        let major = self.number / 10_000;
        let dump = PgDump::find(major).await?;
        let properties = self.properties().await?;
        let since = Instant::now();
        let fixed = match self.fix().await {
            Ok(fixed) => fixed,
            Err(error) => return Err(lock_wait::if_so(snapshot.address(), error).await),
        };
        let mut tables = fixed.tables;
        unknown::refuse(keeper).await?;
        let (gone, cuts) = self.leave_out(&mut tables).await?;
        let binary = self.dumped.is_none() && taker.is_of(major) && properties.binary_is_raw();
        session_settings::refuse_other_words(snapshot.address(), keeper).await?;
        let code = self.code().await?;
        let without = with_fate(&tables, |table| table.fate == Fate::Exclude);
        // pg_dump takes its time, and not all of the server.
        let (mut toc, asked) = tokio::try_join!(
            dump.definitions(
                snapshot.address(),
                Some(&fixed.id),
                &without,
                properties.client_encoding(),
                false
            ),
            self.ask(binary, properties.encoding_of_rows(), taker, &tables, &gone)
        )?;
        left_out::cut(&cuts, &mut toc);
        let left_out = self.without_rows(&tables).await?;
        let taken = self
            .taken(fixed.id, since, &tables, properties.clone())
            .await?;
        snapshot.set(taken)?;
        let surveyed = Surveyed {
            gone: gone.clone(),
            conditions: asked.parts.conditions.clone(),
            large: asked.parts.large.clone(),
            by_root: asked.parts.by_root.clone(),
            shapes: asked.parts.shapes,
        };
        let definitions = Definitions {
            dump: Some(dump),
            preserved: with_fate(&tables, |table| {
                table.fate == Fate::Keep && !table.partitioned
            }),
            conditions: asked.parts.conditions,
            properties,
            sequences: asked.sequences,
            populated: asked.populated,
            gone,
            large: asked.parts.large,
            by_root: asked.parts.by_root,
            in_other_words: asked.parts.in_other_words,
            in_two: asked.in_two,
            toc: Mutex::new(toc),
            rights: asked.rights,
            collations: asked.collations,
            requirements: asked.requirements,
            dependencies: asked.dependencies,
            uncatalogued: HashSet::new(),
            cuts,
            code: Some(code),
            major,
        };
        let survey = Survey {
            server: Server::of(KIND, text, major),
            taken_at: fixed.taken_at,
            parts: asked.parts.all.into_iter().map(|(_, part)| part).collect(),
            left_out,
            definitions: Arc::new(Arc::new(definitions)),
        };
        Ok((survey, surveyed))
    }

    /// The database's properties, with the encoding of its rows.
    async fn properties(&self) -> Result<properties::Properties> {
        let mut properties = properties::read(self.keeper, self.number).await?;
        let encoding = self.dumped.map(|dumped| dumped.encoding.clone());
        properties.rows_encoding = encoding.filter(|encoding| *encoding != properties.encoding);
        if properties.client_encoding() == "SQL_ASCII" {
            encoding::refuse_unspeakable(self.keeper).await?;
        }
        Ok(properties)
    }

    /// What the definitions would run. What a dump has was looked at before it was restored.
    async fn code(&self) -> Result<Vec<code::Code>> {
        match self.dumped {
            Some(_) => Ok(Vec::new()),
            None => code::read(self.keeper).await,
        }
    }

    /// What is kept of the snapshot, which was asked for at `since`.
    async fn taken(
        &self,
        id: String,
        since: Instant,
        tables: &[Table],
        properties: properties::Properties,
    ) -> Result<Taken> {
        let keeper = self.keeper;
        let standby = keeper
            .query_one("SELECT pg_is_in_recovery()", &[])
            .await
            .map_err(keeper.explain())?;
        let left_out = tables.iter().filter(|table| table.fate != Fate::Copy);
        Ok(Taken {
            id,
            standby: standby.read(0)?,
            since,
            threshold: snapshot::threshold(keeper).await?,
            properties,
            left_out: left_out
                .map(|table| (table.schema.clone(), table.name.clone(), table.fate))
                .collect(),
        })
    }

    /// Locks every table that is not excluded, then takes the snapshot: so nothing can be truncated or rewritten, which
    /// old snapshots do not see, in the moment between the two. (`pg_dump` has it the other way round.)
    async fn fix(&self) -> Result<Fixed> {
        let (keeper, selection) = (self.keeper, &self.context.selection);
        for _ in 0..5 {
            let before = survey::tables(keeper, selection).await?;
            survey::readable(keeper, &before).await?;
            keeper
                .run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await?;
            if self.lock(&before).await? {
                let row = keeper
                    .query_one("SELECT pg_export_snapshot()", &[])
                    .await
                    .map_err(keeper.explain())?;
                let taken_at = Utc::now();
                let tables = survey::tables(keeper, selection).await?;
                let copied = |tables: &[Table]| -> HashSet<u32> {
                    tables
                        .iter()
                        .filter(|t| t.fate == Fate::Copy)
                        .map(|t| t.oid)
                        .collect()
                };
                if copied(&tables).is_subset(&copied(&before)) {
                    return Ok(Fixed {
                        id: row.read(0)?,
                        taken_at,
                        tables,
                    });
                }
            }
            tracing::debug!("tables came and went during the survey; once more");
            keeper.run("ROLLBACK").await?;
        }
        Err(Error::new(
            Kind::Statement,
            "the source's tables keep changing: no point in time could be fixed",
        )
        .hint("run the job when nobody creates or drops tables"))
    }

    /// Locks the tables that are copied; `false`: one of them is not there any more.
    async fn lock(&self, tables: &[Table]) -> Result<bool> {
        let names: Vec<String> = tables
            .iter()
            .filter(|table| matches!(table.fate, Fate::Copy))
            .map(|table| format!("ONLY {}.{}", quoted(&table.schema), quoted(&table.name)))
            .collect();
        for some in names.chunks(500) {
            let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", some.join(", "));
            match self.keeper.batch_execute(&lock).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                    return Ok(false);
                }
                Err(error) => return Err(self.keeper.explain()(error)),
            }
        }
        Ok(true)
    }

    /// What goes with excluded tables and with rows that are not copied, and what is cut out of definitions for it.
    async fn leave_out(
        &self,
        tables: &mut [Table],
    ) -> Result<(HashSet<Object>, Vec<left_out::Cut>)> {
        let keeper = self.keeper;
        let excluded: Vec<u32> = tables
            .iter()
            .filter(|t| t.fate == Fate::Exclude)
            .map(|t| t.oid)
            .collect();
        let with_excluded = LeftOut::read(keeper, &excluded).await?;
        with_excluded.tell(&self.context.selection)?;
        with_excluded.warn_of_rest(keeper, &excluded).await?;
        let mut gone = with_excluded.gone.clone();
        for (schema, name) in survey::invalid_indexes(keeper).await? {
            tracing::warn!(
                index = format!("{schema}.{name}"),
                "left out, because it is not valid on the source: nobody finished building it, or somebody is at it"
            );
        }
        let class = survey::class_oid(keeper).await?;
        for table in &mut *tables {
            if gone.contains(&(class, table.oid)) {
                table.fate = Fate::Exclude;
            }
        }
        let objects = object_references::left_out(keeper, tables).await?;
        gone.extend(object_references::filed(&objects));
        Ok((gone, with_excluded.cuts))
    }

    /// All that is in the snapshot but for the definitions.
    async fn ask(
        &self,
        binary: bool,
        encoding: &str,
        taker: &Taker,
        tables: &[Table],
        gone: &HashSet<Object>,
    ) -> Result<Asked> {
        let (keeper, number) = (self.keeper, self.number);
        let parts = self.parts(binary, encoding, taker, tables, gone).await?;
        let copied: Vec<u32> = tables
            .iter()
            .filter(|table| table.fate == Fate::Copy)
            .map(|table| table.oid)
            .collect();
        Ok(Asked {
            parts,
            sequences: sequences::all(keeper, gone).await?,
            populated: survey::populated(keeper).await?,
            in_two: constraints::read(keeper, tables).await?,
            rights: rights::read(keeper, gone).await?,
            collations: collations::used(keeper, number, gone).await?,
            requirements: Requirements::of(keeper, number, &copied, gone).await?,
            dependencies: if *taker == Taker::Archive {
                Some(Dependencies::read(keeper, tables, gone).await?)
            } else {
                None
            },
        })
    }

    /// Adds the tables of extensions whose rows are configuration; returns which of those rows, by the part's id.
    async fn add_extension_data(
        &self,
        columns: &survey::Columns,
        all: &mut Vec<(u32, Part)>,
    ) -> Result<HashMap<usize, String>> {
        let mut conditions = HashMap::new();
        for (oid, schema, name, is_sequence, condition) in
            survey::extension_data(self.keeper).await?
        {
            let fate = self.context.selection.fate(Some(&schema), &name);
            if is_sequence || fate != Fate::Copy {
                continue;
            }
            let (columns, _) = columns.get(&oid).cloned().unwrap_or_default();
            let id = all.len();
            conditions.insert(id, condition);
            let part = Part {
                id,
                schema: Some(schema),
                name,
                columns,
                unit: Unit::Rows,
                encoding: COPY_TEXT,
                rows: 0,
                bytes: 0,
                slice: None,
                condition: None,
            };
            all.push((oid, part));
        }
        Ok(conditions)
    }

    async fn parts(
        &self,
        binary: bool,
        encoding: &str,
        taker: &Taker,
        tables: &[Table],
        gone: &HashSet<Object>,
    ) -> Result<Parts> {
        let keeper = self.keeper;
        let columns = survey::columns(keeper).await?;
        let mut all = survey::parts(tables, &columns, binary, Fate::Copy);
        let mut shapes = if self.context.selection.describes_columns {
            shapes::read(keeper, &self.context.selection, encoding).await?
        } else {
            HashMap::new()
        };
        let selection = &self.context.selection;
        selection.follow(&shapes.values().cloned().collect::<Vec<_>>());
        for (oid, part) in &mut all {
            let names = shapes.get(oid).map_or(&[][..], |shape| &shape.names);
            let mut names = names.iter();
            // What is masked is cut into values, which in binary have no text.
            if names.any(|(schema, name)| selection.is_masked(schema.as_deref(), name)) {
                part.encoding = COPY_TEXT;
            }
        }
        let conditions = self.add_extension_data(&columns, &mut all).await?;
        let mut large = large_objects::describe(keeper).await?;
        large.retain(|one| !gone.contains(&one.filed()));
        if !large.is_empty() {
            let id = all.len();
            all.push((0, large_objects::part(id, large.len())));
        }
        let mut roots = survey::by_root(keeper).await?;
        if let Some(dumped) = self.dumped {
            dumped.arrange(&mut all, &mut shapes)?;
            dumped.through_roots(keeper, &all, &mut roots).await?;
        }
        if !roots.is_empty() {
            foreign::refuse_roots(keeper, roots.values()).await?;
        }
        let by_root: HashMap<usize, (String, String)> = all
            .iter()
            .filter_map(|(oid, part)| Some((part.id, roots.get(oid)?.clone())))
            .collect();
        let mut in_other_words = HashSet::new();
        if let Some(dumped) = self.dumped {
            all.sort_by_key(|(_, part)| dumped.place(part));
            let tables = dumped::in_other_words(keeper).await?;
            let those = all.iter().filter(|(oid, _)| tables.contains(oid));
            in_other_words.extend(those.map(|(_, part)| part.id));
        } else {
            let workers = self.context.workers;
            slices::divide(keeper, self.number, workers, taker, &mut all, |id| {
                by_root.contains_key(&id) || conditions.contains_key(&id)
            })
            .await?;
        }
        let shapes = all
            .iter()
            .filter_map(|(oid, part)| Some((part.label(), shapes.remove(oid)?)))
            .collect();
        Ok(Parts {
            all,
            conditions,
            large,
            by_root,
            in_other_words,
            shapes,
        })
    }

    /// What is not copied, or only its structure, or the target's own.
    async fn without_rows(&self, tables: &[Table]) -> Result<Vec<(String, Fate)>> {
        let mut found: Vec<(String, Fate)> = tables
            .iter()
            .filter(|table| table.fate != Fate::Copy)
            .map(|table| (format!("{}.{}", table.schema, table.name), table.fate))
            .collect();
        found.extend(survey::of_extensions(self.keeper, &self.context.selection).await?);
        Ok(found)
    }
}

/// The names of such tables.
fn with_fate(tables: &[Table], is_one: impl Fn(&Table) -> bool) -> Vec<(String, String)> {
    tables
        .iter()
        .filter(|table| is_one(table))
        .map(|table| (table.schema.clone(), table.name.clone()))
        .collect()
}
