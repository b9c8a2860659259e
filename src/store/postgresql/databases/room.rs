//! The room that a server has for a copy, where it is on this machine and we may look into its directory.

use std::path::{Path, PathBuf};

use crate::limits;
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::connection::session::Session;
use crate::store::room::Room;
use crate::trust;

/// More than a `postmaster.pid` has. The server says where it is, and need not be PostgreSQL.
const LONGEST_PID_FILE: u64 = 4096;

/// Where incoming would lie: in live's tablespace. `None` where that cannot be seen.
pub(in crate::store::postgresql) async fn of(
    address: &Address,
    admin: &Session,
    live: &str,
) -> Option<Room> {
    if !address.is_here() {
        return None;
    }
    // Who may not see where the data are is told so, which is no failure of ours.
    let row = admin
        .query_one(
            "SELECT current_setting('data_directory'), extract(epoch FROM pg_postmaster_start_time())::int8, \
                    (SELECT nullif(pg_tablespace_location(dattablespace), '') FROM pg_database WHERE datname = $1)",
            &[&live],
        )
        .await
        .ok()?;
    let (data, started, place): (String, i64, Option<String>) =
        (row.read(0).ok()?, row.read(1).ok()?, row.read(2).ok()?);
    let data = PathBuf::from(data);
    if !is_of(&data, started) {
        return None;
    }
    Room::of(place.as_deref().map_or(&data, Path::new))
}

/// Whether a directory is that of the server that was started then: what is reached here may be another machine's, through a
/// tunnel, or a container's. The third line of `postmaster.pid` is when it was written (`miscinit.h`).
fn is_of(data: &Path, started: i64) -> bool {
    let content = trust::open(&data.join("postmaster.pid"))
        .and_then(|file| limits::read_all(file, LONGEST_PID_FILE));
    content.is_ok_and(|content| was_begun_at(&content, started))
}

/// Whether this is the content of the `postmaster.pid` of a server that was started then, give or take two seconds.
pub(in crate::store::postgresql) fn was_begun_at(content: &[u8], started: i64) -> bool {
    let text = String::from_utf8_lossy(content);
    let written = text.lines().nth(2).map(|line| line.trim().parse::<i64>());
    matches!(written, Some(Ok(written)) if written.abs_diff(started) <= 2)
}
