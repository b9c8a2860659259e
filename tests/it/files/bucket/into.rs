//! From a directory into a bucket.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::{Place, someone};
use crate::files::trees::{lines, named};
use crate::support::job::Job;
use crate::support::network::Fault;

/// Makes a file of the source so old that its time says that it has not changed.
fn age(place: &Place, path: &str) {
    let file = fs::File::options()
        .write(true)
        .open(place.trees.source(path))
        .expect("a file");
    file.set_modified(SystemTime::now() - Duration::from_secs(7200))
        .expect("a time");
}

#[test]
fn files_become_objects_and_what_has_not_changed_is_not_written_again() {
    let place = Place::new();
    place.trees.write(&[
        "source/a/b/c=1",
        "source/a/d=22",
        "source/e=",
        "source/odd + ä\n%=x",
    ]);
    let job = place.inward().task("verify = \"checksum\"");
    place.trees.once(&job).expect(0);
    let all = ["a/b/c=1", "a/d=22", "e=", "odd + ä\n%=x"];
    assert_eq!(place.objects(), all);
    let puts = place.puts();
    place
        .trees
        .once(&job)
        .expect(0)
        .says(&["nothing has changed"]);
    assert_eq!(place.puts(), puts);
    assert_eq!(place.remote.network.asked("HEAD", ""), 0);
    // Another content of the same length and the same time: its status was changed.
    age(&place, "a/d");
    place
        .trees
        .once(&job)
        .expect(0)
        .says(&["nothing has changed"]);
    let then = fs::metadata(place.trees.source("a/d"))
        .expect("it")
        .modified()
        .expect("a time");
    fs::write(place.trees.source("a/d"), "33").expect("a file");
    let file = fs::File::options()
        .write(true)
        .open(place.trees.source("a/d"))
        .expect("a file");
    file.set_modified(then).expect("a time");
    place.trees.once(&job).expect(0);
    assert_eq!(place.puts(), puts + 1);
    assert_eq!(place.objects()[1], "a/d=33");
}

#[test]
fn what_a_file_has_is_kept_with_its_object_and_comes_back() {
    let place = Place::new();
    place.trees.write(&["source/tool=#!", "source/plain=x"]);
    let tool = place.trees.source("tool");
    std::os::unix::fs::chown(&tool, Some(33), Some(34)).expect("root");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o2750)).expect("it");
    symlink("../else where", place.trees.source("link")).expect("a link");
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    fs::File::open(&tool)
        .expect("it")
        .set_modified(then)
        .expect("a time");
    let into = || place.inward().task("verify = \"checksum\"");
    place.trees.once(&into()).expect(0);
    let headers = place.headers("tool");
    for header in [
        "x-amz-meta-envsyncd-mode: 2750",
        "x-amz-meta-envsyncd-owner: 33:34",
        "x-amz-meta-envsyncd-mtime: 1000000000.000000005",
    ] {
        assert!(headers.contains(header), "{header} in {headers}");
    }
    assert_eq!(
        place.objects(),
        ["link=../else where", "plain=x", "tool=#!"]
    );
    place
        .trees
        .once(&into())
        .expect(0)
        .says(&["nothing has changed"]);
    let out = || place.out().task("verify = \"checksum\"");
    place.trees.once(&out()).expect(0);
    assert_eq!(place.trees.in_live(), lines(&place.trees.source("")));
    let found = place.trees.live("tool").metadata().expect("a file");
    assert_eq!(
        (found.mode() & 0o7777, found.uid(), found.gid()),
        (0o2750, 33, 34)
    );
    place
        .trees
        .once(&out())
        .expect(0)
        .says(&["nothing has changed"]);
}

#[test]
fn with_replace_what_the_source_has_not_goes_last_and_no_more_than_is_allowed() {
    let place = Place::new();
    place.put(&[
        "own/x=theirs",
        "both=old",
        "skip/y=kept",
        "gone/=",
        "a=1",
        "b=2",
    ]);
    place.trees.write(&["source/both=new!", "source/skip/z=no"]);
    let job = |lines: &str| {
        place
            .inward()
            .task(&format!("exclude = [\"skip\"]\n{lines}"))
    };
    place.trees.once(&job("")).expect(0);
    let all = ["a=1", "b=2", "both=new!", "own/x=theirs", "skip/y=kept"];
    assert_eq!(place.objects(), all);
    let replace = |lines: &str| job(&format!("mode = \"replace\"\n{lines}"));
    place
        .trees
        .once(&replace(""))
        .expect(3)
        .says(&["max_delete"]);
    assert_eq!(place.objects(), all);
    // What fails before the end deletes nothing.
    place.trees.write(&["source/new=1"]);
    place
        .remote
        .network
        .fault("PUT", "nightly/new", 1, Fault::Answer(403, "AccessDenied"));
    place
        .trees
        .once(&replace("max_delete = \"100%\""))
        .expect(1)
        .says(&["no permission to write new"]);
    assert_eq!(place.objects(), all);
    place
        .trees
        .once(&replace("max_delete = \"100%\""))
        .expect(0);
    assert_eq!(place.objects(), ["both=new!", "new=1", "skip/y=kept"]);
    assert!(!place.object("gone").exists());
    place
        .trees
        .once(&replace(""))
        .expect(0)
        .says(&["nothing has changed"]);
    fs::remove_dir_all(place.trees.source("")).expect("it");
    fs::create_dir(place.trees.source("")).expect("it");
    place
        .trees
        .once(&replace(""))
        .expect(3)
        .says(&["no file that is copied"]);
}

