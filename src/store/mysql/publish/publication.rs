//! Publish, and the ways back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::swap::Swap;
use super::{after_swap, rollback};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::incoming::preserve::Preserved;
use crate::store::mysql::sql::names::{Names, literal, quoted, within};
use crate::store::mysql::workspace::journal::{Journal, Way};
use crate::store::mysql::workspace::schema_object::{self, SchemaObject};
use crate::store::mysql::workspace::schemas::{self, drop_schema, exists, tables};

/// How incoming becomes live.
pub(in crate::store::mysql) struct Publishing<'a> {
    pub(in crate::store::mysql) preserved: &'a Preserved,
    /// Views, routines and events that only live has stay (`mode = "overlay"`).
    pub(in crate::store::mysql) overlay: bool,
    /// The comment of live (MariaDB).
    pub(in crate::store::mysql) comment: &'a str,
    /// Events that are not to stay disabled, each with its status.
    pub(in crate::store::mysql) running: &'a BTreeMap<String, String>,
    /// Broken views that incoming does not have.
    pub(in crate::store::mysql) broken: &'a [SchemaObject],
    /// Tables with foreign keys to what is not there.
    pub(in crate::store::mysql) dangling: &'a BTreeSet<String>,
}

/// Incoming becomes live, and live previous; what was previous stays as `discarded` until the run is settled. Live is as it was
/// if this fails. Returns whether there was a live before.
pub(in crate::store::mysql) async fn publish(
    address: &Address,
    names: &Names,
    how: &Publishing<'_>,
) -> Result<bool> {
    let begin = Instant::now();
    let mut control = Session::open(address, None).await?;
    let had_live = exists(&mut control, &names.live).await?;
    let journal = planned(&mut control, names, how, had_live).await?;
    let coming = tables(&mut control, &names.incoming).await?;
    let leaving = if had_live {
        tables(&mut control, &names.live).await?
    } else {
        Vec::new()
    };
    let mut swap = Swap {
        address,
        names,
        journal,
        leaving,
        coming,
        preserved: Some(how.preserved),
        dangling: how.dangling,
    };
    swap.stage(&mut control).await?;
    swap.journal.write(&mut control, &names.mark).await?;
    let prepared = prepare(&mut control, names, &swap, how.comment).await;
    if let Err(error) = prepared {
        after_swap::undo(&mut control, names, &swap.journal).await?;
        return Err(error);
    }
    early(&mut control, names, &swap.journal).await;
    swap.run(&mut control).await?;
    let swapped = begin.elapsed();
    let finished = after_swap::follow(address, names, &swap.journal).await;
    let changed = match finished {
        Ok(changed) => changed,
        Err(error) => {
            // Live is either old or new.
            rollback::revert(address, names, had_live)
                .await
                .map_err(|other| {
                    tracing::error!(error = %other, "publish could not be undone");
                    Error::new(
                        Kind::AfterPublish,
                        "the new tables are live, and what belongs to them is not complete",
                    )
                    .because(error.to_string())
                    .hint("the next run, or `envsyncd rollback`, tries to complete it")
                })?;
            return Err(error.within("publish was undone"));
        }
    };
    tell(&swap, changed, swapped, begin.elapsed());
    if had_live {
        let mut session = Session::open(address, None).await?;
        drop_schema(&mut session, &names.incoming).await?;
    }
    Ok(had_live)
}

/// The journal of a publish, written before it begins.
async fn planned(
    control: &mut Session,
    names: &Names,
    how: &Publishing<'_>,
    had_live: bool,
) -> Result<Journal> {
    let mut journal = Journal::new(
        Way::Publish,
        &names.incoming,
        &names.discarded,
        &names.incoming,
    );
    journal.had_live = had_live;
    let none = BTreeMap::new();
    if had_live {
        journal.collation = Some(schemas::defaults(control, &names.live).await?.1);
        journal.before = Some(schemas::options(control, &names.live).await?);
        journal.old = schema_object::read(control, &names.live, &names.live, &none).await?;
    }
    journal.new = schema_object::read(control, &names.incoming, &names.live, how.running).await?;
    journal.new.extend(how.broken.iter().cloned());
    stay(&mut journal, how);
    journal.defaults = Some(schemas::options_like(control, &names.incoming, how.comment).await?);
    Ok(journal)
}

