//! What files can be like on their way between two machines, and what becomes of them under a run's hands.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use super::Far;
use crate::files::attributes::{ACL, acl, attribute, set_attribute};
use crate::files::trees::{Disk, Meanwhile, inode, lines};
use crate::support::job::Job;
use crate::support::wait_until;

/// Both ways: the job, and its name.
fn both_ways(far: &Far) -> [(Job, &'static str); 2] {
    [(far.pulls(), "from there"), (far.pushes(), "to there")]
}

#[test]
fn acls_and_extended_attributes_arrive_both_ways() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        trees.write(&["source/d/file=x"]);
        let file = trees.source("d/file");
        set_attribute(&file, ACL, &acl());
        set_attribute(&file, "user.note", b"ke\npt\0");
        set_attribute(&file, "trusted.note", b"root's");
        let (job, told) = &both_ways(&far)[way];
        trees.once(job).expect(0);
        let copy = trees.live("d/file");
        assert_eq!(attribute(&copy, ACL), acl(), "{told}");
        assert_eq!(attribute(&copy, "user.note"), b"ke\npt\0", "{told}");
        assert_eq!(attribute(&copy, "trusted.note"), b"root's", "{told}");
        trees.once(job).expect(0).says(&["nothing has changed"]);
    }
}

#[test]
fn a_sparse_file_of_10_gb_stays_sparse_both_ways() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        let file = fs::File::create(trees.source("sparse")).expect("a file");
        file.set_len(10 << 30).expect("a size");
        file.write_all_at(b"middle", 5 << 30).expect("bytes");
        let (job, told) = &both_ways(&far)[way];
        trees.once(job).expect(0);
        let found = trees.live("sparse").metadata().expect("it is there");
        assert_eq!(found.len(), 10 << 30, "{told}");
        assert!(found.blocks() * 512 < 1 << 20, "{told}: {}", found.blocks());
        let mut text = [0; 6];
        let copy = fs::File::open(trees.live("sparse")).expect("a file");
        copy.read_exact_at(&mut text, 5 << 30).expect("bytes");
        assert_eq!(&text, b"middle", "{told}");
    }
}

#[test]
fn special_files_hard_links_setuid_and_case_twins_are_as_between_two_directories() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        trees.write(&[
            "source/one=x",
            "source/Readme=1",
            "source/README=2",
            "source/set=uid",
        ]);
        fs::hard_link(trees.source("one"), trees.source("two")).expect("a link");
        chown(trees.source("set"), Some(1234), Some(4321)).expect("root");
        fs::set_permissions(trees.source("set"), fs::Permissions::from_mode(0o6751)).expect("it");
        nix::unistd::mkfifo(&trees.source("pipe"), Mode::S_IRWXU).expect("a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(trees.source("socket")).expect("it");
        let (job, told) = &both_ways(&far)[way];
        let said = trees.once(job).expect(0);
        said.says(&["sockets, pipes and devices are not copied", "pipe, socket"]);
        let expected = ["README=2", "Readme=1", "one=x", "set=uid", "two=x"];
        assert_eq!(trees.in_live(), expected, "{told}");
        assert_ne!(
            inode(&trees.live("one")),
            inode(&trees.live("two")),
            "{told}"
        );
        let set = trees.live("set").metadata().expect("a file");
        let known = (set.uid(), set.gid(), set.mode() & 0o7777);
        assert_eq!(known, (1234, 4321, 0o6751), "{told}");
        trees.once(job).expect(0).says(&["nothing has changed"]);
    }
}

#[test]
fn a_file_that_grows_arrives_with_a_warning_or_as_it_was() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        trees.write(&["source/grows=start", "source/other=1"]);
        let path = trees.source("grows");
        let mut file = fs::File::options().append(true).open(&path).expect("it");
        let writing = Meanwhile::new(move || {
            file.write_all(&[b'x'; 4096]).expect("bytes");
            std::thread::sleep(Duration::from_micros(200));
        });
        wait_until("it has grown", || {
            path.metadata().expect("a file").len() > 5
        });
        for verify in ["rows", "checksum"] {
            let (job, told) = both_ways(&far).into_iter().nth(way).expect("a way");
            let job = job.task(&format!("verify = \"{verify}\""));
            trees.once(&job).expect(0);
            let copy = fs::read(trees.live("grows")).expect("a file");
            assert!(copy.starts_with(b"start"), "{told}");
            let now = fs::read(&path).expect("a file");
            assert!(copy.len() > 5 && now.starts_with(&copy), "{told}");
            assert_eq!(fs::read(trees.live("other")).expect("a file"), b"1");
        }
        drop(writing);
    }
}

#[test]
fn live_keeps_its_own_of_what_vanishes_on_its_way() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        fs::create_dir(trees.source("a")).expect("a directory");
        fs::write(trees.source("a/large"), vec![7; 1 << 20]).expect("a file");
        trees.write(&[
            "source/b/gone=new",
            "source/b/stays=new",
            "source/c/d/e=new",
        ]);
        trees.write(&["live/b/gone=old", "live/b/stays=old", "live/c/d/e=old"]);
        let (job, told) = both_ways(&far).into_iter().nth(way).expect("a way");
        let job = job.task("throttle = \"300kB/s\"\nmode = \"replace\"\nmax_delete = 1");
        let mut running = trees.bed.start(&trees.bed.job("app", &job));
        wait_until("the first file is being copied", || {
            assert!(running.is_running(), "it has ended");
            let incoming = trees.beside();
            let mut incoming = incoming.iter().filter(|name| name.starts_with("incoming"));
            let names = |name: &String| {
                fs::read_dir(trees.folder(name).join("a"))
                    .into_iter()
                    .flatten()
                    .count()
            };
            incoming.any(|name| names(name) > 0)
        });
        fs::remove_file(trees.source("b/gone")).expect("a file");
        fs::remove_dir_all(trees.source("c")).expect("a directory");
        let outcome = running.end().expect(0);
        outcome.says(&["vanished"]);
        let mut found = trees.in_live();
        found.retain(|line| !line.starts_with("a/"));
        let expected = ["b/", "b/gone=old", "b/stays=new", "c/", "c/d/", "c/d/e=old"];
        assert_eq!(found, expected, "{told}");
    }
}

