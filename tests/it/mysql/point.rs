//! One point in time: rows that belong together are together in the copy, and nobody on the source waits for it.

use std::process::{Child, Stdio};

use super::{Scene, grant};
use crate::support::job::Job;
use crate::support::mysql::{PASSWORD, Server, Version};
use crate::support::postgres::unique;
use crate::support::proxy::Proxy;
use crate::support::wait_until;

/// Two tables whose amounts are 0 in all.
const ACCOUNTS: &str = "CREATE TABLE a (id int AUTO_INCREMENT PRIMARY KEY, amount bigint NOT NULL, filler varchar(200));
    INSERT INTO a (amount, filler) VALUES (0, REPEAT('x', 200)), (0, REPEAT('x', 200)), (0, REPEAT('x', 200)), (0, REPEAT('x', 200));
    INSERT INTO a (amount, filler) SELECT 0, a1.filler FROM a AS a1, a AS a2, a AS a3, a AS a4, a AS a5, a AS a6, a AS a7;
    CREATE TABLE b AS SELECT id, amount FROM a;
    ALTER TABLE b ADD PRIMARY KEY (id);";

/// Moves amounts until it is told to stop, and notes for how many microseconds it had to wait at the most.
const MOVER: &str = r"CREATE TABLE flag (go int, longest bigint, moves bigint) ENGINE = MyISAM; INSERT INTO flag VALUES (1, 0, 0);
    DELIMITER //
    CREATE PROCEDURE move_on() BEGIN
      DECLARE waited, n, took bigint DEFAULT 0;
      DECLARE start datetime(6);
      WHILE (SELECT go FROM flag) DO
        SET start = SYSDATE(6);
        START TRANSACTION;
        UPDATE ACCOUNTS.a SET amount = amount - 1 WHERE id = 1 + n % 1000;
        UPDATE ACCOUNTS.b SET amount = amount + 1 WHERE id = 1 + n % 1000;
        COMMIT;
        START TRANSACTION;
        UPDATE ACCOUNTS.a SET amount = amount - 5 WHERE id = 1 + n % 1000;
        UPDATE ACCOUNTS.a SET amount = amount + 5 WHERE id = 15000 - n % 1000;
        COMMIT;
        SET n = n + 1;
        SET took = TIMESTAMPDIFF(MICROSECOND, start, SYSDATE(6));
        IF took > waited THEN SET waited = took; END IF;
        UPDATE flag SET moves = n, longest = waited;
      END WHILE;
    END//
    DELIMITER ;";

/// Someone who writes all the time.
struct Mover<'a> {
    server: &'a Server,
    database: String,
    child: Child,
}

impl<'a> Mover<'a> {
    fn start(server: &'a Server, accounts: &str) -> Self {
        let database = unique("mover");
        server.create_db(&database);
        server.sql(&database, &MOVER.replace("ACCOUNTS", accounts));
        let mut client = server.client("root", &database);
        let child = client
            .arg("--execute=CALL move_on()")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("mariadb");
        let mover = Self {
            server,
            database,
            child,
        };
        mover.moved(100);
        mover
    }

    fn moves(&self) -> u64 {
        self.server
            .sql(&self.database, "SELECT moves FROM flag")
            .parse()
            .expect("a number")
    }

    fn moved(&self, more: u64) {
        let before = self.moves();
        wait_until("it moves", || self.moves() >= before + more);
    }

    /// Ends it; how many seconds it waited at the most.
    fn end(mut self) -> f64 {
        self.server.sql(&self.database, "UPDATE flag SET go = 0");
        assert!(self.child.wait().expect("our child").success());
        let longest: f64 = self
            .server
            .sql(&self.database, "SELECT longest FROM flag")
            .parse()
            .expect("a number");
        longest / 1e6
    }
}

