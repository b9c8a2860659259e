//! Snapshots of one job store what has not changed only once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Shelf, by_hand, facts, odd};
use crate::support::job::{Job, Outcome, toml};
use crate::support::postgres::Must as _;
use crate::support::s3::{Remote, SECRET, shared};

/// All files below a folder, with their lengths.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), path.metadata().expect("a file").len());
            }
        }
    }
    found
}

fn bytes(folder: &Path) -> u64 {
    files(folder).values().sum()
}

fn pooled(shelf: &Shelf) -> BTreeMap<PathBuf, u64> {
    files(&shelf.archive().join("pool"))
}

/// A tree of so many files that do not get smaller by compression, all of them old enough to be trusted.
fn many(shelf: &Shelf, count: u32) {
    let mut state = 7_u64;
    for number in 0..count {
        let content: String = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b' ' + (state >> 33) as u8 % 90)
        })
        .take(4000)
        .collect();
        let path = shelf
            .trees
            .source(&format!("{:02}/{number:05}", number % 40));
        fs::create_dir_all(path.parent().expect("one")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    settle();
}

/// What was changed within the last tick of the clock may be changed again unseen, and is read again.
fn settle() {
    std::thread::sleep(Duration::from_millis(60));
}

/// What a push adds to the archive.
fn added(shelf: &Shelf, keys: &str, lines: &str) -> (u64, Outcome) {
    let before = bytes(&shelf.archive());
    let outcome = shelf.push(keys, lines).expect(0);
    (bytes(&shelf.archive()) - before, outcome)
}

/// A pull of the snapshot with this place, from the oldest on, into a fresh tree.
fn pull_of(shelf: &Shelf, place: usize) -> BTreeMap<PathBuf, String> {
    let folder = shelf.snapshots()[place].clone();
    let name = folder
        .file_name()
        .expect("one")
        .to_str()
        .expect("text")
        .to_owned();
    let _ = fs::remove_dir_all(shelf.trees.live(""));
    shelf
        .pull(
            &format!(", snapshot = {}", toml(&name)),
            "verify = \"rows\"",
        )
        .expect(0);
    facts(&shelf.trees.live(""))
}

fn verify_all(shelf: &Shelf) -> Outcome {
    let url = format!("file://{}", shelf.archive().display());
    shelf.trees.bed.run(&["snapshots", "verify", &url, "--all"])
}

#[test]
fn a_tree_that_has_not_changed_is_not_stored_again() {
    let shelf = Shelf::new();
    many(&shelf, 2000);
    shelf.push("", "").expect(0);
    let (pool, first) = (pooled(&shelf), bytes(&shelf.archive()));
    assert!(pool.len() > 10, "{}", pool.len());
    // By what is known of the files, and by their content.
    for lines in ["", "verify = \"checksum\""] {
        let (more, outcome) = added(&shelf, "", lines);
        outcome.says(&["is shared with the snapshot before"]);
        assert_eq!(pooled(&shelf), pool);
        assert!(more < first / 50, "{more} of {first}");
    }
    let url = format!("file://{}", shelf.archive().display());
    let list = shelf
        .trees
        .bed
        .run(&["snapshots", "list", &url, "--json"])
        .expect(0);
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    let size = |place: usize, key: &str| list["snapshots"][place][key].as_u64().expect(key);
    assert!(size(0, "stored_bytes").abs_diff(size(2, "stored_bytes")) < 2000);
    assert_eq!(size(2, "own_stored_bytes"), size(2, "stored_bytes"));
    assert!(size(0, "own_stored_bytes") * 50 < size(0, "stored_bytes"));
    shelf.pull("", "verify = \"checksum\"").expect(0);
    assert_eq!(facts(&shelf.trees.live("")), facts(&shelf.trees.source("")));
}

