//! `snapshots list | show | verify | prune | fetch`: what lies in an archive.

mod bar;
mod dumps;
mod fetch;
mod json;
mod list;
mod prune;
mod show;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use super::{Options, jobs, run, terminal};
use crate::archive::layout::Name;
use crate::archive::snapshots::{Chosen, Snapshots, Which};
use crate::config::archive::Wanted;
use crate::config::job::{Endpoint, Job, Settings, StoreKind, Task};
use crate::config::{self, Variables};
use crate::error::{Error, Kind, Result};
use crate::guard::memory;
use crate::report::log;
use crate::store::Lookup;

/// What a person calls the newest snapshot.
const NEWEST: &str = "newest";

/// List, show, verify, prune and fetch snapshots in an archive
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd snapshots list -f config.d/publishing-api-push.toml\n  envsyncd snapshots list s3://backups/publishing-api\n  envsyncd snapshots show -f config.d/publishing-api-push.toml newest\n  envsyncd snapshots verify backups --all\n  envsyncd snapshots prune -f config.d/publishing-api-push.toml --dry-run\n  envsyncd snapshots fetch s3://backups/publishing-api newest /srv/restore\n\nName the archive by a job file (-f), which also has its credentials and key, or as ARCHIVE: an endpoint's name or a URL. NAME is a snapshot's name, enough of its beginning or end to be unique, or `newest`"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    List(list::Args),
    Show(show::Args),
    Verify(verify::Args),
    Prune(prune::Args),
    Fetch(fetch::Args),
}

/// Which archive, whose snapshots in it, and for whom the answer is.
#[derive(Debug, clap::Args)]
struct Place {
    /// Use the archive of this job file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Use the archive of this task, if the job has several
    #[arg(long, value_name = "NAME", requires = "file")]
    task: Option<String>,
    /// Look only at snapshots of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    // Whoever asks a bucket wants to hear that it is asked again; whoever runs in another log has it.
    let _ = log::init(&options.log());
    let runtime = run::runtime(2)?;
    let code = runtime.block_on(async {
        match &args.verb {
            Verb::List(args) => list::main(options, args).await,
            Verb::Show(args) => show::main(options, args).await,
            Verb::Verify(args) => verify::main(options, args).await,
            Verb::Prune(args) => prune::main(options, args).await,
            Verb::Fetch(args) => fetch::main(options, args).await,
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}

/// The archive that is meant, before it is opened.
struct Found {
    endpoint: Endpoint,
    lookup: Lookup,
    whose: Whose,
    task: Option<Task>,
}

impl Found {
    /// `words` are the positional arguments; those behind ARCHIVE are returned.
    fn open<'w>(
        options: &Options,
        place: &Place,
        words: &'w [String],
    ) -> Result<(Self, &'w [String])> {
        let settings = super::settings(options)?;
        memory::bound(settings.priority.memory_max);
        let lookup = lookup(&settings)?;
        match (&place.file, words.split_first()) {
            (Some(file), _) => {
                let job = super::job(options, file, &settings)?;
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
            (None, None) => Err(Error::new(Kind::Usage, "it is not said which archive is meant")
                .hint("-f JOB.toml, an endpoint's name, or a URL: s3://BUCKET/PREFIX, file:///DIRECTORY")),
        }
    }

    async fn into_snapshots(self, place: &Place) -> Result<Site> {
        Ok(Site {
            snapshots: Snapshots::open(&self.endpoint, &self.lookup).await?,
            lookup: self.lookup,
            job: place.job.clone().or(self.whose.job),
            origin: self.whose.origin,
            kind: self.whose.kind,
        })
    }

    /// As one of dumps, if it is one; a URL alone does not say so, and what is asked for may.
    async fn dumps(&self, word: Option<&str>) -> Result<Option<dumps::Site>> {
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
struct Site {
    snapshots: Snapshots,
    lookup: Lookup,
    job: Option<String>,
    origin: Option<String>,
    kind: Option<StoreKind>,
}

impl Site {
    /// Opens the archive that is meant, for a verb that only snapshots have: `verb` is for who asks it of dumps. `words` are
    /// the positional arguments; those behind ARCHIVE are returned.
    async fn open_for<'w>(
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

    fn which(&self) -> Which<'_> {
        Which {
            job: self.job.as_deref(),
            origin: self.origin.as_deref(),
            kind: self.kind,
        }
    }

    /// The snapshot that a word means, with a manifest that is good.
    async fn choose(&self, word: &str) -> Result<Chosen> {
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
    async fn name(&self, word: &str) -> Result<Name> {
        self.snapshots.resolve(word).await
    }
}

/// Whose snapshots a task has to do with.
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
fn lookup(settings: &Settings) -> Result<Lookup> {
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
            .hint("its source and target are both servers or files: it is no push and no pull")
        })
}

/// The task that is named, or the only one that has an archive.
fn archived<'j>(job: &'j Job, task: Option<&str>) -> Result<&'j Task> {
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
            Error::new(Kind::Usage, format!("endpoint `{text}` is no archive"))
                .hint("an archive's URL is s3://BUCKET/PREFIX or file:///DIRECTORY"),
        );
    }
    if let Some(endpoint) = config::archive_at(text)? {
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

/// What is left of the words, by what is to be there.
fn words<'w, const N: usize>(words: &'w [String], what: [&str; N]) -> Result<[&'w str; N]> {
    let given: Vec<&str> = words.iter().map(String::as_str).collect();
    <[&str; N]>::try_from(given).map_err(|given| {
        let error = match what.get(given.len()) {
            Some(missing) => Error::new(Kind::Usage, format!("{missing} is missing")),
            None => Error::new(Kind::Usage, format!("`{}` is one word too many", given[N])),
        };
        error.hint(format!(
            "without -f: ARCHIVE {}; with it: {0}",
            what.join(" ")
        ))
    })
}
