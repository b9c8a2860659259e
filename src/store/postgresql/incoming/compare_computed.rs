//! What is computed on the copy, held against what the source has: generated columns, and materialized views.
//!
//! A source is not always what its own definitions give: a function has changed since a row was written, a materialized view
//! was filled long ago. What differs is asked of the source once more, in its snapshot, and as its owner's session would.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::database::Incoming;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::rows::checksum::sum;
use crate::store::postgresql::rows::relation::{column_list, rows_of};
use crate::store::postgresql::rows::snapshot::Snapshot;
use crate::store::postgresql::schema::survey::OURS;
use crate::store::postgresql::sql::quoting::{literal, quoted};
use crate::store::{Checksum, Fate, Part};

/// Settings that a value's text depends on.
const SHOWN: [&str; 9] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "bytea_output",
    "extra_float_digits",
    "xmlbinary",
    "lc_monetary",
    "quote_all_identifiers",
    "search_path",
];

/// Aggregates that give the same in whatever order rows come.
const ORDERLESS: &str = "'count', 'min', 'max', 'sum', 'avg', 'bool_and', 'bool_or', 'every', 'bit_and', 'bit_or', 'bit_xor', \
    'percentile_cont', 'percentile_disc', 'range_agg'";

/// The server's own functions that tell of something else than rows and settings, and do not call themselves volatile.
const ELSEWHERE: &str = "'now', 'transaction_timestamp', 'statement_timestamp', 'age', 'current_database', 'current_user', \
    'session_user', 'current_schema', 'current_schemas', 'version', 'inet_client_addr', 'inet_server_addr', 'inet_server_port', \
    'pg_backend_pid', 'pg_postmaster_start_time', 'txid_current', 'txid_current_snapshot', 'pg_current_snapshot', 'row_number', \
    'rank', 'dense_rank', 'has_table_privilege', 'pg_get_viewdef', 'obj_description', 'col_description'";

/// A generated column that is stored.
struct Generated {
    name: String,
    expression: String,
}

/// A materialized view that has rows.
struct View {
    oid: u32,
    schema: String,
    name: String,
    columns: Vec<String>,
    query: String,
    /// Materialized views that it reads.
    views: Vec<u32>,
}

impl View {
    fn label(&self) -> String {
        format!("the materialized view {}.{}", self.schema, self.name)
    }

    async fn stored(&self, session: &Session) -> Result<Checksum> {
        let from = format!("{}.{}", quoted(&self.schema), quoted(&self.name));
        sum(session, &self.label(), &self.columns, &from).await
    }

    /// The sum of what its query gives.
    async fn asked(&self, session: &Session) -> Result<Checksum> {
        let columns = column_list(&self.columns);
        let names = if columns.is_empty() {
            String::new()
        } else {
            format!(" ({columns})")
        };
        let from = format!("({}) AS envsyncd{names}", self.query.trim_end_matches(';'));
        sum(session, &self.label(), &self.columns, &from).await
    }
}

type Columns = HashMap<(String, String), Vec<Generated>>;

async fn generated(session: &Session) -> Result<Columns> {
    let rows = session
        .query(
            &format!(
                "SELECT n.nspname::text, c.relname::text, a.attname::text, pg_get_expr(d.adbin, d.adrelid)
                 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                 WHERE c.relkind = 'r' AND {OURS} AND a.attgenerated = 's' AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"
            ),
            &[],
        )
        .await
        .map_err(session.explain())?;
    let mut found = Columns::new();
    for row in rows {
        let table = (row.read(0)?, row.read(1)?);
        found.entry(table).or_default().push(Generated {
            name: row.read(2)?,
            expression: row.read(3)?,
        });
    }
    Ok(found)
}

/// The materialized views whose rows depend only on what is copied.
async fn views(
    session: &Session,
    left_out: &[(String, String, Fate)],
    populated: &HashSet<(String, String)>,
) -> Result<Vec<View>> {
    let left_out: Vec<String> = left_out
        .iter()
        .map(|(schema, name, _)| format!("{schema}.{name}"))
        .collect();
    let rows = session
        .query(
            &format!(
                "WITH RECURSIVE reads(view, oid) AS (
                     SELECT oid, oid FROM pg_class WHERE relkind = 'm'
                     UNION
                     SELECT r.view, next.oid FROM reads r, LATERAL (
                         SELECT d.refobjid AS oid FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                         WHERE w.ev_class = r.oid AND w.rulename = '_RETURN' AND d.refclassid = 'pg_class'::regclass
                         UNION ALL
                         SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = r.oid
                     ) next)
                 SELECT c.oid, n.nspname::text, c.relname::text,
                        ARRAY(SELECT a.attname::text FROM pg_attribute a
                              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                        pg_get_viewdef(c.oid),
                        ARRAY(SELECT k.oid FROM reads r JOIN pg_class k ON k.oid = r.oid
                              WHERE r.view = c.oid AND k.relkind = 'm' AND k.oid <> c.oid)
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'm' AND c.relispopulated AND {OURS}
                   AND NOT EXISTS (SELECT FROM reads r JOIN pg_class k ON k.oid = r.oid JOIN pg_namespace kn ON kn.oid = k.relnamespace
                                   WHERE r.view = c.oid AND (k.relkind = 'f' OR kn.nspname || '.' || k.relname = ANY($1)))
                   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
                 ORDER BY c.oid"
            ),
            &[&left_out],
        )
        .await
        .map_err(session.explain())?;
    let mut found = Vec::new();
    for row in &rows {
        let view = View {
            oid: row.read(0)?,
            schema: row.read(1)?,
            name: row.read(2)?,
            columns: row.read(3)?,
            query: row.read(4)?,
            views: row.read(5)?,
        };
        if populated.contains(&(view.schema.clone(), view.name.clone())) {
            found.push(view);
        }
    }
    Ok(found)
}

