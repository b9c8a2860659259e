//! Where a secret comes from: a password, a key. The value is fetched when a run needs it, and shown nowhere.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncReadExt as _;

#[cfg(test)]
mod fuzz;
pub mod redaction;

use crate::error::{Error, Kind, Result, io};
use crate::limits;
use crate::process::program;

/// How long a secret's command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// More than any password, key or token.
const LONGEST: u64 = 64 << 10;

/// Where the unit has its credentials from.
const CREDENTIALS: &str = "/etc/envsyncd/credentials";

/// What lets one see what a secret's command does.
const BY_HAND: &str = "run it by hand as the same user to see why";

/// Finds an environment variable.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A place that holds a secret: `{ env = .. }`, `{ file = .. }`, `{ credential = .. }`, `{ command = [..] }`.
#[derive(Debug, Clone)]
pub enum Secret {
    /// Written in the configuration itself (in a URL); works, with a warning.
    Inline(secrecy::SecretString),
    /// An environment variable, or a file of `env_dir`.
    Env(String),
    /// A file's content, without its last newline.
    File(PathBuf),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// The first line that a program prints.
    Command(Vec<String>),
}

impl Secret {
    /// Fetches the value. `what` says what it is for (`the archive's `key``), `lookup` answers for environment variables.
    /// An error names both and the place, never the value.
    pub async fn resolve(
        &self,
        what: &str,
        lookup: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<SecretString> {
        let found = self.fetch(lookup).await;
        if let Ok(value) = &found {
            redaction::know(value.expose_secret());
        }
        found.map_err(|error| error.within(what))
    }

    /// Refuses a file that users who are neither its owner nor of its group can read.
    pub fn refuse_readable_by_others(&self) -> Result<()> {
        let Self::File(path) = self else {
            return Ok(());
        };
        let found = std::fs::metadata(path)
            .map_err(io(format!("the file {} cannot be read", path.display())))?;
        let others = found.permissions().mode() % 8;
        if others == 0 {
            return Ok(());
        }
        let what = format!("the file {} can be read by others", path.display());
        Err(Error::new(Kind::Config, what).hint(format!("run: chmod o= {}", path.display())))
    }

    async fn fetch(
        &self,
        lookup: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<SecretString> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::Env(name) => match lookup(name) {
                Some(value) => Ok(SecretString::from(value)),
                None => Err(
                    Error::new(Kind::Config, format!("the variable {name} is not set")).hint(
                        format!("set {name}, or make a file of that name in env_dir"),
                    ),
                ),
            },
            Self::File(path) => read_file(path).await,
            Self::Credential(name) => match lookup("CREDENTIALS_DIRECTORY") {
                Some(directory) => {
                    let directory = Path::new(&directory);
                    // Of a directory of credentials systemd makes ID_NAME each, see LoadCredential= in systemd.exec(5).
                    let of_ours = directory.join(format!("envsyncd_{name}"));
                    if of_ours.is_file() && !directory.join(name).exists() {
                        return read_file(&of_ours).await;
                    }
                    read_file(&directory.join(name)).await
                }
                None => {
                    by_hand(
                        name,
                        Path::new(CREDENTIALS),
                        nix::unistd::geteuid().is_root(),
                    )
                    .await
                }
            },
            Self::Command(argv) => run(argv).await,
        }
    }
}

/// A credential for a run that systemd did not start: root finds it where the unit has it from.
async fn by_hand(name: &str, directory: &Path, is_root: bool) -> Result<SecretString> {
    let file = directory.join(name);
    if is_root && file.exists() {
        return read_file(&file).await;
    }
    let unset = "CREDENTIALS_DIRECTORY is not set";
    let why = if is_root {
        format!("{unset}, and {} is not there", file.display())
    } else {
        format!("{unset}, and only root reads {}", directory.display())
    };
    Err(Error::new(Kind::Config, format!("there is no credential `{name}`: {why}")).hint(format!(
        "put it into {}, and run this as root or under systemd; or give it with LoadCredential={name}:PATH",
        file.display()
    )))
}

async fn read_file(path: &Path) -> Result<SecretString> {
    let unreadable = |error: std::io::Error| {
        io(format!("the file {} cannot be read", path.display()))(error)
            .hint("it has to be there, and the user that runs envsyncd has to be able to read it")
    };
    let metadata = tokio::fs::metadata(path).await.map_err(unreadable)?;
    if metadata.permissions().mode() & 0o004 != 0 {
        tracing::warn!(file = %path.display(), "a secret's file can be read by others: chmod o-rwx");
    }
    let own = nix::unistd::geteuid().as_raw();
    if metadata.permissions().mode() & 0o002 != 0 {
        tracing::warn!(file = %path.display(), "a secret's file can be written by others: chmod o-w");
    } else if metadata.uid() != 0 && metadata.uid() != own {
        tracing::warn!(file = %path.display(), "a secret's file belongs to another user, who can change it: chown it");
    }
    let content = std::fs::File::open(path).and_then(|file| limits::read_all(file, LONGEST));
    let content = content.map_err(unreadable)?;
    in_file(&content).map_err(|why| {
        Error::new(Kind::Config, format!("the file {} {why}", path.display()))
            .hint("write the secret into it, and nothing else")
    })
}

/// The secret in a file: all that it holds, without its last newline. An error says what else the file is.
fn in_file(content: &[u8]) -> Result<SecretString, &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| "is not text in UTF-8")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err("is empty");
    }
    if text.contains('\0') {
        return Err("has a NUL character in it");
    }
    Ok(SecretString::from(text))
}

