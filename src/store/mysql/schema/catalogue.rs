//! Everything in a schema that has a definition, in words that do not depend on the schema's name. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::create_table;
use super::definitions::{Definitions, Table};
use super::objects::{self, Creation, Object, ObjectKind};
use super::sequences::Sequence;
use crate::config::job::{Definer, Events};
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::mysql::sql::names;
use crate::store::{Catalogue, Fate};

/// What stands for the schema's own name.
const HERE: &str = "this schema";

/// What in incoming may be other than on the source, with the source's definition: found out and said while it was made.
#[derive(Debug, Clone, Default)]
pub(in crate::store::mysql) struct Accepted(BTreeMap<String, String>);

impl Accepted {
    /// A broken view that could not be made.
    pub(in crate::store::mysql) fn view(
        &mut self,
        view: &Object,
        definitions: &Definitions,
        definer: Definer,
    ) {
        self.0
            .insert(view.label(), told(view, &definitions.schema, definer));
    }

    /// A counter that cannot be as low as the source's.
    pub(in crate::store::mysql) fn counter(&mut self, table: &Table) {
        self.0.insert(counter_label(table), counter(table));
    }

    /// A table that is as the target has it, since the source's cannot hold the rows that are kept.
    pub(in crate::store::mysql) fn table(&mut self, table: &Table, definitions: &Definitions) {
        self.0.insert(
            format!("table {}", table.name),
            table_text(table, &definitions.schema, &definitions.excluded),
        );
    }

    /// A sequence that stands elsewhere, or is as the target has it.
    pub(in crate::store::mysql) fn sequence(&mut self, sequence: &Sequence) {
        self.0
            .insert(format!("sequence {}", sequence.name), counting(sequence));
    }

    /// Whether this object is accepted, whatever it is in incoming.
    pub(in crate::store::mysql) fn has(&self, object: &str) -> bool {
        self.0.contains_key(object)
    }

    /// What is accepted, as the source has it.
    pub(in crate::store::mysql) fn all(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }
}

fn counter_label(table: &Table) -> String {
    format!("counter of table {}", table.name)
}

fn counter(table: &Table) -> String {
    table.auto_increment.unwrap_or(1).to_string()
}

/// The catalogue of one schema. Equal ones are of schemas that are equal in all but rows, grants, and whether events run;
/// with mapped definers, in all but those.
pub(in crate::store::mysql) fn of(definitions: &Definitions, definer: Definer) -> Catalogue {
    let mut all = BTreeMap::new();
    each(definitions, definer, |object, definition| {
        all.insert(object, definition);
    });
    Catalogue(all)
}

/// Shows all that is in it.
pub(in crate::store::mysql) fn each(
    definitions: &Definitions,
    definer: Definer,
    mut show: impl FnMut(String, String),
) {
    for table in &definitions.tables {
        of_table(table, &definitions.schema, &definitions.excluded, &mut show);
    }
    of_rest(definitions, definer, show);
}

/// Shows what a table of this schema has in it.
pub(in crate::store::mysql) fn of_table(
    table: &Table,
    schema: &str,
    excluded: &BTreeSet<String>,
    mut show: impl FnMut(String, String),
) {
    show(
        format!("table {}", table.name),
        table_text(table, schema, excluded),
    );
    // The target's own rows have the target's own counter.
    if table.create.counts() && table.fate != Fate::Keep {
        show(counter_label(table), counter(table));
    }
}

/// Shows all that is in it but tables.
pub(in crate::store::mysql) fn of_rest(
    definitions: &Definitions,
    definer: Definer,
    mut show: impl FnMut(String, String),
) {
    show(
        "database".to_owned(),
        format!(
            "CHARACTER SET {} COLLATE {} COMMENT {}",
            definitions.charset,
            definitions.collation,
            names::literal(&definitions.comment)
        ),
    );
    for sequence in &definitions.sequences {
        show(format!("sequence {}", sequence.name), counting(sequence));
    }
    for object in &definitions.objects {
        show(object.label(), told(object, &definitions.schema, definer));
    }
}

fn counting(sequence: &Sequence) -> String {
    let state = if sequence.fate == Fate::Copy {
        sequence.row.join(", ")
    } else {
        String::new()
    };
    format!("{} {state}", sequence.create)
}

/// A table's definition without its counter, and without foreign keys that a copy cannot have.
pub(in crate::store::mysql) fn table_text(
    table: &Table,
    schema: &str,
    excluded: &BTreeSet<String>,
) -> String {
    let text = table
        .create
        .with_sequences_in(schema, HERE)
        .without_counter()
        .text(|_, clause| match clause {
            create_table::Clause::Foreign(reference) => {
                reference.schema.is_some() || !excluded.contains(&reference.table)
            }
            _ => true,
        });
    without_implied_charsets(&text)
}

/// MySQL prints a column's character set beside its collation only where the collation was written down for that column,
/// as it is in a copy; the collation implies it.
fn without_implied_charsets(text: &str) -> String {
    const WORDS: &str = " CHARACTER SET ";
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(WORDS) {
        let (before, after) = (&rest[..at], &rest[at + WORDS.len()..]);
        made.push_str(before);
        let name = after.split(' ').next().unwrap_or_default();
        let implied = after[name.len()..].starts_with(&format!(" COLLATE {name}_"));
        rest = if implied && !name.is_empty() {
            &after[name.len()..]
        } else {
            made.push_str(WORDS);
            after
        };
    }
    made.push_str(rest);
    made
}

/// An object's definition with all that belongs to it.
fn told(object: &Object, schema: &str, definer: Definer) -> String {
    let making = Creation {
        from: schema,
        to: HERE,
        definer,
        events: Events::Disabled,
    };
    // What cannot be rewritten is refused before anything is made.
    let mut text = object
        .rewritten(&making)
        .unwrap_or_else(|_| object.definition.clone());
    match object.kind {
        // Whether the server prints the schema depends on whether the definer is there.
        ObjectKind::View => text = text.replace(&format!("`{HERE}`."), ""),
        ObjectKind::Event => text = objects::disabled(&text, Dialect::of(&object.sql_mode)),
        _ => {}
    }
    let mut more = vec![object.sql_mode.clone()];
    if let Some(collation) = &object.database_collation {
        more.push(object.charset_client.clone());
        more.push(object.collation_connection.clone());
        more.extend(Some(collation.clone()).filter(|name| !name.is_empty()));
    } else {
        // An older archive's catalogue says no more.
        more.push(object.client().to_owned());
        more.push(object.collation_connection.clone());
    }
    more.extend(object.table.clone());
    more.extend(object.time_zone.clone());
    if object.kind == ObjectKind::Trigger {
        more.push(object.order.to_string());
    }
    format!("{text} [{}]", more.join("; "))
}
