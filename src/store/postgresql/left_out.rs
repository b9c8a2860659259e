//! What goes with excluded tables: all of it is named, and what restricts something is only left out where the job says so.

use std::collections::HashSet;
use std::sync::Arc;

use glob::Pattern;

use super::connection::Session;
use super::survey::{CLASS, DEFAULT, OURS, Object};
use super::toc::Toc;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::store::Selection;
use crate::store::catalogue::first_of;

/// Something that restricts a table, or a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restriction {
    /// Itself, and what it restricts, as catalogue and oid.
    pub(super) object: Object,
    pub(super) on: Object,
    schema: String,
    table: String,
    name: String,
    /// In the server's words.
    words: String,
}

/// What cannot be without excluded tables.
#[derive(Default)]
pub(super) struct LeftOut {
    /// All of it, as catalogue and oid.
    pub(super) gone: HashSet<Object>,
    /// What of it is not a part of something else that goes, in words.
    named: Vec<String>,
    restrictions: Vec<Restriction>,
    /// Where a definition of something that stays speaks of it: schema, name, how the line begins, and what is cut.
    cuts: Vec<Cut>,
}

/// What has to be cut out of a definition.
struct Cut {
    schema: String,
    name: String,
    /// The column whose default it is; `None`: it is a CHECK.
    column: Option<String>,
    text: String,
}

/// Whatever cannot exist without these tables; each with whether it is to be named, and what it restricts.
const QUERY: &str = "
    WITH RECURSIVE gone(classid, objid) AS (
        SELECT 'pg_class'::regclass::oid, oid FROM pg_class WHERE oid = ANY($1)
        UNION
        SELECT next.classid, next.objid FROM gone g, LATERAL (
            SELECT d.classid, d.objid FROM pg_depend d
            WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND d.deptype IN ('n', 'a', 'i', 'P', 'S')
            UNION ALL
            SELECT 'pg_class'::regclass, r.ev_class FROM pg_rewrite r
            WHERE g.classid = 'pg_rewrite'::regclass AND r.oid = g.objid AND r.rulename = '_RETURN'
        ) next
    ), parts(classid, objid) AS (
        SELECT DISTINCT g.classid, g.objid FROM gone g JOIN pg_depend d ON d.classid = g.classid AND d.objid = g.objid
        JOIN gone of ON of.classid = d.refclassid AND of.objid = d.refobjid
        WHERE d.deptype IN ('a', 'i', 'P', 'S') AND (of.classid, of.objid) <> (g.classid, g.objid)
    )
    SELECT g.classid, g.objid,
           CASE WHEN g.classid = 'pg_class'::regclass AND g.objid = ANY($1) THEN false
                WHEN g.classid = 'pg_class'::regclass
                     THEN (SELECT relkind IN ('v', 'm', 'r', 'p', 'f') FROM pg_class WHERE oid = g.objid) OR p.objid IS NULL
                WHEN g.classid = 'pg_trigger'::regclass
                     THEN (SELECT NOT t.tgisinternal AND NOT EXISTS (SELECT FROM gone o WHERE o.classid = 'pg_class'::regclass AND o.objid = t.tgrelid)
                           FROM pg_trigger t WHERE t.oid = g.objid)
                ELSE p.objid IS NULL END,
           pg_describe_object(g.classid, g.objid, 0)
    FROM gone g LEFT JOIN parts p ON p.classid = g.classid AND p.objid = g.objid";

