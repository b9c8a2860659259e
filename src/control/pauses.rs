//! Pauses: of a job, of every job into an environment, of all.

use chrono::{DateTime, Utc};

use super::{Caller, checked, environments, jobs};
use crate::config::job::Settings;
use crate::error::{Error, Kind, Result};
use crate::state::{Pause, Paused, State};

/// Keeps jobs from being started, until `resume` or until a time. Returns the pause, and the one of the same that it replaces.
pub fn pause(
    settings: &Settings,
    state: &State,
    what: &Paused,
    reason: &str,
    until: Option<DateTime<Utc>>,
    caller: &Caller,
) -> Result<(Pause, Option<Pause>)> {
    let what = &canonical(settings, what);
    let begin = || {
        check(settings, state, what)?;
        let since = Utc::now();
        if until.is_some_and(|until| until <= since) {
            let what = "the end of this pause has passed";
            return Err(Error::new(Kind::Usage, what).hint("give one that is to come"));
        }
        let pause = Pause {
            what: what.clone(),
            reason: checked(reason)?,
            by: caller.name.clone(),
            since,
            until,
        };
        let before = state.pause(&pause)?;
        Ok((pause, before))
    };
    caller.audit(state, "pause", &what.to_string(), begin())
}

/// Ends the pause of just this and returns it; `None`: there was none.
pub fn resume(
    settings: &Settings,
    state: &State,
    what: &Paused,
    caller: &Caller,
) -> Result<Option<Pause>> {
    let what = &canonical(settings, what);
    let end = || {
        let before = state.resume(what)?;
        if before.is_none() {
            check(settings, state, what)?;
        }
        Ok(before)
    };
    caller.audit(state, "resume", &what.to_string(), end())
}

/// The same, where its environment is called by an alias.
fn canonical(settings: &Settings, what: &Paused) -> Paused {
    match what {
        Paused::To(environment) => Paused::To(settings.canonical(environment)),
        other => other.clone(),
    }
}

fn check(settings: &Settings, state: &State, what: &Paused) -> Result<()> {
    match what {
        Paused::All => Ok(()),
        Paused::To(environment) => {
            environments::check_name(environment, settings, Some(state)).map(drop)
        }
        Paused::Job(job) => jobs::find(job, settings, Some(state)),
    }
}
