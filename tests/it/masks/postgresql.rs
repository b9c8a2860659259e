//! PostgreSQL.

use super::{files_with, settings, with};
use crate::support::job::{Bed, Job};
use crate::support::postgres::{Cluster, shared, unique};

/// Production's people. Each of them has something in every kind of column.
const PEOPLE: &str = "
    CREATE DOMAIN mail AS varchar(60);
    CREATE TYPE state AS ENUM ('new', 'old');
    CREATE TABLE users (
        id int PRIMARY KEY, email mail NOT NULL UNIQUE, name text NOT NULL, phone varchar(20), code char(12), born date,
        seen timestamptz, salary numeric(10,2), ip inet, token bytea, data jsonb, ref uuid, active bool, state state,
        upper_name text GENERATED ALWAYS AS (upper(name)) STORED);
    INSERT INTO users SELECT g, 'planted' || g || '@corp.example', E'Planted Name\\t' || g || E'\\\\\\n', '+44 20 7946 ' || lpad(g::text, 4, '0'),
        'CODE' || g, date '1970-01-01' + g, timestamptz '2020-01-01' + g * interval '1 hour', 1000 + g, ('10.1.' || g % 200 || '.7')::inet,
        decode(md5('planted' || g), 'hex'), jsonb_build_object('mail', 'planted' || g || '@corp.example', 'n', g),
        md5('planted' || g)::uuid, g % 2 = 0, 'new' FROM generate_series(1, 1000) AS g;
    INSERT INTO users (id, email, name) VALUES (1001, 'planted1001@corp.example', '');
    CREATE INDEX ON users (lower(email));
    CREATE STATISTICS people ON name, phone FROM users;
    CREATE TABLE letters (id bigserial PRIMARY KEY, to_email varchar(60) REFERENCES users (email), body text);
    INSERT INTO letters (to_email, body) SELECT email, 'Dear planted' || id || '@corp.example' FROM users;
    CREATE TABLE events (id int, who text, day date) PARTITION BY RANGE (day);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
    INSERT INTO events SELECT g, 'planted' || g, date '2020-06-01' + g FROM generate_series(1, 500) AS g;
    CREATE MATERIALIZED VIEW names AS SELECT id, name FROM users;
    CREATE TABLE untouched (id int PRIMARY KEY, a text); INSERT INTO untouched SELECT g, 'as it is ' || g FROM generate_series(1, 10) AS g;
    ANALYZE;";

pub(super) const MASKS: &str = r#"
[[task.mask]]
table = "users"
columns = { email = "email", name = "full_name", phone = "phone", code = "digits", born = "date_shift", seen = { kind = "date_shift", by = "id" }, salary = { kind = "number_noise", percent = 10 }, ip = "ip", token = "hash", data = { kind = "json", paths = { mail = "email" } }, ref = "uuid" }
[[task.mask]]
table = "letters"
columns = { body = { kind = "redact", of = ["to_email"] } }
[[task.mask]]
table = "public.events"
columns = { who = "username" }
"#;

pub(super) fn people(cluster: &Cluster) -> String {
    let from = unique("people");
    cluster.create_db(&from);
    cluster.psql(&from, PEOPLE);
    from
}

