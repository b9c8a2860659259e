//! The jobs as their files say, kept up to date: a broken file keeps the job's last good version in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::planner::{Due, Planned};
use crate::config::job::{Job, JobName, Settings};
use crate::config::{self, Diagnostic, Diagnostics};
use crate::error::{Error, Result, io};
use crate::guard::process::panics;
use crate::run::last_good;
use crate::state::KnownJob;

/// What tells that a file was changed, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(Option<(u64, u64, u64, i64, i64)>);

impl Signature {
    /// Of what a link leads to.
    pub fn of(file: &Path) -> Self {
        Self(fs::metadata(file).ok().map(|data| {
            (
                data.dev(),
                data.ino(),
                data.len(),
                data.mtime(),
                data.mtime_nsec(),
            )
        }))
    }
}

/// Why the files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Every file is read.
    All,
    /// Files that have changed, and have been left alone since the last look: nobody is just writing them.
    Changed,
}

/// One job.
pub(super) struct Entry {
    /// Its file.
    pub(super) file: PathBuf,
    /// The job of its file, or of its last good version; `None`: the file never was good.
    pub(super) job: Option<Job>,
    /// When it is due.
    pub(super) planned: Option<Planned>,
    /// What is wrong with its file; empty: nothing.
    pub(super) problem: String,
    pub(super) read: Option<Signature>,
    /// The files that it includes, as they were when it was read.
    included: Vec<(PathBuf, Signature)>,
    seen: Signature,
    /// How many looks have not found its file.
    missed: u8,
}

impl Entry {
    /// Whether its file is not what was read: changed a moment ago, or away.
    pub(super) fn is_stale(&self) -> bool {
        !self.is_as_read(Signature::of(&self.file))
    }

    /// Whether it and what it includes are what was read.
    fn is_as_read(&self, signature: Signature) -> bool {
        let mut included = self.included.iter();
        self.read == Some(signature) && included.all(|(file, read)| *read == Signature::of(file))
    }

    /// Takes up what its file says: a job, or what is wrong with it, in which case its last good version stays in force.
    fn take(&mut self, said: Result<Job, Diagnostics>, name: &JobName, settings: &Settings) {
        // What it includes is looked at again for as long as it is in force, or wrong.
        let included: BTreeSet<PathBuf> = match &said {
            Ok(job) => (job.tasks.iter().flat_map(|task| &task.included).cloned()).collect(),
            Err(broken) => broken
                .iter()
                .map(|flaw| PathBuf::from(&flaw.origin))
                .collect(),
        };
        let included = included.into_iter().map(|file| {
            let signature = Signature::of(&file);
            (file, signature)
        });
        self.included = included.collect();
        (self.job, self.problem) = match said {
            Ok(job) => {
                if !self.problem.is_empty() {
                    tracing::info!("the job's file is good again");
                }
                (Some(job), String::new())
            }
            Err(broken) => {
                let problem = one_line(broken);
                // What it said last may have become wrong by what envsyncd.toml says now.
                let job = last_good::load(settings, name.as_str(), &self.file);
                if self.problem != problem {
                    let what = if job.is_some() {
                        "its last good version stays in force"
                    } else {
                        "no good version is known, and it does not run"
                    };
                    tracing::error!(problem, what, "the job's file is broken");
                }
                (job, problem)
            }
        };
    }

    /// Reckons when it is due, after what its file says now. Returns a due time of the timetable that it had before.
    fn reckon(
        &mut self,
        settings: &Settings,
        host: &str,
        known: Option<&KnownJob>,
        now: DateTime<Utc>,
    ) -> Option<Due> {
        let timetable = self
            .job
            .as_ref()
            .and_then(|job| job.timetable(settings, host));
        let catch_up = self.job.as_ref().is_some_and(|job| job.catch_up);
        match (timetable, self.planned.as_mut()) {
            (Some(timetable), Some(planned)) => planned.change(timetable, catch_up, now),
            (Some(timetable), None) => {
                let before = known
                    .filter(|known| known.timetable == timetable.to_string())
                    .map(|known| known.handled_until);
                self.planned = Some(Planned::new(timetable, catch_up, before, now));
                None
            }
            (None, _) => {
                self.planned = None;
                None
            }
        }
    }

    /// Whether there is a file to read.
    pub(super) fn has_file(&self) -> bool {
        Signature::of(&self.file).0.is_some()
    }
}

/// The changes since the files were last read.
#[derive(Default)]
pub(super) struct Found {
    /// Jobs that are new, changed, broken or mended.
    pub(super) changed: BTreeSet<String>,
    /// Jobs whose file is gone.
    pub(super) removed: Vec<String>,
    /// Due times of timetables that were changed.
    pub(super) due: Vec<(String, Due)>,
}

