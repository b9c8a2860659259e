//! Code of a source that would run with more rights than its writer has: where the target's user is a superuser, what is
//! evaluated while the copy is built (CHECKs, generated columns, indexes, what triggers do under scripts) is evaluated with
//! a superuser's rights, and code can always go back from another role to the one that logged in. So it is not run at all,
//! unless the job says that the source is trusted.

use std::collections::HashSet;

use super::survey::OURS;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::calls::of_statement;
use crate::store::statements;

/// Code of somebody who is no superuser on the source.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Code {
    /// What runs it.
    pub(in crate::store::postgresql) words: String,
    pub(in crate::store::postgresql) runs: Runs,
}

/// When it runs while the copy is built.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) enum Runs {
    /// While rows are filled in, and as whoever does.
    Filling,
    /// When a row is written without all of its values, or a trigger fires: with scripts, and with kept rows.
    Writing,
    /// As the owner, who is called so on the source.
    As(String),
}

/// Volatile functions of the server that do nothing but say something, or count.
const HARMLESS: &[&str] = &[
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "lo_create",
    "lo_unlink",
    "nextval",
    "pg_extension_config_dump",
    "random",
    "random_normal",
    "setval",
    "timeofday",
    "uuidv4",
    "uuidv7",
];

/// What runs functions of roles that are no superusers, or of a foreign server of theirs: the object in words, its
/// catalogue, whether it is a default that is not generated, and its owner. What only leads from one to the other is gone
/// through.
const REACHED: &str = "
    WITH RECURSIVE reached(classid, objid) AS (
        SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.oid >= 16384 AND NOT r.rolsuper
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
        UNION SELECT 'pg_class'::regclass, c.oid FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.relkind = 'f' AND NOT r.rolsuper
        UNION
        SELECT next.classid, next.objid FROM reached g, LATERAL (
            SELECT d.classid, d.objid FROM pg_depend d
            WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND d.deptype IN ('n', 'a', 'i')
              AND (g.classid <> 'pg_class'::regclass OR d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass))
            UNION ALL
            SELECT 'pg_class'::regclass, w.ev_class FROM pg_rewrite w
            WHERE g.classid = 'pg_rewrite'::regclass AND w.oid = g.objid AND w.rulename = '_RETURN'
        ) next
        WHERE g.classid NOT IN ('pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
                                'pg_event_trigger'::regclass, 'pg_statistic_ext'::regclass)
          AND (g.classid <> 'pg_class'::regclass OR EXISTS (SELECT FROM pg_class v WHERE v.oid = g.objid AND v.relkind IN ('v', 'f')))
          AND (g.classid <> 'pg_type'::regclass OR EXISTS (SELECT FROM pg_type t WHERE t.oid = g.objid AND t.typrelid = 0 AND t.typcategory <> 'A'))
    )
    SELECT pg_describe_object(g.classid, g.objid, 0), g.classid::regclass::text, coalesce(c.relkind, '-')::text,
           coalesce(a.attgenerated = '', false), coalesce(pg_get_userbyid(coalesce(c.relowner, s.stxowner))::text, '')
    FROM reached g LEFT JOIN pg_class c ON g.classid = 'pg_class'::regclass AND c.oid = g.objid
    LEFT JOIN pg_statistic_ext s ON g.classid = 'pg_statistic_ext'::regclass AND s.oid = g.objid
    LEFT JOIN pg_attrdef d ON g.classid = 'pg_attrdef'::regclass AND d.oid = g.objid
    LEFT JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    LEFT JOIN pg_rewrite w ON g.classid = 'pg_rewrite'::regclass AND w.oid = g.objid
    LEFT JOIN pg_type t ON g.classid = 'pg_type'::regclass AND t.oid = g.objid
    WHERE (g.classid <> 'pg_rewrite'::regclass OR w.rulename <> '_RETURN') AND (t.oid IS NULL OR t.typrelid = 0 AND t.typcategory <> 'A')
      AND g.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_trigger'::regclass,
                        'pg_event_trigger'::regclass, 'pg_statistic_ext'::regclass, 'pg_rewrite'::regclass, 'pg_type'::regclass,
                        'pg_conversion'::regclass, 'pg_language'::regclass, 'pg_foreign_data_wrapper'::regclass)
    ORDER BY 1";

