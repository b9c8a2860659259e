//! `/jobs/{job}/file`: the file of a job, to be changed or removed.

use askama::Template;

use super::Frame;
use super::part::job_link;

/// Where a job's file is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Edited {
    /// Here, by those who may.
    Here,
    /// Where it lies, by hand.
    ByHand,
    /// The panel writes no files, or it has none of its own.
    Nowhere,
}

/// `/jobs/{job}/file`
#[derive(Template)]
#[template(path = "job_file.html")]
pub(in super::super) struct JobFile {
    pub(in super::super) frame: Frame,
    pub(in super::super) name: String,
    pub(in super::super) file: String,
    pub(in super::super) toml: String,
    /// Which version of the file it was made from.
    pub(in super::super) tag: String,
    /// What is wrong with it, a sentence each.
    pub(in super::super) problems: Vec<String>,
}

impl JobFile {
    fn link(&self) -> String {
        job_link(&self.name)
    }
}
