//! Bytes that were read, on a terminal.

use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::archive::snapshots::Watch;
use crate::cli::options::Options;

/// A bar that grows with what is read; without a terminal there is none.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// With this in front of it.
    pub(super) fn new(options: &Options, what: &str) -> Arc<Self> {
        let terminal = std::io::stderr().is_terminal() && options.verbosity() >= 0;
        let style = ProgressStyle::with_template("{prefix:>12} {bar:30} {percent:>3}%  {size}")
            .expect("the template is well-formed")
            .with_key(
                "size",
                |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(
                        out,
                        "{} of {}, {}/s",
                        HumanBytes(state.pos()),
                        HumanBytes(state.len().unwrap_or(0)),
                        HumanBytes(state.per_sec() as u64)
                    );
                },
            );
        let target = if terminal {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target)
            .with_style(style)
            .with_prefix(what.to_owned());
        Arc::new(Self(bar))
    }

    /// Takes it away.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Watch for Bar {
    fn expect(&self, bytes: u64) {
        self.0.inc_length(bytes);
    }

    fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}