/// Why a view's query need not give the same twice, or on two servers, if there is a reason.
async fn whim(session: &Session, view: &View) -> Result<Option<String>> {
    let row = session
        .query_one(
            &format!(
                "WITH RECURSIVE reads(oid) AS (
                     SELECT $1::oid
                     UNION
                     SELECT d.refobjid FROM reads r JOIN pg_rewrite w ON w.ev_class = r.oid
                     JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
                     JOIN pg_class k ON k.oid = d.refobjid AND k.relkind = 'v'),
                 action(text) AS (
                     SELECT w.ev_action::text FROM reads r JOIN pg_rewrite w ON w.ev_class = r.oid AND w.rulename = '_RETURN'),
                 used AS (
                     SELECT p.proname::text AS name, p.provolatile AS volatile, p.prokind AS kind, n.nspname = 'pg_catalog' AS own,
                            p.proargtypes::oid[] && ARRAY[700, 701]::oid[] AS float
                     FROM action, regexp_matches(text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') AS found
                     JOIN pg_proc p ON p.oid = found[1]::oid JOIN pg_namespace n ON n.oid = p.pronamespace)
                 SELECT coalesce(
                     (SELECT 'it asks ' || name || '()' FROM used
                      WHERE volatile = 'v' OR (NOT own AND volatile <> 'i') OR (own AND name IN ({ELSEWHERE})) LIMIT 1),
                     (SELECT 'it asks for the time, or who is asking' FROM action WHERE text LIKE '%{{SQLVALUEFUNCTION%' LIMIT 1),
                     (SELECT 'what ' || name || '() gives depends on the order of rows' FROM used
                      WHERE kind = 'a' AND (NOT own OR name NOT IN ({ORDERLESS}) OR (float AND name IN ('sum', 'avg'))) LIMIT 1),
                     (SELECT 'it takes some of the rows, in whatever order they come' FROM action
                      WHERE text LIKE '%:limitCount {{%' OR text LIKE '%:limitOffset {{%' OR text LIKE '%:hasDistinctOn true%'
                         OR text LIKE '%:hasWindowFuncs true%' OR text LIKE '%TABLESAMPLECLAUSE%' LIMIT 1))"
            ),
            &[&view.oid],
        )
        .await
        .map_err(session.explain())?;
    row.read(0)
}

/// How many rows have something else in a column than its expression gives.
async fn stale(source: &Snapshot, from: &str, column: &Generated) -> Result<u64> {
    let session = source.owners_session().await?;
    let (name, expression) = (quoted(&column.name), &column.expression);
    let row = session
        .query_one(
            &format!(
                "SELECT pg_catalog.count(*) FROM (SELECT * FROM {from}) AS envsyncd \
                 WHERE {name}::pg_catalog.text COLLATE pg_catalog.\"C\" \
                       IS DISTINCT FROM ({expression})::pg_catalog.text COLLATE pg_catalog.\"C\""
            ),
            &[],
        )
        .await
        .map_err(session.explain())?;
    Ok(u64::try_from(row.read::<i64>(0)?).unwrap_or_default())
}

impl Incoming {
    /// Compares what was computed on incoming with what a source on a server has.
    pub(in crate::store::postgresql) async fn compare_computed_with(
        &self,
        source: &Snapshot,
        parts: &[Part],
    ) -> Result<()> {
        if self.is_cloned {
            return Ok(());
        }
        let session = source.session().await?;
        let columns = &generated(&session).await?;
        let views = views(
            &session,
            &source.taken()?.left_out,
            &self.definitions.populated,
        )
        .await?;
        source.rest(session);
        stream::iter((0..parts.len()).map(|place| {
            let part = &parts[place];
            let table = (part.schema.clone().unwrap_or_default(), part.name.clone());
            async move {
                match columns.get(&table) {
                    Some(columns) => self.compare_generated(source, part, columns).await,
                    None => Ok(()),
                }
            }
        }))
        .buffer_unordered(self.to.context.workers)
        .try_collect::<()>()
        .await?;
        if !self.to.context.selection.takes_rows_as_they_are() {
            // What a view shows of masked rows, or of fewer, is not what the source's shows.
            return Ok(());
        }
        self.compare_views(source, &views).await
    }

