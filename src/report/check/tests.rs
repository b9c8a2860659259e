//! The plugin's verdicts.

use chrono::Duration;

use super::*;
use crate::report::status_file::{Paused, TaskStatus};

fn now() -> DateTime<Utc> {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

// As the fields want it.
#[allow(clippy::unnecessary_wraps)]
fn hours_ago(hours: i64) -> Option<DateTime<Utc>> {
    Some(now() - Duration::hours(hours))
}

/// A success three hours ago.
fn job(name: &str) -> StatusFile {
    StatusFile {
        state: State::Succeeded,
        started_at: hours_ago(4),
        finished_at: hours_ago(3),
        duration_seconds: Some(3600.5),
        last_success_at: hours_ago(3),
        timeout_seconds: Some(21600),
        tasks: vec![TaskStatus {
            name: "database".to_owned(),
            kind: "postgresql".to_owned(),
            state: State::Succeeded,
            progress_percent: 100,
            rows: 1,
            bytes: 4096,
            duration_seconds: Some(1.0),
            surveyed_at: None,
            masked_columns: 0,
            masked_rows: 0,
            message: String::new(),
        }],
        ..StatusFile::never(name, "db2".to_owned(), "production", "staging")
    }
}

/// Process 42 of boot `b` started at 7 and runs; of another boot nothing can be seen.
fn look(process: &Process) -> Sight {
    match (process.boot.as_str(), process.pid, process.started) {
        ("" | "b", 42, 0 | 7) => Sight::Alive,
        ("" | "b", _, _) => Sight::Gone,
        _ => Sight::Unseen,
    }
}

fn verdict(jobs: Vec<StatusFile>) -> Verdict {
    let readings: Vec<Reading> = jobs.into_iter().map(|j| (j.job.clone(), Ok(j))).collect();
    check(&readings, &Thresholds::default(), now(), &look)
}

fn one(edit: impl FnOnce(&mut StatusFile)) -> Verdict {
    let mut status = job("a");
    edit(&mut status);
    verdict(vec![status])
}

#[test]
fn one_young_success_is_ok_in_one_line_with_its_data() {
    let verdict = verdict(vec![job("publishing-api")]);
    assert_eq!(verdict.exit_code(), 0);
    assert_eq!(
        verdict.text,
        "ENVSYNCD OK - publishing-api: last success 3h ago | \
         'publishing-api age'=10800s;100800;187200;0 'publishing-api duration'=3600.5s;;21600;0 \
         'publishing-api bytes'=4096B;;;0\n\
         OK publishing-api: last success 3h ago"
    );
}

#[test]
fn age_is_held_against_both_limits() {
    for (hours, code) in [(28, 0), (29, 1), (52, 1), (53, 2)] {
        let verdict = one(|status| status.last_success_at = hours_ago(hours));
        assert_eq!(verdict.exit_code(), code, "{}", verdict.text);
    }
    let readings = vec![("a".to_owned(), Ok(job("a")))];
    let thresholds = Thresholds {
        warning: "@0:4h".parse().unwrap(),
        critical: "~:1d".parse().unwrap(),
    };
    let verdict = check(&readings, &thresholds, now(), &|_| Sight::Alive);
    assert_eq!(verdict.exit_code(), 1);
    assert!(
        verdict.text.contains(";@0:14400;~:86400;0") || verdict.text.contains(";@14400;~:86400;0"),
        "{}",
        verdict.text
    );
}

#[test]
fn the_last_runs_end_counts_even_when_a_success_is_young() {
    for (state, code) in [
        (State::Failed, 2),
        (State::Refused, 2),
        (State::Busy, 1),
        (State::Cancelled, 1),
    ] {
        let verdict = one(|status| {
            status.state = state;
            status.message = "cannot connect | to\ndb1".to_owned();
        });
        assert_eq!(verdict.exit_code(), code, "{}", verdict.text);
        assert!(
            verdict.text.contains("3h ago: cannot connect / to db1"),
            "{}",
            verdict.text
        );
    }
    let verdict = one(|status| {
        status.state = State::Busy;
        status.last_success_at = hours_ago(60);
    });
    assert_eq!(verdict.exit_code(), 2);
    assert!(
        verdict
            .text
            .starts_with("ENVSYNCD CRITICAL - a: last success 2d ago |"),
        "{}",
        verdict.text
    );
}

#[test]
fn a_run_is_fine_until_its_process_or_its_time_is_gone() {
    let running = |edit: &dyn Fn(&mut StatusFile)| {
        one(|status| {
            status.state = State::Running;
            status.pid = Some(42);
            status.started_at = hours_ago(5);
            status.finished_at = None;
            edit(status);
        })
    };
    let fine = running(&|_| {});
    assert_eq!(fine.exit_code(), 0, "{}", fine.text);
    for (edit, part) in [
        (
            &(|s: &mut StatusFile| s.pid = Some(43)) as &dyn Fn(&mut StatusFile),
            "process 43 is gone",
        ),
        (&|s| s.pid = None, "names no process"),
        (
            &|s| s.started_at = hours_ago(7),
            "running for 7h, its timeout is 6h",
        ),
        (
            &|s| s.consecutive_failures = 2,
            "running again after 2 failed",
        ),
    ] {
        let verdict = running(edit);
        assert_eq!(verdict.exit_code(), 2, "{}", verdict.text);
        assert!(verdict.text.contains(part), "{}", verdict.text);
    }
    let first = running(&|s| s.last_success_at = None);
    assert_eq!(first.exit_code(), 0, "{}", first.text);
    let endless = running(&|s| {
        s.last_success_at = None;
        s.timeout_seconds = None;
        s.started_at = hours_ago(60);
    });
    assert_eq!(endless.exit_code(), 2, "{}", endless.text);
}

#[test]
fn a_job_that_never_ran_is_a_warning_and_has_no_age() {
    let verdict = one(|status| {
        status.state = State::Never;
        (
            status.last_success_at,
            status.started_at,
            status.finished_at,
        ) = (None, None, None);
    });
    assert_eq!(verdict.exit_code(), 1);
    assert!(verdict.text.contains("'a age'=U;"), "{}", verdict.text);
}

#[test]
fn a_success_in_the_future_is_not_young() {
    let verdict = one(|status| status.last_success_at = hours_ago(-1));
    assert_eq!(verdict.exit_code(), 3, "{}", verdict.text);
    let verdict = one(|status| status.last_success_at = Some(now() + Duration::seconds(30)));
    assert_eq!(verdict.exit_code(), 0, "{}", verdict.text);
}

#[test]
fn of_several_jobs_the_worst_counts_and_each_has_its_line() {
    let mut failed = job("failed");
    failed.state = State::Failed;
    let mut busy = job("busy");
    busy.state = State::Busy;
    let missing: Reading = (
        "gone".to_owned(),
        Err(Unreadable::Missing("gone.json".into())),
    );
    let mut readings: Vec<Reading> = vec![("a".to_owned(), Ok(job("a"))), missing];
    let judge =
        |readings: &[Reading]| check(readings, &Thresholds::default(), now(), &|_| Sight::Alive);
    assert_eq!(judge(&readings).exit_code(), 3);
    readings.push(("busy".to_owned(), Ok(busy)));
    assert_eq!(judge(&readings).exit_code(), 1);
    readings.push(("failed".to_owned(), Ok(failed)));
    let worst = judge(&readings);
    assert_eq!(worst.exit_code(), 2);
    let lines: Vec<&str> = worst.text.lines().collect();
    assert!(
        lines[0].starts_with("ENVSYNCD CRITICAL - 3 of 4 jobs: failed: failed 3h ago | 'a age'"),
        "{}",
        lines[0]
    );
    assert_eq!(lines[1], "OK a: last success 3h ago");
    assert!(lines[2].starts_with("UNKNOWN gone: no status file gone.json"));
    assert_eq!(lines.len(), 5);

    let fine = verdict(vec![job("a"), job("b")]);
    assert!(
        fine.text
            .starts_with("ENVSYNCD OK - 2 jobs, oldest success 3h ago |"),
        "{}",
        fine.text
    );
}

#[test]
fn the_first_line_is_short_and_the_details_are_whole() {
    let long = "x".repeat(300);
    let verdict = one(|status| {
        status.state = State::Failed;
        status.message.clone_from(&long);
    });
    let (first, _) = verdict.text.split_once(" | ").unwrap();
    assert!(
        first.chars().count() < 80 && first.ends_with("..."),
        "{first}"
    );
    assert!(verdict.text.contains(&long));
}

#[test]
fn all_status_files_are_found_and_none_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let gathered = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        gather(directory.path(), &names)
    };
    assert_eq!(gathered(&[]).unwrap_err().exit_code(), 3);
    assert_eq!(gathered(&["../x"]).unwrap_err().exit_code(), 3);
    for name in ["b", "a"] {
        status_file::write(directory.path(), &job(name)).unwrap();
    }
    std::fs::write(directory.path().join(".c.json"), "").unwrap();
    std::fs::write(directory.path().join("notes.txt"), "").unwrap();
    let names = |readings: Vec<Reading>| -> Vec<(String, bool)> {
        readings
            .into_iter()
            .map(|(name, read)| (name, read.is_ok()))
            .collect()
    };
    let found = |name: &str, ok| (name.to_owned(), ok);
    assert_eq!(
        names(gathered(&[]).unwrap()),
        [found("a", true), found("b", true)]
    );
    assert_eq!(
        names(gathered(&["b", "c", "b"]).unwrap()),
        [found("b", true), found("c", false)]
    );
    assert_eq!(
        gather(&directory.path().join("none"), &[])
            .unwrap_err()
            .exit_code(),
        3
    );
}

