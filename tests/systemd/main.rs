//! What only a real systemd can tell: journal fields, the shutdown inhibitor, scheduled reboots, priority.
//!
//! Each test boots a small system of its own (see `machine.rs`); where that is not possible, it fails and says why.

mod machine;
mod package;
mod service;
mod units;

use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use machine::{Machine, write};
use serde_json::Value;

/// A production database of one table, and a job that copies it into staging, with `more` in its file.
fn machine_with_job(more: &str) -> Machine {
    let machine = Machine::boot();
    let source =
        rusqlite::Connection::open(machine.directory.path().join("production.db")).unwrap();
    source
        .execute_batch("CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO page VALUES (1, 'a'), (2, 'b');")
        .unwrap();
    source.close().unwrap();
    write(
        &machine,
        "pages.toml",
        &format!(
            r#"
from = "production"
to = "staging"

[environments.production]
[environments.staging]
parent = "production"

[[task]]
name = "database"
kind = "sqlite"
source = "sqlite:///data/production.db"
target = "sqlite:///data/staging.db"
{more}
"#
        ),
    );
    machine
}

/// A hook that waits for the test.
const GATE: &str = r#"
[hooks]
maintenance_on = ["/bin/sh", "-c", "touch /data/reached; until test -e /data/go; do sleep 0.1; done"]
maintenance_off = ["/bin/true"]
"#;

fn once(machine: &Machine) -> Output {
    machine
        .command("envsyncd")
        .args(["--once", "-f", "/data/pages.toml"])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn field<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_default()
}

/// A run that stands in its hook; killed if the test gives up.
struct Held<'a> {
    machine: &'a Machine,
    child: Child,
}

