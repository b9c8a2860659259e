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

/// Make or remove `dsql` and `dfiles`, shorter names for `pull`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd links --install /usr/local/bin\n  envsyncd links --remove /usr/local/bin\n\nWith them, `dsql @production` is `envsyncd pull @production --only database`, and `dfiles @production` is `envsyncd pull @production --only files`."
)]
pub(super) struct Args {
    /// Make the links in this directory
    #[arg(long, value_name = "DIR", required_unless_present = "remove")]
    install: Option<PathBuf>,
    /// Remove the links from this directory
    #[arg(long, value_name = "DIR", conflicts_with = "install")]
    remove: Option<PathBuf>,
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
        if let Some(directory) = &args.install {
            install(&directory.join(name), &program)?;
        }
        if let Some(directory) = &args.remove {
            remove(&directory.join(name), &program)?;
        }
    }
    Ok(0)
}

/// What is there: a link of ours, or nothing. What is somebody else's is an error.
fn is_there(link: &Path, program: &Path) -> Result<bool> {
    match fs::symlink_metadata(link) {
        Ok(_) if fs::read_link(link).is_ok_and(|to| to == program) => Ok(true),
        Ok(_) => Err(Error::new(
            Kind::Usage,
            format!("{} is there, and no link of ours", link.display()),
        )
        .hint("take another directory, or remove it")),
        Err(_) => Ok(false),
    }
}

fn install(link: &Path, program: &Path) -> Result<()> {
    let said = if is_there(link, program)? {
        format!("{} is there\n", link.display())
    } else {
        let failed = error::io(format!("cannot make the link {}", link.display()));
        symlink(program, link).map_err(failed)?;
        format!("{} -> {}\n", link.display(), program.display())
    };
    terminal::print(&said).map(drop)
}

fn remove(link: &Path, program: &Path) -> Result<()> {
    let said = if is_there(link, program)? {
        let failed = error::io(format!("cannot remove {}", link.display()));
        fs::remove_file(link).map_err(failed)?;
        format!("{} is removed\n", link.display())
    } else {
        format!("{} is not there\n", link.display())
    };
    terminal::print(&said).map(drop)
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