#[test]
fn of_a_tree_in_which_files_change_come_and_go_a_small_part_is_stored() {
    let shelf = Shelf::new();
    many(&shelf, 2000);
    shelf.push("", "").expect(0);
    let first = bytes(&shelf.archive());
    let source = |path: &str| shelf.trees.source(path);
    let changes: [&dyn Fn(); 5] = [
        &|| fs::write(source("17/00017"), "x".repeat(4000)).expect("a file"),
        &|| fs::remove_file(source("03/00003")).expect("a file"),
        &|| fs::rename(source("05/00005"), source("05/renamed")).expect("a file"),
        &|| fs::write(source("00/0000"), "new").expect("a file"),
        &|| fs::write(source("39/zzz"), "new").expect("a file"),
    ];
    for (number, change) in changes.iter().enumerate() {
        change();
        settle();
        let (more, _) = added(&shelf, "", "");
        assert!(more < first / 3, "{number}: {more} of {first}");
        assert_eq!(pull_of(&shelf, number + 1), facts(&shelf.trees.source("")));
    }
    verify_all(&shelf).expect(0);
}

#[test]
fn a_change_that_leaves_size_and_time_is_stored_too() {
    let shelf = Shelf::new();
    many(&shelf, 200);
    shelf.push("", "").expect(0);
    let path = shelf.trees.source("01/00001");
    let then = path.metadata().expect("a file").modified().expect("a time");
    fs::write(&path, "y".repeat(4000)).expect("a file");
    let file = fs::File::options().write(true).open(&path).expect("a file");
    file.set_modified(then).expect("a time");
    shelf.push("", "").expect(0);
    assert_eq!(pull_of(&shelf, 1), facts(&shelf.trees.source("")));
}

/// Three states of a tree, each with a snapshot.
fn three(shelf: &Shelf, keys: &str) -> Vec<BTreeMap<PathBuf, String>> {
    many(shelf, 600);
    let mut states = Vec::new();
    for number in 0..3 {
        let own = shelf.trees.source(&format!("{number:02}/only-then"));
        fs::write(&own, number.to_string().repeat(9000)).expect("a file");
        settle();
        shelf.push(keys, "").expect(0);
        states.push(facts(&shelf.trees.source("")));
        fs::remove_file(own).expect("a file");
    }
    states
}

#[test]
fn each_of_several_snapshots_is_pulled_as_the_tree_was_then_whichever_others_are_gone() {
    for gone in 0..3 {
        let shelf = Shelf::new();
        let states = three(&shelf, "");
        for (place, state) in states.iter().enumerate() {
            assert_eq!(&pull_of(&shelf, place), state);
        }
        // As retention does it: the manifest first.
        let folder = shelf.snapshots()[gone].clone();
        fs::remove_dir_all(folder).expect("a snapshot");
        let before = pooled(&shelf);
        prune(&shelf, 9).expect(0);
        let after = pooled(&shelf);
        assert!(after.len() < before.len(), "{gone}: nothing was freed");
        for (place, state) in (0..3).filter(|it| *it != gone).enumerate() {
            assert_eq!(&pull_of(&shelf, place), &states[state]);
        }
        verify_all(&shelf).expect(0);
    }
}

fn pruned(shelf: &Shelf, file: &Path) -> Outcome {
    let file = file.to_str().expect("text");
    shelf.trees.bed.run(&["snapshots", "prune", "-f", file])
}

#[test]
fn how_much_a_prune_would_free_is_what_it_frees() {
    let shelf = Shelf::new();
    three(&shelf, "");
    let job = Job::new(
        "files",
        &shelf.tree("source"),
        &shelf.endpoint(", keep_last = 1"),
    );
    let file = shelf.trees.bed.job("push", &job);
    let json = |more: &[&str]| -> Value {
        let file = file.to_str().expect("text");
        let prune = ["snapshots", "prune", "-f", file, "--json"];
        let outcome = shelf.trees.bed.run(&[&prune[..], more].concat()).expect(0);
        serde_json::from_str(&outcome.stdout).expect("JSON")
    };
    let before = bytes(&shelf.archive());
    let would = json(&["--dry-run"])["would_remove_bytes"].clone();
    assert_eq!(bytes(&shelf.archive()), before);
    assert_eq!(json(&[])["removed_bytes"], would);
    let freed = before - bytes(&shelf.archive());
    assert_eq!(
        would.as_u64().map(|it| it.abs_diff(freed) < 2000),
        Some(true),
        "{would} {freed}"
    );
    assert!(freed > 0 && freed < before / 2, "{freed} of {before}");
}

