//! Faults in each phase of a run: networks that drop, cut short and stall, servers that restart, processes and sessions
//! that are killed. Live is either old or new, and whole, and the next run works.

use std::time::{Duration, Instant};

use super::Scene;
use crate::support::job::{Job, Running};
use crate::support::mysql::{Server, shared};
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
    (
        "the point in time",
        Side::Source,
        "WITH CONSISTENT SNAPSHOT",
    ),
    ("definitions", Side::Source, "SHOW CREATE TABLE"),
    ("copy, reading", Side::Source, "FROM `big`"),
    ("prepare", Side::Target, "CREATE TABLE `orders`"),
    ("copy, writing", Side::Target, "LOAD DATA"),
    (
        "copy, writing small tables",
        Side::Target,
        "INSERT INTO `users`",
    ),
    ("indexes", Side::Target, "`big_filler`"),
    ("finish", Side::Target, "`bought_by`"),
    ("verify, the source", Side::Source, "AS sums"),
    ("verify, the target", Side::Target, "AS sums"),
    ("scripts", Side::Target, "SELECT 'from a script'"),
    ("publish", Side::Target, "RENAME TABLE"),
];

/// More than a small table, so that it goes by LOAD DATA.
const BIG: &str =
    "CREATE TABLE big (id int PRIMARY KEY, filler varchar(2000), KEY big_filler (filler(20)));
    INSERT INTO big SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_3000; ANALYZE TABLE big;
    CREATE VIEW buyers AS SELECT email FROM users;
    CREATE TRIGGER on_order BEFORE INSERT ON `orders` FOR EACH ROW SET NEW.note = UPPER(NEW.note);
    ALTER TABLE orders AUTO_INCREMENT = 501;";

impl Scene<'_> {
    /// A job whose given side is behind a proxy.
    fn behind(&self, side: Side) -> (Job, Proxy) {
        self.source(BIG);
        let proxy = Proxy::before_mysql(match side {
            Side::Source => self.source,
            Side::Target => self.target,
        });
        let mut source = self.source.url("root", &self.from);
        let mut target = self.target.url("root", &self.to);
        match side {
            Side::Source => source = proxy.mysql_url("root", &self.from),
            Side::Target => target = proxy.mysql_url("root", &self.to),
        }
        self.bed.file("said.sql", "SELECT 'from a script';");
        let job = Job::between("mysql", &source, &target)
            .task("scripts = [\"said.sql\"]")
            .task("verify = \"checksum\"")
            .task("previous = \"drop\"");
        (job, proxy)
    }

    /// What a failed run may leave: live old or new, whole; and the next run works and clears up.
    #[track_caller]
    fn is_whole_and_goes_on(&self) {
        if self.live("SELECT COUNT(*) FROM users") == "200" {
            self.assert_same();
        } else {
            self.live_is_old();
        }
        let job = self.job().task("previous = \"drop\"");
        self.bed.once(&self.write(&job)).expect(0);
        self.assert_same();
        self.nothing_is_left();
    }
}

fn broken_in_each_phase(fault: Fault) {
    for (phase, side, words) in PHASES {
        let scene = Scene::of_this_test();
        let (job, proxy) = scene.behind(*side);
        proxy.trap(words, fault);
        let outcome = scene.bed.once(&scene.write(&job));
        assert!(proxy.is_sprung(), "{phase} never came: {outcome:?}");
        assert_eq!(outcome.code, Some(1), "{phase}: {outcome:?}");
        let named = match side {
            Side::Source => "source /tmp",
            Side::Target => "target /tmp",
        };
        assert!(outcome.stderr.contains(named), "{phase}: {outcome:?}");
        assert_eq!(scene.bed.status_text("app", "state"), "failed", "{phase}");
        if *phase != "publish" {
            scene.live_is_old();
        }
        scene.is_whole_and_goes_on();
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
        scene.live_is_old();
        proxy.go_on();
        running.end().expect(0);
        assert!(proxy.is_sprung(), "{phase} never came");
        scene.assert_same();
        scene.nothing_is_left();
    }
}

