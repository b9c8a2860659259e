//! What files and file systems can be like, and the edges of what a task may say.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::trees::{Image, Trees, lines};
use crate::support::host::faketime;
use crate::support::job::Job;

fn between(trees: &Trees, from: &str, to: &str) -> Job {
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    Job::between("files", &url(from), &url(to))
}

fn set_time(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(time).expect("a time");
}

fn time(seconds: u64, nanoseconds: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

#[test]
fn where_times_are_kept_to_the_second_what_has_not_changed_is_known_and_what_has_is_noticed() {
    let trees = Trees::new();
    // ext4 has no room for more in such inodes.
    let _disk = Image::new(&trees.bed.path("disk"), &["-I", "128"]);
    trees.write(&["source/a=1", "source/d/b=1", "source/d/c=1"]);
    for (name, nanoseconds) in [("a", 999_999_999), ("d/b", 1), ("d/c", 0)] {
        set_time(&trees.source(name), time(1_000_000_001, nanoseconds));
    }
    for (target, options) in [
        ("disk/live", "verify = \"checksum\""),
        (
            "disk",
            "publish = \"in_place\"\nexclude = [\"/live\", \"/live.envsyncd\", \"lost+found\"]",
        ),
    ] {
        let job = between(&trees, "source", target).task(options);
        trees.once(&job).expect(0);
        trees.once(&job).expect(0).says(&["nothing has changed"]);
        let file = trees.bed.job("app", &job);
        trees.bed.with_file("plan", &file).expect(0);
        set_time(&trees.source("d/b"), time(1_000_000_002, 0));
        trees.write(&["source/d/c=2"]);
        set_time(&trees.source("d/c"), time(1_000_000_000, 999_999_999));
        trees.once(&job).expect(0);
        let copied = trees.bed.path(target).join("d/c");
        assert_eq!(fs::read_to_string(copied).expect("a file"), "2");
        trees.once(&job).expect(0).says(&["nothing has changed"]);
        trees.write(&["source/d/c=1"]);
        set_time(&trees.source("d/c"), time(1_000_000_001, 0));
    }
    // And back to where all of a time is kept.
    let back = between(&trees, "disk/live", "back").task("verify = \"checksum\"");
    trees.once(&back).expect(0);
    trees.once(&back).expect(0).says(&["nothing has changed"]);
}

#[test]
fn where_all_of_a_time_is_kept_a_nanosecond_is_another_time() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    set_time(&trees.source("a"), time(1_000_000_001, 1));
    trees.once(&trees.job()).expect(0);
    trees.write(&["source/a=2"]);
    set_time(&trees.source("a"), time(1_000_000_001, 2));
    trees.once(&trees.job()).expect(0);
    assert_eq!(trees.in_live(), ["a=2"]);
}

#[test]
fn a_clock_that_is_an_hour_off_changes_nothing() {
    let library = faketime();
    for clock in ["-1h", "+1h"] {
        let trees = Trees::new();
        trees.write(&["source/a=1", "source/d/b=1", "live/a=0"]);
        let file = trees.bed.job("app", &trees.with("verify = \"checksum\""));
        let clock = [
            &format!("LD_PRELOAD={}", library.display()),
            &format!("FAKETIME={clock}"),
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        ];
        let starter: Vec<&str> = ["env"].into_iter().chain(clock).collect();
        let run = || trees.run_by(&starter, &file).end();
        run().expect(0);
        assert_eq!(trees.in_live(), ["a=1", "d/", "d/b=1"]);
        run().expect(0).says(&["nothing has changed"]);
        trees.write(&["source/a=2"]);
        run().expect(0);
        // And with the clock that is right again.
        trees
            .bed
            .once(&file)
            .expect(0)
            .says(&["nothing has changed"]);
        assert_eq!(trees.in_live(), ["a=2", "d/", "d/b=1"]);
    }
}

#[test]
fn a_file_of_tomorrow_is_a_file_like_any_other() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    let tomorrow = SystemTime::now() + Duration::from_secs(90_000);
    set_time(&trees.source("a"), tomorrow);
    let job = trees.with("newer_than = \"1h\"\nverify = \"checksum\"");
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), ["a=1"]);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
}

#[test]
fn a_file_is_too_large_from_its_first_byte_too_many_on() {
    let trees = Trees::new();
    trees.write(&["source/just=1234", "source/over=12345", "source/none="]);
    trees.once(&trees.with("max_size = \"4B\"")).expect(0);
    assert_eq!(trees.in_live(), ["just=1234", "none="]);
    trees
        .once(&trees.with("max_size = \"0B\""))
        .expect(2)
        .says(&["not a size"]);
    assert_eq!(trees.in_live(), ["just=1234", "none="]);
}

