//! `history`, `show` and `logs`.

use super::*;

#[test]
fn history_is_newest_first_and_of_one_job_if_asked() {
    let site = Site::new();
    let state = site.state();
    for (id, job) in [("0199-1", "app"), ("0199-2", "web"), ("0199-3", "app")] {
        begin(&state, id, job, &Process::own());
        end(&state, id, RunState::Succeeded, "");
    }
    let ids = |args: &[&str]| -> Vec<String> {
        let json = site.json(args);
        let runs = json["runs"].as_array().unwrap();
        runs.iter()
            .map(|run| run["run_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&["history", "--json"]), ["0199-3", "0199-2", "0199-1"]);
    assert_eq!(ids(&["history", "app", "--json"]), ["0199-3", "0199-1"]);
    assert_eq!(ids(&["history", "--limit", "1", "--json"]), ["0199-3"]);
    let said = site.says(&["history"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(
        lines[1].starts_with("0199-3") && lines[1].contains("manual (ada)"),
        "{said}"
    );
}

#[test]
fn show_takes_the_beginning_of_an_id_and_tells_all_of_a_run() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199aa-1", "app", &Process::own());
    progress(&state, "0199aa-1", 100.0);
    end(&state, "0199aa-1", RunState::Succeeded, "all well");
    begin(&state, "0199ab-2", "app", &Process::own());
    let said = site.says(&["show", "0199aa"]);
    for part in [
        "0199aa-1",
        "production -> staging",
        "succeeded",
        "0 errors, 3 warnings",
        "1,234,567",
        "987.7 MB",
        "all well",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(
        site.json(&["show", "0199aa", "--json"])["run"]["exit_code"],
        0
    );

    let (code, said) = site.fails(&["show", "0199"]);
    assert_eq!(code, 2);
    assert!(
        said.contains("0199aa-1 (app), ") || said.contains("0199ab-2 (app), "),
        "{said}"
    );
    // A job's name means its last run.
    assert!(site.says(&["show", "app"]).contains("0199ab-2"));
    log(&state, "0199ab-2", "of the last run");
    assert!(site.says(&["logs", "app"]).contains("of the last run"));
    let (code, said) = site.fails(&["show", "web"]);
    assert_eq!(code, 2);
    assert!(said.contains("no run or job `web`"), "{said}");
}

#[test]
fn an_unknown_job_is_answered_with_near_names() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "publishing-api", &Process::own());
    for verb in ["status", "history"] {
        let (code, said) = site.fails(&[verb, "publising-api"]);
        assert_eq!(code, 2);
        assert!(said.contains("did you mean `publishing-api`?"), "{said}");
    }
}

#[test]
fn logs_are_printed_in_order_and_as_one_document_a_line() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    for number in 0..1200 {
        log(&state, "0199-1", &format!("line {number}"));
    }
    let said = site.says(&["logs", "0199-1"]);
    assert_eq!(said.lines().count(), 1200);
    assert!(
        said.lines()
            .nth(7)
            .unwrap()
            .ends_with("info  [database] line 7"),
        "{said}"
    );
    let said = site.says(&["logs", "0199-1", "--json"]);
    for (number, line) in said.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["seq"], number + 1);
        assert_eq!(line["version"], 1);
        assert_eq!(line["message"], format!("line {number}"));
    }
}

#[test]
fn follow_prints_what_comes_and_stops_when_the_run_ends() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    log(&state, "0199-1", "first");
    let mut child = site
        .command(&["logs", "0199-1", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("first"));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it stopped before the run"
    );
    log(&state, "0199-1", "second");
    assert!(lines.next().unwrap().unwrap().ends_with("second"));
    log(&state, "0199-1", "last");
    end(&state, "0199-1", RunState::Succeeded, "");
    assert!(lines.next().unwrap().unwrap().ends_with("last"));
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn follow_stops_where_the_process_of_the_run_is_gone() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "app", &dead());
    let output = site.output(&["logs", "0199-1", "--follow"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        site.json(&["show", "0199-1", "--json"])["run"]["state"],
        "failed"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    let long = "x".repeat(4000);
    for _ in 0..100 {
        log(&state, "0199-1", &long);
    }
    for args in [
        &["logs", "0199-1"][..],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = site
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {said}");
        assert_eq!(said, "", "{args:?}");
    }
}

#[test]
fn an_id_that_history_prints_is_enough_for_show_whatever_else_the_history_has() {
    let site = Site::new();
    let state = site.state();
    let id = |last: u8| format!("0199d3a4-7c21-7000-8000-00000000000{last}");
    for last in 1..=6 {
        begin(&state, &id(last), "app", &Process::own());
        end(&state, &id(last), RunState::Succeeded, "");
    }
    let said = site.says(&["history", "-n", "1"]);
    let shown = said
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    assert!(site.says(&["show", shown]).contains(&id(6)), "{said}");
    begin(
        &state,
        "0299d3a4-7c21-7000-8000-000000000001",
        "web",
        &Process::own(),
    );
    let said = site.says(&["history", "web"]);
    assert!(
        said.lines().nth(1).unwrap().starts_with("0299d3a4-7c21 "),
        "{said}"
    );
}
