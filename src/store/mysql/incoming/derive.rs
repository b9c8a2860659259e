//! What is computed from rows, made anew after the job's scripts: statistics, which have values of rows in them (MySQL's
//! histograms, MariaDB's smallest and largest values and histograms), and what rows were before (system versioning).
//!
//! All of them belong to a table's name, and follow it when it is renamed or dropped: live's are incoming's.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::create_table::Create;
use crate::store::mysql::schema::definitions;
use crate::store::mysql::sql::names::{literal, quoted, within};
use crate::store::mysql::sql::version::Flavour;

/// How many tables are analyzed in one statement.
const AT_ONCE: usize = 50;

/// What derives from a schema's rows.
pub(in crate::store::mysql) struct Derived<'a> {
    pub(in crate::store::mysql) schema: &'a str,
    /// The server's time before the first script, in UTC.
    pub(in crate::store::mysql) since: &'a str,
    /// A script says ANALYZE, or calls what does: statistics may be there that our user may not see.
    pub(in crate::store::mysql) may_be_analyzed: bool,
}

impl Derived<'_> {
    /// Makes it anew.
    pub(in crate::store::mysql) async fn make(&self, session: &mut Session) -> Result<()> {
        session.run(&format!("USE {}", quoted(self.schema))).await?;
        let tables = self.tables(session, "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')");
        let tables = tables.await?;
        let (mut histograms, mut persistent) = (0, BTreeSet::new());
        if session.version().flavour == Flavour::MariaDb {
            self.forget_history(session).await?;
            persistent = self.persistent(session, &tables).await?;
        } else if session.version().is_mysql(8, 0) {
            histograms = self.histograms(session).await?;
        }
        for table in tables.intersection(&persistent) {
            let sql = format!("ANALYZE TABLE {} PERSISTENT FOR ALL", quoted(table));
            analyze(session, &sql).await?;
        }
        let rest: Vec<String> = tables
            .difference(&persistent)
            .map(|table| quoted(table))
            .collect();
        for batch in rest.chunks(AT_ONCE) {
            analyze(session, &format!("ANALYZE TABLE {}", batch.join(", "))).await?;
        }
        tracing::info!(
            tables = tables.len(),
            histograms,
            persistent = persistent.len(),
            "statistics are made anew after the scripts"
        );
        Ok(())
    }

    async fn tables(&self, session: &mut Session, which: &str) -> Result<BTreeSet<String>> {
        let rows = session
            .query(&format!(
                "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND {which}",
                literal(self.schema)
            ))
            .await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// MySQL's histograms.
    async fn histograms(&self, session: &mut Session) -> Result<usize> {
        let rows = session
            .query(&format!(
                "SELECT TABLE_NAME, COLUMN_NAME, HISTOGRAM->>'$.\"number-of-buckets-specified\"', \
                        COALESCE(HISTOGRAM->>'$.\"auto-update\"', 'false') \
                 FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = {}",
                literal(self.schema)
            ))
            .await?;
        for row in &rows {
            let updates = if row.text(3)? == "true" {
                " AUTO UPDATE"
            } else {
                ""
            };
            analyze(
                session,
                &format!(
                    "ANALYZE TABLE {} UPDATE HISTOGRAM ON {} WITH {} BUCKETS{updates}",
                    quoted(&row.text(0)?),
                    quoted(&row.text(1)?),
                    row.number(2)?
                ),
            )
            .await?;
        }
        Ok(rows.len())
    }

    /// Tables of which MariaDB has statistics of its own ("Engine-Independent Table Statistics", MariaDB's
    /// documentation); all that there are, where our user may not see it and they may be there.
    async fn persistent(
        &self,
        session: &mut Session,
        tables: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>> {
        let schema = literal(self.schema);
        let rows = session
            .query(&format!(
                "SELECT table_name FROM mysql.column_stats WHERE db_name = {schema} \
                 UNION SELECT table_name FROM mysql.index_stats WHERE db_name = {schema} \
                 UNION SELECT table_name FROM mysql.table_stats WHERE db_name = {schema}"
            ))
            .await;
        match rows {
            Ok(rows) => rows.iter().map(|row| row.text(0)).collect(),
            Err(error) if error.kind() == Kind::Permission => {
                if self.may_be_analyzed {
                    tracing::info!(
                        "which tables have statistics with values in them may not be seen, and a script may have made some: they are made of all; SELECT on mysql.column_stats, index_stats and table_stats makes that shorter"
                    );
                    return Ok(tables.clone());
                }
                Ok(BTreeSet::new())
            }
            // 1146: a server that was never upgraded to have them.
            Err(error) if server_error::code(&error) == Some(1146) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// What rows were before a script changed or deleted them can be read by whoever can read the table.
    async fn forget_history(&self, session: &mut Session) -> Result<()> {
        let versioned = self
            .tables(session, "TABLE_TYPE = 'SYSTEM VERSIONED'")
            .await?;
        for table in versioned {
            if !self.has_changed(session, &table).await? {
                continue;
            }
            session
                .run(&format!("DELETE HISTORY FROM {}", quoted(&table)))
                .await
                .map_err(|error| {
                    error.within(format!(
                        "a script changed rows of `{table}`, and what they were before cannot be removed"
                    ))
                })?;
            tracing::warn!(
                table,
                "a script changed rows of a table with system versioning: what its rows were before is removed"
            );
        }
        Ok(())
    }

    /// Whether rows of a table with system versioning have become history since the scripts began.
    async fn has_changed(&self, session: &mut Session, table: &str) -> Result<bool> {
        let text = session
            .query_one(&format!("SHOW CREATE TABLE {}", quoted(table)))
            .await?
            .definition(1)?;
        let name = within(self.schema, table);
        let Some((_, end)) = definitions::versioning(&Create::parse(&text)?) else {
            return Err(Error::new(
                Kind::Internal,
                format!("the period of `{table}` cannot be read"),
            ));
        };
        let by_number = session
            .query_opt(&format!(
                "SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
                 AND COLUMN_NAME = {} AND DATA_TYPE = 'bigint'",
                literal(self.schema),
                literal(table),
                literal(&end)
            ))
            .await?
            .is_some();
        // A period of transactions' numbers says no times, and its history is never copied: all that there is was made here.
        let sql = if by_number {
            format!(
                "SELECT (SELECT COUNT(*) FROM {name} FOR SYSTEM_TIME ALL) > (SELECT COUNT(*) FROM {name})"
            )
        } else {
            format!(
                "SELECT EXISTS (SELECT 1 FROM {name} FOR SYSTEM_TIME ALL WHERE {0} >= {1} AND {0} < SYSDATE(6) + INTERVAL 1 DAY)",
                quoted(&end),
                literal(self.since)
            )
        };
        Ok(session.query_one(&sql).await?.number(0)? == 1)
    }
}

/// ANALYZE answers with rows; an error is one of them.
async fn analyze(session: &mut Session, sql: &str) -> Result<()> {
    for row in session.query(sql).await? {
        if row.text(2)?.eq_ignore_ascii_case("error") {
            return Err(Error::new(
                Kind::Statement,
                format!(
                    "the statistics of {} cannot be made anew: {}",
                    row.text(0)?,
                    row.text(3)?
                ),
            )
            .hint("see what CHECK TABLE says of it; without new ones, what the scripts removed may still be in them"));
        }
    }
    Ok(())
}

/// The server's time, in UTC.
pub(in crate::store::mysql) async fn now(session: &mut Session) -> Result<String> {
    session.query_one("SELECT UTC_TIMESTAMP(6)").await?.text(0)
}

/// Whether a server keeps samples of statements, with the values in them, for everybody who may read its performance_schema
/// (QUERY_SAMPLE_TEXT, "Statement Summary Tables", MySQL's manual).
pub(in crate::store::mysql) async fn keeps_samples(session: &mut Session) -> Result<bool> {
    Ok(session.version().is_mysql(8, 0)
        && session
            .query_one("SELECT @@performance_schema")
            .await?
            .number(0)?
            == 1)
}

/// Whether a script, or a routine of the schema that it may call, analyzes tables.
pub(in crate::store::mysql) fn may_analyze<'a>(mut texts: impl Iterator<Item = &'a str>) -> bool {
    texts.any(|text| text.to_ascii_uppercase().contains("ANALYZE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_analyzes_is_noticed() {
        assert!(may_analyze(["select 1", "Analyze table t"].into_iter()));
        assert!(!may_analyze(["update t set a = 1"].into_iter()));
    }
}
