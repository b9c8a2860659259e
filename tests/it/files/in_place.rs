//! Trees whose files are put in place one by one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use super::trees::{Disk, Trees, inode, lines};

/// What live has, without our own folder.
fn live(trees: &Trees) -> Vec<String> {
    let mut found = trees.in_live();
    found.retain(|line| !line.starts_with(".envsyncd"));
    found
}

#[test]
fn a_mount_point_gets_its_files_one_by_one() {
    let trees = Trees::new();
    let _disk = Disk::new(&trees.live(""), "size=8m");
    trees.write(&[
        "source/same=same",
        "source/changed=new",
        "source/deep/er/file=new",
        "source/was-a-file/inside=new",
        "source/css/left=out",
        "live/same=same",
        "live/changed=old",
        "live/was-a-file=old",
        "live/gone=old",
        "live/gone-with-all/inside=old",
        "live/css/own=own",
    ]);
    fs::create_dir(trees.source("empty")).expect("a directory");
    let mode = fs::Permissions::from_mode(0o751);
    fs::set_permissions(trees.source("deep"), mode).expect("a mode");
    std::os::unix::fs::symlink("changed", trees.source("link")).expect("a link");
    let then = fs::metadata(trees.live("same")).expect("it").modified();
    let file = fs::File::options().write(true).open(trees.source("same"));
    let file = file.expect("it");
    file.set_modified(then.expect("a time")).expect("a time");
    let (root, same) = (inode(&trees.live("")), inode(&trees.live("same")));
    let job = trees.with(
        "mode = \"replace\"\npublish = \"in_place\"\nexclude = [\"/css/\"]\nmax_delete = \"90%\"",
    );
    trees.once(&job).expect(0);
    let expected = [
        "changed=new",
        "css/",
        "css/own=own",
        "deep/",
        "deep/er/",
        "deep/er/file=new",
        "empty/",
        "link->changed",
        "same=same",
        "was-a-file/",
        "was-a-file/inside=new",
    ];
    assert_eq!(live(&trees), expected);
    // Whoever is in the tree stays in it, and what has not changed is the same file.
    assert_eq!(
        (inode(&trees.live("")), inode(&trees.live("same"))),
        (root, same)
    );
    let deep = fs::metadata(trees.live("deep")).expect("it");
    let of_source = fs::metadata(trees.source("deep")).expect("it");
    assert_eq!(deep.mode(), of_source.mode());
    assert_eq!(
        deep.modified().expect("a time"),
        of_source.modified().expect("a time")
    );
    let own = trees.in_live();
    let own: Vec<_> = own
        .iter()
        .filter(|line| line.starts_with(".envsyncd/"))
        .collect();
    assert_eq!(own.len(), 3, "itself, lock and mark: {own:?}");
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    let file = trees.bed.job("app", &job);
    let text = file.to_str().expect("text");
    (trees.bed.run(&["rollback", "-f", text]))
        .expect(2)
        .says(&["nothing to go back to"]);
    assert_eq!(live(&trees), expected);
}

#[test]
fn an_overlay_in_place_deletes_nothing_and_sees_each_content() {
    let trees = Trees::new();
    trees.write(&[
        "source/a=new",
        "source/b/c=new",
        "live/a=old",
        "live/b/own=own",
    ]);
    let job = trees.with("publish = \"in_place\"\ncompare = \"checksum\"\nverify = \"checksum\"");
    trees.once(&job).expect(0);
    let expected = ["a=new", "b/", "b/c=new", "b/own=own"];
    assert_eq!(live(&trees), expected);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    // A tree that is somebody's target is another one's source.
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let onwards = crate::support::job::Job::between("files", &url("live"), &url("further"));
    trees.once(&onwards).expect(0);
    assert_eq!(lines(&trees.bed.path("further")), expected);
}

#[test]
fn what_cannot_be_put_in_place_is_refused_with_words() {
    let trees = Trees::new();
    trees.write(&["source/a=new"]);
    let job = trees.with("publish = \"in_place\"");
    trees
        .once(&job)
        .expect(1)
        .says(&["does not exist", "make the directory"]);
    trees.write(&["live/a/inside=old"]);
    trees
        .once(&job)
        .expect(1)
        .says(&["live has a directory where the source has a file"]);
    assert_eq!(live(&trees), ["a/", "a/inside=old"]);
}

/// What keeps what is replaced.
const KEEPS: &str = "publish = \"in_place\"\nprevious = \"keep\"\n";

/// Makes what the last run has replaced that of one that was cut short.
fn cut_short(trees: &Trees) -> PathBuf {
    let path = trees.live(".envsyncd/replaced-0123456789ab");
    fs::rename(trees.live(".envsyncd/previous"), &path).expect("it is kept");
    fs::write(path.join("state"), "to new").expect("a file");
    path
}

