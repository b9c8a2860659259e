//! Jobs.

use super::*;
use crate::config::job::PointInTime;

#[test]
fn every_key_of_a_job_arrives() {
    let files = Files::new();
    files.put("after.sql", "");
    let (job, warnings) = files
        .job(
            ENVIRONMENTS,
            r#"
description = "d"
from = "production"
to = "staging"
schedule = "18 0 * * *"
timeout = "6h"
timezone = "Asia/Kathmandu"
jitter = "5m"
catch_up = true
point_in_time = "task"
[endpoints.own]
environment = "production"
url = "postgresql://reader@db1/x"
[[task]]
name = "database"
kind = "postgresql"
source = "own"
target = { url = "postgresql://owner@db2/x", password = { file = "secret" } }
mode = "overlay"
jobs = 2
exclude = ["cache_*"]
schema_only = ["audit.events"]
keep = ["webhooks"]
scripts = ["after.sql"]
publish = "swap"
verify = "checksum"
throttle = "50MB/s"
max_replication_lag = "30s"
previous = "drop"
[hooks]
maintenance_on = ["/bin/m", "on"]
maintenance_off = ["/bin/m", ""]
after_publish = { command = ["/bin/c"], timeout = "1m" }
"#,
        )
        .unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(warnings, []);
    let here = files.0.path();
    assert_eq!(job.name.as_str(), "job");
    assert_eq!(job.file, here.join("job.toml"));
    assert_eq!(job.description, "d");
    assert_eq!(
        (job.from.as_str(), job.to.as_str()),
        ("production", "staging")
    );
    assert_eq!(job.schedule.unwrap().as_str(), "18 0 * * *");
    assert_eq!(job.timeout, Some(Duration::from_secs(6 * 3600)));
    assert_eq!(job.timezone, Some(chrono_tz::Asia::Kathmandu));
    assert_eq!(job.jitter, Some(Duration::from_secs(300)));
    assert!(job.catch_up);
    assert_eq!(job.point_in_time, PointInTime::Task);
    let [task] = job.tasks.as_slice() else {
        panic!("{:?}", job.tasks)
    };
    assert_eq!(
        (task.name.as_str(), task.kind),
        ("database", StoreKind::new("postgresql"))
    );
    assert_eq!(task.source.name.as_deref(), Some("own"));
    assert_eq!(task.target.url.text(), "postgresql://owner@db2/x");
    assert!(matches!(&task.target.password, Some(Secret::File(f)) if *f == here.join("secret")));
    assert_eq!((task.mode, task.jobs), (Mode::Overlay, Some(2)));
    assert_eq!(task.exclude, ["cache_*"]);
    assert_eq!(task.schema_only, ["audit.events"]);
    assert_eq!(task.keep, ["webhooks"]);
    assert_eq!(task.scripts, [here.join("after.sql")]);
    assert_eq!(
        (task.verify, task.previous),
        (Verify::Checksum, KeepPrevious::Drop)
    );
    assert_eq!(task.publish, Publish::Swap);
    assert_eq!(task.throttle, Some(50_000_000));
    assert_eq!(task.max_replication_lag, Some(Duration::from_secs(30)));
    assert_eq!(job.hooks.maintenance_on.unwrap().argv, ["/bin/m", "on"]);
    assert_eq!(job.hooks.maintenance_off.unwrap().argv, ["/bin/m", ""]);
    let after = job.hooks.after_publish.unwrap();
    assert_eq!(
        (after.argv, after.timeout),
        (vec!["/bin/c".to_owned()], Some(Duration::from_secs(60)))
    );
}

#[test]
fn what_a_job_leaves_out_has_a_safe_default() {
    let (job, warnings) = Files::new().job(ENVIRONMENTS, &job_with("", "")).unwrap();
    assert_eq!(warnings, []);
    assert!(job.schedule.is_none() && job.timeout.is_none() && !job.catch_up);
    assert!(job.timezone.is_none() && job.jitter.is_none());
    assert_eq!(job.point_in_time, PointInTime::Job);
    let task = &job.tasks[0];
    assert_eq!(task.name, "sqlite");
    assert_eq!(
        (task.mode, task.verify, task.previous),
        (Mode::Replace, Verify::Rows, KeepPrevious::Keep)
    );
    assert!(
        task.source.url.text().starts_with("sqlite:///")
            && task.source.url.text().ends_with("/a.db")
    );
}

