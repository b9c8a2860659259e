//! Databases made to be hard to copy, by way of a dump.

use super::DATABASE;
use crate::support::dump::assert_equal;
use crate::support::job::{Bed, Job, toml};
use crate::support::postgres::{Cluster, Must, bare, unique};

/// Roles that the fixture speaks of.
const ROLES: &str =
    "CREATE ROLE fixture_reader; CREATE ROLE fixture_writer; CREATE ROLE \"Fixture \"\"owner\"\"\"";

/// A database with everything in it, and a server below.
struct All {
    source: Cluster,
    target: Cluster,
    bed: Bed,
    from: String,
    to: String,
}

impl All {
    fn new() -> Self {
        let all = Self {
            source: Cluster::builder().start(),
            target: Cluster::builder().start(),
            bed: Bed::new(),
            from: unique("from"),
            to: unique("to"),
        };
        all.source.create_db(&all.from);
        all.source
            .psql(&all.from, include_str!("../../fixtures/everything.sql"));
        all.target.psql("postgres", ROLES);
        std::fs::create_dir(all.bed.path("archive")).unwrap();
        all
    }

    fn archive(&self) -> String {
        let url = format!("file://{}", self.bed.path("archive").display());
        format!(
            "{{ url = {}, format = \"govuk\", database = \"{DATABASE}\" }}",
            toml(&url)
        )
    }

    fn pull(&self) -> Job {
        let target = toml(&self.target.url("postgres", &self.to));
        Job::new("postgresql", &self.archive(), &target)
            .task("roles = \"fail\"")
            .task("verify = \"checksum\"")
    }

    #[track_caller]
    fn is_equal(&self) {
        let (here, there) = (
            self.source.pg_dump(&self.from),
            self.target.pg_dump(&self.to),
        );
        assert_equal(&here, &there);
        assert!(
            there
                .join("\n")
                .contains("CREATE USER MAPPING FOR fixture_reader")
        );
        let mut beside = self.target.databases();
        beside.retain(|name| name.contains("staging") || name.contains("incoming"));
        assert_eq!(beside, Vec::<String>::new());
    }
}

#[test]
fn everything_that_create_can_make_arrives_from_a_dump() {
    let all = All::new();
    bare(all.source.program("pg_dump"))
        .args(["--format=custom", "--compress=1", "--file"])
        .arg(
            all.bed
                .path(&format!("archive/2026-01-02T030405Z-{DATABASE}.gz")),
        )
        .arg("--dbname")
        .arg(all.source.url("postgres", &all.from))
        .must("pg_dump");
    all.bed.once(&all.bed.job("pull", &all.pull())).expect(0);
    all.is_equal();
    let over = all.pull().task("mode = \"overlay\"");
    all.bed.once(&all.bed.job("pull", &over)).expect(0);
    all.is_equal();
}

#[test]
fn everything_that_create_can_make_is_in_a_pushed_dump() {
    let all = All::new();
    let source = toml(&all.source.url("postgres", &all.from));
    let push = Job::new("postgresql", &source, &all.archive());
    all.bed.once(&all.bed.job("push", &push)).expect(0);
    all.bed.once(&all.bed.job("pull", &all.pull())).expect(0);
    all.is_equal();
}
