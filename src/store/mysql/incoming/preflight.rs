//! What a target has to be and to have, asked before anything is made.

use std::collections::{BTreeMap, BTreeSet};

use super::preserve;
use super::privileges;
use super::wanted::Wanted;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::encryption;
use crate::store::mysql::schema::engines;
use crate::store::mysql::schema::exclusion;
use crate::store::mysql::schema::foreign_keys;
use crate::store::mysql::schema::grants::Grants;
use crate::store::mysql::schema::objects::{Creation, ObjectKind};
use crate::store::mysql::schema::primary_key;
use crate::store::mysql::schema::vetting;
use crate::store::mysql::schema::zones;
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::mysql::sql::marks;
use crate::store::mysql::sql::names::literal;
use crate::store::mysql::sql::rewrite;
use crate::store::mysql::sql::version::Version;
use crate::store::mysql::workspace::schemas;
use crate::store::{Fate, Part};

/// Refuses what could never be made or published, and warns of what may not be as expected. Writes nothing.
pub(in crate::store::mysql) async fn check(
    session: &mut Session,
    definitions: &Definitions,
    wanted: &Wanted<'_>,
) -> Result<()> {
    versions(&definitions.version, session.version())?;
    vetting::check(definitions, session.version())?;
    own_names(session, definitions, wanted).await?;
    folding(session, definitions).await?;
    if wanted.has_live {
        preserve::refuse(session, definitions, wanted.names, wanted.selection).await?;
    }
    collations(session, definitions).await?;
    engines_are_there(session, definitions).await?;
    primary_key::check(session, definitions).await?;
    let grants = Grants::read(session).await?;
    privileges::privileges(definitions, &grants, wanted)?;
    privileges::logging(session, definitions, &grants).await?;
    privileges::definers(session, definitions, &grants, wanted).await?;
    privileges::mapped(session, definitions, &grants, wanted).await?;
    encryption::warn(session, definitions, wanted.names).await?;
    empty(session, definitions, wanted).await?;
    references(session, definitions, wanted).await?;
    foreign_keys::check(session, definitions).await?;
    zones::warn(session, definitions).await?;
    exclusion::refuse_gaps(definitions)?;
    movable(definitions, wanted)
}

/// Warns of a source without tables, where live has some.
async fn empty(
    session: &mut Session,
    definitions: &Definitions,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let has_none = definitions.tables.is_empty()
        && definitions.sequences.is_empty()
        && definitions.excluded.is_empty();
    if !wanted.has_live || !has_none || wanted.selection.overlay {
        return Ok(());
    }
    let mut theirs = schemas::tables(session, &wanted.names.live).await?;
    theirs.retain(|name| wanted.selection.fate(None, name) != Fate::Keep);
    if !theirs.is_empty() {
        tracing::warn!(
            tables = theirs.len(),
            "the source has no tables, and the target has some: they go"
        );
    }
    Ok(())
}

/// Nobody else's tables and views are called like our own.
async fn own_names(
    session: &mut Session,
    definitions: &Definitions,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let views = definitions
        .objects
        .iter()
        .filter(|object| object.kind == ObjectKind::View)
        .map(|view| view.name.as_str());
    let tables = definitions.tables.iter().map(|table| table.name.as_str());
    let sequences = definitions.sequences.iter().map(|one| one.name.as_str());
    marks::refuse_names(tables.chain(views).chain(sequences), "the source")?;
    let rows = session
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME LIKE 'envsyncd~%'",
            literal(&wanted.names.live)
        ))
        .await?;
    let live: Vec<String> = rows.iter().map(|row| row.text(0)).collect::<Result<_>>()?;
    marks::refuse_names(live.iter().map(String::as_str), "the target")
}

/// Rows with a past come from a server that was asked without knowing the target: from an archive.
pub(in crate::store::mysql) fn past(
    definitions: &Definitions,
    parts: &[Part],
    target: &Version,
) -> Result<()> {
    if definitions.version.flavour != target.flavour || target.takes_past() {
        return Ok(());
    }
    let has_past = |part: &&Part| {
        definitions.table(&part.name).is_some_and(|table| {
            table
                .columns
                .iter()
                .any(|column| column.is_period && part.columns.contains(&column.name))
        })
    };
    match parts.iter().find(has_past) {
        None => Ok(()),
        Some(part) => Err(Error::new(
            Kind::Verify,
            format!(
                "the rows of `{}` have a past, which {} {} does not take",
                part.name, target.flavour, target.text
            ),
        )
        .hint("use a target of MariaDB 10.11 or later, or put the table into the task's `exclude` or `schema_only`")),
    }
}

