//! The driver of trees of files: what a task may ask of it, and how its sources and targets are opened.

use std::sync::Arc;

use async_trait::async_trait;

#[cfg(feature = "s3")]
use super::bucket::{source::BucketSource, target::BucketTarget};
use super::packed::codec::CODECS;
use super::packed::definitions;
use super::remote::target::FarTarget;
use super::schema::filter::{check_exclude, check_passes};
use super::source::{TreeSource, server};
use super::target::TreeTarget;
use super::url::{Format, TreeUrl};
use crate::config::StoreFormat;
use crate::config::job::{Endpoint, Publish, Task};
use crate::error::Result;
use crate::store::{
    Codec, Context, Driver, Fate, ManualClient, Part, ReadParts, Refusal, Restored, Selection,
    Source, SurveySnapshots, SurveyedSnapshot, Target,
};

/// Trees of files, for the registry.
pub static DRIVER: FilesDriver = FilesDriver;

/// The driver of trees of files.
pub struct FilesDriver;

#[async_trait]
impl Driver for FilesDriver {
    fn format(&self) -> &'static dyn StoreFormat {
        &Format
    }

    fn refusals(&self, task: &Task) -> Vec<Refusal> {
        refusals(task)
    }

    fn selects_by_itself(&self) -> bool {
        true
    }

    /// The directory has to be there.
    async fn open_source(&self, task: &Task, context: &Context) -> Result<Box<dyn Source>> {
        #[cfg(feature = "s3")]
        if task.source.url.bucket().is_some() {
            return Ok(Box::new(BucketSource::open(task, context).await?));
        }
        Ok(Box::new(TreeSource::open(task, context).await?))
    }

    /// The directory may be missing; the one that it is in may not.
    async fn open_target(&self, task: &Task, context: &Context) -> Result<Box<dyn Target>> {
        #[cfg(feature = "s3")]
        if task.target.url.bucket().is_some() {
            return Ok(Box::new(BucketTarget::open(task, context).await?));
        }
        match task.target.url.address::<TreeUrl>()? {
            TreeUrl::Ssh(url) => Ok(Box::new(
                FarTarget::open(url, task, context, server()).await?,
            )),
            _ => Ok(Box::new(TreeTarget::open(task, context)?)),
        }
    }

    fn codecs(&self) -> &'static [&'static dyn Codec] {
        &CODECS
    }

    async fn read_definitions(
        &self,
        stored: &[u8],
        parts: Vec<Part>,
        _left_out: Vec<(String, Fate)>,
        _selection: &Selection,
    ) -> Result<Restored> {
        definitions::read(stored, parts)
    }

    fn snapshots(&self) -> Option<&dyn SurveySnapshots> {
        Some(self)
    }

    fn waits_for_disks(&self) -> bool {
        true
    }

    fn shares_parts(&self) -> bool {
        true
    }

    fn manual_client(&self) -> Option<ManualClient> {
        Some(ManualClient {
            command: "tar --extract --file=- --preserve-permissions --numeric-owner --xattrs --xattrs-include='*' --directory",
            statement: "",
            database: "DIRECTORY",
            before: "",
        })
    }
}

#[async_trait]
impl SurveySnapshots for FilesDriver {
    async fn survey_snapshot(
        &self,
        task: &Task,
        context: &Context,
        restored: Restored,
        parts: Arc<dyn ReadParts>,
    ) -> Result<SurveyedSnapshot> {
        definitions::survey(task, context, restored, parts).await
    }
}

/// Keys of databases' tasks, and why a tree has no use for them.
const NOT_FOR_FILES: [(&str, &str); 11] = [
    (
        "canary",
        "files are not masked, and nothing of them is searched: leave `canary` out",
    ),
    (
        "keep",
        "what only the target has stays with mode = \"overlay\"; leave `keep` out, or put it into `exclude`",
    ),
    (
        "leave_out",
        "files have no restrictions: leave `leave_out` out",
    ),
    (
        "mask",
        "files cannot be masked yet; leave what is personal out with `exclude`",
    ),
    (
        "max_replication_lag",
        "directories have no replication: leave `max_replication_lag` out",
    ),
    (
        "reference",
        "files do not refer to each other: leave [[task.reference]] out",
    ),
    (
        "roles",
        "owners are kept by number where the run may set them: leave `roles` out",
    ),
    (
        "rows",
        "files have no rows: choose them with `exclude`, `max_size` and `newer_than`",
    ),
    (
        "schema_only",
        "files have no structure of their own: leave `schema_only` out",
    ),
    (
        "scripts",
        "files have no scripts: use the hook after_publish",
    ),
    (
        "unlisted",
        "files cannot be masked yet: leave `unlisted` out",
    ),
];

