//! From a bucket into another one.

use std::fs;
use std::sync::{Arc, Mutex};

use super::{Place, someone};
use crate::files::trees::Trees;
use crate::support::hostile::http::{Answer, Asked};
use crate::support::hostile::s3::S3 as Pretended;
use crate::support::job::{Job, toml};
use crate::support::network::Fault;
use crate::support::s3::{KEY, S3};

/// From `nightly` to `copy`.
fn job(place: &Place) -> Job {
    Job::new("files", &place.bucket(), &place.prefix("copy"))
}

#[test]
fn the_server_copies_by_itself_and_what_has_not_changed_is_left_alone() {
    let place = Place::new();
    place.put(&["a/b=1", "c=22"]);
    let sync = || job(&place).task("verify = \"checksum\"");
    place.trees.once(&sync()).expect(0);
    assert_eq!(place.objects_in("copy"), ["a/b=1", "c=22"]);
    let network = &place.remote.network;
    assert_eq!(place.gets(), 0, "no content goes through us");
    assert_eq!(network.asked("PUT", "copy/"), 2);
    place
        .trees
        .once(&sync())
        .expect(0)
        .says(&["nothing has changed"]);
    place.put(&["c=33"]);
    place.trees.once(&sync()).expect(0);
    assert_eq!(network.asked("PUT", "copy/"), 3);
    assert_eq!(place.objects_in("copy"), ["a/b=1", "c=33"]);
    place.delete("c");
    let replace = || sync().task("mode = \"replace\"");
    place
        .trees
        .once(&replace().task("max_delete = 0"))
        .expect(3);
    place.trees.once(&replace()).expect(0);
    assert_eq!(place.objects_in("copy"), ["a/b=1"]);
    assert_eq!(network.asked("HEAD", ""), 0);
}

#[test]
fn where_the_server_does_not_copy_objects_go_through_us_with_all_they_have() {
    let place = Place::new();
    place.put(&["a=1", "b=2"]);
    let large: Vec<u8> = (0..18_000_000_u32).map(|n| (n / 3) as u8).collect();
    place
        .server
        .put_file(&place.remote.bucket, "nightly/large", &large);
    let network = &place.remote.network;
    network.fault("PUT", "copy/", 1000, Fault::Answer(403, "AccessDenied"));
    place
        .trees
        .once(&job(&place))
        .expect(1)
        .says(&["no permission to write"]);
    network.forget();
    // Another server, which cannot read from the first one.
    let other = S3::start();
    let bucket = other.bucket("elsewhere");
    let target = format!(
        "{{ url = \"s3://elsewhere/in/it\", endpoint = {}, access_key_id = {}, secret_access_key = {{ file = \"secret\" }} }}",
        toml(&other.endpoint()),
        toml(KEY)
    );
    let across = || Job::new("files", &place.bucket(), &target).task("verify = \"checksum\"");
    place.trees.once(&across()).expect(0);
    let found = super::super::trees::lines(&bucket.join("in/it"));
    assert_eq!(found[..2], ["a=1", "b=2"]);
    assert!(fs::read(bucket.join("in/it/large")).expect("an object") == large);
    network.fault("GET", "nightly/large", 1, Fault::CutAnswer(9_000_000));
    place
        .server
        .put_file(&place.remote.bucket, "nightly/large", &large[1..]);
    place.trees.once(&across()).expect(0);
    assert!(fs::read(bucket.join("in/it/large")).expect("an object") == large[1..]);
}

#[test]
fn what_a_file_had_goes_on_from_bucket_to_bucket() {
    let place = Place::new();
    place.trees.write(&["source/a=1"]);
    std::os::unix::fs::symlink("a", place.trees.source("link")).expect("a link");
    place.trees.once(&place.inward()).expect(0);
    place.trees.once(&job(&place)).expect(0);
    let back = Job::new("files", &place.prefix("copy"), &place.directory("live"));
    place.trees.once(&back).expect(0);
    assert_eq!(place.trees.in_live(), ["a=1", "link->a"]);
}

#[test]
fn a_tree_is_never_copied_into_itself() {
    let place = Place::new();
    place.put(&["a=1"]);
    for (source, target) in [
        ("nightly", "nightly"),
        ("nightly", "nightly/in"),
        ("nightly/in", "nightly"),
    ] {
        let job = Job::new("files", &place.prefix(source), &place.prefix(target));
        let outcome = place.trees.once(&job).expect(3);
        let is_told = ["one and the same", "lie in one another"];
        assert!(
            is_told.iter().any(|says| outcome.stderr.contains(says)),
            "{}",
            outcome.stderr
        );
    }
    // A name that only begins alike is another place.
    let beside = Job::new("files", &place.bucket(), &place.prefix("nightly2"));
    place.trees.once(&beside).expect(0);
    assert_eq!(place.objects_in("nightly2"), ["a=1"]);
}

