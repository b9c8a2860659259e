//! A port of this machine where a stub answers.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A stub that listens for as long as the process lives.
pub(crate) struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// One client of a stub.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Listener {
    /// Answers each client so, in a thread of its own.
    pub(crate) fn start(
        answer: impl Fn(&mut Client) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let (answer, noted) = (Arc::new(answer), heard.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Its answers are small, and nobody waits for another one before they go.
                let _ = stream.set_nodelay(true);
                let mut client = Client {
                    stream,
                    heard: noted.clone(),
                };
                let answer = answer.clone();
                // A client that goes away is no failure of a stub's.
                std::thread::spawn(move || answer(&mut client));
            }
        });
        Self { port, heard }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What clients have said that the stub has noted, in order.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().expect("no panic").clone()
    }
}

impl Client {
    /// Reads so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Keeps what a client has said for [`Listener::heard`].
    pub(crate) fn note(&self, said: &[u8]) {
        self.heard.lock().expect("no panic").push(said.to_owned());
    }

    /// Says nothing more, until the client has had enough; what it says is noted.
    pub(crate) fn keep_silent(&mut self) -> io::Result<()> {
        let mut rest = [0; 4096];
        loop {
            match self.stream.read(&mut rest)? {
                0 => return Ok(()),
                read => self.note(&rest[..read]),
            }
        }
    }
}
