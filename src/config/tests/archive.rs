//! Archives: as a task's source and target, by name, and what does not go with them.

use super::*;
use crate::config::archive::{Archive, Retention, Wanted};
use crate::config::bucket::{BucketChecksum, Sse};

pub(super) const STORE: &str = "\"postgresql://u@h/d\"";

/// A job of one task.
pub(super) fn job(source: &str, target: &str, more: &str) -> String {
    format!(
        "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"postgresql\"\nsource = {source}\ntarget = {target}\n{more}\n"
    )
}

pub(super) fn pull(beside: &str) -> String {
    job(
        &format!("{{ url = \"s3://backups/x\", {beside} }}"),
        STORE,
        "",
    )
}

pub(super) fn push(beside: &str) -> String {
    job(
        STORE,
        &format!("{{ url = \"s3://backups/x\", {beside} }}"),
        "",
    )
}

pub(super) fn right(text: &str) -> Job {
    let (job, warnings) = Files::new()
        .job(ENVIRONMENTS, text)
        .unwrap_or_else(|all| panic!("{text}\n{all}"));
    assert_eq!(warnings, [], "{text}");
    job
}

fn source(text: &str) -> Archive {
    *right(text).tasks.remove(0).source.archive.unwrap()
}

fn target(text: &str) -> Archive {
    *right(text).tasks.remove(0).target.archive.unwrap()
}

/// One error, at this key, that says this.
pub(super) fn refused(text: &str, key: &str, message: &str) {
    let shown = wrong_job(text);
    assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    assert!(
        shown.contains(&format!("= key: {key}\n")) || shown.ends_with(&format!("= key: {key}")),
        "{key} in\n{shown}"
    );
    assert!(shown.contains(message), "{message} in\n{shown}");
}

#[test]
fn a_url_alone_is_an_archive_with_the_usual_of_everything() {
    for url in ["s3://backups/publishing-api/", "file:///srv/./backups"] {
        let job = right(&job(&format!("\"{url}\""), STORE, ""));
        let task = &job.tasks[0];
        assert!(task.pulls() && !task.pushes());
        assert_eq!(task.kind, StoreKind::new("postgresql"));
        let archive = task.source.archive.as_ref().unwrap();
        assert_eq!(archive.snapshot, Wanted::Newest);
        assert!(archive.key.is_none());
        assert!(!archive.retention.is_any());
    }
    let job = right(&job(STORE, "\"s3://backups/publishing-api/\"", ""));
    assert!(job.tasks[0].pushes() && !job.tasks[0].pulls());
    assert_eq!(
        job.tasks[0].target.url.text(),
        "s3://backups/publishing-api"
    );
}

#[test]
fn an_archive_goes_with_every_kind_of_store() {
    for (kind, store) in [
        ("postgresql", "postgresql://u@h/d"),
        ("mysql", "mysql://u@h/d"),
        ("sqlite", "sqlite:a.db"),
    ] {
        for (source, target) in [(store, "file:///srv/x"), ("file:///srv/x", store)] {
            right(&format!(
                "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"{kind}\"\nsource = \"{source}\"\ntarget = \"{target}\"\n"
            ));
        }
    }
}

