//! Pushes: what there is afterwards, and that there is nothing if they fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Scene, manifest};
use crate::support::postgres::Must;
use crate::support::{kills, wait_until};

#[test]
fn a_snapshot_says_what_it_is_of() {
    let scene = Scene::of_this_test();
    scene.source("CREATE TABLE cache_x (a integer); CREATE TABLE audit (a integer); INSERT INTO audit VALUES (1)");
    let push = scene
        .push()
        .task("exclude = [\"cache_*\"]")
        .task("schema_only = [\"audit\"]");
    scene.once("nightly", &push).expect(0);
    let folder = scene.snapshots().pop().expect("a snapshot");
    let found = manifest(&folder);
    let status = scene.bed.status("nightly");
    let name = folder.file_name().unwrap().to_str().unwrap();
    for (key, value) in [
        ("version", serde_json::json!(1)),
        ("snapshot", name.into()),
        ("job", "nightly".into()),
        ("run", status["run_id"].clone()),
        ("origin", "production".into()),
        ("kind", "postgresql".into()),
        ("compression", "zstd".into()),
        ("tool_version", env!("CARGO_PKG_VERSION").into()),
        (
            "changes",
            serde_json::json!([
                {"name": "public.audit", "fate": "schema_only"},
                {"name": "public.cache_x", "fate": "exclude"},
            ]),
        ),
    ] {
        assert_eq!(found[key], value, "{key} in {found:#}");
    }
    let parts = found["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 1, "{found:#}");
    assert_eq!(parts[0]["rows"], 3);
    assert_eq!(status["tasks"][0]["rows"], 3);
    // Nothing is there that the manifest does not name, and it is for nobody else's eyes.
    let mut found: Vec<String> = Vec::new();
    for place in ["", "rows", "definitions"] {
        for entry in fs::read_dir(folder.join(place)).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
            if path.is_file() {
                found.push(path.strip_prefix(&folder).unwrap().display().to_string());
            }
        }
    }
    let mut named: Vec<String> = ["definitions", "parts"]
        .iter()
        .flat_map(|key| manifest(&folder)[*key].as_array().unwrap().clone())
        .flat_map(|one| match one["files"].as_array() {
            Some(files) => files.clone(),
            None => vec![one],
        })
        .map(|file| file["path"].as_str().unwrap().to_owned())
        .chain(["manifest.json".to_owned()])
        .collect();
    found.sort();
    named.sort();
    assert_eq!(found, named);
}

#[test]
fn a_push_that_fails_leaves_no_snapshot() {
    let scene = Scene::of_this_test();
    // A value that its type does not know any more cannot be sent.
    scene.source("CREATE TYPE mood AS ENUM ('x'); CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('x'); DELETE FROM pg_enum WHERE enumtypid = 'mood'::regtype");
    scene.once("push", &scene.push()).expect(1).says(&["moods"]);
    assert_eq!(scene.folders(), Vec::<std::path::PathBuf>::new());
    assert_eq!(scene.bed.status_text("push", "state"), "failed");
}

#[test]
fn a_push_that_is_killed_is_no_snapshot_and_the_next_one_clears_it() {
    let scene = Scene::of_this_test();
    scene.once("push", &scene.push()).expect(0);
    scene.source("UPDATE users SET name = 'later'");
    let gate = scene.bed.gate("on");
    let slow = scene.push().hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.bed.job("push", &slow));
    gate.wait(&mut running);
    assert_eq!(scene.folders().len(), 2);
    assert_eq!(scene.snapshots().len(), 1);
    running.kill();
    // What was not finished is not pulled.
    scene.once("pull", &scene.pull()).expect(0);
    scene.live_is_new();
    scene.once("push", &scene.push()).expect(0);
    assert_eq!(scene.folders().len(), 2);
    assert_eq!(scene.snapshots().len(), 2);
    scene.once("pull", &scene.pull()).expect(0);
    assert_eq!(scene.live("SELECT DISTINCT name FROM users"), "later");
}

#[test]
fn a_push_that_is_terminated_leaves_nothing() {
    let scene = Scene::of_this_test();
    let gate = scene.bed.gate("on");
    let slow = scene.push().hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.bed.job("push", &slow));
    gate.wait(&mut running);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.end().expect(143);
    wait_until("it is gone", || scene.folders().is_empty());
}

#[test]
fn a_push_killed_at_any_moment_leaves_a_whole_snapshot_or_none() {
    let scene = Scene::of_this_test();
    scene.source(
        "INSERT INTO users SELECT i, repeat(md5(i::text), 20) FROM generate_series(10, 60000) i",
    );
    let job = scene.bed.job("push", &scene.push());
    let whole = std::time::Instant::now();
    scene.bed.once(&job).expect(0);
    let whole = whole.elapsed();
    let count = kills(12);
    for moment in 0..count {
        let running = scene.bed.start(&job);
        std::thread::sleep(whole * moment * 6 / (5 * count));
        running.kill();
        let before = scene.snapshots().len();
        assert!(before >= 1);
        scene
            .once("pull", &scene.pull().task("previous = \"drop\""))
            .expect(0);
        assert_eq!(scene.live("SELECT count(*) FROM users"), "59994");
    }
    scene.bed.once(&job).expect(0);
    // Folders without a single file may be a moment old, and somebody's.
    let files = |folder: &std::path::Path| {
        let found = std::process::Command::new("find")
            .arg(folder)
            .args(["-type", "f", "-not", "-name", ".*"])
            .must("find");
        !found.is_empty()
    };
    let mut left = scene.folders();
    left.retain(|folder| files(folder));
    assert_eq!(left, scene.snapshots());
}

#[test]
fn old_snapshots_go_as_the_job_says_and_others_jobs_stay() {
    let scene = Scene::of_this_test();
    scene.once("other", &scene.push()).expect(0);
    for _ in 0..4 {
        scene
            .once("push", &scene.push_with("keep_last = 2"))
            .expect(0);
    }
    let jobs: Vec<String> = scene
        .snapshots()
        .iter()
        .map(|folder| manifest(folder)["job"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        jobs.iter().filter(|job| *job == "push").count(),
        2,
        "{jobs:?}"
    );
    assert_eq!(
        jobs.iter().filter(|job| *job == "other").count(),
        1,
        "{jobs:?}"
    );
}

#[test]
fn an_archive_has_nothing_to_roll_back_to() {
    let scene = Scene::of_this_test();
    let job = scene.bed.job("push", &scene.push());
    scene.bed.once(&job).expect(0);
    scene
        .bed
        .with_file("rollback", &job)
        .expect(2)
        .says(&["no previous"]);
    assert_eq!(scene.snapshots().len(), 1);
}

#[test]
fn a_plan_of_a_push_writes_nothing() {
    let scene = Scene::of_this_test();
    let job = scene.bed.job("push", &scene.push());
    scene
        .bed
        .with_file("plan", &job)
        .expect(0)
        .says(&["public.users"]);
    assert_eq!(scene.folders(), Vec::<std::path::PathBuf>::new());
}
