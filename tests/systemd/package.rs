//! The Debian package: installed, upgraded, removed and purged in a system that runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::machine::{Machine, write};
use crate::text;

/// The package of the binary under test, in this version. It is built once for all tests.
pub(crate) fn deb(version: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let first = BUILT.get_or_init(|| build("0.1.0-1"));
    if version == "0.1.0-1" {
        return first.clone();
    }
    build(version)
}

fn build(version: &str) -> PathBuf {
    // One at a time: they share a directory for what is generated.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock();
    let deb = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("envsyncd_{version}.deb"));
    let built = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/script/build-deb"))
        .args(["--binary", env!("CARGO_BIN_EXE_envsyncd"), "--fast"])
        .args(["--deb-version", version, "--output"])
        .arg(&deb)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    deb
}

/// Copies a package to where the machine sees it, and installs it there.
pub(crate) fn install(machine: &Machine, version: &str) -> String {
    std::fs::copy(deb(version), machine.directory.path().join("envsyncd.deb")).unwrap();
    // The machine's disk is memory.
    succeed(machine, "dpkg --force-unsafe-io -i /data/envsyncd.deb 2>&1")
}

/// A machine with the package in it.
pub(crate) fn machine() -> Machine {
    let machine = Machine::boot_bare();
    install(&machine, "0.1.0-1");
    machine
}

/// What a line of shell printed, if it went well.
pub(crate) fn succeed(machine: &Machine, script: &str) -> String {
    let ran = machine.run(script);
    assert!(
        ran.status.success(),
        "{script}: {}{}\n{}",
        text(&ran.stdout),
        text(&ran.stderr),
        machine.output("journalctl --no-pager -n 40")
    );
    text(&ran.stdout)
}

#[test]
fn lintian_finds_no_errors_and_no_warnings() {
    let checked = Command::new("lintian")
        .args(["--fail-on", "error,warning", "--allow-root"])
        .arg(deb("0.1.0-1"))
        .output()
        .unwrap_or_else(|error| panic!("lintian is needed ({error}): script/install-test-deps"));
    assert!(checked.status.success(), "{}", text(&checked.stdout));
}

#[test]
fn a_fresh_installation_has_its_user_its_directories_and_nothing_running() {
    let machine = machine();
    assert_eq!(
        succeed(&machine, "getent passwd envsyncd | cut -d: -f1,6,7"),
        "envsyncd:/var/lib/envsyncd:/usr/sbin/nologin\n"
    );
    let modes = "stat -c '%a %U:%G %n' /etc/envsyncd /etc/envsyncd/* /var/lib/envsyncd /var/lib/envsyncd/* /run/envsyncd";
    assert_eq!(
        succeed(&machine, modes),
        "755 root:root /etc/envsyncd
750 root:envsyncd /etc/envsyncd/config.d
700 root:root /etc/envsyncd/credentials
750 root:envsyncd /etc/envsyncd/env.d
644 root:root /etc/envsyncd/envsyncd.toml
755 envsyncd:envsyncd /var/lib/envsyncd
755 envsyncd:envsyncd /var/lib/envsyncd/jobs
755 envsyncd:envsyncd /var/lib/envsyncd/status
755 envsyncd:envsyncd /var/lib/envsyncd/tmp
755 envsyncd:envsyncd /run/envsyncd
"
    );
    for unit in [
        "envsyncd.service",
        "envsyncd-scope.socket",
        "envsyncd-file-proxy.service",
    ] {
        assert_eq!(
            machine
                .output(&format!("systemctl is-active {unit}"))
                .trim(),
            "inactive"
        );
    }
    for unit in ["envsyncd.service", "envsyncd-file-proxy.service"] {
        assert_eq!(
            machine.output(&format!("systemctl is-enabled {unit}")),
            "disabled\n"
        );
    }
    assert_eq!(
        succeed(&machine, "dpkg-query -W -f '${Suggests}' envsyncd"),
        "openssh-client, rsync"
    );
    assert_eq!(
        succeed(
            &machine,
            "dpkg-query -W -f '${Conffiles}' envsyncd | cut -d' ' -f2"
        ),
        "/etc/envsyncd/envsyncd.toml\n"
    );
    succeed(&machine, "envsyncd validate");
    succeed(
        &machine,
        "zcat /usr/share/man/man1/envsyncd-check.1.gz | grep -q 'monitoring plugin'",
    );
    succeed(
        &machine,
        "bash -n /usr/share/bash-completion/completions/envsyncd",
    );
}

#[test]
fn an_upgrade_keeps_what_the_administrator_changed() {
    let machine = machine();
    succeed(
        &machine,
        "systemctl enable --quiet envsyncd.service
        echo '[environments.production]' >> /etc/envsyncd/envsyncd.toml
        echo x > /etc/envsyncd/config.d/mine.toml",
    );
    install(&machine, "0.1.0-2");
    assert_eq!(
        succeed(
            &machine,
            "dpkg-query -W -f '${Version}' envsyncd; systemctl is-enabled envsyncd.service"
        ),
        "0.1.0-2enabled\n"
    );
    succeed(
        &machine,
        "grep -qx '\\[environments.production\\]' /etc/envsyncd/envsyncd.toml && test -e /etc/envsyncd/config.d/mine.toml",
    );
}

#[test]
fn removal_keeps_the_history_and_purge_does_not_and_neither_takes_jobs_or_the_user() {
    let machine = machine();
    write(&machine, "job.toml", "");
    succeed(
        &machine,
        "systemctl enable --quiet envsyncd.service
        touch /var/lib/envsyncd/state.db /var/lib/envsyncd/status/mine.json
        echo x > /etc/envsyncd/config.d/mine.toml",
    );
    succeed(&machine, "dpkg --remove envsyncd 2>&1");
    succeed(
        &machine,
        "test ! -e /usr/bin/envsyncd && test -e /var/lib/envsyncd/state.db && test -e /etc/envsyncd/envsyncd.toml",
    );
    let purged = succeed(&machine, "dpkg --purge envsyncd 2>&1");
    succeed(
        &machine,
        "test ! -e /var/lib/envsyncd && test ! -e /run/envsyncd && test ! -e /etc/envsyncd/envsyncd.toml
        test ! -e /etc/envsyncd/credentials && test -e /etc/envsyncd/config.d/mine.toml && getent passwd envsyncd",
    );
    let left = machine.output("find /etc/systemd /var/lib/systemd /lib/systemd /usr/lib/sysusers.d /usr/lib/tmpfiles.d /usr/share -xdev -name '*envsyncd*' ! -path '*/timers/*'");
    assert_eq!(left, "", "{purged}");
}

#[test]
fn after_removal_and_purge_a_machine_without_jobs_has_nothing_of_ours_but_the_user() {
    let machine = machine();
    succeed(&machine, "dpkg --purge envsyncd 2>&1");
    assert_eq!(
        machine.output("ls -d /etc/envsyncd* /var/lib/envsyncd* 2>/dev/null"),
        ""
    );
    succeed(&machine, "getent passwd envsyncd");
}
