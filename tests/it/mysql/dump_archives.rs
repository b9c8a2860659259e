//! Dumps of MySQL as GOV.UK's scripts leave them in an archive: pulled and pushed by the binary.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{BIG, Scene};
use crate::support::job::{Job, Outcome, toml};
use crate::support::mysql::{Server, Version};
use crate::support::postgres::{Must, tools};
use crate::support::wait_until;

const DATABASE: &str = "app_production";

/// A scene with an archive beside it.
struct Dumped<'a> {
    scene: Scene<'a>,
    place: PathBuf,
}

impl<'a> Dumped<'a> {
    fn new(scene: Scene<'a>) -> Self {
        let place = scene.bed.path("archive");
        fs::create_dir(&place).expect("a directory");
        Self { scene, place }
    }

    fn archive(&self) -> String {
        format!(
            "{{ url = {}, format = \"govuk\", database = \"{DATABASE}\" }}",
            toml(&format!("file://{}", self.place.display()))
        )
    }

    fn pull(&self) -> Job {
        let target = self.scene.target.url("root", &self.scene.to);
        Job::new("mysql", &self.archive(), &toml(&target))
    }

    fn push(&self) -> Job {
        let source = self.scene.source.url("root", &self.scene.from);
        Job::new("mysql", &toml(&source), &self.archive())
    }

    /// As the script does: `mysqldump ... | gzip`.
    fn dump(&self, name: &str) -> PathBuf {
        let script = format!(
            "set -o pipefail; mariadb-dump --no-defaults --user=root --socket=\"$1\" \"$2\" | gzip > \"$3/{name}\""
        );
        Command::new("bash")
            .args(["-c", &script, "dump"])
            .arg(self.scene.source.socket())
            .arg(&self.scene.from)
            .arg(&self.place)
            .must("mariadb-dump");
        self.place.join(name)
    }

    fn once(&self, name: &str, job: &Job) -> Outcome {
        let file = self.scene.bed.job(name, job);
        self.scene.bed.once(&file)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.place).expect("the archive");
        let mut all: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("a file")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        all.sort();
        all
    }

    fn restored(&self) -> Vec<String> {
        let mut all = self.scene.beside_live();
        all.retain(|name| name.contains("_staging_"));
        all
    }
}

#[test]
fn a_dump_that_the_scripts_left_is_pulled() {
    let dumped = Dumped::new(Scene::new());
    dumped.dump(&format!("2024-02-03T04:05:06-{DATABASE}.gz"));
    dumped.scene.source("UPDATE users SET email = 'newest'");
    dumped.dump(&format!("2024-02-04T040506Z-{DATABASE}.gz"));
    dumped.once("pull", &dumped.pull()).expect(0);
    assert_eq!(
        dumped
            .scene
            .live("SELECT email, count(*) FROM users GROUP BY 1"),
        "newest|200"
    );
    dumped.scene.assert_same();
    assert_eq!(dumped.restored(), Vec::<String>::new());
    let status = dumped.scene.bed.status("pull");
    assert_eq!(status["tasks"][0]["rows"], 700);
}

#[test]
fn a_pushed_dump_is_gzipped_sql_and_is_pulled_again() {
    let dumped = Dumped::new(Scene::new());
    dumped.once("push", &dumped.push()).expect(0);
    let files = dumped.files();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files[0].ends_with(&format!("-{DATABASE}.gz")));
    let latest = fs::read_to_string(dumped.place.join(format!("latest-{DATABASE}.txt")));
    assert_eq!(latest.expect("a pointer").trim(), files[0]);
    let sql = Command::new("gzip")
        .arg("-dc")
        .arg(dumped.place.join(&files[0]))
        .must("gzip");
    let last = sql.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("-- Dump completed"), "{last}");
    dumped.scene.source("UPDATE users SET email = 'later'");
    dumped.once("pull", &dumped.pull()).expect(0);
    dumped.scene.live_is_new();
    assert_eq!(dumped.restored(), Vec::<String>::new());
}

