//! The audit list: what people had done at this host's command line, and what was refused.

use serde_json::Value;

use crate::support::api::Api;
use crate::support::daemon::House;

/// The audit list, the oldest first.
fn audited(house: &House) -> Vec<Value> {
    let audit = house.json(&["history", "--audit", "--json"]);
    let mut entries = audit["entries"].as_array().unwrap().clone();
    entries.reverse();
    entries
}

/// What the newest entry says was done to what, and what came of it.
fn last(house: &House) -> [String; 3] {
    let entries = audited(house);
    let entry = entries.last().expect("an entry");
    ["action", "object", "outcome"].map(|key| entry[key].as_str().unwrap().to_owned())
}

#[test]
fn a_run_by_hand_is_in_the_audit_list_with_its_user_and_its_outcome_and_a_question_is_not() {
    let house = House::new("");
    house.job("a");
    let file = house.file("a");
    let file = file.to_str().unwrap();
    for question in ["plan", "validate"] {
        house.run(&[question, "-f", file]).expect(0);
    }
    house.run(&["status"]);
    assert_eq!(audited(&house), Vec::<Value>::new());
    house.run(&["run", "-f", file]).expect(0);
    let entries = audited(&house);
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).unwrap().unwrap().name;
    assert_eq!(entry["who"], user);
    assert_eq!(entry["via"], "cli");
    assert_eq!(entry["address"], format!("uid {uid}"));
    let run = house.last("a").unwrap();
    let object = format!("job `a`, run {}", run.id);
    assert_eq!(last(&house), ["run", &object, "ok"]);
    // As the table says it.
    let text = house.run(&["history", "--audit"]).expect(0).stdout;
    assert!(text.contains(&format!("cli uid {uid}")), "{text}");
    house.run(&["--once", "-f", file]).expect(0);
    let run = house.last("a").unwrap();
    let object = format!("job `a`, run {}", run.id);
    assert_eq!(last(&house), ["run", &object, "ok"]);
    house.run(&["rollback", "-f", file]).expect(0);
    assert_eq!(last(&house)[0], "rollback");
    assert_eq!(audited(&house).len(), 3);
}

#[test]
fn what_came_of_a_run_by_hand_is_said_however_it_ended() {
    let house = House::new("");
    let gate = house.bed.gate("a");
    house.put("a", &house.draft("a").hooks(&gate.maintenance()));
    let file = house.file("a");
    let file = file.to_str().unwrap();
    // While it goes on, and after it was killed, it has begun.
    let running = house.bed.spawn(&mut house.command(&["run", "-f", file]));
    house.until("the run was under way", |_| gate.is_reached());
    let run = house.last("a").unwrap();
    let object = format!("job `a`, run {}", run.id);
    assert_eq!(last(&house), ["run", &object, "begun"]);
    running.kill();
    assert_eq!(last(&house), ["run", &object, "begun"]);
    gate.open();
    // What fails says why.
    std::fs::remove_file(house.bed.path("source.db")).unwrap();
    let failed = house.run(&["run", "-f", file]);
    assert_ne!(failed.code, Some(0));
    let [action, _, outcome] = last(&house);
    assert_eq!(action, "run");
    assert_eq!(outcome, house.last("a").unwrap().message);
    // And what is refused before it is a run.
    let before = audited(&house).len();
    house.run(&["run", "-f", file, "--only", "nothing"]);
    assert_eq!(last(&house)[1], "job `a`");
    std::fs::write(house.file("b"), "from = 7").unwrap();
    let broken = house.file("b");
    house
        .run(&["run", "-f", broken.to_str().unwrap()])
        .expect(2);
    let [action, object, outcome] = last(&house);
    assert_eq!([&action, &object], ["run", "job `b`"]);
    assert!(outcome.contains("b.toml"), "{outcome}");
    assert_eq!(audited(&house).len(), before + 2);
}

#[test]
fn a_request_for_a_job_that_cannot_be_had_is_audited_as_refused() {
    let mut api = Api::draft("");
    std::fs::create_dir_all(api.house.bed.path("jobs")).unwrap();
    std::fs::write(api.house.file("broken"), "from = 7").unwrap();
    api.house.job("a");
    api.house.start();
    let token = api.token(&["deploy", "--scope", "run"]);
    let limited = api.token(&["limited", "--scope", "run", "--to", "integration"]);
    let before = audited(&api.house).len();
    let ask = |token: &str, job: &str| {
        let answer = api.post(token, &format!("/api/v1/jobs/{job}/runs"), "{}");
        assert!(answer.status >= 400, "{}", answer.body);
        let entries = audited(&api.house);
        let entry = entries.last().unwrap().clone();
        let texts = ["who", "action", "object", "outcome"];
        texts.map(|key| entry[key].as_str().unwrap().to_owned())
    };
    let [who, action, object, outcome] = ask(&token, "broken");
    assert_eq!([&who, &action, &object], ["deploy", "run", "job `broken`"]);
    assert!(outcome.contains("broken.toml"), "{outcome}");
    let [_, _, object, outcome] = ask(&token, "nothing");
    assert_eq!(object, "job `nothing`");
    assert!(outcome.contains("there is no job"), "{outcome}");
    let [who, _, object, outcome] = ask(&limited, "a");
    assert_eq!([&who, &object], ["limited", "job `a`"]);
    assert!(outcome.contains("is limited to"), "{outcome}");
    api.house.run(&["trigger", "broken"]).expect(2);
    let [action, object, outcome] = last(&api.house);
    assert_eq!([&action, &object], ["run", "job `broken`"]);
    assert!(outcome.contains("broken.toml"), "{outcome}");
    assert_eq!(audited(&api.house).len(), before + 4);
    // What the daemon starts is in the list once, as it was asked for.
    api.house.run(&["trigger", "a", "--wait"]).expect(0);
    assert_eq!(audited(&api.house).len(), before + 5);
}
