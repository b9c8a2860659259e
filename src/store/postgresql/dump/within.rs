//! What a dump's statements may be about: their own database, and nothing else.

use super::head::{Entry, shown};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::schema::toc::BY_DROP;
use crate::store::postgresql::sql::scope::belongs;
use crate::store::redact::{self, Dialect};
use crate::store::statements;

/// Refuses an entry with a statement that `pg_dump` never writes for what is in a database: restored, it would run with
/// all the rights of the target's user.
pub(in crate::store::postgresql) fn stay(entry: &Entry) -> Result<()> {
    let refused = |statement: &str, why: &str| {
        Error::new(Kind::Verify, format!("{} of the dump {why}", entry.label())).hint(format!(
            "no dump of one database has that; the statement was: {}",
            redact::statement(statement, Dialect::Postgresql)
        ))
    };
    let definition = shown(&entry.definition);
    let kind = shown(&entry.kind);
    if kind == "BLOB METADATA" {
        // No statements, but the numbers of large objects.
        if !definition
            .split_whitespace()
            .all(|oid| oid.parse::<u32>().is_ok())
        {
            return Err(refused(
                &definition,
                "has something else than large objects' numbers",
            ));
        }
    } else {
        for statement in cut(entry, &definition)? {
            if !belongs(statement) {
                return Err(refused(
                    statement,
                    "has a statement that reaches out of its database",
                ));
            }
        }
    }
    // Of some kinds the name is taken from there.
    if BY_DROP.contains(&kind.as_ref()) {
        let drop = shown(&entry.drop);
        let drops = cut(entry, &drop)?;
        let is_one = drops.len() <= 1;
        if !is_one || drops.iter().any(|drop| !drop.starts_with("DROP ")) {
            return Err(refused(&drop, "is not dropped by one DROP"));
        }
    }
    let copy = shown(&entry.copy);
    let copy = copy.trim();
    if !copy.is_empty() && !takes_the_dump_s_rows(copy) {
        return Err(refused(copy, "has rows that do not come from the dump"));
    }
    Ok(())
}

/// Whether a statement is `COPY table (columns) FROM stdin;` and nothing beside it.
fn takes_the_dump_s_rows(copy: &str) -> bool {
    let table = copy
        .strip_prefix("COPY ")
        .and_then(|rest| rest.strip_suffix(" FROM stdin;"));
    let Some(table) = table else {
        return false;
    };
    // Quoted names may have anything in them; outside of them no string, comment or end of a statement can begin.
    let outside: Vec<&str> = table.split('"').step_by(2).collect();
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | ',' | ' ' | '(' | ')');
    table.matches('"').count() % 2 == 0 && outside.iter().all(|part| part.chars().all(is_plain))
}

fn cut<'a>(entry: &Entry, text: &'a str) -> Result<Vec<&'a str>> {
    let cut = statements::split(text).map_err(|flaw| {
        Error::new(
            Kind::Verify,
            format!("{} of the dump cannot be read: {flaw}", entry.label()),
        )
    })?;
    Ok(cut.into_iter().map(|statement| statement.text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_from_the_dump_and_from_nowhere_else() {
        for copy in [
            "COPY public.users (id, name) FROM stdin;",
            "COPY public.\"odd; \"\"name' --\" (\"a b\", größe) FROM stdin;",
            "COPY public.t  FROM stdin;",
        ] {
            assert!(takes_the_dump_s_rows(copy), "{copy}");
        }
        for copy in [
            "COPY public.t FROM PROGRAM 'id'; -- FROM stdin;",
            "COPY public.t FROM '/etc/passwd';",
            "COPY public.t FROM stdin; DROP DATABASE x;",
            "COPY public.t FROM stdin; DROP DATABASE x; COPY public.t FROM stdin;",
            "COPY public.\"t FROM stdin;",
            "SELECT 1; COPY public.t FROM stdin;",
        ] {
            assert!(!takes_the_dump_s_rows(copy), "{copy}");
        }
    }
}
