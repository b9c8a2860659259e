//! The server's own programs on this machine: found, and called.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::address::Address;
use crate::process::program;

/// One of the server's own programs that is to connect to this address, and to nothing that the machine's own settings say;
/// it does not outlive us.
pub(in crate::store::postgresql) fn client(program: &Path, address: &Address) -> Command {
    let mut command = program::other(program);
    command
        .arg("--no-password")
        .envs(address.environment())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// All of this machine's programs of this name that say their major version.
pub(in crate::store::postgresql) async fn versions_of(name: &str) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for program in candidates(name) {
        if let Some(major) = major_of(&program).await {
            found.push((program, major));
        }
    }
    found
}

fn candidates(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Debian's and Red Hat's places for several versions side by side.
    for (root, depth) in [("/usr/lib/postgresql", "bin"), ("/usr", "bin")] {
        if let Ok(entries) = std::fs::read_dir(root) {
            found.extend(
                entries
                    .flatten()
                    .filter(|entry| {
                        root != "/usr" || entry.file_name().to_string_lossy().starts_with("pgsql-")
                    })
                    .map(|entry| entry.path().join(depth).join(name)),
            );
        }
    }
    if let Some(path) = std::env::var_os("PATH") {
        found.extend(std::env::split_paths(&path).map(|dir| dir.join(name)));
    }
    found.retain(|program| program.is_file());
    found
}

async fn major_of(program: &Path) -> Option<u32> {
    let output = program::other(program)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    // "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2)?;
    version
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .ok()
}