    async fn compare_generated(
        &self,
        source: &Snapshot,
        part: &Part,
        columns: &[Generated],
    ) -> Result<()> {
        let definitions = &self.definitions;
        let condition = definitions.conditions.get(&part.id);
        let root = definitions.by_root.get(&part.id);
        let from = &rows_of(part, condition.map_or("", String::as_str), root);
        let label = &part.label();
        let (theirs, ours) = tokio::try_join!(source.session(), self.comparing_session())?;
        let (theirs_now, ours_now) = (&theirs, &ours);
        let is_same = |some: &[Generated]| {
            let mut names = part.columns.to_vec();
            names.extend(some.iter().map(|column| column.name.clone()));
            async move {
                let (one, other) = tokio::try_join!(
                    sum(theirs_now, label, &names, from),
                    sum(ours_now, label, &names, from)
                )?;
                Ok::<_, Error>(one == other)
            }
        };
        if !is_same(columns).await? {
            for column in columns {
                if is_same(std::slice::from_ref(column)).await? {
                    continue;
                }
                let what = format!("the generated column {label}.{}", column.name);
                match stale(source, from, column).await {
                    Ok(0) => {
                        return Err(Error::new(
                            Kind::Verify,
                            format!("{what} is not what it is on the source, though that is what its expression gives there"),
                        )
                        .hint("its functions depend on settings, roles or a version that the target's server has otherwise"));
                    }
                    Ok(rows) => tracing::warn!(
                        column = format!("{label}.{}", column.name),
                        rows,
                        "stored on the source is not what the column's expression gives there now, \
                         or it was computed under other settings; the copy has what it gives now"
                    ),
                    Err(error) if error.kind() == Kind::Connection => return Err(error),
                    Err(error) => {
                        return Err(error.within(format!(
                            "{what} is not what it is on the source, and cannot be computed there"
                        )));
                    }
                }
            }
        }
        source.rest(theirs);
        self.rest(ours);
        Ok(())
    }

    async fn compare_views(&self, source: &Snapshot, views: &[View]) -> Result<()> {
        let found: Vec<Option<&View>> = stream::iter((0..views.len()).map(|place| async move {
            let view = &views[place];
            let (theirs, ours) = tokio::try_join!(source.session(), self.comparing_session())?;
            let stored = tokio::join!(view.stored(&theirs), view.stored(&ours));
            self.rest(ours);
            let unlike = match stored {
                (Ok(one), Ok(other)) => {
                    source.rest(theirs);
                    one != other
                }
                (Err(error), _) if error.kind() == Kind::Connection => return Err(error),
                // Who dumps may do so without reading views.
                (Err(error), _) => {
                    tracing::debug!(%error, "a materialized view cannot be read on the source");
                    true
                }
                (_, Err(error)) => return Err(error),
            };
            Ok(unlike.then_some(view))
        }))
        .buffered(self.to.context.workers)
        .try_collect()
        .await?;
        let unlike: HashSet<u32> = found.iter().flatten().map(|view| view.oid).collect();
        for view in found.iter().flatten() {
            let old = view.views.iter().any(|other| unlike.contains(other));
            self.compare_view(source, view, old).await?;
        }
        Ok(())
    }

    /// One that is not what the source has stored: it is held against what the source's query gives.
    async fn compare_view(&self, source: &Snapshot, view: &View, old: bool) -> Result<()> {
        let reason = if old {
            Some("it reads another one that is not what the source has stored".to_owned())
        } else {
            let session = source.session().await?;
            let reason = whim(&session, view).await?;
            source.rest(session);
            reason
        };
        let warn = |reason: &dyn std::fmt::Display| {
            tracing::warn!(
                view = format!("{}.{}", view.schema, view.name),
                reason = reason.to_string(),
                "a materialized view is not what the source has stored, and cannot be compared with what its query gives there"
            );
        };
        if let Some(reason) = reason {
            warn(&reason);
            return Ok(());
        }
        let theirs = source.owners_session().await?;
        let names = SHOWN.map(|name| format!("pg_catalog.current_setting({})", literal(name)));
        let shown = theirs
            .query_one(
                &format!("SELECT ARRAY[{}]::pg_catalog.text[]", names.join(", ")),
                &[],
            )
            .await
            .map_err(theirs.explain())?;
        let expected = match view.asked(&theirs).await {
            Ok(expected) => expected,
            Err(error) if error.kind() == Kind::Connection => return Err(error),
            Err(error) => {
                warn(&error);
                return Ok(());
            }
        };
        // Values are written on this side as they are there.
        let ours = self.comparing_session().await?;
        let shown: Vec<String> = shown.read(0)?;
        let all = SHOWN.iter().zip(&shown).map(|(name, value)| {
            format!(
                "SELECT pg_catalog.set_config({}, {}, false)",
                literal(name),
                literal(value)
            )
        });
        ours.run(&all.collect::<Vec<_>>().join("; ")).await?;
        if view.stored(&ours).await? == expected {
            tracing::info!(
                view = format!("{}.{}", view.schema, view.name),
                "the materialized view has what its query gives now; what the source has stored is older"
            );
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!("{} is not what its query gives on the source", view.label()),
        )
        .hint("its functions depend on settings, roles or a version that the target's server has otherwise"))
    }
}
