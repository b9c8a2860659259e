//! `links`: shorter names for `pull`. Called as `dsql` or `dfiles`, envsyncd copies databases, or files, alone.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::terminal;
use crate::config::sites::{DATABASE, FILES};
use crate::error::{self, Error, Kind, Result};

/// The names, and what of a site each copies.
const NAMES: [(&str, &str); 2] = [("dsql", DATABASE), ("dfiles", FILES)];

/// Make `dsql` and `dfiles`, shorter names for `pull`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd links --install /usr/local/bin\n\nAfterwards `dsql @production` is `envsyncd pull @production --only database`, and `dfiles @production` is `envsyncd pull @production --only files`."
)]
pub(super) struct Args {
    /// Make the links in this directory
    #[arg(long, value_name = "DIR")]
    install: PathBuf,
}

/// The command line that is meant, where the program was called by one of the names.
pub(super) fn resolved(args: Vec<OsString>) -> Vec<OsString> {
    let called = args.first().and_then(|first| Path::new(first).file_name());
    let Some((_, task)) = NAMES
        .iter()
        .find(|(name, _)| called.is_some_and(|called| called == *name))
    else {
        return args;
    };
    let given = args.into_iter().skip(1);
    ["envsyncd", "pull", "--alone", task]
        .into_iter()
        .map(OsString::from)
        .chain(given)
        .collect()
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let program = std::env::current_exe().map_err(error::io("cannot find this program"))?;
    for (name, _) in NAMES {
        let link = args.install.join(name);
        match fs::symlink_metadata(&link) {
            Ok(_) if fs::read_link(&link).is_ok_and(|to| to == program) => {
                terminal::print(&format!("{} is there\n", link.display()))?;
                continue;
            }
            Ok(_) => {
                return Err(Error::new(
                    Kind::Usage,
                    format!("{} is there, and no link of ours", link.display()),
                )
                .hint("take another directory, or remove it"));
            }
            Err(_) => symlink(&program, &link).map_err(error::io(format!(
                "cannot make the link {}",
                link.display()
            )))?,
        }
        terminal::print(&format!("{} -> {}\n", link.display(), program.display()))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_called_by_a_link_pulls_what_the_link_is_for() {
        let resolved = |words: &[&str]| -> Vec<String> {
            let args = words.iter().map(OsString::from).collect();
            let words = super::resolved(args).into_iter();
            words.map(|word| word.into_string().unwrap()).collect()
        };
        assert_eq!(
            resolved(&["/usr/local/bin/dsql", "@prod", "--yes"]),
            ["envsyncd", "pull", "--alone", "database", "@prod", "--yes"]
        );
        assert_eq!(
            resolved(&["/bin/envsyncd", "status"]),
            ["/bin/envsyncd", "status"]
        );
        assert_eq!(resolved(&[]), Vec::<String>::new());
    }
}
