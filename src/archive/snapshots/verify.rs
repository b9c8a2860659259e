//! Whether a snapshot is what was written: every file is there, as long as it should be, and every block of it good.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::read::{self, Watch};
use super::{Flaw, Folder, Snapshots};
use crate::archive::layout::{self, MAC, MANIFEST, Name, WRITER};
use crate::archive::manifest::{File, Manifest};
use crate::error::{Error, Kind, Result};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The snapshot.
    pub name: Name,
    /// How many files were looked at.
    pub files: usize,
    /// How many bytes they should have.
    pub size: u64,
    /// Whether the manifest was held against a key.
    pub authentic: bool,
    /// What is wrong, by path. Empty: it is what was written.
    pub problems: Vec<Problem>,
    /// What should not be there and does no harm.
    pub warnings: Vec<Problem>,
}

/// Something about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path in the snapshot's folder; of one in the pool, in the archive.
    pub path: String,
    /// One sentence without its name.
    pub what: String,
}

impl Report {
    /// Of a snapshot that nobody has looked at yet.
    fn of(name: &Name) -> Self {
        Self {
            name: name.clone(),
            files: 0,
            size: 0,
            authentic: false,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Snapshots {
    /// Reads all of a snapshot and says what is wrong with it, several files at once. A snapshot that is not there, or a
    /// server that does not answer, is an error.
    pub async fn verify(&self, name: &Name, watch: Arc<dyn Watch>) -> Result<Report> {
        let mut report = Report::of(name);
        let manifest = match self.read(name).await? {
            Folder::Good(manifest, _) => manifest,
            Folder::Flawed(flaw) => {
                let path = match flaw {
                    Flaw::MacMissing | Flaw::MacWrong => MAC,
                    Flaw::Damaged(_) | Flaw::Newer(_) | Flaw::Misnamed(_) => MANIFEST,
                };
                report.problems.push(problem(path, flaw.to_string()));
                return Ok(report);
            }
            Folder::Unfinished => {
                return Err(Error::new(
                    Kind::Absent,
                    format!("{name} has no manifest: it is not a snapshot, or not finished yet"),
                )
                .hint("`envsyncd snapshots list` lists what there is"));
            }
        };
        report.authentic = self.has_key();
        report.size = manifest.size();
        let good = self.compare(&manifest, &mut report).await?;
        watch.expect(good.iter().map(|file| file.size).sum());
        let read = read::each(good, &CancellationToken::new(), |file, stop| {
            let (bucket, name, watch) = (self.bucket.clone(), name.clone(), Arc::clone(&watch));
            async move { read::checked(&bucket, &name, &file, None, &*watch, &stop).await }
        })
        .await?;
        for (file, result) in read {
            if let Err(fault) = result {
                report.problems.push(problem(&file.path, fault));
            }
        }
        report.problems.sort_by(|a, b| a.path.cmp(&b.path));
        report.warnings.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(report)
    }

    /// The files of a manifest that are missing in the snapshot's folder, or have another length. Nothing is read.
    pub async fn missing(&self, name: &Name, manifest: &Manifest) -> Result<Vec<Problem>> {
        let mut report = Report::of(name);
        self.compare(manifest, &mut report).await?;
        report.problems.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(report.problems)
    }

    /// Holds the folder's objects against the manifest; returns the files that are worth reading.
    async fn compare(&self, manifest: &Manifest, report: &mut Report) -> Result<Vec<File>> {
        let folder = report.name.to_string();
        let mut there: HashMap<String, u64> = HashMap::new();
        for object in self.bucket.list(&folder).await? {
            let path = (object.path.strip_prefix(&folder))
                .and_then(|path| path.strip_prefix('/'))
                .unwrap_or(&object.path);
            there.insert(path.to_owned(), object.size);
        }
        let mut pool: HashMap<String, u64> = HashMap::new();
        if manifest.files().any(|file| file.pool) {
            let objects = self.bucket.list(&layout::pool(&manifest.job)).await?;
            pool.extend(objects.into_iter().map(|object| (object.path, object.size)));
        }
        let mut good = Vec::new();
        for file in manifest.files() {
            report.files += 1;
            let found = if file.pool {
                pool.remove(&file.path)
            } else {
                there.remove(&file.path)
            };
            match found {
                None => report
                    .problems
                    .push(problem(&file.path, "it is not there".to_owned())),
                Some(size) if size != file.size => report.problems.push(problem(
                    &file.path,
                    format!("it has {size} bytes instead of {}", file.size),
                )),
                Some(_) => good.push(file.clone()),
            }
        }
        for path in there.into_keys() {
            if ![MANIFEST, MAC, WRITER].contains(&path.as_str()) {
                report
                    .warnings
                    .push(problem(&path, "the manifest does not know it".to_owned()));
            }
        }
        Ok(good)
    }
}

fn problem(path: &str, what: String) -> Problem {
    Problem {
        path: path.to_owned(),
        what,
    }
}