#[test]
fn a_run_is_its_process_and_not_any_that_has_its_number() {
    let running = |edit: &dyn Fn(&mut StatusFile)| {
        one(|status| {
            status.state = State::Running;
            status.pid = Some(42);
            status.process_started = Some(7);
            status.boot_id = Some("b".to_owned());
            status.renewed_at = Some(now() - Duration::seconds(1));
            status.started_at = hours_ago(1);
            status.finished_at = None;
            edit(status);
        })
    };
    let elsewhere = |status: &mut StatusFile| status.boot_id = Some("c".to_owned());
    let silent = |status: &mut StatusFile| status.renewed_at = hours_ago(3);
    for (edit, code, part) in [
        (
            &(|_: &mut StatusFile| {}) as &dyn Fn(&mut StatusFile),
            0,
            "running",
        ),
        (&|s| s.process_started = Some(8), 2, "process 42 is gone"),
        (&elsewhere, 0, "running"),
        (
            &silent,
            3,
            "process 42 runs, but has not written its status for 3h",
        ),
        (
            &|s| {
                elsewhere(s);
                silent(s);
            },
            2,
            "process 42 on db2 was not heard of for 3h",
        ),
        // A clock that is ahead is no sign of life for ever.
        (
            &|s| {
                elsewhere(s);
                s.renewed_at = hours_ago(-3);
            },
            2,
            "was not heard of for 3h",
        ),
    ] {
        let verdict = running(edit);
        assert_eq!(verdict.exit_code(), code, "{}", verdict.text);
        assert!(verdict.text.contains(part), "{}", verdict.text);
    }
}

