//! Logs and progress as they come.

use std::io::{BufRead as _, BufReader, Write as _};
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
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    write!(
        stream,
        "GET /api/v1/runs/{run}/log HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n"
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
