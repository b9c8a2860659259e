//! Names that are odd, long or many.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::trees::{Trees, named};
use crate::support::kills;

#[test]
fn any_name_that_a_file_may_have_arrives() {
    let trees = Trees::new();
    let longest = [b'x'; 255];
    let all: [&[u8]; 8] = [
        b"line\nfeed",
        b"\xff\xfe",
        b"it's \"so\"",
        b" ",
        b"-rf",
        b"*",
        b"\\",
        &longest,
    ];
    for name in all {
        fs::write(named(&trees.source(""), name), name).expect("a file");
    }
    trees.once(&trees.with("verify = \"checksum\"")).expect(0);
    for name in all {
        assert_eq!(
            fs::read(named(&trees.live(""), name)).expect("a file"),
            name
        );
    }
    assert_eq!(fs::read_dir(trees.live("")).expect("it").count(), all.len());
}

/// The directory so many steps down, opened one by one; each is made if it is not there.
fn deep(root: &Path, name: &str) -> fs::File {
    let mut at = fs::File::open(root).expect("a directory");
    for _ in 0..DEPTH {
        let next = inside(&at, name);
        if !next.exists() {
            fs::create_dir(&next).expect("a directory");
        }
        at = fs::File::open(next).expect("a directory");
    }
    at
}

fn inside(directory: &fs::File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Of 200 bytes each: 10,000 bytes of path.
const DEPTH: usize = 50;

#[test]
fn a_tree_deeper_than_any_path_arrives_and_goes_again() {
    let trees = Trees::new();
    let name = "d".repeat(200);
    let bottom = deep(&trees.source(""), &name);
    fs::write(inside(&bottom, "file"), "deep").expect("a file");
    trees.once(&trees.with("verify = \"checksum\"")).expect(0);
    let read = || fs::read_to_string(inside(&deep(&trees.live(""), &name), "file"));
    assert_eq!(read().expect("a file"), "deep");
    // What was live is removed, as deep as it is.
    fs::write(inside(&bottom, "file"), "deeper").expect("a file");
    trees.once(&trees.with("previous = \"drop\"")).expect(0);
    assert_eq!(read().expect("a file"), "deeper");
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn names_that_differ_in_case_alone_are_two_files() {
    let trees = Trees::new();
    trees.write(&["source/Readme=1", "source/README=2", "source/readme=3"]);
    trees.once(&trees.job()).expect(0);
    assert_eq!(trees.in_live(), ["README=2", "Readme=1", "readme=3"]);
}

#[test]
fn a_hundred_thousand_empty_files_are_copied_in_little_memory_and_then_known() {
    // In script/soak a million of them.
    let directories = if kills(3) == 3 { 100 } else { 10 };
    let trees = Trees::new();
    for directory in 0..directories {
        let directory = trees.source(&format!("{directory}"));
        fs::create_dir(&directory).expect("a directory");
        for file in 0..10_000 {
            fs::File::create(directory.join(format!("{file}"))).expect("a file");
        }
    }
    let running = trees.bed.start(&trees.bed.job("app", &trees.job()));
    let (outcome, peak) = running.end_with_peak();
    let rows = match directories {
        100 => "1,000,000 rows".to_owned(),
        tens => format!("{tens}0,000 rows"),
    };
    outcome.expect(0).says(&[&rows]);
    assert!(peak < 64 << 20, "{peak} bytes");
    trees
        .once(&trees.job())
        .expect(0)
        .says(&["nothing has changed"]);
}

#[test]
fn a_directory_with_200_000_files_is_copied_in_little_memory_and_then_known() {
    let trees = Trees::new();
    for file in 0..200_000 {
        fs::File::create(trees.source(&format!("{file}"))).expect("a file");
    }
    let running = trees.bed.start(&trees.bed.job("app", &trees.job()));
    let (outcome, peak) = running.end_with_peak();
    outcome.expect(0).says(&["200,000 rows"]);
    assert!(peak < 64 << 20, "{peak} bytes");
    trees
        .once(&trees.job())
        .expect(0)
        .says(&["nothing has changed"]);
    // And one of them in the middle is found.
    trees.write(&["source/100000=now"]);
    trees.once(&trees.job()).expect(0);
    let found = fs::read_to_string(trees.live("100000")).expect("a file");
    assert_eq!(found, "now");
}

#[test]
fn a_link_is_copied_and_never_followed() {
    let trees = Trees::new();
    trees.write(&["outside/secret=s", "source/file=x"]);
    symlink(trees.bed.path("outside"), trees.source("out")).expect("a link");
    symlink("..", trees.source("up")).expect("a link");
    symlink("up", trees.source("loop")).expect("a link");
    trees.once(&trees.with("mode = \"replace\"")).expect(0);
    assert!(trees.live("out").is_symlink() && trees.live("up").is_symlink());
    assert_eq!(trees.in_live().len(), 4);
}
