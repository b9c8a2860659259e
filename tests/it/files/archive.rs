//! Trees that are pushed into archives and pulled out of them.

mod hostile;
mod pulling;
mod sharing;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::attributes::{ACL, DEFAULT_ACL, acl, attribute, set_attribute};
use super::trees::{Trees, inode, lines, named};
use crate::support::job::{Job, Outcome, toml, whole_snapshots};
use crate::support::postgres::Must as _;
use crate::support::s3::{Remote, SECRET, shared};

/// Trees with an archive between them.
struct Shelf {
    trees: Trees,
}

impl Shelf {
    fn new() -> Self {
        let trees = Trees::new();
        Self { trees }
    }

    fn archive(&self) -> PathBuf {
        self.trees.bed.path("archive")
    }

    fn endpoint(&self, keys: &str) -> String {
        let url = format!("file://{}", self.archive().display());
        format!("{{ url = {}{keys} }}", toml(&url))
    }

    fn tree(&self, name: &str) -> String {
        toml(&format!("dir://{}", self.trees.bed.path(name).display()))
    }

    fn push(&self, keys: &str, lines: &str) -> Outcome {
        let job = Job::new("files", &self.tree("source"), &self.endpoint(keys)).task(lines);
        let file = self.trees.bed.job("push", &job);
        self.trees.bed.once(&file)
    }

    fn pull_job(&self, keys: &str, lines: &str) -> PathBuf {
        let job = Job::new("files", &self.endpoint(keys), &self.tree("live")).task(lines);
        self.trees.bed.job("pull", &job)
    }

    fn pull(&self, keys: &str, lines: &str) -> Outcome {
        self.trees.bed.once(&self.pull_job(keys, lines))
    }

    /// The folders of its snapshots, the oldest first.
    fn snapshots(&self) -> Vec<PathBuf> {
        whole_snapshots(&self.archive())
    }

    /// A file of the newest snapshot, by what its name begins with behind the number.
    fn stored(&self, name: &str) -> PathBuf {
        let manifest = self.snapshots().pop().expect("one").join("manifest.json");
        let text = fs::read(manifest).expect("a manifest");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let parts = value["parts"].as_array().expect("parts").iter();
        let mut paths = parts.map(|part| part["files"][0]["path"].as_str().expect("a path"));
        let path = paths.find(|path| path.contains(name)).expect("a file");
        self.archive().join(path)
    }
}

/// What is known of each name in a tree, but for when its directories were changed.
fn facts(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            let known = path.symlink_metadata().expect("it is there");
            let content = if known.is_symlink() {
                format!("-> {}", fs::read_link(&path).expect("a link").display())
            } else if known.is_dir() {
                open.push(path.clone());
                String::new()
            } else if known.is_file() {
                blake3::hash(&fs::read(&path).expect("a file")).to_string()
            } else {
                "special".to_owned()
            };
            let told = format!(
                "{:o} {}:{} {}.{} {content}",
                known.mode(),
                known.uid(),
                known.gid(),
                known.mtime(),
                known.mtime_nsec(),
            );
            found.insert(path.strip_prefix(root).expect("in it").to_owned(), told);
        }
    }
    found
}

/// A tree of all that is hard to pack.
fn odd(trees: &Trees) {
    trees.write(&[
        "source/a/file=x",
        "source/a/set=setuid",
        "source/b c/new\nline=1",
        "source/b c/-rf=2",
        "source/empty=",
        "source/a.b/z=after a",
    ]);
    fs::create_dir_all(trees.source("void/void")).expect("directories");
    for (name, link) in [
        ("a/link", "../nowhere"),
        ("z", "a"),
        ("long", &*"l".repeat(3000)),
    ] {
        symlink(link, trees.source(name)).expect("a link");
    }
    let long = "n".repeat(255);
    let mut deep = trees.source("deep");
    while deep.as_os_str().len() < 3500 {
        deep.push(&long);
    }
    fs::create_dir_all(&deep).expect("directories");
    fs::write(deep.join("end"), "deep").expect("a file");
    fs::write(named(&trees.source(""), b"\xff\xfe not text"), "bytes").expect("a file");
    let set = |path: &str, mode: u32| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(trees.source(path), permissions).expect("permissions");
    };
    let owned = trees.source("a/set");
    std::os::unix::fs::chown(&owned, Some(1234), Some(3_000_000)).expect("root");
    set("a/set", 0o6711);
    set("void/void", 0o1777);
    let sparse = fs::File::create(trees.source("sparse")).expect("a file");
    sparse.set_len(64 << 20).expect("a length");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 30 << 20).expect("bytes");
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for path in ["a/file", "void/void", "a"] {
        let opened = fs::File::open(trees.source(path)).expect("a file");
        opened.set_modified(then).expect("a time");
    }
    fs::hard_link(trees.source("a/file"), trees.source("a/second name")).expect("a link");
    let old = SystemTime::UNIX_EPOCH - Duration::new(5, 250_000_000);
    let opened = fs::File::options().write(true).open(trees.source("empty"));
    opened.expect("a file").set_modified(old).expect("a time");
    set("a", 0o555);
}

