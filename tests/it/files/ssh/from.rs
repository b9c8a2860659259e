//! From another machine to this one.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, Instant, SystemTime};

use super::Far;
use crate::files::trees::{exact, inode, lines, named};
use crate::support::job::Job;
use crate::support::{kills, moments};

#[test]
fn a_tree_elsewhere_is_copied_and_then_nothing_has_changed() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(
        &[
            "source/a/b/c=1",
            "source/d=22",
            "source/e/=",
            "live/old=mine",
        ][..2],
    );
    fs::create_dir(trees.source("empty")).expect("a directory");
    symlink("a/b", trees.source("link")).expect("a link");
    fs::set_permissions(trees.source("d"), fs::Permissions::from_mode(0o640)).expect("a mode");
    trees
        .once(&far.pulls().task("verify = \"checksum\""))
        .expect(0);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    for path in ["d", "a/b/c", "a/b", "empty", ""] {
        let [one, other] =
            [trees.source(path), trees.live(path)].map(|p| p.metadata().expect("it"));
        let said = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        assert_eq!(said(&one), said(&other), "{path}");
    }
    trees
        .once(&far.pulls().task("verify = \"checksum\""))
        .expect(0)
        .says(&["nothing has changed"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn run_after_run_is_built_on_the_spare_whatever_has_changed_there() {
    let far = Far::new();
    let trees = &far.trees;
    for number in 0..80 {
        trees.write(&[&format!("source/{}/{number}=1", number % 4)]);
    }
    let options = "mode = \"replace\"\nprevious = \"drop\"\nverify = \"checksum\"";
    let job = far.pulls().task(options);
    trees.once(&job).expect(0);
    for round in 0..3 {
        trees.write(&[
            &format!("source/1/1={round}"),
            &format!("source/new {round}/x=1"),
        ]);
        let old = trees.source(&format!("2/{}", 2 + 4 * round));
        fs::rename(&old, old.with_extension("renamed")).expect("a file");
        fs::remove_file(trees.source(&format!("3/{}", 3 + 4 * round))).expect("a file");
        let mode = fs::Permissions::from_mode(0o750 + round);
        fs::set_permissions(trees.source("0"), mode).expect("a mode");
        fs::write(trees.folder("spare/0/stray"), "stray").expect("a file");
        let spare = inode(&trees.folder("spare"));
        trees.once(&job).expect(0);
        assert_eq!(inode(&trees.live("")), spare);
        assert_eq!(exact(&trees.live("")), exact(&trees.source("")), "{round}");
    }
}

#[test]
fn what_has_changed_alone_is_fetched_and_the_rest_stays_the_same_file() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/a/same=1",
        "source/a/new=1",
        "source/gone=1",
        "source/x.log=1",
    ]);
    trees.once(&far.pulls()).expect(0);
    let before = inode(&trees.live("a/same"));
    fs::remove_file(trees.source("gone")).expect("a file");
    trees.write(&["source/a/new=other", "source/a/more=2", "live/x.log=mine"]);
    trees.once(&far.pulls()).expect(0);
    assert_eq!(
        trees.in_live(),
        [
            "a/",
            "a/more=2",
            "a/new=other",
            "a/same=1",
            "gone=1",
            "x.log=1"
        ]
    );
    assert_eq!(inode(&trees.live("a/same")), before);
    let exact = far
        .pulls()
        .task("mode = \"replace\"\nexclude = [\"*.log\"]\nverify = \"checksum\"");
    fs::remove_file(trees.source("x.log")).expect("a file");
    trees.once(&exact).expect(0);
    assert_eq!(
        trees.in_live(),
        ["a/", "a/more=2", "a/new=other", "a/same=1", "x.log=1"]
    );
    assert_eq!(trees.beside(), ["previous"]);
    trees
        .bed
        .with_file("rollback", &trees.bed.job("app", &exact))
        .expect(0);
    assert!(trees.live("gone").exists());
}

