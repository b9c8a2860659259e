//! Sources that must not suffer: a limit of bytes a second, and pauses while replication lags.

use std::time::{Duration, Instant};

use super::{BIG, Scene};
use crate::support::job::Job;
use crate::support::postgres::{Cluster, shared, unique};
use crate::support::proxy::Proxy;
use crate::support::wait_until;

#[test]
fn a_throttled_copy_takes_at_least_its_bytes_divided_by_the_rate_over_all_workers() {
    let scene = Scene::new();
    scene.source(BIG);
    scene.source("CREATE TABLE big2 AS TABLE big");
    let job = scene
        .job()
        .task("throttle = \"16MB/s\"")
        .task("jobs = 4")
        .task("previous = \"drop\"");
    let file = scene.write(&job);
    scene
        .bed
        .with_file("plan", &file)
        .expect(0)
        .says(&["throttle", "/s"]);
    let start = Instant::now();
    scene.bed.once(&file).expect(0);
    let took = start.elapsed();
    let bytes = scene.bed.status("app")["tasks"][0]["bytes"]
        .as_u64()
        .expect("a number");
    // Two tables of 20 MB: more than two seconds, however many read them.
    assert!(bytes > 40_000_000, "{bytes}");
    assert!(
        took >= Duration::from_secs_f64(bytes as f64 / 16e6),
        "{took:?} for {bytes} bytes"
    );
    scene.live_is_new();
    scene.nothing_is_left();
}

/// A primary of its own with a standby, and a target.
struct Replicated {
    // The standby goes first: its primary has to outlive it.
    standby: Cluster,
    primary: Cluster,
}

impl Replicated {
    fn new() -> Self {
        let primary = Cluster::builder()
            .set("autovacuum", "off")
            .set("wal_receiver_status_interval", "1s")
            .start();
        let standby = primary.standby();
        Self { standby, primary }
    }

    fn scene(&self) -> Scene<'_> {
        Scene::on(&self.primary, &shared().target)
    }

    /// From now on, the standby is so far behind.
    fn delay(&self, delay: &str) {
        self.standby.psql(
            "postgres",
            &format!("ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'"),
        );
        self.standby.psql("postgres", "SELECT pg_reload_conf()");
    }

    /// Whether the standby has more than it replays, and replays nothing for a while.
    fn stands_still(&self) -> bool {
        let replayed = || {
            let sql = "SELECT pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()";
            self.standby.psql("postgres", sql)
        };
        let before = replayed();
        // A moment's rest is none: others may have the machine.
        std::thread::sleep(Duration::from_secs(4));
        before.ends_with("|t") && replayed() == before
    }

    /// A commit that waits to be replayed, or is.
    fn commit(&self) {
        self.primary.psql(
            "postgres",
            "CREATE TABLE IF NOT EXISTS beat (at timestamptz); INSERT INTO beat VALUES (now())",
        );
    }
}

const LAG: &str = "max_replication_lag = \"2s\"";

fn pauses_and_goes_on(replicated: &Replicated, scene: &Scene<'_>, source: &Cluster) {
    let proxy = Proxy::before(source);
    // It is still at it when the lag is seen, however late that is.
    proxy.stall_after(super::IN_MID_COPY);
    let job = Job::between(
        "postgresql",
        &proxy.url("postgres", &scene.from),
        &scene.target.url("postgres", &scene.to),
    );
    let job = job
        .task(LAG)
        .task("throttle = \"4MB/s\"")
        .task("previous = \"drop\"");
    let file = scene.write(&job);
    scene
        .bed
        .with_file("plan", &file)
        .expect(0)
        .says(&["replication lags by more than 2 s"]);
    replicated.delay("1h");
    let mut running = scene.bed.start(&file);
    wait_until("the copy paused", || {
        replicated.commit();
        running.said().contains("reading pauses")
    });
    proxy.go_on();
    let bytes = || {
        scene.bed.status("app")["tasks"][0]["bytes"]
            .as_u64()
            .expect("a number")
    };
    // What was on its way arrives; then nothing more does. All of it are 20 MB.
    let mut before = bytes();
    wait_until("nothing arrives any more", || {
        std::thread::sleep(Duration::from_secs(2));
        let last = std::mem::replace(&mut before, bytes());
        last == before
    });
    assert!(before < 20_000_000, "{before}");
    assert!(running.is_running(), "{}", running.said());
    replicated.delay("0");
    running.end().expect(0).says(&["reading goes on"]);
    scene.live_is_new();
    scene.nothing_is_left();
}

