//! A directory for one connection's own files, which nobody else may enter and which goes with it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::error::{Result, io};

/// The name of a socket has to fit into `sun_path` (unix(7)), with what ssh puts behind it until it is made.
const LONGEST: usize = 60;

/// A private directory.
pub(super) struct Private(PathBuf);

impl Private {
    /// An empty one.
    pub(super) fn new() -> Result<Self> {
        let mut place = std::env::temp_dir();
        // rsync splits at spaces what it is told of ssh.
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
        let text = place.as_os_str().as_encoded_bytes();
        if text.len() > LONGEST || !text.iter().all(is_plain) {
            place = PathBuf::from("/tmp");
        }
        let template = place.join("envsyncd-ssh-XXXXXX");
        let made = nix::unistd::mkdtemp(&template).map_err(|error| {
            io(format!("cannot make a directory in {}", place.display()))(error.into())
        })?;
        Ok(Self(made))
    }

    /// The path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Removes files, as far as they are there.
    pub(super) fn clear(&self, names: &[&str]) {
        for name in names {
            let _ = std::fs::remove_file(self.path(name));
        }
    }

    /// Writes a file that only we may read.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&path);
        made.and_then(|mut file| file.write_all(content))
            .map_err(io(format!("cannot write {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "a directory of ours cannot be removed");
        }
    }
}
