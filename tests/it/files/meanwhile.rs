//! What becomes of a source under a run's hands.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::trees::{Disk, Image, Meanwhile, Trees};
use crate::support::job::{Job, Running};
use crate::support::wait_until;

/// A pace at which the first file takes some seconds.
const SLOW: &str = "throttle = \"400kB/s\"\njobs = 1\n";

/// `a/large`, which comes first and takes its time, and these.
pub(super) fn with_a_large_one(trees: &Trees, files: &[&str]) {
    fs::create_dir_all(trees.source("a")).expect("a directory");
    fs::write(trees.source("a/large"), vec![7; 1 << 20]).expect("a file");
    trees.write(files);
}

/// Waits until it is being copied.
fn has_begun(trees: &Trees, running: &mut Running) {
    has_begun_in(&trees.folder(""), running);
}

/// The same, of a live that is this folder's.
pub(super) fn has_begun_in(folder: &Path, running: &mut Running) {
    wait_until("the first file is being copied", || {
        assert!(running.is_running(), "it has ended");
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let incoming = |entry: &fs::DirEntry| entry.file_name().as_bytes().starts_with(b"incoming");
        let mut incoming = entries.filter(incoming);
        incoming.any(|entry| entry.path().join("a/large").exists())
    });
}

#[test]
fn live_keeps_its_own_of_what_vanishes_while_it_is_copied() {
    for mode in ["overlay", "replace"] {
        let trees = Trees::new();
        with_a_large_one(
            &trees,
            &[
                "source/b/gone=new",
                "source/b/stays=new",
                "source/c/d/e=new",
            ],
        );
        trees.write(&["source/f/fresh=new"]);
        trees.write(&["live/b/gone=old", "live/b/stays=old", "live/c/d/e=old"]);
        let job = trees.with(&format!("{SLOW}mode = \"{mode}\"\nverify = \"checksum\""));
        let mut running = trees.bed.start(&trees.bed.job("app", &job));
        has_begun(&trees, &mut running);
        fs::remove_file(trees.source("b/gone")).expect("a file");
        fs::remove_dir_all(trees.source("c")).expect("a directory");
        fs::remove_file(trees.source("f/fresh")).expect("a file");
        let outcome = running.end().expect(0);
        outcome.says(&[
            "files vanished before they were read",
            "b/gone",
            "c/d/e",
            "f/fresh",
        ]);
        let mut found = trees.in_live();
        found.retain(|line| !line.starts_with("a/"));
        let expected = [
            "b/",
            "b/gone=old",
            "b/stays=new",
            "c/",
            "c/d/",
            "c/d/e=old",
            "f/",
        ];
        assert_eq!(found, expected, "{mode}");
        // The next run sees that they are not there, and does what its task says.
        let next = trees.with(&format!("mode = \"{mode}\""));
        trees.once(&next).expect(0);
        assert_eq!(trees.live("b/gone").exists(), mode == "overlay");
    }
}

#[test]
fn what_becomes_unreadable_in_mid_run_fails_it_and_is_named() {
    for what in ["b/file", "b"] {
        let trees = Trees::new();
        with_a_large_one(&trees, &["source/b/file=new", "live/b/file=old"]);
        let everybody = Command::new("chown")
            .args(["-R", "65534:65534"])
            .args([trees.source(""), trees.live("")])
            .status();
        assert!(everybody.expect("chown").success());
        let file = trees.bed.job("app", &trees.with(SLOW));
        let mut running = trees.as_nobody(&file);
        has_begun(&trees, &mut running);
        fs::set_permissions(trees.source(what), fs::Permissions::from_mode(0o000)).expect("it");
        running.end().expect(1).says(&["cannot read b/file"]);
        assert_eq!(trees.in_live(), ["b/", "b/file=old"]);
        assert_eq!(trees.beside(), Vec::<String>::new());
    }
}

