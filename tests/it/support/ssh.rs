//! A real sshd of a test's own: with host keys that were made for it, and one key that it lets in. It goes away with the value, and
//! with the process.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::job::toml;
use super::postgres::free_port;
use super::wait_until;

/// Ends its program as soon as its standard input closes, which the kernel does for a process that is killed, too.
const WATCHER: &str = r#"
"$@" </dev/null &
child=$!
trap '' HUP INT TERM
cat >/dev/null
kill -KILL "$child"
wait "$child"
"#;

/// The server.
pub(crate) struct Sshd {
    directory: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Sshd {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// The same, in whose configuration these lines stand, too.
    pub(crate) fn with(lines: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd-sshd-")
            .tempdir()
            .expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["host", "other_host", "key", "other_key"] {
            make_key(&path(name));
        }
        fs::copy(path("key.pub"), path("authorized_keys")).expect("a file");
        for (file, key) in [("known_hosts", "host"), ("wrong_hosts", "other_host")] {
            let public = fs::read_to_string(path(&format!("{key}.pub"))).expect("a key");
            fs::write(path(file), format!("* {public}")).expect("a file");
        }
        fs::write(path("no_hosts"), "# nobody\n").expect("a file");
        if nix::unistd::geteuid().is_root() {
            // Where root's sshd has its own.
            let _ = fs::create_dir_all("/run/sshd");
        }
        let port = free_port();
        let place = directory.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nAuthorizedKeysFile {place}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nMaxStartups 100\nLogLevel ERROR\n{lines}\n"
        );
        fs::write(path("sshd_config"), config).expect("a file");
        let log = fs::File::create(path("log")).expect("a file");
        let process = Command::new("sh")
            .args(["-c", WATCHER, "watcher", "/usr/sbin/sshd", "-D", "-e", "-f"])
            .arg(path("sshd_config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a shell");
        let server = Self {
            directory,
            port,
            process,
        };
        wait_until("sshd answers", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        server
    }

    /// A file of it: `key`, `other_key`, `known_hosts`, `wrong_hosts`, `no_hosts`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The URL of a directory.
    pub(crate) fn url(&self, path: &Path) -> String {
        url(self.port, path)
    }

    /// A side of a task: a directory there, reached with the right key.
    pub(crate) fn side(&self, path: &Path) -> String {
        self.side_with(&self.url(path), "key", "known_hosts")
    }

    /// The same with another URL, key and list of hosts.
    pub(crate) fn side_with(&self, url: &str, key: &str, hosts: &str) -> String {
        let file = |name: &str| toml(self.path(name).to_str().expect("text"));
        format!(
            "{{ url = {}, identity = {{ file = {} }}, known_hosts = {{ file = {} }} }}",
            toml(url),
            file(key),
            file(hosts)
        )
    }

    /// A way to it that breaks when so many bytes have gone over it to us.
    pub(crate) fn wire(&self) -> Wire {
        Wire::to(self.port)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn url(port: u16, path: &Path) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .expect("we have a name")
        .name;
    let mut encoded = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                encoded.push(char::from(*byte));
            }
            byte => encoded += &format!("%{byte:02X}"),
        }
    }
    format!("ssh://{user}@127.0.0.1:{port}{encoded}")
}

fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status();
    assert!(made.expect("ssh-keygen").success());
}

/// A way to a server that breaks.
pub(crate) struct Wire {
    port: u16,
    left: Arc<AtomicU64>,
}

impl Wire {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let shared = Arc::clone(&left);
        // It ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
                for (from, to) in [(copy(&client), copy(&server)), (server, client)] {
                    let left = Arc::clone(&shared);
                    std::thread::spawn(move || pump(from, to, &left));
                }
            }
        });
        Self { port, left }
    }

    /// The URL of a directory over it.
    pub(crate) fn url(&self, path: &Path) -> String {
        url(self.port, path)
    }

    /// It breaks after so many bytes.
    pub(crate) fn break_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    /// Whether it has broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, left: &AtomicU64) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(if left == u64::MAX {
                left
            } else {
                left.saturating_sub(length as u64)
            })
        });
        let length = length.min(usize::try_from(taken.expect("it never fails")).unwrap_or(length));
        if to.write_all(&buffer[..length]).is_err() || left.load(Ordering::SeqCst) == 0 {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
