//! Something that speaks MySQL's protocol, and what it likes.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Client capabilities that it says it has: all that ours needs, and no TLS.
const CAPABILITIES: u32 =
    0x1 | 0x8 | 0x80 | 0x200 | 0x2000 | 0x8000 | 0x1_0000 | 0x8_0000 | 0x20_0000;

/// What it sends before anything: a greeting of MySQL 8.
pub(crate) fn greeting(plugin: &str) -> Vec<u8> {
    let scramble = b"ABCDEFGHIJKLMNOPQRST";
    let mut made = b"\x0a8.0.36\0\x07\0\0\0".to_vec();
    made.extend_from_slice(&scramble[..8]);
    made.push(0);
    made.extend_from_slice(&CAPABILITIES.to_le_bytes()[..2]);
    made.extend_from_slice(&[45, 2, 0]);
    made.extend_from_slice(&CAPABILITIES.to_le_bytes()[2..]);
    made.push(21);
    made.extend_from_slice(&[0; 10]);
    made.extend_from_slice(&scramble[8..]);
    made.push(0);
    made.extend_from_slice(plugin.as_bytes());
    made.push(0);
    made
}

/// That a login or a statement was fine.
pub(crate) const FINE: &[u8] = b"\0\0\0\x02\0\0\0";

/// A server that does one thing with whoever comes.
pub(crate) struct Hostile {
    port: u16,
    sent: Arc<AtomicU64>,
}

/// Who came.
pub(crate) struct Client {
    stream: TcpStream,
    sequence: u8,
    sent: Arc<AtomicU64>,
}

impl Hostile {
    /// Starts it; it ends with the process. What it does ends with an error when the client has gone.
    pub(crate) fn new(with: impl Fn(&mut Client) -> Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = sent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sent = counted.clone();
                let mut client = Client {
                    stream,
                    sequence: 0,
                    sent,
                };
                let _ = with(&mut client);
            }
        });
        Self { port, sent }
    }

    pub(crate) fn url(&self) -> String {
        format!("mysql://reader:secret@127.0.0.1:{}/app", self.port)
    }

    /// How many bytes anybody took of it.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Client {
    /// Sends bytes that need be no packets.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Sends a packet with the next number.
    pub(crate) fn send(&mut self, data: &[u8]) -> Result<()> {
        let mut packet = (data.len() as u32).to_le_bytes()[..3].to_vec();
        packet.push(self.sequence);
        packet.extend_from_slice(data);
        self.sequence = self.sequence.wrapping_add(1);
        self.raw(&packet)
    }

    /// The next packet of the client's.
    pub(crate) fn packet(&mut self) -> Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        self.sequence = header[3].wrapping_add(1);
        let mut data = vec![0; length];
        self.stream.read_exact(&mut data)?;
        Ok(data)
    }

    /// Lets anybody in.
    pub(crate) fn let_in(&mut self) -> Result<()> {
        self.send(&greeting("mysql_native_password"))?;
        self.packet()?;
        self.send(FINE)
    }

    /// All that still comes, until the client has gone.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}
