//! The shapes of tables, as masks have to know them.

use rusqlite::Connection;

use super::objects::Table;
use crate::mask::{self, Repertoire, Type};
use crate::store::sqlite::schema::tokens::{Token, tokens};
use crate::store::{Check, Form, Reference, Selection, Shape, ShapeColumn, Unique};

/// A table that is copied.
pub(in crate::store::sqlite) fn read(
    connection: &Connection,
    table: &Table,
    selection: &Selection,
) -> rusqlite::Result<Shape> {
    let declared = declared(connection, &table.name)?;
    let masks = selection.masks_of_table(&table.name);
    let columns = table.names().into_iter().enumerate().map(|(place, name)| {
        let is_rowid = place == 0 && table.rowid.is_some();
        let found = declared.iter().find(|column| column.name == name);
        let type_name = found.map_or_else(String::new, |column| column.type_name.clone());
        ShapeColumn {
            column: mask::Column {
                kind: described(&type_name),
                is_nullable: !is_rowid && found.is_none_or(|column| !column.is_required),
                name,
            },
            form: if is_rowid {
                Form::RowNumber
            } else {
                Form::Typed
            },
            type_name,
            is_masked: false,
        }
    });
    Ok(Shape {
        names: vec![(None, table.name.clone())],
        masks,
        columns: columns.collect(),
        unique: unique(connection, table, &declared)?,
        references: references(connection, &table.name)?,
        checks: checks(&table.sql),
        partitioned_by: Vec::new(),
        unmaskable: table.shadow_of.as_ref().map(|owner| {
            format!("it is a part of the virtual table {owner}, which would not be whole")
        }),
    })
}

/// The CHECKs of a table and of its columns. What they name beside columns are functions.
fn checks(sql: &str) -> Vec<Check> {
    let all = tokens(sql);
    let mut found = Vec::new();
    for at in (0..all.len()).filter(|at| all[*at].is("CHECK")) {
        let mut depth = 0_usize;
        let inside = all[at + 1..].iter().take_while(|token| {
            match token {
                Token::Other('(') => depth += 1,
                Token::Other(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth > 0
        });
        found.push(Check {
            name: format!("CHECK number {}", found.len() + 1),
            columns: inside.filter_map(Token::name).map(str::to_owned).collect(),
        });
    }
    found
}

/// A column as its table declares it.
struct Declared {
    name: String,
    type_name: String,
    is_required: bool,
    is_key: bool,
}

fn declared(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Declared>> {
    connection
        .prepare_cached("SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1, 'main')")?
        .query_map([table], |row| {
            Ok(Declared {
                name: row.get(0)?,
                type_name: row.get(1)?,
                is_required: row.get(2)?,
                is_key: row.get::<_, i64>(3)? > 0,
            })
        })?
        .collect()
}

/// What masks know of a type. A value may be of another one all the same, and is masked as what it is.
fn described(type_name: &str) -> Type {
    let upper = type_name.to_ascii_uppercase();
    let word = upper.split('(').next().unwrap_or_default().trim();
    match word {
        "BOOLEAN" | "BOOL" => Type::Boolean,
        "DATE" => Type::Date,
        "DATETIME" | "TIMESTAMP" => Type::Timestamp,
        "JSON" | "JSONB" => Type::Json,
        "UUID" => Type::Uuid,
        "BLOB" => Type::Bytes { longest: None },
        // The order is SQLite's own ("Determination Of Column Affinity").
        _ if upper.contains("INT") => Type::Integer {
            bits: 64,
            is_signed: true,
        },
        _ if ["CHAR", "CLOB", "TEXT"]
            .iter()
            .any(|part| upper.contains(part)) =>
        {
            text()
        }
        _ if ["REAL", "FLOA", "DOUB"]
            .iter()
            .any(|part| upper.contains(part)) =>
        {
            Type::Real
        }
        "NUMERIC" | "DECIMAL" => Type::Decimal {
            precision: None,
            scale: u16::MAX,
        },
        _ => text(),
    }
}

fn text() -> Type {
    Type::Text {
        longest: None,
        repertoire: Repertoire::Unicode,
    }
}

fn unique(
    connection: &Connection,
    table: &Table,
    declared: &[Declared],
) -> rusqlite::Result<Vec<Unique>> {
    let mut found = Vec::new();
    let keys: Vec<String> = declared
        .iter()
        .filter(|column| column.is_key)
        .map(|column| column.name.clone())
        .collect();
    if !keys.is_empty() {
        found.push(Unique {
            name: "the primary key".to_owned(),
            columns: keys,
            is_one_null: false,
        });
    }
    let indexes: Vec<String> = connection
        .prepare_cached("SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\"")?
        .query_map([&table.name], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for index in indexes {
        let columns: Vec<Option<String>> = connection
            .prepare_cached("SELECT name FROM pragma_index_info(?1, 'main')")?
            .query_map([&index], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut known: Vec<String> = columns.iter().flatten().cloned().collect();
        if columns.iter().any(Option::is_none) {
            // An expression may look at any of them.
            known.clone_from(&table.columns);
        }
        found.push(Unique {
            name: format!("the index {index}"),
            columns: known,
            is_one_null: false,
        });
    }
    Ok(found)
}

fn references(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Reference>> {
    let mut found: Vec<(i64, Reference)> = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT f.id, f.\"table\", f.\"from\", coalesce(f.\"to\", \
             (SELECT name FROM pragma_table_xinfo(f.\"table\", 'main') WHERE pk = f.seq + 1)) \
         FROM pragma_foreign_key_list(?1, 'main') f ORDER BY f.id, f.seq",
    )?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if found.last().is_none_or(|(last, _)| *last != id) {
            let reference = Reference {
                name: format!("number {}", id + 1),
                columns: Vec::new(),
                table: (None, row.get(1)?),
                referenced: Vec::new(),
                condition: None,
            };
            found.push((id, reference));
        }
        let referenced: Option<String> = row.get(3)?;
        if let (Some((_, reference)), Some(referenced)) = (found.last_mut(), referenced) {
            reference.columns.push(row.get(2)?);
            reference.referenced.push(referenced);
        }
    }
    Ok(found.into_iter().map(|(_, reference)| reference).collect())
}
