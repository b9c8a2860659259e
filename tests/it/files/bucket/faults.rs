//! What goes wrong between us and a bucket, and servers that say what is not so.

use std::fs;
use std::time::Duration;

use super::Place;
use crate::files::trees::Disk;
use crate::support::hostile::http::{Answer, Asked};
use crate::support::hostile::s3;
use crate::support::job::{Job, toml};
use crate::support::network::Fault;

/// A server that lists what it is told to.
pub(super) struct Liar {
    server: s3::S3,
    live: String,
}

impl Liar {
    /// One that has `fine/x`, and an object with this key, encoded.
    pub(super) fn listing(place: &Place, key: &str) -> Self {
        let keys = [key.to_owned(), "fine%2Fx".to_owned()];
        Self::answering(place, keys.to_vec(), |_| {
            let head = "etag: \"x\"\r\nlast-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n";
            Answer::of(200, head, b"1")
        })
    }

    /// One that has these keys, of one byte each, and answers so when it is asked for one.
    pub(super) fn answering(
        place: &Place,
        keys: Vec<String>,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listed: Vec<String> = (keys.iter())
            .map(|key| format!("<Contents><Key>nightly%2F{key}</Key><Size>1</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>\"x\"</ETag></Contents>"))
            .collect();
        let listed = listed.concat();
        let list = format!(
            "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
        );
        let server = s3::S3::start(move |asked| {
            if asked.parameter("list-type").is_some() {
                return Answer::of(200, "", list.as_bytes());
            }
            answer(asked)
        });
        Self {
            server,
            live: place.directory("live"),
        }
    }

    /// A job out of it.
    pub(super) fn out(&self) -> Job {
        let source = format!(
            "{{ url = \"s3://bucket/nightly\", endpoint = {}, access_key_id = \"a\", secret_access_key = {{ file = \"secret\" }} }}",
            toml(&self.server.endpoint())
        );
        Job::new("files", &source, &self.live)
    }
}

