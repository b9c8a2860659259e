//! What a run's page, `show` and the API say of its steps, its tables and its log.

use envsyncd::state::{LogLine, RunState};
use serde_json::Value;

use crate::support::api::Api;

/// Tables of the source beside `t`; the last one is left out, so that rows are copied, and not the file's pages.
const TABLES: i64 = 30;

/// An API whose job `a` copies thirty tables, the later the bigger, and has run; and that run.
fn copied() -> (Api, String, envsyncd::state::Run) {
    let mut api = Api::draft("");
    api.house.add_tables("many", TABLES + 1, 10);
    let left_out = format!("exclude = [\"many_{TABLES:02}\"]");
    let script = api.house.bed.file("after.sql", "DELETE FROM t;");
    let script = format!("scripts = [{:?}]", script.display().to_string());
    api.house
        .put("a", &api.house.draft("a").task(&left_out).task(&script));
    api.house.start();
    let token = api.token(&["ci", "--scope", "run"]);
    api.post(&token, "/api/v1/jobs/a/runs", "{}").expect(202);
    let run = api.house.until_run("a", RunState::Succeeded);
    (api, token, run)
}

/// The text between this and the next `</`.
fn after<'a>(page: &'a str, begin: &str) -> Vec<&'a str> {
    let pieces = page.split(begin).skip(1);
    pieces.filter_map(|rest| rest.split("</").next()).collect()
}

#[test]
fn the_steps_of_a_task_are_told_in_their_order_with_their_times() {
    let (api, token, run) = copied();
    let found = api.get(&token, &format!("/api/v1/runs/{}", run.id));
    let task = &found["tasks"][0];
    let steps = task["steps"].as_array().unwrap();
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "survey", "prepare", "copy", "finish", "verify", "scripts", "derive", "publish"
        ]
    );
    let mut before = run.started_at;
    let mut all = 0.0;
    for step in steps {
        let started = step["started"].as_str().unwrap();
        let started: chrono::DateTime<chrono::Utc> = started.parse().unwrap();
        // They are told to the millisecond.
        assert!(
            started >= before - chrono::Duration::milliseconds(1),
            "{steps:?}"
        );
        before = started;
        all += step["seconds"].as_f64().unwrap();
    }
    assert!(Some(before) <= run.finished_at, "{steps:?}");
    let whole = run.duration(chrono::Utc::now()).as_secs_f64();
    assert!(all <= whole + 0.1, "{all} of {whole}: {steps:?}");
    // The same elsewhere.
    let shown = api.house.json(&["show", &run.id, "--json"]);
    assert_eq!(shown["run"]["tasks"][0]["steps"], task["steps"]);
    assert_eq!(shown["run"]["tasks"][0]["tables"], task["tables"]);
    let text = api.house.run(&["show", "a"]).expect(0).stdout;
    assert!(
        text.contains("sqlite: survey ")
            && text.contains(" | copy ")
            && text.contains(" | publish "),
        "{text}"
    );
    let page = page(&api, &token, &format!("/runs/{}", run.id));
    assert_eq!(page.matches("<svg class=stages ").count(), 1, "{page}");
    for (place, name) in names.iter().enumerate() {
        let class = format!("<li class=s{}>{name} <b>", place % 4);
        assert_eq!(page.matches(&class).count(), 1, "{class} in {page}");
    }
    // Lists of runs have them, and no tables.
    let listed = api.get(&token, "/api/v1/runs?job=a");
    let listed = &listed["items"][0]["tasks"][0];
    assert_eq!(listed["steps"], task["steps"]);
    assert_eq!(listed["tables"], Value::Null);
}

#[test]
fn each_of_several_tasks_has_its_own_steps_and_what_fails_has_those_it_came_to() {
    let mut api = Api::draft("");
    let url = |name: &str| format!("sqlite://{}", api.house.bed.path(name).display());
    let task = |name: &str, script: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nkind = \"sqlite\"\nsource = \"{}\"\ntarget = \"{}\"\nscripts = [\"{script}\"]\n",
            url("source.db"),
            url(&format!("target-{name}.db"))
        )
    };
    api.house.bed.file("fine.sql", "DELETE FROM t;");
    api.house.bed.file("wrong.sql", "DELETE FROM nothing;");
    for (job, script) in [("good", "fine.sql"), ("bad", "wrong.sql")] {
        let tasks = task("one", "fine.sql") + &task("two", script);
        let text = format!("from = \"production\"\nto = \"staging\"\n{tasks}");
        api.house.bed.file(&format!("{job}.toml"), &text);
    }
    api.house.start();
    let token = api.token(&["ci", "--scope", "run"]);
    let steps = |job: &str, end: RunState| -> Vec<Vec<String>> {
        let place = format!("/api/v1/jobs/{job}/runs");
        api.post(&token, &place, "{}").expect(202);
        let run = api.house.until_run(job, end);
        let found = api.get(&token, &format!("/api/v1/runs/{}", run.id));
        let name = |step: &Value| step["name"].as_str().unwrap().to_owned();
        let of_task = |task: &Value| task["steps"].as_array().unwrap().iter().map(name).collect();
        let tasks = found["tasks"].as_array().unwrap();
        tasks.iter().map(of_task).collect()
    };
    let built = ["survey", "prepare", "copy", "verify", "scripts", "derive"];
    let good = steps("good", RunState::Succeeded);
    for task in &good {
        let without: Vec<&String> = task.iter().filter(|name| *name != "finish").collect();
        assert_eq!(without[..6], built, "{good:?}");
        assert_eq!(without[6..], ["publish"], "{good:?}");
    }
    let bad = steps("bad", RunState::Failed);
    assert_eq!(bad[0].last().unwrap(), "derive", "{bad:?}");
    assert_eq!(bad[1].last().unwrap(), "scripts", "{bad:?}");
}

