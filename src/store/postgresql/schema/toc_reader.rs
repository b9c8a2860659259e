//! Reads the table of contents of a `pg_dump` archive.
//!
//! The layout is that of `ReadHead` and `ReadToc` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, versions 1.12 to 1.16.

use std::io::ErrorKind;

use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

use super::toc::{BY_DROP, Binder, Head, Section, Shared, Toc, Words};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::sql::quoting;

/// So many bytes of an archive are read at a time.
const BUFFER: usize = 32 * 1024;

impl Toc {
    /// Reads an archive's head as it comes. Only definitions are in it: rows, if there were any, follow and are not
    /// looked at.
    pub(in crate::store::postgresql) async fn read(
        archive: impl AsyncRead + Unpin,
    ) -> Result<Self> {
        read(archive).await.map_err(|what| {
            Error::new(
                Kind::Internal,
                format!("pg_dump's output cannot be read: {what}"),
            )
            .hint("its version may be newer than this envsyncd; report it")
        })
    }
}

async fn read(archive: impl AsyncRead + Unpin) -> std::result::Result<Toc, String> {
    let mut from = Reader {
        from: BufReader::with_capacity(BUFFER, archive),
        int: 0,
        offset: 0,
        text: Vec::new(),
    };
    let minor = preamble(&mut from).await?;
    let count = from.int().await?;
    let mut words = Words::default();
    let mut binder = Binder::default();
    let mut texts = Texts::default();
    for _ in 0..count {
        let head = entry(&mut from, minor, &mut words, &mut texts).await?;
        let Texts {
            tag,
            definition,
            drop,
            needs,
        } = &texts;
        binder.add(head, [tag, definition, drop, needs]);
    }
    Ok(binder.bind())
}

/// Reads what comes before the entries: the sizes of numbers, and the format's minor version, which is returned.
async fn preamble(from: &mut Reader<impl AsyncRead + Unpin>) -> std::result::Result<u8, String> {
    if from.bytes(5).await?[..5] != *b"PGDMP" {
        return Err("it is no archive".to_owned());
    }
    let version = (from.byte().await?, from.byte().await?);
    let _revision = from.byte().await?;
    if !(version.0 == 1 && (12..=16).contains(&version.1)) {
        return Err(format!("its format is {}.{}", version.0, version.1));
    }
    let minor = version.1;
    from.int = usize::from(from.byte().await?);
    from.offset = usize::from(from.byte().await?);
    if !(1..=8).contains(&from.int) || !(1..=8).contains(&from.offset) {
        return Err("its numbers have an odd size".to_owned());
    }
    if from.byte().await? != 1 {
        return Err("it is not in the custom format".to_owned());
    }
    if minor >= 15 {
        from.byte().await?;
    } else {
        from.int().await?;
    }
    for _ in 0..7 {
        from.int().await?; // the time it was made
    }
    for _ in 0..3 {
        from.skip().await?; // database, server version, pg_dump version
    }
    Ok(minor)
}

/// The texts of an entry, which are filled anew for each.
#[derive(Default)]
struct Texts {
    tag: String,
    definition: String,
    drop: String,
    /// The ids of the entries that it depends on, each with a space behind it.
    needs: String,
}

/// Reads one entry.
async fn entry(
    from: &mut Reader<impl AsyncRead + Unpin>,
    minor: u8,
    words: &mut Words,
    texts: &mut Texts,
) -> std::result::Result<Head, String> {
    let id = from.int().await?;
    let _has_dumper = from.int().await?;
    let object = (from.number().await?, from.number().await?);
    from.string_into(&mut texts.tag).await?;
    let kind = words.word(from.string().await?.unwrap_or_default());
    let section = match from.int().await? {
        1 => Section::Along,
        2 => Section::Before,
        3 => Section::Rows,
        4 => Section::After,
        other => return Err(format!("section {other}")),
    };
    from.string_into(&mut texts.definition).await?;
    without_marks(&kind, &mut texts.definition);
    from.string_into(&mut texts.drop).await?;
    if !BY_DROP.contains(&kind.as_str()) {
        texts.drop.clear();
    }
    from.skip().await?; // the statement for its rows
    let mut named = async |from: &mut Reader<_>| {
        let name = from.string().await?.filter(|name| !name.is_empty());
        std::result::Result::<_, String>::Ok(name.map(|name| words.word(name)))
    };
    let schema = named(from).await?;
    let tablespace = named(from).await?;
    if minor >= 14
        && let Some(method) = from.string().await?
    {
        with_access_method(&kind, method, &mut texts.definition);
    }
    if minor >= 16 {
        from.int().await?; // relkind
    }
    let owner = words.word(from.string().await?.unwrap_or_default());
    from.skip().await?; // whether it has oids
    texts.needs.clear();
    while let Some(text) = from.string().await? {
        text.parse::<u32>()
            .map_err(|_| format!("dependency `{text}`"))?;
        texts.needs.push_str(text);
        texts.needs.push(' ');
    }
    // The custom format's own part: where the rows are.
    from.byte().await?;
    from.bytes(from.offset).await?;
    Ok(Head {
        id,
        object,
        shared: Shared {
            kind,
            section,
            schema,
            owner,
            tablespace,
        },
    })
}

