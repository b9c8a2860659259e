//! A dump's rows as a source's: each table's once, in the dump's own order, out of its statements and into lines. None of them is
//! on a disk on its way.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{Mutex, mpsc};

use super::inserts::{Inserts, Layout};
use super::noted::Noted;
use super::statement::LONGEST;
use super::stream::{Found, Place, step};
use super::values;
use crate::error::{Error, Kind, Result};
use crate::store::dump::{Dump, DumpFile, read_ahead, unwanted};
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::mysql::sql::splitter::Scanner;
use crate::store::{Chunk, Chunks};

/// Chunks are of about so many bytes.
const CHUNK: usize = 256 * 1024;

/// All rows of a dump that was read once.
pub(super) struct Rows {
    file: Arc<dyn DumpFile>,
    noted: Arc<Noted>,
    reader: Arc<Mutex<Reader>>,
}

impl Rows {
    pub(super) fn new(file: Arc<dyn DumpFile>, noted: Arc<Noted>) -> Self {
        let reader = Reader::new(file.clone(), noted.clone());
        Self {
            file,
            noted,
            reader: Arc::new(Mutex::new(reader)),
        }
    }

    pub(super) fn noted(&self) -> &Noted {
        &self.noted
    }

    /// Says which tables are going to be read: rows that are wanted later are not passed over.
    pub(super) async fn want(&self, tables: impl Iterator<Item = usize>) {
        let wanted = tables.filter(|at| !self.is_scattered(*at)).collect();
        self.reader.lock().await.wanted = wanted;
    }

    /// Other tables' rows are among its own: it is read by itself.
    fn is_scattered(&self, at: usize) -> bool {
        self.noted.table(at).gaps > 0
    }

    /// A table's rows, which are laid out so.
    pub(super) async fn read(&self, at: usize, layout: Layout) -> Chunks {
        let reader = if self.is_scattered(at) {
            let own = Reader::new(self.file.clone(), self.noted.clone());
            Arc::new(Mutex::new(own))
        } else {
            self.reader.clone()
        };
        let mut reader = reader.lock_owned().await;
        read_ahead(|to| async move { reader.table(at, &layout, &to).await })
    }

    /// Reads what is left. It has to be what was there before.
    pub(super) async fn finish(&self) -> Result<()> {
        let mut reader = self.reader.lock().await;
        reader.refuse_inside()?;
        if reader.dump.is_none() {
            return Ok(());
        }
        while let Some((place, number)) = reader.next().await? {
            reader.pass(&place, number)?;
        }
        if reader.count == self.noted.statements && reader.wanted.is_empty() {
            return Ok(());
        }
        Err(reader.changed())
    }
}

/// One way through a dump.
struct Reader {
    file: Arc<dyn DumpFile>,
    noted: Arc<Noted>,
    /// From the first statement on.
    dump: Option<Dump>,
    scanner: Scanner,
    /// How many statements have come.
    count: u64,
    dialect: Dialect,
    /// How many times strings have begun to end otherwise.
    changes: usize,
    /// Tables that are still to be read.
    wanted: HashSet<usize>,
    /// Somebody stopped in the middle of a table.
    is_inside: bool,
}

impl Reader {
    fn new(file: Arc<dyn DumpFile>, noted: Arc<Noted>) -> Self {
        Self {
            file,
            noted,
            dump: None,
            scanner: Scanner::of_stream(LONGEST),
            count: 0,
            dialect: Dialect::default(),
            changes: 0,
            wanted: HashSet::new(),
            is_inside: false,
        }
    }

    /// The error of a file that is another one than before.
    fn changed(&self) -> Error {
        let what = format!(
            "the dump {} is not what it was when this run began: somebody writes to it",
            self.file.name()
        );
        Error::new(Kind::Verify, what).hint("run the job again when it is written")
    }

