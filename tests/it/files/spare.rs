//! The spare: what is kept of an old tree, so that the next run can build on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::attributes::{DEFAULT_ACL, acl, attribute, set_attribute};
use super::trees::{Image, Trees, all_in, exact, inode, lines};
use crate::support::job::Job;
use crate::support::{kills, moments, wait_until};

pub(super) const REPLACES: &str = "mode = \"replace\"\nmax_delete = \"100%\"\n";
/// With it, each run has a spare; else the second has taken the first copy's, and the third has none.
const DROPS: &str = "previous = \"drop\"\n";

/// Inodes of all files of a tree; directories have none.
fn inodes(root: &Path) -> BTreeMap<String, u64> {
    let all = all_in(root).into_iter().map(|(told, path)| {
        let about = path.symlink_metadata().expect("it");
        (!about.is_dir()).then(|| (told, about.ino()))
    });
    all.flatten().collect()
}

/// There is a spare, and each of its files is live's own at the same path; returns how many there are.
#[track_caller]
pub(super) fn has_only_live_s_own(trees: &Trees) -> usize {
    assert!(trees.folder("spare").is_dir());
    let live = inodes(&trees.live(""));
    let spare = inodes(&trees.folder("spare"));
    for (path, inode) in &spare {
        assert_eq!(live.get(path), Some(inode), "{path}");
    }
    spare.len()
}

/// Lines that are not the tree's own: its time is that of the last change in it.
fn without_root(lines: Vec<String>) -> Vec<String> {
    let is_root = |line: &String| line.starts_with("\"\" ");
    lines.into_iter().filter(|line| !is_root(line)).collect()
}

