//! Definitions as SQL for people who have nothing but `psql`: what comes before rows, what comes after, and what speaks of
//! roles, which another server may not have. In the order in which a run makes them.

use std::collections::HashSet;

use crate::error::Result;
use crate::store::postgresql::rows::relation::{column_list, table_name};
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::properties::DEFAULT_PATH;
use crate::store::postgresql::schema::restore_order::{self, Sorted};
use crate::store::postgresql::schema::toc::{self, Entry};
use crate::store::postgresql::schema::{large_objects, named_roles, ownership};
use crate::store::postgresql::sql::quoting::{literal, quoted};
use crate::store::postgresql::sql::setting_values;
use crate::store::{Part, Script};

/// The statement that loads a part's rows from standard input, for a client that speaks UTF-8 (`PGCLIENTENCODING`), as
/// names may need it; an empty one if its file is of statements itself.
pub(super) fn load_statement(definitions: &Definitions, part: &Part) -> String {
    if large_objects::is(part) {
        return String::new();
    }
    let table = definitions.by_root.get(&part.id).map_or_else(
        || table_name(part),
        |(schema, name)| format!("{}.{}", quoted(schema), quoted(name)),
    );
    let columns = if part.columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", column_list(&part.columns))
    };
    // The rows are as they are stored, whatever the client speaks.
    let encoding = literal(&definitions.properties.encoding);
    format!("COPY {table}{columns} FROM STDIN WITH (ENCODING {encoding})")
}

/// The definitions as SQL.
pub(super) fn scripts(definitions: &Definitions) -> Result<Vec<Script>> {
    let sorted = {
        let toc = definitions.toc();
        toc::refuse_taken(&toc)?;
        restore_order::sort(&toc, &definitions.gone)
    };
    let with_roles = with_roles(&sorted);
    let is_of_roles = |entry: &Entry| with_roles.contains(&entry.id());
    let mut scripts = vec![
        before_rows(definitions, &sorted, is_of_roles),
        after_rows(definitions, &sorted, is_of_roles),
        owners_and_grants(definitions, &sorted, is_of_roles),
    ];
    if !sorted.event_triggers.is_empty() {
        scripts.push(event_triggers(definitions, &sorted));
    }
    Ok(scripts)
}

/// Entries that name roles, and what is said of them.
fn with_roles(sorted: &Sorted) -> HashSet<i64> {
    let mut found = HashSet::new();
    for entry in sorted.before.iter().chain(&sorted.after) {
        let said = entry.object().1 == 0 && entry.needs().any(|need| found.contains(&need));
        if said || named_roles::names_roles(entry) {
            found.insert(entry.id());
        }
    }
    found
}

fn before_rows(
    definitions: &Definitions,
    sorted: &Sorted,
    is_of_roles: impl Fn(&Entry) -> bool,
) -> Script {
    let mut script = begun(definitions, "1-before-rows");
    if definitions.properties.search_path != DEFAULT_PATH {
        // Functions in generated columns and constraints may count on it while rows are loaded.
        script.text.push_str(&format!(
            "ALTER DATABASE :\"DBNAME\" SET search_path = {};\n\n",
            setting_values::as_sql("search_path", &definitions.properties.search_path)
        ));
    }
    for entry in sorted.before.iter().filter(|entry| !is_of_roles(entry)) {
        make(&mut script, entry);
    }
    script
}

fn after_rows(
    definitions: &Definitions,
    sorted: &Sorted,
    is_of_roles: impl Fn(&Entry) -> bool,
) -> Script {
    let mut script = begun(definitions, "3-after-rows");
    script.text.push_str("-- values of sequences\n");
    for one in &definitions.sequences {
        let name = format!("{}.{}", quoted(&one.schema), quoted(&one.name));
        script.text.push_str(&format!(
            "SELECT pg_catalog.setval({}, {}, {});\n",
            literal(&name),
            one.last_value,
            one.is_called
        ));
    }
    script.text.push('\n');
    for entry in sorted.indexes.iter().chain(&sorted.attach) {
        make(&mut script, entry);
    }
    let foreign = sorted
        .before
        .iter()
        .any(|entry| entry.kind == "FOREIGN TABLE");
    script.text.push_str(if foreign {
        "-- ANALYZE, table by table: of a parent of foreign tables, it connects to their servers.\n\n"
    } else {
        "ANALYZE;\n\n"
    });
    let after = sorted.after.iter().filter(|entry| !is_of_roles(entry));
    for entry in sorted.foreign_keys.iter().chain(after) {
        make(&mut script, entry);
    }
    // Not before all views are what they are: one that needs a primary key is a placeholder until then.
    for entry in sorted.before.iter().chain(&sorted.after) {
        let schema = entry.schema.as_deref().unwrap_or_default();
        let name = (schema.to_owned(), entry.tag().to_owned());
        if entry.kind == "MATERIALIZED VIEW" && definitions.populated.contains(&name) {
            let view = format!("{}.{}", quoted(schema), quoted(entry.tag()));
            script
                .text
                .push_str(&format!("REFRESH MATERIALIZED VIEW {view};\n"));
        }
    }
    for (statement, _) in of_large_objects(definitions).filter(|(_, of_roles)| !of_roles) {
        script.text.push_str(&statement);
    }
    script
}

