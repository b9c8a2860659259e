//! Rows on their way into incoming: LOAD DATA LOCAL where the server has it on, INSERT statements where it has not and
//! for small tables.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;

use super::typed;
use super::warnings::{self, ErrorValues};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::outcome::Answer;
use crate::store::mysql::connection::session::Session;
use crate::store::{Batch, Chunks};

/// A statement of rows is sent when it is about so long, or a quarter of what the server takes.
const STATEMENT: usize = 512 * 1024;

/// A batch that needs more than this is of tables that are larger than the server thinks.
const ROOM: usize = 8 * STATEMENT;

/// Sends a part's rows as LOAD DATA LOCAL's file; returns how many the server took.
pub(in crate::store::mysql) async fn load(
    session: &mut Session,
    sql: &str,
    mut errors: ErrorValues,
    mut chunks: Chunks,
) -> Result<u64> {
    session.ask(sql).await?;
    match session.answer().await? {
        Answer::Data => {}
        Answer::Done(_) | Answer::Columns(_) => return Err(session.unexpected()),
    }
    // A server with very small packets takes no chunk in one.
    let longest = (session.packet() / 2).max(1);
    while let Some(chunk) = chunks.next().await {
        // An error leaves the session in the middle of the statement: it is closed, and the server takes nothing.
        let chunk = chunk?;
        errors.take(&chunk.data);
        // An empty packet would be the end; one that is longer than the server takes, that of the connection.
        for piece in chunk.data.chunks(longest) {
            session.link.send_packet(piece).await?;
        }
    }
    session.link.send_packet(&[]).await?;
    let Answer::Done(done) = session.answer().await? else {
        return Err(session.unexpected());
    };
    session.ended();
    warnings::settle(session, done, errors.found).await?;
    Ok(done.rows)
}

/// A statement of rows, and how many of an ENUM's error values are in it.
type Statement = (Bytes, u64);

/// Makes INSERT statements of lines.
pub(in crate::store::mysql) struct Inserts {
    /// `INSERT INTO t (a, b) VALUES `.
    prefix: String,
    /// Fields that are no binary strings.
    texts: Vec<bool>,
    /// What stands for an ENUM's error value in each field.
    marks: Vec<Option<Vec<u8>>>,
    /// The statement that is being made; empty: none.
    pub(in crate::store::mysql) statement: BytesMut,
    /// Error values in it.
    errors: u64,
    /// A line that has not ended.
    pending: BytesMut,
    /// When a statement is long enough.
    enough: usize,
    /// What the server takes at a time.
    packet: usize,
}

impl Inserts {
    /// `packet`: what the server takes at a time (max_allowed_packet).
    pub(in crate::store::mysql) fn new(
        prefix: String,
        texts: Vec<bool>,
        marks: Vec<Option<Vec<u8>>>,
        packet: usize,
    ) -> Self {
        Self {
            enough: STATEMENT.min(packet / 4),
            packet,
            prefix,
            texts,
            marks,
            statement: BytesMut::new(),
            errors: 0,
            pending: BytesMut::new(),
        }
    }

    /// Takes lines; a statement that has become long enough is in the answer.
    pub(in crate::store::mysql) fn take(&mut self, mut data: &[u8]) -> Result<Vec<Statement>> {
        let mut ready = Vec::new();
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&data[..end], &data[end + 1..]);
            if self.pending.is_empty() {
                self.row(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.pending);
                whole.extend_from_slice(line);
                self.row(&whole)?;
            }
            data = rest;
            if self.statement.len() >= self.enough {
                ready.extend(self.end());
            }
        }
        self.pending.extend_from_slice(data);
        Ok(ready)
    }

    /// A statement that the server would not take: it does not say so, but closes the connection.
    fn check_length(&self, statement: &[u8]) -> Result<()> {
        // The command's number is in the packet, too.
        if statement.len() + 1 < self.packet {
            return Ok(());
        }
        Err(Error::new(
            Kind::Statement,
            format!(
                "a row is longer than the target's max_allowed_packet of {} bytes",
                self.packet
            ),
        )
        .hint("raise max_allowed_packet on the target, or set local_infile = ON there: then rows may be longer"))
    }

    /// The statement that has been begun.
    pub(in crate::store::mysql) fn end(&mut self) -> Option<Statement> {
        let statement = std::mem::take(&mut self.statement);
        let errors = std::mem::take(&mut self.errors);
        (!statement.is_empty()).then(|| (statement.freeze(), errors))
    }

    fn row(&mut self, line: &[u8]) -> Result<()> {
        let out = &mut self.statement;
        if out.is_empty() {
            out.put_slice(self.prefix.as_bytes());
        } else {
            out.put_u8(b',');
        }
        out.put_u8(b'(');
        for (place, field) in fields(line).enumerate() {
            // A table without columns to copy has lines of one NULL.
            let Some(text) = self.texts.get(place) else {
                break;
            };
            if place > 0 {
                out.put_u8(b',');
            }
            if field == b"\\N" {
                out.put_slice(b"NULL");
                continue;
            }
            if let Some(Some(mark)) = self.marks.get(place)
                && field == mark
            {
                self.errors += 1;
            }
            if *text && typed::put(field, out)? {
                continue;
            }
            out.put_slice(if *text { b"'" } else { b"_binary'" });
            put_string(field, out);
            out.put_u8(b'\'');
        }
        out.put_u8(b')');
        Ok(())
    }
}

