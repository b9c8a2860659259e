//! Runs that are killed when their tree is live, and before they have dealt with the one that was live before.

use std::fs;

use super::trees::{Trees, lines};
use crate::support::job::Job;

/// Writes the source's file.
fn source(trees: &Trees, content: &str) {
    trees.write(&[&format!("source/file={content}")]);
}

/// A run that is killed in its hook after the publish.
#[track_caller]
fn killed_in_its_hook(trees: &Trees, job: Job) {
    let gate = trees.bed.gate("after");
    gate.close();
    let job = job.hooks(&format!("after_publish = {}", gate.hook));
    let mut running = trees.bed.start(&trees.bed.job("app", &job));
    gate.wait(&mut running);
    running.kill();
    // The hook ends without it.
    gate.open();
}

#[track_caller]
fn rolls_back_to(trees: &Trees, content: &str) {
    let file = trees.bed.job("app", &trees.job());
    trees.bed.with_file("rollback", &file).expect(0);
    assert_eq!(trees.in_live(), [format!("file={content}")]);
    assert_eq!(trees.beside(), ["previous"]);
}

#[test]
fn a_rollback_brings_what_was_live_before_a_run_that_was_killed_in_its_hook() {
    let trees = Trees::new();
    for content in ["first", "the second"] {
        source(&trees, content);
        trees.once(&trees.job()).expect(0);
    }
    assert_eq!(lines(&trees.folder("previous")), ["file=first"]);
    source(&trees, "and the third");
    killed_in_its_hook(&trees, trees.job());
    assert_eq!(trees.in_live(), ["file=and the third"]);
    rolls_back_to(&trees, "the second");
    rolls_back_to(&trees, "and the third");
}

#[test]
fn a_run_after_runs_that_were_killed_keeps_what_was_live_before_the_last_of_them() {
    let trees = Trees::new();
    source(&trees, "first");
    trees.once(&trees.job()).expect(0);
    for (content, previous) in [("the second", None), ("and the third", Some("first"))] {
        source(&trees, content);
        killed_in_its_hook(&trees, trees.job());
        assert_eq!(trees.in_live(), [format!("file={content}")]);
        // What the one before has left was dealt with by this one.
        let found = previous.map(|content| format!("file={content}"));
        let found: Vec<String> = found.into_iter().collect();
        assert_eq!(lines(&trees.folder("previous")), found);
    }
    // Nothing has changed.
    trees.once(&trees.job()).expect(0);
    assert_eq!(lines(&trees.folder("previous")), ["file=the second"]);
    assert_eq!(trees.beside(), ["previous"]);
    // And the next one goes on with it.
    source(&trees, "the fourth of them");
    trees.once(&trees.job()).expect(0);
    assert_eq!(trees.beside(), ["previous"]);
    rolls_back_to(&trees, "and the third");
}

#[test]
fn a_tree_that_was_there_before_the_first_copy_comes_back_though_that_was_killed() {
    let trees = Trees::new();
    trees.write(&["source/file=new", "live/file=somebody's"]);
    killed_in_its_hook(&trees, trees.job());
    assert_eq!(trees.in_live(), ["file=new"]);
    rolls_back_to(&trees, "somebody's");
}

#[test]
fn a_run_that_keeps_no_previous_leaves_none_when_it_is_killed() {
    let dropping = |trees: &Trees| trees.with("previous = \"drop\"");
    for rolls_back in [false, true] {
        let trees = Trees::new();
        for content in ["first", "the second"] {
            source(&trees, content);
            trees.once(&trees.job()).expect(0);
        }
        source(&trees, "and the third");
        killed_in_its_hook(&trees, dropping(&trees));
        let file = trees.bed.job("app", &dropping(&trees));
        if rolls_back {
            let outcome = trees.bed.with_file("rollback", &file);
            outcome.expect(1).says(&["there is no previous copy"]);
        } else {
            trees.bed.once(&file).expect(0);
        }
        assert_eq!(trees.in_live(), ["file=and the third"]);
        assert_eq!(trees.beside(), Vec::<String>::new());
    }
}

#[test]
fn what_was_live_is_not_removed_while_it_is_not_known() {
    let trees = Trees::new();
    trees.write(&["source/file=new", "live/file=somebody's"]);
    killed_in_its_hook(&trees, trees.job());
    let note = trees.folder("unsettled");
    let whole = fs::read(&note).expect("a file");
    fs::write(&note, "{").expect("a file");
    let file = trees.bed.job("app", &trees.job());
    for outcome in [
        trees.bed.once(&file),
        trees.bed.with_file("rollback", &file),
    ] {
        outcome
            .expect(1)
            .says(&["live.envsyncd/unsettled is damaged"]);
        assert_eq!(trees.in_live(), ["file=new"]);
    }
    fs::write(&note, whole).expect("a file");
    rolls_back_to(&trees, "somebody's");
}