/// The secret in what a program prints: the first line.
fn printed(text: &[u8]) -> Result<SecretString, &'static str> {
    let line = text.split(|byte| *byte == b'\n').next();
    match line.map(in_file) {
        Some(Err("is empty")) | None => Err("printed no first line"),
        Some(Err("is not text in UTF-8")) => Err("printed something else than text in UTF-8"),
        Some(Err(_)) => Err("printed a NUL character"),
        Some(Ok(secret)) => Ok(secret),
    }
}

async fn run(argv: &[String]) -> Result<SecretString> {
    let (name, arguments) = argv
        .split_first()
        .ok_or_else(|| Error::new(Kind::Config, "the command is empty"))?;
    let unstarted = || io(format!("the command {name} cannot be run"));
    // It finds neither other secrets of ours in its environment nor what leads it elsewhere.
    let mut child = program::other(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it says there might be the secret, too.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(unstarted())?;
    let said = async {
        let mut text = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(LONGEST + 1).read_to_end(&mut text).await?;
        }
        if text.len() as u64 > LONGEST {
            return Ok(None);
        }
        Ok(Some((text, child.wait().await?)))
    };
    let said: Option<(Vec<u8>, ExitStatus)> = tokio::time::timeout(COMMAND_TIMEOUT, said)
        .await
        .map_err(|_| {
            Error::new(
                Kind::Config,
                format!(
                    "the command {name} did not end within {} seconds",
                    COMMAND_TIMEOUT.as_secs()
                ),
            )
        })?
        .map_err(unstarted())?;
    let Some((text, status)) = said else {
        return Err(Error::new(
            Kind::Config,
            format!("the command {name} prints more than {} KiB", LONGEST >> 10),
        )
        .hint(BY_HAND));
    };
    if !status.success() {
        return Err(
            Error::new(Kind::Config, format!("the command {name} failed: {status}"))
                .of_program(status)
                .hint(BY_HAND),
        );
    }
    printed(&text)
        .map_err(|why| Error::new(Kind::Config, format!("the command {name} {why}")).hint(BY_HAND))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn value(secret: Secret) -> Result<String> {
        let lookup = |name: &str| match name {
            "PGPASSWORD" => Some("hunter2".to_owned()),
            _ => None,
        };
        let value = secret.resolve("the password", &lookup).await?;
        Ok(value.expose_secret().to_owned())
    }

    fn sh(script: &str) -> Secret {
        Secret::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
    }

    #[tokio::test]
    async fn every_place_gives_its_secret() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("database");
        std::fs::write(&file, " hun ter2\n\n").unwrap();
        assert_eq!(
            value(Secret::Env("PGPASSWORD".into())).await.unwrap(),
            "hunter2"
        );
        // Only the last newline goes.
        assert_eq!(value(Secret::File(file)).await.unwrap(), " hun ter2\n");
        assert_eq!(
            value(sh("echo hunter2; echo more")).await.unwrap(),
            "hunter2"
        );
        // Of our own environment it has what every program may know, and no other secret.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let looks = "test -n \"$PATH\" && test -z \"$CARGO_MANIFEST_DIR\" && echo hunter2";
        assert_eq!(value(sh(looks)).await.unwrap(), "hunter2");
        let path = directory.path().to_str().unwrap().to_owned();
        let lookup = move |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| path.clone());
        let secret = Secret::Credential("database".into());
        let value = secret.resolve("the password", &lookup).await.unwrap();
        assert_eq!(value.expose_secret(), " hun ter2\n");
    }

    #[tokio::test]
    async fn a_credential_of_our_directory_is_found_by_its_own_name_and_one_of_that_very_name_first()
     {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("envsyncd_one"), "ours\n").unwrap();
        std::fs::write(directory.path().join("envsyncd_two"), "ours\n").unwrap();
        std::fs::write(directory.path().join("two"), "its own\n").unwrap();
        let path = directory.path().to_str().unwrap().to_owned();
        let lookup = move |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| path.clone());
        for (name, value) in [("one", "ours"), ("two", "its own")] {
            let found = Secret::Credential(name.into())
                .resolve("the password", &lookup)
                .await;
            assert_eq!(found.unwrap().expose_secret(), value);
        }
    }

    #[tokio::test]
    async fn by_hand_root_finds_a_credential_where_the_unit_has_it_from_and_nobody_else_does() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("database"), "hunter2\n").unwrap();
        let found = by_hand("database", directory.path(), true).await.unwrap();
        assert_eq!(found.expose_secret(), "hunter2");
        for (name, is_root, says) in [
            ("other", true, "other is not there"),
            ("database", false, "only root reads"),
        ] {
            let error = by_hand(name, directory.path(), is_root).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind(), Kind::Config);
            assert!(
                text.contains(says) && text.contains("run this as root"),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_named_and_what_was_printed_is_not() {
        let gone = PathBuf::from("/nonexistent/database");
        for (secret, name, kind) in [
            (Secret::Env("NOT_SET".into()), "NOT_SET", Kind::Config),
            (Secret::File(gone), "/nonexistent/database", Kind::Io),
            (Secret::Credential("db".into()), "`db`", Kind::Config),
            (
                sh("echo hunter2; echo hunter2 >&2; exit 3"),
                "/bin/sh",
                Kind::Config,
            ),
            (sh("true"), "/bin/sh", Kind::Config),
            (sh("yes hunter2"), "prints more than 64 KiB", Kind::Config),
            (
                Secret::Command(vec!["/nonexistent/p".into()]),
                "/nonexistent/p",
                Kind::Io,
            ),
        ] {
            let error = value(secret).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.starts_with("the password: "), "{text}");
            assert!(text.contains(name), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn an_inline_secret_is_not_debugged() {
        let secret = Secret::Inline("hunter2".to_owned().into());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