#[test]
fn a_disk_that_is_unmounted_in_mid_run_takes_nothing_from_live() {
    let trees = Trees::new();
    let disk = Disk::new(&trees.source("m"), "size=2m");
    with_a_large_one(&trees, &[]);
    for number in 0..300 {
        trees.write(&[
            &format!("source/m/{}/{number}=new", number % 9),
            &format!("live/m/{}/{number}=old", number % 9),
        ]);
    }
    let job = trees.with(&format!("{SLOW}mode = \"replace\""));
    let mut running = trees.bed.start(&trees.bed.job("app", &job));
    has_begun(&trees, &mut running);
    drop(disk);
    running.end().expect(0);
    let found = trees.in_live();
    let files = found
        .iter()
        .filter(|line| line.starts_with("m/") && line.contains('='));
    assert_eq!(files.count(), 300, "old or new, but all of them");
    // By the next run they are gone, and there are too many of them.
    let refused = trees.once(&trees.with("mode = \"replace\"")).expect(3);
    refused.says(&["300 of live's 301 files would be deleted"]);
}

#[test]
fn a_disk_that_breaks_in_mid_run_fails_it_and_leaves_live() {
    let trees = Trees::new();
    fs::remove_dir(trees.source("")).expect("it is empty");
    let disk = Image::new(&trees.source(""), &[]);
    with_a_large_one(&trees, &["live/b/file=old"]);
    fs::create_dir(trees.source("b")).expect("a directory");
    fs::write(trees.source("b/file"), vec![8; 3 << 20]).expect("a file");
    // What was written is to be read from the disk again.
    let disk = disk.mounted_anew();
    let job = trees.with(&format!("{SLOW}exclude = [\"lost+found\"]"));
    let mut running = trees.bed.start(&trees.bed.job("app", &job));
    has_begun(&trees, &mut running);
    disk.breaks();
    running.end().expect(1).says(&["cannot read"]);
    assert_eq!(trees.in_live(), ["b/", "b/file=old"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

/// Exchanges `source/d`, a directory, for a link to `outside`, over and over; counts how often.
pub(super) fn exchanging(trees: &Trees) -> (Meanwhile, Arc<AtomicU64>) {
    for number in 0..50 {
        for place in ["outside", "source/d", "outside/e", "source/d/e"] {
            let content = if place.starts_with("outside") {
                "secret"
            } else {
                "public"
            };
            trees.write(&[&format!("{place}/{number}={content}")]);
        }
    }
    symlink(trees.bed.path("outside"), trees.source("other")).expect("a link");
    let [one, other]: [PathBuf; 2] = ["d", "other"].map(|name| trees.source(name));
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let exchanging = Meanwhile::new(move || {
        renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).expect("an exchange");
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (exchanging, count)
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_thousands_of_times_leads_nobody_out_of_the_tree() {
    let trees = Trees::new();
    let (exchanging, count) = exchanging(&trees);
    for options in [
        "",
        "compare = \"checksum\"",
        "verify = \"checksum\"",
        "link = \"copy\"",
    ] {
        for _ in 0..4 {
            trees.write(&["source/changes=x"]);
            let job: Job = trees.with(&format!(
                "mode = \"replace\"\nmax_delete = \"100%\"\n{options}"
            ));
            let outcome = trees.once(&job);
            // Live has a link where a directory is by now; or what had vanished is there again when the trees are compared.
            if outcome.code != Some(0) {
                let said = &outcome.stderr;
                let is_known = ["live has a", "the copy is not equal to the source"];
                assert!(is_known.iter().any(|known| said.contains(known)), "{said}");
                let _ = fs::remove_dir_all(trees.live(""));
            }
            let live = trees.in_live();
            assert!(
                !live.iter().any(|line| line.ends_with("=secret")),
                "{live:?}"
            );
        }
    }
    drop(exchanging);
    assert!(count.load(Ordering::Relaxed) > 2000, "{count:?}");
}
