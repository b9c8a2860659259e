//! One connection to a server: statements and their rows.

use bytes::{Buf, Bytes};

use super::super::redact::{Dialect, Names};
use super::address::Address;
use super::auth;
use super::errors;
use super::letters;
use super::settings;
use super::version::Version;
use super::wire::Link;
use crate::error::{Error, Kind, Result};

/// COM_QUIT, COM_QUERY, COM_PING, COM_SET_OPTION (MariaDB's protocol documentation, "Text protocol").
const QUIT: u8 = 1;
const QUERY: u8 = 3;
const PING: u8 = 14;
const SET_OPTION: u8 = 27;

/// MYSQL_OPTION_MULTI_STATEMENTS_ON and _OFF.
const SEVERAL_AT_A_TIME: [u8; 2] = [0, 0];
const ONE_AT_A_TIME: [u8; 2] = [1, 0];

/// All that is kept of an answer at once has at most so many bytes: definitions of a database with 100,000 tables fit.
const LONGEST_RESULT: usize = 512 << 20;

/// What a row and each of its values take beside their bytes, about.
const ROW: usize = 64;
const CELL: usize = 40;

/// No answer has more columns, and no statement more results, than this.
const COLUMNS: u64 = 1 << 16;
const RESULTS: usize = 1 << 20;

/// How long a server may take to end a session that says goodbye: it may have to roll back.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(60);

/// A transaction is open (SERVER_STATUS_IN_TRANS).
const IN_TRANSACTION: u16 = 1;
/// More results follow (SERVER_MORE_RESULTS_EXISTS).
const MORE: u16 = 8;
/// Backslashes escape nothing (SERVER_STATUS_NO_BACKSLASH_ESCAPES).
const NO_BACKSLASH: u16 = 0x200;

/// A connection that is logged in. A statement whose future was dropped leaves it unusable.
pub(super) struct Session {
    pub(super) link: Link,
    id: u32,
    version: Version,
    /// In the middle of a statement.
    busy: bool,
    /// How the last statement began.
    asked: Vec<u8>,
    /// The user that we are, by both of its names, and the database: errors may tell them.
    own: Vec<String>,
    /// What the server said of the session at the end of its last statement.
    status: u16,
    /// Of how many things it warned then.
    warnings: u16,
    /// The longest statement that the server takes, in bytes.
    packet: usize,
    /// It runs what a person wrote, whose rows may be any number.
    is_ordinary: bool,
    /// How many bytes of one answer are kept.
    room: usize,
}

/// How much of a statement is looked through for names if it fails.
const LOOKED_THROUGH: usize = 16 * 1024;

/// What a statement without rows did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) rows: u64,
    pub(super) warnings: u16,
    pub(super) more: bool,
}

/// What an answer begins with.
pub(super) enum Answer {
    /// Done, without rows.
    Done(Done),
    /// So many columns; their definitions follow.
    Columns(u64),
    /// The server asks for the data of LOAD DATA LOCAL.
    Data,
}

impl Session {
    /// Connects and logs in; `database`: the one that statements are in. Statements are UTF-8, times are UTC, and nothing
    /// that the server has set for applications touches a copy.
    pub(super) async fn open(address: &Address, database: Option<&str>) -> Result<Self> {
        let opened = async {
            let mut session = Self::connect(address, database).await?;
            session.packet = settings::fix(&mut session).await?;
            Ok(session)
        };
        in_time(address, opened).await
    }

    /// The same with the settings that applications get there, for what a person wrote.
    pub(super) async fn open_ordinary(address: &Address, database: Option<&str>) -> Result<Self> {
        let opened = async {
            let mut session = Self::connect(address, database).await?;
            session.is_ordinary = true;
            session.packet = settings::leave(&mut session).await?;
            Ok(session)
        };
        in_time(address, opened).await
    }

