//! One connection to a server: statements and their rows.

use bytes::{Buf, Bytes};

use super::address::Address;
use super::auth;
use super::letters;
use super::version::{Flavour, Version};
use super::wire::Link;
use crate::error::{Error, Kind, Result};

/// COM_QUERY, COM_PING (MariaDB's protocol documentation, "Text protocol").
const QUERY: u8 = 3;
const PING: u8 = 14;

/// How long a login may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// More results follow (SERVER_MORE_RESULTS_EXISTS).
const MORE: u16 = 8;

/// A connection that is logged in. A statement whose future was dropped leaves it unusable.
pub(super) struct Session {
    pub(super) link: Link,
    id: u32,
    version: Version,
    /// The longest packet that the server takes (`max_allowed_packet`).
    packet: usize,
    /// In the middle of a statement.
    busy: bool,
}

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
        let opened = Self::log_in(address, database).await;
        opened.map_err(|error| match error.kind() {
            Kind::Permission => error.within(format!("logging in as `{}`", address.user())),
            _ => error,
        })
    }

    async fn log_in(address: &Address, database: Option<&str>) -> Result<Self> {
        let mut link = Link::connect(address).await?;
        let welcome = tokio::time::timeout(PATIENCE, auth::log_in(&mut link, address, database))
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    Kind::Connection,
                    format!(
                        "{}: the server did not let us in within {} seconds",
                        address.label(),
                        PATIENCE.as_secs()
                    ),
                )
                .hint("is it overloaded, or something else than MySQL or MariaDB?"))
            })?;
        let mut session = Self {
            link,
            id: welcome.id,
            version: welcome.version,
            packet: usize::MAX,
            busy: false,
        };
        let more = match session.version.flavour {
            Flavour::MariaDb => {
                ", max_statement_time = 0, idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0"
            }
            Flavour::MySql => "",
        };
        // The longest times that are allowed: a worker may have to wait for the other side as long as it takes. Who has
        // an expired password may still SET, and nothing else.
        session
            .run(&format!(
                "SET SESSION character_set_client = utf8mb4, character_set_connection = utf8mb4, character_set_results = utf8mb4, \
                 sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', autocommit = 1, sql_quote_show_create = 1, \
                 unique_checks = 1, foreign_key_checks = 1, sql_notes = 1, \
                 wait_timeout = 31536000, net_read_timeout = 31536000, net_write_timeout = 31536000{more}; DO 1"
            ))
            .await?;
        session.lift_limits().await?;
        Ok(session)
    }

    /// Limits that a server may have set for everybody. MySQL lets only some users change some of them: where they are
    /// as they have to be, they are left alone.
    async fn lift_limits(&mut self) -> Result<()> {
        const LIMITS: [(&str, &str); 5] = [
            ("sql_select_limit", "18446744073709551615"),
            ("sql_safe_updates", "0"),
            ("sql_big_selects", "1"),
            ("completion_type", "'NO_CHAIN'"),
            ("max_error_count", "64"),
        ];
        let all: Vec<String> = LIMITS
            .iter()
            .map(|(name, value)| match *name {
                // More of them is as well.
                "max_error_count" => format!("@@{name} >= {value}"),
                _ => format!("@@{name} = {value}"),
            })
            .collect();
        let row = self
            .query_one(&format!("SELECT {}, @@max_allowed_packet", all.join(", ")))
            .await?;
        self.packet = usize::try_from(row.number(LIMITS.len())?).unwrap_or(usize::MAX);
        for (at, (name, value)) in LIMITS.iter().enumerate() {
            if row.number(at)? == 0 {
                self.run(&format!("SET SESSION {name} = {value}")).await?;
            }
        }
        Ok(())
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
        loop {
            let done = match self.answer().await? {
                Answer::Done(done) => done,
                Answer::Columns(columns) => {
                    self.skip_columns(columns).await?;
                    loop {
                        let packet = self.link.packet().await?;
                        if let Some(end) = self.end_of_rows(&packet)? {
                            break end;
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
        }
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
        loop {
            let packet = self.link.packet().await?;
            if let Some(end) = self.end_of_rows(&packet)? {
                if end.more {
                    return Err(self.unexpected());
                }
                self.busy = false;
                return Ok(rows);
            }
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
        if std::mem::replace(&mut self.busy, true) {
            return Err(Error::new(
                Kind::Internal,
                format!(
                    "{}: the connection was left in the middle of a statement",
                    self.link.label()
                ),
            ));
        }
        // It would not say so, but close the connection.
        if data.len() + 1 >= self.packet {
            self.busy = false;
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
        self.link.restart();
        let mut packet = Vec::with_capacity(data.len() + 1);
        packet.push(command);
        packet.extend_from_slice(data);
        self.link.send_packet(&packet).await
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
                Ok(Answer::Done(Done {
                    rows,
                    warnings,
                    more: status & MORE != 0,
                }))
            }
            Some(0xff) => {
                self.busy = false;
                Err(self.link.refusal(&packet))
            }
            Some(0xfb) => Ok(Answer::Data),
            Some(_) => {
                let columns = lenenc(&mut &packet[..]).ok_or_else(|| self.unexpected())?;
                Ok(Answer::Columns(columns))
            }
            None => Err(self.unexpected()),
        }
    }

    /// Reads over the columns' definitions and what ends them.
    pub(super) async fn skip_columns(&mut self, columns: u64) -> Result<()> {
        for _ in 0..=columns {
            self.link.packet().await?;
        }
        Ok(())
    }

    /// What ends rows, if this packet does. An error is one end.
    pub(super) fn end_of_rows(&mut self, packet: &[u8]) -> Result<Option<Done>> {
        match packet.first() {
            Some(0xfe) if packet.len() < 9 => {
                let (warnings, status) = two(&packet[1..]).ok_or_else(|| self.unexpected())?;
                Ok(Some(Done {
                    rows: 0,
                    warnings,
                    more: status & MORE != 0,
                }))
            }
            Some(0xff) => {
                self.busy = false;
                Err(self.link.refusal(packet))
            }
            _ => Ok(None),
        }
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
    fn read(mut packet: Bytes, columns: usize) -> Option<Self> {
        let mut cells = Vec::with_capacity(columns);
        for _ in 0..columns {
            if packet.first() == Some(&0xfb) {
                packet.advance(1);
                cells.push(None);
                continue;
            }
            let mut rest = &packet[..];
            let length = lenenc(&mut rest)? as usize;
            let header = packet.len() - rest.len();
            if rest.len() < length {
                return None;
            }
            packet.advance(header);
            cells.push(Some(packet.split_to(length)));
        }
        Some(Self(cells))
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
    use super::*;

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
    }
}
