//! Missing files on demand: a directory's files, and those that production has, as browsers and attackers ask for them.

mod attacks;
mod crowds;
mod daemon;
mod fetching;
mod lies;
mod limits;
mod serving;
mod settings;
mod styles;
mod tls;
mod web_servers;
mod wire;

use std::fs;
use std::path::PathBuf;

use crate::support::job::{Bed, Outcome, Running, toml};
use crate::support::origin::{Origin, Reply, get};
use crate::support::postgres::free_port;
use crate::support::wait_until;

/// A directory, an origin, and a file proxy between them.
struct Stand {
    bed: Bed,
    origin: Origin,
    port: u16,
    running: Option<Running>,
}

impl Stand {
    /// With these lines in `[[file_proxy]]`, served by `envsyncd file-proxy`.
    fn new(lines: &str) -> Self {
        let mut stand = Self::still(lines);
        stand.start();
        stand
    }

    /// The same, not started yet.
    fn still(lines: &str) -> Self {
        let bed = Bed::new();
        fs::create_dir(bed.path("root")).expect("a directory");
        let stand = Self {
            bed,
            origin: Origin::new(),
            port: free_port(),
            running: None,
        };
        stand.configure(lines);
        stand
    }

    /// Writes the settings.
    fn configure(&self, lines: &str) {
        let table = self.table(lines);
        fs::write(self.bed.path("envsyncd.toml"), table).expect("a file");
    }

    fn table(&self, lines: &str) -> String {
        format!(
            "job_dir = \"jobs\"\nhost_environment = \"staging\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n\
             [reboot_lock]\ninhibit = false\n\
             [[file_proxy]]\nlisten = \"127.0.0.1:{}\"\nroot = \"root\"\norigin = {}\n{lines}\n",
            self.port,
            toml(&self.origin.url())
        )
    }

    /// The verb with the settings.
    fn command(&self, verb: &str) -> std::process::Command {
        let mut command = self.bed.command();
        command
            .arg("--config")
            .arg(self.bed.path("envsyncd.toml"))
            .args(["-v", verb]);
        command
    }

    fn launch(&self) -> Running {
        self.bed.spawn(&mut self.command("file-proxy"))
    }

    fn start(&mut self) {
        let running = self.running.insert(self.launch());
        wait_until("the file proxy was ready", || {
            assert!(running.is_running(), "{}", running.said());
            running.said().contains("file proxy is ready")
        });
    }

    fn stop(&mut self) -> Outcome {
        let running = self.running.take().expect("it runs");
        running.signal(nix::sys::signal::Signal::SIGTERM);
        running.end()
    }

    /// A place in the directory.
    fn path(&self, name: &str) -> PathBuf {
        self.bed.path("root").join(name)
    }

    /// Puts a file there.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, content).expect("a file");
    }

    fn get(&self, path: &str) -> Reply {
        get(self.port, path, &[])
    }

    /// All regular files there, our own aside.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.bed.path("root")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() && !path.ends_with(".envsyncd-proxy") {
                    folders.push(path);
                } else if path.is_file() {
                    let name = path.strip_prefix(self.bed.path("root")).expect("below it");
                    found.push(name.display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// What lies in the workplace beside the lock and the list.
    fn unfinished(&self) -> usize {
        let all = fs::read_dir(self.path(".envsyncd-proxy")).expect("a directory");
        all.flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("new-"))
            .count()
    }

    fn said(&self) -> String {
        self.running.as_ref().expect("it runs").said()
    }
}
