//! A second opinion: what a published database holds is held against what the servers' own dump tool brings from the source
//! into a fresh one of the same server. Nothing of ours decides what is right.

use std::process::Stdio;

use super::databases::{ACCOUNTS, Databases};
use super::place::bare;
use super::{Server, Version, quote};
use crate::support::dump::assert_equal;
use crate::support::postgres::{tools, unique};

/// Those who may have made a copy's objects.
const DEFINERS: &[&str] = &["modest_owner", "modest_reader"];

impl Databases {
    /// Live is what a dump of the source makes of it, definitions and rows, computed columns included, and all of it can be
    /// read. For copies that leave nothing out; the source is as it was when it was copied.
    #[track_caller]
    pub(crate) fn assert_published(&self) {
        let target = self.target_server();
        if self.profile().is_of_one_maker() {
            let fresh = self.bring_by_dump();
            assert_equal(&all(target, &fresh), &all(target, &self.to));
            target.sql("", &format!("DROP DATABASE {}", quote(&fresh)));
        }
        // Whoever the application is: a view's definer has to have the rights.
        let views =
            "SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()";
        for view in target.sql(&self.to, views).lines() {
            let asked = format!("SELECT COUNT(*) FROM {}", quote(view));
            let read = target.try_sql("modest_owner", &self.to, &asked);
            // Where all is as it always was, there is no such user.
            let read = read.or_else(|_| target.try_sql("root", &self.to, &asked));
            read.unwrap_or_else(|error| panic!("view {view} cannot be read: {error}"));
        }
        self.check_others();
    }

    /// A fresh database on the target's server, filled by the source's dump tool and the client.
    fn bring_by_dump(&self) -> String {
        let (source, target) = (self.source_server(), self.target_server());
        let fresh = unique("fresh");
        let own = "SELECT CONCAT('CHARACTER SET ', default_character_set_name, ' COLLATE ', default_collation_name)
            FROM information_schema.schemata WHERE schema_name = DATABASE()";
        let own = source.sql(&self.from, own);
        target.sql("", &format!("CREATE DATABASE {fresh} {own}"));
        let mut dump = match source.version() {
            Version::Oracle => {
                let mut dump = bare(tools("mysql/bin/mysqldump"));
                dump.args(["--no-defaults", "--set-gtid-purged=OFF", "--no-tablespaces"]);
                dump
            }
            Version::System | Version::Newer => {
                let mut dump = bare("mariadb-dump");
                dump.arg("--no-defaults");
                dump
            }
        };
        let mut dump = dump
            .args([
                "--user=root",
                "--single-transaction",
                "--routines",
                "--triggers",
            ])
            .args(["--events", "--hex-blob", "--default-character-set=utf8mb4"])
            .arg(format!("--socket={}", source.socket().display()))
            .arg(format!("--ignore-table={}.{ACCOUNTS}", self.from))
            .arg(&self.from)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the dump tool");
        let loaded = bare("mariadb")
            .args([
                "--no-defaults",
                "--user=root",
                "--default-character-set=utf8mb4",
                "--binary-mode",
            ])
            .arg(format!("--socket={}", target.socket().display()))
            .arg(&fresh)
            .stdin(dump.stdout.take().expect("piped"))
            .output()
            .expect("mariadb");
        let dumped = dump.wait().expect("our child");
        let complaint = String::from_utf8_lossy(&loaded.stderr);
        assert!(
            dumped.success() && loaded.status.success(),
            "the dump of {} cannot be loaded: {complaint}",
            self.from
        );
        fresh
    }
}

/// Definitions and rows, whoever made them.
fn all(server: &Server, database: &str) -> Vec<String> {
    let mut all = server.definitions(database);
    all.extend(server.rows(database));
    all.retain(|entry| !entry.contains(ACCOUNTS));
    for entry in &mut all {
        for name in DEFINERS {
            *entry = entry
                .replace(&format!("`{name}`@`localhost`"), "`root`@`localhost`")
                .replace(&format!("{name}@localhost"), "root@localhost");
        }
    }
    all
}