/// All that restricts something: itself, what it is on, schema and name of that, its name, and words for it.
const RESTRICTIONS: &str = "
    WITH restricting(classid, objid, relid, typid, name) AS (
        SELECT 'pg_policy'::regclass::oid, oid, polrelid, 0::oid, polname FROM pg_policy
        UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid, contypid, conname FROM pg_constraint WHERE contype IN ('c', 'x', 'u', 'p')
        UNION ALL SELECT 'pg_rewrite'::regclass, oid, ev_class, 0, rulename FROM pg_rewrite WHERE is_instead AND rulename <> '_RETURN'
        UNION ALL SELECT 'pg_trigger'::regclass, oid, tgrelid, 0, tgname FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, i.indrelid, 0, c.relname
                  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisunique
    )
    SELECT r.classid, r.objid, CASE WHEN r.relid <> 0 THEN 'pg_class'::regclass::oid ELSE 'pg_type'::regclass::oid END,
           CASE WHEN r.relid <> 0 THEN r.relid ELSE r.typid END,
           n.nspname::text, coalesce(c.relname, t.typname)::text, r.name::text, pg_describe_object(r.classid, r.objid, 0)
    FROM restricting r LEFT JOIN pg_class c ON c.oid = r.relid LEFT JOIN pg_type t ON t.oid = r.typid AND r.relid = 0
    JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
    WHERE OURS ORDER BY 1, 2";

/// Defaults and CHECKs among it that stand in the definitions of tables and domains that stay.
const CUTS: &str = "
    SELECT n.nspname::text, c.relname::text, a.attname::text, pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> ''
    FROM unnest($1::oid[]) AS g (oid) JOIN pg_attrdef d ON d.oid = g.oid JOIN pg_class c ON c.oid = d.adrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE c.oid <> ALL ($3)
    UNION ALL
    SELECT n.nspname::text, coalesce(c.relname, t.typname)::text, NULL, pg_get_constraintdef(o.oid), false
    FROM unnest($2::oid[]) AS g (oid) JOIN pg_constraint o ON o.oid = g.oid AND o.contype = 'c' JOIN pg_namespace n ON n.oid = o.connamespace
    LEFT JOIN pg_class c ON c.oid = o.conrelid LEFT JOIN pg_type t ON t.oid = o.contypid
    WHERE o.conrelid <> ALL ($3)";

/// Oids of catalogues (`pg_constraint.h`, `pg_policy.h`, `pg_proc.h`).
const CONSTRAINT: u32 = 2606;
const POLICY: u32 = 3256;
const PROCEDURE: u32 = 1255;

