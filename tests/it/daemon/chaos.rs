//! A daemon that is killed again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use envsyncd::state::RunState;

use crate::support::daemon::House;
use crate::support::kills;

#[test]
fn the_history_is_consistent_after_kills_at_any_moment() {
    let mut house = House::new("max_concurrent_runs = 2");
    for name in ["a", "b", "c"] {
        house.put(name, &house.draft(name).top("schedule = \"* * * * * *\""));
    }
    // Not reproducible in any case: processes race.
    let mut random = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..kills(30) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        house.launch();
        std::thread::sleep(Duration::from_millis(100 + random % 1000));
        house.kill();
    }
    house.start();
    // Where the machine is busy, none may have come so far before its daemon was killed.
    for name in ["a", "b", "c"] {
        house.until(&format!("{name} had run"), |house| {
            let runs = house.runs(Some(name));
            runs.iter().any(|run| run.state == RunState::Succeeded)
        });
    }
    for name in ["a", "b", "c"] {
        house.run(&["pause", name, "--reason", "enough"]).expect(0);
    }
    house.until("every run had ended", |house| {
        house.state().unfinished().unwrap().is_empty()
    });
    house.stop().expect(0);
    // What processes had said is of no use any more; at the next start at the latest it is gone.
    house.start();
    house.stop().expect(0);

    let mut last = BTreeMap::new();
    let mut runs = house.runs(None);
    let count = |wanted| runs.iter().filter(|run| run.state == wanted).count();
    assert!(
        count(RunState::Succeeded) >= 3,
        "{}",
        count(RunState::Succeeded)
    );
    assert_eq!(
        count(RunState::Succeeded) + count(RunState::Skipped),
        runs.len(),
        "{runs:?}"
    );
    runs.retain(|run| run.state != RunState::Skipped);
    runs.sort_by_key(|run| run.started_at);
    for run in &runs {
        let before = last.insert(run.job.clone(), run);
        assert!(
            before.is_none_or(|before| before.finished_at.unwrap() <= run.started_at),
            "{before:?} and {run:?}"
        );
    }
    let store = rusqlite::Connection::open(house.bed.path("state/state.db")).unwrap();
    let integrity: String = store
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok");
    let left: Vec<_> = std::fs::read_dir(house.bed.path("state/output"))
        .unwrap()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
