//! What can be asked and done, and every refusal.

use envsyncd::state::{RunState, Verb};

use crate::support::api::Api;
use crate::support::job::Job;

#[test]
fn a_site_is_synced_by_one_call_and_polled_to_its_end() {
    let api = Api::new("");
    let token = api.token(&["deploy", "--scope", "run"]);
    let asked = api
        .post(
            &token,
            "/api/v1/sites/main/database/sync",
            r#"{"from": "prod", "to": "stage"}"#,
        )
        .expect(202);
    let sync = asked.json();
    let id = sync["id"].as_str().unwrap().to_owned();
    assert_eq!(sync["status"], "pending");
    assert_eq!(sync["direction"], "production -> staging");
    let place = asked.header("location").to_owned();
    assert_eq!(place, format!("/api/v1/sites/main/database/syncs/{id}"));
    let job = "site:main production->staging";
    let run = api.house.until_run(job, RunState::Succeeded);
    assert_eq!(run.id, id);
    let sync = api.get(&token, &place);
    assert_eq!(
        (&sync["status"], &sync["by"]),
        (&"completed".into(), &"deploy".into())
    );
    assert_eq!(sync["percent"], 100.0);
    assert!(sync["duration_seconds"].as_f64().unwrap() >= 0.0);
    let copied: i64 = rusqlite::Connection::open(api.house.bed.path("site-staging.db"))
        .and_then(|target| target.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
        .unwrap();
    assert_eq!(copied, 1);
    // Its history is its own, and the command line's, too.
    let syncs = api.get(&token, "/api/v1/sites/main/database/syncs");
    assert_eq!(syncs["items"].as_array().unwrap().len(), 1);
    let history = api.house.json(&["history", job, "--json"]);
    assert_eq!(history["runs"][0]["run_id"], id);
    assert_eq!(history["runs"][0]["trigger"], "api");
    // By hand, the same job.
    let site = ["run", "--site", "main", "--from", "prod", "--to", "stage"];
    api.house.run(&site).expect(0);
    let audit = api.house.json(&["history", "--audit", "--json"]);
    let entry = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["via"] == "api");
    let entry = entry.expect("the call");
    assert_eq!(
        (&entry["who"], &entry["outcome"]),
        (&"deploy".into(), &"ok".into())
    );
}

