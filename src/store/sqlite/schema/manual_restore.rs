//! Definitions as SQL scripts, for people who restore by hand with nothing but `sqlite3`. Pure.

use super::definitions::Definitions;
use super::literals::written;
use super::names::quoted;
use super::objects::Table;
use super::tokens::{Token, placed};
use crate::store::{Fate, Script};

/// The definitions: tables, then all that comes after rows.
pub(in crate::store::sqlite) fn scripts(definitions: &Definitions) -> Vec<Script> {
    let script = |name: &str, statements: Vec<String>| Script {
        name: name.to_owned(),
        text: statements.concat(),
    };
    vec![
        script("1-before-rows", before(definitions)),
        script("3-after-rows", after(definitions)),
    ]
}

/// A statement and its end, which is on a line of its own where it would be part of a comment. (SQLite keeps what stands
/// before it as the object's definition, line feeds included.)
pub(in crate::store::sqlite) fn statement(sql: &str) -> String {
    let sql = shielded(alone(sql));
    let last = sql.rsplit('\n').next().unwrap_or(&sql);
    let feed = if last.contains("--") { "\n" } else { "" };
    format!("{sql}{feed};\n")
}

/// A definition without a semicolon of its own, after which there are comments at the most.
fn alone(sql: &str) -> &str {
    let tokens = placed(sql);
    let is_end = |token: &Token| *token == Token::Other(';');
    match tokens.iter().rposition(|(token, _)| !is_end(token)) {
        Some(last) if last + 1 < tokens.len() => &sql[..tokens[last].1.end],
        _ => sql,
    }
}

/// To the shell a line that has nothing but `go` or `/` ends a statement, as in other makers' clients, and what comes next may be a
/// command of its own. With an empty comment before it the line is a statement's. (A definition is one statement, so that no
/// other line begins one.)
fn shielded(sql: &str) -> String {
    let tokens = placed(sql);
    let mut made = sql.to_owned();
    for (at, (token, place)) in tokens.iter().enumerate().rev() {
        let ends = token.is("go") || *token == Token::Other('/');
        let before = sql[..place.start].rsplit('\n').next().unwrap_or_default();
        let next = tokens.get(at + 1).map_or(sql.len(), |(_, next)| next.start);
        let is_last = at + 1 == tokens.len() || sql[place.end..next].contains('\n');
        if ends && is_last && before.trim().is_empty() {
            made.insert_str(place.start, "/**/");
        }
    }
    made
}

fn before(definitions: &Definitions) -> Vec<String> {
    let settings = &definitions.settings;
    let mut made = vec![format!(
        "PRAGMA page_size = {};\nPRAGMA encoding = '{}';\nPRAGMA auto_vacuum = {};\nPRAGMA user_version = {};\nPRAGMA application_id = {};\n",
        settings.page_size,
        settings.encoding,
        settings.auto_vacuum,
        settings.user_version,
        settings.application_id
    )];
    let tables = definitions
        .tables
        .iter()
        .filter(|table| table.is_created_first());
    made.extend(tables.map(|table| statement(&table.sql)));
    made
}

fn after(definitions: &Definitions) -> Vec<String> {
    let objects = |kind: &'static str| {
        definitions
            .others
            .iter()
            .filter(move |object| object.kind == kind && definitions.comes_along(object))
            .map(|object| statement(&object.sql))
    };
    let mut made: Vec<String> = objects("index").collect();
    let virtuals: Vec<&Table> = definitions
        .tables
        .iter()
        .filter(|table| table.is_virtual && table.fate == Fate::Copy)
        .collect();
    made.extend(entered(&virtuals));
    made.extend(objects("view"));
    for (name, value) in &definitions.sequences {
        let is_copied = definitions
            .table(name)
            .is_some_and(|table| table.fate == Fate::Copy);
        if is_copied {
            let name = literal(name);
            made.push(format!(
                "DELETE FROM sqlite_sequence WHERE name = {name};\n\
                 INSERT INTO sqlite_sequence (name, seq) VALUES ({name}, {value});\n"
            ));
        }
    }
    if !definitions.statistics.is_empty() {
        made.push("ANALYZE;\n".to_owned());
    }
    made.extend(objects("trigger"));
    made
}

/// Virtual tables whose shadows are there already, as the shell's own `.dump` enters them.
fn entered(tables: &[&Table]) -> Vec<String> {
    if tables.is_empty() {
        return Vec::new();
    }
    // Newer shells let nobody write into the schema unless they are told to.
    let mut made = vec![".dbconfig defensive off\nPRAGMA writable_schema = ON;\n".to_owned()];
    for table in tables {
        let (name, sql) = (literal(&table.name), literal(&table.sql));
        made.push(format!(
            "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', {name}, {name}, 0, {sql});\n"
        ));
    }
    made.push("PRAGMA writable_schema = RESET;\n".to_owned());
    made
}

pub(in crate::store::sqlite) fn literal(text: &str) -> String {
    // Texts always can be written.
    written(&rusqlite::types::Value::Text(text.to_owned())).unwrap_or_else(|| quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_definition_is_the_shells_own() {
        for (sql, expected) in [
            ("CREATE VIEW v AS SELECT 1", "CREATE VIEW v AS SELECT 1;\n"),
            (
                "CREATE VIEW v AS SELECT 1 -- a;",
                "CREATE VIEW v AS SELECT 1 -- a;\n;\n",
            ),
            (
                "CREATE VIEW v AS SELECT 1 ; /* a */ ;\n-- b\n",
                "CREATE VIEW v AS SELECT 1;\n",
            ),
            (
                "CREATE VIEW v AS SELECT 8\n / \n2 AS a\n\tGo /* a */\n",
                "CREATE VIEW v AS SELECT 8\n /**// \n2 AS a\n\t/**/Go /* a */\n;\n",
            ),
            (
                "CREATE VIEW v AS SELECT 8\n/ 2\ngo, 'x\ngo\n/\n', /*\ngo\n*/ 1",
                "CREATE VIEW v AS SELECT 8\n/ 2\ngo, 'x\ngo\n/\n', /*\ngo\n*/ 1;\n",
            ),
        ] {
            assert_eq!(statement(sql), expected);
        }
    }
}
