//! Searching all that a run tells for what it must not tell.

use std::fs;
use std::path::Path;

use super::job::{Bed, Outcome};

/// What rows and literals are made of in tests of what is told; no program or server has it in its own words.
pub(crate) const MARKER: &str = "rowMARKER7";

/// Runs the job with all that its log can have, and looks for the marker: in what it says, in its history and status, and
/// in what the verbs show of them.
#[track_caller]
pub(crate) fn run_and_search(bed: &Bed, file: &Path, why: &str) -> Outcome {
    let name = file
        .file_stem()
        .expect("a job's file")
        .to_str()
        .expect("text");
    let outcome = bed.run(&["--once", "-vv", "-f", file.to_str().expect("text")]);
    is_not_told(&outcome.stderr, why);
    is_not_told(&outcome.stdout, why);
    for verb in [
        ["logs", name],
        ["show", name],
        ["history", name],
        ["status", name],
    ] {
        let shown = bed.run(&verb);
        is_not_told(&shown.stdout, why);
        is_not_told(&shown.stderr, why);
    }
    for directory in ["state", "status", "lock"] {
        search(&bed.path(directory), why);
    }
    outcome
}

fn search(directory: &Path, why: &str) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            search(&path, why);
        } else if let Ok(bytes) = fs::read(&path) {
            let found = memchr::memmem::find(&bytes, MARKER.as_bytes());
            if let Some(at) = found {
                let around = &bytes[at.saturating_sub(200)..(at + 60).min(bytes.len())];
                let around = String::from_utf8_lossy(around);
                panic!("{why}: {} tells it: {around}", path.display());
            }
        }
    }
}

#[track_caller]
fn is_not_told(text: &str, why: &str) {
    let line = text.lines().find(|line| line.contains(MARKER));
    assert_eq!(line, None, "of: {why}");
}
