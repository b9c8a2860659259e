//! What a task may choose, and what is refused.

use std::fs;
use std::os::unix::fs::symlink;

use super::trees::{Trees, lines};
use crate::support::job::Job;

#[test]
fn what_is_excluded_is_left_alone_on_both_sides() {
    let trees = Trees::new();
    trees.write(&[
        "source/css/new=1",
        "source/a/x.log=1",
        "source/a/keep.log=1",
        "source/file=1",
        "live/css/old=mine",
        "live/b/y.log=mine",
        "live/gone=old",
    ]);
    let options = "mode = \"replace\"\nexclude = [\"*.log\", \"!keep.log\"]\npreset = \"drupal\"\nmax_delete = 1\nverify = \"checksum\"";
    trees.once(&trees.with(options)).expect(0);
    let expected = [
        "a/",
        "a/keep.log=1",
        "b/",
        "b/y.log=mine",
        "css/",
        "css/old=mine",
        "file=1",
    ];
    assert_eq!(trees.in_live(), expected);
    trees
        .once(&trees.with(options))
        .expect(0)
        .says(&["nothing has changed"]);
}

#[test]
fn files_that_are_too_large_or_too_old_are_not_copied_and_live_s_own_stay() {
    let trees = Trees::new();
    trees.write(&[
        "source/large=0123456789",
        "source/old=1",
        "source/new=1",
        "live/large=mine",
    ]);
    let old = fs::File::options()
        .write(true)
        .open(trees.source("old"))
        .expect("a file");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(90_000);
    old.set_modified(long_ago).expect("a time");
    trees
        .once(&trees.with("mode = \"replace\"\nmax_size = \"9B\"\nnewer_than = \"1day\""))
        .expect(0);
    assert_eq!(trees.in_live(), ["large=mine", "new=1"]);
}

#[test]
fn an_empty_source_never_empties_live() {
    let trees = Trees::new();
    trees.write(&["live/file=old"]);
    for (options, code) in [("mode = \"replace\"", 3), ("", 0)] {
        trees.once(&trees.with(options)).expect(code);
        assert_eq!(trees.in_live(), ["file=old"]);
    }
    let refused = trees.once(&trees.with("mode = \"replace\"")).expect(3);
    refused.says(&["has no file that is copied", "live would be emptied"]);
}

#[test]
fn more_deletions_than_allowed_are_refused_by_plan_and_run() {
    let trees = Trees::new();
    trees.write(&["source/a=1", "live/a=1", "live/b=1", "live/c=1"]);
    let job = trees.with("mode = \"replace\"");
    let file = trees.bed.job("app", &job);
    for outcome in [trees.bed.with_file("plan", &file), trees.bed.once(&file)] {
        outcome
            .expect(3)
            .says(&["2 of live's 3 files would be deleted", "50 %"]);
    }
    assert_eq!(trees.in_live(), ["a=1", "b=1", "c=1"]);
    trees
        .once(&trees.with("mode = \"replace\"\nmax_delete = 1"))
        .expect(3);
    trees
        .once(&trees.with("mode = \"replace\"\nmax_delete = \"70%\""))
        .expect(0);
    assert_eq!(trees.in_live(), ["a=1"]);
}

#[test]
fn a_source_without_its_marker_is_not_mounted() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    let job = trees.with("marker = \".here/mounted\"");
    trees
        .once(&job)
        .expect(1)
        .says(&["has no file `.here/mounted`"]);
    assert!(!trees.live("").exists());
    trees.write(&["source/.here/mounted="]);
    trees.once(&job).expect(0);
    assert!(trees.live("a").exists());
}

