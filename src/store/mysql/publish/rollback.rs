//! The ways back: undoing a publish of this run, and making previous live again.

use std::collections::BTreeMap;

use super::after_swap::follow;
use super::swap::Swap;
use super::sweep;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::foreign_keys;
use crate::store::mysql::sql::marks::JOURNAL;
use crate::store::mysql::sql::names::Names;
use crate::store::mysql::workspace::journal::{Journal, Way};
use crate::store::mysql::workspace::mark::{self, Whose};
use crate::store::mysql::workspace::schema_object;
use crate::store::mysql::workspace::schemas::{self, drop_any, drop_schema, exists, tables};

/// Previous becomes live, and live goes where `way` says.
async fn back(address: &Address, names: &Names, way: Way) -> Result<()> {
    let mut control = Session::open(address, None).await?;
    let Some((before, _)) =
        Journal::of_target(&mut control, names, &names.previous, JOURNAL).await?
    else {
        return Err(Error::new(
            Kind::State,
            format!(
                "the schema {} has no table {JOURNAL}, which says what belongs to its tables",
                names.previous
            ),
        )
        .hint("envsyncd did not make it, or someone has removed the table: put its tables back by hand"));
    };
    drop_schema(&mut control, &names.incoming).await?;
    let had_live = exists(&mut control, &names.live).await?;
    if !had_live {
        schemas::create_live(&mut control, names, &names.previous, "").await?;
    }
    schemas::ensure_like(&mut control, names, &names.incoming, &names.live).await?;
    let mut journal = Journal::new(way, &names.incoming, &names.discarded, &names.previous);
    journal.collation = Some(schemas::defaults(&mut control, &names.live).await?.1);
    journal.old =
        schema_object::read(&mut control, &names.live, &names.live, &BTreeMap::new()).await?;
    journal.before = Some(schemas::options(&mut control, &names.live).await?);
    journal.new = before.old;
    journal.defaults = if before.before.is_some() {
        before.before
    } else {
        // An older version wrote it, which left live's comment as it was.
        let comment = schemas::comment(&mut control, &names.live).await?;
        Some(schemas::options_like(&mut control, &names.previous, &comment).await?)
    };
    let dangling = foreign_keys::leaving(&mut control, &names.previous).await?;
    let mut swap = Swap {
        address,
        names,
        journal,
        leaving: tables(&mut control, &names.live).await?,
        coming: tables(&mut control, &names.previous).await?,
        preserved: None,
        dangling: &dangling,
    };
    swap.stage(&mut control).await?;
    swap.journal.write(&mut control, &names.mark).await?;
    swap.run(&mut control).await?;
    follow(address, names, &swap.journal).await?;
    Ok(())
}

/// Undoes a publish of this run.
pub(in crate::store::mysql) async fn revert(
    address: &Address,
    names: &Names,
    had_live: bool,
) -> Result<()> {
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
pub(in crate::store::mysql) async fn rollback(address: &Address, names: &Names) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    if !exists(&mut session, &names.previous).await? {
        return Err(Error::new(
            Kind::Absent,
            format!("there is no schema {} to go back to", names.previous),
        )
        .hint("previous is kept until the next run, and only with previous = \"keep\""));
    }
    sweep::sweep(address, names).await?;
    if mark::whose(&mut session, &names.previous).await? == Whose::Others {
        return Err(mark::foreign(&names.previous));
    }
    back(address, names, Way::Rollback).await?;
    drop_schema(&mut session, &names.incoming).await
}
