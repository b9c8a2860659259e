//! Who can read and change a file: warnings of what others could do with it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::diagnostics::Diagnostic;
use super::findings::Findings;
use super::job::Endpoint;
use crate::secret::Secret;
use crate::trust;

/// Warns of a file that holds a password and that everybody can read.
pub(super) fn warn_if_readable<'e>(
    findings: &Findings<'_>,
    mut endpoints: impl Iterator<Item = &'e Endpoint>,
) {
    let file = &findings.document.file;
    let inline = endpoints.any(|endpoint| matches!(endpoint.password, Some(Secret::Inline(_))));
    let open = std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o004 != 0);
    if inline && open {
        findings.push_whole(
            Diagnostic::of_file(file, "the file holds a password, and others can read it")
                .warning()
                .help(format!("run: chmod o-rwx {}", file.display())),
        );
    }
}

/// Warns of a file that somebody else can change: what it says (hooks, secrets' commands) is done by whoever reads it. Root
/// does not read such a file at all ([`trust`]), and one of which others can write the directory is an error.
/// One of `managed_job_dir` may belong to anybody: nothing is done that it says, but chosen.
pub(super) fn warn_if_writable(findings: &Findings<'_>, is_managed: bool) {
    let file = &findings.document.file;
    let own = nix::unistd::geteuid();
    let Ok(found) = std::fs::metadata(file) else {
        return;
    };
    let warn = |what: String, help: String| {
        findings.push_whole(Diagnostic::of_file(file, what).warning().help(help));
    };
    if found.mode() & 0o002 != 0 {
        let what = "others can write the file, and have this user run what they like";
        warn(
            what.to_owned(),
            format!("run: chmod o-w {}", file.display()),
        );
    } else if !is_managed && found.uid() != 0 && found.uid() != own.as_raw() {
        let what = "the file belongs to another user, who can have this one run what they like";
        warn(
            what.to_owned(),
            format!("run: chown root {}", file.display()),
        );
    }
    let Some((directory, found)) = file
        .parent()
        .and_then(|directory| Some((directory, std::fs::metadata(directory).ok()?)))
    else {
        return;
    };
    if let Some(doubt) = trust::of_surroundings(directory) {
        let what = format!(
            "the directory {} {}, and root does not go by what is in it",
            directory.display(),
            doubt.what
        );
        let help = format!("run: {}", doubt.advice);
        findings.push_whole(Diagnostic::of_file(file, what).help(help));
        return;
    }
    // In one with the sticky bit nobody replaces the files of others.
    if found.mode() & 0o1002 == 0o002 {
        let what = format!(
            "others can write the directory {}, and put another file in this one's place",
            directory.display()
        );
        warn(what, format!("run: chmod o-w {}", directory.display()));
    }
}
