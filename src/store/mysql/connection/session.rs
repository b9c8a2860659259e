//! One connection to a server: statements and their rows.

use super::outcome::{Answer, Done};
use super::row::Row;
use super::server_error;
use super::wire::Link;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::byte_text;
use crate::store::mysql::sql::version::Version;
use crate::store::redact::{Dialect, Names};

/// COM_QUIT, COM_QUERY, COM_PING, COM_SET_OPTION (MariaDB's protocol documentation, "Text protocol").
pub(super) const QUIT: u8 = 1;
const QUERY: u8 = 3;
const PING: u8 = 14;
const SET_OPTION: u8 = 27;

/// MYSQL_OPTION_MULTI_STATEMENTS_ON and _OFF.
const SEVERAL_AT_A_TIME: [u8; 2] = [0, 0];
const ONE_AT_A_TIME: [u8; 2] = [1, 0];

/// All that is kept of an answer at once has at most so many bytes: definitions of a database with 100,000 tables fit.
const LONGEST_RESULT: usize = 512 << 20;

/// About how many bytes a row, and each of its values, take in addition to their content.
const ROW: usize = 64;
const CELL: usize = 40;

/// No statement has more results than this.
const RESULTS: usize = 1 << 20;

/// How long a server may take to end a session that says goodbye: it may have to roll back.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(60);

/// A transaction is open (SERVER_STATUS_IN_TRANS).
const IN_TRANSACTION: u16 = 1;
/// Backslashes escape nothing (SERVER_STATUS_NO_BACKSLASH_ESCAPES).
const NO_BACKSLASH: u16 = 0x200;

/// A connection that is logged in. A statement whose future was dropped leaves it unusable.
pub(in crate::store::mysql) struct Session {
    pub(in crate::store::mysql) link: Link,
    id: u32,
    version: Version,
    /// In the middle of a statement.
    pub(super) busy: bool,
    /// How the last statement began.
    asked: Vec<u8>,
    /// The user that we are, by both of its names, and the database: errors may tell them.
    own: Vec<String>,
    /// What the server said of the session at the end of its last statement.
    pub(super) status: u16,
    /// Of how many things it warned then.
    pub(super) warnings: u16,
    /// The longest statement that the server takes, in bytes.
    pub(super) packet: usize,
    /// It has been seen to take one statement at a time once it is told to.
    obeys: bool,
    /// It runs what a person wrote, whose rows may be any number.
    pub(super) is_ordinary: bool,
    /// How many bytes of one answer are kept.
    pub(super) room: usize,
}

/// How much of a statement is looked through for names if it fails.
const LOOKED_THROUGH: usize = 16 * 1024;

impl Session {
    /// One that has just been logged in; `own`: names that errors may tell.
    pub(super) fn new(link: Link, id: u32, version: Version, own: Vec<String>) -> Self {
        Self {
            link,
            id,
            version,
            busy: false,
            asked: Vec::new(),
            own,
            status: 0,
            warnings: 0,
            packet: usize::MAX,
            obeys: false,
            is_ordinary: false,
            room: LONGEST_RESULT,
        }
    }

    /// What the server calls us: `user@host`, twice.
    pub(super) fn is_called(&mut self, users: [Option<String>; 2]) {
        for user in users.iter().flatten() {
            let (name, host) = user.rsplit_once('@').unwrap_or((user, ""));
            self.own.extend([name.to_owned(), host.to_owned()]);
        }
    }