#[test]
fn any_name_arrives_whatever_a_shell_would_make_of_it() {
    let far = Far::new();
    let trees = &far.trees;
    let root = trees.source("it's $(touch x) `id` \n \"q\" *?[a]\\");
    fs::create_dir(&root).expect("a directory");
    let long = [b'x'; 255];
    for name in [
        &b"line\nfeed"[..],
        b"\xff\xfe",
        b"it's",
        b"$(id)",
        b"-rf",
        b"*",
        b"a b",
        b"\\#012",
        b"\\",
        b"~",
        b"#x",
        b";x",
        b" ",
        b"\t",
        b"a:b",
        b"host:x",
        &long,
    ] {
        fs::create_dir(named(&root, &[b"d", &name[..name.len().min(200)]].concat()))
            .expect("a directory");
        fs::write(
            named(
                &root,
                &[b"d", &name[..name.len().min(200)], b"/", name].concat(),
            ),
            name,
        )
        .expect("a file");
        fs::write(named(&root, name), name).expect("a file");
    }
    let job = far
        .pulls_from(&far.sshd.side(&root))
        .task("verify = \"checksum\"");
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), lines(&root));
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    for name in [&b"line\nfeed"[..], b"\\#012"] {
        fs::write(named(&root, name), b"another").expect("a file");
    }
    trees.once(&job).expect(0);
    assert_eq!(trees.in_live(), lines(&root));
    assert!(root.as_os_str().as_bytes().contains(&b'\n'));
}

#[test]
fn a_sparse_file_stays_sparse_and_attributes_arrive() {
    let far = Far::new();
    let trees = &far.trees;
    let file = fs::File::create(trees.source("sparse")).expect("a file");
    file.set_len(1 << 30).expect("a size");
    trees.once(&far.pulls()).expect(0);
    let found = trees.live("sparse").metadata().expect("it is there");
    assert_eq!(found.len(), 1 << 30);
    assert!(found.blocks() * 512 < 1 << 20, "{}", found.blocks());
}

#[test]
fn a_task_s_choices_hold_for_a_tree_elsewhere() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/css/a=1",
        "source/large=0123456789",
        "source/old=1",
        "source/new=1",
    ]);
    let old = fs::File::options()
        .write(true)
        .open(trees.source("old"))
        .expect("a file");
    let long_ago = SystemTime::now() - Duration::from_secs(90_000);
    old.set_modified(long_ago).expect("a time");
    let options =
        "preset = \"drupal\"\nmax_size = \"9B\"\nnewer_than = \"1day\"\nverify = \"checksum\"";
    trees.once(&far.pulls().task(options)).expect(0);
    assert_eq!(trees.in_live(), ["new=1"]);
    trees
        .once(&far.pulls().task("marker = \"mounted\""))
        .expect(1)
        .says(&["has no file `mounted`"]);
    trees
        .once(&far.pulls().task("marker = \"css/a\""))
        .expect(0);
}

#[test]
fn every_file_has_to_be_passed_where_masks_are_required() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/public/a=1", "source/private/b=1"]);
    let job = far.pulls().to_string().replace(
        "parent = \"production\"",
        "parent = \"production\"\nrequire_masks = true",
    );
    let refused = trees.bed.once(&trees.bed.file("app.toml", &job)).expect(3);
    refused.says(&["private/b"]);
    let pass = "[[task.pass]]\npath = [\"/public/\", \"/private/\"]\nreason = \"none\"\n[environments.production]";
    let job = job.replace("[environments.production]", pass);
    trees.bed.once(&trees.bed.file("app.toml", &job)).expect(0);
    assert!(trees.live("private/b").exists());
}

