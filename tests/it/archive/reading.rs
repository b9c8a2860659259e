//! A prune while somebody reads.

use std::fs;
use std::path::PathBuf;

use super::Scene;
use super::shelf::{Draft, Shelf};
use super::through_s3::Far;
use crate::support::s3::shared;
use crate::support::wait_until;

/// The marks in an archive of this directory.
fn marks(archive: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(archive.join("reading")).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .collect()
}

#[test]
fn a_snapshot_that_is_pulled_is_left_to_the_next_prune() {
    let scene = Scene::new();
    scene.once("push", &scene.push()).expect(0);
    let first = scene.snapshots();
    // In place: it is surveyed, and its rows are read only after maintenance is on.
    let gate = scene.bed.gate("on");
    let pull = scene.pull().task("publish = \"in_place\"");
    let pull = scene.bed.job("pull", &pull.hooks(&gate.maintenance()));
    let mut running = scene.bed.start(&pull);
    gate.wait(&mut running);
    wait_until("it says that it reads", || {
        !marks(&scene.archive()).is_empty()
    });
    scene.source("UPDATE users SET name = 'later'");
    let push = scene.push_with("keep_last = 1");
    scene.once("push", &push).expect(0).says(&["reading it"]);
    assert_eq!(scene.snapshots().len(), 2);
    assert!(scene.snapshots().starts_with(&first));
    gate.open();
    running.end().expect(0);
    scene.live_is_new();
    assert!(!scene.archive().join("reading").exists());
    scene.once("push", &push).expect(0);
    assert_eq!(scene.snapshots().len(), 1);
}

#[test]
fn a_plan_says_to_nobody_that_it_reads() {
    let scene = Scene::new();
    scene.once("push", &scene.push()).expect(0);
    let before = scene.folders();
    let pull = scene.bed.job("pull", &scene.pull());
    scene.bed.with_file("plan", &pull).expect(0);
    assert_eq!(scene.folders(), before);
}

#[test]
fn a_pull_that_was_killed_keeps_a_prune_for_an_hour_and_no_longer() {
    let shelf = Shelf::new();
    let old = shelf.put(Draft::hours_ago(50));
    let new = shelf.put(Draft::hours_ago(3));
    let mark = format!("{old}.0123456789ab.json");
    fs::create_dir(shelf.path().join("reading")).unwrap();
    fs::write(shelf.file("reading", &mark), "{}").unwrap();
    let prune = |more: &[&str]| shelf.with_job("keep_last = 1", "prune", more).expect(0);
    prune(&["--dry-run"]).says(&["somebody is reading it"]);
    prune(&[]).says(&["0 snapshots"]);
    assert_eq!(
        shelf.folders(),
        [old.clone(), new.clone(), "reading".to_owned()]
    );
    shelf.age("reading", 2);
    let before = shelf.content();
    prune(&["--dry-run"]).says(&["no rule keeps it"]);
    assert_eq!(shelf.content(), before);
    prune(&[]).says(&[&format!("{old} is gone"), "1 snapshots"]);
    assert_eq!(shelf.folders(), [new]);
}

#[test]
fn who_may_only_read_a_bucket_pulls_without_saying_so() {
    let far = Far::new();
    far.scene.once("push", &far.push()).expect(0);
    let id = format!("reader-of-{}", far.remote.bucket);
    let (objects, itself) = (&["s3:GetObject"], &["s3:ListBucket"]);
    let secret = shared().key(&id, &far.remote.bucket, objects, itself);
    far.scene.bed.file("readers", &secret);
    let pull = far.pull_from(&far.remote.endpoint_of(&id, "readers", ""));
    far.scene.once("pull", &pull).expect(0);
    far.scene.live_is_new();
    assert_eq!(far.remote.network.asked("PUT", "reading/"), 1);
    far.scene.once("pull", &far.pull()).expect(0);
    assert_eq!(far.remote.network.asked("PUT", "reading/"), 2);
    assert_eq!(marks(&far.remote.folder), Vec::<PathBuf>::new());
}
