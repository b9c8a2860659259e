//! The target's lock on its own server.
//!
//! It is one of the server's named locks (`GET_LOCK`), which die with their connection. They belong to one server
//! process: on a Galera cluster, and behind a proxy that spreads connections over several servers, two runs that reach
//! different nodes do not see each other's. Point every job at the same node, the one that is written to.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Error, Kind, Result};
use crate::store::Claim;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::literal;

/// How long the lock is waited for: long enough for what a killed run may still be at, short enough for who is in the way
/// of another host's run.
const PATIENCE: u32 = 10;

/// A server that does not answer for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// The lock while it is held.
pub(in crate::store::mysql) struct Lock {
    keeper: JoinHandle<()>,
    gone: watch::Receiver<Option<(Kind, String)>>,
    live: String,
}

impl Lock {
    /// Takes the lock of the schema `live`, or fails with [`Kind::Busy`] and says who has it.
    pub(in crate::store::mysql) async fn take(
        address: &Address,
        live: &str,
        claim: &Claim,
    ) -> Result<Self> {
        let mut session = Session::open(address, None).await?;
        let name = literal(&lock_name(live));
        let row = session
            .query_one(&format!("SELECT GET_LOCK({name}, {PATIENCE})"))
            .await?;
        if row.maybe(0)?.as_deref() != Some("1") {
            let who = holder(&mut session, &name).await?;
            return Err(Error::new(
                Kind::Busy,
                format!("the target {live} is locked on its server by {who}"),
            )
            .hint("run the job again when that run has ended"));
        }
        let (tell, gone) = watch::channel(None);
        // A statement that says whose it is, for the server's list of processes; and a client that is gone is noticed at
        // its end.
        let watchword = format!("DO SLEEP(1) {}", signature(claim));
        let keeper = tokio::spawn(async move {
            let error = loop {
                match tokio::time::timeout(SILENCE, session.run(&watchword)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => break (error.kind(), error.to_string()),
                    Err(_) => {
                        break (
                            Kind::Connection,
                            "the server does not answer any more".to_owned(),
                        );
                    }
                }
            };
            let _ = tell.send(Some(error));
        });
        Ok(Self {
            keeper,
            gone,
            live: live.to_owned(),
        })
    }

    /// Ends when the lock is lost.
    pub(in crate::store::mysql) async fn lost(&self) -> Error {
        let mut gone = self.gone.clone();
        let why = match gone.wait_for(Option::is_some).await {
            Ok(why) => why.clone(),
            Err(_) => None,
        };
        let (kind, why) = why.unwrap_or((Kind::Connection, "its connection ended".to_owned()));
        // Whatever the server says when it ends a session: it is the session that is lost.
        let kind = if kind == Kind::Full {
            kind
        } else {
            Kind::Connection
        };
        Error::new(
            kind,
            format!("the lock of the target {} is lost: {why}", self.live),
        )
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The connection ends with it, and the lock with that.
        self.keeper.abort();
    }
}

/// The server compares these names without case and takes 64 characters (MySQL's manual, "Locking Functions").
fn lock_name(live: &str) -> String {
    let plain = live.len() <= 48
        && live
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'$'));
    if plain {
        return format!("envsyncd {live}");
    }
    let digest = format!("{:x}", Sha256::digest(live));
    format!("envsyncd #{}", &digest[..40])
}

/// A comment that says who we are; whatever could end it is left out.
fn signature(claim: &Claim) -> String {
    let clean = |text: &str| -> String {
        text.chars()
            .filter(|c| c.is_alphanumeric() || "-_.".contains(*c))
            .take(80)
            .collect()
    };
    format!(
        "/* envsyncd job {}, run {}, on {} */",
        clean(&claim.job),
        clean(&claim.run),
        clean(&claim.host)
    )
}

/// The holder of the lock, as far as our user may see it.
async fn holder(session: &mut Session, name: &str) -> Result<String> {
    let row = session
        .query_opt(&format!(
            "SELECT id, user, host, info FROM information_schema.processlist WHERE id = IS_USED_LOCK({name})"
        ))
        .await?;
    let Some(row) = row else {
        return Ok("someone whom the target's user may not see (privilege PROCESS)".to_owned());
    };
    let said = row.maybe(3)?.unwrap_or_default();
    let claim = said
        .split_once("/* ")
        .and_then(|(_, rest)| rest.split_once(" */"))
        .map_or(String::new(), |(claim, _)| format!("{claim}: "));
    Ok(format!(
        "{claim}user {} from {} (connection {})",
        row.maybe(1)?.unwrap_or_default(),
        row.maybe(2)?.unwrap_or_default(),
        row.text(0)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_comment_cannot_be_left_by_a_jobs_name() {
        let claim = Claim {
            job: "a*/ DROP".to_owned(),
            run: "0199".to_owned(),
            host: "db1.example".to_owned(),
        };
        assert_eq!(
            signature(&claim),
            "/* envsyncd job aDROP, run 0199, on db1.example */"
        );
    }

    proptest! {
        #[test]
        fn two_schemas_never_share_a_lock(one in "[a-zA-Zé\" .%]{1,64}", other in "[a-zA-Zé\" .%]{1,64}") {
            prop_assert!(lock_name(&one).len() <= 64);
            prop_assert_eq!(one == other, lock_name(&one).eq_ignore_ascii_case(&lock_name(&other)));
        }
    }
}
