//! Finds the archive that arguments name, and the snapshots in it.

use std::path::PathBuf;
use std::sync::Arc;

use super::dumps;
use super::words::NEWEST;
use crate::archive::layout::Name;
use crate::archive::snapshots::{Chosen, Snapshots, Which};
use crate::cli::options::{self, Options};
use crate::cli::terminal;
use crate::config::archive::Wanted;
use crate::config::job::{Endpoint, Job, Settings, StoreKind, Task};
use crate::config::{self, Variables};
use crate::control::jobs;
use crate::error::{Error, Kind, Result};
use crate::guard::memory;
use crate::store::Lookup;

/// The archive that is meant, before it is opened.
pub(super) struct Found {
    pub(super) endpoint: Endpoint,
    pub(super) lookup: Lookup,
    whose: Whose,
    pub(super) task: Option<Task>,
}

impl Found {
    /// `words` are the positional arguments; those behind ARCHIVE are returned.
    pub(super) fn open<'w>(
        options: &Options,
        place: &Place,
        words: &'w [String],
    ) -> Result<(Self, &'w [String])> {
        let settings = options::settings(options)?;
        memory::bound(settings.priority.memory_max);
        let lookup = lookup(&settings)?;
        match (&place.file, words.split_first()) {
            (Some(file), _) => {
                let job = options::job(options, file, &settings)?;
                let task = archived(&job, place.task.as_deref())?;
                let found = Self {
                    endpoint: endpoint_of(task)?.clone(),
                    lookup,
                    whose: whose(&job, task),
                    task: Some(task.clone()),
                };
                Ok((found, words))
            }
            (None, Some((archive, rest))) => {
                let found = Self {
                    endpoint: named(archive, &settings)?,
                    lookup,
                    whose: Whose::default(),
                    task: None,
                };
                Ok((found, rest))
            }
            (None, None) => Err(Error::new(Kind::Usage, "it is not clear which archive is meant")
                .hint("-f JOB.toml, an endpoint's name, or a URL: s3://BUCKET/PREFIX, file:///DIRECTORY")),
        }
    }

    pub(super) async fn into_snapshots(self, place: &Place) -> Result<Site> {
        Ok(Site {
            snapshots: Snapshots::open(&self.endpoint, &self.lookup).await?,
            lookup: self.lookup,
            job: place.job.clone().or(self.whose.job),
            origin: self.whose.origin,
            kind: self.whose.kind,
        })
    }

    /// As one of dumps, if it is one; a URL alone does not say so, and what is asked for may.
    pub(super) async fn dumps(&self, word: Option<&str>) -> Result<Option<dumps::Site>> {
        let is_said = dumps::is(&self.endpoint);
        let is_meant = self.task.is_none() && word.is_some_and(dumps::is_name);
        if !is_said && !is_meant {
            return Ok(None);
        }
        let site = dumps::Site::open(&self.endpoint, self.task.as_ref(), self.lookup.clone());
        site.await.map(Some)
    }
}

/// An archive that somebody asks about.
pub(super) struct Site {
    pub(super) snapshots: Snapshots,
    pub(super) lookup: Lookup,
    pub(super) job: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) kind: Option<StoreKind>,
}

impl Site {
    /// Opens the archive that is meant, for a verb that only snapshots have: `verb` is for who asks it of dumps. `words` are
    /// the positional arguments; those behind ARCHIVE are returned.
    pub(super) async fn open_for<'w>(
        options: &Options,
        place: &Place,
        words: &'w [String],
        verb: &str,
    ) -> Result<(Self, &'w [String])> {
        let (found, rest) = Found::open(options, place, words)?;
        if dumps::is(&found.endpoint) {
            return Err(dumps::refused(verb));
        }
        Ok((found.into_snapshots(place).await?, rest))
    }

    pub(super) fn which(&self) -> Which<'_> {
        Which {
            job: self.job.as_deref(),
            origin: self.origin.as_deref(),
            kind: self.kind,
        }
    }

    /// The snapshot that a word means, with a manifest that is good.
    pub(super) async fn choose(&self, word: &str) -> Result<Chosen> {
        if word == NEWEST {
            let chosen = self
                .snapshots
                .choose(&Wanted::Newest, &self.which())
                .await?;
            for (name, flaw) in &chosen.passed_over {
                terminal::note(&format!("{name} is passed over: {flaw}"));
            }
            return Ok(chosen);
        }
        let name = self.name(word).await?;
        // Who names one means that one, whatever a job's file says of others.
        let wanted = Wanted::Named(name.to_string());
        self.snapshots.choose(&wanted, &Which::default()).await
    }

    /// The name that a word other than `newest` means.
    pub(super) async fn name(&self, word: &str) -> Result<Name> {
        self.snapshots.resolve(word).await
    }
}