impl<'a> Held<'a> {
    fn start(machine: &'a Machine) -> Self {
        let child = machine
            .command("envsyncd")
            .args(["--once", "-f", "/data/pages.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = Self { machine, child };
        let until = Instant::now() + machine::PATIENCE;
        while !machine.directory.path().join("reached").exists() {
            assert!(
                held.child.try_wait().unwrap().is_none() && Instant::now() < until,
                "the run did not come to its hook; journal: {:#?}",
                machine.journal("-t envsyncd")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        held
    }

    /// Lets it go on, and is its exit code.
    fn finish(mut self) -> Option<i32> {
        write(self.machine, "go", "");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_line_of_a_run_is_in_the_journal_with_its_job_run_and_task() {
    let machine = machine_with_job("");
    let run = once(&machine);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let lines = machine.journal("-t envsyncd");
    assert!(!lines.is_empty());
    let id = field(&lines[0], "ENVSYNC_RUN");
    assert_eq!(id.len(), 36, "{lines:#?}");
    for line in &lines {
        assert_eq!(
            (field(line, "ENVSYNC_JOB"), field(line, "ENVSYNC_RUN")),
            ("pages", id),
            "{line:#}"
        );
        assert_eq!(field(line, "_TRANSPORT"), "journal");
        assert_eq!(
            field(line, "PRIORITY"),
            "6",
            "information is informational: {line:#}"
        );
    }
    assert!(
        lines
            .iter()
            .any(|line| field(line, "ENVSYNC_TASK") == "database"),
        "{lines:#?}"
    );
    let found = machine.journal(&format!("ENVSYNC_RUN={id}"));
    assert_eq!(found.len(), lines.len(), "a run is found by its id");
}

#[test]
fn quiet_on_the_terminal_makes_no_hole_in_the_journal() {
    let machine = machine_with_job("");
    let run = machine
        .command("envsyncd")
        .args(["-q", "--once", "-f", "/data/pages.toml"])
        .output()
        .unwrap();
    assert_eq!(
        (run.status.code(), text(&run.stderr)),
        (Some(0), String::new())
    );
    assert!(
        machine
            .journal("-t envsyncd -p info")
            .iter()
            .any(|line| field(line, "PRIORITY") == "6")
    );
}

#[test]
fn a_failed_runs_last_line_has_priority_err() {
    let machine = machine_with_job("scripts = [\"broken.sql\"]");
    write(&machine, "broken.sql", "UPDATE no_such_table SET x = 1;\n");
    let run = once(&machine);
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stderr));
    let lines = machine.journal("-t envsyncd");
    let last = lines.last().expect("it logged");
    assert_eq!(field(last, "PRIORITY"), "3", "{lines:#?}");
    assert!(field(last, "MESSAGE").contains("no_such_table"), "{last:#}");
}

#[test]
fn without_journald_the_same_lines_go_to_syslog() {
    let machine = machine_with_job("");
    // Hidden from this run alone; /dev/log still leads to the journal, which says how a line came.
    let run = machine.run(
        "unshare --mount sh -c 'mount --bind /dev/null /run/systemd/journal/socket && exec envsyncd --once -f /data/pages.toml'",
    );
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let lines = machine.journal("-t envsyncd");
    assert!(!lines.is_empty());
    for line in &lines {
        assert_eq!(field(line, "_TRANSPORT"), "syslog");
        // 3 is daemon, see syslog(3).
        assert_eq!(
            (field(line, "SYSLOG_FACILITY"), field(line, "PRIORITY")),
            ("3", "6"),
            "{line:#}"
        );
        let message = field(line, "MESSAGE");
        assert!(message.contains(" job=pages run="), "{message}");
    }
    assert!(
        lines
            .iter()
            .any(|line| field(line, "MESSAGE").ends_with(" task=database")),
        "{lines:#?}"
    );
}

#[test]
fn a_service_whose_stderr_is_the_journal_logs_each_line_once() {
    let machine = machine_with_job("");
    let run =
        machine.run("systemd-run --quiet --wait --unit=pages envsyncd --once -f /data/pages.toml");
    assert!(run.status.success(), "{}", text(&run.stderr));
    let logged = machine.journal("-u pages _TRANSPORT=journal SYSLOG_IDENTIFIER=envsyncd");
    let streamed = machine.journal("-u pages _TRANSPORT=stdout");
    assert!(!logged.is_empty());
    for line in &logged {
        let message = field(line, "MESSAGE");
        assert!(
            streamed
                .iter()
                .all(|other| !field(other, "MESSAGE").contains(message)),
            "twice: {message}"
        );
    }
}

#[test]
fn logind_is_asked_not_to_shut_down_while_a_job_runs_and_no_longer() {
    let machine = machine_with_job(GATE);
    let list = "systemd-inhibit --list --no-pager --no-legend";
    let held = Held::start(&machine);
    let during = machine.output(list);
    let ours: Vec<_> = during
        .lines()
        .filter(|line| line.starts_with("envsyncd "))
        .collect();
    assert_eq!(ours.len(), 1, "{during}");
    assert!(
        ours[0].contains(" shutdown ") && ours[0].trim_end().ends_with(" block"),
        "{during}"
    );
    assert_eq!(held.finish(), Some(0));
    let after = machine.output(list);
    assert!(!after.contains("envsyncd"), "{after}");
}

#[test]
fn a_user_whom_logind_refuses_is_warned_and_runs_all_the_same() {
    let machine = machine_with_job("");
    // A plain user with directories of its own, as a service without a polkit rule has them.
    let run = machine.run(
        "chown -R nobody /data && chmod 700 /data && mkdir /run/envsyncd /var/lib/envsyncd && chown nobody /run/envsyncd /var/lib/envsyncd
        setpriv --reuid nobody --regid nogroup --clear-groups envsyncd --once -f /data/pages.toml",
    );
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let warned = machine.journal("-t envsyncd -p warning");
    assert!(
        warned
            .iter()
            .any(|line| field(line, "MESSAGE").contains("systemd-logind does not let this user")),
        "{warned:#?}"
    );
}

#[test]
fn a_run_is_refused_as_busy_while_a_reboot_is_scheduled() {
    let machine = machine_with_job("");
    assert!(machine.run("shutdown -r +60").status.success());
    let refused = once(&machine);
    assert_eq!(refused.status.code(), Some(75), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("a reboot is scheduled for 20"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!machine.directory.path().join("staging.db").exists());
    assert!(machine.run("shutdown -c").status.success());
    let allowed = once(&machine);
    assert_eq!(allowed.status.code(), Some(0), "{}", text(&allowed.stderr));
}

#[test]
fn a_run_and_its_hooks_have_low_priority_as_seen_from_outside() {
    let machine = machine_with_job(GATE);
    let held = Held::start(&machine);
    // Every process of the run, and every thread of it: name, nice (19th field of /proc/PID/stat), I/O class.
    let seen = machine.output(
        r#"
        # The hook's shell may not have become its program yet, and each of them lives for a moment only.
        n=0 hook=
        until [ -n "$hook" ] || [ $n -ge 1000 ]; do
            n=$((n + 1))
            for process in $(grep -lx sleep /proc/[0-9]*/comm 2>/dev/null); do
                process=${process%/comm}
                set -- $(cut -d')' -f2- $process/stat 2>/dev/null | cut -d' ' -f18) $(ionice -p ${process#/proc/} 2>/dev/null)
                [ $# -lt 2 ] || hook="sleep $*"
            done
        done
        echo "$hook"
        for process in /proc/[0-9]*; do
            name=$(cat $process/comm 2>/dev/null)
            case "$name" in
            envsyncd) for task in $process/task/*; do
                echo "$name $(cut -d')' -f2- $task/stat | cut -d' ' -f18) $(ionice -p ${task##*/})"
            done ;;
            esac
        done
        "#,
    );
    let lines: Vec<_> = seen.lines().collect();
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    assert!(of("envsyncd") >= 1 && of("sleep") >= 1, "{seen}");
    for line in &lines {
        assert!(line.ends_with(" 10 best-effort: prio 6"), "{seen}");
    }
    assert_eq!(held.finish(), Some(0));
}