#[test]
fn masked_rows_arrive_verified_and_nothing_raw_is_in_the_targets_files() {
    let pair = shared();
    let from = people(&pair.source);
    // A server of its own, whose every file is ours to look at.
    let target = Cluster::builder().start();
    let bed = Bed::new();
    let job = Job::between(
        "postgresql",
        &pair.source.url("postgres", &from),
        &target.url("postgres", "live"),
    )
    .task("verify = \"checksum\"")
    .task(MASKS);
    let settings = settings(&bed, "");
    with(&bed, &settings, &["--once"], &job).expect(0);
    let live = |sql: &str| target.psql("live", sql);
    let source = |sql: &str| pair.source.psql(&from, sql);

    for count in ["users", "letters", "events", "untouched", "names"] {
        let sql = format!("SELECT count(*) FROM {count}");
        assert_eq!(live(&sql), source(&sql), "{count}");
    }
    let distinct =
        "SELECT count(DISTINCT email), count(DISTINCT ref), count(DISTINCT token) FROM users";
    assert_eq!(live(distinct), source(distinct));
    assert_eq!(
        live("SELECT count(*) FROM users WHERE email !~ '^[a-z0-9]{12}@example.com$'"),
        "0"
    );
    assert_eq!(
        live("SELECT count(*) FROM users JOIN letters ON to_email = email"),
        "1001"
    );
    assert_eq!(live("SELECT name FROM users WHERE id = 1001"), "");
    assert_eq!(
        live("SELECT upper_name = upper(name) FROM users WHERE id = 7"),
        "t"
    );
    assert_eq!(
        live("SELECT data->>'n', data->>'mail' ~ '@example.com$' FROM users WHERE id = 7"),
        "7|t"
    );
    assert_eq!(
        live("SELECT abs(salary - 1007) <= 101 FROM users WHERE id = 7"),
        "t"
    );
    // The same address inside a text is the same stand-in.
    assert_eq!(
        live("SELECT count(*) FROM letters WHERE body = 'Dear ' || to_email"),
        "1001"
    );
    let untouched = "SELECT * FROM untouched ORDER BY id";
    assert_eq!(live(untouched), source(untouched));

    target.psql("live", "CHECKPOINT");
    let data = target.data();
    assert!(data.join("base").is_dir(), "{}", data.display());
    let found = files_with(
        &data,
        &["planted", "Planted Name", "PLANTED NAME", "+44 20 7946"],
    );
    assert!(found.is_empty(), "{found:?}");
    // The search can find something.
    assert!(!files_with(&data, &["as it is 7"]).is_empty());
    assert!(files_with(&bed.path("state"), &["planted"]).is_empty());

    // The same key, the same values.
    let emails = live("SELECT id, email FROM users ORDER BY id");
    with(&bed, &settings, &["--once"], &job).expect(0);
    assert_eq!(live("SELECT id, email FROM users ORDER BY id"), emails);
}

#[test]
fn slices_and_encodings_of_other_servers_are_masked_alike() {
    let pair = shared();
    let mut masked = Vec::new();
    for encoding in ["UTF8", "LATIN1", "SQL_ASCII"] {
        let (from, to) = (unique("people"), unique("live"));
        for (cluster, name) in [(&pair.source, &from), (&pair.target, &to)] {
            cluster.psql(
                "postgres",
                &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"),
            );
        }
        pair.source.psql(&from, "CREATE TABLE t (id int PRIMARY KEY, a text, b varchar(30)); INSERT INTO t VALUES (1, 'plain', 'short'), (2, NULL, ''), (3, E'tab\\t\\\\.\\n', 'x')");
        if encoding != "SQL_ASCII" {
            pair.source
                .psql(&from, "INSERT INTO t VALUES (4, 'Zoë Müller', 'ÄÖÜ')");
        }
        let bed = Bed::new();
        let job = Job::between(
            "postgresql",
            &pair.source.url("postgres", &from),
            &pair.target.url("postgres", &to),
        )
        .task("verify = \"checksum\"\n[[task.mask]]\ntable = \"t\"\ncolumns = { a = \"full_name\", b = \"email\" }");
        with(&bed, &settings(&bed, ""), &["--once"], &job).expect(0);
        masked.push(
            pair.target
                .psql(&to, "SELECT id, a, b FROM t WHERE id < 4 ORDER BY id"),
        );
        assert_eq!(
            pair.target
                .psql(&to, "SELECT count(*) FROM t WHERE a LIKE '%ller'"),
            "0"
        );
    }
    assert_eq!(masked[0], masked[1]);
    assert_eq!(masked[0], masked[2]);
}

