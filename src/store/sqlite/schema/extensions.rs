//! What an application brings along and this SQLite has not got: collations, functions, modules, tokenizers. Pages of
//! tables that need them are copied as they are; rows of theirs cannot be written, nor their indexes made.

use rusqlite::Connection;

use super::definitions::{Definitions, MissingExtension};
use super::modules::Module;
use super::names::quoted;
use super::objects::Table;
use crate::error::{Error, Kind, Result};
use crate::store::Fate;
use crate::store::sqlite::connection::messages;
use crate::store::sqlite::connection::open::guard;

/// How many tables an error names.
const NAMED: usize = 3;

/// How SQLite says that it has not got something.
const MISSING: [&str; 6] = [
    "no such collation sequence: ",
    "no such function: ",
    "unknown function: ",
    "no such module: ",
    "no such tokenizer: ",
    "unknown tokenizer: ",
];

/// The tables that need what is not here. The connection only reads, has no stand-ins and is for this alone: SQLite does
/// not use an index any more once it has missed its collation.
pub(in crate::store::sqlite) fn missing(
    connection: &Connection,
    definitions: &Definitions,
) -> rusqlite::Result<Vec<MissingExtension>> {
    // What a CHECK or a generated column needs is missed where the table is made.
    let empty = Connection::open_in_memory()?;
    guard(&empty)?;
    let missing = definitions.tables.iter().filter_map(|table| {
        Some(MissingExtension {
            what: required_by(connection, &empty, table)?,
            table: table.name.clone(),
            is_virtual: table.is_virtual,
            is_search: table.is_virtual && Module::of(&table.sql).is_search(),
            fate: table.fate,
        })
    });
    Ok(missing.collect())
}

fn required_by(connection: &Connection, empty: &Connection, table: &Table) -> Option<String> {
    // Whoever writes a row makes the entries of all indexes.
    let probe = if table.is_virtual {
        format!("SELECT 1 FROM main.{}", quoted(&table.name))
    } else {
        table.insert()
    };
    let missed = connection.prepare(&probe).err().and_then(missing_in);
    if missed.is_some() || table.is_virtual {
        return missed;
    }
    let missed = table.create(empty).err().and_then(missing_in);
    let _ = empty.execute_batch(&format!(
        "DROP TABLE IF EXISTS main.{}",
        quoted(&table.name)
    ));
    missed
}

/// What SQLite has not got, in its words. There are names alone in them.
fn missing_in(error: rusqlite::Error) -> Option<String> {
    match error {
        rusqlite::Error::SqlInputError { msg, .. }
        | rusqlite::Error::SqliteFailure(_, Some(msg)) => MISSING
            .iter()
            .any(|way| msg.contains(way))
            .then(|| messages::one_line(&msg)),
        _ => None,
    }
}

/// Whether a table is one of them.
pub(in crate::store::sqlite) fn is_missing(definitions: &Definitions, table: &str) -> bool {
    definitions
        .missing_extensions
        .iter()
        .any(|lack| lack.table == table)
}

/// Lets a connection read tables in the order of collations that it has not got. It must write nothing: what it would put
/// into an index would be in the wrong place.
pub(in crate::store::sqlite) fn stand_in(connection: &Connection) -> rusqlite::Result<()> {
    // A list of all collations would have those that a definition names, too.
    let mut statement = connection.prepare(
        "SELECT DISTINCT x.coll FROM main.sqlite_schema m, pragma_index_list(m.name, 'main') l, \
         pragma_index_xinfo(l.name, 'main') x \
         WHERE m.type = 'table' AND m.rootpage > 0 AND upper(x.coll) NOT IN ('BINARY', 'NOCASE', 'RTRIM')",
    )?;
    let missing: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in missing {
        connection.create_collation(name.as_str(), |a: &str, b: &str| a.cmp(b))?;
    }
    Ok(())
}

/// Refuses rows, one by one, of tables that need what is not here.
pub(in crate::store::sqlite) fn refuse_rows(definitions: &Definitions) -> Result<()> {
    refuse(
        definitions,
        |lack| match lack.fate {
            Fate::Exclude => false,
            // Its rows are in tables of other names, and it is entered into the schema as it is.
            Fate::Copy => !lack.is_virtual,
            Fate::SchemaOnly | Fate::Keep => true,
        },
        "cannot be made anew for a copy in part or an archive",
        "copy the whole file (no `exclude`, `schema_only`, `keep`, overlay or archive), or leave these tables out with `exclude`",
    )
}

/// Refuses to write the file anew, as after scripts.
pub(in crate::store::sqlite) fn refuse_scripts(definitions: &Definitions) -> Result<()> {
    refuse(
        definitions,
        |lack| lack.fate != Fate::Exclude && (!lack.is_virtual || lack.is_search),
        "cannot be written anew after scripts",
        "copy it without `scripts`, or leave these tables out with `exclude`",
    )
}

/// Refuses another page size.
pub(in crate::store::sqlite) fn refuse_pages(definitions: &Definitions) -> Result<()> {
    refuse(
        definitions,
        |lack| lack.fate != Fate::Exclude && !lack.is_virtual,
        "cannot be written anew with the pages of the target, which is in WAL mode and has others",
        "move the target's file away: then a new one is made",
    )
}

fn refuse(
    definitions: &Definitions,
    concerns: impl Fn(&MissingExtension) -> bool,
    cannot: &str,
    hint: &str,
) -> Result<()> {
    let all: Vec<&MissingExtension> = definitions
        .missing_extensions
        .iter()
        .filter(|lack| concerns(lack))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let mut shown: Vec<String> = all
        .iter()
        .take(NAMED)
        .map(|lack| format!("`{}` ({})", lack.table, lack.what))
        .collect();
    if all.len() > NAMED {
        shown.push(format!("{} more", all.len() - NAMED));
    }
    Err(Error::new(
        Kind::Verify,
        format!(
            "the application brings extensions that envsyncd does not have, and what needs them {cannot}: {}",
            shown.join(", ")
        ),
    )
    .hint(hint))
}
