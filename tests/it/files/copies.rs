//! What a copy has of its source, and what it keeps of live.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::attributes::{attribute, set_attribute};
use super::trees::{Trees, inode, lines};

#[test]
fn by_default_what_only_the_target_has_stays() {
    let trees = Trees::new();
    trees.write(&[
        "source/a/new=1",
        "source/both=new",
        "live/own/x=mine",
        "live/both=old",
    ]);
    trees.once(&trees.job()).expect(0);
    assert_eq!(
        trees.in_live(),
        ["a/", "a/new=1", "both=new", "own/", "own/x=mine"]
    );
    assert_eq!(trees.beside(), ["previous"]);
    assert_eq!(
        lines(&trees.folder("previous")),
        ["both=old", "own/", "own/x=mine"]
    );
}

#[test]
fn a_replace_leaves_nothing_that_the_source_has_not() {
    let trees = Trees::new();
    trees.write(&[
        "source/a/new=1",
        "source/both=new",
        "live/own/x=mine",
        "live/both=old",
    ]);
    fs::create_dir(trees.live("empty")).expect("a directory");
    let job = trees.with("mode = \"replace\"\nverify = \"checksum\"\nprevious = \"drop\"");
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn what_has_not_changed_is_live_s_own_file_and_a_run_without_changes_publishes_nothing() {
    let trees = Trees::new();
    trees.write(&["source/same=1", "source/other=1"]);
    trees.once(&trees.job()).expect(0);
    let (before, live) = (inode(&trees.live("same")), inode(&trees.live("")));
    trees
        .once(&trees.job())
        .expect(0)
        .says(&["nothing has changed"]);
    assert_eq!(inode(&trees.live("")), live);
    assert_eq!(trees.beside(), Vec::<String>::new());
    trees.write(&["source/other=22"]);
    trees.once(&trees.job()).expect(0);
    assert_eq!(inode(&trees.live("same")), before);
    assert_eq!(trees.in_live(), ["other=22", "same=1"]);
    assert_ne!(inode(&trees.live("")), live);
}

#[test]
fn a_copy_instead_of_a_link_is_no_file_of_previous() {
    for link in ["copy", "reflink"] {
        let trees = Trees::new();
        trees.write(&["source/same=1", "source/other=1"]);
        symlink("same", trees.source("link")).expect("a link");
        trees.once(&trees.job()).expect(0);
        let before = inode(&trees.live("same"));
        trees.write(&["source/other=22", "live/own=mine"]);
        let job = trees.with(&format!("link = \"{link}\"\nverify = \"checksum\""));
        trees.once(&job).expect(0);
        assert_ne!(inode(&trees.live("same")), before, "{link}");
        assert_eq!(
            trees.in_live(),
            ["link->same", "other=22", "own=mine", "same=1"]
        );
    }
}

#[test]
fn permissions_owners_times_links_and_attributes_arrive() {
    let trees = Trees::new();
    trees.write(&["source/a/file=x", "source/b/c/d=y"]);
    symlink("../nowhere", trees.source("a/link")).expect("a link");
    let file = trees.source("a/file");
    std::os::unix::fs::chown(&file, Some(1234), Some(4321)).expect("root");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).expect("permissions");
    fs::set_permissions(trees.source("b"), fs::Permissions::from_mode(0o2770)).expect("them");
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for path in ["a/file", "b/c"] {
        let opened = fs::File::open(trees.source(path)).expect("a file");
        opened.set_modified(then).expect("a time");
    }
    set_attribute(&file, "user.note", b"x");
    trees.once(&trees.job()).expect(0);
    let found = trees.live("a/file").metadata().expect("a file");
    assert_eq!(
        (found.uid(), found.gid(), found.mode() & 0o7777),
        (1234, 4321, 0o4751)
    );
    for path in ["a/file", "b/c"] {
        let found = trees.live(path).metadata().expect("a file");
        assert_eq!(found.modified().expect("a time"), then, "{path}");
    }
    assert_eq!(
        trees.live("b").metadata().expect("it").mode() & 0o7777,
        0o2770
    );
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    assert_eq!(attribute(&trees.live("a/file"), "user.note"), b"x");
    // All of that is unchanged to the next run.
    trees
        .once(&trees.job())
        .expect(0)
        .says(&["nothing has changed"]);
}

#[test]
fn a_file_is_known_by_its_time_or_by_its_content() {
    let trees = Trees::new();
    trees.write(&["source/file=new", "live/file=old"]);
    let then = fs::metadata(trees.source("file"))
        .expect("it")
        .modified()
        .expect("a time");
    let live = fs::File::options()
        .write(true)
        .open(trees.live("file"))
        .expect("a file");
    live.set_modified(then).expect("a time");
    // Of the same size and time, it is taken to be the same: only reading it tells.
    trees.once(&trees.job()).expect(0);
    assert_eq!(trees.in_live(), ["file=old"]);
    std::thread::sleep(Duration::from_millis(100));
    let verified = trees.once(&trees.with("verify = \"checksum\""));
    verified.expect(1).says(&[
        "file has another content",
        "unless `compare = \"checksum\"`",
    ]);
    trees.once(&trees.with("compare = \"checksum\"")).expect(0);
    assert_eq!(trees.in_live(), ["file=new"]);
}