    async fn connect(address: &Address, database: Option<&str>) -> Result<Self> {
        let mut link = Link::connect(address).await?;
        let welcome = auth::log_in(&mut link, address, database).await?;
        let asked = address.clone();
        address.pulse.watch(move || {
            let address = asked.clone();
            async move {
                // Whatever the server says to it, it has said something.
                let asking = async {
                    let mut link = Link::connect(&address).await?;
                    auth::log_in(&mut link, &address, None).await?;
                    link.restart();
                    link.send_packet(&[QUIT]).await
                };
                let _ = tokio::time::timeout(address.patience, asking).await;
            }
        });
        Ok(Self {
            link,
            id: welcome.id,
            version: welcome.version,
            busy: false,
            asked: Vec::new(),
            own: [Some(address.user()), database]
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
            status: 0,
            warnings: 0,
            packet: usize::MAX,
            is_ordinary: false,
            room: LONGEST_RESULT,
        })
    }

    /// What the server calls us: `user@host`, twice.
    pub(super) fn is_called(&mut self, users: [Option<String>; 2]) {
        for user in users.iter().flatten() {
            let (name, host) = user.rsplit_once('@').unwrap_or((user, ""));
            self.own.extend([name.to_owned(), host.to_owned()]);
        }
    }

    /// Ends the session, and waits until the server has ended it, too: what it held is free then.
    pub(super) async fn quit(mut self) {
        let goodbye = async {
            self.begin(QUIT, &[]).await?;
            while self.link.fill().await.is_ok() {
                self.link.inbox.clear();
            }
            Ok::<_, Error>(())
        };
        let _ = tokio::time::timeout(FAREWELL, goodbye).await;
    }

    /// For people: `target db1:3306/app`.
    pub(super) fn label(&self) -> &str {
        self.link.label()
    }

