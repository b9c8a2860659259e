//! Tasks: their kinds, and what is one kind's own.

use super::*;

#[test]
fn a_job_says_where_from_where_to_and_what() {
    let text = wrong_job("form = \"production\"\n");
    for part in [
        "`from` is missing",
        "there is `form`: is it meant?",
        "`to` is missing",
        "`task` is missing",
        "unknown key `form`",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let text = wrong_job("from = \"production\"\nto = \"staging\"\n[[task]]\n");
    for key in ["kind", "source", "target"] {
        assert!(text.contains(&format!("`{key}` is missing")), "{text}");
    }
    assert!(text.contains("job.toml:3:1"), "{text}");
    assert!(
        wrong_job("from = \"production\"\nto = \"staging\"\n[task]\nkind = \"sqlite\"\n")
            .contains("two brackets")
    );
    assert!(
        wrong_job("from = \"production\"\nto = \"staging\"\ntask = []\n")
            .contains("at least one task")
    );
}

#[test]
fn kinds_and_stores_of_later_are_refused_as_such() {
    for kind in ["mongodb", "opensearch"] {
        let text = wrong_job(&job_with("", "").replace("\"sqlite\"", &format!("\"{kind}\"")));
        assert!(
            text.contains("is not supported yet")
                && text.contains("allowed: postgresql | mysql | sqlite | files"),
            "{text}"
        );
    }
    for url in ["mongodb://h/d", "https://h/d"] {
        let text = wrong_job(&job_with("", "").replace("sqlite:a.db", url));
        assert!(text.contains("not supported yet"), "{text}");
    }
    let text = wrong_job(&job_with("", "").replace("sqlite:a.db", "postgresql://u@h/d"));
    assert!(
        text.contains("postgresql URL, but the task's kind is sqlite"),
        "{text}"
    );
}

#[test]
fn what_only_a_mysql_task_has_arrives_and_is_refused_elsewhere() {
    let mysql = |task: &str| {
        format!(
            "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"mysql\"\nsource = \"mysql://r@db1/x\"\ntarget = {{ url = \"mariadb://o@db2/x?tls=verify-ca&tls_ca=ca.pem\", password = {{ env = \"P\" }} }}\n{task}"
        )
    };
    let files = Files::new();
    let (job, warnings) = files.job(ENVIRONMENTS, &mysql("")).unwrap();
    assert_eq!(warnings, []);
    let task = &job.tasks[0];
    assert_eq!(
        (task.name.as_str(), task.kind),
        ("mysql", StoreKind::new("mysql"))
    );
    assert_eq!(
        (task.definer, task.events),
        (Definer::Map, Events::Disabled)
    );
    assert_eq!(task.source.url.text(), "mysql://r@db1/x");
    let ca = files.0.path().join("ca.pem");
    let target = task.target.url.text();
    let ca = format!("?tls=verify-ca&tls_ca={}", ca.display());
    assert!(target.ends_with(&ca), "{target}");
    assert!(task.target.password.is_some());

    let (job, _) = Files::new()
        .job(
            ENVIRONMENTS,
            &mysql("definer = \"keep\"\nevents = \"keep\"\n"),
        )
        .unwrap();
    let task = &job.tasks[0];
    assert_eq!((task.definer, task.events), (Definer::Keep, Events::Keep));

    assert!(wrong_job(&mysql("definer = \"skip\"\n")).contains("allowed: map | keep"));
    assert!(wrong_job(&mysql("events = true\n")).contains("found a boolean"));
    for key in ["definer", "events"] {
        let text = wrong_job(&job_with("", &format!("{key} = \"keep\"")));
        assert_eq!(text.matches("error:").count(), 1, "{text}");
        assert!(
            text.contains(&format!(
                "`{key}` is for kind mysql, and this task's is sqlite"
            )) && text.contains(&format!("= key: task[0].{key}\n")),
            "{text}"
        );
    }
    let text = wrong_job(&mysql("trust_source = true\n"));
    assert!(
        text.contains("`trust_source` is for kind postgresql, and this task's is mysql"),
        "{text}"
    );
    let text = wrong_job(&mysql("").replace("\"mysql://r@db1/x\"", "\"postgresql://r@db1/x\""));
    assert!(
        text.contains("postgresql URL, but the task's kind is mysql"),
        "{text}"
    );
}

#[test]
fn two_tasks_of_one_name_or_one_target_are_refused() {
    let text = wrong_job(&format!("{}{TASK}", job_with("", "")));
    assert!(text.contains("two tasks are called `sqlite`"), "{text}");
    assert!(
        text.contains("writes to the target of task `sqlite`"),
        "{text}"
    );
}
