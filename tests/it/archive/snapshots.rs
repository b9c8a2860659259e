//! `envsyncd snapshots`: what lies in an archive, as a person or a script meets it.

use std::fs;

use envsyncd::config::job::StoreKind;
use envsyncd::guard::process::host_name;
use serde_json::Value;

use super::shelf::{BLOCK, Draft, KEY, Shelf, flip};
use crate::support::job::{Bed, Outcome, toml};

const WITH_KEY: &str = "key = { file = \"KEY_FILE\" }";

fn json(outcome: Outcome) -> Value {
    let value: Value = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    assert_eq!(value["version"], 1);
    value
}

/// What `verify` says of a snapshot that is bad: one line for each thing.
#[track_caller]
fn bad(shelf: &Shelf, name: &str, expected: &[&str]) {
    let outcome = shelf.run(&["verify", &shelf.url(), name]).expect(1);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{outcome:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("{name}: BAD: ")), "{line}");
        assert!(line.contains(expected), "{expected} in {line}");
    }
}

#[test]
fn a_list_has_all_there_is_newest_first() {
    let shelf = Shelf::new();
    let old = shelf.put(Draft::hours_ago(50));
    let new = shelf.put(Draft::hours_ago(3));
    let other = shelf.put(Draft::hours_ago(20).job("other").origin("staging"));
    let outcome = shelf.run(&["list", &shelf.url()]).expect(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{outcome:?}");
    for (line, name) in lines[1..].iter().zip([&new, &other, &old]) {
        assert!(line.starts_with(name.as_str()), "{line}");
        assert!(
            line.contains("sqlite 3.45.1") && line.ends_with("complete"),
            "{line}"
        );
    }
    assert!(
        lines[1].contains("3h ago") && lines[1].contains("60"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].contains("other") && lines[2].contains("staging"),
        "{}",
        lines[2]
    );
    let only = shelf
        .run(&["list", &shelf.url(), "--job", "other"])
        .expect(0);
    assert_eq!(only.stdout.lines().count(), 2, "{only:?}");
}

#[test]
fn a_list_says_what_is_wrong_and_what_is_not_finished() {
    let shelf = Shelf::new();
    let good = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let damaged = shelf.put(Draft::new("2026-01-02T00:00:00Z"));
    fs::write(shelf.file(&damaged, "manifest.json"), "{\"version\": 1").unwrap();
    let newer = shelf.put(Draft::new("2026-01-03T00:00:00Z"));
    fs::write(shelf.file(&newer, "manifest.json"), "{\"version\": 7}").unwrap();
    let replayed = shelf.put(Draft::new("2026-01-04T00:00:00Z"));
    fs::copy(
        shelf.file(&good, "manifest.json"),
        shelf.file(&replayed, "manifest.json"),
    )
    .unwrap();
    let unfinished = shelf.put(Draft::new("2026-01-05T00:00:00Z"));
    shelf.unfinish(&unfinished, "db7", 4242);
    shelf.run(&["list", &shelf.url()]).expect(0).says(&[
        &format!("{damaged}: the manifest is damaged"),
        &format!("{newer}: its format is 7, and this envsyncd reads up to 1"),
        &format!("{replayed}: its manifest is that of {good}"),
        &format!("{unfinished}: not finished: process 4242 on db7"),
    ]);
    let list = json(shelf.run(&["list", &shelf.url(), "--json"]).expect(0));
    assert_eq!(list["archive"], shelf.url());
    let states: Vec<(&str, &str)> = list["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            (replayed.as_str(), "misnamed"),
            (&newer, "newer"),
            (&damaged, "damaged"),
            (&good, "complete"),
        ]
    );
    let whole = &list["snapshots"][3];
    assert_eq!(
        (&whole["rows"], &whole["origin"]),
        (&60.into(), &"production".into())
    );
    assert_eq!(
        (&whole["kind"], &whole["taken_at"]),
        (&"sqlite".into(), &"2026-01-01T00:00:00Z".into())
    );
    assert_eq!(
        (&whole["authentic"], &whole["problem"]),
        (&Value::Null, &"".into())
    );
    assert_eq!(list["snapshots"][0]["rows"], Value::Null);
    assert_eq!(list["unfinished"][0]["name"], unfinished);
    assert_eq!(list["unfinished"][0]["pid"], 4242);
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
    named("users").expect(2).says(&["`users` is no archive"]);
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
fn a_snapshot_is_shown_with_its_tables_and_what_was_changed() {
    let shelf = Shelf::new();
    shelf.put(Draft::hours_ago(30));
    let name = shelf.put(Draft::hours_ago(2));
    let shown = shelf.run(&["show", &shelf.url(), "newest"]).expect(0);
    assert!(
        shown.stdout.starts_with(&format!("snapshot   {name}\n")),
        "{shown:?}"
    );
    shown.says(&[
        "origin     production, sqlite 3.45.1",
        "envsyncd 0.1.0 on db1",
        "alpha",
        "excluded: cache_x",
        "definitions/envsyncd.json.0000.zst: 21 B",
        "no key",
    ]);
    let show = json(
        shelf
            .run(&["show", &shelf.url(), &name, "--json"])
            .expect(0),
    );
    assert_eq!(show["snapshot"]["name"], name);
    assert_eq!(show["changes"][0]["fate"], "excluded");
    assert_eq!(show["tables"].as_array().unwrap().len(), 3);
    assert_eq!(show["tables"][0]["rows"], 20);
    let stored = shelf.file(&name, "rows/000000-alpha.0000.sql.zst");
    assert_eq!(
        show["tables"][0]["stored_bytes"],
        fs::metadata(stored).unwrap().len()
    );
}

#[test]
fn a_name_is_whole_or_enough_of_one() {
    let shelf = Shelf::new();
    let first = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let second = shelf.put(Draft::new("2026-01-01T10:00:00Z"));
    let show = |name: &str| shelf.run(&["show", &shelf.url(), name]);
    for text in [first.as_str(), "20260101T00", &first[first.len() - 12..]] {
        show(text).expect(0).says(&[&format!("snapshot   {first}")]);
    }
    show("20260101T")
        .expect(2)
        .says(&["any of 2 snapshots", &first, &second]);
    show("push").expect(2).says(&["no snapshot `push`"]);
    let slip = first.replace("0101", "0102");
    show(&slip)
        .expect(2)
        .says(&[&format!("no snapshot `{slip}`"), "did you mean `20260101T"]);
    show("").expect(2);
    shelf
        .run(&["show", &shelf.url()])
        .expect(2)
        .says(&["NAME is missing"]);
    shelf.run(&["show", &shelf.url(), "a", "b"]).expect(2);
    shelf.put(Draft::new("2026-01-02T00:00:00Z").job("other"));
    show("newest").expect(1).says(&[
        "push (production, sqlite)",
        "other (production, sqlite)",
        "--job",
    ]);
    shelf
        .run(&["show", &shelf.url(), "newest", "--job", "push"])
        .expect(0)
        .says(&[&second]);
}

#[test]
fn what_was_written_is_verified_as_good() {
    let shelf = Shelf::new();
    let old = shelf.put(
        Draft::hours_ago(20)
            .kind(StoreKind::Mysql)
            .file("empty", Vec::new()),
    );
    let new = shelf.put(Draft::hours_ago(2));
    let outcome = shelf.run(&["verify", &shelf.url(), &new]).expect(0);
    assert!(
        outcome
            .stdout
            .starts_with(&format!("{new}: good: 4 files, ")),
        "{outcome:?}"
    );
    let outcome = shelf.run(&["verify", &shelf.url(), "--all"]).expect(0);
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome:?}");
    outcome.says(&[&format!("{old}: good: 5 files, ")]);
    // What is in the way of nobody is worth a word.
    fs::write(shelf.file(&new, "rows/notes.txt"), "by hand").unwrap();
    shelf.run(&["verify", &shelf.url(), &new]).expect(0).says(&[
        &format!("{new}: warning: rows/notes.txt: "),
        &format!("{new}: good"),
    ]);
    let report = json(
        shelf
            .run(&["verify", &shelf.url(), &new, "--json"])
            .expect(0),
    );
    assert_eq!(report["snapshots"][0]["good"], true);
    assert_eq!(
        report["snapshots"][0]["warnings"][0]["path"],
        "rows/notes.txt"
    );
}

