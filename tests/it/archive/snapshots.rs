//! `envsyncd snapshots`: what lies in an archive, as a person or a script meets it.

mod bucket;
mod fetch;
mod list;
mod prune;
mod show;
mod verify;

use std::fs;

use serde_json::Value;

use super::shelf::{Draft, KEY, Shelf};
use crate::support::job::{Bed, Outcome, toml};

const WITH_KEY: &str = "key = { file = \"KEY_FILE\" }";

fn json(outcome: Outcome) -> Value {
    let value: Value = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    assert_eq!(value["version"], 1);
    value
}

#[test]
fn an_archive_that_is_not_there_yet_has_no_snapshots() {
    let shelf = Shelf::new();
    shelf
        .run(&["list", &shelf.url()])
        .expect(0)
        .says(&["no snapshots in file:///"]);
    let list = json(shelf.run(&["list", &shelf.url(), "--json"]).expect(0));
    assert_eq!(list["snapshots"], Value::Array(Vec::new()));
    shelf
        .run(&["show", &shelf.url(), "newest"])
        .expect(1)
        .says(&["no whole snapshot"]);
    shelf
        .run(&["verify", &shelf.url(), "--all"])
        .expect(1)
        .says(&["no snapshot"]);
    assert!(!shelf.path().exists());
}

#[test]
fn an_archive_is_a_jobs_a_named_one_or_a_url() {
    let shelf = Shelf::new();
    let name = shelf.put(Draft::hours_ago(1));
    let settings = shelf.bed.file(
        "envsyncd.toml",
        &format!(
            "[environments.production]\n[endpoints.backups]\nurl = {}\n[endpoints.users]\nenvironment = \"production\"\nurl = \"sqlite:///srv/users.db\"\n",
            toml(&shelf.url())
        ),
    );
    let settings = settings.to_str().unwrap();
    let named = |archive| shelf.run(&["--config", settings, "list", archive]);
    named("backups").expect(0).says(&[&name]);
    named("backup").expect(2).says(&["did you mean `backups`"]);
    named("users")
        .expect(2)
        .says(&["`users` is not an archive"]);
    let path = shelf.path();
    named(path.to_str().unwrap())
        .expect(2)
        .says(&[&shelf.url()]);
    named("postgresql://u@h/d").expect(2);
    shelf
        .with_job("keep_last = 1", "list", &[])
        .expect(0)
        .says(&[&name]);
    shelf.run(&["list"]).expect(2).says(&["which archive"]);
    let outcome = shelf
        .with_job("keep_last = 1", "list", &[&shelf.url()])
        .expect(2);
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
    // A job between servers, and one whose tasks write to several archives.
    let file = shelf.bed.file(
        "plain.toml",
        "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"sqlite\"\nsource = \"sqlite:///a.db\"\ntarget = \"sqlite:///b.db\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n",
    );
    let plain = shelf.run(&["list", "-f", file.to_str().unwrap()]);
    plain.expect(2).says(&["no task of job `plain`"]);
    let other = format!("file://{}", shelf.bed.path("other").display());
    let file = shelf.bed.file(
        "two.toml",
        &format!(
            "from = \"production\"\n[[task]]\nname = \"a\"\nkind = \"sqlite\"\nsource = \"sqlite:///a.db\"\ntarget = {}\n[[task]]\nname = \"b\"\nkind = \"sqlite\"\nsource = \"sqlite:///b.db\"\ntarget = {}\n[environments.production]\n",
            toml(&shelf.url()),
            toml(&other)
        ),
    );
    let two = |more: &[&str]| {
        let mut all = vec!["list", "-f", file.to_str().unwrap()];
        all.extend(more);
        shelf.run(&all)
    };
    two(&[])
        .expect(2)
        .says(&["2 tasks with an archive", "--task a or --task b"]);
    two(&["--task", "a"]).expect(0).says(&[&name]);
    two(&["--task", "b"]).expect(0).says(&["no snapshots in"]);
    two(&["--task", "c"]).expect(2).says(&["no task `c`"]);
}

