//! What a program prints: line by line into the log, without secrets, and no more of it than anybody reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::task::JoinHandle;

use crate::secret::redaction::Redaction;
use crate::sync::Mutex;

/// How long a program's output is read after it ended: what it left running may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);
/// A longer line is logged in pieces.
pub(super) const LINE: usize = 4096;
/// How much of what one call of a program says is logged: one that prints without end must not fill the state store's disk.
pub(super) const LINES: usize = 1000;
pub(super) const BYTES: usize = 256 * 1024;
/// How many of its last lines are logged where it says more.
pub(super) const TAIL: usize = 20;

/// Puts one stream into the log; dropped with the future that waits for the program.
pub(super) struct Reader(JoinHandle<()>);

impl Reader {
    pub(super) fn start(
        stream: Option<impl AsyncRead + Unpin + Send + 'static>,
        said: &Arc<Mutex<Said>>,
        is_stderr: bool,
    ) -> Self {
        use tracing::Instrument as _;
        let said = Arc::clone(said);
        let reading = async move {
            let mut stream = BufReader::with_capacity(LINE, stream?);
            let mut lines = Lines::new(Redaction::known());
            loop {
                let bytes = stream.fill_buf().await.unwrap_or_default();
                let (taken, is_end) = (bytes.len(), bytes.is_empty());
                let mut log = |line: &str| said.lock().line(line, is_stderr);
                if is_end {
                    lines.end(&mut log);
                    return Some(());
                }
                lines.feed(bytes, &mut log);
                stream.consume(taken);
            }
        };
        Self(tokio::spawn(
            async move {
                reading.await;
            }
            .in_current_span(),
        ))
    }

    pub(super) async fn finish(mut self) {
        let _ = tokio::time::timeout(DRAIN, &mut self.0).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is printed, cut into lines with the secrets struck out.
pub(in crate::guard) struct Lines {
    line: Vec<u8>,
    redaction: Redaction,
}

impl Lines {
    pub(in crate::guard) fn new(redaction: Redaction) -> Self {
        let line = Vec::new();
        Self { line, redaction }
    }

    /// Takes what comes next, and hands out the lines that end in it, and the pieces of one that is too long.
    pub(in crate::guard) fn feed(&mut self, mut bytes: &[u8], log: &mut impl FnMut(&str)) {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            // A line is never much longer than what makes a piece of it.
            let room = (LINE + self.redaction.longest()).saturating_sub(self.line.len());
            let taken = end.unwrap_or(bytes.len()).min(room);
            self.line.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            match bytes.first() {
                Some(b'\n') => {
                    bytes = &bytes[1..];
                    self.end(log);
                }
                // There was no room for it.
                Some(_) => self.cut(log),
                None => {}
            }
        }
    }

    /// It has come to its end.
    pub(in crate::guard) fn end(&mut self, log: &mut impl FnMut(&str)) {
        log(&self.redaction.line(&self.line));
        self.line.clear();
    }

    /// A secret at the end of a piece is struck out by its beginning, and by its rest in the next.
    fn cut(&mut self, log: &mut impl FnMut(&str)) {
        let blank = self.line[..LINE].iter().rposition(|byte| *byte == b' ');
        let end = blank.filter(|at| *at > LINE / 2).unwrap_or(LINE);
        let piece: Vec<u8> = self.line.drain(..end).collect();
        log(&self.redaction.line(&piece));
    }
}

/// What one call of a program says, on its way into the log.
pub(super) struct Said {
    what: String,
    lines: usize,
    bytes: usize,
    /// The end of what is not logged as it comes.
    tail: VecDeque<String>,
    left_out: u64,
    /// The last line on its stderr.
    last: String,
}

impl Said {
    pub(super) fn by(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            lines: 0,
            bytes: 0,
            tail: VecDeque::new(),
            left_out: 0,
            last: String::new(),
        }
    }

    fn line(&mut self, line: &str, is_stderr: bool) {
        let text = line.trim();
        if text.is_empty() {
            return;
        }
        if is_stderr {
            self.last = text.chars().take(200).collect();
        }
        if self.lines < LINES && self.bytes < BYTES {
            self.lines += 1;
            self.bytes += text.len();
            tracing::info!(hook = self.what, output = text, "hook said");
            return;
        }
        self.tail.push_back(text.to_owned());
        if self.tail.len() > TAIL {
            self.tail.pop_front();
            self.left_out += 1;
        }
    }

    /// Logs the end of what it said; returns its last words.
    pub(super) fn end(&mut self) -> String {
        if self.left_out > 0 {
            tracing::warn!(
                hook = self.what,
                lines = self.left_out,
                "the hook said too much: so many lines are left out here"
            );
        }
        for text in self.tail.drain(..) {
            tracing::info!(hook = self.what, output = text, "hook said");
        }
        std::mem::take(&mut self.last)
    }
}
