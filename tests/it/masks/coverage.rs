//! `require_masks`: a run into an environment that has it copies nothing that nobody has decided on.

use super::{files_with, settings, with};
use crate::support::job::{Bed, Job, toml};
use crate::support::postgres::{shared, unique};

const REQUIRED: &str = "require_masks = true";

const TABLES: &str = "CREATE TABLE users (id int PRIMARY KEY, email text, active bool);
    INSERT INTO users VALUES (1, 'planted@corp.example', true);
    CREATE TABLE countries (code char(2) PRIMARY KEY, name text); INSERT INTO countries VALUES ('DE', 'Germany');";

const DECIDED: &str = r#"
[[task.mask]]
table = "users"
columns = { email = "email" }
[[task.pass]]
table = "users"
columns = ["id"]
reason = "a number that tells nothing"
[[task.pass]]
table = "countries"
columns = ["*"]
reason = "public reference data"
"#;

#[test]
fn every_column_has_to_be_masked_or_passed_and_tomorrow_s_new_one_stops_the_run() {
    let pair = shared();
    let (from, to) = (unique("prod"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(&from, TABLES);
    let bed = Bed::new();
    let settings = settings(&bed, REQUIRED);
    let job = || {
        Job::between(
            "postgresql",
            &pair.source.url("postgres", &from),
            &pair.target.url("postgres", &to),
        )
    };
    for verb in ["plan", "--once"] {
        with(&bed, &settings, &[verb], &job()).expect(3).says(&[
            "`staging` requires masks",
            "public.users.id",
            "public.users.email",
            "public.countries.name",
            "[[task.pass]]",
        ]);
    }
    assert!(!pair.target.databases().contains(&to));
    with(&bed, &settings, &["--once"], &job().task(DECIDED)).expect(0);
    assert_eq!(
        pair.target.psql(
            &to,
            "SELECT count(*) FROM users WHERE email LIKE '%@example.com'"
        ),
        "1"
    );

    pair.source.psql(
        &from,
        "ALTER TABLE users ADD COLUMN phone text; UPDATE users SET phone = '+44'",
    );
    with(&bed, &settings, &["--once"], &job().task(DECIDED))
        .expect(3)
        .says(&["a column is not decided on: public.users.phone"]);
    assert_eq!(
        pair.target.psql(
            &to,
            "SELECT count(*) FROM information_schema.columns WHERE column_name = 'phone'"
        ),
        "0"
    );
    // A mask for some rows decides on none of the others.
    let some =
        "[[task.mask]]\ntable = \"users\"\nwhere = \"id > 5\"\ncolumns = { phone = \"phone\" }";
    with(
        &bed,
        &settings,
        &["--once"],
        &job().task(DECIDED).task(some),
    )
    .expect(3)
    .says(&["public.users.phone"]);
    let excluded = DECIDED
        .replacen('\n', "\nexclude = [\"countries\"]\n", 1)
        .replace(
            "table = \"users\"\ncolumns = { email",
            "table = \"users\"\ncolumns = { phone = \"phone\", email",
        );
    // A mask that has nothing to do is an error here.
    with(
        &bed,
        &settings,
        &["--once"],
        &job().task(&format!(
            "{excluded}\n[[task.mask]]\ntable = \"user\"\ncolumns = {{ email = \"email\" }}"
        )),
    )
    .expect(2)
    .says(&["the mask for user is for no table that is copied"]);
}

#[test]
fn large_objects_and_archives_are_not_decided_on_either() {
    let pair = shared();
    let (from, to) = (unique("prod"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(
        &from,
        "CREATE TABLE t (id int PRIMARY KEY); SELECT lo_from_bytea(0, 'planted')",
    );
    let bed = Bed::new();
    let settings = settings(&bed, REQUIRED);
    let pass = "[[task.pass]]\ntable = \"t\"\ncolumns = [\"*\"]\nreason = \"numbers\"";
    let job = Job::between(
        "postgresql",
        &pair.source.url("postgres", &from),
        &pair.target.url("postgres", &to),
    )
    .task(pass);
    with(&bed, &settings, &["--once"], &job)
        .expect(3)
        .says(&["pg_catalog.pg_largeobject"]);

    let archive = format!("file://{}", bed.path("archive").display());
    let push = Job::between("postgresql", &pair.source.url("postgres", &from), &archive);
    bed.once(&bed.job("push", &push)).expect(0);
    let pull = Job::between("postgresql", &archive, &pair.target.url("postgres", &to));
    with(&bed, &settings, &["--once"], &pull)
        .expect(3)
        .says(&["`staging` requires masks", "public.t.id"]);
    assert!(!pair.target.databases().contains(&to));
}

#[test]
fn a_snapshot_that_was_masked_is_relied_on_if_it_is_sealed() {
    let pair = shared();
    let (from, to) = (unique("prod"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(&from, TABLES);
    let bed = Bed::new();
    let settings = settings(&bed, REQUIRED);
    bed.file("seal", "a key that seals manifests, of the tests");
    let source = toml(&pair.source.url("postgres", &from));
    let target = toml(&pair.target.url("postgres", &to));
    let passes = "[[task.pass]]\ntable = \"*\"\ncolumns = [\"id\", \"active\", \"code\", \"name\"]\nreason = \"not personal\"";
    for (place, seal) in [("open", ""), ("sealed", ", key = { file = \"seal\" }")] {
        let url = format!("file://{}", bed.path(place).display());
        let archive = format!("{{ url = \"{url}\"{seal} }}");
        let push = Job::new("postgresql", &source, &archive).task(DECIDED);
        with(&bed, &settings, &["--once"], &push).expect(0);
        let pull = || Job::new("postgresql", &archive, &target);
        with(&bed, &settings, &["--once"], &pull())
            .expect(3)
            .says(&["public.users.id"]);
        let outcome = with(&bed, &settings, &["--once"], &pull().task(passes));
        if seal.is_empty() {
            outcome
                .expect(3)
                .says(&["public.users.email", "nothing seals that"]);
            assert!(!pair.target.databases().contains(&to));
        } else {
            outcome.expect(0);
        }
        let manifest = files_with(&bed.path(place), &["\"masking\""]);
        assert_eq!(manifest.len(), 1, "{manifest:?}");
    }
    let live = "SELECT count(*) FROM users WHERE email LIKE '%@example.com'";
    assert_eq!(pair.target.psql(&to, live), "1");
}
