//! Foreign keys to tables that are not there, which servers take while `foreign_key_checks` is off. Such a key names the table in
//! the schema that it was made in, and stays with that name where its own table goes to another schema.

use std::collections::{BTreeMap, BTreeSet};

use super::create_table::{self, Clause, Create, KeyKind};
use super::definitions::{Definitions, Table};
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::lexer::{self, Dialect};
use crate::store::mysql::sql::names::{Names, beside, literal, quoted};

/// How many keys an error names.
const NAMED: usize = 3;

/// A table's foreign key.
pub(in crate::store::mysql) struct Key {
    pub(in crate::store::mysql) name: String,
    /// The table that it points to, if that is not in another database.
    pub(in crate::store::mysql) parent: Option<String>,
    /// Its definition behind its name; a table without a database is one of the schema that it is made in.
    pub(in crate::store::mysql) rest: String,
}

/// The tables of its own schema that a table's keys point to.
pub(in crate::store::mysql) fn parents(table: &Table) -> impl Iterator<Item = &str> {
    let keys = table.create.foreign_keys().map(|(reference, _)| reference);
    keys.filter(|reference| reference.schema.is_none())
        .map(|reference| reference.table.as_str())
}

/// The same of a schema that was not read, whatever schema their keys name.
pub(in crate::store::mysql) async fn leaving(
    session: &mut Session,
    schema: &str,
) -> Result<BTreeSet<String>> {
    let schema = literal(schema);
    let rows = session
        .query(&format!(
            "SELECT k.TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE k \
             LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = k.REFERENCED_TABLE_SCHEMA AND t.TABLE_NAME = k.REFERENCED_TABLE_NAME \
             WHERE k.TABLE_SCHEMA = {schema} AND k.REFERENCED_TABLE_NAME IS NOT NULL AND t.TABLE_NAME IS NULL"
        ))
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// A table's foreign keys; those to tables of a schema that it was in are to tables of its own.
pub(in crate::store::mysql) async fn keys(
    session: &mut Session,
    names: &Names,
    schema: &str,
    table: &str,
) -> Result<Vec<Key>> {
    session.run(&format!("USE {}", quoted(schema))).await?;
    let made = session
        .query_one(&format!("SHOW CREATE TABLE {}", quoted(table)))
        .await?
        .definition(1)?;
    let mut found = Vec::new();
    for (clause, text) in Create::parse(&made)?.clauses() {
        let Clause::Foreign(reference) = clause else {
            continue;
        };
        let is_outside = reference
            .schema
            .as_ref()
            .is_some_and(|other| !names.is_own(other));
        let text = if is_outside {
            text.clone()
        } else {
            in_own_schema(text)
        };
        let head = format!("CONSTRAINT {}", quoted(&reference.name));
        let rest = text.trim().strip_prefix(&head).ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!(
                    "the foreign key {} of {table} cannot be read",
                    reference.name
                ),
            )
        })?;
        found.push(Key {
            name: reference.name.clone(),
            parent: (!is_outside).then(|| reference.table.clone()),
            rest: rest.to_owned(),
        });
    }
    Ok(found)
}

