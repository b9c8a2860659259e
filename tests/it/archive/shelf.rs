//! An archive in a directory with snapshots that are made by hand, so that each can be as old, or as wrong, as a test needs.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use envsyncd::archive::layout::Name;
use envsyncd::archive::mac::Key;
use envsyncd::archive::manifest::{Change, File, Manifest, SELF_CONTAINED, Stored};
use envsyncd::archive::snapshots::WriterNote;
use envsyncd::config::job::StoreKind;
use envsyncd::guard::process::{Process, host_name};
use envsyncd::store::{Encoding, Fate, Part, Unit};
use secrecy::SecretString;

use crate::support::job::{Bed, Job, Outcome, toml};

/// What both sides have, in `KEY_FILE` beside the job files.
pub(super) const KEY: &str = "3f1d9a0c5b7e8842";

/// The length of a block in here: small, so that small files have many.
pub(super) const BLOCK: usize = 16;

/// A directory, and the binary beside it.
pub(super) struct Shelf {
    pub(super) bed: Bed,
}

/// A snapshot that is about to be made.
pub(super) struct Draft {
    at: DateTime<Utc>,
    job: String,
    origin: String,
    kind: StoreKind,
    key: Option<String>,
    /// Tables, their content, and the length of a block.
    files: Vec<(String, Vec<u8>, usize)>,
}

impl Draft {
    /// Of job `push` in production, of this time, with three tables.
    pub(super) fn new(at: &str) -> Self {
        let rows = |table: &str| -> String {
            let lines: Vec<String> = (0..20).map(|row| format!("{row}\t{table}\n")).collect();
            lines.concat()
        };
        Self {
            at: at.parse().expect("a time"),
            job: "push".to_owned(),
            origin: "production".to_owned(),
            kind: envsyncd::store::sqlite::KIND,
            key: None,
            files: ["alpha", "beta", "gamma"]
                .map(|table| (table.to_owned(), String::into_bytes(rows(table)), BLOCK))
                .into(),
        }
    }

    /// So many hours ago.
    pub(super) fn hours_ago(hours: i64) -> Self {
        let at = Utc::now() - chrono::TimeDelta::hours(hours);
        Self::new(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }

    /// Of another job.
    pub(super) fn job(mut self, job: &str) -> Self {
        job.clone_into(&mut self.job);
        self
    }

    /// Of another environment.
    pub(super) fn origin(mut self, origin: &str) -> Self {
        origin.clone_into(&mut self.origin);
        self
    }

    /// Of another store.
    pub(super) fn kind(mut self, kind: StoreKind) -> Self {
        self.kind = kind;
        self
    }

    /// Authenticated.
    pub(super) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// With one table of this content more.
    pub(super) fn file(mut self, table: &str, content: Vec<u8>) -> Self {
        self.files.push((table.to_owned(), content, BLOCK));
        self
    }

    /// With one table of this content more, in blocks of 4 MiB.
    pub(super) fn large(mut self, table: &str, content: &[u8]) -> Self {
        let content = content.to_vec();
        self.files.push((table.to_owned(), content, 4 << 20));
        self
    }
}

/// What a manifest says of a file with this content.
fn describe(path: &str, content: &[u8], block: usize) -> File {
    File {
        path: path.to_owned(),
        pool: false,
        size: content.len() as u64,
        block: block as u64,
        blocks: content
            .chunks(block)
            .map(|block| blake3::hash(block).to_hex().to_string())
            .collect(),
    }
}

impl Shelf {
    pub(super) fn new() -> Self {
        let shelf = Self { bed: Bed::new() };
        shelf.bed.file("KEY_FILE", KEY);
        shelf.bed.file("OTHER_KEY_FILE", "another key than that");
        shelf
    }

    pub(super) fn path(&self) -> PathBuf {
        self.bed.path("archive")
    }