    /// The next statement and its number.
    async fn next(&mut self) -> Result<Option<(Place, u64)>> {
        while let Some((behind, dialect)) = self.noted.dialect(self.changes)
            && behind < self.count
        {
            self.dialect = dialect;
            self.scanner.set_dialect(dialect);
            self.changes += 1;
        }
        if self.dump.is_none() {
            self.dump = Some(self.file.open().await?);
        }
        let Some(dump) = &mut self.dump else {
            return Ok(None);
        };
        loop {
            match step(&mut self.scanner, dump, self.file.name()).await? {
                Some(Found::Statement(place)) => {
                    self.count += 1;
                    return Ok(Some((place, self.count - 1)));
                }
                Some(Found::Remark(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The table that a statement has rows of.
    fn table_of(&self, place: &Place, number: u64) -> Option<usize> {
        let sql = self.scanner.text(place.range.clone());
        if !values::begins_rows(sql) {
            return None;
        }
        let head = values::head(sql, self.dialect).ok()?;
        self.noted.place_of(&head.table, number)
    }

    /// Passes over what nobody wants.
    fn pass(&self, place: &Place, number: u64) -> Result<()> {
        let table = self.table_of(place, number);
        if table.is_some_and(|at| self.wanted.contains(&at)) {
            let what = "a dump is read in another order than it is written in";
            return Err(Error::new(Kind::Internal, what));
        }
        Ok(())
    }

    fn refuse_inside(&self) -> Result<()> {
        if self.is_inside {
            let what = "a dump is read on, and what was read before has not ended";
            return Err(Error::new(Kind::Internal, what));
        }
        Ok(())
    }

    async fn table(
        &mut self,
        at: usize,
        layout: &Layout,
        to: &mpsc::Sender<Result<Chunk>>,
    ) -> Result<()> {
        self.refuse_inside()?;
        self.is_inside = true;
        self.wanted.remove(&at);
        let (mut statements, mut left) = {
            let table = self.noted.table(at);
            (table.statements, table.rows)
        };
        let mut lines = Lines::new();
        while statements > 0 {
            let Some((place, number)) = self.next().await? else {
                return Err(self.changed());
            };
            if self.table_of(&place, number) != Some(at) {
                self.pass(&place, number)?;
                continue;
            }
            statements -= 1;
            let refused = |why: String| {
                let file = self.file.name();
                Error::new(
                    Kind::Verify,
                    format!("{file}:{} is refused: {why}", place.line),
                )
                .hint("the dump is damaged, or no dump; take another one")
            };
            let sql = self.scanner.text(place.range.clone());
            let mut rows = Inserts::new(sql, layout).map_err(refused)?;
            while !rows.is_over() {
                let found = rows.fill(&mut lines.out, CHUNK).map_err(refused)?;
                lines.rows += found;
                left = left.checked_sub(found).ok_or_else(|| self.changed())?;
                if lines.out.len() >= CHUNK {
                    lines.send(to).await?;
                }
            }
        }
        if left > 0 {
            return Err(self.changed());
        }
        lines.send(to).await?;
        self.is_inside = false;
        Ok(())
    }
}

/// Lines that nobody has got yet.
struct Lines {
    out: BytesMut,
    rows: u64,
}

impl Lines {
    fn new() -> Self {
        Self {
            out: BytesMut::with_capacity(CHUNK + CHUNK / 4),
            rows: 0,
        }
    }

    async fn send(&mut self, to: &mpsc::Sender<Result<Chunk>>) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let lines = std::mem::replace(self, Self::new());
        let chunk = Chunk {
            rows: lines.rows,
            data: lines.out.freeze(),
        };
        to.send(Ok(chunk)).await.map_err(|_| unwanted())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{StreamExt, TryStreamExt, stream};

    use super::super::noted::{Reading, Statement};
    use super::*;
    use crate::store::mysql::dump::forms::Form;

    struct File(Vec<u8>);

    #[async_trait::async_trait]
    impl DumpFile for File {
        fn name(&self) -> &'static str {
            "dump"
        }

        async fn open(&self) -> Result<Dump> {
            let pieces: Vec<Result<Bytes>> = self
                .0
                .chunks(7)
                .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                .collect();
            Ok(stream::iter(pieces).boxed())
        }
    }

    fn reading() -> Reading {
        Reading {
            dialect: Dialect::default(),
            charset: "utf8mb4".to_owned(),
            zone: Some("+00:00".to_owned()),
            has_past: false,
        }
    }

    /// A dump of tables with one column, whose first reading was of `noted`.
    fn dump(text: &str, noted: &[&str]) -> Rows {
        let mut found = Noted::default();
        for (number, sql) in noted.iter().enumerate() {
            let rows = values::read(sql.as_bytes(), Dialect::default()).expect("rows");
            let table = usize::from(rows.table[0]);
            let names = Some((String::from_utf8(rows.table.clone()).expect("text"), None));
            let statement = Statement {
                number: number as u64,
                rows,
                bytes: sql.len() as u64,
                reading: reading(),
            };
            found.add(table, statement, names).expect("it is noted");
        }
        found.statements = noted.len() as u64;
        found.end(|_| true, false);
        Rows::new(Arc::new(File(text.as_bytes().to_vec())), Arc::new(found))
    }

    async fn read(rows: &Rows, table: &str) -> std::result::Result<String, String> {
        let at = rows.noted().place(table).expect("a table");
        let layout = Layout {
            fields: vec![Some(Form::Number)],
            dialect: Dialect::default(),
            charset: "utf8mb4".to_owned(),
        };
        let chunks: Vec<Chunk> = (rows.read(at, layout).await.try_collect().await)
            .map_err(|error: Error| error.to_string())?;
        let lines: Vec<u8> = chunks
            .iter()
            .flat_map(|chunk| chunk.data.to_vec())
            .collect();
        Ok(String::from_utf8(lines).expect("text").replace('\n', " "))
    }

    const SQL: [&str; 4] = [
        "INSERT INTO `a` VALUES (1),(2)",
        "INSERT INTO `b` VALUES (3)",
        "INSERT INTO `a` VALUES (4)",
        "INSERT INTO `c` VALUES (5)",
    ];

    #[tokio::test]
    async fn rows_that_are_here_and_there_come_all_and_others_in_their_order() {
        let rows = dump(&SQL.join(";\n"), &SQL);
        rows.want(0..3).await;
        assert_eq!(read(&rows, "a").await.as_deref(), Ok("1 2 4 "));
        assert_eq!(read(&rows, "b").await.as_deref(), Ok("3 "));
        assert_eq!(read(&rows, "c").await.as_deref(), Ok("5 "));
        rows.finish().await.expect("it is whole");
        // One that is wanted is not passed over.
        let rows = dump(&SQL.join(";\n"), &SQL);
        rows.want(0..3).await;
        let error = read(&rows, "c").await.expect_err("out of order");
        assert!(error.contains("another order"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_another_one_the_second_time_is_an_error() {
        for (changed, is_late) in [
            (SQL[..3].join(";\n"), false),
            (SQL.join(";\n").replace("(5)", "(5),(6)"), false),
            (SQL.join(";\n").replace("(5)", "(5,6)"), false),
            (format!("{};\nSET x = 1", SQL.join(";\n")), true),
        ] {
            let rows = dump(&changed, &SQL);
            rows.want(0..3).await;
            assert_eq!(read(&rows, "b").await.as_deref(), Ok("3 "));
            assert_eq!(read(&rows, "c").await.is_ok(), is_late, "{changed}");
            assert!(rows.finish().await.is_err(), "{changed}");
        }
    }
}
