//! What GOV.UK's nightly jobs do with MySQL: `signon` and `whitehall`, with excluded tables and other domains.

use super::Scene;

/// Host names are rewritten in what applications know of each other, for every domain that differs by environment.
const SIGNON: &str = "
-- Applications' own addresses, per environment.
UPDATE oauth_applications
   SET home_uri = REPLACE(home_uri, '.publishing.service.gov.uk', '.staging.publishing.service.gov.uk'),
       redirect_uri = REPLACE(redirect_uri, '.publishing.service.gov.uk', '.staging.publishing.service.gov.uk');
UPDATE oauth_applications
   SET home_uri = REPLACE(home_uri, '.alphagov.co.uk', '.staging.alphagov.co.uk'),
       redirect_uri = REPLACE(redirect_uri, '.alphagov.co.uk', '.staging.alphagov.co.uk')
 WHERE home_uri LIKE '%.alphagov.co.uk%';
";

#[test]
fn signon_s_applications_have_staging_s_addresses_before_anyone_sees_them() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE oauth_applications (id int AUTO_INCREMENT PRIMARY KEY, name varchar(255), home_uri text, redirect_uri varchar(255) NOT NULL);
         INSERT INTO oauth_applications (name, home_uri, redirect_uri) VALUES
           ('Whitehall', 'https://whitehall-admin.publishing.service.gov.uk', 'https://whitehall-admin.publishing.service.gov.uk/auth/gds/callback'),
           ('Old', 'https://old.alphagov.co.uk/', 'https://old.alphagov.co.uk/auth'),
           ('Nowhere', NULL, 'https://example.org/');",
    );
    scene.live(
        "CREATE TABLE oauth_applications (id int PRIMARY KEY, home_uri text); INSERT INTO oauth_applications VALUES (1, 'staging')",
    );
    scene.bed.file("signon.sql", SIGNON);
    let gate = scene.bed.gate("on");
    let job = scene
        .job()
        .task("scripts = [\"signon.sql\"]")
        .hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&job));
    gate.wait(&mut running);
    assert_eq!(
        scene.live("SELECT home_uri FROM oauth_applications"),
        "staging"
    );
    gate.open();
    running.end().expect(0);
    assert_eq!(
        scene.live("SELECT home_uri, redirect_uri FROM oauth_applications ORDER BY id"),
        "https://whitehall-admin.staging.publishing.service.gov.uk|https://whitehall-admin.staging.publishing.service.gov.uk/auth/gds/callback\n\
         https://old.staging.alphagov.co.uk/|https://old.staging.alphagov.co.uk/auth\n\
         |https://example.org/"
    );
    // Production has its own still.
    assert_eq!(
        scene.source("SELECT count(*) FROM oauth_applications WHERE home_uri LIKE '%staging%'"),
        "0"
    );
}

#[test]
fn whitehall_s_excluded_tables_stay_behind_and_the_rest_arrives() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE fact_check_requests (id int PRIMARY KEY); INSERT INTO fact_check_requests VALUES (1);
         CREATE TABLE access_limited_notes (id int PRIMARY KEY, fact_check_request_id int,
           CONSTRAINT of_request FOREIGN KEY (fact_check_request_id) REFERENCES fact_check_requests (id)); INSERT INTO access_limited_notes VALUES (1, 1);
         CREATE TABLE sessions (id int PRIMARY KEY, data text); INSERT INTO sessions VALUES (1, 'secret');
         CREATE TABLE audit_events (id int AUTO_INCREMENT PRIMARY KEY, what text); INSERT INTO audit_events (what) VALUES ('a'), ('b');",
    );
    let job = scene
        .job()
        .task("exclude = [\"access_limited_*\", \"sessions\"]")
        .task("schema_only = [\"audit_events\"]");
    scene.copy(&job);
    scene.live_is_new();
    assert_eq!(
        scene.target.tables(&scene.to),
        ["audit_events", "fact_check_requests", "orders", "users"]
    );
    assert_eq!(scene.live("SELECT count(*) FROM audit_events"), "0");
}

#[test]
fn a_foreign_key_to_an_excluded_table_is_no_table_that_cannot_be_written() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1);
         CREATE TABLE children (id int PRIMARY KEY, parent int, CONSTRAINT up FOREIGN KEY (parent) REFERENCES parents (id)); INSERT INTO children VALUES (1, 1);",
    );
    let job = scene.job().task("exclude = [\"parents\"]");
    scene.copy(&job).says(&["children", "up"]);
    scene.live("INSERT INTO children VALUES (2, 5)");
    assert_eq!(scene.live("SELECT count(*) FROM children"), "2");
}

#[test]
fn a_script_is_never_run_on_the_source() {
    let scene = Scene::new();
    scene
        .bed
        .file("after.sql", "UPDATE users SET email = 'hidden';\n");
    scene.copy(&scene.job().task("scripts = [\"after.sql\"]"));
    assert_eq!(scene.source("SELECT DISTINCT email FROM users"), "new");
    assert_eq!(scene.live("SELECT DISTINCT email FROM users"), "hidden");
}
