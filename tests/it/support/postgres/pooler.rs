//! A pgbouncer in front of a cluster's socket.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};

use super::{Cluster, free_port, socket_url};

/// The pooler, which ends with the value, and with the process.
pub(crate) struct Pooler {
    directory: std::path::PathBuf,
    port: u16,
    child: Mutex<Child>,
}

impl Pooler {
    /// In front of all databases of a cluster. What a client says of its session at the start is dropped, as its
    /// documentation advises for clients that say `extra_float_digits` or `options`.
    pub(crate) fn before(cluster: &Cluster) -> Self {
        Self::of_mode(cluster, "session")
    }

    /// The same with another `pool_mode`, of which a cluster has one pooler each.
    pub(crate) fn of_mode(cluster: &Cluster, mode: &str) -> Self {
        Self::start(
            cluster,
            mode,
            "ignore_startup_parameters = extra_float_digits,options",
        )
    }

    /// One that takes nothing that it does not know, of which a cluster has one.
    pub(crate) fn strict(cluster: &Cluster) -> Self {
        Self::start(cluster, "session", "")
    }

    fn start(cluster: &Cluster, mode: &str, ignoring: &str) -> Self {
        let name = format!("pooler-{mode}");
        let directory = cluster.root.join(&name);
        fs::create_dir(&directory).expect("a directory");
        cluster.give_to_server(&directory);
        let port = free_port();
        let users = ["postgres", "admin", "app", "deploy", "reader", "visitor"];
        cluster.write(
            &format!("{name}/users"),
            &users.map(|user| format!("\"{user}\" \"\"\n")).concat(),
        );
        let place = directory.display();
        cluster.write(
            &format!("{name}/ini"),
            &format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nunix_socket_dir = {place}\nlisten_addr =\n\
                 listen_port = {port}\nauth_type = trust\nauth_file = {place}/users\npool_mode = {mode}\n\
                 {ignoring}\nmax_client_conn = 200\ndefault_pool_size = 40\n\
                 logfile = {place}/log\npidfile = {place}/pid\n",
                cluster.socket_directory().display(),
                cluster.port(),
            ),
        );
        let mut command = cluster.as_server("sh");
        // It ends when its standard input does.
        command
            .args([
                "-c",
                r#"pgbouncer -q "$1" </dev/null & cat >/dev/null; kill $!"#,
                "pooler",
            ])
            .arg(directory.join("ini"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of a terminal's Ctrl-C.
            .process_group(0);
        let child = command.spawn().expect("a shell");
        let pooler = Self {
            directory,
            port,
            child: Mutex::new(child),
        };
        crate::support::wait_until(
            "the pooler listens (script/install-test-deps installs it)",
            || pooler.directory.join(format!(".s.PGSQL.{port}")).exists(),
        );
        pooler
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        drop(child.stdin.take());
        let _ = child.wait();
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// A database behind it.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        socket_url(&self.directory, self.port, user, database)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.stop();
    }
}