/// All jobs.
pub(super) struct Jobs {
    entries: BTreeMap<String, Entry>,
    /// Copies of files as they were when they were last good, for runs and for the next daemon.
    copies: PathBuf,
    /// Why the directory cannot be read; empty: it can.
    pub(super) problem: String,
    /// Whether a file has changed, and is read at the next look unless it goes on changing.
    pub(super) unsettled: bool,
    /// The directory of the files that we write ourselves, as it was at the last look.
    managed: Option<Signature>,
    /// Files of jobs that have another file, by the jobs' names.
    namesakes: BTreeMap<String, PathBuf>,
    host: String,
}

impl Jobs {
    pub(super) fn new(settings: &Settings, host: &str) -> Result<Self> {
        let jobs = Self {
            entries: BTreeMap::new(),
            copies: last_good::directory(settings),
            problem: String::new(),
            unsettled: false,
            managed: None,
            namesakes: BTreeMap::new(),
            host: host.to_owned(),
        };
        jobs.make_directory()?;
        Ok(jobs)
    }

    /// Makes the directory of copies, unless it is there.
    pub(super) fn make_directory(&self) -> Result<()> {
        // Job files may hold passwords.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.copies)
            .map_err(io(format!("{} cannot be made", self.copies.display())))
    }

    /// Whether a file was written or removed in `managed_job_dir` since the last look: those who did so wait for us.
    pub(super) fn is_due(&self, settings: &Settings) -> bool {
        self.unsettled || self.managed != managed_directory(settings)
    }

    /// By name.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// All, sorted by name, to look for due times.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// Where the last good version of a file is kept: of a job's by its name, of the settings' by `None`.
    pub(super) fn copy_of(&self, job: Option<&str>) -> PathBuf {
        self.copies
            // No job's file is called so.
            .join(job.map_or_else(|| "settings".to_owned(), |job| format!("{job}.toml")))
    }

    /// What the state store should have of a job.
    pub(super) fn known(&self, name: &str, now: DateTime<Utc>) -> Option<KnownJob> {
        let entry = self.entries.get(name)?;
        let planned = entry.planned.as_ref();
        Some(KnownJob {
            job: name.to_owned(),
            timetable: planned.map_or_else(String::new, |p| p.timetable().to_string()),
            handled_until: planned.map_or(now, Planned::handled_until),
            next_run_at: planned.and_then(Planned::next),
            problem: entry.problem.clone(),
        })
    }

    /// Takes over what the files say now. `known` is what the state store has, where it is the first look.
    pub(super) fn look(
        &mut self,
        look: Look,
        settings: &Settings,
        known: &BTreeMap<String, KnownJob>,
        now: DateTime<Utc>,
    ) -> Found {
        let mut found = Found::default();
        self.managed = managed_directory(settings);
        let files = match config::job_files(settings) {
            Ok(files) => files,
            Err(error) => {
                // That nothing can be seen does not mean that all jobs were taken away.
                let problem = error.to_string();
                if self.problem != problem {
                    tracing::error!(%error, "all jobs stay as they are");
                    self.problem = problem;
                }
                return found;
            }
        };
        self.unsettled = false;
        if !std::mem::take(&mut self.problem).is_empty() {
            tracing::info!("the jobs' directory can be read again");
        }
        let mut there = BTreeSet::new();
        let mut namesakes = BTreeMap::new();
        for file in files {
            let Ok(name) = JobName::of_file(&file) else {
                if look == Look::All {
                    tracing::warn!(file = %file.display(), "this is not the name of a job file, and is not read");
                }
                continue;
            };
            if !there.insert(name.as_str().to_owned()) {
                namesakes.insert(name.as_str().to_owned(), file);
                continue;
            }
            self.look_at(&name, file, look, settings, known, now, &mut found);
        }
        self.take_namesakes(namesakes, &mut found);
        self.entries.retain(|name, entry| {
            if there.contains(name) {
                entry.missed = 0;
                return true;
            }
            entry.missed = entry.missed.saturating_add(1);
            // An editor may take it away for a moment.
            if look == Look::Changed && entry.missed < 2 {
                self.unsettled = true;
                return true;
            }
            found.removed.push(name.clone());
            false
        });
        for name in &found.removed {
            let _ = fs::remove_file(self.copy_of(Some(name)));
        }
        if look == Look::All {
            self.drop_old_copies();
        }
        found
    }

