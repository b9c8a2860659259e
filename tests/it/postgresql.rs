//! PostgreSQL, from server to server, as its users meet it.

mod adopting;
mod collations;
mod computed;
mod constraints;
mod copying;
mod encodings;
mod equality;
mod failing;
mod faults;
mod hostile;
mod in_place;
mod kept;
mod left_out;
mod leftovers;
mod options;
mod overlay;
mod owners;
mod pacing;
mod portable;
mod privileges;
mod publishing;
mod refusing;
mod roles;
mod row_content;
mod scripted;
mod settings;
mod slices;
mod small;
mod stopping;
mod strangers;
mod values;
mod versions;

use std::path::{Path, PathBuf};

use crate::support::job::{Bed, Job, Outcome};
use crate::support::postgres::profiles::Profile;
use crate::support::postgres::{Cluster, Databases, newest_programs, quote, shared, unique};
use crate::support::proxy::Proxy;
use crate::support::wait_until;

/// Rows that make a copy last as long as a stalled network wants: about 20 MB on the wire.
const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, filler text);
    INSERT INTO big SELECT g, repeat(md5(g::text), 16) FROM generate_series(1, 40000) AS g;";

/// After so many bytes of a connection, rows of `big` are on their way and by far not all of them have arrived.
const IN_MID_COPY: u64 = 4 * 1024 * 1024;

/// Production and staging: a small database each, of different content.
struct Scene<'a> {
    bed: Bed,
    source: &'a Cluster,
    target: &'a Cluster,
    /// Production's database.
    from: String,
    /// Staging's database.
    to: String,
    /// What the running test's profile has around them, if it is under one.
    databases: Option<Databases>,
}

impl Scene<'static> {
    /// On the clusters that all tests share.
    fn new() -> Self {
        let pair = shared();
        Self::on(&pair.source, &pair.target)
    }

    /// On the servers of the running test's profile, by its users.
    fn of_this_test() -> Self {
        let databases = Databases::quiet();
        let pair = databases.servers();
        databases.make_live();
        let scene = Self {
            from: databases.from.clone(),
            to: databases.to.clone(),
            databases: Some(databases),
            ..Self::without_databases(&pair.source, &pair.target)
        };
        scene.fill();
        scene
    }
}

impl<'a> Scene<'a> {
    /// On these clusters.
    fn on(source: &'a Cluster, target: &'a Cluster) -> Self {
        let scene = Self::without_databases(source, target);
        source.create_db(&scene.from);
        target.create_db(&scene.to);
        scene.fill();
        scene
    }

    fn fill(&self) {
        self.source(
            "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
             INSERT INTO users SELECT g, 'new' FROM generate_series(1, 200) AS g;
             CREATE TABLE orders (id serial PRIMARY KEY, buyer int NOT NULL REFERENCES users, note text);
             INSERT INTO orders (buyer, note) SELECT 1 + g % 200, 'order ' || g FROM generate_series(1, 500) AS g;
             CREATE INDEX orders_buyer ON orders (buyer);",
        );
        self.live(
            "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
             INSERT INTO users VALUES (1, 'old');
             CREATE TABLE only_live (a text); INSERT INTO only_live VALUES ('mine');",
        );
    }

    /// Only names.
    fn without_databases(source: &'a Cluster, target: &'a Cluster) -> Self {
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
    fn source(&self, sql: &str) -> String {
        match &self.databases {
            Some(databases) => databases.source(sql),
            None => self.source.psql(&self.from, sql),
        }
    }

    /// Runs SQL on staging.
    fn live(&self, sql: &str) -> String {
        match &self.databases {
            Some(databases) => databases.live(sql),
            None => self.target.psql(&self.to, sql),
        }
    }

    /// A job from one to the other, as `postgres` on both sides or as the profile has it.
    fn job(&self) -> Job {
        let target = self.target.url(self.writer(), &self.to);
        Job::between(
            "postgresql",
            &self.source.url(self.reader(), &self.from),
            &target,
        )
    }

    /// Who reads production.
    fn reader(&self) -> &'static str {
        let profile = self.databases.as_ref().map(Databases::profile);
        profile.map_or("postgres", Profile::reader)
    }

    /// Who writes staging.
    fn writer(&self) -> &'static str {
        let profile = self.databases.as_ref().map(Databases::profile);
        profile.map_or("postgres", Profile::writer)
    }

    /// A job that reads through a proxy which stalls in the middle of `big`'s rows.
    fn job_that_stalls(&self) -> (Job, Proxy) {
        self.source(BIG);
        let proxy = Proxy::before(self.source);
        proxy.stall_after(IN_MID_COPY);
        let target = self.target.url("postgres", &self.to);
        let job = Job::between("postgresql", &proxy.url("postgres", &self.from), &target);
        (job, proxy)
    }

    /// Waits until nobody is in production any more: a client that has done its work is gone before its session is.
    fn source_is_left(&self) {
        let sessions = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND backend_type = 'client backend'",
            self.from
        );
        wait_until("everybody has left production", || {
            self.source.psql("postgres", &sessions) == "0"
        });
    }

    /// Runs a verb where the newest `pg_dump` that the tests have is the machine's own.
    fn with_newest_pg_dump(&self, verb: &[&str], file: &Path) -> Outcome {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.bed.command();
        command
            .env("PATH", format!("{}:{path}", newest_programs().display()))
            .args(verb)
            .arg("-f")
            .arg(file);
        self.bed.spawn(&mut command).end()
    }

    /// Writes the job's file: `app.toml`.
    fn write(&self, job: &Job) -> PathBuf {
        self.bed.job("app", job)
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
    }

    /// Databases on the target's server that belong to this staging beside itself: incoming, previous.
    fn beside_live(&self) -> Vec<String> {
        if let Some(databases) = &self.databases {
            return databases.beside();
        }
        self.target
            .databases()
            .into_iter()
            .filter(|name| name.contains(&self.to) && *name != self.to)
            .collect()
    }

    /// Nothing of a run is left: no database, no session, no lock.
    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.beside_live(), Vec::<String>::new());
        self.sessions_have_ended();
    }

    /// Waits until no session of a run is left, and so nothing that one was still at.
    fn sessions_have_ended(&self) {
        let sessions = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%envsync%'
             AND (position('{0}' IN datname) > 0 OR position('{0}' IN query) > 0)",
            self.to
        );
        // A server notices that a client is gone when it writes to it, which may be after the client's end.
        wait_until("all sessions have ended", || {
            self.target.psql("postgres", &sessions) == "0"
        });
    }

    /// A role of the target's server that may make databases and owns staging, and no more than that.
    fn owner_of_live(&self) -> String {
        let role = unique("owner");
        let to = quote(&self.to);
        self.target.psql(
            "postgres",
            &format!("CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {to} OWNER TO {role};"),
        );
        self.live(&format!(
            "ALTER TABLE users OWNER TO {role}; ALTER TABLE only_live OWNER TO {role};"
        ));
        role
    }
}
