//! A source's and a target's database as the running test's profile has them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::profiles::{Profile, Servers};
use super::{Cluster, Guest, Pair, newest_programs, quote, socket_url, unique};
use crate::support::profile;

/// Both of them, with all that a profile puts around them. The target's is made when it is asked for.
pub(crate) struct Databases {
    profile: &'static Profile,
    servers: &'static Servers,
    /// The source's.
    pub(crate) from: String,
    /// The target's.
    pub(crate) to: String,
    /// Whether live is there as the profile has it, and not as a run made it.
    pub(super) live_is_ours: AtomicBool,
    guests: Mutex<Vec<Guest>>,
    /// An application at work.
    _writer: Option<Writer>,
}

/// What others have in the source: a schema `others`, without a row that stays unless they are at work.
const OTHERS: &str = "CREATE SCHEMA others; GRANT USAGE ON SCHEMA others TO visitor;";

/// An index that could not be built, and rows that hindered it and are gone.
const INVALID_INDEX: &str =
    "CREATE TABLE others.twice (a int); INSERT INTO others.twice VALUES (1), (1);";

/// Two accounts. Whoever sees one moment sees a sum of 0.
const ACCOUNTS: &str =
    "CREATE TABLE others.accounts (id int PRIMARY KEY, balance int NOT NULL, note text);
    INSERT INTO others.accounts VALUES (1, 0), (2, 0)";

/// One transaction of theirs.
const WORK: &str = "BEGIN; UPDATE others.accounts SET balance = balance + 1, note = md5(random()::text) WHERE id = 1;
    DELETE FROM others.accounts WHERE id = 2; INSERT INTO others.accounts SELECT 2, -balance FROM others.accounts WHERE id = 1;
    COMMIT; SELECT 'done'";

impl Databases {
    /// Of the running test's profile.
    pub(crate) fn new() -> Self {
        Self::under(profile::of_this_test())
    }

    /// Of the running test's profile, among those where nothing stands between the binary and two servers of the system's
    /// version, and nobody writes: for tests that look closely at what is said and done.
    pub(crate) fn quiet() -> Self {
        Self::under(profile::among(|profile: &Profile| {
            profile.is_direct() && profile.is_of_the_system_s_version() && !profile.has_writers()
        }))
    }

    /// Of this one.
    pub(crate) fn under(profile: &'static Profile) -> Self {
        let servers = profile.servers();
        let (from, to) = (unique("from"), unique("to"));
        let pair = &servers.pair;
        make(profile, &pair.source, &from);
        let as_owner = |sql: &str| run(&pair.source, profile.owner(), &from, sql);
        if !profile.is_plain() {
            as_owner(OTHERS);
        }
        let mut guests = Vec::new();
        if profile.has_leftovers() {
            as_owner(INVALID_INDEX);
            let index = "CREATE UNIQUE INDEX CONCURRENTLY invalid ON others.twice (a)";
            let failed = pair.source.try_psql(profile.owner(), &from, index);
            assert!(failed.is_err(), "there are two of them");
            as_owner("DELETE FROM others.twice");
            let mut snapshot = pair.source.guest(&from);
            snapshot.ask("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
            let mut below = pair.target.guest("postgres");
            below.ask("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
            guests.extend([snapshot, below]);
            let theirs = previous_of_others(&to);
            pair.target.create_db(&theirs);
            pair.target
                .psql(&theirs, "CREATE TABLE theirs AS SELECT 'kept' AS a");
        }
        let writer = profile.has_writers().then(|| {
            as_owner(ACCOUNTS);
            Writer::start(pair.source.guest(&from))
        });
        Self {
            profile,
            servers,
            from,
            to,
            live_is_ours: AtomicBool::new(false),
            guests: Mutex::new(guests),
            _writer: writer,
        }
    }

    /// What they are under.
    pub(crate) fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Both servers.
    pub(crate) fn servers(&self) -> &'static Pair {
        &self.servers.pair
    }

    /// The source's server.
    pub(crate) fn source_server(&self) -> &'static Cluster {
        &self.servers.pair.source
    }

