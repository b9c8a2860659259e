//! Live's owner, to whom the target's user has to be able to give things, and the schema `public`, which nobody makes.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::error::SqlState;

use super::roles::Roles;
use super::toc::{BY_DROP, Entry};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::server_error::{self, ServerError};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::quoted;

/// The statement that makes an extension as live's owner, who is to be able to update and drop it, where that is not the
/// target's user. `pg_dump` does not know who owns one, and nobody can give it away.
pub(in crate::store::postgresql) fn extension_of_owner(
    entry: &Entry,
    roles: &Roles,
) -> Option<String> {
    if entry.kind != "EXTENSION" {
        return None;
    }
    let owner = roles.owner_of_extensions()?;
    Some(format!(
        "SET ROLE {};\n{};\nRESET ROLE",
        quoted(owner),
        &*entry.definition()
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
pub(in crate::store::postgresql) fn given_where_nothing_may_be_made(
    schema: &str,
    heir: &str,
    alter: &str,
) -> String {
    let (schema, heir) = (quoted(schema), quoted(heir));
    format!(
        "GRANT CREATE ON SCHEMA {schema} TO {heir}; {alter}; REVOKE CREATE ON SCHEMA {schema} FROM {heir}"
    )
}

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

/// What could not be made as it is on the source, and is no reason to fail: counted, then told in a line each.
#[derive(Default)]
pub(in crate::store::postgresql) struct Mapped {
    owners: BTreeMap<(String, String), usize>,
    pub(in crate::store::postgresql) grants: BTreeMap<String, usize>,
    /// The source's objects that the target's user was not allowed to treat as they are there.
    pub(in crate::store::postgresql) excused: HashSet<(u32, u32)>,
}

impl Mapped {
    /// Tells what was mapped or skipped.
    pub(in crate::store::postgresql) fn tell(&self) {
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
        if roles.is_strict() {
            return Err(Error::new(
                Kind::Permission,
                format!("the target's user {} may not {what}", roles.me()),
            )
            .hint("let a superuser run the job, or set roles = \"map\" or \"skip\""));
        }
        self.excused.insert(object);
        Ok(())
    }
}

/// What becomes of an entry's object: whose it will be.
#[derive(Default)]
pub(in crate::store::postgresql) struct Inheritance {
    /// What hands it over; `None`: it is whose it should be.
    pub(in crate::store::postgresql) statement: Option<String>,
    heir: String,
    /// Its owner on the source cannot have it.
    mapped: bool,
}

impl Inheritance {
    /// Counts what is not as it is on the source.
    pub(in crate::store::postgresql) fn note(&self, entry: &Entry, mapped: &mut Mapped) {
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
    let drop = entry.drop();
    let object = drop.strip_prefix("DROP ")?;
    Some(object.trim_end().trim_end_matches(';').to_owned())
}

/// What gives an entry's object to its owner on the source.
pub(in crate::store::postgresql) fn owner_as_it_was(entry: &Entry) -> Option<String> {
    let object = owned_object(entry)?;
    Some(format!("ALTER {object} OWNER TO {}", quoted(&entry.owner)))
}

/// The future owner of an entry's object. What comes from live keeps its owner.
fn heir_of<'a>(entry: &'a Entry, roles: &'a Roles) -> &'a str {
    if entry.id() < 0 && roles.may_give_to(&entry.owner) {
        &entry.owner
    } else {
        roles.heir(&entry.owner)
    }
}

/// Finds out who gets an entry's object.
pub(in crate::store::postgresql) fn inheritance(entry: &Entry, roles: &Roles) -> Inheritance {
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
    if heir == roles.me() {
        return found;
    }
    found.statement = Some(format!("ALTER {object} OWNER TO {}", quoted(heir)));
    found
}

/// Gives an entry's object to its owner on the source, or to who stands in.
pub(in crate::store::postgresql) async fn own(
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
        entry.object(),
        roles,
        &format!("give {} to {heir}", entry.label()),
    )?;
    let mut to = roles.me();
    if heir != roles.fallback()
        && roles.fallback() != roles.me()
        && let Some(object) = owned_object(entry)
    {
        let alter = format!("ALTER {object} OWNER TO {}", quoted(roles.fallback()));
        let stood_in = session.batch_execute(&alter).await.is_ok();
        if stood_in || given(roles.fallback(), &alter).await {
            to = roles.fallback();
        }
    }
    mapped.owned(&entry.owner, to);
    Ok(())
}

/// Runs an entry's grants; those for roles that the target lacks are counted and skipped. `about` finds what they are
/// about.
pub(in crate::store::postgresql) async fn grant(
    session: &Session,
    entry: &Entry,
    about: &HashMap<i64, (u32, u32)>,
    roles: &Roles,
    mapped: &mut Mapped,
) -> Result<()> {
    let object = if entry.object().1 == 0 {
        entry.needs().find_map(|need| about.get(&need)).copied()
    } else {
        Some(entry.object())
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
pub(in crate::store::postgresql) fn grants(entry: &Entry, roles: &Roles) -> Vec<String> {
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
pub(in crate::store::postgresql) async fn grant_one(
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
                .map_or_else(String::new, |said| ServerError::of(said).told(statement).0)
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            mapped.excuse(object, roles, &format!("grant {label}"))?;
            "the target's user may not grant them".to_owned()
        }
        _ => {
            let made = session.explain_of(statement)(error);
            return Err(
                server_error::about(made, statement).within(format!("{label} cannot be granted"))
            );
        }
    };
    *mapped.grants.entry(reason).or_default() += 1;
    Ok(())
}
