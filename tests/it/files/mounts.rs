//! What somebody mounts in a tree of ours: it stays as it is, whatever becomes of the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::trees::{Trees, lines};
use crate::support::job::{Job, Outcome, toml};

/// What somebody else has, and mounts.
const THEIRS: [&str; 3] = ["deep/", "deep/y=theirs", "x=theirs"];

/// A directory that is mounted a second time, for as long as it is wanted.
struct Bound(PathBuf);

impl Bound {
    fn new(what: &Path, at: &Path) -> Self {
        let mut mount = Command::new("mount");
        let mounted = mount.arg("--bind").args([what, at]).status();
        assert!(mounted.expect("mount").success(), "mount (as root)");
        Self(at.to_owned())
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A tree of which the second copy is live, with previous, and beside it what somebody else has.
fn with_two_copies(options: &str) -> (Trees, Job) {
    let trees = Trees::new();
    trees.write(&["source/d/x=ours", "source/e=ours"]);
    trees.write(&["theirs/x=theirs", "theirs/deep/y=theirs"]);
    let job = trees.with(options);
    for content in ["1", "2"] {
        trees.write(&[&format!("source/a={content}")]);
        trees.once(&job).expect(0);
    }
    (trees, job)
}

fn rollback(trees: &Trees, job: &Job) -> Outcome {
    trees.bed.with_file("rollback", &trees.bed.job("app", job))
}

/// Live has this copy, and nothing of theirs is gone.
#[track_caller]
fn has(trees: &Trees, copy: &str) {
    let live = fs::read_to_string(trees.live("a"));
    assert_eq!(live.expect("a file"), copy);
    assert_eq!(lines(&trees.bed.path("theirs")), THEIRS);
}

#[test]
fn a_rollback_moves_no_tree_with_a_mount_in_it() {
    let (trees, job) = with_two_copies("");
    let theirs = trees.bed.path("theirs");
    let cases = [("live", "live/d"), ("previous", "live.envsyncd/previous/d")];
    for (tree, at) in cases {
        let bound = Bound::new(&theirs, &trees.bed.path(at));
        let what = format!("d: another file system is mounted in {tree}");
        let refused = rollback(&trees, &job).expect(1);
        refused.says(&[&*what, "unmount it"]);
        has(&trees, "2");
        drop(bound);
    }
    rollback(&trees, &job).expect(0);
    has(&trees, "1");
}

#[test]
fn what_is_mounted_in_live_before_it_is_exchanged_is_seen() {
    let (trees, job) = with_two_copies("previous = \"keep\"");
    let place = |path: &str| toml(&trees.bed.path(path).display().to_string());
    let hooks = format!(
        "maintenance_on = [\"mount\", \"--bind\", {}, {}]\nmaintenance_off = [\"true\"]",
        place("theirs"),
        place("live/d"),
    );
    trees.write(&["source/a=3"]);
    let refused = trees.once(&job.hooks(&hooks));
    let _bound = Bound(trees.live("d"));
    refused
        .expect(1)
        .says(&["d: another file system is mounted in live"]);
    has(&trees, "2");
    assert_eq!(trees.beside(), ["previous"]);
}

#[test]
fn what_is_mounted_in_a_tree_that_goes_is_not_removed() {
    // With a spare, which is made of that tree, and without.
    for options in ["", "link = \"copy\""] {
        let (trees, job) = with_two_copies(options);
        let theirs = trees.bed.path("theirs");
        let mut bound = Bound::new(&theirs, &trees.folder("previous/d"));
        trees.write(&["source/a=3"]);
        let says = ["/d is not removed: another file system is mounted there"];
        trees.once(&job).expect(0).says(&says);
        let mut beside = trees.beside();
        beside.retain(|name| name.starts_with("dropped-"));
        assert_eq!(beside.len(), 1, "{beside:?}");
        bound.0 = trees.folder(&beside[0]).join("d");
        has(&trees, "3");
        // Neither does the next run remove it.
        trees.write(&["source/a=4"]);
        trees.once(&job).expect(1).says(&says).says(&["unmount it"]);
        assert_eq!(lines(&bound.0), THEIRS);
        has(&trees, "3");
        drop(bound);
        trees.once(&job).expect(0);
        has(&trees, "4");
        assert_eq!(trees.beside(), ["previous"]);
    }
}
