//! Private PostgreSQL clusters in directories of their own. They go away with the value, and with the process however
//! it ends: a watcher holds the other end of a pipe.

mod databases;
mod oracle;
pub(crate) mod pooler;
pub(crate) mod profiles;
mod template;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

// The benchmarks, which share this, have no need of it.
#[allow(unused_imports)]
pub(crate) use databases::Databases;

use super::programs::readable;

/// Stops the server of the directory `$1` and removes it as soon as its standard input closes, which the kernel does
/// for a process that is killed, too.
const WATCHER: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
lock=$1/data/postmaster.pid
pid=$(head -n 1 "$lock" 2>/dev/null)
if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ]; then
    kill -QUIT "$pid"
    n=0
    while [ -e "$lock" ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
    if [ -e "$lock" ]; then kill -KILL "$pid"; fi
fi
if mountpoint -q "$1/data/base"; then umount "$1/data/base"; fi
rm -rf "$1"
"#;

/// How a cluster shall be.
#[derive(Default)]
pub(crate) struct Builder {
    settings: Vec<(String, String)>,
    initdb: &'static [&'static str],
    tcp: bool,
    tls: bool,
    small_disk: Option<u32>,
    major: Option<u32>,
    library: Option<PathBuf>,
}

/// The newest version that `script/install-test-deps` puts in place beside the system's.
const NEWEST: u32 = 18;

impl Builder {
    /// Of the newest version that there is, instead of the system's.
    pub(crate) fn newer(self) -> Self {
        self.of(NEWEST)
    }

    /// Of this major version: one that `script/install-test-deps` puts in place, or the system's own.
    pub(crate) fn of(mut self, major: u32) -> Self {
        let own = binary("postgres");
        let system = own.starts_with(format!("/usr/lib/postgresql/{major}"));
        self.major = (!system).then_some(major);
        self
    }

    /// A line of postgresql.conf.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// More options of initdb.
    pub(crate) fn initdb(mut self, options: &'static [&'static str]) -> Self {
        self.initdb = options;
        self
    }

    /// Listens on 127.0.0.1, too, where everyone needs a password.
    pub(crate) fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// The same, and no one gets in there without TLS. The certificate is for 127.0.0.1 and localhost.
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self.tcp()
    }

    /// Databases live on a file system of this size (the log of the server does not: it shall survive a full disk).
    pub(crate) fn small_disk(mut self, mebibytes: u32) -> Self {
        self.small_disk = Some(mebibytes);
        self
    }

    /// With a library that every one of its sessions has.
    pub(crate) fn library(mut self, file: &Path) -> Self {
        self.library = Some(file.to_owned());
        self
    }

    /// Makes and starts it.
    pub(crate) fn start(self) -> Cluster {
        let mut cluster = Cluster::empty_place(super::servers_home(), self.tcp);
        if let Some(major) = self.major {
            cluster.take_programs(major);
        }
        template::fill(&cluster, self.initdb);
        if self.tls {
            cluster.make_certificates();
        }
        let network = match (self.tcp, self.tls) {
            (false, _) => "",
            (true, false) => "host all all 127.0.0.1/32 scram-sha-256\n",
            (true, true) => "hostssl all all 127.0.0.1/32 scram-sha-256\n",
        };
        cluster.write(
            "data/pg_hba.conf",
            &format!("local all all trust\nlocal replication all trust\n{network}"),
        );
        cluster.configure(&self);
        if let Some(mebibytes) = self.small_disk {
            cluster.move_databases_to_a_small_disk(mebibytes);
        }
        cluster.start_again();
        cluster
    }
}

/// A running server, or a stopped one that may be started again.
pub(crate) struct Cluster {
    root: PathBuf,
    port: u16,
    account: Option<Account>,
    watcher: Mutex<Child>,
    /// Where its programs are, if not where the system has them.
    programs: Option<PathBuf>,
}

/// PostgreSQL refuses to run as root, so there it runs as someone else.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

/// A server to copy from and one to copy to, of different identities.
pub(crate) struct Pair {
    /// Production's.
    pub(crate) source: Cluster,
    /// Staging's.
    pub(crate) target: Cluster,
}

/// The pair that all tests share that stop no server.
pub(crate) fn shared() -> &'static Pair {
    &profiles::Profile::plain().servers().pair
}

/// A name that no other database or role of this process has, and that is no part of another one's.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{stem}_{:04}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Percent-encoding for any place of a URL.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend(format!("{byte:02X}").chars());
        }
        encoded
    })
}

