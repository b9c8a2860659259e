//! Masks of a pull: a snapshot that is raw, or masked in part, arrives masked.

use std::fs;
use std::path::PathBuf;

use super::postgresql::{MASKS, people};
use super::{files_with, settings, with};
use crate::support::job::{Bed, Job};
use crate::support::postgres::{Cluster, shared, unique};

#[test]
fn a_raw_snapshot_is_masked_on_its_way_and_nothing_raw_is_in_the_targets_files() {
    let pair = shared();
    let from = people(&pair.source);
    let target = Cluster::builder().start();
    let bed = Bed::new();
    let url = format!("file://{}", bed.path("archive").display());
    for verify in ["rows", "checksum"] {
        let push = Job::between("postgresql", &pair.source.url("postgres", &from), &url)
            .task(&format!("verify = \"{verify}\""));
        bed.once(&bed.job("push", &push)).expect(0);
        let settings = settings(&bed, "");
        let job = Job::between("postgresql", &url, &target.url("postgres", "live"))
            .task(&format!("verify = \"{verify}\""))
            .task(MASKS);
        with(&bed, &settings, &["plan"], &job)
            .expect(0)
            .says(&["masked in public.users", "email (email)"]);
        with(&bed, &settings, &["--once"], &job).expect(0);
        // The same values as of a sync.
        let sync = Job::between(
            "postgresql",
            &pair.source.url("postgres", &from),
            &target.url("postgres", "synced"),
        )
        .task(MASKS);
        with(&bed, &settings, &["--once"], &sync).expect(0);
        for table in ["users", "letters", "events", "untouched"] {
            let rows = format!("SELECT * FROM {table} ORDER BY 1");
            let (live, synced) = (target.psql("live", &rows), target.psql("synced", &rows));
            assert_eq!(live, synced, "{table}");
        }
    }
    target.psql("live", "CHECKPOINT");
    let found = files_with(
        &target.data(),
        &["planted", "Planted Name", "PLANTED NAME", "+44 20 7946"],
    );
    assert!(found.is_empty(), "{found:?}");
    assert!(!files_with(&target.data(), &["as it is 7"]).is_empty());
}

#[test]
fn what_cannot_work_is_refused_before_a_row_is_read() {
    let pair = shared();
    let from = people(&pair.source);
    let bed = Bed::new();
    let settings = settings(&bed, "");
    let url = format!("file://{}", bed.path("archive").display());
    let push = Job::between("postgresql", &pair.source.url("postgres", &from), &url);
    bed.once(&bed.job("push", &push)).expect(0);
    let to = unique("live");
    for (mask, says) in [
        (
            "table = \"users\"\ncolumns = { email = \"full_name\" }",
            &["does not keep values distinct"][..],
        ),
        (
            "table = \"letters\"\ncolumns = { to_email = \"email\" }",
            &["refers to"],
        ),
        (
            "table = \"users\"\ncolumns = { born = \"email\" }",
            &["column born", "dates"],
        ),
        (
            "table = \"users\"\nwhere = \"id > 7\"\ncolumns = { name = \"full_name\" }",
            &["could evaluate `where`"],
        ),
    ] {
        let job = Job::between("postgresql", &url, &pair.target.url("postgres", &to))
            .task(&format!("[[task.mask]]\n{mask}"));
        for verb in ["plan", "--once"] {
            with(&bed, &settings, &[verb], &job).expect(2).says(says);
        }
    }
    // As an older envsyncd wrote it.
    let manifest = manifest(&bed);
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let files = json["definitions"].as_array_mut().expect("files");
    let before = files.len();
    files.retain(|file| !file["path"].as_str().unwrap_or_default().contains("shapes"));
    assert_eq!(files.len(), before - 1);
    fs::write(&manifest, json.to_string()).expect("our file");
    let job = Job::between("postgresql", &url, &pair.target.url("postgres", &to));
    let masked = "[[task.mask]]\ntable = \"users\"\ncolumns = { name = \"full_name\" }";
    with(&bed, &settings, &["--once"], &job.task(masked))
        .expect(2)
        .says(&["table public.users cannot be masked", "push again"]);
    assert!(!pair.target.databases().contains(&to));
    // Without masks it is what it was.
    let job = Job::between("postgresql", &url, &pair.target.url("postgres", &to));
    with(&bed, &settings, &["--once"], &job).expect(0);
}

fn manifest(bed: &Bed) -> PathBuf {
    let folders = fs::read_dir(bed.path("archive")).expect("an archive");
    let mut found = folders
        .flatten()
        .map(|entry| entry.path().join("manifest.json"))
        .filter(|path| path.is_file());
    found.next().expect("a snapshot")
}

#[test]
fn with_a_key_booleans_and_enumerations_of_a_snapshot_are_decided_on() {
    let pair = shared();
    let (from, to) = (unique("people"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(
        &from,
        "CREATE TYPE state AS ENUM ('new', 'old'); CREATE TABLE users (email text, active bool, state state); \
         INSERT INTO users VALUES ('planted@corp.example', true, 'new')",
    );
    let bed = Bed::new();
    let settings = settings(&bed, "require_masks = true\n");
    bed.file("archive.key", "a key that seals manifests of the tests\n");
    let url = format!("file://{}", bed.path("archive").display());
    let sealed = format!("{{ url = \"{url}\", key = {{ file = \"archive.key\" }} }}");
    let source = format!("\"{}\"", pair.source.url("postgres", &from));
    let target = format!("\"{}\"", pair.target.url("postgres", &to));
    bed.once(&bed.job("push", &Job::new("postgresql", &source, &sealed)))
        .expect(0);
    let mask = "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }";
    let pull = Job::new("postgresql", &sealed, &target);
    with(&bed, &settings, &["--once"], &pull)
        .expect(3)
        .says(&["a column is not decided on: public.users.email"]);
    let pull = Job::new("postgresql", &sealed, &target).task(mask);
    with(&bed, &settings, &["--once"], &pull).expect(0);
    let sql = "SELECT email ~ '@example.com$', active, state FROM users";
    assert_eq!(pair.target.psql(&to, sql), "t|t|new");
    // Without, who can write into the archive could say so.
    let plain = format!("{{ url = \"{url}\" }}");
    let push = Job::new("postgresql", &source, &plain);
    bed.once(&bed.job("push", &push)).expect(0);
    let pull = Job::new("postgresql", &plain, &target).task(mask);
    with(&bed, &settings, &["--once"], &pull)
        .expect(3)
        .says(&["public.users.active", "public.users.state"]);
}
