//! Pushes to a bucket and pulls from it with the binary itself, and what becomes of a run when the bucket has trouble.

use std::time::Duration;

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::{Job, toml};
use crate::support::network::Fault;
use crate::support::s3::{KEY, Remote, S3, SECRET, shared};

/// A scene whose archive is a bucket.
pub(super) struct Far {
    pub(super) scene: Scene,
    pub(super) remote: Remote,
}

impl Far {
    pub(super) fn new() -> Self {
        Self::on(shared())
    }

    /// On this server.
    pub(super) fn on(server: &S3) -> Self {
        let far = Self {
            scene: Scene::new(),
            remote: Remote::new(server),
        };
        far.scene.bed.file("secret", SECRET);
        far
    }

    pub(super) fn push(&self) -> Job {
        self.push_with("")
    }

    /// With these keys behind the others: `, keep_last = 1`.
    pub(super) fn push_with(&self, keys: &str) -> Job {
        self.push_to(&self.remote.endpoint("secret", keys))
    }

    fn push_to(&self, archive: &str) -> Job {
        Job::new("postgresql", &toml(&self.scene.source_url()), archive)
    }

    pub(super) fn pull(&self) -> Job {
        self.pull_from(&self.remote.endpoint("secret", ""))
    }

    pub(super) fn pull_from(&self, archive: &str) -> Job {
        Job::new("postgresql", archive, &toml(&self.scene.target_url()))
    }
}

#[test]
fn a_snapshot_in_a_bucket_is_pulled_as_it_was_pushed() {
    let far = Far::new();
    far.scene.source(
        "INSERT INTO users SELECT i, (SELECT string_agg(md5((i * 100 + j)::text), '') FROM generate_series(1, 20) j) FROM generate_series(10, 45000) i",
    );
    let push = far.push().task("verify = \"checksum\"");
    far.scene.once("push", &push).expect(0);
    let pull = far.pull().task("verify = \"checksum\"");
    far.scene.once("pull", &pull).expect(0);
    let sum = "SELECT count(*), md5(string_agg(coalesce(name, '-'), ',' ORDER BY id)) FROM users";
    assert_eq!(far.scene.live(sum), far.scene.source(sum));
    // More than one piece went up, and none of them is left over.
    assert!(far.remote.network.asked("PUT", "partNumber=2") > 0);
    assert_eq!(shared().uploads(&far.remote.bucket), 0);
}

#[test]
fn through_tls_a_bucket_s_server_has_to_be_the_one_that_is_meant() {
    let (scene, server) = (Scene::new(), S3::start_tls());
    server.bucket("secure");
    scene.bed.file("secret", SECRET);
    let archive = |more: &str| {
        format!(
            "{{ url = \"s3://secure\", endpoint = {}, access_key_id = {}, secret_access_key = {{ file = \"secret\" }}{more} }}",
            toml(&server.endpoint()),
            toml(KEY)
        )
    };
    let source = toml(&scene.source_url());
    let unknown = Job::new("postgresql", &source, &archive(""));
    scene
        .once("push", &unknown)
        .expect(1)
        .says(&["certificate"]);
    let ca = toml(&server.ca().display().to_string());
    let trusted = archive(&format!(", ca = {ca}"));
    scene
        .once("push", &Job::new("postgresql", &source, &trusted))
        .expect(0);
    let pull = Job::new("postgresql", &trusted, &toml(&scene.target_url()));
    scene.once("pull", &pull).expect(0);
    scene.live_is_new();
}

#[test]
fn trouble_that_passes_is_waited_for() {
    let far = Far::new();
    far.scene
        .source("INSERT INTO users SELECT i, md5(i::text) FROM generate_series(10, 200000) i");
    for (begins, fault) in [
        ("PUT", Fault::Answer(500, "InternalError")),
        ("PUT", Fault::Answer(503, "SlowDown")),
        ("PUT", Fault::CutAsking(100_000)),
        ("GET", Fault::Answer(503, "SlowDown")),
        ("GET", Fault::Late(Duration::from_secs(2))),
    ] {
        far.remote.network.fault(begins, "", 2, fault);
    }
    far.scene.once("push", &far.push()).expect(0);
    let cut = Fault::CutAnswer(300_000);
    far.remote.network.fault("GET", "rows/", 1, cut);
    far.scene.once("pull", &far.pull()).expect(0);
    let sum = "SELECT count(*), md5(string_agg(coalesce(name, '-'), ',' ORDER BY id)) FROM users";
    assert_eq!(far.scene.live(sum), far.scene.source(sum));
}

