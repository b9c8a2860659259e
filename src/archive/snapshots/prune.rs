//! Removes snapshots that retention no longer keeps, and what dead runs have left.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Listing, Series, Snapshot, Snapshots, State, Unfinished};
use crate::archive::bucket::Object;
use crate::archive::layout::{MAC, MANIFEST, Name, WRITER, is_own, pool_of};
use crate::archive::retention::{Candidate, Reason, Verdict, judge};
use crate::config::archive::Retention;
use crate::error::Result;
use crate::process::Sight;
use crate::store::Claim;

/// After so long without a sign of life or a new object, nobody is writing a folder without a manifest any more. A writer gives a sign
/// every minute; a server that was away for a while is no reason to take it for dead.
const SILENT: TimeDelta = TimeDelta::hours(1);

/// As long for the folder of an older envsyncd, which does not say that it lives.
const QUIET: TimeDelta = TimeDelta::hours(24);

/// So long after a folder was begun it has a first object, if its run is alive.
const MOMENT: TimeDelta = TimeDelta::minutes(1);

/// The wait before an empty folder is looked at again: the time in its name may be of a clock that is wrong.
const FIRST: Duration = Duration::from_secs(2);

/// The snapshots and leftovers that a prune would remove.
#[derive(Debug)]
pub struct Plan {
    /// The job.
    pub job: String,
    /// The snapshots of the series, and those of its job that are flawed, newest first.
    pub snapshots: Vec<(Snapshot, Verdict)>,
    /// The job's folders without a manifest; `None`: it stays, because somebody may be writing it.
    pub unfinished: Vec<(Unfinished, Option<Abandoned>)>,
}

/// Why nobody writes a folder any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// Its run's process was one that can be seen from here, and is gone.
    Dead,
    /// Its run has given no sign of life for an hour.
    Silent,
    /// Nothing was added to it for a day.
    Quiet,
}

/// The snapshots and leftovers that a prune removed.
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
            Self::Silent => "its run has given no sign of life for an hour",
            Self::Quiet => "nothing was added to it for a day",
        })
    }
}

impl Snapshots {
    /// Says what of a series goes by `retention`, and what of its job's folders nobody writes any more.
    pub async fn plan(
        &self,
        series: &Series,
        retention: &Retention,
        now: DateTime<Utc>,
    ) -> Result<Plan> {
        let listing = self.list().await?;
        let clock = self.clock(&listing.unfinished).await?;
        let mut plan = decide(listing, series, retention, now, clock);
        let read = self.marks().await?.fresh;
        for (snapshot, verdict) in &mut plan.snapshots {
            if verdict.goes() && read.contains(&snapshot.name) {
                *verdict = Verdict::Stays(vec![Reason::Read]);
            }
        }
        Ok(plan)
    }

    /// How many bytes a plan would free: a snapshot's own, and those that it shares with others that go only.
    pub async fn would_free(&self, plan: &Plan) -> Result<u64> {
        let goes = |(snapshot, verdict): &(Snapshot, Verdict)| {
            verdict.goes().then(|| snapshot.name.clone())
        };
        let going: Vec<Name> = plan.snapshots.iter().filter_map(goes).collect();
        let dead = plan.unfinished.iter().filter(|(_, why)| why.is_some());
        let pool = self.unshared(&plan.job, &going).await?;
        let mut bytes = (pool.values().copied())
            .chain(dead.map(|(folder, _)| folder.size))
            .fold(0, u64::saturating_add);
        for name in &going {
            let own = self.bucket.list(&name.to_string()).await?;
            bytes = own
                .iter()
                .map(|it| it.size)
                .fold(bytes, u64::saturating_add);
        }
        Ok(bytes)
    }

