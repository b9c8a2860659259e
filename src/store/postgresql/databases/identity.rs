//! What a server says of itself and of a database.

use crate::error::Result;
use crate::policy::Identity;
use crate::store::postgresql::connection::session::Session;

/// The server's identity, and the database's in it, if it is there.
pub(in crate::store::postgresql) async fn identity(
    session: &Session,
    database: &str,
) -> Result<Identity> {
    let row = session
        .query_one(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()), (SELECT oid FROM pg_database WHERE datname = $1)",
            &[&database],
        )
        .await
        .map_err(session.explain())?;
    let system: String = row.read(0)?;
    Ok(Identity {
        thing: row
            .read::<Option<u32>>(1)?
            .map(|oid| format!("{system}/{oid}")),
        place: format!("postgresql {system}/{database}"),
    })
}
