//! No row's content and no literal is told, whatever goes wrong.

use super::Scene;
use crate::support::mysql::{Server, Version};
use crate::support::told::{MARKER, run_and_search};

fn scripts() -> Vec<String> {
    let strict = "SET sql_mode = 'STRICT_ALL_TABLES'";
    let signal = |state: &str, code: u16, text: &str| {
        format!(
            "DELIMITER //\nCREATE PROCEDURE p() BEGIN DECLARE m TEXT; SELECT mail INTO m FROM people ORDER BY id LIMIT 1; \
             SET m = {text}; SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = m; END//\nCALL p()//"
        )
    };
    let mut all = vec![
        signal("45000", 1644, "CONCAT('no: ', m)"),
        signal("42S02", 1146, "CONCAT('Table \\'', m, '\\' doesn\\'t exist')"),
        signal("23000", 1062, "CONCAT('Duplicate entry \\'1\\' for key \\'', m, '\\'')"),
        signal("42000", 1044, "CONCAT('Access denied for user \\'', m, '\\'@\\'', m, '\\' to database \\'', m, '\\'')"),
        signal("HY000", 1105, "m"),
        signal("HY000", 1030, "CONCAT('Got error 28 \"No space left on device\" from storage engine ', m)"),
        "UPDATE people SET mail = (SELECT m FROM (SELECT mail m FROM people ORDER BY id LIMIT 1) x)".to_owned(),
        format!("INSERT INTO people (id, mail) VALUES (1, '{MARKER}')"),
        format!("INSERT INTO people (id, mail) VALUES (9, '{MARKER}1')"),
        format!("INSERT INTO orders (buyer, note) VALUES (4711, '{MARKER}')"),
        format!("{strict}; INSERT INTO people (id, mail) VALUES ('{MARKER}', 'x')"),
        format!("{strict}; ALTER TABLE people MODIFY mail int"),
        format!("{strict}; ALTER TABLE people MODIFY mail varchar(3)"),
        format!("{strict}; ALTER TABLE people MODIFY mail datetime"),
        format!("{strict}; ALTER TABLE people MODIFY mail enum('a')"),
        format!("{strict}; ALTER TABLE people MODIFY mail json"),
        format!("{strict}; UPDATE people SET id = mail"),
        format!("{strict}; UPDATE people SET born = mail"),
        format!("{strict}; UPDATE people SET id = CAST(mail AS SIGNED)"),
        format!("{strict}; UPDATE people SET born = CAST(mail AS DATE)"),
        format!("{strict}; DELETE FROM people WHERE mail = 5"),
        "SELECT ExtractValue('<a/>', CONCAT(mail, '[')) FROM people".to_owned(),
        "SELECT UpdateXML('<a/>', CONCAT('\\\\', mail), 'x') FROM people".to_owned(),
        "SELECT 'a' REGEXP CONCAT(mail, '(') FROM people".to_owned(),
        "SELECT ST_GeomFromText(mail) FROM people".to_owned(),
        "UPDATE people SET j = mail".to_owned(),
        "ALTER TABLE people ADD CONSTRAINT c CHECK (id > 100)".to_owned(),
        format!("ALTER TABLE people ADD CONSTRAINT c CHECK (mail <> '{MARKER}1')"),
        "ALTER TABLE people ADD UNIQUE short (mail(3))".to_owned(),
        "UPDATE people SET note = NULL".to_owned(),
        format!("SELECT nothing FROM people WHERE mail = \"{MARKER}\""),
        format!("SELECT '{MARKER}' FROM nowhere"),
        format!("SELEKT '{MARKER}'"),
        format!("SELECT 'it\\'s {MARKER}', nothing # {MARKER}"),
        format!("SELECT _utf8mb4'{MARKER}' COLLATE latin1_bin"),
        format!("/*!40000 SELECT '{MARKER}' FROM nowhere */"),
        format!("SET time_zone = '{MARKER}'"),
        format!("SET character_set_client = '{MARKER}'"),
        format!("SET sql_mode = '{MARKER}'"),
        format!("SET sort_buffer_size = '{MARKER}'"),
        "SET @s = (SELECT CONCAT('SELECT ', mail, ' FROM people') FROM people LIMIT 1); PREPARE s FROM @s".to_owned(),
        "SET @s = (SELECT CONCAT('SELECT * FROM `', mail, '`') FROM people LIMIT 1); PREPARE s FROM @s".to_owned(),
        "SET @s = (SELECT CONCAT('syntax ', mail) FROM people LIMIT 1); PREPARE s FROM @s".to_owned(),
    ];
    all.push("SELECT * FROM people p, people q WHERE JSON_EXTRACT('{}', p.mail) = 1".to_owned());
    all
}

