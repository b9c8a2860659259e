//! Rows in files: one INSERT a line, in one transaction, as `sqlite3` reads them. The decoder takes what the encoder writes and
//! nothing else.

use bytes::{Bytes, BytesMut};
use rusqlite::types::ValueRef;

use super::cut::TaggedValues;
use super::{chunks, values};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::store::sqlite::schema::literals::{self, Literal};
use crate::store::sqlite::schema::names::{self, quoted};
use crate::store::{Chunk, Codec, Encoding, Part, RowCodec, RowDecoder, RowEncoder};

/// The encoding of rows in chunks.
pub(in crate::store::sqlite) const ENCODING: Encoding = Encoding::new("rows");

/// Rows as tagged values in chunks, and as INSERT statements in files.
pub(in crate::store::sqlite) struct RowsCodec;

impl Codec for RowsCodec {
    fn encoding(&self) -> Encoding {
        ENCODING
    }

    fn summary(&self) -> &'static str {
        "rows"
    }

    fn file_ending(&self) -> &'static str {
        "sql"
    }

    fn encoder(&self, part: &Part) -> Result<Box<dyn RowEncoder>> {
        Ok(Box::new(InsertEncoder::new(part)))
    }

    fn decoder(&self, part: &Part) -> Result<Box<dyn RowDecoder>> {
        Ok(Box::new(InsertDecoder::new(part)))
    }

    fn values(&self) -> Option<&dyn RowCodec> {
        Some(&TaggedValues)
    }
}

const BEGIN: &[u8] = b"BEGIN;\n";

const COMMIT: &[u8] = b"COMMIT;\n";

const END: &[u8] = b");\n";

/// Bytes that a line may have beside its values, of which each byte may be written as two: names, quotes, commas.
const AROUND: usize = 1024 * 1024;

/// What is the same in every line of a part.
struct Line {
    label: String,
    /// `INSERT INTO "t" ("a", "b") VALUES (`
    head: Vec<u8>,
    values: usize,
}