impl Scene<'_> {
    /// A job by a source's user who may do no more than this on the source's server, and on its database.
    fn job_by(&self, everywhere: &str, on_database: &str) -> Job {
        let user = unique("user");
        grant(self.source, &user, "*.*", everywhere);
        grant(
            self.source,
            &user,
            &format!("`{}`.*", self.from),
            on_database,
        );
        if self.source.version() != Version::Oracle {
            grant(self.source, &user, "mysql.proc", "SELECT");
        }
        self.job_from(&self.source.url(&user, &self.from), Some(PASSWORD))
            .task("jobs = 2")
    }
}

/// Copies while someone moves amounts; the run said these, and the server was asked to lock by `lock`.
fn sums_are_right(
    server: &Server,
    target: &Server,
    everywhere: &str,
    lock: Option<&str>,
    says: &[&str],
) {
    let scene = Scene::on_any(server, target);
    scene.source(ACCOUNTS);
    let mover = Mover::start(server, &scene.from);
    server.sql("", "TRUNCATE mysql.general_log");
    let on_database = match lock {
        None => "SELECT, SHOW VIEW, TRIGGER, EVENT",
        Some(_) => "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES",
    };
    let job = scene.job_by(everywhere, on_database);
    let mut shortest = std::time::Duration::MAX;
    for _ in 0..3 {
        let begin = std::time::Instant::now();
        let outcome = scene.copy(&job).says(says);
        shortest = shortest.min(begin.elapsed());
        if says.is_empty() {
            assert!(!outcome.stderr.contains("one worker"), "{}", outcome.stderr);
        }
        let sums = scene.live("SELECT (SELECT SUM(amount) FROM a) + (SELECT SUM(amount) FROM b), (SELECT SUM(amount) <> 0 FROM b), (SELECT COUNT(*) FROM a)");
        assert_eq!(sums, "0|1|16388");
        mover.moved(1);
    }
    let asked = |what: &str| {
        server.sql("", &format!("SELECT COUNT(*) > 0 FROM mysql.general_log WHERE CONVERT(argument USING utf8mb4) LIKE '{what}%'")) == "1"
    };
    if let Some(lock) = lock {
        assert!(asked(lock), "{lock} was not asked for");
    }
    let waited = mover.end();
    // A moment, which is a longer one where the machine has more to do, and a run, too.
    let most = 2_f64.max(shortest.as_secs_f64() / 2.0);
    assert!(waited < most, "a writer waited for {waited} s of {most}");
}

const LOGGED: [&str; 2] = ["--general-log=1", "--log-output=TABLE"];

#[test]
fn sums_are_right_under_mariadbs_backup_stages_and_table_locks_and_in_one_transaction() {
    let (server, target) = (Server::with(&LOGGED), Server::with(&[]));
    sums_are_right(&server, &target, "RELOAD", Some("BACKUP STAGE"), &[]);
    sums_are_right(&server, &target, "USAGE", Some("LOCK TABLES"), &[]);
    sums_are_right(
        &server,
        &target,
        "USAGE",
        None,
        &["one worker", "grant RELOAD"],
    );
}

#[test]
fn sums_are_right_under_mysqls_table_locks_in_a_quiet_moment_and_in_one_transaction() {
    let start = |options: &[&str]| {
        let builder = Server::builder().of(Version::Oracle);
        options
            .iter()
            .fold(builder, |builder, option| builder.set(option))
            .start()
    };
    let (server, target) = (start(&LOGGED), start(&[]));
    sums_are_right(
        &server,
        &target,
        "RELOAD, BACKUP_ADMIN, SHOW_ROUTINE",
        Some("LOCK TABLES"),
        &[],
    );
    sums_are_right(&server, &target, "SHOW_ROUTINE", Some("LOCK TABLES"), &[]);
    sums_are_right(
        &server,
        &target,
        "SHOW_ROUTINE",
        None,
        &["one worker", "grant RELOAD"],
    );
    quiet_sums_are_right(&server, &target);
}

