//! Tables of which a part lies elsewhere: partitions and children that are foreign tables. To read their parent, or to gather
//! its statistics, is to connect to the other server, with the source's own credentials. A copy never does that.

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;

/// Schema and name of every table that has a foreign table below it.
pub(in crate::store::postgresql) async fn parents(
    session: &Session,
) -> Result<HashSet<(String, String)>> {
    session.names("WITH RECURSIVE above(oid) AS ( \
                 SELECT i.inhparent FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_inherits i ON i.inhrelid = f.ftrelid \
                 UNION SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid) \
             SELECT n.nspname::text, c.relname::text FROM above a JOIN pg_catalog.pg_class c ON c.oid = a.oid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace").await
}

/// Refuses tables whose rows have to be sorted out anew, and might land in a foreign table.
pub(in crate::store::postgresql) async fn refuse_roots(
    session: &Session,
    mut roots: impl Iterator<Item = &(String, String)>,
) -> Result<()> {
    let parents = parents(session).await?;
    match roots.find(|root| parents.contains(*root)) {
        None => Ok(()),
        Some((schema, name)) => Err(Error::new(
            Kind::Verify,
            format!(
                "rows of {schema}.{name} belong in other partitions on another server (it is partitioned by the hash of a type \
                 whose hashes differ there), and one of its partitions is a foreign table"
            ),
        )
        .hint("exclude the table")),
    }
}