#[test]
fn every_key_of_a_bucket_arrives() {
    let files = Files::new();
    let text = push(
        "endpoint = \"https://minio.example:9000/\", region = \"eu-west-1\", path_style = true, access_key_id = \"AKIA\", secret_access_key = { env = \"S\" }, ca = \"ca.pem\", checksum = \"sha256\", sse = \"AES256\", key = { credential = \"mac\" }, keep_last = 3, keep_daily = 7, keep_weekly = 5, max_age = \"90days\"",
    );
    let (job, warnings) = files
        .job(ENVIRONMENTS, &text)
        .unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(warnings, []);
    let archive = job.tasks[0].target.archive.as_ref().unwrap();
    let access = job.tasks[0].target.access.as_ref().unwrap();
    assert_eq!(
        access.endpoint.as_deref(),
        Some("https://minio.example:9000")
    );
    assert_eq!(access.region.as_deref(), Some("eu-west-1"));
    assert_eq!(access.path_style, Some(true));
    assert_eq!(access.checksum, Some(BucketChecksum::Sha256));
    assert_eq!(access.sse, Some(Sse::Aes256));
    assert_eq!(access.access_key_id.as_deref(), Some("AKIA"));
    assert!(matches!(&access.secret_access_key, Some(Secret::Env(name)) if name == "S"));
    assert_eq!(access.ca, Some(files.0.path().join("ca.pem")));
    assert!(matches!(&archive.key, Some(Secret::Credential(name)) if name == "mac"));
    assert_eq!(
        archive.retention,
        Retention {
            keep_last: Some(3),
            keep_daily: Some(7),
            keep_weekly: Some(5),
            max_age: Some(Duration::from_secs(90 * 24 * 3600)),
        }
    );
    let mut job = right(&push("profile = \"backups\""));
    let access = job.tasks.remove(0).target.access.unwrap();
    assert_eq!(access.profile.as_deref(), Some("backups"));
    assert_eq!(access.path_style, None);
}

#[test]
fn a_pull_says_which_snapshot_it_wants() {
    let time = "2026-01-02T03:04:05Z".parse().unwrap();
    let name = "20260102T030405Z-my-job.x-0123456789ab";
    for (beside, wanted) in [
        ("snapshot = \"newest\"".to_owned(), Wanted::Newest),
        (
            format!("snapshot = \"{name}\""),
            Wanted::Named(name.to_owned()),
        ),
        (
            format!("snapshot = \"{name}\", job = \"my-job.x\""),
            Wanted::Named(name.to_owned()),
        ),
        ("at = 2026-01-02T03:04:05Z".to_owned(), Wanted::At(time)),
        (
            "at = 2026-01-02 04:04:05+01:00".to_owned(),
            Wanted::At(time),
        ),
        (
            "at = \"2026-01-01T22:04:05-05:00\", snapshot = \"newest\"".to_owned(),
            Wanted::At(time),
        ),
    ] {
        assert_eq!(source(&pull(&beside)).snapshot, wanted, "{beside}");
    }
    let archive = source(&pull("job = \"nightly\", at = 2026-01-02T03:04:05Z"));
    assert_eq!(archive.job.as_deref(), Some("nightly"));
}

