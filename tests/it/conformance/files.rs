//! The suite over trees of files. Its tables are files of JSON lines, as the toy store has them; here they are copied as the
//! files that they are.

use std::fs;

use super::Lab;
use super::sqlite::rows_of;
use super::toy::{Toy, files, load};

pub(super) struct Trees(Toy);

impl Trees {
    fn url(&self, name: &str) -> String {
        format!("dir://{}", self.0.path(name).display())
    }
}

impl Lab for Trees {
    const KIND: &'static str = "files";

    fn new() -> Self {
        Self(Toy::new())
    }

    fn options() -> &'static str {
        "mode = \"replace\""
    }

    fn source_url(&self) -> String {
        self.url("source")
    }

    fn target_url(&self) -> String {
        self.url("live")
    }

    fn computed() -> &'static str {
        ""
    }

    fn source(&self, sql: &str) -> String {
        self.0.run("source", sql)
    }

    fn live(&self, sql: &str) -> String {
        // A question leaves the tree as it is.
        if sql.starts_with("SELECT") {
            return rows_of(&load(&self.0.path("live")), sql);
        }
        self.0.run("live", sql)
    }

    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path("live.envsyncd"))
            .into_iter()
            .flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .map(|name| name.into_string().expect("text"))
            .filter(|name| !["mark.json", "lock", "spare", "changed"].contains(&name.as_str()))
            .collect()
    }

    fn tables(&self) -> Vec<String> {
        files(&self.0.path("live")).into_keys().collect()
    }

    fn rows_of_others(&self) -> u64 {
        0
    }

    fn assert_published(&self) {
        assert_eq!(files(&self.0.path("live")), files(&self.0.path("source")));
    }

    fn missing(&self) -> (String, String) {
        (self.url("missing"), "missing".to_owned())
    }
}

super::conforms! { Trees:
    a_first_copy_makes_the_target
    a_refresh_replaces_what_was_live_and_what_the_source_lost_is_gone
    a_copy_is_verified_by_checksum
    rollback_returns_the_old_and_again_the_new
    previous_is_dropped_if_the_job_says_so
    only_one_previous_is_kept
    what_a_killed_run_left_is_gone_after_the_next
    a_run_that_is_terminated_leaves_nothing
    a_second_run_of_one_target_is_turned_away
    a_held_environment_is_left_alone
    data_never_flows_uphill
    a_thing_is_never_copied_onto_itself
    a_source_that_is_missing_fails_the_run_and_is_named
    tables_and_columns_with_odd_names_arrive
    values_arrive_as_they_were
}
