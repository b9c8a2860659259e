//! The statement that a dump's rows are for: `COPY schema.table (columns) FROM stdin;`. Pure, and in the dump's own encoding.

/// A name as its bytes are.
type Name = Vec<u8>;

/// The table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyStatement {
    pub(super) schema: Name,
    pub(super) table: Name,
    pub(super) columns: Vec<Name>,
}

impl CopyStatement {
    /// Reads it to its end; `None`: it is another one.
    pub(super) fn parse(statement: &[u8]) -> Option<Self> {
        let mut rest = statement.trim_ascii().strip_prefix(b"COPY ")?;
        let schema = name(&mut rest)?;
        rest = rest.strip_prefix(b".")?;
        let table = name(&mut rest)?;
        rest = rest.trim_ascii_start();
        let mut columns = Vec::new();
        if let Some(list) = rest.strip_prefix(b"(") {
            rest = list;
            loop {
                columns.push(name(&mut rest)?);
                if let Some(after) = rest.strip_prefix(b")") {
                    rest = after;
                    break;
                }
                rest = rest.strip_prefix(b", ")?;
            }
        }
        (rest.trim_ascii_start() == b"FROM stdin;").then_some(Self {
            schema,
            table,
            columns,
        })
    }
}

/// Takes a name, out of its quotes. Whoever quotes does so for every letter beyond ASCII's small ones, digits and `_`; in every
/// encoding that a dump can have a quote is a quote.
fn name(rest: &mut &[u8]) -> Option<Name> {
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        let end = rest.iter().position(|byte| !is_plain(byte));
        let (name, after) = rest.split_at(end?);
        *rest = after;
        return (!name.is_empty()).then(|| name.to_vec());
    };
    let (mut name, mut from) = (Vec::new(), quoted);
    loop {
        let end = memchr::memchr(b'"', from)?;
        name.extend_from_slice(&from[..end]);
        from = &from[end + 1..];
        let Some(after) = from.strip_prefix(b"\"") else {
            *rest = from;
            return (!name.is_empty()).then_some(name);
        };
        name.push(b'"');
        from = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_columns_are_read_in_every_spelling_of_pg_dump() {
        for (statement, schema, table, columns) in [
            (
                &b"COPY public.users (id, name) FROM stdin;\n"[..],
                "public",
                "users",
                &["id", "name"][..],
            ),
            (b"COPY public.none  FROM stdin;\n", "public", "none", &[]),
            (
                b"COPY \"a.b\".\"odd \"\"t (x)\" (\"a, b\", \"user\") FROM stdin;",
                "a.b",
                "odd \"t (x)",
                &["a, b", "user"],
            ),
        ] {
            let found = CopyStatement::parse(statement).expect("a statement");
            let text = |name: &Vec<u8>| String::from_utf8(name.clone()).expect("text");
            assert_eq!(
                (&*text(&found.schema), &*text(&found.table)),
                (schema, table)
            );
            let found: Vec<String> = found.columns.iter().map(text).collect();
            assert_eq!(found, columns);
        }
    }

    #[test]
    fn what_is_no_such_statement_is_none() {
        for statement in [
            &b"COPY users (id) FROM stdin;"[..],
            b"COPY public.users FROM '/etc/passwd';",
            b"COPY public.users (id) FROM stdin; DROP TABLE x;",
            b"COPY public.users (id) WITH OIDS FROM stdin;",
            b"COPY public.users () FROM stdin;",
            b"COPY public.\"users FROM stdin;",
            b"COPY public.",
            b"",
        ] {
            assert_eq!(CopyStatement::parse(statement), None);
        }
    }
}