/// One line's definitions are not the other's, and an old server lacks what a newer one's may use.
fn versions(source: &Version, target: &Version) -> Result<()> {
    if source.flavour != target.flavour {
        return Err(Error::new(
            Kind::Config,
            format!(
                "the source is {} {} and the target {} {}: their definitions differ (JSON, collations, sequences, system versioning, accounts), so a copy cannot be equal",
                source.flavour, source.text, target.flavour, target.text
            ),
        )
        .hint("use a target of the source's kind, or move the data once by hand with a dump that you check"));
    }
    if (target.number.0, target.number.1) < (source.number.0, source.number.1) {
        tracing::warn!(
            source = source.text,
            target = target.text,
            "the target's server is older than the source's: what it does not know is refused"
        );
    }
    Ok(())
}

/// `lower_case_table_names`: 0 compares names as they are, 1 and 2 without case; 1 stores them in lower case.
async fn folding(session: &mut Session, definitions: &Definitions) -> Result<()> {
    let target = session
        .query_one("SELECT @@lower_case_table_names")
        .await?
        .number(0)?;
    if target == definitions.folding {
        return Ok(());
    }
    let names = definitions
        .tables
        .iter()
        .map(|table| &table.name)
        .chain(definitions.sequences.iter().map(|sequence| &sequence.name))
        .chain(
            definitions
                .objects
                .iter()
                .filter(|object| object.kind == ObjectKind::View)
                .map(|view| &view.name),
        );
    if let Some((one, other)) = clash(names.clone()).filter(|_| target != 0) {
        return Err(Error::new(
            Kind::Verify,
            format!("`{one}` and `{other}` are one name to the target, whose lower_case_table_names is {target}"),
        )
        .hint("rename one of them on the source, or use a target with the source's lower_case_table_names"));
    }
    let mut capitals = names.filter(|name| **name != name.to_lowercase());
    match (definitions.folding, target, capitals.next()) {
        (_, 1, Some(name)) => Err(Error::new(
            Kind::Verify,
            format!("the target would store `{name}` in lower case: its lower_case_table_names is 1, the source's {}", definitions.folding),
        )
        .hint("use a target with the source's lower_case_table_names")),
        (1 | 2, 0, _) if !definitions.objects.is_empty() => {
            tracing::warn!(
                "the target tells names apart by case (lower_case_table_names = 0) and the source does not: routines, triggers and events that write a name in another case fail on the target"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Two names that differ in case alone.
fn clash<'a>(names: impl Iterator<Item = &'a String>) -> Option<(&'a str, &'a str)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            return Some((other, name));
        }
    }
    None
}

async fn column_of(session: &mut Session, sql: &str) -> Result<BTreeSet<String>> {
    session
        .query(sql)
        .await?
        .iter()
        .map(|row| Ok(row.text(0)?.to_ascii_lowercase()))
        .collect()
}

