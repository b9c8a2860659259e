//! A real NSCA daemon in a temporary directory; the commands that it would give to Nagios go to a file.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::postgres::free_port;
use super::wait_until;

/// The daemon; ended when dropped.
pub(crate) struct Nsca {
    directory: tempfile::TempDir,
    port: u16,
    daemon: Child,
}

impl Nsca {
    /// Starts it; what it takes is encrypted by this password.
    pub(crate) fn start(password: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd-nsca-")
            .tempdir()
            .expect("a temporary directory");
        let port = free_port();
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        let user = user.expect("users").expect("our own").name;
        let group = nix::unistd::Group::from_gid(nix::unistd::getegid());
        let group = group.expect("groups").expect("our own").name;
        let place = directory.path().display();
        fs::write(directory.path().join("commands"), "").expect("a file");
        fs::write(
            directory.path().join("nsca.cfg"),
            format!(
                "pid_file={place}/pid\nserver_address=127.0.0.1\nserver_port={port}\nnsca_user={user}\nnsca_group={group}\n\
                 command_file={place}/commands\nalternate_dump_file={place}/dump\nappend_to_file=1\naggregate_writes=0\n\
                 max_packet_age=30\ndebug=0\npassword={password}\ndecryption_method=16\n"
            ),
        )
        .expect("a file");
        let daemon = Command::new("nsca")
            .arg("-f")
            .arg("-c")
            .arg(directory.path().join("nsca.cfg"))
            .arg("--single")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nsca");
        let mut nsca = Self {
            directory,
            port,
            daemon,
        };
        wait_until("NSCA listened", || {
            assert!(nsca.daemon.try_wait().expect("our child").is_none());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        nsca
    }

    /// A configuration of `send_nsca` with this password.
    pub(crate) fn client_config(&self, password: &str) -> PathBuf {
        let file = self.directory.path().join("send_nsca.cfg");
        fs::write(
            &file,
            format!("password={password}\nencryption_method=16\n"),
        )
        .expect("a file");
        file
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it has told Nagios, a command a line.
    pub(crate) fn commands(&self) -> Vec<String> {
        fs::read_to_string(self.directory.path().join("commands"))
            .expect("a file")
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Nsca {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
