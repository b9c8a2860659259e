//! `[[task.rows]]`: some of a table's rows, and what becomes of those that refer to others.

use super::stores::{Store, all};
use crate::support::job::Job;

/// Documents with editions that not everybody may see, and what refers to them by one column, by two, and by none that the schema
/// knows; and a tree.
const TABLES: &str = "
    CREATE TABLE documents (id int PRIMARY KEY, name varchar(20));
    INSERT INTO documents VALUES (1, 'one'), (2, 'two'), (3, 'three');
    CREATE TABLE editions (id int PRIMARY KEY, document_id int REFERENCES documents (id), access varchar(20), title varchar(40),
        CONSTRAINT editions_of FOREIGN KEY (document_id) REFERENCES documents (id));
    INSERT INTO editions VALUES (11, 1, 'all', 'open'), (12, 1, 'limited', 'planted12'), (13, 2, NULL, 'unknown'), (14, 3, 'limited', 'planted14'), (15, 3, 'all', 'open');
    CREATE TABLE pages (edition_id int, number int, body varchar(40), PRIMARY KEY (edition_id, number),
        CONSTRAINT pages_of FOREIGN KEY (edition_id) REFERENCES editions (id));
    INSERT INTO pages VALUES (11, 1, 'a'), (12, 1, 'planted'), (14, 1, 'planted'), (15, 1, 'b'), (15, 2, 'c');
    CREATE TABLE remarks (id int PRIMARY KEY, edition_id int, page int, remark varchar(40),
        CONSTRAINT remarks_of FOREIGN KEY (edition_id, page) REFERENCES pages (edition_id, number));
    INSERT INTO remarks VALUES (1, 11, 1, 'a'), (2, 12, 1, 'planted'), (3, 15, 2, 'c'), (4, NULL, NULL, 'of nothing');
    CREATE TABLE files (id int PRIMARY KEY, owner_kind varchar(20), owner_id int, name varchar(40));
    INSERT INTO files VALUES (1, 'edition', 11, 'a'), (2, 'edition', 12, 'planted'), (3, 'document', 12, 'of a document'), (4, NULL, NULL, 'lost');
    CREATE TABLE folders (id int PRIMARY KEY, parent_id int, name varchar(20),
        CONSTRAINT folders_of FOREIGN KEY (parent_id) REFERENCES folders (id));
    INSERT INTO folders VALUES (1, NULL, 'root'), (2, 1, 'private'), (3, 2, 'planted'), (4, 3, 'planted'), (5, 1, 'public'), (6, 5, 'more');";

const OPEN: &str = r#"
[[task.rows]]
table = "editions"
where = "access = 'all' -- not those of whom nothing is said"
cascade = true
"#;

const TREE: &str = r#"
[[task.rows]]
table = "folders"
where = "name <> 'private'"
cascade = true
"#;

const FILES: &str = r#"
[[task.reference]]
table = "files"
columns = ["owner_id"]
references = "editions"
referenced = ["id"]
where = "owner_kind = 'edition'"
"#;

fn ids(store: &Store, table: &str) -> String {
    store.live(&format!("SELECT id FROM {table} ORDER BY id"))
}

#[test]
fn rows_that_refer_to_one_that_is_not_copied_are_not_copied_either() {
    for store in all(TABLES, "") {
        for verify in ["verify = \"rows\"\n", "verify = \"checksum\"\n"] {
            store
                .with(&["--once"], &(verify.to_owned() + OPEN + TREE + FILES))
                .expect(0);
            assert_eq!(ids(&store, "documents"), "1 2 3", "{}", store.kind);
            assert_eq!(ids(&store, "editions"), "11 15", "{}", store.kind);
            let pages = store.live("SELECT body FROM pages ORDER BY body");
            assert_eq!(pages, "a b c", "{}", store.kind);
            assert_eq!(ids(&store, "remarks"), "1 3 4", "{}", store.kind);
            assert_eq!(ids(&store, "files"), "1 3 4", "{}", store.kind);
            assert_eq!(ids(&store, "folders"), "1 5 6", "{}", store.kind);
        }
    }
}

