//! MariaDB and MySQL under each of their profiles.

use crate::support::job::{Bed, Job};
use crate::support::mysql::Databases;
use crate::support::mysql::profiles::under_each_mysql;
use crate::support::profile::named;

/// Generated columns, defaults and what indexes are made of.
pub(crate) const COMPUTED: &str = include_str!("../fixtures/computed.mysql.sql");

mod what_is_computed_is_as_the_server_s_dump_would_bring_it {
    super::under_each_mysql!(super::computed);
}

fn computed(profile: &str) {
    let databases = Databases::under(named(profile));
    let bed = Bed::of_this_test(Vec::new());
    databases.source_server().ansi(&databases.from, COMPUTED);
    databases.make_live();
    let job = Job::between("mysql", &databases.source_url(), &databases.target_url())
        .task("verify = \"checksum\"");
    for _ in 0..2 {
        bed.once(&bed.job("app", &job)).expect(0);
        databases.assert_published();
    }
}
