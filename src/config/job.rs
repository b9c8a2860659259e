//! A job and the settings around it after validation: nothing in here has to be looked at twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::archive::{Archive, Format};
use super::bucket::BucketAccess;
use super::file_proxy::FileProxy;
use super::http::Http;
use super::monitoring::Monitoring;
use super::own_options::OwnOptions;
use super::reporting::{Metrics, Retention};
use super::sites::Sites;
use super::stores::Stores;
use super::url::EndpointUrl;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::policy::{Environment, Environments};
use crate::schedule::{Schedule, Timetable};
use crate::secret::Secret;

pub use super::choices::{
    Definer, Events, KeepPrevious, Mode, PointInTime, Publish, Roles, Verify,
};
pub use super::job_name::JobName;
pub use super::stores::StoreKind;

/// One store in one environment.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name in `[endpoints.NAME]`, if it has one.
    pub name: Option<String>,
    /// Its URL, without a password.
    pub url: EndpointUrl,
    /// Where the password comes from.
    pub password: Option<Secret>,
    /// Where other secrets come from, by the store's own keys.
    pub secrets: BTreeMap<&'static str, Secret>,
    /// It is no server but an archive, with these options.
    pub archive: Option<Box<Archive>>,
    /// How a bucket's server is reached, if it is in a bucket and not all is by default.
    pub access: Option<Box<BucketAccess>>,
}

impl Endpoint {
    /// An endpoint with nothing but a URL.
    pub fn of(url: EndpointUrl) -> Self {
        let archive = url.archive().map(|_| Box::<Archive>::default());
        Self {
            name: None,
            url,
            password: None,
            secrets: BTreeMap::new(),
            archive,
            access: None,
        }
    }

    /// Its place in one spelling, to see whether two of them are one.
    pub fn place(&self) -> String {
        let server = self.access.as_ref().and_then(|a| a.endpoint.as_deref());
        match server {
            // Buckets of two servers may have one name.
            Some(server) => format!("{server} {}", self.url),
            None => self.url.place().to_owned(),
        }
    }
}

/// What becomes of columns of some tables.
#[derive(Debug, Clone)]
pub struct MaskRule {
    /// Globs over `[schema.]table`.
    pub tables: Vec<String>,
    /// Columns, each with the kind of its mask.
    pub columns: Vec<(String, crate::mask::Kind)>,
    /// The rows that it is for, in the source's own language; `None`: all.
    pub condition: Option<String>,
}

/// Which rows of some tables are copied.
#[derive(Debug, Clone)]
pub struct RowRule {
    /// Globs over `[schema.]table`.
    pub tables: Vec<String>,
    /// In the source's own language; rows for which it is true are copied.
    pub condition: String,
    /// Whether rows elsewhere that refer to one that is not copied are not copied, either.
    pub cascade: bool,
}

/// A reference that the schema does not know.
#[derive(Debug, Clone)]
pub struct KnownReference {
    /// Globs over `[schema.]table`: the tables that refer.
    pub tables: Vec<String>,
    /// Their columns.
    pub columns: Vec<String>,
    /// A glob over `[schema.]table`, for the one table that is referred to.
    pub references: String,
    /// The columns there, in the order of the others.
    pub referenced: Vec<String>,
    /// The rows that refer to it, in the source's own language; `None`: all.
    pub condition: Option<String>,
}

/// What becomes of columns that nobody has decided on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unlisted {
    /// They are copied; where the environment requires masks, the run is refused.
    #[default]
    Refuse,
    /// They arrive as NULL, with a warning.
    Null,
}

/// Columns that were looked at and are not personal.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Globs over `[schema.]table`.
    pub tables: Vec<String>,
    /// Globs over columns.
    pub columns: Vec<String>,
    /// Why they are not.
    pub reason: String,
}

/// Files that were looked at and are not personal.
#[derive(Debug, Clone)]
pub struct PathPass {
    /// Globs over paths, in the store's own words.
    pub paths: Vec<String>,
    /// Why they are not.
    pub reason: String,
}

