//! One error type: what failed with which object, why, and what an operator can do about it.

use std::error::Error as StdError;
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// What kind of failure it is. Everything that depends on the kind (exit code, state, retry) is decided here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line makes no sense.
    Usage,
    /// There is no such job, run or environment.
    Unknown,
    /// A file of ours is wrong.
    Config,
    /// The environments forbid it.
    Policy,
    /// The target is held, locked or about to be rebooted: try again later.
    Busy,
    /// Someone sent this signal number.
    Cancelled(i32),
    /// The job's own time limit is over.
    Timeout,
    /// A server could not be reached, or the connection broke.
    Connection,
    /// The database or file that a URL names does not exist.
    Absent,
    /// A server was reached and said no: password, privilege.
    Permission,
    /// A disk is full, or the memory that the run may have.
    Full,
    /// A server refused a statement.
    Statement,
    /// Source and target differ, or cannot be made equal.
    Verify,
    /// A hook or another program of the operator's failed.
    Hook,
    /// It failed after the new data went live.
    AfterPublish,
    /// It failed after live had been emptied: live is broken until a run succeeds.
    Broken,
    /// The state store, a status file, or a lock's file could not be read or written.
    State,
    /// Reading or writing a file of a store failed.
    Io,
    /// A bug of ours.
    Internal,
}

/// How a run can end, as the history and the status file spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Anything not below.
    Failed,
    /// Refused by policy or configuration.
    Refused,
    /// The target was busy or held.
    Busy,
    /// By a signal.
    Cancelled,
}

impl Kind {
    /// The process's exit code (`sysexits.h` has 75 as EX_TEMPFAIL; 128 + signal is the shell's).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage | Self::Unknown | Self::Config => 2,
            Self::Policy => 3,
            Self::Busy => 75,
            Self::Cancelled(signal) => u8::try_from(128 + signal).unwrap_or(1),
            _ => 1,
        }
    }

    /// What the history calls a run that ended so.
    pub fn ending(self) -> Ending {
        match self {
            Self::Policy | Self::Config | Self::Usage | Self::Unknown => Ending::Refused,
            Self::Busy => Ending::Busy,
            Self::Cancelled(_) => Ending::Cancelled,
            _ => Ending::Failed,
        }
    }
}

/// A failure. Its `Display` is one line: what failed, why, and after a semicolon what to do.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// The signal that ended the program whose failure it is.
    signal: Option<i32>,
}

/// Our results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `what` is one lower-case sentence without a full stop, with the object's name in it.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            hint: None,
            source: None,
            signal: None,
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Why it failed.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// It is the failure of a program that ended so.
    #[must_use]
    pub fn of_program(mut self, status: ExitStatus) -> Self {
        // A shell whose child was ended by a signal exits with 128 and its number.
        let by_shell = status.code().map(|code| code - 128);
        self.signal = status.signal().or(by_shell.filter(|number| *number > 0));
        self
    }

    /// The same failure seen from further out: `outer` goes in front of the sentence.
    #[must_use]
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        self.what = format!("{outer}: {}", self.what);
        self
    }

    /// The same failure, and what came of it in the end.
    #[must_use]
    pub fn followed_by(mut self, what: impl fmt::Display) -> Self {
        self.what = format!("{}; and {what}", self.what);
        self
    }

    /// The same failure of another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The signal that ended the program whose failure it is, or that of its cause.
    pub fn program_signal(&self) -> Option<i32> {
        let of_cause = || {
            let mut cause: &(dyn StdError + 'static) = self.source.as_deref()?;
            // One that has gone through a reader or a writer.
            if let Some(carried) = cause.downcast_ref::<std::io::Error>() {
                cause = carried.get_ref()?;
            }
            cause.downcast_ref::<Self>()?.program_signal()
        };
        self.signal.or_else(of_cause)
    }

    /// What failed, and why: one line, without the advice.
    pub fn sentence(&self) -> String {
        struct Sentence<'e>(&'e Error);
        impl fmt::Display for Sentence<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_sentence(f)
            }
        }
        Sentence(self).to_string()
    }

    /// What to do, if we know.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl Error {
    fn write_sentence(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, &self.what)?;
        let mut cause = self.source.as_deref().map(|s| s as &dyn StdError);
        let mut said = self.what.clone();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many libraries repeat their source in their own text.
            if !said.contains(&text) {
                f.write_str(": ")?;
                write_line(f, &text)?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_sentence(f)?;
        if let Some(hint) = &self.hint {
            f.write_str("; ")?;
            write_line(f, hint)?;
        }
        Ok(())
    }
}

/// An error is one line wherever it lands: a status file, syslog, a pager.
fn write_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for (number, line) in text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .enumerate()
    {
        if number > 0 {
            f.write_str(" ")?;
        }
        f.write_str(line)?;
    }
    Ok(())
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

/// Adds what failed to an error of the operating system, and knows a full disk from the rest.
pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    move |error| {
        let full = matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        );
        let made = Error::new(if full { Kind::Full } else { Kind::Io }, what).because(error);
        if full {
            made.hint("free space there and run the job again")
        } else {
            made
        }
    }
}

/// The same, of a file.
pub fn io_at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    io(path.display().to_string())
}
