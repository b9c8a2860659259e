//! Runs of a part of a job: `--only TASK`.

use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::daemon::House;
use crate::support::job::{Bed, Job, toml};

/// A job of three databases.
struct Scene {
    bed: Bed,
    job: PathBuf,
}

const TASKS: [&str; 3] = ["first", "second", "third"];

impl Scene {
    fn new() -> Self {
        let bed = Bed::new();
        let job = bed.job("app", &three(&bed));
        let scene = Self { bed, job };
        for task in TASKS {
            scene.write(&format!("{task}-source.db"), "new");
            scene.write(&format!("{task}-target.db"), "old");
        }
        scene
    }

    fn write(&self, name: &str, word: &str) {
        let file = Connection::open(self.bed.path(name)).unwrap();
        file.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS t (a); DELETE FROM t; INSERT INTO t VALUES ('{word}')"
        ))
        .unwrap();
    }

    fn live(&self) -> [String; 3] {
        TASKS.map(|task| {
            let file = Connection::open(self.bed.path(&format!("{task}-target.db"))).unwrap();
            file.query_row("SELECT a FROM t", [], |row| row.get(0))
                .unwrap()
        })
    }

    fn run(&self, more: &[&str]) -> crate::support::job::Outcome {
        let job = self.job.to_str().unwrap();
        self.bed.run(&[&["--once", "-f", job], more].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self
            .bed
            .run(&[arguments, &["--json"]].concat())
            .expect(0)
            .stdout;
        serde_json::from_str(&said).unwrap()
    }

    fn check(&self) -> crate::support::job::Outcome {
        self.bed.run(&["check", "app"])
    }
}

fn three(bed: &Bed) -> Job {
    let url = |name: &str| format!("sqlite://{}", bed.path(name).display());
    let mut job = Job::between("sqlite", &url("first-source.db"), &url("first-target.db"))
        .task("name = \"first\"");
    for task in ["second", "third"] {
        job = job.task(&format!(
            "[[task]]\nname = \"{task}\"\nkind = \"sqlite\"\nsource = {}\ntarget = {}",
            toml(&url(&format!("{task}-source.db"))),
            toml(&url(&format!("{task}-target.db")))
        ));
    }
    job
}

#[test]
fn a_part_of_a_job_leaves_its_other_tasks_alone_and_says_so() {
    let scene = Scene::new();
    // What is left out is not even looked for.
    std::fs::remove_file(scene.bed.path("first-source.db")).unwrap();
    let ran = scene
        .run(&["--only", "third", "--only", "second"])
        .expect(0);
    assert!(!ran.stdout.contains("first"), "{}", ran.stdout);
    assert_eq!(scene.live(), ["old", "new", "new"]);
    let run = &scene.json(&["show", "app"])["run"];
    assert_eq!(run["only"], json!(["second", "third"]));
    assert_eq!(run["tasks"].as_array().unwrap().len(), 2);
    scene
        .bed
        .run(&["history"])
        .expect(0)
        .says(&["succeeded (only second, third)"]);
    scene
        .bed
        .run(&["show", "app"])
        .expect(0)
        .says(&["only       second, third;"]);
    let status = scene.bed.status("app");
    assert_eq!(status["only"], json!(["second", "third"]));
    assert_eq!(status["tasks"].as_array().unwrap().len(), 2);
}

