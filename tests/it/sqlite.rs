//! SQLite files of people who want more than to be copied, as an operator meets them.

use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use crate::support::hostile::sqlite as hostile;
use crate::support::job::{Bed, Job};

fn url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

fn count(file: &Path, table: &str) -> i64 {
    Connection::open(file)
        .expect("a database")
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        })
        .expect("our own SQL")
}

#[test]
fn a_source_whose_schema_is_a_script_is_refused_by_plan_and_run() {
    let bed = Bed::new();
    let (source, live, victim) = (
        bed.path("source.db"),
        bed.path("live.db"),
        bed.path("victim.db"),
    );
    hostile::tampered(&victim, hostile::VICTIM, "");
    hostile::with_tail(
        &source,
        "CREATE TABLE t (a); CREATE TABLE more (a); CREATE VIEW v AS SELECT 1;",
        "t",
        &hostile::tail(&victim),
    );
    let whole = Job::between("sqlite", &url(&source), &url(&live));
    let part = Job::between("sqlite", &url(&source), &url(&live)).task("exclude = [\"more\"]");
    let archive = format!("file://{}", bed.path("archive").display());
    let push = Job::between("sqlite", &url(&source), &archive);
    for (name, job) in [("whole", whole), ("part", part), ("push", push)] {
        let file = bed.job(name, &job);
        let run = bed.once(&file).expect(1);
        let path = file.to_str().expect("our paths are text");
        let plan = bed.run(&["plan", "-f", path]).expect(1);
        for said in [run.stderr, plan.stderr] {
            assert!(
                said.contains("the definition of table `t` is more than one statement"),
                "{said}"
            );
        }
    }
    assert_eq!(count(&victim, "wins"), 0);
    assert!(!live.exists());
}

#[test]
fn a_snapshot_restored_by_hand_runs_nothing_of_its_source() {
    let bed = Bed::new();
    let (source, archive) = (bed.path("source.db"), bed.path("archive"));
    let name = "t$(touch pwned)`touch pwned`' ; touch pwned\n.shell touch pwned\n";
    Connection::open(&source)
        .expect("a database")
        .execute_batch(&format!(
            "CREATE TABLE \"{name}\" (a); INSERT INTO \"{name}\" VALUES (';\n.shell touch pwned\n');
             CREATE VIEW v AS SELECT 8\n/\n2 AS a, ';\n.shell touch pwned\n';"
        ))
        .expect("our own SQL");
    let push = Job::between(
        "sqlite",
        &url(&source),
        &format!("file://{}", archive.display()),
    );
    bed.once(&bed.job("push", &push)).expect(0);
    let folder = fs::read_dir(&archive)
        .expect("a directory")
        .next()
        .expect("a snapshot")
        .expect("readable")
        .path();
    let page = include_str!("../../docs/archives.md");
    let code = page
        .split("\n### SQLite")
        .nth(1)
        .and_then(|section| section.split("```sh\n").nth(1))
        .and_then(|section| section.split("```").next())
        .expect("the page's commands");
    let status = Command::new("bash")
        .args(["-euo", "pipefail", "-c", code])
        .current_dir(&folder)
        .status()
        .expect("bash");
    assert!(status.success());
    let restored = folder.join("restored.db");
    assert_eq!(count(&restored, "v"), 1);
    assert_eq!(count(&restored, &format!("\"{name}\"")), 1);
    let pwned = Command::new("find")
        .arg(bed.path(""))
        .args(["-name", "pwned"])
        .output();
    assert_eq!(pwned.expect("find").stdout, b"");
}
