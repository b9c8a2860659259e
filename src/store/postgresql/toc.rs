//! The table of contents of a `pg_dump` archive: every definition with its kind, owner and what it depends on.
//!
//! `pg_restore` can only list it or run all of a section at once; a copy wants to start a table's indexes when its
//! rows are in, to leave things out with all that hangs on them, and to name the statement that failed. The layout is
//! that of `ReadHead` and `ReadToc` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, versions 1.12 to 1.16.

use crate::error::{Error, Kind, Result};

/// Where in a restore an entry belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Wherever the entry before it is: comments and grants.
    Along,
    /// Before rows.
    Before,
    /// Rows.
    Rows,
    /// After rows.
    After,
}

/// One definition.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its number in the archive; others depend on it by this.
    pub(super) id: i64,
    /// The catalogue it comes from, and its oid there (0, 0 for what has none).
    pub(super) object: (u32, u32),
    /// Its name; for functions with arguments, for constraints with the table in front.
    pub(super) tag: String,
    /// `TABLE`, `INDEX`, `FK CONSTRAINT`, ...
    pub(super) kind: String,
    pub(super) section: Section,
    /// The statements that make it.
    pub(super) definition: String,
    /// The statement that drops it.
    pub(super) drop: String,
    pub(super) schema: Option<String>,
    pub(super) owner: String,
    /// Where its files are, if not in the database's own tablespace.
    pub(super) tablespace: Option<String>,
    pub(super) needs: Vec<i64>,
}

impl Entry {
    /// For messages: `index public.users_email_idx`.
    pub(super) fn label(&self) -> String {
        let kind = self.kind.to_lowercase();
        match &self.schema {
            Some(schema) => format!("{kind} {schema}.{}", self.tag),
            None => format!("{kind} {}", self.tag),
        }
    }
}

/// A dump's entries, in an order in which they can be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Toc {
    pub(super) entries: Vec<Entry>,
}

impl Toc {
    /// Reads an archive's head. Only definitions are in it: rows, if there were any, follow and are not looked at.
    pub(super) fn parse(archive: &[u8]) -> Result<Self> {
        read(archive).map_err(|what| {
            Error::new(
                Kind::Internal,
                format!("pg_dump's output cannot be read: {what}"),
            )
            .hint("its version may be newer than this envsyncd; report it")
        })
    }
}

fn read(archive: &[u8]) -> std::result::Result<Toc, String> {
    let mut from = Reader {
        rest: archive,
        int: 0,
        offset: 0,
    };
    if from.take(5)? != b"PGDMP" {
        return Err("it is no archive".to_owned());
    }
    let version = (from.byte()?, from.byte()?);
    let _revision = from.byte()?;
    if !(version.0 == 1 && (12..=16).contains(&version.1)) {
        return Err(format!("its format is {}.{}", version.0, version.1));
    }
    let minor = version.1;
    from.int = usize::from(from.byte()?);
    from.offset = usize::from(from.byte()?);
    if !(1..=8).contains(&from.int) || !(1..=8).contains(&from.offset) {
        return Err("its numbers have an odd size".to_owned());
    }
    if from.byte()? != 1 {
        return Err("it is not in the custom format".to_owned());
    }
    if minor >= 15 {
        from.byte()?;
    } else {
        from.int()?;
    }
    for _ in 0..7 {
        from.int()?; // the time it was made
    }
    for _ in 0..3 {
        from.string()?; // database, server version, pg_dump version
    }
    let count = from.int()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let id = from.int()?;
        let _has_dumper = from.int()?;
        let object = (from.number()?, from.number()?);
        let tag = from.string()?.unwrap_or_default();
        let kind = from.string()?.unwrap_or_default();
        let section = match from.int()? {
            1 => Section::Along,
            2 => Section::Before,
            3 => Section::Rows,
            4 => Section::After,
            other => return Err(format!("section {other}")),
        };
        let definition = from.string()?.unwrap_or_default();
        let drop = from.string()?.unwrap_or_default();
        let _copy = from.string()?;
        let schema = from.string()?.filter(|schema| !schema.is_empty());
        let tablespace = from.string()?.filter(|name| !name.is_empty());
        let access_method = if minor >= 14 { from.string()? } else { None };
        if minor >= 16 {
            from.int()?; // relkind
        }
        let owner = from.string()?.unwrap_or_default();
        let _with_oids = from.string()?;
        let mut needs = Vec::new();
        while let Some(text) = from.string()? {
            needs.push(text.parse().map_err(|_| format!("dependency `{text}`"))?);
        }
        // The custom format's own part: where the rows are.
        from.byte()?;
        from.take(from.offset)?;
        entries.push(Entry {
            id,
            object,
            tag,
            definition: with_access_method(
                &kind,
                access_method.as_deref(),
                without_marks(&kind, definition),
            ),
            kind,
            section,
            drop,
            schema,
            owner,
            tablespace,
            needs,
        });
    }
    Ok(Toc { entries })
}

