//! The units as systemd sees them: their settings, their sandbox, and the service that makes scopes.

use std::collections::BTreeMap;
use std::fs;

use crate::machine::{Machine, write};
use crate::package::{self, succeed};

/// A unit's `Key=Value` lines, in order, by section.
fn settings(unit: &str) -> BTreeMap<String, Vec<String>> {
    let path = format!("{}/systemd/{unit}", env!("CARGO_MANIFEST_DIR"));
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        if line.starts_with('[') {
            line.clone_into(&mut section);
        } else if !line.is_empty() && !line.starts_with('#') {
            sections
                .entry(section.clone())
                .or_default()
                .push(line.to_owned());
        }
    }
    sections
}

#[test]
fn systemd_has_nothing_to_say_against_any_unit() {
    let machine = package::machine();
    let verified = machine.run(
        "systemd-analyze verify --man=no envsyncd.service envsyncd@accounts.service envsyncd@accounts.timer envsyncd-scope.socket envsyncd-scope@1.service envsyncd-file-proxy.service 2>&1",
    );
    assert_eq!(crate::text(&verified.stdout), "");
    assert!(verified.status.success());
    // In tenths: 2.5.
    for unit in [
        "envsyncd.service",
        "envsyncd@accounts.service",
        "envsyncd-scope@1.service",
        "envsyncd-file-proxy.service",
    ] {
        succeed(
            &machine,
            &format!(
                "systemd-analyze security --no-pager --offline=true --threshold=25 /lib/systemd/system/{}",
                unit.replace("accounts", "").replace("@1", "@")
            ),
        );
        succeed(
            &machine,
            &format!("systemd-analyze security --no-pager --threshold=25 {unit}"),
        );
    }
    succeed(
        &machine,
        "systemd-analyze calendar \"$(systemctl cat envsyncd@accounts.timer | sed -n 's/^OnCalendar=//p')\"",
    );
}

#[test]
fn a_job_by_a_timer_has_the_daemons_sandbox() {
    let of = |unit: &str| settings(unit).remove("[Service]").unwrap();
    let daemon = of("envsyncd.service");
    let begin = daemon
        .iter()
        .position(|line| line == "User=envsyncd")
        .unwrap();
    let once = of("envsyncd@.service");
    let begin_once = once
        .iter()
        .position(|line| line == "User=envsyncd")
        .unwrap();
    assert_eq!(daemon[begin..], once[begin_once..]);
    assert!(daemon.len() - begin > 30);
}

#[test]
fn the_file_proxy_alone_has_the_daemons_sandbox_and_more() {
    let of = |unit: &str| settings(unit).remove("[Service]").unwrap();
    let alone = of("envsyncd-file-proxy.service");
    let daemon = of("envsyncd.service");
    let begin = daemon
        .iter()
        .position(|line| line == "ProtectSystem=strict")
        .unwrap();
    // Runs write elsewhere, have a place for what is temporary, and carry groups over.
    let of_runs = ["ReadWritePaths=", "BindPaths=", "SystemCallFilter=@chown"];
    for line in &daemon[begin..] {
        assert!(
            alone.contains(line) || of_runs.iter().any(|own| line.starts_with(own)),
            "{line}"
        );
    }
    assert!(alone.contains(&"MemoryDenyWriteExecute=yes".to_owned()));
    // The example has what is to be changed, and nothing else.
    let example = settings("examples/file-proxy.conf")
        .remove("[Service]")
        .unwrap();
    let names: Vec<&str> = (example.iter())
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    assert_eq!(names, ["User", "ReadWritePaths"]);
}

/// A program that asks for a scope with the line that it is given, and says what came of it and where it is.
const ASKER: &str = r#"
use IO::Socket::UNIX;
my $socket = IO::Socket::UNIX->new(Peer => "/run/envsyncd-scope.sock") or do { print "refused: $!\n"; exit };
print $socket "$ARGV[0]\n";
print <$socket>;
open my $file, "<", "/proc/self/cgroup";
print <$file>;
"#;

fn ask(machine: &Machine, user: &str, program: &str, line: &str) -> String {
    succeed(
        machine,
        &format!(
            "setpriv --reuid {user} --regid {user} --init-groups /data/bin/{program} /data/ask.pl '{line}' 2>&1"
        ),
    )
}

#[test]
fn who_only_calls_itself_envsyncd_gets_no_scope() {
    const RUN: &str = "019aa3f0-7d2c-7e11-8a35-1f2e3d4c5b6a";
    let machine = package::machine();
    write(&machine, "ask.pl", ASKER);
    succeed(
        &machine,
        "systemctl start envsyncd-scope.socket
        mkdir /data/bin && cp /usr/bin/perl /data/bin/envsyncd && cp /usr/bin/perl /data/bin/other
        chmod 755 /data /data/bin/* && chmod 644 /data/ask.pl",
    );
    let request = format!("1 {RUN} accounts");
    for (user, program, line, why) in [
        (
            "envsyncd",
            "other",
            request.as_str(),
            "the caller is not envsyncd\n",
        ),
        (
            "envsyncd",
            "envsyncd",
            request.as_str(),
            "the caller is not envsyncd\n",
        ),
        (
            "root",
            "envsyncd",
            request.as_str(),
            "root asks systemd itself\n",
        ),
        (
            "nobody",
            "envsyncd",
            request.as_str(),
            "refused: Permission denied\n",
        ),
        (
            "envsyncd",
            "envsyncd",
            "1 ../../init accounts",
            "the run's id is not a UUID\n",
        ),
        (
            "envsyncd",
            "envsyncd",
            "",
            "the request is not `1 RUN JOB`\n",
        ),
    ] {
        let user = if user == "nobody" { "daemon" } else { user };
        let answer = ask(&machine, user, program, line);
        assert!(answer.starts_with(why), "{user} {program} {line}: {answer}");
        assert!(!answer.contains(".scope"), "{answer}");
    }
    // Nothing stays behind, and nothing of it failed.
    let left = machine.output("systemctl list-units --all --no-legend 'envsyncd-run-*' 'envsyncd-scope@*'; systemctl --failed --no-legend 'envsyncd*'");
    assert_eq!(left, "");
    assert!(machine.journal("-t envsyncd -p info").iter().any(|line| {
        line["MESSAGE"]
            .as_str()
            .unwrap_or_default()
            .contains("made no scope")
    }));
}