#[test]
fn a_connection_that_is_cut_in_mid_object_is_made_again_where_it_was() {
    let place = Place::new();
    let large = vec![7; 3 << 20];
    fs::create_dir_all(place.object("")).expect("a directory");
    place.put(&["large=x", "small=1"]);
    place
        .server
        .put_file(&place.remote.bucket, "nightly/large", &large);
    let network = &place.remote.network;
    network.fault("GET", "nightly/large", 2, Fault::CutAnswer(1 << 20));
    place
        .trees
        .once(&place.out().task("verify = \"checksum\""))
        .expect(0);
    assert_eq!(fs::read(place.trees.live("large")).expect("a file"), large);
    let (_, ranges) = network.answered("GET", "nightly/large");
    assert!(ranges >= 2, "{ranges}");
    for (begins, fault) in [
        ("GET", Fault::Answer(503, "SlowDown")),
        ("GET", Fault::Answer(500, "InternalError")),
    ] {
        network.fault(begins, "", 2, fault);
    }
    place.put(&["small=2"]);
    place.trees.once(&place.out()).expect(0);
    assert_eq!(fs::read(place.trees.live("small")).expect("a file"), b"2");
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_read_anew_as_a_whole() {
    let place = Place::new();
    let (old, new) = (vec![1; 3 << 20], vec![2; 3 << 20]);
    place
        .server
        .put_file(&place.remote.bucket, "nightly/large", &old);
    let network = &place.remote.network;
    network.fault("GET", "nightly/large", 1, Fault::CutAnswer(1 << 20));
    network.fault("GET", "nightly/large", 1, Fault::Held);
    let running = place
        .trees
        .bed
        .start(&place.trees.bed.job("app", &place.out()));
    crate::support::wait_until("the rest of it is asked for", || {
        network.asked("GET", "nightly/large") > 1
    });
    place
        .server
        .put_file(&place.remote.bucket, "nightly/large", &new);
    network.forget();
    running.end().expect(0);
    assert_eq!(fs::read(place.trees.live("large")).expect("a file"), new);
}

#[test]
fn a_server_that_lies_about_lengths_and_contents_is_not_believed() {
    let place = Place::new();
    let keys = || vec!["a".to_owned()];
    let short = Liar::answering(&place, keys(), |_| {
        let body = "HTTP/1.1 200 X\r\nconnection: close\r\ncontent-length: 1\r\nlast-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\netag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n\r\nx";
        Answer::raw(body)
    });
    let outcome = place.trees.once(&short.out());
    outcome
        .expect(1)
        .says(&["another content than its checksum says"]);
    let endless = Liar::answering(&place, keys(), |_| {
        Answer::endless(
            200,
            "last-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n",
            b"x",
        )
    });
    let outcome = place.trees.once(&endless.out());
    outcome.expect(1).says(&["its answer has no length"]);
    let other = Liar::answering(&place, keys(), |_| {
        Answer::of(
            200,
            "last-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n",
            b"longer",
        )
    });
    let outcome = place.trees.once(&other.out());
    outcome.expect(1).says(&["has 6 bytes instead of 1"]);
    let link = Liar::answering(&place, keys(), |_| {
        let head =
            "last-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\nx-amz-meta-envsyncd-link: 1\r\n";
        Answer::of(200, head, b"\0")
    });
    place.trees.once(&link.out()).expect(1).says(&["a NUL"]);
    assert!(!place.trees.live("").exists());
}

#[test]
fn a_disk_that_is_full_fails_the_run_and_leaves_live() {
    let place = Place::new();
    let _disk = Disk::new(&place.trees.bed.path("disk"), "size=2m");
    place.trees.write(&["disk/live/a=old"]);
    place
        .server
        .put_file(&place.remote.bucket, "nightly/large", &vec![1; 4 << 20]);
    let job = Job::new("files", &place.bucket(), &place.directory("disk/live"));
    place
        .trees
        .once(&job)
        .expect(1)
        .says(&["the copy needs about", "free space there"]);
    // A server that says that there is less of it than there is.
    let liar = Liar::answering(&place, vec!["a".to_owned()], |_| {
        let head = "last-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n";
        Answer::of(200, head, &vec![1; 4 << 20])
    });
    let job = liar.out().to_string();
    let job = job.replace("/live\"", "/disk/live\"");
    let outcome = place
        .trees
        .bed
        .once(&place.trees.bed.file("full.toml", &job));
    outcome.expect(1).says(&["free space there"]);
    let lines = super::super::trees::lines(&place.trees.bed.path("disk/live"));
    assert_eq!(lines, ["a=old"]);
}

#[test]
fn live_is_whole_whenever_a_run_is_killed_and_a_bucket_has_no_half_object() {
    let place = Place::new();
    let fill = |content: &str| {
        for number in 0..120 {
            let path = place.trees.source(&format!("{}/{number}", number % 5));
            fs::create_dir_all(path.parent().expect("one")).expect("a directory");
            fs::write(path, content.repeat(4096)).expect("a file");
        }
    };
    let out = place
        .trees
        .bed
        .job("out", &place.out().task("mode = \"replace\""));
    let into = place.trees.bed.job("into", &place.inward());
    let contents = |root: &std::path::Path| -> Vec<Vec<u8>> {
        (0..120)
            .filter_map(|number| fs::read(root.join(format!("{}/{number}", number % 5))).ok())
            .collect()
    };
    let is_whole = |bytes: &Vec<u8>| bytes.len() == 4096 && bytes.iter().all(|b| *b == bytes[0]);
    for (round, milliseconds) in (0..8_u64).map(|step| 30 + step * 45).enumerate() {
        let new = char::from(b'a' + round as u8).to_string();
        fill(&new);
        let running = place.trees.bed.start(&into);
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill();
        let found = contents(&place.remote.folder);
        assert!(found.iter().all(is_whole), "{milliseconds} ms");
        place.trees.bed.once(&into).expect(0);
        let running = place.trees.bed.start(&out);
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill();
        let found = contents(&place.trees.live(""));
        let first = found.first().map_or(0, |bytes| bytes[0]);
        let all_one = found
            .iter()
            .all(|bytes| is_whole(bytes) && bytes[0] == first);
        assert!(
            all_one && (found.is_empty() || found.len() == 120),
            "{milliseconds} ms"
        );
    }
    place.trees.bed.once(&out).expect(0);
    assert_eq!(
        contents(&place.trees.live("")),
        contents(&place.trees.source(""))
    );
}

#[test]
fn parts_of_an_upload_that_was_killed_go_when_it_is_made_again() {
    let place = Place::new();
    fs::write(place.trees.source("large"), vec![3; 40 << 20]).expect("a file");
    let network = &place.remote.network;
    network.fault(
        "PUT",
        "partNumber=3",
        1,
        Fault::Late(Duration::from_secs(30)),
    );
    let running = place
        .trees
        .bed
        .start(&place.trees.bed.job("app", &place.inward()));
    crate::support::wait_until("the third part was sent", || {
        network.asked("PUT", "partNumber=3") > 0
    });
    running.kill();
    assert_eq!(place.server.uploads(&place.remote.bucket), 1);
    assert!(!place.object("large").exists());
    place
        .trees
        .once(&place.inward().task("verify = \"checksum\""))
        .expect(0);
    assert_eq!(place.server.uploads(&place.remote.bucket), 0);
    assert_eq!(
        fs::read(place.object("large")).expect("an object").len(),
        40 << 20
    );
    // Parts of one that fails go at once.
    fs::write(place.trees.source("large"), vec![4; 40 << 20]).expect("a file");
    let denied = Fault::Answer(403, "AccessDenied");
    network.fault("PUT", "partNumber=3", 1, denied);
    place
        .trees
        .once(&place.inward())
        .expect(1)
        .says(&["no permission to write large"]);
    assert_eq!(place.server.uploads(&place.remote.bucket), 0);
    assert_eq!(fs::read(place.object("large")).expect("an object")[0], 3);
}
