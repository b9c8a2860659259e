//! Schemas beside live are cleared up: after a run, where it failed, and those that dead runs left.

use super::after_swap::{self, follow};
use crate::error::Result;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::foreign_keys;
use crate::store::mysql::sql::marks::{JOURNAL, NEXT};
use crate::store::mysql::sql::names::Names;
use crate::store::mysql::workspace::journal::{Journal, Way};
use crate::store::mysql::workspace::mark::{self, Whose};
use crate::store::mysql::workspace::schemas::{self, drop_schema, exists};

/// After the whole run: what is no longer needed goes.
pub(in crate::store::mysql) async fn settle(
    address: &Address,
    names: &Names,
    keep_previous: bool,
) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    drop_schema(&mut session, &names.discarded).await?;
    drop_schema(&mut session, &names.incoming).await?;
    if !keep_previous {
        return drop_schema(&mut session, &names.previous).await;
    }
    if exists(&mut session, &names.previous).await? {
        foreign_keys::stay(&mut session, names).await?;
    }
    Ok(())
}

/// Drops incoming, and a dump that was being restored.
pub(in crate::store::mysql) async fn discard(address: &Address, names: &Names) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    if exists(&mut session, &names.staging).await? {
        schemas::stop_sessions(&mut session, &names.staging).await?;
        drop_schema(&mut session, &names.staging).await?;
    }
    drop_schema(&mut session, &names.incoming).await
}

/// Under the lock: finishes or undoes what a killed run had begun, and removes its schemas; returns what was done.
pub(in crate::store::mysql) async fn sweep(
    address: &Address,
    names: &Names,
) -> Result<Vec<String>> {
    let mut session = Session::open(address, None).await?;
    let mut done = Vec::new();
    let mut leftovers = Vec::new();
    let mut has_previous = false;
    for schema in mark::beside_live(&mut session, names).await? {
        match mark::whose(&mut session, &schema).await? {
            Whose::Ours => {}
            Whose::Older => mark::take_over(&mut session, names, &schema).await?,
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
        if let Some((journal, _)) = Journal::of_target(&mut session, names, schema, NEXT).await? {
            after_swap::undo(&mut session, names, &journal).await?;
            done.push(format!(
                "a publish that was cut short; {} is as it was",
                names.live
            ));
        } else if let Some((journal, false)) =
            Journal::of_target(&mut session, names, schema, JOURNAL).await?
        {
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
            Journal::of_target(&mut session, names, &names.previous, JOURNAL).await?
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