#[test]
fn a_damaged_dump_fails_the_run_with_its_file_and_live_as_it_was() {
    let dumped = Dumped::new(Scene::new());
    let name = format!("2024-02-03T04:05:06-{DATABASE}.gz");
    let file = dumped.dump(&name);
    let whole = fs::read(&file).expect("a dump");
    fs::write(&file, &whole[..whole.len() / 2]).expect("a file");
    dumped.once("pull", &dumped.pull()).expect(1).says(&[&name]);
    dumped.scene.live_is_old();
    // Whole to gzip, and not to us: the tool had died before it.
    let script = "gzip -dc \"$1\" | head -c -200 | gzip > \"$1.new\" && mv \"$1.new\" \"$1\"";
    fs::write(&file, &whole).expect("a file");
    Command::new("bash")
        .args(["-c", script, "cut"])
        .arg(&file)
        .must("gzip");
    dumped.once("pull", &dumped.pull()).expect(1).says(&[&name]);
    dumped.scene.live_is_old();
    dumped.scene.nothing_is_left();
}

#[test]
fn a_run_that_is_killed_while_it_restores_leaves_nothing_to_the_next_one() {
    let dumped = Dumped::new(Scene::new());
    dumped.scene.source(BIG);
    dumped.dump(&format!("2024-02-03T04:05:06-{DATABASE}.gz"));
    let file = dumped.scene.bed.job("pull", &dumped.pull());
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let running = dumped.scene.bed.start(&file);
        wait_until("it restores", || !dumped.restored().is_empty());
        running.signal(signal);
        running.end();
        dumped.scene.live_is_old();
        assert_eq!(
            dumped.restored().len(),
            usize::from(signal == Signal::SIGKILL)
        );
    }
    dumped.scene.bed.once(&file).expect(0);
    dumped.scene.live_is_new();
    assert_eq!(dumped.restored(), Vec::<String>::new());
}

#[test]
fn a_push_without_the_maker_s_own_tool_says_what_to_install_and_leaves_no_file() {
    let dumped = Dumped::new(Scene::new());
    let file = dumped.scene.bed.job("push", &dumped.push());
    let mut command = dumped.scene.bed.command();
    command.args(["--once", "-f"]).arg(&file);
    command.env("PATH", dumped.scene.bed.path("nothing"));
    let running = dumped.scene.bed.spawn(&mut command);
    running.end().expect(2).says(&["mariadb-dump", "install"]);
    assert_eq!(dumped.files(), Vec::<String>::new());
}

#[test]
fn pushes_right_after_one_another_have_a_name_each() {
    let dumped = Dumped::new(Scene::new());
    dumped.scene.source("CREATE TABLE t (id int PRIMARY KEY)");
    for count in 1..=3 {
        dumped.once("push", &dumped.push()).expect(0);
        let files = dumped.files();
        let dumps = files.iter().filter(|file| file.contains(".gz"));
        assert_eq!(dumps.count(), count, "{files:?}");
    }
}

#[test]
fn oracle_s_database_goes_there_and_back_by_oracle_s_tool() {
    let start = || Server::builder().of(Version::Oracle).start();
    let (source, target) = (start(), start());
    let dumped = Dumped::new(Scene::on_any(&source, &target));
    dumped.scene.source(
        "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, j json, b varbinary(9), n int, s int AS (n * 2) STORED, v int INVISIBLE DEFAULT 3);
         INSERT INTO t (j, b, n, v) VALUES ('{\"a\": [1.50, \"é\"]}', X'00FF5C27', 4, 5), (NULL, NULL, NULL, NULL);
         CREATE TABLE audit (id int PRIMARY KEY); INSERT INTO audit VALUES (1);
         CREATE VIEW v AS SELECT t.id FROM t LEFT JOIN audit USING (id);",
    );
    let push = dumped.push().task("schema_only = [\"audit\"]");
    let file = dumped.scene.bed.job("push", &push);
    let mut command = dumped.scene.bed.command();
    command.args(["--once", "-f"]).arg(&file);
    let path = std::env::var("PATH").unwrap_or_default();
    let first = tools("mysql").join("bin");
    command.env("PATH", format!("{}:{path}", first.display()));
    dumped.scene.bed.spawn(&mut command).end().expect(0);
    dumped.once("pull", &dumped.pull()).expect(0);
    assert_eq!(dumped.scene.live("SELECT count(*) FROM audit"), "0");
    dumped.scene.source("DELETE FROM audit");
    dumped.scene.assert_same();
    // MariaDB's tool does not know all of it.
    dumped
        .once("push", &dumped.push())
        .expect(2)
        .says(&["not of its maker"]);
}