#[test]
fn all_errors_of_a_file_are_shown_at_once_in_its_order() {
    let files = Files::new();
    let all = files
        .job(
            ENVIRONMENTS,
            r#"from = "production"
to = "stagin"
timeout = 5

[[task]]
kind = "sqlite"
source = "sqlite:a.db"
target = "sqlite:b.db"
mode = "overlap"
excluded = []
"#,
        )
        .unwrap_err();
    let file = files.0.path().join("job.toml");
    let file = file.display();
    assert_eq!(
        all.to_string(),
        format!(
            r#"error: environment `stagin` is not defined
 --> {file}:2:6
  |
2 | to = "stagin"
  |      ^^^^^^^^
  = key: to
  = allowed: integration | production | staging
  = did you mean `staging`?

error: expected a duration as a string, found an integer
 --> {file}:3:11
  |
3 | timeout = 5
  |           ^
  = key: timeout
  = write it with a unit: "5s"

error: `overlap` is not possible here
 --> {file}:9:8
  |
9 | mode = "overlap"
  |        ^^^^^^^^^
  = key: task[0].mode
  = allowed: replace | overlay
  = did you mean `overlay`?

error: unknown key `excluded`
  --> {file}:10:1
   |
10 | excluded = []
   | ^^^^^^^^
   = key: task[0].excluded
   = allowed: canary, compare, definer, events, exclude, include, jobs, keep, kind, leave_out, link, marker, mask, max_delete, max_replication_lag, max_size, mode, name, newer_than, pass, preset, previous, publish, reference, roles, rows, schema_only, scripts, source, target, throttle, trust_source, unlisted, verify
   = did you mean `exclude`?"#
        )
    );
    let error = Error::from(all);
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(
        error.to_string(),
        format!(
            "{file}:2:6: environment `stagin` is not defined (`to`), and 3 more; did you mean `staging`?"
        )
    );
}