#[test]
fn a_copy_keeps_to_its_pace_both_ways() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        fs::write(trees.source("large"), vec![7; 900 << 10]).expect("a file");
        let (job, told) = both_ways(&far).into_iter().nth(way).expect("a way");
        let began = Instant::now();
        trees.once(&job.task("throttle = \"300kB/s\"")).expect(0);
        // 922 kB at 300 kB a second.
        assert!(began.elapsed() >= Duration::from_secs(2), "{told}");
    }
}

#[test]
fn a_disk_without_inodes_leaves_live_both_ways() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        let _disk = Disk::new(&trees.bed.path("disk"), "nr_inodes=40");
        trees.write(&["disk/live/a=old"]);
        for number in 0..100 {
            trees.write(&[&format!("source/{number}=x")]);
        }
        let live = trees.bed.path("disk/live");
        let job = if way == 0 {
            let from = far.sshd.side(&trees.source(""));
            Job::new("files", &from, &super::here(&live))
        } else {
            far.pushes_to(&far.sshd.side(&live))
        };
        trees.once(&job).expect(1).says(&["No space left"]);
        assert_eq!(lines(&live), ["a=old"]);
    }
}

#[test]
fn a_target_here_that_is_read_only_and_a_source_there_that_is_a_file_are_refused() {
    let far = Far::new();
    let trees = &far.trees;
    let disk = Disk::new(&trees.bed.path("disk"), "size=2m");
    trees.write(&["source/a=new", "disk/live/a=old"]);
    disk.remount("ro");
    let from = far.sshd.side(&trees.source(""));
    let job = Job::new("files", &from, &super::here(&trees.bed.path("disk/live")));
    trees.once(&job).expect(1).says(&["Read-only file system"]);
    assert_eq!(lines(&trees.bed.path("disk")), ["live/", "live/a=old"]);
    let job = far.pushes_to(&far.sshd.side(&trees.bed.path("disk/live/a")));
    trees.once(&job).expect(2).says(&["is no directory"]);
}

#[test]
fn a_target_there_that_is_a_link_is_the_directory_that_it_leads_to() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=new", "real/a=old"]);
    symlink(
        trees.bed.path("real"),
        trees.live("").parent().expect("one").join("live"),
    )
    .expect("a link");
    trees.once(&far.pushes()).expect(0);
    assert!(trees.bed.path("live").is_symlink());
    assert_eq!(lines(&trees.bed.path("real")), ["a=new"]);
    assert!(trees.bed.path("real.envsyncd").is_dir());
}

#[test]
fn two_runs_from_there_into_one_tree_are_one() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=new", "live/a=old"]);
    let gate = trees.bed.gate("on");
    let slow = far.pulls().hooks(&gate.maintenance());
    let mut running = trees.bed.start(&trees.bed.job("slow", &slow));
    gate.wait(&mut running);
    trees.once(&far.pulls()).expect(75).says(&["slow"]);
    gate.open();
    running.end().expect(0);
    assert_eq!(trees.in_live(), ["a=new"]);
}

#[test]
fn a_file_there_that_must_not_be_changed_fails_the_run_and_what_was_done_is_taken_back() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=new", "source/z=new", "live/a=old", "live/z=old"]);
    let chattr = |how: &str| {
        let done = std::process::Command::new("chattr")
            .arg(how)
            .arg(trees.live("z"))
            .status();
        assert!(done.expect("chattr").success());
    };
    chattr("+i");
    let failed = trees.once(&far.pushes());
    chattr("-i");
    failed.expect(1).says(&["not permitted", "z"]);
    assert_eq!(trees.in_live(), ["a=old", "z=old"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn a_path_that_is_too_long_for_rsync_fails_the_run_and_is_told() {
    for way in 0..2 {
        let far = Far::new();
        let trees = &far.trees;
        trees.write(&["source/a=new", "live/a=old"]);
        let fits = (0..18).fold(trees.source(""), |path, _| path.join("d".repeat(200)));
        fs::create_dir_all(&fits).expect("directories");
        fs::write(fits.join("file"), "deep").expect("a file");
        let (job, told) = &both_ways(&far)[way];
        trees.once(job).expect(0);
        assert_eq!(trees.in_live(), lines(&trees.source("")), "{told}");
        let made = std::process::Command::new("python3")
            .args(["-c", "import os,sys\nfor name in ['d'*200]*25:\n    os.path.isdir(name) or os.mkdir(name)\n    os.chdir(name)\nopen('file','w').write('deep')"])
            .current_dir(trees.source(""))
            .status();
        assert!(made.expect("python3").success());
        let before = trees.in_live();
        trees
            .once(job)
            .expect(1)
            .says(&["too long for rsync", "4080"]);
        assert_eq!(trees.in_live(), before, "{told}");
        let mut left = trees.beside();
        left.retain(|name| name != "previous");
        assert_eq!(left, Vec::<String>::new(), "{told}");
    }
}
