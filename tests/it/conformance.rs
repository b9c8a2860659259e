//! One suite over every store: what a user may expect of a copy, whatever it is that is copied, and under whatever profile
//! (see `support/profile.rs`) the test's name has it run.

mod archive;
mod files;
mod mysql;
mod postgresql;
mod refusals;
mod sqlite;
mod status;
mod toy;

use std::path::{Path, PathBuf};

use self::refusals::{
    a_held_environment_is_left_alone, a_second_run_of_one_target_is_turned_away,
    a_source_that_is_missing_fails_the_run_and_is_named, a_thing_is_never_copied_onto_itself,
    data_never_flows_uphill,
};
use self::status::the_status_file_says_what_the_run_did;
use crate::support::job::{BINARY, Bed, Job, Outcome, Running, toml};

/// A store with a source and a live target in it, which one test has for itself.
trait Lab {
    /// `kind` in a job file.
    const KIND: &'static str;
    /// The binary: an envsyncd that has the store.
    fn program() -> String {
        BINARY.to_owned()
    }
    /// A source without tables, and a place for a target that is not there yet.
    fn new() -> Self;
    /// The source's URL.
    fn source_url(&self) -> String;
    /// Lines of the task that every job of the suite has.
    fn options() -> &'static str {
        ""
    }
    /// The source as a job file writes it.
    fn source_value(&self) -> String {
        toml(&self.source_url())
    }
    /// The target's URL.
    fn target_url(&self) -> String;
    /// SQL that makes what is computed from rows in the source: generated columns and the like.
    fn computed() -> &'static str;
    /// Runs SQL on the source; rows as lines, columns between `|`.
    fn source(&self, sql: &str) -> String;
    /// Runs SQL on the live target, which is made if it is not there yet.
    fn live(&self, sql: &str) -> String;
    /// What the store has beside source and live: incoming, previous, anything else of ours.
    fn beside(&self) -> Vec<String>;
    /// The tables of live, in order.
    fn tables(&self) -> Vec<String>;
    /// Comes before every run: the source is where the run finds it.
    fn ready(&self) {}
    /// Variables of the binary: what the store's profile wants.
    fn environment(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    /// How many rows of others are in the source.
    fn rows_of_others(&self) -> u64;
    /// Live is what the store's own dump tool makes of the source in a fresh place.
    fn assert_published(&self);
    /// A URL of a source that does not exist, and its name in it.
    fn missing(&self) -> (String, String);
    /// A script's statement that the store refuses.
    fn refused_statement() -> &'static str {
        "UPDATE no_such_table SET a = 1"
    }
    /// Names that tables, columns and indexes may have, each odd in a way of its own.
    fn names() -> &'static [&'static str] {
        &[
            "Capital",
            "dot.ted",
            "quo\"te",
            "it's",
            "50% [off]",
            "größe 🌍",
            "select",
            "back\\slash",
        ]
    }
}

const SOURCE: &str = "CREATE TABLE users (id integer PRIMARY KEY, email text);
    INSERT INTO users VALUES (1, 'new'), (2, 'new'), (3, NULL);
    CREATE TABLE orders (id integer PRIMARY KEY, buyer integer REFERENCES users (id));
    INSERT INTO orders VALUES (10, 1), (11, 2);
    CREATE INDEX orders_buyer ON orders (buyer);
    CREATE VIEW buyers AS SELECT users.email FROM orders JOIN users ON users.id = orders.buyer;";

const LIVE: &str = "CREATE TABLE users (id integer PRIMARY KEY, email text);
    INSERT INTO users VALUES (1, 'old');
    CREATE TABLE lost (a text);
    INSERT INTO lost VALUES ('mine');";

/// A lab with its job's place.
struct Scene<L> {
    lab: L,
    bed: Bed,
}

impl<L: Lab> Scene<L> {
    /// Both sides have rows.
    fn new() -> Self {
        let scene = Self::first();
        scene.lab.live(LIVE);
        scene
    }

    /// The target is not there yet.
    fn first() -> Self {
        let lab = L::new();
        let mut bed = Bed::of_this_test(lab.environment());
        bed.program = L::program();
        let scene = Self { lab, bed };
        scene.lab.source(SOURCE);
        scene
    }

