//! PostgreSQL under each of its profiles.

use crate::support::job::{Bed, Job};
use crate::support::postgres::Databases;
use crate::support::postgres::profiles::under_each_postgresql;
use crate::support::profile::named;

/// Generated columns, materialized views and indexes on expressions that depend on settings.
pub(crate) const COMPUTED: &str = include_str!("../fixtures/computed.postgresql.sql");

/// What a session is like, in one line.
const SESSION: &str = "SELECT concat_ws(' ', current_setting('DateStyle'), current_setting('TimeZone'), \
    current_setting('IntervalStyle'), current_setting('bytea_output'), current_setting('search_path'), \
    extract(month FROM '01/02/2026'::date))";

struct Scene {
    databases: Databases,
    bed: Bed,
}

impl Scene {
    fn under(profile: &str) -> Self {
        let databases = Databases::under(named(profile));
        let bed = Bed::of_this_test(databases.environment());
        let scene = Self { databases, bed };
        scene.databases.source(COMPUTED);
        if profile != "plain" {
            scene.databases.source(
                "GRANT SELECT, INSERT ON invoices TO visitor; GRANT SELECT ON calendar, this_year TO visitor",
            );
        }
        scene
            .databases
            .live("CREATE TABLE old (a int); CREATE TABLE told (session text)");
        scene
    }

    fn job(&self) -> Job {
        let (source, target) = (self.databases.source_url(), self.databases.target_url());
        Job::between("postgresql", &source, &target)
    }

    #[track_caller]
    fn copy(&self, job: &Job) {
        self.bed.once(&self.bed.job("app", job)).expect(0);
    }
}

mod what_is_computed_is_as_pg_restore_would_compute_it {
    super::under_each_postgresql!(super::computed);
}

fn computed(profile: &str) {
    let scene = Scene::under(profile);
    scene.copy(&scene.job().task("verify = \"checksum\""));
    scene.databases.assert_published();
    // Once more over a copy of ours, which is another way through the same.
    scene.copy(&scene.job());
    scene.databases.assert_published();
}

mod in_place_too {
    super::under_each_postgresql!(super::computed_in_place);
}

fn computed_in_place(profile: &str) {
    let scene = Scene::under(profile);
    scene.copy(&scene.job().task("publish = \"in_place\""));
    scene.databases.assert_published();
}

mod a_script_runs_under_the_settings_of_the_database_and_its_owner {
    super::under_each_postgresql!(super::scripted);
}

fn scripted(profile: &str) {
    let scene = Scene::under(profile);
    let (target, to) = (scene.databases.target_server(), &scene.databases.to);
    let owner = scene.databases.profile().owner();
    let expected = target.try_psql(owner, to, SESSION).expect("live is there");
    scene.databases.source("CREATE TABLE told (session text)");
    let script = format!("INSERT INTO public.told {SESSION};\n");
    scene.bed.file("told.sql", &script);
    scene.copy(&scene.job().task("scripts = [\"told.sql\"]"));
    let seen = scene.databases.live("SELECT session FROM told");
    // Another user's session has the owner's schema by name.
    let by_name = |text: &str| text.replace("$user", owner);
    assert_eq!(by_name(&seen), by_name(&expected));
}