/// Nobody may lock anything, and people commit now and then.
fn quiet_sums_are_right(server: &Server, target: &Server) {
    let scene = Scene::on_any(server, target);
    scene.source(ACCOUNTS);
    let job = scene.job_by("PROCESS, SHOW_ROUTINE", "SELECT, SHOW VIEW, TRIGGER, EVENT");
    let mut client = server.client("root", &scene.from);
    let pair = "BEGIN; UPDATE a SET amount = amount - 1 WHERE id = 1; UPDATE b SET amount = amount + 1 WHERE id = 1; COMMIT; DO SLEEP(0.02);";
    // Longer than an argument may be.
    let file = scene.bed.path("pairs.sql");
    std::fs::write(&file, pair.repeat(2000)).expect("a file");
    let mut child = client
        .stdin(std::fs::File::open(&file).expect("a file"))
        .stdout(Stdio::null())
        .spawn()
        .expect("mariadb");
    for _ in 0..3 {
        let outcome = scene.copy(&job).says(&["a moment without commits"]);
        assert!(!outcome.stderr.contains("one worker"), "{}", outcome.stderr);
        let sums = scene.live("SELECT (SELECT SUM(amount) FROM a) + (SELECT SUM(amount) FROM b), (SELECT SUM(amount) <> 0 FROM b)");
        assert_eq!(sums, "0|1");
    }
    child.kill().expect("it runs");
    child.wait().expect("our child");
}

