//! What a pull makes of live.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::super::trees::{inode, lines};
use super::{Shelf, facts};

#[test]
fn a_pull_keeps_what_only_live_has_and_what_is_the_same() {
    let shelf = Shelf::new();
    shelf
        .trees
        .write(&["source/a/new=1", "source/same=1", "source/both=new"]);
    shelf.push("", "").expect(0);
    shelf.trees.write(&["live/own/x=mine", "live/both=old"]);
    shelf.pull("", "").expect(0);
    let expected = ["a/", "a/new=1", "both=new", "own/", "own/x=mine", "same=1"];
    assert_eq!(shelf.trees.in_live(), expected);
    assert_eq!(shelf.trees.beside(), ["previous"]);
    let (live, same) = (
        inode(&shelf.trees.live("")),
        inode(&shelf.trees.live("same")),
    );
    shelf.pull("", "").expect(0).says(&["nothing has changed"]);
    assert_eq!(inode(&shelf.trees.live("")), live);
    shelf.trees.write(&["source/both=newer"]);
    shelf.push("", "").expect(0);
    shelf.pull("", "").expect(0);
    assert_eq!(inode(&shelf.trees.live("same")), same);
    assert_eq!(shelf.trees.in_live()[2], "both=newer");
    let file = shelf.pull_job("", "");
    shelf.trees.bed.with_file("rollback", &file).expect(0);
    assert_eq!(shelf.trees.in_live()[2], "both=new");
}

#[test]
fn a_replace_removes_what_the_snapshot_has_not_within_its_limit_and_leaves_excluded_names() {
    let shelf = Shelf::new();
    shelf
        .trees
        .write(&["source/a=1", "source/private/x=secret", "source/b/c=2"]);
    shelf.push("", "").expect(0);
    shelf.trees.write(&[
        "live/private/own=mine",
        "live/old1=1",
        "live/old2=2",
        "live/d/e=3",
    ]);
    let lines = "mode = \"replace\"\nexclude = [\"/private/\"]\n";
    shelf.pull("", lines).expect(3).says(&["max_delete"]);
    assert_eq!(shelf.trees.in_live().len(), 6);
    shelf.pull("", &format!("{lines}max_delete = 3")).expect(0);
    let expected = ["a=1", "b/", "b/c=2", "private/", "private/own=mine"];
    assert_eq!(shelf.trees.in_live(), expected);
}

#[test]
fn an_empty_snapshot_does_not_empty_live() {
    let shelf = Shelf::new();
    shelf.push("", "").expect(0);
    shelf.trees.write(&["live/own=mine"]);
    shelf.pull("", "mode = \"replace\"").expect(3);
    shelf.pull("", "").expect(0);
    assert_eq!(shelf.trees.in_live(), ["own=mine"]);
}

#[test]
fn a_link_of_live_in_the_way_of_a_directory_is_not_written_through() {
    let shelf = Shelf::new();
    shelf.trees.write(&["source/a/b=1", "elsewhere/kept=1"]);
    shelf.push("", "").expect(0);
    fs::create_dir(shelf.trees.live("")).expect("a directory");
    symlink(shelf.trees.bed.path("elsewhere"), shelf.trees.live("a")).expect("a link");
    shelf.pull("", "").expect(1).says(&["a link"]);
    assert_eq!(lines(&shelf.trees.bed.path("elsewhere")), ["kept=1"]);
}

#[test]
fn where_masks_are_required_each_name_of_a_snapshot_has_to_be_passed() {
    let shelf = Shelf::new();
    shelf.trees.write(&["source/public/a=1", "source/cv/b=2"]);
    shelf.push("", "").expect(0);
    let pull = |lines: &str| {
        let text = fs::read_to_string(shelf.pull_job("", lines)).expect("a job");
        let text = text.replace(
            "[environments.staging]",
            "[environments.staging]\nrequire_masks = true",
        );
        let file = shelf.trees.bed.file("pull.toml", &text);
        shelf.trees.bed.once(&file)
    };
    let pass = |path: &str| format!("[[task.pass]]\npath = [\"{path}\"]\nreason = \"public\"");
    pull("").expect(3).says(&["nobody has decided on", "cv/b"]);
    pull(&pass("/public/")).expect(3).says(&["cv/b"]);
    assert!(!shelf.trees.live("").exists());
    pull(&format!("exclude = [\"/cv/\"]\n{}", pass("/public/"))).expect(0);
    assert_eq!(shelf.trees.in_live(), ["public/", "public/a=1"]);
}

#[test]
fn a_pull_that_is_killed_leaves_live_whole_and_the_next_one_clears_up() {
    let shelf = Shelf::new();
    for number in 0..400 {
        let file = format!("source/{}/{number}={}", number % 7, "x".repeat(number));
        shelf.trees.write(&[&file]);
    }
    fs::write(shelf.trees.source("large"), vec![9; 24 << 20]).expect("a file");
    shelf.push("", "").expect(0);
    shelf.trees.write(&["live/own=mine"]);
    let (old, new) = (facts(&shelf.trees.live("")), facts(&shelf.trees.source("")));
    let file = shelf.pull_job("", "mode = \"replace\"\nmax_delete = 9\njobs = 2");
    for moment in 0..8 {
        let running = shelf.trees.bed.start(&file);
        std::thread::sleep(Duration::from_millis(40 * moment));
        running.kill();
        let live = facts(&shelf.trees.live(""));
        assert!(live == old || live == new, "{live:?}");
    }
    shelf.trees.bed.once(&file).expect(0);
    assert_eq!(facts(&shelf.trees.live("")), new);
    let beside = shelf.trees.beside();
    assert!(beside.iter().all(|name| name == "previous"), "{beside:?}");
}

#[test]
fn a_pull_into_a_tree_that_cannot_be_renamed_exchanges_its_files() {
    let shelf = Shelf::new();
    shelf.trees.write(&["source/a/new=1", "source/both=new"]);
    shelf.push("", "").expect(0);
    shelf.trees.write(&["live/both=old", "live/own=mine"]);
    let live = inode(&shelf.trees.live(""));
    shelf.pull("", "publish = \"in_place\"").expect(0);
    let found = shelf.trees.in_live();
    let found: Vec<_> = found.iter().filter(|line| !line.starts_with('.')).collect();
    assert_eq!(found, ["a/", "a/new=1", "both=new", "own=mine"]);
    assert_eq!(inode(&shelf.trees.live("")), live);
}

#[test]
fn a_pull_keeps_to_its_pace() {
    let shelf = Shelf::new();
    fs::write(shelf.trees.source("large"), vec![7; 600 << 10]).expect("a file");
    shelf.push("", "").expect(0);
    let began = std::time::Instant::now();
    shelf.pull("", "throttle = \"300kB/s\"").expect(0);
    // 614 kB at 300 kB a second.
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(facts(&shelf.trees.live("")), facts(&shelf.trees.source("")));
}
