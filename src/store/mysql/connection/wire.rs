//! The protocol's packets over a socket: a header of length and sequence number before each, long ones in several
//! (MariaDB's protocol documentation, "Standard packet").

use bytes::{Buf, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::{Address, Way};
use super::server_error::{self, ServerError};
use crate::error::{Error, Kind, Result};
use crate::store::liveness::{GONE, Keepalive};
use crate::store::redact::Names;

/// A packet of this length goes on in the next one.
pub(in crate::store::mysql) const LONGEST: usize = 0xff_ff_ff;
/// A greeting, or an error instead of one, is much shorter.
const LONGEST_GREETING: usize = 4096;
/// The longest packet that has no row in it, in bytes: what a login has, how an answer begins and ends, what columns are called, an
/// error (a message has 512 bytes).
const SHORT: usize = 256 * 1024;
/// How much is read at a time.
const BLOCK: usize = 256 * 1024;
/// All that is said in a login fits: what is longer is none, or has a memory to fill.
const LONGEST_LOGIN: usize = 64 * 1024;

/// What carries bytes both ways.
pub(in crate::store::mysql) trait Io:
    AsyncRead + AsyncWrite + Unpin + Send + Sync
{
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}

/// A connection that knows packets and nothing of what is in them.
pub(in crate::store::mysql) struct Link {
    io: Box<dyn Io>,
    /// What has come and was not taken yet.
    pub(in crate::store::mysql) inbox: BytesMut,
    sequence: u8,
    label: String,
}

impl Link {
    /// Connects, in plain.
    pub(in crate::store::mysql) async fn connect(address: &Address) -> Result<Self> {
        let connecting = async {
            Ok(match &address.way {
                Way::Tcp(host, port) => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    Keepalive::default().apply(&stream)?;
                    Box::new(address.pulse.listen(stream)) as Box<dyn Io>
                }
                Way::Socket(path) => {
                    Box::new(address.pulse.listen(UnixStream::connect(path).await?)) as Box<dyn Io>
                }
            })
        };
        let connected: std::io::Result<Box<dyn Io>> =
            tokio::time::timeout(address.patience, connecting)
                .await
                .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let io = connected.map_err(|error| {
            Error::new(
                Kind::Connection,
                format!("{}: no connection", address.label()),
            )
            .because(error)
            .hint("check that the server is up and can be reached from here")
        })?;
        Ok(Self {
            io,
            inbox: BytesMut::new(),
            sequence: 0,
            label: address.label(),
        })
    }

    /// A connection over something else than a socket.
    #[cfg(test)]
    pub(in crate::store::mysql) fn over(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            inbox: BytesMut::new(),
            sequence: 0,
            label: "server".to_owned(),
        }
    }

    /// From here on everything is encrypted.
    pub(in crate::store::mysql) async fn encrypt(
        &mut self,
        connector: TlsConnector,
        name: ServerName<'static>,
    ) -> std::io::Result<()> {
        let plain = std::mem::replace(&mut self.io, Box::new(tokio::io::empty()));
        self.io = Box::new(connector.connect(name, plain).await?);
        Ok(())
    }

    /// Reads more into the inbox.
    pub(in crate::store::mysql) async fn fill(&mut self) -> Result<()> {
        self.inbox.reserve(BLOCK);
        match self.io.read_buf(&mut self.inbox).await {
            Ok(0) => Err(self.broken(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Takes the next packet's header: how long what follows it is.
    pub(in crate::store::mysql) async fn header(&mut self) -> Result<usize> {
        while self.inbox.len() < 4 {
            self.fill().await?;
        }
        let (length, sequence) = split_header(&self.inbox);
        if sequence != self.sequence {
            while self.inbox.len() < 5 && length > 0 {
                self.fill().await?;
            }
            self.look_at_disorder(length)?;
        }
        self.sequence = sequence.wrapping_add(1);
        self.inbox.advance(4);
        Ok(length)
    }

    /// Packets of an answer are numbered; but an error may come unasked, before a server ends the connection.
    fn look_at_disorder(&self, length: usize) -> Result<()> {
        if length > 0 && self.inbox.get(4) == Some(&0xff) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Connection,
            format!("{}: the server's packets are out of order", self.label),
        )
        .hint("is it MySQL or MariaDB that answers there?"))
    }

    /// Takes a packet that lies whole in the inbox, if there is one; not one that goes on in the next.
    pub(in crate::store::mysql) fn ready(&mut self) -> Result<Option<BytesMut>> {
        if self.inbox.len() < 4 {
            return Ok(None);
        }
        let (length, sequence) = split_header(&self.inbox);
        if length == LONGEST || self.inbox.len() < 4 + length {
            return Ok(None);
        }
        if sequence != self.sequence {
            self.look_at_disorder(length)?;
        }
        self.sequence = sequence.wrapping_add(1);
        self.inbox.advance(4);
        Ok(Some(self.inbox.split_to(length)))
    }

    /// Reads a whole packet that has no row in it.
    pub(in crate::store::mysql) async fn packet(&mut self) -> Result<Bytes> {
        self.packet_of(SHORT).await
    }

    /// Reads a whole packet of at most so many bytes.
    pub(super) async fn packet_of(&mut self, longest: usize) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        loop {
            let length = self.header().await?;
            if length > longest.saturating_sub(whole.len()) {
                return Err(self.too_long(longest));
            }
            while self.inbox.len() < length {
                self.fill().await?;
            }
            let piece = self.inbox.split_to(length);
            if whole.is_empty() {
                whole = piece;
            } else {
                whole.extend_from_slice(&piece);
            }
            if length < LONGEST {
                return Ok(whole.freeze());
            }
        }
    }

    /// The error of a packet that is longer than any that a server has to send.
    pub(super) fn too_long(&self, longest: usize) -> Error {
        Error::new(
            Kind::Connection,
            format!(
                "{}: the server's answer has more than {longest} bytes, which is more than is allowed",
                self.label
            ),
        )
        .hint("is it MySQL or MariaDB that answers there?")
    }

    /// Reads the first packet; `None`: something else than such a server speaks, which would have us wait for megabytes.
    pub(super) async fn greeting(&mut self) -> Result<Option<Bytes>> {
        while self.inbox.len() < 4 {
            self.fill().await?;
        }
        let (length, sequence) = split_header(&self.inbox);
        if sequence != 0 || length == 0 || length > LONGEST_GREETING {
            return Ok(None);
        }
        self.packet().await.map(Some)
    }

    /// Reads a packet of a login; `None`: it is longer than any such packet.
    pub(super) async fn login_packet(&mut self) -> Result<Option<Bytes>> {
        while self.inbox.len() < 4 {
            self.fill().await?;
        }
        if split_header(&self.inbox).0 > LONGEST_LOGIN {
            return Ok(None);
        }
        self.packet().await.map(Some)
    }

    /// A new command begins.
    pub(super) fn restart(&mut self) {
        self.sequence = 0;
    }

    /// Sends a packet.
    pub(in crate::store::mysql) async fn send_packet(&mut self, data: &[u8]) -> Result<()> {
        self.send(None, data).await
    }

    /// Sends a command with its data.
    pub(super) async fn send_command(&mut self, command: u8, data: &[u8]) -> Result<()> {
        self.send(Some(command), data).await
    }

    async fn send(&mut self, mut command: Option<u8>, data: &[u8]) -> Result<()> {
        let mut rest = data;
        loop {
            let ahead = usize::from(command.is_some());
            let here = rest.len().min(LONGEST - ahead);
            let length = ahead + here;
            let mut header = [0; 5];
            header[..3].copy_from_slice(&(length as u32).to_le_bytes()[..3]);
            header[3] = self.sequence;
            header[4] = command.take().unwrap_or_default();
            self.sequence = self.sequence.wrapping_add(1);
            let mut both = Buf::chain(&header[..4 + ahead], &rest[..here]);
            let sent = self.io.write_all_buf(&mut both).await;
            sent.map_err(|error| self.broken(error))?;
            rest = &rest[here..];
            if length < LONGEST {
                break;
            }
        }
        let flushed = self.io.flush().await;
        flushed.map_err(|error| self.broken(error))
    }

    /// The error in a packet that does not let us in.
    pub(in crate::store::mysql) fn refusal(&self, packet: &[u8]) -> Error {
        let (code, state, message) = server_error(packet);
        server_error::explain(&self.label, ServerError::greeting(code, state, message))
    }

    /// The error in a packet that refuses a statement with these names.
    pub(super) fn refusal_of(&self, packet: &[u8], names: Names) -> Error {
        let (code, state, message) = server_error(packet);
        server_error::explain(&self.label, ServerError::of(code, state, message, names))
    }

    pub(in crate::store::mysql) fn label(&self) -> &str {
        &self.label
    }

    fn broken(&self, error: std::io::Error) -> Error {
        let what = if error.to_string() == GONE {
            GONE
        } else {
            "the server closed the connection"
        };
        let made = Error::new(Kind::Connection, format!("{}: {what}", self.label))
            .hint("see the server's log, and run the job again");
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => made,
            _ => made.because(error),
        }
    }
}