fn prune(shelf: &Shelf, keep: u32) -> Outcome {
    let keys = format!(", keep_last = {keep}");
    let job = Job::new("files", &shelf.tree("source"), &shelf.endpoint(&keys));
    let file = shelf.trees.bed.job("push", &job);
    pruned(shelf, &file)
}

#[test]
fn retention_frees_what_only_those_had_that_go() {
    let shelf = Shelf::new();
    let states = three(&shelf, ", keep_last = 2");
    assert_eq!(shelf.snapshots().len(), 2);
    let before = pooled(&shelf);
    shelf.push(", keep_last = 1", "").expect(0);
    assert_eq!(shelf.snapshots().len(), 1);
    assert!(pooled(&shelf).len() < before.len());
    assert_eq!(pull_of(&shelf, 0), facts(&shelf.trees.source("")));
    assert_ne!(facts(&shelf.trees.source("")), states[2]);
    verify_all(&shelf).expect(0);
    // All that is left is somebody's.
    let manifest = fs::read_to_string(shelf.snapshots()[0].join("manifest.json")).expect("one");
    for file in pooled(&shelf).keys() {
        let path = file.strip_prefix(shelf.archive()).expect("in it");
        assert!(manifest.contains(path.to_str().expect("text")), "{path:?}");
    }
}

#[test]
fn nothing_of_the_pool_goes_while_a_manifest_cannot_be_read() {
    let shelf = Shelf::new();
    three(&shelf, "");
    let snapshots = shelf.snapshots();
    let manifest = snapshots[1].join("manifest.json");
    let text = fs::read(&manifest).expect("a manifest");
    fs::remove_dir_all(&snapshots[0]).expect("a snapshot");
    let before = pooled(&shelf);
    for damage in [&text[..text.len() / 2], b"{\"version\": 99}"] {
        fs::write(&manifest, damage).expect("a manifest");
        prune(&shelf, 1).expect(0);
        assert_eq!(pooled(&shelf), before);
    }
    fs::write(&manifest, text).expect("a manifest");
    prune(&shelf, 2).expect(0);
    assert!(pooled(&shelf).len() < before.len());
    verify_all(&shelf).expect(0);
}

#[test]
fn nothing_of_the_pool_goes_while_somebody_pushes() {
    let shelf = Shelf::new();
    three(&shelf, "");
    fs::remove_dir_all(&shelf.snapshots()[0]).expect("a snapshot");
    let before = pooled(&shelf);
    // On another machine, which said a moment ago that it lives.
    let folder = shelf.archive().join("20260102T030405Z-push-0123456789ab");
    fs::create_dir(&folder).expect("a folder");
    let note = r#"{"version":1,"host":"other","job":"push","run":"x","started_at":"2026-01-02T03:04:05Z","pid":7,
        "process_started":1,"boot_id":"00000000-0000-0000-0000-000000000000","pid_namespace":1,"renewed_every_seconds":60}"#;
    fs::write(folder.join("writer.json"), note).expect("a note");
    prune(&shelf, 9).expect(0);
    assert_eq!(pooled(&shelf), before);
    fs::remove_dir_all(folder).expect("a folder");
    prune(&shelf, 9).expect(0);
    assert!(pooled(&shelf).len() < before.len());
}

#[test]
fn what_a_killed_push_has_left_in_the_pool_goes_with_the_next_one() {
    let shelf = Shelf::new();
    many(&shelf, 600);
    shelf.push("", "").expect(0);
    let pool = pooled(&shelf);
    fs::write(shelf.trees.source("large"), vec![7; 60 << 20]).expect("a file");
    for number in 0..600 {
        let path = shelf
            .trees
            .source(&format!("{:02}/{number:05}", number % 40));
        fs::write(path, format!("{number}").repeat(1000)).expect("a file");
    }
    let lines = "throttle = \"2MB/s\"\njobs = 1";
    let job = Job::new("files", &shelf.tree("source"), &shelf.endpoint("")).task(lines);
    let running = shelf.trees.bed.start(&shelf.trees.bed.job("push", &job));
    crate::support::wait_until("something is stored", || pooled(&shelf).len() > pool.len());
    running.kill();
    for path in pool.keys() {
        assert!(path.exists());
    }
    assert_eq!(shelf.snapshots().len(), 1);
    fs::remove_file(shelf.trees.source("large")).expect("a file");
    shelf.push("", "").expect(0);
    let manifests: String = (shelf.snapshots().iter())
        .map(|folder| fs::read_to_string(folder.join("manifest.json")).expect("one"))
        .collect();
    for file in pooled(&shelf).keys() {
        let path = file.strip_prefix(shelf.archive()).expect("in it");
        assert!(manifests.contains(path.to_str().expect("text")), "{path:?}");
    }
    assert_eq!(pull_of(&shelf, 1), facts(&shelf.trees.source("")));
}

