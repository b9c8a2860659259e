//! Masks go on to what refers to a masked column, whatever else its table has.

use super::stores::{Store, all};

/// People by number, and tables of which nothing else is masked. `check` columns tell whom a row was of.
const TABLES: &str = "
    CREATE TABLE people (id int PRIMARY KEY, mail varchar(60) NOT NULL UNIQUE, chief int, who int,
        CONSTRAINT chief FOREIGN KEY (chief) REFERENCES people (id));
    INSERT INTO people VALUES (700001, 'planted1@corp.example', NULL, 1), (700002, 'planted2@corp.example', 700001, 2), (700003, 'planted3@corp.example', 700002, 3);
    CREATE TABLE orders (id int PRIMARY KEY, person int, who int, CONSTRAINT person FOREIGN KEY (person) REFERENCES people (id));
    INSERT INTO orders VALUES (1, 700001, 1), (2, 700003, 3), (3, NULL, NULL);
    CREATE TABLE letters (id int PRIMARY KEY, mail varchar(60), who int, CONSTRAINT mail FOREIGN KEY (mail) REFERENCES people (mail));
    INSERT INTO letters VALUES (1, 'planted2@corp.example', 2);
    CREATE TABLE keys_of (person int, number int, who int, PRIMARY KEY (person, number), CONSTRAINT owner FOREIGN KEY (person) REFERENCES people (id));
    INSERT INTO keys_of VALUES (700001, 1, 1), (700002, 1, 2);
    CREATE TABLE uses (id int PRIMARY KEY, person int, number int, who int, CONSTRAINT used FOREIGN KEY (person, number) REFERENCES keys_of (person, number));
    INSERT INTO uses VALUES (1, 700002, 1, 2);
    CREATE TABLE notes (id int PRIMARY KEY, on_kind varchar(20), on_id int, who int);
    INSERT INTO notes VALUES (1, 'person', 700003, 3), (2, 'order', 700003, 0), (3, 'person', 700001, 1);
    CREATE TABLE visits (id int PRIMARY KEY, mail varchar(60), who int);
    INSERT INTO visits VALUES (1, 'planted3@corp.example', 3);";

const MASKS: &str = r#"
[[task.mask]]
table = "people"
columns = { id = "digits", mail = "email" }
[[task.reference]]
table = "notes"
columns = ["on_id"]
references = "people"
referenced = ["id"]
where = "on_kind = 'person'"
[[task.reference]]
table = "visits"
columns = ["mail"]
references = "people"
referenced = ["mail"]
"#;

#[test]
fn tables_that_refer_to_a_masked_column_have_its_masked_values() {
    for store in all(TABLES, "") {
        for verify in ["verify = \"rows\"\n", "verify = \"checksum\"\n"] {
            store
                .with(&["--once"], &(verify.to_owned() + MASKS))
                .expect(0);
            let of = |sql: &str| store.live(sql);
            let kind = store.kind;
            assert_eq!(
                of(
                    "SELECT count(*) FROM people WHERE id IN (700001, 700002, 700003) OR mail LIKE 'planted%'"
                ),
                "0",
                "{kind}"
            );
            let joined = |table: &str, on: &str| {
                of(&format!(
                    "SELECT count(*) FROM {table} AS r JOIN people AS p ON {on} AND r.who = p.who"
                ))
            };
            assert_eq!(joined("orders", "r.person = p.id"), "2", "{kind}");
            assert_eq!(joined("letters", "r.mail = p.mail"), "1", "{kind}");
            assert_eq!(joined("keys_of", "r.person = p.id"), "2", "{kind}");
            assert_eq!(joined("uses", "r.person = p.id"), "1", "{kind}");
            assert_eq!(joined("visits", "r.mail = p.mail"), "1", "{kind}");
            assert_eq!(joined("notes", "r.on_id = p.id"), "2", "{kind}");
            assert_eq!(
                of(
                    "SELECT count(*) FROM people AS a JOIN people AS b ON a.chief = b.id AND a.who = b.who + 1"
                ),
                "2",
                "{kind}"
            );
            assert_eq!(
                of("SELECT on_id FROM notes WHERE id = 2"),
                "700003",
                "{kind}"
            );
        }
    }
}

#[test]
fn partitions_and_children_by_inheritance_are_masked_alike() {
    let store = Store::new(
        "postgresql",
        "CREATE TABLE people (id int PRIMARY KEY, who int);
         INSERT INTO people VALUES (700001, 1), (700002, 2);
         CREATE TABLE events (person int REFERENCES people, day date, who int) PARTITION BY RANGE (day);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
         INSERT INTO events VALUES (700001, '2020-05-05', 1), (700002, '2021-05-05', 2);
         CREATE TABLE things (id int, owner int, who int);
         CREATE TABLE cars (wheels int) INHERITS (things);
         INSERT INTO things VALUES (1, 700001, 1); INSERT INTO cars VALUES (2, 700002, 2, 4);",
        "",
    );
    let masks = r#"
        [[task.mask]]
        table = "people"
        columns = { id = "digits" }
        [[task.reference]]
        table = "things"
        columns = ["owner"]
        references = "people"
        referenced = ["id"]
    "#;
    store.with(&["--once"], masks).expect(0);
    for (table, column) in [("events", "person"), ("things", "owner")] {
        let joined = format!(
            "SELECT count(*) FROM {table} r JOIN people p ON r.{column} = p.id AND r.who = p.who"
        );
        assert_eq!(store.live(&joined), "2", "{table}");
    }
    let raw = "SELECT count(*) FROM (SELECT id FROM people UNION ALL SELECT person FROM events UNION ALL SELECT owner FROM things) AS a WHERE id IN (700001, 700002)";
    assert_eq!(store.live(raw), "0");
}

#[test]
fn a_reference_to_nothing_is_refused() {
    let to = |to: &str, columns: &str| {
        format!(
            "[[task.mask]]\ntable = \"people\"\ncolumns = {{ id = \"digits\" }}\n[[task.reference]]\ntable = \"visits\"\ncolumns = [\"{columns}\"]\nreferences = \"{to}\"\nreferenced = [\"mail\"]\n"
        )
    };
    for store in all(TABLES, "") {
        store
            .with(&["plan"], &to("poeple", "mail"))
            .expect(2)
            .says(&["poeple is not the name of one table that is copied"]);
        store
            .with(&["plan"], &to("*e*", "mail"))
            .expect(2)
            .says(&["is not the name of one table that is copied"]);
        store
            .with(&["plan"], &to("people", "email"))
            .expect(2)
            .says(&["has no column email that could refer"]);
    }
}