#[test]
fn whatever_was_done_to_a_file_is_found_and_named() {
    let shelf = Shelf::new();
    let (alpha, beta) = (
        "rows/000000-alpha.0000.sql.zst",
        "rows/000001-beta.0000.sql.zst",
    );
    let fresh = || shelf.put(Draft::hours_ago(2));
    let changed = fresh();
    flip(&shelf.file(&changed, alpha), 2 * BLOCK + 1);
    bad(&shelf, &changed, &[&format!("{alpha}: block 3 of ")]);
    let truncated = fresh();
    let content = fs::read(shelf.file(&truncated, beta)).unwrap();
    fs::write(shelf.file(&truncated, beta), &content[..BLOCK]).unwrap();
    bad(
        &shelf,
        &truncated,
        &[&format!(
            "{beta}: it has 16 bytes instead of {}",
            content.len()
        )],
    );
    let missing = fresh();
    fs::remove_file(shelf.file(&missing, alpha)).unwrap();
    bad(&shelf, &missing, &[&format!("{alpha}: it is not there")]);
    let swapped = shelf.put(
        Draft::hours_ago(2)
            .file("one", vec![1; 40])
            .file("two", vec![2; 40]),
    );
    let (one, two) = (
        "rows/000003-one.0000.sql.zst",
        "rows/000004-two.0000.sql.zst",
    );
    let between = shelf.bed.path("between");
    fs::rename(shelf.file(&swapped, one), &between).unwrap();
    fs::rename(shelf.file(&swapped, two), shelf.file(&swapped, one)).unwrap();
    fs::rename(&between, shelf.file(&swapped, two)).unwrap();
    bad(
        &shelf,
        &swapped,
        &[
            &format!("{one}: block 1 of 3"),
            &format!("{two}: block 1 of 3"),
        ],
    );
    let good = fresh();
    let outcome = shelf.run(&["verify", &shelf.url(), "--all"]).expect(1);
    assert_eq!(outcome.stdout.lines().count(), 6, "{outcome:?}");
    outcome.says(&[&format!("{good}: good"), &format!("{changed}: BAD: ")]);
    let report = json(
        shelf
            .run(&["verify", &shelf.url(), &missing, "--json"])
            .expect(1),
    );
    assert_eq!(report["snapshots"][0]["problems"][0]["path"], alpha);
}

