//! Logs and progress as they come.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use envsyncd::state::RunState;

use crate::support::api::Api;

/// An API with a run of a job `a` that waits at its gate.
fn under_way() -> (Api, crate::support::job::Gate, String) {
    let mut api = Api::draft("");
    let gate = api.house.bed.gate("a");
    api.house
        .put("a", &api.house.draft("a").hooks(&gate.maintenance()));
    api.house.start();
    let token = api.token(&["ci", "--scope", "run"]);
    api.post(&token, "/api/v1/jobs/a/runs", "{}").expect(202);
    api.house
        .until("the run was under way", |_| gate.is_reached());
    (api, gate, token)
}

/// A reader of a run's events.
fn reader(api: &Api, token: &str, run: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(api.socket()).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    write!(
        stream,
        "GET /api/v1/runs/{run}/log HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    BufReader::new(stream)
}

/// Reads until a line has this.
#[track_caller]
fn until(reader: &mut BufReader<UnixStream>, part: &str) -> String {
    let mut all = String::new();
    let mut line = String::new();
    while reader.read_line(&mut line).expect("a line in time") > 0 {
        all += &line;
        if line.contains(part) {
            return all;
        }
        line.clear();
    }
    panic!("no `{part}` in\n{all}");
}

#[test]
fn a_log_comes_line_by_line_and_ends_with_its_run() {
    let (api, gate, token) = under_way();
    let run = api.house.last("a").unwrap();
    let mut events = reader(&api, &token, &run.id);
    let head = until(&mut events, "event: run");
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"),
        "{head}"
    );
    until(&mut events, "\"state\":\"running\"");
    // A line that is written now comes without being asked for again.
    let line = envsyncd::state::LogLine {
        at: chrono::Utc::now(),
        level: "warn".to_owned(),
        task: String::new(),
        message: "planted </script><b>".to_owned(),
    };
    api.house.state().add_logs(&run.id, &[line]).unwrap();
    until(&mut events, "planted");
    gate.open();
    let rest = until(&mut events, "event: end");
    assert!(rest.contains("\"state\":\"succeeded\""), "{rest}");
    // Afterwards the same, in pages and as text.
    api.house.until_run("a", RunState::Succeeded);
    let all = api.get(&token, &format!("/api/v1/runs/{}/log", run.id));
    let items = all["items"].as_array().unwrap();
    assert_eq!(all["complete"], true);
    let page = api.get(
        &token,
        &format!("/api/v1/runs/{}/log?after=2&limit=1", run.id),
    );
    assert_eq!(page["items"][0], items[2]);
    let text = api
        .ask(
            &token,
            "GET",
            &format!("/api/v1/runs/{}/log", run.id),
            &["-H", "Accept: text/plain"],
        )
        .expect(200);
    assert_eq!(text.body.lines().count(), items.len());
    assert!(text.header("content-type").starts_with("text/plain"));
}

#[test]
fn three_hundred_readers_get_every_line_and_the_daemon_goes_on() {
    let (api, gate, token) = under_way();
    let run = api.house.last("a").unwrap();
    let mut readers: Vec<_> = (0..300).map(|_| reader(&api, &token, &run.id)).collect();
    let lines: Vec<_> = (0..50)
        .map(|number| envsyncd::state::LogLine {
            at: chrono::Utc::now(),
            level: "info".to_owned(),
            task: String::new(),
            message: format!("line {number} of many"),
        })
        .collect();
    api.house.state().add_logs(&run.id, &lines).unwrap();
    gate.open();
    for reader in &mut readers {
        let all = until(reader, "event: end");
        for number in 0..50 {
            assert_eq!(
                all.matches(&format!("line {number} of many")).count(),
                1,
                "{number}"
            );
        }
    }
    api.house.until_run("a", RunState::Succeeded);
    // Nobody kept the daemon from starting the next.
    api.post(&token, "/api/v1/jobs/a/runs", "{}").expect(202);
    api.house.until("it had run again", |house| {
        house
            .last("a")
            .is_some_and(|last| last.id != run.id && last.state == RunState::Succeeded)
    });
}

/// Reads to the end of a stream; what came.
fn rest(reader: &mut BufReader<UnixStream>) -> String {
    let mut all = String::new();
    reader.read_to_string(&mut all).expect("an end in time");
    all
}

#[test]
fn who_watches_with_a_token_that_is_revoked_sees_no_more() {
    let (api, gate, token) = under_way();
    let run = api.house.last("a").unwrap();
    let revoked = api.token(&["gone", "--scope", "read"]);
    let mut theirs = reader(&api, &revoked, &run.id);
    let mut first = overview(&api, &format!("Authorization: Bearer {revoked}"));
    let mut other = reader(&api, &token, &run.id);
    for watching in [&mut theirs, &mut other] {
        until(watching, "event: run");
    }
    until(&mut first, "event: overview");
    api.house.run(&["token", "revoke", "gone"]).expect(0);
    // Both end, the run goes on, and so does who may still watch.
    let said = rest(&mut theirs);
    assert!(!said.contains("event: end"), "{said}");
    rest(&mut first);
    gate.open();
    until(&mut other, "event: end");
    api.house.until_run("a", RunState::Succeeded);
}

#[test]
fn who_watches_with_what_ends_by_itself_sees_no_more() {
    let (api, gate, _) = under_way();
    let run = api.house.last("a").unwrap();
    let short = api.token(&["short", "--scope", "read", "--expires", "20s"]);
    let mut theirs = reader(&api, &short, &run.id);
    until(&mut theirs, "event: run");
    // A session that is over at its user's wish.
    let link = api.house.run(&["panel"]).expect(0).stdout;
    let link = link
        .trim()
        .split_once("/login")
        .expect("a link")
        .1
        .to_owned();
    let opened = api
        .ask("", "GET", &format!("/login{link}"), &[])
        .expect(303);
    let cookie = opened.header("set-cookie").split(';').next().unwrap();
    let mut first = overview(&api, &format!("Cookie: {cookie}"));
    until(&mut first, "event: overview");
    let page = api
        .ask("", "GET", "/", &["-H", &format!("Cookie: {cookie}")])
        .expect(200)
        .body;
    let csrf = page.split("name=csrf value=\"").nth(1).unwrap();
    let csrf = csrf.split('"').next().unwrap();
    let out = [
        "-H",
        &format!("Cookie: {cookie}"),
        "-d",
        &format!("csrf={csrf}"),
    ];
    api.ask("", "POST", "/logout", &out).expect(303);
    rest(&mut first);
    let said = rest(&mut theirs);
    assert!(!said.contains("event: end"), "{said}");
    gate.open();
    api.house.until_run("a", RunState::Succeeded);
}

/// A reader of what the first page is told.
fn overview(api: &Api, header: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(api.socket()).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    write!(
        stream,
        "GET /live HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    BufReader::new(stream)
}
