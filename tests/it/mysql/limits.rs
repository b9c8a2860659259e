//! What servers limit: the size of a packet, time, memory and disk; each limit is kept or named.

use std::time::Duration;

use super::Scene;
use crate::support::job::Job;
use crate::support::mysql::{Server, Version, shared};
use crate::support::proxy::Proxy;

const MIB: u64 = 1024 * 1024;

/// A server with room in its log for a long row.
fn with_packets(mebibytes: u32, more: &[&str]) -> Server {
    let packet = format!("--max-allowed-packet={mebibytes}M");
    let mut options = vec![packet.as_str(), "--innodb-log-file-size=640M"];
    options.extend(more);
    Server::with(&options)
}

impl Scene<'_> {
    /// Fails for this reason; and works once the cause is gone.
    #[track_caller]
    fn fails_until(&self, job: &Job, says: &[&str], remedy: impl FnOnce()) {
        self.fails(job, says);
        remedy();
        self.copy(job);
        self.live_is_new();
    }
}

#[test]
fn long_rows_are_taken_by_load_data_in_little_memory() {
    let start = || with_packets(256, &[]);
    let (source, target) = (start(), start());
    let scene = Scene::on(&source, &target);
    scene.source(
        "CREATE TABLE huge (id int PRIMARY KEY, a longblob);
         INSERT INTO huge VALUES (1, REPEAT(X'5C0A', 30 * 1024 * 1024)), (2, REPEAT('x', 60 * 1024 * 1024)), (3, '');",
    );
    let running = scene.bed.start(&scene.write(&scene.job()));
    let (outcome, peak) = running.end_with_peak();
    outcome.expect(0);
    assert!(peak > 0 && peak < 48 * MIB, "{peak} bytes");
    let md5 = |server: &Server, database: &str| {
        server.hex_of(database, "MD5(a)", "FROM huge ORDER BY id")
    };
    assert_eq!(md5(&source, &scene.from), md5(&target, &scene.to));
}

#[test]
fn rows_longer_than_either_servers_packets_arrive_by_load_data() {
    let (source, target) = (with_packets(64, &[]), with_packets(1, &[]));
    let scene = Scene::on(&source, &target);
    scene.source("CREATE TABLE huge (id int PRIMARY KEY, a longblob, b longblob); INSERT INTO huge VALUES (1, REPEAT('x', 3000000), REPEAT('y', 3000000)); ANALYZE TABLE huge");
    source.sql("", "SET GLOBAL max_allowed_packet = 4194304");
    scene.copy(&scene.job());
    scene.live_is_new();
    assert_eq!(
        scene.live("SELECT LENGTH(a) + LENGTH(b) FROM huge"),
        "6000000"
    );
}

#[test]
fn a_row_that_is_too_long_for_the_targets_inserts_is_named_with_the_setting() {
    let target = with_packets(2, &["--local-infile=0"]);
    let scene = Scene::on(&shared().source, &target);
    scene.source("CREATE TABLE huge (id int PRIMARY KEY, a longblob); INSERT INTO huge VALUES (1, REPEAT('x', 3000000))");
    scene.fails_until(
        &scene.job(),
        &[
            "copying huge:",
            "max_allowed_packet on the target",
            "local_infile",
        ],
        || {
            target.sql("", "SET GLOBAL max_allowed_packet = 67108864");
        },
    );
}

