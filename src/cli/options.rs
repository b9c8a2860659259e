//! What every verb takes, and the files that it reads first.

use std::path::{Path, PathBuf};

use clap::ArgAction;

use super::terminal;
use crate::config::job::{Job, JobName, Settings};
use crate::config::{Diagnostic, Diagnostics};
use crate::control::Caller;
use crate::error::{Error, Kind, Result};
use crate::report::log;
use crate::state::Trigger;
use crate::trust;

/// What every verb takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Read the settings from this file [default: /etc/envsyncd/envsyncd.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "ENVSYNCD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Ask the daemon of another host: trigger, cancel, status, history, show, logs, pause, resume, hold, release
    #[arg(long, global = true, value_name = "URL", env = "ENVSYNCD_SERVER")]
    pub server: Option<String>,
    /// With --server: read the token from this file; without it, it is in ENVSYNCD_TOKEN
    #[arg(long, global = true, value_name = "FILE", env = "ENVSYNCD_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Log more; -vv logs everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log less; -qq logs errors only
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
}

impl Options {
    /// 0 as it comes; above: more; below: less.
    pub fn verbosity(&self) -> i8 {
        let count = |n: u8| i8::try_from(n).unwrap_or(i8::MAX);
        count(self.verbose) - count(self.quiet)
    }
}

/// The user who runs this command: the one behind `sudo`, else that of this process.
pub fn asker() -> String {
    let user = nix::unistd::geteuid();
    if user.is_root()
        && let Some(name) = std::env::var("SUDO_USER").ok().filter(|n| !n.is_empty())
    {
        return name;
    }
    nix::unistd::User::from_uid(user)
        .ok()
        .flatten()
        .map_or_else(|| user.to_string(), |user| user.name)
}

/// The user who runs this command, as one who asks for something.
pub(super) fn caller() -> Caller {
    Caller {
        name: asker(),
        trigger: Trigger::Manual,
        via: "cli",
        // As over the API's unix socket.
        address: format!("uid {}", nix::unistd::getuid()),
    }
}

impl Options {
    /// Logging as far as this process's command line and environment say.
    pub(super) fn log(&self) -> log::Options {
        log::Options {
            verbosity: self.verbosity(),
            filter: std::env::var("ENVSYNCD_LOG")
                .ok()
                .filter(|text| !text.is_empty()),
            ..log::Options::default()
        }
    }

    pub(super) fn warn(&self, warnings: &[Diagnostic]) {
        if self.verbosity() >= 0 {
            for warning in warnings {
                terminal::note(&format!("{warning}\n"));
            }
        }
    }
}

/// The settings that a verb works with; warnings go to stderr.
pub(super) fn settings(options: &Options) -> Result<Settings> {
    let (settings, warnings) = crate::config::load_settings(
        options.config.as_deref(),
        crate::config::environment(),
        crate::store::registry::formats(),
    )
    .map_err(wrong)?;
    options.warn(&warnings);
    Ok(settings)
}

/// A job's file; warnings go to stderr.
pub(super) fn job(options: &Options, file: &Path, settings: &Settings) -> Result<Job> {
    // It could tell root nothing evil, and is still for its owner to run.
    if settings.is_managed(file)
        && let Ok(found) = std::fs::symlink_metadata(file)
        && let Some(doubt) = trust::of_file(file, &found)
    {
        let name =
            JobName::of_file(file).map_or_else(|_| "JOB".to_owned(), |name| name.to_string());
        return Err(doubt
            .into_error(Kind::Config, &file.display().to_string())
            .hint(format!("`envsyncd trigger {name}` has the daemon run it")));
    }
    let (job, warnings) = crate::config::load_job(file, settings).map_err(wrong)?;
    options.warn(&warnings);
    Ok(job)
}

/// Shows all that is wrong with a file, and makes one error of it.
pub(super) fn wrong(found: Diagnostics) -> Error {
    terminal::note(&format!("{found}\n"));
    found.into()
}