    /// What time it is by the clock that folders are judged by: the archive's own.
    async fn clock(&self, unfinished: &[Unfinished]) -> Result<DateTime<Utc>> {
        if unfinished.is_empty() {
            return Ok(Utc::now());
        }
        self.bucket.now().await
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
            if self.marks().await?.fresh.contains(name) {
                tracing::info!(snapshot = %name, "somebody is reading it: the next prune removes it");
                continue;
            }
            pruned.size = pruned.size.saturating_add(self.remove(name).await?);
            pruned.snapshots.push(name.clone());
        }
        let collected = self.collect(&plan.job).await?;
        pruned.size = pruned.size.saturating_add(collected);
        for (folder, abandoned) in plan.unfinished.iter().rev() {
            if abandoned.is_none() {
                continue;
            }
            // It was so when the plan was made; a writer that was taken for dead may have come back, and finished it.
            let name = &folder.name;
            if self.is_abandoned(name).await?
                && let Some(size) = self.clear(name).await?
            {
                pruned.size = pruned.size.saturating_add(size);
                pruned.leftovers.push(name.clone());
            }
        }
        self.sweep_marks().await?;
        Ok(pruned)
    }

    /// Whether a folder has no manifest, and nobody writes it any more.
    pub(super) async fn is_abandoned(&self, name: &Name) -> Result<bool> {
        let manifest = format!("{name}/{MANIFEST}");
        if self.bucket.has(&manifest).await? {
            return Ok(false);
        }
        let Some(folder) = self.unfinished(name.clone()).await? else {
            return self.is_empty_for_good(name).await;
        };
        let now = self.clock(std::slice::from_ref(&folder)).await?;
        let abandoned = abandoned(&folder, now).is_some();
        // Between the two questions it may have been finished, and its note be gone with that.
        Ok(abandoned && !self.bucket.has(&manifest).await?)
    }

    /// Whether a folder has not even a file that says who writes it: that is a moment's work.
    async fn is_empty_for_good(&self, name: &Name) -> Result<bool> {
        if self.bucket.now().await? - name.at <= MOMENT {
            return Ok(false);
        }
        // Its name has the time of a clock that may be wrong.
        tokio::time::sleep(FIRST).await;
        Ok(self.unfinished(name.clone()).await?.is_none())
    }

    /// Removes what runs of a job left unfinished that are dead. Returns the names of what was removed.
    pub async fn sweep(&self, claim: &Claim) -> Result<Vec<String>> {
        let (mut swept, mut dead) = (Vec::new(), Vec::new());
        for name in self.names().await? {
            let other = name.job == claim.job && name.id != claim.short();
            if other && self.is_abandoned(&name).await? {
                dead.push(name);
            }
        }
        if !dead.is_empty() {
            // Before their folders: those show that there may be something in the pool.
            self.collect(&claim.job).await?;
        }
        for name in dead {
            if self.clear(&name).await?.is_some() {
                swept.push(name.to_string());
            }
        }
        self.sweep_marks().await?;
        Ok(swept)
    }

    /// Removes a snapshot, or what there is of one; returns how many bytes that was. The manifest goes first: from then on
    /// there is no snapshot.
    pub async fn remove(&self, name: &Name) -> Result<u64> {
        let manifest = format!("{name}/{MANIFEST}");
        let there = self.bucket.list(&name.to_string()).await?;
        self.bucket.delete(vec![manifest]).await?;
        Ok(self.clear_of(name, there).await?.unwrap_or_default())
    }

    /// Removes what a snapshot consists of from a folder that has no manifest; who wrote it goes last, so that what is left is
    /// known to be his. What else lies there is somebody else's and stays; `None` if it is all that does.
    async fn clear(&self, name: &Name) -> Result<Option<u64>> {
        let there = self.bucket.list(&name.to_string()).await?;
        self.clear_of(name, there).await
    }

    /// The same of what was found in the folder.
    async fn clear_of(&self, name: &Name, there: Vec<Object>) -> Result<Option<u64>> {
        let folder = name.to_string();
        let writer = format!("{folder}/{WRITER}");
        let (own, others): (Vec<_>, Vec<_>) = there.into_iter().partition(|object| {
            let path = object.path.strip_prefix(&folder);
            path.and_then(|path| path.strip_prefix('/'))
                .is_some_and(is_own)
        });
        if let Some(other) = others.first() {
            tracing::warn!(
                file = other.path,
                files = others.len(),
                "is not part of a snapshot, though it lies in the folder of one: it is left alone, and can be removed by hand"
            );
            if own.is_empty() {
                return Ok(None);
            }
        }
        let sizes = own.iter().map(|object| object.size);
        let size = sizes.fold(0, u64::saturating_add);
        let paths = own.into_iter().map(|object| object.path);
        let (last, mut first): (Vec<String>, Vec<String>) = paths.partition(|path| *path == writer);
        // The listing may not know yet that the manifest is gone, and nobody needs its authentication.
        first.push(format!("{folder}/{MAC}"));
        self.bucket.clear_uploads(&folder).await?;
        let pool = pool_of(&name.job, &name.id);
        self.bucket.clear_uploads(&pool).await?;
        self.bucket.delete(first).await?;
        self.bucket.delete(last).await?;
        Ok(Some(size))
    }
}

