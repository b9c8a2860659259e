//! What a server may say before anybody believes it: how it asks for the password, and how much it says at all. It is looked at
//! on its way to tokio-postgres, which answers whatever it is asked for.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, io};

use bytes::Buf;
use tokio_postgres::types::Type;

use crate::error::{Error, Kind};
use crate::store::postgresql::url::AuthMethods;

/// All that a server may say until a session is ready: a few hundred bytes are usual.
const BEFORE: usize = 256 * 1024;

/// The most bytes of parameters in a session: each is kept.
const PARAMETERS: usize = 1024 * 1024;

/// One message of a session's; rows of a COPY do not come this way. No server has a value that is longer.
const MESSAGE: usize = 0x3fff_ffff;

/// A message with the types of a statement: one of as many columns as there can be has 140 KiB.
const TYPES: usize = 256 * 1024;

/// How bytes get to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::postgresql) enum Road {
    /// Through a Unix socket.
    Socket,
    /// Encrypted.
    Tls,
    /// In plain, on this machine: whoever has the port reads them.
    Loopback,
    /// In plain, by the network.
    Open,
}

/// What one server may ask for.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Rules {
    pub(super) road: Road,
    /// The URL's `require_auth`.
    pub(super) methods: Option<AuthMethods>,
    /// Whether it was said already that MD5 is weak.
    pub(super) warned: Arc<AtomicBool>,
}

/// Why a server is not talked to any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::postgresql) enum Refusal {
    /// It wants the password itself, in plain.
    Cleartext,
    /// It wants its MD5, in plain, by the network.
    Md5,
    /// It asks in a way that the URL's `require_auth` does not allow.
    Method(&'static str),
    /// It says more than a server has to say.
    Endless,
    /// It announces a message of an impossible length.
    Length,
    /// It answers a statement of ours with a type that is none of PostgreSQL's own.
    Type,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cleartext => {
                f.write_str("the server asks for the password in clear text, without TLS")
            }
            Self::Md5 => f.write_str("the server asks for the password's MD5, without TLS"),
            Self::Method("none") => f.write_str(
                "the server does not ask for a password, which the URL's require_auth does not allow",
            ),
            Self::Method(method) => write!(
                f,
                "the server asks for the password by `{method}`, which the URL's require_auth does not allow"
            ),
            Self::Endless => f.write_str("the server says more than any server has to say"),
            Self::Length => f.write_str("the server announces a message of an impossible length"),
            Self::Type => f.write_str("the server answers with a type that was not asked for"),
        }
    }
}

impl StdError for Refusal {}

impl Refusal {
    /// The one that an error of tokio-postgres comes from.
    pub(super) fn in_error(error: &tokio_postgres::Error) -> Option<Self> {
        StdError::source(error)?
            .downcast_ref::<io::Error>()?
            .get_ref()?
            .downcast_ref()
            .copied()
    }

    /// The error for an operator.
    pub(in crate::store::postgresql) fn told(self, place: &str) -> Error {
        let (kind, hint) = match self {
            Self::Cleartext => (
                Kind::Permission,
                "a password is never sent readable: set up TLS on the server and write sslmode=require in the URL, or have the \
                 server ask by scram-sha-256 (pg_hba.conf)",
            ),
            Self::Md5 => (
                Kind::Permission,
                "what is sent for it can be guessed from: set up TLS on the server and write sslmode=require in the URL, or \
                 have the server ask by scram-sha-256 (pg_hba.conf)",
            ),
            Self::Method(_) => (
                Kind::Permission,
                "check that it is the right server, its pg_hba.conf, and require_auth",
            ),
            Self::Endless | Self::Length | Self::Type => (
                Kind::Connection,
                "check the host and the port: is it PostgreSQL that answers there?",
            ),
        };
        Error::new(kind, format!("{place}: {self}")).hint(hint)
    }
}

/// Where in a message the last byte was.
enum At {
    /// In its tag and length: so many bytes of them are here.
    Header([u8; 5], usize),
    /// In the number that says how the server asks: so many bytes of it are here, and so many follow the number.
    Asking([u8; 4], usize, usize),
    /// In a statement's types: the message's tag, what is here of it, and its length.
    Types(u8, Vec<u8>, usize),
    /// In what does not matter here: so many bytes are left.
    Rest(usize),
}

