//! Chooses a snapshot: the newest one that fits, or the one that is named.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};

use super::{Flaw, Folder, Series, Snapshots};
use crate::archive::layout::Name;
use crate::archive::manifest::Manifest;
use crate::config::archive::Wanted;
use crate::config::diagnostics::did_you_mean;
use crate::config::job::StoreKind;
use crate::error::{Error, Kind, Result};

/// A filter for snapshots; what is `None` matches all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'w> {
    /// This job's.
    pub job: Option<&'w str>,
    /// Only snapshots of this environment.
    pub origin: Option<&'w str>,
    /// Only snapshots of this store.
    pub kind: Option<StoreKind>,
}

/// A snapshot whose manifest is good.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its folder's name.
    pub name: Name,
    /// What is in it.
    pub manifest: Manifest,
    /// Newer ones that were passed over because their manifests cannot be read: somebody should look.
    pub passed_over: Vec<(Name, Flaw)>,
    /// The manifest as it was read.
    pub(super) json: Bytes,
}

/// The series that were found on the way from the newest snapshot to older ones.
#[derive(Default)]
struct Walk {
    chosen: Option<Chosen>,
    passed_over: Vec<(Name, Flaw)>,
    /// Series that match the filter.
    fitting: Vec<Series>,
    /// Series that do not.
    others: Vec<Series>,
}

impl Which<'_> {
    fn fits(&self, manifest: &Manifest) -> bool {
        self.job.is_none_or(|job| job == manifest.job)
            && self.origin.is_none_or(|origin| origin == manifest.origin)
            && self.kind.is_none_or(|kind| kind == manifest.kind)
    }
}

impl std::fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(job) = self.job {
            write!(f, " of job `{job}`")?;
        }
        if let Some(origin) = self.origin {
            write!(f, " of environment `{origin}`")?;
        }
        if let Some(kind) = self.kind {
            write!(f, " of {kind}")?;
        }
        Ok(())
    }
}

impl Snapshots {
    /// Finds the snapshot that is wanted and reads its manifest. Where no job is asked for and several have snapshots
    /// that would do, that is an error which lists them; so it is for environments and stores.
    ///
    /// The newest is the newest whole one: folders without a manifest do not count, and one whose manifest cannot be read
    /// is passed over, which is for the caller to warn of. One that is of a newer format, not authentic or under another
    /// name is an error: an older one would only hide that something is wrong.
    pub async fn choose(&self, wanted: &Wanted, which: &Which<'_>) -> Result<Chosen> {
        match wanted {
            Wanted::Newest => self.newest(None, which).await,
            Wanted::At(time) => self.newest(Some(*time), which).await,
            Wanted::Named(text) => {
                let name = self.named(text).await?;
                self.take(name, which).await
            }
        }
    }

    /// The name that a person means: a whole one, or enough of one's beginning or end to tell it from all others.
    pub async fn resolve(&self, text: &str) -> Result<Name> {
        let names = self.names().await?;
        let meant = |test: &dyn Fn(&str) -> bool| -> Vec<&Name> {
            (names.iter())
                .filter(|name| test(&name.to_string()))
                .collect()
        };
        let mut found = meant(&|name| name == text);
        if found.is_empty() && !text.is_empty() {
            found = meant(&|name| name.starts_with(text) || name.ends_with(text));
        }
        match found.as_slice() {
            [name] => Ok((*name).clone()),
            [] => Err(self.unknown(text, &names).with_kind(Kind::Usage)),
            several => {
                let names: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
                Err(Error::new(
                    Kind::Usage,
                    format!("`{text}` may be any of {} snapshots", several.len()),
                )
                .hint(format!("write more of one of {}", names.join(", "))))
            }
        }
    }

    async fn named(&self, text: &str) -> Result<Name> {
        // What a configuration names it names whole.
        let names = self.names().await?;
        (names.iter())
            .find(|name| name.to_string() == text)
            .cloned()
            .ok_or_else(|| self.unknown(text, &names))
    }

    fn unknown(&self, text: &str, names: &[Name]) -> Error {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let error = Error::new(
            Kind::Absent,
            format!("there is no snapshot `{text}` in {}", self.place()),
        );
        error.hint(
            did_you_mean(text, names.iter().map(String::as_str))
                .unwrap_or_else(|| "`envsyncd snapshots list` lists what there is".to_owned()),
        )
    }

    /// Takes this one and no other.
    async fn take(&self, name: Name, which: &Which<'_>) -> Result<Chosen> {
        match self.read(&name).await? {
            Folder::Good(manifest, json) if which.fits(&manifest) => Ok(Chosen {
                name,
                manifest: *manifest,
                passed_over: Vec::new(),
                json,
            }),
            Folder::Good(manifest, _) => Err(Error::new(
                Kind::Verify,
                format!(
                    "snapshot {name} is one of {}, and not one{which}",
                    Series::of(&manifest)
                ),
            )
            .hint("name another snapshot, or none: then it is the newest that fits")),
            Folder::Flawed(flaw) => Err(flaw.error(&name)),
            Folder::Unfinished => Err(Error::new(
                Kind::Absent,
                format!("snapshot {name} is not finished: it has no manifest"),
            )
            .hint("it is being written, or its run died and the next prune clears it away")),
        }
    }

