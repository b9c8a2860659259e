//! Snapshots between servers of different versions.

use std::path::Path;

use crate::support::job::{Bed, Job, Outcome};
use crate::support::postgres::{Cluster, newest_programs, shared, unique};

/// Runs a verb where the newest `pg_dump` that the tests have is the machine's own.
fn run(bed: &Bed, verb: &str, file: &Path) -> Outcome {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = bed.command();
    command.env("PATH", format!("{}:{path}", newest_programs().display()));
    bed.spawn(command.args([verb, "-f"]).arg(file)).end()
}

/// Pushes a database of one server; returns the job that pulls it into one of another, and that.
fn pushed(bed: &Bed, source: &Cluster, target: &Cluster) -> (std::path::PathBuf, String) {
    let (from, to) = (unique("from"), unique("to"));
    source.create_db(&from);
    source.psql(&from, "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text); INSERT INTO t (a) VALUES ('new'); CREATE VIEW v AS SELECT a FROM t");
    target.create_db(&to);
    target.psql(
        &to,
        "CREATE TABLE t (a text); INSERT INTO t VALUES ('old'); CREATE VIEW v AS SELECT a FROM t",
    );
    let archive = format!("file://{}", bed.path("archive").display());
    let push = Job::between("postgresql", &source.url("postgres", &from), &archive);
    run(bed, "run", &bed.job("push", &push)).expect(0);
    let pull = Job::between("postgresql", &archive, &target.url("postgres", &to));
    (bed.job("pull", &pull), to)
}

#[test]
fn a_newer_server_s_snapshot_is_refused_by_an_older_one_in_plan_and_run() {
    let (bed, source) = (Bed::new(), Cluster::builder().newer().start());
    let target = &shared().target;
    let (pull, to) = pushed(&bed, &source, target);
    for verb in ["plan", "run"] {
        let outcome = run(&bed, verb, &pull).expect(1);
        let refusal = "older than the source's 18.";
        let last = outcome.stderr.lines().last().unwrap_or_default();
        assert!(
            last.contains(refusal) && last.contains("upgrade the target"),
            "{last}"
        );
        assert_eq!(target.psql(&to, "SELECT a FROM v"), "old");
    }
}

#[test]
fn an_older_server_s_snapshot_is_pulled_into_a_newer_one() {
    let (bed, target) = (Bed::new(), Cluster::builder().newer().start());
    let (pull, to) = pushed(&bed, &shared().source, &target);
    // With this machine's own pg_dump, which is older than the target: a snapshot needs none.
    bed.with_file("plan", &pull).expect(0).says(&["15.", "18."]);
    bed.once(&pull).expect(0);
    assert_eq!(target.psql(&to, "SELECT a FROM v"), "new");
    assert_eq!(
        target.psql(&to, "INSERT INTO t (a) VALUES ('next') RETURNING id"),
        "2"
    );
}
