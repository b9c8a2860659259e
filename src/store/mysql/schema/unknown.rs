//! Unknown objects in a server's catalogue: what belongs to a database and envsyncd does not know is named, never passed over.
//!
//! Each kind of thing that belongs to a database is a table of `information_schema`, with the database's name in a column. Those
//! that we know are either read, or say no more than what is read ("INFORMATION_SCHEMA Tables", MySQL's manual and MariaDB's
//! documentation).

use crate::error::Result;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::{literal, quoted};

/// Tables of `information_schema` that are known: what they list is copied, is part of something that is (columns, constraints,
/// partitions, parameters), belongs to accounts, or is about the server.
const KNOWN: [&str; 103] = [
    "ADMINISTRABLE_ROLE_AUTHORIZATIONS",
    "ALL_PLUGINS",
    "APPLICABLE_ROLES",
    "CHARACTER_SETS",
    "CHECK_CONSTRAINTS",
    "CLIENT_STATISTICS",
    "COLLATIONS",
    "COLLATION_CHARACTER_SET_APPLICABILITY",
    "COLUMNS",
    "COLUMNS_EXTENSIONS",
    "COLUMN_PRIVILEGES",
    "COLUMN_STATISTICS",
    "CONNECTION_CONTROL_FAILED_LOGIN_ATTEMPTS",
    "DISKS",
    "ENABLED_ROLES",
    "ENGINES",
    "EVENTS",
    "FEEDBACK",
    "FILES",
    "GEOMETRY_COLUMNS",
    "GLOBAL_STATUS",
    "GLOBAL_VARIABLES",
    "INDEX_STATISTICS",
    "JSON_DUALITY_VIEWS",
    "JSON_DUALITY_VIEW_COLUMNS",
    "JSON_DUALITY_VIEW_LINKS",
    "JSON_DUALITY_VIEW_TABLES",
    "KEYWORDS",
    "KEY_CACHES",
    "KEY_COLUMN_USAGE",
    "KEY_PERIOD_USAGE",
    "LIBRARIES",
    "LOCALES",
    "METADATA_LOCK_INFO",
    "MYSQL_FIREWALL_USERS",
    "MYSQL_FIREWALL_WHITELIST",
    "MYROCKS",
    "NDB_TRANSID_MYSQL_CONNECTION_MAP",
    "OPTIMIZER_COSTS",
    "OPTIMIZER_TRACE",
    "PARAMETERS",
    "PARTITIONS",
    "PASSWORD_REUSE_CHECK_HISTORY",
    "PERIODS",
    "PLUGINS",
    "PROCESSLIST",
    "PROFILING",
    "QUERY_CACHE_INFO",
    "QUERY_RESPONSE_TIME",
    "QUERY_RESPONSE_TIME_READ",
    "QUERY_RESPONSE_TIME_READ_WRITE",
    "QUERY_RESPONSE_TIME_WRITE",
    "REFERENTIAL_CONSTRAINTS",
    "RESOURCE_GROUPS",
    "ROLE_COLUMN_GRANTS",
    "ROLE_ROUTINE_GRANTS",
    "ROLE_TABLE_GRANTS",
    "ROUTINES",
    "ROUTINE_LIBRARIES",
    "SCHEMATA",
    "SCHEMATA_EXTENSIONS",
    "SCHEMA_PRIVILEGES",
    "SEQUENCES",
    "SESSION_STATUS",
    "SESSION_VARIABLES",
    "SPATIAL_REF_SYS",
    "SPIDER_ALLOC_MEM",
    "SPIDER_WRAPPER_PROTOCOLS",
    "SQL_FUNCTIONS",
    "STATISTICS",
    "ST_GEOMETRY_COLUMNS",
    "ST_SPATIAL_REFERENCE_SYSTEMS",
    "ST_UNITS_OF_MEASURE",
    "SYSTEM_VARIABLES",
    "TABLES",
    "TABLESPACES",
    "TABLESPACES_EXTENSIONS",
    "TABLES_EXTENSIONS",
    "TABLE_CONSTRAINTS",
    "TABLE_CONSTRAINTS_EXTENSIONS",
    "TABLE_PRIVILEGES",
    "TABLE_STATISTICS",
    "THREAD_POOL_GROUPS",
    "THREAD_POOL_QUEUES",
    "THREAD_POOL_STATS",
    "THREAD_POOL_WAITS",
    "TP_THREAD_GROUP_STATE",
    "TP_THREAD_GROUP_STATS",
    "TP_THREAD_STATE",
    "TRIGGERED_UPDATE_COLUMNS",
    "TRIGGERS",
    "USERS",
    "USER_ATTRIBUTES",
    "USER_PRIVILEGES",
    "USER_STATISTICS",
    "USER_VARIABLES",
    "VIEWS",
    "VIEW_ROUTINE_USAGE",
    "VIEW_TABLE_USAGE",
    "WSREP_CONNECTIONS",
    "WSREP_MEMBERSHIP",
    "WSREP_STATUS",
    "WSREP_BF_ABORTS",
];

