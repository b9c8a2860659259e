//! What speaks as MySQL does, up to the login (MySQL's source, "Connection Phase").

use std::io::{self, Write as _};

use super::listener::{Client, Listener};

/// What it does in the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Says nothing at all.
    SilentAfterAccept,
    /// Says nothing to who asks to be let in.
    SilentInLogin,
    /// Lets anyone in, and answers no statement.
    SilentAfterLogin,
    /// Wants all of the password, as caching_sha2_password does of whom it does not know yet.
    Caching,
    /// Wants it by sha256_password.
    Sha256,
    /// Wants it in clear text.
    Cleartext,
    /// Asks for it as MariaDB's PAM does.
    Dialog,
    /// Announces packets of 16 MiB in the login.
    Long,
}

/// Starts one. It has no TLS.
pub(crate) fn start(way: Way) -> Listener {
    Listener::start(move |client| serve(client, way))
}

/// Of a login: 20 bytes.
const NONCE: &[u8; 20] = b"ABCDEFGHIJKLMNOPQRST";

/// Protocol 4.1, its passwords, plugins for them, LONG PASSWORD, CONNECT WITH DB, TRANSACTIONS.
const CAPABILITIES: u32 = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x10000 | 0x8_0000 | 0x20_0000;

fn serve(client: &mut Client, way: Way) -> io::Result<()> {
    if way == Way::SilentAfterAccept {
        return client.keep_silent();
    }
    let capabilities = CAPABILITIES.to_le_bytes();
    let greeting = [
        b"\x0a8.0.36\0\x07\0\0\0",
        &NONCE[..8],
        b"\0",
        &capabilities[..2],
        b"\x2d\x02\0",
        &capabilities[2..],
        b"\x15",
        &[0; 10],
        &NONCE[8..],
        b"\0caching_sha2_password\0",
    ]
    .concat();
    send(client, 0, &greeting)?;
    let sequence = next(client)? + 1;
    let switch = |plugin: &str| [b"\xfe", plugin.as_bytes(), b"\0", &NONCE[..], b"\0"].concat();
    match way {
        Way::SilentAfterLogin => send(client, sequence, b"\0\0\0\x02\0\0\0")?,
        Way::Caching => send(client, sequence, b"\x01\x04")?,
        Way::Sha256 => send(client, sequence, &switch("sha256_password"))?,
        Way::Cleartext => send(client, sequence, &switch("mysql_clear_password"))?,
        Way::Dialog => send(client, sequence, &switch("dialog"))?,
        Way::Long => client.stream.write_all(&[0xff, 0xff, 0xff, sequence])?,
        Way::SilentAfterAccept | Way::SilentInLogin => {}
    }
    client.keep_silent()
}

/// Reads a packet; returns its number.
fn next(client: &mut Client) -> io::Result<u8> {
    let header = client.bytes(4)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
    client.bytes(length)?;
    Ok(header[3])
}

fn send(client: &mut Client, sequence: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).expect("short").to_le_bytes();
    let packet = [&length[..3], &[sequence], body].concat();
    client.stream.write_all(&packet)
}
