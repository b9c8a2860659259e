//! Live's owner, to whom the target's user has to be able to give things, and the schema `public`, which nobody makes.

use std::collections::HashSet;

use tokio_postgres::error::SqlState;

use super::connection::{Session, quoted};
use super::rights;
use super::roles::{DATABASE_OWNER, Mapped, Roles};
use super::target::Target;
use super::toc::Entry;
use crate::error::{Error, Kind, Result};

/// Since then, memberships say whether one may act as the role, and whether one has its privileges.
const OPTIONS: u32 = 160_000;

/// Refuses a target's user that cannot make databases, or not such as live's owner has to have.
pub(super) async fn refuse_unfit_user(admin: &Session, live: &str, version: u32) -> Result<()> {
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
    let (may, me, owner): (bool, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
    let (member, fit, template): (Option<bool>, Option<bool>, Option<bool>) =
        (row.get(3), row.get(4), row.get(5));
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

/// The statement that makes an extension as live's owner, who is to be able to update and drop it, where that is not the
/// target's user. `pg_dump` does not know who owns one, and nobody can give it away.
pub(super) fn extension_of_owner(entry: &Entry, roles: &Roles) -> Option<String> {
    if entry.kind != "EXTENSION" {
        return None;
    }
    let owner = roles.owner_of_extensions()?;
    Some(format!(
        "SET ROLE {};\n{};\nRESET ROLE",
        quoted(owner),
        entry.definition()
    ))
}

/// Gives a thing in a schema to a role that may not make anything there: for the moment of it, it may. `false`: not even so.
pub(super) async fn give_where_nothing_may_be_made(
    session: &Session,
    schema: &str,
    heir: &str,
    alter: &str,
) -> bool {
    let script = given_where_nothing_may_be_made(schema, heir, alter);
    session.batch_execute(&script).await.is_ok()
}

/// The statements for that, to be run in one go, before the grants on the schema are made.
pub(super) fn given_where_nothing_may_be_made(schema: &str, heir: &str, alter: &str) -> String {
    let (schema, heir) = (quoted(schema), quoted(heir));
    format!(
        "GRANT CREATE ON SCHEMA {schema} TO {heir}; {alter}; REVOKE CREATE ON SCHEMA {schema} FROM {heir}"
    )
}

impl Target {
    /// Gives `public` to its owner on the source. It is in every new database, where it belongs to whoever owns the
    /// database (before version 15, to the server's first superuser).
    pub(super) async fn own_public(&self, mapped: &mut Mapped) -> Result<()> {
        let made = self.made();
        let Some((object, owner)) = rights::owner_of(&made.definitions.rights, "schema public")
        else {
            return Ok(());
        };
        let session = self.session().await?;
        let row = session
            .query_opt(
                "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'public'",
                &[],
            )
            .await
            .map_err(session.explain())?;
        let Some(now) = row.map(|row| row.get::<_, String>(0)) else {
            self.rest(session);
            return Ok(());
        };
        let heir = made.roles.heir(owner);
        // Whoever stands in is live's owner, and so is this.
        let is_theirs = now == heir || (heir != owner && now == DATABASE_OWNER);
        if !is_theirs {
            let alter = format!("ALTER SCHEMA public OWNER TO {}", quoted(heir));
            match session.batch_execute(&alter).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    // Before version 15 only a superuser may, and no one misses it.
                    mapped.excused.extend(HashSet::from([object]));
                }
                Err(error) => {
                    return Err(session.explain()(error)
                        .within(format!("schema public cannot be given to {heir}")));
                }
            }
        }
        self.rest(session);
        Ok(())
    }
}
