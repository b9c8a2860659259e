//! Faults in each phase of a run: networks that drop, cut short and stall, servers that restart, processes that are
//! killed, definitions that change. Live is either old or new, and whole, and the next run works.

use std::time::{Duration, Instant};

use super::{BIG, Scene};
use crate::support::dump::assert_equal;
use crate::support::job::{Job, Running};
use crate::support::postgres::{Cluster, shared};
use crate::support::proxy::{Fault, Proxy};
use crate::support::{kills, moments_again, wait_until};

/// Whose network or server has a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// What is said to a server in each phase, and nowhere before.
const PHASES: &[(&str, Side, &str)] = &[
    ("survey", Side::Source, "pg_export_snapshot"),
    (
        "the dump of definitions",
        Side::Source,
        "pg_catalog.pg_get_indexdef",
    ),
    ("copy, reading", Side::Source, "TO STDOUT"),
    ("prepare", Side::Target, "CREATE TABLE public.orders"),
    ("copy, writing", Side::Target, "FROM STDIN"),
    ("indexes", Side::Target, "CREATE INDEX orders_buyer"),
    ("finish", Side::Target, "FOREIGN KEY"),
    ("verify, the source", Side::Source, "hashtextextended"),
    ("verify, the target", Side::Target, "hashtextextended"),
    ("scripts", Side::Target, "SELECT 'from a script'"),
    ("publish", Side::Target, "RENAME TO"),
];

impl Scene<'_> {
    /// A job whose given side is behind a proxy.
    fn behind(&self, side: Side) -> (Job, Proxy) {
        let proxy = Proxy::before(match side {
            Side::Source => self.source,
            Side::Target => self.target,
        });
        let mut source = self.source.url(self.reader(), &self.from);
        let mut target = self.target.url(self.writer(), &self.to);
        match side {
            Side::Source => source = proxy.url(self.reader(), &self.from),
            Side::Target => target = proxy.url(self.writer(), &self.to),
        }
        self.bed.file("said.sql", "SELECT 'from a script';");
        let job = Job::between("postgresql", &source, &target)
            .task("scripts = [\"said.sql\"]")
            .task("verify = \"checksum\"")
            .task("previous = \"drop\"");
        (job, proxy)
    }

    fn is_new(&self) -> bool {
        self.live("SELECT count(*) FROM users") == "200"
    }

    /// What a failed run may leave: live old or new, whole; and the next run works and clears up.
    #[track_caller]
    fn is_whole_and_goes_on(&self, new: &[String]) {
        if self.is_new() {
            assert_equal(new, &self.target.pg_dump(&self.to));
        } else {
            self.live_is_old();
        }
        let job = self.job().task("previous = \"drop\"");
        self.bed.once(&self.write(&job)).expect(0);
        assert_equal(
            &self.source.pg_dump(&self.from),
            &self.target.pg_dump(&self.to),
        );
        self.nothing_is_left();
    }
}

fn broken_in_each_phase(fault: Fault) {
    for (phase, side, words) in PHASES {
        let scene = Scene::of_this_test();
        let new = scene.source.pg_dump(&scene.from);
        let (job, proxy) = scene.behind(*side);
        proxy.trap(words, fault);
        let outcome = scene.bed.once(&scene.write(&job));
        assert!(proxy.is_sprung(), "{phase} never came: {outcome:?}");
        assert_eq!(outcome.code, Some(1), "{phase}: {outcome:?}");
        assert_eq!(scene.bed.status_text("app", "state"), "failed", "{phase}");
        if *phase != "publish" {
            scene.live_is_old();
        }
        scene.is_whole_and_goes_on(&new);
    }
}

#[test]
fn a_connection_that_breaks_in_any_phase_fails_the_run_and_leaves_live_whole() {
    broken_in_each_phase(Fault::Drop);
}

#[test]
fn a_connection_that_is_cut_short_in_any_phase_fails_the_run_and_leaves_live_whole() {
    broken_in_each_phase(Fault::Truncate);
}