#[test]
fn a_copy_from_a_primary_pauses_while_its_standby_lags() {
    let replicated = Replicated::new();
    let scene = replicated.scene();
    scene.source(BIG);
    replicated.standby.catch_up(&replicated.primary);
    pauses_and_goes_on(&replicated, &scene, &replicated.primary);
}

#[test]
fn a_copy_from_a_standby_pauses_while_it_lags() {
    let replicated = Replicated::new();
    let scene = replicated.scene();
    scene.source(BIG);
    replicated.standby.catch_up(&replicated.primary);
    pauses_and_goes_on(&replicated, &scene, &replicated.standby);
}

#[test]
fn a_primary_without_standbys_is_copied_without_a_pause() {
    let scene = Scene::new();
    let outcome = scene
        .bed
        .once(&scene.write(&scene.job().task(LAG)))
        .expect(0);
    assert!(!outcome.stderr.contains("pauses"), "{}", outcome.stderr);
    scene.live_is_new();
}

#[test]
fn a_reader_who_may_not_see_the_lag_is_told_which_privilege_is_missing() {
    let scene = Scene::new();
    let reader = unique("reader");
    scene.source(&format!(
        "CREATE ROLE {reader} LOGIN; GRANT pg_read_all_data TO {reader};"
    ));
    let job = Job::between(
        "postgresql",
        &scene.source.url(&reader, &scene.from),
        &scene.target.url("postgres", &scene.to),
    );
    let file = scene.write(&job.task(LAG));
    for verb in ["plan", "run"] {
        scene
            .bed
            .with_file(verb, &file)
            .expect(1)
            .says(&["pg_monitor", &reader]);
    }
    scene.live_is_old();
    scene.source(&format!("GRANT pg_monitor TO {reader}"));
    scene.bed.with_file("plan", &file).expect(0);
}

#[test]
fn a_standby_that_cancels_the_copy_fails_the_run_with_advice() {
    let replicated = Replicated::new();
    replicated.standby.psql(
        "postgres",
        "ALTER SYSTEM SET max_standby_streaming_delay = 0",
    );
    replicated
        .standby
        .psql("postgres", "SELECT pg_reload_conf()");
    let scene = replicated.scene();
    scene.source(BIG);
    replicated.standby.catch_up(&replicated.primary);
    let proxy = Proxy::before(&replicated.standby);
    proxy.stall_after(super::IN_MID_COPY);
    let job = Job::between(
        "postgresql",
        &proxy.url("postgres", &scene.from),
        &scene.target.url("postgres", &scene.to),
    );
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    scene.source("DELETE FROM orders; DELETE FROM users; DELETE FROM big");
    let conflicts = format!(
        "SELECT confl_snapshot > 0 FROM pg_stat_database_conflicts WHERE datname = '{}'",
        scene.from
    );
    // It cancels one session after the other: one that waits for its client is not counted before it goes on, and none after it.
    wait_until("the standby met a conflict", || {
        // Rows that somebody else's snapshot still needs, autovacuum's say, are not taken away at once.
        scene.source("VACUUM users; VACUUM big");
        replicated.standby.psql("postgres", &conflicts) == "t" || replicated.stands_still()
    });
    proxy.go_on();
    running
        .end()
        .expect(1)
        .says(&["hot_standby_feedback", "max_standby_streaming_delay"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

/// Servers up to version 16 can be told to throw away rows that a snapshot still needs; here, at once.
#[test]
fn a_source_that_may_have_thrown_away_what_the_snapshot_needs_fails_the_run_with_advice() {
    let source = Cluster::builder()
        .set("old_snapshot_threshold", "0")
        .start();
    let scene = Scene::on(&source, &shared().target);
    scene
        .bed
        .once(&scene.write(&scene.job()))
        .expect(1)
        .says(&["old_snapshot_threshold"]);
    scene.live_is_old();
    scene.nothing_is_left();
    // An hour is enough for this copy.
    scene
        .source
        .psql("postgres", "ALTER SYSTEM SET old_snapshot_threshold = '1h'");
    source.crash();
    source.start_again();
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    scene.live_is_new();
}