/// The snapshots that a task reads or writes.
#[derive(Default)]
struct Whose {
    job: Option<String>,
    origin: Option<String>,
    kind: Option<StoreKind>,
}

fn whose(job: &Job, task: &Task) -> Whose {
    match &task.source.archive {
        Some(archive) => Whose {
            job: archive.job.clone(),
            origin: None,
            kind: Some(task.kind),
        },
        None => Whose {
            job: Some(job.name.to_string()),
            origin: Some(job.from.to_string()),
            kind: Some(task.kind),
        },
    }
}

/// The variables that secrets and credentials come from.
pub(super) fn lookup(settings: &Settings) -> Result<Lookup> {
    let variables = Variables::load(settings)?;
    Ok(Arc::new(move |name: &str| variables.get(name)))
}

/// The side of a task that is an archive.
fn endpoint_of(task: &Task) -> Result<&Endpoint> {
    [&task.source, &task.target]
        .into_iter()
        .find(|endpoint| endpoint.archive.is_some())
        .ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("task `{}` has nothing to do with an archive", task.name),
            )
            .hint(
                "its source and target are both servers or files: it is neither a push nor a pull",
            )
        })
}

/// The task that is named, or the only one that has an archive.
pub(super) fn archived<'j>(job: &'j Job, task: Option<&str>) -> Result<&'j Task> {
    if let Some(name) = task {
        let found = job.tasks.iter().find(|task| task.name == name);
        return found.ok_or_else(|| {
            let names: Vec<&str> = job.tasks.iter().map(|task| task.name.as_str()).collect();
            let near = jobs::near(name, names.iter().copied());
            Error::new(
                Kind::Usage,
                format!("job `{}` has no task `{name}`", job.name),
            )
            .hint(if near.is_empty() {
                format!("its tasks are {}", names.join(", "))
            } else {
                jobs::did_you_mean(&near)
            })
        });
    }
    let with: Vec<&Task> = (job.tasks.iter())
        .filter(|task| task.source.archive.is_some() || task.target.archive.is_some())
        .collect();
    match with.as_slice() {
        [task] => Ok(task),
        [] => Err(Error::new(
            Kind::Usage,
            format!("no task of job `{}` has to do with an archive", job.name),
        )
        .hint("it copies from server to server: name an archive's job, or the archive itself")),
        several => {
            let names: Vec<&str> = several.iter().map(|task| task.name.as_str()).collect();
            Err(Error::new(
                Kind::Usage,
                format!(
                    "job `{}` has {} tasks with an archive",
                    job.name,
                    names.len()
                ),
            )
            .hint(format!("say --task {}", names.join(" or --task "))))
        }
    }
}

/// A named endpoint, or a URL.
fn named(text: &str, settings: &Settings) -> Result<Endpoint> {
    if let Some((_, endpoint)) = settings.endpoints.get(text) {
        if endpoint.archive.is_some() {
            return Ok(endpoint.clone());
        }
        return Err(
            Error::new(Kind::Usage, format!("endpoint `{text}` is not an archive"))
                .hint("an archive's URL is s3://BUCKET/PREFIX or file:///DIRECTORY"),
        );
    }
    if let Some(endpoint) = config::archive_at(text, settings.stores)? {
        return Ok(endpoint);
    }
    let archives = settings.endpoints.iter();
    let archives = archives.filter(|(_, (_, endpoint))| endpoint.archive.is_some());
    let names: Vec<&str> = archives.map(|(name, _)| name.as_str()).collect();
    let near = jobs::near(text, names.iter().copied());
    let error = Error::new(
        Kind::Usage,
        format!("`{text}` is neither an endpoint's name nor an archive's URL"),
    );
    Err(if !near.is_empty() {
        error.hint(jobs::did_you_mean(&near))
    } else if text.starts_with('/') {
        error.hint(format!("a directory's URL is file://{text}"))
    } else {
        error.hint("an archive's URL is s3://BUCKET/PREFIX or file:///DIRECTORY")
    })
}

/// Which archive, whose snapshots in it, and for whom the answer is.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Use the archive of this job file
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Use the archive of this task, if the job has several
    #[arg(long, value_name = "NAME", requires = "file")]
    pub(super) task: Option<String>,
    /// Look only at snapshots of this job
    #[arg(long, value_name = "JOB")]
    pub(super) job: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
