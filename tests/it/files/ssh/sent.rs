//! Files that go as a stream to the far tar, and what becomes of a run whose tar fails.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Far;
use super::tar::{calls, with_tar};
use crate::files::attributes::{ACL, DEFAULT_ACL, acl, attribute, set_attribute};
use crate::files::trees::{Disk, Trees, lines, named};
use crate::support::ssh::Sshd;

fn said(path: &Path) -> (u32, u32, u32, i64, i64, u64) {
    let found = path.symlink_metadata().expect("it is there");
    let links = if found.is_dir() { 0 } else { found.nlink() };
    let (owner, group) = (found.uid(), found.gid());
    let (seconds, nanoseconds) = (found.mtime(), found.mtime_nsec());
    (found.mode(), owner, group, seconds, nanoseconds, links)
}

#[test]
fn what_files_and_directories_have_arrives_in_one_stream_whether_live_is_there_or_not() {
    for has_live in [false, true] {
        let (far, count) = with_tar("exec $real \"$@\"");
        let trees = &far.trees;
        let deep = format!("{}/file", ["a directory with ü in its näme"; 9].join("/"));
        let odd = [
            &b"line\nfeed"[..],
            b"\xff\xfe",
            b"-rf",
            b"*",
            b"\\n",
            b"end ",
            &[b'\xc3'; 255],
        ];
        trees.write(&[
            "source/one=1",
            "source/set=2",
            "source/old=3",
            "source/d/x=4",
        ]);
        trees.write(&[&format!("source/{deep}=5"), "source/closed/file=6"]);
        for name in odd {
            fs::write(named(&trees.source(""), name), name).expect("a file");
        }
        fs::hard_link(trees.source("one"), trees.source("two")).expect("a link");
        chown(trees.source("one"), Some(3_000_000), Some(5)).expect("root");
        chown(trees.source("set"), Some(7), Some(8)).expect("root");
        chown(trees.source("closed"), Some(9), Some(10)).expect("root");
        let mode = |path: &str, mode| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(trees.source(path), mode).expect("a mode");
        };
        mode("set", 0o6751);
        mode("d", 0o3770);
        mode("closed", 0o500);
        let old = fs::File::options().append(true).open(trees.source("old"));
        let before = SystemTime::UNIX_EPOCH - Duration::new(5, 250_000_000);
        let later = SystemTime::now() + Duration::from_secs(1 << 26);
        old.and_then(|old| old.set_modified(before))
            .expect("a time");
        let x = fs::File::options().append(true).open(trees.source("d/x"));
        x.and_then(|x| x.set_modified(later)).expect("a time");
        symlink(&deep, trees.source("link")).expect("a link");
        symlink("/etc", trees.source("absolute")).expect("a link");
        symlink("../..", trees.source("d/up")).expect("a link");
        for (path, name) in [("d/x", ACL), ("d", DEFAULT_ACL)] {
            set_attribute(&trees.source(path), name, &acl());
        }
        set_attribute(&trees.source("one"), "user.a=b%", b"ke\npt\0");
        set_attribute(&trees.source("d"), "user.note", b"of a directory");
        set_attribute(&trees.source("set"), "trusted.note", b"root's");
        if has_live {
            trees.write(&["live/mine=mine"]);
        }
        let job = far
            .pushes()
            .task("mode = \"replace\"\nmax_delete = \"100%\"");
        let job = job.task("verify = \"checksum\"");
        trees.once(&job).expect(0);
        assert_eq!(calls(&count), 1);
        assert_eq!(trees.in_live(), lines(&trees.source("")));
        let paths = [
            "one",
            "two",
            "set",
            "old",
            "d/x",
            "d",
            "closed",
            "closed/file",
        ];
        let odd = odd.map(|name| [trees.source(""), trees.live("")].map(|root| named(&root, name)));
        let all = paths
            .into_iter()
            .chain(["link", "absolute", "d/up", &deep, ""]);
        let all = all.map(|path| [trees.source(path), trees.live(path)]);
        for [one, other] in all.chain(odd) {
            let (mut here, there) = (said(&one), said(&other));
            here.5 = here.5.min(1);
            assert_eq!(here, there, "{}", other.display());
        }
        assert_eq!(attribute(&trees.live("d/x"), ACL), acl());
        assert_eq!(attribute(&trees.live("d"), DEFAULT_ACL), acl());
        assert_eq!(attribute(&trees.live("one"), "user.a=b%"), b"ke\npt\0");
        let note = attribute(&trees.live("d"), "user.note");
        assert_eq!(note, b"of a directory");
        assert_eq!(attribute(&trees.live("set"), "trusted.note"), b"root's");
        trees.once(&job).expect(0).says(&["nothing has changed"]);
        assert_eq!(calls(&count), 1);
        assert_eq!(trees.beside(), Vec::<String>::new());
    }
}

