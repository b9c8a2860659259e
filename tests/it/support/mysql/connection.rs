//! A connection of the tests' own to a server's socket, for a text of statements. A client's process takes a hundred times
//! as long to start as most of their some ten thousand statements take.

use std::io::{self, BufReader, Error, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A result's rows; NULL is none.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// What a client says that it understands: flags of the handshake, from the protocol's documentation.
const CAPABILITIES: u32 = LONG_PASSWORD
    | LONG_FLAG
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_RESULTS
    | PLUGIN_AUTH;
const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_RESULTS: u32 = 1 << 17;
const PLUGIN_AUTH: u32 = 1 << 19;

/// `utf8mb4_general_ci`, as the client says for `utf8mb4`.
const COLLATION: u8 = 45;

/// The most that fits into one packet.
const MOST: usize = 0xff_ff_ff;

/// A flag of a result's status: another one follows.
const MORE_RESULTS: u16 = 8;

/// The statements of a text that a glance can tell apart. None where that takes a client: it knows comments, escapes and
/// `DELIMITER`.
pub(super) fn statements(text: &str) -> Option<Vec<&str>> {
    let words = text.to_ascii_lowercase();
    let hard = ["\\", "--", "#", "/*", "delimiter", "load data"];
    if hard.iter().any(|word| words.contains(word)) || text.len() >= MOST {
        return None;
    }
    let (mut all, mut quote, mut begun) = (Vec::new(), None, 0);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            // A doubled quote ends what is quoted and begins it again.
            (Some(open), _) if open == byte => quote = None,
            (None, b'\'' | b'"' | b'`') => quote = Some(byte),
            (None, b';') => {
                all.push(&text[begun..at]);
                begun = at + 1;
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return None;
    }
    all.push(&text[begun..]);
    let all = all.into_iter().map(str::trim);
    Some(all.filter(|statement| !statement.is_empty()).collect())
}

/// A session. What fails is in the client's words.
pub(super) struct Connection {
    stream: BufReader<UnixStream>,
    /// Of the next packet.
    number: u8,
}

impl Connection {
    /// Of a user without a password.
    pub(super) fn open(socket: &Path, user: &str, database: &str) -> Result<Self, String> {
        let stream = UnixStream::connect(socket)
            .map_err(|error| format!("no connection by {}: {error}", socket.display()))?;
        let mut connection = Self {
            stream: BufReader::new(stream),
            number: 0,
        };
        // The server's greeting says nothing that is of interest here.
        connection.answer()?;
        let with_database = if database.is_empty() {
            0
        } else {
            CONNECT_WITH_DB
        };
        let mut response = Vec::new();
        response.extend((CAPABILITIES | with_database).to_le_bytes());
        response.extend(u32::MAX.to_le_bytes());
        response.push(COLLATION);
        response.extend([0; 23]);
        response.extend(user.as_bytes());
        // The end of the name, and no password.
        response.extend([0, 0]);
        if with_database != 0 {
            response.extend(database.as_bytes());
            response.push(0);
        }
        response.extend(b"mysql_native_password\0");
        connection.send(&response)?;
        // Another way to log in: without a password they are all alike.
        while connection.answer()?.first() == Some(&0xfe) {
            connection.send(&[])?;
        }
        Ok(connection)
    }

    /// The rows of all that a statement returns.
    pub(super) fn query(&mut self, statement: &str) -> Result<Rows, String> {
        self.number = 0;
        self.send(&[&[3], statement.as_bytes()].concat())?;
        let mut rows = Vec::new();
        loop {
            let header = self.answer()?;
            let status = if header.first() == Some(&0) {
                let mut rest = &header[1..];
                number(&mut rest)?;
                number(&mut rest)?;
                status(rest)?
            } else {
                let columns = number(&mut header.as_slice())?.unwrap_or_default();
                self.rows(columns, &mut rows)?
            };
            if status & MORE_RESULTS == 0 {
                return Ok(rows);
            }
        }
    }

    /// Adds a result's rows; its status.
    fn rows(&mut self, columns: u64, rows: &mut Rows) -> Result<u16, String> {
        // Each column's definition, and what ends them.
        for _ in 0..=columns {
            self.answer()?;
        }
        loop {
            let packet = self.answer()?;
            if packet.first() == Some(&0xfe) && packet.len() < 9 {
                return status(&packet[3..]);
            }
            let mut rest = packet.as_slice();
            let mut row = Vec::new();
            for _ in 0..columns {
                let Some(length) = number(&mut rest)? else {
                    row.push(None);
                    continue;
                };
                let length = usize::try_from(length).map_err(|error| error.to_string())?;
                let (value, after) = rest.split_at_checked(length).ok_or_else(cut)?;
                row.push(Some(String::from_utf8_lossy(value).into_owned()));
                rest = after;
            }
            rows.push(row);
        }
    }

    /// A packet that is no error.
    fn answer(&mut self) -> Result<Vec<u8>, String> {
        let packet = self
            .receive()
            .map_err(|error| format!("Lost connection to server: {error}"))?;
        match packet.as_slice() {
            [0xff, low, high, message @ ..] => {
                let message = String::from_utf8_lossy(message);
                let (state, message) = match message.strip_prefix('#') {
                    Some(rest) if rest.is_char_boundary(5) => rest.split_at(5),
                    _ => ("HY000", &*message),
                };
                let code = u16::from_le_bytes([*low, *high]);
                Err(format!("ERROR {code} ({state}): {message}"))
            }
            _ => Ok(packet),
        }
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut packet = Vec::new();
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header)?;
            let [low, middle, high, number] = header;
            self.number = number.wrapping_add(1);
            let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
            let begun = packet.len();
            packet.resize(begun + length, 0);
            self.stream.read_exact(&mut packet[begun..])?;
            if length < MOST {
                return Ok(packet);
            }
        }
    }

    /// Less than fits into one packet.
    fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        let [low, middle, high, ..] = payload.len().to_le_bytes();
        let packet = [&[low, middle, high, self.number], payload].concat();
        let sent = self.stream.get_mut().write_all(&packet);
        sent.map_err(|error| format!("Lost connection to server: {error}"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.number = 0;
        // And waits until the server has let go of the session: nobody finds it there any more.
        if self.send(&[1]).is_ok() {
            let _ = self.stream.read_to_end(&mut Vec::new());
        }
    }
}

