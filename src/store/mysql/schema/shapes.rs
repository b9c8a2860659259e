//! The shapes of tables, as masks have to know them: out of their definitions. Pure.

use super::create_table::{Clause, KeyKind, has_word};
use super::definitions::{Column, Table};
use super::foreign_keys;
use crate::mask::{self, Encoding, Repertoire, Type};
use crate::store::mysql::sql::lexer::{self, Dialect, Token};
use crate::store::{Check, Form, Part, Reference, Selection, Shape, ShapeColumn, Truth, Unique};

/// How truth is written.
const TRUTH: Truth = Truth::Digits;

/// A part's table.
pub(in crate::store::mysql) fn of(table: &Table, part: &Part, selection: &Selection) -> Shape {
    let clauses = || table.create.clauses();
    let is_required = |name: &str| {
        clauses().any(|(clause, text)| match clause {
            Clause::Column(column) => column == name && has_word(text, "NOT NULL"),
            _ => false,
        })
    };
    let columns = part
        .columns
        .iter()
        .filter_map(|name| table.columns.iter().find(|column| column.name == *name));
    let columns: Vec<ShapeColumn> = columns
        .map(|column| {
            let (kind, form) = described(column);
            ShapeColumn {
                column: mask::Column {
                    name: column.name.clone(),
                    kind,
                    is_nullable: !is_required(&column.name) && !column.is_period,
                },
                form: if column.is_period { Form::Opaque } else { form },
                type_name: column.column_type.clone(),
                is_masked: false,
            }
        })
        .collect();
    let mut unique = Vec::new();
    let mut references = Vec::new();
    for (clause, text) in clauses() {
        match clause {
            Clause::Primary => unique.push(Unique {
                name: "the primary key".to_owned(),
                columns: named(text),
                is_one_null: false,
            }),
            Clause::Key(key) if key.kind == KeyKind::Unique => unique.push(Unique {
                name: lexer::tokens(text, Dialect::default())
                    .iter()
                    .find_map(Token::name)
                    .map_or_else(
                        || "a unique key".to_owned(),
                        |name| format!("the key {name}"),
                    ),
                columns: named(text),
                is_one_null: false,
            }),
            Clause::Foreign(reference) if reference.schema.is_none() => {
                references.push(Reference {
                    name: reference.name.clone(),
                    columns: own_columns(text),
                    table: (None, reference.table.clone()),
                    referenced: foreign_keys::parent_columns(text),
                    condition: None,
                });
            }
            _ => {}
        }
    }
    let names = vec![(None, table.name.clone())];
    Shape {
        masks: selection.masks_of_table(&table.name),
        names,
        columns,
        unique,
        references,
        checks: checks(table),
        // Rows go to the table, and it sorts them out.
        partitioned_by: Vec::new(),
        unmaskable: None,
    }
}

/// The CHECKs of a table and of its columns. What they name beside columns are functions.
fn checks(table: &Table) -> Vec<Check> {
    let mut found = Vec::new();
    for (clause, text) in table.create.clauses() {
        let mut tokens = lexer::tokens(text, Dialect::default());
        tokens.retain(|token| token.shape != lexer::Shape::Blank);
        let Some(at) = tokens.iter().position(|token| token.is("CHECK")) else {
            continue;
        };
        let name = match (&clause, tokens.first()) {
            (Clause::Column(column), _) => format!("the CHECK of {column}"),
            (_, Some(first)) if first.is("CONSTRAINT") => tokens
                .get(1)
                .and_then(Token::name)
                .unwrap_or_else(|| "a CHECK".to_owned()),
            _ => "a CHECK".to_owned(),
        };
        found.push(Check {
            name,
            columns: tokens[at + 1..].iter().filter_map(Token::name).collect(),
        });
    }
    found
}

/// All names in a key's parentheses: those of its expressions, too.
fn named(clause: &str) -> Vec<String> {
    let tokens = lexer::tokens(clause, Dialect::default());
    let open = tokens.iter().position(|token| token.is_mark("("));
    let inside = &tokens[open.unwrap_or(tokens.len())..];
    inside.iter().filter_map(Token::name).collect()
}

