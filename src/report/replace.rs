//! Writing a file that others read while it is written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::trust::Rights;

/// Writes a file, mode 0644: a reader sees the old one or the new one, after a power cut too. What it is written to
/// first is beside it, hidden, and its name ends in a number, so that nobody takes it for a file of its kind.
pub(super) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    // Two processes may write one file.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(
        ".{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    ));
    let temporary = directory.join(hidden);
    // Whatever lies in wait there is nothing that the directory's owner could not reach.
    let _used = Rights::of_owner(directory).used();
    let written = put(&temporary, content)
        .and_then(|()| fs::rename(&temporary, file))
        .and_then(|()| File::open(directory)?.sync_all());
    if written.is_err() {
        // Nothing more can be done about it; it is gone already if the rename went well.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn put(temporary: &Path, content: &[u8]) -> io::Result<()> {
    // A process of this id may have died here before: its file is nobody's, and what else has the name is not written to.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(temporary)?;
    // Whatever the umask says.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.write_all(content)?;
    file.sync_all()
}
