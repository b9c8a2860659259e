//! What a program says on its standard error: it is read to its end, so that the program waits for nobody, and kept as far as
//! anybody reads it. It repeats what servers and files say, which may be no text, and never end.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _};

/// More than any program says that has something to say.
const LONGEST: u64 = 64 * 1024;

/// No line is longer: a statement that failed is repeated in one.
const LONGEST_LINE: usize = 64 * 1024;

/// The beginning of all that it says.
pub async fn beginning(from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut limited = from.take(LONGEST);
    // What came before it broke is what there is.
    let _ = limited.read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

/// All that it says, line by line.
pub struct Lines<R> {
    from: R,
    /// What is here of the next line, up to its longest.
    begun: Vec<u8>,
    /// Something of it has come, if only its beginning is kept.
    is_begun: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// Of a stream at its beginning.
    pub fn of(from: R) -> Self {
        Self {
            from,
            begun: Vec::new(),
            is_begun: false,
        }
    }

    /// The next line without its end, or the beginning of one that is too long; `None`: there is none. Nothing is lost where
    /// this is not waited for to its end.
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let bytes = self.from.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(self.is_begun.then(|| self.line(false)));
            }
            let end = memchr::memchr(b'\n', bytes);
            let here = &bytes[..end.unwrap_or(bytes.len())];
            let room = LONGEST_LINE - self.begun.len();
            self.begun.extend_from_slice(&here[..here.len().min(room)]);
            self.is_begun = true;
            let taken = here.len() + usize::from(end.is_some());
            self.from.consume(taken);
            if end.is_some() {
                return Ok(Some(self.line(true)));
            }
        }
    }

    fn line(&mut self, has_end: bool) -> String {
        self.is_begun = false;
        let line = std::mem::take(&mut self.begun);
        let bare = line.strip_suffix(b"\r").filter(|_| has_end);
        String::from_utf8_lossy(bare.unwrap_or(&line)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(said: &[u8]) -> Vec<String> {
        let mut lines = Lines::of(said);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        found
    }

    #[tokio::test]
    async fn lines_end_where_they_end_and_need_not_be_text() {
        assert_eq!(
            lines(b"one\r\n\nb\xe9te\nlast").await,
            ["one", "", "b\u{fffd}te", "last"]
        );
        assert_eq!(lines(b"").await, [""; 0]);
        let long = [&vec![b'a'; 3 * LONGEST_LINE][..], b"\nnext\n"].concat();
        let found = lines(&long).await;
        assert_eq!(found[0].len(), LONGEST_LINE);
        assert_eq!(found[1..], ["next"]);
    }

    #[tokio::test]
    async fn one_who_says_too_much_is_heard_to_the_end_and_not_kept() {
        let (here, mut there) = tokio::io::duplex(1024);
        let says = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            for _ in 0..3 * LONGEST / 16 {
                there
                    .write_all(b"0123456789 \xe9\xe9\xe9\xe9\n")
                    .await
                    .unwrap();
            }
        });
        let kept = beginning(here).await;
        says.await.unwrap();
        assert!(kept.starts_with("0123456789 \u{fffd}") && kept.len() < 3 * LONGEST as usize);
    }
}
