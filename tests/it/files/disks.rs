//! Disks that can more than others, or less: quotas, and blocks that files share (Btrfs).

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ssh::Far;
use super::trees::{Image, Trees, inode, lines};
use crate::support::job::Job;

fn btrfs(arguments: &[&str], at: &Path) {
    let done = Command::new("btrfs").args(arguments).arg(at).output();
    let done = done.expect("btrfs");
    assert!(done.status.success(), "{done:?}");
}

/// A place in which no more than 6 MiB may be, on a disk with more room.
fn with_a_quota(trees: &Trees) -> (Image, PathBuf) {
    let disk = Image::btrfs(&trees.bed.path("disk"));
    let place = trees.bed.path("disk/limited");
    btrfs(&["subvolume", "create"], &place);
    btrfs(&["quota", "enable"], &trees.bed.path("disk"));
    btrfs(&["qgroup", "limit", "6M"], &place);
    trees.write(&["disk/limited/live/a=old", "source/a=new"]);
    fs::write(trees.source("large"), vec![7; 20 << 20]).expect("a file");
    (disk, place.join("live"))
}

#[test]
fn a_quota_that_is_used_up_fails_the_run_and_leaves_live() {
    let trees = Trees::new();
    let (_disk, live) = with_a_quota(&trees);
    let url = |path: &Path| format!("dir://{}", path.display());
    for options in ["", "publish = \"in_place\""] {
        let job = Job::between("files", &url(&trees.source("")), &url(&live)).task(options);
        let failed = trees.once(&job).expect(1);
        failed.says(&["large", "quota exceeded", "free space there"]);
        let mut found = lines(&live);
        found.retain(|line| !line.starts_with(".envsyncd"));
        assert_eq!(found, ["a=old"]);
    }
    let beside = fs::read_dir(live.with_file_name("live.envsyncd")).expect("it");
    assert_eq!(beside.count(), 2, "mark and lock");
    // With less to copy there is room.
    fs::remove_file(trees.source("large")).expect("a file");
    let job = Job::between("files", &url(&trees.source("")), &url(&live));
    trees.once(&job).expect(0);
    assert_eq!(fs::read_to_string(live.join("a")).expect("it"), "new");
}

#[test]
fn a_quota_that_is_used_up_on_another_machine_leaves_live() {
    let far = Far::new();
    let (_disk, live) = with_a_quota(&far.trees);
    let job = far.pushes_to(&far.sshd.side(&live));
    far.trees
        .once(&job)
        .expect(1)
        .says(&["the quota is used up"]);
    assert_eq!(lines(&live), ["a=old"]);
}

#[test]
fn where_files_can_share_blocks_what_has_not_changed_needs_no_room_and_is_a_file_of_its_own() {
    let trees = Trees::new();
    let _disk = Image::btrfs(&trees.bed.path("disk"));
    fs::write(trees.source("large"), vec![7; 40 << 20]).expect("a file");
    trees.write(&["source/other=1"]);
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let job = Job::between("files", &url("source"), &url("disk/live")).task("link = \"reflink\"");
    // Four copies would not fit.
    for round in 0..4 {
        trees.write(&[&format!("source/other={round}")]);
        let before = trees.bed.path("disk/live/large");
        let before = before.exists().then(|| inode(&before));
        let said = trees.once(&job).expect(0);
        assert!(!said.stderr.contains("cannot share"), "{}", said.stderr);
        let large = trees.bed.path("disk/live/large");
        assert_ne!(Some(inode(&large)), before);
        assert_eq!(large.metadata().expect("a file").len(), 40 << 20);
    }
    // What is written in place is written in one of them.
    let live = fs::File::options()
        .write(true)
        .open(trees.bed.path("disk/live/large"));
    live.and_then(|file| file.write_all_at(b"changed", 0))
        .expect("bytes");
    let previous = fs::File::open(trees.bed.path("disk/live.envsyncd/previous/large"));
    let mut beginning = [0; 7];
    previous
        .and_then(|file| file.read_exact_at(&mut beginning, 0))
        .expect("bytes");
    assert_eq!(beginning, [7; 7]);
}
