//! The one place where programs are started.
//!
//! What they find in their environment is what we give them, and nothing that stood in ours by chance: `PGHOSTADDR` would
//! send a `pg_dump` with production's password to another server, `LD_PRELOAD` and the like belong to whoever set them for
//! us, and passwords in our environment are nobody else's business.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use tokio::process::Command;

/// What every program may know: where programs are, whose it is, and how its user reads and writes. `LC_*` besides.
const KNOWN: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR",
];

/// A program that is not ours: of our environment it has [`KNOWN`] and `LC_*`, and whatever the caller adds.
pub fn other(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_known(name)));
    command
}

/// This program again, as a process of its own. It does what we would do, and has all that we have.
pub fn own(program: &Path) -> Command {
    Command::new(program)
}

/// A program that a person names on the command line: it gets everything that the person's shell gave us.
pub fn theirs(program: &OsString) -> std::process::Command {
    std::process::Command::new(program)
}

fn is_known(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"LC_") || KNOWN.iter().any(|known| known.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_program_is_passed_on_by_chance() {
        for name in ["PATH", "HOME", "LANG", "LC_ALL", "TZ"] {
            assert!(is_known(OsStr::new(name)), "{name}");
        }
        for name in [
            "PGHOSTADDR",
            "PGPASSWORD",
            "PGSERVICEFILE",
            "MYSQL_PWD",
            "LIBMYSQL_PLUGINS",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
            "AWS_SECRET_ACCESS_KEY",
            "ENVSYNCD_STATE_DIR",
            "BASH_ENV",
            "IFS",
            "PATHS",
            "path",
            "LC",
            "",
        ] {
            assert!(!is_known(OsStr::new(name)), "{name}");
        }
    }

    #[tokio::test]
    async fn a_program_has_what_the_caller_adds_and_what_every_program_may_know() {
        let output = other("/usr/bin/env").env("ADDED", "yes").output().await;
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        let names: Vec<&str> = output
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .collect();
        assert!(
            names.contains(&"PATH") && names.contains(&"ADDED"),
            "{names:?}"
        );
        // Cargo has set some for this very process.
        assert!(std::env::vars_os().any(|(name, _)| name == "CARGO_MANIFEST_DIR"));
        let strange = names
            .iter()
            .find(|name| **name != "ADDED" && !is_known(OsStr::new(name)));
        assert_eq!(strange, None);
    }
}