#[test]
fn a_bucket_that_says_no_ends_the_run_and_says_why() {
    let far = Far::new();
    far.scene.bed.file("wrong", "not the secret");
    let wrong = far.push_to(&far.remote.endpoint("wrong", ""));
    let outcome = far.scene.once("push", &wrong).expect(1);
    assert!(
        !outcome.stderr.contains("not the secret"),
        "{}",
        outcome.stderr
    );
    far.scene.once("push", &far.push()).expect(0);
    let denied = Fault::Answer(403, "AccessDenied");
    far.remote.network.fault("GET", "rows/", 100, denied);
    far.scene
        .once("pull", &far.pull())
        .expect(1)
        .says(&["no permission to read"]);
    far.scene.live_is_old();
}

#[test]
fn a_push_to_a_bucket_that_is_killed_is_cleared_by_the_next_one() {
    let far = Far::new();
    let gate = far.scene.bed.gate("on");
    let slow = far.push().hooks(&gate.maintenance());
    let mut running = far.scene.bed.start(&far.scene.bed.job("push", &slow));
    gate.wait(&mut running);
    running.kill();
    far.scene
        .once("pull", &far.pull())
        .expect(1)
        .says(&["no whole snapshot", "a dead run had left"]);
    far.scene.live_is_old();
    far.scene.once("push", &far.push()).expect(0);
    far.scene.once("pull", &far.pull()).expect(0);
    far.scene.live_is_new();
}

#[test]
fn names_with_any_characters_pass_through_a_bucket() {
    let far = Far::new();
    let names = [
        "with space",
        "a/b",
        "../up",
        "50%",
        "a+b",
        "a&b=c?d#e",
        "größe 日本 🌍",
        "it''s",
        "q\"\"q",
        "back\\slash",
        "%2F",
        "-",
        "a.b",
        "tab\there",
    ];
    far.scene.source("CREATE SCHEMA \"od/d %20 +\"");
    for (place, name) in names.iter().enumerate() {
        far.scene.source(&format!(
            "CREATE TABLE \"od/d %20 +\".\"{name}\" (\"c {name}\" text); INSERT INTO \"od/d %20 +\".\"{name}\" VALUES ('{place}'); CREATE TABLE \"{name}\" (a text)"
        ));
    }
    let push = far.push().task("verify = \"checksum\"");
    let push = far.scene.bed.job("push", &push);
    far.scene.bed.once(&push).expect(0);
    let verify = ["snapshots", "verify", "-f", push.to_str().unwrap()];
    let outcome = far.scene.bed.run(&verify);
    outcome.expect(0).says(&["good"]);
    far.scene
        .once("pull", &far.pull().task("verify = \"checksum\""))
        .expect(0);
    far.scene.live_is_new();
    for (place, name) in names.iter().enumerate() {
        let row = format!("SELECT \"c {name}\" FROM \"od/d %20 +\".\"{name}\"");
        assert_eq!(far.scene.live(&row), place.to_string(), "{name}");
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'od/d %20 +')";
    assert_eq!(far.scene.live(tables), far.scene.source(tables));
}

#[test]
fn of_many_small_tables_one_that_cannot_be_written_fails_the_push() {
    let far = Far::new();
    far.scene.source(
        "DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT i, md5(i::text) FROM generate_series(1, %s) i', i, i); END LOOP; END $$",
    );
    let denied = Fault::Answer(403, "AccessDenied");
    far.remote.network.fault("PUT", "public.t7.", 1, denied);
    far.scene
        .once("push", &far.push())
        .expect(1)
        .says(&["public.t7", "no permission to write"]);
    far.scene.once("pull", &far.pull()).expect(1);
    far.scene.live_is_old();
    far.scene.once("push", &far.push()).expect(0);
    far.scene.once("pull", &far.pull()).expect(0);
    assert_equal(
        &far.scene.pair.source.pg_dump(&far.scene.from),
        &far.scene.pair.target.pg_dump(&far.scene.to),
    );
}