    fn job(&self) -> Job {
        let target = toml(&self.lab.target_url());
        Job::new(L::KIND, &self.lab.source_value(), &target).task(L::options())
    }

    fn write(&self, job: &Job) -> PathBuf {
        self.bed.job("app", job)
    }

    fn once(&self, job: &Path) -> Outcome {
        self.lab.ready();
        self.bed.once(job)
    }

    fn start(&self, job: &Path) -> Running {
        self.lab.ready();
        self.bed.start(job)
    }

    /// The job without options.
    fn file(&self) -> PathBuf {
        self.write(&self.job())
    }

    #[track_caller]
    fn live_is_old(&self) {
        assert_eq!(self.lab.live("SELECT id, email FROM users"), "1|old");
        assert_eq!(self.lab.tables(), ["lost", "users"]);
    }

    /// The same by our own eyes, and by the store's own tools.
    #[track_caller]
    fn live_is_the_source(&self) {
        self.live_is_new();
        self.lab.assert_published();
    }

    #[track_caller]
    fn live_is_new(&self) {
        assert_eq!(
            self.lab.live("SELECT id, email FROM users ORDER BY id"),
            "1|new\n2|new\n3|"
        );
        assert_eq!(
            self.lab.live("SELECT id, buyer FROM orders ORDER BY id"),
            "10|1\n11|2"
        );
        assert_eq!(self.lab.live("SELECT count(*) FROM buyers"), "2");
    }

    #[track_caller]
    fn nothing_is_beside(&self) {
        assert_eq!(self.lab.beside(), Vec::<String>::new());
    }
}

fn a_first_copy_makes_the_target<L: Lab>() {
    let scene = Scene::<L>::first();
    scene.once(&scene.file()).expect(0);
    scene.live_is_the_source();
    scene.nothing_is_beside();
}

fn a_refresh_replaces_what_was_live_and_what_the_source_lost_is_gone<L: Lab>() {
    let scene = Scene::<L>::new();
    scene.once(&scene.file()).expect(0);
    scene.live_is_new();
    assert_eq!(scene.lab.tables(), ["orders", "users"]);
    scene
        .lab
        .source("INSERT INTO users VALUES (4, 'later'); DROP VIEW buyers; DROP TABLE orders");
    scene.once(&scene.file()).expect(0);
    assert_eq!(scene.lab.live("SELECT count(*) FROM users"), "4");
    assert_eq!(scene.lab.tables(), ["users"]);
    scene.lab.assert_published();
}

fn in_overlay_tables_that_only_the_target_has_stay<L: Lab>() {
    let scene = Scene::<L>::new();
    let file = scene.write(&scene.job().task("mode = \"overlay\""));
    for _ in 0..2 {
        scene.once(&file).expect(0);
        scene.live_is_new();
        assert_eq!(scene.lab.live("SELECT a FROM lost"), "mine");
    }
}

fn an_excluded_table_does_not_arrive<L: Lab>() {
    let scene = Scene::<L>::new();
    scene
        .lab
        .source("CREATE TABLE cache_a (a integer); CREATE TABLE my_cache_b (a integer)");
    let job = scene.job().task("exclude = [\"cache_*\"]");
    scene.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
    assert_eq!(scene.lab.tables(), ["my_cache_b", "orders", "users"]);
}

fn names_are_compared_whole<L: Lab>() {
    let scene = Scene::<L>::new();
    scene.lab.source("CREATE TABLE app (a integer); CREATE TABLE \"my-app\" (a integer); CREATE TABLE app_2 (a integer)");
    let job = scene.job().task("exclude = [\"app\"]");
    scene.once(&scene.write(&job)).expect(0);
    assert_eq!(scene.lab.tables(), ["app_2", "my-app", "orders", "users"]);
}

fn a_table_of_schema_only_arrives_without_rows<L: Lab>() {
    let scene = Scene::<L>::new();
    let job = scene.job().task("schema_only = [\"orders\"]");
    scene.once(&scene.write(&job)).expect(0);
    assert_eq!(scene.lab.live("SELECT count(*) FROM orders"), "0");
    assert_eq!(scene.lab.live("SELECT count(*) FROM users"), "3");
}