#[test]
fn a_single_file_is_all_of_them() {
    let trees = Trees::new();
    trees.write(&["source/other=1", "live/only=1"]);
    let job = |most: &str| trees.with(&format!("mode = \"replace\"\n{most}"));
    for most in [
        "",
        "max_delete = \"99%\"",
        "max_delete = \"0%\"",
        "max_delete = 0",
    ] {
        trees
            .once(&job(most))
            .expect(3)
            .says(&["1 of live's 1 files would be deleted"]);
    }
    assert_eq!(trees.in_live(), ["only=1"]);
    trees.once(&job("max_delete = 1")).expect(0);
    assert_eq!(trees.in_live(), ["other=1"]);
    fs::rename(trees.source("other"), trees.source("another")).expect("a file");
    trees.once(&job("max_delete = \"100%\"")).expect(0);
    assert_eq!(trees.in_live(), ["another=1"]);
}

#[test]
fn where_everything_is_excluded_nothing_is_copied_and_nothing_goes() {
    let trees = Trees::new();
    trees.write(&["source/a=1", "source/d/b=1", "live/a=0", "live/own/c=0"]);
    for exclude in ["*", "/*", "**"] {
        let options = format!("exclude = [\"{exclude}\"]");
        trees
            .once(&trees.with(&options))
            .expect(0)
            .says(&["nothing has changed"]);
        trees
            .once(&trees.with(&format!("mode = \"replace\"\n{options}")))
            .expect(3)
            .says(&["has no file that is copied"]);
        assert_eq!(trees.in_live(), ["a=0", "own/", "own/c=0"], "{exclude}");
    }
}

#[test]
fn devices_are_left_out_of_a_copy_and_live_s_own_stay() {
    let trees = Trees::new();
    trees.write(&["source/file=x", "source/was=a file now", "live/file=old"]);
    let device = |path: PathBuf| {
        let null = makedev(1, 3);
        mknod(&path, SFlag::S_IFCHR, Mode::S_IRUSR, null).expect("root");
    };
    device(trees.source("null"));
    for name in ["own", "was"] {
        device(trees.live(name));
    }
    for link in ["hard", "copy"] {
        trees.write(&[&format!("source/file={link}")]);
        let job = trees.with(&format!("link = \"{link}\""));
        trees
            .once(&job)
            .expect(0)
            .says(&["sockets, pipes and devices are not copied", "null"]);
        let own = fs::symlink_metadata(trees.live("own")).expect("it stays");
        assert!(own.file_type().is_char_device());
        let expected = [&*format!("file={link}"), "own (special)", "was=a file now"];
        assert_eq!(trees.in_live(), expected);
    }
    let job = trees.with("mode = \"replace\"");
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), ["file=copy", "was=a file now"]);
}

#[test]
fn a_limit_of_a_file_s_size_is_an_error_that_names_the_file() {
    let trees = Trees::new();
    trees.write(&["source/a=new", "live/a=old"]);
    fs::write(trees.source("large"), vec![7; 20 << 20]).expect("a file");
    let file = trees.bed.job("app", &trees.job());
    let limit = ["prlimit", "--fsize=10485760:10485760"];
    let failed = trees.run_by(&limit, &file).end().expect(1);
    failed.says(&["cannot write large", "LimitFSIZE"]);
    assert_eq!(trees.in_live(), ["a=old"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn a_path_of_4096_bytes_and_more_is_copied_told_and_removed() {
    let trees = Trees::new();
    // As long as a path may be that one system call takes, and a little more.
    for depth in [20, 21] {
        let mut path = trees.source("");
        for _ in 0..depth {
            path.push("d".repeat(200));
        }
        let made = Command::new("python3")
            .args(["-c", "import os,sys\nfor name in sys.argv[1].split('/')[1:]:\n    os.path.isdir(name) or os.mkdir(name)\n    os.chdir(name)\nopen('file','w').write('deep')"])
            .arg(format!("/{}", path.strip_prefix(trees.source("")).expect("in it").display()))
            .current_dir(trees.source(""))
            .status();
        assert!(made.expect("python3").success());
    }
    trees.once(&trees.with("verify = \"checksum\"")).expect(0);
    trees
        .once(&trees.job())
        .expect(0)
        .says(&["nothing has changed"]);
    let emptied = trees.with("mode = \"replace\"\nmax_delete = \"100%\"\nprevious = \"drop\"");
    fs::remove_dir_all(trees.source("d".repeat(200).as_str())).expect("a tree");
    trees.write(&["source/other=1"]);
    trees.once(&emptied).expect(0);
    assert_eq!(lines(&trees.live("")), ["other=1"]);
}