/// Prefixes of tables in which a storage engine says how it stores tables.
const ENGINES: [&str; 6] = [
    "INNODB_",
    "XTRADB_",
    "ROCKSDB_",
    "TOKUDB_",
    "COLUMNSTORE_",
    "NDB",
];

/// Warns of whatever is in a database and of no kind that we know. The session may be in a snapshot.
pub(in crate::store::mysql) async fn warn(session: &mut Session, schema: &str) -> Result<()> {
    let rows = session
        .query("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'information_schema'")
        .await?;
    for row in rows {
        let table = row.text(0)?.to_ascii_uppercase();
        if is_known(&table) {
            continue;
        }
        let columns = session
            .query(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema' AND TABLE_NAME = {} \
                 AND (COLUMN_NAME LIKE '%SCHEMA' OR COLUMN_NAME IN ('SCHEMA_NAME', 'DATABASE_NAME', 'DB')) ORDER BY ORDINAL_POSITION",
                literal(&table)
            ))
            .await?;
        let mut conditions = Vec::with_capacity(columns.len());
        for column in columns {
            conditions.push(format!(
                "{} = {}",
                quoted(&column.text(0)?),
                literal(schema)
            ));
        }
        if conditions.is_empty() {
            continue;
        }
        let count = session
            .query_one(&format!(
                "SELECT COUNT(*) FROM information_schema.{} WHERE {}",
                quoted(&table),
                conditions.join(" OR ")
            ))
            .await;
        let count = match count {
            Ok(row) => row.number(0)?,
            Err(error) if session.is_usable() => {
                tracing::debug!(%error, table, "a table of the server's catalogue cannot be read");
                continue;
            }
            Err(error) => return Err(error),
        };
        if count > 0 {
            tracing::warn!(
                catalogue = format!("information_schema.{table}"),
                count,
                "the source's server has things of a kind that is not known to envsyncd, and not copied, in the database: look at that table"
            );
        }
    }
    if session.version().is_mysql(8, 0) {
        let read_only = session
            .query_opt(&format!(
                "SELECT OPTIONS FROM information_schema.SCHEMATA_EXTENSIONS WHERE SCHEMA_NAME = {} AND OPTIONS LIKE '%READ ONLY=1%'",
                literal(schema)
            ))
            .await;
        if let Ok(Some(_)) = read_only {
            tracing::warn!("the source's database is READ ONLY, and its copy is not");
        }
    }
    Ok(())
}

fn is_known(table: &str) -> bool {
    KNOWN.contains(&table) || ENGINES.iter().any(|engine| table.starts_with(engine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_has_today_is_not_known() {
        assert!(is_known("ROUTINES") && is_known("INNODB_TABLES"));
        assert!(!is_known("MATERIALIZED_VIEWS") && !is_known("MODELS"));
    }
}
