//! Jobs and tasks with an archive: what a push cannot do, names, and environments.

use super::archive::{STORE, job, pull, push, refused, right};
use super::*;

#[test]
fn what_a_push_cannot_do_is_refused_where_it_stands() {
    for (option, key, message) in [
        (
            "mode = \"overlay\"",
            "mode",
            "nothing in it that could stay",
        ),
        ("keep = [\"x\"]", "keep", "no rows of its own"),
        ("scripts = []", "scripts", "no server that could run them"),
        ("publish = \"in_place\"", "publish", "nothing to empty"),
        (
            "previous = \"drop\"",
            "previous",
            "keep_last, keep_daily, keep_weekly and max_age",
        ),
        ("roles = \"map\"", "roles", "put it into the job that pulls"),
        (
            "definer = \"map\"",
            "definer",
            "put it into the job that pulls",
        ),
        ("trust_source = true", "trust_source", "whose code runs"),
        (
            "events = \"keep\"",
            "events",
            "put it into the job that pulls",
        ),
    ] {
        refused(
            &job(STORE, "\"s3://backups/x\"", option),
            &format!("task[0].{key}"),
            message,
        );
        if !matches!(key, "definer" | "events" | "scripts") {
            right(&job("\"s3://backups/x\"", STORE, option));
        }
    }
    right(&job(
        STORE,
        "\"s3://backups/x\"",
        "mode = \"replace\"\npublish = \"swap\"\nexclude = [\"a\"]\nschema_only = [\"b\"]\nverify = \"checksum\"\nthrottle = \"5MB/s\"\nmax_replication_lag = \"30s\"\njobs = 2\n[hooks]\nmaintenance_on = [\"/m\"]\nmaintenance_off = [\"/m\"]\nafter_publish = [\"/m\"]",
    ));
    refused(
        &job("\"s3://backups/x\"", STORE, "max_replication_lag = \"30s\""),
        "task[0].max_replication_lag",
        "an archive has no replication",
    );
    refused(
        &job("\"s3://backups/x\"", "\"file:///srv/x\"", ""),
        "task[0].target",
        "source and target are both archives",
    );
}

#[test]
fn a_refusal_shows_the_line() {
    let files = Files::new();
    let text = job(STORE, "\"s3://backups/x\"", "scripts = [\"a.sql\"]");
    files.put("a.sql", "");
    let shown = files.job(ENVIRONMENTS, &text).unwrap_err().to_string();
    let file = files.0.path().join("job.toml");
    assert_eq!(
        shown,
        format!(
            "error: there is no server that could run them on a snapshot\n --> {}:7:11\n  |\n\
             7 | scripts = [\"a.sql\"]\n  |           ^^^^^^^^^\n  = key: task[0].scripts\n  = leave `scripts` out, or put it into the job that pulls",
            file.display()
        )
    );
}

#[test]
fn an_archive_with_a_name_has_no_environment_and_serves_both_sides() {
    let settings = format!(
        "{ENVIRONMENTS}[endpoints.backups]\nurl = \"s3://backups/x\"\nregion = \"eu-west-1\"\nkey = {{ env = \"K\" }}\njob = \"nightly\"\nkeep_last = 3\n"
    );
    let load = |source: &str, target: &str| {
        let (mut job, warnings) = Files::new()
            .job(&settings, &job(source, target, ""))
            .unwrap_or_else(|all| panic!("{all}"));
        assert_eq!(warnings, []);
        job.tasks.remove(0)
    };
    let pull = load("\"backups\"", STORE).source;
    assert_eq!(pull.name.as_deref(), Some("backups"));
    assert_eq!(pull.access.unwrap().region.as_deref(), Some("eu-west-1"));
    let pull = pull.archive.unwrap();
    assert_eq!(pull.job.as_deref(), Some("nightly"));
    assert!(!pull.retention.is_any() && pull.key.is_some());
    let push = load(STORE, "\"backups\"").target.archive.unwrap();
    assert_eq!((push.job, push.retention.keep_last), (None, Some(3)));
    assert!(push.key.is_some());
    // Its URL may be written out, too: it is of no environment that could be a wrong one.
    load("\"s3://backups/x\"", STORE);

    let text = wrong_settings(&format!(
        "{ENVIRONMENTS}[endpoints.backups]\nenvironment = \"production\"\nurl = \"s3://backups/x\"\n"
    ));
    assert!(
        text.contains("each snapshot's manifest says what it is of")
            && text.contains("= key: endpoints.backups.environment"),
        "{text}"
    );
    let text = wrong_settings(&format!(
        "{ENVIRONMENTS}[endpoints.db]\nurl = \"postgresql://u@h/d\"\nkeep_last = 3\n"
    ));
    assert!(
        text.contains("`environment` is missing") && text.contains("`keep_last` is for an archive"),
        "{text}"
    );
}

