//! A network between us and a server that stalls and breaks when it is told to, not by luck.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::mysql;
use super::postgres::{Cluster, socket_url};
use super::wait_until;

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It stands still until [`Proxy::go_on`].
    Stall,
    /// It breaks, and all others with it; the server cannot be reached any more.
    Drop,
    /// Half of what was said arrives, then it breaks as above.
    Truncate,
    /// The last letter of what was said arrives as another one.
    Alter,
}

/// How many bytes words that spring a trap may have.
const LONGEST_TRAP: usize = 256;

/// A socket in front of a server's socket.
pub(crate) struct Proxy {
    directory: tempfile::TempDir,
    /// The socket's own name.
    name: String,
    state: Arc<State>,
}

struct State {
    server: PathBuf,
    /// A connection stalls when so many bytes went through it, both ways together.
    limit: AtomicU64,
    stalled: AtomicUsize,
    cut: AtomicBool,
    streams: Mutex<Vec<UnixStream>>,
    /// What happens to the first connection that says this to the server.
    trap: Mutex<Option<(&'static str, Fault)>>,
    sprung: AtomicBool,
    released: AtomicBool,
}

impl Proxy {
    /// Lets everything through to a cluster until it is told otherwise.
    pub(crate) fn before(cluster: &Cluster) -> Self {
        let name = format!(".s.PGSQL.{}", cluster.port());
        Self::to(cluster.socket_directory().join(&name), name)
    }

    /// The same to a MariaDB.
    pub(crate) fn before_mysql(server: &mysql::Server) -> Self {
        Self::to(server.socket(), "socket".to_owned())
    }

    fn to(server: PathBuf, name: String) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd-proxy-")
            .tempdir_in("/tmp")
            .expect("a directory in /tmp");
        let state = Arc::new(State {
            server,
            limit: AtomicU64::new(u64::MAX),
            stalled: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
            streams: Mutex::default(),
            trap: Mutex::default(),
            sprung: AtomicBool::new(false),
            released: AtomicBool::new(false),
        });
        let listener = UnixListener::bind(directory.path().join(&name)).expect("a socket");
        let shared = Arc::clone(&state);
        // It ends with the process, or with the first connection after the cut.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.cut.load(Ordering::SeqCst) {
                    break;
                }
                shared.join(client);
            }
        });
        Self {
            directory,
            name,
            state,
        }
    }

    /// The URL of a cluster's database behind it.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let (_, port) = self.name.rsplit_once('.').expect("a cluster's socket");
        let port = port.parse().expect("a cluster's socket ends in its port");
        socket_url(self.directory.path(), port, user, database)
    }

    /// The URL of a MariaDB's database behind it.
    pub(crate) fn mysql_url(&self, user: &str, database: &str) -> String {
        mysql::socket_url(&self.socket(), user, database)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// From now on, every connection stalls once so many bytes went through it.
    pub(crate) fn stall_after(&self, bytes: u64) {
        self.state.limit.store(bytes, Ordering::SeqCst);
    }

    /// The first connection on which a client says this meets this fault.
    pub(crate) fn trap(&self, words: &'static str, fault: Fault) {
        assert!(words.len() <= LONGEST_TRAP, "{words} is too long");
        *self.state.trap.lock().expect("no panic") = Some((words, fault));
    }

    /// Whether a client has said it.
    pub(crate) fn is_sprung(&self) -> bool {
        self.state.sprung.load(Ordering::SeqCst)
    }

    /// Waits until a connection has stalled.
    pub(crate) fn wait_for_stall(&self) {
        wait_until("a connection stalled", || {
            self.state.stalled.load(Ordering::SeqCst) > 0
        });
    }

    /// Lets everything through again.
    pub(crate) fn go_on(&self) {
        self.stall_after(u64::MAX);
        self.state.released.store(true, Ordering::SeqCst);
    }

    /// The server is away: connections break, new ones are refused.
    pub(crate) fn cut(&self) {
        self.state.cut();
        let _ = UnixStream::connect(self.socket());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl State {
    fn join(self: &Arc<Self>, client: UnixStream) {
        // A server that is away shows as a connection that closes at once.
        let Ok(server) = UnixStream::connect(&self.server) else {
            return;
        };
        let passed = Arc::new(AtomicU64::new(0));
        let copy = |stream: &UnixStream| stream.try_clone().expect("a file descriptor");
        let mut streams = self.streams.lock().expect("no panic");
        // It may have gone away just now.
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        streams.extend([copy(&client), copy(&server)]);
        for (from, to, asks) in [
            (copy(&client), copy(&server), true),
            (server, client, false),
        ] {
            let (state, passed) = (Arc::clone(self), Arc::clone(&passed));
            std::thread::spawn(move || state.pump(from, to, asks, &passed));
        }
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The fault that what a client says leads to, and where in it that ends; only once.
    fn fault(&self, said: &[u8]) -> Option<(Fault, usize)> {
        let mut trap = self.trap.lock().expect("no panic");
        let (words, fault) = (*trap)?;
        let found = said
            .windows(words.len())
            .position(|piece| piece == words.as_bytes())?;
        *trap = None;
        if fault == Fault::Stall {
            // For this one alone.
            self.stalled.fetch_add(1, Ordering::SeqCst);
        }
        self.sprung.store(true, Ordering::SeqCst);
        Some((fault, found + words.len()))
    }

    fn pump(&self, mut from: UnixStream, mut to: UnixStream, asks: bool, passed: &AtomicU64) {
        let mut buffer = vec![0; 16 * 1024];
        // What was said last: words may come in two pieces.
        let mut said = Vec::new();
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let sum = passed.fetch_add(length as u64, Ordering::SeqCst) + length as u64;
            if sum > self.limit.load(Ordering::SeqCst) {
                self.stalled.fetch_add(1, Ordering::SeqCst);
                while sum > self.limit.load(Ordering::SeqCst) && !self.cut.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                self.stalled.fetch_sub(1, Ordering::SeqCst);
            }
            match if asks {
                said.drain(..said.len().saturating_sub(LONGEST_TRAP));
                said.extend_from_slice(&buffer[..length]);
                self.fault(&said)
            } else {
                None
            } {
                None => {}
                Some((Fault::Alter, end)) => {
                    // What was said before is gone already; the words end in what is here.
                    let place = end - (said.len() - length) - 1;
                    buffer[place] ^= 1;
                }
                Some((Fault::Stall, _)) => {
                    while !self.released.load(Ordering::SeqCst) && !self.cut.load(Ordering::SeqCst)
                    {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    self.stalled.fetch_sub(1, Ordering::SeqCst);
                }
                Some((Fault::Drop, _)) => self.cut(),
                Some((Fault::Truncate, _)) => {
                    let _ = to.write_all(&buffer[..length / 2]);
                    self.cut();
                }
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