#[test]
fn a_directory_of_somebody_else_s_gets_files_and_keeps_what_it_has() {
    let trees = Trees::new();
    trees.write(&["source/uploads/file=new", "live/uploads/file=old"]);
    chown(trees.live(""), Some(65534), Some(65534)).expect("root");
    chown(trees.live("uploads"), Some(33), Some(65534)).expect("root");
    let mode = fs::Permissions::from_mode(0o2775);
    fs::set_permissions(trees.live("uploads"), mode).expect("a mode");
    let once = |options: &str| {
        let file = trees.bed.job("app", &trees.with(options));
        trees.as_nobody(&file).end()
    };
    let not_ours = "directories of live are somebody else's";
    once(KEEPS).expect(0).says(&[not_ours, "uploads"]);
    let new = ["uploads/", "uploads/file=new"];
    assert_eq!(live(&trees), new);
    // That there is something to be set that cannot be is no change.
    once(KEEPS).expect(0).says(&["nothing has changed"]);
    cut_short(&trees);
    once(&format!("{KEEPS}marker = \"missing\""))
        .expect(1)
        .says(&["missing", not_ours]);
    assert_eq!(live(&trees), ["uploads/", "uploads/file=old"]);
    once(KEEPS).expect(0);
    assert_eq!(live(&trees), new);
    let about = fs::metadata(trees.live("uploads")).expect("it");
    assert_eq!((about.uid(), about.mode() & 0o7777), (33, 0o2775));
}

#[test]
fn a_file_of_somebody_else_s_goes_back_where_nothing_is_kept() {
    let trees = Trees::new();
    trees.write(&["source/a=new", "live/a=old", "source2/x=new", "live2/x=old"]);
    // Whose file it is, is root: fs.protected_hardlinks lets nobody else give it a second name.
    chown(trees.live(""), Some(65534), Some(65534)).expect("root");
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let script = format!(
        "cd {} && mv live2 away && mkdir live2",
        trees.bed.path("").display()
    );
    let hooks =
        format!("maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]");
    let second = format!(
        "[[task]]\nname = \"second\"\nkind = \"files\"\nsource = \"{}\"\ntarget = \"{}\"",
        url("source2"),
        url("live2")
    );
    let job = trees
        .with("publish = \"in_place\"")
        .task(&second)
        .hooks(&hooks);
    let outcome = trees.as_nobody(&trees.bed.job("app", &job)).end();
    outcome.expect(1).says(&["another directory"]);
    assert_eq!(live(&trees), ["a=old"]);
}

#[test]
fn what_cannot_be_taken_back_as_it_was_not_kept_is_told() {
    let trees = Trees::new();
    trees.write(&["source/a=new", "source/b=new", "live/a=old", "live/b=old"]);
    trees.once(&trees.with(KEEPS)).expect(0);
    fs::remove_file(cut_short(&trees).join("old/a")).expect("it");
    let refused = trees.with(&format!("{KEEPS}marker = \"missing\""));
    trees.once(&refused).expect(1).says(&[
        "missing",
        "files could not be kept where they were replaced",
    ]);
    assert_eq!(live(&trees), ["a=new", "b=old"]);
}

#[test]
fn each_file_is_whole_whenever_a_run_in_place_is_killed() {
    let trees = Trees::new();
    let fill = |tree: &str, content: &str| {
        for number in 0..300 {
            trees.write(&[&format!("{tree}/{}/{number}={content}", number % 7)]);
        }
    };
    fill("live", "old");
    let job = trees.with("mode = \"replace\"\npublish = \"in_place\"");
    let file = trees.bed.job("app", &job);
    for (round, milliseconds) in (0..30).map(|step| 30 + step * 6).enumerate() {
        fill("source", &format!("new{round}"));
        let running = trees.bed.start(&file);
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill();
        let found = live(&trees);
        let is_file = |line: &&String| line.contains('=');
        assert_eq!(
            found.iter().filter(is_file).count(),
            300,
            "{milliseconds} ms"
        );
        let is_whole = |line: &&String| {
            let (_, content) = line.split_once('=').expect("a file");
            content == "old" || (0..=round).any(|round| content == format!("new{round}"))
        };
        assert!(
            found.iter().filter(is_file).all(|line| is_whole(&line)),
            "{found:?}"
        );
    }
    trees.once(&job).expect(0);
    assert_eq!(live(&trees), lines(&trees.source("")));
    let own = fs::read_dir(trees.live(".envsyncd")).expect("it").count();
    assert_eq!(own, 2, "lock and mark");
}
