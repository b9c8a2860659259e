//! What makes incoming complete once all rows and indexes are in: foreign keys, sequences, counters, objects.
//!
//! Statistics are left to the server: InnoDB counts anew in an ALTER TABLE that adds an index, and in the background where
//! more than a tenth of a table has changed; both survive RENAME TABLE.

use std::collections::BTreeMap;

use super::create;
use crate::config::job::{Definer, Events};
use crate::error::{Kind, Result};
use crate::store::Fate;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::catalogue::Accepted;
use crate::store::mysql::schema::create_objects;
use crate::store::mysql::schema::create_table::Reference;
use crate::store::mysql::schema::definitions::{Definitions, Table};
use crate::store::mysql::schema::objects::{Creation, Object};
use crate::store::mysql::sql::names::{literal, quoted, within};
use crate::store::mysql::sql::version::Flavour;

/// All that belongs to tables but triggers. The session is left in incoming, the schema `to`.
pub(in crate::store::mysql) async fn tables(
    session: &mut Session,
    definitions: &Definitions,
    to: &str,
) -> Result<Accepted> {
    session.run(&format!("USE {}", quoted(to))).await?;
    for table in &definitions.tables {
        foreign_keys(session, definitions, table, to).await?;
    }
    for sequence in &definitions.sequences {
        if sequence.fate == Fate::Copy {
            session
                .run(&sequence.restore(&within(to, &sequence.name)))
                .await
                .map_err(|error| error.within(format!("sequence `{}`", sequence.name)))?;
        }
    }
    let mut accepted = Accepted::default();
    counters(session, definitions, to, &mut accepted).await?;
    Ok(accepted)
}

/// Views, routines, triggers and events; returns the broken views that cannot be made there. Rows that the target keeps have to be in, or triggers would fire for them.
pub(in crate::store::mysql) async fn objects(
    session: &mut Session,
    definitions: &Definitions,
    to: &str,
    definer: Definer,
    accepted: &mut Accepted,
) -> Result<Vec<Object>> {
    let making = Creation {
        from: &definitions.schema,
        to,
        definer,
        events: Events::Disabled,
    };
    let broken = create_objects::make(session, &definitions.objects, &making).await?;
    for view in &broken {
        accepted.view(view, definitions, definer);
    }
    Ok(broken)
}

/// Between two tables whose rows are the source's, the server need not look at rows for a foreign key: it vouched for them on
/// the source, and that they are the same is verified. Rows that broke a key there (loaded with foreign_key_checks = 0)
/// are there again. Rows that the target keeps come later, and are looked at then. Where the other end has no rows, the server
/// looks at every row.
pub(in crate::store::mysql) fn is_sure(
    definitions: &Definitions,
    table: &Table,
    reference: &Reference,
) -> bool {
    let other = definitions.table(&reference.table).map(|table| table.fate);
    table.fate == Fate::SchemaOnly
        || (reference.schema.is_none()
            && matches!(table.fate, Fate::Copy | Fate::Keep)
            && other.is_none_or(|fate| matches!(fate, Fate::Copy | Fate::Keep)))
}

/// Adds a table's foreign keys.
async fn foreign_keys(
    session: &mut Session,
    definitions: &Definitions,
    table: &Table,
    to: &str,
) -> Result<()> {
    let (mut sure, mut unsure) = (Vec::new(), Vec::new());
    for (reference, text) in table.foreign_keys(&definitions.excluded) {
        if create::is_made_with(definitions, table, reference) {
            continue;
        }
        let list = if is_sure(definitions, table, reference) {
            &mut sure
        } else {
            &mut unsure
        };
        list.push(format!("ADD {text}"));
    }
    for (reference, _) in table.create.foreign_keys() {
        if reference.schema.is_none() && definitions.excluded.contains(&reference.table) {
            tracing::warn!(
                table = table.name,
                constraint = reference.name,
                excluded = reference.table,
                "a foreign key is left out, because the table that it points to is excluded"
            );
        }
    }
    for (clauses, checks) in [(sure, 0), (unsure, 1)] {
        if clauses.is_empty() {
            continue;
        }
        let label = || format!("foreign keys of table `{}`", table.name);
        session
            .run(&format!("SET SESSION foreign_key_checks = {checks}"))
            .await?;
        let added = session
            .run(&format!(
                "ALTER TABLE {}.{} {}",
                quoted(to),
                quoted(&table.name),
                clauses.join(", ")
            ))
            .await;
        if session.is_usable() {
            session.run("SET SESSION foreign_key_checks = 1").await?;
        }
        if let Err(error) = added {
            let code = server_error::code(&error);
            let error = error.within(label());
            return Err(if code == Some(1452) {
                error
                    .with_kind(Kind::Verify)
                    .hint("rows point to rows that the target does not have: copy both tables, or exclude both")
            } else {
                error
            });
        }
    }
    Ok(())
}

/// Lets each counter stand where the source's stands.
async fn counters(
    session: &mut Session,
    definitions: &Definitions,
    to: &str,
    accepted: &mut Accepted,
) -> Result<()> {
    let mut wrong = unequal(session, definitions, to).await?;
    if wrong.is_empty() {
        return Ok(());
    }
    for table in &wrong {
        session
            .run(&format!(
                "ALTER TABLE {}.{} AUTO_INCREMENT = {}",
                quoted(to),
                quoted(&table.name),
                table.auto_increment.unwrap_or(1)
            ))
            .await
            .map_err(|error| error.within(format!("counter of table `{}`", table.name)))?;
    }
    wrong = unequal(session, definitions, to).await?;
    for table in wrong {
        // The server lets no counter stand below a value that is there; on the source, one was changed by UPDATE.
        tracing::warn!(
            table = table.name,
            source = table.auto_increment.unwrap_or(1),
            "the source's AUTO_INCREMENT counter is below the highest value that is there; the copy's is above it"
        );
        accepted.counter(table);
    }
    Ok(())
}

/// Tables whose counter in incoming is not the source's.
async fn unequal<'a>(
    session: &mut Session,
    definitions: &'a Definitions,
    to: &str,
) -> Result<Vec<&'a Table>> {
    if session.version().flavour == Flavour::MySql && session.version().is_mysql(8, 0) {
        // MySQL 8 answers from a cache otherwise.
        session
            .run("SET SESSION information_schema_stats_expiry = 0")
            .await?;
    }
    let mut there: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for row in session
        .query(&format!(
            "SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND AUTO_INCREMENT IS NOT NULL",
            literal(to)
        ))
        .await?
    {
        there.insert(row.text(0)?, row.maybe(1)?.and_then(|text| text.parse().ok()));
    }
    let mut wrong = Vec::new();
    for table in &definitions.tables {
        if !table.create.counts() || table.fate == Fate::Keep {
            continue;
        }
        // MySQL has none as long as no row was counted.
        let value = there.get(&table.name).copied().flatten();
        if value.unwrap_or(1).max(1) != table.auto_increment.unwrap_or(1) {
            wrong.push(table);
        }
    }
    Ok(wrong)
}