fn tell_nothing(source: &Server, target: &Server) {
    let scene = Scene::on_any(source, target);
    scene.source(&format!(
        "CREATE TABLE people (id int PRIMARY KEY, mail varchar(50), born date, j json, note text NOT NULL, UNIQUE mail (mail));
         INSERT INTO people VALUES (1, '{MARKER}1', NULL, NULL, 'x'), (2, '{MARKER}2', NULL, NULL, 'x');
         CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, buyer int, note text, FOREIGN KEY (buyer) REFERENCES people (id))"
    ));
    let mut failed = 0;
    let scripts = scripts();
    for script in &scripts {
        scene.bed.file("after.sql", script);
        let job = scene
            .job()
            .task("scripts = [\"after.sql\"]")
            .task("previous = \"drop\"");
        let outcome = run_and_search(&scene.bed, &scene.write(&job), script);
        if outcome.code != Some(0) {
            failed += 1;
            outcome.expect(1).says(&["after.sql:", "(error "]);
        }
    }
    // Servers do not agree on all of them.
    assert!(
        failed > scripts.len() * 3 / 4,
        "{failed} of {}",
        scripts.len()
    );
}

#[test]
fn no_error_of_a_script_on_mariadb_tells_a_value_or_a_literal() {
    let pair = crate::support::mysql::shared();
    tell_nothing(&pair.source, &pair.target);
}

#[test]
fn no_error_of_a_script_on_mysql_tells_a_value_or_a_literal() {
    let server = Server::builder().of(Version::Oracle).start();
    tell_nothing(&server, &server);
}

#[test]
fn what_can_be_done_is_still_said() {
    let scene = Scene::new();
    scene.source("CREATE UNIQUE INDEX one_note ON orders (note(20))");
    for (script, words) in [
        (
            "INSERT INTO orders (buyer, note) SELECT buyer, note FROM orders",
            &["Duplicate entry '?' for key 'one_note'", "ER_DUP_ENTRY"][..1],
        ),
        (
            "UPDATE orders SET nothing = 1",
            &["Unknown column 'nothing' in 'SET'"][..],
        ),
        ("DELETE FROM nowhere", &["nowhere' doesn't exist"][..]),
    ] {
        scene.bed.file("after.sql", script);
        let job = scene.job().task("scripts = [\"after.sql\"]");
        let outcome = scene.bed.once(&scene.write(&job)).expect(1);
        let said = outcome.stderr.to_lowercase();
        for word in words {
            assert!(said.contains(&word.to_lowercase()), "{word} in {said}");
        }
    }
}

#[test]
fn no_error_of_a_copy_tells_a_value() {
    let scene = Scene::empty();
    scene.source(&format!(
        "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE days (d date PRIMARY KEY, t text);
         INSERT INTO days VALUES ('2021-02-30', '{MARKER}'), ('2021-02-31', '{MARKER}')"
    ));
    let outcome = run_and_search(&scene.bed, &scene.write(&scene.job()), "invalid dates");
    assert!(!outcome.stderr.contains("2021-02-3"), "{}", outcome.stderr);
}