#[test]
fn what_is_impossible_beside_a_bucket_is_an_error_at_its_key() {
    for (beside, key, message) in [
        ("endpoint = \"minio:9000\"", "endpoint", "by https or http"),
        ("endpoint = \"ftp://minio\"", "endpoint", "by https or http"),
        ("endpoint = \"x\"", "endpoint", "this is not a URL"),
        (
            "endpoint = \"https://h/backups\"",
            "endpoint",
            "a path does not belong here",
        ),
        (
            "endpoint = \"https://h?x\"",
            "endpoint",
            "a path does not belong here",
        ),
        (
            "endpoint = \"https://u:hunter2@h\"",
            "endpoint",
            "the URL has a user in it",
        ),
        (
            "endpoint = \"http://127.0.0.1\", ca = \"x.pem\"",
            "ca",
            "reached without TLS",
        ),
        ("region = \"eu west\"", "region", "is not a region's name"),
        ("path_style = \"yes\"", "path_style", "true or false"),
        (
            "endpoint = \"http://127.0.0.1:9000\", path_style = false",
            "path_style",
            "before an IP address",
        ),
        ("checksum = \"md5\"", "checksum", "sha256"),
        ("sse = \"aes256\"", "sse", "AES256"),
        (
            "access_key_id = \"A\"",
            "access_key_id",
            "does not stand alone",
        ),
        (
            "secret_access_key = { env = \"S\" }",
            "secret_access_key",
            "write access_key_id",
        ),
        (
            "access_key_id = \"A\", secret_access_key = \"hunter2\"",
            "secret_access_key",
            "a secret is not written here",
        ),
        (
            "access_key_id = \"A\", secret_access_key = { env = \"S\" }, profile = \"p\"",
            "profile",
            "both a profile and an access key",
        ),
        (
            "password = { env = \"S\" }",
            "password",
            "a bucket has no password",
        ),
        ("key = \"hunter2\"", "key", "a secret is not written here"),
        ("key = {}", "key", "a secret comes from exactly one place"),
        (
            "environment = \"production\"",
            "environment",
            "an archive has no environment",
        ),
        ("bucket = \"x\"", "bucket", "unknown key `bucket`"),
    ] {
        for (text, side) in [(pull(beside), "source"), (push(beside), "target")] {
            refused(&text, &format!("task[0].{side}.{key}"), message);
            assert!(!wrong_job(&text).contains("hunter2"), "{beside}");
        }
    }
    for (beside, key, message) in [
        ("snapshot = \"latest\"", "snapshot", "is called `newest`"),
        (
            "snapshot = \"20260199T030405Z-job-0123456789ab\"",
            "snapshot",
            "is not a snapshot's name",
        ),
        (
            "snapshot = \"20260102T030405Z-job-0123456789AB\"",
            "snapshot",
            "is not a snapshot's name",
        ),
        (
            "snapshot = \"20260102T030405Z-../x-0123456789ab\"",
            "snapshot",
            "is not a snapshot's name",
        ),
        (
            "snapshot = \"20260102T030405Z-job-0123456789ab\", job = \"other\"",
            "job",
            "`snapshot` is of the job `job`",
        ),
        (
            "snapshot = \"20260102T030405Z-job-0123456789ab\", at = 2026-01-02T03:04:05Z",
            "at",
            "both a snapshot's name and a time",
        ),
        (
            "at = 2026-01-02T03:04:05",
            "at",
            "is not a time with an offset",
        ),
        ("at = \"yesterday\"", "at", "allowed: 2026-01-02T03:04:05Z"),
        ("at = 2026-01-02", "at", "is not a time with an offset"),
        ("at = 5", "at", "found an integer"),
        ("job = \"a b\"", "job", "cannot be a job's name"),
        ("keep_last = 3", "keep_last", "belongs to a target"),
        ("keep_daily = 3", "keep_daily", "belongs to a target"),
        ("keep_weekly = 3", "keep_weekly", "belongs to a target"),
        ("max_age = \"1d\"", "max_age", "belongs to a target"),
        ("recipients = []", "recipients", "belongs to a target"),
    ] {
        refused(&pull(beside), &format!("task[0].source.{key}"), message);
    }
    for (beside, key, message) in [
        ("keep_last = 0", "keep_last", "out of range"),
        ("keep_daily = -1", "keep_daily", "out of range"),
        ("keep_weekly = \"3\"", "keep_weekly", "found a string"),
        ("max_age = 90", "max_age", "write it with a unit"),
        ("snapshot = \"newest\"", "snapshot", "belongs to a source"),
        ("at = 2026-01-02T03:04:05Z", "at", "belongs to a source"),
        ("job = \"x\"", "job", "belongs to a source"),
        (
            "identity = { file = \"x\" }",
            "identity",
            "belongs to a source",
        ),
        ("recipients = []", "recipients", "no recipient"),
        (
            "recipients = [\"ssh-ed25519 AAAA\"]",
            "recipients[0]",
            "is not an age recipient",
        ),
        (
            "recipients = [\"AGE-SECRET-KEY-1HUNTER2\"]",
            "recipients[0]",
            "this is an identity",
        ),
    ] {
        refused(&push(beside), &format!("task[0].target.{key}"), message);
        assert!(!wrong_job(&push(beside)).contains("HUNTER2"), "{beside}");
    }
}

