//! Where a password comes from. The value is fetched when a run needs it, and shown nowhere.

use std::path::PathBuf;

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
    pub async fn resolve(
        &self,
        _lookup: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> crate::error::Result<secrecy::SecretString> {
        unreachable!()
    }
}
