//! Sessions that write rows into incoming.

use crate::error::Result;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::primary_key;
use crate::store::mysql::sql::version::Flavour;

/// A session in incoming. What was checked on the source is not checked again; what only some of the checks let
/// through there (an old row that a later CHECK forbids) comes along.
pub(in crate::store::mysql) async fn open(
    address: &Address,
    incoming: &str,
    definitions: &Definitions,
) -> Result<Session> {
    let mut session = Session::open(address, Some(incoming)).await?;
    let mut checks = match session.version().flavour {
        Flavour::MariaDb => ", check_constraint_checks = 0".to_owned(),
        Flavour::MySql => String::new(),
    };
    if definitions
        .tables
        .iter()
        .any(|table| table.versioning.is_some())
    {
        checks.push_str(", system_versioning_alter_history = KEEP");
        if session.version().is_mariadb(10, 11) {
            checks.push_str(", system_versioning_insert_history = ON");
        }
    }
    session
        .run(&format!("SET SESSION foreign_key_checks = 0{checks}"))
        .await?;
    if session.version().is_mysql(8, 0) {
        primary_key::demand(&mut session).await?;
    }
    Ok(session)
}

/// Whether rows have to satisfy CHECKs from here on: masked ones were never checked. MySQL always looks at them.
pub(in crate::store::mysql) async fn check_rows(session: &mut Session, on: bool) -> Result<()> {
    match session.version().flavour {
        Flavour::MariaDb => {
            let set = format!("SET SESSION check_constraint_checks = {}", u8::from(on));
            session.run(&set).await.map(drop)
        }
        Flavour::MySql => Ok(()),
    }
}

/// Whether the server takes files from us.
pub(in crate::store::mysql) async fn takes_files(session: &mut Session) -> Result<bool> {
    let on = session
        .query_one("SELECT @@local_infile")
        .await?
        .number(0)?
        != 0;
    if !on {
        tracing::warn!(
            "the target's server has local_infile off: rows are written by INSERT statements, which takes longer; set local_infile = ON there"
        );
    }
    Ok(on)
}