#[test]
fn rows_that_would_refer_to_nothing_are_refused_before_a_row_is_read() {
    let alone = OPEN.replace("cascade = true", "");
    let tree = TREE.replace("cascade = true", "");
    for store in all(TABLES, "") {
        for verb in ["plan", "--once"] {
            store.with(&[verb], &alone).expect(2).says(&[
                "rows of",
                "pages refer to rows of",
                "editions that are not copied",
                "cascade = true",
            ]);
            store
                .with(&[verb], &tree)
                .expect(2)
                .says(&["folders refer to rows of", "cascade = true"]);
        }
        assert!(!store.has_live(), "{}", store.kind);
    }
}

#[test]
fn tables_whose_rows_were_chosen_together_need_no_cascade() {
    let chosen = r#"
        [[task.rows]]
        table = "editions"
        where = "id < 14"
        [[task.rows]]
        table = ["pages", "remarks"]
        where = "edition_id < 14"
    "#;
    for store in all(TABLES, "") {
        store.with(&["--once"], chosen).expect(0);
        assert_eq!(ids(&store, "editions"), "11 12 13", "{}", store.kind);
        assert_eq!(ids(&store, "remarks"), "1 2", "{}", store.kind);
    }
}

#[test]
fn chosen_rows_are_masked_as_all_rows_are() {
    let masked = r#"
        [[task.mask]]
        table = "editions"
        where = "document_id = 1"
        columns = { title = { kind = "fixed", value = "masked" } }
    "#;
    for store in all(TABLES, "") {
        store
            .with(&["--once"], &format!("{OPEN}{FILES}{masked}"))
            .expect(0);
        let titles = store.live("SELECT title FROM editions ORDER BY id");
        assert_eq!(titles, "masked open", "{}", store.kind);
    }
}

#[test]
fn plan_says_of_which_tables_some_rows_are_copied() {
    for store in all(TABLES, "") {
        let plan = store.with(&["plan"], &(OPEN.to_owned() + FILES)).expect(0);
        plan.says(&[
            "of ",
            "editions: rows where access = 'all'",
            "pages: rows that refer to none that is not copied",
        ]);
    }
}

#[test]
fn what_is_wrong_with_chosen_rows_is_said_with_its_table() {
    let wrong = "[[task.rows]]\ntable = \"editions\"\nwhere = \"no_such_column = 1\"";
    let nobody = "[[task.rows]]\ntable = \"editoins\"\nwhere = \"id = 1\"";
    for store in all(TABLES, "") {
        store.with(&["plan"], wrong).expect(2).says(&[
            "the `where` of the rows of",
            "editions",
            "no_such_column",
        ]);
        store
            .with(&["plan"], nobody)
            .expect(0)
            .says(&["the rows of editoins are those of no table that is copied"]);
    }
    let required = Store::new(
        "sqlite",
        "CREATE TABLE flags (id integer PRIMARY KEY, a boolean);",
        "require_masks = true",
    );
    required
        .with(&["plan"], nobody)
        .expect(2)
        .says(&["the rows of editoins are those of no table that is copied"]);
}

#[test]
fn a_circle_of_tables_is_refused() {
    let circle = "CREATE TABLE a (id int PRIMARY KEY, b_id int, kind varchar(9)); CREATE TABLE b (id int PRIMARY KEY, a_id int);
        INSERT INTO a VALUES (1, 1, 'x'); INSERT INTO b VALUES (1, 1);";
    let rows = r#"
        [[task.rows]]
        table = "a"
        where = "kind = 'y'"
        cascade = true
        [[task.reference]]
        table = "a"
        columns = ["b_id"]
        references = "b"
        referenced = ["id"]
        [[task.reference]]
        table = "b"
        columns = ["a_id"]
        references = "a"
        referenced = ["id"]
    "#;
    for store in all(circle, "") {
        store
            .with(&["plan"], rows)
            .expect(2)
            .says(&["in a circle of tables"]);
    }
}

