//! Jobs of several tasks: of which moment their copies are.

use rusqlite::Connection;

use crate::support::job::{Bed, Job, Running, toml};
use crate::support::mysql;
use crate::support::postgres::{self, unique};
use crate::support::proxy::Proxy;
use crate::support::wait_until;

/// About 2 MB on the wire.
const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, filler text);
    INSERT INTO big SELECT g, repeat(md5(g::text), 16) FROM generate_series(1, 4000) AS g;";

/// After so many bytes of a connection, rows of `big` are on their way, and by far not all of them.
const IN_MID_COPY: u64 = 1024 * 1024;

/// A database of each store, each with a row that changes, behind one whose copy stands still half-way.
struct Scene {
    bed: Bed,
    /// The one that is copied first, and slowly.
    first: String,
    /// Of PostgreSQL and of MariaDB.
    second: String,
}

const TABLE: &str = "CREATE TABLE moments (id int PRIMARY KEY, word varchar(20));
    INSERT INTO moments VALUES (1, 'early')";
const LATE: &str = "UPDATE moments SET word = 'late'";
const WORD: &str = "SELECT word FROM moments";

impl Scene {
    fn new() -> Self {
        let scene = Self {
            bed: Bed::new(),
            first: unique("first"),
            second: unique("second"),
        };
        let postgres = &postgres::shared().source;
        postgres.create_db(&scene.first);
        postgres.psql(&scene.first, BIG);
        postgres.create_db(&scene.second);
        postgres.psql(&scene.second, TABLE);
        let mariadb = &mysql::shared().source;
        mariadb.create_db(&scene.second);
        mariadb.sql(&scene.second, TABLE);
        let sqlite = scene.sqlite("source.db");
        sqlite
            .execute_batch(&format!("PRAGMA journal_mode = WAL; {TABLE}"))
            .unwrap();
        scene
    }

    fn sqlite(&self, file: &str) -> Connection {
        Connection::open(self.bed.path(file)).unwrap()
    }

    /// `more` are lines of the job itself.
    fn job(&self, more: &str) -> Job {
        let first = postgres::shared().source.url("postgres", &self.first);
        self.job_from(&first, more)
    }

    /// The same with another way to the first source.
    fn job_from(&self, first: &str, more: &str) -> Job {
        let (postgres, mariadb) = (postgres::shared(), mysql::shared());
        let url = |file: &str| format!("sqlite://{}", self.bed.path(file).display());
        let ends = [
            (
                "second",
                "postgresql",
                postgres.source.url("postgres", &self.second),
                postgres.target.url("postgres", &self.second),
            ),
            (
                "third",
                "mysql",
                mariadb.source.url("root", &self.second),
                mariadb.target.url("root", &self.second),
            ),
            ("fourth", "sqlite", url("source.db"), url("target.db")),
        ];
        let mut job = Job::between(
            "postgresql",
            first,
            &postgres.target.url("postgres", &self.first),
        )
        .top(more)
        .task("throttle = \"800kB/s\"");
        for (name, kind, source, target) in ends {
            job = job.task(&format!(
                "[[task]]\nname = \"{name}\"\nkind = \"{kind}\"\nsource = {}\ntarget = {}",
                toml(&source),
                toml(&target)
            ));
        }
        job
    }

    /// Starts it and waits until the first task's rows are on their way, on which they stay until [`Proxy::go_on`].
    fn start(&self, more: &str) -> (Proxy, Running) {
        let proxy = Proxy::before(&postgres::shared().source);
        proxy.stall_after(IN_MID_COPY);
        let job = self.job_from(&proxy.url("postgres", &self.first), more);
        let mut running = self.bed.start(&self.bed.job("app", &job));
        wait_until("rows of the first task were copied", || {
            assert!(running.is_running(), "{}", running.said());
            let status = self.bed.path("status").join("app.json");
            status.exists() && self.bed.status("app")["tasks"][0]["rows"].as_u64() > Some(0)
        });
        (proxy, running)
    }

    /// Whether the first task is still being copied.
    #[track_caller]
    fn first_goes_on(&self) {
        let first = &self.bed.status("app")["tasks"][0];
        assert!(first["rows"].as_u64() < Some(4000), "{first}");
    }

    fn everything_changes(&self) {
        postgres::shared().source.psql(&self.second, LATE);
        mysql::shared().source.sql(&self.second, LATE);
        self.sqlite("source.db").execute_batch(LATE).unwrap();
        self.first_goes_on();
    }

