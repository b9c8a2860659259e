//! A source's and a target's database as the running test's profile has them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::profiles::Profile;
use super::{Pair, Server, Version, quote};
use crate::support::postgres::{tools, unique};
use crate::support::profile;

/// Both of them, with all that a profile puts around them. The target's is made when it is asked for.
pub(crate) struct Databases {
    profile: &'static Profile,
    pair: &'static Pair,
    /// The source's.
    pub(crate) from: String,
    /// The target's.
    pub(crate) to: String,
    guests: Mutex<Vec<Guest>>,
    /// An application at work.
    _writer: Option<Writer>,
}

/// The table that others write to: two accounts; whoever sees one moment sees a sum of 0.
pub(super) const ACCOUNTS: &str = "others_accounts";

/// One transaction of theirs.
const WORK: &str = "START TRANSACTION; UPDATE others_accounts SET balance = balance + 1, note = UUID() WHERE id = 1;
    DELETE FROM others_accounts WHERE id = 2; INSERT INTO others_accounts SELECT 2, -balance, NULL FROM others_accounts WHERE id = 1;
    COMMIT;";

impl Databases {
    /// Of the running test's profile.
    pub(crate) fn new() -> Self {
        Self::under(profile::of_this_test())
    }

    /// Of the running test's profile, among those where `root` copies between servers of the system's version, and nobody
    /// writes: for tests that look closely at what is said and done.
    pub(crate) fn quiet() -> Self {
        Self::under(profile::among(Profile::is_quiet))
    }

    /// Of this one.
    pub(crate) fn under(profile: &'static Profile) -> Self {
        let pair = profile.servers();
        let (from, to) = (unique("from"), unique("to"));
        make(profile, &pair.source, &from);
        let mut guests = Vec::new();
        if profile.has_leftovers() {
            let mut snapshot = Guest::at(&pair.source, &from);
            snapshot.ask("START TRANSACTION WITH CONSISTENT SNAPSHOT");
            let mut below = Guest::at(&pair.target, "mysql");
            below.ask("START TRANSACTION WITH CONSISTENT SNAPSHOT");
            guests.extend([snapshot, below]);
            let theirs = previous_of_others(&to);
            pair.target.create_db(&theirs);
            pair.target
                .sql(&theirs, "CREATE TABLE theirs AS SELECT 'kept' AS a");
        }
        let writer = profile.has_writers().then(|| {
            let accounts = "CREATE TABLE others_accounts (id int PRIMARY KEY, balance int NOT NULL, note text);
                INSERT INTO others_accounts VALUES (1, 0, NULL), (2, 0, NULL)";
            pair.source.sql(&from, accounts);
            Writer::start(Guest::at(&pair.source, &from))
        });
        Self {
            profile,
            pair,
            from,
            to,
            guests: Mutex::new(guests),
            _writer: writer,
        }
    }

    /// What they are under.
    pub(super) fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// The source's server.
    pub(crate) fn source_server(&self) -> &'static Server {
        &self.pair.source
    }

    /// The target's.
    pub(crate) fn target_server(&self) -> &'static Server {
        &self.pair.target
    }

    /// The source as the job's reader has it.
    pub(crate) fn source_url(&self) -> String {
        self.source_url_of(&self.from)
    }

    /// Another database of the source's server, likewise.
    pub(crate) fn source_url_of(&self, database: &str) -> String {
        self.pair.source.url(self.profile.reader(), database)
    }

    /// The target as the job's writer has it.
    pub(crate) fn target_url(&self) -> String {
        self.pair.target.url(self.profile.writer(), &self.to)
    }

    /// How many sessions of others stay in live.
    pub(crate) fn guests_in_live(&self) -> usize {
        usize::from(self.profile.has_leftovers())
    }

    /// Live, unless it is there.
    pub(crate) fn make_live(&self) {
        if self.pair.target.databases().contains(&self.to) {
            return;
        }
        make(self.profile, &self.pair.target, &self.to);
        if self.profile.has_leftovers() {
            let idle = Guest::at(&self.pair.target, &self.to);
            self.guests.lock().expect("no panic").push(idle);
        }
    }

    /// What the target's server has beside live that bears its name: incoming, previous. What the profile put there is
    /// not in it.
    pub(crate) fn beside(&self) -> Vec<String> {
        let theirs = previous_of_others(&self.to);
        let mut all = self.pair.target.databases();
        all.retain(|name| name.contains(&self.to) && *name != self.to && *name != theirs);
        all
    }

    /// Live's tables but those of others.
    pub(crate) fn tables(&self) -> Vec<String> {
        let mut all = self.pair.target.tables(&self.to);
        all.retain(|name| name != ACCOUNTS);
        all
    }

    /// Variables for the binary.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        if self.pair.source.version() != Version::Oracle {
            return Vec::new();
        }
        // Whoever has MySQL has its own dump tool.
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", tools("mysql/bin").display());
        vec![("PATH".to_owned(), path)]
    }

    /// How many rows of others the source has.
    pub(crate) fn rows_of_others(&self) -> u64 {
        if self.profile.has_writers() { 2 } else { 0 }
    }

    /// What others had before is there, and what they have in the copy is of one moment.
    #[track_caller]
    pub(super) fn check_others(&self) {
        if self.profile.has_leftovers() {
            let theirs = previous_of_others(&self.to);
            assert_eq!(
                self.pair.target.sql(&theirs, "SELECT a FROM theirs"),
                "kept"
            );
        }
        if self.profile.has_writers() {
            let sum = "SELECT SUM(balance), COUNT(*) FROM others_accounts";
            let sum = self.pair.target.sql(&self.to, sum);
            assert_eq!(sum, "0|2", "rows of two moments were copied");
        }
    }
}

/// A database as a profile has it.
fn make(profile: &Profile, server: &Server, name: &str) {
    let sql = format!("CREATE DATABASE {} {}", quote(name), profile.create());
    server.sql("", &sql);
}

/// A name that begins like one of ours.
fn previous_of_others(live: &str) -> String {
    format!("{live}_previous_old")
}

/// A session of `root` that stays until it is dropped.
struct Guest {
    client: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Guest {
    fn at(server: &Server, database: &str) -> Self {
        let mut client = server
            .client("root", database)
            .args(["--skip-xml", "--batch", "--skip-column-names"])
            .arg("--init-command=SET wait_timeout = 600, autocommit = 1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script/install-test-deps installs mariadb");
        let (stdin, stdout) = (client.stdin.take(), client.stdout.take());
        let mut guest = Self {
            client,
            stdin: stdin.expect("piped"),
            stdout: BufReader::new(stdout.expect("piped")),
        };
        assert!(guest.ask("SELECT 1"), "it answers");
        guest
    }

    /// Whether it has done what it was told.
    fn ask(&mut self, sql: &str) -> bool {
        let mut answer = String::new();
        if writeln!(self.stdin, "{sql};\nSELECT 'done';").is_err() {
            return false;
        }
        while answer.trim_end() != "done" {
            answer.clear();
            if !matches!(self.stdout.read_line(&mut answer), Ok(1..)) {
                return false;
            }
        }
        true
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// A thread that writes without end.
struct Writer {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(mut session: Guest) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) && session.ask(WORK) {
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