#[test]
fn files_with_holes_and_those_of_a_task_with_a_pace_are_sent_by_rsync() {
    let (far, count) = with_tar("exec $real \"$@\"");
    let trees = &far.trees;
    trees.write(&["source/d/whole=1", "source/e/f=2"]);
    let holes = fs::File::create(trees.source("d/holes")).expect("a file");
    holes.set_len(1 << 20).expect("a size");
    trees.once(&far.pushes()).expect(0);
    assert_eq!(calls(&count), 1);
    assert_eq!(trees.live("d/holes").metadata().expect("it").blocks(), 0);
    for path in ["d", "e", "", "d/holes", "d/whole"] {
        assert_eq!(said(&trees.source(path)), said(&trees.live(path)), "{path}");
    }
    trees
        .once(&far.pushes())
        .expect(0)
        .says(&["nothing has changed"]);
    trees.write(&["source/e/more=3"]);
    trees
        .once(&far.pushes().task("throttle = \"10MB/s\""))
        .expect(0);
    assert_eq!(calls(&count), 1);
    assert_eq!(lines(&trees.live("e")), ["f=2", "more=3"]);
}

#[test]
fn a_tar_that_fails_or_ends_too_early_fails_the_run_and_live_stays_as_it_was() {
    for (script, says) in [
        ("exit 3", "tar ended with 3"),
        ("cat >/dev/null; exit 3", "tar ended with 3"),
        ("head -c 1000 >/dev/null", "before all was sent"),
        ("cat >/dev/null", "is missing"),
        ("head -c 100000 | $real \"$@\"", "copying files"),
        ("cat >/dev/null; kill -9 $$", "copying files"),
        (
            "echo 'tar: a: Cannot write: No space left on device' >&2; sleep 1; exit 2",
            "the disk is full: tar: a: Cannot write",
        ),
        (
            "echo 'tar: a: Cannot write: Disk quota exceeded' >&2; cat >/dev/null; exit 2",
            "the quota is used up",
        ),
    ] {
        let (far, _) = with_tar(script);
        let trees = &far.trees;
        trees.write(&["source/a=1", "source/new/c=2", "live/a=old"]);
        fs::write(trees.source("large"), vec![7; 3 << 20]).expect("a file");
        let outcome = trees.once(&far.pushes()).expect(1);
        outcome.says(&[says]);
        assert_eq!(trees.in_live(), ["a=old"], "{script}");
        assert_eq!(trees.beside(), Vec::<String>::new(), "{script}");
    }
}

#[test]
fn a_disk_that_becomes_full_there_is_told_in_one_line_and_nothing_more_is_sent() {
    let far = Far::new();
    let trees = &far.trees;
    let disk = Disk::new(&trees.bed.path("disk"), "nr_inodes=40");
    for number in 0..2000 {
        fs::write(trees.source(&format!("f{number}")), "content").expect("a file");
    }
    let live = trees.bed.path("disk/live");
    fs::create_dir(&live).expect("a directory");
    let job = far.pushes_to(&far.sshd.side(&live));
    let outcome = trees.once(&job).expect(1);
    outcome.says(&["the disk is full", "No space left on device"]);
    assert_eq!(lines(&live), Vec::<String>::new());
    let beside = fs::read_dir(trees.bed.path("disk/live.envsyncd")).expect("it");
    assert_eq!(beside.count(), 2, "mark and lock");
    disk.remount("nr_inodes=0");
    trees.once(&job).expect(0);
    assert_eq!(lines(&live), lines(&trees.source("")));
}

