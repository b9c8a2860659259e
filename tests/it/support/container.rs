//! Containers, as far as a process can tell: namespaces of their own for pids, mounts and the host's name.

use std::fs;
use std::process::Command;

/// A command as the first process of a container of this host name, with the same directories and variables. What ends the
/// command ends the container. Needs root.
pub(crate) fn contained(command: &Command, host: &str) -> Command {
    let mut outer = Command::new("unshare");
    outer
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--uts",
            "sh",
            "-c",
        ])
        .arg("echo \"$0\" > /proc/sys/kernel/hostname && exec \"$@\"")
        .arg(host)
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        outer.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// A command whose clock is off by this: `-5h`.
pub(crate) fn off(command: &mut Command, by: &str) {
    let library = fs::read_dir("/usr/lib")
        .expect("/usr/lib")
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime: script/install-test-deps installs it");
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", by)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
}