#[test]
fn sockets_and_pipes_are_left_out_with_a_warning() {
    let trees = Trees::new();
    trees.write(&["source/file=x"]);
    nix::unistd::mkfifo(&trees.source("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(trees.source("socket")).expect("it");
    let outcome = trees.once(&trees.with("verify = \"checksum\"")).expect(0);
    outcome.says(&["sockets, pipes and devices are not copied", "pipe, socket"]);
    assert_eq!(trees.in_live(), ["file=x"]);
}

#[test]
fn a_sparse_file_needs_no_more_room_than_on_the_source() {
    let trees = Trees::new();
    let file = fs::File::create(trees.source("sparse")).expect("a file");
    file.set_len(10 << 30).expect("a size");
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 5 << 30).expect("bytes");
    trees.once(&trees.with("verify = \"checksum\"")).expect(0);
    let found = trees.live("sparse").metadata().expect("a file");
    assert_eq!(found.len(), 10 << 30);
    assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
    let mut text = [0; 6];
    let copy = fs::File::open(trees.live("sparse")).expect("a file");
    std::os::unix::fs::FileExt::read_exact_at(&copy, &mut text, 5 << 30).expect("bytes");
    assert_eq!(&text, b"middle");
}

#[test]
fn hard_links_of_the_source_arrive_as_files_of_their_own() {
    let trees = Trees::new();
    trees.write(&["source/one=x"]);
    fs::hard_link(trees.source("one"), trees.source("two")).expect("a link");
    trees.once(&trees.job()).expect(0);
    assert_ne!(inode(&trees.live("one")), inode(&trees.live("two")));
    assert_eq!(trees.in_live(), ["one=x", "two=x"]);
}

#[test]
fn rollback_returns_what_was_live() {
    let trees = Trees::new();
    trees.write(&["source/file=new", "live/file=old"]);
    trees.once(&trees.job()).expect(0);
    let file = trees.bed.job("app", &trees.job());
    for expected in ["file=old", "file=new"] {
        trees.bed.with_file("rollback", &file).expect(0);
        assert_eq!(trees.in_live(), [expected]);
    }
}

#[test]
fn rollback_without_previous_says_so() {
    let trees = Trees::new();
    trees.write(&["source/file=new"]);
    let file = trees.bed.job("app", &trees.job());
    let outcome = trees.bed.with_file("rollback", &file);
    outcome.expect(1).says(&["there is no previous copy"]);
}

#[test]
fn a_target_that_is_a_link_is_the_directory_that_it_leads_to() {
    let trees = Trees::new();
    trees.write(&["source/file=new", "real/file=old"]);
    symlink(trees.bed.path("real"), trees.bed.path("live")).expect("a link");
    trees.once(&trees.job()).expect(0);
    assert!(trees.bed.path("live").is_symlink());
    assert_eq!(lines(&trees.bed.path("real")), ["file=new"]);
    assert!(trees.bed.path("real.envsyncd").is_dir());
}

#[test]
fn a_source_that_is_a_link_is_the_directory_that_it_leads_to() {
    let trees = Trees::new();
    trees.write(&["real/file=new"]);
    fs::remove_dir(trees.source("")).expect("empty");
    symlink("real", trees.bed.path("source")).expect("a link");
    trees.once(&trees.job()).expect(0);
    assert_eq!(trees.in_live(), ["file=new"]);
}

#[test]
fn who_is_in_live_keeps_the_old_tree_and_a_new_look_finds_the_new_one() {
    let trees = Trees::new();
    trees.write(&["source/file=new", "live/file=old"]);
    let mut shell = Command::new("sh")
        .args(["-c", "read line; cat file; cat \"$0/file\""])
        .arg(trees.live(""))
        .current_dir(trees.live(""))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    trees.once(&trees.job()).expect(0);
    drop(shell.stdin.take());
    let said = shell.wait_with_output().expect("a shell");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "oldnew");
}

#[test]
fn what_is_included_is_copied_and_all_else_stays() {
    let trees = Trees::new();
    trees.write(&[
        "source/a.pdf=new",
        "source/a.txt=new",
        "source/public/b.txt=new",
        "source/private/c.pdf=new",
        "live/a.txt=old",
        "live/gone.pdf=old",
        "live/gone.txt=old",
    ]);
    let job = trees.with(
        "mode = \"replace\"\ninclude = [\"*.pdf\", \"/public/\"]\nexclude = [\"private\"]\nverify = \"checksum\"",
    );
    trees.once(&job).expect(0);
    let expected = [
        "a.pdf=new",
        "a.txt=old",
        "gone.txt=old",
        "public/",
        "public/b.txt=new",
    ];
    assert_eq!(trees.in_live(), expected);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    let wrong = trees.with("include = [\"!a\"]");
    trees
        .once(&wrong)
        .expect(2)
        .says(&["takes something back", "`exclude`"]);
}

#[test]
fn a_copy_keeps_to_its_pace() {
    let trees = Trees::new();
    fs::write(trees.source("large"), vec![7; 600 << 10]).expect("a file");
    let began = std::time::Instant::now();
    trees.once(&trees.with("throttle = \"300kB/s\"")).expect(0);
    // 614 kB at 300 kB a second.
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(
        fs::read(trees.live("large")).expect("it"),
        vec![7; 600 << 10]
    );
}

#[test]
fn the_source_s_access_times_stay_as_they_are() {
    let trees = Trees::new();
    trees.write(&["source/a/file=1", "source/b=2"]);
    let paths = ["", "a", "a/file", "b"].map(|path| trees.source(path));
    // Long before the last change: whoever reads now would be seen.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    for path in &paths {
        let file = fs::File::open(path).expect("it");
        file.set_times(fs::FileTimes::new().set_accessed(long_ago))
            .expect("a time");
    }
    let job = trees.with("mode = \"replace\"\nverify = \"checksum\"");
    trees.once(&job).expect(0);
    for path in &paths {
        let accessed = fs::metadata(path).expect("it").accessed().expect("a time");
        assert_eq!(accessed, long_ago, "{}", path.display());
    }
}
