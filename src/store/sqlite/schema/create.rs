//! Runs a definition as the one statement that it has to be, which makes its object and does nothing else.

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::definition_text::is_virtual_table;
use super::modules;

/// SQLite's own list of objects, by both of its names.
const LIST: [&str; 2] = ["sqlite_master", "sqlite_schema"];

/// Functions that reach beyond the database, in one SQLite or another.
const REACHING: [&str; 5] = [
    "load_extension",
    "fts3_tokenizer",
    "readfile",
    "writefile",
    "edit",
];

/// Runs one statement, and none that does anything but to make this object.
pub(in crate::store::sqlite) fn run(
    connection: &Connection,
    kind: &str,
    name: &str,
    table: &str,
    sql: &str,
) -> rusqlite::Result<()> {
    let creating = Creation {
        kind: kind.to_owned(),
        name: name.to_owned(),
        table: table.to_owned(),
        is_virtual: kind == "table" && is_virtual_table(sql),
    };
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if creating.allows(&context) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }))?;
    let done = connection
        .prepare(sql)
        .and_then(|mut statement| statement.raw_execute())
        .map(drop);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    done
}

/// What is being made.
struct Creation {
    kind: String,
    name: String,
    table: String,
    is_virtual: bool,
}

impl Creation {
    /// Whether SQLite does this to make it. What a module does to make a virtual table is seen here as well.
    fn allows(&self, context: &AuthContext<'_>) -> bool {
        if context.database_name.is_some_and(|name| name != "main") {
            return false;
        }
        let is_name = |name: &str| name.eq_ignore_ascii_case(&self.name);
        match context.action {
            AuthAction::CreateTable { table_name } => {
                // AUTOINCREMENT's counters are in a table of SQLite's own.
                self.kind == "table"
                    && (is_name(table_name)
                        || table_name == "sqlite_sequence"
                        || self.is_own(table_name))
            }
            AuthAction::CreateVtable {
                table_name,
                module_name,
            } => self.is_virtual && is_name(table_name) && modules::is_harmless(module_name),
            AuthAction::CreateIndex {
                index_name,
                table_name,
            } => match &self.kind[..] {
                "index" => is_name(index_name) && table_name.eq_ignore_ascii_case(&self.table),
                // Of a UNIQUE or a PRIMARY KEY.
                "table" => index_name.starts_with("sqlite_autoindex_"),
                _ => false,
            },
            AuthAction::Reindex { index_name } => {
                self.kind == "table" || (self.kind == "index" && is_name(index_name))
            }
            AuthAction::CreateView { view_name } => self.kind == "view" && is_name(view_name),
            AuthAction::CreateTrigger {
                trigger_name,
                table_name,
            } => {
                self.kind == "trigger"
                    && is_name(trigger_name)
                    && table_name.eq_ignore_ascii_case(&self.table)
            }
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name } => {
                LIST.contains(&table_name) || self.is_own(table_name)
            }
            AuthAction::Function { function_name } => !REACHING
                .iter()
                .any(|name| function_name.eq_ignore_ascii_case(name)),
            AuthAction::Read { .. } => true,
            // A plain table that asks for rows would be made of them.
            AuthAction::Select
            | AuthAction::Recursive
            | AuthAction::Pragma {
                pragma_value: None, ..
            } => self.is_virtual,
            _ => false,
        }
    }

    /// Whether it is a table that a virtual table keeps its rows in.
    fn is_own(&self, table: &str) -> bool {
        self.is_virtual
            && table
                .split_at_checked(self.name.len())
                .is_some_and(|(name, rest)| {
                    name.eq_ignore_ascii_case(&self.name) && rest.starts_with('_')
                })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema::definition_text::flaw;

    #[test]
    fn what_sqlite_writes_into_its_schema_has_no_flaw_and_can_be_made_again() {
        let made = Connection::open_in_memory().unwrap();
        made.execute_batch(
            r#"CREATE TABLE "odd ""; 'name'
.shell" ("a;" TEXT DEFAULT ';' CHECK ("a;" <> 'x -- ;'), b INTEGER PRIMARY KEY AUTOINCREMENT, c UNIQUE, d AS (upper(b)) STORED);
CREATE TABLE IF NOT EXISTS [t;] (a REFERENCES "odd ""; 'name'
.shell", begin, "end", PRIMARY KEY (a, begin)) WITHOUT ROWID, STRICT;"#
                .replace(", STRICT", "")
                .as_str(),
        )
        .unwrap();
        made.execute_batch(
            "CREATE UNIQUE INDEX main.i ON [t;] (begin, lower(a)) WHERE a > 'x;'; -- a; comment
             CREATE VIEW v (x) AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n /* ; */ -- ; x
             ;CREATE TRIGGER tr AFTER UPDATE OF begin ON main.[t;] WHEN new.begin IS NOT ';' BEGIN
               SELECT CASE WHEN 1 THEN 2 END; INSERT INTO [t;] VALUES (1, 2, 3); END;
             CREATE TRIGGER \"on\" INSTEAD OF INSERT ON v BEGIN SELECT 1; END;
             CREATE VIRTUAL TABLE IF NOT EXISTS f USING fts5 (a, b, tokenize = \"unicode61 tokenchars ':;$'\");
             CREATE VIRTUAL TABLE g USING fts4 (a, tokenize=unicode61 \"tokenchars=$;\");
             CREATE VIRTUAL TABLE r USING rtree (id, x0, x1);
             CREATE VIRTUAL TABLE w USING fts5vocab ('f', 'row');
             CREATE TABLE plain (a); ALTER TABLE plain RENAME TO \"re;named\"; ALTER TABLE \"re;named\" ADD COLUMN b;",
        )
        .unwrap();
        let mut statement = made
            .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
            .unwrap();
        let all: Vec<[String; 4]> = statement
            .query_map([], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert!(all.len() > 20, "{all:?}");
        let again = Connection::open_in_memory().unwrap();
        for [kind, name, table, sql] in &all {
            assert_eq!(flaw(kind, name, table, sql), None, "{sql}");
            let is_shadow = ["f_", "g_", "r_", "sqlite_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if is_shadow {
                continue;
            }
            run(&again, kind, name, table, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let names = |connection: &Connection| -> Vec<String> {
            connection
                .prepare("SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .collect::<rusqlite::Result<_>>()
                .unwrap()
        };
        assert_eq!(names(&again), names(&made));
    }

    #[test]
    fn nothing_but_the_object_is_made_whatever_its_text_says() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "ATTACH ':memory:' AS other; CREATE TABLE t (a); CREATE TABLE other.t (a)",
            )
            .unwrap();
        for (kind, name, sql) in [
            ("table", "n", "CREATE TABLE n (a); ATTACH '/tmp/x' AS v"),
            ("table", "n", "CREATE TABLE n (a); DROP TABLE t"),
            ("table", "n", "ATTACH '/tmp/x' AS n"),
            ("table", "n", "DETACH other"),
            ("table", "n", "CREATE TABLE other.n (a)"),
            ("table", "n", "CREATE TEMP TABLE n (a)"),
            ("table", "n", "CREATE TABLE m (a)"),
            ("table", "n", "CREATE TABLE n AS SELECT * FROM t"),
            ("table", "n", "DROP TABLE t"),
            ("table", "n", "PRAGMA writable_schema = ON"),
            ("table", "n", "VACUUM INTO '/tmp/x'"),
            ("table", "n", "BEGIN"),
            ("table", "n", "INSERT INTO t VALUES (1)"),
            (
                "table",
                "n",
                "CREATE TABLE n (a CHECK (load_extension('x') = 1))",
            ),
            ("index", "n", "CREATE INDEX m ON t (a)"),
            ("index", "n", "CREATE TABLE n (a)"),
            ("view", "n", "CREATE VIEW other.n AS SELECT 1"),
            ("view", "n", "CREATE TEMP VIEW n AS SELECT 1"),
            (
                "trigger",
                "n",
                "CREATE TEMP TRIGGER n AFTER INSERT ON t BEGIN SELECT 1; END",
            ),
            (
                "trigger",
                "n",
                "CREATE TRIGGER other.n AFTER INSERT ON t BEGIN SELECT 1; END",
            ),
        ] {
            let of = if kind == "table" { name } else { "t" };
            assert!(run(&connection, kind, name, of, sql).is_err(), "{sql}");
        }
        let left: i64 = connection
            .query_row(
                "SELECT (SELECT count(*) FROM main.sqlite_schema) + (SELECT count(*) FROM other.sqlite_schema)
                 + (SELECT count(*) FROM temp.sqlite_schema) + (SELECT count(*) FROM t)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(left, 2);
        // What came before does not stand in the way of what comes after.
        connection.execute_batch("DETACH other").unwrap();
        for sql in [
            "CREATE VIRTUAL TABLE n USING csv (filename = '/etc/passwd')",
            "CREATE VIRTUAL TABLE n USING zipfile ('/tmp/x')",
            "CREATE VIRTUAL TABLE n USING fsdir",
        ] {
            assert!(run(&connection, "table", "n", "n", sql).is_err(), "{sql}");
        }
        run(
            &connection,
            "table",
            "n",
            "n",
            "CREATE VIRTUAL TABLE n USING fts5 (a)",
        )
        .unwrap();
    }
}
