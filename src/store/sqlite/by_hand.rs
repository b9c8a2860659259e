//! Definitions as SQL for people who have nothing but `sqlite3`, and a new file. Pure.

use super::connection::quoted;
use super::load;
use super::schema::{Definitions, Table};
use super::stored::statistics::written;
use crate::store::Fate;
use crate::store::portable::Script;

/// The definitions: tables, then all that comes after rows.
pub(super) fn scripts(definitions: &Definitions) -> Vec<Script> {
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
pub(super) fn statement(sql: &str) -> String {
    let last = sql.rsplit('\n').next().unwrap_or(sql);
    let feed = if last.contains("--") { "\n" } else { "" };
    format!("{sql}{feed};\n")
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
        .filter(|table| load::is_made_here(table));
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

pub(super) fn literal(text: &str) -> String {
    // Texts always can be written.
    written(&rusqlite::types::Value::Text(text.to_owned())).unwrap_or_else(|| quoted(text))
}
