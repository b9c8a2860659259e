//! Configuration: files as they are written, and what is left of them once they are known to be right.
//!
//! `settings` and `job_file` read the two kinds of file (format version 1) with the typed readers of `reader`, which
//! collect everything that is wrong; `document` shows it where it stands, without passwords. What comes out is in
//! [`job`], and nobody looks at a file again. What is a store's own, its URLs above all, is read by the store
//! ([`StoreFormat`]): no store is known here by name.

pub mod archive;
pub mod bucket;
mod choices;
pub mod diagnostics;
mod document;
mod endpoints;
mod env_dir;
mod environments;
pub mod file_proxy;
mod findings;
mod flaw;
// Their files name all stores.
#[cfg(all(
    test,
    feature = "files",
    feature = "mysql",
    feature = "postgresql",
    feature = "sqlite"
))]
mod fuzz;
#[cfg(any(feature = "file_proxy", feature = "files"))]
pub mod globs;
mod here;
pub mod http;
pub mod job;
mod job_file;
mod job_name;
mod managed;
mod masks;
pub mod monitoring;
mod own_options;
mod percent;
mod permissions;
mod reader;
pub mod reporting;
mod running;
mod secrets;
mod settings;
mod side;
mod site_jobs;
pub mod sites;
mod stores;
mod task;
#[cfg(all(test, feature = "mysql", feature = "postgresql", feature = "sqlite"))]
mod tests;
mod typed;
mod url;
mod value;
mod way;

pub use diagnostics::{Diagnostic, Diagnostics, Severity, did_you_mean};
pub use document::{contents, managed_contents, quote};
pub use env_dir::Variables;
pub use flaw::Flaw;
pub use here::is_here;
pub use job_file::{load_job, load_job_as, refuse, refuse_hook, refuse_in, understand_text};
pub use own_options::OwnOptions;
pub use percent::{absolute_path, percent_decoded, percent_decoded_text, percent_encoded};
pub use settings::{
    SETTINGS_FILE, environment, load_settings, load_settings_as, understand_settings,
};
pub use stores::{Absence, Absent, Files, OwnKey, ParsedUrl, Risk, StoreFormat, StoreKind, Stores};
pub use typed::{archive_at, archive_in, endpoint_at};
pub use url::{ArchiveUrl, BucketUrl, EndpointUrl, read_url};
pub use value::bytes as size_in_bytes;

use std::path::{Path, PathBuf};

use crate::error::{Kind, Result, io};
use crate::trust;

/// The job files of the settings' `job_dir`, by name, then those of `managed_job_dir`. A missing directory is an error; hidden
/// files are skipped.
pub fn job_files(settings: &job::Settings) -> Result<Vec<PathBuf>> {
    let directory = &settings.job_dir;
    let named = format!("job_dir {}", directory.display());
    if let Some(doubt) = trust::of_directory(directory) {
        return Err(doubt.into_error(Kind::Config, &named));
    }
    let mut files = files_in(directory, &named)?;
    if let Some(directory) = &settings.managed_job_dir {
        let named = format!("managed_job_dir {}", directory.display());
        // Its owner is the daemon's user, and what is in it can do no harm; a stranger would still be one too many.
        if let Some(doubt) = trust::of_surroundings(directory) {
            return Err(doubt.into_error(Kind::Config, &named));
        }
        files.extend(files_in(directory, &named)?);
    }
    Ok(files)
}

fn files_in(directory: &Path, named: &str) -> Result<Vec<PathBuf>> {
    let failed = || io(format!("{named} cannot be read"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)
        .map_err(failed())
        .map_err(|error| error.with_kind(Kind::Config))?
    {
        let path = entry.map_err(failed())?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
