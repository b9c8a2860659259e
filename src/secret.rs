//! Where a password comes from. The value is fetched when a run needs it, and shown nowhere.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use crate::error::{Error, Kind, Result, io};

/// How long a command may take to print a secret.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place that holds a secret: `{ env = .. }`, `{ file = .. }`, `{ credential = .. }`, `{ command = [..] }`.
#[derive(Debug, Clone)]
pub enum Secret {
    /// Written in the configuration itself (in a URL); works, with a warning.
    Inline(SecretString),
    /// An environment variable, or a file of `env_dir`.
    Env(String),
    /// A file's content, without its last newline.
    File(PathBuf),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY` (systemd.exec(5), `LoadCredential=`).
    Credential(String),
    /// The first line that a program prints.
    Command(Vec<String>),
}

impl Secret {
    /// Fetches it. No error names the value.
    pub async fn resolve(
        &self,
        lookup: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    ) -> Result<SecretString> {
        let value = match self {
            Self::Inline(value) => return Ok(value.clone()),
            Self::Env(name) => lookup(name).ok_or_else(|| {
                Error::new(
                    Kind::Config,
                    format!("the secret's variable {name} is not set"),
                )
                .hint("set it, or put a file of its name into env_dir")
            })?,
            Self::File(path) => read(path)?,
            Self::Credential(name) => {
                let directory = lookup("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    Error::new(Kind::Config, format!("there is no credential {name}: systemd gave this process none"))
                        .hint(format!("add LoadCredential={name}:PATH to the unit; by hand, use systemd-run -p LoadCredential=..."))
                })?;
                read(&Path::new(&directory).join(name))?
            }
            Self::Command(argv) => printed(argv).await?,
        };
        let secret = SecretString::from(value);
        if secret.expose_secret().is_empty() {
            return Err(Error::new(
                Kind::Config,
                format!("the secret from {} is empty", self.place()),
            ));
        }
        Ok(secret)
    }

    /// For messages.
    fn place(&self) -> String {
        match self {
            Self::Inline(_) => "the URL".to_owned(),
            Self::Env(name) => format!("the variable {name}"),
            Self::File(path) => path.display().to_string(),
            Self::Credential(name) => format!("the credential {name}"),
            Self::Command(argv) => {
                format!("the command {}", argv.first().map_or("", String::as_str))
            }
        }
    }
}

fn read(path: &Path) -> Result<String> {
    let unreadable = || {
        io(format!(
            "the secret's file {} cannot be read",
            path.display()
        ))
    };
    let mode = std::fs::metadata(path)
        .map_err(unreadable())?
        .permissions()
        .mode();
    if mode & 0o004 != 0 {
        tracing::warn!(file = %path.display(), "everyone may read this secret's file; chmod o-r it");
    }
    let mut text = std::fs::read_to_string(path).map_err(unreadable())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

async fn printed(argv: &[String]) -> Result<String> {
    let program = argv.first().map_or("", String::as_str);
    let failed = |how: &str| {
        Error::new(
            Kind::Config,
            format!("the secret's command {program} {how}"),
        )
    };
    let mut command = Command::new(program);
    command
        .args(argv.iter().skip(1))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .map_err(|_| failed("did not end within 30 seconds"))?
        .map_err(|error| failed("cannot be started").because(error))?;
    if !output.status.success() {
        return Err(
            failed(&format!("failed: {}", output.status)).hint("run it by hand as the same user")
        );
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| failed("printed something that is no text"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(secret: Secret) -> Result<String> {
        let dir = std::env::temp_dir().to_string_lossy().into_owned();
        let lookup = move |name: &str| match name {
            "SET" => Some("from env".to_owned()),
            "CREDENTIALS_DIRECTORY" => Some(dir.clone()),
            _ => None,
        };
        Ok(secret.resolve(&lookup).await?.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn each_place_yields_its_secret() {
        let file = tempfile::NamedTempFile::new_in(std::env::temp_dir()).unwrap();
        std::fs::write(file.path(), "from file\n").unwrap();
        let name = file
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(of(Secret::Env("SET".into())).await.unwrap(), "from env");
        assert_eq!(
            of(Secret::File(file.path().into())).await.unwrap(),
            "from file"
        );
        assert_eq!(of(Secret::Credential(name)).await.unwrap(), "from file");
        let command = ["sh", "-c", "echo from command; echo second line"];
        assert_eq!(
            of(Secret::Command(command.map(Into::into).into()))
                .await
                .unwrap(),
            "from command"
        );
    }

    #[tokio::test]
    async fn an_error_names_the_place_and_never_the_value() {
        for (secret, named) in [
            (Secret::Env("UNSET".into()), "UNSET"),
            (
                Secret::File("/nonexistent/secret".into()),
                "/nonexistent/secret",
            ),
            (
                Secret::Command(["sh", "-c", "echo s3cret; exit 1"].map(Into::into).into()),
                "sh",
            ),
            (Secret::Command(["true".into()].into()), "empty"),
        ] {
            let text = of(secret).await.unwrap_err().to_string();
            assert!(text.contains(named) && !text.contains("s3cret"), "{text}");
        }
    }
}