fn owners_and_grants(
    definitions: &Definitions,
    sorted: &Sorted,
    is_of_roles: impl Fn(&Entry) -> bool,
) -> Script {
    let mut script = begun(definitions, "4-owners-and-grants");
    script.text.push_str(
        "-- For a server that has the source's roles; only a superuser can run all of it. Without it, everything belongs to who\n\
         -- restored it, and policies and user mappings that name roles are missing.\n\n",
    );
    let all = sorted.before.iter().chain(&sorted.after);
    for entry in all.clone() {
        if let Some(statement) = ownership::owner_as_it_was(entry) {
            script.text.push_str(&format!("{statement};\n"));
        }
    }
    script.text.push('\n');
    for entry in all.filter(|entry| is_of_roles(entry)).chain(&sorted.grants) {
        make(&mut script, entry);
    }
    for (statement, _) in of_large_objects(definitions).filter(|(_, of_roles)| *of_roles) {
        script.text.push_str(&statement);
    }
    script
}

/// Only now: they would see all that is made after them.
fn event_triggers(definitions: &Definitions, sorted: &Sorted) -> Script {
    let mut script = begun(definitions, "5-event-triggers");
    for entry in &sorted.event_triggers {
        make(&mut script, entry);
    }
    script.text.push_str("-- owners, which have to be there\n");
    for entry in &sorted.event_triggers {
        if let Some(statement) = ownership::owner_as_it_was(entry) {
            script.text.push_str(&format!("{statement};\n"));
        }
    }
    script
}

/// Statements about large objects, and whether they name roles.
fn of_large_objects(definitions: &Definitions) -> impl Iterator<Item = (String, bool)> {
    large_objects::statements_for(&definitions.large, true, |owner| Some(owner.to_owned()))
        .into_iter()
        .map(|(_, statement)| {
            let said = ["COMMENT ", "SECURITY LABEL "];
            let of_roles = !said.iter().any(|start| statement.starts_with(start));
            (statement, of_roles)
        })
}

/// A script with its head: the session has to be as the one that a run makes definitions with.
fn begun(definitions: &Definitions, name: &str) -> Script {
    let properties = &definitions.properties;
    let rows = if properties.binary_is_raw() {
        String::new()
    } else {
        format!(
            "-- The rows are in {}, as they are stored there; definitions are in {}.\n",
            one_line(&properties.encoding),
            properties.client_encoding()
        )
    };
    let text = format!(
        "-- {name} of a PostgreSQL {} database, to be run with psql. The database was made as by\n\
         --     CREATE DATABASE ... TEMPLATE template0 {};\n\
         {rows}\
         \\set ON_ERROR_STOP on\n\
         SET statement_timeout = 0;\n\
         SET lock_timeout = 0;\n\
         SET idle_in_transaction_session_timeout = 0;\n\
         SET client_encoding = '{}';\n\
         SET standard_conforming_strings = on;\n\
         SET search_path = {};\n\
         SET check_function_bodies = off;\n\
         SET xmloption = content;\n\
         SET client_min_messages = warning;\n\
         SET row_security = off;\n\
         SET default_table_access_method = heap;\n\n",
        definitions.major,
        one_line(&properties.clause()),
        properties.client_encoding(),
        setting_values::as_sql("search_path", &properties.search_path),
    );
    Script {
        name: name.to_owned(),
        text,
    }
}

/// Appends what makes an entry.
fn make(script: &mut Script, entry: &Entry) {
    let definition = entry.definition();
    let definition = definition.trim_end();
    if definition.is_empty() {
        return;
    }
    let text = &mut script.text;
    text.push_str(&format!("-- {}", one_line(&entry.label())));
    if let Some(tablespace) = &entry.tablespace {
        // Another server need not have it.
        text.push_str(&format!(", in the tablespace {}", one_line(tablespace)));
    }
    text.push('\n');
    text.push_str(definition);
    text.push_str("\n\n");
}

/// What follows a comment's sign must not leave the line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