#[test]
fn a_file_that_is_renewed_while_it_is_watched_is_of_now_whatever_its_clock_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = job("a");
    running.state = State::Running;
    running.pid = Some(42);
    running.boot_id = Some("elsewhere".to_owned());
    let write = |status: &mut StatusFile, hours: i64, seconds: i64| {
        status.renewed_at = Some(Utc::now() - Duration::hours(hours) + Duration::seconds(seconds));
        status_file::write(directory.path(), status).unwrap();
    };
    for (hours, renews, code) in [(5, true, 0), (-5, true, 0), (5, false, 2), (0, false, 0)] {
        running.started_at = Some(Utc::now());
        running.last_success_at = Some(Utc::now());
        running.finished_at = None;
        write(&mut running, hours, 0);
        let mut readings = gather(directory.path(), &[]).unwrap();
        std::thread::scope(|scope| {
            if renews {
                scope.spawn(|| {
                    std::thread::sleep(std::time::Duration::from_millis(700));
                    write(&mut running.clone(), hours, 1);
                });
            }
            watch(directory.path(), &mut readings, Utc::now());
        });
        let verdict = check(&readings, &Thresholds::default(), Utc::now(), &look);
        assert_eq!(
            verdict.exit_code(),
            code,
            "{hours} {renews}: {}",
            verdict.text
        );
    }
}

