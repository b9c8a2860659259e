//! A table that is far larger than all others comes in slices.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::Job;
use crate::support::postgres::Cluster;
use crate::support::proxy::Proxy;
use crate::support::wait_until;

/// About 140 MB in pages of one row each, with a few values that are stored elsewhere, holes, and rows that were updated.
const LARGE: &str = "CREATE TABLE large (id int NOT NULL, n int, filler text, toasted text);
    ALTER TABLE large ALTER COLUMN filler SET STORAGE PLAIN, ALTER COLUMN toasted SET STORAGE EXTERNAL;
    INSERT INTO large SELECT g, g % 10, repeat('x', 5000), CASE WHEN g % 500 = 0 THEN repeat(md5(g::text), 400) END FROM generate_series(1, 17500) AS g;
    DELETE FROM large WHERE id % 97 = 0; UPDATE large SET n = -1 WHERE id % 1000 = 0;
    ALTER TABLE large ADD PRIMARY KEY (id), ADD UNIQUE (n, id); CREATE INDEX ON large (n);";

/// Two clusters; the target tells what is written.
fn clusters() -> (Cluster, Cluster) {
    let target = Cluster::builder().set("log_statement", "mod").start();
    (Cluster::builder().start(), target)
}

/// How many COPYs have brought rows of the large table to the target.
fn slices(target: &Cluster) -> usize {
    let copies = |line: &&str| line.contains("statement: COPY \"public\".\"large\"");
    target.log().lines().filter(copies).count()
}

#[test]
fn a_table_in_slices_arrives_whole_and_visible_to_index_only_scans() {
    let (source, target) = clusters();
    let scene = Scene::on(&source, &target);
    scene.source(LARGE);
    let job = scene.job().task("jobs = 2").task("verify = \"checksum\"");
    let file = scene.write(&job);
    let plan = scene.bed.with_file("plan", &file).expect(0);
    assert_eq!(
        plan.stdout.matches("public.large").count(),
        1,
        "{}",
        plan.stdout
    );
    scene.bed.once(&file).expect(0);
    assert_eq!(slices(&target), 2);
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
    // The history has it as one table, with all its rows; the small ones went together, and have no time of their own.
    let state = envsyncd::state::State::open(&scene.bed.path("state")).unwrap();
    let run = state.runs(None, 1).unwrap().remove(0);
    let tables = state.tables(&run.id).unwrap().remove(0).1.tables;
    let rows: u64 = scene.live("SELECT count(*) FROM large").parse().unwrap();
    let told: Vec<_> = tables
        .iter()
        .map(|it| (it.name.as_str(), it.rows, it.seconds.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            ("public.large", rows, true),
            ("public.orders", 500, false),
            ("public.users", 200, false)
        ]
    );
    // Every page of it is visible to all, and frozen.
    let marks = "SELECT relpages > 17000, relallvisible = relpages, age(relfrozenxid) < age((SELECT xmin FROM large LIMIT 1)) \
                 FROM pg_class WHERE relname = 'large'";
    assert_eq!(scene.live(marks), "t|t|t");
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
        "0"
    );
}

#[test]
fn one_worker_and_a_table_among_others_of_its_size_are_not_worth_slices() {
    let (source, target) = clusters();
    let scene = Scene::on(&source, &target);
    scene.source(LARGE);
    let alone = scene.job().task("jobs = 1").task("previous = \"drop\"");
    scene.bed.once(&scene.write(&alone)).expect(0);
    assert_eq!(slices(&target), 1);
    scene.source(
        "CREATE TABLE other (LIKE large INCLUDING STORAGE); INSERT INTO other SELECT * FROM large",
    );
    let among = scene.job().task("jobs = 2").task("previous = \"drop\"");
    scene.bed.once(&scene.write(&among)).expect(0);
    assert_eq!(slices(&target), 2);
}

#[test]
fn slices_in_an_archive_are_a_table_again_when_it_is_pulled_among_others_of_its_size() {
    let (source, target) = clusters();
    let scene = Scene::on(&source, &target);
    scene.source(LARGE);
    scene.source(
        "CREATE TABLE other (LIKE large INCLUDING STORAGE); INSERT INTO other SELECT * FROM large",
    );
    let archive = scene.bed.path("archive");
    let url = format!("file://{}", archive.display());
    let push = Job::between("postgresql", &source.url("postgres", &scene.from), &url);
    scene
        .bed
        .once(&scene.bed.job("push", &push.task("jobs = 2")))
        .expect(0);
    let snapshot = std::fs::read_dir(&archive).unwrap().next().unwrap();
    let files: Vec<String> = std::fs::read_dir(snapshot.unwrap().path().join("rows"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("public.large"))
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    let pull = Job::between("postgresql", &url, &target.url("postgres", &scene.to));
    scene
        .bed
        .once(&scene.bed.job("pull", &pull.task("jobs = 2")))
        .expect(0);
    assert_eq!(slices(&target), 1);
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
}

#[test]
fn a_slice_whose_connection_is_cut_fails_the_run_and_live_stays_as_it_was() {
    let (source, target) = clusters();
    let scene = Scene::on(&source, &target);
    scene.source(LARGE);
    let proxy = Proxy::before(&source);
    proxy.stall_after(20 * 1024 * 1024);
    let job = Job::between(
        "postgresql",
        &proxy.url("postgres", &scene.from),
        &target.url("postgres", &scene.to),
    )
    .task("jobs = 2");
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    wait_until("both slices are on their way", || slices(&target) == 2);
    proxy.cut();
    running.end().expect(1).says(&["public.large"]);
    assert_eq!(slices(&target), 2);
    scene.live_is_old();
    scene.nothing_is_left();
}