#[test]
fn a_connection_that_stalls_for_a_while_in_any_phase_is_waited_for() {
    for (phase, side, words) in PHASES {
        let scene = Scene::of_this_test();
        let (job, proxy) = scene.behind(*side);
        proxy.trap(words, Fault::Stall);
        let mut running = scene.bed.start(&scene.write(&job));
        wait_until(phase, || proxy.is_sprung() || !running.is_running());
        // Before anything is seen of the new copy. Publishing lets go who is connected at that very moment.
        if *phase == "publish" {
            wait_until("live answers", || {
                let emails = "SELECT email FROM users UNION ALL SELECT a FROM only_live";
                scene
                    .target
                    .try_psql("postgres", &scene.to, emails)
                    .is_ok_and(|said| said.trim() == "old\nmine")
            });
        } else {
            scene.live_is_old();
        }
        proxy.go_on();
        running.end().expect(0);
        assert!(proxy.is_sprung(), "{phase} never came");
        scene.live_is_new();
        scene.nothing_is_left();
    }
}

fn restarted_in_each_phase(crashes: Side) {
    // One of their own: nobody else's tests see them go.
    let cluster = Cluster::builder().start();
    let pair = shared();
    for (phase, side, words) in PHASES {
        let scene = match crashes {
            Side::Source => Scene::on(&cluster, &pair.target),
            Side::Target => Scene::on(&pair.source, &cluster),
        };
        // A sequence jumps ahead when its server crashes.
        let new = scene.source.pg_dump(&scene.from);
        let (job, proxy) = scene.behind(*side);
        proxy.trap(words, Fault::Stall);
        let mut running = scene.bed.start(&scene.write(&job));
        wait_until(phase, || proxy.is_sprung() || !running.is_running());
        assert!(proxy.is_sprung(), "{phase} never came: {}", running.said());
        cluster.crash();
        cluster.start_again();
        proxy.go_on();
        let outcome = running.end();
        // After its last row, a source is not needed any more.
        if outcome.code != Some(0) {
            assert_eq!(outcome.code, Some(1), "{phase}: {outcome:?}");
            scene.live_is_old();
        }
        scene.is_whole_and_goes_on(&new);
    }
}

#[test]
fn a_source_that_restarts_in_any_phase_leaves_live_whole() {
    restarted_in_each_phase(Side::Source);
}

#[test]
fn a_target_that_restarts_in_any_phase_leaves_live_whole() {
    restarted_in_each_phase(Side::Target);
}

/// Lets a run go on for a moment; every second time, only what comes after `line` counts, in smaller steps: on a small
/// database, most of a run is over before anything is made.
fn let_run(running: &mut Running, number: u32, moment: Duration, line: &str) {
    if number.is_multiple_of(2) {
        std::thread::sleep(moment);
    } else {
        wait_until(line, || {
            running.said().contains(line) || !running.is_running()
        });
        std::thread::sleep(moment / 4);
    }
}

/// How long a whole run takes here and now.
fn one_run(scene: &Scene<'_>, job: &Job) -> Duration {
    let start = Instant::now();
    scene.bed.once(&scene.write(job)).expect(0);
    start.elapsed()
}

/// Every row of a version, or something between two.
fn version(scene: &Scene<'_>) -> Option<u32> {
    let rows = scene.live(
        "SELECT string_agg(DISTINCT v, ',') || '|' || count(*) FROM
           (SELECT email AS v FROM users UNION ALL SELECT note FROM orders) AS all_rows",
    );
    rows.strip_suffix("|700")?.parse().ok()
}

fn make_version(scene: &Scene<'_>, number: u32) {
    scene.source(&format!(
        "UPDATE users SET email = '{number}'; UPDATE orders SET note = '{number}'"
    ));
}

#[test]
fn after_kill_9_at_any_moment_live_is_old_or_new_and_the_next_run_clears_up() {
    let scene = Scene::of_this_test();
    let job = scene.job().task("previous = \"drop\"");
    make_version(&scene, 1000);
    let mut took = one_run(&scene, &job);
    let file = scene.write(&job);
    let count = kills(50);
    let (mut killed, mut left) = (0, 0);
    for (number, part) in moments_again(count) {
        if number >= count && killed >= count / 2 && left >= count / 10 {
            break;
        }
        // Other tests come and go: what it took last is the best guess.
        let moment = took.mul_f64(part);
        let before = version(&scene).expect("whole");
        make_version(&scene, number);
        let mut running = scene.bed.start(&file);
        let_run(&mut running, number, moment, "surveyed");
        killed += u32::from(running.is_running());
        running.kill();
        // What one of them was still at may be the publish.
        scene.sessions_have_ended();
        left += u32::from(!scene.beside_live().is_empty());
        let after = version(&scene);
        assert!(
            after == Some(before) || after == Some(number),
            "{after:?} is neither {before} nor {number}, killed after {moment:?}"
        );
        took = one_run(&scene, &job);
        assert_eq!(version(&scene), Some(number));
        scene.nothing_is_left();
    }
    // Otherwise this has tried nothing.
    assert!(
        killed >= count / 2 && left >= count / 10,
        "{killed} were killed, {left} left something"
    );
}

