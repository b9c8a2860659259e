//! `hold` and `release`.

use super::*;

#[test]
fn a_hold_stays_until_it_is_released_and_a_second_one_is_told_who_has_it() {
    let site = Site::new();
    let said = site.says(&["hold", "staging", "--reason", "release\n42"]);
    assert!(said.contains("envsyncd release staging"), "{said}");
    let (code, said) = site.fails(&["hold", "staging", "--reason", "mine", "-q"]);
    assert_eq!(code, 75);
    assert!(
        said.contains("release 42") && said.contains(&host_name()),
        "{said}"
    );
    assert!(site.says(&["release", "staging"]).contains("release 42"));
    let output = site.output(&["release", "staging"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("nobody holds `staging`"));
    assert_eq!(
        site.output(&["hold", "staging", "--reason", " "])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn an_environment_cannot_be_held_while_a_run_writes_into_it() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "app", &Process::own());
    let (code, said) = site.fails(&["hold", "staging", "--reason", "r", "--", "touch", "ran"]);
    assert_eq!(code, 75);
    assert!(said.contains("0199-1") && said.contains("`app`"), "{said}");
    assert_eq!(site.state().hold_on("staging").unwrap(), None);
}

#[test]
fn the_release_of_an_environment_that_there_is_not_is_no_release() {
    let site = Site::new();
    std::fs::write(
        site.root.path().join("envsyncd.toml"),
        "[environments.production]\n[environments.staging]\nparent = \"production\"\n",
    )
    .unwrap();
    let config = site.root.path().join("envsyncd.toml");
    let config = ["--config", config.to_str().unwrap()];
    site.says(&[&config[..], &["hold", "staging", "--reason", "deploy"]].concat());
    let (code, said) = site.fails(&[&config[..], &["release", "stagin"]].concat());
    assert_eq!(code, 2);
    assert!(
        said.contains("`stagin` is not defined") && said.contains("did you mean `staging`?"),
        "{said}"
    );
    assert!(site.state().hold_on("staging").unwrap().is_some());
    site.says(&[&config[..], &["release", "staging"]].concat());
}

/// `hold staging -- sh -c SCRIPT`, once the script has said `ready`.
fn held(site: &Site, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = site
        .command(&[
            "hold", "staging", "--reason", "deploy", "--", "sh", "-c", script,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

#[test]
fn a_hold_around_a_command_lasts_as_long_as_it_and_forwards_its_exit_code() {
    let site = Site::new();
    let state = site.state();
    let (mut child, _out) = held(&site, "echo ready; read line; exit 7");
    let hold = state.hold_on("staging").unwrap().unwrap();
    assert_eq!(
        (hold.reason.as_str(), hold.process.is_some()),
        ("deploy", true)
    );
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(state.hold_on("staging").unwrap(), None);
    assert!(
        site.says(&["hold", "staging", "--reason", "next"])
            .contains("is held")
    );
}

#[test]
fn a_signal_reaches_the_command_and_the_hold_ends_however_the_command_does() {
    let site = Site::new();
    let state = site.state();
    let (mut child, mut out) = held(
        &site,
        "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done",
    );
    let signal = |child: &Child, name: &str| {
        let status = Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    };
    signal(&child, "TERM");
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    assert_eq!(said, "caught\n");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(state.hold_on("staging").unwrap(), None);

    let (mut child, _out) = held(&site, "echo ready; read line");
    assert!(state.hold_on("staging").unwrap().is_some());
    signal(&child, "KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    assert_eq!(state.hold_on("staging").unwrap(), None);
}

#[test]
fn a_hold_on_a_name_that_no_run_ever_had_says_so() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "app", &dead());
    let output = site.output(&["hold", "stagign", "--reason", "r"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("`stagign`"), "{output:?}");
    let output = site.output(&["hold", "staging", "--reason", "r"]);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_command_that_cannot_be_started_leaves_no_hold() {
    let site = Site::new();
    let (code, said) = site.fails(&[
        "hold",
        "production",
        "--reason",
        "r",
        "--",
        "/no/such/program",
    ]);
    assert_eq!(code, 127);
    assert!(said.contains("/no/such/program"), "{said}");
    let file = site.root.path().join("jobs/no-program");
    std::fs::write(&file, "").unwrap();
    let (code, _) = site.fails(&[
        "hold",
        "production",
        "--reason",
        "r",
        "--",
        file.to_str().unwrap(),
    ]);
    assert_eq!(code, 126);
    assert_eq!(site.state().holds().unwrap(), []);
}
