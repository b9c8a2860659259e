//! `pause JOB` and `resume JOB`

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::options::{Options, asker, settings};
use super::{jobs, terminal};
use crate::error::Result;
use crate::state::{Pause, Paused};

/// Stop a job from being started, until `resume` or for some time
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd pause publishing-api --reason 'load test'\n  envsyncd pause publishing-api --reason 'release freeze' --for 2days\n  envsyncd pause publishing-api --reason 'until the audit' --until 2026-12-01T06:00:00Z\n  envsyncd resume publishing-api\n\nA run that is under way continues; `envsyncd cancel` ends it. `envsyncd --once -f FILE` runs a paused job by hand."
)]
pub(super) struct Args {
    /// The job
    job: String,
    /// Say why, for others
    #[arg(short, long, value_name = "TEXT", value_parser = super::hold::reason)]
    reason: String,
    /// Pause it for this long: "90m", "2days"
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "until")]
    length: Option<Duration>,
    /// Pause it until this time (RFC 3339)
    #[arg(long, value_name = "WHEN", value_parser = ahead)]
    until: Option<DateTime<Utc>>,
}

/// End the pause of a job
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd resume publishing-api\n\nTimes that were due during the pause are not made up for; `envsyncd trigger` runs the job now."
)]
pub(super) struct ResumeArgs {
    /// The job
    job: String,
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
    jobs::find(&args.job, &settings, Some(&state))?;
    let since = Utc::now();
    let length = args
        .length
        .and_then(|length| since.checked_add_signed(chrono::Duration::from_std(length).ok()?));
    let pause = Pause {
        what: Paused::Job(args.job.clone()),
        reason: args.reason.clone(),
        by: asker(),
        since,
        until: args.until.or(length),
    };
    if let Some(before) = state.pause(&pause)? {
        terminal::note(&format!("it was {}", before.sentence()));
    }
    terminal::print(&format!("{}: {}\n", args.job, pause.sentence()))?;
    Ok(0)
}

pub(super) fn resume(options: &Options, args: &ResumeArgs) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    jobs::find(&args.job, &settings, Some(&state))?;
    match state.resume(&Paused::Job(args.job.clone()))? {
        Some(before) => {
            terminal::print(&format!(
                "{}: resumed; it was {}\n",
                args.job,
                before.sentence()
            ))?;
        }
        None => terminal::note(&format!("{} was not paused", args.job)),
    }
    Ok(0)
}
