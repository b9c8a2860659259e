//! Settings of databases and roles: what is computed on the copy, and what scripts find there.

use super::Scene;
use crate::support::postgres::{quote, shared, unique};

/// Functions that say they are immutable and are not, as people write them; and casts that are by the server's own word.
const COMPUTED: &str = "CREATE EXTENSION amcheck;
    CREATE FUNCTION day_of(t text) RETURNS date LANGUAGE sql IMMUTABLE AS 'SELECT t::date';
    CREATE FUNCTION hour_of(t timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT t::text';
    CREATE TABLE d (id int PRIMARY KEY, raw text, at timestamptz, f float8, b bytea,
        day date GENERATED ALWAYS AS (day_of(raw)) STORED, hour text GENERATED ALWAYS AS (hour_of(at)) STORED,
        f_text text GENERATED ALWAYS AS (f::text) STORED, b_text text GENERATED ALWAYS AS (b::text) STORED);
    INSERT INTO d SELECT g, '0' || 1 + g % 9 || '/02/2026', timestamptz '2026-01-01 02:00Z' + g * interval '1 day', g / 3.0, 'x'
        FROM generate_series(1, 50) AS g;
    CREATE INDEX d_day ON d (day_of(raw));
    CREATE MATERIALIZED VIEW days AS SELECT id, day_of(raw) AS day, hour_of(at) AS hour FROM d;";

fn set(database: &str) -> String {
    let database = quote(database);
    format!(
        "ALTER DATABASE {database} SET DateStyle = 'SQL, DMY'; ALTER DATABASE {database} SET TimeZone = 'America/New_York';
         ALTER DATABASE {database} SET bytea_output = escape; ALTER DATABASE {database} SET extra_float_digits = -10"
    )
}

#[test]
fn what_is_computed_on_the_copy_is_computed_under_the_databases_own_settings() {
    let scene = Scene::new();
    scene.source(&set(&scene.from));
    scene.source(COMPUTED);
    scene.live(&set(&scene.to));
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    let rows = "SELECT * FROM d ORDER BY id; SELECT * FROM days ORDER BY id";
    assert_eq!(scene.live(rows), scene.source(rows));
    scene.live("SELECT bt_index_check('d_day', true)");
    assert_eq!(scene.live("SELECT day FROM d WHERE id = 1"), "02/02/2026");
}

#[test]
fn an_empty_name_in_a_list_of_names_is_carried_over() {
    let scene = Scene::new();
    let to = quote(&scene.to);
    scene.live(&format!(
        "ALTER DATABASE {to} SET search_path = ''; ALTER DATABASE {to} SET temp_tablespaces = '';
         ALTER ROLE postgres IN DATABASE {to} SET search_path = ''"
    ));
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(
        scene.live("SELECT current_setting('search_path') || '|' || count(*) FROM public.users"),
        "\"\"|200"
    );
}

#[test]
fn a_table_whose_index_relies_on_the_search_path_is_verified_by_checksum() {
    let scene = Scene::new();
    scene.source(
        "CREATE FUNCTION one(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
         CREATE FUNCTION two(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT one(t)';
         CREATE INDEX users_two ON users (two(email))",
    );
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
}

#[test]
fn after_a_script_nothing_that_a_reader_sees_has_what_it_removed() {
    for superuser in [true, false] {
        let pair = shared();
        let scene = Scene::new();
        let owner = unique("owner");
        let user = if superuser {
            "postgres"
        } else {
            pair.target.psql(
                "postgres",
                &format!(
                    "CREATE ROLE {owner} LOGIN CREATEDB; ALTER DATABASE {} OWNER TO {owner}",
                    quote(&scene.to)
                ),
            );
            &owner
        };
        scene.source(
            "CREATE TABLE people (id int PRIMARY KEY, email text, city text); CREATE TABLE sessions (who text);
             INSERT INTO people SELECT g, 'raw' || g, 'raw' || g % 3 FROM generate_series(1, 300) AS g;
             INSERT INTO sessions SELECT 'raw' || g % 3 FROM generate_series(1, 300) AS g;
             CREATE INDEX people_lower ON people (lower(email)); CREATE STATISTICS people_two (mcv) ON email, city FROM people;
             CREATE MATERIALIZED VIEW mails AS SELECT email FROM people; ANALYZE",
        );
        scene.bed.file(
            "after.sql",
            "UPDATE people SET email = 'x', city = 'y'; TRUNCATE sessions;",
        );
        let job = crate::support::job::Job::between(
            "postgresql",
            &scene.source.url("postgres", &scene.from),
            &scene.target.url(user, &scene.to),
        );
        let job = job.task("scripts = [\"after.sql\"]");
        scene.bed.once(&scene.write(&job)).expect(0);
        let seen = "SELECT (SELECT count(*) FROM pg_stats s WHERE s::text LIKE '%raw%' AND schemaname = 'public')
                + (SELECT count(*) FROM pg_stats_ext s WHERE s::text LIKE '%raw%') + (SELECT count(*) FROM mails WHERE email LIKE 'raw%')";
        assert_eq!(scene.live(seen), "0", "superuser: {superuser}");
        let options = "SELECT count(*) FROM pg_class WHERE array_to_string(reloptions, ',') ILIKE '%autovacuum%'";
        assert_eq!(scene.live(options), "0");
    }
}