/// The same, without an archive.
fn decide(
    listing: Listing,
    series: &Series,
    retention: &Retention,
    now: DateTime<Utc>,
    clock: DateTime<Utc>,
) -> Plan {
    let snapshots: Vec<Snapshot> = listing
        .snapshots
        .into_iter()
        .filter(|snapshot| match &snapshot.state {
            State::Good(summary) => summary.series == *series,
            State::Flawed(_) => snapshot.name.job == series.job,
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
        .filter(|folder| folder.name.job == series.job)
        .map(|folder| {
            let abandoned = abandoned(&folder, clock);
            (folder, abandoned)
        })
        .collect();
    Plan {
        job: series.job.clone(),
        snapshots: snapshots.into_iter().zip(verdicts).collect(),
        unfinished,
    }
}

/// Whether nobody writes a folder any more, and why. `now` is of the clock that its objects have their times of.
fn abandoned(folder: &Unfinished, now: DateTime<Utc>) -> Option<Abandoned> {
    let sight = folder.writer.as_ref().map(super::WriterNote::look);
    judge_writer(folder, sight, now)
}

fn judge_writer(
    folder: &Unfinished,
    sight: Option<Sight>,
    now: DateTime<Utc>,
) -> Option<Abandoned> {
    let quiet = now - folder.newest.unwrap_or(folder.name.at);
    match sight {
        Some(Sight::Alive) => None,
        Some(Sight::Gone) => Some(Abandoned::Dead),
        Some(Sight::Unseen) | None => {
            let renewed = folder
                .writer
                .as_ref()
                .and_then(|it| it.renewed_every_seconds);
            if renewed.is_some() {
                (quiet > SILENT).then_some(Abandoned::Silent)
            } else {
                (quiet > QUIET).then_some(Abandoned::Quiet)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::snapshots::WriterNote;
    use crate::process::{Process, host_name};

    fn unfinished(writer: Option<WriterNote>, newest: &str) -> Unfinished {
        let name = Name::parse("20260102T030405Z-accounts-0123456789ab").unwrap();
        Unfinished {
            writer,
            newest: Some(newest.parse().unwrap()),
            size: 1,
            name,
        }
    }

    fn by(process: &Process) -> WriterNote {
        WriterNote {
            host: host_name(),
            pid: process.pid,
            process_started: process.started,
            boot_id: process.boot.clone(),
            pid_namespace: process.namespace,
            renewed_every_seconds: Some(60),
            ..WriterNote::default()
        }
    }

    #[test]
    fn what_is_being_written_is_never_abandoned() {
        let now: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        let (old, hours, young) = (
            "2026-01-02T03:04:05Z",
            "2026-01-09T20:00:00Z",
            "2026-01-09T23:00:01Z",
        );
        let judge = |note: Option<WriterNote>, newest| abandoned(&unfinished(note, newest), now);
        let own = Process::own();
        let gone = Process {
            started: own.started + 1,
            ..own.clone()
        };
        // Here: what counts is whether it runs, however long a single object takes it.
        assert_eq!(judge(Some(by(&own)), old), None);
        assert_eq!(judge(Some(by(&gone)), young), Some(Abandoned::Dead));
        // In another container, or on a machine of the same image, under the same name: what counts is that it says so.
        let inside = Process {
            namespace: own.namespace + 1,
            ..own.clone()
        };
        let copied = Process {
            boot: "00000000-0000-0000-0000-000000000000".to_owned(),
            ..own.clone()
        };
        for process in [inside, copied] {
            assert_eq!(judge(Some(by(&process)), young), None);
            assert_eq!(judge(Some(by(&process)), hours), Some(Abandoned::Silent));
        }
    }

    #[test]
    fn what_an_older_envsyncd_writes_is_abandoned_after_a_day_without_a_new_object() {
        let now: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        let (old, young) = ("2026-01-02T03:04:05Z", "2026-01-09T00:00:01Z");
        let note = |host: &str, pid: u32| {
            Some(WriterNote {
                host: host.to_owned(),
                pid,
                started_at: Utc::now(),
                ..WriterNote::default()
            })
        };
        let judge = |note: Option<WriterNote>, newest| abandoned(&unfinished(note, newest), now);
        let own = std::process::id();
        assert_eq!(judge(note(&host_name(), own), old), None);
        // Its name may be another container's, and so may its number.
        for writer in [note(&host_name(), u32::MAX - 1), note("there", own), None] {
            assert_eq!(judge(writer.clone(), young), None);
            assert_eq!(judge(writer, old), Some(Abandoned::Quiet));
        }
    }
}
