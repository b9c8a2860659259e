//! Several writers of one archive, in containers that share a name.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Scene;
use super::through_s3::Far;
use crate::support::container::{contained, off};
use crate::support::job::{Job, Outcome, Running};
use crate::support::wait_until;

/// A push in a container that is called like all others, with state and locks of its own.
fn container(scene: &Scene, number: usize, job: &Path, clock: &str) -> Running {
    let own = scene.bed.path(&format!("container-{number}"));
    let mut command = scene.bed.command();
    command
        .args(["--once", "-f"])
        .arg(job)
        .env("ENVSYNCD_STATE_DIR", own.join("state"))
        .env("ENVSYNCD_STATUS_DIR", own.join("status"))
        .env("ENVSYNCD_LOCK_DIR", own.join("lock"));
    off(&mut command, clock);
    scene.bed.spawn(&mut contained(&command, "backup"))
}

/// The pid namespace of a container: while this is open, the kernel gives its number to no other.
fn namespace_of(container: &Running) -> fs::File {
    let file = format!("/proc/{}/ns/pid_for_children", container.pid());
    fs::File::open(file).expect("a namespace")
}

fn folders(archive: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(archive).into_iter().flatten();
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    all.sort();
    all
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn verified(scene: &Scene, job: &Path) -> Outcome {
    let job = job.to_str().expect("text");
    scene.bed.run(&["snapshots", "verify", "--all", "-f", job])
}

/// Two at once, the second from its beginning to its end while the first has written all but its manifest.
fn two_at_once(scene: &Scene, archive: &Path, push: impl Fn() -> Job, clock: &str) {
    let gate = scene.bed.gate("first");
    let job = scene.bed.job("push", &push().hooks(&gate.maintenance()));
    let mut first = container(scene, 1, &job, "+0h");
    gate.wait(&mut first);
    let begun = folders(archive);
    assert_eq!(begun.len(), 1);
    let before = files(&begun[0]).len();
    scene.bed.job("push", &push());
    let second = container(scene, 2, &job, clock).end().expect(0);
    assert!(!second.stderr.contains("dead run"), "{}", second.stderr);
    assert_eq!(files(&begun[0]).len(), before);
    // By hand as well, and with a rule that keeps but one.
    scene.bed.job("push", &push());
    gate.open();
    first.end().expect(0);
    assert_eq!(folders(archive).len(), 2);
    verified(scene, &job).expect(0);
}

#[test]
fn two_pushes_from_containers_of_one_name_leave_two_whole_snapshots_in_a_directory() {
    let scene = Scene::new();
    two_at_once(&scene, &scene.archive(), || scene.push(), "+0h");
}

#[test]
fn a_push_whose_clock_is_hours_ahead_does_not_take_another_for_dead() {
    let scene = Scene::new();
    two_at_once(&scene, &scene.archive(), || scene.push(), "+30h");
}

#[test]
fn two_pushes_from_containers_of_one_name_leave_two_whole_snapshots_in_a_bucket() {
    let far = Far::new();
    two_at_once(&far.scene, &far.remote.folder, || far.push(), "+0h");
}

/// Somebody removes a file of rows while the first push has written all but its manifest.
fn loses(scene: &Scene, archive: &Path, push: impl Fn() -> Job, keep: bool) {
    let gate = scene.bed.gate(if keep { "cut" } else { "removed" });
    let job = scene.bed.job("push", &push().hooks(&gate.maintenance()));
    let mut running = scene.bed.start(&job);
    gate.wait(&mut running);
    let folder = folders(archive).pop().expect("a folder");
    let rows = files(&folder.join("rows")).pop().expect("a file");
    if keep {
        fs::write(&rows, "cut").expect("a file");
    } else {
        fs::remove_file(&rows).expect("a file");
    }
    gate.open();
    let name = rows.file_name().expect("a name").to_str().expect("text");
    running
        .end()
        .expect(1)
        .says(&["a file of snapshot", "went away while it was written", name]);
    // The gateway keeps empty folders for a while.
    wait_until("nothing was left", || {
        folders(archive)
            .iter()
            .all(|folder| files(folder).is_empty())
    });
}

#[test]
fn a_push_whose_files_were_removed_meanwhile_fails_and_leaves_no_snapshot() {
    let scene = Scene::new();
    loses(&scene, &scene.archive(), || scene.push(), false);
    loses(&scene, &scene.archive(), || scene.push(), true);
    let far = Far::new();
    loses(&far.scene, &far.remote.folder, || far.push(), false);
}

#[test]
fn what_a_push_left_whose_container_is_gone_is_cleared_after_an_hour_and_not_before() {
    let scene = Scene::new();
    let gate = scene.bed.gate("first");
    let job = scene
        .bed
        .job("push", &scene.push().hooks(&gate.maintenance()));
    let mut first = container(&scene, 1, &job, "-9h");
    gate.wait(&mut first);
    let left = folders(&scene.archive());
    // The second one's namespace must not have the first's number: a process that is not in it would be known to be gone.
    let namespace = namespace_of(&first);
    first.kill();
    scene.bed.job("push", &scene.push());
    let age = |minutes: u64| {
        let time = SystemTime::now() - Duration::from_secs(minutes * 60);
        for file in files(&left[0]) {
            let file = fs::File::options().write(true).open(file);
            file.and_then(|file| file.set_modified(time))
                .expect("a time");
        }
    };
    for (minutes, there) in [(0, true), (58, true), (62, false)] {
        age(minutes);
        container(&scene, 2, &job, "+3h").end().expect(0);
        assert_eq!(left[0].exists(), there, "{minutes}");
    }
    drop(namespace);
    verified(&scene, &job).expect(0);
}
