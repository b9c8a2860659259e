//! The shell at the other end of a connection. It runs one script after the other, which costs no login; whoever finds it busy
//! takes a session of its own.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use super::quote::{quote, shell};

/// How it begins: what scripts print goes to 3, and stands behind what the shell itself has to say.
pub(super) const BEGIN: &str = "umask 077; exec sh 3>&1";

/// Bytes that are read at a time.
const PIECE: usize = 128 * 1024;

/// The shell there.
pub(super) struct Shell {
    stdin: ChildStdin,
    /// What it prints.
    pub(super) stdout: ChildStdout,
    /// What it says behind each answer, with a NUL before and behind it. Nobody there knows it before.
    done: Vec<u8>,
    /// Whether it waits for a script. One that nobody waited for to its end may still be at work.
    pub(super) is_ready: bool,
}

/// How a script ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// What it said on its standard error.
    pub(super) said: String,
}

impl Ended {
    /// Of a script that nobody waited for.
    pub(super) fn unknown() -> Self {
        Self {
            status: ExitStatus::default(),
            said: String::new(),
        }
    }
}

impl Shell {
    /// The one that has just begun.
    pub(super) fn new(stdin: ChildStdin, stdout: ChildStdout) -> Self {
        let word = RandomState::new().build_hasher().finish();
        Self {
            stdin,
            stdout,
            done: format!("\0done {word:016x}\0").into_bytes(),
            is_ready: true,
        }
    }

    /// Has a script run with its arguments, as a process of its own.
    pub(super) async fn begin(&mut self, script: &str, arguments: &[&[u8]]) -> io::Result<()> {
        let mut line = b"e=$(".to_vec();
        line.extend(shell(script, arguments));
        // What the shell holds open is no script's business.
        line.extend(b" </dev/null 2>&1 >&3 3>&- 9>&-); s=$?");
        self.begin_line(&line).await
    }

    /// Has the shell itself do what stands in a line; it leaves its status in `s`, and what it has to say of it in `e`.
    pub(super) async fn begin_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.is_ready = false;
        let word = String::from_utf8_lossy(&self.done[1..self.done.len() - 1]).into_owned();
        let mut text = line.to_vec();
        text.extend(b"; printf '\\0%s\\0%s\\0%s\\0' \"$s\" \"$e\" ");
        text.extend(quote(word.as_bytes()));
        text.push(b'\n');
        self.stdin.write_all(&text).await?;
        self.stdin.flush().await
    }

    /// Appends what was printed since; how the script ended, once it has. An error: the shell is gone.
    pub(super) async fn read(&mut self, printed: &mut Vec<u8>) -> io::Result<Option<Ended>> {
        printed.reserve(PIECE);
        if self.stdout.read_buf(printed).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let ended = ended(printed, &self.done);
        self.is_ready = ended.is_some();
        Ok(ended)
    }
}

/// Takes what comes at the end away from what was printed, if it is there.
fn ended(printed: &mut Vec<u8>, done: &[u8]) -> Option<Ended> {
    let rest = printed.strip_suffix(done)?;
    let said = memchr::memrchr(0, rest)?;
    let status = memchr::memrchr(0, &rest[..said])?;
    let code: i32 = std::str::from_utf8(&rest[status + 1..said])
        .ok()?
        .parse()
        .ok()?;
    let ended = Ended {
        status: ExitStatus::from_raw((code & 0xff) << 8),
        said: String::from_utf8_lossy(&rest[said + 1..]).into_owned(),
    };
    printed.truncate(status);
    Some(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_a_word_that_nobody_knows_before() {
        let done = b"\0done 1\0";
        let mut printed = b"a\0\0done 2\0\x007\0no\nway\0done 1\0".to_vec();
        let found = ended(&mut printed, done).unwrap();
        assert_eq!((found.status.code(), &*found.said), (Some(7), "no\nway"));
        assert_eq!(printed, b"a\0\0done 2\0");
        for other in [
            &b"a\x000\0\0done 1"[..],
            b"",
            b"\0done 1\0",
            b"x\0\0done 1\0",
        ] {
            let mut printed = other.to_vec();
            assert!(ended(&mut printed, done).is_none());
            assert_eq!(printed, other);
        }
    }

    #[tokio::test]
    async fn one_script_runs_after_the_other_and_each_says_how_it_ended() {
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", BEGIN]);
        let streams = [std::process::Stdio::piped(), std::process::Stdio::piped()];
        let [stdin, stdout] = streams;
        let mut child = command.stdin(stdin).stdout(stdout).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shell = Shell::new(stdin, stdout);
        for (script, argument, printed, code, said) in [
            (
                "printf '%s' \"$1\"",
                &b"it's\n\xff"[..],
                &b"it's\n\xff"[..],
                0,
                "",
            ),
            (
                "echo \"$1\"; echo no >&2; exit 3",
                b"out",
                b"out\n",
                3,
                "no",
            ),
            ("cat; printf '\\0%s\\0' \"$1\"", b"x", b"\0x\0", 0, ""),
            ("kill -9 $$", b"", b"", 137, ""),
        ] {
            shell.begin(script, &[argument]).await.unwrap();
            let mut found = Vec::new();
            let ended = loop {
                if let Some(ended) = shell.read(&mut found).await.unwrap() {
                    break ended;
                }
                assert!(!shell.is_ready);
            };
            assert!(shell.is_ready);
            assert_eq!((&*found, ended.status.code()), (printed, Some(code)));
            assert_eq!(ended.said, said);
        }
    }
}