impl LeftOut {
    /// Asks the source.
    pub(super) async fn read(session: &Session, excluded: &[u32]) -> Result<Self> {
        let mut found = Self::default();
        if excluded.is_empty() {
            return Ok(found);
        }
        let rows = session
            .query(QUERY, &[&excluded])
            .await
            .map_err(session.explain())?;
        let mut named = HashSet::new();
        for row in &rows {
            found.gone.insert((row.get(0), row.get(1)));
            if row.get::<_, Option<bool>>(2) != Some(true) {
                continue;
            }
            named.insert((row.get::<_, u32>(0), row.get::<_, u32>(1)));
            found.named.extend(row.get::<_, Option<String>>(3));
        }
        found.named.sort();
        found.restrictions = restrictions(session).await?;
        found.restrictions.retain(|one| named.contains(&one.object));
        let rows = session
            .query(
                CUTS,
                &[&found.of(DEFAULT), &found.of(CONSTRAINT), &found.of(CLASS)],
            )
            .await
            .map_err(session.explain())?;
        for row in rows {
            let (schema, name, column): (String, String, Option<String>) =
                (row.get(0), row.get(1), row.get(2));
            if row.get(4) {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "{schema}.{name}.{} is generated by what needs an excluded table, and would be empty",
                        column.unwrap_or_default()
                    ),
                )
                .hint("exclude its table, too, or exclude neither"));
            }
            found.cuts.push(Cut {
                schema,
                name,
                column,
                text: row.get(3),
            });
        }
        Ok(found)
    }

    fn of(&self, class: u32) -> Vec<u32> {
        let all = self.gone.iter().filter(|object| object.0 == class);
        all.map(|object| object.1).collect()
    }

    /// Refuses to leave out what restricts something, unless the job names it; and names all that is left out.
    pub(super) fn tell(&self, selection: &Selection) -> Result<()> {
        refuse(&self.restrictions, selection)?;
        for object in &self.named {
            tracing::warn!(object, "left out, because it needs an excluded table");
        }
        Ok(())
    }

    /// Warns of what stays and is not what it was without it: tables that nobody may look into any more, routines that speak of
    /// tables that are not there.
    pub(super) async fn warn_of_rest(&self, session: &Session, excluded: &[u32]) -> Result<()> {
        if excluded.is_empty() {
            return Ok(());
        }
        let rows = session
            .query(
                "SELECT DISTINCT n.nspname || '.' || c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE p.oid = ANY($1) AND p.polpermissive AND c.relrowsecurity AND c.oid <> ALL($2)
                   AND NOT EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = c.oid AND o.polpermissive AND o.oid <> ALL($1)) ORDER BY 1",
                &[&self.of(POLICY), &self.of(CLASS)],
            )
            .await
            .map_err(session.explain())?;
        for row in rows {
            tracing::warn!(
                table = row.get::<_, &str>(0),
                "no policy is left that lets anybody see its rows: it is closed to all but its owner"
            );
        }
        let rows = session
            .query(
                &format!(
                    "SELECT p.oid::regprocedure::text, string_agg(DISTINCT c.relname::text, ', ') FROM pg_proc p
                     JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
                     JOIN pg_class c ON c.oid = ANY($1) AND strpos(lower(p.prosrc), lower(c.relname)) > 0
                       AND p.prosrc ~* ('\\m' || regexp_replace(c.relname, '([^[:alnum:]_])', '\\\\\\1', 'g') || '\\M')
                     WHERE {OURS} AND l.lanname NOT IN ('c', 'internal') AND p.oid <> ALL($2)
                       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
                     GROUP BY 1 ORDER BY 1"
                ),
                &[&excluded, &self.of(PROCEDURE)],
            )
            .await
            .map_err(session.explain())?;
        for row in rows {
            tracing::warn!(
                routine = row.get::<_, &str>(0),
                tables = row.get::<_, &str>(1),
                "it seems to speak of an excluded table: what calls it may fail on the target"
            );
        }
        Ok(())
    }

    /// Cuts what is left out from definitions that stay.
    pub(super) fn cut(&self, toc: &mut Toc) {
        for cut in &self.cuts {
            for entry in &mut toc.entries {
                let is_it = matches!(entry.kind.as_str(), "TABLE" | "FOREIGN TABLE" | "DOMAIN")
                    && entry.tag() == cut.name
                    && entry.schema.as_deref() == Some(cut.schema.as_str());
                if is_it && let Some(rest) = cut.out_of(entry.definition()) {
                    Arc::make_mut(entry).redefine(&rest);
                }
            }
        }
    }
}

impl Cut {
    /// A definition without it, if it stands there.
    fn out_of(&self, definition: &str) -> Option<String> {
        let (from, to) = if let Some(column) = &self.column {
            let quoted = super::connection::quoted(column);
            let line = [column, &quoted]
                .iter()
                .find_map(|name| definition.find(&format!("\n    {name} ")))?;
            let text = format!(" DEFAULT {}", self.text);
            let from = line + 1 + definition[line + 1..].find(&text)?;
            (from, from + text.len())
        } else {
            let text = format!(" {}", self.text);
            let at = definition.find(&text)?;
            let end = at + text.len();
            let word = definition[..at].rfind("CONSTRAINT ")?;
            let before = definition[..word].trim_end();
            // A comma goes with it: the one in front, or the one behind.
            match before.strip_suffix(',') {
                Some(rest) => (rest.len(), end),
                None if definition[end..].starts_with(',') => (before.len(), end + 1),
                None => (before.len(), end),
            }
        };
        Some(format!("{}{}", &definition[..from], &definition[to..]))
    }
}

/// All restrictions of a database.
pub(super) async fn restrictions(session: &Session) -> Result<Vec<Restriction>> {
    let rows = session
        .query(&RESTRICTIONS.replace("OURS", OURS), &[])
        .await
        .map_err(session.explain())?;
    let found = rows.iter().map(|row| {
        let on: Object = (row.get(2), row.get(3));
        let (schema, table): (String, String) = (row.get(4), row.get(5));
        let mut words: String = row.get::<_, Option<_>>(7).unwrap_or_default();
        if on.0 != CLASS {
            // The server does not say whose it is.
            words = format!("{words} of domain {schema}.{table}");
        }
        Restriction {
            object: (row.get(0), row.get(1)),
            on,
            schema,
            table,
            name: row.get(6),
            words,
        }
    });
    Ok(found.collect())
}