#[test]
fn a_tree_arrives_through_an_archive_as_it_was() {
    let shelf = Shelf::new();
    odd(&shelf.trees);
    with_attributes(&shelf.trees);
    let file = facts(&shelf.trees.source(""));
    shelf.push("", "verify = \"checksum\"").expect(0);
    shelf.pull("", "verify = \"checksum\"").expect(0);
    assert_eq!(facts(&shelf.trees.live("")), file);
    let sparse = shelf.trees.live("sparse").metadata().expect("a file");
    assert!(
        sparse.blocks() * 512 < 1 << 20,
        "{} blocks",
        sparse.blocks()
    );
    has_attributes(&shelf.trees.live(""));
    assert_ne!(
        inode(&shelf.trees.live("a/file")),
        inode(&shelf.trees.live("a/second name"))
    );
}

/// Gives them to some of them.
fn with_attributes(trees: &Trees) {
    for path in ["a/file", "void"] {
        set_attribute(&trees.source(path), "user.note", b"ke\npt\0");
        set_attribute(&trees.source(path), "trusted.note", b"root's");
        set_attribute(&trees.source(path), ACL, &acl());
    }
    set_attribute(&trees.source("void"), DEFAULT_ACL, &acl());
}

/// Whether a copy has them.
#[track_caller]
fn has_attributes(root: &Path) {
    for path in ["a/file", "void"].map(|path| root.join(path)) {
        assert_eq!(attribute(&path, "user.note"), b"ke\npt\0");
        assert_eq!(attribute(&path, "trusted.note"), b"root's");
        assert_eq!(attribute(&path, ACL), acl());
    }
    assert_eq!(attribute(&root.join("void"), DEFAULT_ACL), acl());
}

/// The commands of docs/archives.md.
fn by_hand() -> String {
    let page = include_str!("../../../docs/archives.md");
    let section = page.split("\n### ").find(|one| one.starts_with("Files"));
    let code = section.expect("a section").split("```sh\n").nth(1);
    let code = code
        .expect("commands")
        .split("```")
        .next()
        .expect("its end");
    code.to_owned()
}

#[test]
fn a_snapshot_of_a_tree_is_restored_with_zstd_and_tar_alone() {
    let shelf = Shelf::new();
    odd(&shelf.trees);
    with_attributes(&shelf.trees);
    shelf.push("", "").expect(0);
    let restored = shelf.trees.bed.path("by-hand");
    let script = by_hand().replace("restored", &restored.display().to_string());
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(shelf.snapshots().pop().expect("one"))
        .must("bash");
    assert_eq!(facts(&restored), facts(&shelf.trees.source("")));
    has_attributes(&restored);
}

#[test]
fn an_encrypted_snapshot_is_pulled_with_its_identity_and_with_no_other() {
    let shelf = Shelf::new();
    shelf.trees.write(&["source/a=1", "live/own=mine"]);
    let identity = age::x25519::Identity::generate();
    let other = age::x25519::Identity::generate();
    for (name, one) in [("right", &identity), ("wrong", &other)] {
        use age::secrecy::ExposeSecret as _;
        shelf.trees.bed.file(name, one.to_string().expose_secret());
    }
    shelf.trees.bed.file("key", &"k".repeat(64));
    shelf.trees.bed.file("other-key", &"o".repeat(64));
    let recipients = format!(
        ", recipients = [{}]",
        toml(&identity.to_public().to_string())
    );
    let key = |name: &str| format!(", key = {{ file = {} }}", toml(name));
    shelf
        .push(&format!("{}{recipients}", key("key")), "")
        .expect(0);
    let pull = |sealed: &str, who: &str| {
        let keys = format!("{}, identity = {{ file = {} }}", key(sealed), toml(who));
        shelf.pull(&keys, "")
    };
    pull("key", "wrong").expect(1);
    pull("other-key", "right").expect(1);
    assert_eq!(shelf.trees.in_live(), ["own=mine"]);
    assert_eq!(shelf.trees.beside(), Vec::<String>::new());
    pull("key", "right").expect(0);
    assert_eq!(shelf.trees.in_live(), ["a=1", "own=mine"]);
}

