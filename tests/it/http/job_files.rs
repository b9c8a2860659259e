//! Job files that are written over the API.

use std::fs;

use envsyncd::state::RunState;

use crate::support::api::Api;

/// A job of endpoints that the host has.
const JOB: &str = "from = \"production\"\nto = \"staging\"\nschedule = \"daily\"\n\n[[task]]\nkind = \"sqlite\"\nsource = \"app-production\"\ntarget = \"app-staging\"\n";

/// With a daemon that may write job files, and an administrator's token.
fn writer() -> (Api, String) {
    let mut api = Api::draft("");
    api.let_write();
    api.house.job("by-hand");
    api.house.start();
    let token = api.token(&["boss", "--scope", "admin"]);
    (api, token)
}

#[test]
fn a_job_is_put_run_changed_and_removed_and_the_daemon_keeps_up() {
    let (api, token) = writer();
    let made = api.put(&token, "app", JOB, &[]).expect(201);
    assert_eq!(made.header("location"), "/api/v1/jobs/app");
    let tag = made.header("etag").to_owned();
    let body = made.json();
    assert_eq!(
        (&body["job"], &body["known"]),
        (&"app".into(), &true.into())
    );
    assert_eq!(body["problems"], serde_json::json!([]));
    assert_eq!(fs::read_to_string(api.managed("app.toml")).unwrap(), JOB);
    // It is a job like any other: in the API, for the command line, in the schedule.
    let job = api.get(&token, "/api/v1/jobs/app");
    assert_eq!(
        (&job["state"], &job["schedule"]),
        (&"never".into(), &"daily".into())
    );
    assert!(job["next_run_at"].is_string(), "{job}");
    assert_eq!(job["managed"], true);
    assert_eq!(api.get(&token, "/api/v1/jobs/by-hand")["managed"], false);
    api.house
        .run(&["validate"])
        .expect(0)
        .says(&["managed/app.toml: ok", "jobs/by-hand.toml: ok"]);
    api.house.run(&["status", "app"]).expect(0).says(&["app"]);
    let file = api
        .ask(&token, "GET", "/api/v1/jobs/app/file", &[])
        .expect(200);
    assert_eq!(
        (file.header("etag"), file.body.as_str()),
        (tag.as_str(), JOB)
    );
    assert_eq!(file.header("content-type"), "application/toml");
    api.post(&token, "/api/v1/jobs/app/runs", "{}").expect(202);
    api.house.until_run("app", RunState::Succeeded);
    let copied: i64 = rusqlite::Connection::open(api.house.bed.path("app-staging.db"))
        .and_then(|target| target.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
        .unwrap();
    assert_eq!(copied, 1);
    api.house.run(&["trigger", "app", "--wait"]).expect(0);
    // Changed by who has read it, and by nobody else.
    let weekly = JOB.replace("daily", "weekly");
    let over = format!("If-Match: {tag}");
    let changed = api.put(&token, "app", &weekly, &["-H", &over]).expect(200);
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(api.get(&token, "/api/v1/jobs/app")["schedule"], "weekly");
    api.put(&token, "app", JOB, &["-H", &over])
        .problem(412, "has changed since");
    api.put(&token, "app", JOB, &[])
        .problem(409, "there is a job `app`");
    api.put(&token, "app", JOB, &["-H", "If-Match: *"])
        .expect(200);
    api.ask(&token, "DELETE", "/api/v1/jobs/app", &["-H", &over])
        .expect(204);
    assert!(!api.managed("app.toml").exists());
    // Gone, and its history is there.
    api.ask(&token, "GET", "/api/v1/jobs/app", &[])
        .problem(404, "has no file any more");
    api.ask(&token, "DELETE", "/api/v1/jobs/app", &[])
        .problem(404, "has no file any more");
    assert_eq!(
        api.get(&token, "/api/v1/jobs")["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    api.house
        .run(&["history", "app"])
        .expect(0)
        .says(&["succeeded"]);
    api.house.until_said("the job's file is gone");
    let audit = api.house.json(&["history", "--audit", "--json"]);
    let done: Vec<&str> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["outcome"] == "ok" && it["object"] == "job `app`" && it["who"] == "boss")
        .filter_map(|it| it["action"].as_str())
        .collect();
    for action in ["job create", "job replace", "job remove"] {
        assert!(done.contains(&action), "{action} in {audit}");
    }
}

#[test]
fn what_is_wrong_is_told_as_validate_tells_it_and_nothing_is_there() {
    let (api, token) = writer();
    for text in [
        "from = \"production\"\n".to_owned(),
        JOB.replace("daily", "dayly"),
        JOB.replace("\"staging\"", "\"stagng\""),
        JOB.replace("app-staging", "app-stagin"),
        format!("{JOB}mode = \"odd\"\nunknown = 1\n"),
        format!("{JOB}scripts = [\"/etc/shadow\"]\n[hooks]\nafter_publish = [\"/bin/sh\"]\n"),
        "= = =\n\u{1b}[31m".to_owned(),
    ] {
        let refused = api
            .put(&token, "app", &text, &[])
            .problem(422, "would be wrong")
            .json();
        assert!(!api.managed("app.toml").exists());
        fs::write(api.managed("app.toml"), &text).unwrap();
        let told = api
            .house
            .run(&[
                "validate",
                "-f",
                api.managed("app.toml").to_str().unwrap(),
                "--json",
            ])
            .expect(2);
        let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(refused["problems"], told["files"][0]["problems"], "{text}");
        assert!(refused["problems"][0]["message"].is_string(), "{refused}");
        fs::remove_file(api.managed("app.toml")).unwrap();
        api.house.until("the daemon had forgotten it", |house| {
            house.state().known_job("app").unwrap().is_none()
        });
    }
    // Policy's own sentence.
    let up = JOB
        .replace("production", "x")
        .replace("staging", "production")
        .replace("\"x\"", "\"staging\"");
    let up = up.replace("app-x", "app-staging");
    let refused = api.put(&token, "app", &up, &[]);
    assert!(matches!(refused.status, 403 | 422), "{}", refused.body);
    // Warnings are no errors.
    let warned = JOB.replace("schedule = \"daily\"\n", "timezone = \"UTC\"\n");
    let made = api.put(&token, "app", &warned, &[]).expect(201).json();
    assert_eq!(made["problems"][0]["severity"], "warning");
}

#[test]
fn nobody_writes_who_may_not_and_nothing_is_written_that_may_not_be() {
    let (api, token) = writer();
    let gate = api.house.bed.gate("slow");
    api.house
        .put("slow", &api.house.draft("slow").hooks(&gate.maintenance()));
    for (arguments, why) in [
        (&["reader", "--scope", "read"][..], "takes `admin`"),
        (&["runner", "--scope", "run"], "takes `admin`"),
        (
            &["of-staging", "--scope", "admin", "--to", "staging"],
            "is not for everything",
        ),
        (
            &["of-main", "--scope", "admin", "--site", "main"],
            "is not for everything",
        ),
    ] {
        let weak = api.token(arguments);
        api.put(&weak, "app", JOB, &[]).problem(403, why);
        api.ask(&weak, "DELETE", "/api/v1/jobs/by-hand", &[])
            .problem(403, why);
        api.ask(&weak, "GET", "/api/v1/jobs/by-hand/file", &[])
            .problem(403, why);
    }
    api.put("", "app", JOB, &[]).problem(401, "takes a token");
    // What is no file of a job.
    let json = ["-H", "Content-Type: application/json", "-d", "{}"];
    api.ask(&token, "PUT", "/api/v1/jobs/app", &json)
        .problem(415, "application/toml");
    api.put(&token, "app", &"#".repeat(70_000), &[])
        .problem(413, "");
    api.put(&token, "app", JOB, &["-H", "If-Match: x"])
        .problem(400, "neither one ETag");
    let odd = api.house.bed.path("odd");
    fs::write(&odd, b"a = \xff\n").unwrap();
    let odd = format!("@{}", odd.display());
    api.put(&token, "app", &odd, &[]).problem(400, "UTF-8");
    // A file that people have written is theirs.
    let by_hand = fs::read_to_string(api.house.file("by-hand")).unwrap();
    for more in [&[][..], &["-H", "If-Match: *"]] {
        api.put(&token, "by-hand", JOB, more)
            .problem(409, "jobs/by-hand.toml");
    }
    api.ask(&token, "DELETE", "/api/v1/jobs/by-hand", &[])
        .problem(409, "jobs/by-hand.toml");
    api.ask(&token, "GET", "/api/v1/jobs/by-hand/file", &[])
        .problem(409, "jobs/by-hand.toml");
    assert_eq!(
        fs::read_to_string(api.house.file("by-hand")).unwrap(),
        by_hand
    );
    api.ask(&token, "DELETE", "/api/v1/jobs/none", &[])
        .problem(404, "there is no job `none`");
    // Neither is one whose run waits or goes on.
    api.put(&token, "app", JOB, &[]).expect(201);
    api.house.trigger("slow");
    api.house
        .until("the run was under way", |_| gate.is_reached());
    let run = api
        .post(&token, "/api/v1/jobs/app/runs", "{}")
        .expect(202)
        .json();
    let run = run["id"].as_str().unwrap();
    api.put(&token, "app", JOB, &["-H", "If-Match: *"])
        .problem(409, run);
    api.ask(&token, "DELETE", "/api/v1/jobs/app", &[])
        .problem(409, run);
    assert!(api.managed("app.toml").exists());
    gate.open();
    api.house.until_run("app", RunState::Succeeded);
    api.ask(&token, "DELETE", "/api/v1/jobs/app", &[])
        .expect(204);
    assert!(fs::read_dir(api.managed("")).unwrap().next().is_none());
}

#[test]
fn without_edit_jobs_nothing_is_written_and_what_to_set_is_said() {
    let api = Api::new("");
    let token = api.token(&["boss", "--scope", "admin"]);
    for method in ["PUT", "DELETE"] {
        let more = ["-H", "Content-Type: application/toml", "-d", JOB];
        api.ask(&token, method, "/api/v1/jobs/app", &more)
            .problem(403, "edit_jobs = true");
    }
    // It is taken back in a running daemon, too.
    let (api, token) = writer();
    api.put(&token, "app", JOB, &[]).expect(201);
    let settings = fs::read_to_string(api.house.config()).unwrap();
    api.house
        .raw_settings(&settings.replace("edit_jobs = true", "edit_jobs = false"));
    api.until_it_writes(None, &token, false);
    api.put(&token, "other", JOB, &[])
        .problem(403, "edit_jobs = true");
    api.ask(&token, "DELETE", "/api/v1/jobs/app", &[])
        .problem(403, "edit_jobs = true");
    // What is there stays, and runs.
    api.house.run(&["trigger", "app", "--wait"]).expect(0);
}

#[test]
fn what_is_sent_runs_no_program_and_leads_out_of_no_directory() {
    let (api, token) = writer();
    let mark = api.house.bed.path("mark");
    let program = format!("[\"/usr/bin/touch\", \"{}\"]", mark.display());
    let task = |line: &str| format!("{JOB}{line}\n");
    for text in [
        format!("{JOB}[hooks]\nafter_publish = {program}\n"),
        format!(
            "{JOB}[hooks]\nmaintenance_on = {{ command = {program} }}\nmaintenance_off = {program}\n"
        ),
        format!(
            "{JOB}[endpoints.x]\nenvironment = \"staging\"\nurl = \"postgresql://u@127.0.0.1/d\"\npassword = {{ command = {program} }}\n"
        ),
        format!("{JOB}[environments.production]\nparent = \"staging\"\n"),
        JOB.replace(
            "\"app-production\"",
            &format!(
                "{{ url = \"postgresql://u@127.0.0.1/d\", password = {{ command = {program} }} }}"
            ),
        ),
        JOB.replace(
            "\"app-production\"",
            "{ url = \"mysql://u@127.0.0.1/d\", password = { file = \"/etc/shadow\" } }",
        ),
        JOB.replace(
            "\"app-production\"",
            "{ url = \"mysql://u@127.0.0.1/d\", password = { env = \"PATH\" } }",
        ),
        JOB.replace("app-production", "sqlite:///etc/passwd"),
        JOB.replace("app-staging", "sqlite:///etc/cron.d/x"),
        JOB.replace("app-staging", "file:///etc/cron.d"),
        task("scripts = [\"/etc/passwd\"]"),
        task("include = [\"/etc/passwd\"]"),
        task("rows = [{ table = \"t\", where = \"load_extension('x')\" }]"),
        task("pass = [{ table = \"*\", columns = [\"*\"], reason = \"x\" }]"),
    ] {
        let refused = api.put(&token, "app", &text, &[]).problem(422, "job_dir");
        assert!(!refused.body.contains("root:"), "{}", refused.body);
    }
    for name in [
        "..%2Fjobs%2Fapp",
        "..%2F..%2Fapp",
        "%2Fetc%2Fcron.d%2Fapp",
        "%2e%2e",
        ".app",
        "a%00b",
        "a%0ab",
        "site%3Amain%20production-%3Estaging",
    ] {
        let refused = api.put(&token, name, JOB, &[]);
        assert!(
            matches!(refused.status, 400 | 404),
            "{name}: {}",
            refused.body
        );
    }
    assert!(!mark.exists());
    assert!(fs::read_dir(api.managed("")).unwrap().next().is_none());
    assert_eq!(fs::read_dir(api.house.bed.path("jobs")).unwrap().count(), 1);
    // What gets there in another way is refused by the daemon and by hand.
    let evil = format!("{JOB}[hooks]\nafter_publish = {program}\n");
    fs::write(api.managed("evil.toml"), evil).unwrap();
    api.house.until("the daemon had seen it", |house| {
        house
            .state()
            .known_job("evil")
            .unwrap()
            .is_some_and(|job| job.problem.contains("hooks run programs"))
    });
    let file = api.managed("evil.toml");
    api.house
        .run(&["--once", "-f", file.to_str().unwrap()])
        .expect(2)
        .says(&["hooks run programs"]);
    api.house.run(&["trigger", "evil"]).expect(2);
    assert!(!mark.exists());
}

#[test]
fn a_page_of_another_site_writes_nothing() {
    let (api, _) = writer();
    let link = api.house.run(&["panel"]).expect(0).stdout;
    let path = &link.trim()[link.find("/login").expect("a link")..];
    let entered = api.ask("", "GET", path, &[]);
    let cookie = entered
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(cookie.starts_with("envsyncd="), "{link} {entered:?}");
    let session = format!("Cookie: {cookie}");
    // Neither over the API nor by a form, without what our own pages have.
    api.put("", "app", JOB, &["-H", &session])
        .problem(403, "not of a page of yours");
    let origin = "Origin: https://evil.example";
    api.put("", "app", JOB, &["-H", &session, "-H", origin])
        .problem(403, "another site");
    for (address, form) in [
        (
            "/new-job",
            "do=write&name=app&from=production&to=staging&kind=sqlite&source=app-production&target=app-staging&when=daily",
        ),
        ("/jobs/by-hand/remove", "confirm=by-hand"),
    ] {
        let sent = api.ask("", "POST", address, &["-H", &session, "-d", form]);
        assert_eq!(sent.status, 403, "{}", sent.body);
    }
    assert!(fs::read_dir(api.managed("")).unwrap().next().is_none());
    assert!(api.house.file("by-hand").exists());
}

#[test]
fn a_name_in_both_directories_is_the_hand_written_jobs_and_is_said_by_everybody() {
    let (api, token) = writer();
    let managed = api.managed("by-hand.toml");
    fs::write(&managed, JOB).unwrap();
    let said = managed.display().to_string();
    api.house.until("the daemon had seen it", |house| {
        house
            .state()
            .known_job("by-hand")
            .unwrap()
            .is_some_and(|job| job.problem.contains(&said))
    });
    let told = api.house.run(&["validate"]).expect(2);
    told.says(&[
        &said,
        &api.house.file("by-hand").display().to_string(),
        "INVALID",
    ]);
    api.house.run(&["status"]).expect(0).says(&[&said]);
    assert!(
        api.get(&token, "/api/v1/jobs/by-hand")["problem"]
            .as_str()
            .unwrap()
            .contains(&said)
    );
    // The one that counts runs.
    api.house.run(&["trigger", "by-hand", "--wait"]).expect(0);
    assert!(api.house.target("by-hand").exists() && !api.house.bed.path("app-staging.db").exists());
    // Once it is gone, the other takes its place.
    fs::remove_file(api.house.file("by-hand")).unwrap();
    api.house.until("the other one was there", |house| {
        house
            .state()
            .known_job("by-hand")
            .unwrap()
            .is_some_and(|job| job.problem.is_empty() && job.next_run_at.is_some())
    });
    api.house.run(&["trigger", "by-hand", "--wait"]).expect(0);
    assert!(api.house.bed.path("app-staging.db").exists());
}

#[test]
fn a_directory_that_is_not_there_keeps_the_daemon_from_starting() {
    let mut api = Api::draft("");
    api.let_write();
    fs::remove_dir(api.managed("")).unwrap();
    api.house
        .run(&["validate"])
        .expect(2)
        .says(&["managed_job_dir"]);
    api.house.launch();
    api.house.stopped().expect(2).says(&["managed_job_dir"]);
}