/// Refuses restrictions that would be lost and that the job does not name.
pub(super) fn refuse(restrictions: &[Restriction], selection: &Selection) -> Result<()> {
    let lost: Vec<&Restriction> = restrictions
        .iter()
        .filter(|one| !selection.may_be_left_out(Some(&one.schema), &one.table, &one.name))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = lost.iter().map(|one| one.words.clone()).collect();
    let keys: Vec<String> = lost
        .iter()
        .map(|one| {
            let name = format!("{}.{}.{}", one.schema, one.table, one.name);
            let escaped = Pattern::escape(&name);
            format!("\"{}\"", escaped.replace('\\', "\\\\").replace('"', "\\\""))
        })
        .collect();
    Err(Error::new(
        Kind::Verify,
        format!(
            "what is excluded is needed by {}: without that the target would allow what the source does not, or hide what it shows",
            first_of(&words, 5)
        ),
    )
    .hint(format!(
        "exclude less, or say in the task that it may go: leave_out = [{}]",
        keys.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(column: Option<&str>, text: &str) -> Cut {
        Cut {
            schema: "public".to_owned(),
            name: "t".to_owned(),
            column: column.map(str::to_owned),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_default_is_cut_from_its_column_alone() {
        let table = "CREATE TABLE public.t (\n    a integer DEFAULT nextval('public.s'::regclass) NOT NULL,\n    \"B c\" integer DEFAULT nextval('public.s'::regclass)\n);\n";
        let text = "nextval('public.s'::regclass)";
        assert_eq!(
            cut(Some("B c"), text).out_of(table).as_deref(),
            Some(
                "CREATE TABLE public.t (\n    a integer DEFAULT nextval('public.s'::regclass) NOT NULL,\n    \"B c\" integer\n);\n"
            )
        );
        assert_eq!(cut(Some("z"), text).out_of(table), None);
    }

    #[test]
    fn a_check_is_cut_with_one_comma() {
        let table = "CREATE TABLE public.t (\n    a integer,\n    CONSTRAINT one CHECK (public.f(a)),\n    CONSTRAINT two CHECK ((a > 0))\n);\n";
        let rest =
            "CREATE TABLE public.t (\n    a integer,\n    CONSTRAINT two CHECK ((a > 0))\n);\n";
        assert_eq!(
            cut(None, "CHECK (public.f(a))").out_of(table).as_deref(),
            Some(rest)
        );
        let only = "CREATE TABLE public.t (\n    CONSTRAINT one CHECK (public.f()),\n    CONSTRAINT two CHECK (true)\n);\n";
        assert_eq!(
            cut(None, "CHECK (public.f())").out_of(only).as_deref(),
            Some("CREATE TABLE public.t (\n    CONSTRAINT two CHECK (true)\n);\n")
        );
        let domain =
            "CREATE DOMAIN public.t AS integer\n\tCONSTRAINT one CHECK (public.f(VALUE));\n";
        assert_eq!(
            cut(None, "CHECK (public.f(VALUE))")
                .out_of(domain)
                .as_deref(),
            Some("CREATE DOMAIN public.t AS integer;\n")
        );
    }

    #[test]
    fn a_restriction_goes_only_where_the_job_names_it() {
        let policy = Restriction {
            object: (POLICY, 1),
            on: (CLASS, 2),
            schema: "public".to_owned(),
            table: "orders".to_owned(),
            name: "own rows".to_owned(),
            words: "policy own rows on table public.orders".to_owned(),
        };
        let selection = Selection::everything();
        let error = refuse(&[policy], &selection)
            .expect_err("nothing is named")
            .to_string();
        assert!(
            error.contains("policy own rows")
                && error.contains("leave_out = [\"public.orders.own rows\"]"),
            "{error}"
        );
        assert!(refuse(&[], &selection).is_ok());
    }
}
