//! Roles belong to a server, not to a database: whose things become on the target, and who may use them.

use std::collections::HashSet;

use crate::config::job::Roles as Wanted;
use crate::error::Result;
use crate::store::postgresql::connection::session::Session;

/// The role that stands for the database's owner: every server since 14 has it, and nobody can be made a member.
pub(in crate::store::postgresql) const DATABASE_OWNER: &str = "pg_database_owner";

/// The roles that can own objects on the target.
pub(in crate::store::postgresql) struct Roles {
    wanted: Wanted,
    me: String,
    superuser: bool,
    /// All roles of the target's server.
    known: HashSet<String>,
    /// Those of them that have more rights than ownership gives.
    mighty: HashSet<String>,
    /// Roles that we may hand things to.
    usable: HashSet<String>,
    /// The role that gets the objects of roles that cannot be used.
    fallback: String,
}

impl Roles {
    /// Asks the target; `live_owner` is who owns the live database.
    pub(in crate::store::postgresql) async fn load(
        session: &Session,
        version: u32,
        live_owner: Option<&str>,
        wanted: Wanted,
    ) -> Result<Self> {
        // To give a thing away one has to be able to act as who gets it; and to go on with it, to have their privileges.
        let right = if version >= 160_000 { "SET" } else { "MEMBER" };
        let rows = session
            .query(
                &format!(
                    "SELECT rolname::text, rolname = current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
                            pg_has_role(current_user, oid, '{right}') AND pg_has_role(current_user, oid, 'USAGE'), \
                            rolsuper OR pg_has_role(oid, 'pg_execute_server_program', 'MEMBER') \
                                OR pg_has_role(oid, 'pg_write_server_files', 'MEMBER') FROM pg_roles"
                ),
                &[],
            )
            .await
            .map_err(session.explain())?;
        let mut roles = Self {
            wanted,
            me: String::new(),
            superuser: false,
            known: HashSet::new(),
            mighty: HashSet::new(),
            usable: HashSet::new(),
            fallback: String::new(),
        };
        for row in rows {
            if row.read(1)? {
                roles.me = row.read(0)?;
                roles.superuser = row.read(2)?;
            }
            if row.read(4)? {
                roles.mighty.insert(row.read(0)?);
            }
            if row.read(3)? {
                roles.usable.insert(row.read(0)?);
            }
            roles.known.insert(row.read(0)?);
        }
        roles.fallback = live_owner
            .filter(|owner| roles.usable.contains(*owner))
            .unwrap_or(&roles.me)
            .to_owned();
        Ok(roles)
    }

    /// A superuser's view of a target that has these roles, for tests.
    #[cfg(test)]
    pub(in crate::store::postgresql) fn of(known: &[&str], fallback: &str, wanted: Wanted) -> Self {
        let known: HashSet<String> = known.iter().map(|role| (*role).to_owned()).collect();
        Self {
            wanted,
            me: fallback.to_owned(),
            superuser: true,
            mighty: HashSet::new(),
            usable: known.clone(),
            known,
            fallback: fallback.to_owned(),
        }
    }

    /// The target's user.
    pub(in crate::store::postgresql) fn me(&self) -> &str {
        &self.me
    }

    /// With `roles = "fail"`: what cannot be as it is on the source is an error.
    pub(super) fn is_strict(&self) -> bool {
        self.wanted == Wanted::Fail
    }

    /// Whether the target's user may hand things to this role.
    pub(super) fn may_give_to(&self, role: &str) -> bool {
        self.usable.contains(role)
    }

    /// The role that gets the objects of roles that cannot own them.
    pub(super) fn fallback(&self) -> &str {
        &self.fallback
    }

    /// Whether the target has this role.
    pub(in crate::store::postgresql) fn has(&self, role: &str) -> bool {
        self.known.contains(role)
    }

    /// Whether a role can do more than what it owns: it is a superuser, or reaches programs and files of the server.
    pub(in crate::store::postgresql) fn is_mighty(&self, role: &str) -> bool {
        self.mighty.contains(role)
    }

    /// Whether the target's user is a superuser.
    pub(in crate::store::postgresql) fn is_superuser(&self) -> bool {
        self.superuser
    }

    /// The future owner of extensions, where that is not the target's user.
    pub(super) fn owner_of_extensions(&self) -> Option<&str> {
        // A superuser's are as `pg_restore` makes them.
        let differs = self.fallback != self.me && (!self.superuser || !self.are_copied());
        differs.then_some(self.fallback.as_str())
    }

    /// Whether owners and grants are copied.
    pub(in crate::store::postgresql) fn are_copied(&self) -> bool {
        self.wanted != Wanted::Skip
    }

    /// The future owner of what `owner` owns on the source.
    pub(in crate::store::postgresql) fn heir<'a>(&'a self, owner: &'a str) -> &'a str {
        let copied = self.wanted != Wanted::Skip;
        if copied && (self.usable.contains(owner) || owner == DATABASE_OWNER && self.has(owner)) {
            owner
        } else {
            &self.fallback
        }
    }
}