/// Without the schema behind REFERENCES.
fn in_own_schema(clause: &str) -> String {
    let tokens = lexer::tokens(clause, Dialect::default());
    let place = tokens.iter().position(|token| token.is("REFERENCES"));
    let schema = place.and_then(|at| lexer::solid(&tokens, at + 1));
    let dot = schema.and_then(|(at, _)| lexer::solid(&tokens, at + 1));
    let text =
        |tokens: &[lexer::Token<'_>]| tokens.iter().map(|token| token.text).collect::<String>();
    match (schema, dot) {
        (Some((from, _)), Some((to, dot))) if dot.is_mark(".") => {
            text(&tokens[..from]) + &text(&tokens[to + 1..])
        }
        _ => clause.to_owned(),
    }
}

/// Keys of previous to what it does not have point into previous: a table of that name that comes to live one day would be held
/// by the rows of previous otherwise.
pub(in crate::store::mysql) async fn stay(session: &mut Session, names: &Names) -> Result<()> {
    let previous = names.previous.as_str();
    let tables = leaving(session, previous).await?;
    if tables.is_empty() {
        return Ok(());
    }
    session.run("SET SESSION foreign_key_checks = 0").await?;
    for table in tables {
        for key in keys(session, names, previous, &table).await? {
            if key.parent.is_none() {
                continue;
            }
            let meanwhile = beside(&key.name, "~envsyncd");
            for (from, to) in [(&key.name, &meanwhile), (&meanwhile, &key.name)] {
                session
                    .run(&format!(
                        "ALTER TABLE {} DROP FOREIGN KEY {}, ADD CONSTRAINT {}{}",
                        quoted(&table),
                        quoted(from),
                        quoted(to),
                        key.rest
                    ))
                    .await?;
            }
        }
    }
    session
        .run("SET SESSION foreign_key_checks = 1")
        .await
        .map(drop)
}

/// Refuses foreign keys to what is no unique key of its table, where the target's server takes none such ("FOREIGN KEY
/// Constraints", MySQL's manual: `restrict_fk_on_non_standard_key`) and its user may not ask for it.
pub(in crate::store::mysql) async fn check(
    session: &mut Session,
    definitions: &Definitions,
) -> Result<()> {
    if !session.version().is_mysql(8, 4) {
        return Ok(());
    }
    let restricted = session
        .query("SHOW SESSION VARIABLES LIKE 'restrict_fk_on_non_standard_key'")
        .await?;
    let Some(restricted) = restricted.first() else {
        return Ok(());
    };
    if !restricted.text(1)?.eq_ignore_ascii_case("on") {
        return Ok(());
    }
    let mut refused = Vec::new();
    for table in &definitions.tables {
        for (reference, text) in table.foreign_keys(&definitions.excluded) {
            let columns = parent_columns(text);
            let (parent, is_standard) = match &reference.schema {
                Some(schema) => (
                    format!("{}.{}", quoted(schema), quoted(&reference.table)),
                    has_unique_key(session, schema, &reference.table, &columns).await?,
                ),
                None => (
                    quoted(&reference.table),
                    definitions
                        .table(&reference.table)
                        .is_none_or(|parent| is_unique_key(&parent.create, &columns)),
                ),
            };
            if !is_standard {
                let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
                refused.push(format!(
                    "{} of table {} to {parent} ({})",
                    quoted(&reference.name),
                    quoted(&table.name),
                    columns.join(", ")
                ));
            }
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Verify,
        format!(
            "the target's server takes no foreign keys to columns that are not a unique key (restrict_fk_on_non_standard_key): {}",
            first_of(&refused, NAMED)
        ),
    )
    .hint("set restrict_fk_on_non_standard_key = OFF on the target, or grant its user SESSION_VARIABLES_ADMIN to do so for itself; or make those keys unique on the source"))
}

/// The columns that a foreign key points to.
pub(in crate::store::mysql) fn parent_columns(clause: &str) -> Vec<String> {
    let tokens = lexer::tokens(clause, Dialect::default());
    let at = tokens.iter().position(|token| token.is("REFERENCES"));
    create_table::columns(&tokens[at.unwrap_or(0)..])
}

/// Whether these columns are a unique key of a table, all of it.
fn is_unique_key(parent: &Create, columns: &[String]) -> bool {
    parent.clauses().any(|(clause, text)| {
        let is_unique = match clause {
            Clause::Primary => true,
            Clause::Key(key) => key.kind == KeyKind::Unique,
            _ => false,
        };
        is_unique && create_table::whole_columns(text).is_some_and(|key| are_same(&key, columns))
    })
}

/// The same of a table on the target.
async fn has_unique_key(
    session: &mut Session,
    schema: &str,
    table: &str,
    columns: &[String],
) -> Result<bool> {
    let rows = session
        .query(&format!(
            "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            literal(schema),
            literal(table)
        ))
        .await?;
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &rows {
        // A part of a column, or an expression, is no column.
        let column = match row.maybe(2)? {
            None => row.maybe(1)?.unwrap_or_default(),
            Some(_) => String::new(),
        };
        keys.entry(row.text(0)?).or_default().push(column);
    }
    Ok(keys.values().any(|key| are_same(key, columns)))
}

/// Names of columns are the same in any case.
fn are_same(key: &[String], columns: &[String]) -> bool {
    key.len() == columns.len()
        && key
            .iter()
            .zip(columns)
            .all(|(one, other)| one.to_lowercase() == other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_key_is_one_of_just_these_columns() {
        let parent = Create::parse(
            "CREATE TABLE `p` (\n  `a` int NOT NULL,\n  `B` int,\n  `c` varchar(20),\n  PRIMARY KEY (`a`,`B`),\n  UNIQUE KEY `u` (`c`(10)),\n  UNIQUE KEY `e` (`c`,((`a` + 1))),\n  UNIQUE KEY `b` (`B`),\n  KEY `k` (`a`)\n) ENGINE=InnoDB",
        )
        .expect("a table");
        for (clause, is_key) in [
            ("`a`,`b`", true),
            ("`b`", true),
            ("`a`", false),
            ("`b`,`a`", false),
            ("`c`", false),
        ] {
            let text = format!("CONSTRAINT `f` FOREIGN KEY (`x`) REFERENCES `p` ({clause})");
            assert_eq!(
                is_unique_key(&parent, &parent_columns(&text)),
                is_key,
                "{clause}"
            );
        }
    }

    #[test]
    fn a_key_points_to_its_own_schema() {
        assert_eq!(
            in_own_schema(
                "CONSTRAINT `references` FOREIGN KEY (`a`) REFERENCES `x`.`t` (`b`) ON DELETE CASCADE"
            ),
            "CONSTRAINT `references` FOREIGN KEY (`a`) REFERENCES `t` (`b`) ON DELETE CASCADE"
        );
        let own = "CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES `t` (`b`)";
        assert_eq!(in_own_schema(own), own);
    }
}
