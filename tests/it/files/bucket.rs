//! Trees in buckets of a real server: out of one, into one, and from one into another.

mod back;
mod between;
mod faults;
mod into;
mod out;
mod undone;

use std::fs;
use std::path::PathBuf;

use super::trees::Trees;
use crate::support::job::{Job, toml};
use crate::support::s3::{KEY, Remote, S3, SECRET, shared};

/// Directories, and a bucket of a server behind a network that can have trouble.
struct Place {
    trees: Trees,
    remote: Remote,
    server: &'static S3,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            trees: Trees::new(),
            remote: Remote::new(shared()),
            server: shared(),
        };
        place.trees.bed.file("secret", SECRET);
        place
    }

    /// The bucket's prefix as a job has it.
    fn bucket(&self) -> String {
        self.remote.endpoint("secret", "")
    }

    /// Another prefix of the same bucket.
    fn prefix(&self, prefix: &str) -> String {
        self.bucket().replace("/nightly", &format!("/{prefix}"))
    }

    fn directory(&self, name: &str) -> String {
        toml(&format!("dir://{}", self.trees.bed.path(name).display()))
    }

    /// Out of the bucket, into `live`.
    fn out(&self) -> Job {
        Job::new("files", &self.bucket(), &self.directory("live"))
    }

    /// From `source` into the bucket.
    fn inward(&self) -> Job {
        Job::new("files", &self.directory("source"), &self.bucket())
    }

    /// Writes objects as anybody would, `KEY=CONTENT`.
    fn put(&self, objects: &[&str]) {
        for object in objects {
            let (key, content) = object.split_once('=').expect("KEY=CONTENT");
            let path = format!("/{}/nightly/{key}", self.remote.bucket);
            self.server.ask(reqwest::Method::PUT, &path, content);
        }
    }

    fn delete(&self, key: &str) {
        let path = format!("/{}/nightly/{key}", self.remote.bucket);
        self.server.ask(reqwest::Method::DELETE, &path, "");
    }

    /// Where an object's content lies for the server.
    fn object(&self, key: &str) -> PathBuf {
        self.remote.folder.join(key)
    }

    /// All objects below the prefix as lines.
    fn objects(&self) -> Vec<String> {
        self.objects_in("nightly")
    }

    fn objects_in(&self, prefix: &str) -> Vec<String> {
        let root = self.remote.folder.with_file_name(prefix);
        let lines = super::trees::lines(&root).into_iter();
        lines.filter(|line| !line.ends_with('/')).collect()
    }

    /// What a server says of an object: its headers, in small letters.
    fn headers(&self, key: &str) -> String {
        let path = format!("/{}/nightly/{key}", self.remote.bucket);
        self.server.head(&path)
    }

    /// Requests that were made of objects' contents.
    fn gets(&self) -> usize {
        // In a list's query the prefix is encoded.
        let begins = format!("GET /{}/", self.remote.bucket);
        self.remote.network.asked(&begins, "nightly/")
    }

    fn puts(&self) -> usize {
        self.remote.network.asked("PUT", "")
    }
}

/// As who may do everything, but of a key of their own.
fn someone(place: &Place, id: &str, objects: &[&str], itself: &[&str]) -> String {
    let id = format!("{id}-{}", place.remote.bucket);
    let secret = place.server.key(&id, &place.remote.bucket, objects, itself);
    place.trees.bed.file(&id, &secret);
    place.remote.endpoint_of(&id, &id, "")
}

#[test]
fn an_archive_is_no_tree_and_a_tree_is_no_archive() {
    let place = Place::new();
    place.put(&["a=1"]);
    let named = |kind: &str| {
        let endpoint = toml(&place.remote.network.endpoint());
        place.out().top(&format!(
            "[endpoints.assets]\n{kind}url = \"s3://{}/nightly\"\nendpoint = {endpoint}\naccess_key_id = {}\nsecret_access_key = {{ file = \"secret\" }}\n",
            place.remote.bucket,
            toml(KEY)
        ))
    };
    let by_name = |kind: &str| {
        let text = fs::read_to_string(place.trees.bed.job("named", &named(kind))).expect("a job");
        let source = place.bucket();
        let file = place.trees.bed.path("jobs/named.toml");
        fs::write(&file, text.replace(&source, "\"assets\"")).expect("a file");
        place.trees.bed.once(&file)
    };
    // Without a kind it is an archive, and has no snapshot.
    by_name("").expect(1).says(&["snapshot"]);
    by_name("kind = \"files\"\nenvironment = \"production\"\n").expect(0);
    assert_eq!(place.trees.in_live(), ["a=1"]);
    by_name("kind = \"files\"\nenvironment = \"staging\"\n")
        .expect(2)
        .says(&["is of `staging`"]);
    by_name("kind = \"sqlite\"\nenvironment = \"production\"\n")
        .expect(2)
        .says(&["not one of kind sqlite"]);
    let with = |more: &str| {
        let source = place.remote.endpoint("secret", more);
        let job = Job::new("files", &source, &place.directory("live"));
        place.trees.once(&job)
    };
    with(", snapshot = \"x\"")
        .expect(2)
        .says(&["`snapshot` is for an archive"]);
    with(", checksum = \"sha256\"")
        .expect(2)
        .says(&["leave `checksum` out"]);
}
