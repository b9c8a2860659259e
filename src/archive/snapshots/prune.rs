//! What goes: snapshots that retention lets go, and what runs that died have left.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Lineage, Listing, Snapshot, Snapshots, State, Unfinished, WriterNote};
use crate::archive::layout::{MAC, MANIFEST, Name, WRITER, is_own};
use crate::archive::retention::{Candidate, Reason, Verdict, judge};
use crate::config::archive::Retention;
use crate::error::Result;
use crate::store::Claim;

/// A folder without a manifest that nothing has been added to for so long is not being written any more, whoever did. Long
/// enough for clocks that disagree.
const QUIET: TimeDelta = TimeDelta::hours(24);

/// So long after a folder was begun it has a first object, if its run is alive.
const MOMENT: TimeDelta = TimeDelta::minutes(1);

/// What a prune would do.
#[derive(Debug)]
pub struct Plan {
    /// The lineage's snapshots, and those of its job that are flawed, newest first.
    pub snapshots: Vec<(Snapshot, Verdict)>,
    /// The job's folders without a manifest; `None`: it stays, because somebody may be writing it.
    pub unfinished: Vec<(Unfinished, Option<Abandoned>)>,
}

/// Why nobody writes a folder any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// Its run was one of this machine's, and is gone.
    Dead,
    /// Nothing was added to it for a day.
    Quiet,
}

/// What a prune did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Snapshots that are gone.
    pub snapshots: Vec<Name>,
    /// Leftovers that are gone.
    pub leftovers: Vec<Name>,
    /// Bytes that they had.
    pub size: u64,
}

impl std::fmt::Display for Abandoned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dead => "its run is gone",
            Self::Quiet => "nothing was added to it for a day",
        })
    }
}

impl Snapshots {
    /// Says what of a lineage goes by `retention`, and what of its job's folders nobody writes any more. `host` is this
    /// machine, and `alive` whether a writer on it still runs; in doubt it does.
    pub async fn plan(
        &self,
        lineage: &Lineage,
        retention: &Retention,
        host: &str,
        alive: &(dyn Fn(&WriterNote) -> bool + Sync),
        now: DateTime<Utc>,
    ) -> Result<Plan> {
        let listing = self.list().await?;
        let mut plan = decide(listing, lineage, retention, host, alive, now);
        let read = self.marks(now).await?.fresh;
        for (snapshot, verdict) in &mut plan.snapshots {
            if verdict.goes() && read.contains(&snapshot.name) {
                *verdict = Verdict::Stays(vec![Reason::Read]);
            }
        }
        Ok(plan)
    }

    /// Removes what a plan lets go, unless somebody has begun to read it since. A snapshot's manifest goes first, so that one that is cut short leaves no snapshot but
    /// a leftover, which the next prune clears.
    pub async fn prune(&self, plan: &Plan) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        // The oldest first: whatever cuts it short, the newer ones are still there.
        for (snapshot, verdict) in plan.snapshots.iter().rev() {
            if !verdict.goes() {
                continue;
            }
            let name = &snapshot.name;
            if self.marks(Utc::now()).await?.fresh.contains(name) {
                tracing::info!(snapshot = %name, "somebody is reading it: the next prune removes it");
                continue;
            }
            pruned.size += self.remove(name).await?;
            pruned.snapshots.push(name.clone());
        }
        for (folder, abandoned) in plan.unfinished.iter().rev() {
            if abandoned.is_none() {
                continue;
            }
            // It was none when the plan was made; a writer that was taken for dead may have finished it.
            let name = &folder.name;
            let manifest = self.bucket.get(&format!("{name}/{MANIFEST}")).await?;
            if manifest.is_none()
                && let Some(size) = self.clear(name).await?
            {
                pruned.size += size;
                pruned.leftovers.push(name.clone());
            }
        }
        self.sweep_marks(Utc::now()).await?;
        Ok(pruned)
    }

    /// Under the lock that lets one run of a job at a time run on a machine: removes what its dead runs left unfinished, and
    /// what nothing was added to for a day. Returns the names of what was removed.
    pub async fn sweep(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Vec<String>> {
        let mut swept = Vec::new();
        for name in self.names().await? {
            let manifest = format!("{name}/{MANIFEST}");
            if name.job != claim.job
                || name.id == claim.short()
                || self.bucket.get(&manifest).await?.is_some()
            {
                continue;
            }
            // Whoever wrote it here would have the lock.
            let left = match self.unfinished(name.clone()).await? {
                Some(folder) => abandoned(&folder, &claim.host, &|_| false, now).is_some(),
                // Not even who writes it: that is a moment's work.
                None => now - name.at > MOMENT,
            };
            if left && self.clear(&name).await?.is_some() {
                swept.push(name.to_string());
            }
        }
        self.sweep_marks(now).await?;
        Ok(swept)
    }

    /// Removes a snapshot, or what there is of one; returns how many bytes that was. The manifest goes first: from then on
    /// there is no snapshot.
    pub async fn remove(&self, name: &Name) -> Result<u64> {
        let manifest = format!("{name}/{MANIFEST}");
        self.bucket.delete(vec![manifest]).await?;
        Ok(self.clear(name).await?.unwrap_or_default())
    }

    /// Removes what a snapshot consists of from a folder that has no manifest; who wrote it goes last, so that what is left is
    /// known to be his. What else lies there is somebody else's and stays; `None` if it is all that does.
    async fn clear(&self, name: &Name) -> Result<Option<u64>> {
        let folder = name.to_string();
        let writer = format!("{folder}/{WRITER}");
        let (own, others): (Vec<_>, Vec<_>) = self
            .bucket
            .list(&folder)
            .await?
            .into_iter()
            .partition(|object| {
                let path = object.path.strip_prefix(&folder);
                path.and_then(|path| path.strip_prefix('/'))
                    .is_some_and(is_own)
            });
        if let Some(other) = others.first() {
            tracing::warn!(
                file = other.path,
                files = others.len(),
                "is no part of a snapshot, though it lies in the folder of one: it is left alone, and can be removed by hand"
            );
            if own.is_empty() {
                return Ok(None);
            }
        }
        let size = own.iter().map(|object| object.size).sum();
        let paths = own.into_iter().map(|object| object.path);
        let (last, mut first): (Vec<String>, Vec<String>) = paths.partition(|path| *path == writer);
        // The listing may not know yet that the manifest is gone, and nobody needs its authentication.
        first.push(format!("{folder}/{MAC}"));
        self.bucket.clear_uploads(&folder).await?;
        self.bucket.delete(first).await?;
        self.bucket.delete(last).await?;
        Ok(Some(size))
    }
}