/// A key that may add to a bucket, and take nothing from it.
fn may_only_add(far: &Far) -> String {
    let key = format!("adds-to-{}", far.remote.bucket);
    let secret = shared().key(
        &key,
        &far.remote.bucket,
        &["s3:GetObject", "s3:PutObject"],
        &["s3:ListBucket"],
    );
    far.scene.bed.file("adding", &secret);
    key
}

#[test]
fn who_may_not_delete_pushes_all_the_same_and_is_told_what_stays() {
    let far = Far::new();
    let key = may_only_add(&far);
    let push = |keys: &str| far.push_to(&far.remote.endpoint_of(&key, "adding", keys));
    let outcome = far.scene.once("push", &push("")).expect(0);
    outcome.says(&[
        "the snapshot's writer.json stays",
        "no permission to delete",
    ]);
    let outcome = far.scene.once("push", &push(", keep_last = 1")).expect(0);
    let outcome = outcome.says(&[
        "the snapshot is complete, but older ones",
        "no permission to delete",
        "s3:DeleteObject",
    ]);
    assert!(
        !outcome.stderr.contains("what was live"),
        "{}",
        outcome.stderr
    );
    far.scene.once("pull", &far.pull()).expect(0);
    far.scene.live_is_new();
    // What a run left that died stands in nobody's way either.
    let gate = far.scene.bed.gate("on");
    let slow = push("").hooks(&gate.maintenance());
    let mut running = far.scene.bed.start(&far.scene.bed.job("push", &slow));
    gate.wait(&mut running);
    running.kill();
    let outcome = far.scene.once("push", &push("")).expect(0);
    outcome.says(&["what runs that died have left in the archive stays there"]);
}

#[test]
fn a_server_that_takes_no_list_of_what_to_delete_is_asked_for_one_after_the_other() {
    let far = Far::new();
    for refusal in [
        Fault::Answer(400, "InvalidArgument"),
        Fault::Answer(501, "NotImplemented"),
        Fault::Answer(405, "MethodNotAllowed"),
    ] {
        far.remote.network.fault("POST", "?delete", 100, refusal);
        let push = far.push_with(", keep_last = 1");
        for _ in 0..2 {
            let outcome = far.scene.once("push", &push).expect(0);
            for complaint in ["stays", "could not be removed"] {
                assert!(!outcome.stderr.contains(complaint), "{}", outcome.stderr);
            }
        }
        let snapshots = std::fs::read_dir(&far.remote.folder).unwrap().count();
        assert_eq!(snapshots, 1);
        assert!(far.remote.network.asked("DELETE", "writer.json") > 0);
        far.remote.network.forget();
    }
}

#[test]
fn a_server_that_is_full_says_so_in_one_line() {
    let far = Far::new();
    for code in ["QuotaExceeded", "XMinioStorageFull"] {
        let full = Fault::Answer(403, code);
        far.remote.network.fault("PUT", "rows/", 100, full);
        let outcome = far.scene.once("push", &far.push()).expect(1);
        outcome.says(&["the server has no room", "free space there"]);
        far.remote.network.forget();
    }
}

#[test]
fn a_checksum_and_encryption_are_asked_for_with_each_object() {
    let far = Far::new();
    let push = far.push_with(", checksum = \"sha256\"");
    far.scene.once("push", &push).expect(0);
    far.scene.once("pull", &far.pull()).expect(0);
    far.scene.live_is_new();
    let headers = far.remote.network.headers("PUT", "manifest.json");
    assert!(headers.contains("x-amz-checksum-sha256:"), "{headers}");
    let push = far.push_with(", sse = \"AES256\"");
    far.scene.bed.once(&far.scene.bed.job("push", &push));
    let headers = far.remote.network.headers("PUT", "writer.json");
    assert!(
        headers.contains("x-amz-server-side-encryption: aes256"),
        "{headers}"
    );
}
