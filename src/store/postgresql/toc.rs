//! The table of contents of a `pg_dump` archive: every definition with its kind, owner and what it depends on.
//!
//! `pg_restore` can only list it or run all of a section at once; a copy wants to start a table's indexes when its
//! rows are in, to leave things out with all that hangs on them, and to name the statement that failed. The layout is
//! that of `ReadHead` and `ReadToc` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, versions 1.12 to 1.16.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

use super::roles::BY_DROP;
use crate::error::{Error, Kind, Result};

/// So many bytes of entries' texts lie together: a large schema is some hundred thousand of them, and each by itself
/// would take more room around it than in it.
const PAGE: usize = 32 * 1024;

/// A word that many entries share: a kind, a schema, a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Word(Arc<String>);

impl Word {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Word {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Word {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// Words that were met before.
#[derive(Default)]
pub(super) struct Words(HashSet<Word>);

impl Words {
    /// The one instance of a word.
    pub(super) fn word(&mut self, text: &str) -> Word {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let word = Word(Arc::new(text.to_owned()));
        self.0.insert(word.clone());
        word
    }
}

/// Where in a restore an entry belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Its number in the archive; others depend on it by this. Negative: it is of another archive.
    pub(super) id: i64,
    /// The catalogue it comes from, and its oid there (0, 0 for what has none).
    pub(super) object: (u32, u32),
    /// `TABLE`, `INDEX`, `FK CONSTRAINT`, ...
    pub(super) kind: Word,
    pub(super) section: Section,
    pub(super) schema: Option<Word>,
    pub(super) owner: Word,
    /// Where its files are, if not in the database's own tablespace.
    pub(super) tablespace: Option<Word>,
    /// The page that has its texts one after the other, and where each of them ends.
    page: Arc<String>,
    start: u32,
    tag: u32,
    definition: u32,
    drop: u32,
    needs: u32,
}

/// What an entry has beside its texts.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) object: (u32, u32),
    pub(super) kind: Word,
    pub(super) section: Section,
    pub(super) schema: Option<Word>,
    pub(super) owner: Word,
    pub(super) tablespace: Option<Word>,
}

impl Entry {
    /// One whose texts are still to come.
    fn new(head: Head) -> Self {
        Self {
            id: head.id,
            object: head.object,
            kind: head.kind,
            section: head.section,
            schema: head.schema,
            owner: head.owner,
            tablespace: head.tablespace,
            page: Arc::default(),
            start: 0,
            tag: 0,
            definition: 0,
            drop: 0,
            needs: 0,
        }
    }

    fn text(&self, from: u32, to: u32) -> &str {
        &self.page[from as usize..to as usize]
    }

    /// Its name; for functions with arguments, for constraints with the table in front.
    pub(super) fn tag(&self) -> &str {
        self.text(self.start, self.tag)
    }

    /// The statements that make it.
    pub(super) fn definition(&self) -> &str {
        self.text(self.tag, self.definition)
    }

    /// The statement that drops it, of kinds whose name is only there.
    pub(super) fn drop(&self) -> &str {
        self.text(self.definition, self.drop)
    }

    /// The numbers of what has to be there first.
    pub(super) fn needs(&self) -> impl Iterator<Item = i64> + '_ {
        self.text(self.drop, self.needs)
            .split_ascii_whitespace()
            .filter_map(|number| number.parse::<i64>().ok())
            .map(|number| number * self.id.signum())
    }

    /// Gives it other statements.
    pub(super) fn redefine(&mut self, definition: &str) {
        let mut page = String::new();
        page.push_str(self.tag());
        let tag = page.len();
        page.push_str(definition);
        let end = page.len();
        page.push_str(&self.page[self.definition as usize..self.needs as usize]);
        let moved = |place: u32| (end + (place - self.definition) as usize) as u32;
        (self.drop, self.needs) = (moved(self.drop), moved(self.needs));
        (self.start, self.tag, self.definition) = (0, tag as u32, end as u32);
        self.page = Arc::new(page);
    }

    /// For messages: `index public.users_email_idx`.
    pub(super) fn label(&self) -> String {
        let kind = self.kind.to_lowercase();
        match &self.schema {
            Some(schema) => format!("{kind} {}.{}", schema.as_str(), self.tag()),
            None => format!("{kind} {}", self.tag()),
        }
    }
}

/// A dump's entries, in an order in which they can be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Toc {
    pub(super) entries: Vec<Arc<Entry>>,
}

impl Toc {
    /// Reads an archive's head as it comes. Only definitions are in it: rows, if there were any, follow and are not
    /// looked at.
    pub(super) async fn read(archive: impl AsyncRead + Unpin) -> Result<Self> {
        read(archive).await.map_err(|what| {
            Error::new(
                Kind::Internal,
                format!("pg_dump's output cannot be read: {what}"),
            )
            .hint("its version may be newer than this envsyncd; report it")
        })
    }
}

/// Puts entries' texts into pages.
#[derive(Default)]
pub(super) struct Binder {
    page: String,
    /// Entries whose page is still open.
    open: Vec<Entry>,
    entries: Vec<Arc<Entry>>,
}

