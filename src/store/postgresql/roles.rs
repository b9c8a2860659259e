//! Roles belong to a server, not to a database: whose things become on the target, and who may use them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::error::SqlState;

use super::connection::{Session, quoted};
use super::ownership::give_where_nothing_may_be_made;
use super::rights::{self, Right};
use super::said::{self, Said};
use super::toc::Entry;
use crate::config::job::Roles as Wanted;
use crate::error::{Error, Kind, Result};

/// Kinds whose owner is set as `ALTER KIND name OWNER TO` (`_getObjectDescription` in `pg_backup_archiver.c`).
const BY_NAME: [&str; 18] = [
    "COLLATION",
    "CONVERSION",
    "DOMAIN",
    "FOREIGN TABLE",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "STATISTICS",
    "TABLE",
    "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH CONFIGURATION",
    "TYPE",
    "VIEW",
    "PROCEDURAL LANGUAGE",
    "SCHEMA",
    "EVENT TRIGGER",
    "FOREIGN DATA WRAPPER",
    "SERVER",
    "LANGUAGE",
];

/// Kinds whose full name is only in their DROP statement.
pub(super) const BY_DROP: [&str; 6] = [
    "AGGREGATE",
    "FUNCTION",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURE",
];

/// Whoever owns the database: every server since 14 has it, and nobody can be made a member.
pub(super) const DATABASE_OWNER: &str = "pg_database_owner";

/// Who can own what on the target.
pub(super) struct Roles {
    wanted: Wanted,
    me: String,
    superuser: bool,
    /// All roles of the target's server.
    known: HashSet<String>,
    /// Those of them that can do more than what they own.
    mighty: HashSet<String>,
    /// Roles that we may hand things to.
    usable: HashSet<String>,
    /// Who gets what belongs to a role that is not usable.
    fallback: String,
}

impl Roles {
    /// Asks the target; `live_owner` is who owns the live database.
    pub(super) async fn load(
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
            if row.get(1) {
                roles.me = row.get(0);
                roles.superuser = row.get(2);
            }
            if row.get(4) {
                roles.mighty.insert(row.get(0));
            }
            if row.get(3) {
                roles.usable.insert(row.get(0));
            }
            roles.known.insert(row.get(0));
        }
        roles.fallback = live_owner
            .filter(|owner| roles.usable.contains(*owner))
            .unwrap_or(&roles.me)
            .to_owned();
        Ok(roles)
    }

    /// A superuser's view of a target that has these roles, for tests.
    #[cfg(test)]
    pub(super) fn of(known: &[&str], fallback: &str, wanted: Wanted) -> Self {
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

    /// Who we are.
    pub(super) fn me(&self) -> &str {
        &self.me
    }

    /// Whether the target has this role.
    pub(super) fn has(&self, role: &str) -> bool {
        self.known.contains(role)
    }

    /// Whether a role can do more than what it owns: it is a superuser, or reaches programs and files of the server.
    pub(super) fn is_mighty(&self, role: &str) -> bool {
        self.mighty.contains(role)
    }

    /// Whether the target's user is a superuser.
    pub(super) fn is_superuser(&self) -> bool {
        self.superuser
    }

    /// Who is to own extensions, where that is not the target's user.
    pub(super) fn owner_of_extensions(&self) -> Option<&str> {
        // A superuser's are as `pg_restore` makes them.
        let differs = self.fallback != self.me && (!self.superuser || !self.are_copied());
        differs.then_some(self.fallback.as_str())
    }

    /// Whether owners and grants are copied.
    pub(super) fn are_copied(&self) -> bool {
        self.wanted != Wanted::Skip
    }

    /// Who shall own what `owner` owns on the source.
    pub(super) fn heir<'a>(&'a self, owner: &'a str) -> &'a str {
        let copied = self.wanted != Wanted::Skip;
        if copied && (self.usable.contains(owner) || owner == DATABASE_OWNER && self.has(owner)) {
            owner
        } else {
            &self.fallback
        }
    }

    /// With `roles = "fail"`: refuses what some role would be missing for, and names them all.
    pub(super) fn refuse_missing(&self, source: &[Right]) -> Result<()> {
        if self.wanted != Wanted::Fail {
            return Ok(());
        }
        let missing: Vec<&str> = rights::roles_in(source)
            .into_iter()
            .filter(|role| !self.has(role))
            .collect();
        if !missing.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!("the target's server lacks the roles {}", missing.join(", ")),
            )
            .hint("create them there, or set roles = \"map\" or \"skip\""));
        }
        let out_of_reach: Vec<&str> = rights::owners_in(source)
            .into_iter()
            .filter(|role| self.heir(role) != *role)
            .collect();
        if !out_of_reach.is_empty() {
            return Err(Error::new(
                Kind::Permission,
                format!(
                    "the target's user {} may not give objects to {}",
                    self.me,
                    out_of_reach.join(", ")
                ),
            )
            .hint("make it a member of these roles, or set roles = \"map\" or \"skip\""));
        }
        Ok(())
    }

    /// An entry as the target can have it: a policy or a user mapping without roles that are not there. `None`: nothing
    /// of it is left.
    pub(super) fn fitting(&self, mut entry: Arc<Entry>, mapped: &mut Mapped) -> Option<Arc<Entry>> {
        let list = match entry.kind.as_str() {
            "POLICY" => policy_roles(entry.definition()),
            "USER MAPPING" => {
                let start = "CREATE USER MAPPING FOR ";
                entry
                    .definition()
                    .strip_prefix(start)
                    .and_then(identifier)
                    .map(|(_, rest)| (start.len(), entry.definition().len() - rest.len()))
            }
            _ => None,
        };
        let Some((from, to)) = list else {
            return Some(entry);
        };
        let mut kept = Vec::new();
        let mut lost = false;
        let mut rest = &entry.definition()[from..to];
        while let Some((name, after)) = identifier(rest) {
            let written = &rest[..rest.len() - after.len()];
            if self.has(&name) || written.eq_ignore_ascii_case("public") {
                kept.push(written.to_owned());
            } else {
                lost = true;
                let reason = format!("role \"{name}\" does not exist");
                *mapped.grants.entry(reason).or_default() += 1;
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        if lost {
            mapped.excused.insert(entry.object);
        }
        if kept.is_empty() {
            return None;
        }
        if lost {
            let (head, tail) = (&entry.definition()[..from], &entry.definition()[to..]);
            let definition = format!("{head}{}{tail}", kept.join(", "));
            Arc::make_mut(&mut entry).redefine(&definition);
        }
        Some(entry)
    }
}

/// An identifier at the start of a text, and what follows it.
pub(super) fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (head, tail) = rest.split_once('"')?;
        name.push_str(head);
        match tail.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, tail)),
        }
    }
}

