//! MySQL and MariaDB through archives: what is this store's own.

use super::Scene;
use crate::support::job::{Job, Outcome, toml};
use crate::support::mysql::{Server, Version, quote, shared};
use crate::support::network::Fault;
use crate::support::proxy::Proxy;
use crate::support::s3::{self, Remote, SECRET};

/// Three tables of about 10 MB each, which are 5 MB each in the archive.
fn large(scene: &Scene<'_>) {
    for table in ["one", "two", "three"] {
        scene.source(&format!(
            "CREATE TABLE {table} (i int PRIMARY KEY, filler text); INSERT INTO {table} SELECT seq, CONCAT(MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND()), MD5(RAND())) FROM seq_1_to_40000"
        ));
    }
}

/// Jobs that push to a bucket and pull from it.
fn far(scene: &Scene<'_>) -> (Remote, Job, String) {
    let remote = Remote::new(s3::shared());
    scene.bed.file("secret", SECRET);
    let archive = remote.endpoint("secret", "");
    let source = toml(&scene.source.url("root", &scene.from));
    let push = Job::new("mysql", &source, &archive);
    (remote, push, archive)
}

#[test]
fn what_came_before_a_bucket_s_connection_was_cut_is_not_fetched_again() {
    let scene = Scene::new();
    large(&scene);
    let (remote, push, archive) = far(&scene);
    scene.bed.once(&scene.bed.job("push", &push)).expect(0);
    let network = &remote.network;
    network.fault("GET", "one.", 1, Fault::CutAnswer(1_000_000));
    network.fault("GET", "two.", 1, Fault::CutAnswer(4_500_000));
    network.fault("GET", "two.", 1, Fault::CutAnswer(100_000));
    let target = toml(&scene.target.url("root", &scene.to));
    scene.copy(&Job::new("mysql", &archive, &target));
    scene.assert_same();
    let fetched = ["one.", "two.", "three."].map(|table| network.answered("GET", table));
    assert_eq!(fetched, [(2, 1), (3, 2), (1, 0)]);
}

#[test]
fn a_pull_whose_target_is_cut_off_fails_and_fetches_nothing_more() {
    let scene = Scene::new();
    large(&scene);
    let (remote, push, archive) = far(&scene);
    scene.bed.once(&scene.bed.job("push", &push)).expect(0);
    let target = Proxy::before_mysql(scene.target);
    // The first table is in, the second on its way.
    target.stall_after(15_000_000);
    let through = Job::new(
        "mysql",
        &archive,
        &toml(&target.mysql_url("root", &scene.to)),
    );
    let running = scene.bed.start(&scene.write(&through.task("jobs = 1")));
    target.wait_for_stall();
    target.cut();
    running.end().expect(1).says(&["target"]);
    let fetched = ["one.", "two.", "three."].map(|table| remote.network.asked("GET", table));
    assert!(fetched.iter().all(|asked| *asked <= 1), "{fetched:?}");
    assert!(fetched.contains(&0), "{fetched:?}");
    scene.live_is_old();
    let again = Job::new(
        "mysql",
        &archive,
        &toml(&scene.target.url("root", &scene.to)),
    );
    scene.copy(&again.task("previous = \"drop\""));
    scene.live_is_new();
    scene.nothing_is_left();
}

#[test]
fn names_with_any_characters_pass_through_a_bucket() {
    let scene = Scene::empty();
    let names = [
        "with space",
        "a/b",
        "../up",
        "50%",
        "a+b",
        "a&b=c?d#e",
        "größe 日本",
        "it's",
        "q\"q",
        "back\\slash",
        "%2F",
        "a.b",
        "tick`ed",
    ];
    for (place, name) in names.iter().enumerate() {
        let (table, column) = (quote(name), quote(&format!("c {name}")));
        scene.source(&format!(
            "CREATE TABLE {table} ({column} int); INSERT INTO {table} VALUES ({place})"
        ));
    }
    let (_remote, push, archive) = far(&scene);
    scene.bed.once(&scene.bed.job("push", &push)).expect(0);
    let target = toml(&scene.target.url("root", &scene.to));
    scene.copy(&Job::new("mysql", &archive, &target));
    scene.assert_same();
    assert_eq!(scene.target.tables(&scene.to).len(), names.len());
}

/// Jobs that push to a directory and pull from it.
fn near(scene: &Scene<'_>) -> (Job, Job) {
    let archive = format!("file://{}", scene.bed.path("archive").display());
    (
        Job::between("mysql", &scene.source.url("root", &scene.from), &archive),
        Job::between("mysql", &archive, &scene.target.url("root", &scene.to)),
    )
}

#[test]
fn a_snapshot_of_one_maker_is_pulled_by_the_other_or_refused_in_one_line() {
    let oracle = Server::builder().of(Version::Oracle).start();
    for (source, target) in [(&oracle, &shared().target), (&shared().source, &oracle)] {
        let scene = Scene::on_any(source, target);
        scene.source("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a varchar(20), b blob) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci; INSERT INTO t (a, b) VALUES ('größe 🌍', X'00FF5C0A')");
        scene.live("CREATE TABLE mine (a int)");
        let (push, pull) = near(&scene);
        scene.bed.once(&scene.bed.job("push", &push)).expect(0);
        let file = scene.bed.job("pull", &pull);
        let (planned, outcome) = (scene.bed.with_file("plan", &file), scene.bed.once(&file));
        let synced = scene
            .bed
            .once(&scene.write(&scene.job().task("previous = \"drop\"")));
        let last = |outcome: &Outcome| outcome.stderr.lines().last().map(str::to_owned);
        // In a sync's own words.
        assert_eq!(outcome.code, synced.code, "{outcome:?}");
        if outcome.code == Some(0) {
            planned.expect(0);
            assert_eq!(scene.live("SELECT a, HEX(b) FROM t"), "größe 🌍|00FF5C0A");
            continue;
        }
        assert_eq!(last(&outcome), last(&synced));
        assert_eq!(last(&planned.says(&["MySQL", "MariaDB"])), last(&synced));
        assert_eq!(scene.live("SHOW TABLES"), "mine");
    }
}

#[test]
fn a_view_over_an_excluded_table_is_refused_by_the_push_already() {
    let scene = Scene::new();
    scene.source("CREATE VIEW buyers AS SELECT id FROM users");
    let (push, pull) = near(&scene);
    let (without, _) = near(&scene);
    let file = scene
        .bed
        .job("push", &without.task("exclude = [\"users\"]"));
    let refusal = "view buyers is over `users`, which is excluded";
    for outcome in [scene.bed.with_file("plan", &file), scene.bed.once(&file)] {
        outcome.expect(1).says(&[refusal, "put the view into"]);
    }
    assert!(!scene.bed.path("archive").exists());
    let file = scene
        .bed
        .job("push", &push.task("exclude = [\"users\", \"buyers\"]"));
    scene.bed.once(&file).expect(0);
    scene.copy(&pull);
    assert_eq!(scene.target.tables(&scene.to), ["orders"]);
}
