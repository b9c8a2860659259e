//! SQLite's profiles: how the two files are and who else has them open; and a second opinion on what was published.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::dump::assert_equal;
use super::postgres::Must;
use super::profile::profiles;

/// Files of one kind.
pub(crate) struct Profile {
    name: &'static str,
    /// What the source's file is made with.
    source: &'static str,
    /// What the target's is.
    target: &'static str,
    /// The files' permissions.
    mode: Option<u32>,
    /// Somebody reads the source, and live, and does not end.
    leftovers: bool,
    /// Somebody writes into the source all the time.
    writers: bool,
}

/// As the tests' files always were.
const PLAIN: Profile = Profile {
    name: "plain",
    source: "",
    target: "",
    mode: None,
    leftovers: false,
    writers: false,
};

profiles! { $ Profile under_each_sqlite
    plain {}
    small_pages { source: "PRAGMA page_size = 512", target: "PRAGMA page_size = 65536" }
    large_pages { source: "PRAGMA page_size = 65536; PRAGMA auto_vacuum = FULL" }
    utf16 { source: "PRAGMA encoding = 'UTF-16be'; PRAGMA auto_vacuum = INCREMENTAL" }
    utf16_below { target: "PRAGMA encoding = 'UTF-16le'; PRAGMA page_size = 8192" }
    log_above { source: "PRAGMA journal_mode = wal" }
    log_below { target: "PRAGMA journal_mode = wal" }
    numbered {
        source: "PRAGMA user_version = -7; PRAGMA application_id = 1196444487; PRAGMA secure_delete = on",
        target: "PRAGMA user_version = 9",
        mode: Some(0o640),
    }
    leftovers_of_others {
        source: "PRAGMA journal_mode = wal",
        target: "PRAGMA journal_mode = wal",
        leftovers: true,
    }
    busy { source: "PRAGMA journal_mode = wal", writers: true }
}

impl super::profile::Profile for Profile {
    const KIND: &'static str = "sqlite";

    fn all() -> &'static [Self] {
        ALL
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

/// A source's and a target's file as the running test's profile has them.
pub(crate) struct Files {
    profile: &'static Profile,
    /// The source's.
    pub(crate) source: PathBuf,
    /// The target's, which may not be there.
    pub(crate) target: PathBuf,
    guests: std::cell::RefCell<Vec<Connection>>,
    _writer: Option<Writer>,
}

/// The table that others write to.
const ACCOUNTS: &str = "others_accounts";

impl Files {
    /// Of the running test's profile: a source without a table of ours.
    pub(crate) fn new(source: PathBuf, target: PathBuf) -> Self {
        Self::under(super::profile::of_this_test(), source, target)
    }

    /// Of this one.
    pub(crate) fn under(profile: &'static Profile, source: PathBuf, target: PathBuf) -> Self {
        let made = Connection::open(&source).expect("a database");
        // A file is made by the first that is written.
        let first = format!(
            "{}; PRAGMA user_version = 3; {}; VACUUM;",
            profile.source, profile.source
        );
        made.execute_batch(&first).expect("our own SQL");
        profile.allow(&source);
        let mut guests = Vec::new();
        if profile.leftovers {
            guests.push(reader(&source));
        }
        drop(made);
        let writer = profile.writers.then(|| Writer::start(open(&source)));
        Self {
            profile,
            source,
            target,
            guests: guests.into(),
            _writer: writer,
        }
    }

    /// Live, unless it is there.
    pub(crate) fn make_live(&self) {
        if self.target.exists() {
            return;
        }
        let made = Connection::open(&self.target).expect("a database");
        let first = format!("{}; PRAGMA user_version = 2; VACUUM;", self.profile.target);
        made.execute_batch(&first).expect("our own SQL");
        self.profile.allow(&self.target);
        if self.profile.leftovers {
            self.guests.borrow_mut().push(reader(&self.target));
        }
    }

    /// Whether a table is somebody else's.
    pub(crate) fn is_of_others(table: &str) -> bool {
        table == ACCOUNTS
    }

    /// How many rows of others the source has.
    pub(crate) fn rows_of_others(&self) -> u64 {
        if self.profile.writers { 2 } else { 0 }
    }

