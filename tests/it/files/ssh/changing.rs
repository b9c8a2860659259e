//! Sources in which files become longer, shorter or something else, or go, between the moment when a run has listed them and the one
//! when they are read. The far programs see to it: what they change is changed before anything of it is read.

use std::fs;
use std::os::unix::fs::symlink;

use super::tar::with_programs;
use crate::support::job::Outcome;

/// The four ways that files go: the program there that changes the source before it does anything else, whether it is a pull, and a
/// line of the task.
const WAYS: [(&str, bool, &str); 4] = [
    ("tar", true, ""),
    ("rsync", true, "throttle = \"500MB/s\""),
    ("tar", false, ""),
    ("rsync", false, "throttle = \"500MB/s\""),
];

/// A run over a source with a file `c` of 2,000 bytes, a link `l`, directories `d` and `e` with files `x` and `y`, and what comes
/// before and after them, which is changed by `change` on its way; and all that is in live then, but for what came before, with the
/// length of `c`.
fn changed(way: (&str, bool, &str), has_live: bool, change: &str) -> (Outcome, Vec<String>) {
    let (program, pulls, line) = way;
    let script = format!(
        "case \"$*\" in *--version*) exec $real \"$@\";; esac\n\
         cd \"$(dirname \"$0\")/../source\" && [ ! -e ../changed ] && : >../changed && {{ {change}\n}}\n\
         cd \"$OLDPWD\"; exec $real \"$@\""
    );
    let (far, _) = with_programs(&[(program, &script)], "");
    let trees = &far.trees;
    // More than the way to the other machine holds: what comes after it is not packed before tar reads.
    let length = if pulls { 1 } else { 8 << 20 };
    fs::write(trees.source("0"), vec![7; length]).expect("a file");
    fs::write(trees.source("c"), "c".repeat(2000)).expect("a file");
    trees.write(&["source/d/x=new", "source/e/y=new", "source/z=new"]);
    symlink("z", trees.source("l")).expect("a link");
    if has_live {
        trees.write(&["live/c=old", "live/d/x=old", "live/z=old"]);
    }
    let job = if pulls { far.pulls() } else { far.pushes() };
    let job = job
        .task(line)
        .task("mode = \"replace\"\nmax_delete = \"100%\"");
    let outcome = trees.once(&job);
    assert!(trees.bed.path("changed").exists(), "{}", outcome.stderr);
    let mut found = trees.in_live();
    found.retain(|line| !line.starts_with("0="));
    let c = trees.live("c").symlink_metadata();
    found.extend(c.map(|c| format!("c: {} bytes", c.len())));
    (outcome, found)
}

/// Each way.
fn each_way(lives: &[bool], change: &str, check: impl Fn(&str, bool, &Outcome, &[String])) {
    for way in WAYS {
        for &has_live in lives {
            let (outcome, found) = changed(way, has_live, change);
            let said = &outcome.stderr;
            let told = format!("{change}, {way:?}, live: {has_live}: {found:?}\n{said}");
            assert_eq!(outcome.code, Some(0), "{told}");
            for stays in ["z=new", "e/y=new"] {
                assert!(found.iter().any(|line| line == stays), "{told}");
            }
            check(&told, has_live, &outcome, &found);
        }
    }
}

#[test]
fn a_file_that_becomes_longer_or_shorter_on_its_way_is_what_it_was_when_it_was_opened() {
    for (change, length) in [
        ("printf %3000s >>c", 5000),
        ("printf 1234567 >c", 7),
        (": >c", 0),
        ("printf %20s >n; mv n c", 20),
    ] {
        each_way(&[false], change, |told, _, _, found| {
            let expected = format!("c: {length} bytes");
            assert_eq!(found.last(), Some(&expected), "{told}");
        });
    }
}

#[test]
fn a_file_that_becomes_no_file_on_its_way_leaves_live_s_own() {
    for change in ["rm c; mkdir c", "rm c; mkfifo c"] {
        each_way(&[false, true], change, |told, has_live, _, found| {
            let is_old = found.iter().any(|line| line == "c=old");
            assert_eq!(is_old, has_live, "{told}");
        });
    }
}

#[test]
fn a_directory_that_becomes_something_else_on_its_way_leaves_live_s_own() {
    let change = "rm -r d; echo file >d";
    each_way(&[false, true], change, |told, has_live, outcome, found| {
        let is_old = found.iter().any(|line| line == "d/x=old");
        assert_eq!(is_old, has_live, "{told}");
        assert!(outcome.stderr.contains("d/x"), "{told}");
    });
}
