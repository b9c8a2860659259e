//! MariaDB, from server to server, as its users meet it.

mod archives;
mod beyond;
mod definers;
mod definitions;
mod derived;
mod differences;
mod dump_archives;
mod dumps;
mod equality;
mod faults;
mod govuk;
mod hanging;
mod hostile;
mod kept;
mod limits;
mod login;
mod lookalikes;
mod objects;
mod phases;
mod point;
mod portable;
mod privileges;
mod row_content;
mod servers;
mod settings;
mod theirs;
mod tls;
mod values;

use std::path::PathBuf;

use crate::support::job::{Bed, Job, toml};
use crate::support::mysql::{Databases, PASSWORD, Server, shared};
use crate::support::postgres::unique;
use crate::support::proxy::Proxy;

/// Rows that make a copy last as long as a stalled network wants: about 20 MB on the wire.
const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, filler text);
    INSERT INTO big SELECT seq, REPEAT(MD5(seq), 16) FROM seq_1_to_40000;";

/// After so many bytes of a connection, rows of `big` are on their way and by far not all of them have arrived.
const IN_MID_COPY: u64 = 4 * 1024 * 1024;

/// Production and staging: a small database each, of different content.
struct Scene<'a> {
    bed: Bed,
    source: &'a Server,
    target: &'a Server,
    /// Production's database.
    from: String,
    /// Staging's database.
    to: String,
    /// What the running test's profile has around them, if it is under one.
    databases: Option<Databases>,
}

/// Makes a user, or gives one more rights: `SELECT, EVENT` on `` `db`.* ``.
fn grant(server: &Server, user: &str, place: &str, privileges: &str) {
    let password = crate::support::mysql::literal(PASSWORD);
    server.sql(
        "",
        &format!("CREATE USER IF NOT EXISTS {user} IDENTIFIED BY {password}; GRANT {privileges} ON {place} TO {user}"),
    );
}

impl Scene<'static> {
    /// On the servers that all tests share.
    fn new() -> Self {
        let pair = shared();
        Self::on(&pair.source, &pair.target)
    }

    /// On the servers of the running test's profile.
    fn of_this_test() -> Self {
        let databases = Databases::quiet();
        databases.make_live();
        let (source, target) = (databases.source_server(), databases.target_server());
        let scene = Self {
            from: databases.from.clone(),
            to: databases.to.clone(),
            databases: Some(databases),
            ..Self::without_databases(source, target)
        };
        scene.fill();
        scene
    }

    /// The same with an empty production, and no staging yet.
    fn empty() -> Self {
        let pair = shared();
        let scene = Self::without_databases(&pair.source, &pair.target);
        scene.source.create_db(&scene.from);
        scene
    }
}

impl<'a> Scene<'a> {
    /// On these servers.
    fn on(source: &'a Server, target: &'a Server) -> Self {
        let scene = Self::without_databases(source, target);
        source.create_db(&scene.from);
        target.create_db(&scene.to);
        scene.fill();
        scene
    }

