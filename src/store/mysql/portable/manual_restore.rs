//! Definitions as SQL for people who have nothing but `mariadb` or `mysql`, in any database: the source's name is left out
//! wherever it stands. Pure.

use crate::config::job::{Definer, Events};
use crate::store::Script;
use crate::store::mysql::connection::settings;
use crate::store::mysql::incoming::complete;
use crate::store::mysql::incoming::create;
use crate::store::mysql::rows::select;
use crate::store::mysql::schema::create_table::Clause;
use crate::store::mysql::schema::definitions::{Definitions, Table};
use crate::store::mysql::schema::exclusion;
use crate::store::mysql::schema::objects::{Creation, Object, ObjectKind};
use crate::store::mysql::sql::lexer::{self, Dialect, Shape};
use crate::store::mysql::sql::names::{literal, quoted};
use crate::store::mysql::sql::version::Flavour;
use crate::store::{Fate, Part};

/// What stands for the source's schema until it is taken out.
const HERE: &str = "envsyncd: the schema itself";

/// As the source was read; and what its checks let through once comes along.
fn settings(definitions: &Definitions) -> String {
    let mut set = format!(
        "SET SESSION sql_mode = '{}', time_zone = '+00:00', foreign_key_checks = 0",
        settings::MODE
    );
    if definitions.version.flavour == Flavour::MariaDb {
        set.push_str(", check_constraint_checks = 0");
    }
    let has_past = |table: &Table| table.versioning.is_some();
    if definitions.tables.iter().any(has_past) {
        set.push_str(", system_versioning_alter_history = KEEP");
    }
    set
}

/// The definitions: tables and sequences, then all that comes after rows, then events, which run once they are there.
pub(in crate::store::mysql) fn scripts(definitions: &Definitions) -> Vec<Script> {
    let mut scripts = vec![
        script("1-before-rows", definitions, before(definitions)),
        script("3-after-rows", definitions, after(definitions)),
    ];
    let events = of_kind(definitions, |kind| kind == ObjectKind::Event);
    if !events.is_empty() {
        scripts.push(script("4-events", definitions, events));
    }
    scripts
}

fn script(name: &str, definitions: &Definitions, statements: Vec<String>) -> Script {
    let client = match definitions.version.flavour {
        Flavour::MariaDb => "mariadb",
        Flavour::MySql => "mysql",
    };
    let mut text = format!(
        "-- {} {}. To be run in an empty database, by a user who may name other definers:\n\
         --     {client} --binary-mode --comments --default-character-set=utf8mb4 DATABASE\n\
         SET NAMES utf8mb4;\n{};\n",
        definitions.version.flavour,
        definitions.version.text.replace(['\n', '\r'], " "),
        settings(definitions)
    );
    for statement in statements {
        text.push_str(&statement);
        text.push('\n');
    }
    Script {
        name: name.to_owned(),
        text,
    }
}

fn before(definitions: &Definitions) -> Vec<String> {
    let comment = if definitions.comment.is_empty() {
        String::new()
    } else {
        format!(" COMMENT {}", literal(&definitions.comment))
    };
    let mut made = vec![format!(
        "ALTER DATABASE CHARACTER SET {} COLLATE {}{comment};",
        definitions.charset, definitions.collation
    )];
    for sequence in &definitions.sequences {
        made.push(format!("{};", sequence.create));
    }
    for table in &definitions.tables {
        let create = table.create.with_sequences_in(&definitions.schema, HERE);
        let text = if create::is_small(table) {
            create.text(|_, clause| !matches!(clause, Clause::Foreign(_)))
        } else {
            create.apart().bare
        };
        made.push(format!("{};", without_here(&text, Dialect::default())));
    }
    made
}

fn after(definitions: &Definitions) -> Vec<String> {
    let mut made = Vec::new();
    for table in &definitions.tables {
        for clauses in create::index_clauses(table) {
            made.push(format!("ALTER TABLE {} {clauses};", quoted(&table.name)));
        }
    }
    for sequence in &definitions.sequences {
        if sequence.fate == Fate::Copy {
            made.push(format!("{};", sequence.restore(&quoted(&sequence.name))));
        }
    }
    for table in &definitions.tables {
        if let Some(counter) = table.auto_increment
            && table.create.counts()
            && table.fate != Fate::Keep
        {
            made.push(format!(
                "ALTER TABLE {} AUTO_INCREMENT = {counter};",
                quoted(&table.name)
            ));
        }
    }
    for table in &definitions.tables {
        made.extend(foreign_keys(definitions, table));
    }
    made.extend(of_kind(definitions, |kind| kind != ObjectKind::Event));
    made
}