#[test]
fn a_key_of_an_archive_is_refused_beside_what_it_is_not_for() {
    for key in [
        "access_key_id = \"A\"",
        "ca = \"x\"",
        "endpoint = \"https://h\"",
        "path_style = true",
        "checksum = \"sha256\"",
        "sse = \"AES256\"",
        "profile = \"x\"",
        "region = \"x\"",
        "secret_access_key = { env = \"S\" }",
    ] {
        let name = key.split(' ').next().unwrap();
        let text = job(&format!("{{ url = \"file:///srv/x\", {key} }}"), STORE, "");
        refused(
            &text,
            &format!("task[0].source.{name}"),
            &format!("`{name}` is for a bucket, and this is a directory"),
        );
    }
    for key in [
        "region = \"x\"",
        "snapshot = \"newest\"",
        "keep_last = 1",
        "key = { env = \"K\" }",
    ] {
        let name = key.split(' ').next().unwrap();
        let text = job(
            &format!("{{ url = \"postgresql://u@h/d\", {key} }}"),
            "\"postgresql://u@h2/d\"",
            "",
        );
        refused(
            &text,
            &format!("task[0].source.{name}"),
            &format!("`{name}` is for an archive, and this is a postgresql URL"),
        );
    }
    refused(
        &job(
            "{ url = \"file:///x\", password = { env = \"P\" } }",
            STORE,
            "",
        ),
        "task[0].source.password",
        "a directory has no password",
    );
    refused(
        &job("\"s3://backups/x\"", STORE, "at = 2026-01-02T03:04:05Z"),
        "task[0].at",
        "it belongs beside an archive's URL",
    );
    // Beside a URL that is wrong, nothing else is said to be.
    refused(
        &pull("region = \"x\", snapshot = \"newest\"").replace("s3://backups", "s3://Backups"),
        "task[0].source.url",
        "`Backups` cannot be a bucket's name",
    );
}

#[test]
fn a_server_without_tls_is_a_warning_unless_it_is_this_machine() {
    let warnings = |endpoint: &str| {
        let text = push(&format!("endpoint = \"{endpoint}\""));
        let (_, warnings) = Files::new()
            .job(ENVIRONMENTS, &text)
            .unwrap_or_else(|all| panic!("{all}"));
        warnings.len()
    };
    assert_eq!(warnings("http://minio.example:9000"), 1);
    assert_eq!(warnings("https://minio.example:9000"), 0);
    for local in [
        "http://localhost:1",
        "http://127.0.0.1",
        "http://[::1]:9000",
    ] {
        assert_eq!(warnings(local), 0, "{local}");
    }
}

#[test]
fn who_can_read_a_snapshot_and_what_reads_it_stand_on_their_sides() {
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let pushed = target(&push(&format!("recipients = [\"{recipient}\"]")));
    assert_eq!(pushed.recipients, [recipient]);
    let pulled = source(&pull("identity = { credential = \"reader\" }"));
    assert!(matches!(pulled.identity, Some(Secret::Credential(name)) if name == "reader"));
}

#[test]
fn one_wrong_value_makes_no_other_key_an_unknown_one() {
    let both = "endpoint = \"https://minio.example\", region = \"eu-west-1\", path_style = true, profile = \"backups\", ca = \"ca.pem\", checksum = \"sha256\", sse = \"AES256\", format = \"envsyncd\", key = { credential = \"mac\" }";
    let recipient = format!("age1{}", "q".repeat(58));
    let pushed = format!(
        "{both}, keep_last = 3, keep_daily = 7, keep_weekly = 5, max_age = \"90days\", recipients = [\"{recipient}\"]"
    );
    let pulled = format!(
        "{both}, at = 2026-01-02T03:04:05Z, job = \"nightly\", identity = {{ credential = \"age\" }}"
    );
    for (keys, text, side) in [
        (&pushed, push(&pushed), "target"),
        (&pulled, pull(&pulled), "source"),
    ] {
        right(&text);
        for word in keys.split(", ") {
            let (key, value) = word.split_once(" = ").unwrap();
            // No key takes a date without a time.
            let wrong = text.replacen(
                &format!(" {key} = {value}"),
                &format!(" {key} = 1970-01-01"),
                1,
            );
            assert_ne!(wrong, text, "{key}");
            refused(&wrong, &format!("task[0].{side}.{key}"), "");
        }
    }
    // Whether a database belongs there depends on what lies there.
    refused(
        &push("format = 1, database = \"app\", keep_last = 3"),
        "task[0].target.format",
        "expected a string",
    );
}
