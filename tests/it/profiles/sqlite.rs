//! SQLite under each of its profiles.

use rusqlite::Connection;

use crate::support::job::{Bed, Job};
use crate::support::profile::named;
use crate::support::sqlite::{Files, under_each_sqlite};

/// Generated columns and indexes on expressions.
pub(crate) const COMPUTED: &str = include_str!("../fixtures/computed.sqlite.sql");

mod what_is_computed_is_as_dump_would_bring_it {
    super::under_each_sqlite!(super::computed);
}

fn computed(profile: &str) {
    let bed = Bed::of_this_test(Vec::new());
    let files = Files::under(named(profile), bed.path("source.db"), bed.path("live.db"));
    Connection::open(&files.source)
        .expect("a database")
        .execute_batch(COMPUTED)
        .expect("our own SQL");
    files.make_live();
    let url = |file: &std::path::Path| format!("sqlite://{}", file.display());
    let job = Job::between("sqlite", &url(&files.source), &url(&files.target))
        .task("verify = \"checksum\"");
    for _ in 0..2 {
        bed.once(&bed.job("app", &job)).expect(0);
        files.assert_published();
    }
}
