//! A second opinion: what a user sees in a published database is held against what `pg_dump` and `pg_restore` bring from
//! the source into a fresh one with the same settings. Nothing of ours decides what is right.

use std::sync::atomic::Ordering;

use super::databases::Databases;
use super::{Cluster, Must, bare, quote, unique};
use crate::support::dump::{assert_equal, schema_of};

/// Rows of every table and materialized view, as a session of the database's owner sees them, generated columns included.
/// Accounts are written to all the time.
const ROWS: &str = r#"
SELECT format('SELECT %L, t::text FROM %s %s AS t ORDER BY t::text COLLATE "C"', 'row of ' || c.oid::regclass,
              CASE WHEN c.relkind = 'm' THEN '' ELSE 'ONLY' END, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (n.nspname, c.relname) <> ('others', 'accounts')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
\gexec
"#;

/// What a dump's text does not say, or says as a `SET`: where things are, how they are stored, whose they are, and what
/// each role may do with them.
const PLACES: &str = r"
SET search_path = '';
SELECT 'place of', c.oid::regclass, c.relkind, c.relpersistence, s.spcname, m.amname, c.relowner::regrole,
       c.relispopulated, i.indisvalid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
     LEFT JOIN pg_am m ON m.oid = c.relam LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';
SELECT 'counter', schemaname, sequencename, last_value FROM pg_sequences;
SELECT 'may', r.rolname, c.oid::regclass, has_schema_privilege(r.oid, n.oid, 'USAGE'),
       has_table_privilege(r.oid, c.oid, 'SELECT'), has_table_privilege(r.oid, c.oid, 'INSERT'),
       has_table_privilege(r.oid, c.oid, 'UPDATE'), has_table_privilege(r.oid, c.oid, 'DELETE'),
       has_any_column_privilege(r.oid, c.oid, 'SELECT')
FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rolname IN ('app', 'deploy', 'visitor') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';
SELECT 'may', r.rolname, n.nspname, has_schema_privilege(r.oid, n.oid, 'USAGE'), has_schema_privilege(r.oid, n.oid, 'CREATE')
FROM pg_roles r, pg_namespace n WHERE r.rolname IN ('app', 'deploy', 'visitor') AND n.nspname !~ '^pg_';
SELECT 'large object', oid, lomowner::regrole, md5(lo_get(oid)) FROM pg_largeobject_metadata;
";

/// Every B-tree has every row of its table, at its place. Nothing of the check stays.
const INDEXES: &str = r"
SET client_min_messages = warning;
-- As the owner's sessions compute it.
SELECT count(set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), false))
FROM (SELECT unnest(s.setconfig) AS setting FROM pg_db_role_setting s, pg_database d
      WHERE d.datname = current_database() AND s.setdatabase IN (0, d.oid) AND s.setrole IN (0, d.datdba)
      ORDER BY s.setrole <> 0, s.setdatabase <> 0) AS own
WHERE lower(split_part(setting, '=', 1)) IN ('datestyle', 'timezone', 'intervalstyle', 'bytea_output', 'extra_float_digits');
BEGIN;
CREATE SCHEMA envsyncd_test_amcheck;
CREATE EXTENSION amcheck SCHEMA envsyncd_test_amcheck;
SELECT count(envsyncd_test_amcheck.bt_index_check(index => i.indexrelid::regclass, heapallindexed => true)::text)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE m.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' AND i.indisvalid AND i.indisready
  AND c.relnamespace <> 'pg_catalog'::regnamespace;
ROLLBACK;
";

impl Databases {
    /// Live is what the source's dump makes of it, to the last value and right. For copies that leave nothing out; the
    /// source is as it was when it was copied.
    #[track_caller]
    pub(crate) fn assert_published(&self) {
        let (source, target) = (self.source_server(), self.target_server());
        let fresh = self.bring_by_pg_dump(source, target);
        let places = |database: &str| lines(target, database, PLACES);
        assert_equal(&schema_of(target, &fresh), &schema_of(target, &self.to));
        assert_equal(&places(&fresh), &places(&self.to));
        assert_equal(&self.rows_in(&fresh), &self.rows_in(&self.to));
        if let Err(damage) = target.try_psql("postgres", &self.to, INDEXES) {
            panic!("an index of {} is not what its table is: {damage}", self.to);
        }
        if self.live_is_ours.load(Ordering::SeqCst) {
            // The database is live's, whatever was copied into it.
            let kept = |database: &str| {
                target.psql(
                    "postgres",
                    &format!(
                        "SELECT d.datdba::regrole, d.datallowconn, d.datconnlimit, d.dattablespace, s.setconfig,
                             (SELECT string_agg(a::text, ',' ORDER BY a::text)
                              FROM unnest(coalesce(d.datacl, acldefault('d', d.datdba))) AS a)
                         FROM pg_database d LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid
                         WHERE d.datname = '{database}'"
                    ),
                )
            };
            assert_eq!(kept(&fresh), kept(&self.to), "of the database itself");
        }
        self.check_others();
        target.psql("postgres", &format!("DROP DATABASE {}", quote(&fresh)));
    }

    /// A fresh database on the target's server, made as live was and filled by the stores' own tools.
    fn bring_by_pg_dump(&self, source: &Cluster, target: &Cluster) -> String {
        let fresh = unique("fresh");
        let profile = self.profile();
        let owner = target.psql(
            "postgres",
            &format!(
                "SELECT datdba::regrole FROM pg_database WHERE datname = '{}'",
                self.to
            ),
        );
        target.psql(
            "postgres",
            &format!("CREATE DATABASE {fresh} OWNER {owner}"),
        );
        if self.live_is_ours.load(Ordering::SeqCst) {
            target.psql("postgres", &profile.settings_of(&fresh));
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        bare(target.program("pg_dump"))
            .args(["-Fc", "-Z0", "--no-publications", "--no-subscriptions"])
            .args(["--exclude-table-data=others.accounts", "-f"])
            .arg(file.path())
            .arg("-d")
            .arg(source.url("postgres", &self.from))
            .must("pg_dump");
        // As whom the application would: settings of a role count, too.
        let user = if profile.has_public_of_14() || owner != profile.owner() {
            "postgres"
        } else {
            profile.owner()
        };
        bare(target.program("pg_restore"))
            .args(["--exit-on-error", "-d"])
            .arg(target.url(user, &fresh))
            .arg(file.path())
            .env(
                "PGOPTIONS",
                "-c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off",
            )
            .must("pg_restore");
        if profile.has_public_of_14() {
            // Who copies may not give it to `postgres`, and leaves it to the database's owner.
            target.psql(&fresh, "ALTER SCHEMA public OWNER TO pg_database_owner");
        }
        fresh
    }

    /// Rows as the application's role sees them.
    fn rows_in(&self, database: &str) -> Vec<String> {
        let target = self.target_server();
        let rows = target.try_psql(self.profile().owner(), database, ROWS);
        let rows = rows.unwrap_or_else(|error| {
            panic!("{} cannot read {database}: {error}", self.profile().owner())
        });
        rows.lines().map(str::to_owned).collect()
    }
}

fn lines(cluster: &Cluster, database: &str, sql: &str) -> Vec<String> {
    let said = cluster.psql(database, sql);
    let mut all: Vec<String> = said.lines().map(str::to_owned).collect();
    all.sort();
    all
}
