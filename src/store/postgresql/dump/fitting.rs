//! What of a dump is restored: nothing that leads out of its own database, and what concerns roles as the target has them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::head::{self, Entry, Head, shown};
use super::within;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::schema::left_out::Cut;
use crate::store::postgresql::schema::roles::{DATABASE_OWNER, Roles};
use crate::store::postgresql::schema::toc::{self, Binder, Section, Shared, Words};
use crate::store::postgresql::schema::{ownership, toc_reader};
use crate::store::postgresql::sql::quoting;

/// What is never restored: how the database itself was made, what leads to other servers, and what the planner finds out by
/// itself. Databases' own grants, comments and labels have its name in their tag.
const NEVER: [&str; 9] = [
    "DATABASE",
    "DATABASE PROPERTIES",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "STATISTICS DATA",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
    "TABLESPACE",
];

/// Since then `public` belongs to whoever owns the database, and not to the server's first superuser.
const OWNED_PUBLIC: u32 = 15;

/// What was not restored as it is in the dump, and is no reason to fail; for a warning each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Objects that get another owner than in the dump, by that owner.
    pub(super) owners: BTreeMap<String, usize>,
    /// Roles that the target lacks, and how many grants were for them.
    pub(super) grants: BTreeMap<String, usize>,
    /// Comments and rights that only a superuser may give.
    pub(super) superuser: Vec<String>,
}

/// Makes a dump's head fit for a database on a target with these roles, whose server has this major version.
pub(super) fn fit(head: &mut Head, roles: &Roles, major: u32) -> Result<Left> {
    for entry in head.entries.iter().filter(|entry| !is_never(entry)) {
        within::stay(entry)?;
    }
    let mut left = Left::default();
    let mut out: HashSet<i64> = HashSet::new();
    let mut kept = Vec::with_capacity(head.entries.len());
    let schemas = owners_of_schemas(head, roles, major);
    for mut entry in std::mem::take(&mut head.entries) {
        let orphan = entry.object().1 == 0 && entry.needs().any(|need| out.contains(&need));
        let stays = !orphan
            && !is_never(&entry)
            && is_allowed(&mut entry, roles, major, &mut left)
            && grants(&mut entry, roles, &mut left);
        if !stays {
            out.insert(entry.id);
            continue;
        }
        inherit(&mut entry, roles, &mut left);
        give(&mut entry, roles, &schemas);
        if let Some(Ok(mut definition)) = entry.definition.clone().map(String::from_utf8) {
            toc_reader::without_marks(&kind(&entry), &mut definition);
            entry.definition = Some(definition.into_bytes());
        }
        kept.push(entry);
    }
    head.entries = kept;
    Ok(left)
}

/// Takes what hangs on these objects alone, and they themselves, out of a dump; and `cuts` out of definitions that stay.
pub(in crate::store::postgresql) fn leave_out(
    head: &mut Head,
    gone: &HashSet<(u32, u32)>,
    cuts: &[Cut],
) {
    let mut out: HashSet<i64> = HashSet::new();
    head.entries.retain(|entry| {
        let orphan = entry.object().1 == 0 && entry.needs().any(|need| out.contains(&need));
        let stays = !gone.contains(&entry.object()) && !orphan;
        if !stays {
            out.insert(entry.id);
        }
        stays
    });
    for cut in cuts {
        for entry in &mut head.entries {
            let schema = entry.schema.as_ref().map(|_| shown(&entry.schema));
            if !cut.is_in(&kind(entry), schema.as_deref(), &shown(&entry.tag)) {
                continue;
            }
            if let Some(rest) = cut.out_of(&shown(&entry.definition)) {
                entry.definition = Some(rest.into_bytes());
            }
        }
    }
}