#[test]
fn whatever_was_done_to_a_manifest_is_found() {
    let shelf = Shelf::new();
    let good = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let damaged = shelf.put(Draft::new("2026-01-02T00:00:00Z"));
    let manifest = shelf.file(&damaged, "manifest.json");
    let honest = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, &honest[..honest.len() / 2]).unwrap();
    bad(
        &shelf,
        &damaged,
        &["manifest.json: the manifest is damaged"],
    );
    // Nothing that it says leads out of its folder.
    fs::write(
        &manifest,
        honest.replace("rows/000000-alpha", "../../x/alpha"),
    )
    .unwrap();
    bad(
        &shelf,
        &damaged,
        &["manifest.json: the manifest is damaged"],
    );
    fs::write(
        &manifest,
        honest.replacen("\"version\": 1", "\"version\": 2", 1),
    )
    .unwrap();
    bad(&shelf, &damaged, &["manifest.json: its format is 2"]);
    fs::copy(shelf.file(&good, "manifest.json"), &manifest).unwrap();
    bad(
        &shelf,
        &damaged,
        &[&format!("manifest.json: its manifest is that of {good}")],
    );
    fs::write(&manifest, "").unwrap();
    let newest = shelf.run(&["verify", &shelf.url()]).expect(1);
    newest.says(&[
        &format!("{damaged}: BAD: manifest.json"),
        &format!("{good}: good"),
    ]);
    fs::remove_file(&manifest).unwrap();
    shelf
        .run(&["verify", &shelf.url()])
        .expect(0)
        .says(&[&format!("{good}: good")]);
    shelf
        .run(&["verify", &shelf.url(), &damaged])
        .expect(1)
        .says(&["has no manifest"]);
    shelf.run(&["verify", &shelf.url(), &good]).expect(0);
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
fn a_prune_takes_what_the_target_does_not_keep_and_nothing_else() {
    let shelf = Shelf::new();
    let old: Vec<String> = [100, 80, 60]
        .map(|hours| shelf.put(Draft::hours_ago(hours)))
        .into();
    let last: Vec<String> = [40, 20]
        .map(|hours| shelf.put(Draft::hours_ago(hours)))
        .into();
    let others = [
        shelf.put(Draft::hours_ago(200).job("push-2")),
        shelf.put(Draft::hours_ago(200).kind(StoreKind::Mysql)),
        shelf.put(Draft::hours_ago(200).origin("staging")),
    ];
    let damaged = shelf.put(Draft::hours_ago(5));
    fs::write(shelf.file(&damaged, "manifest.json"), "{").unwrap();
    let before = shelf.content();
    let dry = shelf
        .with_job("keep_last = 2", "prune", &["--dry-run"])
        .expect(0);
    assert_eq!(shelf.content(), before);
    for line in dry.stdout.lines().skip(1) {
        let goes = old.iter().any(|name| line.starts_with(name.as_str()));
        assert_eq!(line.contains("no rule keeps it"), goes, "{line}");
    }
    assert_eq!(dry.stdout.lines().count(), 7, "{dry:?}");
    dry.says(&[
        "the newest good one, keep_last: number 1",
        "keep_last: number 2",
        "not good, and not touched",
    ]);
    let plan = json(
        shelf
            .with_job("keep_last = 2", "prune", &["--dry-run", "--json"])
            .expect(0),
    );
    assert_eq!(
        (&plan["dry_run"], &plan["removed_bytes"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(shelf.content(), before);
    shelf
        .with_job("keep_last = 2", "prune", &[])
        .expect(0)
        .says(&[
            &format!("{} is gone", old[0]),
            "3 snapshots and 0 leftovers removed",
            &damaged,
        ]);
    let mut left: Vec<String> = [&last[..], &others, &[damaged]].concat();
    left.sort();
    assert_eq!(shelf.folders(), left);
    shelf
        .with_job("keep_last = 2", "prune", &[])
        .expect(0)
        .says(&["0 snapshots and 0 leftovers"]);
    assert_eq!(shelf.folders(), left);
}

#[test]
fn a_prune_never_takes_the_newest_good_one() {
    let shelf = Shelf::new();
    let newest = shelf.put(Draft::new("2020-01-02T00:00:00Z").key(KEY));
    shelf.put(Draft::new("2020-01-01T00:00:00Z").key(KEY));
    // Newer, and not to be trusted.
    let forged = shelf.put(Draft::hours_ago(1));
    let keys = format!("max_age = \"1d\", keep_last = 1, {WITH_KEY}");
    shelf
        .with_job(&keys, "prune", &[])
        .expect(0)
        .says(&["1 snapshots", "not authenticated"]);
    assert_eq!(shelf.folders(), [newest, forged]);
}

#[test]
fn a_prune_clears_what_dead_runs_left_and_not_what_is_being_written() {
    let shelf = Shelf::new();
    let here = host_name();
    let good = shelf.put(Draft::hours_ago(30));
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let by_dead = shelf.put(Draft::hours_ago(3));
    shelf.unfinish(&by_dead, &here, dead.id());
    let by_living = shelf.put(Draft::hours_ago(48));
    shelf.unfinish(&by_living, &here, std::process::id());
    shelf.age(&by_living, 47);
    let elsewhere = shelf.put(Draft::hours_ago(47));
    shelf.unfinish(&elsewhere, "elsewhere.example", 1);
    shelf.age(&elsewhere, 23);
    let long_ago = shelf.put(Draft::hours_ago(46));
    shelf.unfinish(&long_ago, "elsewhere.example", std::process::id());
    shelf.age(&long_ago, 25);
    let of_another = shelf.put(Draft::hours_ago(45).job("push-2"));
    shelf.unfinish(&of_another, &here, dead.id());
    let dry = shelf
        .with_job("keep_last = 1", "prune", &["--dry-run"])
        .expect(0);
    dry.says(&[
        "its run is gone",
        "nothing was added to it for a day",
        "it may be being written",
    ]);
    let pruned = shelf.with_job("keep_last = 1", "prune", &[]).expect(0);
    pruned.says(&["0 snapshots and 2 leftovers removed"]);
    let mut left = vec![good, by_living, elsewhere, of_another];
    left.sort();
    assert_eq!(shelf.folders(), left);
}

#[test]
fn a_prune_needs_a_job_that_says_what_is_kept() {
    let shelf = Shelf::new();
    shelf.put(Draft::hours_ago(30));
    shelf
        .with_job(WITH_KEY, "prune", &[])
        .expect(2)
        .says(&["keeps all its snapshots", "keep_last"]);
    shelf.run(&["prune", &shelf.url()]).expect(2);
    let target = format!("sqlite://{}", shelf.bed.path("to.db").display());
    let pull = crate::support::job::Job::between("sqlite", &shelf.url(), &target);
    let file = shelf.bed.job("pull", &pull);
    shelf
        .run(&["prune", "-f", file.to_str().unwrap()])
        .expect(2)
        .says(&["writes to no archive"]);
    assert_eq!(shelf.folders().len(), 1);
}

#[test]
fn a_fetched_snapshot_is_the_same_snapshot() {
    let shelf = Shelf::new();
    shelf.put(Draft::hours_ago(3).key(KEY));
    let name = shelf.put(Draft::hours_ago(2).key(KEY).file("empty", Vec::new()));
    let to = shelf.bed.path("to here");
    let fetched = shelf
        .with_job(WITH_KEY, "fetch", &["newest", to.to_str().unwrap()])
        .expect(0);
    assert!(
        fetched.stdout.starts_with(to.join(&name).to_str().unwrap()),
        "{fetched:?}"
    );
    for file in shelf.files(&name) {
        let path = file.strip_prefix(shelf.path()).unwrap();
        assert_eq!(
            fs::read(to.join(path)).unwrap(),
            fs::read(&file).unwrap(),
            "{}",
            path.display()
        );
    }
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    let url = format!("file://{}", to.display()).replace(' ', "%20");
    shelf.run(&["verify", &url]).expect(0);
    // It is not written over.
    shelf
        .with_job(WITH_KEY, "fetch", &[&name, to.to_str().unwrap()])
        .expect(2)
        .says(&["already"]);
    shelf.run(&["verify", &url]).expect(0);
    let other = shelf.bed.path("other");
    let report = json(
        shelf
            .run(&[
                "fetch",
                &shelf.url(),
                &name,
                other.to_str().unwrap(),
                "--json",
            ])
            .expect(0),
    );
    assert_eq!(
        (&report["name"], &report["files"]),
        (&name.clone().into(), &5.into())
    );
}

#[test]
fn what_is_damaged_is_not_fetched_and_leaves_nothing() {
    let shelf = Shelf::new();
    let name = shelf.put(Draft::hours_ago(2));
    let last = "rows/000002-gamma.0000.sql.zst";
    let length = fs::metadata(shelf.file(&name, last)).unwrap().len();
    flip(&shelf.file(&name, last), length as usize - 1);
    let to = shelf.bed.path("to");
    let fetch = || shelf.run(&["fetch", &shelf.url(), &name, to.to_str().unwrap()]);
    fetch().expect(1).says(&[last, "block"]);
    assert!(!to.join(&name).exists());
    // What somebody else has there stays.
    fs::create_dir_all(to.join("other")).unwrap();
    flip(&shelf.file(&name, last), length as usize - 1);
    fs::remove_file(shelf.file(&name, "rows/000000-alpha.0000.sql.zst")).unwrap();
    fetch()
        .expect(1)
        .says(&["rows/000000-alpha.0000.sql.zst", "not there"]);
    assert!(!to.join(&name).exists() && to.join("other").exists());
    shelf
        .run(&["fetch", &shelf.url(), "newest", "/proc/nowhere"])
        .expect(1);
}

#[test]
fn a_large_snapshot_is_verified_and_fetched_in_little_memory() {
    let shelf = Shelf::new();
    let mut content = vec![0; 48 << 20];
    for (place, byte) in content.iter_mut().enumerate() {
        *byte = (place / 7919) as u8;
    }
    let name = shelf.put(
        Draft::hours_ago(1)
            .large("large", &content)
            .large("larger", &content),
    );
    drop(content);
    let to = shelf.bed.path("to");
    for verb in [
        vec!["snapshots", "verify", &shelf.url(), &name],
        vec![
            "snapshots",
            "fetch",
            &shelf.url(),
            &name,
            to.to_str().unwrap(),
        ],
    ] {
        let mut running = shelf.bed.spawn(shelf.bed.command().args(&verb));
        let mut peak = 0;
        while running.is_running() {
            peak = peak.max(running.peak_memory());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        running.end().expect(0);
        assert!(peak > 0 && peak < 64 << 20, "{verb:?}: {peak} bytes");
    }
}

#[test]
fn a_fetch_that_is_cancelled_leaves_nothing() {
    let shelf = Shelf::new();
    let content = vec![7; 64 << 20];
    let name = shelf.put(Draft::hours_ago(1).large("large", &content));
    let to = shelf.bed.path("to");
    let running = shelf.bed.spawn(
        shelf
            .bed
            .command()
            .args(["snapshots", "fetch", &shelf.url(), &name])
            .arg(&to),
    );
    crate::support::wait_until("something is written", || to.join(&name).exists());
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let outcome = running.end();
    // It may have been done by then.
    if outcome.code == Some(0) {
        assert!(to.join(&name).join("manifest.json").exists());
    } else {
        assert_eq!(outcome.code, Some(143), "{outcome:?}");
        assert!(!to.join(&name).exists());
    }
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
