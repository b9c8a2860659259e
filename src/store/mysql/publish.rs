//! Publish, and the ways back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::address::Address;
use super::aftermath;
use super::carry::Carried;
use super::connection::Session;
use super::journal::{JOURNAL, Journal, NEXT, Way};
use super::mark::{self, Whose};
use super::names::{Names, literal, quoted, within};
use super::piece::{self, Piece};
use super::references;
use super::schemas::{self, drop_any, drop_schema, exists, tables};
use super::swap::Swap;
use crate::error::{Error, Kind, Result};

/// How incoming becomes live.
pub(super) struct Publishing<'a> {
    pub(super) carried: &'a Carried,
    /// Views, routines and events that only live has stay (`mode = "overlay"`).
    pub(super) overlay: bool,
    /// The comment of live (MariaDB).
    pub(super) comment: &'a str,
    /// Events that are not to stay disabled, each with its status.
    pub(super) running: &'a BTreeMap<String, String>,
    /// Broken views that incoming does not have.
    pub(super) broken: &'a [Piece],
    /// Tables with foreign keys to what is not there.
    pub(super) dangling: &'a BTreeSet<String>,
}

/// Incoming becomes live, and live previous; what was previous stays as `discarded` until [`settle`]. Live is as it was
/// if this fails. Returns whether there was a live before.
pub(super) async fn publish(
    address: &Address,
    names: &Names,
    how: &Publishing<'_>,
) -> Result<bool> {
    let begin = Instant::now();
    let mut control = Session::open(address, None).await?;
    let had_live = exists(&mut control, &names.live).await?;
    let mut journal = Journal::new(
        Way::Publish,
        &names.incoming,
        &names.discarded,
        &names.incoming,
    );
    journal.had_live = had_live;
    let none = BTreeMap::new();
    if had_live {
        journal.collation = Some(schemas::defaults(&mut control, &names.live).await?.1);
        journal.before = Some(schemas::options(&mut control, &names.live).await?);
        journal.old = piece::read(&mut control, &names.live, &names.live, &none).await?;
    }
    journal.new = piece::read(&mut control, &names.incoming, &names.live, how.running).await?;
    journal.new.extend(how.broken.iter().cloned());
    stay(&mut journal, how);
    journal.defaults =
        Some(schemas::options_like(&mut control, &names.incoming, how.comment).await?);
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
        carried: Some(how.carried),
        dangling: how.dangling,
    };
    swap.stage(&mut control).await?;
    swap.journal.write(&mut control, &names.mark).await?;
    let prepared = prepare(&mut control, names, &swap, how.comment).await;
    if let Err(error) = prepared {
        aftermath::undo(&mut control, names, &swap.journal).await?;
        return Err(error);
    }
    early(&mut control, names, &swap.journal).await;
    swap.run(&mut control).await?;
    let swapped = begin.elapsed();
    let finished = follow(address, names, &swap.journal).await;
    let changed = match finished {
        Ok(changed) => changed,
        Err(error) => {
            // Live is either old or new.
            revert(address, names, had_live).await.map_err(|other| {
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
    tracing::info!(
        tables = swap.coming.len(),
        triggers = swap
            .journal
            .new
            .iter()
            .filter(|piece| piece.is_trigger())
            .count(),
        changed,
        milliseconds = swapped.as_millis() as u64,
        following_milliseconds = begin.elapsed().saturating_sub(swapped).as_millis() as u64,
        "tables changed places; views, routines and events that are not as before followed them"
    );
    if had_live {
        let mut session = Session::open(address, None).await?;
        drop_schema(&mut session, &names.incoming).await?;
    }
    Ok(had_live)
}

/// What of live's stays: all that belongs to tables that stay, and with overlay whatever has no table.
fn stay(journal: &mut Journal, how: &Publishing<'_>) {
    let extra: BTreeSet<&str> = how.carried.extra().collect();
    let stays = |piece: &&Piece| {
        if piece.is_trigger() {
            piece
                .table
                .as_deref()
                .is_some_and(|table| extra.contains(table))
        } else {
            how.overlay
        }
    };
    let staying: Vec<Piece> = journal
        .old
        .iter()
        .filter(stays)
        .filter(|piece| !journal.new.iter().any(|new| new.is_same(piece)))
        .cloned()
        .collect();
    journal.new.extend(staying);
}

/// A broken view is made before the tables are there that do not have what it wants: something can stand in for them. One
/// that cannot be made now is tried again afterwards.
async fn early(control: &mut Session, names: &Names, journal: &Journal) {
    // Those on top of others first: while these are not there, something can stand in for them, too.
    for view in journal.new.iter().rev().filter(|piece| piece.broken) {
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
        create_live(control, names, &names.incoming, comment).await?;
    }
    counters(control, names, swap).await
}

/// A live with another schema's defaults: it bears no mark, it is the applications'.
async fn create_live(
    control: &mut Session,
    names: &Names,
    other: &str,
    comment: &str,
) -> Result<()> {
    let options = schemas::options_like(control, other, comment).await?;
    control
        .run(&format!(
            "CREATE DATABASE {} {options}",
            quoted(&names.live)
        ))
        .await
        .map(drop)
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

/// What belongs to the tables follows them.
async fn follow(address: &Address, names: &Names, journal: &Journal) -> Result<usize> {
    let mut session = Session::open(address, Some(&names.live)).await?;
    aftermath::finish(&mut session, names, journal).await
}

/// Previous becomes live, and live goes where `way` says.
async fn back(address: &Address, names: &Names, way: Way) -> Result<()> {
    let mut control = Session::open(address, None).await?;
    let Some((before, _)) = Journal::read(&mut control, &names.previous, JOURNAL).await? else {
        return Err(Error::new(
            Kind::State,
            format!(
                "the schema {} has no table {JOURNAL}, which says what belongs to its tables",
                names.previous
            ),
        )
        .hint("it was not made by envsyncd, or someone has removed the table: put its tables back by hand"));
    };
    drop_schema(&mut control, &names.incoming).await?;
    let had_live = exists(&mut control, &names.live).await?;
    if !had_live {
        create_live(&mut control, names, &names.previous, "").await?;
    }
    schemas::ensure_like(&mut control, names, &names.incoming, &names.live).await?;
    let mut journal = Journal::new(way, &names.incoming, &names.discarded, &names.previous);
    journal.collation = Some(schemas::defaults(&mut control, &names.live).await?.1);
    journal.old = piece::read(&mut control, &names.live, &names.live, &BTreeMap::new()).await?;
    journal.before = Some(schemas::options(&mut control, &names.live).await?);
    journal.new = before.old;
    journal.defaults = if before.before.is_some() {
        before.before
    } else {
        // An older version wrote it, which left live's comment as it was.
        let comment = schemas::comment(&mut control, &names.live).await?;
        Some(schemas::options_like(&mut control, &names.previous, &comment).await?)
    };
    let dangling = references::leaving(&mut control, &names.previous).await?;
    let mut swap = Swap {
        address,
        names,
        journal,
        leaving: tables(&mut control, &names.live).await?,
        coming: tables(&mut control, &names.previous).await?,
        carried: None,
        dangling: &dangling,
    };
    swap.stage(&mut control).await?;
    swap.journal.write(&mut control, &names.mark).await?;
    swap.run(&mut control).await?;
    follow(address, names, &swap.journal).await?;
    Ok(())
}

/// Undoes a publish of this run.
pub(super) async fn revert(address: &Address, names: &Names, had_live: bool) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    if had_live {
        back(address, names, Way::Revert).await?;
        schemas::unshelve(&mut session, names, &names.discarded).await?;
    } else {
        drop_any(&mut session, &names.live).await?;
    }
    drop_schema(&mut session, &names.incoming).await
}

/// Makes previous live again, and what is live previous.
pub(super) async fn rollback(address: &Address, names: &Names) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    if !exists(&mut session, &names.previous).await? {
        return Err(Error::new(
            Kind::Absent,
            format!("there is no schema {} to go back to", names.previous),
        )
        .hint("previous is kept until the next run, and only with previous = \"keep\""));
    }
    sweep(address, names).await?;
    if mark::whose(&mut session, &names.previous).await? == Whose::Others {
        return Err(mark::foreign(&names.previous));
    }
    back(address, names, Way::Rollback).await?;
    drop_schema(&mut session, &names.incoming).await
}

/// After the whole run: what is no longer needed goes.
pub(super) async fn settle(address: &Address, names: &Names, keep_previous: bool) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    drop_schema(&mut session, &names.discarded).await?;
    drop_schema(&mut session, &names.incoming).await?;
    if !keep_previous {
        return drop_schema(&mut session, &names.previous).await;
    }
    if exists(&mut session, &names.previous).await? {
        references::stay(&mut session, names).await?;
    }
    Ok(())
}

/// Drops incoming, and a dump that was being restored.
pub(super) async fn discard(address: &Address, names: &Names) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    if exists(&mut session, &names.staging).await? {
        schemas::stop_sessions(&mut session, &names.staging).await?;
        drop_schema(&mut session, &names.staging).await?;
    }
    drop_schema(&mut session, &names.incoming).await
}

