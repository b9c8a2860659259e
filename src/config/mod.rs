//! Configuration: files as they are written, and what is left of them once they are known to be right.
//!
//! `settings` and `job_file` read the two kinds of file (format version 1) with the typed readers of `reader`, which
//! collect everything that is wrong; `document` shows it where it stands, without passwords. What comes out is in
//! [`job`], and nobody looks at a file again.

pub mod archive;
pub mod diagnostics;
mod document;
mod endpoints;
mod env_dir;
mod environments;
#[cfg(test)]
mod fuzz;
pub mod job;
mod job_file;
pub mod monitoring;
mod reader;
pub mod reporting;
mod settings;
mod task;
#[cfg(test)]
mod tests;
mod url;
mod value;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use document::contents;
pub use env_dir::Variables;
pub use job_file::{load_job, load_job_as, refuse, refuse_hook};
pub use settings::{SETTINGS_FILE, environment, load_settings, load_settings_as};
pub use url::{
    ArchiveUrl, AuthMethods, MysqlTls, MysqlUrl, Risk, archive_at, archive_in, database_of,
    is_here, percent_decoded, risk, tls_is_required,
};

use std::path::PathBuf;

use crate::error::{Kind, Result, io};
use crate::trust;

/// The job files of the settings' `job_dir`, by name. A missing directory is an error; hidden files are skipped.
pub fn job_files(settings: &job::Settings) -> Result<Vec<PathBuf>> {
    let directory = &settings.job_dir;
    if let Some(doubt) = trust::of_directory(directory) {
        return Err(doubt.into_error(Kind::Config, &format!("job_dir {}", directory.display())));
    }
    let failed = || io(format!("job_dir {} cannot be read", directory.display()));
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
