//! Pushes to a bucket and pulls from it with the binary itself, and what becomes of a run when the bucket has trouble.

use std::time::Duration;

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::{Job, toml};
use crate::support::network::{Fault, Network};
use crate::support::postgres::unique;
use crate::support::s3::{KEY, S3, SECRET, shared};

/// A scene whose archive is a bucket.
struct Far {
    scene: Scene,
    bucket: String,
    network: Network,
}

impl Far {
    fn new() -> Self {
        let (scene, server) = (Scene::new(), shared());
        let bucket = unique("bucket").replace('_', "-");
        server.bucket(&bucket);
        scene.bed.file("secret", SECRET);
        Self {
            scene,
            bucket,
            network: Network::before(&server.address()),
        }
    }

    fn archive(&self, secret: &str) -> String {
        format!(
            "{{ url = \"s3://{}/nightly\", endpoint = {}, access_key_id = {}, secret_access_key = {{ file = \"{secret}\" }} }}",
            self.bucket,
            toml(&self.network.endpoint()),
            toml(KEY)
        )
    }

    fn push(&self) -> Job {
        let source = toml(&self.scene.source_url());
        Job::new("postgresql", &source, &self.archive("secret"))
    }

    fn pull(&self) -> Job {
        let target = toml(&self.scene.target_url());
        Job::new("postgresql", &self.archive("secret"), &target)
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
    assert!(far.network.asked("PUT", "partNumber=2") > 0);
    assert_eq!(shared().uploads(&far.bucket), 0);
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
        far.network.fault(begins, "", 2, fault);
    }
    far.scene.once("push", &far.push()).expect(0);
    far.network
        .fault("GET", "rows/", 1, Fault::CutAnswer(300_000));
    far.scene.once("pull", &far.pull()).expect(0);
    let sum = "SELECT count(*), md5(string_agg(coalesce(name, '-'), ',' ORDER BY id)) FROM users";
    assert_eq!(far.scene.live(sum), far.scene.source(sum));
}

#[test]
fn a_bucket_that_says_no_ends_the_run_and_says_why() {
    let far = Far::new();
    far.scene.bed.file("wrong", "not the secret");
    let source = toml(&far.scene.source_url());
    let wrong = Job::new("postgresql", &source, &far.archive("wrong"));
    let outcome = far.scene.once("push", &wrong).expect(1);
    assert!(
        !outcome.stderr.contains("not the secret"),
        "{}",
        outcome.stderr
    );
    far.scene.once("push", &far.push()).expect(0);
    let denied = Fault::Answer(403, "AccessDenied");
    far.network.fault("GET", "rows/", 100, denied);
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
fn of_many_small_tables_one_that_cannot_be_written_fails_the_push() {
    let far = Far::new();
    far.scene.source(
        "DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT i, md5(i::text) FROM generate_series(1, %s) i', i, i); END LOOP; END $$",
    );
    let denied = Fault::Answer(403, "AccessDenied");
    far.network.fault("PUT", "public.t7.", 1, denied);
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