/// The columns of a foreign key: those between the first parentheses.
fn own_columns(clause: &str) -> Vec<String> {
    let tokens = lexer::tokens(clause, Dialect::default());
    let open = tokens.iter().position(|token| token.is_mark("("));
    let inside = &tokens[open.unwrap_or(tokens.len())..];
    let inside = inside.iter().take_while(|token| !token.is_mark(")"));
    inside.filter_map(Token::name).collect()
}

/// What masks know of a type, and how `LOAD DATA` has its values.
fn described(column: &Column) -> (Type, Form) {
    let lengths: Vec<u32> = numbers(&column.column_type);
    let (first, second) = (lengths.first().copied(), lengths.get(1).copied());
    let integer = |bits| Type::Integer {
        bits,
        is_signed: !has_word(&column.column_type, "unsigned"),
    };
    let bytes = |longest| (Type::Bytes { longest }, Form::Bytes);
    let plain = |kind| (kind, Form::Text(Encoding::Utf8, TRUTH));
    match &*column.data_type {
        "char" | "varchar" => text(column, first),
        // As many characters as surely fit into their bytes.
        "tinytext" => text(column, Some(63)),
        "text" => text(column, Some(16_383)),
        "mediumtext" | "longtext" => text(column, None),
        "json" => plain(Type::Json),
        "tinyint" => plain(integer(8)),
        "smallint" => plain(integer(16)),
        "mediumint" => plain(integer(24)),
        "int" | "integer" => plain(integer(32)),
        "bigint" => plain(integer(64)),
        "decimal" | "numeric" => plain(Type::Decimal {
            precision: first.and_then(|digits| u16::try_from(digits).ok()),
            scale: second
                .and_then(|digits| u16::try_from(digits).ok())
                .unwrap_or(0),
        }),
        "float" | "double" | "real" => plain(Type::Real),
        "date" => plain(Type::Date),
        "time" => plain(Type::Time),
        "datetime" | "timestamp" => plain(Type::Timestamp),
        "enum" => plain(Type::Enum(words(&column.column_type))),
        "set" | "year" => plain(Type::Other(column.data_type.clone())),
        "binary" => (Type::Bytes { longest: first }, Form::PaddedBytes),
        "varbinary" => bytes(first),
        "tinyblob" => bytes(Some(255)),
        "blob" => bytes(Some(65_535)),
        "mediumblob" | "longblob" => bytes(None),
        other => (Type::Other(other.to_owned()), Form::Opaque),
    }
}

fn text(column: &Column, longest: Option<u32>) -> (Type, Form) {
    let (encoding, repertoire) = match column.charset.as_deref() {
        Some("utf8mb4") => (Encoding::Utf8, Repertoire::Unicode),
        Some("utf8" | "utf8mb3") => (Encoding::Utf8, Repertoire::Basic),
        Some("latin1") => (Encoding::Latin1, Repertoire::Latin1),
        Some("ascii") => (Encoding::Utf8, Repertoire::Ascii),
        _ => (Encoding::Unknown, Repertoire::Ascii),
    };
    let kind = Type::Text {
        longest,
        repertoire,
    };
    // Of these, ASCII is no part.
    let is_wide = matches!(
        column.charset.as_deref(),
        Some("ucs2" | "utf16" | "utf16le" | "utf32")
    );
    let form = if is_wide {
        Form::Opaque
    } else {
        Form::Text(encoding, TRUTH)
    };
    (kind, form)
}

/// The numbers in a type's parentheses.
fn numbers(column_type: &str) -> Vec<u32> {
    let inside = column_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let inside = inside.map_or("", |(inside, _)| inside);
    inside
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect()
}

/// The members of an ENUM.
fn words(column_type: &str) -> Vec<String> {
    lexer::tokens(column_type, Dialect::default())
        .iter()
        .filter(|token| token.shape == lexer::Shape::Text)
        .map(|token| token.text.trim_matches('\'').replace("''", "'"))
        .collect()
}