#[test]
fn what_is_missing_in_the_pool_is_stored_again_and_what_is_damaged_is_found() {
    let shelf = Shelf::new();
    many(&shelf, 300);
    shelf.push("", "").expect(0);
    let (path, length) = pooled(&shelf).pop_first().expect("a file");
    let content = fs::read(&path).expect("a file");
    let mut damaged = content.clone();
    damaged[length as usize / 2] ^= 1;
    fs::write(&path, damaged).expect("a file");
    let name = path.strip_prefix(shelf.archive()).expect("in it");
    verify_all(&shelf)
        .expect(1)
        .says(&[name.to_str().expect("text"), "not what was written"]);
    shelf.pull("", "").expect(1).says(&["damaged"]);
    fs::remove_file(&path).expect("a file");
    verify_all(&shelf).expect(1).says(&["is not there"]);
    shelf.push("", "").expect(0);
    assert!(!path.exists());
    assert_eq!(pull_of(&shelf, 1), facts(&shelf.trees.source("")));
}

#[test]
fn what_is_encrypted_is_shared_by_those_who_can_read_it() {
    let shelf = Shelf::new();
    many(&shelf, 400);
    let people: Vec<_> = (0..2).map(|_| age::x25519::Identity::generate()).collect();
    for (number, one) in people.iter().enumerate() {
        use age::secrecy::ExposeSecret as _;
        shelf
            .trees
            .bed
            .file(&format!("person-{number}"), one.to_string().expose_secret());
    }
    shelf.trees.bed.file("key", &"k".repeat(64));
    let recipients = |numbers: &[usize]| {
        let names: Vec<String> = (numbers.iter())
            .map(|number| toml(&people[*number].to_public().to_string()))
            .collect();
        format!(", recipients = [{}]", names.join(", "))
    };
    let key = ", key = { file = \"key\" }";
    let (first, _) = added(&shelf, &format!("{key}{}", recipients(&[0])), "");
    let (again, _) = added(&shelf, &format!("{key}{}", recipients(&[0])), "");
    assert!(again < first / 10, "{again} of {first}");
    // By content alone, too.
    let checked = format!("{key}{}", recipients(&[0]));
    let (read, _) = added(&shelf, &checked, "verify = \"checksum\"");
    assert!(read < first / 10, "{read} of {first}");
    let (others, _) = added(&shelf, &format!("{key}{}", recipients(&[0, 1])), "");
    assert!(others > first / 2, "{others} of {first}");
    let pull = format!("{key}, identity = {{ file = \"person-1\" }}");
    shelf.pull(&pull, "").expect(0);
    assert_eq!(facts(&shelf.trees.live("")), facts(&shelf.trees.source("")));
    // Without a key a manifest would let others try what is in it.
    let (open, outcome) = added(&shelf, &recipients(&[0]), "");
    outcome.says(&["all is stored anew"]);
    assert!(open > first / 2, "{open} of {first}");
    let manifest = shelf.snapshots().pop().expect("one").join("manifest.json");
    let manifest = fs::read_to_string(manifest).expect("one");
    for word in ["likeness", "\"content\"", "\"pool\""] {
        assert!(!manifest.contains(word), "{word}");
    }
    // With neither, they are shared again; but not with what is encrypted.
    let plain = Shelf::new();
    many(&plain, 100);
    plain.push("", "").expect(0);
    assert!(added(&plain, "", "").0 < bytes(&plain.archive()) / 10);
}