#[test]
fn a_plan_of_a_part_is_of_its_tasks_alone() {
    let scene = Scene::new();
    std::fs::remove_file(scene.bed.path("first-source.db")).unwrap();
    let plan = ["plan", "-f", scene.job.to_str().unwrap()];
    let part = [&plan[..], &["--only", "third", "--only", "second"]].concat();
    let planned = scene.bed.run(&part).expect(0);
    assert!(
        planned.stdout.contains("only second, third\n"),
        "{}",
        planned.stdout
    );
    assert!(!planned.stdout.contains("first"), "{}", planned.stdout);
    let document = scene.json(&part);
    assert_eq!(document["only"], json!(["second", "third"]));
    let names: Vec<&Value> = document["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["name"])
        .collect();
    assert_eq!(names, ["second", "third"]);
    // The whole job has a task whose source is gone.
    scene.bed.run(&plan).expect(1);
    scene
        .bed
        .run(&[&plan[..], &["--only", "fourth"]].concat())
        .expect(2)
        .says(&["no task `fourth`"]);
    assert_eq!(scene.live(), ["old", "old", "old"]);
}

#[test]
fn a_name_that_no_task_has_is_answered_with_those_that_there_are() {
    let scene = Scene::new();
    let said = scene.run(&["--only", "first", "--only", "forth"]).expect(2);
    said.says(&["no task `forth`", "`first`, `second`, `third`"]);
    assert_eq!(scene.live(), ["old"; 3]);
    assert_eq!(
        scene.json(&["history"])["runs"],
        json!([]),
        "there was no run"
    );
}

#[test]
fn all_of_a_jobs_tasks_are_the_whole_job() {
    let scene = Scene::new();
    let all = ["--only", "third", "--only", "second", "--only", "first"];
    scene.run(&all).expect(0);
    assert_eq!(scene.json(&["show", "app"])["run"]["only"], json!([]));
    assert!(scene.bed.status("app")["last_success_at"].is_string());
}

#[test]
fn a_part_makes_the_job_no_younger_and_ends_no_failure() {
    let scene = Scene::new();
    scene.run(&["--only", "first"]).expect(0);
    assert_eq!(scene.bed.status("app")["last_success_at"], Value::Null);
    scene.check().expect(1).says(&["no success yet"]);

    scene.run(&[]).expect(0);
    let success = scene.bed.status("app")["last_success_at"].clone();
    scene.check().expect(0);
    std::fs::rename(scene.bed.path("third-source.db"), scene.bed.path("away")).unwrap();
    scene.run(&[]).expect(1);
    scene.check().expect(2);
    scene.run(&["--only", "first"]).expect(0);
    let status = scene.bed.status("app");
    assert_eq!(status["state"], "succeeded");
    assert_eq!(status["last_success_at"], success);
    assert_eq!(status["consecutive_failures"], 1);
    scene
        .check()
        .expect(2)
        .says(&["the last whole run failed, and only first ran since"]);

    // A part that fails is the last run that failed, until a part goes well.
    scene.run(&["--only", "third"]).expect(1);
    assert_eq!(scene.bed.status("app")["consecutive_failures"], 1);
    std::fs::rename(scene.bed.path("away"), scene.bed.path("third-source.db")).unwrap();
    scene.run(&[]).expect(0);
    scene.check().expect(0);
    std::fs::rename(scene.bed.path("third-source.db"), scene.bed.path("away")).unwrap();
    scene.run(&["--only", "third"]).expect(1);
    scene.check().expect(2);
    std::fs::rename(scene.bed.path("away"), scene.bed.path("third-source.db")).unwrap();
    scene.run(&["--only", "third"]).expect(0);
    scene.check().expect(0);
}

#[test]
fn a_rollback_of_a_part_leaves_the_other_tasks_where_they_are() {
    let scene = Scene::new();
    scene.run(&[]).expect(0);
    scene.write("second-source.db", "newer");
    scene.run(&["--only", "second"]).expect(0);
    assert_eq!(scene.live(), ["new", "newer", "new"]);
    let job = scene.job.to_str().unwrap();
    let back = scene.bed.run(&["rollback", "-f", job]).expect(0);
    back.says(&["the last run was of second only"]);
    // Else the others would be what they were before the night.
    assert_eq!(scene.live(), ["new", "new", "new"]);
    scene
        .bed
        .run(&["history"])
        .expect(0)
        .says(&["previous -> staging"]);
}

#[test]
fn a_part_that_is_triggered_is_what_the_daemon_runs() {
    let mut house = House::new("");
    house.put("app", &three(&house.bed));
    for task in TASKS {
        for (end, word) in [("source", "new"), ("target", "old")] {
            let file = Connection::open(house.bed.path(&format!("{task}-{end}.db"))).unwrap();
            file.execute_batch(&format!(
                "CREATE TABLE t (a); INSERT INTO t VALUES ('{word}')"
            ))
            .unwrap();
        }
    }
    house.start();
    house
        .run(&["trigger", "app", "--only", "forth"])
        .expect(2)
        .says(&["no task `forth`", "`first`, `second`, `third`"]);
    house
        .run(&["trigger", "app", "--only", "second", "--wait"])
        .expect(0);
    let run = house.last("app").unwrap();
    assert_eq!(run.only, ["second"]);
    assert_eq!(run.tasks.len(), 1);
    let word = |task: &str| -> String {
        let file = Connection::open(house.bed.path(&format!("{task}-target.db"))).unwrap();
        file.query_row("SELECT a FROM t", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(TASKS.map(word), ["old", "new", "old"]);
}