    pub(super) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Makes a snapshot; returns its name.
    pub(super) fn put(&self, draft: Draft) -> String {
        let id = format!("{:012x}", uuid::Uuid::now_v7().as_u128() & 0xffff_ffff_ffff);
        let name = Name {
            at: draft.at,
            job: draft.job.clone(),
            id,
        };
        let folder = self.path().join(name.to_string());
        let survey = describe(
            "definitions/envsyncd.json.0000.zst",
            b"no definitions at all",
            BLOCK,
        );
        write(&folder.join(&survey.path), b"no definitions at all");
        let mut parts = Vec::new();
        for (number, (table, content, block)) in draft.files.iter().enumerate() {
            let path = format!("rows/{number:06}-{table}.0000.sql.zst");
            write(&folder.join(&path), content);
            parts.push(Stored {
                part: Part {
                    id: number,
                    schema: None,
                    name: table.clone(),
                    columns: vec!["id".to_owned(), "name".to_owned()].into(),
                    unit: Unit::Rows,
                    encoding: Encoding::new("rows"),
                    rows: 20,
                    bytes: 1000,
                    slice: None,
                    condition: None,
                },
                rows: 20,
                bytes: 1000,
                files: vec![describe(&path, content, *block)],
                checksum: None,
                content: None,
                likeness: None,
            });
        }
        let manifest = Manifest {
            version: SELF_CONTAINED,
            snapshot: name.to_string(),
            job: draft.job,
            run: format!("0199d3a4-7c21-7000-8000-{}", name.id),
            host: "db1".to_owned(),
            tool_version: "0.1.0".to_owned(),
            origin: draft.origin,
            kind: draft.kind,
            server_version: "3.45.1".to_owned(),
            server_major: 3,
            taken_at: draft.at,
            finished_at: draft.at + chrono::TimeDelta::minutes(1),
            compression: "zstd".to_owned(),
            encryption: None,
            changes: vec![Change {
                name: "cache_x".to_owned(),
                fate: Fate::Exclude,
            }],
            masking: None,
            definitions: vec![survey],
            parts,
        };
        let json = manifest.to_json().expect("a manifest");
        if let Some(key) = draft.key {
            let key = Key::new(&SecretString::from(key)).expect("a key");
            write(&folder.join("manifest.mac"), key.mac(&json).as_bytes());
        }
        write(&folder.join("manifest.json"), &json);
        name.to_string()
    }

    /// Takes a snapshot's manifest away, and says who wrote it.
    pub(super) fn unfinish(&self, name: &str, host: &str, pid: u32) {
        let folder = self.path().join(name);
        fs::remove_file(folder.join("manifest.json")).expect("a manifest");
        let parsed = Name::parse(name).expect("a name");
        let note = WriterNote {
            version: SELF_CONTAINED,
            host: host.to_owned(),
            job: parsed.job,
            run: format!("0199d3a4-7c21-7000-8000-{}", parsed.id),
            started_at: Utc::now(),
            pid,
            ..WriterNote::default()
        };
        self.noted(name, &note);
    }

    /// Takes a snapshot's manifest away, and says that this process was writing it.
    pub(super) fn unfinish_by(&self, name: &str, process: &Process) {
        self.unfinish(name, &host_name(), process.pid);
        let folder = self.path().join(name);
        let note = fs::read(folder.join("writer.json")).expect("a note");
        let note = WriterNote::parse(&note).expect("a note");
        self.noted(
            name,
            &WriterNote {
                process_started: process.started,
                boot_id: process.boot.clone(),
                pid_namespace: process.namespace,
                renewed_every_seconds: Some(60),
                ..note
            },
        );
    }

    fn noted(&self, name: &str, note: &WriterNote) {
        let folder = self.path().join(name);
        write(
            &folder.join("writer.json"),
            &note.to_json().expect("a note"),
        );
    }

    /// Makes all of a snapshot's files so many hours old.
    pub(super) fn age(&self, name: &str, hours: u64) {
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
        for file in self.files(name) {
            let file = fs::File::options().write(true).open(file);
            file.and_then(|file| file.set_modified(time))
                .expect("a time");
        }
    }

    /// All files of a snapshot, or of what there is of it.
    pub(super) fn files(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().join(name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// A file of a snapshot.
    pub(super) fn file(&self, name: &str, path: &str) -> PathBuf {
        self.path().join(name).join(path)
    }

    /// The folders that there are, sorted.
    pub(super) fn folders(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The content of everything in it, by path.
    pub(super) fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.folders()
            .iter()
            .flat_map(|name| self.files(name))
            .map(|path| {
                let content = fs::read(&path).expect("a file");
                (path, content)
            })
            .collect()
    }

    /// A job file `push.toml` that pushes here, with these keys beside the URL.
    pub(super) fn push(&self, keys: &str) -> PathBuf {
        let target = format!("{{ url = {}, {keys} }}", toml(&self.url()));
        let source = format!("sqlite://{}", self.bed.path("from.db").display());
        self.bed
            .job("push", &Job::new("sqlite", &toml(&source), &target))
    }

    /// `envsyncd snapshots ...`.
    pub(super) fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all = vec!["snapshots"];
        all.extend(arguments);
        self.bed.run(&all)
    }

    /// `envsyncd snapshots VERB -f push.toml ...`.
    pub(super) fn with_job(&self, keys: &str, verb: &str, arguments: &[&str]) -> Outcome {
        let file = self.push(keys);
        let mut all = vec![verb, "-f", file.to_str().expect("text")];
        all.extend(arguments);
        self.run(&all)
    }
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, content).expect("a file");
}

/// Changes one byte of a file.
pub(super) fn flip(path: &Path, place: usize) {
    let mut content = fs::read(path).expect("a file");
    content[place] ^= 1;
    fs::write(path, content).expect("a file");
}
