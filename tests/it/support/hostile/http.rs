//! An HTTP server in this process that answers whatever a test likes. It ends with the value, and with the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What somebody asks; a body is read and forgotten.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query, as they are written.
    pub(crate) path: String,
    head: String,
}

impl Asked {
    /// A line of the head, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// A parameter of the query, if it is there.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// What is answered.
pub(crate) struct Answer {
    /// Head and body, as they go out.
    bytes: Vec<u8>,
    after: After,
}

enum After {
    /// The connection is closed.
    Close,
    /// Nothing more comes, and the connection stays.
    Hold,
    /// This comes again and again, until nobody takes it any more.
    Again(Vec<u8>),
}

impl Answer {
    /// A status, further lines of the head, and a body with its length.
    pub(crate) fn of(status: u16, head: &str, body: &[u8]) -> Self {
        let mut bytes = format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{head}\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        Self {
            bytes,
            after: After::Close,
        }
    }

    /// Whatever goes over the wire.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            after: After::Close,
        }
    }

    /// And then nothing, for ever.
    pub(crate) fn then_silence(mut self) -> Self {
        self.after = After::Hold;
        self
    }

    /// And then this, for ever.
    pub(crate) fn then_for_ever(mut self, more: impl Into<Vec<u8>>) -> Self {
        self.after = After::Again(more.into());
        self
    }

    /// A body in chunks that never ends.
    pub(crate) fn endless(status: u16, head: &str, chunk: &[u8]) -> Self {
        let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
        Self::raw(format!(
            "HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n{head}\r\n"
        ))
        .then_for_ever(framed)
    }
}

/// The server.
pub(crate) struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it, with TLS if there is a configuration for it.
    pub(crate) fn start(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, answer) = (Arc::clone(&ended), Arc::new(answer));
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (answer, tls, stop) = (Arc::clone(&answer), tls.clone(), Arc::clone(&stop));
                // It ends when the other side does.
                std::thread::spawn(move || match tls {
                    None => serve(stream, &*answer, &stop),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).expect("a configuration");
                        serve(StreamOwned::new(connection, stream), &*answer, &stop);
                    }
                });
            }
        });
        Self {
            address,
            ended,
            listener: Some(listener),
        }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// One request; `None` if none came.
fn asked(stream: &mut impl Read) -> Option<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        (stream.read(&mut byte).ok()? == 1 && head.len() < 1 << 20).then(|| head.push(byte[0]))?;
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is = name.eq_ignore_ascii_case("content-length");
        is.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.unwrap_or(0) as u64;
    let body = std::io::copy(&mut stream.take(length), &mut std::io::sink());
    (body.ok()? == length).then_some(Asked { method, path, head })
}

fn serve(
    mut stream: impl Read + Write,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
    ended: &AtomicBool,
) {
    let Some(asked) = asked(&mut stream) else {
        return;
    };
    let Answer { bytes, after } = answer(&asked);
    if stream
        .write_all(&bytes)
        .and_then(|()| stream.flush())
        .is_err()
    {
        return;
    }
    match after {
        After::Close => {}
        After::Hold => {
            // Until the other side closes.
            let _ = stream.read(&mut [0]);
        }
        After::Again(more) => {
            while !ended.load(Ordering::SeqCst) && stream.write_all(&more).is_ok() {}
        }
    }
}
