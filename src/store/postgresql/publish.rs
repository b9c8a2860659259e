//! Databases beside each other: their names and their properties.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::connection::{Session, quoted};
use super::{settings, swap};
use crate::error::{Error, Kind, Result};

/// The names that one target uses on its server.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) live: String,
    pub(super) incoming: String,
    pub(super) previous: String,
    /// What was previous, between publish and the end of the run.
    pub(super) discarded: String,
    /// What takes live's place while it is loaded in place, until it has its name.
    pub(super) emptied: String,
    /// What a dump is restored into.
    pub(super) staging: String,
}

/// PostgreSQL cuts longer names (`NAMEDATALEN` - 1).
const LONGEST: usize = 63;

impl Names {
    /// The names for `live` in the run that ends with these 12 digits.
    pub(super) fn new(live: &str, run: &str) -> Self {
        Self {
            live: live.to_owned(),
            incoming: beside(live, &format!("_incoming_{run}")),
            previous: beside(live, "_previous"),
            discarded: beside(live, &format!("_discarded_{run}")),
            emptied: beside(live, &format!("_emptied_{run}")),
            staging: beside(live, &format!("_staging_{run}")),
        }
    }

    /// Whether a database is what a dead run of this target has left.
    pub(super) fn is_leftover(&self, database: &str) -> bool {
        ["_incoming_", "_discarded_", "_emptied_", "_staging_"]
            .iter()
            .any(|middle| {
                let Some(digits) = database
                    .len()
                    .checked_sub(12)
                    .and_then(|at| database.get(at..))
                else {
                    return false;
                };
                digits
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                    && beside(&self.live, &format!("{middle}{digits}")) == database
            })
    }
}

fn beside(live: &str, suffix: &str) -> String {
    if live.len() + suffix.len() <= LONGEST {
        return format!("{live}{suffix}");
    }
    // Two long names that begin alike must not meet.
    let digest = format!("{:x}", Sha256::digest(live));
    let mut room = LONGEST - suffix.len() - 9;
    while !live.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}_{}{suffix}", &live[..room], &digest[..8])
}

/// Where two hosts meet that want one target: the number of its advisory lock.
pub(super) fn lock_number(live: &str) -> i64 {
    let digest = Sha256::digest(format!("envsyncd target {live}"));
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// Whether a database is there.
pub(super) async fn exists(admin: &Session, database: &str) -> Result<bool> {
    let row = admin
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database])
        .await
        .map_err(admin.explain())?;
    Ok(row.is_some())
}

/// Drops a database with whoever is in it.
pub(super) async fn drop_database(admin: &Session, database: &str) -> Result<()> {
    if !exists(admin, database).await? {
        return Ok(());
    }
    swap::clear(admin, &[database], Duration::from_secs(5)).await?;
    admin
        .run(&format!("DROP DATABASE IF EXISTS {}", quoted(database)))
        .await
        .map_err(|error| {
            let hint = format!("drop database {} by hand", quoted(database));
            error.within("clearing up").hint(hint)
        })
}

/// Statements that give `to` what `from` has: settings of the database and of roles in it.
pub(super) async fn settings_of(admin: &Session, from: &str, to: &str) -> Result<Vec<String>> {
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
            (row.get(0), row.get(1), row.get(2));
        let value = settings::as_sql(&name, &value);
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
pub(super) async fn rights_of(admin: &Session, from: &str, to: &str) -> Result<Vec<String>> {
    let row = admin
        .query_one(
            "SELECT r.rolname::text, d.datconnlimit, d.datacl IS NULL, r.rolname = current_user \
             FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE datname = $1",
            &[&from],
        )
        .await
        .map_err(admin.explain())?;
    let (owner, limit, default_grants, mine): (String, i32, bool, bool) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
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
            let (privilege, grantable, role, public): (String, bool, Option<String>, bool) =
                (grant.get(0), grant.get(1), grant.get(2), grant.get(3));
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
pub(super) fn closed(database: &str) -> String {
    format!(
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        quoted(database)
    )
}

/// What makes a new database as open as any that is made, where it was closed; nothing where it was not.
pub(super) async fn opened(admin: &Session, database: &str) -> Result<Option<String>> {
    let row = admin
        .query_one(
            "SELECT has_database_privilege('public', $1, 'CONNECT')",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    let open: bool = row.get(0);
    Ok((!open).then(|| format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", quoted(database))))
}

/// Sessions in a database that we may not end, in words.
pub(super) async fn untouchable(admin: &Session, database: &str) -> Result<Vec<String>> {
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
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What keeps a database from ever being dropped once it is previous.
pub(super) async fn refuse_if_bound(admin: &Session, live: &str) -> Result<()> {
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
        let count: i64 = row.get(place);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_targets_databases_are_no_leftovers() {
        let names = Names::new("app", "0123456789ab");
        assert!(names.is_leftover("app_incoming_aaaaaaaaaaaa"));
        assert!(names.is_leftover("app_discarded_aaaaaaaaaaaa"));
        assert!(names.is_leftover("app_emptied_aaaaaaaaaaaa"));
        assert!(names.is_leftover("app_staging_aaaaaaaaaaaa"));
        for other in [
            "my-app_incoming_aaaaaaaaaaaa",
            "app_incoming_aaaaaaaaaaa",
            "app_previous",
            "app",
            "app_incoming_AAAAAAAAAAAA",
            "app2_incoming_aaaaaaaaaaaa",
        ] {
            assert!(!names.is_leftover(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn names_are_different_and_short_enough(live in "[a-zé\" .%]{1,60}", other in "[a-zé\" .%]{1,60}") {
            let mine = Names::new(&live, "0123456789ab");
            prop_assert!(mine.incoming.len() <= LONGEST && mine.previous.len() <= LONGEST);
            prop_assert!(mine.is_leftover(&mine.incoming));
            if live != other {
                prop_assert_ne!(mine.incoming, Names::new(&other, "0123456789ab").incoming);
            }
        }
    }
}
