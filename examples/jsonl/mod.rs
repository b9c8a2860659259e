//! A store of JSON lines: a directory in which `NAME.jsonl` is a table, with a row a line. Incoming is a directory beside
//! live; publish exchanges the two in one step, and what was live becomes `DIRECTORY.envsyncd-previous`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use envsyncd::config::job::{KeepPrevious, Mode, Task};
use envsyncd::config::{Flaw, ParsedUrl, StoreFormat, StoreKind};
use envsyncd::error::{Error, Kind, Result, io_at};
use envsyncd::policy::Identity;
#[allow(clippy::wildcard_imports)] // all that a store is made of
use envsyncd::store::*;
use futures_util::TryStreamExt;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

pub(crate) static DRIVER: Jsonl = Jsonl;
const KIND: StoreKind = StoreKind::new("jsonl");
static LINES: Lines = Lines::new("json_lines", "jsonl");
static CODECS: [&dyn Codec; 1] = [&LINES];

pub(crate) struct Jsonl;

impl StoreFormat for Jsonl {
    fn kind(&self) -> StoreKind {
        KIND
    }
    fn schemes(&self) -> &'static [&'static str] {
        &["jsonl"]
    }
    fn forms(&self) -> &'static [&'static str] {
        &["jsonl:///DIRECTORY"]
    }
    fn read_url(&self, _: &str, rest: &str, _: &Path) -> Result<ParsedUrl, Flaw> {
        if !rest.starts_with('/') {
            return Err(Flaw::new("the directory is not absolute").allowed("jsonl:///DIRECTORY"));
        }
        let address = Arc::new(PathBuf::from(rest));
        Ok(ParsedUrl::new(format!("jsonl://{rest}"), address))
    }
}

#[async_trait]
impl Driver for Jsonl {
    fn format(&self) -> &'static dyn StoreFormat {
        &Self
    }
    fn refusals(&self, task: &Task) -> Vec<Refusal> {
        if task.keep.is_empty() && task.mode == Mode::Replace {
            return Vec::new();
        }
        vec![Refusal::new("keep", "JSON lines are copied as they are")]
    }
    async fn open_source(&self, task: &Task, context: &Context) -> Result<Box<dyn Source>> {
        let directory = task.source.url.address::<PathBuf>()?.clone();
        if !directory.is_dir() {
            let what = format!("the source {} is not there", directory.display());
            return Err(Error::new(Kind::Connection, what));
        }
        Ok(Box::new(Directory(directory, context.selection.clone())))
    }
    async fn open_target(&self, task: &Task, context: &Context) -> Result<Box<dyn Target>> {
        let live = task.target.url.address::<PathBuf>()?.clone();
        let beside = |what: &str| PathBuf::from(format!("{}.envsyncd-{what}", live.display()));
        Ok(Box::new(Places {
            incoming: beside(&format!("incoming-{}", context.claim.short())),
            previous: beside("previous"),
            drops_previous: task.previous == KeepPrevious::Drop,
            live,
        }))
    }
    fn codecs(&self) -> &'static [&'static dyn Codec] {
        &CODECS
    }
    async fn read_definitions(
        &self,
        stored: &[u8],
        mut parts: Vec<Part>,
        mut left_out: Vec<(String, Fate)>,
        selection: &Selection,
    ) -> Result<Restored> {
        let mut tables = Tables(envelope::open(KIND, 1, stored)?);
        left_out.extend(tables.select(selection));
        parts.retain(|part| selection.fate(None, &part.name) == Fate::Copy);
        Ok(Restored::new(Arc::new(tables), parts, left_out))
    }
}

/// A directory's tables by name, with their bytes.
#[derive(Debug)]
struct Tables(BTreeMap<String, u64>);

impl Tables {
    fn of(directory: &Path) -> Result<Self> {
        let entries = fs::read_dir(directory).map_err(io_at(directory))?;
        let tables = entries.flatten().filter_map(|entry| {
            let (name, size) = (entry.file_name(), entry.metadata().ok()?.len());
            Some((name.to_str()?.strip_suffix(".jsonl")?.to_owned(), size))
        });
        Ok(Self(tables.collect()))
    }
    /// Takes out what is excluded; returns what is not copied whole.
    fn select(&mut self, selection: &Selection) -> Vec<(String, Fate)> {
        let fate = |name: &String| selection.fate(None, name);
        let all = self.0.keys().map(|name| (name.clone(), fate(name)));
        let left_out = all.filter(|(_, fate)| *fate != Fate::Copy).collect();
        self.0.retain(|name, _| fate(name) != Fate::Exclude);
        left_out
    }
    fn as_catalogue(&self) -> Catalogue {
        let names = self.0.keys().cloned();
        Catalogue(names.map(|name| (name, String::new())).collect())
    }
}

impl Definitions for Tables {
    fn to_json(&self) -> Result<Vec<u8>> {
        envelope::seal(KIND, 1, &self.0)
    }
    fn catalogue(&self, _: Catalogue, _: &Task) -> Result<Catalogue> {
        Ok(self.as_catalogue())
    }
}

fn file_of(directory: &Path, table: &str) -> PathBuf {
    directory.join(format!("{table}.jsonl"))
}

fn checksum(directory: &Path, part: &Part) -> Result<Checksum> {
    let file = file_of(directory, &part.name);
    let text = fs::read(&file).map_err(io_at(&file))?;
    Ok(Checksum::of_lines(&text))
}

