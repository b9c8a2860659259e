//! After the swap: views, routines and events follow the tables. Where it failed, live is made as it was.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::charsets;
use crate::store::mysql::schema::stand_ins;
use crate::store::mysql::sql::marks::NEXT;
use crate::store::mysql::sql::names::{Names, literal, quoted, within};
use crate::store::mysql::workspace::journal::{Journal, Way};
use crate::store::mysql::workspace::schema_object::{self, SchemaObject};
use crate::store::mysql::workspace::schemas::{self, Renaming, drop_any, exists, tables, unshelve};

/// Where live's tables go in the end, and with them the journal.
pub(super) fn aside<'a>(names: &'a Names, journal: &'a Journal) -> &'a str {
    if journal.way == Way::Revert || !journal.had_live {
        &journal.incoming
    } else {
        &names.previous
    }
}

/// Gives live the triggers back that it had. The session is in live.
pub(in crate::store::mysql) async fn restore(
    session: &mut Session,
    live: &str,
    journal: &Journal,
) -> Result<()> {
    let staged: BTreeSet<&str> = journal
        .staged
        .iter()
        .map(|(_, staged)| staged.as_str())
        .collect();
    let mut there: BTreeSet<String> = BTreeSet::new();
    for row in session
        .query(&format!(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {}",
            literal(live)
        ))
        .await?
    {
        let (name, table) = (row.text(0)?, row.text(1)?);
        if staged.contains(table.as_str()) {
            session
                .run(&format!("DROP TRIGGER IF EXISTS {}", within(live, &name)))
                .await?;
        } else {
            there.insert(name);
        }
    }
    let old: Vec<&SchemaObject> = journal
        .old
        .iter()
        .filter(|object| object.is_trigger())
        .collect();
    // Those of one table fire in the order in which they were made.
    let broken: BTreeSet<&Option<String>> = old
        .iter()
        .filter(|object| !there.contains(&object.name))
        .map(|object| &object.table)
        .collect();
    for object in old.iter().filter(|object| broken.contains(&object.table)) {
        object.remove(session, live).await?;
    }
    for object in old.iter().filter(|object| broken.contains(&object.table)) {
        object.make(session, live, None).await?;
    }
    Ok(())
}

/// The tables have not changed places: everything is as it was when this returns, but for incoming's triggers.
pub(in crate::store::mysql) async fn undo(
    session: &mut Session,
    names: &Names,
    journal: &Journal,
) -> Result<()> {
    let live = &names.live;
    session
        .run("SET SESSION foreign_key_checks = 1, lock_wait_timeout = 60")
        .await?;
    if !exists(session, live).await? {
        return Ok(());
    }
    session.run(&format!("USE {}", quoted(live))).await?;
    stand_ins::remove_stand_ins(session, live).await?;
    charsets::Default::of(session, live, journal.collation.as_deref())
        .await?
        .be(session, None)
        .await?;
    restore(session, live, journal).await?;
    let there = schema_object::read(session, live, live, &BTreeMap::new()).await?;
    for view in journal.new.iter().filter(|object| object.broken) {
        let is_new = !journal.old.iter().any(|old| old.is_same(view));
        if is_new && there.iter().any(|other| other.is_same(view)) {
            view.remove(session, live).await?;
        }
    }
    for object in &journal.old {
        if !there.iter().any(|other| other.is_same(object)) {
            object.make(session, live, None).await?;
        }
    }
    let in_live: BTreeSet<String> = tables(session, live).await?.into_iter().collect();
    let mut back = Renaming::default();
    for (table, staged) in &journal.staged {
        if in_live.contains(staged) {
            back.add((live, staged), (&journal.source, table));
        }
    }
    back.run(session).await?;
    if journal.way != Way::Publish {
        name_keys(session, &journal.source, journal, true).await?;
    }
    if journal.way == Way::Publish && journal.had_live {
        unshelve(session, names, &journal.discarded).await?;
    }
    if !journal.had_live && tables(session, live).await?.is_empty() {
        drop_any(session, live).await?;
    }
    session
        .run(&format!(
            "DROP TABLE IF EXISTS {}",
            within(&journal.incoming, NEXT)
        ))
        .await
        .map(drop)
}

