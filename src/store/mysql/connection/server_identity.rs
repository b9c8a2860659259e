//! The identity of a server, whatever name it is reached by.

use sha2::{Digest, Sha256};

use super::session::Session;
use crate::error::Result;
use crate::policy::Identity;
use crate::store::mysql::sql::names::literal;
use crate::store::mysql::sql::version::Flavour;

/// The server's identity, and the database's in it, if it is there. A server is known by what it was given at its
/// making, and by where it runs, since both can be copied with a machine or a data directory.
pub(in crate::store::mysql) async fn identity(
    session: &mut Session,
    database: &str,
) -> Result<Identity> {
    let made = match session.version().flavour {
        Flavour::MySql => "server_uuid",
        Flavour::MariaDb => "server_uid",
    };
    let mut hash = Sha256::new();
    for row in session
        .query(&format!(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{made}', 'hostname', 'port', 'datadir', 'socket')"
        ))
        .await?
    {
        hash.update(row.text(0)?);
        hash.update([0]);
        hash.update(row.text(1)?);
        hash.update([0]);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let half = hash[..16].try_into().expect("sixteen bytes");
    let server = format!("{:032x}", u128::from_be_bytes(half));
    let row = session
        .query_one(&format!(
            "SELECT @@lower_case_table_names, (SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {})",
            literal(database)
        ))
        .await?;
    let name = if row.number(0)? == 0 {
        database.to_owned()
    } else {
        database.to_lowercase()
    };
    Ok(Identity {
        thing: row.maybe(1)?.map(|_| format!("{server}/{name}")),
        place: format!("mysql {server}/{name}"),
    })
}