impl Line {
    fn of(part: &Part) -> Self {
        let head = format!(
            "INSERT INTO {} ({}) VALUES (",
            quoted(&part.name),
            names::list(&part.columns)
        );
        Self {
            label: part.label(),
            head: head.into_bytes(),
            values: part.columns.len(),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::new(
            Kind::Verify,
            format!(
                "the rows of {} are not as they were written: {what}",
                self.label
            ),
        )
    }
}

/// Turns tagged values into lines.
pub(in crate::store::sqlite) struct InsertEncoder {
    line: Line,
    has_begun: bool,
}

impl InsertEncoder {
    pub(in crate::store::sqlite) fn new(part: &Part) -> Self {
        Self {
            line: Line::of(part),
            has_begun: false,
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(BEGIN);
        }
    }
}

impl RowEncoder for InsertEncoder {
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()> {
        self.begin(out);
        let broken = || {
            Error::new(
                Kind::Internal,
                format!("a chunk of {} is not whole rows", self.line.label),
            )
        };
        let mut data = &chunk[..];
        if self.line.values == 0 && !data.is_empty() {
            return Err(broken());
        }
        while !data.is_empty() {
            out.extend_from_slice(&self.line.head);
            for place in 0..self.line.values {
                if place > 0 {
                    out.extend_from_slice(b",");
                }
                let value = values::decode(&mut data).ok_or_else(broken)?;
                literals::write(value, out).map_err(|_| {
                    Error::new(
                        Kind::Verify,
                        format!("{} has a real that is not a number", self.line.label),
                    )
                })?;
            }
            out.extend_from_slice(END);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<()> {
        self.begin(out);
        out.extend_from_slice(COMMIT);
        Ok(())
    }
}

/// Turns lines into tagged values.
pub(in crate::store::sqlite) struct InsertDecoder {
    line: Line,
    /// How many line feeds a row has: those in the table's and the columns' names, and its own.
    feeds: usize,
    place: Place,
    /// A row, or more, that is not read yet.
    pending: BytesMut,
    /// How far into it there was no row's end, and how many line feeds of a row were on the way.
    seen: usize,
    feeds_seen: usize,
    made: BytesMut,
    rows: u64,
}

#[derive(PartialEq, Eq)]
enum Place {
    Begin,
    Rows,
    End,
}

impl InsertDecoder {
    pub(in crate::store::sqlite) fn new(part: &Part) -> Self {
        let line = Line::of(part);
        Self {
            feeds: 1 + memchr::memchr_iter(b'\n', &line.head).count(),
            line,
            place: Place::Begin,
            pending: BytesMut::new(),
            seen: 0,
            feeds_seen: 0,
            made: BytesMut::new(),
            rows: 0,
        }
    }

    /// Takes all lines that are whole.
    fn lines(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut start = 0;
        let mut from = self.seen;
        while let Some(at) = memchr::memchr(b'\n', &pending[from..]) {
            from += at + 1;
            self.feeds_seen += 1;
            let line = &pending[start..from];
            if self.feeds_seen < self.feeds && line.starts_with(b"INSERT") {
                continue;
            }
            self.line(line)?;
            start = from;
            self.feeds_seen = 0;
        }
        self.pending = pending;
        let _ = self.pending.split_to(start);
        self.seen = self.pending.len();
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        match self.place {
            Place::Begin if line == BEGIN => self.place = Place::Rows,
            Place::Rows if line == COMMIT => self.place = Place::End,
            Place::Rows => {
                self.row(line)
                    .ok_or_else(|| self.line.damaged("a line is no row of it"))?;
                self.rows += 1;
            }
            Place::Begin | Place::End => {
                return Err(self.line.damaged("there is something around them"));
            }
        }
        Ok(())
    }

    fn row(&mut self, line: &[u8]) -> Option<()> {
        let mut data = line.strip_prefix(&self.line.head[..])?;
        for place in 0..self.line.values {
            if place > 0 {
                data = data.strip_prefix(b",")?;
            }
            let value = literals::read(&mut data)?;
            let value = match &value {
                Literal::Null => ValueRef::Null,
                Literal::Integer(value) => ValueRef::Integer(*value),
                Literal::Real(value) => ValueRef::Real(*value),
                Literal::Text(value) => ValueRef::Text(value),
                Literal::Blob(value) => ValueRef::Blob(value),
            };
            values::put(value, &mut self.made);
        }
        (data == END).then_some(())
    }

    fn take(&mut self) -> Option<Chunk> {
        if self.rows == 0 {
            return None;
        }
        Some(Chunk {
            rows: std::mem::take(&mut self.rows),
            data: self.made.split().freeze(),
        })
    }
}

impl RowDecoder for InsertDecoder {
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>> {
        self.pending.extend_from_slice(plain);
        self.lines()?;
        let most = limits::longest_row();
        if self.pending.len() > 2 * most + AROUND {
            return Err(chunks::too_long(
                &format!("the snapshot's {}", self.line.label),
                most,
            ));
        }
        Ok((self.made.len() >= chunks::CHUNK)
            .then(|| self.take())
            .flatten())
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        if self.place != Place::End || !self.pending.is_empty() {
            return Err(self.line.damaged("they end before their end"));
        }
        Ok(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Unit;

    fn part(name: &str, columns: &[&str]) -> Part {
        Part {
            id: 0,
            schema: None,
            name: name.to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            unit: Unit::Rows,
            encoding: ENCODING,
            rows: 0,
            bytes: 0,
            slice: None,
            condition: None,
        }
    }

    fn wire(rows: &[&[ValueRef<'_>]]) -> Bytes {
        let mut wire = BytesMut::new();
        for row in rows {
            for value in *row {
                values::put(*value, &mut wire);
            }
        }
        wire.freeze()
    }

    fn plain(part: &Part, wire: &Bytes) -> BytesMut {
        let mut out = BytesMut::new();
        let mut writer = InsertEncoder::new(part);
        writer.feed(wire, &mut out).unwrap();
        writer.end(&mut out).unwrap();
        out
    }

    fn back(part: &Part, plain: &[u8], cut: usize) -> Result<(u64, Vec<u8>)> {
        let mut reader = InsertDecoder::new(part);
        let mut chunks = Vec::new();
        for piece in plain.chunks(cut) {
            chunks.extend(reader.feed(piece)?);
        }
        chunks.extend(reader.end()?);
        let rows = chunks.iter().map(|chunk| chunk.rows).sum();
        Ok((
            rows,
            chunks
                .iter()
                .flat_map(|chunk| chunk.data.to_vec())
                .collect(),
        ))
    }

    #[test]
    fn a_row_is_a_line_wherever_the_file_is_cut() {
        let odd = part("odd\n\"name\"", &["rowid", "a\nb"]);
        let wire = wire(&[
            &[ValueRef::Integer(-3), ValueRef::Text(b"x\ny'")],
            &[ValueRef::Integer(4), ValueRef::Null],
            &[ValueRef::Integer(5), ValueRef::Blob(b"\n\n")],
        ]);
        let plain = plain(&odd, &wire);
        assert_eq!(
            std::str::from_utf8(&plain).unwrap(),
            "BEGIN;\n\
             INSERT INTO \"odd\n\"\"name\"\"\" (\"rowid\", \"a\nb\") VALUES (-3,replace('x\\ny''','\\n',char(10)));\n\
             INSERT INTO \"odd\n\"\"name\"\"\" (\"rowid\", \"a\nb\") VALUES (4,NULL);\n\
             INSERT INTO \"odd\n\"\"name\"\"\" (\"rowid\", \"a\nb\") VALUES (5,X'0A0A');\n\
             COMMIT;\n"
        );
        for cut in [1, 7, 1 << 20] {
            assert_eq!(
                back(&odd, &plain, cut).unwrap(),
                (3, wire.to_vec()),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_table_without_rows_has_a_file_that_says_so() {
        let empty = part("t", &["a"]);
        let plain = plain(&empty, &Bytes::new());
        assert_eq!(&plain[..], b"BEGIN;\nCOMMIT;\n");
        assert_eq!(back(&empty, &plain, 3).unwrap(), (0, Vec::new()));
    }

    #[test]
    fn a_row_without_end_is_refused_with_its_tables_name() {
        let mut reader = InsertDecoder::new(&part("t", &["a"]));
        reader
            .feed(b"BEGIN;\nINSERT INTO \"t\" (\"a\") VALUES ('")
            .unwrap();
        let more = vec![b'x'; 4 * 1024 * 1024];
        let error = (0..64).find_map(|_| reader.feed(&more).err()).unwrap();
        assert_eq!(error.kind(), Kind::Full);
        let error = error.to_string();
        assert!(error.contains("snapshot's t has a row"), "{error}");
    }

    #[test]
    fn anything_else_is_refused() {
        let t = part("t", &["a", "b"]);
        let good = "BEGIN;\nINSERT INTO \"t\" (\"a\", \"b\") VALUES (1,'x');\nCOMMIT;\n";
        assert_eq!(back(&t, good.as_bytes(), 5).unwrap().0, 1);
        for bad in [
            "",
            "BEGIN;\n",
            &good[..good.len() - 1],
            &good[..20],
            &good.replace("COMMIT;\n", ""),
            &good.replace("\"t\"", "\"u\""),
            &good.replace(",'x'", ""),
            &good.replace(",'x'", ",'x',NULL"),
            &good.replace("COMMIT", "DROP TABLE t;\nCOMMIT"),
            &good.replace("1,", "(SELECT 1),"),
            &good.replace("BEGIN;\n", ""),
            &format!("{good}{good}"),
            &format!("{good}\n"),
        ] {
            for cut in [1, 1000] {
                let error = back(&t, bad.as_bytes(), cut).unwrap_err();
                assert_eq!(error.kind(), Kind::Verify, "{bad}");
            }
        }
    }
}