#[test]
fn what_cannot_be_synced_is_refused_with_a_reason() {
    let api = Api::new("");
    let token = api.token(&["deploy", "--scope", "run"]);
    let sync = |body: &str| api.post(&token, "/api/v1/sites/main/database/sync", body);
    sync(r#"{"from": "stage", "to": "prod"}"#).problem(403, "is a root environment");
    sync(r#"{"from": "staging", "to": "staging"}"#).problem(403, "into itself");
    sync(r#"{"from": "prod", "to": "nowhere"}"#).problem(403, "is not defined");
    sync(r#"{"from": "prod"}"#).problem(400, "missing field `to`");
    sync(r#"{"from": "prod", "to": "stage", "mode": "x"}"#).problem(400, "unknown field");
    sync("{").problem(400, "");
    sync(&format!(r#"{{"from": "{}"}}"#, "x".repeat(70_000))).problem(413, "");
    api.ask(
        &token,
        "POST",
        "/api/v1/sites/main/database/sync",
        &["-d", "a=b"],
    )
    .problem(415, "application/json");
    api.post(
        &token,
        "/api/v1/sites/mian/database/sync",
        r#"{"from": "prod", "to": "stage"}"#,
    )
    .problem(404, "did you mean `main`?");
    for (kind, why) in [
        ("files", "has no files in both `production` and `staging`"),
        ("index", "does not copy them yet"),
    ] {
        api.post(
            &token,
            &format!("/api/v1/sites/main/{kind}/sync"),
            r#"{"from": "prod", "to": "stage"}"#,
        )
        .problem(422, why);
    }
    api.post(
        &token,
        "/api/v1/sites/main/cache/sync",
        "{\"from\": \"prod\", \"to\": \"stage\"}",
    )
    .problem(404, "there is no `cache` of a site");
    // A deployment has the target.
    api.house
        .run(&["hold", "staging", "--reason", "release 42"])
        .expect(0);
    sync(r#"{"from": "prod", "to": "stage"}"#).problem(409, "release 42");
    api.house.run(&["release", "staging"]).expect(0);
    // So has another sync.
    sync(r#"{"from": "prod", "to": "integration"}"#).expect(202);
    assert!(
        api.house
            .runs(Some("site:main production->staging"))
            .is_empty()
    );
    api.ask(&token, "PUT", "/api/v1/jobs", &[])
        .problem(405, "does not take this method");
    api.ask(&token, "GET", "/api/v2", &[])
        .problem(404, "openapi.json");
}

#[test]
fn a_job_is_run_watched_cancelled_paused_and_rolled_back() {
    let api = Api::draft("");
    let mut api = api;
    let gate = api.house.bed.gate("a");
    api.house
        .put("a", &api.house.draft("a").hooks(&gate.maintenance()));
    api.house.job("b");
    api.house.start();
    let token = api.token(&["ops", "--scope", "run"]);
    let jobs = api.get(&token, "/api/v1/jobs");
    let names: Vec<&str> = jobs["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|job| job["name"].as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(jobs["items"][0]["state"], "never");
    let started = api
        .post(&token, "/api/v1/jobs/a/runs", "{}")
        .expect(202)
        .json();
    let id = started["id"].as_str().unwrap().to_owned();
    api.house
        .until("the run was under way", |_| gate.is_reached());
    api.post(&token, "/api/v1/jobs/a/runs", "{}")
        .problem(409, &id);
    let run = api.get(&token, &format!("/api/v1/runs/{id}"));
    assert_eq!(
        (&run["state"], &run["by"]),
        (&"running".into(), &"ops".into())
    );
    api.house.until("its log was there", |_| {
        let run = api.get(&token, &format!("/api/v1/runs/{id}"));
        run["log_lines"].as_i64().unwrap() > 0
    });
    let cancelled = api
        .post(&token, &format!("/api/v1/runs/{id}/cancel"), "{}")
        .expect(202)
        .json();
    assert_eq!(cancelled["outcome"], "ending");
    api.house.until_run("a", RunState::Cancelled);
    api.post(&token, &format!("/api/v1/runs/{id}/cancel"), "{}")
        .problem(409, "has ended");
    gate.open();
    // A pause keeps even a call from starting it.
    let pause = api
        .post(
            &token,
            "/api/v1/jobs/b/pause",
            r#"{"reason": "load test", "for": "2h"}"#,
        )
        .expect(201)
        .json();
    assert_eq!(
        (&pause["reason"], &pause["by"]),
        (&"load test".into(), &"ops".into())
    );
    api.post(&token, "/api/v1/jobs/b/runs", "{}")
        .problem(409, "load test");
    api.post(&token, "/api/v1/jobs/b/pause", r#"{"reason": " "}"#)
        .problem(400, "say why");
    api.post(
        &token,
        "/api/v1/jobs/b/pause",
        r#"{"reason": "x", "until": "2020-01-01T00:00:00Z"}"#,
    )
    .problem(400, "over already");
    api.ask(&token, "DELETE", "/api/v1/jobs/b/pause", &[])
        .expect(204);
    // Twice, and what was live before the second is back.
    for rows in [1, 2] {
        api.post(&token, "/api/v1/jobs/b/runs", "{}").expect(202);
        api.house.until("it had run", |house| {
            house
                .runs(Some("b"))
                .iter()
                .filter(|run| run.state == RunState::Succeeded)
                .count()
                == rows
        });
        rusqlite::Connection::open(api.house.bed.path("source.db"))
            .and_then(|source| source.execute("INSERT INTO t VALUES (2)", []))
            .unwrap();
    }
    let count = || -> i64 {
        rusqlite::Connection::open(api.house.target("b"))
            .and_then(|target| target.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
            .unwrap()
    };
    assert_eq!(count(), 2);
    api.post(
        &token,
        "/api/v1/jobs/b/rollback",
        r#"{"confirm": "production"}"#,
    )
    .problem(400, "this changes `staging`");
    api.post(
        &token,
        "/api/v1/jobs/b/rollback",
        r#"{"confirm": "staging"}"#,
    )
    .expect(202);
    api.house.until("it was rolled back", |house| {
        let last = house.last("b").unwrap();
        (last.verb, last.state) == (Verb::Rollback, RunState::Succeeded)
    });
    assert_eq!(count(), 1);
    api.post(&token, "/api/v1/jobs/c/runs", "{}")
        .problem(404, "there is no job `c`");
    api.get(&token, "/api/v1/history?limit=2");
}

#[test]
fn a_target_that_another_jobs_run_has_is_refused_at_once() {
    let mut api = Api::draft("");
    let gate = api.house.bed.gate("slow");
    let slow = api.house.draft("slow").hooks(&gate.maintenance());
    api.house.put("slow", &slow);
    // The same target, by another job.
    let target = format!("sqlite://{}", api.house.target("slow").display());
    let source = format!("sqlite://{}", api.house.bed.path("source.db").display());
    api.house
        .put("twin", &Job::between("sqlite", &source, &target));
    api.house.start();
    let token = api.token(&["ci", "--scope", "run"]);
    let started = api
        .post(&token, "/api/v1/jobs/slow/runs", "{}")
        .expect(202)
        .json();
    let id = started["id"].as_str().unwrap();
    api.post(&token, "/api/v1/jobs/twin/runs", "{}")
        .problem(409, id);
    api.house
        .until("the run was under way", |_| gate.is_reached());
    api.post(&token, "/api/v1/jobs/twin/runs", "{}")
        .problem(409, "of job `slow`, which is running");
    gate.open();
    api.house.until_run("slow", RunState::Succeeded);
    api.post(&token, "/api/v1/jobs/twin/runs", "{}").expect(202);
    api.house.until_run("twin", RunState::Succeeded);
    // And what they add up to.
    let metrics = api
        .ask(&token, "GET", "/api/v1/metrics", &[])
        .expect(200)
        .body;
    assert!(
        metrics.contains("envsyncd_") && metrics.contains("envsyncd_job_valid{name=\"twin\"} 1"),
        "{metrics}"
    );
}

#[test]
fn the_same_key_starts_one_run() {
    let api = Api::draft("");
    let mut api = api;
    api.house.job("a");
    api.house.start();
    let token = api.token(&["ci", "--scope", "run"]);
    let keyed = |body: &str| {
        api.ask(
            &token,
            "POST",
            "/api/v1/jobs/a/runs",
            &[
                "-H",
                "Content-Type: application/json",
                "-H",
                "Idempotency-Key: build-7",
                "-d",
                body,
            ],
        )
    };
    let first = keyed("{}").expect(202).json();
    api.house.until_run("a", RunState::Succeeded);
    let second = keyed("{}").expect(202).json();
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["status"], "succeeded");
    keyed(r#"{"only": ["sqlite"]}"#).problem(422, "used for another request");
    assert_eq!(api.house.runs(Some("a")).len(), 1);
}

#[test]
fn an_environment_is_held_and_everything_paused_by_a_program() {
    let mut api = Api::draft("");
    api.house.job("a");
    api.house.start();
    let (run, admin) = (
        api.token(&["deploy", "--scope", "run"]),
        api.token(&["boss", "--scope", "admin"]),
    );
    let hold = api
        .post(
            &run,
            "/api/v1/environments/stage/hold",
            r#"{"reason": "release 43"}"#,
        )
        .expect(201)
        .json();
    assert_eq!(
        (&hold["environment"], &hold["by"]),
        (&"staging".into(), &"deploy".into())
    );
    api.post(
        &run,
        "/api/v1/environments/staging/hold",
        r#"{"reason": "again"}"#,
    )
    .problem(409, "release 43");
    let shown = api.get(&run, "/api/v1/environments/staging");
    assert_eq!(shown["hold"]["reason"], "release 43");
    assert_eq!(shown["parent"], "production");
    api.ask(&run, "DELETE", "/api/v1/environments/staging/hold", &[])
        .expect(204);
    api.post(&run, "/api/v1/pause", r#"{"reason": "x"}"#)
        .problem(403, "takes `admin`");
    api.post(&admin, "/api/v1/pause", r#"{"reason": "audit"}"#)
        .expect(201);
    api.post(&run, "/api/v1/jobs/a/runs", "{}")
        .problem(409, "audit");
    api.ask(&admin, "DELETE", "/api/v1/pause", &[]).expect(204);
    api.post(
        &admin,
        "/api/v1/environments/stage/pause",
        r#"{"reason": "load test"}"#,
    )
    .expect(201);
    api.post(&run, "/api/v1/jobs/a/runs", "{}")
        .problem(409, "load test");
    api.ask(&admin, "DELETE", "/api/v1/environments/stage/pause", &[])
        .expect(204);
    api.post(&run, "/api/v1/jobs/a/runs", "{}").expect(202);
    let audit = api.get(&admin, "/api/v1/audit");
    let actions: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["action"].as_str())
        .collect();
    for action in ["hold", "release", "pause", "resume", "run"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    assert!(
        audit["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["outcome"].as_str().unwrap().contains("release 43"))
    );
}

#[test]
fn a_job_that_is_called_new_has_a_page_beside_the_form_for_new_jobs() {
    let mut api = Api::draft("");
    api.house.job("new");
    api.house.start();
    let token = api.token(&["ci", "--scope", "admin"]);
    let page = |path: &str| api.ask(&token, "GET", path, &[]).expect(200).body;
    let job = page("/jobs/new");
    assert!(job.contains("<h1>new</h1>"), "{job}");
    let form = page("/new-job");
    assert!(form.contains("action=\"/new-job\""), "{form}");
    for list in ["/jobs", "/recurring"] {
        assert!(page(list).contains("href=\"/new-job\""), "{list}");
    }
    assert!(page("/jobs").contains("href=\"/jobs/new\""));
    api.ask(&token, "POST", "/new-job", &[]).expect(415);
}
