//! What the target's user has to be allowed to do.

use std::collections::{BTreeMap, BTreeSet};

use super::wanted::Wanted;
use crate::config::job::Definer;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::grants::Grants;
use crate::store::mysql::schema::objects::{Object, ObjectKind};
use crate::store::mysql::sql::names::literal;

/// What the copy needs in all three schemas; each missing privilege is named.
pub(in crate::store::mysql) fn privileges(
    definitions: &Definitions,
    grants: &Grants,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let has = |kind: &[ObjectKind]| {
        definitions
            .objects
            .iter()
            .any(|object| kind.contains(&object.kind))
    };
    let mut needed = vec![
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "ALTER",
        "INDEX",
        "LOCK TABLES",
        // Whatever live has of these goes, so it has to be seen.
        "SHOW VIEW",
        "TRIGGER",
        "EVENT",
    ];
    if definitions
        .tables
        .iter()
        .any(|table| table.create.foreign_keys().next().is_some())
    {
        needed.push("REFERENCES");
    }
    if has(&[ObjectKind::View]) {
        needed.push("CREATE VIEW");
    }
    if has(&[
        ObjectKind::Library,
        ObjectKind::Function,
        ObjectKind::Procedure,
        ObjectKind::Package,
        ObjectKind::PackageBody,
    ]) {
        needed.extend(["CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE"]);
    }
    let names = wanted.names;
    // Most often the same ones in all schemas that are not live.
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for schema in [
        &names.live,
        &names.incoming,
        &names.previous,
        &names.discarded,
    ] {
        let lacking: Vec<&str> = needed
            .iter()
            .copied()
            .filter(|privilege| !grants.has(privilege, schema))
            .collect();
        if !lacking.is_empty() {
            missing
                .entry(lacking.join(", "))
                .or_default()
                .push(format!("`{schema}`"));
        }
    }
    let missing: Vec<String> = missing
        .into_iter()
        .map(|(lacking, schemas)| format!("{lacking} on {}", schemas.join(", ")))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let pattern = names.live.replace('_', "\\_").replace('%', "\\%");
    Err(Error::new(
        Kind::Permission,
        format!("the target's user lacks {}", missing.join("; ")),
    )
    .hint(format!(
        "GRANT ALL ON `{pattern}`.*, and ALL ON `{pattern}\\_%`.*, for the schemas that the copy is built in"
    )))
}

/// Error 1419 would come late: with binary logging, functions and triggers are for those who have SUPER.
pub(in crate::store::mysql) async fn logging(
    session: &mut Session,
    definitions: &Definitions,
    grants: &Grants,
) -> Result<()> {
    let first = definitions
        .objects
        .iter()
        .find(|object| matches!(object.kind, ObjectKind::Function | ObjectKind::Trigger));
    let Some(first) = first else { return Ok(()) };
    let row = session
        .query_one("SELECT @@log_bin, @@log_bin_trust_function_creators")
        .await?;
    // MariaDB 11 has made SUPER into many; this one is about logging.
    let may = row.number(0)? == 0
        || row.number(1)? != 0
        || ["SUPER", "BINLOG ADMIN", "SET_USER_ID", "SET_ANY_DEFINER"]
            .iter()
            .take(if session.version().is_mariadb(10, 5) {
                2
            } else {
                1
            })
            .any(|privilege| grants.has_everywhere(privilege));
    if may {
        return Ok(());
    }
    Err(Error::new(
        Kind::Permission,
        format!(
            "the target logs for replicas, and lets its user make no functions or triggers, as {} is",
            first.label()
        ),
    )
    .hint("set log_bin_trust_function_creators = 1 on the target, or grant its user SUPER"))
}

/// How many of the things an operator is told of.
const NAMED: usize = 5;

/// With `definer = "map"`: what somebody wrote on the source runs as the target's user, with all that this one may do.
pub(in crate::store::mysql) async fn mapped(
    session: &mut Session,
    definitions: &Definitions,
    grants: &Grants,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let things: Vec<String> = definitions
        .objects
        .iter()
        .filter(|object| object.kind != ObjectKind::Library)
        .map(Object::label)
        .collect();
    if wanted.definer == Definer::Keep || things.is_empty() {
        return Ok(());
    }
    let names = wanted.names;
    let own = [
        names.live.as_str(),
        &names.incoming,
        &names.previous,
        &names.discarded,
        &names.staging,
    ];
    let mut others = Vec::new();
    for row in session
        .query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1")
        .await?
    {
        let schema = row.text(0)?;
        let is_own = own.contains(&schema.as_str()) || names.is_own(&schema);
        // What everybody sees.
        let is_virtual = ["information_schema", "performance_schema"]
            .iter()
            .any(|name| schema.eq_ignore_ascii_case(name));
        if !is_own && !is_virtual {
            others.push(schema);
        }
    }
    let beyond = grants.beyond(&own, &others);
    if !beyond.is_empty() {
        tracing::warn!(
            privileges = beyond.join("; "),
            objects = first_of(&things, NAMED),
            "what the source's users wrote runs as the target's user (definer = \"map\"), who may do more than its database needs: give the endpoint a user that has nothing but ALL on the database and on the schemas beside it"
        );
    }
    Ok(())
}

/// With `definer = "keep"`: every definer has to be there, and we have to be allowed to name it.
pub(in crate::store::mysql) async fn definers(
    session: &mut Session,
    definitions: &Definitions,
    grants: &Grants,
    wanted: &Wanted<'_>,
) -> Result<()> {
    if wanted.definer == Definer::Map {
        return Ok(());
    }
    let me = session.query_one("SELECT CURRENT_USER()").await?.text(0)?;
    let may = ["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"]
        .iter()
        .any(|privilege| grants.has_everywhere(privilege));
    let mut checked = BTreeSet::new();
    for object in &definitions.objects {
        if object.definer == me || !checked.insert(&object.definer) {
            continue;
        }
        let hint = "make the account on the target and grant the endpoint's user the right to name it, or set `definer = \"map\"`";
        if !may {
            return Err(Error::new(
                Kind::Permission,
                format!(
                    "the target's user may not make {} as its definer {} (it lacks SET USER or SUPER)",
                    object.label(),
                    object.definer
                ),
            )
            .hint(hint));
        }
        let (user, host) = object
            .definer
            .rsplit_once('@')
            .unwrap_or((&object.definer, ""));
        let found = session
            .query_opt(&format!(
                "SELECT 1 FROM mysql.user WHERE User = {} AND Host = {}",
                literal(user),
                literal(host)
            ))
            .await;
        match found {
            Ok(None) => {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "the target lacks the account {}, the definer of {}",
                        object.definer,
                        object.label()
                    ),
                )
                .hint(hint));
            }
            Ok(Some(_)) => {}
            Err(error) if error.kind() == Kind::Permission => {
                tracing::warn!(
                    definer = object.definer,
                    "whether the target has this definer cannot be seen without SELECT on mysql.user"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
