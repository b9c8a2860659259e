//! What the target keeps is bit for bit what it has, whatever the source's tables are like; or the run is refused.

use super::Scene;
use crate::support::mysql::{Server, Version, shared};

/// On both makers' servers.
fn on_both(test: impl Fn(&Scene<'_>)) {
    let oracle = Server::builder().of(Version::Oracle).start();
    let pair = shared();
    for (source, target) in [(&pair.source, &pair.target), (&oracle, &oracle)] {
        let scene = Scene::on_any(source, target);
        scene.source("CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1)");
        test(&scene);
    }
}

/// Tables whose rows the source's cannot hold: what the source has, what live has, and live's rows.
const UNFIT: &[(&str, &str, &str)] = &[
    ("a decimal(10,2)", "a decimal(10,4)", "(1.2345), (-0.0001)"),
    (
        "a datetime",
        "a datetime(6)",
        "('2026-01-02 03:04:05.678901')",
    ),
    ("a time", "a time(3)", "('03:04:05.678')"),
    ("a varchar(3)", "a varchar(10)", "('abcdef')"),
    ("a char(5)", "a varchar(5)", "('a ')"),
    ("a int", "a varchar(5)", "('007')"),
    ("a datetime", "a timestamp NULL", "('2026-01-02 03:04:05')"),
    ("a float", "a double", "(0.1)"),
    ("a enum('x','y')", "a enum('y','z')", "('z'), ('y')"),
    ("a set('x','y')", "a set('y','z')", "('z'), ('y,z')"),
    ("a int, CHECK (a < 5)", "a int", "(10)"),
    ("a int unsigned", "a int", "(-1)"),
    ("a tinyint", "a bigint", "(9000000000)"),
    ("a int UNIQUE", "a int", "(1), (1)"),
    ("a int NOT NULL", "a int", "(NULL)"),
    (
        "a varchar(10) CHARSET latin1",
        "a varchar(10) CHARSET utf8mb4",
        "('日本')",
    ),
    ("a binary(4)", "a binary(2)", "('xy')"),
    ("b int", "a int", "(3)"),
    ("a int, b int NOT NULL", "a int", "(3)"),
    (
        "a int GENERATED ALWAYS AS (1 + 1) STORED, b int",
        "a int",
        "(7)",
    ),
];

#[test]
fn rows_that_the_source_s_table_cannot_hold_stay_in_one_like_the_target_s() {
    on_both(|scene| {
        for (number, (theirs, own, rows)) in UNFIT.iter().enumerate() {
            scene.source(&format!("CREATE TABLE k{number} ({theirs})"));
            scene.live(&format!(
                "CREATE TABLE k{number} ({own}); INSERT INTO k{number} VALUES {rows}"
            ));
        }
        let of = |number: usize| scene.target.rows_of(&scene.to, &format!("k{number}"));
        let before: Vec<_> = (0..UNFIT.len()).map(of).collect();
        let outcome = scene.copy(
            &scene
                .job()
                .task("keep = [\"k*\"]")
                .task("verify = \"none\""),
        );
        for (number, case) in UNFIT.iter().enumerate() {
            assert_eq!(of(number), before[number], "{case:?}");
            let told = outcome.stderr.lines().filter(|line| {
                line.contains("cannot hold the rows") && line.contains(&format!("k{number} "))
            });
            assert_eq!(told.count(), 1, "{case:?}: {}", outcome.stderr);
        }
        // A second run finds the same, and its definitions are verified like any other's.
        scene.copy(&scene.job().task("keep = [\"k*\"]"));
        let after: Vec<_> = (0..UNFIT.len()).map(of).collect();
        assert_eq!(after, before);
    });
}

#[test]
fn rows_that_fit_are_kept_in_the_source_s_table() {
    on_both(|scene| {
        scene.source(
            "CREATE TABLE k (id bigint PRIMARY KEY, a decimal(12,4), b datetime(6), c varchar(50) CHARSET utf8mb4, d text, e int NOT NULL DEFAULT 5, f enum('x','y','z'))",
        );
        scene.live(
            "SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO';
             CREATE TABLE k (id int PRIMARY KEY, a decimal(10,2), b datetime, c varchar(10) CHARSET latin1, d text, f enum('x','y'));
             INSERT INTO k VALUES (0, 1.5, '0000-00-00 00:00:00', 'é', REPEAT('x', 60000), ''), (1, NULL, '2026-02-30 01:02:03', '', NULL, 'y')",
        );
        let outcome = scene.copy(&scene.job().task("keep = [\"k\"]"));
        assert!(
            !outcome.stderr.contains("cannot hold"),
            "{}",
            outcome.stderr
        );
        assert_eq!(
            scene.live("SELECT id, a, b, c, LENGTH(d), e, f + 0 FROM k ORDER BY id"),
            "0|1.5000|0000-00-00 00:00:00.000000|é|60000|5|0\n1||2026-02-30 01:02:03.000000|||5|2"
        );
    });
}

#[test]
fn the_past_of_kept_rows_is_kept() {
    let scene = Scene::new();
    let own = "CREATE TABLE past (a int PRIMARY KEY, b int) WITH SYSTEM VERSIONING";
    let named = "CREATE TABLE named (a int PRIMARY KEY, b int, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING";
    scene.source(&format!(
        "{own}; INSERT INTO past VALUES (9, 9); {named}; CREATE TABLE plain (a int PRIMARY KEY)"
    ));
    scene.live(&format!(
        "{own}; INSERT INTO past VALUES (1, 1), (2, 2); UPDATE past SET b = b + 10; DELETE FROM past WHERE a = 2;
         {named}; INSERT INTO named (a, b) VALUES (1, 1); UPDATE named SET b = 2;
         CREATE TABLE plain (a int PRIMARY KEY) WITH SYSTEM VERSIONING; INSERT INTO plain VALUES (1); DELETE FROM plain;"
    ));
    let all = || {
        scene.live(
            "SELECT a, b, row_start, row_end FROM past FOR SYSTEM_TIME ALL ORDER BY 1, 3;
             SELECT a, b, s, e FROM named FOR SYSTEM_TIME ALL ORDER BY 1, 3;
             SELECT a, row_start, row_end FROM plain FOR SYSTEM_TIME ALL",
        )
    };
    let before = all();
    assert_eq!(before.lines().count(), 7, "{before}");
    let job = scene.job().task("keep = [\"past\", \"named\", \"plain\"]");
    for _ in 0..2 {
        scene.copy(&job);
        assert_eq!(all(), before);
    }
    // What becomes history while the copy is made is taken at publish.
    let gate = scene.bed.gate("on");
    let mut running = scene
        .bed
        .start(&scene.write(&job.hooks(&gate.maintenance())));
    gate.wait(&mut running);
    scene.live("UPDATE past SET b = 77; DELETE HISTORY FROM named");
    let before = all();
    gate.open();
    running.end().expect(0);
    assert_eq!(all(), before);
}

#[test]
fn a_past_that_goes_by_transactions_is_refused_in_plan() {
    let scene = Scene::new();
    let table = "CREATE TABLE k (a int, s bigint unsigned GENERATED ALWAYS AS ROW START, e bigint unsigned GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING";
    scene.source(table);
    scene.live(table);
    let file = scene.write(&scene.job().task("keep = [\"k\"]"));
    scene
        .bed
        .with_file("plan", &file)
        .expect(1)
        .says(&["`k` cannot be kept", "transactions"]);
    scene.bed.once(&file).expect(1);
    scene.live_is_old();
}

#[test]
fn the_next_row_s_number_is_past_the_kept_ones_wherever_it_comes_from() {
    let scene = Scene::new();
    scene.source(
        "CREATE SEQUENCE both_; CREATE TABLE k1 (id int PRIMARY KEY DEFAULT NEXTVAL(both_), x int); INSERT INTO k1 (x) VALUES (1), (2);
         CREATE SEQUENCE theirs; CREATE TABLE k2 (id int PRIMARY KEY DEFAULT NEXTVAL(theirs), x int);
         CREATE TABLE k3 (id int PRIMARY KEY, x int);
         CREATE SEQUENCE down INCREMENT -1 START WITH -1 MINVALUE -1000 MAXVALUE -1; CREATE TABLE k4 (id int PRIMARY KEY DEFAULT NEXTVAL(down), x int);
         CREATE TABLE k5 (id int AUTO_INCREMENT PRIMARY KEY, x int); INSERT INTO k5 (x) VALUES (1);
         CREATE SEQUENCE kept INCREMENT 1;",
    );
    scene.live(
        "CREATE SEQUENCE both_; CREATE TABLE k1 (id int PRIMARY KEY DEFAULT NEXTVAL(both_), x int); INSERT INTO k1 (x) SELECT 1 FROM seq_1_to_2000;
         CREATE TABLE k2 (id int PRIMARY KEY, x int); INSERT INTO k2 VALUES (500, 1);
         CREATE SEQUENCE own; CREATE TABLE k3 (id varchar(9) PRIMARY KEY DEFAULT NEXTVAL(own), x int); INSERT INTO k3 (x) VALUES (1), (2);
         CREATE TABLE k4 (id int PRIMARY KEY, x int); INSERT INTO k4 VALUES (-70, 1);
         CREATE TABLE k5 (id int AUTO_INCREMENT PRIMARY KEY, x int) AUTO_INCREMENT = 70; INSERT INTO k5 (x) VALUES (1), (1); DELETE FROM k5 WHERE id = 71;
         CREATE SEQUENCE k6_own; CREATE TABLE k6 (id int PRIMARY KEY DEFAULT NEXTVAL(k6_own), x int); INSERT INTO k6 (x) VALUES (1);
         CREATE SEQUENCE kept INCREMENT 7; DO NEXTVAL(kept), NEXTVAL(kept);",
    );
    let job = scene.job().task("keep = [\"k?\", \"kept\"]");
    for round in 0..2 {
        scene.copy(&job);
        for table in ["k1", "k2", "k3", "k4", "k5", "k6"] {
            scene.live(&format!("INSERT INTO {table} (x) VALUES (9)"));
        }
        if round == 0 {
            assert_eq!(scene.live("SELECT MAX(id) FROM k1"), "2001");
            assert_eq!(scene.live("SELECT MIN(id) FROM k4"), "-71");
            assert_eq!(scene.live("SELECT MAX(id) FROM k5"), "72");
            assert_eq!(
                scene.live("SELECT NEXTVAL(kept) % 7, NEXTVAL(kept) > 14"),
                "1|1"
            );
        }
    }
}

#[test]
fn counters_of_kept_rows_go_on_on_both_makers_servers() {
    on_both(|scene| {
        let table = "CREATE TABLE k (id int AUTO_INCREMENT PRIMARY KEY, x int)";
        scene.source(&format!("{table}; INSERT INTO k (x) VALUES (1), (2), (3)"));
        scene.live(&format!("{table} AUTO_INCREMENT = 900; INSERT INTO k (x) VALUES (1), (2); DELETE FROM k WHERE id = 901"));
        scene.copy(&scene.job().task("keep = [\"k\"]"));
        scene.live("INSERT INTO k (x) VALUES (3)");
        assert_eq!(
            scene.live("SELECT GROUP_CONCAT(id ORDER BY id) FROM k"),
            "900,902"
        );
    });
}

#[test]
fn a_kept_name_that_is_something_else_on_the_other_side_is_refused_in_plan() {
    on_both(|scene| {
        scene.source("CREATE VIEW k AS SELECT id FROM users; CREATE TABLE v (id int); INSERT INTO v VALUES (7)");
        scene.live("CREATE TABLE k (id int); INSERT INTO k VALUES (2); CREATE TABLE b (id int); INSERT INTO b VALUES (3); CREATE VIEW v AS SELECT id FROM b");
        for (option, said) in [
            (
                "keep = [\"k\"]",
                "`k` is a table on the target and a view on the source",
            ),
            (
                "keep = [\"v\"]",
                "`v` is a view on the target and a table on the source",
            ),
            ("mode = \"overlay\"", "cannot have both"),
        ] {
            let file = scene.write(&scene.job().task(option));
            scene.bed.with_file("plan", &file).expect(1).says(&[said]);
            scene.bed.once(&file).expect(1).says(&[said]);
            assert_eq!(scene.live("SELECT k.id, v.id FROM k JOIN v"), "2|3");
        }
    });
    let scene = Scene::new();
    scene.source("CREATE SEQUENCE k");
    scene.live("CREATE TABLE k (id int)");
    let file = scene.write(&scene.job().task("keep = [\"k\"]"));
    scene
        .bed
        .with_file("plan", &file)
        .expect(1)
        .says(&["`k` is a table on the target and a sequence on the source"]);
}

#[test]
fn a_script_that_changes_kept_rows_fails_the_run() {
    on_both(|scene| {
        let table = "CREATE TABLE k (id int PRIMARY KEY, x int); INSERT INTO k VALUES";
        scene.source(&format!("{table} (1, 1)"));
        scene.live(&format!("{table} (2, 2)"));
        scene.bed.file("s.sql", "UPDATE k SET x = 3");
        let job = scene
            .job()
            .task("keep = [\"k\"]")
            .task("scripts = [\"s.sql\"]");
        scene
            .bed
            .once(&scene.write(&job))
            .expect(1)
            .says(&["the rows of k", "script"]);
        assert_eq!(scene.live("SELECT id, x FROM k"), "2|2");
        assert_eq!(scene.beside_live(), Vec::<String>::new());
    });
}

#[test]
fn a_foreign_key_from_or_to_kept_rows_holds_or_the_run_fails_by_name() {
    on_both(|scene| {
        scene.source(
            "CREATE TABLE child (id int PRIMARY KEY, u int, CONSTRAINT up FOREIGN KEY (u) REFERENCES users (id)); INSERT INTO child VALUES (1, 1)",
        );
        scene.live("CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (5); CREATE TABLE child (id int PRIMARY KEY, u int); INSERT INTO child VALUES (9, 5)");
        for option in ["keep = [\"child\"]", "keep = [\"users\"]"] {
            scene
                .bed
                .once(&scene.write(&scene.job().task(option)))
                .expect(1)
                .says(&["foreign key up of child", "without a parent"]);
            assert_eq!(
                scene.live("SELECT child.id, users.id FROM child JOIN users"),
                "9|5"
            );
        }
        scene.copy(&scene.job().task("keep = [\"child\", \"users\"]"));
        assert_eq!(
            scene.live("SELECT child.id, users.id FROM child JOIN users"),
            "9|5"
        );
        // One that goes nowhere in the copy.
        scene.live("CREATE TABLE gone (id int PRIMARY KEY); CREATE TABLE k (id int, CONSTRAINT far FOREIGN KEY (id) REFERENCES gone (id))");
        let file = scene.write(&scene.job().task("keep = [\"k\", \"child\", \"users\"]"));
        scene
            .bed
            .once(&file)
            .expect(1)
            .says(&["foreign key far of k", "gone"]);
        // New rows may point to kept ones.
        scene.live("DROP TABLE k, gone; INSERT INTO users VALUES (1)");
        scene.copy(&scene.job().task("keep = [\"users\"]"));
        assert_eq!(
            scene.live("SELECT (SELECT u FROM child), (SELECT COUNT(*) FROM users)"),
            "1|2"
        );
    });
}