    /// Whether its last statement left a transaction open.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.status & IN_TRANSACTION != 0
    }

    /// Whether backslashes escape nothing in its strings.
    pub(super) fn has_no_backslash(&self) -> bool {
        self.status & NO_BACKSLASH != 0
    }

    /// Of how many things the server warned in its last statement.
    pub(super) fn warnings(&self) -> u16 {
        self.warnings
    }

    /// `CONNECTION_ID()`.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// What the server is.
    pub(super) fn version(&self) -> &Version {
        &self.version
    }

    /// The longest packet that the server takes from it, in bytes.
    pub(super) fn packet(&self) -> usize {
        self.packet
    }

    /// Whether its last statement was read to its end.
    pub(super) fn is_usable(&self) -> bool {
        !self.busy
    }

    /// Runs one or several statements; returns how many rows were changed by the last. Rows that come are thrown away.
    pub(super) async fn run(&mut self, sql: &str) -> Result<u64> {
        let all = self.execute_bytes(&letters::bytes(sql)).await?;
        Ok(all.last().map_or(0, |done| done.rows))
    }

    /// The same, with what each of the statements did.
    pub(super) async fn execute_bytes(&mut self, sql: &[u8]) -> Result<Vec<Done>> {
        self.begin(QUERY, sql).await?;
        let mut all = Vec::new();
        let mut room = self.room;
        loop {
            let done = match self.answer().await? {
                Answer::Done(done) => done,
                Answer::Columns(columns) => {
                    self.skip_columns(columns).await?;
                    loop {
                        let packet = self.link.packet_of(room).await?;
                        if let Some(end) = self.end_of_rows(&packet)? {
                            break end;
                        }
                        if !self.is_ordinary {
                            room = self.left(room, packet.len() + ROW)?;
                        }
                    }
                }
                Answer::Data => return Err(self.unexpected()),
            };
            all.push(done);
            if !done.more {
                self.busy = false;
                return Ok(all);
            }
            if all.len() >= RESULTS {
                return Err(self.unexpected());
            }
        }
    }

    /// Runs one statement; what it did. That there was more than one in it is an error.
    pub(super) async fn execute_one(&mut self, sql: &[u8]) -> Result<Done> {
        let all = self.execute_bytes(sql).await?;
        match all[..] {
            [done] => Ok(done),
            _ => Err(self.unexpected()),
        }
    }

    /// From here on the server takes one statement at a time: it is asked for two.
    pub(super) async fn take_one_at_a_time(&mut self) -> Result<()> {
        self.set_option(&ONE_AT_A_TIME).await?;
        match self.run("DO 0; DO 0").await {
            // It is no SQL.
            Err(error) if errors::code(&error) == Some(1064) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Error::new(
                Kind::Connection,
                format!(
                    "{}: the session takes several statements at a time, and shall not",
                    self.link.label()
                ),
            )
            .hint("is there a proxy in between? connect to the server directly")),
        }
    }

    /// The way back.
    pub(super) async fn take_several_at_a_time(&mut self) -> Result<()> {
        self.set_option(&SEVERAL_AT_A_TIME).await
    }

    async fn set_option(&mut self, option: &[u8]) -> Result<()> {
        self.begin(SET_OPTION, option).await?;
        let packet = self.link.packet().await?;
        match packet.first() {
            Some(0x00 | 0xfe) if packet.len() < 9 => {
                self.busy = false;
                Ok(())
            }
            Some(0xff) => {
                self.busy = false;
                Err(self.link.refusal_of(&packet, self.names()))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// What is left of the room for an answer.
    fn left(&self, room: usize, taken: usize) -> Result<usize> {
        room.checked_sub(taken)
            .ok_or_else(|| self.link.too_long(self.room))
    }

    /// Runs one statement and takes its rows.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.begin(QUERY, sql.as_bytes()).await?;
        let columns = match self.answer().await? {
            Answer::Columns(columns) => columns,
            Answer::Done(_) => {
                self.busy = false;
                return Ok(Vec::new());
            }
            Answer::Data => return Err(self.unexpected()),
        };
        self.skip_columns(columns).await?;
        let mut rows = Vec::new();
        let mut room = self.room;
        loop {
            let packet = self.link.packet_of(room).await?;
            if let Some(end) = self.end_of_rows(&packet)? {
                if end.more {
                    return Err(self.unexpected());
                }
                self.busy = false;
                return Ok(rows);
            }
            room = self.left(room, packet.len() + ROW + CELL * columns as usize)?;
            rows.push(Row::read(packet, columns as usize).ok_or_else(|| self.unexpected())?);
        }
    }

    /// The first row, if there is one.
    pub(super) async fn query_opt(&mut self, sql: &str) -> Result<Option<Row>> {
        Ok(self.query(sql).await?.into_iter().next())
    }

    /// The first row.
    pub(super) async fn query_one(&mut self, sql: &str) -> Result<Row> {
        self.query_opt(sql).await?.ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("{}: no row came where one was expected", self.link.label()),
            )
        })
    }

    /// Whether the server still answers.
    pub(super) async fn ping(&mut self) -> Result<()> {
        self.begin(PING, &[]).await?;
        self.answer().await?;
        self.busy = false;
        Ok(())
    }

    /// Sends a statement whose answer the caller reads; it says [`Session::ended`] when it has.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<()> {
        self.begin(QUERY, sql.as_bytes()).await
    }

    /// The answer was read to its end.
    pub(super) fn ended(&mut self) {
        self.busy = false;
    }

    async fn begin(&mut self, command: u8, data: &[u8]) -> Result<()> {
        // It would not say so, but close the connection.
        if data.len() + 1 >= self.packet {
            return Err(Error::new(
                Kind::Statement,
                format!(
                    "{}: a statement of {} bytes is longer than the server's max_allowed_packet of {}",
                    self.link.label(),
                    data.len(),
                    self.packet
                ),
            )
            .hint("raise max_allowed_packet on that server"));
        }
        if std::mem::replace(&mut self.busy, true) {
            return Err(Error::new(
                Kind::Internal,
                format!(
                    "{}: the connection was left in the middle of a statement",
                    self.link.label()
                ),
            ));
        }
        self.link.restart();
        self.asked.clear();
        self.asked
            .extend_from_slice(&data[..data.len().min(LOOKED_THROUGH)]);
        self.link.send_command(command, data).await
    }

    /// Reads how an answer begins. An error ends it.
    pub(super) async fn answer(&mut self) -> Result<Answer> {
        let packet = self.link.packet().await?;
        match packet.first() {
            Some(0x00) => {
                let mut rest = &packet[1..];
                let rows = lenenc(&mut rest).ok_or_else(|| self.unexpected())?;
                lenenc(&mut rest).ok_or_else(|| self.unexpected())?;
                let (status, warnings) = two(rest).ok_or_else(|| self.unexpected())?;
                (self.status, self.warnings) = (status, warnings);
                Ok(Answer::Done(Done {
                    rows,
                    warnings,
                    more: status & MORE != 0,
                }))
            }
            Some(0xff) => {
                self.busy = false;
                Err(self.link.refusal_of(&packet, self.names()))
            }
            Some(0xfb) => Ok(Answer::Data),
            Some(_) => {
                let mut rest = &packet[..];
                let columns = lenenc(&mut rest).filter(|columns| *columns <= COLUMNS);
                let columns = columns.filter(|_| rest.is_empty());
                Ok(Answer::Columns(columns.ok_or_else(|| self.unexpected())?))
            }
            None => Err(self.unexpected()),
        }
    }

    /// Reads over the columns' definitions and what ends them.
    pub(super) async fn skip_columns(&mut self, columns: u64) -> Result<()> {
        let mut room = self.room;
        for _ in 0..columns {
            let packet = self.link.packet().await?;
            room = self.left(room, packet.len())?;
            // Each begins with the name of a catalogue, and that is always the same.
            if !packet.starts_with(b"\x03def") {
                self.end_of_rows(&packet)?;
                return Err(self.unexpected());
            }
        }
        let packet = self.link.packet().await?;
        match self.end_of_rows(&packet)? {
            Some(_) => Ok(()),
            None => Err(self.unexpected()),
        }
    }

    /// What ends rows, if this packet does. An error is one end.
    pub(super) fn end_of_rows(&mut self, packet: &[u8]) -> Result<Option<Done>> {
        match packet.first() {
            Some(0xfe) if packet.len() < 9 => {
                let (warnings, status) = two(&packet[1..]).ok_or_else(|| self.unexpected())?;
                (self.status, self.warnings) = (status, warnings);
                Ok(Some(Done {
                    rows: 0,
                    warnings,
                    more: status & MORE != 0,
                }))
            }
            Some(0xff) => {
                self.busy = false;
                Err(self.link.refusal_of(packet, self.names()))
            }
            _ => Ok(None),
        }
    }

    /// What may be told of an error of the last statement: the names in it, and who we are.
    pub(super) fn names(&self) -> Names {
        let mut names = Names::of(&String::from_utf8_lossy(&self.asked), Dialect::Mysql);
        for name in &self.own {
            names.add(name);
        }
        names
    }

    pub(super) fn unexpected(&self) -> Error {
        Error::new(
            Kind::Internal,
            format!(
                "{}: the server sent what was not expected",
                self.link.label()
            ),
        )
    }
}

