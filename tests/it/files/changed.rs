//! What becomes of the tree that goes where previous is kept: the last run has written down what it changed.

use std::fs;

use super::spare::{REPLACES, builds_on_the_spare, fill, has_only_live_s_own};
use super::trees::{Trees, exact};
use crate::support::job::Job;

/// A tree of which the third copy is live, with previous and a spare.
fn with_three_copies() -> (Trees, Job) {
    let trees = Trees::new();
    fill(&trees, 4, 30);
    trees.write(&["source/goes/deep/x=1", "source/goes/y=1", "source/kind=1"]);
    let job = trees.with(REPLACES);
    for round in 0..3 {
        trees.write(&[&format!("source/1/1=round {round}")]);
        trees.once(&job).expect(0);
    }
    (trees, job)
}

/// A file in previous that nothing knows of.
fn stray(trees: &Trees) {
    fs::write(trees.folder("previous/0/stray"), "").expect("a file");
}

fn is_in_the_spare(trees: &Trees) -> bool {
    trees.folder("spare/0/stray").exists()
}

#[test]
fn the_tree_that_goes_loses_what_two_runs_changed_and_is_not_read() {
    let (trees, job) = with_three_copies();
    assert!(trees.folder("changed").is_file());
    // One run, and another: files change, come and go, whole directories, and kinds.
    trees.write(&["source/2/2=changed", "source/3/new/deep/x=1"]);
    fs::remove_dir_all(trees.source("goes")).expect("a directory");
    fs::remove_file(trees.source("kind")).expect("a file");
    trees.write(&["source/kind/inside=1"]);
    builds_on_the_spare(&trees, &job);
    has_only_live_s_own(&trees);
    trees.write(&["source/2/3=changed", "source/goes=a file now"]);
    fs::remove_dir_all(trees.source("3/new")).expect("a directory");
    stray(&trees);
    builds_on_the_spare(&trees, &job);
    assert!(is_in_the_spare(&trees), "all of it was read");
    fs::remove_file(trees.folder("spare/0/stray")).expect("a file");
    assert_eq!(has_only_live_s_own(&trees), 122 - 4);
    assert!(!trees.folder("spare/3/new").exists() && !trees.folder("spare/goes").exists());
    // What is there all the same does not become live.
    fs::write(trees.folder("spare/0/stray"), "").expect("a file");
    trees.write(&["source/2/4=changed"]);
    builds_on_the_spare(&trees, &job);
    has_only_live_s_own(&trees);
}

#[test]
fn where_the_list_is_not_of_these_trees_all_of_the_one_that_goes_is_read() {
    type Spoil = fn(&Trees);
    let spoils: [(&str, Spoil); 5] = [
        ("it is gone", |trees| {
            fs::remove_file(trees.folder("changed")).expect("a list");
        }),
        ("it is cut short", |trees| {
            let text = fs::read(trees.folder("changed")).expect("a list");
            fs::write(trees.folder("changed"), &text[..text.len() - 1]).expect("a list");
        }),
        ("it leads elsewhere", |trees| {
            let text = fs::read_to_string(trees.folder("changed")).expect("a list");
            let text = text.replace("1/1", "../source/1/1");
            fs::write(trees.folder("changed"), text).expect("a list");
        }),
        ("a directory stands in its place", |trees| {
            fs::remove_file(trees.folder("changed")).expect("a list");
            fs::create_dir_all(trees.folder("changed/x")).expect("a directory");
        }),
        ("an application has removed a file of live", |trees| {
            fs::remove_file(trees.live("2/7")).expect("a file");
            fs::remove_file(trees.source("2/7")).expect("a file");
        }),
    ];
    for (told, spoil) in spoils {
        let (trees, job) = with_three_copies();
        stray(&trees);
        spoil(&trees);
        trees.write(&["source/2/2=changed"]);
        trees.once(&job).expect(0);
        assert_eq!(exact(&trees.live("")), exact(&trees.source("")), "{told}");
        assert!(!is_in_the_spare(&trees), "{told}");
        assert!(has_only_live_s_own(&trees) > 100, "{told}");
        assert!(trees.folder("changed").is_file(), "{told}");
        trees.write(&["source/2/2=once more"]);
        builds_on_the_spare(&trees, &job);
        has_only_live_s_own(&trees);
    }
}

#[test]
fn without_previous_there_is_no_list() {
    let (trees, _) = with_three_copies();
    let job = trees.with(&format!("{REPLACES}previous = \"drop\""));
    trees.write(&["source/2/2=changed"]);
    trees.once(&job).expect(0);
    assert!(!trees.folder("changed").exists() && !trees.folder("previous").exists());
    assert!(has_only_live_s_own(&trees) > 100);
}
