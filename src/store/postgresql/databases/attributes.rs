//! Databases beside each other: their names and their properties.

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::quoted;
use crate::store::postgresql::sql::setting_values;

/// Whether a database is there.
pub(in crate::store::postgresql) async fn exists(admin: &Session, database: &str) -> Result<bool> {
    let row = admin
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database])
        .await
        .map_err(admin.explain())?;
    Ok(row.is_some())
}

/// Statements that give `to` what `from` has: settings of the database and of roles in it.
pub(in crate::store::postgresql) async fn settings_of(
    admin: &Session,
    from: &str,
    to: &str,
) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    let rows = admin
        .query(
            "SELECT r.rolname::text, split_part(set, '=', 1), substr(set, strpos(set, '=') + 1) \
             FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole, \
                  unnest(s.setconfig) AS set \
             WHERE d.datname = $1",
            &[&from],
        )
        .await
        .map_err(admin.explain())?;
    for row in rows {
        let (role, name, value): (Option<String>, String, String) =
            (row.read(0)?, row.read(1)?, row.read(2)?);
        let value = setting_values::as_sql(&name, &value);
        let name: Vec<String> = name.split('.').map(quoted).collect();
        let whom = match role {
            Some(role) => format!("ROLE {} IN DATABASE {}", quoted(&role), quoted(to)),
            None => format!("DATABASE {}", quoted(to)),
        };
        statements.push(format!("ALTER {whom} SET {} TO {value}", name.join(".")));
    }
    Ok(statements)
}

/// Statements that give `to` the owner, the grants and the connection limit of `from`.
pub(in crate::store::postgresql) async fn rights_of(
    admin: &Session,
    from: &str,
    to: &str,
) -> Result<Vec<String>> {
    let row = admin
        .query_one(
            "SELECT r.rolname::text, d.datconnlimit, d.datacl IS NULL, r.rolname = current_user \
             FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE datname = $1",
            &[&from],
        )
        .await
        .map_err(admin.explain())?;
    let (owner, limit, default_grants, mine): (String, i32, bool, bool) =
        (row.read(0)?, row.read(1)?, row.read(2)?, row.read(3)?);
    let mut statements = Vec::new();
    let name = quoted(to);
    if default_grants {
        // What a new database grants, said aloud: `to` was closed to the public.
        statements.push(format!(
            "GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC"
        ));
    } else {
        statements.push(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
        let grants = admin
            .query(
                "SELECT a.privilege_type, a.is_grantable, r.rolname::text, a.grantee = 0 \
                 FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee \
                 WHERE d.datname = $1 AND a.grantee <> d.datdba",
                &[&from],
            )
            .await
            .map_err(admin.explain())?;
        for grant in grants {
            let (privilege, grantable, role, public): (String, bool, Option<String>, bool) = (
                grant.read(0)?,
                grant.read(1)?,
                grant.read(2)?,
                grant.read(3)?,
            );
            let whom = match role {
                Some(role) => quoted(&role),
                None if public => "PUBLIC".to_owned(),
                None => continue,
            };
            let option = if grantable { " WITH GRANT OPTION" } else { "" };
            statements.push(format!(
                "GRANT {privilege} ON DATABASE {name} TO {whom}{option}"
            ));
        }
    }
    if limit != -1 {
        statements.push(format!(
            "ALTER DATABASE {} CONNECTION LIMIT {limit}",
            quoted(to)
        ));
    }
    // Last: afterwards we are only a member of the owner.
    if !mine {
        statements.push(format!(
            "ALTER DATABASE {} OWNER TO {}",
            quoted(to),
            quoted(&owner)
        ));
    }
    Ok(statements)
}

/// The statement that keeps those out of a database who were not granted it by name.
pub(in crate::store::postgresql) fn closed(database: &str) -> String {
    format!(
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        quoted(database)
    )
}

/// What makes a new database as open as any that is made, where it was closed; nothing where it was not.
pub(in crate::store::postgresql) async fn opened(
    admin: &Session,
    database: &str,
) -> Result<Option<String>> {
    let row = admin
        .query_one(
            "SELECT has_database_privilege('public', $1, 'CONNECT')",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    let open: bool = row.read(0)?;
    Ok((!open).then(|| format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", quoted(database))))
}

/// Sessions in a database that we may not end, in words.
pub(in crate::store::postgresql) async fn untouchable(
    admin: &Session,
    database: &str,
) -> Result<Vec<String>> {
    let rows = admin
        .query(
            "SELECT DISTINCT a.usename::text FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid, \
                    (SELECT oid, rolsuper FROM pg_roles WHERE rolname = current_user) me \
             WHERE a.datname = $1 AND NOT me.rolsuper \
               AND NOT (pg_has_role(me.oid, a.usesysid, 'MEMBER') AND NOT r.rolsuper) \
               AND NOT (pg_has_role(me.oid, 'pg_signal_backend', 'MEMBER') AND NOT r.rolsuper)",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    rows.iter().map(|row| row.read(0)).collect()
}

/// What keeps a database from ever being dropped once it is previous.
pub(in crate::store::postgresql) async fn refuse_if_bound(
    admin: &Session,
    live: &str,
) -> Result<()> {
    let row = admin
        .query_one(
            "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = $1), \
                    (SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = $1), \
                    (SELECT count(*) FROM pg_prepared_xacts WHERE database = $1)",
            &[&live],
        )
        .await
        .map_err(admin.explain())?;
    for (place, what) in [
        "logical replication slots",
        "subscriptions",
        "prepared transactions",
    ]
    .iter()
    .enumerate()
    {
        let count: i64 = row.read(place)?;
        if count > 0 {
            return Err(Error::new(
                Kind::Verify,
                format!("the live database {live} has {count} {what}, and cannot be swapped"),
            )
            .hint("remove them from the target; a copy must not be the source of a replica or wait for a commit"));
        }
    }
    Ok(())
}