#[test]
fn writers_of_a_mysql_source_wait_for_no_long_select_and_no_open_transaction() {
    let start = || Server::builder().of(Version::Oracle).start();
    let (server, target) = (start(), start());
    let scene = Scene::on_any(&server, &target);
    scene.source("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE u (id int PRIMARY KEY)");
    let behind = |sql: &str| {
        let mut client = server.client("root", &scene.from);
        client
            .arg(format!("--execute={sql}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("mariadb")
    };
    let asleep = |count: &str| {
        wait_until("they are at it", || {
            server.sql(
                "",
                "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'",
            ) == count
        });
    };
    let mut reading = behind("SELECT SLEEP(300) FROM t");
    asleep("1");
    let outcome = scene.copy(&scene.job().task("jobs = 2"));
    outcome.says(&["LOCK TABLES of the database's tables"]);
    // Someone who never commits keeps even that lock away.
    let mut writing = behind("BEGIN; UPDATE t SET a = 1 WHERE id = 1; DO SLEEP(300)");
    asleep("2");
    let running = scene.bed.start(&scene.write(&scene.job().task("jobs = 2")));
    let mut longest = std::time::Duration::ZERO;
    let begin = std::time::Instant::now();
    let mut running = running;
    while running.is_running() && begin.elapsed().as_secs() < 60 {
        let begin = std::time::Instant::now();
        scene.source("UPDATE t SET a = a + 1 WHERE id = 2");
        longest = longest.max(begin.elapsed());
    }
    running.end().expect(0);
    assert!(longest.as_secs() < 5, "a writer waited for {longest:?}");
    assert_eq!(scene.live("SELECT a FROM t WHERE id = 1"), "0");
    for child in [&mut reading, &mut writing] {
        child.kill().expect("it runs");
        child.wait().expect("our child");
    }
}

/// A table that takes long enough to be stopped in the middle of it.
const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, filler varchar(2000)) ENGINE = InnoDB;
    INSERT INTO big SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_10000; ANALYZE TABLE big;";

/// A run that stands still while it reads `big`.
fn in_mid_copy(scene: &Scene<'_>, workers: u32) -> (Proxy, crate::support::job::Running) {
    scene.source(BIG);
    let proxy = Proxy::before_mysql(scene.source);
    proxy.stall_after(4 * 1024 * 1024);
    let job = Job::between(
        "mysql",
        &proxy.mysql_url("root", &scene.from),
        &scene.target.url("root", &scene.to),
    );
    let job = job.task(&format!("jobs = {workers}"));
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    (proxy, running)
}

#[test]
fn a_table_that_was_read_can_be_altered_before_the_run_is_over() {
    let scene = Scene::new();
    let (proxy, running) = in_mid_copy(&scene, 2);
    let beside = scene.beside_live();
    let incoming = beside.iter().find(|name| name.contains("_incoming_"));
    let incoming = incoming.expect("rows are on their way to it");
    // The other worker reads these meanwhile.
    wait_until("the small tables have arrived", || {
        let asked = "SELECT (SELECT COUNT(*) FROM users) + (SELECT COUNT(*) FROM orders)";
        let rows = scene.target.try_sql("root", incoming, asked);
        rows.is_ok_and(|rows| rows == "700")
    });
    scene.source("SET lock_wait_timeout = 60; ALTER TABLE users ADD more int, FORCE; UPDATE users SET email = 'newer'; TRUNCATE orders; DROP TABLE orders");
    proxy.go_on();
    running.end().expect(0);
    scene.live_is_new();
}

#[test]
fn a_table_that_is_altered_before_its_turn_fails_the_run_or_arrives_as_it_was() {
    for (altering, must_fail) in [
        ("ALTER TABLE users ADD more int, FORCE", true),
        (
            "ALTER TABLE users DROP COLUMN email, ALGORITHM = INSTANT",
            true,
        ),
        ("ALTER TABLE users MODIFY email varchar(20) NOT NULL", true),
        ("ALTER TABLE users ADD KEY more (id, email(5))", false),
        ("TRUNCATE orders", true),
        ("DROP TABLE orders", true),
        ("RENAME TABLE orders TO other, users TO orders", true),
        (
            "CREATE TABLE other LIKE orders; RENAME TABLE orders TO old, other TO orders",
            true,
        ),
        ("RENAME TABLE users TO old, lookalike TO users", true),
        ("ALTER TABLE lookalike ENGINE = MyISAM", false),
        (
            "CREATE OR REPLACE TABLE users (id int PRIMARY KEY, email text NOT NULL)",
            true,
        ),
    ] {
        let scene = Scene::new();
        scene
            .source("CREATE TABLE lookalike LIKE users; INSERT INTO lookalike VALUES (1, 'false')");
        let (proxy, running) = in_mid_copy(&scene, 1);
        scene.source(&format!(
            "SET foreign_key_checks = 0, lock_wait_timeout = 2; {altering}"
        ));
        proxy.go_on();
        let outcome = running.end();
        if outcome.code == Some(0) && !must_fail {
            scene.live_is_new();
            continue;
        }
        assert_eq!(outcome.code, Some(1), "{altering}: {outcome:?}");
        assert!(
            outcome.stderr.contains("altered the source's tables"),
            "{altering}: {outcome:?}"
        );
        scene.live_is_old();
        scene.nothing_is_left();
        scene.copy(&scene.job());
    }
}

#[test]
fn who_reads_or_writes_on_the_source_for_long_does_not_stop_a_run() {
    let server = Server::with(&[]);
    let target = Server::with(&[]);
    let scene = Scene::on(&server, &target);
    let mut others: Vec<Child> = [
        "START TRANSACTION; UPDATE users SET email = 'open'; DO SLEEP(300)",
        "SELECT *, SLEEP(3) FROM users",
    ]
    .iter()
    .map(|sql| {
        let mut client = server.client("root", &scene.from);
        let execute = format!("--execute={sql}");
        client
            .arg(execute)
            .stdout(Stdio::null())
            .spawn()
            .expect("mariadb")
    })
    .collect();
    wait_until("both are at it", || {
        server.sql(
            "",
            "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'",
        ) == "2"
    });
    scene.copy(&scene.job());
    scene.live_is_new();
    for other in &mut others {
        other.kill().expect("it runs");
        other.wait().expect("our child");
    }
}
