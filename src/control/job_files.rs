//! Job files that the API and the panel write, into `managed_job_dir`. Files of `job_dir` are people's: they are never touched.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Caller;
use super::jobs::find;
use crate::config::job::{Job, JobName, Settings};
use crate::config::{self, Diagnostic, Diagnostics, managed_contents, understand_text};
use crate::error::{Error, Kind, Result, io};
use crate::state::State;
use crate::sync::Mutex;
use crate::{policy, store, trust};

/// One file is written at a time.
static ONE: Mutex<()> = Mutex::new(());

/// What a file takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over<'a> {
    /// Of nothing: there is no such job.
    Nothing,
    /// Of whatever the job's file says.
    Any,
    /// Of the file with this tag.
    Tagged(&'a str),
}

/// A file that was written, or read.
#[derive(Debug)]
pub struct JobFile {
    /// Where it is.
    pub file: PathBuf,
    /// Its content.
    pub text: String,
    /// Tells it from every other version of it.
    pub tag: String,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
}

/// Why a file is not written or removed.
#[derive(Debug)]
pub enum Refused {
    /// `Kind::Policy`: the settings do not allow it; `Kind::Busy`: the name is taken, or a run goes on; `Kind::Unknown`: there
    /// is no such job.
    Not(Error),
    /// It has changed since it was read.
    Changed(Error),
    /// The text is no job.
    Wrong(Diagnostics),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Not(error)
    }
}

impl From<Diagnostics> for Refused {
    fn from(found: Diagnostics) -> Self {
        Self::Wrong(found)
    }
}

impl Refused {
    /// The same as a sentence, for the audit list.
    fn sentence(&self) -> String {
        match self {
            Self::Not(error) | Self::Changed(error) => error.to_string(),
            Self::Wrong(found) => Error::from(found.clone()).to_string(),
        }
    }
}

/// The directory that job files are written into. `Kind::Policy`: the settings have none for it.
pub fn directory(settings: &Settings) -> Result<&Path> {
    let may = settings.http.as_ref().is_some_and(|http| http.edit_jobs);
    let directory = settings.managed_job_dir.as_deref().filter(|_| may);
    directory.ok_or_else(|| {
        Error::new(Kind::Policy, "job files are not written here").hint(
            "set edit_jobs = true under [http] in envsyncd.toml, and managed_job_dir at its top",
        )
    })
}

/// Where a job's file is written. `Kind::Usage`: this cannot be a job's name.
pub fn file_of(settings: &Settings, name: &str) -> Result<PathBuf> {
    let directory = directory(settings)?;
    let name = JobName::parse(name).map_err(|why| Error::new(Kind::Usage, why))?;
    Ok(directory.join(format!("{name}.toml")))
}

/// Reads a text as the file of this job, with all that `validate` looks at, and writes nothing.
fn check(settings: &Settings, name: &str, text: &str) -> Result<(Job, Vec<Diagnostic>), Refused> {
    let file = file_of(settings, name)?;
    let (job, warnings) = understand_text(&file, text.to_owned(), settings)?;
    let mut unable = Vec::new();
    for task in &job.tasks {
        for one in store::registry::refusals(task) {
            unable.push(config::refuse_in(text, &job, task, one.key, one.why));
        }
    }
    Diagnostics::settle(unable)?;
    policy::permit(&job.environments, &job.from, &job.to)?;
    Ok((job, warnings))
}