fn cut() -> String {
    Error::from(io::ErrorKind::UnexpectedEof).to_string()
}

/// A number of one to nine bytes; none for NULL.
fn number(from: &mut &[u8]) -> Result<Option<u64>, String> {
    let (first, rest) = from.split_first().ok_or_else(cut)?;
    let length = match first {
        0xfb => 0,
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        small => {
            *from = rest;
            return Ok(Some(u64::from(*small)));
        }
    };
    let (digits, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
    *from = rest;
    let value = digits
        .iter()
        .rev()
        .fold(0, |value, digit| (value << 8) | u64::from(*digit));
    Ok((length > 0).then_some(value))
}

/// The status in what ends a result.
fn status(of: &[u8]) -> Result<u16, String> {
    let (status, _) = of.split_first_chunk().ok_or_else(cut)?;
    Ok(u16::from_le_bytes(*status))
}

#[test]
fn a_text_is_cut_where_no_quote_is_open_and_what_a_client_has_to_read_is_left_to_it() {
    let cut = |text| statements(text).map(|all| all.join("$"));
    assert_eq!(
        cut("A ';' ;; B `;``;`\n ; C \"it's;\";\n ").as_deref(),
        Some("A ';'$B `;``;`$C \"it's;\"")
    );
    assert_eq!(cut(" ").as_deref(), Some(""));
    for text in [
        "A '\\';'",
        "A -- ;\n",
        "# ;\nA",
        "A /* ; */",
        "Delimiter ;;\nA;;",
        "A 'b; C",
    ] {
        assert_eq!(cut(text), None);
    }
}
