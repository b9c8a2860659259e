//! Profiles of the machine that the binary runs on: its clock, and what its user's environment and files say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::profile::{Profile, profiles};

/// A machine of one kind.
pub(crate) struct Host {
    name: &'static str,
    /// The binary's environment.
    variables: &'static [(&'static str, &'static str)],
    /// How far its clock is off, as faketime has it.
    clock: Option<&'static str>,
    /// Files in its user's home.
    home: &'static [(&'static str, &'static str)],
    umask: Option<&'static str>,
}

/// As the tests' own machine.
const PLAIN: Host = Host {
    name: "plain",
    variables: &[],
    clock: None,
    home: &[],
    umask: None,
};

profiles! { $ Host under_each_host
    plain {}
    far_away {
        variables: &[("TZ", "Pacific/Chatham"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")],
    }
    variables_for_clients {
        variables: &[
            ("PGHOST", "/nonexistent"),
            ("PGHOSTADDR", "192.0.2.1"),
            ("PGREQUIRESSL", "1"),
            ("PGSERVICEFILE", "/nonexistent"),
            ("LIBMYSQL_PLUGINS", "nothing"),
            ("PGUSER", "nobody"),
            ("PGDATABASE", "nowhere"),
            ("PGTZ", "Asia/Kathmandu"),
            ("PGDATESTYLE", "German"),
            ("PGCLIENTENCODING", "LATIN1"),
            ("PGOPTIONS", "-c search_path=nowhere -c extra_float_digits=-5"),
            ("MYSQL_HOST", "nowhere.invalid"),
            ("MYSQL_PWD", "wrong"),
            ("MYSQL_UNIX_PORT", "/nonexistent"),
        ],
    }
    files_for_clients {
        home: &[
            (".my.cnf", "[client]\nhost = nowhere.invalid\nuser = nobody\n[mysqldump]\nno-data\n[mariadb-dump]\nno-data\n"),
            (".pgpass", "*:*:*:*:wrong\n"),
            (".pg_service.conf", "[envsyncd]\nhost=nowhere.invalid\n"),
            (".psqlrc", "\\set ON_ERROR_STOP off\n\\pset null nothing\n"),
            (".sqliterc", ".mode json\nPRAGMA foreign_keys = on;\n"),
        ],
    }
    careful_umask { umask: Some("077") }
    clock_ahead { clock: Some("+5h") }
    clock_behind { clock: Some("-26h") }
}

impl Profile for Host {
    const KIND: &'static str = "host";

    fn all() -> &'static [Self] {
        ALL
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

impl Host {
    /// The machine of tests that do not ask for another.
    pub(crate) fn plain() -> &'static Self {
        &ALL[0]
    }

    /// Whether its clock is the tests' own: for those that compare times.
    pub(crate) fn has_our_clock(&self) -> bool {
        self.clock.is_none()
    }

    /// A program as it is started there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let Some(umask) = self.umask else {
            return Command::new(program);
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!(r#"umask {umask}; exec "$0" "$@""#)])
            .arg(program);
        command
    }

    /// A program's variables there, whose home is made in a directory if it has one.
    pub(crate) fn variables(&self, directory: &Path) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
        for (name, value) in self.variables {
            set(name, value);
        }
        if let Some(clock) = self.clock {
            let library = faketime();
            set("LD_PRELOAD", library.to_str().expect("text"));
            set("FAKETIME", clock);
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            set("NO_FAKE_STAT", "1");
        }
        if !self.home.is_empty() {
            use std::os::unix::fs::PermissionsExt;
            let home = directory.join("home");
            fs::create_dir(&home).expect("a directory");
            for (name, content) in self.home {
                let file = home.join(name);
                fs::write(&file, content).expect("a file");
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
            }
            set("HOME", home.to_str().expect("text"));
        }
        all
    }
}

/// What sets a process's clock.
pub(crate) fn faketime() -> PathBuf {
    fs::read_dir("/usr/lib")
        .expect("/usr/lib")
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime: script/install-test-deps installs it")
}
