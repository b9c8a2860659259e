//! The suite over the toy store of `examples/jsonl`: what every store gets from the rest of the house, with nothing but a driver.
//! SQL is run on tables that are read from the store's files, and written back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Map, Value, json};

use super::sqlite::rows_of;
use super::{Lab, Scene};
use crate::support::job::{BINARY, Job, toml};

pub(super) struct Toy {
    pub(super) directory: tempfile::TempDir,
}

const VIEW: &str =
    "CREATE VIEW buyers AS SELECT users.email FROM orders JOIN users ON users.id = orders.buyer";

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A directory's tables in memory.
pub(super) fn load(directory: &Path) -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    for (name, text) in files(directory) {
        let rows: Vec<Map<String, Value>> = (text.lines())
            .map(|line| serde_json::from_str(line).expect("a row"))
            .collect();
        let columns = rows.first().map_or_else(
            || "a".to_owned(),
            |row| {
                row.keys()
                    .map(|key| quoted(key))
                    .collect::<Vec<_>>()
                    .join(", ")
            },
        );
        let table = quoted(&name);
        let made = format!("CREATE TABLE {table} ({columns})");
        connection.execute_batch(&made).expect("a table");
        for row in &rows {
            let cells: Vec<Cell> = row.values().map(cell).collect();
            let marks = vec!["?"; cells.len()].join(", ");
            let insert = format!("INSERT INTO {table} VALUES ({marks})");
            let cells = rusqlite::params_from_iter(cells);
            connection.execute(&insert, cells).expect("a row");
        }
    }
    // What is made of tables stands in none of the files.
    if ["users", "orders"]
        .iter()
        .all(|name| directory.join(format!("{name}.jsonl")).exists())
    {
        connection.execute_batch(VIEW).expect("a view");
    }
    connection
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.clone()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cell::Integer(whole),
            None => Cell::Real(number.as_f64().expect("a number")),
        },
        other => panic!("{other}"),
    }
}

/// The tables as files.
fn store(connection: &Connection, directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir(directory).expect("a directory");
    let tables = rows_of(
        connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table'",
    );
    for name in tables.lines() {
        let all = format!("SELECT * FROM {}", quoted(name));
        let mut statement = connection.prepare(&all).expect("a table");
        let columns: Vec<String> = (statement.column_names().iter())
            .map(|&name| name.to_owned())
            .collect();
        let rows = statement.query_map([], |row| {
            let cells = columns.iter().enumerate().map(|(place, column)| {
                let value = match row.get::<_, Cell>(place)? {
                    Cell::Null => Value::Null,
                    Cell::Integer(number) => json!(number),
                    Cell::Real(number) => json!(number),
                    Cell::Text(text) => json!(text),
                    Cell::Blob(_) => panic!("no bytes"),
                };
                Ok((column.clone(), value))
            });
            cells.collect::<rusqlite::Result<Map<_, _>>>()
        });
        let lines = rows
            .expect("rows")
            .map(|row| format!("{}\n", Value::Object(row.expect("a row"))));
        let file = directory.join(format!("{name}.jsonl"));
        fs::write(file, lines.collect::<String>()).expect("a file");
    }
}

/// The texts of a directory's files, by name.
pub(super) fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.map(|entry| {
        let name = entry.file_name().into_string().expect("our names are text");
        let name = name.strip_suffix(".jsonl").expect("a table").to_owned();
        (name, fs::read_to_string(entry.path()).expect("a file"))
    });
    files.collect()
}

impl Toy {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("jsonl://{}", self.path(name).display())
    }

    pub(super) fn run(&self, name: &str, sql: &str) -> String {
        let connection = load(&self.path(name));
        let answer = rows_of(&connection, sql);
        store(&connection, &self.path(name));
        answer
    }
}

