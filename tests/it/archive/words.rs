//! What an operator reads when something is not as it should be: what it is, and what to do.

use std::fs;

use super::Scene;
use super::through_s3::Far;
use crate::support::job::{Bed, Job, toml};
use crate::support::postgres::free_port;
use crate::support::s3::{KEY, S3, shared};

/// A pull of SQLite from this archive.
fn pull(bed: &Bed, archive: &str) -> Job {
    let target = format!("sqlite://{}", bed.path("to.db").display());
    Job::new("sqlite", archive, &toml(&target))
}

/// The line that a failed pull ends with.
#[track_caller]
fn last_line(bed: &Bed, archive: &str, code: i32) -> String {
    let outcome = bed.once(&bed.job("pull", &pull(bed, archive))).expect(code);
    outcome.stderr.lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
fn says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word:?} in {line:?}");
    }
}

#[test]
fn a_secret_that_cannot_be_fetched_is_named_by_its_key() {
    let bed = Bed::new();
    bed.file("empty", "");
    let archive = format!("url = \"file://{}\"", bed.path("archive").display());
    let bucket = "url = \"s3://bucket\", access_key_id = \"me\"";
    for (key, rest) in [
        ("the archive's `key`", &archive[..]),
        ("the archive's `identity`", &archive[..]),
        ("the `secret_access_key` of s3://bucket", bucket),
    ] {
        let name = key.split('`').nth(1).unwrap();
        for (place, code, words) in [
            (
                "file = \"missing\"",
                1,
                &["/missing cannot be read", "has to be there"][..],
            ),
            (
                "file = \"empty\"",
                2,
                &["/empty is empty", "write the secret"],
            ),
            (
                "env = \"NOT_SET\"",
                2,
                &["the variable NOT_SET is not set", "env_dir"],
            ),
            ("command = [\"false\"]", 2, &["the command false failed"]),
            ("credential = \"x\"", 2, &["there is no credential `x`"]),
        ] {
            let line = last_line(&bed, &format!("{{ {rest}, {name} = {{ {place} }} }}"), code);
            says(&line, &[key]);
            says(&line, words);
            assert!(!line.contains("password"), "{line}");
        }
    }
}

#[test]
fn a_directory_that_is_not_there_or_is_none_is_said_so() {
    let bed = Bed::new();
    let url = |name: &str| toml(&format!("file://{}", bed.path(name).display()));
    let line = last_line(&bed, &url("not/mounted"), 1);
    says(&line, &["there is no such directory", "mount it"]);
    fs::create_dir(bed.path("empty")).unwrap();
    let line = last_line(&bed, &url("empty"), 1);
    says(
        &line,
        &["no whole snapshot", "run the job that pushes first"],
    );
    fs::write(bed.path("file"), "").unwrap();
    let line = last_line(&bed, &url("file"), 1);
    says(
        &line,
        &["/file is a file and no directory", "file:///DIRECTORY"],
    );
    let path = toml(bed.path("empty").to_str().unwrap());
    let line = last_line(&bed, &format!("{{ url = {path} }}"), 2);
    says(&line, &["is a path and no URL", "file:///"]);
    let line = last_line(&bed, "\"S3://bucket/x\"", 2);
    says(&line, &["`S3`", "did you mean `s3`"]);
}

#[test]
fn a_snapshot_that_there_is_none_of_is_said_with_those_that_there_are() {
    let scene = Scene::new();
    scene.once("push", &scene.push()).expect(0);
    let name = scene.snapshots().remove(0);
    let name = name.file_name().unwrap().to_str().unwrap().to_owned();
    let last = |keys: &str| {
        let outcome = scene.once("pull", &scene.pull_with(keys)).expect(1);
        outcome.stderr.lines().last().unwrap_or_default().to_owned()
    };
    let line = last("at = 2001-01-01T00:00:00Z");
    let oldest = format!(
        "its oldest is of {}-{}-{}T",
        &name[..4],
        &name[4..6],
        &name[6..8]
    );
    says(&line, &["as old as 2001-01-01T00:00:00Z", &oldest]);
    let line = last("job = \"other\"");
    says(&line, &["of job `other`", "it has those of job `push`"]);
    let slip = name.replace("-push-", "-pusk-");
    let line = last(&format!("snapshot = \"{slip}\""));
    says(&line, &[&slip, &format!("did you mean `{name}`")]);
}

#[test]
fn a_server_that_is_not_the_right_one_is_said_once_and_how() {
    let far = Far::new();
    let bed = &far.scene.bed;
    let archive = |endpoint: &str, more: &str| {
        format!(
            "{{ url = \"s3://{}/nightly\", endpoint = {}, access_key_id = {}, secret_access_key = {{ file = \"secret\" }}{more} }}",
            far.remote.bucket,
            toml(endpoint),
            toml(KEY)
        )
    };
    let there = shared().address();
    let line = last_line(bed, &archive(&format!("https://{there}"), ""), 1);
    says(&line, &["does not speak TLS", "http://"]);
    assert!(!line.contains("tried"), "{line}");
    assert_eq!(line.matches(&there).count(), 1, "{line}");
    let line = last_line(
        bed,
        &archive(&shared().endpoint(), ", region = \"eu-west-9\""),
        2,
    );
    says(
        &line,
        &["is not in region eu-west-9 but in us-east-1", "`region`"],
    );
    assert!(!line.contains("&#"), "{line}");
    let tls = S3::start_tls();
    let plain = tls.endpoint().replace("https", "http");
    let line = last_line(bed, &archive(&plain, ""), 1);
    says(&line, &["broke again and again", "http or https"]);
    // Nobody listens there.
    let free = format!("127.0.0.1:{}", free_port());
    let line = last_line(bed, &archive(&format!("http://{free}"), ""), 1);
    says(&line, &["cannot be reached", "`endpoint`"]);
    assert_eq!(line.matches(&free).count(), 1, "{line}");
}
