//! Passive check results: how a run ended, told to the monitoring rather than asked for by it.
//!
//! What is sent is what `envsyncd check JOB` prints. Sending is best effort, takes half a minute at the most, and never
//! fails a run: what cannot be sent is one warning in the log, and the receiver's own freshness check notices the rest.

#[cfg(test)]
mod fuzz;
#[cfg(feature = "icinga")]
mod icinga2;
mod message;
mod nsca;

use std::time::Duration;

use self::message::{Failure, Message, TRY};
use super::status_file::StatusFile;
use crate::config::job::Settings;
use crate::config::monitoring;
use crate::error::{Error, Kind};

pub use self::message::Lookup;

/// How often a receiver is tried.
const TRIES: usize = 3;
/// Before the second and the third try.
const PAUSES: [Duration; TRIES - 1] = [Duration::from_secs(1), Duration::from_secs(3)];
/// All tries, and fetching the password before them.
const ALL: Duration = Duration::from_secs(30);

/// Tells every configured receiver what a job's status file says. Returns when all have been told or given up.
pub async fn send(settings: &Settings, lookup: Lookup<'_>, status: &StatusFile) {
    let monitoring = &settings.monitoring;
    if monitoring.is_none() {
        return;
    }
    let message = Message::of(status);
    let icinga2 = async {
        if let Some(receiver) = &monitoring.icinga2 {
            told(
                "Icinga 2",
                &message,
                to_icinga2(receiver, lookup, status, &message),
            )
            .await;
        }
    };
    let nsca = async {
        if let Some(receiver) = &monitoring.nsca {
            told("NSCA", &message, to_nsca(receiver, &message)).await;
        }
    };
    tokio::join!(icinga2, nsca);
}

#[cfg(feature = "icinga")]
async fn to_icinga2(
    receiver: &monitoring::Icinga2,
    lookup: Lookup<'_>,
    status: &StatusFile,
    message: &Message,
) -> Result<(), Error> {
    let client = icinga2::Client::new(receiver, lookup, status).await?;
    tries(|| client.post(message)).await
}

#[cfg(not(feature = "icinga"))]
#[allow(clippy::unused_async)]
async fn to_icinga2(
    _: &monitoring::Icinga2,
    _: Lookup<'_>,
    _: &StatusFile,
    _: &Message,
) -> Result<(), Error> {
    Err(Error::new(
        Kind::Config,
        "this envsyncd was built without Icinga 2's API",
    ))
}

async fn to_nsca(receiver: &monitoring::Nsca, message: &Message) -> Result<(), Error> {
    tries(|| nsca::send(receiver, message)).await
}

/// Limits it, and says in the log what came of it.
async fn told(
    receiver: &'static str,
    message: &Message,
    sending: impl Future<Output = Result<(), Error>>,
) {
    let sent = tokio::time::timeout(ALL, sending)
        .await
        .unwrap_or_else(|_| Err(no_answer(ALL)));
    let job = message.job.as_str();
    match sent {
        Ok(()) => tracing::debug!(job, receiver, "check result sent"),
        Err(error) => {
            tracing::warn!(job, receiver, %error, "the check result could not be sent");
        }
    }
}

async fn tries<F>(attempt: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut pauses = PAUSES.into_iter();
    loop {
        let tried = tokio::time::timeout(TRY, attempt())
            .await
            .unwrap_or_else(|_| Err(Failure::for_now(no_answer(TRY))));
        let Err(failure) = tried else {
            return Ok(());
        };
        match pauses.next().filter(|_| failure.again) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(failure.error),
        }
    }
}

fn no_answer(limit: Duration) -> Error {
    Error::new(
        Kind::Connection,
        format!("there was no answer within {} seconds", limit.as_secs()),
    )
    .hint("see that it runs, and that no firewall stands between")
}

#[cfg(test)]
mod tests;