/// Expressions of roles that are no superusers which call what can do more than say something.
const CALLED: &str = "
    WITH expressions(classid, objid, tree, kind, owner) AS MATERIALIZED (
        SELECT 'pg_constraint'::regclass::oid, o.oid, o.conbin::text, 'filling', r.rolname
        FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace LEFT JOIN pg_class c ON c.oid = o.conrelid
        LEFT JOIN pg_type t ON t.oid = o.contypid JOIN pg_roles r ON r.oid = coalesce(c.relowner, t.typowner)
        WHERE o.contype = 'c' AND OURS AND NOT r.rolsuper
        UNION ALL
        SELECT 'pg_attrdef'::regclass, d.oid, d.adbin::text, 'writing', r.rolname
        FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_roles r ON r.oid = c.relowner WHERE OURS AND NOT r.rolsuper
        UNION ALL
        SELECT 'pg_class'::regclass, c.oid, w.ev_action::text, 'owner', r.rolname
        FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_roles r ON r.oid = c.relowner WHERE c.relkind = 'm' AND OURS AND NOT r.rolsuper
    ), calling AS (
        SELECT DISTINCT e.classid, e.objid, e.kind, e.owner
        FROM expressions e CROSS JOIN LATERAL regexp_matches(e.tree, ':(funcid|opfuncid|opno) ([0-9]+)', 'g') AS m (found)
        LEFT JOIN pg_operator p ON m.found[1] = 'opno' AND p.oid = m.found[2]::oid
        WHERE CASE WHEN m.found[1] = 'opno' THEN p.oprcode::oid ELSE m.found[2]::oid END IN (
            SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE (p.provolatile = 'v' OR p.proname ~ '_to_xml') AND NOT (n.nspname = 'pg_catalog' AND p.proname = ANY($1))
              AND NOT EXISTS (SELECT FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid AND x.extname IN ('pgcrypto', 'uuid-ossp')
                              WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e'))
    )
    SELECT pg_describe_object(classid, objid, 0), kind, owner::text FROM calling ORDER BY 1";

/// Asks the source.
pub(in crate::store::postgresql) async fn read(session: &Session) -> Result<Vec<Code>> {
    let rows = session
        .query(REACHED, &[])
        .await
        .map_err(session.explain())?;
    let mut found = Vec::new();
    for row in rows {
        let (words, catalogue, kind): (Option<String>, &str, &str) =
            (row.read(0)?, row.read(1)?, row.read(2)?);
        let runs = match (catalogue, kind) {
            ("pg_class", "v" | "f") => continue,
            ("pg_class", "m") | ("pg_statistic_ext", _) => Runs::As(row.read(4)?),
            ("pg_trigger" | "pg_rewrite", _) => Runs::Writing,
            ("pg_attrdef", _) if row.read(3)? => Runs::Writing,
            _ => Runs::Filling,
        };
        // What was dropped since the snapshot has no words any more.
        found.extend(words.map(|words| Code { words, runs }));
    }
    let rows = session
        .query(&CALLED.replace("OURS", OURS), &[&HARMLESS])
        .await
        .map_err(session.explain())?;
    for row in rows {
        let runs = match row.read(1)? {
            "filling" => Runs::Filling,
            "writing" => Runs::Writing,
            _ => Runs::As(row.read(2)?),
        };
        let words: Option<String> = row.read(0)?;
        found.extend(words.map(|words| Code { words, runs }));
    }
    Ok(found)
}

/// What the server's own functions are called that can do more than say something.
async fn dear(session: &Session) -> Result<HashSet<String>> {
    let rows = session
        .query(
            "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace \
             AND (provolatile = 'v' OR proname ~ '_to_xml') AND proname <> ALL($1)",
            &[&HARMLESS],
        )
        .await
        .map_err(session.explain())?;
    rows.iter().map(|row| row.read(0)).collect()
}

/// The same of many; each with what has it.
pub(in crate::store::postgresql) async fn of_definitions<'a>(
    session: &Session,
    all: impl Iterator<Item = (String, std::borrow::Cow<'a, str>)>,
) -> Result<Vec<String>> {
    let dear = dear(session).await?;
    let mut found = Vec::new();
    for (label, definition) in all {
        let of = match statements::split(&definition) {
            Ok(cut) => cut
                .iter()
                .find_map(|statement| of_statement(statement.text, &dear)),
            Err(_) => Some("text that cannot be read".to_owned()),
        };
        found.extend(of.map(|what| format!("{label} ({what})")));
    }
    Ok(found)
}

/// What the session's user can do beyond its databases, if anything.
pub(in crate::store::postgresql) async fn might(
    session: &Session,
) -> Result<Option<(String, &'static str)>> {
    let row = session
        .query_one(
            "SELECT rolname::text, rolsuper, pg_has_role(oid, 'pg_execute_server_program', 'MEMBER'), \
                    pg_has_role(oid, 'pg_write_server_files', 'MEMBER'), pg_has_role(oid, 'pg_read_server_files', 'MEMBER') \
             FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let what = [
        "is a superuser",
        "may run programs on the server",
        "may write files on the server",
        "may read files on the server",
    ];
    for (place, what) in what.into_iter().enumerate() {
        if row.read(place + 1)? {
            return Ok(Some((row.read(0)?, what)));
        }
    }
    Ok(None)
}

/// Refuses code.
pub(in crate::store::postgresql) fn refuse(
    (user, can): &(String, &'static str),
    found: &[String],
) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Permission,
        format!(
            "the target's user {user} {can}, and code of the source would run with its rights: {}",
            first_of(found, 3)
        ),
    )
    .hint("let the target's user be a plain member of live's owner with CREATEDB; or, if everyone who writes to the source may do all that it can, set trust_source = true"))
}