/// Gives the foreign keys of the journal their own names (`back`), or those that they have meanwhile. One to a table that is
/// not there points into the schema that it is made in, which it would not follow. The keys hold all
/// the time: each is exchanged in one statement that looks at no row.
pub(super) async fn name_keys(
    session: &mut Session,
    schema: &str,
    journal: &Journal,
    back: bool,
) -> Result<()> {
    if journal.keys.is_empty() {
        return Ok(());
    }
    let there: BTreeSet<String> = session
        .query(&format!(
            "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {}",
            literal(schema)
        ))
        .await?
        .iter()
        .map(|row| row.text(0))
        .collect::<Result<_>>()?;
    session.run(&format!("USE {}", quoted(schema))).await?;
    session.run("SET SESSION foreign_key_checks = 0").await?;
    let tables: BTreeSet<&String> = journal.keys.iter().map(|key| &key.table).collect();
    for table in tables {
        let clauses: Vec<String> = journal
            .keys
            .iter()
            .filter(|key| key.table == **table)
            .map(|key| {
                let (from, to) = if back {
                    (&key.meanwhile, &key.name)
                } else {
                    (&key.name, &key.meanwhile)
                };
                (from, to, &key.rest)
            })
            .filter(|(from, _, _)| there.contains(*from))
            .map(|(from, to, rest)| {
                format!(
                    "DROP FOREIGN KEY {}, ADD CONSTRAINT {}{rest}",
                    quoted(from),
                    quoted(to)
                )
            })
            .collect();
        if !clauses.is_empty() {
            session
                .run(&format!(
                    "ALTER TABLE {} {}",
                    quoted(table),
                    clauses.join(", ")
                ))
                .await?;
        }
    }
    session
        .run("SET SESSION foreign_key_checks = 1")
        .await
        .map(drop)
}

/// The tables have changed places: what follows them is made, what live is not to have any more is removed. Can be done
/// again after it was cut short. The session is in live.
pub(in crate::store::mysql) async fn finish(
    session: &mut Session,
    names: &Names,
    journal: &Journal,
) -> Result<usize> {
    let live = &names.live;
    session.run("SET SESSION lock_wait_timeout = 60").await?;
    let mut collation = journal.collation.as_deref();
    if let Some(options) = &journal.defaults {
        schemas::set_options(session, live, options).await?;
        collation = None;
    }
    name_keys(session, live, journal, true).await?;
    stand_ins::remove_stand_ins(session, live).await?;
    let mut default = charsets::Default::of(session, live, collation).await?;
    let made = objects(session, live, journal, &mut default).await;
    if session.is_usable() {
        default.be(session, None).await?;
    }
    let changed = made?;
    Journal::done(session, aside(names, journal)).await?;
    Ok(changed)
}

/// What belongs to the tables follows them.
pub(in crate::store::mysql) async fn follow(
    address: &Address,
    names: &Names,
    journal: &Journal,
) -> Result<usize> {
    let mut session = Session::open(address, Some(&names.live)).await?;
    finish(&mut session, names, journal).await
}

/// Views, routines and events.
async fn objects(
    session: &mut Session,
    live: &str,
    journal: &Journal,
    default: &mut charsets::Default<'_>,
) -> Result<usize> {
    default.be(session, None).await?;
    let mut changed = 0;
    let there = schema_object::read(session, live, live, &BTreeMap::new()).await?;
    let others = |object: &&SchemaObject| !object.is_trigger();
    for object in there.iter().filter(others) {
        if !journal.new.iter().any(|new| new.is_same(object)) {
            object.remove(session, live).await?;
            changed += 1;
        }
    }
    // Their order is that of names; a circle of names may need a second round.
    let (broken, mut waiting): (Vec<&SchemaObject>, Vec<&SchemaObject>) = journal
        .new
        .iter()
        .filter(others)
        .filter(|object| !there.contains(object))
        .filter(|object| !there.iter().any(|other| object.is_alike(other)))
        .partition(|object| object.broken);
    changed += waiting.len() + broken.len();
    while !waiting.is_empty() {
        let mut failed = Vec::new();
        let mut problem = None;
        for object in &waiting {
            default
                .be(session, object.database_collation.as_deref())
                .await?;
            if let Err(error) = object.make(session, live, None).await {
                failed.push(*object);
                problem = Some(error);
            }
        }
        if failed.len() == waiting.len()
            && let Some(error) = problem
        {
            return Err(error);
        }
        waiting = failed;
    }
    // Those on top of others first: what they are over is not there yet, and something can stand in for it.
    for object in broken.into_iter().rev() {
        object.make(session, live, None).await?;
    }
    Ok(changed)
}
