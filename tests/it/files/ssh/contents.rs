//! `compare = "checksum"` where one side is on another machine.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Far;
use crate::files::trees::{inode, lines, named};
use crate::support::job::Job;

const CONTENTS: &str = "compare = \"checksum\"\nmode = \"replace\"\nmax_delete = \"90%\"";

fn set_time(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(time).expect("a time");
}

fn contents_say_what_has_changed(far: &Far, job: &Job) {
    let trees = &far.trees;
    let odd = [
        &b"line\nfeed"[..],
        b"\xff\xfe",
        b"it's $(id)",
        b"-rf",
        b"\\#012",
        b"\\",
        b"#x",
        b" x ",
        b"a:b",
    ];
    let directory = |root: &str| trees.bed.path(root).join("d/e");
    for root in ["source", "live"] {
        trees.write(&[
            &format!("{root}/d/e/x=x"),
            &format!("{root}/touched=same"),
            &format!("{root}/changed={}", &root[..4].replace("sour", "abcd")),
            &format!("{root}/a b/c.log={root}"),
            &format!("{root}/longer={root}"),
        ]);
        for name in odd {
            let same = [b"same", name].concat();
            fs::write(named(&directory(root), &same), "same").expect("a file");
            fs::write(named(&directory(root), name), &root.as_bytes()[..4]).expect("a file");
        }
    }
    trees.write(&["source/new=new", "live/gone=gone"]);
    // All of one size have one time, and two that are the same have not.
    let then = SystemTime::now() - Duration::from_secs(1000);
    for root in ["source", "live"] {
        set_time(&trees.bed.path(root).join("changed"), then);
        for name in odd {
            set_time(&named(&directory(root), name), then);
        }
    }
    set_time(&trees.live("touched"), then - Duration::from_secs(5));
    let before = inode(&trees.live("touched"));
    let file = trees.bed.job("app", job);
    trees.bed.with_file("plan", &file).expect(0);
    trees.once(job).expect(0);
    let kept = |line: &String| !line.contains("c.log");
    let now = |lines: Vec<String>| lines.into_iter().filter(kept).collect::<Vec<_>>();
    assert_eq!(now(trees.in_live()), now(lines(&trees.source(""))));
    assert_eq!(
        fs::read_to_string(trees.live("a b/c.log")).expect("a file"),
        "live"
    );
    let touched = trees.live("touched").metadata().expect("it").modified();
    assert_eq!(
        touched.expect("a time"),
        then - Duration::from_secs(5),
        "its time is not looked at"
    );
    assert_eq!(inode(&trees.live("touched")), before);
    trees.once(job).expect(0).says(&["nothing has changed"]);
    // One byte in the last of many, which no list of names and sizes tells.
    for number in 0..300 {
        let name = format!("source/many/{number}=0123456789");
        trees.write(&[&name]);
    }
    trees.once(job).expect(0);
    let last = trees.source("many/99");
    let time = last.metadata().expect("it").modified().expect("a time");
    fs::write(&last, "0123456780").expect("a file");
    set_time(&last, time);
    trees.once(job).expect(0);
    assert_eq!(
        fs::read_to_string(trees.live("many/99")).expect("a file"),
        "0123456780"
    );
}

#[test]
fn contents_say_what_has_changed_from_another_machine() {
    let far = Far::new();
    let job = far.pulls().task(CONTENTS).task("exclude = [\"*.log\"]");
    contents_say_what_has_changed(&far, &job);
}

#[test]
fn contents_say_what_has_changed_to_another_machine() {
    let far = Far::new();
    let job = far.pushes().task(CONTENTS).task("exclude = [\"*.log\"]");
    contents_say_what_has_changed(&far, &job);
}
