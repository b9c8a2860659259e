//! The same in a bucket, with a server that has trouble.

use std::fs;

use super::{DATABASE, Dumped};
use crate::support::job::{Job, toml};
use crate::support::network::{Fault, Network};
use crate::support::postgres::unique;
use crate::support::s3::{KEY, SECRET, shared};

/// A bucket beside the directory.
struct Far {
    dumped: Dumped,
    bucket: String,
    network: Network,
}

impl Far {
    fn new() -> Self {
        let far = Self {
            dumped: Dumped::new(),
            bucket: unique("dumps").replace('_', "-"),
            network: Network::before(&shared().address()),
        };
        shared().bucket(&far.bucket);
        far.dumped.scene.bed.file("secret", SECRET);
        far
    }

    fn archive(&self) -> String {
        format!(
            "{{ url = \"s3://{}/app-postgres\", format = \"govuk\", database = \"{DATABASE}\", endpoint = {}, access_key_id = {}, secret_access_key = {{ file = \"secret\" }} }}",
            self.bucket,
            toml(&self.network.endpoint()),
            toml(KEY)
        )
    }

    fn push(&self) -> Job {
        let source = toml(&self.dumped.scene.source_url());
        Job::new("postgresql", &source, &self.archive())
    }

    fn pull(&self) -> Job {
        let target = toml(&self.dumped.scene.target_url());
        Job::new("postgresql", &self.archive(), &target).task("previous = \"drop\"")
    }

    /// The objects' keys.
    fn keys(&self) -> Vec<String> {
        let list = shared().ask(
            reqwest::Method::GET,
            &format!("/{}?list-type=2", self.bucket),
            "",
        );
        let keys = list.split("<Key>").skip(1);
        keys.map(|key| key.split('<').next().unwrap().to_owned())
            .collect()
    }
}

const ROWS: &str = "INSERT INTO users SELECT i, (SELECT string_agg(md5((i * 100 + j)::text), '') FROM generate_series(1, 20) j) FROM generate_series(10, 45000) i";

#[test]
fn a_dump_goes_to_a_bucket_in_pieces_and_comes_back() {
    let far = Far::new();
    let scene = &far.dumped.scene;
    scene.source(ROWS);
    far.dumped.once("push", &far.push()).expect(0);
    assert!(far.network.asked("PUT", "partNumber=2") > 0);
    assert_eq!(shared().uploads(&far.bucket), 0);
    let mut keys = far.keys();
    keys.sort();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys[0].ends_with(&format!("-{DATABASE}.gz")), "{keys:?}");
    let pointer = format!("app-postgres/latest-{DATABASE}.txt");
    assert_eq!(keys[1], pointer);
    let pointed = shared().ask(
        reqwest::Method::GET,
        &format!("/{}/{pointer}", far.bucket),
        "",
    );
    assert_eq!(pointed, keys[0], "as the chart writes it");
    scene.source("UPDATE users SET name = 'later' WHERE id < 10");
    far.network
        .fault("GET", ".gz", 1, Fault::CutAnswer(300_000));
    far.dumped.once("pull", &far.pull()).expect(0);
    assert_eq!(scene.live("SELECT name FROM users WHERE id = 1"), "ann");
    assert_eq!(scene.live("SELECT count(*) FROM users"), "44994");
    scene.nothing_is_beside();
}

#[test]
fn a_dump_that_the_chart_has_left_in_a_bucket_is_pulled() {
    let far = Far::new();
    let name = format!("2026-01-02T030405Z-{DATABASE}.gz");
    let file = far.dumped.dump(&name);
    let folder = shared().bucket(&unique("unused").replace('_', "-"));
    let folder = folder.with_file_name(&far.bucket).join("app-postgres");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&file, folder.join(&name)).unwrap();
    // What lies deeper is somebody else's.
    fs::create_dir_all(folder.join("old")).unwrap();
    fs::write(
        folder.join(format!("old/2027-01-02T030405Z-{DATABASE}.gz")),
        "x",
    )
    .unwrap();
    far.dumped.once("pull", &far.pull()).expect(0);
    far.dumped.scene.live_is_new();
}

#[test]
fn a_bucket_that_says_no_leaves_no_dump_and_no_upload() {
    let far = Far::new();
    let scene = &far.dumped.scene;
    scene.source(ROWS);
    let denied = || Fault::Answer(403, "AccessDenied");
    far.network.fault("PUT", "partNumber=2", 100, denied());
    far.dumped.once("push", &far.push()).expect(1);
    assert_eq!(far.keys(), Vec::<String>::new());
    assert_eq!(shared().uploads(&far.bucket), 0);
    let far = Far::new();
    let scene = &far.dumped.scene;
    // One that may not be pointed at is not there either.
    far.network.fault("PUT", "latest-", 100, denied());
    far.dumped
        .once("push", &far.push())
        .expect(1)
        .says(&["latest-app_production.txt cannot be written"]);
    assert_eq!(far.keys(), Vec::<String>::new());
    scene.live_is_old();
}