/// A session that is opened within the time that the URL allows for it.
async fn in_time(
    address: &Address,
    opened: impl Future<Output = Result<Session>>,
) -> Result<Session> {
    let opened = tokio::time::timeout(address.patience, opened).await;
    opened
        .unwrap_or_else(|_| {
            Err(Error::new(
                Kind::Connection,
                format!(
                    "{}: the server did not let us in within {} seconds",
                    address.label(),
                    address.patience.as_secs()
                ),
            )
            .hint("is it overloaded, or something else than MySQL or MariaDB? connect_timeout in the URL is how long it may take"))
        })
        .map_err(|error| login(error, address))
}

#[cfg(test)]
impl Session {
    /// One that is logged in to a server that says this, whatever it is asked.
    pub(super) fn that_says(said: &[u8]) -> Result<Self> {
        Ok(Self {
            link: Link::that_says(said),
            id: 1,
            version: Version::parse("10.11.6-MariaDB")?,
            busy: false,
            asked: Vec::new(),
            own: vec!["reader".to_owned()],
            status: 0,
            warnings: 0,
            packet: usize::MAX,
            is_ordinary: false,
            room: LONGEST_RESULT,
        })
    }
}

fn login(error: Error, address: &Address) -> Error {
    match error.kind() {
        Kind::Permission => error.within(format!("logging in as `{}`", address.user())),
        _ => error,
    }
}

