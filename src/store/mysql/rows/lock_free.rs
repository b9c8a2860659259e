//! A snapshot for all workers without any lock: nobody committed anything while their transactions began.
//!
//! InnoDB gives every transaction that writes a number when it begins to, and another one when it commits, from one counter; the
//! first one stays in the list of active ones until others see what was written ("SHOW ENGINE INNODB STATUS", MySQL's
//! manual; `ReadView::prepare` in `read0read.cc`). A snapshot is the counter and that list. So where both are the same before
//! and after, all snapshots between are the same.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::store::mysql::connection::session::Session;

/// How long such a moment is looked for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Transactions that write nothing are listed by their address with this bit (`trx_get_id_for_print`).
const OF_READERS: u64 = 1 << 48;

/// The content of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::mysql) struct Moment {
    next: u64,
    pub(in crate::store::mysql) active: BTreeSet<u64>,
}

/// Begins all sessions' transactions, each of which has a snapshot from then on.
pub(in crate::store::mysql) async fn begin(sessions: &mut [Session]) -> Result<()> {
    let beginning = sessions.iter_mut().map(|session| {
        session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; SAVEPOINT envsyncd")
    });
    futures_util::future::try_join_all(beginning)
        .await
        .map(drop)
}

/// The same in such a moment. `false`: the server's user may not look (PROCESS), or there was none.
pub(super) async fn begin_unnoticed(sessions: &mut [Session]) -> Result<bool> {
    let started = Instant::now();
    let Some(mut before) = look(&mut sessions[0]).await? else {
        return Ok(false);
    };
    let mut pause = Duration::from_millis(1);
    while started.elapsed() < PATIENCE {
        begin(sessions).await?;
        let Some(after) = look(&mut sessions[0]).await? else {
            return Ok(false);
        };
        if after == before {
            return Ok(true);
        }
        for session in sessions.iter_mut() {
            session.run("ROLLBACK").await?;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
        match look(&mut sessions[0]).await? {
            Some(now) => before = now,
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// `None`: it cannot be seen, or not whole.
async fn look(session: &mut Session) -> Result<Option<Moment>> {
    match session.query_opt("SHOW ENGINE INNODB STATUS").await {
        Ok(row) => Ok(row
            .and_then(|row| row.bytes(2).map(String::from_utf8_lossy).map(String::from))
            .and_then(|text| moment(&text))),
        Err(error) if session.is_usable() => {
            tracing::debug!(%error, "the source's transactions cannot be seen");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(in crate::store::mysql) fn moment(status: &str) -> Option<Moment> {
    // Of very many transactions, some are left out.
    if status.contains("truncated...") {
        return None;
    }
    let number = |text: &str| -> Option<u64> {
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let next = status
        .lines()
        .find_map(|line| line.strip_prefix("Trx id counter "))
        .and_then(number)?;
    let mut active = BTreeSet::new();
    for line in status.lines() {
        if let Some(rest) = line.strip_prefix("---TRANSACTION ") {
            active.insert(number(rest)?);
        }
    }
    active.retain(|id| *id < OF_READERS);
    Some(Moment { next, active })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "TRANSACTIONS\n------------\nTrx id counter 1822\nPurge done for trx's n:o < 1822 undo n:o < 0 state: running but idle\n\
        LIST OF TRANSACTIONS FOR EACH SESSION:\n---TRANSACTION 421988127383256, not started\n0 lock struct(s)\n\
        ---TRANSACTION 1821, ACTIVE 3 sec\n2 lock struct(s)\n---TRANSACTION 1815, ACTIVE (PREPARED) 0 sec committing\n";

    #[test]
    fn writers_and_the_counter_make_a_moment_and_readers_do_not() {
        let found = moment(STATUS).expect("a moment");
        assert_eq!(found.next, 1822);
        assert_eq!(found.active, BTreeSet::from([1815, 1821]));
        let later = STATUS.replace("---TRANSACTION 1815", "---TRANSACTION 421988127383999");
        assert_ne!(moment(&later), Some(found));
        assert_eq!(moment("nothing"), None);
        assert_eq!(moment(&format!("{STATUS}\n... truncated...\n")), None);
    }
}
