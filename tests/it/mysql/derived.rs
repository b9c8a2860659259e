//! After a job's scripts nobody who reads the target finds a value that they removed: not in tables, not in statistics, not in
//! what rows were before.

use std::io::Write;
use std::process::Stdio;

use super::Scene;
use super::theirs::oracle;
use crate::support::mysql::{Server, Version, quote, shared};

impl Scene<'_> {
    /// Every table of every schema that `reader` may read, as text.
    fn everything(&self) -> String {
        let server = self.target;
        let tables = server
            .try_sql(
                "reader",
                "",
                "SELECT table_schema, table_name, table_type FROM information_schema.tables",
            )
            .expect("a list");
        let mut sql = String::new();
        for line in tables.lines() {
            let mut words = line.split('|');
            let (schema, table) = (
                words.next().expect("a schema"),
                words.next().expect("a table"),
            );
            let past = match words.next() {
                Some("SYSTEM VERSIONED") => " FOR SYSTEM_TIME ALL",
                _ => "",
            };
            sql += &format!("SELECT * FROM {}.{}{past};\n", quote(schema), quote(table));
        }
        let mut child = server
            .client("reader", "")
            // Some are for others' eyes.
            .arg("--force")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mariadb");
        let mut stdin = child.stdin.take().expect("piped");
        let writer = std::thread::spawn(move || stdin.write_all(sql.as_bytes()));
        let output = child.wait_with_output().expect("an end");
        let _ = writer.join().expect("no panic");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where the mark is seen, as it is or as MySQL prints it in histograms.
    fn seen(&self, mark: &str) -> Vec<String> {
        // Not by the target: it might keep the statement.
        let encoded = self.source.sql("", &format!("SELECT TO_BASE64('{mark}')"));
        self.everything()
            .lines()
            .filter(|line| line.contains(mark) || line.contains(&encoded))
            .map(str::to_owned)
            .collect()
    }
}

/// The script, and what it leaves; a run without it is seen.
#[track_caller]
fn removed(scene: &Scene<'_>, mark: &str, script: &str) {
    scene.bed.file("scrub.sql", script);
    let job = scene.job().task("scripts = [\"scrub.sql\"]");
    scene.copy(&job);
    assert_eq!(scene.seen(mark), Vec::<String>::new());
    // Once more, over what is there already.
    scene.copy(&job);
    assert_eq!(scene.seen(mark), Vec::<String>::new());
}

/// Production with a value in it; each test has one of its own, as servers are shared.
fn planted<'a>(source: &'a Server, target: &'a Server, mark: &str) -> Scene<'a> {
    let scene = Scene::on_any(source, target);
    scene.source(&format!(
        "CREATE TABLE users (id int PRIMARY KEY, email varchar(100), note text, KEY by_email (email), FULLTEXT KEY words (note));
         INSERT INTO users VALUES (1, '{mark}', 'note {mark}'), (2, 'other', 'x');
         CREATE VIEW emails AS SELECT email FROM users;"
    ));
    scene
}

const SCRUB: &str = "UPDATE users SET email = CONCAT('user', id), note = NULL;";

#[test]
fn a_value_that_a_script_removed_is_in_no_statistics_of_mariadb() {
    let mark = "rawmark-0001";
    for version in [Version::System, Version::Newer] {
        let newer;
        let (source, target) = if version == Version::System {
            (&shared().source, &shared().target)
        } else {
            newer = Server::builder().of(version).start();
            (&newer, &newer)
        };
        let scene = planted(source, target, mark);
        let job = format!("ANALYZE TABLE users PERSISTENT FOR ALL; {SCRUB}");
        if version == Version::System {
            removed(&scene, mark, &job);
            // The search finds what is there.
            scene.copy(&scene.job());
            assert!(!scene.seen(mark).is_empty());
        } else {
            // There production is on the same server: only what is staging's counts.
            scene.bed.file("scrub.sql", &job);
            scene.copy(&scene.job().task("scripts = [\"scrub.sql\"]"));
            let stats = format!(
                "SELECT min_value, max_value, CAST(histogram AS CHAR) FROM mysql.column_stats WHERE db_name LIKE '{}%'",
                scene.to
            );
            let stats = target.sql("", &stats);
            assert!(stats.contains("user1") && !stats.contains(mark), "{stats}");
        }
    }
}

#[test]
fn a_value_that_a_script_removed_is_in_no_histogram_and_no_statement_of_mysql() {
    let mark = "rawmark-0002";
    let pair = oracle();
    let scene = planted(&pair.source, &pair.target, mark);
    removed(
        &scene,
        mark,
        &format!("ANALYZE TABLE users UPDATE HISTOGRAM ON email WITH 8 BUCKETS; {SCRUB}"),
    );
    let histogram = format!(
        "SELECT COUNT(*) FROM information_schema.column_statistics WHERE schema_name = '{}'",
        scene.to
    );
    assert_eq!(scene.target.sql("", &histogram), "1");
    scene.copy(&scene.job());
    assert!(!scene.seen(mark).is_empty());
}

#[test]
fn an_owner_who_may_see_no_statistics_removes_them_all_the_same() {
    let mark = "rawmark-0003";
    let scene = planted(&shared().source, &shared().target, mark);
    let user = crate::support::postgres::unique("modest");
    for place in [quote(&scene.to), format!("`{}\\_%`", scene.to)] {
        super::grant(scene.target, &user, &format!("{place}.*"), "ALL");
    }
    scene.bed.file(
        "scrub.sql",
        &format!("ANALYZE TABLE users PERSISTENT FOR ALL; {SCRUB}"),
    );
    let secret = scene.bed.file("password", crate::support::mysql::PASSWORD);
    let toml = crate::support::job::toml;
    let job = crate::support::job::Job::new(
        "mysql",
        &toml(&scene.source.url("root", &scene.from)),
        &format!(
            "{{ url = {}, password = {{ file = {} }} }}",
            toml(&scene.target.url(&user, &scene.to)),
            toml(secret.to_str().expect("our paths are text"))
        ),
    );
    scene.copy(&job.task("scripts = [\"scrub.sql\"]"));
    assert_eq!(scene.seen(mark), Vec::<String>::new());
}

#[test]
fn what_rows_were_before_a_script_changed_them_is_gone_and_another_tables_past_is_not() {
    let mark = "rawmark-0004";
    let scene = planted(&shared().source, &shared().target, mark);
    scene.source(&format!(
        "CREATE TABLE remembers (id int PRIMARY KEY, email text, name text) WITH SYSTEM VERSIONING;
         INSERT INTO remembers VALUES (1, '{mark}', 'a'); UPDATE remembers SET name = 'b';
         CREATE TABLE named (id int PRIMARY KEY, email text, since timestamp(6) GENERATED ALWAYS AS ROW START,
           until timestamp(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (since, until)) WITH SYSTEM VERSIONING;
         INSERT INTO named (id, email) VALUES (1, '{mark}');
         CREATE TABLE untouched (id int PRIMARY KEY, v text) WITH SYSTEM VERSIONING;
         INSERT INTO untouched VALUES (1, 'first'); UPDATE untouched SET v = 'second';"
    ));
    removed(
        &scene,
        mark,
        &format!("{SCRUB} UPDATE remembers SET email = 'x'; DELETE FROM named;"),
    );
    assert_eq!(
        scene.live("SELECT email FROM remembers FOR SYSTEM_TIME ALL"),
        "x"
    );
    assert_eq!(
        scene.live("SELECT v FROM untouched FOR SYSTEM_TIME ALL ORDER BY v"),
        "first\nsecond"
    );
}