#[test]
fn syntax_errors_are_shown_beside_the_others_and_bring_no_false_ones() {
    let text = wrong_job(&job_with(
        "timeout = \njitter = \"x\"\nfrom = \"staging\"",
        "mode = \"ovrelay\"",
    ));
    assert_eq!(text.matches("error:").count(), 4, "{text}");
    for part in [
        "job.toml:3",
        "`x` is not a duration",
        "duplicate key",
        "did you mean `overlay`?",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let text = wrong_job("from = \"production\"\nto = ");
    assert_eq!(text.matches("error:").count(), 1, "{text}");
    let text = wrong_job("from = \"production\nto = \"staging\"\n[[task]\n");
    assert!(!text.contains("missing"), "{text}");
}

#[test]
fn what_is_impossible_in_a_job_is_an_error_at_its_key() {
    for (top, task, key, message) in [
        ("", "jobs = 0", "task[0].jobs", "out of range"),
        ("", "jobs = 65", "task[0].jobs", "allowed: 1 to 64"),
        (
            "",
            "jobs = 99999999999999999999",
            "task[0].jobs",
            "out of range",
        ),
        ("", "jobs = 1.5", "task[0].jobs", "found a float"),
        ("", "exclude = \"x\"", "task[0].exclude", "found a string"),
        (
            "",
            "exclude = [\"a\", 3]",
            "task[0].exclude[1]",
            "found an integer",
        ),
        ("", "keep = [\"\"]", "task[0].keep[0]", "must not be empty"),
        ("", "keep = [\"a[\"]", "task[0].keep[0]", "is not a glob"),
        (
            "",
            "scripts = [\"gone.sql\"]",
            "task[0].scripts[0]",
            "cannot be read",
        ),
        (
            "",
            "scripts = [\".\"]",
            "task[0].scripts[0]",
            "is not a file",
        ),
        (
            "",
            "name = \"a b\"",
            "task[0].name",
            "cannot be a task's name",
        ),
        ("", "name = \"\"", "task[0].name", "must not be empty"),
        (
            "",
            "publish = \"in_place\"\nkeep = [\"a\"]",
            "task[0].keep",
            "not possible with publish = \"in_place\"",
        ),
        (
            "",
            "publish = \"in_place\"\nmode = \"overlay\"",
            "task[0].mode",
            "not possible with publish = \"in_place\"",
        ),
        (
            "",
            "publish = \"in_place\"\nprevious = \"keep\"",
            "task[0].previous",
            "not possible with publish = \"in_place\"",
        ),
        ("", "throttle = \"50\"", "task[0].throttle", "is not a rate"),
        (
            "",
            "throttle = 50",
            "task[0].throttle",
            "write it with a unit: \"50MB/s\"",
        ),
        (
            "",
            "throttle = \"0B/s\"",
            "task[0].throttle",
            "allowed: a number with a unit",
        ),
        (
            "",
            "max_replication_lag = 30",
            "task[0].max_replication_lag",
            "write it with a unit: \"30s\"",
        ),
        ("", "publish = \"x\"", "task[0].publish", "allowed: swap"),
        (
            "",
            "verify = \"row\"",
            "task[0].verify",
            "did you mean `rows`?",
        ),
        ("", "previous = true", "task[0].previous", "found a boolean"),
        ("", "masks = []", "task[0].masks", "did you mean `mask`?"),
        (
            "",
            "rows = [{ table = \"a\" }]",
            "task[0].rows[0].where",
            "`where` is missing",
        ),
        ("timeout = \"0s\"", "", "timeout", "a duration of nothing"),
        ("timeout = \"6\"", "", "timeout", "is not a duration"),
        (
            "schedule = \"0 25 * * *\"",
            "",
            "schedule",
            "is not a schedule",
        ),
        (
            "schedule = \"0 25 * * *\"",
            "",
            "schedule",
            "`25` in its hour (`25`) is not within 0 to 23",
        ),
        ("schedule = \"@daily\"", "", "schedule", "write `daily`"),
        (
            "",
            "schedule = \"daily\"",
            "task[0].schedule",
            "above the first [[task]]",
        ),
        (
            "schedule = \"hourlly\"",
            "",
            "schedule",
            "hourly | daily | weekly",
        ),
        (
            "timezone = \"Europe/Londn\"",
            "",
            "timezone",
            "did you mean `Europe/London`?",
        ),
        ("timezone = 1", "", "timezone", "found an integer"),
        ("jitter = \"32days\"", "", "jitter", "allowed: up to 31days"),
        (
            "catch_up = \"yes\"",
            "",
            "catch_up",
            "expected true or false",
        ),
        (
            "point_in_time = \"Task\"",
            "",
            "point_in_time",
            "allowed: job | task",
        ),
        (
            "",
            "point_in_time = \"task\"",
            "task[0].point_in_time",
            "it belongs at the job's top level",
        ),
        ("retention = \"7d\"", "", "retention", "not supported yet"),
        ("kind = \"sqlite\"", "", "kind", "it belongs under [[task]]"),
        (
            "priority = {}",
            "",
            "priority",
            "it belongs in envsyncd.toml",
        ),
        (
            "notifications = {}",
            "",
            "notifications",
            "not supported yet",
        ),
        (
            "hooks = { after_publish = [] }",
            "",
            "hooks.after_publish",
            "names no program",
        ),
        (
            "hooks = { after_publish = [\"\"] }",
            "",
            "hooks.after_publish[0]",
            "must not be empty",
        ),
        (
            "hooks = { after_publish = \"a b\" }",
            "",
            "hooks.after_publish",
            "[\"a\", \"b\"]",
        ),
        (
            "hooks = { maintenance_on = [\"m\"] }",
            "",
            "hooks.maintenance_on",
            "stay in maintenance",
        ),
        (
            "hooks = { after_publish = { timeout = \"1s\" } }",
            "",
            "hooks.after_publish.command",
            "is missing",
        ),
        (
            "hooks = { after_publish = { command = [\"x\"], timeout = \"0s\" } }",
            "",
            "hooks.after_publish.timeout",
            "nothing",
        ),
        (
            "hooks = { before_publish = [\"x\"] }",
            "",
            "hooks.before_publish",
            "unknown key",
        ),
    ] {
        let text = wrong_job(&job_with(top, task));
        assert_eq!(text.matches("error:").count(), 1, "{text}");
        assert!(
            text.contains(&format!("= key: {key}\n")) || text.ends_with(&format!("= key: {key}")),
            "{key} in\n{text}"
        );
        assert!(text.contains(message), "{message} in\n{text}");
    }
}

#[test]
fn what_cannot_be_a_jobs_file_is_an_error_without_a_place() {
    let files = Files::new();
    let (settings, _) = files.settings(ENVIRONMENTS).unwrap();
    let load = |file: &Path| load_job(file, &settings).unwrap_err().to_string();
    assert!(load(&files.0.path().join("none.toml")).contains("cannot be read"));
    assert!(load(files.0.path()).contains("cannot be read"));
    assert!(load(&files.put("a b.toml", &job_with("", ""))).contains("rename the file"));
    assert!(load(&files.put("job.txt", &job_with("", ""))).contains("NAME.toml"));
    let binary = files.0.path().join("binary.toml");
    fs::write(&binary, b"from = \"a\"\nto = \"\xff\"\n").unwrap();
    let text = load(&binary);
    assert!(
        text.contains("is not UTF-8") && text.contains(":2:7"),
        "{text}"
    );
}

#[test]
fn a_store_can_refuse_a_key_where_it_stands_and_a_default_at_its_task() {
    let files = Files::new();
    let (job, _) = files
        .job(ENVIRONMENTS, &job_with("", "verify = \"checksum\""))
        .unwrap();
    let at = |key: &str| refuse(&job, &job.tasks[0], key, "cannot".to_owned());
    let text = at("verify").to_string();
    assert!(
        text.contains("verify = \"checksum\"") && text.contains("= key: task[0].verify"),
        "{text}"
    );
    assert!(
        at("mode").to_string().contains("[[task]]"),
        "{}",
        at("mode")
    );
    fs::remove_file(&job.file).unwrap();
    assert!(at("verify").to_string().starts_with("error: cannot"));
}
