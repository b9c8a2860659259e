//! The environment directory: one file a variable, as daemontools' envdir reads it.
//!
//! <https://cr.yp.to/daemontools/envdir.html>: the first line of a file is the value, without blanks and tabs at its end,
//! and with NUL as a newline; an empty file unsets the variable.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::job::Settings;
use crate::error::{Error, Kind, Result, io};

/// The process's environment with `env_dir` over it.
#[derive(Clone, Default)]
pub struct Variables {
    /// `None` unsets.
    over: BTreeMap<OsString, Option<OsString>>,
}

// Values may be secrets.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.over.keys()).finish()
    }
}

impl Variables {
    /// Reads the settings' `env_dir`, if there is one.
    pub fn load(settings: &Settings) -> Result<Self> {
        match &settings.env_dir {
            Some(directory) => Ok(Self {
                over: read(directory)?,
            }),
            None => Ok(Self::default()),
        }
    }

    /// A variable's value, if it is set and Unicode.
    pub fn get(&self, name: &str) -> Option<String> {
        match self.over.get(OsStr::new(name)) {
            Some(value) => value.clone()?.into_string().ok(),
            None => std::env::var(name).ok(),
        }
    }

    /// Gives a program this environment.
    pub fn apply(&self, command: &mut tokio::process::Command) {
        for (name, value) in &self.over {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

fn read(directory: &Path) -> Result<BTreeMap<OsString, Option<OsString>>> {
    let unreadable = || io(format!("env_dir {} cannot be read", directory.display()));
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let name = entry.file_name();
        // As envdir: files whose name begins with a dot are none of its own.
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if !path.is_file() {
            continue;
        }
        if name.as_bytes().contains(&b'=') {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "{} cannot be a variable: its name has a `=`",
                    path.display()
                ),
            )
            .hint("rename or remove the file"));
        }
        let content =
            std::fs::read(&path).map_err(io(format!("{} cannot be read", path.display())))?;
        all.insert(name, value_of(&content));
    }
    Ok(all)
}

fn value_of(content: &[u8]) -> Option<OsString> {
    if content.is_empty() {
        return None;
    }
    let line = content
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let end = line
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |at| at + 1);
    let value = line[..end]
        .iter()
        .map(|byte| if *byte == 0 { b'\n' } else { *byte })
        .collect();
    Some(OsString::from_vec(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_first_line_without_trailing_blanks() {
        let value = |content: &[u8]| value_of(content).map(|v| v.into_string().unwrap());
        assert_eq!(value(b"a b \t\nsecond\n").as_deref(), Some("a b"));
        assert_eq!(value(b"one\0two").as_deref(), Some("one\ntwo"));
        assert_eq!(value(b"\n").as_deref(), Some(""));
        assert_eq!(value(b""), None);
    }

    #[test]
    fn an_empty_file_unsets_and_hidden_files_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("SET"), "x\n").unwrap();
        std::fs::write(dir.path().join("PATH"), "").unwrap();
        std::fs::write(dir.path().join(".hidden"), "x").unwrap();
        let variables = Variables {
            over: read(dir.path()).unwrap(),
        };
        assert_eq!(variables.get("SET").as_deref(), Some("x"));
        assert_eq!(variables.get("PATH"), None);
        assert_eq!(variables.over.len(), 2);
    }

    #[test]
    fn a_name_that_cannot_be_a_variable_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("A=B"), "x").unwrap();
        assert_eq!(read(dir.path()).unwrap_err().kind(), Kind::Config);
    }
}
