//! A network between us and an HTTP server that is slow, breaks, or answers in the server's place when it is told to.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait_until;

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The server does not hear of it: this status and S3's code for it come back.
    Answer(u16, &'static str),
    /// The answer comes so much later.
    Late(Duration),
    /// The server does not hear of it before [`Network::forget`].
    Held,
    /// The connection breaks after so many bytes of the request's body.
    CutAsking(usize),
    /// The connection breaks after so many bytes of the answer's body.
    CutAnswer(usize),
    /// It stands still after so many bytes of the answer's body, until the client goes away.
    StillAnswer(usize),
    /// The server does what it is asked, and the connection breaks before it says so.
    Deaf,
}

struct Rule {
    /// What the request's first line begins with.
    begins: String,
    /// And contains.
    contains: &'static str,
    left: usize,
    fault: Fault,
}

/// Between a request's first line and what it asks for of an object.
const RANGE: &str = " range:";

/// In front of a server.
pub(crate) struct Network {
    port: u16,
    state: Arc<State>,
}

struct State {
    server: String,
    rules: Mutex<Vec<Rule>>,
    /// First lines of all requests, and behind them what part of an object is asked for.
    asked: Mutex<Vec<String>>,
    /// The same of those that the server answered.
    answered: Mutex<Vec<String>>,
    latency: Mutex<Duration>,
    /// First lines of all requests, and their headers in small letters.
    heads: Mutex<Vec<(String, String)>>,
    /// Connections that were let in and have not ended.
    open: AtomicUsize,
}

impl Network {
    /// Lets everything through to `HOST:PORT` until it is told otherwise.
    pub(crate) fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            server: server.to_owned(),
            rules: Mutex::default(),
            asked: Mutex::default(),
            answered: Mutex::default(),
            latency: Mutex::default(),
            heads: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        // It ends with the process; there is one a test.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _ = client.set_nodelay(true);
                let shared = Arc::clone(&shared);
                shared.open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    shared.serve(client);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, state }
    }

    /// What `endpoint` is in a job.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next so many requests whose first line begins with `begins` (`PUT /bucket`) and contains `contains` meet this.
    pub(crate) fn fault(&self, begins: &str, contains: &'static str, times: usize, fault: Fault) {
        self.state.rules.lock().expect("no panic").push(Rule {
            begins: begins.to_owned(),
            contains,
            left: times,
            fault,
        });
    }

    /// No request meets anything any more.
    pub(crate) fn forget(&self) {
        self.state.rules.lock().expect("no panic").clear();
    }

    /// Waits until the server has done all that clients have asked for who are gone.
    pub(crate) fn settle(&self) {
        // They are let in one after the other: all that came before this one are.
        let mut last = TcpStream::connect(("127.0.0.1", self.port)).expect("loopback");
        last.shutdown(Shutdown::Write).expect("a connection");
        let _ = last.read(&mut [0]);
        wait_until("the server has done what it was asked", || {
            self.state.open.load(Ordering::SeqCst) == 0
        });
    }

    /// The headers, in small letters, of the last request whose first line begins and contains so.
    pub(crate) fn headers(&self, begins: &str, contains: &str) -> String {
        let heads = self.state.heads.lock().expect("no panic");
        let of_it =
            |(line, _): &&(String, String)| line.starts_with(begins) && line.contains(contains);
        let found = heads.iter().rev().find(of_it);
        found
            .map(|(_, headers)| headers.clone())
            .expect("such a request")
    }

    /// Every answer comes so much later.
    pub(crate) fn latency(&self, latency: Duration) {
        *self.state.latency.lock().expect("no panic") = latency;
    }

    /// How many requests there were whose first line begins and contains so.
    pub(crate) fn asked(&self, begins: &str, contains: &str) -> usize {
        let asked = self.state.asked.lock().expect("no panic");
        let of_it = |line: &&String| line.starts_with(begins) && line.contains(contains);
        asked.iter().filter(of_it).count()
    }

    /// How many of them the server answered; and how many of these asked for the end of an object only.
    pub(crate) fn answered(&self, begins: &str, contains: &str) -> (usize, usize) {
        let answered = self.state.answered.lock().expect("no panic");
        let of_it = |line: &&String| line.starts_with(begins) && line.contains(contains);
        let on = |line: &&String| of_it(line) && line.contains(RANGE);
        (
            answered.iter().filter(of_it).count(),
            answered.iter().filter(on).count(),
        )
    }
}

