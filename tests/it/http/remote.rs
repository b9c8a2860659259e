//! `--server`: the command line as a client of another host's daemon.

use envsyncd::state::RunState;

use crate::support::api::Api;
use crate::support::job::Outcome;

/// A verb, asked of the daemon behind a port.
fn ask(api: &Api, port: u16, token: &str, arguments: &[&str]) -> Outcome {
    let mut command = api.house.bed.command();
    command
        .arg("--server")
        .arg(format!("http://127.0.0.1:{port}"))
        .args(arguments)
        .env("ENVSYNCD_TOKEN", token)
        // What is here is not there.
        .env("ENVSYNCD_STATE_DIR", api.house.bed.path("elsewhere"));
    api.house.bed.spawn(&mut command).end()
}

#[test]
fn another_host_s_jobs_are_run_watched_paused_and_its_environments_held() {
    let (api, port) = Api::at_port(false);
    let token = api.token(&["deploy", "--scope", "run"]);
    let ask = |arguments: &[&str]| ask(&api, port, &token, arguments);
    let id = ask(&["trigger", "a", "--wait"]).expect(0).stdout;
    let run = api.house.last("a").unwrap();
    assert_eq!((run.id.as_str(), run.by.as_str()), (id.trim(), "deploy"));
    assert_eq!(run.state, RunState::Succeeded);
    let status = ask(&["status"]).expect(0).stdout;
    assert!(
        status.contains("production -> staging") && status.contains("succeeded"),
        "{status}"
    );
    let history = ask(&["history", "--json"]).expect(0).stdout;
    assert!(history.contains(id.trim()), "{history}");
    let show = ask(&["show", "a"]).expect(0).stdout;
    assert!(
        show.contains(id.trim()) && show.contains("sqlite"),
        "{show}"
    );
    let logs = ask(&["logs", "a", "--follow"]).expect(0).stdout;
    assert!(logs.contains("run succeeded"), "{logs}");
    ask(&["hold", "stage", "--reason", "release 42"]).expect(0);
    ask(&["trigger", "a"]).expect(75).says(&["release 42"]);
    ask(&["release", "staging"]).expect(0);
    ask(&["pause", "a", "--reason", "load test", "--for", "2h"]).expect(0);
    ask(&["trigger", "a"]).expect(75).says(&["load test"]);
    ask(&["resume", "a"]).expect(0);
    ask(&["pause", "--all", "--reason", "x"])
        .expect(3)
        .says(&["takes `admin`"]);
    ask(&["trigger", "c"])
        .expect(2)
        .says(&["there is no job `c`"]);
    ask(&["cancel", "a"]).expect(75).says(&["has ended"]);
    ask(&["trigger", "site:main production->staging", "--wait"]).expect(0);
    api.house
        .until_run("site:main production->staging", RunState::Succeeded);
    // Nothing of it was done here.
    assert!(!api.house.bed.path("elsewhere").exists());
}

#[test]
fn a_token_is_sent_to_nobody_in_the_clear_and_a_wrong_one_is_refused() {
    let (api, port) = Api::at_port(false);
    let run = |server: &str, token: &str, verb: &[&str]| {
        let mut command = api.house.bed.command();
        command
            .args(["--server", server])
            .args(verb)
            .env("ENVSYNCD_TOKEN", token);
        api.house.bed.spawn(&mut command).end()
    };
    let here = format!("http://127.0.0.1:{port}");
    run("http://db2.example:8463", "envsyncd_x", &["status"])
        .expect(2)
        .says(&["without TLS"]);
    run("ftp://127.0.0.1", "envsyncd_x", &["status"])
        .expect(2)
        .says(&["https"]);
    run("nonsense", "envsyncd_x", &["status"])
        .expect(2)
        .says(&["no URL"]);
    run(&here, "", &["status"])
        .expect(2)
        .says(&["ENVSYNCD_TOKEN"]);
    run(&here, "envsyncd_x", &["status"])
        .expect(3)
        .says(&["unknown, expired or revoked"]);
    run(&here, "envsyncd_x", &["validate"])
        .expect(2)
        .says(&["does not work with --server"]);
    run("http://127.0.0.1:1", "envsyncd_x", &["status"])
        .expect(1)
        .says(&["does not answer"]);
    // A file has it, too.
    let token = api.token(&["reader", "--scope", "read"]);
    let file = api.house.bed.file("token", &format!("{token}\n"));
    let mut command = api.house.bed.command();
    command
        .args(["--server", &here, "status", "--token-file"])
        .arg(file);
    api.house
        .bed
        .spawn(command.env_remove("ENVSYNCD_TOKEN"))
        .end()
        .expect(0);
}
