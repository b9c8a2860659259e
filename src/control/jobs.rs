//! Finds the jobs and runs that are asked for by name. `Kind::Unknown`: there is none.

use crate::config::job::{Job, Settings};
use crate::config::{Diagnostic, Diagnostics, load_job};
use crate::error::{Error, Kind, Result};
pub use crate::run::housekeeping::known_jobs;
use crate::run::last_good;
use crate::state::{Run, State};

/// Why a job cannot be had.
#[derive(Debug)]
pub enum NotLoaded {
    /// There is no such job, or the state store cannot be read.
    Not(Error),
    /// Its file is wrong, and no version of it is known that was good.
    Wrong(Diagnostics),
}

impl From<Error> for NotLoaded {
    fn from(error: Error) -> Self {
        Self::Not(error)
    }
}

impl From<NotLoaded> for Error {
    fn from(why: NotLoaded) -> Self {
        match why {
            NotLoaded::Not(error) => error,
            NotLoaded::Wrong(found) => found.into(),
        }
    }
}

/// A job of this host as it is run, with its file's warnings. True: its file is broken, and this is its last good version.
pub fn job_named(
    settings: &Settings,
    state: &State,
    name: &str,
) -> Result<(Job, Vec<Diagnostic>, bool), NotLoaded> {
    if let Some(job) = settings.site_job_named(name) {
        return Ok((job?, Vec::new(), false));
    }
    find(name, settings, Some(state))?;
    let file = settings.job_file(name);
    match load_job(&file, settings) {
        Ok((job, warnings)) => Ok((job, warnings, false)),
        // As for its schedule.
        Err(broken) => match last_good::load(settings, name, &file) {
            Some(job) => Ok((job, Vec::new(), true)),
            None => Err(NotLoaded::Wrong(broken)),
        },
    }
}

/// An error, with near names, if there is no such job.
pub fn find(name: &str, settings: &Settings, state: Option<&State>) -> Result<()> {
    if settings.site_job_named(name).is_some_and(|job| job.is_ok()) {
        return Ok(());
    }
    let known = known_jobs(settings, state)?;
    if known.iter().any(|job| job == name) {
        return Ok(());
    }
    let error = Error::new(Kind::Unknown, format!("there is no job `{name}`"));
    let near = near(name, known.iter().map(String::as_str));
    Err(if known.is_empty() {
        error.hint(format!(
            "there are no jobs in {} and none in the history",
            settings.job_dirs_named()
        ))
    } else if near.is_empty() {
        error.hint("`envsyncd status` lists all jobs")
    } else {
        error.hint(did_you_mean(&near))
    })
}

/// The run that is meant: a job's last one by the job's name, any by its id. An error with advice if there is none.
pub fn find_run(what: &str, settings: &Settings, state: Option<&State>) -> Result<Run> {
    if let Some(state) = state {
        // Names first: a short one may well be the end of some id.
        if let Some(run) = state.last_run(what)? {
            return Ok(run);
        }
        if let Some(run) = state.run(what)? {
            return Ok(run);
        }
    }
    if known_jobs(settings, state)?.iter().any(|job| job == what) {
        return Err(
            Error::new(Kind::Unknown, format!("job `{what}` has not run yet"))
                .hint(format!("`envsyncd status {what}` says when it will")),
        );
    }
    let error = Error::new(Kind::Unknown, format!("there is no run or job `{what}`"));
    Err(match state {
        None => error.hint(format!(
            "there is no history in {}",
            settings.state_dir.display()
        )),
        Some(_) => error.hint("`envsyncd history` lists the runs"),
    })
}

/// The run that is to be ended: a job's that has not, by the job's name, else as [`find_run`] finds it.
pub fn find_current(what: &str, settings: &Settings, state: &State) -> Result<Run> {
    let mut unfinished = state.unfinished()?.into_iter();
    match unfinished.find(|run| run.job == what) {
        Some(run) => Ok(run),
        None => find_run(what, settings, Some(state)),
    }
}

/// The names that `name` may be a slip of, nearest first, three at the most.
pub fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let mut near: Vec<(f64, &str)> = names
        .map(|other| (strsim::jaro_winkler(&name, &other.to_lowercase()), other))
        .filter(|(likeness, other)| {
            *likeness > 0.85 || (name.len() > 2 && other.to_lowercase().contains(&name))
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// "did you mean `a` or `b`?"
pub fn did_you_mean(near: &[&str]) -> String {
    let quoted: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("did you mean {}?", quoted.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_parts_of_a_name_find_it_and_other_names_do_not() {
        let all = ["publishing-api", "whitehall", "search"];
        let found = |name: &str| near(name, all.into_iter());
        assert_eq!(found("publising-api"), ["publishing-api"]);
        assert_eq!(found("Whitehal"), ["whitehall"]);
        assert_eq!(found("api"), ["publishing-api"]);
        assert!(found("mysql").is_empty());
    }
}
