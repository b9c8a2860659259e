//! The target's user: whether it may do what a run has to.

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::quoted;

/// Since then, memberships say whether one may act as the role, and whether one has its privileges.
const OPTIONS: u32 = 160_000;

/// Refuses a target's user that cannot make databases, or not such as live's owner has to have.
pub(in crate::store::postgresql) async fn refuse_unfit_user(
    admin: &Session,
    live: &str,
    version: u32,
) -> Result<()> {
    // To be a member is not enough: a rename needs the owner's privileges, and to give needs to be able to act as who gets.
    let right = if version >= OPTIONS { "SET" } else { "MEMBER" };
    let row = admin
        .query_one(
            &format!(
                "SELECT me.rolcreatedb OR me.rolsuper, me.rolname::text, o.rolname::text, pg_has_role(me.oid, o.oid, 'MEMBER'), \
                        pg_has_role(me.oid, o.oid, 'USAGE') AND pg_has_role(me.oid, o.oid, '{right}'), d.datistemplate \
                 FROM pg_roles me LEFT JOIN pg_database d ON d.datname = $1 LEFT JOIN pg_roles o ON o.oid = d.datdba \
                 WHERE me.rolname = current_user"
            ),
            &[&live],
        )
        .await
        .map_err(admin.explain())?;
    let (may, me, owner): (bool, String, Option<String>) =
        (row.read(0)?, row.read(1)?, row.read(2)?);
    let (member, fit, template): (Option<bool>, Option<bool>, Option<bool>) =
        (row.read(3)?, row.read(4)?, row.read(5)?);
    if !may {
        return Err(Error::new(
            Kind::Permission,
            format!("the target's user {me} may not create databases"),
        )
        .hint(format!("ALTER ROLE {} CREATEDB", quoted(&me))));
    }
    let owner = owner.unwrap_or_default();
    if member == Some(false) {
        return Err(Error::new(
            Kind::Permission,
            format!("the target's user {me} does not own the database {live}"),
        )
        .hint(format!(
            "ALTER DATABASE {} OWNER TO {}, or make {me} a member of its owner: GRANT {} TO {}",
            quoted(live),
            quoted(&me),
            quoted(&owner),
            quoted(&me)
        )));
    }
    if fit == Some(false) {
        let (owner_name, me_name) = (quoted(&owner), quoted(&me));
        let made = Error::new(
            Kind::Permission,
            format!(
                "the target's user {me} is a member of {owner}, the owner of {live}, but has not its rights"
            ),
        );
        return Err(made.hint(if version >= OPTIONS {
            format!("GRANT {owner_name} TO {me_name} WITH INHERIT TRUE, SET TRUE")
        } else {
            format!("ALTER ROLE {me_name} INHERIT")
        }));
    }
    if template == Some(true) {
        return Err(Error::new(
            Kind::Config,
            format!("the database {live} is a template and is never a target"),
        ));
    }
    Ok(())
}
