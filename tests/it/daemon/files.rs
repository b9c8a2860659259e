//! Job files and settings that change, break and go away under the daemon's feet.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use chrono::Utc;
use envsyncd::state::{RunState, Trigger};
use nix::sys::signal::Signal;

use super::under_way;
use crate::support::daemon::House;

const EVERY_SECOND: &str = "schedule = \"* * * * * *\"";

/// How a file is broken that is not there any more.
type Break = fn(&Path);

/// Waits until a job was started by its schedule after this moment, and succeeded.
#[track_caller]
fn until_it_ran_again(house: &House, job: &str) {
    let now = Utc::now();
    house.until(&format!("{job} ran again"), |house| {
        house.last(job).is_some_and(|run| {
            run.started_at > now
                && run.state == RunState::Succeeded
                && run.trigger == Trigger::Schedule
        })
    });
}

fn problem(house: &House, job: &str) -> String {
    let status = house.status(job).unwrap_or_default();
    status["problem"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_file_that_breaks_in_whatever_way_keeps_its_last_good_version_in_force() {
    let garbage = |file: &Path| fs::write(file, b"\xff\xfe[[[ no = job").unwrap();
    let empty = |file: &Path| fs::write(file, "").unwrap();
    let directory = |file: &Path| fs::create_dir(file).unwrap();
    let dangling = |file: &Path| symlink("nowhere.toml", file).unwrap();
    let huge = |file: &Path| fs::write(file, vec![b'#'; 10 * 1024 * 1024]).unwrap();
    let ways: [(&str, Break); 5] = [
        ("garbage", garbage),
        ("empty", empty),
        ("directory", directory),
        ("dangling", dangling),
        ("huge", huge),
    ];
    let mut house = House::new("max_concurrent_runs = 2");
    for name in ["a", "b"] {
        house.put(name, &house.draft(name).top(EVERY_SECOND));
    }
    house.start();
    until_it_ran_again(&house, "a");
    until_it_ran_again(&house, "b");
    house.run(&["check"]).expect(0);
    let file = house.file("a");
    for (number, (way, break_it)) in ways.into_iter().enumerate() {
        fs::remove_file(&file).unwrap();
        break_it(&file);
        house.signal(Signal::SIGHUP);
        house.until(&format!("{way} was said in the log"), |house| {
            house.times_said("its last good version stays in force") > number
        });
        house.until(&format!("{way} was said in the status file"), |house| {
            problem(house, "a").contains("a.toml")
        });
        assert_eq!(problem(&house, "b"), "");
        house
            .run(&["status", "a"])
            .expect(0)
            .says(&["a: its file is broken: ", "a.toml"]);
        until_it_ran_again(&house, "a");
        until_it_ran_again(&house, "b");
        house.until(&format!("{way} was a warning"), |house| {
            let check = house.run(&["check", "a"]);
            check.code == Some(1) && check.stdout.contains("WARNING")
        });
        house.run(&["check", "b"]).expect(0);
        if way == "garbage" || way == "dangling" {
            // The next daemon has only the copy to go by.
            house.kill();
            house.start();
            until_it_ran_again(&house, "a");
            house.until("the next daemon said so, too", |house| {
                problem(house, "a").contains("a.toml")
            });
        }
        if file.is_dir() && !file.is_symlink() {
            fs::remove_dir(&file).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        house.put("a", &house.draft("a").top(EVERY_SECOND));
        house.signal(Signal::SIGHUP);
        house.until(&format!("{way} was mended"), |house| {
            problem(house, "a").is_empty()
        });
        until_it_ran_again(&house, "a");
        house.run(&["check", "a"]).expect(0);
    }
    for run in house.runs(None) {
        assert!(
            !matches!(run.state, RunState::Failed | RunState::Refused),
            "{run:?}"
        );
    }
}

#[test]
fn a_file_that_is_broken_right_before_its_time_does_not_cost_the_run() {
    let (house, gate) = under_way("max_concurrent_runs = 1", "", &["b"]);
    house.trigger("b");
    // The daemon has no time to look at it before it starts the run.
    house.freeze_daemon();
    fs::write(house.file("b"), "half of a").unwrap();
    gate.open();
    house.until_run("a", RunState::Succeeded);
    house.signal(Signal::SIGCONT);
    house.until("b ended", |house| house.last("b").unwrap().state.is_final());
    let run = house.last("b").unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{}", run.message);
}

#[test]
fn a_file_that_is_changed_right_before_its_run_is_run_as_it_is_now() {
    let mut house = House::new("");
    let hooks = |note: &str| format!("after_publish = {}", house.bed.note(note));
    let (old, new) = (hooks("old"), hooks("new"));
    house.put("a", &house.draft("a").hooks(&old));
    house.start();
    house.run(&["trigger", "a", "--wait"]).expect(0);
    house.put("a", &house.draft("a").hooks(&new));
    house.run(&["trigger", "a", "--wait"]).expect(0);
    assert_eq!(house.bed.notes(), ["old", "new"]);
}

#[test]
fn a_job_whose_file_never_was_good_does_not_run_and_is_critical() {
    let mut house = House::new("");
    house.put("good", &house.draft("good").top(EVERY_SECOND));
    house.bed.file("bad.toml", "nothing of a job");
    house.start();
    house.until_status("bad", "state", "refused");
    house.run(&["check", "bad"]).expect(2);
    until_it_ran_again(&house, "good");
    house.put("bad", &house.draft("bad").top(EVERY_SECOND));
    until_it_ran_again(&house, "bad");
    house.run(&["check"]).expect(0);
}

#[test]
fn broken_settings_change_nothing_until_they_are_mended() {
    let mut house = House::new("max_concurrent_runs = 2");
    house.put("a", &house.draft("a").top(EVERY_SECOND));
    house.start();
    until_it_ran_again(&house, "a");
    house.raw_settings("job_dir = [");
    house.signal(Signal::SIGHUP);
    house.until_said("the settings' file is broken; its last good version stays in force");
    until_it_ran_again(&house, "a");
    let daemon = house.state().daemon().unwrap().unwrap();
    house.until("the daemon's record said so", |house| {
        let daemon = house.state().daemon().unwrap().unwrap();
        daemon.problem.contains("envsyncd.toml")
    });
    assert!(daemon.is_alive());
    house.settings("max_concurrent_runs = 2");
    house.until("the daemon's record said so", |house| {
        let daemon = house.state().daemon().unwrap().unwrap();
        daemon.problem.is_empty()
    });
    until_it_ran_again(&house, "a");
    for run in house.runs(None) {
        assert!(
            !matches!(run.state, RunState::Failed | RunState::Refused),
            "{run:?}"
        );
    }
}

#[test]
fn settings_are_taken_over_without_a_restart() {
    let (house, _gate) = under_way("max_concurrent_runs = 1", "", &["b"]);
    house.trigger("b");
    house.until_status("b", "state", "pending");
    house.settings("max_concurrent_runs = 2");
    house.until_run("b", RunState::Succeeded);
    assert_eq!(house.last("a").unwrap().state, RunState::Running);
}

#[test]
fn a_new_file_is_a_job_and_a_removed_one_is_none_without_a_signal() {
    let mut house = House::new("");
    house.job("other");
    house.start();
    house.put("a", &house.draft("a").top(EVERY_SECOND));
    until_it_ran_again(&house, "a");
    house.until("its status file was there", |house| {
        house.status("a").is_some()
    });
    fs::remove_file(house.file("a")).unwrap();
    house.until("the job was gone", |house| {
        house.state().known_job("a").unwrap().is_none() && house.status("a").is_none()
    });
    assert!(house.status("other").is_some());
    // What it was is not what the next job of that name is.
    house.bed.file("a.toml", "nothing of a job");
    house.until_status("a", "state", "refused");
}

#[test]
fn a_file_that_is_removed_while_nobody_looks_is_gone_all_the_same() {
    let mut house = House::new("");
    house.put("a", &house.draft("a").top(EVERY_SECOND));
    house.job("other");
    house.start();
    house.until_run("a", RunState::Succeeded);
    house.kill();
    house.until("the last of its runs had ended", |house| {
        house
            .state()
            .unfinished()
            .unwrap()
            .iter()
            .all(|run| run.process.is_none())
    });
    fs::remove_file(house.file("a")).unwrap();
    house.start();
    house.until("the job was gone", |house| {
        house.state().known_job("a").unwrap().is_none() && house.status("a").is_none()
    });
    assert!(house.status("other").is_some());
    house.bed.file("a.toml", "nothing of a job");
    house.until_status("a", "state", "refused");
}

#[test]
fn a_run_whose_jobs_file_is_removed_goes_on_and_leaves_no_status_file() {
    let (house, gate) = under_way("", "", &[]);
    fs::remove_file(house.file("a")).unwrap();
    house.signal(Signal::SIGHUP);
    house.until("the job was gone", |house| {
        house.state().known_job("a").unwrap().is_none()
    });
    gate.open();
    house.until_run("a", RunState::Succeeded);
    house.until("nobody could write it any more", |house| {
        house.processes().len() == 1
    });
    house.until("its status file was gone", |house| {
        house.status("a").is_none()
    });
}

#[test]
fn a_changed_file_does_not_touch_the_run_that_is_under_way() {
    let mut house = House::new("");
    let gate = house.bed.gate("a");
    let hooks = |note: &str| {
        format!(
            "maintenance_on = {}\nmaintenance_off = [\"true\"]\nafter_publish = {}",
            gate.hook,
            house.bed.note(note)
        )
    };
    house.put("a", &house.draft("a").hooks(&hooks("old")));
    let changed = house.draft("a").hooks(&hooks("new"));
    house.start();
    house.trigger("a");
    house.until("the run was under way", |_| gate.is_reached());
    let before = house.last("a").unwrap();
    house.put("a", &changed);
    house.signal(Signal::SIGHUP);
    house.until_said("files are read");
    let run = house.last("a").unwrap();
    assert_eq!(
        (run.state, &run.process),
        (RunState::Running, &before.process)
    );
    gate.open();
    let run = house.until_run("a", RunState::Succeeded);
    assert_eq!(run.id, before.id);
    assert_eq!(house.bed.notes(), ["old"]);
    house.run(&["trigger", "a", "--wait"]).expect(0);
    assert_eq!(house.bed.notes(), ["old", "new"]);
}

#[test]
fn a_changed_schedule_is_kept_from_then_on() {
    let mut house = House::new("");
    house.put("a", &house.draft("a").top("schedule = \"0 0 29 2 *\""));
    house.start();
    house.until("its next time was known", |house| {
        house.status("a").is_some_and(|status| {
            status["next_run_at"]
                .as_str()
                .unwrap_or_default()
                .contains("-02-29T00:00:00Z")
        })
    });
    house.put("a", &house.draft("a").top(EVERY_SECOND));
    until_it_ran_again(&house, "a");
    house.job("a");
    house.until("it had no next time", |house| {
        house.status("a").unwrap()["next_run_at"].is_null()
    });
}

#[test]
fn jobs_stay_when_their_directory_is_taken_away() {
    let mut house = House::new("");
    house.put("a", &house.draft("a").top(EVERY_SECOND));
    house.start();
    until_it_ran_again(&house, "a");
    fs::rename(house.bed.path("jobs"), house.bed.path("away")).unwrap();
    house.until_said("all jobs stay as they are");
    house.until("status said so", |house| {
        house.run(&["status"]).stdout.contains("job_dir")
    });
    until_it_ran_again(&house, "a");
    assert!(house.status("a").is_some());
    fs::rename(house.bed.path("away"), house.bed.path("jobs")).unwrap();
    until_it_ran_again(&house, "a");
    for run in house.runs(None) {
        assert!(
            !matches!(run.state, RunState::Failed | RunState::Refused),
            "{run:?}"
        );
    }
}

#[test]
fn a_job_whose_file_is_broken_is_triggered_in_its_last_good_version() {
    let mut house = House::new("");
    house.put("a", &house.draft("a"));
    house.start();
    house.until("the job is known", |house| house.status("a").is_some());
    fs::write(house.file("a"), "from = \"prod").unwrap();
    house.run(&["trigger", "a", "--wait"]).expect(0).says(&[
        "the job's file is broken; its last good version runs",
        "a succeeded",
    ]);
}

#[test]
fn a_file_of_two_bytes_is_a_broken_file_and_nothing_more() {
    let mut house = House::new("");
    let file = house.bed.file("a.toml", "x\r");
    house.job("b");
    house.start();
    house.until_status("a", "state", "refused");
    house.trigger("b");
    house.until_run("b", RunState::Succeeded);
    let validated = house.run(&["validate", "-f", file.to_str().unwrap()]);
    validated.expect(2).says(&["a.toml:1:"]);
}

#[test]
fn a_file_that_a_job_includes_is_looked_at_as_the_job_s_own() {
    let good = "[[pass]]\ntable = \"*\"\ncolumns = [\"*\"]\nreason = \"invented\"\n";
    let mut house = House::new("");
    let included = house.bed.file("masks/shared.toml", good);
    let job = house.draft("a").top(EVERY_SECOND);
    house.put("a", &job.task("include = [\"masks/shared.toml\"]"));
    house.start();
    until_it_ran_again(&house, "a");
    fs::write(&included, "[[pas]]\n").unwrap();
    let said = |house: &House| house.run(&["status", "a"]).stdout;
    house.until("what is wrong was told", |house| {
        said(house).contains("shared.toml:1")
    });
    fs::write(&included, good).unwrap();
    house.until("it was mended", |house| !said(house).contains("shared"));
    until_it_ran_again(&house, "a");
    // The next daemon does not find it at all.
    house.kill();
    fs::remove_file(&included).unwrap();
    house.start();
    house.until("that it is gone was told", |house| {
        said(house).contains("shared.toml")
    });
    fs::write(&included, good).unwrap();
    until_it_ran_again(&house, "a");
}
