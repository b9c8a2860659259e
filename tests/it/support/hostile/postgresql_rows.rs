//! A PostgreSQL server that answers one query otherwise than it was asked: a real one, whose rows are changed on their way.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::listener::Listener;
use crate::support::postgres::{Cluster, encode};

/// What it does to the rows of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Every value is NULL.
    Null,
    /// The columns are of another type.
    Type,
}

/// The server, and how many queries it was asked.
pub(crate) struct Liar {
    listener: Listener,
    asked: Arc<AtomicUsize>,
}

impl Liar {
    /// Changes the answer to this query, counted from 0 over all sessions.
    pub(crate) fn before(cluster: &Cluster, query: usize, lie: Lie) -> Self {
        let socket = cluster
            .socket_directory()
            .join(format!(".s.PGSQL.{}", cluster.port()));
        let asked = Arc::<AtomicUsize>::default();
        let seen = Arc::clone(&asked);
        let listener = Listener::start(move |client| {
            let liar = Relay {
                asked: Arc::clone(&seen),
                query,
                lie,
                lies: false,
                is_described: false,
            };
            liar.serve(&client.stream, &socket)
        });
        Self { listener, asked }
    }

    /// The URL of a database behind it.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let port = self.listener.port();
        format!(
            "postgresql://{user}@127.0.0.1:{port}/{}?sslmode=disable",
            encode(database)
        )
    }

    /// Whether it was asked the query.
    pub(crate) fn has_lied(&self, query: usize) -> bool {
        self.asked.load(Ordering::SeqCst) > query
    }
}

/// One session.
struct Relay {
    asked: Arc<AtomicUsize>,
    query: usize,
    lie: Lie,
    /// Its last query is the one.
    lies: bool,
    /// A statement has been described, and its columns follow.
    is_described: bool,
}

impl Relay {
    fn serve(mut self, client: &TcpStream, socket: &PathBuf) -> io::Result<()> {
        let server = UnixStream::connect(socket)?;
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let mut from = io::BufReader::new(server);
        let mut to = client.try_clone()?;
        let mut header = [0; 5];
        while from.read_exact(&mut header).is_ok() {
            let length = u32::from_be_bytes(header[1..].try_into().expect("four bytes"));
            let mut body = vec![0; length as usize - 4];
            from.read_exact(&mut body)?;
            self.change(header[0], &mut body);
            let length = u32::try_from(body.len() + 4).expect("short");
            to.write_all(&[&header[..1], &length.to_be_bytes(), &body].concat())?;
        }
        to.shutdown(std::net::Shutdown::Both)
    }

    /// Changes what the server says (PostgreSQL manual, "Message Formats").
    fn change(&mut self, tag: u8, body: &mut Vec<u8>) {
        match tag {
            // ParameterDescription, in front of the columns of a statement that is asked for with types.
            b't' => self.is_described = true,
            b'T' if self.is_described => {
                self.is_described = false;
                self.lies = self.asked.fetch_add(1, Ordering::SeqCst) == self.query;
                if self.lies && self.lie == Lie::Type {
                    retype(body);
                }
            }
            b'D' if self.lies && self.lie == Lie::Null => {
                let columns = usize::from(u16::from_be_bytes([body[0], body[1]]));
                body.truncate(2);
                body.extend(vec![255; 4 * columns]);
            }
            _ => {}
        }
    }
}

/// The types `bool` and `text` (`pg_type.dat`).
const BOOL: u32 = 16;
const TEXT: u32 = 25;

/// Gives each column another type than it has.
fn retype(body: &mut [u8]) {
    let mut at = 2;
    while let Some(end) = body[at..].iter().position(|byte| *byte == 0) {
        // Behind the name: the table's OID, the column's number, the type's OID, and eight bytes more.
        let oid = &mut body[at + end + 7..at + end + 11];
        let is_text = oid == TEXT.to_be_bytes();
        oid.copy_from_slice(&(if is_text { BOOL } else { TEXT }).to_be_bytes());
        at += end + 19;
        if at >= body.len() {
            break;
        }
    }
}