/// One store copied by a job.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name, unique in the job.
    pub name: String,
    /// Which kind of store.
    pub kind: StoreKind,
    /// Where from.
    pub source: Endpoint,
    /// Where to.
    pub target: Endpoint,
    /// Exact copy or overlay.
    pub mode: Mode,
    /// Workers; `None`: the store's default (the machine's cores, 4 at the most).
    pub jobs: Option<usize>,
    /// Globs over `[schema.]table`: not copied.
    pub exclude: Vec<String>,
    /// Globs over `[schema.]table`: structure without rows.
    pub schema_only: Vec<String>,
    /// Restrictions (policies, CHECKs, triggers that guard) that may be left out with what they need: `TABLE.NAME`.
    pub leave_out: Vec<String>,
    /// Globs over `[schema.]table`: the target's own rows survive.
    pub keep: Vec<String>,
    /// Scripts run on incoming, absolute paths (they are relative to the job's file in the file).
    pub scripts: Vec<PathBuf>,
    /// How the copy becomes live.
    pub publish: Publish,
    /// How the copy is checked.
    pub verify: Verify,
    /// How many bytes a second all workers together may read; `None`: no limit.
    pub throttle: Option<u64>,
    /// Above this lag of the source's replication, reading pauses; `None`: it is not looked at.
    pub max_replication_lag: Option<Duration>,
    /// What becomes of what was live.
    pub previous: KeepPrevious,
    /// Owners and grants.
    pub roles: Roles,
    /// MySQL: definers.
    pub definer: Definer,
    /// MySQL: events.
    pub events: Events,
    /// PostgreSQL: code of the source may run with all rights of the target's user.
    pub trust_source: bool,
    /// What becomes of columns on their way; the first that matches a row and a column is the one.
    pub masks: Vec<MaskRule>,
    /// Columns that were looked at and are not personal.
    pub passes: Vec<Pass>,
    /// Files that were looked at and are not personal.
    pub path_passes: Vec<PathPass>,
    /// Which rows of some tables are copied.
    pub rows: Vec<RowRule>,
    /// References that the schema does not know.
    pub references: Vec<KnownReference>,
    /// What becomes of columns that are neither masked nor passed.
    pub unlisted: Unlisted,
    /// Files that are a part of the task, absolute paths.
    pub included: Vec<PathBuf>,
    /// Whether a sample of the copy is searched for the source's values of masked columns; `None`: where masks are required.
    pub canary: Option<bool>,
    /// What it says under the keys that are its store's own.
    pub options: OwnOptions,
    /// Where each key of the task stands in the file, for errors that only a store can find.
    pub places: BTreeMap<String, std::ops::Range<usize>>,
}

impl Task {
    /// Whether any column is masked, or may be.
    pub fn masks(&self) -> bool {
        !self.masks.is_empty() || !self.references.is_empty() || self.unlisted == Unlisted::Null
    }

    /// Whether it writes a snapshot into an archive.
    pub fn pushes(&self) -> bool {
        self.target.archive.is_some()
    }

    /// Whether what it writes or reads is a dump of the store's own tool.
    pub fn dumps(&self) -> bool {
        [&self.source, &self.target].into_iter().any(|side| {
            side.archive
                .as_ref()
                .is_some_and(|archive| archive.format != Format::Envsyncd)
        })
    }

    /// Whether it reads a snapshot from an archive.
    pub fn pulls(&self) -> bool {
        self.source.archive.is_some()
    }
}

/// A command without a shell.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// How long it may take; `None`: no limit of its own.
    pub timeout: Option<Duration>,
}

/// Programs that a run calls around publish.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// Before publish.
    pub maintenance_on: Option<Hook>,
    /// Whenever `maintenance_on` was called, whatever came of it.
    pub maintenance_off: Option<Hook>,
    /// After publish, before `maintenance_off`.
    pub after_publish: Option<Hook>,
    /// Where each stands in the file.
    pub places: BTreeMap<String, std::ops::Range<usize>>,
}

impl Hooks {
    /// The hooks that are set, by their keys.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Hook)> {
        [
            ("maintenance_on", &self.maintenance_on),
            ("maintenance_off", &self.maintenance_off),
            ("after_publish", &self.after_publish),
        ]
        .into_iter()
        .filter_map(|(name, hook)| Some((name, hook.as_ref()?)))
    }
}

/// One validated job file.
#[derive(Debug, Clone)]
pub struct Job {
    /// The file's name without `.toml`.
    pub name: JobName,
    /// The file, absolute.
    pub file: PathBuf,
    /// For people.
    pub description: String,
    /// The site that it belongs to.
    pub site: Option<String>,
    /// The environment that data comes from.
    pub from: Environment,
    /// The environment that data goes to; [`Environment::archive`] if all tasks push and the file names none.
    pub to: Environment,
    /// All environments that the job knows.
    pub environments: Environments,
    /// When it runs by itself.
    pub schedule: Option<Schedule>,
    /// The schedule's time zone; `None`: the host's.
    pub timezone: Option<chrono_tz::Tz>,
    /// How long a run may take.
    pub timeout: Option<Duration>,
    /// Spread of scheduled starts.
    pub jitter: Option<Duration>,
    /// Run once at the daemon's start if a run was missed.
    pub catch_up: bool,
    /// Of which moment its tasks are.
    pub point_in_time: PointInTime,
    /// The tasks, in the file's order; never empty.
    pub tasks: Vec<Task>,
    /// The file's tasks that a run of a part leaves alone, see [`Job::only`].
    pub left_out: Vec<Task>,
    /// The hooks.
    pub hooks: Hooks,
}