/// A table's access method is not in its definition: `pg_restore` sets it beforehand.
fn with_access_method(kind: &str, method: Option<&str>, definition: String) -> String {
    match method {
        Some(method)
            if method != "heap"
                && !method.is_empty()
                && matches!(kind, "TABLE" | "MATERIALIZED VIEW") =>
        {
            format!(
                "SET default_table_access_method = {};\n{definition};\nRESET default_table_access_method;",
                super::connection::quoted(method)
            )
        }
        _ => definition,
    }
}

/// Servers mark columns for themselves, as if with an option (`pg_attver`, in minor versions of late 2026). A `pg_dump`
/// that does not know of it writes it down, and a server that does not know of it refuses it.
fn without_marks(kind: &str, definition: String) -> String {
    const SET: &str = " SET (pg_attver=";
    let relation = matches!(
        kind,
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW"
    );
    if !relation || !definition.contains(SET) {
        return definition;
    }
    let cleaned = definition.split_inclusive('\n').filter_map(|line| {
        let marked = line.split_once(SET).filter(|(before, _)| {
            before.starts_with("ALTER ") && before.contains(" ALTER COLUMN ")
        });
        let Some((before, after)) = marked else {
            return Some(line.to_owned());
        };
        let others = after.trim_start_matches(|c: char| c.is_ascii_digit());
        others
            .strip_prefix(", ")
            .map(|others| format!("{before} SET ({others}"))
    });
    cleaned.collect()
}

struct Reader<'a> {
    rest: &'a [u8],
    int: usize,
    offset: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> std::result::Result<&'a [u8], String> {
        if self.rest.len() < count {
            return Err("it ends too early".to_owned());
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> std::result::Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A sign, then the magnitude, lowest byte first.
    fn int(&mut self) -> std::result::Result<i64, String> {
        let negative = self.byte()? != 0;
        let mut value: i64 = 0;
        for (place, byte) in self.take(self.int)?.iter().enumerate() {
            value |= i64::from(*byte) << (8 * place);
        }
        Ok(if negative { -value } else { value })
    }

    /// A length, then bytes; a negative length is no string at all.
    fn string(&mut self) -> std::result::Result<Option<String>, String> {
        let length = self.int()?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec())
            .map(Some)
            .map_err(|_| "a name is not in UTF-8".to_owned())
    }

    fn number(&mut self) -> std::result::Result<u32, String> {
        let text = self.string()?.unwrap_or_default();
        text.parse().map_err(|_| format!("oid `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(Toc::parse(b"-- PostgreSQL database dump").is_err());
        assert!(Toc::parse(b"PGDMP").is_err());
        assert!(Toc::parse(b"PGDMP\x01\x63\x00\x04\x08\x01").is_err());
    }

    #[test]
    fn what_servers_mark_for_themselves_is_no_definition() {
        let table = "CREATE TABLE public.t (\n    a integer\n);\n\
            ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver=22158952, n_distinct=5);\n\
            ALTER TABLE ONLY public.t ALTER COLUMN b SET (pg_attver=22158952);\n\
            ALTER TABLE ONLY public.t ALTER COLUMN c SET STATISTICS 7;\n";
        assert_eq!(
            without_marks("TABLE", table.to_owned()),
            "CREATE TABLE public.t (\n    a integer\n);\n\
             ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5);\n\
             ALTER TABLE ONLY public.t ALTER COLUMN c SET STATISTICS 7;\n"
        );
        assert_eq!(without_marks("FUNCTION", table.to_owned()), table);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut archive = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
            archive.extend(tail);
            let _ = Toc::parse(&archive);
        }
    }
}
