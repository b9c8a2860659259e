//! Production's web server as a file proxy meets it, in all its moods; and a client that hides nothing of an answer.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What is answered to a path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    framing: Framing,
    late: Duration,
    /// Stands still after so many bytes until [`Origin::open`].
    still: Option<usize>,
    /// Between two bytes of the body.
    drip: Duration,
}

/// How the length of a body is told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Framing {
    /// As it is.
    #[default]
    Length,
    /// Another length than it is.
    Lie(usize),
    /// In chunks.
    Chunks,
    /// In chunks, and the last one does not come.
    CutChunks,
    /// By the end of the connection.
    Close,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    pub(crate) fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub(crate) fn late(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    pub(crate) fn dripping(mut self, pause: Duration) -> Self {
        self.drip = pause;
        self
    }

    pub(crate) fn still_after(mut self, bytes: usize) -> Self {
        self.still = Some(bytes);
        self
    }
}

/// A server.
pub(crate) struct Origin {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<String, Answer>>,
    /// Whole heads of requests, in their order.
    asked: Mutex<Vec<String>>,
    is_open: Mutex<bool>,
    opened: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origin {
    /// One that has nothing.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        // It ends with the process; there is one a test.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/files", self.port)
    }

    /// Answers so to a path below `/files`.
    pub(crate) fn put(&self, path: &str, answer: Answer) {
        lock(&self.state.answers).insert(format!("/files{path}"), answer);
    }

    /// The same to any path.
    pub(crate) fn put_at(&self, path: &str, answer: Answer) {
        lock(&self.state.answers).insert(path.to_owned(), answer);
    }

    /// A file.
    pub(crate) fn file(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.put(path, Answer::new(200, body));
    }

    /// Heads of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.state.asked).clone()
    }

    /// How often a path below `/files` was asked for.
    pub(crate) fn times(&self, path: &str) -> usize {
        let line = format!("GET /files{path} ");
        self.asked()
            .iter()
            .filter(|head| head.starts_with(&line))
            .count()
    }

    /// Lets all go on that stand still.
    pub(crate) fn open(&self) {
        *lock(&self.state.is_open) = true;
        self.state.opened.notify_all();
    }
}

impl State {
    fn serve(&self, mut client: TcpStream) {
        let _ = client.set_nodelay(true);
        while let Some(head) = head_of(&mut client) {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            lock(&self.asked).push(head);
            let answer = lock(&self.answers).get(&path).cloned();
            let answer = answer.unwrap_or_else(|| {
                Answer::new(404, "there is no such page").header("Content-Type: text/html")
            });
            if self.answer(&mut client, &answer).is_err() {
                return;
            }
            if matches!(
                answer.framing,
                Framing::Lie(_) | Framing::CutChunks | Framing::Close
            ) {
                return;
            }
        }
    }

    fn answer(&self, client: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
        std::thread::sleep(answer.late);
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        for line in &answer.headers {
            head += &format!("{line}\r\n");
        }
        match answer.framing {
            Framing::Length => head += &format!("Content-Length: {}\r\n", answer.body.len()),
            Framing::Lie(length) => head += &format!("Content-Length: {length}\r\n"),
            Framing::Chunks | Framing::CutChunks => head += "Transfer-Encoding: chunked\r\n",
            Framing::Close => head += "Connection: close\r\n",
        }
        if answer.status == 304 || answer.status == 204 {
            head = format!("HTTP/1.1 {} X\r\n", answer.status);
        }
        client.write_all(head.as_bytes())?;
        client.write_all(b"\r\n")?;
        let (first, rest) = answer
            .body
            .split_at(answer.still.unwrap_or(answer.body.len()));
        Self::piece(client, answer, first)?;
        if answer.still.is_some() {
            let mut is_open = lock(&self.is_open);
            while !*is_open {
                is_open = self
                    .opened
                    .wait(is_open)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        Self::piece(client, answer, rest)?;
        if matches!(answer.framing, Framing::Chunks) {
            client.write_all(b"0\r\n\r\n")?;
        }
        Ok(())
    }

    fn piece(client: &mut TcpStream, answer: &Answer, bytes: &[u8]) -> std::io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if matches!(answer.framing, Framing::Chunks | Framing::CutChunks) {
            client.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
            client.write_all(bytes)?;
            return client.write_all(b"\r\n");
        }
        if !answer.drip.is_zero() {
            for byte in bytes {
                client.write_all(&[*byte])?;
                std::thread::sleep(answer.drip);
            }
            return Ok(());
        }
        client.write_all(bytes)
    }
}

/// All up to an empty line; `None`: the connection has ended.
fn head_of(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// An answer that a client got.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in small letters.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its own end.
    pub(crate) is_whole: bool,
}

impl Reply {
    /// Whether it is a file, and all of it. What ends early is an error where it was known before anything was sent, and
    /// breaks off where it was not.
    pub(crate) fn is_whole_file(&self) -> bool {
        self.status == 200 && self.is_whole
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request that was sent.
pub(crate) struct Asking {
    stream: TcpStream,
    /// Of the answer, once it was waited for.
    head: Option<String>,
}

/// Sends a request; `path` goes as it is.
pub(crate) fn ask(port: u16, method: &str, path: &str, headers: &[&str]) -> Asking {
    try_ask(port, method, path, headers).expect("the file proxy")
}

fn try_ask(port: u16, method: &str, path: &str, headers: &[&str]) -> std::io::Result<Asking> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: staging\r\nConnection: close\r\n");
    for line in headers {
        head += &format!("{line}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    Ok(Asking { stream, head: None })
}

/// A GET and its answer.
pub(crate) fn get(port: u16, path: &str, headers: &[&str]) -> Reply {
    ask(port, "GET", path, headers).reply("GET")
}

/// The same of who may be about to leave, or to come; `None`: there was no answer.
pub(crate) fn try_get(port: u16, path: &str) -> Option<Reply> {
    let mut asking = try_ask(port, "GET", path, &[]).ok()?;
    asking.head = Some(head_of(&mut asking.stream)?);
    Some(asking.reply("GET"))
}

impl Asking {
    /// Waits for the answer's head.
    pub(crate) fn head(&mut self) -> &str {
        let stream = &mut self.stream;
        self.head
            .get_or_insert_with(|| head_of(stream).expect("a head"))
    }

    /// Waits for the answer's head and so many bytes.
    pub(crate) fn first(&mut self, bytes: usize) -> (String, Vec<u8>) {
        let head = self.head().to_owned();
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).expect("bytes");
        (head, body)
    }

    /// All that is still to come.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let _ = self.stream.read_to_end(&mut body);
        body
    }

    /// The whole answer.
    pub(crate) fn reply(mut self, method: &str) -> Reply {
        let head = self.head().to_owned();
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let sent = self.rest();
        let (body, is_whole) = if headers.contains_key("transfer-encoding") {
            unchunked(&sent)
        } else {
            let length = headers
                .get("content-length")
                .and_then(|length| length.parse().ok());
            let wanted = if method == "HEAD" {
                0
            } else {
                length.unwrap_or(0)
            };
            let is_whole = sent.len() == wanted;
            (sent, is_whole)
        };
        Reply {
            status: status.expect("a status"),
            headers,
            body,
            is_whole,
        }
    }
}

/// What was sent in chunks, and whether the last came.
fn unchunked(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&bytes[..end])
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.expect("a chunk's size");
        bytes = &bytes[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if bytes.len() < size + 2 {
            body.extend_from_slice(&bytes[..size.min(bytes.len())]);
            return (body, false);
        }
        body.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}
