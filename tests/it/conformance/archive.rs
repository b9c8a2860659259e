//! The suite through archives: each run is a push to a directory, then a pull from it.

use std::marker::PhantomData;
use std::path::Path;

use super::Lab;
use super::files::Trees;
use super::mysql::Mysql;
use super::postgresql::Postgresql;
use super::sqlite::Sqlite;
use crate::support::job::{Bed, Job, toml};

/// In what form data rests in an archive.
trait Form {
    /// The value of the endpoint's key.
    fn endpoint(url: &str) -> String;

    /// Before another one is pushed.
    fn make_room(_archive: &Path) {}

    /// What a push to it says besides.
    fn push(job: Job) -> Job {
        job
    }
}

/// Snapshots of our own.
struct Snapshots;

impl Form for Snapshots {
    fn endpoint(url: &str) -> String {
        toml(url)
    }

    fn push(job: Job) -> Job {
        job.task("verify = \"checksum\"")
    }
}

/// Dumps of the stores' own tools.
struct Dumps;

impl Form for Dumps {
    fn endpoint(url: &str) -> String {
        format!(
            "{{ url = {}, format = \"govuk\", database = \"app\" }}",
            toml(url)
        )
    }

    fn make_room(archive: &Path) {
        // Two dumps of one second have one name.
        let _ = std::fs::remove_dir_all(archive);
    }
}

/// A store whose data rests in an archive on its way.
struct Archived<L, F = Snapshots> {
    lab: L,
    bed: Bed,
    form: PhantomData<F>,
}

impl<L: Lab, F: Form> Lab for Archived<L, F> {
    const KIND: &'static str = L::KIND;

    fn new() -> Self {
        let lab = L::new();
        let bed = Bed::of_this_test(lab.environment());
        Self {
            lab,
            bed,
            form: PhantomData,
        }
    }

    fn source_url(&self) -> String {
        format!("file://{}", self.bed.path("archive").display())
    }

    fn source_value(&self) -> String {
        F::endpoint(&self.source_url())
    }

    fn target_url(&self) -> String {
        self.lab.target_url()
    }

    fn options() -> &'static str {
        L::options()
    }

    fn computed() -> &'static str {
        L::computed()
    }

    fn source(&self, sql: &str) -> String {
        self.lab.source(sql)
    }

    fn live(&self, sql: &str) -> String {
        self.lab.live(sql)
    }

    fn beside(&self) -> Vec<String> {
        self.lab.beside()
    }

    fn tables(&self) -> Vec<String> {
        self.lab.tables()
    }

    fn ready(&self) {
        F::make_room(&self.bed.path("archive"));
        let push = Job::new(L::KIND, &toml(&self.lab.source_url()), &self.source_value());
        let push = F::push(push);
        self.bed.once(&self.bed.job("push", &push)).expect(0);
    }

    fn environment(&self) -> Vec<(String, String)> {
        self.lab.environment()
    }

    fn rows_of_others(&self) -> u64 {
        self.lab.rows_of_others()
    }

    fn assert_published(&self) {
        self.lab.assert_published();
    }

    fn missing(&self) -> (String, String) {
        let place = self.bed.path("nothing").display().to_string();
        (format!("file://{place}"), place)
    }

    fn refused_statement() -> &'static str {
        L::refused_statement()
    }

    fn names() -> &'static [&'static str] {
        L::names()
    }
}

mod of_mysql {
    super::super::conforms!(super::Archived<super::Mysql>);
}

mod of_postgresql {
    super::super::conforms!(super::Archived<super::Postgresql>);
}

mod of_sqlite {
    super::super::conforms!(super::Archived<super::Sqlite>);
}

mod dumps_of_mysql {
    super::super::conforms!(super::Archived<super::Mysql, super::Dumps>);
}

mod dumps_of_postgresql {
    super::super::conforms!(super::Archived<super::Postgresql, super::Dumps>);
}

mod of_files {
    super::super::conforms! { super::Archived<super::Trees>:
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
        a_source_that_is_missing_fails_the_run_and_is_named
        tables_and_columns_with_odd_names_arrive
        values_arrive_as_they_were
    }
}