/// Two numbers of 16 bits.
fn two(bytes: &[u8]) -> Option<(u16, u16)> {
    let bytes = bytes.get(..4)?;
    Some((
        u16::from_le_bytes([bytes[0], bytes[1]]),
        u16::from_le_bytes([bytes[2], bytes[3]]),
    ))
}

/// A number of variable length ("Protocol data types", int<lenenc>).
pub(super) fn lenenc(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let extra = match first {
        0..=0xfa => {
            *bytes = &bytes[1..];
            return Some(u64::from(first));
        }
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let mut number = [0; 8];
    number[..extra].copy_from_slice(bytes.get(1..=extra)?);
    *bytes = &bytes[1 + extra..];
    Some(u64::from_le_bytes(number))
}

/// One row: its values as the server prints them.
#[derive(Debug, Clone)]
pub(super) struct Row(Vec<Option<Bytes>>);

impl Row {
    pub(super) fn read(mut packet: Bytes, columns: usize) -> Option<Self> {
        // Each takes at least a byte: a server may say that there are any number of them.
        let mut cells = Vec::with_capacity(columns.min(packet.len()));
        for _ in 0..columns {
            if packet.first() == Some(&0xfb) {
                packet.advance(1);
                cells.push(None);
                continue;
            }
            let mut rest = &packet[..];
            let length = usize::try_from(lenenc(&mut rest)?).ok()?;
            let header = packet.len() - rest.len();
            if rest.len() < length {
                return None;
            }
            packet.advance(header);
            cells.push(Some(packet.split_to(length)));
        }
        // What is left would be of columns that there are not.
        packet.is_empty().then_some(Self(cells))
    }

    /// A value's bytes; `None`: NULL, or no such column.
    pub(super) fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_deref()
    }

    /// A text, or nothing for NULL.
    pub(super) fn maybe(&self, column: usize) -> Result<Option<String>> {
        match self.bytes(column) {
            None => Ok(None),
            Some(bytes) => std::str::from_utf8(bytes)
                .map(|text| Some(text.to_owned()))
                .map_err(|_| unreadable(column, "is not UTF-8")),
        }
    }

    /// A text.
    pub(super) fn text(&self, column: usize) -> Result<String> {
        self.maybe(column)?
            .ok_or_else(|| unreadable(column, "is NULL"))
    }

    /// A definition: a text whose bytes need not be UTF-8 ([`letters`]).
    pub(super) fn definition(&self, column: usize) -> Result<String> {
        self.bytes(column)
            .map(letters::text)
            .ok_or_else(|| unreadable(column, "is NULL"))
    }

    /// A number.
    pub(super) fn number(&self, column: usize) -> Result<u64> {
        self.text(column)?
            .parse()
            .map_err(|_| unreadable(column, "is no number"))
    }
}