/// Under the lock: finishes or undoes what a killed run had begun, and removes its schemas; returns what was done.
pub(super) async fn sweep(address: &Address, names: &Names) -> Result<Vec<String>> {
    let mut session = Session::open(address, None).await?;
    let mut done = Vec::new();
    let mut leftovers = Vec::new();
    let mut has_previous = false;
    for schema in mark::beside_live(&mut session, names).await? {
        match mark::whose(&mut session, &schema).await? {
            Whose::Ours => {}
            Whose::Older => mark::adopt(&mut session, names, &schema).await?,
            // The check before a run refuses it; it is not for us to touch.
            Whose::Nobodys | Whose::Others => continue,
        }
        if schema == names.previous {
            has_previous = true;
        } else {
            leftovers.push(schema);
        }
    }
    for schema in leftovers.iter().filter(|schema| names.is_incoming(schema)) {
        if let Some((journal, _)) = Journal::read(&mut session, schema, NEXT).await? {
            aftermath::undo(&mut session, names, &journal).await?;
            done.push(format!(
                "a publish that was cut short; {} is as it was",
                names.live
            ));
        } else if let Some((journal, false)) = Journal::read(&mut session, schema, JOURNAL).await? {
            complete(address, names, &journal).await?;
            if journal.way == Way::Revert {
                schemas::unshelve(&mut session, names, &journal.discarded).await?;
            }
            done.push(format!(
                "half of a publish; the rest of {} was made",
                names.live
            ));
        }
    }
    if has_previous
        && let Some((journal, false)) =
            Journal::read(&mut session, &names.previous, JOURNAL).await?
    {
        complete(address, names, &journal).await?;
        done.push(format!(
            "half of a publish; the rest of {} was made",
            names.live
        ));
    }
    for schema in leftovers {
        if names.is_incoming(&schema) || names.is_staging(&schema) {
            // A statement that a killed run began goes on until the server notices, and keeps its table.
            schemas::stop_sessions(&mut session, &schema).await?;
        }
        drop_schema(&mut session, &schema).await?;
        done.push(format!("schema {schema}"));
    }
    Ok(done)
}

async fn complete(address: &Address, names: &Names, journal: &Journal) -> Result<()> {
    follow(address, names, journal)
        .await
        .map(drop)
        .map_err(|error| {
            error
                .within(format!(
                    "completing what a killed run had begun in {}",
                    names.live
                ))
                .hint("the tables are the new ones; make that by hand and run the job again")
        })
}