fn tell(swap: &Swap<'_>, changed: usize, swapped: Duration, all: Duration) {
    tracing::info!(
        tables = swap.coming.len(),
        triggers = swap
            .journal
            .new
            .iter()
            .filter(|object| object.is_trigger())
            .count(),
        changed,
        milliseconds = swapped.as_millis() as u64,
        following_milliseconds = all.saturating_sub(swapped).as_millis() as u64,
        "tables changed places; views, routines and events that are not as before followed them"
    );
}

/// Enters what stays of live: everything of tables that stay, and with overlay whatever has no table.
fn stay(journal: &mut Journal, how: &Publishing<'_>) {
    let extra: BTreeSet<&str> = how.preserved.extra().collect();
    let stays = |object: &&SchemaObject| {
        if object.is_trigger() {
            object
                .table
                .as_deref()
                .is_some_and(|table| extra.contains(table))
        } else {
            how.overlay
        }
    };
    let staying: Vec<SchemaObject> = journal
        .old
        .iter()
        .filter(stays)
        .filter(|object| !journal.new.iter().any(|new| new.is_same(object)))
        .cloned()
        .collect();
    journal.new.extend(staying);
}

/// A broken view is made before the tables are there that do not have what it wants: something can stand in for them. One
/// that cannot be made now is tried again afterwards.
async fn early(control: &mut Session, names: &Names, journal: &Journal) {
    // Those on top of others first: while these are not there, something can stand in for them, too.
    for view in journal.new.iter().rev().filter(|object| object.broken) {
        if journal.old.iter().any(|old| old.is_same(view)) {
            continue;
        }
        let made = async {
            control.run(&format!("USE {}", quoted(&names.live))).await?;
            view.over_stand_ins(control, &names.live).await
        };
        match made.await {
            Ok(()) => tracing::warn!(
                view = view.name,
                "a view that is broken on the source is broken in the copy"
            ),
            Err(error) => tracing::debug!(view = view.name, %error, "not made before the swap"),
        }
    }
}

/// What can be done before anything of live is touched.
async fn prepare(
    control: &mut Session,
    names: &Names,
    swap: &Swap<'_>,
    comment: &str,
) -> Result<()> {
    if swap.journal.had_live {
        schemas::shelve(control, names, &names.discarded).await?;
        schemas::ensure_like(control, names, &names.previous, &names.live).await?;
    } else {
        schemas::create_live(control, names, &names.incoming, comment).await?;
    }
    counters(control, names, swap).await
}

/// A default that takes the next value of a sequence names the sequence's schema, and does not follow it (MariaDB).
async fn counters(control: &mut Session, names: &Names, swap: &Swap<'_>) -> Result<()> {
    let incoming = format!("{}.", quoted(&names.incoming));
    let mut rows = control
        .query(&format!(
            "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = {} AND LOCATE({}, COLUMN_DEFAULT) > 0",
            literal(&names.incoming),
            literal(&incoming)
        ))
        .await?;
    // A view's columns show their tables' defaults.
    rows.retain(|row| row.text(0).is_ok_and(|name| swap.coming.contains(&name)));
    if rows.is_empty() {
        return Ok(());
    }
    // The server wants to see the sequence; those that live has are good enough.
    let sequences = control
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE = 'SEQUENCE'",
            literal(&names.incoming)
        ))
        .await?;
    let mut made = Vec::new();
    for row in sequences {
        let name = row.text(0)?;
        if !swap.leaving.contains(&name) {
            made.push(within(&names.live, &name));
        }
    }
    for sequence in &made {
        control.run(&format!("CREATE SEQUENCE {sequence}")).await?;
    }
    let changed = async {
        for row in rows {
            let text = row
                .text(2)?
                .replace(&incoming, &format!("{}.", quoted(&names.live)));
            control
                .run(&format!(
                    "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT ({text})",
                    within(&names.incoming, &row.text(0)?),
                    quoted(&row.text(1)?)
                ))
                .await?;
        }
        Ok(())
    };
    let changed: Result<()> = changed.await;
    for sequence in &made {
        control
            .run(&format!("DROP SEQUENCE IF EXISTS {sequence}"))
            .await?;
    }
    changed
}
