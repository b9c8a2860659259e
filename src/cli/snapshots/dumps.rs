//! `snapshots list` and `snapshots fetch` of an archive of dumps (`format = "govuk"`), which has no manifests.

use std::path::Path;

use chrono::Utc;
use futures_util::TryStreamExt;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::bar::Bar;
use super::json;
use super::words::NEWEST;
use crate::archive::bucket::Bucket;
use crate::archive::govuk::{Dump, Dumps, Name};
use crate::archive::snapshots::Watch;
use crate::cli::options::Options;
use crate::cli::terminal;
use crate::config::archive::{Format, Wanted};
use crate::config::archive_in;
use crate::config::job::{Endpoint, Task};
use crate::control::documents::time;
use crate::error::{Error, Kind, Result};
use crate::guard::signals;
use crate::store::Lookup;

/// An archive of dumps that somebody asks about.
pub(super) struct Site {
    dumps: Dumps,
    lookup: Lookup,
    /// The database of the job's task.
    database: Option<String>,
}

/// `snapshots list --json`.
#[derive(Serialize)]
struct List<'a> {
    version: u32,
    archive: &'a str,
    format: &'static str,
    /// Newest first.
    dumps: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    database: Option<&'a str>,
    taken_at: String,
    stored_bytes: u64,
    /// Whether `latest-DATABASE.txt` names it.
    latest: bool,
}

/// Whether an endpoint is such an archive.
pub(super) fn is(endpoint: &Endpoint) -> bool {
    let archive = endpoint.archive.as_ref();
    archive.is_some_and(|archive| archive.format != Format::Envsyncd)
}

/// Whether a word is a dump's name.
pub(super) fn is_name(word: &str) -> bool {
    Name::parse(word).is_some()
}

/// The error of a verb that needs a manifest.
pub(super) fn refused(verb: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("`snapshots {verb}` is not possible with format = \"govuk\": a dump has no manifest"),
    )
    .hint(match verb {
        "prune" => "give the bucket a lifecycle rule",
        _ => "`snapshots list` and `snapshots fetch` are; a pull restores a dump and finds out whether it is whole",
    })
}

impl Site {
    pub(super) async fn open(
        endpoint: &Endpoint,
        task: Option<&Task>,
        lookup: Lookup,
    ) -> Result<Self> {
        let said = endpoint
            .archive
            .as_ref()
            .and_then(|archive| match &archive.format {
                Format::Govuk(govuk) => govuk.database.clone(),
                Format::Envsyncd => None,
            });
        let other = task.and_then(|task| {
            let sides = [&task.source, &task.target];
            let store = sides.into_iter().find(|side| side.archive.is_none())?;
            store.url.database().map(str::to_owned)
        });
        Ok(Self {
            dumps: Dumps::open(endpoint, &lookup).await?,
            database: said.or(other),
            lookup,
        })
    }

    async fn all(&self) -> Result<Vec<Dump>> {
        let mut all = self.dumps.list().await?;
        if let Some(database) = &self.database {
            all.retain(|dump| dump.database.as_ref() == Some(database));
        }
        Ok(all)
    }

    pub(super) async fn has_any(&self) -> Result<bool> {
        Ok(!self.all().await?.is_empty())
    }

    pub(super) async fn list(&self, as_json: bool) -> Result<u8> {
        let all = self.all().await?;
        if as_json {
            terminal::print_json(&List {
                version: json::VERSION,
                archive: self.dumps.place(),
                format: "govuk",
                dumps: all
                    .iter()
                    .map(|dump| Line {
                        name: &dump.name,
                        database: dump.database.as_deref(),
                        taken_at: time(dump.at),
                        stored_bytes: dump.size,
                        latest: dump.latest,
                    })
                    .collect(),
            })?;
            return Ok(0);
        }
        if all.is_empty() {
            terminal::note(&format!("no dumps in {}", self.dumps.place()));
            return Ok(0);
        }
        let now = Utc::now();
        let rows = all.iter().map(|dump| {
            vec![
                dump.name.clone(),
                dump.database.clone().unwrap_or_default(),
                terminal::relative(dump.at, now),
                terminal::bytes(dump.size),
                if dump.latest { "latest" } else { "" }.to_owned(),
            ]
        });
        let header = ["NAME", "DATABASE", "AGE", "SIZE", "POINTED AT"];
        terminal::print(&terminal::table(&header, rows))?;
        Ok(0)
    }

    /// Downloads a dump as it is.
    pub(super) async fn fetch(
        &self,
        options: &Options,
        word: &str,
        directory: &Path,
        as_json: bool,
    ) -> Result<u8> {
        let dump = match (word, &self.database) {
            (NEWEST, Some(database)) => self.dumps.choose(&Wanted::Newest, database).await?,
            (NEWEST, None) => {
                return Err(Error::new(
                    Kind::Usage,
                    "the newest dump of which database is not clear",
                )
                .hint("name the dump, or the job with -f"));
            }
            (name, database) => {
                let database = database.as_deref().unwrap_or_default();
                let named = Wanted::Named(name.to_owned());
                let found = self.dumps.choose(&named, database).await;
                found.map_err(|error| error.with_kind(Kind::Usage))?
            }
        };
        let to = Bucket::open(&archive_in(directory)?, &self.lookup).await?;
        let path = directory.join(&dump.name);
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(
                Error::new(Kind::Usage, format!("{} is there already", path.display()))
                    .hint("remove it, or fetch into another directory"),
            );
        }
        let cancel = CancellationToken::new();
        let signals = signals::listen(cancel.clone())?;
        let bar = Bar::new(options, "fetch");
        bar.expect(dump.size);
        let copying = async {
            let mut bytes = self.dumps.read(&dump).await?;
            let mut upload = to.upload(&dump.name).await?;
            while let Some(some) = bytes.try_next().await? {
                bar.add(some.len() as u64);
                upload.write(some).await?;
            }
            upload.finish().await
        };
        let fetched = tokio::select! {
            fetched = copying => fetched,
            () = cancel.cancelled() => Err(Error::new(
                Kind::Cancelled(signals.received().unwrap_or(2)),
                "cancelled",
            )),
        };
        bar.end();
        to.settle().await;
        let bytes = fetched?;
        if as_json {
            terminal::print_json(&json::Fetch {
                version: json::VERSION,
                archive: self.dumps.place(),
                name: dump.name,
                path: path.display().to_string(),
                files: 1,
                stored_bytes: bytes,
            })?;
        } else {
            terminal::print(&format!("{}: {}\n", path.display(), terminal::bytes(bytes)))?;
        }
        Ok(0)
    }
}