/// Keys that have no meaning where the target is a bucket.
const NOT_INTO_A_BUCKET: [(&str, &str); 2] = [
    (
        "link",
        "a bucket has no links: what has not changed stays as it is; leave `link` out",
    ),
    (
        "publish",
        "a bucket has no swap: its objects are written one by one; leave `publish` out",
    ),
];

/// Whether a side is a tree in a bucket, and not an archive there.
fn is_in_bucket(endpoint: &Endpoint) -> bool {
    endpoint.url.kind().is_some() && endpoint.url.bucket().is_some()
}

/// What a task asks that trees in buckets cannot do.
fn refusals_of_buckets(task: &Task) -> Vec<Refusal> {
    let mut found = Vec::new();
    if is_in_bucket(&task.target) {
        let is_asked = |(key, _): &&(&str, &str)| task.places.contains_key(*key);
        let keys = NOT_INTO_A_BUCKET.iter().filter(is_asked);
        found.extend(keys.map(|(key, why)| Refusal::new(key, *why)));
    }
    for (key, endpoint) in [("source", &task.source), ("target", &task.target)] {
        let is_tree = endpoint.url.kind().is_some();
        let access = endpoint.access.as_ref().filter(|_| is_tree);
        if access.is_some_and(|access| access.checksum.is_some()) {
            let why = "with files, each object goes with its MD5, which the server holds it against: leave `checksum` out";
            found.push(Refusal::new(key, why));
        }
    }
    found
}

/// What a task asks that files cannot do.
fn refusals(task: &Task) -> Vec<Refusal> {
    let asked = |key: &&(&'static str, &str)| task.places.contains_key(key.0);
    let mut found: Vec<Refusal> = (NOT_FOR_FILES.iter().filter(asked))
        .map(|(key, why)| Refusal::new(key, *why))
        .collect();
    found.extend(refusals_over_ssh(task));
    let is_here = matches!(
        task.source.url.address::<TreeUrl>(),
        Ok(TreeUrl::Directory(_))
    );
    if task.pushes() && !task.pulls() && !is_here {
        let why = "only trees on this machine are pushed into archives: take dir:///DIRECTORY";
        found.push(Refusal::new("source", why));
    }
    if task.pulls() && task.places.contains_key("marker") {
        let why = "a snapshot is complete or it is none: put `marker` into the job that pushes";
        found.push(Refusal::new("marker", why));
    }
    if task.dumps() {
        let key = if task.pulls() { "source" } else { "target" };
        found.push(Refusal::new(
            key,
            "files have no dumps: take format = \"envsyncd\"",
        ));
    }
    found.extend(refusals_of_buckets(task));
    for (key, checked) in [
        ("exclude", check_exclude(task)),
        ("pass", check_passes(task)),
    ] {
        if let Err(error) = checked {
            found.push(Refusal::new(key, error.to_string()));
        }
    }
    found
}

/// What cannot be done with a tree on another machine.
fn refusals_over_ssh(task: &Task) -> Vec<Refusal> {
    let is_far =
        |endpoint: &Endpoint| matches!(endpoint.url.address::<TreeUrl>(), Ok(TreeUrl::Ssh(_)));
    let [from, to] = [&task.source, &task.target].map(is_far);
    let mut found = Vec::new();
    let mut refuse = |key, why: &str| found.push(Refusal::new(key, why));
    if from && to {
        refuse(
            "target",
            "files do not go from one machine to another through a third: run envsyncd on one of the two",
        );
    }
    let [from_bucket, to_bucket] = [&task.source, &task.target].map(is_in_bucket);
    if (from && to_bucket) || (from_bucket && to) {
        refuse(
            "target",
            "files do not go between a bucket and another machine through a third: run envsyncd on that machine",
        );
    }
    let asked = |key| task.places.contains_key(key);
    if to && task.publish == Publish::Swap && asked("publish") {
        refuse(
            "publish",
            "a tree on another machine is changed in place: leave `publish` out",
        );
    }
    if to && asked("link") {
        refuse(
            "link",
            "on another machine what has not changed stays as it is: leave `link` out",
        );
    }
    found
}
