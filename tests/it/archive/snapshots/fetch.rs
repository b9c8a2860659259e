//! `snapshots fetch`.

use std::fs;

use super::{WITH_KEY, json};
use crate::archive::shelf::{Draft, KEY, Shelf, flip};

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
        let running = shelf.bed.spawn(shelf.bed.command().args(&verb));
        let (outcome, peak) = running.end_with_peak();
        outcome.expect(0);
        assert!(peak > 0 && peak < 48 << 20, "{verb:?}: {peak} bytes");
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
