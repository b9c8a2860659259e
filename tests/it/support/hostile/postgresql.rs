//! What speaks as PostgreSQL does, up to a point (its manual, "Message Flow" and "Message Formats").

use std::io::{self, Write as _};

use super::listener::{Client, Listener};

/// How far it goes, and what it does there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Says nothing at all.
    SilentAfterAccept,
    /// Says that it has TLS, and nothing more.
    SilentInTls,
    /// Says nothing to who asks to be let in.
    SilentInLogin,
    /// Lets anyone in, and answers no query.
    SilentAfterLogin,
    /// Asks for the password itself.
    Cleartext,
    /// Asks for its MD5.
    Md5,
    /// Lets anyone in, and that is all.
    Open,
    /// Goes on with notices before the session is ready.
    Notices,
    /// Goes on with parameters of other names.
    Parameters,
    /// Announces a message of two gigabytes.
    Lie,
    /// Is a web server.
    Http,
}

/// Starts one. It has no TLS, but for [`Way::SilentInTls`].
pub(crate) fn start(way: Way) -> Listener {
    Listener::start(move |client| serve(client, way))
}

/// SSLRequest's code.
const SSL: [u8; 4] = [4, 210, 22, 47];

fn serve(client: &mut Client, way: Way) -> io::Result<()> {
    if way == Way::SilentAfterAccept {
        return client.keep_silent();
    }
    if way == Way::Http {
        client
            .stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
        return client.keep_silent();
    }
    loop {
        let length = client.bytes(4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let body = client.bytes(length.saturating_sub(4))?;
        if !body.starts_with(&SSL) {
            break;
        }
        if way == Way::SilentInTls {
            client.stream.write_all(b"S")?;
            return client.keep_silent();
        }
        client.stream.write_all(b"N")?;
    }
    match way {
        Way::SilentInLogin => {}
        Way::Cleartext => send(client, b'R', &3_u32.to_be_bytes())?,
        Way::Md5 => {
            send(client, b'R', b"\0\0\0\x05salt")?;
            client.keep_silent_until_said()?;
            send(
                client,
                b'E',
                b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0",
            )?;
        }
        Way::Lie => client.stream.write_all(b"N\x7f\xff\xff\xff")?,
        _ => {
            send(client, b'R', &0_u32.to_be_bytes())?;
            match way {
                Way::Notices => loop {
                    send(client, b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0")?;
                },
                Way::Parameters => {
                    for number in 0.. {
                        send(client, b'S', format!("name{number}\0value\0").as_bytes())?;
                    }
                }
                _ => {
                    send(client, b'K', &[0, 0, 0, 7, 0, 0, 0, 7])?;
                    send(client, b'Z', b"I")?;
                }
            }
        }
    }
    client.keep_silent()
}

impl Client {
    /// Waits until the client says something, and notes it.
    fn keep_silent_until_said(&mut self) -> io::Result<()> {
        let header = self.bytes(5)?;
        let length = u32::from_be_bytes(header[1..].try_into().expect("four bytes")) as usize;
        let body = self.bytes(length.saturating_sub(4))?;
        self.note(&body);
        Ok(())
    }
}

fn send(client: &mut Client, tag: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).expect("short");
    client
        .stream
        .write_all(&[&[tag][..], &length.to_be_bytes(), body].concat())
}