/// A line's fields. A tab behind a backslash belongs to a field: none of ours, but who wrote an archive may have put it there.
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr::memchr_iter(b'\t', line).find(|end| {
            let backwards = line[..*end].iter().rev();
            let backslashes = backwards.take_while(|byte| **byte == b'\\').count();
            backslashes % 2 == 0
        });
        rest = end.map(|end| &line[end + 1..]);
        Some(end.map_or(line, |end| &line[..end]))
    })
}

/// Writes a field inside of a string. The escapes of LOAD DATA mean the same there, and whoever wrote the field, nothing in it
/// ends the string.
fn put_string(mut field: &[u8], out: &mut BytesMut) {
    while let Some(at) = memchr::memchr2(b'\'', b'\\', field) {
        out.put_slice(&field[..at]);
        let taken = match field[at..] {
            [b'\\', next, ..] if next != b'\'' => {
                out.put_slice(&[b'\\', next]);
                2
            }
            [b'\\'] => {
                out.put_slice(b"\\\\");
                1
            }
            [b'\\', ..] => {
                out.put_slice(b"''");
                2
            }
            _ => {
                out.put_slice(b"''");
                1
            }
        };
        field = &field[at + taken..];
    }
    out.put_slice(field);
}

/// Sends a part's rows as INSERT statements in one transaction; returns how many the server took.
pub(in crate::store::mysql) async fn insert(
    session: &mut Session,
    mut inserts: Inserts,
    mut chunks: Chunks,
) -> Result<u64> {
    session.run("START TRANSACTION").await?;
    let mut rows = 0;
    let written = async {
        while let Some(chunk) = chunks.next().await {
            for statement in inserts.take(&chunk?.data)? {
                inserts.check_length(&statement.0)?;
                rows += statement_of_rows(session, &statement).await?;
            }
        }
        if let Some(statement) = inserts.end() {
            inserts.check_length(&statement.0)?;
            rows += statement_of_rows(session, &statement).await?;
        }
        session.run("COMMIT").await
    };
    if let Err(error) = written.await {
        if session.is_usable() {
            let _ = session.run("ROLLBACK").await;
        }
        return Err(error);
    }
    Ok(rows)
}

async fn statement_of_rows(session: &mut Session, statement: &Statement) -> Result<u64> {
    let done = session.execute_bytes(&statement.0).await?;
    let done = done.last().copied().ok_or_else(|| session.unexpected())?;
    warnings::settle(session, done, statement.1).await?;
    Ok(done.rows)
}

/// Sends the rows of several small tables, many statements at a time, in one transaction; `inserts` has one for each.
/// Returns how many rows the server took of each.
pub(in crate::store::mysql) async fn insert_batch(
    session: &mut Session,
    mut inserts: Vec<Inserts>,
    mut batch: Batch,
) -> Result<Vec<u64>> {
    session.run("START TRANSACTION").await?;
    let mut taken = vec![0; inserts.len()];
    let mut packet = Packet::default();
    let mut at = 0;
    let enough = inserts.first().map_or(STATEMENT, |first| first.enough);
    let written = async {
        while let Some(chunk) = batch.next().await {
            let chunk = chunk?;
            if at < inserts.len() {
                for (statement, _) in inserts[at].take(&chunk.data)? {
                    packet
                        .add(session, &mut taken, at, &inserts[at], &statement)
                        .await?;
                }
                if inserts[at].pending.len() + inserts[at].statement.len() > ROOM {
                    return Err(Error::new(
                        Kind::Internal,
                        "a table is larger than the server thinks",
                    ));
                }
            }
            for (place, _, _) in &chunk.ended {
                at = *place;
                if let Some((statement, _)) = inserts[at].end() {
                    packet
                        .add(session, &mut taken, at, &inserts[at], &statement)
                        .await?;
                }
                at += 1;
            }
            if packet.sql.len() >= enough {
                packet.send(session, &mut taken).await?;
            }
        }
        packet.send(session, &mut taken).await?;
        session.run("COMMIT").await
    };
    if let Err(error) = written.await {
        if session.is_usable() {
            let _ = session.run("ROLLBACK").await;
            // The batch's parts are tried one by one then: the source's session, whose point in time no other one has, is
            // left in the middle of nothing.
            while let Some(Ok(_)) = batch.next().await {}
        }
        return Err(error);
    }
    Ok(taken)
}

/// Statements that travel together.
#[derive(Default)]
struct Packet {
    sql: BytesMut,
    /// The part that each is of.
    parts: Vec<usize>,
}