#[test]
fn a_large_file_goes_in_parts_and_what_the_server_computed_of_them_is_held_against_it() {
    let place = Place::new();
    let content: Vec<u8> = (0..20_000_000_u32).map(|n| (n / 7) as u8).collect();
    fs::write(place.trees.source("large"), &content).expect("a file");
    let job = place
        .inward()
        .task("verify = \"checksum\"\ncompare = \"checksum\"");
    place.trees.once(&job).expect(0);
    assert!(fs::read(place.object("large")).expect("an object") == content);
    let network = &place.remote.network;
    assert_eq!(network.asked("PUT", "partNumber=3"), 1);
    assert_eq!(
        network.asked("GET", "nightly/large"),
        0,
        "its tag says enough"
    );
    place
        .trees
        .once(&job)
        .expect(0)
        .says(&["nothing has changed"]);
    let trees = &place.trees;
    trees
        .once(&place.out().task("verify = \"checksum\""))
        .expect(0);
    assert!(fs::read(trees.live("large")).expect("a file") == content);
}

#[test]
fn names_that_no_object_can_have_are_refused_and_so_are_keys_in_each_other() {
    let place = Place::new();
    fs::write(named(&place.trees.source(""), b"a\xff"), "x").expect("a file");
    place
        .trees
        .once(&place.inward())
        .expect(1)
        .says(&["names that no object can have", "not UTF-8"]);
    fs::remove_file(named(&place.trees.source(""), b"a\xff")).expect("it");
    let deep = format!("source/{0}/{0}/{0}/{0}/{0}=x", "d".repeat(240));
    place.trees.write(&[&deep]);
    place
        .trees
        .once(&place.inward())
        .expect(1)
        .says(&["it is too long"]);
    place
        .trees
        .once(&place.inward().task("exclude = [\"/d*\"]"))
        .expect(0);
    fs::remove_dir_all(place.trees.source("d".repeat(240).as_str())).expect("it");
    place.put(&["x=file"]);
    place.trees.write(&["source/x/y=1"]);
    place
        .trees
        .once(&place.inward())
        .expect(1)
        .says(&["x: live has an object where the source has a directory"]);
    assert_eq!(place.objects(), ["x=file"]);
}

#[test]
fn what_a_bucket_cannot_do_is_refused_with_its_line() {
    let place = Place::new();
    place.trees.write(&["source/a=1"]);
    for (line, says) in [
        ("publish = \"swap\"", "a bucket has no swap"),
        ("link = \"copy\"", "a bucket has no links"),
    ] {
        place
            .trees
            .once(&place.inward().task(line))
            .expect(2)
            .says(&[says]);
    }
}

#[test]
fn a_key_that_may_not_write_or_delete_is_told() {
    let place = Place::new();
    place.trees.write(&["source/a=1"]);
    let job = |target: &str| Job::new("files", &place.directory("source"), target);
    let all = &["s3:ListBucket", "s3:ListBucketMultipartUploads"];
    let reader = someone(&place, "reader", &["s3:GetObject"], all);
    place
        .trees
        .once(&job(&reader))
        .expect(1)
        .says(&["no permission to write a"]);
    let writer = someone(&place, "writer", &["s3:PutObject"], all);
    place.trees.once(&job(&writer)).expect(0);
    place.put(&["b=2"]);
    let replace = job(&writer).task("mode = \"replace\"");
    place
        .trees
        .once(&replace)
        .expect(1)
        .says(&["delete", "s3:DeleteObject"]);
    assert_eq!(place.objects(), ["a=1", "b=2"]);
}

#[test]
fn two_runs_into_one_bucket_of_one_machine_are_one() {
    let place = Place::new();
    place.trees.write(&["source/a=1"]);
    let gate = place.trees.bed.gate("on");
    let slow = place.inward().hooks(&gate.maintenance());
    let mut running = place.trees.bed.start(&place.trees.bed.job("slow", &slow));
    gate.wait(&mut running);
    place.trees.once(&place.inward()).expect(75).says(&["slow"]);
    gate.open();
    running.end().expect(0);
}
