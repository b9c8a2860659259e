//! The state store, as verbs need it.

use super::options::{Options, asker};
use super::runtime::runtime;
use crate::config::job::Settings;
use crate::error::{Error, Kind, Result};
use crate::report::log;
use crate::run::{recover, start};
use crate::state::{Run, State};

/// The state store for a verb that reads. Dead runs found there are recorded as failed, and what they left is cleared,
/// first; whoever may only read the history still can.
pub(super) fn state_to_read(options: &Options, settings: &Settings) -> Result<Option<State>> {
    let Some(state) = State::open_if_there(&settings.state_dir)? else {
        return Ok(None);
    };
    // What is malformed in there is warned of, and passed over.
    let _ = log::init(&options.log());
    // The daemon knows how its children ended, and is about to say so itself.
    if !state.has_daemon()? {
        for dead in recover::bury(&state, settings).unwrap_or_default() {
            clear_after(options, settings, &state, &dead);
        }
    }
    Ok(Some(state))
}

/// The state store for a verb that says what runs may do: only the one that they all read is of any use.
pub(super) fn state_to_steer(settings: &Settings) -> Result<State> {
    State::open(&settings.state_dir).map_err(for_operators)
}

/// An error of the state store, for a verb that a state store of one's own would not help.
pub(super) fn for_operators(error: Error) -> Error {
    match error.kind() {
        Kind::State if error.advice().is_some_and(|advice| advice.starts_with("make it writable")) => error.hint(
            "run this as root, or as the user that envsyncd runs as: no run looks into another state_dir",
        ),
        _ => error,
    }
}

/// Clears what a dead run left, for a verb that is no run itself.
pub(super) fn clear_after(options: &Options, settings: &Settings, state: &State, dead: &Run) {
    // A run's own log is set up already; other verbs warn on stderr.
    let _ = log::init(&options.log());
    if let Ok(runtime) = runtime(1) {
        runtime.block_on(start::clear(settings, state, dead, &asker()));
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    }
}