fn unreadable(column: usize, why: &str) -> Error {
    Error::new(
        Kind::Internal,
        format!("column {} of a server's answer {why}", column + 1),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// A session with a server that answers the next command with this, `again` and again at its end.
    fn answered(head: Vec<u8>, again: Vec<u8>) -> Session {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let mut command = [0; 1 << 10];
            let _ = theirs.read(&mut command).await;
            let _ = serve(&mut theirs, &head, &again).await;
        });
        Session {
            link: Link::over(ours),
            id: 1,
            version: Version::parse("8.0.36").expect("a version"),
            busy: false,
            asked: Vec::new(),
            own: Vec::new(),
            status: 0,
            warnings: 0,
            packet: 1 << 20,
            is_ordinary: false,
            room: 1 << 20,
        }
    }

    async fn serve(to: &mut DuplexStream, head: &[u8], again: &[u8]) -> std::io::Result<()> {
        to.write_all(head).await?;
        while !again.is_empty() {
            to.write_all(again).await?;
        }
        Ok(())
    }

    /// These in packets, numbered from this number on.
    fn packets(first: u8, all: &[&[u8]]) -> Vec<u8> {
        let mut made = Vec::new();
        for (at, data) in all.iter().enumerate() {
            made.extend_from_slice(&(data.len() as u32).to_le_bytes()[..3]);
            made.push(first.wrapping_add(at as u8));
            made.extend_from_slice(data);
        }
        made
    }

    const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0";
    const END: &[u8] = b"\xfe\0\0\x02\0";
    const DONE: &[u8] = b"\0\0\0\x02\0\0\0";
    const AND_MORE: &[u8] = b"\0\0\0\x0a\0\0\0";

    async fn refused(head: &[u8], again: &[u8]) -> [String; 2] {
        let run = answered(head.to_vec(), again.to_vec()).run("DO 1").await;
        let query = answered(head.to_vec(), again.to_vec())
            .query("SELECT 1")
            .await;
        [
            run.expect_err("it is refused").to_string(),
            query.map(drop).expect_err("it is refused").to_string(),
        ]
    }

    #[tokio::test]
    async fn an_answer_that_is_one_is_taken() {
        let rows = packets(1, &[b"\x01", COLUMN, END, b"\x011", b"\xfb", END]);
        let found = answered(rows.clone(), Vec::new()).query("SELECT 1").await;
        assert_eq!(found.expect("rows").len(), 2);
        answered(rows, Vec::new())
            .run("SELECT 1")
            .await
            .expect("rows");
        answered(packets(1, &[DONE]), Vec::new())
            .run("DO 1")
            .await
            .expect("nothing");
        let both = packets(1, &[AND_MORE, DONE]);
        assert!(
            answered(both.clone(), Vec::new())
                .run("DO 1; DO 1")
                .await
                .is_ok()
        );
        // But not where there is one statement.
        assert!(
            answered(both, Vec::new())
                .execute_one(b"DO 1")
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn an_answer_without_end_is_left_after_a_megabyte() {
        // What begins it is as long as packets get.
        let long = [&b"\xff\xff\xff\x01"[..], &[b'x'; 1000]].concat();
        for said in refused(&long, &vec![b'x'; 1 << 16]).await {
            assert!(said.contains("more than 262144 bytes"), "{said}");
        }
        // Rows, small ones and large ones.
        let head = packets(1, &[b"\x01", COLUMN, END]);
        for row in [&b"\x01a"[..], &[b'x'; 200]] {
            let row = if row.len() == 200 {
                [&[200], row].concat()
            } else {
                row.to_vec()
            };
            let mut again = Vec::new();
            for number in 0..=255_u8 {
                again.extend(packets(number.wrapping_add(4), &[&row]));
            }
            for said in refused(&head, &again).await {
                assert!(said.contains("more than 1048576 bytes"), "{said}");
            }
        }
        // A row that goes on for ever.
        let head = [head, b"\xff\xff\xff\x04".to_vec()].concat();
        for said in refused(&head, &vec![b'x'; 1 << 16]).await {
            assert!(said.contains("bytes, which is more"), "{said}");
        }
        // Results.
        let mut again = Vec::new();
        for number in 0..=255_u8 {
            again.extend(packets(number.wrapping_add(1), &[AND_MORE]));
        }
        let mut session = answered(Vec::new(), again);
        assert!(session.run("DO 1").await.is_err());
    }

    #[tokio::test]
    async fn an_answer_that_lies_is_refused() {
        let columns = |count: &[u8]| packets(1, &[count, COLUMN, END, b"\x01a", END]);
        for answer in [
            // More columns than there can be, numbers that are none.
            columns(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"),
            columns(b"\xfd\xff\xff\xff"),
            columns(b"\xfc\x01"),
            columns(b"\x01\x01"),
            packets(1, &[b""]),
            packets(1, &[b"\0"]),
            packets(1, &[b"\0\xff\0\0\0"]),
            // More or fewer definitions than columns, or something else.
            columns(b"\x02"),
            packets(1, &[b"\x01", COLUMN, COLUMN, END, b"\x01a", END]),
            packets(1, &[b"\x01", b"\x03abc", END, b"\x01a", END]),
            packets(1, &[b"\x01", END, b"\x01a", END]),
            packets(1, &[b"\x01", COLUMN, b"\xfe", b"\x01a", END]),
            // It asks for a file.
            packets(1, &[b"\xfb/etc/passwd"]),
            // An error that is none.
            packets(1, &[b"\xff"]),
        ] {
            refused(&answer, &[]).await;
        }
        // Values that are longer than their row, too many or too few.
        for row in [
            &b"\x05a"[..],
            b"\x01a\x01b",
            b"",
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\xfc",
            b"\xfd\xff\xff",
        ] {
            let answer = packets(1, &[b"\x01", COLUMN, END, row, END]);
            let found = answered(answer, Vec::new()).query("SELECT 1").await;
            assert!(found.is_err(), "{row:?}");
        }
    }

    #[tokio::test]
    async fn packets_out_of_order_are_refused_and_an_error_may_come_unasked() {
        let mut rows = packets(1, &[b"\x01", COLUMN, END]);
        rows.extend(packets(9, &[b"\x011", END]));
        for said in refused(&rows, &[]).await {
            assert!(said.contains("out of order"), "{said}");
        }
        for said in refused(&packets(0, &[b"\xff\x88\x13#70100killed"]), &[]).await {
            assert!(!said.contains("out of order"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_answered_is_an_answer_or_an_error(
            junk in prop::collection::vec(any::<u8>(), 0..300),
            good in 0_usize..4,
            first in 0_u8..3,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let pieces: [&[u8]; 3] = [b"\x01", COLUMN, END];
                let mut head = packets(1, &pieces[..good.min(3)]);
                head.extend(packets(first + good as u8, &[&junk]));
                head.extend(&junk);
                let _ = answered(head.clone(), Vec::new()).query("SELECT 1").await;
                let _ = answered(head, Vec::new()).run("SELECT 1").await;
            });
        }
    }

    #[test]
    fn numbers_of_every_length_are_read_and_short_ones_refused() {
        for (bytes, number) in [
            (&b"\x05"[..], 5),
            (b"\xfa", 250),
            (b"\xfc\x34\x12", 0x1234),
            (b"\xfd\x56\x34\x12", 0x12_3456),
            (b"\xfe\x01\0\0\0\0\0\0\x80", 1 | 1 << 63),
        ] {
            let mut rest = bytes;
            assert_eq!(lenenc(&mut rest), Some(number));
            assert!(rest.is_empty());
            assert_eq!(lenenc(&mut &bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn a_row_has_its_nulls_and_texts_and_a_cut_one_is_refused() {
        let packet = Bytes::from_static(b"\x01a\xfb\x00\x0212");
        let row = Row::read(packet.clone(), 4).expect("a row");
        assert_eq!(row.text(0).expect("a text"), "a");
        assert_eq!(row.maybe(1).expect("NULL"), None);
        assert_eq!(row.bytes(2), Some(&b""[..]));
        assert_eq!(row.number(3).expect("a number"), 12);
        assert!(row.number(0).is_err() && row.text(1).is_err());
        assert!(Row::read(packet.slice(..packet.len() - 1), 4).is_none());
        assert!(Row::read(packet.clone(), 3).is_none() && Row::read(packet, 5).is_none());
    }
}
