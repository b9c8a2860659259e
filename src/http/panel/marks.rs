//! What a state looks like: a symbol, a word and a colour.

use std::fmt;

use askama::filters::HtmlSafe;

/// A state of a run, a task, a job or an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Succeeded,
    Running,
    Waiting,
    Failed,
    Refused,
    Busy,
    Cancelled,
    Skipped,
    Broken,
    Overdue,
    Paused,
    Held,
    Never,
}

impl Mark {
    pub(super) const ALL: [Self; 13] = [
        Self::Succeeded,
        Self::Running,
        Self::Waiting,
        Self::Failed,
        Self::Refused,
        Self::Busy,
        Self::Cancelled,
        Self::Skipped,
        Self::Broken,
        Self::Overdue,
        Self::Paused,
        Self::Held,
        Self::Never,
    ];

    /// In words.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Broken => "broken",
            Self::Overdue => "overdue",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Never => "never ran",
        }
    }

    /// The other way round.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.word() == word)
    }

    /// Its symbol in the page, and its class in the style.
    fn look(self) -> (&'static str, &'static str) {
        match self {
            Self::Succeeded => ("yes", "good"),
            Self::Running => ("half", "live"),
            Self::Waiting | Self::Never => ("dots", "calm"),
            Self::Failed => ("no", "bad"),
            Self::Refused => ("bar", "bad"),
            Self::Busy | Self::Held => ("lock", "warn"),
            Self::Cancelled => ("stop", "calm"),
            Self::Skipped => ("skip", "calm"),
            Self::Broken => ("alarm", "worst"),
            Self::Overdue => ("clock", "bad"),
            Self::Paused => ("pause", "warn"),
        }
    }
}

impl HtmlSafe for Mark {}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (symbol, class) = self.look();
        write!(
            f,
            "<span class=\"mark {class}\"><svg aria-hidden=true><use href=\"#{symbol}\"/></svg>{}</span>",
            self.word()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_word_and_a_symbol_that_the_page_has() {
        let page = include_str!("templates/symbols.html");
        for mark in Mark::ALL {
            assert_eq!(Mark::parse(mark.word()), Some(mark));
            assert!(
                page.contains(&format!("<symbol id={} ", mark.look().0)),
                "{mark:?}"
            );
        }
    }
}
