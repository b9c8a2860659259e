//! Names that are odd, long or many.

use std::fs;
use std::os::unix::fs::symlink;

use super::trees::{Trees, named};

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

#[test]
fn a_tree_deeper_than_any_path_arrives_and_goes_again() {
    let trees = Trees::new();
    let name = "d".repeat(200);
    // 6,000 bytes of path, made step by step.
    let make = "for i in $(seq 30); do mkdir $0 && cd $0 || exit 1; done; echo deep > file";
    let run = |script: &str, directory| {
        std::process::Command::new("sh")
            .args(["-c", script, &name])
            .current_dir(directory)
            .output()
            .expect("a shell")
    };
    assert!(run(make, trees.source("")).status.success());
    trees.once(&trees.with("verify = \"checksum\"")).expect(0);
    let read = "for i in $(seq 30); do cd $0 || exit 1; done; cat file";
    assert_eq!(run(read, trees.live("")).stdout, b"deep\n");
    // What was live is removed, as deep as it is.
    let change = "for i in $(seq 30); do cd $0 || exit 1; done; echo deeper > file";
    assert!(run(change, trees.source("")).status.success());
    trees.once(&trees.with("previous = \"drop\"")).expect(0);
    assert_eq!(run(read, trees.live("")).stdout, b"deeper\n");
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
    let trees = Trees::new();
    for directory in 0..10 {
        let directory = trees.source(&format!("{directory}"));
        fs::create_dir(&directory).expect("a directory");
        for file in 0..10_000 {
            fs::File::create(directory.join(format!("{file}"))).expect("a file");
        }
    }
    let mut running = trees.bed.start(&trees.bed.job("app", &trees.job()));
    let mut peak = 0;
    while running.is_running() {
        peak = peak.max(running.peak_memory());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running.end().expect(0).says(&["100000 rows"]);
    assert!(peak < 64 << 20, "{peak} bytes");
    trees
        .once(&trees.job())
        .expect(0)
        .says(&["nothing has changed"]);
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