    /// The target's.
    pub(crate) fn target_server(&self) -> &'static Cluster {
        &self.servers.pair.target
    }

    /// The source as the job's reader has it.
    pub(crate) fn source_url(&self) -> String {
        self.source_url_of(&self.from)
    }

    /// Another database of the source's server, likewise.
    pub(crate) fn source_url_of(&self, database: &str) -> String {
        let user = self.profile.reader();
        match &self.servers.poolers {
            Some((pooler, _)) => pooler.url(user, database),
            None => self.source_server().url(user, database),
        }
    }

    /// The target as the job's writer has it.
    pub(crate) fn target_url(&self) -> String {
        let user = self.profile.writer();
        match &self.servers.poolers {
            Some((_, pooler)) => pooler.url(user, &self.to),
            None => self.target_server().url(user, &self.to),
        }
    }

    /// Runs SQL on the source as the owner of all that is in it.
    #[track_caller]
    pub(crate) fn source(&self, sql: &str) -> String {
        run(self.source_server(), self.profile.owner(), &self.from, sql)
    }

    /// The same on live, which is made if it is not there.
    #[track_caller]
    pub(crate) fn live(&self, sql: &str) -> String {
        self.make_live();
        run(self.target_server(), self.profile.owner(), &self.to, sql)
    }

    /// Live, unless it is there.
    pub(crate) fn make_live(&self) {
        if self.live_is_ours.load(Ordering::SeqCst)
            || self.target_server().databases().contains(&self.to)
        {
            return;
        }
        make(self.profile, self.target_server(), &self.to);
        self.live_is_ours.store(true, Ordering::SeqCst);
        if self.profile.has_leftovers() {
            let idle = self.target_server().guest(&self.to);
            self.guests.lock().expect("no panic").push(idle);
        }
    }

    /// What the target's server has beside live that bears its name: incoming, previous. What the profile put there is
    /// not in it.
    pub(crate) fn beside(&self) -> Vec<String> {
        let theirs = previous_of_others(&self.to);
        let mut all = self.target_server().databases();
        all.retain(|name| name.contains(&self.to) && *name != self.to && *name != theirs);
        all
    }

    /// How many rows of others the source has.
    pub(crate) fn rows_of_others(&self) -> u64 {
        if self.profile.has_writers() { 2 } else { 0 }
    }

    /// What others had before is there, and what they have in the copy is of one moment.
    #[track_caller]
    pub(super) fn check_others(&self) {
        let target = self.target_server();
        if self.profile.has_leftovers() {
            let theirs = previous_of_others(&self.to);
            assert_eq!(target.psql(&theirs, "SELECT a FROM theirs"), "kept");
        }
        if self.profile.has_writers() {
            let sum = target.psql(
                &self.to,
                "SELECT sum(balance), count(*) FROM others.accounts",
            );
            assert_eq!(sum, "0|2", "rows of two moments were copied");
        }
    }

    /// Variables for the binary.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        if self.profile.is_of_the_system_s_version() {
            return Vec::new();
        }
        // The newest pg_dump knows all servers.
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", newest_programs().display());
        vec![("PATH".to_owned(), path)]
    }
}

/// A database as a profile has it.
fn make(profile: &Profile, cluster: &Cluster, name: &str) {
    let sql = format!("CREATE DATABASE {} OWNER {}", quote(name), profile.owner());
    cluster.psql("postgres", &sql);
    cluster.psql("postgres", &profile.settings_of(name));
    if profile.has_public_of_14() {
        let public =
            "ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO PUBLIC";
        cluster.psql(name, public);
    }
}

/// A name that begins like one of ours.
fn previous_of_others(live: &str) -> String {
    format!("{live}_previous_old")
}

#[track_caller]
fn run(cluster: &Cluster, user: &str, database: &str, sql: &str) -> String {
    let (directory, port) = (cluster.socket_directory(), cluster.port());
    // A test's own statements are about `public`, and not the matter.
    let options = "-c search_path=public -c default_tablespace= -c statement_timeout=0 -c lock_timeout=0 \
        -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off";
    let url = socket_url(&directory, port, user, database);
    cluster
        .try_psql_at(&format!("{url}&options={}", super::encode(options)), sql)
        .unwrap_or_else(|error| panic!("in {database}: {error}"))
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
            // An answer that does not come is a server that is gone.
            while !told.load(Ordering::SeqCst) && session.ask(WORK) == "done" {
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
