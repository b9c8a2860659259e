//! The empty schema that is to become live: made with the source's settings and tables.

use crate::error::{Error, Result};
use crate::store::Fate;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::create_table::{Clause, Reference};
use crate::store::mysql::schema::definitions::{Definitions, Table};
use crate::store::mysql::schema::engines;
use crate::store::mysql::schema::zones::Zoned;
use crate::store::mysql::sql::names::{Names, quoted, within};
use crate::store::mysql::workspace::mark;

/// Up to this size a table is made with all its indexes at once: an ALTER TABLE would take longer than keeping them up
/// to date while the rows come.
const SMALL: u64 = 1 << 20;

/// How many tables are made with one round trip.
const AT_ONCE: usize = 32;

/// Makes the schema, with the source's defaults; its comment is our mark.
pub(in crate::store::mysql) async fn create_schema(
    session: &mut Session,
    definitions: &Definitions,
    names: &Names,
) -> Result<()> {
    let (charset, collation) = (&definitions.charset, &definitions.collation);
    mark::create(session, names, &names.incoming, charset, collation).await
}

/// Whether a table is made with all its indexes before its rows come.
pub(in crate::store::mysql) fn is_small(table: &Table) -> bool {
    table.fate != Fate::Copy
        || !engines::indexes_later(&table.engine)
        || (table.bytes < SMALL && !Zoned::of(table).is_some())
}

/// Makes all sequences; before tables, whose columns may take their defaults from them.
pub(super) async fn make_sequences(
    session: &mut Session,
    definitions: &Definitions,
    incoming: &str,
) -> Result<()> {
    session.run(&format!("USE {}", quoted(incoming))).await?;
    for sequence in &definitions.sequences {
        session
            .run(&sequence.create)
            .await
            .map_err(|error| error.within(format!("sequence `{}`", sequence.name)))?;
    }
    Ok(())
}

/// Makes these tables; the large ones without foreign keys and without what [`index_statements`] adds. Several sessions may
/// each make some of them.
pub(super) async fn make_tables(
    session: &mut Session,
    definitions: &Definitions,
    tables: &[&Table],
    incoming: &str,
) -> Result<()> {
    // Tables that foreign keys point to may come later.
    session
        .run(&format!(
            "USE {}; SET SESSION foreign_key_checks = 0",
            quoted(incoming)
        ))
        .await?;
    let mut rest = tables;
    while !rest.is_empty() {
        let statements = together(rest, session.packet() / 2, |table| {
            create_statement(table, definitions, incoming)
        });
        let (batch, more) = rest.split_at(statements.len());
        rest = more;
        match session.run(&statements.join(";\n")).await {
            Ok(_) => continue,
            Err(error) if !session.is_usable() => return Err(error),
            Err(_) => {}
        }
        // One of them failed: which one, comes out when each is made by itself.
        for (table, statement) in batch.iter().zip(&statements) {
            make_table(session, statement)
                .await
                .map_err(|error| error.within(format!("table `{}`", table.name)))?;
        }
    }
    // Rows come next, in any order: nothing is checked then, either.
    Ok(())
}

/// Makes all sequences and tables, each session its share of them.
pub(in crate::store::mysql) async fn make_all(
    sessions: &mut [Session],
    definitions: &Definitions,
    incoming: &str,
) -> Result<()> {
    make_sequences(&mut sessions[0], definitions, incoming).await?;
    let all: Vec<&Table> = definitions.tables.iter().collect();
    let share = all.len().div_ceil(sessions.len()).max(1);
    let making = sessions
        .iter_mut()
        .zip(all.chunks(share))
        .map(|(session, tables)| make_tables(session, definitions, tables, incoming));
    futures_util::future::try_join_all(making).await?;
    Ok(())
}

/// Statements for the first of these tables, as many as are run with one round trip, in a packet of at most so many bytes; one
/// at least.
fn together(
    tables: &[&Table],
    longest: usize,
    statement: impl Fn(&Table) -> String,
) -> Vec<String> {
    let mut length = 0;
    let mut all = Vec::new();
    for table in tables.iter().take(AT_ONCE) {
        let text = statement(table);
        length += text.len() + 2;
        if length > longest && !all.is_empty() {
            break;
        }
        all.push(text);
    }
    all
}

async fn make_table(session: &mut Session, statement: &str) -> Result<()> {
    let Err(error) = session.run(statement).await else {
        return Ok(());
    };
    match server_error::code(&error) {
        // It was made before another one of its batch failed.
        Some(1050) => Ok(()),
        // 1005, 1031, 1118, 1478: options or rows that InnoDB's strict mode refuses, which the source's did not.
        Some(1005 | 1031 | 1118 | 1478) => loosely(session, statement, error).await,
        _ => Err(error),
    }
}

/// Makes a table without InnoDB's strict mode; who may not switch it off hears of the first error.
async fn loosely(session: &mut Session, statement: &str, first: Error) -> Result<()> {
    if session
        .run("SET SESSION innodb_strict_mode = OFF")
        .await
        .is_err()
    {
        return Err(first);
    }
    let made = session.run(statement).await;
    session
        .run("SET SESSION innodb_strict_mode = DEFAULT")
        .await?;
    made.map(|_| ())
}

fn create_statement(table: &Table, definitions: &Definitions, incoming: &str) -> String {
    let create = table
        .create
        .with_sequences_in(&definitions.schema, incoming);
    if is_small(table) {
        create.text(|_, clause| match clause {
            Clause::Foreign(reference) => is_made_with(definitions, table, reference),
            _ => true,
        })
    } else {
        create.apart().bare
    }
}

/// Whether a foreign key is made with its table: an ALTER TABLE for each of thousands of small tables takes longer than
/// all of their rows. That needs the other table's keys to be there from the start, and nothing that has to be looked at.
pub(super) fn is_made_with(
    definitions: &Definitions,
    table: &Table,
    reference: &Reference,
) -> bool {
    let is_ours = |table: &Table| is_small(table) && table.fate == Fate::Copy;
    reference.schema.is_none()
        && is_ours(table)
        && definitions.table(&reference.table).is_some_and(is_ours)
}

/// What is to be run, in order, when a table's rows are in; nothing for a small one.
pub(in crate::store::mysql) fn index_statements(table: &Table, incoming: &str) -> Vec<String> {
    index_clauses(table)
        .iter()
        .map(|clauses| format!("ALTER TABLE {} {clauses}", within(incoming, &table.name)))
        .collect()
}

/// The indexes that are added then, those of one ALTER TABLE together.
pub(in crate::store::mysql) fn index_clauses(table: &Table) -> Vec<String> {
    if is_small(table) {
        return Vec::new();
    }
    let indexes = table.create.apart().indexes;
    indexes.iter().map(|clauses| clauses.join(", ")).collect()
}