#[test]
fn a_machine_whose_tar_is_another_is_sent_to_by_rsync() {
    let trees = Trees::new();
    trees.write(&["source/a=1", "source/d/x=2"]);
    fs::set_permissions(trees.source("d"), fs::Permissions::from_mode(0o500)).expect("a mode");
    let programs = trees.bed.path("programs");
    fs::create_dir(&programs).expect("a directory");
    let text = "#!/bin/sh\necho 'tar: unrecognized option: xattrs' >&2; exit 1\n";
    fs::write(programs.join("tar"), text).expect("a file");
    fs::set_permissions(programs.join("tar"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let sshd = Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", programs.display()));
    let far = Far { trees, sshd };
    let (trees, job) = (&far.trees, far.pushes().task("verify = \"checksum\""));
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    for path in ["", "d"] {
        assert_eq!(said(&trees.source(path)), said(&trees.live(path)), "{path}");
    }
    trees.once(&job).expect(0).says(&["nothing has changed"]);
}

#[test]
fn a_stream_that_is_cut_leaves_live_as_it_was_and_says_which_machine_it_was() {
    let far = Far::new();
    let trees = &far.trees;
    for number in 0..4000 {
        let directory = trees.source(&format!("d{}", number / 500));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(format!("f{number}")), [7; 2000]).expect("a file");
    }
    trees.write(&["live/d0/f0=old"]);
    let wire = far.sshd.wire();
    let url = wire.url(&trees.live(""));
    let side = far.sshd.side_with(&url, "key", "known_hosts");
    wire.break_after(3 << 20);
    let outcome = trees.once(&far.pushes_to(&side)).expect(1);
    outcome.says(&["127.0.0.1"]);
    assert!(wire.is_broken());
    assert_eq!(trees.in_live(), ["d0/", "d0/f0=old"]);
    far.settles();
    trees.once(&far.pushes()).expect(0);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn a_run_that_changes_nothing_takes_one_session_there() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=1", "source/d/x=2"]);
    let programs = trees.bed.path("ours");
    fs::create_dir(&programs).expect("a directory");
    let count = programs.join("count");
    let real = ["/usr/bin/ssh", "/bin/ssh"].into_iter();
    let real = real.into_iter().find(|path| Path::new(path).exists());
    let text = format!(
        "#!/bin/sh\necho x >>{}\nexec {} \"$@\"\n",
        count.display(),
        real.expect("ssh")
    );
    fs::write(programs.join("ssh"), text).expect("a file");
    fs::set_permissions(programs.join("ssh"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = format!(
        "{}:{}",
        programs.display(),
        std::env::var("PATH").expect("it")
    );
    let file = trees.bed.job("app", &far.pushes());
    for sessions in [3, 1] {
        let _ = fs::remove_file(&count);
        let mut command = trees.bed.command();
        let command = command.env("PATH", &path).args(["--once", "-f"]).arg(&file);
        trees.bed.spawn(command).end().expect(0);
        // The login; the stream; and the sync, while what was brought is listed.
        assert_eq!(calls(&count), sessions);
    }
}

#[test]
fn who_is_not_root_there_keeps_all_but_owners_and_set_ids() {
    let trees = Trees::new();
    let sshd = Sshd::with(
        "ForceCommand exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \"$SSH_ORIGINAL_COMMAND\"",
    );
    trees.write(&["source/set=1", "source/closed/d/x=2", "source/sub/y=3"]);
    let mode = |path: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(trees.source(path), mode).expect("a mode");
    };
    mode("set", 0o6751);
    mode("closed/d/x", 0o400);
    mode("closed/d", 0o500);
    mode("closed", 0o555);
    fs::set_permissions(trees.bed.path(""), fs::Permissions::from_mode(0o711)).expect("a mode");
    let theirs = trees.bed.path("theirs");
    fs::create_dir(&theirs).expect("a directory");
    chown(&theirs, Some(65534), Some(65534)).expect("root");
    let far = Far { trees, sshd };
    let (trees, live) = (&far.trees, theirs.join("live"));
    let job = far.pushes_to(&far.sshd.side(&live));
    for _ in 0..2 {
        trees.once(&job).expect(0).says(&["owners"]);
        assert_eq!(lines(&live), lines(&trees.source("")));
        for (path, mode) in [
            ("set", 0o751),
            ("closed", 0o555),
            ("closed/d", 0o500),
            ("sub", 0o755),
        ] {
            let (mut here, there) = (said(&trees.source(path)), said(&live.join(path)));
            assert_eq!(there.0 & 0o7777, mode, "{path}");
            here = (there.0, 65534, 65534, here.3, here.4, here.5);
            assert_eq!(here, there, "{path}");
        }
        trees.once(&job).expect(0).says(&["nothing has changed"]);
        // The next time into a live that is there.
        trees.write(&["source/more/z=4"]);
        fs::set_permissions(trees.source("more"), fs::Permissions::from_mode(0o555)).expect("it");
    }
}