/// The same, without an archive.
fn decide(
    listing: Listing,
    lineage: &Lineage,
    retention: &Retention,
    host: &str,
    alive: &(dyn Fn(&WriterNote) -> bool + Sync),
    now: DateTime<Utc>,
) -> Plan {
    let snapshots: Vec<Snapshot> = listing
        .snapshots
        .into_iter()
        .filter(|snapshot| match &snapshot.state {
            State::Good(summary) => summary.lineage == *lineage,
            State::Flawed(_) => snapshot.name.job == lineage.job,
        })
        .collect();
    let candidates: Vec<Candidate> = snapshots
        .iter()
        .map(|snapshot| {
            let (taken_at, good) = match &snapshot.state {
                State::Good(summary) => (summary.taken_at, true),
                State::Flawed(_) => (snapshot.name.at, false),
            };
            Candidate {
                name: snapshot.name.to_string(),
                taken_at,
                good,
            }
        })
        .collect();
    let verdicts = judge(&candidates, retention, now);
    let unfinished = listing
        .unfinished
        .into_iter()
        .filter(|folder| folder.name.job == lineage.job)
        .map(|folder| {
            let abandoned = abandoned(&folder, host, alive, now);
            (folder, abandoned)
        })
        .collect();
    Plan {
        snapshots: snapshots.into_iter().zip(verdicts).collect(),
        unfinished,
    }
}

/// Whether nobody writes a folder any more, and why.
fn abandoned(
    folder: &Unfinished,
    host: &str,
    alive: &(dyn Fn(&WriterNote) -> bool + Sync),
    now: DateTime<Utc>,
) -> Option<Abandoned> {
    match &folder.writer {
        // Of our own runs we know.
        Some(writer) if writer.host == host => (!alive(writer)).then_some(Abandoned::Dead),
        _ => {
            let newest = folder.newest.unwrap_or(folder.name.at);
            (now - newest > QUIET).then_some(Abandoned::Quiet)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfinished(host: Option<&str>, newest: &str) -> Unfinished {
        let name = Name::parse("20260102T030405Z-accounts-0123456789ab").unwrap();
        Unfinished {
            writer: host.map(|host| WriterNote {
                version: 1,
                host: host.to_owned(),
                job: "accounts".to_owned(),
                run: "0199".to_owned(),
                started_at: name.at,
                pid: 7,
            }),
            newest: Some(newest.parse().unwrap()),
            size: 1,
            name,
        }
    }

    #[test]
    fn what_is_being_written_is_never_abandoned() {
        let now: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        let judge = |folder: Unfinished, alive: bool| abandoned(&folder, "here", &|_| alive, now);
        let (old, young) = ("2026-01-02T03:04:05Z", "2026-01-09T00:00:01Z");
        // Here: what counts is whether it runs, however long a single object takes it.
        assert_eq!(judge(unfinished(Some("here"), old), true), None);
        assert_eq!(
            judge(unfinished(Some("here"), young), false),
            Some(Abandoned::Dead)
        );
        // Elsewhere, or unknown: only time tells, whatever process of ours has that number.
        for host in [Some("there"), None] {
            for alive in [true, false] {
                assert_eq!(judge(unfinished(host, young), alive), None);
                assert_eq!(judge(unfinished(host, old), alive), Some(Abandoned::Quiet));
            }
        }
    }
}