impl Binder {
    /// Takes in an entry: its tag, definition, what drops it, and the numbers that it needs, each followed by a blank.
    pub(super) fn add(&mut self, head: Head, texts: [&str; 4]) {
        let mut entry = Entry::new(head);
        let length: usize = texts.iter().map(|text| text.len()).sum();
        if self.page.len() + length > PAGE {
            self.close();
        }
        if self.page.capacity() == 0 {
            self.page.reserve_exact(length.max(PAGE));
        }
        entry.start = self.page.len() as u32;
        let mut end = |text: &str| {
            self.page.push_str(text);
            self.page.len() as u32
        };
        entry.tag = end(texts[0]);
        entry.definition = end(texts[1]);
        entry.drop = end(texts[2]);
        entry.needs = end(texts[3]);
        self.open.push(entry);
    }

    fn close(&mut self) {
        let page = Arc::new(std::mem::take(&mut self.page));
        self.entries.extend(self.open.drain(..).map(|mut entry| {
            entry.page = page.clone();
            Arc::new(entry)
        }));
    }

    /// All that was taken in, in order.
    pub(super) fn bind(mut self) -> Toc {
        self.close();
        Toc {
            entries: self.entries,
        }
    }
}

async fn read(archive: impl AsyncRead + Unpin) -> std::result::Result<Toc, String> {
    let mut from = Reader {
        from: BufReader::with_capacity(PAGE, archive),
        int: 0,
        offset: 0,
        text: Vec::new(),
    };
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
    let count = from.int().await?;
    let mut words = Words::default();
    let mut binder = Binder::default();
    let (mut tag, mut definition, mut drop, mut needs) =
        (String::new(), String::new(), String::new(), String::new());
    for _ in 0..count {
        let id = from.int().await?;
        let _has_dumper = from.int().await?;
        let object = (from.number().await?, from.number().await?);
        from.string_into(&mut tag).await?;
        let kind = words.word(from.string().await?.unwrap_or_default());
        let section = match from.int().await? {
            1 => Section::Along,
            2 => Section::Before,
            3 => Section::Rows,
            4 => Section::After,
            other => return Err(format!("section {other}")),
        };
        from.string_into(&mut definition).await?;
        without_marks(&kind, &mut definition);
        from.string_into(&mut drop).await?;
        if !BY_DROP.contains(&kind.as_str()) {
            drop.clear();
        }
        from.skip().await?; // the statement for its rows
        let mut named = async |from: &mut Reader<_>| {
            let name = from.string().await?.filter(|name| !name.is_empty());
            std::result::Result::<_, String>::Ok(name.map(|name| words.word(name)))
        };
        let schema = named(&mut from).await?;
        let tablespace = named(&mut from).await?;
        if minor >= 14
            && let Some(method) = from.string().await?
        {
            with_access_method(&kind, method, &mut definition);
        }
        if minor >= 16 {
            from.int().await?; // relkind
        }
        let owner = words.word(from.string().await?.unwrap_or_default());
        from.skip().await?; // whether it has oids
        needs.clear();
        while let Some(text) = from.string().await? {
            text.parse::<u32>()
                .map_err(|_| format!("dependency `{text}`"))?;
            needs.push_str(text);
            needs.push(' ');
        }
        // The custom format's own part: where the rows are.
        from.byte().await?;
        from.bytes(from.offset).await?;
        let head = Head {
            id,
            object,
            kind,
            section,
            schema,
            owner,
            tablespace,
        };
        binder.add(head, [&tag, &definition, &drop, &needs]);
    }
    Ok(binder.bind())
}

/// A table's access method is not in its definition: `pg_restore` sets it beforehand.
fn with_access_method(kind: &str, method: &str, definition: &mut String) {
    if method != "heap" && !method.is_empty() && matches!(kind, "TABLE" | "MATERIALIZED VIEW") {
        *definition = format!(
            "SET default_table_access_method = {};\n{definition};\nSET default_table_access_method = heap;",
            super::connection::quoted(method)
        );
    }
}

/// Servers mark columns for themselves, as if with an option (`pg_attver`, in minor versions of late 2026). A `pg_dump`
/// that does not know of it writes it down, and a server that does not know of it refuses it.
pub(super) fn without_marks(kind: &str, definition: &mut String) {
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
                kind: words.word("FUNCTION"),
                section: Section::Before,
                schema: None,
                owner: words.word("o"),
                tablespace: None,
            };
            binder.add(head, ["f()", "CREATE", "DROP", "3 4 "]);
        }
        let toc = binder.bind();
        let mut entry = Entry::clone(&toc.entries[1]);
        entry.redefine("CREATE OR REPLACE");
        for (entry, definition) in [(&entry, "CREATE OR REPLACE"), (&*toc.entries[1], "CREATE")] {
            assert_eq!(
                (entry.tag(), entry.definition(), entry.drop()),
                ("f()", definition, "DROP")
            );
            assert_eq!(entry.needs().collect::<Vec<_>>(), [3, 4]);
        }
        entry.id = -8;
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