/// Where the list of roles stands in `CREATE POLICY name ON table [AS ...] [FOR ...] TO roles ...`.
pub(super) fn policy_roles(definition: &str) -> Option<(usize, usize)> {
    let (_, rest) = identifier(definition.strip_prefix("CREATE POLICY ")?)?;
    let (_, mut rest) = identifier(rest.strip_prefix(" ON ")?)?;
    if let Some(table) = rest.strip_prefix('.') {
        (_, rest) = identifier(table)?;
    }
    // Only words are here until the first parenthesis.
    let words = rest.find('(').unwrap_or(rest.len());
    let at = rest[..words].find(" TO ")? + 4;
    let from = definition.len() - rest.len() + at;
    let mut list = &definition[from..];
    loop {
        let (_, after) = identifier(list)?;
        list = after;
        match list.strip_prefix(", ") {
            Some(more) => list = more,
            None => return Some((from, definition.len() - list.len())),
        }
    }
}

/// What could not be made as it is on the source, and is no reason to fail: counted, then told in a line each.
#[derive(Default)]
pub(super) struct Mapped {
    owners: BTreeMap<(String, String), usize>,
    grants: BTreeMap<String, usize>,
    /// The source's objects that the target's user was not allowed to treat as they are there.
    pub(super) excused: HashSet<(u32, u32)>,
}

impl Mapped {
    /// Tells what was mapped or skipped.
    pub(super) fn tell(&self) {
        for ((owner, to), objects) in &self.owners {
            let (owner, to) = (owner.as_str(), to.as_str());
            tracing::warn!(
                objects,
                owner,
                to,
                "the target's user cannot give objects to their owner; mapped to another role"
            );
        }
        for (reason, statements) in &self.grants {
            tracing::warn!(statements, reason = reason.as_str(), "grants were skipped");
        }
    }

