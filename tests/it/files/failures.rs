//! What goes wrong on the way.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::meanwhile::{has_begun_in, with_a_large_one};
use super::trees::{Disk, Meanwhile, Trees, lines};

/// A tree on a disk of its own, as a target.
fn on_disk(trees: &Trees, options: &str) -> (Disk, crate::support::job::Job) {
    let disk = Disk::new(&trees.bed.path("disk"), options);
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let job = crate::support::job::Job::between("files", &url("source"), &url("disk/live"));
    (disk, job)
}

#[test]
fn a_full_disk_fails_the_run_and_leaves_live() {
    let trees = Trees::new();
    let (_disk, job) = on_disk(&trees, "size=2m");
    trees.write(&["source/small=new", "disk/live/small=old"]);
    fs::write(trees.source("large"), vec![1; 4 << 20]).expect("a file");
    trees
        .once(&job)
        .expect(1)
        .says(&["the copy needs about", "free space there"]);
    // There was room, and then there is none.
    fs::remove_file(trees.source("large")).expect("a file");
    with_a_large_one(&trees, &[]);
    let slowly = job.task("throttle = \"100kB/s\"\njobs = 1");
    let mut running = trees.bed.start(&trees.bed.job("app", &slowly));
    has_begun_in(&trees.bed.path("disk/live.envsyncd"), &mut running);
    let filled = fs::write(trees.bed.path("disk/filler"), vec![1; 2 << 20]);
    assert_eq!(
        filled.expect_err("no room").kind(),
        std::io::ErrorKind::StorageFull
    );
    running.end().expect(1).says(&["free space there"]);
    assert_eq!(lines(&trees.bed.path("disk/live")), ["small=old"]);
    let left = fs::read_dir(trees.bed.path("disk/live.envsyncd"))
        .expect("it")
        .count();
    assert_eq!(left, 2, "mark and lock");
}

#[test]
fn what_a_run_has_put_in_place_goes_back_on_a_full_disk() {
    let trees = Trees::new();
    let (_disk, job) = on_disk(&trees, "size=256k");
    trees.write(&[
        "source/a=0",
        "source/b=0",
        "disk/live/a=old",
        "disk/live/b=old",
    ]);
    let filler = trees.bed.path("disk/filler");
    let job = job.task("publish = \"in_place\"");
    let live = || {
        let mut found = lines(&trees.bed.path("disk/live"));
        found.retain(|line| !line.starts_with(".envsyncd"));
        found
    };
    let (mut before, mut failed) = (vec!["a=old".to_owned(), "b=old".to_owned()], 0);
    // Once the new files are built, there is room for so many pages: from nothing that can be written down to all of it.
    for pages in 0..8 {
        let new = ["a", "b"].map(|name| format!("{name}={pages}"));
        for file in &new {
            trees.write(&[&format!("source/{file}")]);
        }
        let script = format!(
            "head -c 1000000 /dev/zero > {filler}; truncate -s -{} {filler}",
            pages * 4096,
            filler = filler.display()
        );
        let hooks = format!(
            "maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]"
        );
        let file = trees
            .bed
            .file("app.toml", &format!("{job}\n[hooks]\n{hooks}\n"));
        let outcome = trees.bed.once(&file);
        if outcome.code == Some(0) {
            before = new.to_vec();
        } else {
            outcome.expect(1).says(&["free space there"]);
            failed += 1;
        }
        assert_eq!(live(), before, "{pages} pages");
        fs::remove_file(&filler).expect("a file");
    }
    assert!((1..8).contains(&failed), "{failed} of 8");
}

#[test]
fn a_disk_without_inodes_fails_the_run_and_leaves_live() {
    let trees = Trees::new();
    let (_disk, job) = on_disk(&trees, "nr_inodes=40");
    trees.write(&["disk/live/a=old"]);
    for number in 0..100 {
        fs::write(trees.source(&format!("{number}")), "x").expect("a file");
    }
    trees
        .once(&job)
        .expect(1)
        .says(&["cannot make", "free space there"]);
    assert_eq!(lines(&trees.bed.path("disk/live")), ["a=old"]);
}

#[test]
fn a_read_only_target_is_refused_before_anything_is_made() {
    let trees = Trees::new();
    let (disk, job) = on_disk(&trees, "size=2m");
    trees.write(&["source/a=new", "disk/live/a=old"]);
    disk.remount("ro");
    trees.once(&job).expect(1).says(&["Read-only file system"]);
    assert_eq!(lines(&trees.bed.path("disk")), ["live/", "live/a=old"]);
}

