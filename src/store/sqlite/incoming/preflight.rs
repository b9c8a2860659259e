//! Preflight checks: what would stop a publish is found before anything is made.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::preserve::Preserved;
use crate::error::{Error, Kind, Result};
use crate::store::Selection;
use crate::store::sqlite::connection::errors::on;
use crate::store::sqlite::connection::open::{open_write, watched};
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::extensions;

/// Whether someone may write into a directory, and has room for so many bytes there.
pub(in crate::store::sqlite) fn check_room(directory: &Path, needed: u64) -> Result<()> {
    let shown = directory.display();
    nix::unistd::access(
        directory,
        nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK,
    )
    .map_err(|error| {
        Error::new(Kind::Permission, format!("cannot make files in {shown}"))
            .because(error)
            .hint("incoming is built beside the live file: allow us to write to its directory")
    })?;
    let found = nix::sys::statvfs::statvfs(directory).map_err(|error| {
        Error::new(Kind::Io, format!("cannot ask for the room in {shown}")).because(error)
    })?;
    let free = found.blocks_available() * found.fragment_size() as u64;
    if free < needed {
        const MIB: u64 = 1 << 20;
        return Err(Error::new(
            Kind::Full,
            format!(
                "{shown} has {} MiB free, and the copy needs about {} MiB",
                free / MIB,
                needed.div_ceil(MIB)
            ),
        )
        .hint("free space there and run the job again"));
    }
    Ok(())
}

/// Refuses what could not be published into a live file.
pub(in crate::store::sqlite) fn check_live(
    live: &Path,
    definitions: &Definitions,
    selection: &Selection,
    stop: &CancellationToken,
) -> Result<u64> {
    let connection = open_write(live)?;
    watched(&connection, stop).map_err(on(live))?;
    if connection.is_readonly("main").map_err(on(live))? {
        return Err(Error::new(
            Kind::Permission,
            format!("{} cannot be written", live.display()),
        )
        .hint("allow the user that runs envsyncd to write to it"));
    }
    let theirs = Definitions::read(&connection, selection).map_err(on(live))?;
    let is_empty = theirs.tables.is_empty() && theirs.others.is_empty();
    if !is_empty && theirs.settings.encoding != definitions.settings.encoding {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "{} is {} and the source {}: an application that has it open could not read on",
                live.display(),
                theirs.settings.encoding,
                definitions.settings.encoding
            ),
        )
        .hint("move the target's file away: then a new one is made"));
    }
    if definitions.tables.is_empty() && !theirs.tables.is_empty() {
        tracing::warn!(
            tables = theirs.tables.len(),
            "the source has no tables, and the target has some: they go"
        );
    }
    if theirs.settings.is_wal() && theirs.settings.page_size != definitions.settings.page_size {
        extensions::refuse_pages(definitions)?;
    }
    Preserved::plan(definitions, &theirs, selection)?.can_stay(definitions, &theirs)?;
    Ok(theirs.settings.bytes())
}