/// A run by which live becomes exactly the source, built on the spare.
#[track_caller]
pub(super) fn builds_on_the_spare(trees: &Trees, job: &Job) {
    let spare = inode(&trees.folder("spare"));
    trees.once(job).expect(0);
    assert_eq!(inode(&trees.live("")), spare, "the spare is live now");
    assert_eq!(exact(&trees.live("")), exact(&trees.source("")));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

fn set_time(path: &Path, seconds: u64) {
    let then = SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    let file = fs::File::open(path).expect("it");
    file.set_modified(then).expect("a time");
}

pub(super) fn fill(trees: &Trees, directories: usize, files: usize) {
    for directory in 0..directories {
        for file in 0..files {
            trees.write(&[&format!("source/{directory}/{file}={directory} {file}")]);
        }
    }
}

#[test]
fn run_after_run_live_is_exactly_the_source_whatever_changes() {
    let trees = Trees::new();
    fill(&trees, 5, 40);
    trees.write(&["source/0/deep/er/x=1", "source/twin=1"]);
    symlink("0", trees.source("link")).expect("a link");
    fs::hard_link(trees.source("twin"), trees.source("other")).expect("a link");
    let job = trees.with(&format!("{REPLACES}{DROPS}verify = \"checksum\""));
    trees.once(&job).expect(0);
    assert_eq!(has_only_live_s_own(&trees), 204);
    // Files change, come and go; names become those of others, and of other kinds.
    trees.write(&[
        "source/1/1=changed",
        "source/1/new=1",
        "source/a/b/c=1",
        "source/twin=22",
    ]);
    fs::remove_file(trees.source("2/2")).expect("a file");
    fs::rename(trees.source("3/3"), trees.source("3/3 renamed")).expect("it");
    fs::rename(trees.source("3/4"), trees.source("3/5")).expect("it");
    fs::remove_file(trees.source("4/0")).expect("a file");
    trees.write(&["source/4/0/was-a-file=1"]);
    fs::remove_file(trees.source("link")).expect("a link");
    trees.write(&["source/link=was a link"]);
    fs::remove_file(trees.source("4/1")).expect("a file");
    symlink("2", trees.source("4/1")).expect("a link");
    set_mode(&trees.source("1"), 0o2750);
    set_mode(&trees.source("1/3"), 0o600);
    chown(trees.source("2"), Some(12), Some(34)).expect("root");
    chown(trees.source("2/3"), Some(12), Some(34)).expect("root");
    set_time(&trees.source("3"), 1_000_000_000);
    builds_on_the_spare(&trees, &job);
    assert!(has_only_live_s_own(&trees) > 180);
    // And back, and whole directories with them.
    fs::remove_dir_all(trees.source("0")).expect("a directory");
    fs::remove_dir_all(trees.source("4/0")).expect("a directory");
    fs::rename(trees.source("1"), trees.source("9")).expect("a directory");
    fs::remove_file(trees.source("4/1")).expect("a link");
    trees.write(&["source/4/1=a file again", "source/4/empty/x=1"]);
    fs::remove_file(trees.source("4/empty/x")).expect("a file");
    set_mode(&trees.source("2"), 0o711);
    chown(trees.source("2"), Some(0), Some(0)).expect("root");
    builds_on_the_spare(&trees, &job);
    trees.write(&["source/4/0=a file again"]);
    symlink("nowhere", trees.source("0")).expect("a link");
    builds_on_the_spare(&trees, &job);
    has_only_live_s_own(&trees);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    has_only_live_s_own(&trees);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn with_previous_the_spare_is_the_one_before_and_previous_is_what_live_was() {
    let trees = Trees::new();
    fill(&trees, 4, 30);
    let job = trees.with(REPLACES);
    let mut before = Vec::new();
    for round in 0..6 {
        trees.write(&[&format!("source/1/1=round {round}")]);
        fs::rename(
            trees.source(&format!("2/{round}")),
            trees.source(&format!("2/{round} renamed")),
        )
        .expect("it");
        let is_built_on = [1, 3, 4, 5].contains(&round);
        if is_built_on {
            builds_on_the_spare(&trees, &job);
        } else {
            trees.once(&job).expect(0);
        }
        assert_eq!(exact(&trees.live("")), exact(&trees.source("")), "{round}");
        if round > 0 {
            assert_eq!(exact(&trees.folder("previous")), before, "{round}");
        }
        before = exact(&trees.live(""));
        if round != 1 {
            assert!(has_only_live_s_own(&trees) > 110, "{round}");
        }
    }
    // What rollback makes live is what it was, and the next run is right.
    let file = trees.bed.job("app", &job);
    let previous = exact(&trees.folder("previous"));
    trees.bed.with_file("rollback", &file).expect(0);
    assert_eq!(exact(&trees.live("")), previous);
    assert_eq!(exact(&trees.folder("previous")), before);
    trees.write(&["source/3/3=after the rollback"]);
    builds_on_the_spare(&trees, &job);
    assert_eq!(exact(&trees.folder("previous")), previous);
    has_only_live_s_own(&trees);
    trees.bed.with_file("rollback", &file).expect(0);
    assert_eq!(exact(&trees.live("")), previous);
}

#[test]
fn what_somebody_puts_into_the_spare_does_not_become_live() {
    let trees = Trees::new();
    fill(&trees, 3, 20);
    let job = trees.with(&format!("{REPLACES}{DROPS}"));
    trees.once(&job).expect(0);
    let spare = |path: &str| trees.folder("spare").join(path);
    let into = |path: &str, text: &str| {
        let _ = fs::remove_file(spare(path));
        fs::create_dir_all(spare(path).parent().expect("one")).expect("a directory");
        fs::write(spare(path), text).expect("a file");
    };
    for path in [
        "stray",
        "0/0 stray",
        "0/stray",
        "0/~",
        "stray-directory/deep/er/x",
    ] {
        into(path, "stray");
    }
    // Other files in the place of live's: of the same length and time, too.
    into("1/1", "1 1");
    set_time(&spare("1/1"), 1_000_000_000);
    into("1/2", "changed");
    fs::remove_file(spare("1/3")).expect("a file");
    symlink("2", spare("1/3")).expect("a link");
    fs::remove_file(spare("1/4")).expect("a file");
    into("1/4/x", "a directory");
    fs::remove_dir_all(spare("2")).expect("a directory");
    symlink(trees.bed.path("outside"), spare("2")).expect("a link");
    symlink(trees.bed.path("outside"), spare("0/outside")).expect("a link");
    trees.write(&["outside/kept=theirs", "source/0/1=changed"]);
    let live = inodes(&trees.live(""));
    builds_on_the_spare(&trees, &job);
    assert_eq!(lines(&trees.bed.path("outside")), ["kept=theirs"]);
    let same = |path: &str| inode(&trees.live(path)) == live[path];
    assert!(["1/1", "1/2", "1/3", "1/4", "2/1"].into_iter().all(same));
    has_only_live_s_own(&trees);
    // Something else in the spare's place, or nothing.
    for odd in 0..3 {
        fs::remove_dir_all(trees.folder("spare")).expect("it");
        match odd {
            0 => symlink(trees.bed.path("outside"), trees.folder("spare")).expect("a link"),
            1 => fs::write(trees.folder("spare"), "a file").expect("a file"),
            _ => {}
        }
        trees.write(&[&format!("source/0/1=changed once more {odd}")]);
        trees.once(&job).expect(0);
        assert_eq!(trees.in_live(), lines(&trees.source("")));
        assert_eq!(lines(&trees.bed.path("outside")), ["kept=theirs"]);
        assert!(has_only_live_s_own(&trees) > 50);
    }
}

#[test]
fn what_the_application_does_with_live_is_seen_and_its_files_are_never_written_through_the_spare() {
    let trees = Trees::new();
    fill(&trees, 3, 20);
    // In overlay, what is live's own stays.
    let job = trees.with(DROPS);
    trees.once(&job).expect(0);
    trees.write(&[
        "live/0/own=mine",
        "live/own/deep/x=mine",
        "live/1/5=replaced",
    ]);
    fs::remove_file(trees.live("1/6")).expect("a file");
    fs::write(trees.live("1/7"), "written in place").expect("a file");
    // Another file of the same length and time is the same to a run, and stays live's own.
    let time = |path: &str| {
        fs::metadata(trees.source(path))
            .expect("it")
            .modified()
            .expect("one")
    };
    fs::remove_file(trees.live("1/8")).expect("a file");
    fs::write(trees.live("1/8"), "8 1").expect("a file");
    let file = fs::File::open(trees.live("1/8")).expect("it");
    file.set_modified(time("1/8")).expect("a time");
    let theirs = inode(&trees.live("1/8"));
    fs::hard_link(trees.live("2/2"), trees.live("2/second name")).expect("a link");
    set_mode(&trees.live("2/3"), 0o640);
    trees.write(&["source/2/4=changed"]);
    let spare = inode(&trees.folder("spare"));
    trees.once(&job).expect(0);
    assert_eq!(inode(&trees.live("")), spare);
    let mut expected = lines(&trees.source(""));
    expected.retain(|line| line != "1/8=1 8");
    for line in ["0/own=mine", "1/8=8 1", "2/second name=2 2"] {
        expected.push(line.to_owned());
    }
    expected.extend(["own/", "own/deep/", "own/deep/x=mine"].map(str::to_owned));
    expected.sort();
    assert_eq!(trees.in_live(), expected);
    assert_eq!(inode(&trees.live("1/8")), theirs);
    assert_eq!(
        fs::metadata(trees.live("2/3")).expect("it").mode() & 0o777,
        0o644
    );
    assert!(has_only_live_s_own(&trees) > 50);
    // With `replace` it goes.
    trees
        .once(&trees.with(&format!("{REPLACES}{DROPS}")))
        .expect(0);
    expected = lines(&trees.source(""));
    expected.retain(|line| line != "1/8=1 8");
    expected.push("1/8=8 1".to_owned());
    expected.sort();
    assert_eq!(trees.in_live(), expected);
    has_only_live_s_own(&trees);
}

#[test]
fn a_directory_that_is_used_again_has_what_a_new_one_would_have() {
    let trees = Trees::new();
    fill(&trees, 3, 5);
    let job = trees.with(&format!("{REPLACES}{DROPS}"));
    for directory in ["0", "1", ""] {
        set_attribute(&trees.source(directory), "user.note", b"old");
        set_attribute(&trees.source(directory), DEFAULT_ACL, &acl());
    }
    set_mode(&trees.source("2"), 0o3777);
    trees.once(&job).expect(0);
    for directory in ["0", "1", ""] {
        rustix::fs::removexattr(trees.source(directory), DEFAULT_ACL).expect("it");
        rustix::fs::removexattr(trees.source(directory), "user.note").expect("it");
    }
    trees.write(&["source/0/1=changed", "source/0/new=1", "source/1/inner/x=1"]);
    set_attribute(&trees.source("1"), DEFAULT_ACL, &acl());
    set_attribute(&trees.source("1"), "user.note", b"new");
    set_mode(&trees.source("2"), 0o755);
    builds_on_the_spare(&trees, &job);
    let has = |path: &str, name: &str| {
        let mut value = [0; 256];
        rustix::fs::getxattr(trees.live(path), name, &mut value[..]).is_ok()
    };
    for (path, name) in [
        ("", DEFAULT_ACL),
        ("", "user.note"),
        ("0", DEFAULT_ACL),
        ("0", "user.note"),
        // Made in one that has it, but without it.
        ("0/new", super::attributes::ACL),
        ("1/inner", super::attributes::ACL),
        ("1/inner", DEFAULT_ACL),
        ("1/inner/x", super::attributes::ACL),
    ] {
        assert!(!has(path, name), "{path} {name}");
    }
    assert_eq!(attribute(&trees.live("1"), "user.note"), b"new");
    assert_eq!(attribute(&trees.live("1"), DEFAULT_ACL), acl());
    let spare = fs::metadata(trees.folder("spare")).expect("it");
    assert_eq!(spare.mode() & 0o7777, 0o700, "the spare is for nobody else");
}

#[test]
fn a_directory_with_thousands_of_names_is_used_again_piece_by_piece() {
    let trees = Trees::new();
    fill(&trees, 1, 2_600);
    let job = trees.with(&format!("{REPLACES}{DROPS}jobs = 4"));
    trees.once(&job).expect(0);
    for round in 0..2 {
        for number in (round..2_600).step_by(171) {
            trees.write(&[&format!("source/0/{number}=changed {round}")]);
            fs::remove_file(trees.source(&format!("0/{}", number + 1))).expect("a file");
            trees.write(&[&format!("source/0/{number} new {round}=1")]);
        }
        // Between the pieces, before the first and behind the last.
        for number in 0..300 {
            let stray = trees.folder(&format!("spare/0/{} stray", number * 9));
            fs::write(stray, "stray").expect("a file");
        }
        for name in [" ", "~~~"] {
            fs::write(trees.folder("spare/0").join(name), "stray").expect("a file");
        }
        builds_on_the_spare(&trees, &job);
        assert!(has_only_live_s_own(&trees) > 2_500);
    }
}

#[test]
fn whenever_a_run_is_killed_live_is_whole_and_the_next_one_is_right() {
    let trees = Trees::new();
    fill(&trees, 6, 60);
    let job = trees.with(REPLACES);
    for round in 0..4 {
        trees.write(&[&format!("source/0/0=before {round}")]);
        trees.once(&job).expect(0);
    }
    let change = |round: usize| {
        for directory in 0..6 {
            for file in 0..20 {
                let number = (file * 3 + round) % 60;
                trees.write(&[&format!("source/{directory}/{number}=round {round}")]);
            }
        }
        trees.write(&[&format!("source/new {round}/x={round}")]);
    };
    change(0);
    let begun = std::time::Instant::now();
    trees.once(&job).expect(0);
    let all = begun.elapsed();
    let file = trees.bed.job("app", &job);
    for (round, moment) in moments(kills(24), all).enumerate() {
        let before = exact(&trees.live(""));
        change(round + 1);
        let running = trees.bed.start(&file);
        std::thread::sleep(moment);
        running.kill();
        let live = exact(&trees.live(""));
        let is_new = live == exact(&trees.source(""));
        assert!(is_new || live == before, "round {round}: {moment:?}");
        if round % 3 != 2 {
            trees.once(&job).expect(0);
            assert_eq!(exact(&trees.live("")), exact(&trees.source("")), "{round}");
        }
        if trees.folder("spare").exists() {
            has_only_live_s_own(&trees);
        }
    }
    trees.once(&job).expect(0);
    assert_eq!(exact(&trees.live("")), exact(&trees.source("")));
    let beside = trees.beside();
    assert_eq!(beside, ["previous"]);
}

#[test]
fn without_hard_links_there_is_no_spare_and_an_old_one_goes() {
    let trees = Trees::new();
    fill(&trees, 2, 10);
    trees.once(&trees.with(REPLACES)).expect(0);
    assert!(trees.folder("spare").exists());
    trees.write(&["source/0/0=changed"]);
    let job = trees.with(&format!("{REPLACES}link = \"copy\""));
    trees.once(&job).expect(0);
    assert!(!trees.folder("spare").exists());
    trees.write(&["source/0/0=changed again"]);
    trees.once(&job).expect(0);
    assert!(!trees.folder("spare").exists());
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    // Of two runs that link, the second one's previous is the next one's spare.
    for round in 0..3 {
        trees.write(&[&format!("source/0/0=changed {round}")]);
        trees.once(&trees.with(REPLACES)).expect(0);
    }
    assert!(has_only_live_s_own(&trees) > 15);
    let in_place = trees.with(&format!(
        "{REPLACES}publish = \"in_place\"\nprevious = \"keep\""
    ));
    for round in 0..3 {
        trees.write(&[&format!("source/0/0=in place {round}")]);
        trees.once(&in_place).expect(0);
        assert!(!trees.live(".envsyncd/spare").exists());
    }
}

#[test]
fn a_run_that_fails_leaves_no_spare_and_the_next_one_is_right() {
    let trees = Trees::new();
    fill(&trees, 3, 10);
    let job = trees.with(REPLACES);
    trees.once(&job).expect(0);
    trees.write(&["source/1/1=changed"]);
    let before = exact(&trees.live(""));
    let hooks = "maintenance_on = [\"false\"]\nmaintenance_off = [\"true\"]";
    trees.once(&trees.with(REPLACES).hooks(hooks)).expect(1);
    assert_eq!(exact(&trees.live("")), before);
    assert!(!trees.folder("spare").exists());
    assert_eq!(trees.beside(), Vec::<String>::new());
    trees.once(&job).expect(0);
    assert_eq!(exact(&trees.live("")), exact(&trees.source("")));
}

#[test]
fn a_file_that_became_immutable_after_the_spare_was_made_refuses_the_run_as_ever() {
    let trees = Trees::new();
    let disk = Image::new(&trees.bed.path("disk"), &[]);
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let job = Job::between("files", &url("source"), &url("disk/live")).task(REPLACES);
    fill(&trees, 2, 10);
    trees.once(&job).expect(0);
    let fixed = trees.bed.path("disk/live/1/1");
    let chattr = |how: &str| {
        let mut chattr = std::process::Command::new("chattr");
        let done = chattr.arg(how).arg(&fixed).status();
        assert!(done.expect("chattr").success(), "chattr (as root)");
    };
    chattr("+i");
    trees.write(&["source/0/0=changed"]);
    let refused = trees.once(&job);
    chattr("-i");
    refused.expect(1).says(&["1/1 must not be changed in live"]);
    trees.once(&job).expect(0);
    let live = trees.bed.path("disk/live");
    assert_eq!(
        without_root(exact(&live)),
        without_root(exact(&trees.source("")))
    );
    drop(disk);
}

#[test]
fn the_spare_is_no_source() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    trees.once(&trees.job()).expect(0);
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let job = Job::between("files", &url("live.envsyncd/spare"), &url("live"));
    let refused = trees.once(&job).expect(3);
    refused.says(&["what a run keeps beside the target"]);
}

#[test]
fn what_gets_into_the_new_tree_while_it_is_built_is_not_published() {
    let trees = Trees::new();
    fill(&trees, 2, 10);
    let job = trees.with(&format!("{DROPS}throttle = \"400kB/s\"\njobs = 1"));
    trees.once(&job).expect(0);
    trees.write(&["live/0/own=mine"]);
    for round in 0..2 {
        fs::create_dir_all(trees.source("a")).expect("a directory");
        fs::write(trees.source("a/large"), vec![round; 1 << 20]).expect("a file");
        let live = trees.in_live();
        let mut running = trees.bed.start(&trees.bed.job("app", &job));
        let mut incoming = None;
        wait_until("the large file is being copied", || {
            assert!(running.is_running(), "it has ended");
            let beside = trees.beside().into_iter();
            let names = beside.filter(|name| name.starts_with("incoming"));
            incoming = names.map(|name| trees.folder(&name)).next();
            (incoming.as_ref()).is_some_and(|path| path.join("a/large").exists())
        });
        let incoming = incoming.expect("it");
        // As many files as there are to be, but not those.
        fs::rename(incoming.join("0/own"), incoming.join("0/stray")).expect("it");
        running
            .end()
            .expect(1)
            .says(&["0/stray is in the copy, and was not planned"]);
        assert_eq!(trees.in_live(), live);
        assert_eq!(trees.beside(), Vec::<String>::new());
        // The second time there is no spare.
        assert!(!trees.folder("spare").exists());
    }
}
