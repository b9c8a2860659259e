//! What is wrong with a value, and what to do; where it stands is another matter ([`super::diagnostics`]).

use std::borrow::Cow;

/// What is wrong with a value. It never repeats what may be a part of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// One sentence.
    pub message: String,
    /// The values that are allowed.
    pub allowed: Option<Cow<'static, str>>,
    /// What to do.
    pub help: Option<String>,
}

impl Flaw {
    /// A flaw with a sentence alone.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            allowed: None,
            help: None,
        }
    }

    /// A flaw with what to do.
    pub fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(message).help(help)
    }

    /// Adds the values that are allowed.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<Cow<'static, str>>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do, if something can be done.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// What to do, in one line: the help, or else what there could be instead.
    pub(super) fn advice(&self) -> Option<String> {
        let allowed = || Some(format!("allowed: {}", self.allowed.as_ref()?));
        self.help.clone().or_else(allowed)
    }
}

impl From<String> for Flaw {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Flaw {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<&String> for Flaw {
    fn from(message: &String) -> Self {
        Self::new(message)
    }
}
