//! The variables that a run and its children see: the process's own, and over them the files of `env_dir`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::job::Settings;
use crate::error::{Error, Kind, Result, io};
use crate::secret::redaction;
use crate::trust;

/// Where systemd puts a unit's credentials, see systemd.exec(5).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// More than a variable can hold: all of a program's together are 2 MiB (`ARG_MAX`).
const LARGEST: u64 = 1 << 20;

/// Variables by name.
#[derive(Clone, Default)]
pub struct Variables {
    process: BTreeMap<OsString, OsString>,
    /// `None`: `env_dir` takes the variable away.
    over: BTreeMap<OsString, Option<OsString>>,
}

/// Values may be passwords: only names are shown.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables")
            .field("over", &self.over.keys())
            .finish_non_exhaustive()
    }
}

impl Variables {
    /// The process's environment under the settings' `env_dir`. One that is not there has no variables.
    pub fn load(settings: &Settings) -> Result<Self> {
        let over = match &settings.env_dir {
            Some(directory) => read(directory)?,
            None => BTreeMap::new(),
        };
        // Hooks are given them, and may print them.
        for value in over.values().flatten() {
            redaction::know(&value.to_string_lossy());
        }
        Ok(Self {
            process: std::env::vars_os().collect(),
            over,
        })
    }

    /// A variable's value; `None` if it is not set or is not Unicode.
    pub fn get(&self, name: &str) -> Option<String> {
        let name = OsStr::new(name);
        let value = match self.over.get(name) {
            Some(value) => value.as_ref(),
            None => self.process.get(name),
        };
        value.and_then(|value| value.to_str()).map(str::to_owned)
    }

    /// Where a child's programs are looked for.
    pub fn path(&self) -> Option<OsString> {
        let name = OsStr::new("PATH");
        match self.over.get(name) {
            Some(value) => value.clone(),
            None => self.process.get(name).cloned(),
        }
    }

    /// Gives a hook what it has besides what every program has: where credentials are, and what `env_dir` sets or takes away.
    pub fn apply(&self, command: &mut tokio::process::Command) {
        if let Some(directory) = self.process.get(OsStr::new(CREDENTIALS)) {
            command.env(CREDENTIALS, directory);
        }
        for (name, value) in &self.over {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

/// Reads a directory as envdir does (<https://cr.yp.to/daemontools/envdir.html>): a file's name is the variable, its
/// first line the value without trailing spaces and tabs, NUL stands for a newline, an empty file takes the variable
/// away. Hidden files and directories are skipped.
fn read(directory: &Path) -> Result<BTreeMap<OsString, Option<OsString>>> {
    if let Some(doubt) = trust::of_directory(directory) {
        return Err(doubt.into_error(Kind::Config, &format!("env_dir {}", directory.display())));
    }
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(unreadable(directory)(error)),
    };
    let mut found = BTreeMap::new();
    for entry in listed {
        let entry = entry.map_err(unreadable(directory))?;
        let name = entry.file_name();
        let path = entry.path();
        // Kubernetes and others make the files symbolic links: what counts is what they lead to.
        let metadata = fs::metadata(&path).map_err(unreadable(&path))?;
        if name.as_bytes().starts_with(b".") || metadata.is_dir() {
            continue;
        }
        if name.as_bytes().contains(&b'=') {
            return Err(Error::new(
                Kind::Config,
                format!("{} cannot be a variable", path.display()),
            )
            .hint("a variable's name has no `=`: rename or remove the file"));
        }
        let content = trust::read(&path, LARGEST).map_err(unreadable(&path))?;
        found.insert(name, value(&content));
    }
    Ok(found)
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let what = format!("env_dir: {} cannot be read", path.display());
    io(what)
}

pub(super) fn value(content: &[u8]) -> Option<OsString> {
    if content.is_empty() {
        return None;
    }
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or(b"");
    let end = line
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |at| at + 1);
    let line = line[..end]
        .iter()
        .map(|byte| if *byte == 0 { b'\n' } else { *byte })
        .collect();
    Some(OsString::from_vec(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(directory: &Path) -> Result<Variables> {
        Ok(Variables {
            process: [("HOME_TOWN", "process"), ("GONE", "process")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            over: read(directory)?,
        })
    }

    #[test]
    fn files_are_read_as_envdir_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, content: &[u8]| fs::write(directory.path().join(name), content).unwrap();
        write("FIRST", b"one \t \ntwo\n");
        write("BARE", b"no newline");
        write("LINES", b"a\0b\n");
        write("EMPTY_LINE", b"\nrest");
        write("BLANKS", b" \t\n");
        write("LEADING", b"  x");
        write("GONE", b"");
        write(".hidden", b"x");
        fs::create_dir(directory.path().join("sub")).unwrap();
        let variables = load(directory.path()).unwrap();
        for (name, value) in [
            ("FIRST", Some("one")),
            ("BARE", Some("no newline")),
            ("LINES", Some("a\nb")),
            ("EMPTY_LINE", Some("")),
            ("BLANKS", Some("")),
            ("LEADING", Some("  x")),
            ("GONE", None),
            (".hidden", None),
            ("sub", None),
            ("HOME_TOWN", Some("process")),
        ] {
            assert_eq!(variables.get(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn a_name_with_an_equals_sign_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("A=B"), "x").unwrap();
        assert_eq!(load(directory.path()).unwrap_err().kind(), Kind::Config);
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_variables() {
        let directory = tempfile::tempdir().unwrap();
        let variables = load(&directory.path().join("none")).unwrap();
        assert_eq!(variables.get("HOME_TOWN").as_deref(), Some("process"));
    }

    #[tokio::test]
    async fn a_child_sees_what_env_dir_sets_and_not_what_it_takes_away() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("SEEN"), "yes\n").unwrap();
        fs::write(directory.path().join("PATH_TO_NOWHERE"), "").unwrap();
        let variables = load(directory.path()).unwrap();
        let mut child = crate::process::program::other("/bin/sh");
        child
            .args(["-c", "echo \"$SEEN/${PATH_TO_NOWHERE-unset}\""])
            .env("PATH_TO_NOWHERE", "set");
        variables.apply(&mut child);
        let output = child.output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "yes/unset\n");
    }

    #[test]
    fn values_are_not_debugged() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("TOKEN"), "hunter2").unwrap();
        let text = format!("{:?}", load(directory.path()).unwrap());
        assert!(
            text.contains("TOKEN") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