#[test]
fn an_empty_source_and_too_many_deletions_are_refused() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["live/a=1", "live/b=1", "live/c=1"]);
    let job = far.pulls().task("mode = \"replace\"");
    trees
        .once(&job)
        .expect(3)
        .says(&["has no file that is copied"]);
    trees.write(&["source/a=1"]);
    let file = trees.bed.job("app", &job);
    for outcome in [trees.bed.with_file("plan", &file), trees.bed.once(&file)] {
        outcome
            .expect(3)
            .says(&["2 of live's 3 files would be deleted"]);
    }
    assert_eq!(trees.in_live(), ["a=1", "b=1", "c=1"]);
}

#[test]
fn a_tree_that_is_the_target_under_another_name_is_refused() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a/x=1"]);
    let side = |path: &str| far.sshd.side(&trees.source(path));
    for (from, to) in [("a", ""), ("", "a"), ("", "new"), ("", "")] {
        let job = Job::new("files", &side(from), &super::here(&trees.source(to)));
        trees.once(&job).expect(3);
    }
}

#[test]
fn a_link_of_live_in_the_way_of_a_directory_is_refused() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/d/file=new", "outside/file=theirs"]);
    fs::create_dir(trees.live("")).expect("a directory");
    symlink(trees.bed.path("outside"), trees.live("d")).expect("a link");
    let refused = trees.once(&far.pulls()).expect(1);
    refused.says(&["d: live has a link where the source has a directory"]);
    assert_eq!(lines(&trees.bed.path("outside")), ["file=theirs"]);
}

#[test]
fn a_root_that_is_a_link_is_the_directory_that_it_leads_to() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=1"]);
    symlink(trees.source(""), trees.bed.path("link")).expect("a link");
    trees
        .once(&far.pulls_from(&far.sshd.side(&trees.bed.path("link"))))
        .expect(0);
    assert_eq!(trees.in_live(), ["a=1"]);
}

#[test]
fn validate_connects_to_nobody() {
    let far = Far::new();
    let trees = &far.trees;
    let side = far
        .sshd
        .side_with("ssh://nobody@nowhere.invalid/srv", "key", "known_hosts");
    let file = trees.bed.job("app", &far.pulls_from(&side));
    trees.bed.with_file("validate", &file).expect(0);
    for (url, says) in [
        ("ssh://-oProxyCommand=x/srv", "names no host"),
        ("ssh://h/~/files", "`~` is not looked up"),
        ("ssh://me:hunter2@h/srv", "ssh takes none"),
        ("ssh://h", "names no directory"),
    ] {
        let side = far.sshd.side_with(url, "key", "known_hosts");
        let file = trees.bed.job("app", &far.pulls_from(&side));
        let refused = trees
            .bed
            .with_file("validate", &file)
            .expect(2)
            .says(&[says]);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    }
}

#[test]
fn live_is_whole_whenever_a_run_is_killed_and_the_next_one_ends_its_work() {
    let far = Far::new();
    let trees = &far.trees;
    let fill = |tree: &str, content: &str| {
        for n in 0..200 {
            trees.write(&[&format!("{tree}/{}/{n}={content}", n % 7)]);
        }
    };
    fill("live", "old");
    fill("source", "new");
    let file = trees
        .bed
        .job("app", &far.pulls().task("mode = \"replace\""));
    let begun = Instant::now();
    trees.bed.once(&file).expect(0);
    let all = begun.elapsed();
    let mut last = "new".to_owned();
    for (round, moment) in moments(kills(30), all + Duration::from_millis(100)).enumerate() {
        let new = format!("new{round}");
        fill("source", &new);
        let running = trees.bed.start(&file);
        std::thread::sleep(moment);
        running.kill();
        let found = trees.in_live();
        let has = |content: &str| {
            let ending = format!("={content}");
            found.iter().filter(|line| line.ends_with(&ending)).count()
        };
        assert!(
            has(&last) == 200 || has(&new) == 200,
            "{moment:?}: {found:?}"
        );
        if has(&new) == 200 {
            last = new;
        }
    }
    trees.bed.once(&file).expect(0);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
}