impl State {
    fn fault(&self, line: &str) -> Option<Fault> {
        self.asked.lock().expect("no panic").push(line.to_owned());
        let fault = self.next_fault(line);
        if matches!(fault, Some(Fault::Held)) {
            while !self.rules.lock().expect("no panic").is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        fault
    }

    fn next_fault(&self, line: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("no panic");
        let rule = rules.iter_mut().find(|rule| {
            rule.left > 0 && line.starts_with(&rule.begins) && line.contains(rule.contains)
        })?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    /// One connection after the other request: each goes to the server by a connection of its own.
    fn serve(&self, client: TcpStream) {
        let mut out = client.try_clone().expect("a file descriptor");
        let mut reader = BufReader::new(client);
        let _ = self.exchange(&mut reader, &mut out);
        let _ = out.shutdown(Shutdown::Both);
    }

    fn exchange(
        &self,
        client: &mut BufReader<TcpStream>,
        out: &mut TcpStream,
    ) -> std::io::Result<()> {
        let mut head = String::new();
        let mut length = 0;
        let mut range = String::new();
        loop {
            let mut line = String::new();
            if client.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if let Some(value) = lower.strip_prefix("range:") {
                range = format!("{RANGE}{}", value.trim_end());
            }
            head += &line;
        }
        let first = head.lines().next().unwrap_or_default();
        let asked = format!("{first}{range}");
        let headers = (first.to_owned(), head.to_ascii_lowercase());
        self.heads.lock().expect("no panic").push(headers);
        let fault = self.fault(&asked);
        let mut server = TcpStream::connect(&self.server)?;
        server.set_nodelay(true)?;
        let latency = *self.latency.lock().expect("no panic");
        let late = match &fault {
            Some(Fault::Late(late)) => *late,
            _ => latency,
        };
        let asking = match &fault {
            Some(Fault::CutAsking(most)) => length.min(*most),
            _ => length,
        };
        if let Some(Fault::Answer(status, code)) = &fault {
            std::io::copy(
                &mut client.by_ref().take(length as u64),
                &mut std::io::sink(),
            )?;
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"
            );
            return write!(
                out,
                "HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
        write!(server, "{head}Connection: close\r\n\r\n")?;
        let sent = std::io::copy(&mut client.by_ref().take(asking as u64), &mut server)?;
        // The client may be gone, too: the server would wait for the rest.
        if sent < length as u64 {
            return server.shutdown(Shutdown::Both);
        }
        std::thread::sleep(late);
        let mut answer = BufReader::new(server);
        let mut line = String::new();
        let mut said = String::new();
        while line != "\r\n" {
            line.clear();
            if answer.read_line(&mut line)? == 0 {
                return Ok(());
            }
            said += &line;
        }
        self.answered.lock().expect("no panic").push(asked);
        match fault {
            Some(Fault::Deaf) => {
                std::io::copy(&mut answer, &mut std::io::sink())?;
                return Ok(());
            }
            Some(Fault::CutAnswer(most)) => {
                out.write_all(said.as_bytes())?;
                std::io::copy(&mut answer.take(most as u64), out)?;
            }
            Some(Fault::StillAnswer(most)) => {
                out.write_all(said.as_bytes())?;
                std::io::copy(&mut answer.take(most as u64), out)?;
                // Until the client goes away.
                let _ = client.read(&mut [0]);
            }
            _ => {
                out.write_all(said.as_bytes())?;
                std::io::copy(&mut answer, out)?;
            }
        }
        Ok(())
    }
}
