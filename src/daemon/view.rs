//! What the daemon has read, for who shows it: the settings and the jobs in force.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

pub use super::jobs::Signature;
use crate::config::job::{Job, Settings};

/// The files as they are in force.
#[derive(Debug, Clone)]
pub struct View {
    /// envsyncd.toml.
    pub settings: Settings,
    /// Job files, by the jobs' names.
    pub jobs: BTreeMap<String, JobView>,
}

/// A job's file as it is in force.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The file.
    pub file: PathBuf,
    /// What it says, or its last good version; `None`: it never was good.
    pub job: Option<Arc<Job>>,
    /// What is wrong with it; empty: nothing.
    pub problem: String,
    /// The file as it was read; `None`: it is no job's file.
    pub read: Option<Signature>,
}

/// A place for views: the daemon puts them in, and whoever shows them looks.
pub fn views(settings: Settings) -> (watch::Sender<Arc<View>>, watch::Receiver<Arc<View>>) {
    watch::channel(Arc::new(View {
        settings,
        jobs: BTreeMap::new(),
    }))
}
