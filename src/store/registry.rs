//! The stores that this envsyncd has: the one place that knows them by name.

use std::sync::{LazyLock, OnceLock};

use serde::{Deserialize, Deserializer};

use super::codec::Codec;
use super::context::Context;
use super::driver::{Driver, Dumps, Refusal};
use super::part::Part;
use super::source::{LagProbe, Source};
use super::target::Target;
use crate::config::job::{Task, Verify};
use crate::config::{Absence, Absent, StoreFormat, StoreKind, Stores};
use crate::error::{Error, Kind, Result};

/// A line for each store: its driver; its kind in job files, which is its cargo feature, too, and the schemes of its URLs, by
/// which it is known where it is left out of a build.
macro_rules! stores {
    ($($kind:literal $driver:path, $schemes:expr;)*) => {
        /// In the order in which people are told of them.
        static BUILT_IN: &[&dyn Driver] = &[$(#[cfg(feature = $kind)] &$driver,)*];

        static ABSENT: &[Absent] = &[
            $(#[cfg(not(feature = $kind))] absent($kind, &$schemes, Absence::LeftOut),)*
            absent("mongodb", &["mongodb", "mongodb+srv"], Absence::Later),
            absent("opensearch", &["http", "https", "opensearch"], Absence::Later),
        ];
    };
}

stores! {
    "postgresql" super::postgresql::DRIVER, ["postgresql", "postgres"];
    "mysql" super::mysql::DRIVER, ["mysql", "mariadb"];
    "sqlite" super::sqlite::DRIVER, ["sqlite"];
    "files" super::files::DRIVER, ["dir"];
}

const fn absent(kind: &'static str, schemes: &'static [&'static str], why: Absence) -> Absent {
    Absent { kind, schemes, why }
}

static MORE: OnceLock<&'static [&'static dyn Driver]> = OnceLock::new();

/// Adds stores to those that are built in, for a program that brings its own: once, before anything else is called.
pub fn register(more: &'static [&'static dyn Driver]) {
    let _ = MORE.set(more);
}

/// All of them, as the configuration knows them.
pub fn formats() -> Stores {
    static FORMATS: LazyLock<Vec<&'static dyn StoreFormat>> =
        LazyLock::new(|| drivers().map(Driver::format).collect());
    Stores::new(&FORMATS, ABSENT)
}

/// Reads a kind out of what was stored, for `#[serde(deserialize_with = "...")]`: one that is not known is an error.
pub fn read_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StoreKind, D::Error> {
    let name = String::deserialize(deserializer)?;
    formats().kind_named(&name).ok_or_else(|| {
        let name = name.escape_debug();
        serde::de::Error::custom(format!("there is no store of the kind `{name}`"))
    })
}

/// All of them.
pub fn drivers() -> impl Iterator<Item = &'static dyn Driver> {
    let more = MORE.get().copied().unwrap_or_default();
    BUILT_IN.iter().chain(more).copied()
}

/// The store of this kind. One that was left out of the build is an error.
pub fn driver(kind: StoreKind) -> Result<&'static dyn Driver> {
    drivers()
        .find(|driver| driver.kind() == kind)
        .ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!("this envsyncd was built without {kind}"),
            )
        })
}

/// Opens a task's source.
pub async fn open_source(task: &Task, context: &Context) -> Result<Box<dyn Source>> {
    driver(task.kind)?.open_source(task, context).await
}

/// Opens a task's target.
pub async fn open_target(task: &Task, context: &Context) -> Result<Box<dyn Target>> {
    driver(task.kind)?.open_target(task, context).await
}

/// Opens what measures the lag of a task's source.
pub async fn open_lag_probe(task: &Task, context: &Context) -> Result<Box<dyn LagProbe>> {
    let kind = task.kind;
    let Some(probes) = driver(kind)?.lag_probes() else {
        return Err(Error::new(
            Kind::Config,
            format!("{kind} has no replication whose lag could be measured"),
        ));
    };
    probes.open_lag_probe(task, context).await
}

/// The codec of a part's encoding.
pub fn codec(kind: StoreKind, part: &Part) -> Result<&'static dyn Codec> {
    let mut codecs = driver(kind)?.codecs().iter();
    let codec = codecs.find(|codec| codec.encoding() == part.encoding);
    codec.copied().ok_or_else(|| {
        Error::new(
            Kind::Verify,
            format!(
                "{} is in an encoding that this envsyncd cannot keep in a file: {}",
                part.label(),
                part.encoding.as_str().escape_debug()
            ),
        )
    })
}

/// The store's own dumps.
pub fn dumps(kind: StoreKind) -> Result<&'static dyn Dumps> {
    driver(kind)?.dumps().ok_or_else(|| {
        Error::new(Kind::Config, format!("{kind} has no dumps")).hint("take format = \"envsyncd\"")
    })
}