    /// Live is what the shell's `.dump` of the source makes of it, has all of it that is computed, and is as sound as a
    /// file can be. For copies that leave nothing out; the source is as it was when it was copied.
    #[track_caller]
    pub(crate) fn assert_published(&self) {
        let fresh = tempfile::NamedTempFile::new().expect("a file");
        let dump = dump_of(&self.source);
        let encoding = asked(&self.source, "PRAGMA encoding").concat();
        let made = Connection::open(fresh.path()).expect("a database");
        made.execute_batch(&format!("PRAGMA encoding = '{encoding}'; {dump}"))
            .expect("a dump can be loaded");
        drop(made);
        let lines = |path: &Path| {
            let mut lines: Vec<String> = dump_of(path).lines().map(str::to_owned).collect();
            lines.retain(|line| !line.contains(ACCOUNTS));
            lines.sort();
            lines.extend(rows_of(path, exactly));
            lines
        };
        assert_equal(&lines(&self.source), &lines(&self.target));
        // The last digits of a number with a fraction are lost in a dump's text.
        assert_equal(
            &rows_of(fresh.path(), nearly),
            &rows_of(&self.target, nearly),
        );
        assert_eq!(asked(&self.target, "PRAGMA integrity_check"), ["ok"]);
        assert!(asked(&self.target, "PRAGMA foreign_key_check").is_empty());
        for what in ["encoding", "user_version", "application_id"] {
            let of = |path: &Path| asked(path, &format!("PRAGMA {what}"));
            assert_eq!(of(&self.source), of(&self.target), "{what}");
        }
        if self.profile.writers {
            let sum = "SELECT sum(balance) || '|' || count(*) FROM others_accounts";
            assert_eq!(
                asked(&self.target, sum),
                ["0|2"],
                "rows of two moments were copied"
            );
        }
        if let Some(mode) = self.profile.mode {
            use std::os::unix::fs::PermissionsExt;
            let found = self.target.metadata().expect("it is there").permissions();
            assert_eq!(found.mode() & 0o777, mode, "who may read and write it");
        }
    }
}

impl Profile {
    fn allow(&self, file: &Path) {
        use std::os::unix::fs::PermissionsExt;
        if let Some(mode) = self.mode {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file, mode).expect("our file");
        }
    }
}

/// What the shell's `.dump` prints. Whatever its user has in a file of settings is no matter.
fn dump_of(file: &Path) -> String {
    Command::new("sqlite3")
        .args(["-batch", "-init", "/dev/null", "-readonly"])
        .arg(file)
        .arg(".dump")
        .must("sqlite3")
}

/// The first column of a query.
fn asked(file: &Path, sql: &str) -> Vec<String> {
    let connection = open(file);
    let mut statement = connection.prepare(sql).expect("our own SQL");
    let mut rows = statement.query([]).expect("our own SQL");
    let mut all = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        all.push(exactly(row.get_ref(0).expect("a column")));
    }
    all
}

/// Every row of every table and view, generated columns included.
fn rows_of(file: &Path, show: fn(ValueRef<'_>) -> String) -> Vec<String> {
    let connection = open(file);
    let names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut all = Vec::new();
    for name in asked(file, names) {
        if Files::is_of_others(&name) {
            continue;
        }
        let sql = format!("SELECT * FROM \"{}\"", name.replace('"', "\"\""));
        let mut statement = connection.prepare(&sql).expect("it can be read");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("it can be read");
        while let Some(row) = rows.next().expect("it can be read") {
            let values: Vec<String> = (0..columns)
                .map(|column| show(row.get_ref(column).expect("a column")))
                .collect();
            all.push(format!("row of {name}: {}", values.join("|")));
        }
    }
    all.sort();
    all
}

fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).expect("a database");
    connection
        .busy_timeout(Duration::from_secs(20))
        .expect("a timeout");
    connection
}

fn exactly(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn nearly(value: ValueRef<'_>) -> String {
    match value {
        // The sign of nothing is lost, too.
        ValueRef::Real(number) => format!("{:.9e}", number + 0.0),
        other => exactly(other),
    }
}

/// A reader in the middle of a transaction.
fn reader(file: &Path) -> Connection {
    let connection = open(file);
    connection
        .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
        .expect("our own SQL");
    connection
}

/// A thread that writes without end.
struct Writer {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(connection: Connection) -> Self {
        connection
            .execute_batch(
                "PRAGMA synchronous = off; CREATE TABLE others_accounts (id integer PRIMARY KEY, balance integer, note text);
                 INSERT INTO others_accounts VALUES (1, 0, NULL), (2, 0, NULL)",
            )
            .expect("our own SQL");
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let work = "BEGIN IMMEDIATE; UPDATE others_accounts SET balance = balance + 1, note = hex(randomblob(9)) WHERE id = 1;
                UPDATE others_accounts SET balance = balance - 1 WHERE id = 2; COMMIT";
            while !told.load(Ordering::SeqCst) {
                // Whoever waited too long begins anew.
                if connection.execute_batch(work).is_err() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        Self {
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