#[test]
fn with_a_key_only_what_was_written_with_it_is_good() {
    let shelf = Shelf::new();
    let name = shelf.put(Draft::hours_ago(1).key(KEY));
    let verify = |keys: &str| shelf.with_job(keys, "verify", &[&name]);
    verify(WITH_KEY).expect(0).says(&["good", "authentic"]);
    verify("keep_last = 1")
        .expect(0)
        .says(&["no key to check who wrote it"]);
    verify("key = { file = \"OTHER_KEY_FILE\" }")
        .expect(1)
        .says(&["manifest.mac: it is not authentic"]);
    verify("key = { file = \"NO_SUCH_FILE\" }")
        .expect(1)
        .says(&["NO_SUCH_FILE"]);
    shelf
        .with_job(WITH_KEY, "show", &["newest"])
        .expect(0)
        .says(&["authentic  yes"]);
    let list = json(shelf.with_job(WITH_KEY, "list", &["--json"]).expect(0));
    assert_eq!(list["snapshots"][0]["authentic"], true);
    // A manifest that agrees with changed files, but was not written by who has the key.
    let manifest = shelf.file(&name, "manifest.json");
    let honest = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, honest.replace("\"production\"", "\"staging\"")).unwrap();
    verify(WITH_KEY).expect(1).says(&["it is not authentic"]);
    verify("keep_last = 1").expect(0);
    fs::write(&manifest, honest).unwrap();
    verify(WITH_KEY).expect(0);
    fs::remove_file(shelf.file(&name, "manifest.mac")).unwrap();
    verify(WITH_KEY)
        .expect(1)
        .says(&["manifest.mac: it is not authenticated"]);
    shelf
        .with_job(WITH_KEY, "list", &[])
        .expect(0)
        .says(&["not authentic"]);
    let outcome = shelf.with_job(
        WITH_KEY,
        "fetch",
        &["newest", shelf.bed.path("to").to_str().unwrap()],
    );
    outcome.expect(1).says(&["not authenticated"]);
    assert!(!shelf.bed.path("to").join(&name).exists());
}

#[test]
fn no_secret_is_said() {
    let shelf = Shelf::new();
    let name = shelf.put(Draft::hours_ago(1).key(KEY));
    for verb in [
        vec!["list", "-vv"],
        vec!["show", &name, "--json"],
        vec!["verify", &name, "-vv"],
    ] {
        let outcome = shelf.with_job(WITH_KEY, verb[0], &verb[1..]);
        assert!(
            !outcome.stdout.contains(KEY) && !outcome.stderr.contains(KEY),
            "{outcome:?}"
        );
    }
    let bed = Bed::new();
    let outcome = bed.run(&["snapshots", "list", "s3://AKIAKEY:hunter2@bucket/x"]);
    assert_eq!(outcome.code, Some(2));
    assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
}

#[test]
fn what_was_pushed_is_good_and_is_pulled_from_where_it_was_fetched_to() {
    let scene = super::Scene::new();
    scene.bed.file("KEY_FILE", KEY);
    let push = scene.bed.job("push", &scene.push_with(WITH_KEY));
    scene.bed.once(&push).expect(0);
    let push = push.to_str().unwrap();
    let verify = scene.bed.run(&["snapshots", "verify", "-f", push, "--all"]);
    verify.expect(0).says(&["good", "authentic"]);
    let show = scene.bed.run(&["snapshots", "show", "-f", push, "newest"]);
    show.expect(0).says(&["public.users", "postgresql"]);
    let to = scene.bed.path("to");
    let fetched = [
        "snapshots",
        "fetch",
        "-f",
        push,
        "newest",
        to.to_str().unwrap(),
    ];
    scene.bed.run(&fetched).expect(0);
    fs::remove_dir_all(scene.archive()).unwrap();
    fs::rename(&to, scene.archive()).unwrap();
    scene.once("pull", &scene.pull_with(WITH_KEY)).expect(0);
    scene.live_is_new();
}