#[test]
fn a_job_that_only_pushes_needs_no_environment_to_push_to() {
    let without = |text: String| text.replace("to = \"staging\"\n", "");
    let settings = format!("{ENVIRONMENTS}[endpoints.backups]\nurl = \"s3://backups/x\"\n");
    let all_of_them = format!(
        "{}[[task]]\nname = \"b\"\nkind = \"sqlite\"\nsource = \"sqlite:a.db\"\ntarget = \"backups\"\n",
        without(push("keep_last = 1")).replace("backups/x", "backups/y")
    );
    let (all, warnings) = Files::new()
        .job(&settings, &all_of_them)
        .unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(warnings, []);
    assert_eq!(all.to.as_str(), "archive");
    crate::policy::permit(&all.environments, &all.from, &all.to).unwrap();
    // One that is given holds.
    assert_eq!(right(&push("keep_last = 1")).to.as_str(), "staging");
    let uphill = push("keep_last = 1").replace("\"staging\"", "\"production\"");
    let uphill = right(&uphill);
    assert!(crate::policy::permit(&uphill.environments, &uphill.from, &uphill.to).is_err());

    let text = wrong_job(&without(pull("snapshot = \"newest\"")));
    assert!(
        text.contains("`to` is missing: the environment that data goes to"),
        "{text}"
    );
    let mixed = format!(
        "{}[[task]]\nname = \"b\"\nkind = \"sqlite\"\nsource = \"sqlite:a.db\"\ntarget = \"sqlite:b.db\"\n",
        without(push("keep_last = 1"))
    );
    let text = wrong_job(&mixed);
    assert!(
        text.contains("as not every task's target is an archive") && text.contains("key: to"),
        "{text}"
    );
    // Where its archive is wrong, that alone is said.
    refused(
        &without(push("keep_last = 0")),
        "task[0].target.keep_last",
        "out of range",
    );
    let text = wrong_job(&without(push("keep_last = 1")).replace("\"production\"", "\"prod\""));
    assert!(text.contains("environment `prod` is not defined"), "{text}");
}

#[test]
fn nobody_is_called_archive() {
    let text = push("keep_last = 1");
    refused(
        &text.replace("\"staging\"", "\"archive\""),
        "to",
        "`archive` is no environment",
    );
    refused(
        &text.replace("\"production\"", "\"archive\""),
        "from",
        "`archive` is no environment",
    );
    let text = wrong_settings(
        "[environments.production]\n[environments.archive]\nparent = \"production\"\n",
    );
    assert!(
        text.contains("`archive` cannot be an environment's name")
            && text.contains("= key: environments.archive"),
        "{text}"
    );
}

#[test]
fn two_tasks_do_not_write_into_one_archive() {
    let two = |target: &str| {
        format!(
            "{}[[task]]\nname = \"b\"\nkind = \"sqlite\"\nsource = \"sqlite:a.db\"\ntarget = {target}\n",
            push("endpoint = \"https://a\"")
        )
    };
    let text = wrong_job(&two(
        "{ url = \"s3://backups/x/\", endpoint = \"https://A\" }",
    ));
    assert!(
        text.contains("writes to the target of task `postgresql`")
            && text.contains("give each task a prefix or a directory of its own"),
        "{text}"
    );
    right(&two("\"s3://backups/x/y\""));
    right(&two(
        "{ url = \"s3://backups/x\", endpoint = \"https://b\" }",
    ));
}