#[test]
fn without_local_infile_long_and_odd_values_arrive_with_a_warning() {
    let target = with_packets(64, &["--local-infile=0"]);
    let scene = Scene::on(&shared().source, &target);
    scene.source(
        r"CREATE TABLE v (id int PRIMARY KEY, a longblob, t longtext, n varchar(20));
          INSERT INTO v SELECT seq, REPEAT(X'00275C0A091A22', 40000), REPEAT('\'\\\n\t', 40000), NULL FROM seq_1_to_30;
          INSERT INTO v VALUES (100, REPEAT(X'27', 5000000), '', '\\N'), (101, NULL, NULL, '''');",
    );
    scene
        .copy(&scene.job().task("verify = \"checksum\""))
        .says(&["local_infile"]);
    scene.live_is_new();
    scene.assert_same();
}

#[test]
fn idle_and_long_statements_are_not_ended_by_the_servers_time_limits() {
    let start = || {
        Server::with(&[
            "--wait-timeout=2",
            "--interactive-timeout=2",
            "--net-read-timeout=2",
            "--net-write-timeout=2",
            "--idle-transaction-timeout=2",
            "--idle-readonly-transaction-timeout=2",
            "--lock-wait-timeout=2",
        ])
    };
    let (source, target) = (start(), start());
    let scene = Scene::on(&source, &target);
    scene.source(super::BIG);
    for (slow, is_source) in [(&source, true), (&target, false)] {
        let proxy = Proxy::before_mysql(slow);
        proxy.stall_after(super::IN_MID_COPY);
        let (mut from, mut to) = (
            source.url("root", &scene.from),
            target.url("root", &scene.to),
        );
        if is_source {
            from = proxy.mysql_url("root", &scene.from);
        } else {
            to = proxy.mysql_url("root", &scene.to);
        }
        // Not for what the test itself asks for.
        let limited = |seconds: u32| {
            for server in [&source, &target] {
                server.sql("", &format!("SET GLOBAL max_statement_time = {seconds}"));
            }
        };
        limited(1);
        let running = scene
            .bed
            .start(&scene.write(&Job::between("mysql", &from, &to)));
        proxy.wait_for_stall();
        std::thread::sleep(Duration::from_secs(5));
        proxy.go_on();
        running.end().expect(0);
        limited(0);
        scene.live_is_new();
    }
}

#[test]
fn a_statement_that_a_time_limit_ends_is_said_to_be_that() {
    let source = Server::with(&[]);
    let scene = Scene::on(&source, &shared().target);
    let user = crate::support::postgres::unique("user");
    super::grant(&source, &user, "*.*", "ALL");
    // A user's own limit; a session may lift it, and ours does.
    source.sql(
        "",
        &format!("ALTER USER {user} WITH MAX_STATEMENT_TIME 0.0001"),
    );
    let password = Some(crate::support::mysql::PASSWORD);
    scene.copy(&scene.job_from(&source.url(&user, &scene.from), password));
    scene.live_is_new();
    source.sql(
        "",
        &format!("ALTER USER {user} WITH MAX_STATEMENT_TIME 0 MAX_USER_CONNECTIONS 1"),
    );
    let job = scene.job_from(&source.url(&user, &scene.from), password);
    let outcome = scene.bed.once(&scene.write(&job)).expect(1);
    outcome.says(&["source", "connections", "fewer `jobs`"]);
    scene.live_is_new();
}

#[test]
fn a_full_disk_is_said_to_be_that_and_the_next_run_works() {
    let target = Server::builder().small_disk(150).start();
    let scene = Scene::on(&shared().source, &target);
    // No BLOBs: a MariaDB of 10.11 ends itself where those fill its disk.
    scene.source("CREATE TABLE big (id int PRIMARY KEY, filler varchar(4000)); INSERT INTO big SELECT seq, REPEAT(MD5(seq), 120) FROM seq_1_to_30000; ANALYZE TABLE big");
    scene.fails_until(&scene.job(), &["target", "big", "free space"], || {
        scene.source("DELETE FROM big WHERE id > 10");
    });
    // Connections, too, may run out.
    let oracle = Server::builder()
        .of(Version::Oracle)
        .set("--max-connections=3")
        .start();
    oracle.create_db(&scene.from);
    let job = scene
        .job_from(&oracle.url("root", &scene.from), None)
        .task("jobs = 4");
    let outcome = scene.bed.once(&scene.write(&job)).expect(1);
    outcome.says(&["source", "onnections", "max_connections"]);
}