    /// Ends the session, and waits until the server has ended it, too: what it held is free then.
    pub(in crate::store::mysql) async fn quit(mut self) {
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
    pub(in crate::store::mysql) fn label(&self) -> &str {
        self.link.label()
    }

    /// Whether its last statement left a transaction open.
    pub(in crate::store::mysql) fn is_in_transaction(&self) -> bool {
        self.status & IN_TRANSACTION != 0
    }

    /// Whether backslashes escape nothing in its strings.
    pub(in crate::store::mysql) fn has_no_backslash(&self) -> bool {
        self.status & NO_BACKSLASH != 0
    }

    /// Of how many things the server warned in its last statement.
    pub(in crate::store::mysql) fn warnings(&self) -> u16 {
        self.warnings
    }

    /// `CONNECTION_ID()`.
    pub(in crate::store::mysql) fn id(&self) -> u32 {
        self.id
    }

    /// What the server is.
    pub(in crate::store::mysql) fn version(&self) -> &Version {
        &self.version
    }

    /// The longest packet that the server takes from it, in bytes.
    pub(in crate::store::mysql) fn packet(&self) -> usize {
        self.packet
    }

    /// Whether its last statement was read to its end.
    pub(in crate::store::mysql) fn is_usable(&self) -> bool {
        !self.busy
    }

    /// Runs one or several statements; returns how many rows were changed by the last. Rows that come are thrown away.
    pub(in crate::store::mysql) async fn run(&mut self, sql: &str) -> Result<u64> {
        let all = self.execute_bytes(&byte_text::encode(sql)).await?;
        Ok(all.last().map_or(0, |done| done.rows))
    }

    /// The same, with what each of the statements did.
    pub(in crate::store::mysql) async fn execute_bytes(&mut self, sql: &[u8]) -> Result<Vec<Done>> {
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
    pub(in crate::store::mysql) async fn execute_one(&mut self, sql: &[u8]) -> Result<Done> {
        let all = self.execute_bytes(sql).await?;
        match all[..] {
            [done] => Ok(done),
            _ => Err(self.unexpected()),
        }
    }

    /// Runs one statement that somebody else wrote: whatever is in it, the server takes no second one.
    pub(in crate::store::mysql) async fn execute_alone(&mut self, sql: &[u8]) -> Result<Done> {
        self.take_one_at_a_time().await?;
        let done = self.execute_one(sql).await;
        if self.is_usable() {
            self.take_several_at_a_time().await?;
        }
        done
    }

    /// From here on the server takes one statement at a time: the first time, it is asked for two.
    pub(in crate::store::mysql) async fn take_one_at_a_time(&mut self) -> Result<()> {
        self.set_option(&ONE_AT_A_TIME).await?;
        if self.obeys {
            return Ok(());
        }
        match self.run("DO 0; DO 0").await {
            // It is no SQL.
            Err(error) if server_error::code(&error) == Some(1064) => {
                self.obeys = true;
                Ok(())
            }
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
    pub(in crate::store::mysql) async fn take_several_at_a_time(&mut self) -> Result<()> {
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
    pub(super) fn left(&self, room: usize, taken: usize) -> Result<usize> {
        room.checked_sub(taken)
            .ok_or_else(|| self.link.too_long(self.room))
    }

    /// Runs one statement and takes its rows.
    pub(in crate::store::mysql) async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.each(sql, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Runs one statement and hands out its rows as they come. The answer is read to its end whatever `take` returns; its
    /// first error is the whole's.
    pub(in crate::store::mysql) async fn each(
        &mut self,
        sql: &str,
        mut take: impl FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        self.begin(QUERY, sql.as_bytes()).await?;
        let columns = match self.answer().await? {
            Answer::Columns(columns) => columns,
            Answer::Done(_) => {
                self.busy = false;
                return Ok(());
            }
            Answer::Data => return Err(self.unexpected()),
        };
        self.skip_columns(columns).await?;
        let mut taken = Ok(());
        let mut room = self.room;
        loop {
            let packet = self.link.packet_of(room).await?;
            if let Some(end) = self.end_of_rows(&packet)? {
                if end.more {
                    return Err(self.unexpected());
                }
                self.busy = false;
                return taken;
            }
            room = self.left(room, packet.len() + ROW + CELL * columns as usize)?;
            let row = Row::read(packet, columns as usize).ok_or_else(|| self.unexpected())?;
            taken = taken.and_then(|()| take(row));
        }
    }

    /// The first row, if there is one.
    pub(in crate::store::mysql) async fn query_opt(&mut self, sql: &str) -> Result<Option<Row>> {
        Ok(self.query(sql).await?.into_iter().next())
    }

    /// The first row.
    pub(in crate::store::mysql) async fn query_one(&mut self, sql: &str) -> Result<Row> {
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
    pub(in crate::store::mysql) async fn ask(&mut self, sql: &str) -> Result<()> {
        self.begin(QUERY, sql.as_bytes()).await
    }

    /// The answer was read to its end.
    pub(in crate::store::mysql) fn ended(&mut self) {
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

    /// What may be told of an error of the last statement: the names in it, and who we are.
    pub(in crate::store::mysql) fn names(&self) -> Names {
        let mut names = Names::of(&String::from_utf8_lossy(&self.asked), Dialect::Mysql);
        for name in &self.own {
            names.add(name);
        }
        names
    }

    pub(in crate::store::mysql) fn unexpected(&self) -> Error {
        Error::new(
            Kind::Internal,
            format!(
                "{}: the server sent what was not expected",
                self.link.label()
            ),
        )
    }
}

#[cfg(test)]
impl Session {
    /// One that is logged in to a server that says this, whatever it is asked.
    pub(in crate::store::mysql) fn that_says(said: &[u8]) -> Result<Self> {
        let version = Version::parse("10.11.6-MariaDB")?;
        Ok(Self::new(
            Link::that_says(said),
            1,
            version,
            vec!["reader".to_owned()],
        ))
    }
}

#[cfg(test)]
mod tests;