#[test]
fn a_push_masks_and_the_archive_has_nothing_raw() {
    let pair = shared();
    let from = people(&pair.source);
    let bed = Bed::new();
    let archive = bed.path("archive");
    let url = format!("file://{}", archive.display());
    let push = Job::between("postgresql", &pair.source.url("postgres", &from), &url).task(MASKS);
    with(&bed, &settings(&bed, ""), &["--once"], &push).expect(0);
    let to = unique("live");
    let pull = Job::between("postgresql", &url, &pair.target.url("postgres", &to));
    bed.once(&bed.job("pull", &pull)).expect(0);
    let live = |sql: &str| pair.target.psql(&to, sql);
    assert_eq!(
        live("SELECT count(*) FROM users WHERE email !~ '@example.com$' OR name LIKE 'Planted%'"),
        "0"
    );
    assert_eq!(
        live("SELECT count(*) FROM users JOIN letters ON to_email = email"),
        "1001"
    );
}

#[test]
fn what_cannot_work_is_refused_by_plan_with_what_would() {
    let pair = shared();
    let from = people(&pair.source);
    let bed = Bed::new();
    let settings = settings(&bed, "");
    let to = unique("live");
    for (mask, says) in [
        (
            "table = \"users\"\ncolumns = { email = \"full_name\" }",
            &["does not keep values distinct", "email, username, hash"][..],
        ),
        (
            "table = \"users\"\ncolumns = { name = \"null\" }",
            &["column name", "NULL"],
        ),
        (
            "table = \"users\"\ncolumns = { mail = \"email\" }",
            &["has no column mail", "email"],
        ),
        (
            "table = \"users\"\ncolumns = { born = \"email\" }",
            &["column born", "dates"],
        ),
        (
            "table = \"letters\"\ncolumns = { to_email = \"email\" }",
            &[
                "refers to",
                "put the mask on the column that is referred to",
            ],
        ),
        (
            "table = \"users\"\ncolumns = { upper_name = \"stars\" }",
            &["has no column upper_name"],
        ),
    ] {
        let job = Job::between(
            "postgresql",
            &pair.source.url("postgres", &from),
            &pair.target.url("postgres", &to),
        )
        .task(&format!("[[task.mask]]\n{mask}"));
        for verb in ["plan", "--once"] {
            with(&bed, &settings, &[verb], &job).expect(2).says(says);
        }
    }
    assert!(!pair.target.databases().contains(&to));
}

#[test]
fn other_types_take_null_and_fixed_values_and_long_values_are_masked() {
    let pair = shared();
    let (from, to) = (unique("odd"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(
        &from,
        "CREATE TYPE pair AS (a int, b text);
         CREATE TABLE odd (id int PRIMARY KEY, tags text[], duo pair, span int4range, words tsvector, bits bit(4), \"Quoted Name\" text, big text);
         ALTER TABLE odd ALTER COLUMN big SET STORAGE EXTERNAL;
         INSERT INTO odd VALUES (1, ARRAY['planted', 'x'], ROW(1, 'planted'), '[1,5)', to_tsvector('simple', 'planted'), B'1010', 'planted', repeat('planted word ', 200000)),
           (2, NULL, NULL, NULL, NULL, NULL, NULL, '');",
    );
    let bed = Bed::new();
    let job = Job::between(
        "postgresql",
        &pair.source.url("postgres", &from),
        &pair.target.url("postgres", &to),
    )
    .task("verify = \"checksum\"")
    .task(
        r#"
[[task.mask]]
table = "odd"
columns = { tags = { kind = "fixed", value = "{none}" }, duo = "null", span = { kind = "fixed", value = "[0,1)", keep_null = true }, words = "null", bits = "null", "Quoted Name" = "stars", big = "text" }
"#,
    );
    with(&bed, &settings(&bed, ""), &["--once"], &job).expect(0);
    let live = |sql: &str| pair.target.psql(&to, sql);
    assert_eq!(
        live("SELECT id, tags, duo, span, words, bits, \"Quoted Name\" FROM odd ORDER BY id"),
        "1|{none}||[0,1)|||*******\n2|{none}|||||"
    );
    assert_eq!(
        live("SELECT length(big), big LIKE '%planted%' FROM odd ORDER BY id"),
        "2600000|f\n0|f"
    );
}