#[test]
fn a_snapshot_that_shares_is_restored_by_hand_and_fetched_with_what_it_shares() {
    let shelf = Shelf::new();
    odd(&shelf.trees);
    shelf.push("", "").expect(0);
    shelf.trees.write(&["source/b c/more=1"]);
    settle();
    shelf.push("", "").expect(0).says(&["is shared with"]);
    let newest = shelf.snapshots().pop().expect("one");
    let restored = shelf.trees.bed.path("by-hand");
    let script = by_hand().replace("restored", &restored.display().to_string());
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&newest)
        .must("bash");
    assert_eq!(facts(&restored), facts(&shelf.trees.source("")));
    let elsewhere = shelf.trees.bed.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a directory");
    let url = format!("file://{}", shelf.archive().display());
    for snapshot in shelf.snapshots() {
        let name = snapshot
            .file_name()
            .expect("one")
            .to_str()
            .expect("text")
            .to_owned();
        let to = elsewhere.to_str().expect("text");
        let fetch = ["snapshots", "fetch", &url, &name, to];
        shelf.trees.bed.run(&fetch).expect(0);
    }
    assert_eq!(files(&elsewhere.join("pool")).len(), pooled(&shelf).len());
    fs::rename(shelf.archive(), shelf.trees.bed.path("gone")).expect("a folder");
    fs::rename(elsewhere, shelf.archive()).expect("a folder");
    verify_all(&shelf).expect(0);
    assert_eq!(pull_of(&shelf, 1), facts(&shelf.trees.source("")));
}

#[test]
fn a_manifest_that_leads_out_of_the_pool_is_damaged() {
    let shelf = Shelf::new();
    shelf.trees.write(&["source/a=1"]);
    shelf.push("", "").expect(0);
    let manifest = shelf.snapshots().pop().expect("one").join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    for path in ["pool/../x", "pool/other/0123456789ab", "../x/0123456789ab"] {
        let broken = text.replacen("pool/push", path, 1);
        assert_ne!(broken, text);
        fs::write(&manifest, broken).expect("a manifest");
        shelf.pull("", "").expect(1).says(&["damaged"]);
    }
    let old = text.replacen("\"version\": 2", "\"version\": 1", 1);
    fs::write(&manifest, old).expect("a manifest");
    shelf.pull("", "").expect(1).says(&["damaged"]);
}

#[test]
fn snapshots_in_a_bucket_share_what_has_not_changed() {
    let (shelf, remote) = (Shelf::new(), Remote::new(shared()));
    shelf.trees.bed.file("secret", SECRET);
    many(&shelf, 600);
    let push = |more: &str| {
        let named = format!("endpoints.shelf = {}", remote.endpoint("secret", more));
        let job = Job::new("files", &shelf.tree("source"), "\"shelf\"").top(&named);
        shelf.trees.bed.job("push", &job)
    };
    shelf.trees.bed.once(&push("")).expect(0);
    fs::write(shelf.trees.source("07/00007"), "changed").expect("a file");
    settle();
    shelf
        .trees
        .bed
        .once(&push(""))
        .expect(0)
        .says(&["is shared with"]);
    let file = push("");
    let file = file.to_str().expect("text");
    let list = shelf
        .trees
        .bed
        .run(&["snapshots", "list", "-f", file, "--json"])
        .expect(0);
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    let newest = &list["snapshots"][0];
    let size = |key: &str| newest[key].as_u64().expect(key);
    assert!(
        size("own_stored_bytes") * 4 < size("stored_bytes"),
        "{newest}"
    );
    // The oldest goes, and what the other one shares with it stays.
    pruned(&shelf, &push(", keep_last = 1")).expect(0);
    let verified = ["snapshots", "verify", "--all", "-f", file];
    shelf.trees.bed.run(&verified).expect(0).says(&["good"]);
    let named = format!("endpoints.shelf = {}", remote.endpoint("secret", ""));
    let pull = Job::new("files", "\"shelf\"", &shelf.tree("live")).top(&named);
    let pull = shelf.trees.bed.job("pull", &pull);
    shelf.trees.bed.once(&pull).expect(0);
    assert_eq!(facts(&shelf.trees.live("")), facts(&shelf.trees.source("")));
}