#[test]
fn a_mount_point_is_no_target_and_none_is_in_one() {
    let trees = Trees::new();
    trees.write(&["source/a=new"]);
    let disk = Disk::new(&trees.live(""), "size=2m");
    trees
        .once(&trees.job())
        .expect(2)
        .says(&["is a mount point"]);
    drop(disk);
    let _inner = Disk::new(&trees.live("inner"), "size=2m");
    trees
        .once(&trees.job())
        .expect(1)
        .says(&["inner: another file system is mounted in live"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn live_is_whole_whenever_a_run_is_killed() {
    let trees = Trees::new();
    let files = |content: &str| {
        (0..400)
            .map(|number| format!("{}/{number}={content}", number % 7))
            .collect::<Vec<_>>()
    };
    let fill = |tree: &str, content: &str| {
        for file in files(content) {
            trees.write(&[&format!("{tree}/{file}")]);
        }
    };
    fill("live", "old");
    let job = trees.with("mode = \"replace\"");
    let file = trees.bed.job("app", &job);
    let mut last = "old".to_owned();
    for (round, milliseconds) in (0..30).map(|step| 20 + step * 10).enumerate() {
        let new = format!("new{round}");
        fill("source", &new);
        let running = trees.bed.start(&file);
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill();
        let found = trees.in_live();
        let has = |content: &str| {
            found
                .iter()
                .filter(|line| line.ends_with(&format!("={content}")))
                .count()
        };
        assert!(
            has(&last) == 400 || has(&new) == 400,
            "{milliseconds} ms: {} old, {} new of {}",
            has(&last),
            has(&new),
            found.len()
        );
        if has(&new) == 400 {
            last = new;
        }
    }
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    assert!(
        trees.beside().iter().all(|name| name == "previous"),
        "{:?}",
        trees.beside()
    );
}

#[test]
fn a_file_that_is_written_all_the_time_is_copied_with_a_warning() {
    let trees = Trees::new();
    // So slow that whoever writes has a turn in each of the two times that it is read, and so little that it has an end.
    let size = 256 << 10;
    fs::write(trees.source("grows"), vec![b'x'; size]).expect("a file");
    let mut file = fs::File::options()
        .append(true)
        .open(trees.source("grows"))
        .expect("it");
    let writing = Meanwhile::new(move || {
        file.write_all(b"x").expect("bytes");
        std::thread::sleep(Duration::from_millis(2));
    });
    let outcome = trees.once(&trees.with("verify = \"checksum\"\nthrottle = \"200kB/s\""));
    drop(writing);
    outcome
        .expect(0)
        .says(&["files were written while they were read", "grows"]);
    let copy = fs::metadata(trees.live("grows")).expect("it").len();
    let all = fs::metadata(trees.source("grows")).expect("it").len();
    assert!(copy >= size as u64 && copy <= all, "{copy} of {all}");
}

#[test]
fn files_that_come_and_go_and_become_links_lead_nobody_out_of_the_tree() {
    let trees = Trees::new();
    trees.write(&["outside/secret=secret", "source/stays=x"]);
    for number in 0..200 {
        trees.write(&[&format!("source/{number}/file=x")]);
    }
    let (source, outside) = (trees.source(""), trees.bed.path("outside"));
    let mut number = 0;
    let changing = Meanwhile::new(move || {
        let directory = source.join(format!("{}", number % 200));
        let _ = fs::remove_dir_all(&directory);
        let _ = symlink(&outside, &directory);
        let _ = fs::remove_file(&directory);
        let _ = fs::create_dir(&directory);
        let _ = fs::write(directory.join("file"), "x");
        number += 1;
    });
    for _ in 0..8 {
        let outcome = trees.once(&trees.with("mode = \"replace\"\nmax_delete = \"100%\""));
        // A link of live that was a directory's is refused; nothing else goes wrong.
        if outcome.code != Some(0) {
            outcome.expect(1).says(&["live has"]);
            let _ = fs::remove_dir_all(trees.live(""));
        }
        let live = trees.in_live();
        assert!(
            !live.iter().any(|line| line.contains("/secret")),
            "{live:?}"
        );
    }
    drop(changing);
}

#[test]
fn who_is_not_root_keeps_what_they_may_and_is_told_of_the_rest() {
    let trees = Trees::new();
    trees.write(&["source/file=x", "source/closed/y=y"]);
    std::os::unix::fs::chown(trees.source("file"), Some(0), Some(0)).expect("root");
    fs::set_permissions(trees.source("file"), fs::Permissions::from_mode(0o4755)).expect("it");
    let file = trees.bed.job("app", &trees.with("verify = \"checksum\""));
    let run = |file: &Path| trees.as_nobody(file).end();
    run(&file).expect(0).says(&["owners are not kept"]);
    let found = trees.live("file").metadata().expect("a file");
    assert_eq!(
        (found.uid(), found.mode() & 0o7777),
        (65534, 0o755),
        "no setuid for another owner"
    );
    run(&file).expect(0).says(&["nothing has changed"]);
    fs::set_permissions(trees.source("closed/y"), fs::Permissions::from_mode(0o600)).expect("it");
    fs::write(trees.source("closed/y"), "changed").expect("a file");
    run(&file).expect(1).says(&["cannot read closed/y"]);
    assert_eq!(trees.in_live(), ["closed/", "closed/y=y", "file=x"]);
}

#[test]
fn two_runs_of_one_tree_are_one() {
    let trees = Trees::new();
    trees.write(&["source/file=x", "live/file=old"]);
    let gate = trees.bed.gate("on");
    let slow = trees.job().hooks(&gate.maintenance());
    let mut running = trees.bed.start(&trees.bed.job("slow", &slow));
    gate.wait(&mut running);
    trees.once(&trees.job()).expect(75).says(&["slow"]);
    gate.open();
    running.end().expect(0);
    assert_eq!(trees.in_live(), ["file=x"]);
}

#[test]
fn a_live_that_somebody_replaced_meanwhile_is_not_published_over() {
    let trees = Trees::new();
    trees.write(&["source/file=x", "live/file=old"]);
    let script = "mv live away && mkdir live && echo theirs > live/file";
    let hook =
        format!("maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]");
    let outcome = trees.once(&trees.job().hooks(&hook));
    outcome
        .expect(1)
        .says(&["is another directory than when the run began"]);
    assert_eq!(trees.in_live(), ["file=theirs\n"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}
