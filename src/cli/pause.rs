//! `pause` and `resume`: of a job, of every job into an environment, of all.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::options::{Options, caller, settings};
use super::terminal;
use crate::control::{pauses, reason};
use crate::error::Result;
use crate::state::Paused;

/// Stop jobs from being started, until `resume` or for some time
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd pause publishing-api --reason 'load test'\n  envsyncd pause publishing-api --reason 'release freeze' --for 2days\n  envsyncd pause publishing-api --reason 'until the audit' --until 2026-12-01T06:00:00Z\n  envsyncd pause --to staging --reason 'release freeze'\n  envsyncd pause --all --reason 'the network is being moved' --for 4h\n  envsyncd resume publishing-api\n\nA run that is under way continues; `envsyncd cancel` ends it. `envsyncd --once -f FILE` runs a paused job by hand. A pause of an environment or of all leaves the pauses of jobs as they are: each is ended by itself."
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) what: What,
    /// Say why, for others
    #[arg(short, long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: String,
    /// Pause for this long: "90m", "2days"
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "until")]
    pub(super) length: Option<Duration>,
    /// Pause until this time (RFC 3339)
    #[arg(long, value_name = "WHEN", value_parser = ahead)]
    pub(super) until: Option<DateTime<Utc>>,
}

/// End a pause
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd resume publishing-api\n  envsyncd resume --to staging\n  envsyncd resume --all\n\nTimes that were due during the pause are not made up for; `envsyncd trigger` runs a job now."
)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    pub(super) what: What,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct What {
    /// The job
    pub(super) job: Option<String>,
    /// Every job
    #[arg(long)]
    pub(super) all: bool,
    /// Every job into this environment
    #[arg(long, value_name = "ENV")]
    pub(super) to: Option<String>,
}

impl What {
    pub(super) fn paused(&self) -> Paused {
        match (&self.job, &self.to) {
            (Some(job), _) => Paused::Job(job.clone()),
            (None, Some(environment)) => Paused::To(environment.clone()),
            (None, None) => Paused::All,
        }
    }
}

/// What the answer begins with.
fn named(what: &Paused) -> String {
    match what {
        Paused::Job(job) => job.clone(),
        Paused::To(_) | Paused::All => what.to_string(),
    }
}

fn ahead(text: &str) -> Result<DateTime<Utc>, String> {
    let at = DateTime::parse_from_rfc3339(text)
        .map_err(|_| "write it as 2026-12-01T06:00:00Z".to_owned())?
        .to_utc();
    if at <= Utc::now() {
        return Err("that has passed".to_owned());
    }
    Ok(at)
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    let length = args
        .length
        .and_then(|length| Utc::now().checked_add_signed(chrono::Duration::from_std(length).ok()?));
    let until = args.until.or(length);
    let what = args.what.paused();
    let (pause, before) = pauses::pause(&settings, &state, &what, &args.reason, until, &caller())?;
    if let Some(before) = before {
        terminal::note(&format!("it was {}", before.sentence()));
    }
    terminal::print(&format!("{}: {}\n", named(&what), pause.sentence()))?;
    Ok(0)
}

pub(super) fn resume(options: &Options, args: &ResumeArgs) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    let what = args.what.paused();
    let name = named(&what);
    match pauses::resume(&settings, &state, &what, &caller())? {
        Some(before) => {
            terminal::print(&format!("{name}: resumed; it was {}\n", before.sentence()))?;
        }
        None => terminal::note(&format!("{name} was not paused")),
    }
    Ok(0)
}