#[test]
fn a_due_time_that_passed_is_critical_where_a_daemon_keeps_the_schedule_and_nowhere_else() {
    let due = |minutes: i64, daemon: bool, edit: &dyn Fn(&mut StatusFile)| {
        one(|status| {
            status.next_run_at = Some(now() - Duration::minutes(minutes));
            status.daemon = daemon;
            edit(status);
        })
    };
    let nothing = |_: &mut StatusFile| {};
    let verdict = due(6, true, &nothing);
    assert_eq!(verdict.exit_code(), 2, "{}", verdict.text);
    assert!(verdict.text.contains("was due 6m ago"), "{}", verdict.text);
    assert_eq!(due(4, true, &nothing).exit_code(), 0);
    assert_eq!(due(600, false, &nothing).exit_code(), 0, "cron keeps it");
    assert_eq!(due(6, true, &|s| s.state = State::Pending).exit_code(), 2);
    let pause = |until| {
        move |status: &mut StatusFile| {
            status.paused = Some(Paused {
                reason: "load test".to_owned(),
                by: "alice".to_owned(),
                since: hours_ago(9),
                until,
            });
        }
    };
    assert_eq!(due(600, true, &pause(None)).exit_code(), 0);
    assert_eq!(due(600, true, &pause(hours_ago(1))).exit_code(), 2);
}

#[test]
fn a_broken_file_is_a_warning_while_its_last_good_version_runs() {
    let verdict = one(|status| status.problem = "a.toml:3: unknown key (`form`)".to_owned());
    assert_eq!(verdict.exit_code(), 1, "{}", verdict.text);
    assert!(
        verdict
            .text
            .contains("its file is broken, the last good version stays in force: a.toml:3"),
        "{}",
        verdict.text
    );
    let failed = one(|status| {
        status.state = State::Failed;
        status.problem = "a.toml:3: unknown key".to_owned();
    });
    assert_eq!(failed.exit_code(), 2, "a failure is worse");
}

#[test]
fn a_paused_job_is_never_worse_than_a_warning_and_says_who_paused_it() {
    let paused = |until| {
        one(|status| {
            status.last_success_at = hours_ago(100);
            status.paused = Some(Paused {
                reason: "load test".to_owned(),
                by: "alice".to_owned(),
                since: hours_ago(90),
                until,
            });
        })
    };
    let verdict = paused(None);
    assert_eq!(verdict.exit_code(), 1, "{}", verdict.text);
    assert!(
        verdict.text.contains("paused by alice: load test"),
        "{}",
        verdict.text
    );
    assert_eq!(
        paused(Some(now() - Duration::minutes(1))).exit_code(),
        2,
        "it is over"
    );
    assert_eq!(paused(Some(now() + Duration::minutes(1))).exit_code(), 1);
}

#[test]
fn a_broken_live_target_is_critical_whatever_the_last_run_was_and_a_pause_is_no_comfort() {
    for state in [State::Failed, State::Busy, State::Cancelled, State::Running] {
        let verdict = one(|status| {
            status.state = state;
            status.broken = true;
            status.paused = Some(status_file::Paused {
                reason: "later".to_owned(),
                by: "ada".to_owned(),
                since: hours_ago(1),
                until: None,
            });
        });
        assert_eq!(verdict.exit_code(), 2, "{}", verdict.text);
        assert!(verdict.text.contains("live is broken"), "{}", verdict.text);
    }
}