fn the_target_s_own_rows_survive_in_a_kept_table<L: Lab>() {
    let scene = Scene::<L>::new();
    let table =
        "CREATE TABLE webhooks (id integer PRIMARY KEY, url text); INSERT INTO webhooks VALUES";
    scene.lab.source(&format!("{table} (1, 'production')"));
    scene
        .lab
        .live(&format!("{table} (7, 'staging'), (8, NULL)"));
    let file = scene.write(&scene.job().task("keep = [\"webhooks\"]"));
    for _ in 0..2 {
        scene.once(&file).expect(0);
        scene.live_is_new();
        assert_eq!(
            scene.lab.live("SELECT id, url FROM webhooks ORDER BY id"),
            "7|staging\n8|"
        );
    }
}

fn a_script_changes_rows_before_anyone_sees_them<L: Lab>() {
    let scene = Scene::<L>::new();
    scene.bed.file(
        "after.sql",
        "-- hidden\nUPDATE users SET email = 'hidden; really';\nDELETE FROM users WHERE id = 3;\n",
    );
    let gate = scene.bed.gate("on");
    let job = scene
        .job()
        .task("scripts = [\"after.sql\"]")
        .hooks(&gate.maintenance());
    let mut running = scene.start(&scene.write(&job));
    gate.wait(&mut running);
    scene.live_is_old();
    gate.open();
    running.end().expect(0);
    assert_eq!(
        scene.lab.live("SELECT id, email FROM users ORDER BY id"),
        "1|hidden; really\n2|hidden; really"
    );
}

fn a_script_that_fails_leaves_live_as_it_was_and_is_named_with_its_line<L: Lab>() {
    let scene = Scene::<L>::new();
    scene.bed.file(
        "broken.sql",
        &format!(
            "UPDATE users SET email = 'x';\n\n\n{};\n",
            L::refused_statement()
        ),
    );
    let job = scene.job().task("scripts = [\"broken.sql\"]");
    scene
        .once(&scene.write(&job))
        .expect(1)
        .says(&["broken.sql", "4", "no_such_table"]);
    scene.live_is_old();
    scene.nothing_is_beside();
}

fn a_copy_is_verified_by_checksum<L: Lab>() {
    let scene = Scene::<L>::new();
    let job = scene.job().task("verify = \"checksum\"");
    scene.once(&scene.write(&job)).expect(0);
    scene.live_is_the_source();
}

fn rollback_returns_the_old_and_again_the_new<L: Lab>() {
    let scene = Scene::<L>::new();
    let file = scene.file();
    scene.once(&file).expect(0);
    for _ in 0..2 {
        scene.bed.with_file("rollback", &file).expect(0);
        scene.live_is_old();
        scene.bed.with_file("rollback", &file).expect(0);
        scene.live_is_new();
    }
    scene.lab.assert_published();
}

fn previous_is_dropped_if_the_job_says_so<L: Lab>() {
    let scene = Scene::<L>::new();
    let job = scene.job().task("previous = \"drop\"");
    scene.once(&scene.write(&job)).expect(0);
    scene.live_is_the_source();
    scene.nothing_is_beside();
}

fn only_one_previous_is_kept<L: Lab>() {
    let scene = Scene::<L>::new();
    let file = scene.file();
    for _ in 0..3 {
        scene.once(&file).expect(0);
    }
    assert_eq!(scene.lab.beside().len(), 1, "{:?}", scene.lab.beside());
}

fn what_a_killed_run_left_is_gone_after_the_next<L: Lab>() {
    let scene = Scene::<L>::new();
    let gate = scene.bed.gate("on");
    let slow = scene.job().hooks(&gate.maintenance());
    let mut running = scene.start(&scene.write(&slow));
    gate.wait(&mut running);
    assert!(!scene.lab.beside().is_empty(), "incoming is there");
    let dead = scene.bed.status_text("app", "run_id");
    running.kill();
    scene.live_is_old();
    let job = scene.job().task("previous = \"drop\"");
    scene.once(&scene.write(&job)).expect(0);
    scene.live_is_the_source();
    scene.nothing_is_beside();
    let shown = scene.bed.run(&["show", &dead]).expect(0);
    assert!(shown.stdout.contains("failed"), "{}", shown.stdout);
}