/// Every character set and collation has to be there, each missing one is named with what uses it.
async fn collations(session: &mut Session, definitions: &Definitions) -> Result<()> {
    // MariaDB 10.10 lists some collations without their character set; its other view has the whole names.
    let there = if session.version().is_mariadb(10, 10) {
        "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY UNION SELECT COLLATION_NAME FROM information_schema.COLLATIONS"
    } else {
        "SELECT COLLATION_NAME FROM information_schema.COLLATIONS"
    };
    let there = column_of(session, there).await?;
    let mut missing: BTreeMap<&str, String> = BTreeMap::new();
    let want = |collation: &'_ str, user: String| -> Option<String> {
        let lower = collation.to_ascii_lowercase();
        // The same character set under its old and its new name.
        let other = match lower.strip_prefix("utf8mb3_") {
            Some(rest) => format!("utf8_{rest}"),
            None => lower
                .strip_prefix("utf8_")
                .map_or_else(String::new, |rest| format!("utf8mb3_{rest}")),
        };
        (!there.contains(&lower) && !there.contains(&other)).then_some(user)
    };
    if let Some(user) = want(
        &definitions.collation,
        format!("the database `{}`", definitions.schema),
    ) {
        missing.insert(&definitions.collation, user);
    }
    for table in &definitions.tables {
        for column in table.columns.iter() {
            let Some(collation) = &column.collation else {
                continue;
            };
            if let Some(user) = want(
                collation,
                format!("column `{}`.`{}`", table.name, column.name),
            ) {
                missing.entry(collation).or_insert(user);
            }
        }
    }
    for object in &definitions.objects {
        if let Some(user) = want(&object.collation_connection, object.label()) {
            missing.entry(&object.collation_connection).or_insert(user);
        }
        if let Some(collation) = object
            .database_collation
            .as_ref()
            .filter(|name| !name.is_empty())
            && let Some(user) = want(collation, object.label())
        {
            missing.entry(collation).or_insert(user);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = missing
        .iter()
        .map(|(collation, user)| format!("{collation} ({user})"))
        .collect();
    Err(Error::new(
        Kind::Verify,
        format!("the target's server lacks the collations {}", list.join(", ")),
    )
    .hint("use a target of the source's version or a later one, or change the collation on the source"))
}

async fn engines_are_there(session: &mut Session, definitions: &Definitions) -> Result<()> {
    let there = engines::supported(session).await?;
    let missing = definitions
        .tables
        .iter()
        .find(|table| !there.contains(&table.engine.to_ascii_lowercase()));
    match missing {
        None => Ok(()),
        Some(table) => Err(Error::new(
            Kind::Verify,
            format!(
                "the target's server lacks the storage engine {} of table `{}`",
                table.engine, table.name
            ),
        )
        .hint("install its plugin on the target, or put the table into the task's `exclude`")),
    }
}

/// Foreign keys across schemas: those of the copy need their table there, and those that point to live would lose theirs.
async fn references(
    session: &mut Session,
    definitions: &Definitions,
    wanted: &Wanted<'_>,
) -> Result<()> {
    for table in &definitions.tables {
        for (reference, _) in table.create.foreign_keys() {
            let Some(schema) = &reference.schema else {
                continue;
            };
            let there = session
                .query_opt(&format!(
                    "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                    literal(schema),
                    literal(&reference.table)
                ))
                .await?;
            if there.is_none() {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "foreign key `{}` of table `{}` points to `{schema}`.`{}`, which the target does not have",
                        reference.name, table.name, reference.table
                    ),
                )
                .hint("copy that database first, or put the table into the task's `exclude`"));
            }
        }
    }
    if !wanted.has_live {
        return Ok(());
    }
    let live = literal(&wanted.names.live);
    let own = [
        &wanted.names.live,
        &wanted.names.previous,
        &wanted.names.discarded,
        &wanted.names.incoming,
    ]
    .map(|schema| literal(schema))
    .join(", ");
    let outside = session
        .query_opt(&format!(
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE \
             WHERE REFERENCED_TABLE_SCHEMA = {live} AND TABLE_SCHEMA NOT IN ({own}) LIMIT 1"
        ))
        .await?;
    let Some(row) = outside else { return Ok(()) };
    Err(Error::new(
        Kind::Verify,
        format!(
            "foreign key `{}` of `{}`.`{}` points to table `{}` of the target: it would follow it to `{}`",
            row.text(2)?,
            row.text(0)?,
            row.text(1)?,
            row.text(3)?,
            wanted.names.previous
        ),
    )
    .hint("drop that foreign key on the target"))
}

/// Every object has to be movable to the schemas of the target, and every definition one that we understand.
fn movable(definitions: &Definitions, wanted: &Wanted<'_>) -> Result<()> {
    let names = wanted.names;
    for object in &definitions.objects {
        for to in [&names.incoming, &names.live] {
            object.statements(&Creation {
                from: &definitions.schema,
                to,
                definer: wanted.definer,
                events: wanted.events,
            })?;
        }
        if definitions.schema != names.live
            && rewrite::hides_schema(
                &object.definition,
                Dialect::of(&object.sql_mode),
                &definitions.schema,
            )
        {
            tracing::warn!(
                object = object.label(),
                "it puts statements together that name the source's database in a string: those are not rewritten"
            );
        }
    }
    let unsafe_ones: Vec<&str> = definitions
        .tables
        .iter()
        .filter(|table| !table.transactional && table.fate == Fate::Copy)
        .map(|table| table.name.as_str())
        .collect();
    if !unsafe_ones.is_empty() {
        tracing::warn!(
            tables = unsafe_ones.join(", "),
            "these tables are of engines without transactions (MyISAM, Aria, MEMORY, ...): what changes in them during the run is not of one point in time"
        );
    }
    Ok(())
}
