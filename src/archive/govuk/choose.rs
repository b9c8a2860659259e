//! Chooses one of the dumps under a prefix.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use super::name::{self, Name};
use crate::archive::bucket::{Bucket, Object};
use crate::config::archive::Wanted;
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::store::Lookup;

/// A pointer is a path of some hundred characters.
pub(super) const LONGEST_POINTER: usize = 4096;

/// What lies under a prefix.
pub struct Dumps {
    bucket: Bucket,
}

/// One dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Its file's name.
    pub name: String,
    /// The database, if the name says it.
    pub database: Option<String>,
    /// When it was begun, by its name; of another name, when it was written.
    pub at: DateTime<Utc>,
    /// Bytes.
    pub size: u64,
    /// `latest-<database>.txt` names it.
    pub latest: bool,
}

impl Dumps {
    /// The dumps of an archive. No server is asked yet.
    pub async fn open(endpoint: &Endpoint, lookup: &Lookup) -> Result<Self> {
        Ok(Self {
            bucket: Bucket::open(endpoint, lookup).await?,
        })
    }

    pub(super) fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// For people: the URL, without anything secret.
    pub fn place(&self) -> &str {
        self.bucket.place()
    }

    /// All of them, newest first.
    pub async fn list(&self) -> Result<Vec<Dump>> {
        let files = self.bucket.files().await?;
        let mut latest = HashMap::new();
        for file in &files {
            let Some(database) = name::pointed(&file.path) else {
                continue;
            };
            match self.pointed(database, &files).await {
                Ok(name) => latest.extend(name.map(|name| (database.to_owned(), name))),
                // A pull says so; a list shows what there is.
                Err(error) if matches!(error.kind(), Kind::Verify | Kind::Absent) => {
                    tracing::warn!(%error, "what points at a dump is wrong");
                }
                Err(error) => return Err(error),
            }
        }
        let mut dumps: Vec<Dump> = files
            .iter()
            .filter_map(|file| Name::parse(&file.path).map(|name| (name, file)))
            .map(|(name, file)| Dump {
                latest: latest.get(&name.database) == Some(&file.path),
                name: file.path.clone(),
                at: name.at,
                database: Some(name.database),
                size: file.size,
            })
            .collect();
        dumps.sort_by(|a, b| (b.at, &b.name).cmp(&(a.at, &a.name)));
        Ok(dumps)
    }

    /// The one that is wanted of a database. The newest is what `latest-<database>.txt` names, where there is such a file:
    /// a dump that broke off lies there like any other, but is never pointed at.
    pub async fn choose(&self, wanted: &Wanted, database: &str) -> Result<Dump> {
        let files = self.bucket.files().await?;
        let mut of: Vec<(Name, &Object)> = files
            .iter()
            .filter_map(|file| Some((Name::parse(&file.path)?, file)))
            .filter(|(name, _)| name.database == database)
            .collect();
        of.sort_by(|(a, file), (b, other)| (b.at, &other.path).cmp(&(a.at, &file.path)));
        let place = self.bucket.place();
        match wanted {
            Wanted::Named(text) => {
                let Some(file) = files.iter().find(|file| file.path == *text) else {
                    return Err(
                        Error::new(Kind::Absent, format!("there is no {text} in {place}"))
                            .hint("`envsyncd snapshots list` shows what there is"),
                    );
                };
                Ok(dump(Name::parse(text), file))
            }
            Wanted::At(time) => match of.into_iter().find(|(name, _)| name.at <= *time) {
                Some((name, file)) => Ok(dump(Some(name), file)),
                None => Err(Error::new(
                    Kind::Absent,
                    format!("there is no dump of {database} from {time} or before in {place}"),
                )
                .hint("`envsyncd snapshots list` shows what there is")),
            },
            Wanted::Newest => {
                let newest = of.first().cloned();
                let Some(pointed) = self.pointed(database, &files).await? else {
                    let (name, file) = newest.ok_or_else(|| none(database, place, &files))?;
                    return Ok(dump(Some(name), file));
                };
                if let Some((newer, _)) = &newest
                    && Name::parse(&pointed).is_none_or(|pointed| pointed.at < newer.at)
                {
                    tracing::warn!(
                        newest = %newer,
                        pointed,
                        "there is a newer dump than the one that is pointed at: its writing may have failed"
                    );
                }
                let file = files.iter().find(|file| file.path == pointed);
                let file = file.ok_or_else(|| none(database, place, &files))?;
                Ok(dump(Name::parse(&pointed), file))
            }
        }
    }

    /// A dump's bytes.
    pub async fn read(&self, dump: &Dump) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.bucket.read(&dump.name, 0).await
    }

    /// The dump that is pointed at: a file directly here, of this very database. The pointer may say in front where "here" is,
    /// as the chart does: the path of the prefix in the bucket.
    async fn pointed(&self, database: &str, files: &[Object]) -> Result<Option<String>> {
        let pointer = name::pointer(database);
        let Some(file) = files.iter().find(|file| file.path == pointer) else {
            return Ok(None);
        };
        let place = self.bucket.place();
        let wrong = |what: &str| {
            Error::new(Kind::Verify, format!("{pointer} in {place} {what}")).hint(
                "write the last good dump's name into it, or remove it: then the newest is taken",
            )
        };
        if file.size > LONGEST_POINTER as u64 {
            return Err(wrong("names no file"));
        }
        let Some(content) = self.bucket.get(&pointer, LONGEST_POINTER).await? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&content).map_err(|_| wrong("names no file"))?;
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(wrong("names no file"));
        }
        let (path, name) = match text.rsplit_once('/') {
            Some((path, name)) => (Some(path), name),
            None => (None, text),
        };
        if let Some(path) = path.filter(|path| !self.bucket.lies_in(path)) {
            return Err(wrong(&format!(
                "names a file in {path}, which is elsewhere"
            )));
        }
        match Name::parse(name) {
            Some(dump) if dump.database == database => {}
            Some(dump) => {
                let what = format!("names {name}, which is a dump of {}", dump.database);
                return Err(wrong(&what));
            }
            None => {
                let what = format!("names {name}, which is not a dump of {database}");
                return Err(wrong(&what));
            }
        }
        if files.iter().all(|file| file.path != name) {
            return Err(wrong(&format!("names {name}, which is not there")).with_kind(Kind::Absent));
        }
        Ok(Some(name.to_owned()))
    }
}

fn dump(name: Option<Name>, file: &Object) -> Dump {
    Dump {
        name: file.path.clone(),
        at: name.as_ref().map_or(file.modified, |name| name.at),
        database: name.map(|name| name.database),
        size: file.size,
        latest: false,
    }
}

fn none(database: &str, place: &str, files: &[Object]) -> Error {
    let others: BTreeSet<String> = files
        .iter()
        .filter_map(|file| Some(Name::parse(&file.path)?.database))
        .collect();
    let made = Error::new(
        Kind::Absent,
        format!("there is no dump of {database} in {place}"),
    );
    if others.is_empty() {
        return made.hint(format!(
            "its files would be called TIME-{database}.gz, directly under it: check the URL"
        ));
    }
    let others: Vec<String> = others.into_iter().take(5).collect();
    made.hint(format!(
        "write database = \"NAME\" beside the archive's `url`; there are dumps of {}",
        others.join(", ")
    ))
}