/// Rows that broke a key on the source are no reason to leave it out; rows whose other end is not the source's are.
fn foreign_keys(definitions: &Definitions, table: &Table) -> Vec<String> {
    let mut made = Vec::new();
    for (reference, text) in table.foreign_keys(&definitions.excluded) {
        let add = format!("ALTER TABLE {} ADD {text};", quoted(&table.name));
        if complete::is_sure(definitions, table, reference) {
            made.push(add);
        } else {
            made.push(format!(
                "SET SESSION foreign_key_checks = 1;\n{add}\nSET SESSION foreign_key_checks = 0;"
            ));
        }
    }
    made
}

fn of_kind(definitions: &Definitions, wanted: impl Fn(ObjectKind) -> bool) -> Vec<String> {
    definitions
        .objects
        .iter()
        .filter(|object| wanted(object.kind))
        .map(|object| making(object, definitions))
        .collect()
}

/// An object's statements. A view of what is not there is a comment: no client can make one.
fn making(object: &Object, definitions: &Definitions) -> String {
    let text = in_any_schema(object, &definitions.schema);
    if object.broken || exclusion::over_excluded(definitions, object).is_some() {
        let lines: Vec<String> = std::iter::once("It refers to what is not there:")
            .chain(text.split(['\n', '\r']))
            .map(|line| format!("-- {line}"))
            .collect();
        return lines.join("\n");
    }
    let delimiter = delimiter(&text);
    let [settings, restore] = object.settings(object.client());
    format!("{settings};\nDELIMITER {delimiter}\n{text}\n{delimiter}\nDELIMITER ;\n{restore};")
}

/// What ends the statement and is nowhere in it.
pub(in crate::store::mysql) fn delimiter(text: &str) -> String {
    let mut delimiter = ";;".to_owned();
    while text.contains(&delimiter) {
        delimiter.push('$');
    }
    delimiter
}

/// Its definition without the schema that it was read in; with it, where it cannot be told from other names.
fn in_any_schema(object: &Object, schema: &str) -> String {
    let making = Creation {
        from: schema,
        to: HERE,
        definer: Definer::Keep,
        events: Events::Keep,
    };
    match object.rewritten(&making) {
        Ok(text) => without_here(&text, Dialect::of(&object.sql_mode)),
        Err(_) => object.definition.clone(),
    }
}

/// Takes out [`HERE`] and the dots behind it.
pub(in crate::store::mysql) fn without_here(sql: &str, dialect: Dialect) -> String {
    let tokens = lexer::tokens(sql, dialect);
    let mut made = String::with_capacity(sql.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let dot = (token.shape == Shape::Quoted && token.name().as_deref() == Some(HERE))
            .then(|| lexer::solid(&tokens, at + 1))
            .flatten()
            .filter(|(_, next)| next.is_mark("."));
        at = if let Some((dot, _)) = dot {
            lexer::solid(&tokens, dot + 1).map_or(tokens.len(), |(next, _)| next)
        } else {
            made.push_str(token.text);
            at + 1
        };
    }
    made
}

/// What loads a part's file from the client's standard input: several statements, for the session has to be as ours are.
pub(in crate::store::mysql) fn load(
    definitions: &Definitions,
    table: &Table,
    part: &Part,
) -> String {
    let flavour = definitions.version.flavour;
    let mut set = settings(definitions);
    let has_past = table
        .columns
        .iter()
        .any(|column| column.is_period && part.columns.contains(&column.name));
    if has_past {
        set.push_str(", system_versioning_insert_history = ON");
    }
    format!(
        "{set}; {}",
        select::load(table, part, flavour, "/dev/stdin")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_taken_out_wherever_it_stands() {
        let sql = format!(
            "select {0}.`a`.`b`, '{0}.' from {0} . `a` where {0}.f(`x`)",
            quoted(HERE)
        );
        assert_eq!(
            without_here(&sql, Dialect::default()),
            format!("select `a`.`b`, '{}.' from `a` where f(`x`)", quoted(HERE))
        );
    }

    #[test]
    fn a_delimiter_is_nowhere_in_the_statement() {
        assert_eq!(delimiter("begin a; end"), ";;");
        assert_eq!(delimiter("begin a;; b;;$ end"), ";;$$");
    }
}