    async fn newest(&self, until: Option<DateTime<Utc>>, which: &Which<'_>) -> Result<Chosen> {
        let there = self.names().await?;
        let mut names: Vec<&Name> = there.iter().collect();
        names.retain(|name| {
            which.job.is_none_or(|job| job == name.job)
                && until.is_none_or(|until| name.at <= until)
        });
        let mut jobs: Vec<&str> = names.iter().map(|name| name.job.as_str()).collect();
        jobs.sort_unstable();
        jobs.dedup();
        // Manifests of large databases are large: who says which store is meant does not read them all.
        let first = which.kind.is_some();
        let mut all = Walk::default();
        for job in jobs {
            let names = names.iter().copied().filter(|name| name.job == job);
            self.walk(names, until, which, first, &mut all).await?;
        }
        let several = all.fitting.len() > 1;
        match all.chosen {
            Some(chosen) if !several => Ok(Chosen {
                passed_over: all.passed_over,
                ..chosen
            }),
            Some(_) => Err(Error::new(
                Kind::Absent,
                format!(
                    "{} has snapshots of {}: which of them to use is not clear",
                    self.place(),
                    listed(&all.fitting)
                ),
            )
            .hint("say whose: `job = \"NAME\"` in a job's source, --job on the command line; or name the snapshot")),
            None => Err(self.none(until, which, &all, &there).await?),
        }
    }

    /// Goes from the newest to the oldest of one job, until one does if `first`.
    async fn walk<'n>(
        &self,
        names: impl Iterator<Item = &'n Name>,
        until: Option<DateTime<Utc>>,
        which: &Which<'_>,
        first: bool,
        found: &mut Walk,
    ) -> Result<()> {
        // Names tell seconds apart, and what is newer within one stands in the manifests.
        let mut second: Option<DateTime<Utc>> = None;
        for name in names {
            let any = second.is_some();
            if first && second.is_some_and(|second| second != name.at) {
                break;
            }
            let (manifest, json) = match self.read(name).await? {
                Folder::Good(manifest, json) => (manifest, json),
                Folder::Flawed(flaw @ Flaw::Damaged(_)) => {
                    if !any {
                        found.passed_over.push((name.clone(), flaw));
                    }
                    continue;
                }
                // Once there is one, what is older matters to nobody.
                Folder::Flawed(flaw) if !any => return Err(flaw.error(name)),
                Folder::Flawed(_) | Folder::Unfinished => continue,
            };
            if until.is_some_and(|until| manifest.taken_at > until) {
                continue;
            }
            let series = Series::of(&manifest);
            if !which.fits(&manifest) {
                if !found.others.contains(&series) {
                    found.others.push(series);
                }
                continue;
            }
            second.get_or_insert(name.at);
            if !found.fitting.contains(&series) {
                found.fitting.push(series);
            }
            let newer = |chosen: &Chosen| {
                chosen.name.job == name.job
                    && chosen.name.at == name.at
                    && chosen.manifest.taken_at < manifest.taken_at
            };
            if found.chosen.as_ref().is_none_or(newer) {
                found.chosen = Some(Chosen {
                    name: name.clone(),
                    manifest: *manifest,
                    passed_over: Vec::new(),
                    json,
                });
            }
        }
        Ok(())
    }

    /// Why there is none, and what to do. `there` are the names of all folders.
    async fn none(
        &self,
        until: Option<DateTime<Utc>>,
        which: &Which<'_>,
        found: &Walk,
        there: &[Name],
    ) -> Result<Error> {
        let rfc3339 = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let time = until.map_or_else(String::new, |until| {
            format!(" that is as old as {}", rfc3339(until))
        });
        let place = self.place();
        let what = format!("there is no whole snapshot{which} in {place}{time}");
        let error = Error::new(Kind::Absent, what);
        let mut of_job = there
            .iter()
            .filter(|name| which.job.is_none_or(|job| job == name.job));
        if let Some((name, flaw)) = found.passed_over.first() {
            return Ok(error.hint(format!("{name} is damaged: {flaw}")));
        }
        if !found.others.is_empty() {
            let hint = format!("it has those of {}", listed(&found.others));
            return Ok(error.hint(hint).with_kind(Kind::Config));
        }
        if there.is_empty() && !self.bucket.is_there().await? {
            return Ok(error
                .because("there is no such directory")
                .hint("mount it, or see the archive's URL; a push makes it"));
        }
        let Some(oldest) = of_job.next_back() else {
            let mut jobs: Vec<&str> = there.iter().map(|name| name.job.as_str()).collect();
            jobs.sort_unstable();
            jobs.dedup();
            return Ok(if jobs.is_empty() {
                error.hint("run the job that pushes first, or see the archive's URL")
            } else {
                error.hint(format!("it has those of job `{}`", jobs.join("` and of `")))
            });
        };
        Ok(match until {
            Some(until) if oldest.at > until => {
                error.hint(format!("its oldest is of {}", rfc3339(oldest.at)))
            }
            _ => error.hint(
                "run the job that pushes first; `envsyncd snapshots list` shows what there is",
            ),
        })
    }
}

fn listed(all: &[Series]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(" and of ")
}
