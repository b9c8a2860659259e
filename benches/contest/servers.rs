//! Servers with one set of settings for all, near to what a database host has: safe against a crash.

use crate::support::{mysql, postgres};

/// PostgreSQL.
pub(crate) fn postgresql() -> postgres::Builder {
    postgres::Cluster::builder()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .set("shared_buffers", "1GB")
        .set("max_wal_size", "8GB")
        .set("maintenance_work_mem", "256MB")
        .set("checkpoint_timeout", "30min")
        .set("log_statement", "none")
        // For a session that locks every table, as pg_dump does.
        .set("max_locks_per_transaction", "1024")
        // Its moment is another one in each round.
        .set("autovacuum", "off")
}

/// MariaDB.
pub(crate) fn mariadb() -> mysql::Builder {
    [
        "--innodb-buffer-pool-size=1G",
        "--innodb-log-file-size=1G",
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-doublewrite=1",
        "--innodb-use-native-aio=1",
        "--max-allowed-packet=64M",
        // For thousands of small tables.
        "--table-open-cache=8000",
        "--open-files-limit=20000",
    ]
    .into_iter()
    .fold(mysql::Server::builder(), mysql::Builder::set)
}