/// Looks at what a server says, as it comes (PostgreSQL manual, "Message Formats").
pub(in crate::store::postgresql) struct Inspector {
    rules: Rules,
    at: At,
    /// It has asked for something.
    asked: bool,
    /// The session is ready.
    ready: bool,
    /// It describes a statement.
    describes: bool,
    /// The bytes that it has sent before the login was over.
    said: usize,
    /// The bytes of parameters that it has sent.
    parameters: usize,
}

impl Inspector {
    /// For a stream on which nobody answers.
    pub(in crate::store::postgresql) fn open() -> Self {
        Self::new(Rules {
            road: Road::Socket,
            methods: None,
            warned: Arc::default(),
        })
    }

    /// One for a server that may ask for what these rules allow.
    pub(in crate::store::postgresql) fn new(rules: Rules) -> Self {
        Self {
            rules,
            at: At::Header([0; 5], 0),
            asked: false,
            ready: false,
            describes: false,
            said: 0,
            parameters: 0,
        }
    }

    /// Whether these bytes, the next ones that the server has said, may be listened to.
    pub(in crate::store::postgresql) fn look(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Rest(left) => {
                    let skipped = bytes.len().min(*left);
                    bytes = &bytes[skipped..];
                    *left -= skipped;
                    if *left == 0 {
                        self.at = At::Header([0; 5], 0);
                    }
                }
                At::Header(header, have) => {
                    header[*have] = bytes[0];
                    *have += 1;
                    bytes = &bytes[1..];
                    if *have == header.len() {
                        let header = *header;
                        self.at = self.begin(header)?;
                    }
                }
                At::Types(tag, body, length) => {
                    let (here, after) = bytes.split_at(bytes.len().min(*length - body.len()));
                    body.extend_from_slice(here);
                    bytes = after;
                    if body.len() == *length {
                        let known = is_known(*tag, body);
                        self.at = rest(0);
                        if !known {
                            return Err(Refusal::Type);
                        }
                    }
                }
                At::Asking(number, have, after) => {
                    number[*have] = bytes[0];
                    *have += 1;
                    bytes = &bytes[1..];
                    if *have == number.len() {
                        let (number, after) = (u32::from_be_bytes(*number), *after);
                        self.at = rest(after);
                        self.asked_by(number)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A message begins.
    fn begin(&mut self, header: [u8; 5]) -> Result<At, Refusal> {
        let [tag, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize;
        // It counts itself.
        let Some(body) = length.checked_sub(4).filter(|body| *body <= MESSAGE) else {
            return Err(Refusal::Length);
        };
        if !self.ready {
            self.said = self.said.saturating_add(body + header.len());
            // HTTP's first words would be such a length, too.
            if body > BEFORE {
                return Err(Refusal::Length);
            }
            if self.said > BEFORE {
                return Err(Refusal::Endless);
            }
        }
        match tag {
            b'S' => {
                self.parameters = self.parameters.saturating_add(body);
                if self.parameters > PARAMETERS {
                    return Err(Refusal::Endless);
                }
            }
            b'Z' => (self.ready, self.describes) = (true, false),
            b't' | b'T' if body > TYPES && (tag == b't' || self.describes) => {
                return Err(Refusal::Length);
            }
            b't' => {
                self.describes = true;
                return Ok(types(tag, body));
            }
            b'T' if self.describes => return Ok(types(tag, body)),
            b'R' if body < 4 => return Err(Refusal::Length),
            b'R' => return Ok(At::Asking([0; 4], 0, body - 4)),
            _ => {}
        }
        Ok(rest(body))
    }

    /// The server asks by this number (`src/include/libpq/protocol.h`); 0: it lets us in.
    fn asked_by(&mut self, number: u32) -> Result<(), Refusal> {
        let method = match number {
            0 if self.asked => return Ok(()),
            0 => "none",
            3 => "password",
            5 => "md5",
            7 => "gss",
            9 => "sspi",
            10 => "scram-sha-256",
            // What follows one of them, or what nobody here answers.
            _ => return Ok(()),
        };
        self.asked = true;
        let Rules {
            road,
            methods,
            warned,
        } = &self.rules;
        if methods.as_ref().is_some_and(|some| !some.allow(method)) {
            return Err(Refusal::Method(method));
        }
        match (method, road) {
            ("password", Road::Loopback | Road::Open) => Err(Refusal::Cleartext),
            ("md5", Road::Open) => Err(Refusal::Md5),
            ("md5", Road::Loopback) => {
                if !warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        help = "let it ask by scram-sha-256 (pg_hba.conf, password_encryption), or connect through its socket",
                        "the server asks for the password's MD5 without TLS: anyone who takes its port can guess the password from the answer"
                    );
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn types(tag: u8, body: usize) -> At {
    if body == 0 {
        rest(0)
    } else {
        At::Types(tag, Vec::new(), body)
    }
}

/// Whether the types in ParameterDescription or RowDescription are PostgreSQL's own, as all are that statements with types ask
/// for. Of another one tokio-postgres asks what it is made of, and goes deeper with each answer, until its stack ends.
fn is_known(tag: u8, mut body: &[u8]) -> bool {
    let is_own = |oid: u32| Type::from_oid(oid).is_some();
    body.advance(body.len().min(2));
    if tag == b't' {
        return body.chunks_exact(4).all(|mut oid| is_own(oid.get_u32()));
    }
    while let Some(end) = body.iter().position(|byte| *byte == 0) {
        // The table's OID, the column's number; and behind it its size, modifier and format.
        let Some(mut column) = body.get(end + 1..end + 19) else {
            break;
        };
        column.advance(6);
        if !is_own(column.get_u32()) {
            return false;
        }
        body = &body[end + 19..];
    }
    true
}

/// So many bytes to pass over, before the next message.
fn rest(bytes: usize) -> At {
    if bytes == 0 {
        At::Header([0; 5], 0)
    } else {
        At::Rest(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    fn asks(number: u32) -> Vec<u8> {
        message(b'R', &number.to_be_bytes())
    }

    fn gate(road: Road, methods: &str) -> Inspector {
        Inspector::new(Rules {
            road,
            methods: AuthMethods::parse(methods),
            warned: Arc::default(),
        })
    }

    #[test]
    fn a_password_is_shown_to_nobody_in_plain_but_through_a_socket() {
        use Road::{Loopback, Open, Socket, Tls};
        for (road, number, expected) in [
            (Open, 3, Err(Refusal::Cleartext)),
            (Loopback, 3, Err(Refusal::Cleartext)),
            (Socket, 3, Ok(())),
            (Tls, 3, Ok(())),
            (Open, 5, Err(Refusal::Md5)),
            (Loopback, 5, Ok(())),
            (Socket, 5, Ok(())),
            (Tls, 5, Ok(())),
            (Open, 10, Ok(())),
            (Open, 0, Ok(())),
        ] {
            let mut whole = gate(road, "");
            assert_eq!(whole.look(&asks(number)), expected, "{road:?} {number}");
            // And not because it comes in pieces.
            let mut cut = gate(road, "");
            let asked = asks(number);
            let mut looked = asked.chunks(1).map(|byte| cut.look(byte));
            assert_eq!(
                looked.find(Result::is_err).unwrap_or(Ok(())),
                expected,
                "{road:?} {number}"
            );
        }
    }

    #[test]
    fn require_auth_holds_whatever_the_road() {
        for road in [Road::Socket, Road::Tls, Road::Loopback, Road::Open] {
            let look = |methods: &str, number| gate(road, methods).look(&asks(number));
            assert_eq!(look("scram-sha-256", 10), Ok(()));
            assert_eq!(look("scram-sha-256", 5), Err(Refusal::Method("md5")));
            assert_eq!(look("scram-sha-256", 3), Err(Refusal::Method("password")));
            assert_eq!(look("scram-sha-256", 0), Err(Refusal::Method("none")));
            assert_eq!(look("!password,!md5", 3), Err(Refusal::Method("password")));
            assert_eq!(look("!password,!md5", 0), Ok(()));
            assert_eq!(look("none", 10), Err(Refusal::Method("scram-sha-256")));
            // Who has been asked is let in.
            let mut asked = gate(road, "scram-sha-256");
            for number in [10, 11, 12, 0] {
                assert_eq!(asked.look(&asks(number)), Ok(()));
            }
        }
    }

    #[test]
    fn a_server_that_goes_on_for_ever_or_lies_about_lengths_is_left() {
        let fed = |message: &[u8]| {
            let mut gate = gate(Road::Tls, "");
            (0..100_000).find_map(|_| gate.look(message).err())
        };
        assert_eq!(
            fed(&message(b'N', b"SNOTICE\0Mhello\0\0")),
            Some(Refusal::Endless)
        );
        assert_eq!(
            fed(&message(b'S', b"name\0value\0")),
            Some(Refusal::Endless)
        );
        assert_eq!(fed(b"N\x7f\xff\xff\xff"), Some(Refusal::Length));
        assert_eq!(fed(b"N\0\0\0\x03"), Some(Refusal::Length));
        assert_eq!(fed(b"R\0\0\0\x04"), Some(Refusal::Length));
        assert_eq!(fed(b"HTTP/1.1 400 Bad Request"), Some(Refusal::Length));
        // Once a session is ready it may say what it likes, but for parameters, which are kept.
        let mut ready = gate(Road::Tls, "");
        ready.look(&message(b'Z', b"I")).unwrap();
        let row = message(b'D', &[7; 100]);
        assert!((0..10_000).all(|_| ready.look(&row).is_ok()));
        let parameter = message(b'S', &[b'x'; 100]);
        assert!((0..100_000).any(|_| ready.look(&parameter) == Err(Refusal::Endless)));
    }

    #[test]
    fn a_type_that_leads_to_others_without_end_is_refused() {
        let parameters = |oid: u32| message(b't', &[&[0, 1][..], &oid.to_be_bytes()].concat());
        let columns = |oids: &[u32]| {
            let mut body = vec![0, oids.len() as u8];
            for oid in oids {
                body.extend(b"name\0\0\0\0\0\0\0");
                body.extend(oid.to_be_bytes());
                body.extend([0; 8]);
            }
            message(b'T', &body)
        };
        let look = |said: &[Vec<u8>]| {
            let said = [vec![message(b'Z', b"I")], said.to_vec()].concat().concat();
            let at_once = gate(Road::Tls, "").look(&said);
            let mut cut = gate(Road::Tls, "");
            let pieces = said
                .chunks(3)
                .map(|piece| cut.look(piece))
                .find(Result::is_err);
            assert_eq!(pieces.unwrap_or(Ok(())), at_once);
            at_once
        };
        let remark = message(b'N', b"SNOTICE\0\0");
        assert_eq!(look(&[parameters(23), columns(&[23, 25, 1034])]), Ok(()));
        assert_eq!(look(&[parameters(16_400)]), Err(Refusal::Type));
        assert_eq!(
            look(&[parameters(23), columns(&[23, 16_400])]),
            Err(Refusal::Type)
        );
        assert_eq!(
            look(&[parameters(23), remark, columns(&[16_400])]),
            Err(Refusal::Type)
        );
        // A script's rows come as text, of whatever type they are.
        assert_eq!(look(&[columns(&[16_400])]), Ok(()));
        assert_eq!(
            look(&[parameters(23), message(b'Z', b"I"), columns(&[16_400])]),
            Ok(())
        );
        let huge = [&b"t"[..], &(TYPES as u32 + 5).to_be_bytes()].concat();
        assert_eq!(look(&[huge]), Err(Refusal::Length));
    }

    proptest! {
        #[test]
        fn pieces_are_judged_as_the_whole(
            bytes in prop::collection::vec(prop_oneof![Just(b'R'), Just(b't'), Just(0_u8), Just(3), Just(8), any::<u8>()], 0..60),
            piece in 1_usize..9,
        ) {
            let whole = gate(Road::Open, "").look(&bytes);
            let mut cut = gate(Road::Open, "");
            let pieces = bytes.chunks(piece).map(|piece| cut.look(piece)).find(Result::is_err);
            prop_assert_eq!(whole, pieces.unwrap_or(Ok(())));
        }
    }
}
