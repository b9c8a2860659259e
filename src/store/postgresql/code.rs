//! Code of a source that would run with more rights than its writer has: where the target's user is a superuser, what is
//! evaluated while the copy is built (CHECKs, generated columns, indexes, what triggers do under scripts) is evaluated with
//! a superuser's rights, and code can always go back from another role to the one that logged in. So it is not run at all,
//! unless the job says that the source is trusted.

use std::collections::{BTreeSet, HashSet};

use super::Definitions;
use super::beyond::dollar_quote;
use super::connection::Session;
use super::dumped::{after_comment, after_line, words};
use super::roles::Roles;
use super::survey::{OURS, version};
use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::statements;

/// Code of somebody who is no superuser on the source.
#[derive(Debug, Clone)]
pub(super) struct Code {
    /// What runs it.
    words: String,
    runs: Runs,
}

/// When it runs while the copy is built.
#[derive(Debug, Clone)]
enum Runs {
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
pub(super) async fn read(session: &Session) -> Result<Vec<Code>> {
    let rows = session
        .query(REACHED, &[])
        .await
        .map_err(session.explain())?;
    let mut found = Vec::new();
    for row in rows {
        let (words, catalogue, kind): (Option<String>, &str, &str) =
            (row.get(0), row.get(1), row.get(2));
        let runs = match (catalogue, kind) {
            ("pg_class", "v" | "f") => continue,
            ("pg_class", "m") | ("pg_statistic_ext", _) => Runs::As(row.get(4)),
            ("pg_trigger" | "pg_rewrite", _) => Runs::Writing,
            ("pg_attrdef", _) if row.get(3) => Runs::Writing,
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
        let runs = match row.get(1) {
            "filling" => Runs::Filling,
            "writing" => Runs::Writing,
            _ => Runs::As(row.get(2)),
        };
        let words: Option<String> = row.get(0);
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
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How names of functions begin that extensions have and that run SQL, reach other servers or files.
const OF_EXTENSIONS: [&str; 6] = [
    "dblink",
    "pg_file_",
    "crosstab",
    "connectby",
    "xpath_table",
    "plpy",
];

/// What every dump begins with.
const PATH: &str = "SELECT pg_catalog.set_config('search_path', '', false)";

/// What a statement of somebody who is not known makes, or calls, that would run with our rights; `None`: nothing.
fn of_statement(statement: &str, dear: &HashSet<String>) -> Option<String> {
    if statement == PATH {
        return None;
    }
    if sets_rules(statement) {
        return Some("setting".to_owned());
    }
    let all = words(statement);
    let mut all = all.iter().map(String::as_str).filter(|word| {
        !matches!(
            *word,
            "OR" | "REPLACE" | "TRUSTED" | "PROCEDURAL" | "CONSTRAINT" | "DEFAULT"
        )
    });
    if all.next() == Some("CREATE") {
        let mut next = || all.next().unwrap_or_default();
        let (what, next, third) = (next(), next(), next());
        let makes = match what {
            "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "LANGUAGE" | "CONVERSION" | "TRANSFORM"
            | "OPERATOR" | "CAST" | "SERVER" => Some(what.to_lowercase()),
            "EVENT" | "ACCESS" | "FOREIGN" | "USER" => {
                Some(format!("{} {}", what.to_lowercase(), next.to_lowercase()))
            }
            "TEXT" if matches!(third, "TEMPLATE" | "PARSER") => {
                Some(format!("text search {}", third.to_lowercase()))
            }
            "TYPE" if statement.contains("INPUT = ") => {
                Some("type with functions of its own".to_owned())
            }
            _ => None,
        };
        if makes.is_some() {
            return makes;
        }
    }
    names(statement)
        .find(|name| {
            name == STRANGE
                || dear.contains(name)
                || OF_EXTENSIONS.iter().any(|start| name.starts_with(start))
        })
        .map(|name| match name.as_str() {
            STRANGE => "a name or a string with escapes".to_owned(),
            name => format!("call of {name}"),
        })
}

/// What stands for a name or a string that nobody writes so who has nothing to hide.
const STRANGE: &str = "'";

/// The identifiers of a statement outside of strings and comments, folded as the server folds them.
fn names(statement: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = statement;
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            if let Some(comment) = rest.strip_prefix("--") {
                rest = after_line(comment);
            } else if rest.starts_with("/*") {
                rest = after_comment(rest);
            } else if let Some((tag, text)) = dollar_quote(rest) {
                rest = text.split_once(tag).map_or("", |(_, rest)| rest);
            } else if first == '\'' {
                rest = after_string(&rest[1..], false);
            } else if let Some(name) = rest.strip_prefix('"') {
                let end = name.find('"').unwrap_or(name.len());
                rest = name.get(end + 1..).unwrap_or_default();
                return Some(name[..end].to_owned());
            } else if first.is_alphabetic() || first == '_' {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                    .unwrap_or(rest.len());
                let name = rest[..end].to_lowercase();
                rest = &rest[end..];
                if name == "u" && rest.starts_with('&') {
                    return Some(STRANGE.to_owned());
                }
                if name == "e" && rest.starts_with('\'') {
                    rest = after_string(&rest[1..], true);
                    // Behind a line break it would go on, by the same rules.
                    if without_blanks(rest).starts_with('\'') {
                        return Some(STRANGE.to_owned());
                    }
                    continue;
                }
                return Some(name);
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
    })
}

/// A text without the blanks and the comments that it begins with.
fn without_blanks(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix("--") {
            Some(comment) => text = after_line(comment),
            None => return text,
        }
    }
}

/// What follows a string whose opening quote is cut off.
fn after_string(text: &str, escapes: bool) -> &str {
    let mut skip = false;
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        match sign {
            _ if skip => skip = false,
            '\\' if escapes => skip = true,
            '\'' if signs.peek().is_some_and(|(_, next)| *next == '\'') => skip = true,
            '\'' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// Client encodings in which a byte of a character may be a backslash.
const ODD_ENCODINGS: [&str; 7] = ["SJIS", "SHIFT", "BIG5", "GBK", "UHC", "GB18030", "JOHAB"];

/// Whether a statement sets something under which the others would be read in another way than here.
fn sets_rules(statement: &str) -> bool {
    let all = words(statement);
    match all
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["SET", "STANDARD_CONFORMING_STRINGS", on] => *on != "ON",
        ["SET", "CLIENT_ENCODING", encoding] => {
            ODD_ENCODINGS.iter().any(|odd| encoding.starts_with(odd))
        }
        ["SET", "SESSION", "AUTHORIZATION", ..] | ["RESET", "SESSION", "AUTHORIZATION"] => false,
        ["SET", what, ..] => !what.starts_with("DEFAULT_"),
        ["RESET", ..] => true,
        _ => false,
    }
}

/// The same of many; each with what has it.
pub(super) async fn of_definitions<'a>(
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
pub(super) async fn might(session: &Session) -> Result<Option<(String, &'static str)>> {
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
    let can = what
        .into_iter()
        .enumerate()
        .find(|(place, _)| row.get(place + 1));
    Ok(can.map(|(_, what)| (row.get(0), what)))
}

/// Refuses code.
pub(super) fn refuse((user, can): &(String, &'static str), found: &[String]) -> Result<()> {
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
    .hint("let the target's user be a plain member of live's owner with CREATEDB; or, if whoever writes to the source may do all that it can, say trust_source = true"))
}

impl Target {
    /// Refuses code of the source that would run with the rights of a target's user who can do more than its databases need;
    /// and warns of what would have them afterwards.
    pub(super) async fn refuse_code(&self, definitions: &Definitions) -> Result<()> {
        let Some(might) = might(&self.admin).await? else {
            return Ok(());
        };
        let number = version(&self.admin).await?.0;
        let owner = self.place_and_owner_of_live().await?.map(|live| live.1);
        let roles = Roles::load(&self.admin, number, owner.as_deref(), self.roles).await?;
        let entries = {
            let toc = definitions
                .toc
                .lock()
                .expect("no one panics with this lock");
            toc.entries.clone()
        };
        let mut made = entries
            .iter()
            .filter(|entry| !definitions.gone.contains(&entry.object));
        if !self.trusts_source {
            let found: Vec<String> = if let Some(code) = &definitions.code {
                let writes = self.has_scripts || !definitions.kept.is_empty();
                let runs: BTreeSet<String> = code
                    .iter()
                    .filter(|code| match &code.runs {
                        Runs::Filling => true,
                        Runs::Writing => writes,
                        Runs::As(owner) => roles.is_mighty(roles.heir(owner)),
                    })
                    .map(|code| code.words.clone())
                    .collect();
                runs.into_iter().collect()
            } else {
                // An archive says itself whose its code is.
                let all = made
                    .clone()
                    .map(|entry| (entry.label(), entry.definition().into()));
                let in_two = definitions.in_two.values();
                let in_two = in_two.flat_map(super::constraints::InTwo::statements);
                let others = definitions.conditions.values().map(String::as_str);
                let others = others.chain(in_two);
                let others = others.map(|text| ("a condition".to_owned(), text.into()));
                of_definitions(&self.admin, all.chain(others)).await?
            };
            refuse(&might, &found)?;
        }
        let rising = |entry: &super::toc::Entry| {
            let heir = roles.heir(&entry.owner);
            matches!(entry.kind.as_str(), "FUNCTION" | "PROCEDURE")
                && entry.definition().contains(" SECURITY DEFINER")
                && heir != &*entry.owner
                && roles.is_mighty(heir)
        };
        let rising: Vec<String> = made
            .by_ref()
            .filter(|entry| rising(entry))
            .map(|entry| entry.label())
            .collect();
        if !rising.is_empty() {
            tracing::warn!(
                routines = first_of(&rising, 5),
                "the target lacks their owner, and they will run with the rights of a superuser, whoever calls them (SECURITY DEFINER)"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(statement: &str) -> Option<String> {
        let dear = ["pg_read_file", "lo_export", "query_to_xml", "set_config"];
        of_statement(statement, &dear.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn what_makes_or_calls_code_is_found_however_it_is_written() {
        for statement in [
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS ''",
            "CREATE /* TABLE */ FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y'",
            "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
            "CREATE DEFAULT CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM f",
            "CREATE TRUSTED PROCEDURAL LANGUAGE l HANDLER h",
            "CREATE TYPE public.t (\n    INTERNALLENGTH = 4,\n    INPUT = public.i,\n    OUTPUT = public.o\n)",
            "CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (program 'id')",
            "CREATE TABLE t (a text CHECK (pg_read_file('/etc/passwd') IS NULL))",
            "CREATE TABLE t (a text CHECK (pg_catalog.\"pg_read_file\"('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (PG_READ_FILE/**/('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (U&\"pg\\005fread_file\"('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (a <> $$'$$ AND pg_read_file('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (a <> E'a'\n'\\'' AND pg_read_file('x') = ''))",
            "CREATE TABLE t (a text -- it's\rCHECK (pg_read_file('x') IS NULL)\n)",
            "SET standard_conforming_strings = 'off'",
            "SET client_encoding = 'SJIS'",
            "SET search_path = odd",
            "CREATE TABLE t (a text CHECK (a <> 'it''s' AND lo_export(1, 'x') = 1))",
            "CREATE TABLE t (a text DEFAULT E'\\'' || query_to_xml('', true, true, ''))",
            "CREATE MATERIALIZED VIEW v AS SELECT public.dblink_exec('x', 'y')",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (set_config('a', 'b', false) = '')",
        ] {
            assert!(found(statement).is_some(), "{statement}");
        }
    }

    #[test]
    fn what_only_says_something_is_no_code() {
        for statement in [
            "CREATE TABLE t (id int DEFAULT nextval('s'::regclass), a timestamptz DEFAULT now(), CHECK (a > '2000-01-01'))",
            "CREATE TABLE t (a text DEFAULT 'pg_read_file(''x'')', b text DEFAULT E'\\' lo_export', c uuid DEFAULT gen_random_uuid())",
            "CREATE VIEW v AS SELECT upper(a) FROM t -- pg_read_file",
            "CREATE TYPE mood AS ENUM ('CREATE FUNCTION', 'INPUT')",
            "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public",
            "CREATE TEXT SEARCH DICTIONARY d (\n    TEMPLATE = pg_catalog.simple )",
            "COMMENT ON TABLE t IS 'CREATE FUNCTION'",
            "SET client_encoding = 'UTF8'",
            "SET standard_conforming_strings = 'on'",
            PATH,
        ] {
            assert_eq!(found(statement), None, "{statement}");
        }
    }
}