fn a_run_that_is_terminated_leaves_nothing<L: Lab>() {
    let scene = Scene::<L>::new();
    let gate = scene.bed.gate("on");
    let slow = scene.job().hooks(&gate.maintenance());
    let mut running = scene.start(&scene.write(&slow));
    gate.wait(&mut running);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.end().expect(143);
    scene.live_is_old();
    scene.nothing_is_beside();
    assert_eq!(scene.bed.status_text("app", "state"), "cancelled");
}

fn tables_and_columns_with_odd_names_arrive<L: Lab>() {
    let scene = Scene::<L>::new();
    for name in L::names() {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        scene.lab.source(&format!(
            "CREATE TABLE {quoted} ({quoted} integer); INSERT INTO {quoted} VALUES (5); CREATE INDEX \"{}_i\" ON {quoted} ({quoted})",
            name.replace('"', "\"\"")
        ));
    }
    scene.once(&scene.file()).expect(0);
    scene.live_is_new();
    for name in L::names() {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        assert_eq!(
            scene.lab.live(&format!("SELECT {quoted} FROM {quoted}")),
            "5",
            "of {name}"
        );
    }
    scene.lab.assert_published();
}

fn an_empty_source_empties_the_target<L: Lab>() {
    let scene = Scene::<L>::new();
    scene
        .lab
        .source("DROP VIEW buyers; DROP TABLE orders; DROP TABLE users");
    scene.once(&scene.file()).expect(0);
    assert!(scene.lab.tables().is_empty(), "{:?}", scene.lab.tables());
    scene.lab.assert_published();
}

fn values_arrive_as_they_were<L: Lab>() {
    let scene = Scene::<L>::new();
    scene.lab.source(
        "CREATE TABLE hard_values (id integer PRIMARY KEY, t text, n integer, f double precision);
         INSERT INTO hard_values VALUES (1, '', -2147483648, 1.5e300), (2, NULL, NULL, NULL), (3, 'tab\tnew
line\\N \\. ''quoted'' grüße 🌍', 0, 0.1), (4, '\\N', 2147483647, -0.0)",
    );
    scene
        .once(&scene.write(&scene.job().task("verify = \"checksum\"")))
        .expect(0);
    let all = "SELECT id, t, t IS NULL, n, f FROM hard_values ORDER BY id";
    assert_eq!(scene.lab.live(all), scene.lab.source(all));
    scene.lab.assert_published();
}

fn what_is_computed_is_as_the_store_s_own_tools_have_it<L: Lab>() {
    let scene = Scene::<L>::new();
    scene.lab.source(L::computed());
    scene
        .once(&scene.write(&scene.job().task("verify = \"checksum\"")))
        .expect(0);
    scene.live_is_the_source();
}

/// Every expectation of this suite, for one store.
macro_rules! conforms {
    ($lab:ty: $($expectation:ident)*) => {
        $(
            #[test]
            fn $expectation() {
                $crate::conformance::$expectation::<$lab>();
            }
        )*
    };
    ($lab:ty) => {
        $crate::conformance::conforms! { $lab:
            a_first_copy_makes_the_target
            a_refresh_replaces_what_was_live_and_what_the_source_lost_is_gone
            in_overlay_tables_that_only_the_target_has_stay
            an_excluded_table_does_not_arrive
            names_are_compared_whole
            a_table_of_schema_only_arrives_without_rows
            the_target_s_own_rows_survive_in_a_kept_table
            a_script_changes_rows_before_anyone_sees_them
            a_script_that_fails_leaves_live_as_it_was_and_is_named_with_its_line
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
            an_empty_source_empties_the_target
            values_arrive_as_they_were
            what_is_computed_is_as_the_store_s_own_tools_have_it
            the_status_file_says_what_the_run_did
        }
    };
}
use conforms;