    fn fill(&self) {
        self.source(
            "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
             INSERT INTO users SELECT seq, 'new' FROM seq_1_to_200;
             CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, buyer int NOT NULL, note text,
               KEY orders_buyer (buyer), CONSTRAINT bought_by FOREIGN KEY (buyer) REFERENCES users (id));
             INSERT INTO orders (buyer, note) SELECT 1 + seq % 200, CONCAT('order ', seq) FROM seq_1_to_500;",
        );
        self.live(
            "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
             INSERT INTO users VALUES (1, 'old');
             CREATE TABLE only_live (a text); INSERT INTO only_live VALUES ('mine');",
        );
    }

    /// On servers of any maker, with nothing in production.
    fn on_any(source: &'a Server, target: &'a Server) -> Self {
        let scene = Self::without_databases(source, target);
        source.create_db(&scene.from);
        target.create_db(&scene.to);
        scene
    }

    /// Only names.
    fn without_databases(source: &'a Server, target: &'a Server) -> Self {
        Self {
            bed: Bed::new(),
            source,
            target,
            from: unique("prod"),
            to: unique("live"),
            databases: None,
        }
    }

    /// Runs SQL on production.
    #[track_caller]
    fn source(&self, sql: &str) -> String {
        self.source.sql(&self.from, sql)
    }

    /// Runs SQL on staging.
    #[track_caller]
    fn live(&self, sql: &str) -> String {
        self.target.sql(&self.to, sql)
    }

    /// A job from one to the other, as `root` on both sides.
    fn job(&self) -> Job {
        let (source, target) = (&self.source, &self.target);
        Job::between(
            "mysql",
            &source.url("root", &self.from),
            &target.url("root", &self.to),
        )
    }

    /// The same by a `reader` and an `owner` who have no rights over their servers.
    fn modest_job(&self) -> Job {
        let secret = self.bed.file("password", PASSWORD);
        let endpoint = |url: String| {
            format!(
                "{{ url = {}, password = {{ file = {} }} }}",
                toml(&url),
                toml(secret.to_str().expect("our paths are text"))
            )
        };
        Job::new(
            "mysql",
            &endpoint(self.source.url("reader", &self.from)),
            &endpoint(self.target.url("owner", &self.to)),
        )
    }

    /// A job that goes through these, as `root`.
    fn job_through(&self, source: &Proxy, target: &Proxy) -> Job {
        Job::between(
            "mysql",
            &source.mysql_url("root", &self.from),
            &target.mysql_url("root", &self.to),
        )
    }

    /// Writes the job's file: `app.toml`.
    fn write(&self, job: &Job) -> PathBuf {
        self.bed.job("app", job)
    }

    /// Runs it to a good end.
    #[track_caller]
    fn copy(&self, job: &Job) -> crate::support::job::Outcome {
        self.bed.once(&self.write(job)).expect(0)
    }

    /// Everyone's data is as it was before the run.
    #[track_caller]
    fn live_is_old(&self) {
        assert_eq!(
            self.live("SELECT email FROM users UNION ALL SELECT a FROM only_live"),
            "old\nmine"
        );
    }

    /// Staging has production's data.
    #[track_caller]
    fn live_is_new(&self) {
        assert_eq!(
            self.live("SELECT email, count(*) FROM users GROUP BY 1"),
            "new|200"
        );
        assert_eq!(self.live("SELECT count(*) FROM orders"), "500");
    }

    /// Databases on the target's server that belong to this staging beside itself: incoming, previous.
    fn beside_live(&self) -> Vec<String> {
        if let Some(databases) = &self.databases {
            return databases.beside();
        }
        let mut all = self.target.databases();
        all.retain(|name| name.contains(&self.to) && *name != self.to);
        all
    }

    /// Nothing of a run is left: no database, no session.
    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.beside_live(), Vec::<String>::new());
        let sessions = format!(
            "SELECT count(*) FROM information_schema.processlist WHERE db LIKE '{}%'",
            self.to
        );
        // Somebody else's stays.
        let others = self.databases.as_ref().map_or(0, Databases::guests_in_live);
        crate::support::wait_until("all sessions have ended", || {
            let there: usize = self.target.sql("", &sessions).parse().expect("a number");
            there <= others
        });
    }

    /// Both hold the same definitions and rows.
    #[track_caller]
    fn assert_same(&self) {
        self.source.assert_same(&self.from, self.target, &self.to);
    }

    /// The same, whether events are enabled or not.
    #[track_caller]
    fn assert_same_but_events(&self) {
        let all = |server: &Server, database: &str| {
            let mut all = server.definitions(database);
            all.retain(|entry| !entry.contains(" EVENT "));
            all.extend(server.rows(database));
            all
        };
        crate::support::dump::assert_equal(
            &all(self.source, &self.from),
            &all(self.target, &self.to),
        );
    }
}