#[test]
fn the_tables_of_a_task_are_told_the_biggest_first_with_all_that_was_copied() {
    let (api, token, run) = copied();
    let found = api.get(&token, &format!("/api/v1/runs/{}", run.id));
    let task = &found["tasks"][0];
    let tables = task["tables"]["tables"].as_array().unwrap();
    let names: Vec<&str> = tables
        .iter()
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    let mut expected: Vec<String> = (0..TABLES).rev().map(|n| format!("many_{n:02}")).collect();
    expected.push("t".to_owned());
    assert_eq!(names, expected);
    assert_eq!(tables[0]["rows"], 10 * TABLES);
    let sum = |key: &str| -> u64 {
        let all = tables.iter().map(|table| table[key].as_u64().unwrap());
        all.sum()
    };
    assert_eq!(sum("rows"), task["rows"].as_u64().unwrap());
    assert_eq!(sum("bytes"), task["bytes"].as_u64().unwrap());
    assert_eq!(task["tables"]["more"], 0);
    // On the page twenty are seen, and the others are folded.
    let page = page(&api, &token, &format!("/runs/{}", run.id));
    assert!(page.len() < 100_000, "{}", page.len());
    let rest = after(&page, "<details><summary>and ");
    assert_eq!(rest.len(), 1, "{page}");
    assert!(rest[0].starts_with("11 more: "), "{rest:?}");
    let (seen, folded) = page.split_once("<summary>and ").unwrap();
    assert_eq!(seen.matches("<th scope=row>many_").count(), 20);
    assert_eq!(folded.matches("<th scope=row>many_").count(), 10);
    assert!(
        seen.contains("<rect width=100 "),
        "the biggest is the whole"
    );
}

#[test]
fn a_log_is_searched_on_the_page_over_the_api_and_on_the_command_line() {
    let (api, token, run) = copied();
    let lines: Vec<LogLine> = (0..900)
        .map(|number| LogLine {
            at: chrono::Utc::now(),
            level: "info".to_owned(),
            task: "sqlite".to_owned(),
            message: if number % 300 == 7 {
                format!("a Needle <b>100 %</b> of {number}")
            } else {
                format!("hay {number}")
            },
        })
        .collect();
    api.house.state().add_logs(&run.id, &lines).unwrap();
    let messages = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap().iter();
        items
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect()
    };
    let log = format!("/api/v1/runs/{}/log", run.id);
    let found = api.get(&token, &format!("{log}?search=needle+%3Cb"));
    let expected: Vec<String> = [7, 307, 607]
        .iter()
        .map(|number| format!("a Needle <b>100 %</b> of {number}"))
        .collect();
    assert_eq!(messages(&found), expected);
    assert_eq!(found["complete"], true);
    // A page after the other; no wildcards.
    let found = api.get(&token, &format!("{log}?search=NEEDLE&limit=2"));
    assert_eq!(messages(&found), expected[..2]);
    let next = &found["next"];
    let found = api.get(&token, &format!("{log}?search=needle&limit=2&after={next}"));
    assert_eq!(messages(&found), expected[2..]);
    for none in ["%25needle", "n_edle", "%27"] {
        let found = api.get(&token, &format!("{log}?search={none}"));
        assert!(messages(&found).is_empty(), "{none}");
    }
    let long = format!("{log}?search={}", "x".repeat(201));
    api.ask(&token, "GET", &long, &[]).problem(400, "200 bytes");
    let events = ["-H", "Accept: text/event-stream"];
    api.ask(&token, "GET", &format!("{log}?search=x"), &events)
        .problem(400, "events are not searched");
    let text = ["-H", "Accept: text/plain"];
    let text = api.ask(&token, "GET", &format!("{log}?search=needle"), &text);
    assert_eq!(text.expect(200).body.lines().count(), 3);
    let printed = api
        .house
        .run(&["logs", "a", "--search", "needle"])
        .expect(0);
    assert_eq!(printed.stdout.lines().count(), 3, "{}", printed.stdout);
    // What is searched for is text on the page, too.
    let place = format!("/runs/{}", run.id);
    let page = page(&api, &token, &format!("{place}?search=%3Cb%3E100+%25"));
    assert_eq!(after(&page, "<span>a Needle ").len(), 3, "{page}");
    assert!(
        !page.contains("hay 1") && !page.contains("<b>100"),
        "{page}"
    );
    assert!(page.contains("value=\"&#60;b&#62;100 %\""), "{page}");
    assert!(page.contains("3 lines have it."), "{page}");
    let page = self::page(&api, &token, &format!("{place}?search=hay"));
    assert!(
        page.contains("897 lines have it; the first 400 are here."),
        "{page}"
    );
    // Nothing is searched for: the end of the log.
    let page = self::page(&api, &token, &format!("{place}?search="));
    assert!(
        page.contains("hay 899") && !page.contains("have it"),
        "{page}"
    );
}

/// A page as a browser without scripts gets it.
#[track_caller]
fn page(api: &Api, token: &str, path: &str) -> String {
    api.ask(token, "GET", path, &[]).expect(200).body
}