    /// What was published of the three.
    fn published(&self) -> [String; 3] {
        [
            postgres::shared().target.psql(&self.second, WORD),
            mysql::shared().target.sql(&self.second, WORD),
            self.sqlite("target.db")
                .query_row(WORD, [], |row| row.get(0))
                .unwrap(),
        ]
    }
}

#[test]
fn all_tasks_of_a_job_are_of_the_moment_before_the_first_is_copied() {
    let scene = Scene::new();
    let (proxy, running) = scene.start("");
    scene.everything_changes();
    proxy.go_on();
    let said = running.end().expect(0);
    assert_eq!(scene.published(), ["early"; 3]);
    assert!(
        said.stderr.contains("all tasks are surveyed, so far apart"),
        "{}",
        said.stderr
    );

    // How far they lie apart is recorded, and told.
    let status = scene.bed.status("app");
    let at = |task: usize| {
        let text = status["tasks"][task]["surveyed_at"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text).unwrap()
    };
    let all = [0, 1, 2, 3].map(at);
    let apart = (*all.iter().max().unwrap() - *all.iter().min().unwrap()).num_milliseconds();
    let run = scene.bed.status_text("app", "run_id");
    let json: serde_json::Value =
        serde_json::from_str(&scene.bed.run(&["show", &run, "--json"]).expect(0).stdout).unwrap();
    let told = json["run"]["surveys_apart_ms"].as_i64().unwrap();
    assert!((told - apart).abs() <= 1, "{told} {apart}");
    assert_eq!(
        json["run"]["tasks"][2]["surveyed_at"],
        status["tasks"][2]["surveyed_at"]
    );
    scene
        .bed
        .run(&["show", &run])
        .expect(0)
        .says(&["surveyed", &format!("all tasks within {told} ms")]);
}

#[test]
fn with_point_in_time_task_each_is_of_the_moment_when_its_turn_came() {
    let scene = Scene::new();
    let (proxy, running) = scene.start("point_in_time = \"task\"");
    scene.everything_changes();
    proxy.go_on();
    running.end().expect(0);
    assert_eq!(scene.published(), ["late"; 3]);
}

#[test]
fn a_source_that_is_lost_while_its_task_waits_ends_the_run_at_once() {
    let scene = Scene::new();
    let (proxy, running) = scene.start("");
    let ended = format!(
        "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
         WHERE datname = '{}' AND application_name LIKE '%envsync%'",
        scene.second
    );
    assert_eq!(postgres::shared().source.psql("postgres", &ended), "t");
    running.end().expect(1).says(&["task second"]);
    scene.first_goes_on();
    drop(proxy);
    let states: Vec<String> = scene.bed.status("app")["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states[1], "failed", "{states:?}");
    assert!(!scene.bed.path("target.db").exists());
    for name in [&scene.first, &scene.second] {
        assert!(!postgres::shared().target.databases().contains(name));
    }
}

#[test]
fn a_task_that_cannot_be_published_is_refused_before_any_is_copied() {
    let scene = Scene::new();
    let target = &postgres::shared().target;
    let role = unique("low");
    target.psql("postgres", &format!("CREATE ROLE {role} LOGIN"));
    let job = scene.job("").to_string();
    let ours = toml(&target.url("postgres", &scene.second));
    let lacking = toml(&target.url(&role, &scene.second));
    assert!(job.contains(&ours), "{job}");
    let file = scene.bed.file("app.toml", &job.replace(&ours, &lacking));
    scene
        .bed
        .once(&file)
        .expect(1)
        .says(&["task second", "CREATEDB"]);
    assert_eq!(scene.bed.status("app")["tasks"][0]["rows"], 0);
}

#[test]
fn what_one_task_writes_no_other_one_reads() {
    let scene = Scene::new();
    let postgres = postgres::shared();
    // Both of them would be production's, were it not for what the servers say.
    let first = toml(&postgres.source.url("postgres", &scene.first));
    let written = toml(&postgres.target.url("postgres", &scene.second));
    postgres.target.create_db(&scene.second);
    let text = scene.job("").to_string().replace(&first, &written);
    let file = scene.bed.file("app.toml", &text);
    for verb in ["plan", "run"] {
        scene
            .bed
            .with_file(verb, &file)
            .expect(3)
            .says(&["task postgresql", "what it reads, task second writes"]);
    }
}
