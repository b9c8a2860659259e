//! Databases that are not in UTF-8.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::postgres::shared;

/// A database of this encoding, in the C locale.
fn of_encoding(encoding: &str) -> Scene<'static> {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    pair.source.psql(
        "postgres",
        &format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'",
            scene.from
        ),
    );
    scene
}

#[track_caller]
fn arrives_equal(scene: &Scene<'_>) {
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
    let traits = |database: &str| {
        format!(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = '{database}'"
        )
    };
    assert_eq!(
        scene.live(&traits(&scene.to)),
        scene.source(&traits(&scene.from))
    );
}

/// Names and values beyond ASCII, in binary and as text, wherever a name can be.
const LATIN: &str = "SET client_encoding = 'UTF8';
    CREATE SCHEMA \"größe\";
    CREATE TABLE \"größe\".\"Straße\" (\"über\" serial PRIMARY KEY, \"ÿ\" text DEFAULT 'é', c char(3));
    INSERT INTO \"größe\".\"Straße\" (\"ÿ\", c) SELECT 'é' || g, 'ü' FROM generate_series(1, 50) AS g;
    CREATE TABLE \"größe\".\"als Text\" (a int, \"ü\" text, r regclass);
    INSERT INTO \"größe\".\"als Text\" SELECT g, 'ß' || E'\\t' || g, '\"größe\".\"Straße\"' FROM generate_series(1, 50) AS g;
    CREATE INDEX \"wörter\" ON \"größe\".\"Straße\" (\"ÿ\") WHERE \"ÿ\" <> 'ö';
    CREATE MATERIALIZED VIEW \"größe\".\"Übersicht\" AS SELECT count(*) AS n FROM \"größe\".\"Straße\" WHERE \"ÿ\" LIKE 'é%';
    CREATE FUNCTION \"größe\".\"f\"() RETURNS text LANGUAGE sql AS 'SELECT ''äöü''::text';
    COMMENT ON TABLE \"größe\".\"Straße\" IS 'été';";

#[test]
fn a_database_in_latin1_arrives_with_names_and_values_beyond_ascii() {
    let scene = of_encoding("LATIN1");
    scene.source(LATIN);
    arrives_equal(&scene);
    let counted = "SET client_encoding = 'UTF8'; SELECT n FROM \"größe\".\"Übersicht\"";
    assert_eq!(scene.live(counted), "50");
}

#[test]
fn characters_that_utf_8_does_not_have_arrive_byte_by_byte() {
    // Bytes that windows-1252 leaves open.
    let scene = of_encoding("WIN1252");
    scene.source(LATIN);
    scene.source(
        r"SET client_encoding = 'WIN1252'; CREATE TABLE odd (id int, t text); CREATE TABLE odd_as_text (id int, t text, r regclass);
          INSERT INTO odd VALUES (1, E'\x81\x8d\x90'), (2, E'\x80\x9f'); INSERT INTO odd_as_text SELECT *, 'odd' FROM odd;",
    );
    let bytes = "SELECT id, convert_to(t, 'WIN1252') FROM (SELECT id, t FROM odd UNION ALL SELECT id + 10, t FROM odd_as_text) AS t ORDER BY id";
    let expected = scene.source(bytes);
    assert!(expected.contains(r"\x818d90"), "{expected}");
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_eq!(scene.live(bytes), expected);
}

#[test]
fn a_database_in_no_encoding_at_all_arrives_byte_by_byte() {
    let scene = of_encoding("SQL_ASCII");
    scene.source(
        r"SET client_encoding = 'SQL_ASCII'; CREATE TABLE bytes (id int, t text); CREATE TABLE bytes_as_text (id int, t text, r regclass);
          INSERT INTO bytes SELECT g, convert_from(set_byte('\x00', 0, g), 'SQL_ASCII') FROM generate_series(1, 255) AS g;
          INSERT INTO bytes_as_text SELECT *, 'bytes' FROM bytes; CREATE INDEX ON bytes (t);",
    );
    scene.source(
        "CREATE TABLE \"größe\" (\"ü\" text DEFAULT 'é'); INSERT INTO \"größe\" DEFAULT VALUES",
    );
    arrives_equal(&scene);
    let all = "SELECT count(*), md5(string_agg(t, '' ORDER BY id)) FROM bytes_as_text";
    assert_eq!(scene.live(all), scene.source(all));
}

#[test]
fn an_encoding_of_several_bytes_that_is_not_utf_8_arrives_equal() {
    let scene = of_encoding("EUC_JP");
    scene.source(
        "SET client_encoding = 'UTF8'; CREATE TABLE \"日本\" (\"語\" text PRIMARY KEY); INSERT INTO \"日本\" VALUES ('東京'), ('あいう'), ('ｱｲｳ')",
    );
    arrives_equal(&scene);
}