impl Lab for Toy {
    const KIND: &'static str = "jsonl";

    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd-jsonl-")
            .tempdir()
            .expect("a temporary directory");
        fs::create_dir(directory.path().join("source")).expect("a directory");
        Self { directory }
    }

    fn program() -> String {
        let program = Path::new(BINARY).with_file_name("examples").join("toy");
        assert!(program.exists(), "run first: cargo build --example toy");
        program.to_str().expect("our paths are text").to_owned()
    }

    fn source_url(&self) -> String {
        self.url("source")
    }

    fn target_url(&self) -> String {
        self.url("live")
    }

    fn computed() -> &'static str {
        ""
    }

    fn source(&self, sql: &str) -> String {
        self.run("source", sql)
    }

    fn live(&self, sql: &str) -> String {
        self.run("live", sql)
    }

    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path())
            .expect("a directory")
            .flatten();
        let names = entries.map(|entry| entry.file_name().into_string().expect("text"));
        names
            .filter(|name| name != "source" && name != "live")
            .collect()
    }

    fn tables(&self) -> Vec<String> {
        files(&self.path("live")).into_keys().collect()
    }

    fn rows_of_others(&self) -> u64 {
        0
    }

    fn assert_published(&self) {
        assert_eq!(files(&self.path("live")), files(&self.path("source")));
    }

    fn missing(&self) -> (String, String) {
        (self.url("missing"), "missing".to_owned())
    }
}

super::conforms! { Toy:
    a_first_copy_makes_the_target
    a_refresh_replaces_what_was_live_and_what_the_source_lost_is_gone
    an_excluded_table_does_not_arrive
    names_are_compared_whole
    a_table_of_schema_only_arrives_without_rows
    a_copy_is_verified_by_checksum
    rollback_returns_the_old_and_again_the_new
    previous_is_dropped_if_the_job_says_so
    only_one_previous_is_kept
    what_a_killed_run_left_is_gone_after_the_next
    a_run_that_is_terminated_leaves_nothing
    a_second_run_of_one_target_is_turned_away
    a_held_environment_is_left_alone
    data_never_flows_uphill
    a_thing_is_never_copied_onto_itself
    a_source_that_is_missing_fails_the_run_and_is_named
    tables_and_columns_with_odd_names_arrive
    an_empty_source_empties_the_target
    values_arrive_as_they_were
    the_status_file_says_what_the_run_did
}

#[test]
fn a_store_that_is_one_folder_is_pushed_and_pulled() {
    let scene = Scene::<Toy>::new();
    let archive = format!("file://{}", scene.bed.path("archive").display());
    fs::create_dir(scene.bed.path("archive")).expect("a directory");
    let push = Job::new("jsonl", &toml(&scene.lab.source_url()), &toml(&archive));
    scene.once(&scene.bed.job("push", &push)).expect(0);
    scene.lab.source("DELETE FROM users");
    let pull = Job::new("jsonl", &toml(&archive), &toml(&scene.lab.target_url()));
    let pull = scene.bed.job("pull", &pull.task("exclude = [\"orders\"]"));
    scene.once(&pull).expect(0);
    let live = "SELECT id, email FROM users ORDER BY id";
    assert_eq!(scene.lab.live(live), "1|new\n2|new\n3|");
    assert_eq!(scene.lab.tables(), ["users"]);
}

#[test]
fn what_the_store_cannot_do_is_refused_with_its_line() {
    let scene = Scene::<Toy>::new();
    let job = scene.write(&scene.job().task("keep = [\"users\"]"));
    scene.once(&job).expect(2).says(&["keep", "JSON lines"]);
    let shown = scene
        .bed
        .run(&["validate", "-f", job.to_str().expect("text")]);
    shown.expect(2).says(&["app.toml:", "keep"]);
    scene.live_is_old();
}

/// The page for whoever adds a store shows what is there.
#[test]
fn the_page_on_new_stores_quotes_the_toy_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/developing/a-new-store.md")).expect("the page");
    let toy = fs::read_to_string(root.join("examples/jsonl/mod.rs")).expect("the toy");
    assert!(
        toy.lines().count() <= 300,
        "it is an example: {}",
        toy.lines().count()
    );
    let mut quotes = 0;
    for block in page.split("```rust\n").skip(1) {
        let (code, _) = block.split_once("```").expect("an end");
        assert!(toy.contains(code), "not in the toy:\n{code}");
        quotes += 1;
    }
    assert!(quotes > 3);
}
