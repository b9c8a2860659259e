//! After scripts: what is computed from rows is computed anew, so that nothing that a reader of the target can read tells
//! what the rows were before.
//!
//! With scripts nothing of it is gathered before them. But autovacuum may gather statistics of any table meanwhile, and what
//! it found out stays where ANALYZE finds no rows: of a table that a script emptied, of a parent without children. A
//! superuser can remove that. For anybody else, autovacuum is kept away from incoming's tables until the scripts have run.

use std::sync::atomic::AtomicU32;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::database::Incoming;
use super::owner::Writing;
use super::vacuum::{ANALYZE, FREEZE_AND_ANALYZE, freeze, treat};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::survey::{OURS, version};
use crate::store::postgresql::sql::quoting::quoted;

/// The option that keeps autovacuum away, in a spelling that nobody else has: a table's own is left alone.
const NO_AUTOVACUUM: &str = "autovacuum_enabled=oFf";

/// So many tables are treated by one statement.
const AT_ONCE: usize = 100;

/// A table, partitioned or not, or a materialized view.
struct Relation {
    oid: u32,
    name: (String, String),
    is_view: bool,
}

/// All of them, but for those whose statistics would be asked of another server.
async fn relations(session: &Session) -> Result<Vec<Relation>> {
    let rows = session
        .query(
            &format!(
                "WITH RECURSIVE above(oid) AS (
                     SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'f'
                     UNION SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid)
                 SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'm'
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND {OURS} AND c.oid NOT IN (SELECT oid FROM above)
                   AND (c.relkind <> 'm' OR c.relispopulated) ORDER BY c.oid"
            ),
            &[],
        )
        .await
        .map_err(session.explain())?;
    rows.iter()
        .map(|row| {
            Ok(Relation {
                oid: row.read(0)?,
                name: (row.read(1)?, row.read(2)?),
                is_view: row.read(3)?,
            })
        })
        .collect()
}

fn qualified((schema, name): &(String, String)) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// Removes statistics of tables, while nobody can be gathering any.
async fn forget(session: &Session, version: u32, some: &[&Relation], lock: bool) -> Result<()> {
    let oids: Vec<String> = some.iter().map(|one| one.oid.to_string()).collect();
    let oids = oids.join(", ");
    let extended = match version / 10_000 {
        15.. => format!(
            "DELETE FROM pg_catalog.pg_statistic_ext_data WHERE stxoid IN \
             (SELECT oid FROM pg_catalog.pg_statistic_ext WHERE stxrelid IN ({oids}))"
        ),
        // The server counts on there being a row.
        major => format!(
            "UPDATE pg_catalog.pg_statistic_ext_data SET stxdndistinct = NULL, stxddependencies = NULL, stxdmcv = NULL{} \
             WHERE stxoid IN (SELECT oid FROM pg_catalog.pg_statistic_ext WHERE stxrelid IN ({oids}))",
            if major == 14 { ", stxdexpr = NULL" } else { "" }
        ),
    };
    let names: Vec<String> = some
        .iter()
        .map(|one| format!("ONLY {}", qualified(&one.name)))
        .collect();
    let locked = if lock {
        format!(
            "LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE; ",
            names.join(", ")
        )
    } else {
        String::new()
    };
    session
        .run(&format!(
            "BEGIN; {locked}\
             DELETE FROM pg_catalog.pg_statistic WHERE starelid IN ({oids}) \
                OR starelid IN (SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid IN ({oids})); \
             {extended}; COMMIT"
        ))
        .await
        .map_err(|error| error.within("statistics from before the scripts cannot be removed"))
}

impl Incoming {
    /// Keeps autovacuum away from incoming's tables, if what it finds out could not be removed.
    pub(super) async fn disable_autovacuum(&self) -> Result<()> {
        if !self.to.has_scripts() || self.roles.is_superuser() {
            return Ok(());
        }
        self.alter(
            "NOT EXISTS (SELECT FROM pg_catalog.unnest(c.reloptions) AS o WHERE pg_catalog.starts_with(o, 'autovacuum_enabled='))",
            "SET (autovacuum_enabled = 'oFf')",
        )
        .await
    }