    fn owned(&mut self, owner: &str, to: &str) {
        *self
            .owners
            .entry((owner.to_owned(), to.to_owned()))
            .or_default() += 1;
    }

    /// Not allowed: a warning, and with `roles = "fail"` an error.
    fn excuse(&mut self, object: (u32, u32), roles: &Roles, what: &str) -> Result<()> {
        if roles.wanted == Wanted::Fail {
            return Err(Error::new(
                Kind::Permission,
                format!("the target's user {} may not {what}", roles.me),
            )
            .hint("let a superuser run the job, or set roles = \"map\" or \"skip\""));
        }
        self.excused.insert(object);
        Ok(())
    }
}

/// What becomes of an entry's object: whose it will be.
#[derive(Default)]
pub(super) struct Inheritance {
    /// What hands it over; `None`: it is whose it should be.
    pub(super) statement: Option<String>,
    heir: String,
    /// Its owner on the source cannot have it.
    mapped: bool,
}

impl Inheritance {
    /// Counts what is not as it is on the source.
    pub(super) fn note(&self, entry: &Entry, mapped: &mut Mapped) {
        if self.mapped {
            mapped.owned(&entry.owner, &self.heir);
        }
    }
}

/// An entry's object as `ALTER` names it, if it has an owner.
fn owned_object(entry: &Entry) -> Option<String> {
    if entry.owner.is_empty() {
        return None;
    }
    if BY_NAME.contains(&entry.kind.as_str()) {
        let kind = if entry.kind == "PROCEDURAL LANGUAGE" {
            "LANGUAGE"
        } else {
            entry.kind.as_str()
        };
        return Some(match &entry.schema {
            Some(schema) => format!("{kind} {}.{}", quoted(schema), quoted(entry.tag())),
            None => format!("{kind} {}", quoted(entry.tag())),
        });
    }
    if !BY_DROP.contains(&entry.kind.as_str()) {
        return None;
    }
    let object = entry.drop().strip_prefix("DROP ")?;
    Some(object.trim_end().trim_end_matches(';').to_owned())
}

/// What gives an entry's object to its owner on the source.
pub(super) fn owner_as_it_was(entry: &Entry) -> Option<String> {
    let object = owned_object(entry)?;
    Some(format!("ALTER {object} OWNER TO {}", quoted(&entry.owner)))
}

/// Whether an entry's own statement names roles.
pub(super) fn names_roles(entry: &Entry) -> bool {
    entry.kind == "USER MAPPING"
        || (entry.kind == "POLICY" && policy_roles(entry.definition()).is_some())
}

/// Who shall own an entry's object. What comes from live keeps its owner.
fn heir_of<'a>(entry: &'a Entry, roles: &'a Roles) -> &'a str {
    if entry.id < 0 && roles.usable.contains(entry.owner.as_str()) {
        &entry.owner
    } else {
        roles.heir(&entry.owner)
    }
}

/// Finds out who gets an entry's object.
pub(super) fn inheritance(entry: &Entry, roles: &Roles) -> Inheritance {
    let mut found = Inheritance::default();
    let Some(object) = owned_object(entry) else {
        return found;
    };
    // It was not made by us: see `ownership`.
    if entry.kind == "SCHEMA" && entry.tag() == "public" {
        return found;
    }
    let heir = heir_of(entry, roles);
    found.mapped = heir != &*entry.owner && roles.are_copied();
    heir.clone_into(&mut found.heir);
    if heir == roles.me {
        return found;
    }
    found.statement = Some(format!("ALTER {object} OWNER TO {}", quoted(heir)));
    found
}