#[cfg(test)]
impl Link {
    /// One to a server that says this, whatever it is told.
    pub(in crate::store::mysql) fn that_says(said: &[u8]) -> Self {
        let said = std::io::Cursor::new(said.to_vec());
        Self {
            io: Box::new(tokio::io::join(said, tokio::io::sink())),
            inbox: BytesMut::new(),
            sequence: 0,
            label: "source db1:3306".to_owned(),
        }
    }
}

fn split_header(inbox: &[u8]) -> (usize, u8) {
    let length = u32::from_le_bytes([inbox[0], inbox[1], inbox[2], 0]);
    (length as usize, inbox[3])
}

/// No server's message is longer, in bytes (MYSQL_ERRMSG_SIZE).
const LONGEST_MESSAGE: usize = 512;

/// An error packet: 0xff, number, `#` and five characters of SQLSTATE (not before the login), text.
pub(in crate::store::mysql) fn server_error(packet: &[u8]) -> (u16, String, String) {
    let code = match packet.get(1..3) {
        Some(code) => u16::from_le_bytes([code[0], code[1]]),
        None => 0,
    };
    let rest = packet.get(3..).unwrap_or_default();
    let (state, message) = match rest.first() {
        Some(b'#') if rest.len() >= 6 => (&rest[1..6], &rest[6..]),
        _ => (&rest[..0], rest),
    };
    let message = &message[..message.len().min(LONGEST_MESSAGE)];
    (
        code,
        String::from_utf8_lossy(state).into_owned(),
        String::from_utf8_lossy(message).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_packet_is_read_with_and_without_a_state() {
        let (code, state, message) = server_error(b"\xff\x15\x04#28000Access denied");
        assert_eq!(
            (code, state.as_str(), message.as_str()),
            (1045, "28000", "Access denied")
        );
        let (code, _, message) = server_error(b"\xff\x6a\x04Host is blocked");
        assert_eq!((code, message.as_str()), (1130, "Host is blocked"));
        assert_eq!(server_error(b"\xff").0, 0);
    }
}
