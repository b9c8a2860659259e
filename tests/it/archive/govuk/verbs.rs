//! The verbs about archives, and what is wrong in a job file.

use super::{DATABASE, Dumped};
use crate::support::job::{Job, toml};

#[test]
fn dumps_are_listed_and_fetched_and_the_rest_is_refused() {
    let dumped = Dumped::new();
    let names = [
        format!("2026-01-02T030405Z-{DATABASE}.gz"),
        format!("2026-01-03T030405Z-{DATABASE}.gz"),
        "2026-01-04T03:04:05-other.gz".to_owned(),
    ];
    for name in &names {
        dumped.dump(name);
    }
    std::fs::write(dumped.file("README"), "x").unwrap();
    std::fs::write(dumped.file(&format!("latest-{DATABASE}.txt")), &names[0]).unwrap();
    let job = dumped.scene.bed.job("pull", &dumped.pull());
    let job = job.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let mut all = vec!["snapshots"];
        all.extend(arguments);
        dumped.scene.bed.run(&all)
    };
    let listed = run(&["list", "-f", job]).expect(0).stdout;
    assert!(
        listed.contains(&names[0]) && listed.contains(&names[1]),
        "{listed}"
    );
    assert!(!listed.contains("README"), "{listed}");
    let json = run(&["list", "-f", job, "--json"]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["dumps"][0]["name"], names[1].as_str());
    assert_eq!(json["dumps"][0]["latest"], false);
    assert_eq!(json["dumps"][1]["latest"], true);
    assert_eq!(
        json["dumps"].as_array().unwrap().len(),
        2,
        "of the job's database alone"
    );
    let to = dumped.scene.bed.path("fetched");
    std::fs::create_dir(&to).unwrap();
    let place = to.to_str().unwrap();
    run(&["fetch", "-f", job, "newest", place]).expect(0);
    assert_eq!(
        std::fs::read(to.join(&names[0])).unwrap(),
        std::fs::read(dumped.file(&names[0])).unwrap()
    );
    run(&["fetch", "-f", job, &names[1], place]).expect(0);
    run(&["fetch", "-f", job, &names[1], place]).expect(2);
    // By a URL alone, of all databases.
    let url = dumped.scene.archive_url();
    let listed = run(&["list", &url]).expect(0).stdout;
    assert!(listed.contains(&names[2]), "{listed}");
    run(&["fetch", &url, &names[2], place]).expect(0);
    for verb in ["show", "verify", "prune"] {
        let arguments: &[&str] = match verb {
            "show" => &["show", "-f", job, "newest"],
            "verify" => &["verify", "-f", job],
            _ => &["prune", "-f", job],
        };
        run(arguments).expect(2);
    }
    let push = dumped.scene.bed.job("push", &dumped.push());
    run(&["prune", "-f", push.to_str().unwrap()])
        .expect(2)
        .says(&["format = \"govuk\""]);
    run(&["show", "-f", job, "newest"])
        .expect(2)
        .says(&["format = \"govuk\"", "no manifest"]);
}

#[test]
fn what_does_not_go_with_dumps_is_said_at_its_key() {
    let dumped = Dumped::new();
    let target = toml(&dumped.scene.target_url());
    let source = toml(&dumped.scene.source_url());
    dumped.scene.bed.file("s", "x");
    let url = toml(&dumped.scene.archive_url());
    for (keys, said) in [
        (
            "key = { file = \"s\" }",
            "no manifest that could be authenticated",
        ),
        ("identity = { file = \"s\" }", "others could not read"),
        ("job = \"x\"", "does not say what job"),
        ("database = \"a/b\"", "cannot stand in a file's name"),
        ("snapshot = \"latest\"", "is not a dump's name"),
        ("snapshot = \"../x\"", "is not a dump's name"),
    ] {
        let archive = format!("{{ url = {url}, format = \"govuk\", {keys} }}");
        dumped
            .once("pull", &Job::new("postgresql", &archive, &target))
            .expect(2)
            .says(&[said]);
    }
    for (keys, said) in [
        (
            "keep_last = 3",
            "what is kept there is decided by those who share it",
        ),
        ("max_age = \"3d\"", "what is kept there"),
    ] {
        let archive = format!("{{ url = {url}, format = \"govuk\", {keys} }}");
        dumped
            .once("push", &Job::new("postgresql", &source, &archive))
            .expect(2)
            .says(&[said]);
    }
    for (keys, said) in [
        ("format = \"tar\"", "envsyncd | govuk"),
        ("database = \"x\"", "is for format = \"govuk\""),
    ] {
        let archive = format!("{{ url = {url}, {keys} }}");
        dumped
            .once("pull", &Job::new("postgresql", &archive, &target))
            .expect(2)
            .says(&[said]);
    }
    let archive = format!("{{ url = {url}, format = \"govuk\", database = \"x\" }}");
    let file = format!("sqlite://{}", dumped.scene.bed.path("x.db").display());
    dumped
        .once("pull", &Job::new("sqlite", &archive, &toml(&file)))
        .expect(2)
        .says(&["sqlite has no dumps"]);
}