    async fn alter(&self, which: &str, how: &str) -> Result<()> {
        let session = self.session().await?;
        let rows = session
            .query(
                &format!(
                    "SELECT n.nspname::text, c.relname::text, c.relkind = 'm'
                     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND {OURS} AND {which}
                       AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
                       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                       AND d.objid = c.oid AND d.deptype = 'e')"
                ),
                &[],
            )
            .await
            .map_err(session.explain())?;
        let statements: Vec<String> = rows
            .iter()
            .map(|row| {
                let kind = if row.read(2)? {
                    "MATERIALIZED VIEW"
                } else {
                    "TABLE"
                };
                let name = qualified(&(row.read(0)?, row.read(1)?));
                Ok(format!("ALTER {kind} {name} {how}"))
            })
            .collect::<Result<_>>()?;
        for some in statements.chunks(AT_ONCE) {
            session.run(&some.join("; ")).await?;
        }
        self.rest(session);
        Ok(())
    }

    /// Makes statistics and materialized views anew, after scripts that left alone what is not theirs.
    pub(in crate::store::postgresql) async fn derive_anew(&self) -> Result<()> {
        self.refuse_touched().await?;
        self.compute_anew().await?;
        self.refuse_own_name().await
    }

    async fn compute_anew(&self) -> Result<()> {
        let session = self.session().await?;
        let number = version(&session).await?.0;
        let superuser = self.roles.is_superuser();
        let all = relations(&session).await?;
        let (views, tables): (Vec<&Relation>, Vec<&Relation>) =
            all.iter().partition(|one| one.is_view);
        if superuser {
            for some in tables.chunks(AT_ONCE.min(self.locks.max(1))) {
                forget(&session, number, some, true).await?;
            }
        }
        let names: Vec<(String, String)> = tables.iter().map(|one| one.name.clone()).collect();
        let names = &names;
        stream::iter((0..names.len()).step_by(AT_ONCE).map(|first| async move {
            let session = self.session().await?;
            let some: Vec<&(String, String)> = names[first..].iter().take(AT_ONCE).collect();
            treat(&session, ANALYZE, &some).await?;
            self.rest(session);
            Ok::<_, Error>(())
        }))
        .buffer_unordered(self.to.context.workers)
        .try_collect::<()>()
        .await?;
        self.fill_anew(&session, number, &views, superuser).await?;
        self.rest(session);
        if !superuser {
            let own = format!("'{NO_AUTOVACUUM}' = ANY(c.reloptions)");
            self.alter(&own, "RESET (autovacuum_enabled)").await?;
            self.refuse_remains().await?;
        }
        Ok(())
    }

    /// Fills materialized views that have rows. All of them are emptied first: one that reads another by a function, of
    /// which no catalogue knows, cannot be filled from what that one was.
    async fn fill_anew(
        &self,
        session: &Session,
        version: u32,
        views: &[&Relation],
        superuser: bool,
    ) -> Result<()> {
        let changed = self.compute(session, &Writing::Names).await?;
        for view in views {
            let name = qualified(&view.name);
            session
                .run(&format!("REFRESH MATERIALIZED VIEW {name} WITH NO DATA"))
                .await?;
        }
        let vain = AtomicU32::new(0);
        let mut left = views.to_vec();
        while !left.is_empty() {
            let (mut again, mut failed) = (Vec::new(), None);
            for view in &left {
                let name = qualified(&view.name);
                let filled = session
                    .run(&format!("REFRESH MATERIALIZED VIEW {name}"))
                    .await;
                if let Err(error) = filled {
                    again.push(*view);
                    let (schema, name) = &view.name;
                    let what = format!(
                        "the materialized view {schema}.{name} cannot be filled after the scripts"
                    );
                    failed = Some(error.within(what));
                    continue;
                }
                if superuser {
                    forget(session, version, &[view], false).await?;
                }
                freeze(session, FREEZE_AND_ANALYZE, &[&view.name], &vain).await?;
            }
            if let (Some(error), true) = (failed, again.len() == left.len()) {
                return Err(error);
            }
            left = again;
        }
        self.read_again(session, changed).await
    }

    /// Refuses statistics that ANALYZE could not replace, and the target's user cannot remove.
    async fn refuse_remains(&self) -> Result<()> {
        let session = self.comparing_session().await?;
        let row = session
            .query_opt(
                &format!(
                    "SELECT s.schemaname || '.' || s.tablename
                     FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname
                          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
                          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
                     WHERE {OURS} AND (NOT s.inherited AND c.reltuples <= 0 OR a.attstattarget = 0
                        OR s.inherited AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
                                                       WHERE i.inhparent = c.oid AND (k.reltuples > 0 OR k.relkind = 'p')))
                     UNION ALL
                     SELECT s.schemaname || '.' || s.tablename
                     FROM pg_stats_ext s JOIN pg_namespace n ON n.nspname = s.schemaname
                          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
                     WHERE {OURS} AND c.reltuples <= 0 AND c.relkind <> 'p'
                       AND (s.n_distinct IS NOT NULL OR s.dependencies IS NOT NULL OR s.most_common_vals IS NOT NULL)
                     ORDER BY 1 LIMIT 1"
                ),
                &[],
            )
            .await
            .map_err(session.explain())?;
        self.rest(session);
        let Some(row) = row else {
            return Ok(());
        };
        Err(Error::new(
            Kind::Verify,
            format!(
                "statistics of {} still tell of rows that the scripts removed, and only a superuser can remove them",
                row.read::<String>(0)?
            ),
        )
        .hint("leave ANALYZE out of the scripts: it is done after them; or let the target's user be a superuser"))
    }
}
