//! No row's content and no literal is told, whatever goes wrong.

use super::Scene;
use crate::support::job::{Bed, Job, toml};
use crate::support::told::{MARKER, run_and_search};

/// Production with values that nobody is to read in a log.
fn scene() -> Scene<'static> {
    let scene = Scene::new();
    scene.source(&format!(
        "UPDATE users SET email = '{MARKER}' || id;
         CREATE FUNCTION loud(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'it is %', t; RAISE WARNING 'it is %', t; RETURN t; END $$;
         CREATE FUNCTION no(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', t; END $$;
         CREATE VIEW ranked AS SELECT id, email FROM users"
    ));
    scene
}

#[test]
fn no_error_of_a_script_tells_a_value_or_a_literal() {
    let scene = scene();
    let raise = |what: &str| {
        format!("DO $$ DECLARE m text; BEGIN SELECT email INTO m FROM users LIMIT 1; {what} END $$")
    };
    let scripts = [
        "SELECT no(email) FROM users".to_owned(),
        "SELECT loud(email), email::int FROM users".to_owned(),
        raise("RAISE EXCEPTION 'it is %', m;"),
        raise("RAISE EXCEPTION USING ERRCODE = '42P01', MESSAGE = 'relation \"' || m || '\" does not exist', TABLE = m, SCHEMA = m, COLUMN = m, CONSTRAINT = m, DATATYPE = m, DETAIL = m, HINT = m;"),
        raise("RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'permission denied for table ' || m;"),
        raise("RAISE EXCEPTION USING ERRCODE = '23505', MESSAGE = 'duplicate key value violates unique constraint \"' || m || '\"';"),
        raise("RAISE EXCEPTION USING ERRCODE = '57014', MESSAGE = m;"),
        raise("ASSERT false, m;"),
        raise("EXECUTE 'SELECT * FROM ' || quote_ident(m);"),
        raise("EXECUTE format('SELECT %I()', m);"),
        raise("EXECUTE 'SELECT ' || quote_literal(m) || '::int';"),
        raise("EXECUTE 'DROP ROLE ' || quote_ident(m);"),
        raise("EXECUTE 'syntax ' || m;"),
        raise("PERFORM set_config('TimeZone', m, false);"),
        raise("PERFORM set_config('role', m, false);"),
        "UPDATE users SET email = (SELECT email FROM users WHERE id = 2); CREATE UNIQUE INDEX one ON users (email)".to_owned(),
        "CREATE UNIQUE INDEX one ON users (left(email, 10))".to_owned(),
        format!("ALTER TABLE users ADD UNIQUE (email); INSERT INTO users VALUES (1000, '{MARKER}1')"),
        format!("ALTER TABLE users ADD CHECK (email <> '{MARKER}1')"),
        format!("ALTER TABLE users ADD CONSTRAINT c CHECK (email <> 'x{MARKER}'); INSERT INTO users VALUES (1001, 'x{MARKER}')"),
        format!("INSERT INTO users (id, email) VALUES (1, '{MARKER}')"),
        format!("INSERT INTO orders (buyer, note) VALUES (99999, '{MARKER}')"),
        format!("INSERT INTO users VALUES (NULL, '{MARKER}')"),
        "ALTER TABLE users ALTER email TYPE varchar(3)".to_owned(),
        "ALTER TABLE users ALTER email TYPE int USING email::int".to_owned(),
        "ALTER TABLE users ALTER email TYPE timestamptz USING email::timestamptz".to_owned(),
        "SELECT email::json FROM users".to_owned(),
        "SELECT email::jsonb FROM users".to_owned(),
        "SELECT ('$.' || email || '[')::jsonpath FROM users".to_owned(),
        "SELECT xpath(email || '[', '<a/>') FROM users".to_owned(),
        "SELECT ('<' || email)::xml FROM users".to_owned(),
        "SELECT 'a' ~ (email || '(') FROM users".to_owned(),
        "SELECT email::regclass FROM users".to_owned(),
        "SELECT email::regtype FROM users".to_owned(),
        "SELECT email::regrole FROM users".to_owned(),
        "SELECT (email || '()')::regprocedure FROM users".to_owned(),
        "SELECT pg_database_size(email) FROM users".to_owned(),
        "SELECT pg_tablespace_size(email) FROM users".to_owned(),
        "SELECT has_table_privilege(email, 'users', 'SELECT') FROM users".to_owned(),
        "SELECT nextval(email) FROM users".to_owned(),
        "SELECT pg_read_file(email), pg_ls_dir(email) FROM users".to_owned(),
        "SELECT pg_ls_dir(email) FROM users".to_owned(),
        "SELECT email::date, to_date(email, 'YYYY') FROM users".to_owned(),
        "SELECT to_date(email, 'YYYY-MM-DD') FROM users".to_owned(),
        "SELECT now() AT TIME ZONE email FROM users".to_owned(),
        "SELECT convert_from(email::bytea, email) FROM users".to_owned(),
        "SELECT decode(email, 'hex') FROM users".to_owned(),
        "SELECT query_to_xml('SELECT ' || quote_ident(email), true, true, '') FROM users".to_owned(),
        "SELECT to_tsquery(email || ' &') FROM users".to_owned(),
        "SELECT email::uuid, email::inet FROM users".to_owned(),
        "SELECT email::inet FROM users".to_owned(),
        "SELECT ('{' || email)::text[] FROM users".to_owned(),
        format!("SELECT '{MARKER}'::int"),
        format!("SELECT E'{MARKER}'::regclass"),
        format!("SELECT $q${MARKER}$q$::date"),
        format!("SELECT nothing /* {MARKER} */ FROM users -- {MARKER}"),
        format!("SELEKT '{MARKER}'"),
        format!("SELECT '{MARKER}' '{MARKER}'"),
    ];
    let (all, mut failed) = (scripts.len(), 0);
    for script in scripts {
        scene.bed.file("after.sql", &script);
        let job = scene.job().task("scripts = [\"after.sql\"]");
        let file = scene.write(&job.task("previous = \"drop\""));
        let outcome = run_and_search(&scene.bed, &file, &script);
        if outcome.code != Some(0) {
            failed += 1;
            outcome.expect(1).says(&["after.sql:1", "SQLSTATE"]);
        }
    }
    // Versions do not agree on all of them.
    assert!(failed > all * 9 / 10, "{failed} of {all}");
}

#[test]
fn no_error_of_a_copy_tells_a_value() {
    // An index, a materialized view, a generated column and a check by functions that have changed since.
    let definitions = [
        "CREATE INDEX i ON users (picky(email))",
        "CREATE UNIQUE INDEX i ON users (picky(email))",
        "CREATE MATERIALIZED VIEW m AS SELECT picky(email) FROM users",
        "ALTER TABLE users ADD made text GENERATED ALWAYS AS (picky(email)) STORED",
        "ALTER TABLE users ADD CONSTRAINT c CHECK (picky(email) IS NOT NULL)",
    ];
    let now = [
        "RAISE EXCEPTION 'no: %', t;",
        "RETURN t::regclass::text;",
        "RETURN t::int::text;",
        "EXECUTE 'SELECT ' || quote_ident(t);",
    ];
    for (at, definition) in definitions.into_iter().enumerate() {
        for now in [now[at % now.len()], now[(at + 1) % now.len()]] {
            let scene = scene();
            let function = |body: &str| {
                format!(
                    "CREATE OR REPLACE FUNCTION picky(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN {body} END $$"
                )
            };
            scene.source(&function("RETURN t;"));
            scene.source(definition);
            scene.source(&function(now));
            let outcome = run_and_search(&scene.bed, &scene.write(&scene.job()), definition);
            outcome.expect(1).says(&["SQLSTATE"]);
            scene.live_is_old();
        }
    }
}

#[test]
fn no_error_of_a_pull_or_of_kept_rows_tells_a_value() {
    let scene = scene();
    scene.source(
        "CREATE FUNCTION picky(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN IF current_database() LIKE 'live%' THEN RAISE EXCEPTION 'no: %', t; END IF; RETURN true; END $$;
         ALTER TABLE users ADD CONSTRAINT c CHECK (picky(email))",
    );
    let bed = Bed::new();
    let archive = toml(&format!("file://{}", bed.path("archive").display()));
    std::fs::create_dir(bed.path("archive")).expect("a directory");
    let (source, target) = (
        toml(&scene.source.url("postgres", &scene.from)),
        toml(&scene.target.url("postgres", &scene.to)),
    );
    for format in ["", ", format = \"govuk\""] {
        let archive = format!("{{ url = {archive}{format} }}");
        let push = bed.job("push", &Job::new("postgresql", &source, &archive));
        run_and_search(&bed, &push, "a push").expect(0);
        let pull = bed.job("pull", &Job::new("postgresql", &archive, &target));
        run_and_search(&bed, &pull, "a pull").expect(1);
    }
    // Rows of live that do not fit into what comes.
    scene.source("ALTER TABLE users DROP CONSTRAINT c; CREATE TABLE mine (a int PRIMARY KEY)");
    scene.live(&format!(
        "CREATE TABLE mine (a text PRIMARY KEY); INSERT INTO mine VALUES ('{MARKER}')"
    ));
    let job = scene.job().task("keep = [\"mine\"]");
    run_and_search(&scene.bed, &scene.write(&job), "kept rows");
    let job = scene.job().task("overlay = [\"mine\"]");
    run_and_search(&scene.bed, &scene.write(&job), "overlaid rows");
}