#[test]
fn a_key_that_may_write_but_not_read_the_other_bucket_is_enough() {
    let place = Place::new();
    place.put(&["a=1"]);
    let list = &["s3:ListBucket", "s3:ListBucketMultipartUploads"];
    let writer = someone(&place, "writer", &["s3:PutObject"], list);
    let target = writer.replace("/nightly", "/copy");
    place
        .trees
        .once(&Job::new("files", &place.bucket(), &target))
        .expect(0)
        .says(&["the server does not copy by itself"]);
    assert_eq!(place.objects_in("copy"), ["a=1"]);
    assert_eq!(place.gets(), 1);
}

/// More than one request copies (5 GB), and no multiple of a part.
const HUGE: u64 = 12_000_000_001;

fn list(objects: &str) -> Answer {
    let body =
        format!("<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>");
    Answer::of(200, "", body.as_bytes())
}

fn object(key: &str, tag: &str) -> Answer {
    list(&format!(
        "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;{tag}&quot;</ETag><Size>{HUGE}</Size></Contents>"
    ))
}

/// A server with one object of that size, `from/huge`, of which it has no byte: no test has the room. It notes each range that it
/// is asked to copy into `to/huge`.
fn with_a_huge_object(ranges: &Arc<Mutex<Vec<String>>>) -> Pretended {
    let ranges = Arc::clone(ranges);
    Pretended::start(move |asked: &Asked| {
        let path = asked.path.split('?').next().unwrap_or_default();
        let is_whole = || {
            ranges
                .lock()
                .expect("ranges")
                .last()
                .is_some_and(|last| last == "whole")
        };
        match asked.method.as_str() {
            "GET" if asked.path.contains("list-type=2") => {
                match asked.parameter("prefix") {
                    Some("from%2F") => object("from/huge", "aaaa-2"),
                    Some("to%2F") if is_whole() => object("to/huge", "bbbb-12"),
                    _ => list(""),
                }
            }
            "GET" if asked.path.contains("uploads") => {
                Answer::of(200, "", b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>")
            }
            "HEAD" if path.ends_with("/from/huge") => Answer::raw(format!(
                "HTTP/1.1 200 X\r\ncontent-length: {HUGE}\r\netag: \"aaaa-2\"\r\nlast-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\nx-amz-meta-who: somebody\r\n\r\n"
            ))
            .then_silence(),
            "POST" if asked.path.contains("uploads") => {
                assert_eq!(asked.header("x-amz-meta-who"), Some("somebody"));
                Answer::of(200, "", b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
            }
            "PUT" => {
                let header = |name| asked.header(name).unwrap_or_default();
                assert_eq!(header("x-amz-copy-source-if-match"), "\"aaaa-2\"");
                let range = header("x-amz-copy-source-range").to_owned();
                ranges.lock().expect("ranges").push(range);
                Answer::of(200, "", b"<CopyPartResult><ETag>&quot;p&quot;</ETag></CopyPartResult>")
            }
            "POST" => {
                ranges.lock().expect("ranges").push("whole".to_owned());
                Answer::of(200, "", b"<CompleteMultipartUploadResult><ETag>&quot;bbbb-12&quot;</ETag></CompleteMultipartUploadResult>")
            }
            _ => Answer::of(404, "", b""),
        }
    })
}

#[test]
fn an_object_above_5_gb_is_copied_by_the_server_in_parts_that_are_all_of_it() {
    let trees = Trees::new();
    trees.bed.file("secret", "secret");
    let ranges = Arc::default();
    let server = with_a_huge_object(&ranges);
    let side = |prefix: &str| {
        format!(
            "{{ url = \"s3://bucket/{prefix}\", endpoint = {}, access_key_id = \"key\", secret_access_key = {{ file = \"secret\" }} }}",
            toml(&server.endpoint())
        )
    };
    let job = Job::new("files", &side("from"), &side("to"));
    trees.once(&job).expect(0);
    let ranges = ranges.lock().expect("ranges").clone();
    let mut at = 0;
    for range in &ranges[..ranges.len() - 1] {
        let (begin, end) = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .expect(range);
        let [begin, end]: [u64; 2] = [begin, end].map(|number| number.parse().expect("a number"));
        assert_eq!(begin, at, "{ranges:?}");
        assert!(end > begin && end - begin < 5_000_000_000, "{ranges:?}");
        at = end + 1;
    }
    assert_eq!(at, HUGE, "{ranges:?}");
    assert_eq!(ranges.len(), 13, "{ranges:?}");
}
