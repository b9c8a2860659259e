//! Sockets that are listened at, and how many files this process may have open.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{Backlog, listen};

/// So many clients may wait to be accepted, or as many as the system lets (`net.core.somaxconn`): a web server that connects to a
/// full socket would not wait, but fail.
const WAITING: Backlog = Backlog::MAXALLOWABLE;

/// A unix socket that every local user may connect to. What a process left that was killed is taken away; a socket that
/// somebody answers at is `AddrInUse`, and what is no socket `AlreadyExists`.
pub fn unix(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            if UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    listen(&listener, WAITING)?;
    Ok(listener)
}

/// An address.
pub fn tcp(address: &SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    listen(&listener, WAITING)?;
    Ok(listener)
}

/// How many files this process may have open. Raised to so many as far as that can be.
pub fn may_open(wanted: u64) -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let wanted = wanted.min(hard);
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
        wanted
    } else {
        soft
    }
}