/// Gives an entry's object to its owner on the source, or to who stands in.
pub(super) async fn own(
    session: &Session,
    entry: &Entry,
    roles: &Roles,
    mapped: &mut Mapped,
) -> Result<()> {
    let found = inheritance(entry, roles);
    let heir = &found.heir;
    let Some(alter) = &found.statement else {
        found.note(entry, mapped);
        return Ok(());
    };
    match session.batch_execute(alter).await {
        Ok(()) => {
            found.note(entry, mapped);
            return Ok(());
        }
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
        Err(error) => {
            return Err(session.explain_of(alter)(error)
                .within(format!("{} cannot be given to {heir}", entry.label())));
        }
    }
    // The usual reason is that they may not make anything in its schema, as yet or at all.
    let given = async |to: &str, alter: &str| match &entry.schema {
        Some(schema) => give_where_nothing_may_be_made(session, schema, to, alter).await,
        None => false,
    };
    if given(heir, alter).await {
        found.note(entry, mapped);
        return Ok(());
    }
    mapped.excuse(
        entry.object,
        roles,
        &format!("give {} to {heir}", entry.label()),
    )?;
    let mut to = roles.me.as_str();
    if *heir != roles.fallback
        && roles.fallback != roles.me
        && let Some(object) = owned_object(entry)
    {
        let alter = format!("ALTER {object} OWNER TO {}", quoted(&roles.fallback));
        let stood_in = session.batch_execute(&alter).await.is_ok();
        if stood_in || given(&roles.fallback, &alter).await {
            to = &roles.fallback;
        }
    }
    mapped.owned(&entry.owner, to);
    Ok(())
}

/// Runs an entry's grants; those for roles that the target lacks are counted and skipped. `about` finds what they are
/// about.
pub(super) async fn grant(
    session: &Session,
    entry: &Entry,
    about: &HashMap<i64, (u32, u32)>,
    roles: &Roles,
    mapped: &mut Mapped,
) -> Result<()> {
    let object = if entry.object.1 == 0 {
        entry.needs().find_map(|need| about.get(&need)).copied()
    } else {
        Some(entry.object)
    };
    for statement in grants(entry, roles) {
        grant_one(
            session,
            &statement,
            &entry.label(),
            object.unwrap_or_default(),
            roles,
            mapped,
        )
        .await?;
    }
    Ok(())
}

/// An entry's grants, statement by statement. What is said of the owner holds for who stands in.
pub(super) fn grants(entry: &Entry, roles: &Roles) -> Vec<String> {
    let heir = quoted(heir_of(entry, roles));
    let owners = [quoted(&entry.owner), entry.owner.to_string()];
    let translated = |statement: &str| {
        let said = owners.iter().find_map(|owner| {
            let head = statement.trim_end().strip_suffix(&format!("{owner};"))?;
            (head.ends_with(" FROM ") || head.ends_with(" TO ")).then(|| format!("{head}{heir};"))
        });
        said.unwrap_or_else(|| statement.to_owned())
    };
    entry
        .definition()
        .split_inclusive(";\n")
        .filter(|statement| !statement.trim().is_empty())
        .map(translated)
        .collect()
}

/// Runs one statement about rights; one that the target has no role or privilege for is counted and skipped.
pub(super) async fn grant_one(
    session: &Session,
    statement: &str,
    label: &str,
    object: (u32, u32),
    roles: &Roles,
    mapped: &mut Mapped,
) -> Result<()> {
    let Err(error) = session.batch_execute(statement).await else {
        return Ok(());
    };
    let reason = match error.code() {
        // The second is a role that is missing as a grantor: SET does not know it.
        Some(code)
            if *code == SqlState::UNDEFINED_OBJECT
                || (*code == SqlState::INVALID_PARAMETER_VALUE
                    && statement.starts_with("SET SESSION AUTHORIZATION ")) =>
        {
            error
                .as_db_error()
                .map_or_else(String::new, |said| Said::of(said).told(statement).0)
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            mapped.excuse(object, roles, &format!("grant {label}"))?;
            "the target's user may not grant them".to_owned()
        }
        _ => {
            let made = session.explain_of(statement)(error);
            return Err(said::about(made, statement).within(format!("{label} cannot be granted")));
        }
    };
    *mapped.grants.entry(reason).or_default() += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_a_policy_are_found_between_odd_names() {
        for (definition, list) in [
            (
                "CREATE POLICY p ON public.t TO a, \"b\"\"c\" USING (true);\n",
                Some("a, \"b\"\"c\""),
            ),
            (
                "CREATE POLICY \"x TO y\" ON \"a.b\".\" TO z\" FOR SELECT TO r WITH CHECK ((a = ' TO '::text));\n",
                Some("r"),
            ),
            (
                "CREATE POLICY p ON public.t USING ((a = ' TO b'::text));\n",
                None,
            ),
            ("CREATE POLICY p ON t AS RESTRICTIVE TO r;\n", Some("r")),
        ] {
            let found = policy_roles(definition).map(|(from, to)| &definition[from..to]);
            assert_eq!(found, list, "{definition}");
        }
    }
}