/// With `roles = "fail"`: every role of the dump has to be there.
pub(in crate::store::postgresql) fn refuse_missing(
    head: &Head,
    roles: &Roles,
    name: &str,
) -> Result<()> {
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for entry in head.entries.iter().filter(|entry| !is_never(entry)) {
        let owner = shown(&entry.owner);
        if !owner.is_empty() && roles.heir(&owner) != owner {
            missing.insert(owner.into_owned());
        }
        for statement in statements_of(entry) {
            let grantee = grantee(&statement).filter(|role| !roles.has(role));
            missing.extend(grantee);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing.into_iter().collect();
    Err(Error::new(
        Kind::Verify,
        format!(
            "{name}: the target's server lacks roles of the dump, or may not give them anything: {}",
            missing.join(", ")
        ),
    )
    .hint("create them there, or set roles = \"map\" or \"skip\""))
}

fn kind(entry: &Entry) -> Cow<'_, str> {
    shown(&entry.kind)
}

fn is_never(entry: &Entry) -> bool {
    let kind = kind(entry);
    let is_said_of = matches!(kind.as_ref(), "ACL" | "COMMENT" | "SECURITY LABEL");
    NEVER.contains(&kind.as_ref()) || is_said_of && shown(&entry.tag).starts_with("DATABASE ")
}

/// What the target's user may not do, and nobody misses: comments on what is the server's own.
fn is_allowed(entry: &mut Entry, roles: &Roles, major: u32, left: &mut Left) -> bool {
    let (kind, tag) = (kind(entry).into_owned(), shown(&entry.tag).into_owned());
    let is_public = kind == "SCHEMA" && tag == "public";
    if is_public {
        // It is there in every new database; what is said of it is not.
        entry.definition = Some(b"-- in every new database\n".to_vec());
    }
    if roles.is_superuser() {
        return true;
    }
    if is_public {
        let owner = shown(&entry.owner).into_owned();
        if major < OWNED_PUBLIC || roles.heir(&owner) != owner || owner == DATABASE_OWNER {
            entry.owner = Some(Vec::new());
        }
        return true;
    }
    let about_public = tag == "SCHEMA public" || (kind == "ACL" && tag == "public");
    let denied = (kind == "COMMENT" && tag.starts_with("EXTENSION "))
        || (matches!(kind.as_str(), "COMMENT" | "ACL") && about_public && major < OWNED_PUBLIC);
    if denied {
        left.superuser.push(entry.label());
    }
    !denied
}

/// Gives an entry to who can have it.
fn inherit(entry: &mut Entry, roles: &Roles, left: &mut Left) {
    let owner = shown(&entry.owner).into_owned();
    // Of large objects `pg_restore` asks who they belong to in statements of their own kind.
    let heir = roles.heir(&owner);
    if owner.is_empty() || heir == owner {
        return;
    }
    let heir = heir.to_owned();
    let counts = !matches!(
        kind(entry).as_ref(),
        "TABLE DATA"
            | "SEQUENCE SET"
            | "ENCODING"
            | "STDSTRINGS"
            | "SEARCHPATH"
            | "ACL"
            | "COMMENT"
    );
    if roles.are_copied() && counts {
        *left.owners.entry(owner).or_default() += 1;
    }
    entry.owner = Some(heir.into_bytes());
}

/// The future owner of each schema in which not everybody may create objects.
fn owners_of_schemas(head: &Head, roles: &Roles, major: u32) -> HashMap<String, Option<String>> {
    let mut found = HashMap::new();
    for entry in head.entries.iter().filter(|entry| kind(entry) == "SCHEMA") {
        let heir = roles.heir(&shown(&entry.owner)).to_owned();
        found.insert(shown(&entry.tag).into_owned(), Some(heir));
    }
    let public = (major >= OWNED_PUBLIC).then(|| roles.heir("").to_owned());
    found.insert("public".to_owned(), public);
    found
}

/// Has an entry's own definition give it to its owner, where `pg_restore` could not: who may make nothing in a schema can
/// be given nothing in it, and grants come last. An extension is made by its owner.
fn give(entry: &mut Entry, roles: &Roles, schemas: &HashMap<String, Option<String>>) {
    if roles.is_superuser() {
        return;
    }
    let Some(made) = as_ours(entry) else {
        return;
    };
    if let Some(statement) = ownership::extension_of_owner(&made, roles) {
        entry.definition = Some(format!("{statement};\n").into_bytes());
        return;
    }
    let (Some(schema), heir) = (made.schema.as_deref(), made.owner.as_str()) else {
        return;
    };
    let may = match schemas.get(schema) {
        Some(Some(owner)) => owner == heir,
        // Everybody may, or nobody knows.
        _ => true,
    };
    if heir.is_empty() || heir == roles.me() || may {
        return;
    }
    if let Some(alter) = ownership::owner_as_it_was(&made) {
        let definition = made.definition();
        let definition = definition.trim_end().trim_end_matches(';');
        let given = ownership::given_where_nothing_may_be_made(schema, heir, &alter);
        entry.definition = Some(format!("{definition};\n{given};\n").into_bytes());
        entry.owner = Some(Vec::new());
    }
}

/// Reduces an entry to the grants and policies that the target's roles allow; `false`: nothing is left.
fn grants(entry: &mut Entry, roles: &Roles, left: &mut Left) -> bool {
    let kind = kind(entry).into_owned();
    if !matches!(
        kind.as_str(),
        "ACL" | "DEFAULT ACL" | "POLICY" | "USER MAPPING"
    ) {
        return true;
    }
    let is_grant = matches!(kind.as_str(), "ACL" | "DEFAULT ACL");
    if is_grant && !roles.are_copied() {
        return false;
    }
    // In another encoding than UTF-8, names cannot be compared; the server says what it lacks.
    let Some(made) = as_ours(entry) else {
        return true;
    };
    if !is_grant {
        let mut mapped = ownership::Mapped::default();
        let Some(fitting) = roles.fitting(made, &mut mapped) else {
            *left.grants.entry(entry.label()).or_default() += 1;
            return false;
        };
        entry.definition = Some(fitting.definition().as_bytes().to_vec());
        return true;
    }
    let mut kept = String::new();
    let mut grantor_is_there = true;
    for statement in ownership::grants(&made, roles) {
        let text = statement.trim();
        if let Some(grantor) = text.strip_prefix("SET SESSION AUTHORIZATION ") {
            let grantor = quoting::identifier(grantor).map(|(name, _)| name);
            // Only a superuser may speak for others.
            grantor_is_there =
                roles.is_superuser() && grantor.as_ref().is_some_and(|name| roles.has(name));
            if !grantor_is_there {
                *left.grants.entry(grantor.unwrap_or_default()).or_default() += 1;
                continue;
            }
        } else if text.starts_with("RESET SESSION AUTHORIZATION") {
            if !std::mem::replace(&mut grantor_is_there, true) {
                continue;
            }
        } else if !grantor_is_there {
            continue;
        } else if let Some(role) = grantee(text).filter(|role| !roles.has(role)) {
            *left.grants.entry(role).or_default() += 1;
            continue;
        } else if let Some(role) = whose_defaults(text).filter(|role| roles.heir(role) != *role) {
            *left.grants.entry(role).or_default() += 1;
            continue;
        }
        kept.push_str(&statement);
    }
    entry.definition = Some(kept.clone().into_bytes());
    !kept.trim().is_empty()
}

/// An entry as the rest of us knows it.
fn as_ours(entry: &Entry) -> Option<toc::Entry> {
    let text = |text: &head::Text| -> Option<String> {
        String::from_utf8(text.clone().unwrap_or_default()).ok()
    };
    let mut words = Words::default();
    let (kind, owner) = (text(&entry.kind)?, text(&entry.owner)?);
    let head = toc::Head {
        id: entry.id,
        object: entry.object(),
        shared: Shared {
            kind: words.word(&kind),
            section: Section::Along,
            schema: text(&entry.schema).map(|schema| words.word(&schema)),
            owner: words.word(&owner),
            tablespace: None,
        },
    };
    let (tag, definition, drop) = (
        text(&entry.tag)?,
        text(&entry.definition)?,
        text(&entry.drop)?,
    );
    let mut binder = Binder::default();
    binder.add(head, [&tag, &definition, &drop, ""]);
    binder.bind().entries.into_iter().next()
}

fn statements_of(entry: &Entry) -> Vec<String> {
    if !matches!(kind(entry).as_ref(), "ACL" | "DEFAULT ACL") {
        return Vec::new();
    }
    let text = shown(&entry.definition);
    text.split_inclusive(";\n")
        .map(|s| s.trim().to_owned())
        .collect()
}

/// Whom a GRANT or REVOKE is for; `None`: everybody.
fn grantee(statement: &str) -> Option<String> {
    let at = statement
        .rfind(" TO ")
        .map(|at| at + 4)
        .max(statement.rfind(" FROM ").map(|at| at + 6))?;
    let (name, _) = quoting::identifier(&statement[at..])?;
    let quoted = statement[at..].starts_with('"');
    (quoted || name != "PUBLIC").then_some(name)
}

/// The role whose new objects an `ALTER DEFAULT PRIVILEGES` is about.
fn whose_defaults(statement: &str) -> Option<String> {
    let rest = statement.strip_prefix("ALTER DEFAULT PRIVILEGES FOR ROLE ")?;
    quoting::identifier(rest).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_grant_is_for_is_found_between_odd_names() {
        for (statement, role) in [
            ("GRANT SELECT ON TABLE public.t TO app;", Some("app")),
            (
                "GRANT SELECT ON TABLE public.\" TO x\" TO \"a b\" WITH GRANT OPTION;",
                Some("a b"),
            ),
            ("REVOKE ALL ON SCHEMA public FROM PUBLIC;", None),
            (
                "REVOKE ALL ON SCHEMA public FROM rdsadmin;",
                Some("rdsadmin"),
            ),
        ] {
            assert_eq!(grantee(statement).as_deref(), role, "{statement}");
        }
        let defaults =
            "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA public GRANT SELECT ON TABLES  TO b;";
        assert_eq!(whose_defaults(defaults).as_deref(), Some("a"));
    }
}