/// What a task asks of its store that the store cannot do (for `validate`, and before every run).
pub fn refusals(task: &Task) -> Vec<Refusal> {
    let mut all = match driver(task.kind) {
        Ok(driver) => driver.refusals(task),
        Err(error) => vec![Refusal {
            key: "kind",
            why: error.to_string(),
        }],
    };
    if cfg!(not(feature = "archive")) && (task.pushes() || task.pulls()) {
        all.push(Refusal {
            key: if task.pushes() { "target" } else { "source" },
            why: "this envsyncd was built without archives".to_owned(),
        });
    }
    let by_path = driver(task.kind).is_ok_and(Driver::selects_by_itself);
    let passes = [task.path_passes.is_empty(), task.passes.is_empty()];
    if !passes[usize::from(by_path)] {
        let [has, lacks] = if by_path {
            ["paths", "columns"]
        } else {
            ["columns", "paths"]
        };
        let why = format!("{} has {has}, and a [[task.pass]] is of {lacks}", task.kind);
        all.push(Refusal::new("pass", why));
    }
    if task.masks() {
        all.extend(refusal_of_masks(task));
    }
    if !task.rows.is_empty() {
        all.extend(refusal_of_rows(task));
    }
    if task.dumps() {
        all.extend(refusals_of_dumps(task));
    }
    all
}

/// What is masked while rows pass cannot be masked where they do not.
fn refusal_of_masks(task: &Task) -> Option<Refusal> {
    let refuse = |key, why: &str| Some(Refusal::new(key, why));
    if task.dumps() && task.pushes() {
        return refuse(
            "mask",
            "with format = \"govuk\" the store's own tool writes the rows, and masks nothing; take format = \"envsyncd\"",
        );
    }
    let mut conditions = (task.masks.iter().map(|mask| &mask.condition))
        .chain(task.references.iter().map(|reference| &reference.condition));
    if task.pulls() && conditions.any(Option::is_some) {
        return refuse(
            "mask",
            "the server that could evaluate `where` is not there when rows come out of an archive: leave `where` out, or put the mask into the job that pushes",
        );
    }
    if task.pushes() && task.verify == Verify::Checksum {
        return refuse(
            "verify",
            "a snapshot of masked rows has no checksums of the source's to be held against; take verify = \"rows\"",
        );
    }
    None
}

/// Rows are chosen by the server that has them, while envsyncd reads them.
fn refusal_of_rows(task: &Task) -> Option<Refusal> {
    let why = if task.dumps() && task.pushes() {
        "with format = \"govuk\" the store's own tool reads the rows, and takes all of them; take format = \"envsyncd\""
    } else if task.pulls() {
        "a snapshot has no server that evaluates a `where`: put [[task.rows]] into the job that pushes it"
    } else if task.pushes() && task.verify == Verify::Checksum {
        let why = "a snapshot of chosen rows has no checksums of the source's to be held against; take verify = \"rows\"";
        return Some(Refusal::new("verify", why));
    } else {
        return None;
    };
    Some(Refusal::new("rows", why))
}

/// What a task asks of a dump that is restored (a pull) or written (a push) and that the store's own tools cannot do; for
/// `validate`, and before every run.
fn refusals_of_dumps(task: &Task) -> Vec<Refusal> {
    let mut all = Vec::new();
    if task.throttle.is_some() {
        all.push(Refusal {
            key: "throttle",
            why: "with format = \"govuk\" the store's own tool moves the rows, and keeps to no pace; leave `throttle` out"
                .to_owned(),
        });
    }
    if task.max_replication_lag.is_some() {
        all.push(Refusal {
            key: "max_replication_lag",
            why: "with format = \"govuk\" the store's own tool reads the rows, and does not pause; leave `max_replication_lag` out"
                .to_owned(),
        });
    }
    if task.pushes() && task.verify == Verify::Checksum {
        all.push(Refusal {
            key: "verify",
            why: "a dump is not read back: rows are counted while it is written; take verify = \"rows\""
                .to_owned(),
        });
    }
    // Of a store that is not in this build that is said already.
    if driver(task.kind).is_ok_and(|driver| driver.dumps().is_none()) {
        let (kind, those) = (task.kind, with_dumps().join(" and "));
        all.push(Refusal {
            key: "kind",
            why: format!("{kind} has no dumps: format = \"govuk\" is for {those}"),
        });
    }
    all
}

/// The stores that have dumps.
fn with_dumps() -> Vec<&'static str> {
    let those = drivers().filter(|driver| driver.dumps().is_some());
    those.map(|driver| driver.kind().as_str()).collect()
}