    /// A job that two files have is that of the first, and it is said that there is another.
    fn take_namesakes(&mut self, now: BTreeMap<String, PathBuf>, found: &mut Found) {
        let before = std::mem::replace(&mut self.namesakes, now);
        for (name, entry) in &mut self.entries {
            let other = self.namesakes.get(name);
            if other.is_some() && entry.problem.is_empty() && entry.job.is_some() {
                let other = other.map_or_else(String::new, |file| file.display().to_string());
                entry.problem = format!(
                    "{other} is not read: the job is in {}, too; remove or rename one of them",
                    entry.file.display()
                );
                tracing::error!(job = name, problem = entry.problem, "a job has two files");
                found.changed.insert(name.clone());
            } else if other.is_none() && before.contains_key(name) {
                // It is read again at the next look.
                entry.read = None;
                self.unsettled = true;
            }
        }
    }

    /// A job that was removed while nobody looked must not come back to life with the next file of its name.
    fn drop_old_copies(&self) {
        for copy in fs::read_dir(&self.copies).into_iter().flatten().flatten() {
            let copy = copy.path();
            let Ok(name) = JobName::of_file(&copy) else {
                continue;
            };
            if copy.extension().is_some_and(|end| end == "toml")
                && !self.entries.contains_key(name.as_str())
            {
                let _ = fs::remove_file(copy);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place calls it")]
    fn look_at(
        &mut self,
        name: &JobName,
        file: PathBuf,
        look: Look,
        settings: &Settings,
        known: &BTreeMap<String, KnownJob>,
        now: DateTime<Utc>,
        found: &mut Found,
    ) {
        let signature = Signature::of(&file);
        let is_new = !self.entries.contains_key(name.as_str());
        let entry = self
            .entries
            .entry(name.as_str().to_owned())
            .or_insert_with(|| Entry {
                file: file.clone(),
                job: None,
                planned: None,
                problem: String::new(),
                read: None,
                included: Vec::new(),
                seen: signature,
                missed: 0,
            });
        if look == Look::Changed {
            let quiet = entry.seen == signature;
            entry.seen = signature;
            if entry.is_as_read(signature) {
                return;
            }
            if !quiet || is_new {
                self.unsettled = true;
                return;
            }
        }
        let first = entry.read.is_none();
        entry.read = Some(signature);
        entry.seen = signature;
        entry.file = file;
        let copy = self.copies.join(format!("{name}.toml"));
        let span = crate::report::log::job_span(name.as_str());
        let _entered = span.enter();
        // A file that shows a bug of ours is that job's trouble, and no other's.
        let file_says = panics::caught(|| read(&entry.file, &copy, settings))
            .unwrap_or_else(|bug| Err(Diagnostic::of_file(&entry.file, bug.to_string()).into()));
        entry.take(file_says, name, settings);
        let known = known.get(name.as_str()).filter(|_| first);
        match panics::caught(|| entry.reckon(settings, &self.host, known, now)) {
            Ok(due) => found
                .due
                .extend(due.map(|due| (name.as_str().to_owned(), due))),
            Err(bug) => {
                tracing::error!(%bug, "the job's schedule cannot be kept");
                entry.planned = None;
                entry.problem = bug.to_string();
            }
        }
        found.changed.insert(name.as_str().to_owned());
    }
}

fn managed_directory(settings: &Settings) -> Option<Signature> {
    settings.managed_job_dir.as_deref().map(Signature::of)
}

/// Reads a job's file, and keeps a copy of it if it is good: the very bytes that were found good.
fn read(file: &Path, copy: &Path, settings: &Settings) -> Result<Job, Diagnostics> {
    let Ok(bytes) = config::contents(file) else {
        // It says why.
        return config::load_job(file, settings).map(|(job, _)| job);
    };
    if config::contents(copy).is_ok_and(|kept| kept == bytes) {
        return config::load_job_as(file, copy, settings).map(|(job, _)| job);
    }
    let new = copy.with_extension("new");
    if let Err(error) = keep(&new, &bytes) {
        // A full disk: the job is good all the same.
        tracing::warn!(file = %new.display(), %error, "the job's file cannot be kept as its last good version");
        return config::load_job(file, settings).map(|(job, _)| job);
    }
    let job = config::load_job_as(file, &new, settings);
    let kept = match &job {
        Ok(_) => fs::rename(&new, copy),
        Err(_) => fs::remove_file(&new),
    };
    if let Err(error) = kept {
        tracing::warn!(file = %copy.display(), %error, "the job's last good version cannot be kept");
    }
    job.map(|(job, _)| job)
}

/// Replaces a file that only its owner may read: whoever is killed half-way leaves the old one.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    keep(&new, bytes)?;
    fs::rename(new, file)
}

/// Writes a file that only its owner may read, and never what somebody else has put there.
fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?
        .write_all(bytes)
}

/// All that is wrong with a file as one line.
pub(super) fn one_line(broken: Diagnostics) -> String {
    Error::from(broken).to_string()
}