impl Job {
    /// The part of the job that has these tasks alone, in the file's order. A name that none has is an error.
    pub fn only(mut self, names: &[String]) -> Result<Self> {
        let known: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            let known = known.join("`, `");
            return Err(Error::new(
                Kind::Usage,
                format!("job `{}` has no task `{name}`", self.name),
            )
            .hint(format!("its tasks are called `{known}`")));
        }
        let (tasks, left_out) =
            (self.tasks.drain(..)).partition(|task| names.is_empty() || names.contains(&task.name));
        self.tasks = tasks;
        self.left_out = left_out;
        Ok(self)
    }

    /// The names of its tasks, if they are a part of those that the file has; else none.
    pub fn part(&self) -> Vec<String> {
        let names = self.tasks.iter().map(|task| task.name.clone());
        names.filter(|_| !self.left_out.is_empty()).collect()
    }

    /// When it runs by itself on this host.
    pub fn timetable(&self, settings: &Settings, host: &str) -> Option<Timetable> {
        let schedule = self.schedule.clone()?;
        let zone = self.timezone.unwrap_or(settings.timezone);
        let job = self.name.as_str();
        Some(Timetable::new(schedule, zone, self.jitter, host, job))
    }
}

/// I/O scheduling class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// Only when nobody else wants the disk.
    Idle,
    /// Best effort, with a level.
    BestEffort,
    /// As it comes.
    None,
}

/// The priority of a run's process and all that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// I/O class.
    pub io_class: IoClass,
    /// 0 (highest) to 7, for best effort.
    pub io_level: u8,
    /// -20 to 19.
    pub nice: i8,
    /// Bytes of memory that the run's own process may have.
    pub memory_max: u64,
}

impl Default for Priority {
    fn default() -> Self {
        Self {
            io_class: IoClass::BestEffort,
            io_level: 6,
            nice: 10,
            memory_max: limits::MEMORY,
        }
    }
}

/// What keeps the machine up while a job runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebootLock {
    /// A file is put here while a job runs.
    pub directory: Option<PathBuf>,
    /// Whether systemd-logind is asked not to shut down (default in files: true).
    pub inhibit: bool,
}

/// What becomes of running runs when the daemon stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// They go on, and the next daemon finds them.
    Leave,
    /// They are told to end, and waited for.
    Cancel,
}

/// envsyncd.toml, validated, with the environment's overrides in it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file it came from, if there is one.
    pub file: Option<PathBuf>,
    /// The stores that jobs may have.
    pub stores: Stores,
    /// Where job files are.
    pub job_dir: PathBuf,
    /// Where those are that the API and the panel write.
    pub managed_job_dir: Option<PathBuf>,
    /// One file a variable.
    pub env_dir: Option<PathBuf>,
    /// state.db lives here.
    pub state_dir: PathBuf,
    /// One JSON file a job.
    pub status_dir: PathBuf,
    /// Lock files.
    pub lock_dir: PathBuf,
    /// What `pull` writes to.
    pub host_environment: Option<Environment>,
    /// The environments.
    pub environments: Environments,
    /// Named endpoints: environment, which archives have none of, and endpoint.
    pub endpoints: BTreeMap<String, (Option<Environment>, Endpoint)>,
    /// Time zone of schedules.
    pub timezone: chrono_tz::Tz,
    /// How many runs at once.
    pub max_concurrent_runs: usize,
    /// Whether people and programs may ask for one run at a time in all.
    pub one_manual_run: bool,
    /// What becomes of runs when the daemon is told to stop.
    pub on_stop: OnStop,
    /// How long a stopping daemon waits for the runs that it has told to end.
    pub stop_timeout: Duration,
    /// Between a run's SIGTERM and its SIGKILL.
    pub kill_after: Duration,
    /// Priority of runs.
    pub priority: Priority,
    /// Reboot lock.
    pub reboot_lock: RebootLock,
    /// How long the history is kept.
    pub history: Retention,
    /// What Prometheus reads.
    pub metrics: Metrics,
    /// The receivers of check results.
    pub monitoring: Monitoring,
    /// Where the masks' key comes from.
    pub mask_key: Option<Secret>,
    /// What sites have in each environment.
    pub sites: Sites,
    /// How sites are copied: by the site, and each pair of environments, source and target, that policy allows. A task is named
    /// after the kind of data.
    pub site_tasks: BTreeMap<(String, Environment, Environment), Vec<Task>>,
    /// Programs that sites' runs call around publish.
    pub site_hooks: BTreeMap<String, Hooks>,
    /// The API and the control panel; `None`: there is none.
    pub http: Option<Http>,
    /// Directories whose missing files are had from elsewhere.
    pub file_proxies: Vec<FileProxy>,
}