#[test]
fn rows_of_partitions_are_chosen_by_their_tables_name() {
    let store = Store::new(
        "postgresql",
        "CREATE TABLE events (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
         INSERT INTO events SELECT g, date '2020-01-01' + g FROM generate_series(1, 700) AS g;
         CREATE TABLE actions (event_id int, event_day date, FOREIGN KEY (event_id, event_day) REFERENCES events);
         INSERT INTO actions SELECT id, day FROM events;",
        "",
    );
    let rows = "[[task.rows]]\ntable = \"public.events\"\nwhere = \"day >= date '2020-12-01'\"\ncascade = true";
    store.with(&["--once"], rows).expect(0);
    let expected = store.source("SELECT count(*) FROM events WHERE day >= date '2020-12-01'");
    assert_eq!(store.live("SELECT count(*) FROM events"), expected);
    assert_eq!(store.live("SELECT count(*) FROM actions"), expected);
}

#[test]
fn a_snapshot_has_the_chosen_rows_alone() {
    for store in all(TABLES, "") {
        let rows = format!("{OPEN}{TREE}{FILES}");
        store.run(&["--once"], &store.push(&rows)).expect(0);
        store.run(&["--once"], &store.pull("")).expect(0);
        assert_eq!(ids(&store, "remarks"), "1 3 4", "{}", store.kind);
        assert_eq!(ids(&store, "folders"), "1 5 6", "{}", store.kind);
    }
}

#[test]
fn rows_that_nobody_can_choose_are_refused() {
    let store = Store::new("sqlite", "CREATE TABLE t (id int);", "");
    let rows = "[[task.rows]]\ntable = \"t\"\nwhere = \"id = 1\"";
    store
        .run(&["validate"], &store.pull(rows))
        .expect(2)
        .says(&["put [[task.rows]] into the job that pushes it"]);
    store
        .run(
            &["validate"],
            &store.push("verify = \"checksum\"").task(rows),
        )
        .expect(2)
        .says(&["a snapshot of chosen rows has no checksums"]);
    let dump = "{ url = \"file:///var/backups/t\", format = \"govuk\" }";
    let dump = Job::new("postgresql", "\"postgresql://somebody@localhost/a\"", dump);
    store
        .run(&["validate"], &dump.task(rows))
        .expect(2)
        .says(&["takes all of them"]);
}

#[test]
fn rows_that_are_others_at_each_reading_fail_the_run_if_something_refers_to_those_that_are_missing()
{
    // Half of the parents, chosen by chance each time, and whatever refers to them.
    let tables = "CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (id int PRIMARY KEY, parent int, CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id));
        INSERT INTO parents SELECT a.n * 16 + b.n FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7) AS a
            CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7) AS b;
        INSERT INTO children SELECT id, id FROM parents;";
    for store in all(tables, "") {
        let chance = match store.kind {
            "postgresql" => "random() < 0.5",
            "mysql" => "rand() < 0.5",
            _ => "abs(random()) % 2 = 0",
        };
        let rows =
            format!("[[task.rows]]\ntable = \"parents\"\nwhere = \"{chance}\"\ncascade = true");
        store.with(&["--once"], &rows).expect(1);
        assert!(!store.has_live(), "{}", store.kind);
    }
}

#[test]
fn now_is_one_moment_for_all_rows_of_mysql() {
    let store = Store::new(
        "mysql",
        "CREATE TABLE a (id int PRIMARY KEY, filler char(200)); INSERT INTO a VALUES (1, 'x');
         INSERT INTO a SELECT seq + 1, 'x' FROM seq_1_to_5000; ANALYZE TABLE a;
         CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1);",
        "",
    );
    // The larger one is read first, and for a while. The server's clock goes on; NOW() does not.
    let rows = "jobs = 1\n[[task.rows]]\ntable = \"a\"\nwhere = \"id > 1 OR sleep(2) = 0\"\n[[task.rows]]\ntable = \"b\"\nwhere = \"timestampdiff(second, now(), sysdate()) >= 2\"";
    store.with(&["--once"], rows).expect(0);
    assert_eq!(store.live("SELECT count(*) FROM a"), "5001");
    assert_eq!(ids(&store, "b"), "1");
}