impl Packet {
    /// Sends what there is before, if both would be too long.
    async fn add(
        &mut self,
        session: &mut Session,
        taken: &mut [u64],
        part: usize,
        of: &Inserts,
        statement: &[u8],
    ) -> Result<()> {
        of.check_length(statement)?;
        if self.sql.len() + statement.len() + 2 >= of.packet {
            self.send(session, taken).await?;
        }
        if !self.sql.is_empty() {
            self.sql.put_u8(b';');
        }
        self.sql.put_slice(statement);
        self.parts.push(part);
        Ok(())
    }

    async fn send(&mut self, session: &mut Session, taken: &mut [u64]) -> Result<()> {
        if self.sql.is_empty() {
            return Ok(());
        }
        let all = session.execute_bytes(&self.sql).await?;
        if all.len() != self.parts.len() {
            return Err(session.unexpected());
        }
        for (part, done) in self.parts.iter().zip(&all) {
            taken[*part] += done.rows;
            if done.warnings > 0 {
                // Whose they are can only be asked right after a statement: the parts are taken one by one.
                return Err(Error::new(
                    Kind::Statement,
                    "the target could not take the rows of a table as they are",
                ));
            }
        }
        self.sql.clear();
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_any_pieces_become_one_statement() {
        let lines = b"1\tit's\\t\\\\\t\\N\n2\t\t\\\\N\n";
        let expected = "INSERT INTO t VALUES (_binary'1',_binary'it''s\\t\\\\',NULL),(_binary'2',_binary'','\\\\N')";
        for size in 1..=lines.len() {
            let mut inserts = Inserts::new(
                "INSERT INTO t VALUES ".to_owned(),
                vec![false, false, true],
                vec![None, Some(b"\\\\N".to_vec()), None],
                1 << 24,
            );
            for piece in lines.chunks(size) {
                assert!(inserts.take(piece).expect("rows").is_empty());
            }
            let (statement, errors) = inserts.end().expect("a statement");
            assert_eq!(std::str::from_utf8(&statement).expect("text"), expected);
            assert_eq!(errors, 0);
            assert!(inserts.end().is_none());
        }
    }

    #[test]
    fn nothing_in_a_field_ends_its_string() {
        for (line, expected) in [
            ("a\\'), (sleep(9)) -- \n", "('a''), (sleep(9)) -- ')"),
            ("a\\\t), (sleep(9)) -- \n", "('a\\\t), (sleep(9)) -- ')"),
            ("a\\\\\tb\n", "('a\\\\','b')"),
            ("a\\\\\\\tb\n", "('a\\\\\\\tb')"),
            ("a\\\\'\\n\n", "('a\\\\''\\n')"),
            ("\\\n", "('\\\\')"),
            ("'\t\\\\\\\n", "('''','\\\\\\\\')"),
        ] {
            let mut inserts = Inserts::new(String::new(), vec![true; 2], vec![None; 2], 1 << 24);
            assert!(inserts.take(line.as_bytes()).expect("rows").is_empty());
            let (statement, _) = inserts.end().expect("a statement");
            assert_eq!(std::str::from_utf8(&statement).expect("text"), expected);
        }
    }

    #[test]
    fn a_table_without_columns_to_copy_gets_its_rows() {
        let mut inserts = Inserts::new(
            "INSERT INTO t () VALUES ".to_owned(),
            Vec::new(),
            Vec::new(),
            1 << 24,
        );
        inserts.take(b"\\N\n\\N\n").expect("rows");
        assert_eq!(
            &inserts.end().expect("a statement").0[..],
            b"INSERT INTO t () VALUES (),()"
        );
    }

    #[test]
    fn error_values_are_counted_by_statement() {
        let mut inserts = Inserts::new(
            "INSERT INTO t VALUES ".to_owned(),
            vec![false, false],
            vec![Some(Vec::new()), None],
            1 << 24,
        );
        assert!(
            inserts
                .take(b"\t\n\\N\t\na\t\n\tb\n")
                .expect("rows")
                .is_empty()
        );
        assert_eq!(inserts.end().expect("a statement").1, 2);
        assert!(inserts.take(b"a\tb\n").expect("rows").is_empty());
        assert_eq!(inserts.end().expect("a statement").1, 0);
    }

    #[test]
    fn statements_are_cut_by_bytes() {
        let mut inserts = Inserts::new(
            "INSERT INTO t VALUES ".to_owned(),
            vec![false],
            vec![None],
            1 << 24,
        );
        let line = [&vec![b'x'; 100_000][..], b"\n"].concat();
        let ready: usize = (0..20)
            .map(|_| inserts.take(&line).expect("rows").len())
            .sum();
        assert_eq!(ready, 3);
        let mut inserts = Inserts::new(
            "INSERT INTO t VALUES ".to_owned(),
            vec![false],
            vec![None],
            800_000,
        );
        let ready: usize = (0..20)
            .map(|_| inserts.take(&line).expect("rows").len())
            .sum();
        assert_eq!(ready, 10);
    }
}
