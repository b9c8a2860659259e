//! Private MariaDB (and MySQL) servers in directories of their own. They go away with the value, and with the process however it
//! ends: a watcher holds the other end of a pipe.

mod client;
mod connection;
mod contents;
mod databases;
mod oracle;
mod place;
pub(crate) mod profiles;
mod version;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

// The benchmarks, which share this, have no need of it.
#[allow(unused_imports)]
pub(crate) use databases::Databases;
use place::Place;
pub(crate) use version::Version;

use super::lease::{Leased, lease};
use super::postgres::{Must, encode, free_port};
use super::wait_until;

/// The password of `owner` and `reader`: one that has to be encoded in a URL, and quoted in SQL.
pub(crate) const PASSWORD: &str = "it's 100% s3cret/@:";

/// How a server shall be.
#[derive(Default)]
pub(crate) struct Builder {
    settings: Vec<String>,
    tcp: bool,
    tls: bool,
    small_disk: Option<u32>,
    version: Version,
    timezone: Option<&'static str>,
}

impl Builder {
    /// Of another version than the system's.
    pub(crate) fn of(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// An option of `mariadbd`: `--local-infile=0`.
    pub(crate) fn set(mut self, option: &str) -> Self {
        self.settings.push(option.to_owned());
        self
    }

    /// Listens on 127.0.0.1, too.
    pub(crate) fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// The same, and no one gets in there without TLS. The certificate is for 127.0.0.1 and localhost.
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self.tcp()
    }

    /// On a machine of this time zone.
    pub(crate) fn timezone(mut self, name: &'static str) -> Self {
        self.timezone = Some(name);
        self
    }

    /// Its data live on a file system of this size (its log does not: it shall survive a full disk).
    pub(crate) fn small_disk(mut self, mebibytes: u32) -> Self {
        self.small_disk = Some(mebibytes);
        self
    }

    /// Makes and starts it.
    pub(crate) fn start(self) -> Server {
        let place = Place::new();
        if let Some(mebibytes) = self.small_disk {
            place.mount_data(mebibytes);
        }
        // Most of it is empty, and in memory: see `servers_home`. A small disk shall be as full as it would be at people's.
        let sparse = if cfg!(test) && self.small_disk.is_none() {
            "always"
        } else {
            "auto"
        };
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(format!("--sparse={sparse}"))
            .arg(self.version.template().data().join("."))
            .arg(place.data())
            .must("cp");
        let port = self.tcp.then(free_port);
        let mut options = vec![
            format!("--port={}", port.unwrap_or(0)),
            if self.tcp {
                "--bind-address=127.0.0.1"
            } else {
                "--skip-networking"
            }
            .to_owned(),
        ];
        if self.tls {
            super::certificates::make(&place.root);
            for file in ["ca.crt", "server.crt", "server.key"] {
                place.give_to_server(&place.root.join(file));
            }
            let path = |file: &str| place.root.join(file).display().to_string();
            options.extend([
                format!("--ssl-ca={}", path("ca.crt")),
                format!("--ssl-cert={}", path("server.crt")),
                format!("--ssl-key={}", path("server.key")),
                "--require-secure-transport=ON".to_owned(),
            ]);
        }
        options.extend(self.settings);
        let server = Server {
            place,
            port,
            options,
            version: self.version,
            timezone: self.timezone.unwrap_or("UTC"),
            child: Mutex::default(),
        };
        server.start_again();
        server
    }
}

/// A running server, or a stopped one that may be started again.
pub(crate) struct Server {
    place: Place,
    port: Option<u16>,
    options: Vec<String>,
    version: Version,
    timezone: &'static str,
    child: Mutex<Option<Child>>,
}

/// A server to copy from and one to copy to.
pub(crate) struct Pair {
    /// Production's.
    pub(crate) source: Server,
    /// Staging's.
    pub(crate) target: Server,
}

/// The pair that all tests share that stop no server and set no global variable.
pub(crate) fn shared() -> &'static Pair {
    lease(("mysql", "plain"), || Pair {
        source: Server::with(&[]),
        target: Server::with(&[]),
    })
}

impl Leased for Pair {
    fn stop(&self) {
        self.source.stop();
        self.target.stop();
    }
}

impl Leased for Server {
    fn stop(&self) {
        if let Some(mut child) = self.child.lock().ok().and_then(|mut child| child.take()) {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.place.end();
    }
}

/// A quoted identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A quoted string, where backslashes are no escapes or there are none.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Server {
    /// With more than a few settings of one's own.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// On a socket, with these options of `mariadbd`.
    pub(crate) fn with(options: &[&str]) -> Self {
        let builder = options
            .iter()
            .fold(Self::builder(), |builder, option| builder.set(option));
        builder.start()
    }

    /// Starts a stopped server and waits until it answers.
    pub(crate) fn start_again(&self) {
        let mut child = self.child.lock().expect("no panic");
        assert!(child.is_none(), "it runs");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.place.root.join("log"))
            .expect("a log");
        let mut started = self
            .place
            .as_server(self.version.program())
            .args(self.version.settings())
            .arg(format!("--datadir={}", self.place.data().display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--pid-file={}/pid", self.place.root.display()))
            .arg(format!("--tmpdir={}/tmp", self.place.root.display()))
            .args(&self.options)
            .env("TZ", self.timezone)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file descriptor"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("script/install-test-deps installs mariadbd");
        wait_until("the server answered", || {
            let ended = started.try_wait().expect("our child");
            assert!(ended.is_none(), "the server ended: {}", self.log());
            self.answers()
        });
        *child = Some(started);
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub(crate) fn crash(&self) {
        let mut child = self
            .child
            .lock()
            .expect("no panic")
            .take()
            .expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("our child");
    }

    /// What it is.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.place.root.join("log")).unwrap_or_default()
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.place.root.join("socket")
    }

    /// Where files of its databases are.
    pub(crate) fn data(&self) -> PathBuf {
        self.place.data()
    }

    /// Its port, where it listens on one.
    pub(crate) fn port(&self) -> u16 {
        self.port.expect("a server that was asked for with tcp()")
    }

    /// The certificate authority that signed its certificate.
    pub(crate) fn certificate_authority(&self) -> PathBuf {
        self.place.root.join("ca.crt")
    }

    /// A database through the socket. `root` needs no password there; `owner` and `reader` do: see [`PASSWORD`].
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        socket_url(&self.socket(), user, database)
    }

    /// A database through TCP.
    pub(crate) fn tcp_url(&self, user: &str, database: &str) -> String {
        let (user, database) = (encode(user), encode(database));
        format!("mysql://{user}@127.0.0.1:{}/{database}", self.port())
    }
}

/// The URL of a database behind this socket.
pub(crate) fn socket_url(socket: &Path, user: &str, database: &str) -> String {
    format!(
        "mysql://{}@localhost/{}?socket={}",
        encode(user),
        encode(database),
        encode(socket.to_str().expect("our paths are text")),
    )
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
