//! `envsyncd daemon` with real processes: what it promises of runs, files, the machine it is on, and its own end.

mod chaos;
mod clocks;
mod control;
mod ending;
mod files;
mod hosts;
mod machine;
mod managed;
mod notify;
mod queue;
mod renewal;
mod steering;
mod supervision;

use std::path::Path;

use crate::support::daemon::House;
use crate::support::job::{Gate, Job};

/// A job that is under way until its gate is opened; its target has a table `old` before.
fn gated(house: &House, name: &str) -> (Job, Gate) {
    let gate = house.bed.gate(name);
    let target = house.target(name);
    rusqlite::Connection::open(target)
        .and_then(|target| target.execute_batch("CREATE TABLE IF NOT EXISTS old (a)"))
        .expect("a target");
    (house.draft(name).hooks(&gate.maintenance()), gate)
}

/// A house whose daemon has a run of such a job `a`, with one more line, under way; others are there, too.
fn under_way(scheduler: &str, line: &str, others: &[&str]) -> (House, Gate) {
    let mut house = House::new(scheduler);
    let (job, gate) = gated(&house, "a");
    house.put("a", &job.top(line));
    for name in others {
        house.job(name);
    }
    house.start();
    house.trigger("a");
    house.until("the run was under way", |_| gate.is_reached());
    (house, gate)
}

/// The tables in a database.
fn tables(file: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(file).expect("a database");
    let mut names = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .expect("our own SQL");
    names
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .expect("names")
}

/// What stands beside a job's target, but for its previous copy.
fn incoming(house: &House, name: &str) -> Vec<String> {
    let start = format!("target-{name}.db.");
    std::fs::read_dir(house.bed.path(""))
        .expect("a directory")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&start) && !name.contains("previous"))
        .collect()
}

/// Changes the state store behind everybody's back.
fn in_state(house: &House, sql: &str) {
    let state = rusqlite::Connection::open(house.bed.path("state/state.db")).expect("a store");
    state
        .busy_timeout(std::time::Duration::from_secs(20))
        .and_then(|()| state.execute_batch(sql))
        .expect("our own SQL");
}

/// Who this test runs as.
pub(crate) fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .expect("users are known")
        .expect("so are we")
        .name
}