fn restarted_in_each_phase(crashes: Side) {
    // One of their own: nobody else's tests see them go.
    let server = Server::with(&["--innodb-flush-log-at-trx-commit=1"]);
    let pair = shared();
    for (phase, side, words) in PHASES {
        let scene = match crashes {
            Side::Source => Scene::on(&server, &pair.target),
            Side::Target => Scene::on(&pair.source, &server),
        };
        let (job, proxy) = scene.behind(*side);
        proxy.trap(words, Fault::Stall);
        let mut running = scene.bed.start(&scene.write(&job));
        wait_until(phase, || proxy.is_sprung() || !running.is_running());
        assert!(proxy.is_sprung(), "{phase} never came: {}", running.said());
        server.crash();
        server.start_again();
        proxy.go_on();
        let outcome = running.end();
        // After its last row, a source is not needed any more.
        if outcome.code != Some(0) {
            assert_eq!(outcome.code, Some(1), "{phase}: {outcome:?}");
            scene.live_is_old();
        }
        scene.is_whole_and_goes_on();
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

#[test]
fn a_session_that_an_administrator_kills_fails_the_run_and_says_so() {
    for (phase, side, words) in PHASES {
        let scene = Scene::of_this_test();
        let (job, proxy) = scene.behind(*side);
        proxy.trap(words, Fault::Stall);
        let mut running = scene.bed.start(&scene.write(&job));
        wait_until(phase, || proxy.is_sprung() || !running.is_running());
        assert!(proxy.is_sprung(), "{phase} never came: {}", running.said());
        let (server, database) = match side {
            Side::Source => (scene.source, &scene.from),
            Side::Target => (scene.target, &scene.to),
        };
        let ids = server.sql(
            "",
            &format!("SELECT id FROM information_schema.processlist WHERE db LIKE '{database}%'"),
        );
        for id in ids.lines() {
            // Some may have ended by themselves.
            let _ = server.try_sql("root", "", &format!("KILL {id}"));
        }
        proxy.go_on();
        let outcome = running.end();
        if outcome.code != Some(0) {
            assert_eq!(outcome.code, Some(1), "{phase}: {outcome:?}");
            scene.live_is_old();
        }
        scene.is_whole_and_goes_on();
    }
}

/// Lets a run go on for a moment; every second time, only what comes after `line` counts, in smaller steps.
fn let_run(running: &mut Running, number: u32, moment: Duration, line: &str) {
    if number.is_multiple_of(2) {
        std::thread::sleep(moment);
    } else {
        wait_until(line, || {
            running.said().contains(line) || !running.is_running()
        });
        std::thread::sleep(moment / 8);
    }
}

/// Every row of a version, or something between two.
fn version(scene: &Scene<'_>) -> Option<u32> {
    let rows = scene.live(
        "SELECT CONCAT(GROUP_CONCAT(DISTINCT v), '/', COUNT(*)) FROM
           (SELECT email AS v FROM users UNION ALL SELECT note FROM orders) AS all_rows",
    );
    rows.strip_suffix("/700")?.parse().ok()
}

fn make_version(scene: &Scene<'_>, number: u32) {
    scene.source(&format!(
        "UPDATE users SET email = '{number}'; UPDATE orders SET note = '{number}'"
    ));
}

#[test]
fn after_kill_9_at_any_moment_live_is_old_or_new_and_the_next_run_clears_up() {
    let scene = Scene::of_this_test();
    scene.source(BIG);
    let job = scene.job().task("previous = \"drop\"");
    let file = scene.write(&job);
    make_version(&scene, 1000);
    let start = Instant::now();
    scene.bed.once(&file).expect(0);
    let mut took = start.elapsed();
    let count = kills(30);
    let (mut killed, mut left) = (0, 0);
    for (number, part) in moments_again(count) {
        if number >= count && killed >= count / 2 && left >= count / 6 {
            break;
        }
        // Other tests come and go: what it took last is the best guess.
        let moment = took.mul_f64(part);
        let before = version(&scene).expect("whole");
        make_version(&scene, number);
        let mut running = scene.bed.start(&file);
        let_run(&mut running, number, moment, "incoming is complete");
        killed += u32::from(running.is_running());
        running.kill();
        left += u32::from(!scene.beside_live().is_empty());
        let after = version(&scene);
        assert!(
            after == Some(before) || after == Some(number),
            "{after:?} is neither {before} nor {number}, killed after {moment:?}"
        );
        let start = Instant::now();
        scene.bed.once(&file).expect(0);
        took = start.elapsed();
        assert_eq!(version(&scene), Some(number));
        scene.assert_same();
        scene.nothing_is_left();
    }
    // Otherwise this has tried nothing.
    assert!(
        killed >= count / 2 && left >= count / 6,
        "{killed} were killed, {left} left something"
    );
}