#[test]
fn a_link_of_live_in_the_way_of_a_directory_is_refused() {
    let trees = Trees::new();
    trees.write(&["source/d/file=new", "outside/file=theirs"]);
    fs::create_dir(trees.live("")).expect("a directory");
    symlink(trees.bed.path("outside"), trees.live("d")).expect("a link");
    for options in ["", "mode = \"replace\""] {
        let refused = trees.once(&trees.with(options)).expect(1);
        refused.says(&["d: live has a link where the source has a directory"]);
    }
    assert_eq!(lines(&trees.bed.path("outside")), ["file=theirs"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn trees_that_lie_in_one_another_are_refused() {
    let trees = Trees::new();
    trees.write(&["source/a/x=1"]);
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    for (from, to) in [
        ("source", "source/a"),
        ("source/a", "source"),
        ("source", "source/new"),
    ] {
        let job = Job::between("files", &url(from), &url(to));
        trees.once(&job).expect(3).says(&["lie in one another"]);
    }
    let same = Job::between("files", &url("source"), &url("source"));
    let outcome = trees.once(&same);
    assert!(matches!(outcome.code, Some(2 | 3)), "{outcome:?}");
}

#[test]
fn previous_is_no_source() {
    let trees = Trees::new();
    trees.write(&["source/a=1", "live/a=0"]);
    trees.once(&trees.job()).expect(0);
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let job = Job::between("files", &url("live.envsyncd/previous"), &url("live"));
    trees
        .once(&job)
        .expect(3)
        .says(&["what a run keeps beside the target"]);
}

#[test]
fn a_folder_of_somebody_else_s_beside_live_is_not_touched() {
    let trees = Trees::new();
    trees.write(&["source/a=1", "live.envsyncd/previous/x=theirs"]);
    trees
        .once(&trees.job())
        .expect(3)
        .says(&["does not bear the mark of envsyncd"]);
    assert_eq!(lines(&trees.folder("")), ["previous/", "previous/x=theirs"]);
    assert!(!trees.live("").exists());
}

#[test]
fn where_masks_are_required_every_file_is_passed_by_name() {
    let trees = Trees::new();
    trees.write(&[
        "source/public/a/b=1",
        "source/private/c=1",
        "source/x.css=1",
    ]);
    let text = |lines: &str| {
        let job = trees.with(lines).to_string();
        job.replace(
            "[environments.staging]",
            "[environments.staging]\nrequire_masks = true",
        )
    };
    let run = |lines: &str| trees.bed.once(&trees.bed.file("app.toml", &text(lines)));
    run("")
        .expect(3)
        .says(&["`staging` requires masks", "private/c, public/a/b, x.css"]);
    let pass = "[[task.pass]]\npath = [\"/public/\", \"*.css\"]\nreason = \"on the web anyway\"";
    run(pass)
        .expect(3)
        .says(&["nobody has decided on private/c;"]);
    assert!(!trees.live("").exists());
    run(&format!("exclude = [\"/private\"]\n{pass}")).expect(0);
    assert_eq!(trees.in_live().len(), 4);
}

#[test]
fn what_files_cannot_do_is_refused_with_its_line() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    for (lines, says) in [
        ("max_replication_lag = \"5s\"", "have no replication"),
        ("keep = [\"a\"]", "mode = \"overlay\""),
        ("schema_only = [\"a\"]", "no structure"),
        ("roles = \"skip\"", "owners are kept"),
        ("definer = \"keep\"", "for kind mysql"),
        ("exclude = [\"!\"]", "is not a glob"),
        ("preset = \"wordpress\"", "drupal"),
        ("max_delete = \"much\"", "neither a number"),
        (
            "[[task.pass]]\ntable = \"a\"\ncolumns = [\"b\"]\nreason = \"c\"",
            "files has paths",
        ),
        (
            "[[task.pass]]\npath = \"!a\"\nreason = \"c\"",
            "takes nothing back",
        ),
    ] {
        let file = trees.bed.job("app", &trees.with(lines));
        let shown = trees
            .bed
            .run(&["validate", "-f", file.to_str().expect("text")]);
        shown.expect(2).says(&["app.toml:", says]);
    }
    let url = format!("dir://{}", trees.bed.path("source").display());
    for (from, to, lines, says) in [
        (
            "ssh://web1/srv/files",
            "ssh://web2/srv/files",
            "",
            "run envsyncd on one of the two",
        ),
        (
            "ssh://web1/srv/files",
            "file:///tmp/archive",
            "",
            "only trees on this machine are pushed into archives",
        ),
        (
            &*url,
            "file:///tmp/archive",
            "compare = \"time\"",
            "no live tree",
        ),
    ] {
        let job = Job::between("files", from, to).task(lines);
        let file = trees.bed.job("app", &job);
        let shown = trees
            .bed
            .run(&["validate", "-f", file.to_str().expect("text")]);
        shown.expect(2).says(&[says]);
    }
    assert!(!trees.live("").exists());
}
