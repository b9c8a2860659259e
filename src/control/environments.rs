//! Holds: environments that somebody keeps runs out of.

use chrono::Utc;

use super::jobs::{did_you_mean, near};
use super::{Caller, checked};
use crate::config::job::Settings;
use crate::error::{Error, Kind, Result};
use crate::guard::process::{Process, host_name};
use crate::state::{Hold, State};

/// An environment that is held now.
#[derive(Debug)]
pub struct Held {
    /// The hold.
    pub hold: Hold,
    /// Whether no run has had to do with the environment yet: its name may be a slip.
    pub is_unheard_of: bool,
}

/// Keeps runs out of an environment, until `release` or, with a process, until that has ended. `Kind::Busy` says who has
/// the environment already, or which run is writing into it.
pub fn hold(
    settings: &Settings,
    state: &State,
    environment: &str,
    reason: &str,
    process: Option<Process>,
    caller: &Caller,
) -> Result<Held> {
    let environment = &settings.canonical(environment);
    let take = || {
        let is_unheard_of = check_name(environment, settings, Some(state))?;
        let hold = Hold {
            environment: environment.to_owned(),
            reason: checked(reason)?,
            by: caller.name.clone(),
            host: host_name(),
            since: Utc::now(),
            process,
        };
        state.hold(&hold)?;
        Ok(Held {
            hold,
            is_unheard_of,
        })
    };
    let taken = take();
    caller.audit(state, "hold", &named(environment), taken)
}

/// Lets runs into an environment again, whoever holds it; `None`: nobody did.
pub fn release(
    settings: &Settings,
    state: &State,
    environment: &str,
    caller: &Caller,
) -> Result<Option<Hold>> {
    let environment = &settings.canonical(environment);
    let end = || {
        let released = state.release(environment)?;
        if released.is_none() {
            // A slip in the name: the hold that was meant would stay, and nobody know.
            check_name(environment, settings, Some(state))?;
        }
        Ok(released)
    };
    caller.audit(state, "release", &named(environment), end())
}

/// A slip in the name would keep nothing out of anything: then `Kind::Unknown`. True: it may be one, but job files may
/// define environments of their own.
pub fn check_name(name: &str, settings: &Settings, state: Option<&State>) -> Result<bool> {
    let name = &settings.canonical(name);
    let mut known: Vec<String> = settings
        .environments
        .names()
        .map(|name| name.as_str().to_owned())
        .collect();
    let defined = !known.is_empty();
    if let Some(state) = state {
        known.extend(state.environments()?);
    }
    if known.contains(name) {
        return Ok(false);
    }
    if name.trim().is_empty() || name.contains(char::is_control) {
        let what = "this is no environment's name";
        return Err(Error::new(Kind::Usage, what).hint("`envsyncd plan` shows a job's"));
    }
    if !defined {
        return Ok(!known.is_empty());
    }
    let near = near(name, known.iter().map(String::as_str));
    let what = format!("environment `{name}` is not defined");
    Err(Error::new(Kind::Unknown, what).hint(if near.is_empty() {
        "define it under [environments] in envsyncd.toml".to_owned()
    } else {
        did_you_mean(&near)
    }))
}

fn named(environment: &str) -> String {
    format!("environment `{environment}`")
}
