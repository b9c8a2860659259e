//! Why a request to an S3 server failed.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::refusal::Refusal;

/// Why a request failed, in the end.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) trouble: Trouble,
    pub(super) tries: u32,
    pub(super) waited: Duration,
    /// It was not the S3 server that was asked, but who gives keys.
    pub(super) for_keys: bool,
}

/// Why a try failed.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// No connection.
    Away(String),
    /// The server does not speak TLS.
    Plain(String),
    /// The server's certificate could not be verified.
    Untrusted(String),
    /// The connection broke.
    Cut(String),
    /// It stood still.
    Still(Duration),
    /// The server said no.
    Refused(Refusal),
    /// The request could not be made at all.
    Impossible(String),
}

impl Trouble {
    /// From what reqwest says, without the URL, which may have a token.
    pub(super) fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut deepest: &(dyn StdError + 'static) = &error;
        while let Some(inner) = deepest.source() {
            deepest = inner;
        }
        let text = deepest.to_string();
        if text.contains("InvalidContentType") {
            Self::Plain(text)
        } else if is_untrusted(&error) {
            Self::Untrusted(text)
        } else if error.is_connect() {
            Self::Away(text)
        } else if error.is_builder() {
            Self::Impossible(text)
        } else {
            Self::Cut(text)
        }
    }

    /// Whether another try may end otherwise.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Away(_) | Self::Cut(_) | Self::Still(_) => true,
            Self::Plain(_) | Self::Untrusted(_) | Self::Impossible(_) => false,
            Self::Refused(refusal) => refusal.may_pass(),
        }
    }

    pub(super) fn asks_for(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

/// Whether a certificate is at the bottom of it. What an I/O error wraps is not among its sources.
fn is_untrusted(error: &(dyn StdError + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>();
    matches!(
        error.downcast_ref(),
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    ) || wrapped
        .and_then(std::io::Error::get_ref)
        .is_some_and(|inner| is_untrusted(inner))
        || error.source().is_some_and(is_untrusted)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(text)
            | Self::Plain(text)
            | Self::Untrusted(text)
            | Self::Cut(text)
            | Self::Impossible(text) => f.write_str(text),
            Self::Still(time) => {
                write!(f, "nothing came for {}", humantime::format_duration(*time))
            }
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trouble.fmt(f)?;
        if self.tries > 1 {
            write!(
                f,
                " (tried {} times in {} s)",
                self.tries,
                self.waited.as_secs()
            )?;
        }
        Ok(())
    }
}

impl StdError for Failed {}

impl Failed {
    /// The one that an error of the library is about.
    pub(super) fn of<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(failed) = inner.downcast_ref() {
                return Some(failed);
            }
            cause = inner.source();
        }
        None
    }

    /// What the server said, if it said anything.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match &self.trouble {
            Trouble::Refused(refusal) if !self.for_keys => Some(refusal),
            _ => None,
        }
    }
}