/// The URL of a database behind a socket in this directory.
pub(crate) fn socket_url(directory: &Path, port: u16, user: &str, database: &str) -> String {
    format!(
        "postgresql://{}@/{}?host={}&port={port}",
        encode(user),
        encode(database),
        encode(directory.to_str().expect("our paths are text")),
    )
}

/// A quoted identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A session that stays in a database until it is dropped.
pub(crate) struct Guest {
    psql: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Guest {
    /// The first line of what comes of some SQL; nothing if the session has ended.
    pub(crate) fn ask(&mut self, sql: &str) -> String {
        writeln!(self.stdin, "{sql};").expect("it listens");
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("it answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

impl Cluster {
    /// With settings of one's own.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// A fresh directory and its watcher.
    fn empty_place(home: &Path, tcp: bool) -> Self {
        let account = nix::unistd::geteuid().is_root().then(|| {
            ["postgres", "nobody"]
                .iter()
                .find_map(|name| nix::unistd::User::from_name(name).ok().flatten())
                .map(|user| Account {
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                })
                .expect("every Linux has nobody")
        });
        let (root, watcher) = super::watched("envsyncd-pg-", home, WATCHER);
        let port = if tcp { free_port() } else { 5432 };
        let cluster = Self {
            root,
            port,
            account,
            watcher: Mutex::new(watcher),
            programs: None,
        };
        fs::create_dir(cluster.socket_directory()).expect("a directory for the socket");
        cluster.give_to_server(&cluster.root);
        cluster.give_to_server(&cluster.socket_directory());
        // Others than the server's user connect, too.
        for directory in [&cluster.root, &cluster.socket_directory()] {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        cluster
    }

    fn configure(&self, builder: &Builder) {
        let mut conf = fs::read_to_string(self.data().join("postgresql.conf")).expect("initdb");
        let sockets = self.socket_directory();
        let mut set = |key: &str, value: &str| {
            conf.extend([key, " = '", &value.replace('\'', "''"), "'\n"]);
        };
        set("unix_socket_directories", sockets.to_str().expect("text"));
        set(
            "listen_addresses",
            if builder.tcp { "127.0.0.1" } else { "" },
        );
        set("port", &self.port.to_string());
        set("fsync", "off");
        set("full_page_writes", "off");
        // Small, and what it needs in memory is in its directory.
        set("shared_buffers", "32MB");
        // Eight tests at once may have twelve each.
        set("max_connections", "120");
        set("min_wal_size", "4MB");
        set("max_wal_size", "32MB");
        set("checkpoint_warning", "0");
        set("dynamic_shared_memory_type", "mmap");
        set("log_statement", "ddl");
        if builder.tls {
            set("ssl", "on");
            for (key, file) in [
                ("ssl_cert_file", "server.crt"),
                ("ssl_key_file", "server.key"),
            ] {
                set(key, self.root.join(file).to_str().expect("text"));
            }
        }
        if let Some(library) = &builder.library {
            let copy = self.root.join("library.so");
            fs::copy(library, &copy).expect("script/install-test-deps puts it in place");
            set("shared_preload_libraries", copy.to_str().expect("text"));
        }
        for (key, value) in &builder.settings {
            set(key, value);
        }
        self.write("data/postgresql.conf", &conf);
    }

    /// A certificate authority and a certificate from it, in `ca.crt` and `server.crt`.
    fn make_certificates(&self) {
        let openssl = |line: &str| {
            let mut command = self.as_server("openssl");
            command.args(line.split(' ')).must("openssl");
        };
        let names = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n";
        self.write("names", names);
        openssl(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.crt \
             -addext keyUsage=critical,keyCertSign,cRLSign"
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .as_str(),
        );
        openssl(
            "req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        );
        openssl(
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
        );
    }

    fn move_databases_to_a_small_disk(&self, mebibytes: u32) {
        assert!(
            nix::unistd::geteuid().is_root(),
            "a small file system can be mounted by root only: run these tests as root"
        );
        let (base, aside) = (self.data().join("base"), self.data().join("base.aside"));
        fs::rename(&base, &aside).expect("initdb made it");
        fs::create_dir(&base).expect("a mount point");
        let account = self.account.expect("we are root");
        Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!(
                "size={mebibytes}m,mode=0700,uid={},gid={}",
                account.uid, account.gid
            ))
            .arg("tmpfs")
            .arg(&base)
            .must("mount");
        let from = aside.join(".");
        Command::new("cp").arg("-a").args([&from, &base]).must("cp");
        fs::remove_dir_all(aside).expect("it is a copy now");
    }

    /// A hot standby of this cluster, caught up with it. This cluster has to outlive it.
    pub(crate) fn standby(&self) -> Self {
        // What it has not read yet must not go.
        self.psql("postgres", "ALTER SYSTEM SET wal_keep_size = '1GB'");
        self.psql("postgres", "SELECT pg_reload_conf()");
        let standby = Self::empty_place(super::servers_home(), false);
        standby
            .tool("pg_basebackup")
            .args(["--no-sync", "--write-recovery-conf", "--wal-method=stream"])
            .args(["--checkpoint=fast", "--pgdata"])
            .arg(standby.data())
            .arg("--dbname")
            .arg(self.url("postgres", "postgres"))
            .must("pg_basebackup");
        standby.configure(&Builder::default());
        standby.start_again();
        standby.catch_up(self);
        standby
    }

    /// Waits until this standby has replayed all that its primary has written.
    pub(crate) fn catch_up(&self, primary: &Self) {
        let at = primary.psql("postgres", "SELECT pg_current_wal_lsn()");
        let asked = format!("SELECT pg_last_wal_replay_lsn() >= '{at}'");
        super::wait_until("the standby caught up", || {
            self.psql("postgres", &asked) == "t"
        });
    }

    /// Starts a stopped server and waits until it answers.
    pub(crate) fn start_again(&self) {
        self.tool("pg_ctl")
            .args(["start", "--wait", "--silent", "--timeout=120", "--pgdata"])
            .arg(self.data())
            .arg("--log")
            .arg(self.root.join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .must_or_else("pg_ctl start", || self.log());
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub(crate) fn crash(&self) {
        self.tool("pg_ctl")
            .args(["stop", "--wait", "--silent", "--mode=immediate"])
            .arg("--pgdata")
            .arg(self.data())
            .must("pg_ctl stop");
    }

    /// Ends it, and removes its directory.
    fn stop(&self) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        drop(watcher.stdin.take());
        let _ = watcher.wait();
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where its socket is.
    pub(crate) fn socket_directory(&self) -> PathBuf {
        self.root.join("s")
    }

    /// Its port, which also names the socket.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority that signed its certificate.
    pub(crate) fn certificate_authority(&self) -> PathBuf {
        self.root.join("ca.crt")
    }

    /// A database through the socket: no password is asked for.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        socket_url(&self.socket_directory(), self.port, user, database)
    }

    /// A database through TCP.
    pub(crate) fn tcp_url(&self, user: &str, database: &str) -> String {
        let (user, database) = (encode(user), encode(database));
        format!("postgresql://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL as `postgres`; what it prints, without alignment. Panics at the first error.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql("postgres", database, sql)
            .unwrap_or_else(|error| panic!("in {database}: {error}"))
    }

    /// Runs SQL as anyone.
    pub(crate) fn try_psql(&self, user: &str, database: &str, sql: &str) -> Result<String, String> {
        self.try_psql_at(&self.url(user, database), sql)
    }

    /// Runs SQL where a URL says.
    pub(crate) fn try_psql_at(&self, url: &str, sql: &str) -> Result<String, String> {
        let mut child = self
            .psql_at(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql");
        let mut stdin = child.stdin.take().expect("piped");
        let sql = sql.to_owned();
        // psql may print before it has read everything.
        let writer = std::thread::spawn(move || stdin.write_all(sql.as_bytes()));
        let output = child.wait_with_output().expect("psql");
        // At an error psql stops reading: a broken pipe here is no news.
        let _ = writer.join().expect("no panic");
        if output.status.success() {
            Ok(text(&output.stdout).trim_end_matches('\n').to_owned())
        } else {
            Err(text(&output.stderr))
        }
    }

    /// A session of `postgres` that stays in a database.
    pub(crate) fn guest(&self, database: &str) -> Guest {
        let mut psql = self
            .psql_command("postgres", database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql");
        let (stdin, stdout) = (psql.stdin.take(), psql.stdout.take());
        let mut guest = Guest {
            psql,
            stdin: stdin.expect("piped"),
            stdout: BufReader::new(stdout.expect("piped")),
        };
        assert_eq!(guest.ask("SELECT 1"), "1");
        guest
    }

    /// A `psql` to feed by hand: for sessions that stay open.
    pub(crate) fn psql_command(&self, user: &str, database: &str) -> Command {
        self.psql_at(&self.url(user, database))
    }

    #[expect(
        clippy::unused_self,
        reason = "which psql speaks to it is the cluster's business"
    )]
    fn psql_at(&self, url: &str) -> Command {
        let mut command = client("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(url);
        command
    }

    /// A tablespace with a directory of its own.
    pub(crate) fn tablespace(&self, name: &str) {
        let directory = self.root.join(format!("tablespace-{name}"));
        fs::create_dir(&directory).expect("a directory");
        self.give_to_server(&directory);
        self.psql(
            "postgres",
            &format!(
                "CREATE TABLESPACE {name} LOCATION '{}'",
                directory.display()
            ),
        );
    }

    /// Makes a database, owned by `postgres`.
    pub(crate) fn create_db(&self, name: &str) {
        self.psql("postgres", &format!("CREATE DATABASE {}", quote(name)));
    }

    /// All databases but those of initdb, in order.
    pub(crate) fn databases(&self) -> Vec<String> {
        self.psql(
            "postgres",
            "SELECT datname FROM pg_database WHERE oid >= 16384 ORDER BY datname",
        )
        .lines()
        .map(str::to_owned)
        .collect()
    }

    /// A program of this cluster's version, or of the newest where that has none of its own (clients, beside servers).
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        match &self.programs {
            None => binary(name),
            Some(directory) if directory.join(name).exists() => directory.join(name),
            Some(_) => newest_programs().join(name),
        }
    }

    /// Takes the programs of another version.
    fn take_programs(&mut self, major: u32) {
        let place = tools(&format!("postgresql-{major}"));
        assert!(
            place.join("bin/postgres").exists(),
            "{} is not there: run script/install-test-deps",
            place.display()
        );
        // Programs find their libraries beside where they really are.
        let bin = readable(&place).join("bin");
        self.programs = Some(bin.canonicalize().expect("it was copied"));
    }

    /// A server's program as the server's user.
    pub(crate) fn tool(&self, name: &str) -> Command {
        self.as_server(self.program(name))
    }

    fn as_server(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = bare(program);
        command.current_dir(&self.root).env("HOME", &self.root);
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    fn write(&self, file: &str, content: &str) {
        let path = self.root.join(file);
        fs::write(&path, content).expect("a file of the cluster");
        self.give_to_server(&path);
    }

    fn give_to_server(&self, path: &Path) {
        if let Some(Account { uid, gid }) = self.account {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("chown");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port of loopback for a server that is started later. It lies below those that the kernel gives to who asks for any
/// port, and who connects: nobody has it by chance before the server does. No other test of this process gets it.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other processes of tests begin elsewhere.
    let own = std::process::id().wrapping_mul(211);
    let mut ports = (0..COUNT).map(|_| {
        let next = own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        FIRST + u16::try_from(next % COUNT).expect("it is less")
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).expect("a free port")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of PostgreSQL's: from the newest version that Debian's layout has, else from PATH.
pub(crate) fn binary(name: &str) -> PathBuf {
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path().join("bin").join(name);
            path.exists().then_some((version, path))
        })
        .max()
        .map_or_else(|| PathBuf::from(name), |(_, path)| path)
}

/// What `script/install-test-deps` puts in place beside the system's packages.
pub(crate) fn tools(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools")
        .join(name)
}

/// Where the programs of the newest version are: its `pg_dump` knows all servers.
pub(crate) fn newest_programs() -> PathBuf {
    tools(&format!("postgresql-{NEWEST}")).join("bin")
}

/// A client program, deaf to the environment's own ideas of a server.
pub(crate) fn client(name: &str) -> Command {
    bare(binary(name))
}

/// Any program, likewise.
pub(crate) fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|key| key.starts_with("PG")) {
            command.env_remove(key);
        }
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Runs to the end, or panics with what the program said.
pub(crate) trait Must {
    /// What it printed.
    fn must(&mut self, what: &str) -> String {
        self.must_or_else(what, String::new)
    }
    /// The same, with more to say in the panic.
    fn must_or_else(&mut self, what: &str, more: impl FnOnce() -> String) -> String;
}

impl Must for Command {
    fn must_or_else(&mut self, what: &str, more: impl FnOnce() -> String) -> String {
        let output = self
            .output()
            .unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
        assert!(
            output.status.success(),
            "{what} failed: {}{}{}",
            text(&output.stdout),
            text(&output.stderr),
            more()
        );
        text(&output.stdout)
    }
}