fn identity(directory: &Path) -> Identity {
    let found = fs::metadata(directory).ok();
    Identity {
        thing: found.map(|found| format!("jsonl {}/{}", found.dev(), found.ino())),
        place: format!("jsonl {}", directory.display()),
    }
}

/// A directory that is read.
struct Directory(PathBuf, Arc<Selection>);

#[async_trait]
impl Source for Directory {
    async fn identity(&self) -> Result<Identity> {
        Ok(identity(&self.0))
    }
    async fn survey(&self, _: &Taker) -> Result<Survey> {
        let mut tables = Tables::of(&self.0)?;
        let left_out = tables.select(&self.1);
        let mut parts = Vec::new();
        for (name, size) in &tables.0 {
            if self.1.fate(None, name) == Fate::Copy {
                parts.push(Part::whole(parts.len(), name, LINES.encoding(), *size));
            }
        }
        let server = Server::of(KIND, "1", 1);
        Ok(Survey::new(server, parts, left_out, Arc::new(tables)))
    }
    async fn read(&self, part: &Part) -> Result<Chunks> {
        let file = file_of(&self.0, &part.name);
        let opened = tokio::fs::File::open(&file).await.map_err(io_at(&file))?;
        Ok(LINES.chunks(opened, file.display().to_string()))
    }
    async fn catalogue(&self) -> Result<Catalogue> {
        let mut tables = Tables::of(&self.0)?;
        tables.select(&self.1);
        Ok(tables.as_catalogue())
    }
    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        checksum(&self.0, part)
    }
}

/// A directory that is written, and what is beside it.
#[derive(Clone)]
struct Places {
    live: PathBuf,
    incoming: PathBuf,
    previous: PathBuf,
    drops_previous: bool,
}

impl Places {
    /// Exchanges a directory with live; where nothing is live yet, it only becomes it.
    fn swap(&self, with: &Path) -> Result<()> {
        let flags = [RenameFlags::RENAME_NOREPLACE, RenameFlags::RENAME_EXCHANGE];
        let flags = flags[usize::from(self.live.exists())];
        let swapped = renameat2(AT_FDCWD, with, AT_FDCWD, &self.live, flags);
        swapped.map_err(|error| io_at(with)(error.into()))
    }
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(io_at(directory))?;
    }
    Ok(())
}

#[async_trait]
impl Target for Places {
    async fn identity(&self) -> Result<Identity> {
        Ok(identity(&self.live))
    }
    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(vec![identity(&self.previous)])
    }
    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Server(Server::of(KIND, "1", 1)))
    }
    async fn lock(&self) -> Result<()> {
        Ok(()) // nobody but this host writes it, and the host has a lock of its own
    }
    async fn sweep(&self) -> Result<Vec<String>> {
        let ours = format!("{}.envsyncd-incoming-", self.live.display());
        let beside = fs::read_dir(self.live.with_file_name("")).map_err(io_at(&self.live))?;
        let names = beside.flatten().map(|e| e.path().display().to_string());
        let dead = names.filter(|name| name.starts_with(&ours));
        dead.map(|name| remove(Path::new(&name)).map(|()| name))
            .collect()
    }
    async fn prepare(&self, survey: &Survey) -> Result<Arc<dyn Incoming>> {
        fs::create_dir(&self.incoming).map_err(io_at(&self.incoming))?;
        for name in own::<Tables>(&*survey.definitions)?.0.keys() {
            let file = file_of(&self.incoming, name);
            File::create_new(&file).map_err(io_at(&file))?;
        }
        Ok(Arc::new(Built(self.clone())))
    }
    async fn discard(&self) -> Result<()> {
        remove(&self.incoming)
    }
    async fn rollback(&self) -> Result<()> {
        self.swap(&self.previous)
    }
}

/// Incoming, with rows or yet without.
struct Built(Places);

#[async_trait]
impl Incoming for Built {
    async fn write(&self, part: &Part, mut chunks: Chunks) -> Result<u64> {
        let path = file_of(&self.0.incoming, &part.name);
        let (mut file, mut rows) = (File::create(&path).map_err(io_at(&path))?, 0);
        while let Some(chunk) = chunks.try_next().await? {
            file.write_all(&chunk.data).map_err(io_at(&path))?;
            rows += count_lines(&chunk.data);
        }
        file.sync_all().map_err(io_at(&path))?;
        Ok(rows)
    }
    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

#[async_trait]
impl Complete for Built {
    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(Tables::of(&self.0.incoming)?.as_catalogue())
    }
    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        checksum(&self.0.incoming, part)
    }
    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>> {
        self.0.swap(&self.0.incoming)?;
        Ok(Box::new(Live(self.0)))
    }
}

/// What was live is where incoming was, if anything was.
struct Live(Places);

#[async_trait]
impl Published for Live {
    async fn revert(&self) -> Result<()> {
        if !self.0.incoming.exists() {
            return remove(&self.0.live);
        }
        self.0.swap(&self.0.incoming)?;
        remove(&self.0.incoming)
    }
    async fn settle(&self) -> Result<()> {
        let (incoming, previous) = (&self.0.incoming, &self.0.previous);
        if self.0.drops_previous || !incoming.exists() {
            return remove(incoming);
        }
        remove(previous)?;
        fs::rename(incoming, previous).map_err(io_at(previous))
    }
}
