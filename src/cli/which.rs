//! Which job a verb is about: one by its file, or one that follows from a site.

use std::path::{Path, PathBuf};

use crate::config::job::{Job, Settings};
use crate::error::{Error, Kind, Result};

/// A job by its file, or as it follows from a site.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The job file
    #[arg(short, long, value_name = "FILE", required_unless_present = "site")]
    file: Option<PathBuf>,
    /// Take what [sites] in envsyncd.toml says of this site, instead of a job file
    #[arg(
        long,
        value_name = "SITE",
        conflicts_with = "file",
        requires = "from",
        requires = "to"
    )]
    site: Option<String>,
    /// The environment that a site's data comes from
    #[arg(long, value_name = "ENV", requires = "site")]
    from: Option<String>,
    /// The environment that it goes to
    #[arg(long, value_name = "ENV", requires = "site")]
    to: Option<String>,
}

impl Which {
    pub(super) fn place(&self) -> Place<'_> {
        match (&self.file, &self.site, &self.from, &self.to) {
            (None, Some(site), Some(from), Some(to)) => Place::Site { site, from, to },
            (file, ..) => Place::File(file.as_deref().unwrap_or(Path::new(""))),
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    File(&'a Path),
    Site {
        site: &'a str,
        from: &'a str,
        to: &'a str,
    },
    /// The job of a site, by its name.
    Named(&'a str),
}

impl Place<'_> {
    /// The job, where it follows from a site; else its file is left to be read.
    pub(super) fn of_site(&self, settings: &Settings) -> Result<Result<Job, &Path>> {
        match self {
            Place::File(file) => Ok(Err(file)),
            Place::Site { site, from, to } => settings.site_job(site, from, to).map(Ok),
            Place::Named(name) => settings.site_job_named(name).map_or_else(
                || {
                    Err(Error::new(
                        Kind::Unknown,
                        format!("there is no job `{name}`"),
                    ))
                },
                |job| job.map(Ok),
            ),
        }
    }
}