/// Writes a job's file: whole, or not at all.
pub fn write(
    settings: &Settings,
    state: &State,
    (name, text): (&str, &str),
    over: Over<'_>,
    caller: &Caller,
) -> Result<JobFile, Refused> {
    let _one = ONE.lock();
    let put = || {
        let file = file_of(settings, name)?;
        // Nor does the daemon read what is there.
        let directory = directory(settings)?;
        if let Some(doubt) = trust::of_surroundings(directory) {
            let named = format!("managed_job_dir {}", directory.display());
            return Err(doubt.into_error(Kind::State, &named).into());
        }
        if let Some(other) = settings.namesake(&file) {
            return Err(taken(name, &other).into());
        }
        let (_, warnings) = check(settings, name, text)?;
        let is_there = match managed_contents(&file) {
            Ok(bytes) => Some(tag_of(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(io(file.display().to_string())(error).into()),
        };
        match (over, is_there) {
            (Over::Nothing, None) => {}
            (Over::Nothing, Some(_)) => return Err(taken(name, &file).into()),
            (_, None) => return Err(missing(settings, state, name)),
            (Over::Any, Some(_)) => refuse_running(state, name)?,
            (Over::Tagged(tag), Some(now)) => {
                refuse_changed(name, tag, &now)?;
                refuse_running(state, name)?;
            }
        }
        put(&file, text, over).map_err(unwritten(&file))?;
        Ok(JobFile {
            file,
            text: text.to_owned(),
            tag: tag_of(text.as_bytes()),
            warnings,
        })
    };
    let action = match over {
        Over::Nothing => "job create",
        _ => "job replace",
    };
    audited(state, caller, action, name, put())
}

/// Removes a job's file, and so the job; its history stays.
pub fn remove(
    settings: &Settings,
    state: &State,
    name: &str,
    tag: Option<&str>,
    caller: &Caller,
) -> Result<(), Refused> {
    let _one = ONE.lock();
    let end = || {
        let found = read(settings, state, name)?;
        if let Some(tag) = tag {
            refuse_changed(name, tag, &found.tag)?;
        }
        refuse_running(state, name)?;
        let gone = fs::remove_file(&found.file).and_then(|()| settle(&found.file));
        gone.map_err(unwritten(&found.file))?;
        Ok(())
    };
    audited(state, caller, "job remove", name, end())
}

/// A file that was written here, as it is now. `Kind::Busy`: the job's file is in `job_dir`.
pub fn read(settings: &Settings, state: &State, name: &str) -> Result<JobFile, Refused> {
    let file = file_of(settings, name)?;
    let bytes = match managed_contents(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(missing(settings, state, name));
        }
        Err(error) => return Err(io(file.display().to_string())(error).into()),
    };
    Ok(JobFile {
        tag: tag_of(&bytes),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        file,
        warnings: Vec::new(),
    })
}

/// Why there is no such file of ours.
fn missing(settings: &Settings, state: &State, name: &str) -> Refused {
    if let Err(unknown) = find(name, settings, Some(state)) {
        return unknown.into();
    }
    let file = settings.job_file(name);
    if file.exists() {
        return taken(name, &file).into();
    }
    let what = format!("job `{name}` has no file any more");
    Error::new(Kind::Unknown, what).into()
}

fn taken(name: &str, file: &Path) -> Error {
    let what = format!("there is a job `{name}`: its file is {}", file.display());
    let error = Error::new(Kind::Busy, what);
    error.hint("choose another name; a file of job_dir is changed and removed there")
}

fn refuse_changed(name: &str, tag: &str, now: &str) -> Result<(), Refused> {
    if tag == now {
        return Ok(());
    }
    let what = format!("the file of job `{name}` has changed since you have read it");
    Err(Refused::Changed(
        Error::new(Kind::Busy, what).hint("read it again"),
    ))
}

/// A run goes by what its file said, and what it left is cleared by it.
fn refuse_running(state: &State, name: &str) -> Result<()> {
    let mut unfinished = state.unfinished()?.into_iter();
    let Some(run) = unfinished.find(|run| run.job == name) else {
        return Ok(());
    };
    let what = format!("run {} of job `{name}` is {}", run.id, run.state);
    Err(Error::new(Kind::Busy, what)
        .hint(format!("wait for its end, or `envsyncd cancel {}`", run.id)))
}

fn tag_of(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Whoever is killed half-way leaves a hidden file, which nobody reads and the next one removes.
fn put(file: &Path, text: &str, over: Over<'_>) -> std::io::Result<()> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let new = file.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut opened = options
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&new)?;
    let written = opened
        .write_all(text.as_bytes())
        .and_then(|()| opened.sync_all())
        .and_then(|()| match over {
            // Never over what somebody has put there meanwhile.
            Over::Nothing => fs::hard_link(&new, file),
            _ => fs::rename(&new, file),
        });
    if over == Over::Nothing || written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.and_then(|()| settle(file))
}

/// What was done in a file's directory outlives a power cut.
fn settle(file: &Path) -> std::io::Result<()> {
    match file.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn unwritten(file: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| {
        let taken = error.kind() == ErrorKind::AlreadyExists;
        let failed = io(format!("{} cannot be changed", file.display()))(error);
        match failed.kind() {
            Kind::Full => failed,
            _ if taken => failed.with_kind(Kind::Busy),
            _ => failed.with_kind(Kind::State).hint(
                "managed_job_dir belongs to the daemon's user, and its unit lets it write there",
            ),
        }
    }
}

/// Writes what came of it into the audit list.
fn audited<T>(
    state: &State,
    caller: &Caller,
    action: &str,
    name: &str,
    outcome: Result<T, Refused>,
) -> Result<T, Refused> {
    let object = format!("job {}", config::quote(name));
    let told = match &outcome {
        Ok(_) => Ok(()),
        Err(refused) => Err(Error::new(Kind::Config, refused.sentence())),
    };
    match (outcome, caller.audit(state, action, &object, told)) {
        (Ok(_), Err(unwritten)) => Err(unwritten.into()),
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests;