#[test]
fn a_tree_goes_through_a_bucket() {
    let (shelf, remote) = (Shelf::new(), Remote::new(shared()));
    shelf.trees.bed.file("secret", SECRET);
    shelf
        .trees
        .write(&["source/a/b=1", "source/c=2", "live/c=old"]);
    fs::write(shelf.trees.source("large"), vec![7; 3 << 20]).expect("a file");
    // An endpoint without a kind is an archive; the URL alone would be a tree.
    let named = format!("endpoints.shelf = {}", remote.endpoint("secret", ""));
    let push = Job::new("files", &shelf.tree("source"), "\"shelf\"").top(&named);
    let pull = Job::new("files", "\"shelf\"", &shelf.tree("live"))
        .top(&named)
        .task("mode = \"replace\"\nmax_delete = 0");
    let file = shelf.trees.bed.job("pull", &pull);
    let pushing = shelf.trees.bed.job("push", &push);
    for file in [&pushing, &file] {
        shelf.trees.bed.once(file).expect(0);
    }
    assert_eq!(facts(&shelf.trees.live("")), facts(&shelf.trees.source("")));
    shelf.trees.bed.with_file("plan", &file).expect(0);
    let verified = ["snapshots", "verify", "-f", pushing.to_str().expect("text")];
    shelf.trees.bed.run(&verified).expect(0).says(&["good"]);
}

#[test]
fn a_push_leaves_out_what_its_task_leaves_out_and_says_what_no_archive_has() {
    let shelf = Shelf::new();
    shelf
        .trees
        .write(&["source/css/x=1", "source/big=12345678", "source/small=1"]);
    Command::new("mkfifo")
        .arg(shelf.trees.source("pipe"))
        .must("mkfifo");
    shelf
        .push(
            "",
            "preset = \"drupal\"\nmax_size = \"4B\"\nthrottle = \"50MB/s\"",
        )
        .expect(0)
        .says(&["sockets, pipes and devices", "pipe"]);
    shelf.pull("", "").expect(0);
    assert_eq!(shelf.trees.in_live(), ["small=1"]);
    for key in [
        "compare = \"time\"",
        "link = \"copy\"",
        "max_delete = 1",
        "mode = \"overlay\"",
    ] {
        let word = key.split(' ').next().expect("a key");
        shelf.push("", key).expect(2).says(&[word]);
    }
    shelf
        .push("", "marker = \"not-there\"")
        .expect(1)
        .says(&["not-there"]);
    shelf.pull("", "marker = \"x\"").expect(2).says(&["marker"]);
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_while_it_is_packed_leads_nobody_out_of_the_tree() {
    let shelf = Shelf::new();
    let (exchanging, _) = super::meanwhile::exchanging(&shelf.trees);
    for _ in 0..8 {
        let pushed = shelf.push("", "");
        assert!(pushed.code.is_some(), "{pushed:?}");
    }
    drop(exchanging);
    for snapshot in shelf.snapshots() {
        let at = shelf.trees.bed.path("by-hand");
        let _ = fs::remove_dir_all(&at);
        let script = by_hand().replace("restored", &at.display().to_string());
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(snapshot)
            .must("bash");
        let found = lines(&at);
        assert!(
            !found.iter().any(|line| line.ends_with("=secret")),
            "{found:?}"
        );
    }
}

#[test]
fn a_file_that_grows_while_it_is_packed_has_the_length_that_it_began_with() {
    let shelf = Shelf::new();
    let path = shelf.trees.source("log");
    fs::write(&path, vec![b'x'; 40 << 20]).expect("a file");
    let growing = path.clone();
    let (sender, ended) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut file = fs::File::options()
            .append(true)
            .open(growing)
            .expect("a file");
        while ended.try_recv().is_err() {
            std::io::Write::write_all(&mut file, b"more\n").expect("bytes");
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    // It takes two seconds, in which the writer has a turn.
    let pushed = shelf.push("", "verify = \"checksum\"\nthrottle = \"20MB/s\"");
    sender.send(()).expect("a thread");
    writer.join().expect("a thread");
    pushed
        .expect(0)
        .says(&["written while they were read", "log"]);
    shelf.pull("", "verify = \"checksum\"").expect(0);
    let live = fs::read(shelf.trees.live("log")).expect("a file");
    assert!(fs::read(&path).expect("a file").starts_with(&live));
    assert!(live.len() >= 40 << 20);
    assert_eq!(lines(&shelf.trees.live("")).len(), 1);
}