/// A table's access method is not in its definition: `pg_restore` sets it beforehand.
fn with_access_method(kind: &str, method: &str, definition: &mut String) {
    if method != "heap" && !method.is_empty() && matches!(kind, "TABLE" | "MATERIALIZED VIEW") {
        *definition = format!(
            "SET default_table_access_method = {};\n{definition};\nSET default_table_access_method = heap;",
            quoting::quoted(method)
        );
    }
}

/// Servers mark columns for themselves, as if with an option (`pg_attver`, in minor versions of late 2026). A `pg_dump`
/// that does not know of it writes it down, and a server that does not know of it refuses it.
pub(in crate::store::postgresql) fn without_marks(kind: &str, definition: &mut String) {
    const SET: &str = " SET (pg_attver=";
    let relation = matches!(
        kind,
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW"
    );
    if !relation || !definition.contains(SET) {
        return;
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
    *definition = cleaned.collect();
}

struct Reader<R> {
    from: BufReader<R>,
    int: usize,
    offset: usize,
    /// What was read last.
    text: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// So many bytes.
    async fn bytes(&mut self, count: usize) -> std::result::Result<&[u8], String> {
        self.text.clear();
        let mut from = (&mut self.from).take(count as u64);
        // Not all at once: a length may be nonsense.
        let read = from.read_to_end(&mut self.text).await.map_err(broken)?;
        if read < count {
            return Err("it ends too early".to_owned());
        }
        Ok(&self.text)
    }

    async fn byte(&mut self) -> std::result::Result<u8, String> {
        self.from.read_u8().await.map_err(broken)
    }

    /// A sign, then the magnitude, lowest byte first.
    async fn int(&mut self) -> std::result::Result<i64, String> {
        let mut read = [0; 9];
        let read = &mut read[..=self.int];
        self.from.read_exact(read).await.map_err(broken)?;
        let mut value: i64 = 0;
        for (place, byte) in read[1..].iter().enumerate() {
            value |= i64::from(*byte) << (8 * place);
        }
        Ok(if read[0] == 0 {
            value
        } else {
            value.wrapping_neg()
        })
    }

    /// A length, then bytes; a negative length is no string at all.
    async fn string(&mut self) -> std::result::Result<Option<&str>, String> {
        let length = self.int().await?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        let bytes = self.bytes(length).await?;
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| "a name is not in UTF-8".to_owned())
    }

    async fn string_into(&mut self, into: &mut String) -> std::result::Result<(), String> {
        into.clear();
        into.push_str(self.string().await?.unwrap_or_default());
        Ok(())
    }

    async fn skip(&mut self) -> std::result::Result<(), String> {
        self.string().await.map(drop)
    }

    async fn number(&mut self) -> std::result::Result<u32, String> {
        let text = self.string().await?.unwrap_or_default();
        text.parse().map_err(|_| format!("oid `{text}`"))
    }
}

fn broken(error: std::io::Error) -> String {
    if error.kind() == ErrorKind::UnexpectedEof {
        "it ends too early".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgresql::schema::toc::Entry;
    use proptest::prelude::*;

    fn parse(archive: &[u8]) -> Result<Toc> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(Toc::read(archive))
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(parse(b"-- PostgreSQL database dump").is_err());
        assert!(parse(b"PGDMP").is_err());
        assert!(parse(b"PGDMP\x01\x63\x00\x04\x08\x01").is_err());
    }

    #[test]
    fn an_entry_with_other_statements_keeps_all_the_rest() {
        let mut words = Words::default();
        let mut binder = Binder::default();
        for id in [7, 8] {
            let head = Head {
                id,
                object: (1, 2),
                shared: Shared {
                    kind: words.word("FUNCTION"),
                    section: Section::Before,
                    schema: None,
                    owner: words.word("o"),
                    tablespace: None,
                },
            };
            binder.add(head, ["f()", "CREATE", "DROP", "3 4 "]);
        }
        let toc = binder.bind();
        let mut entry = Entry::clone(&toc.entries[1]);
        entry.redefine("CREATE OR REPLACE");
        for (entry, definition) in [(&entry, "CREATE OR REPLACE"), (&toc.entries[1], "CREATE")] {
            assert_eq!(
                (entry.tag(), &*entry.definition(), &*entry.drop()),
                ("f()", definition, "DROP")
            );
            assert_eq!(entry.needs().collect::<Vec<_>>(), [3, 4]);
        }
        entry.renumber();
        assert_eq!(entry.id(), -8);
        assert_eq!(entry.needs().collect::<Vec<_>>(), [-3, -4]);
    }

    #[test]
    fn what_servers_mark_for_themselves_is_no_definition() {
        let table = "CREATE TABLE public.t (\n    a integer\n);\n\
            ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver=22158952, n_distinct=5);\n\
            ALTER TABLE ONLY public.t ALTER COLUMN b SET (pg_attver=22158952);\n\
            ALTER TABLE ONLY public.t ALTER COLUMN c SET STATISTICS 7;\n";
        let cleaned = |kind| {
            let mut definition = table.to_owned();
            without_marks(kind, &mut definition);
            definition
        };
        assert_eq!(
            cleaned("TABLE"),
            "CREATE TABLE public.t (\n    a integer\n);\n\
             ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5);\n\
             ALTER TABLE ONLY public.t ALTER COLUMN c SET STATISTICS 7;\n"
        );
        assert_eq!(cleaned("FUNCTION"), table);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut archive = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
            archive.extend(tail);
            let _ = parse(&archive);
        }
    }
}