#[test]
fn after_kill_9_at_any_moment_in_place_live_is_whole_or_closed_and_the_next_run_loads_it() {
    let scene = Scene::of_this_test();
    let job = scene.job().task("publish = \"in_place\"");
    make_version(&scene, 1000);
    let mut took = one_run(&scene, &job);
    let file = scene.write(&job);
    let count = kills(30);
    let (mut killed, mut closed) = (0, 0);
    for (number, part) in moments_again(count) {
        if number >= count && killed >= count / 2 && closed >= count / 15 {
            break;
        }
        let moment = took.mul_f64(part);
        let before = version(&scene).expect("whole");
        make_version(&scene, number);
        let mut running = scene.bed.start(&file);
        let_run(&mut running, number, moment, "everything is prepared");
        killed += u32::from(running.is_running());
        running.kill();
        // What one of them was still at may open or close it.
        scene.sessions_have_ended();
        let open = scene
            .target
            .try_psql("postgres", &scene.to, "SELECT 1")
            .is_ok();
        if open {
            let after = version(&scene);
            assert!(
                after == Some(before) || after == Some(number),
                "{after:?} is neither {before} nor {number}, killed after {moment:?}"
            );
        }
        closed += u32::from(!open);
        took = one_run(&scene, &job);
        assert_eq!(version(&scene), Some(number));
        scene.nothing_is_left();
    }
    assert!(
        killed >= count / 2 && closed >= count / 15,
        "{killed} were killed, {closed} found closed"
    );
}

#[test]
fn tables_made_dropped_and_truncated_in_mid_copy_arrive_as_they_were() {
    let scene = Scene::of_this_test();
    scene.source(BIG);
    scene.source("CREATE TABLE doomed AS SELECT 1 AS a");
    let before = scene.source.pg_dump(&scene.from);
    let proxy = Proxy::before(scene.source);
    proxy.stall_after(super::IN_MID_COPY);
    let job = Job::between(
        "postgresql",
        &proxy.url(scene.reader(), &scene.from),
        &scene.target.url(scene.writer(), &scene.to),
    );
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    // What is new is not in it; what would take rows away has to wait, and says so.
    scene.source("CREATE TABLE late AS SELECT 1 AS a; CREATE INDEX ON orders (note); INSERT INTO doomed VALUES (2)");
    for waits in [
        "DROP TABLE doomed",
        "TRUNCATE doomed",
        "ALTER TABLE doomed RENAME TO saved",
        "CLUSTER big USING big_pkey",
    ] {
        let refused = scene
            .source
            .try_psql(
                "postgres",
                &scene.from,
                &format!("SET lock_timeout = '100ms'; {waits}"),
            )
            .expect_err(waits);
        assert!(refused.contains("lock timeout"), "{refused}");
    }
    proxy.go_on();
    running.end().expect(0);
    assert_equal(&before, &scene.target.pg_dump(&scene.to));
}

/// A table alone goes by itself: what is sent of it is summed up on its way, and read back.
#[test]
fn a_row_that_arrives_otherwise_than_it_was_sent_is_found_by_its_checksum() {
    for (column, cast) in [
        ("text", "text"),
        ("varchar(20) COLLATE \"C\"", "text"),
        ("bytea", "bytea"),
    ] {
        let scene = Scene::new();
        scene.source(&format!(
            "CREATE TABLE letters (id int PRIMARY KEY, word {column}); INSERT INTO letters SELECT i, ('word-' || i)::{cast} FROM generate_series(1, 50) AS i"
        ));
        scene.target.psql(&scene.to, "CREATE TABLE old (id int)");
        let (job, proxy) = scene.behind(Side::Target);
        let job = scene.write(&job);
        scene.bed.once(&job).expect(0);
        proxy.trap("word-42", Fault::Alter);
        let outcome = scene.bed.once(&job).expect(1);
        assert!(proxy.is_sprung());
        outcome.says(&["public.letters", "the checksums of its rows differ"]);
        assert_eq!(
            scene.live("SELECT count(*) FROM letters WHERE word = 'word-42'"),
            "1"
        );
    }
}
