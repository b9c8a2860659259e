//! All that a database holds, to be compared with another one's.

use super::postgres::{Cluster, Must, bare};

impl Cluster {
    /// Everything in a database in an order that depends on nothing but itself: `pg_dump`'s entries and the rows in
    /// them, and the rows of materialized views. Two databases are equal when these are. Publications and
    /// subscriptions are not in it.
    pub(crate) fn pg_dump(&self, database: &str) -> Vec<String> {
        self.pg_dump_by(&self.program("pg_dump"), database)
    }

    /// The same, as another version's `pg_dump` sees it.
    pub(crate) fn pg_dump_by(&self, program: &std::path::Path, database: &str) -> Vec<String> {
        let speak = self.psql(
            database,
            "SELECT CASE WHEN getdatabaseencoding() = 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END",
        );
        let output = bare(program)
            .args(["--no-publications", "--no-subscriptions", "--encoding"])
            .arg(&speak)
            .arg("--dbname")
            .arg(self.url("postgres", database))
            .must("pg_dump");
        let mut entries = entries(&without_marks(&output));
        let views = self.psql(
            database,
            &format!("SET client_encoding = {speak}; SELECT format('%I.%I', schemaname, matviewname) FROM pg_matviews WHERE ispopulated ORDER BY 1"),
        );
        for view in views.lines() {
            let rows = self.psql(
                database,
                &format!("SET client_encoding = {speak}; SELECT v::text FROM {view} AS v ORDER BY v::text COLLATE \"C\""),
            );
            entries.push(format!("-- Rows of materialized view {view}\n{rows}"));
        }
        entries
    }

    /// Brings a database into a new one of another server by nothing but a version's `pg_dump` and psql.
    pub(crate) fn bring_by(
        &self,
        program: &std::path::Path,
        database: &str,
        to: &Self,
        name: &str,
    ) {
        let dump = bare(program)
            .args(["--no-publications", "--no-subscriptions", "--dbname"])
            .arg(self.url("postgres", database))
            .must("pg_dump");
        to.create_db(name);
        // A setting of the newest servers alone: psql would stop at it.
        let dump = without_marks(&dump).replace("\nSET transaction_timeout = 0;\n", "\n");
        to.psql(name, &dump);
    }

    /// What a query returns, in COPY's binary format: the values bit by bit, whatever their text would show.
    pub(crate) fn binary(&self, database: &str, query: &str) -> Vec<u8> {
        let output = self
            .psql_command("postgres", database)
            .arg("-c")
            .arg(format!("COPY ({query}) TO STDOUT (FORMAT binary)"))
            .output()
            .expect("psql");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{query}: {complaint}");
        output.stdout
    }
}

/// A database's definitions, likewise: what `pg_dump --schema-only` says of it.
pub(crate) fn schema_of(cluster: &Cluster, database: &str) -> Vec<String> {
    let output = bare(cluster.program("pg_dump"))
        .args(["--schema-only", "--no-publications", "--no-subscriptions"])
        .arg("--dbname")
        .arg(cluster.url("postgres", database))
        .must("pg_dump");
    entries(&without_marks(&output))
}

/// A dump without the marks that servers of late 2026 leave among a column's options: a `pg_dump` of another version
/// writes them down as if one could set them.
fn without_marks(dump: &str) -> String {
    dump.split_inclusive('\n')
        .filter_map(|line| match line.split_once(" SET (pg_attver=") {
            Some((before, after)) if before.starts_with("ALTER ") => after
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .strip_prefix(", ")
                .map(|others| format!("{before} SET ({others}")),
            _ => Some(line.to_owned()),
        })
        .collect()
}

/// Panics unless both databases hold the same, and says which entries differ.
#[track_caller]
pub(crate) fn assert_equal(source: &[String], target: &[String]) {
    let lines = |title: &str, these: &[String], those: &[String]| {
        let those: std::collections::BTreeSet<&String> = those.iter().collect();
        these
            .iter()
            .filter(|entry| !those.contains(*entry))
            .fold(String::new(), |told, entry| {
                let start: String = entry.chars().take(1500).collect();
                told + &format!("=== only {title}:\n{start}\n")
            })
    };
    assert!(
        source == target,
        "the databases differ\n{}{}",
        lines("in the source", source, target),
        lines("in the target", target, source)
    );
}

/// A dump's entries, each with its header; entries and COPY's rows sorted.
fn entries(dump: &str) -> Vec<String> {
    let mut entries = vec![String::new()];
    let mut rows: Option<Vec<&str>> = None;
    for line in dump.lines() {
        if let Some(copied) = &mut rows {
            if line == "\\." {
                copied.sort_unstable();
                let entry = entries.last_mut().expect("never empty");
                *entry += &copied.join("\n");
                *entry += "\n\\.\n";
                rows = None;
            } else {
                copied.push(line);
            }
            continue;
        }
        if line.starts_with("-- Name: ") || line.starts_with("-- Data for Name: ") {
            entries.push(String::new());
        }
        // What speaks of the dump or its session instead of the database.
        let noise = line.is_empty()
            || line == "--"
            || (line.starts_with("SET ") && !line.starts_with("SET SESSION AUTHORIZATION "))
            || [
                "SELECT pg_catalog.set_config(",
                "\\restrict ",
                "\\unrestrict ",
            ]
            .iter()
            .any(|start| line.starts_with(start))
            || ["-- Dumped ", "-- PostgreSQL database dump"]
                .iter()
                .any(|start| line.starts_with(start));
        if !noise {
            let entry = entries.last_mut().expect("never empty");
            *entry += line;
            entry.push('\n');
        }
        if line.starts_with("COPY ") && line.ends_with(" FROM stdin;") {
            rows = Some(Vec::new());
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries.sort();
    entries
}
