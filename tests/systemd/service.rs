//! The installed daemon at work: user, sandbox, schedules, reload, watchdog, and runs that outlive it.

use std::time::{Duration, Instant};

use crate::field;
use crate::machine::{Machine, PATIENCE, write};
use crate::package::{self, succeed};

const SETTINGS: &str = r#"
[environments.production]
[environments.staging]
parent = "production"
"#;

/// Its hook waits for the test.
const GATE: &str = r#"
[hooks]
maintenance_on = ["/bin/sh", "-c", "touch /data/reached; until test -e /data/go; do sleep 0.1; done"]
maintenance_off = ["/bin/true"]
"#;

fn job(target: &str, schedule: &str, more: &str) -> String {
    let schedule = if schedule.is_empty() {
        String::new()
    } else {
        format!("schedule = \"{schedule}\"")
    };
    format!(
        r#"
from = "production"
to = "staging"
{schedule}

[[task]]
name = "database"
kind = "sqlite"
source = "sqlite:///data/production.db"
target = "sqlite:///data/{target}.db"
{more}
"#
    )
}

/// A machine with the package, a production database, and a directory that the daemon may write to.
fn site(settings: &str, jobs: &[(&str, String)]) -> Machine {
    let machine = package::machine();
    let source =
        rusqlite::Connection::open(machine.directory.path().join("production.db")).unwrap();
    source
        .execute_batch("CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO page VALUES (1, 'a'), (2, 'b');")
        .unwrap();
    source.close().unwrap();
    write(
        &machine,
        "envsyncd.toml",
        &format!("{SETTINGS}\n{settings}"),
    );
    // As in the example, for SQLite targets.
    write(&machine, "sqlite.conf", "[Service]\nReadWritePaths=/data\n");
    succeed(
        &machine,
        "cp /data/envsyncd.toml /etc/envsyncd/ && chown -R envsyncd: /data
        for unit in envsyncd envsyncd@; do
            mkdir /etc/systemd/system/$unit.service.d && cp /data/sqlite.conf /etc/systemd/system/$unit.service.d/
        done
        systemctl daemon-reload",
    );
    for (name, text) in jobs {
        add_job(&machine, name, text);
    }
    machine
}

fn add_job(machine: &Machine, name: &str, text: &str) {
    write(machine, "job", text);
    succeed(
        machine,
        &format!("install -m 640 -g envsyncd /data/job /etc/envsyncd/config.d/{name}.toml"),
    );
}

/// Waits until a line of shell ends well.
fn until(machine: &Machine, script: &str) {
    let end = Instant::now() + PATIENCE;
    while !machine.run(script).status.success() {
        assert!(
            Instant::now() < end,
            "it never came to: {script}\n{}\n{}",
            machine.output("systemctl status --no-pager --full envsyncd.service; envsyncd status; envsyncd history"),
            machine.output("journalctl --no-pager -n 60 -o short-precise")
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn property(machine: &Machine, unit: &str, name: &str) -> String {
    machine
        .output(&format!("systemctl show --value -p {name} {unit}"))
        .trim()
        .to_owned()
}

fn status(machine: &Machine, job: &str) -> serde_json::Value {
    let file = format!("cat /var/lib/envsyncd/status/{job}.json");
    serde_json::from_str(&succeed(machine, &file)).unwrap()
}

/// Triggers the job whose hook waits, and returns its run once it is there.
fn begin_gated(machine: &Machine) -> String {
    let run = succeed(machine, "envsyncd trigger gated").trim().to_owned();
    until(machine, "test -e /data/reached");
    run
}

fn scope_of(run: &str) -> String {
    format!("envsyncd-run-{run}.scope")
}

fn is_active(machine: &Machine, unit: &str) -> bool {
    property(machine, unit, "ActiveState") == "active"
}

/// What of ours has failed, as an administrator would look.
fn failed_units(machine: &Machine) -> String {
    machine.output("systemctl --failed --no-legend 'envsyncd*'")
}

#[test]
fn ten_jobs_run_by_their_schedules_and_are_seen_by_everybody() {
    let names: Vec<String> = (0..10).map(|n| format!("job-{n}")).collect();
    let jobs: Vec<(&str, String)> = names
        .iter()
        .map(|name| (name.as_str(), job(name, "*/5 * * * * *", "")))
        .collect();
    let machine = site("[scheduler]\nmax_concurrent_runs = 3\n", &jobs);
    succeed(&machine, "systemctl enable --now --quiet envsyncd.service");
    assert_eq!(
        property(&machine, "envsyncd.service", "ActiveState"),
        "active"
    );
    let user = machine
        .output("ps() { stat -c %U /proc/$(systemctl show --value -p MainPID envsyncd)/; }; ps");
    assert_eq!(user, "envsyncd\n");
    for name in &names {
        until(
            &machine,
            &format!("grep -q '\"last_success_at\": \"' /var/lib/envsyncd/status/{name}.json"),
        );
        assert_eq!(status(&machine, name)["trigger"], "schedule");
        assert!(
            machine
                .journal(&format!("ENVSYNC_JOB={name} SYSLOG_IDENTIFIER=envsyncd"))
                .iter()
                .any(|line| field(line, "ENVSYNC_TASK") == "database"),
            "{name} is not in the journal"
        );
    }
    // Somebody who has no rights here at all.
    let seen = succeed(
        &machine,
        "setpriv --reuid nobody --regid nogroup --clear-groups envsyncd check",
    );
    assert!(seen.starts_with("ENVSYNCD OK"), "{seen}");
    // A member of the group sees the history, too.
    let seen = succeed(
        &machine,
        "setpriv --reuid daemon --regid daemon --groups \"$(getent group envsyncd | cut -d: -f3)\" envsyncd history",
    );
    assert!(seen.contains("job-0"), "{seen}");
    assert!(property(&machine, "envsyncd.service", "StatusText").contains("next: job-"));
    // Every run had a scope; none is left behind, and nobody complained.
    until(
        &machine,
        "journalctl --no-pager | grep -q 'Started envsyncd-run-.*envsyncd job job-'",
    );
    let complaints = machine.journal("-t envsyncd -p warning");
    let skipped =
        |line: &serde_json::Value| field(line, "MESSAGE").starts_with("a run was skipped");
    assert!(complaints.iter().all(skipped), "{complaints:#?}");

    add_job(&machine, "late", &job("late", "*/5 * * * * *", ""));
    add_job(&machine, "job-9", "from = nonsense");
    succeed(&machine, "systemctl reload envsyncd.service");
    assert_eq!(
        property(&machine, "envsyncd.service", "ActiveState"),
        "active"
    );
    until(
        &machine,
        "grep -q '\"last_success_at\": \"' /var/lib/envsyncd/status/late.json",
    );
    let status = property(&machine, "envsyncd.service", "StatusText");
    assert!(status.contains("1 broken job file"), "{status}");

    succeed(&machine, "systemctl stop envsyncd.service");
    assert_eq!(property(&machine, "envsyncd.service", "Result"), "success");
    until(&machine, "! systemctl is-active 'envsyncd-run-*.scope'");
    assert_eq!(failed_units(&machine), "");
    let purged = succeed(&machine, "dpkg --purge envsyncd 2>&1");
    assert!(
        !purged.contains("not empty") || purged.contains("/etc/envsyncd"),
        "{purged}"
    );
    succeed(
        &machine,
        "test ! -e /var/lib/envsyncd && test ! -e /run/envsyncd && test -e /data/late.db",
    );
}

#[test]
fn a_run_outlives_the_daemons_restart_upgrade_death_and_watchdog_and_is_found_again() {
    let machine = site(
        "[reboot_lock]\ninhibit = true\n",
        &[("gated", job("staging", "", GATE))],
    );
    write(
        &machine,
        "watchdog.conf",
        "[Service]\nWatchdogSec=10s\nRestartSec=100ms\n",
    );
    succeed(
        &machine,
        "cp /data/watchdog.conf /etc/systemd/system/envsyncd.service.d/ && systemctl daemon-reload
        systemctl start envsyncd.service",
    );
    let run = begin_gated(&machine);
    let scope = scope_of(&run);
    assert!(is_active(&machine, &scope));
    assert_eq!(
        property(&machine, &scope, "Description"),
        format!("envsyncd job gated, run {run}")
    );
    assert_eq!(property(&machine, &scope, "Slice"), "system-envsyncd.slice");

    // Every thread of every process in there, the hook's too, has the class that the run gave itself.
    let seen = machine.output(&format!(
        "for pid in $(cat /sys/fs/cgroup/system.slice/system-envsyncd.slice/{scope}/cgroup.procs /sys/fs/cgroup/*/system.slice/system-envsyncd.slice/{scope}/cgroup.procs 2>/dev/null | sort -u); do
            for thread in /proc/$pid/task/*; do class=$(ionice -p ${{thread##*/}}) && echo \"$(cat $thread/comm) $class\"; done
        done"
    ));
    assert!(seen.contains("envsyncd ") && seen.contains("sh "), "{seen}");
    assert!(
        seen.lines()
            .all(|line| line.ends_with(" best-effort: prio 6")),
        "{seen}"
    );

    let inhibitors = machine.output("systemd-inhibit --list --no-pager --no-legend");
    assert!(
        inhibitors.lines().any(|line| line.starts_with("envsyncd ")
            && line.contains(" envsyncd ")
            && line.contains("job gated")),
        "{inhibitors}"
    );
    let refused = machine.run("systemctl reboot --check-inhibitors=yes 2>&1");
    assert!(
        !refused.status.success() && crate::text(&refused.stdout).contains("job gated"),
        "{}",
        crate::text(&refused.stdout)
    );

    let pid = || property(&machine, "envsyncd.service", "MainPID");
    let found = || {
        machine
            .journal(&format!("ENVSYNC_RUN={run}"))
            .iter()
            .filter(|line| field(line, "MESSAGE").starts_with("found a run that is under way"))
            .count()
    };
    let goes_on = |daemons: usize, how: &str| {
        let end = Instant::now() + PATIENCE;
        while found() < daemons {
            assert!(
                Instant::now() < end,
                "after {how}: {}",
                machine.output("journalctl --no-pager -n 40")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(is_active(&machine, "envsyncd.service"), "{how}");
        assert!(is_active(&machine, &scope), "{how}");
        assert_eq!(status(&machine, "gated")["state"], "running", "{how}");
    };

    let mut before = pid();
    let mut other = |how: &str| {
        let now = pid();
        assert!(now != before && now != "0", "{how}: {before} {now}");
        before = now;
    };
    succeed(&machine, "systemctl restart envsyncd.service");
    goes_on(1, "restart");
    other("restart");
    package::install(&machine, "0.1.0-2");
    goes_on(2, "upgrade");
    other("upgrade");
    succeed(
        &machine,
        "systemctl kill --signal=KILL envsyncd.service --kill-who=main",
    );
    goes_on(3, "kill -9");
    other("kill -9");
    succeed(
        &machine,
        "systemctl kill --signal=STOP envsyncd.service --kill-who=main",
    );
    goes_on(4, "watchdog");
    other("watchdog");
    assert!(
        machine
            .output("journalctl --no-pager -u envsyncd.service")
            .contains("Watchdog timeout")
    );
    succeed(&machine, "systemctl stop envsyncd.service");
    assert!(is_active(&machine, &scope), "stopped");
    succeed(&machine, "systemctl start envsyncd.service");
    goes_on(5, "stop and start");

    write(&machine, "go", "");
    until(
        &machine,
        "grep -q '\"state\": \"succeeded\"' /var/lib/envsyncd/status/gated.json",
    );
    until(&machine, &format!("! systemctl is-active --quiet {scope}"));
    assert_eq!(status(&machine, "gated")["run_id"], run.as_str());
    let inhibitors = machine.output("systemd-inhibit --list --no-pager --no-legend");
    assert!(!inhibitors.contains("envsyncd"), "{inhibitors}");
    assert_eq!(failed_units(&machine), "");
}

#[test]
fn a_stop_can_end_runs_and_waits_for_them() {
    // It takes longer than systemd waits for a daemon that does not ask for more time.
    let slow = GATE.replace(
        "[\"/bin/true\"]",
        "[\"/bin/sh\", \"-c\", \"sleep 10; touch /data/maintenance-is-off\"]",
    );
    let machine = site(
        "[scheduler]\non_stop = \"cancel\"\nstop_timeout = \"1m\"\n",
        &[("gated", job("staging", "", &slow))],
    );
    write(&machine, "short.conf", "[Service]\nTimeoutStopSec=5s\n");
    succeed(
        &machine,
        "cp /data/short.conf /etc/systemd/system/envsyncd.service.d/ && systemctl daemon-reload
        systemctl start envsyncd.service",
    );
    let run = begin_gated(&machine);
    succeed(&machine, "systemctl stop envsyncd.service");
    assert!(!is_active(&machine, &scope_of(&run)));
    assert_eq!(status(&machine, "gated")["state"], "cancelled");
    succeed(&machine, "test -e /data/maintenance-is-off");
    assert_eq!(property(&machine, "envsyncd.service", "Result"), "success");
    assert_eq!(
        machine.output("ls /data | grep staging"),
        "",
        "nothing was published or left behind"
    );
    assert_eq!(failed_units(&machine), "");
}

#[test]
fn a_removal_ends_runs_cleanly() {
    let machine = site("", &[("gated", job("staging", "", GATE))]);
    succeed(&machine, "systemctl start envsyncd.service");
    let run = begin_gated(&machine);
    succeed(&machine, "dpkg --remove envsyncd 2>&1");
    assert!(!is_active(&machine, &scope_of(&run)));
    assert_eq!(status(&machine, "gated")["state"], "cancelled");
    assert_eq!(machine.output("ls /data | grep staging"), "");
}

#[test]
fn a_settings_file_that_is_wrong_is_not_tried_again_and_again() {
    let machine = site("", &[]);
    succeed(&machine, "echo nonsense > /etc/envsyncd/envsyncd.toml");
    assert!(
        !machine
            .run("systemctl start envsyncd.service")
            .status
            .success()
    );
    assert_eq!(
        property(&machine, "envsyncd.service", "ActiveState"),
        "failed"
    );
    assert_eq!(property(&machine, "envsyncd.service", "NRestarts"), "0");
    let said = machine.output("journalctl --no-pager -u envsyncd.service");
    assert!(said.contains("envsyncd.toml:1"), "{said}");
}

#[test]
fn one_job_runs_by_its_unit_and_by_its_timer_in_the_daemons_sandbox() {
    let hook = r#"
[hooks]
after_publish = ["/bin/sh", "-c", '''
    exec 2>&1
    echo user $(id -un) credential $(cat $CREDENTIALS_DIRECTORY/envsyncd_database)
    mktemp > /dev/null && echo tmp is writable
    touch /usr/x || echo usr is not
    ls /home || echo homes are not seen
''']
"#;
    let machine = site("", &[("my-pages", job("staging", "", hook))]);
    succeed(
        &machine,
        "echo hunter2 > /etc/envsyncd/credentials/database; chmod 600 /etc/envsyncd/credentials/*",
    );
    succeed(&machine, "systemctl start envsyncd@my-pages.service");
    assert_eq!(status(&machine, "my-pages")["state"], "succeeded");
    let log = succeed(
        &machine,
        "envsyncd logs \"$(envsyncd history --json | sed -n 's/.*\"run_id\": *\"\\([^\"]*\\)\".*/\\1/p' | head -n 1)\"",
    );
    for line in [
        "user envsyncd credential hunter2",
        "tmp is writable",
        "usr is not",
        "homes are not seen",
    ] {
        assert!(log.contains(line), "{log}");
    }
    assert_eq!(
        property(&machine, "envsyncd@my-pages.service", "Slice"),
        "system-envsyncd.slice"
    );

    // A missing directory of credentials is no reason not to run; nor is a hold a reason to call the unit failed.
    succeed(
        &machine,
        "rm -r /etc/envsyncd/credentials && envsyncd hold staging --reason 'a release'",
    );
    succeed(&machine, "systemctl start envsyncd@my-pages.service");
    assert_eq!(status(&machine, "my-pages")["state"], "busy");
    succeed(&machine, "envsyncd release staging");

    write(
        &machine,
        "soon.conf",
        "[Timer]\nOnCalendar=\nOnCalendar=*-*-* *:*:00/2\nRandomizedDelaySec=0\n",
    );
    succeed(
        &machine,
        "mkdir /etc/systemd/system/envsyncd@my-pages.timer.d && cp /data/soon.conf /etc/systemd/system/envsyncd@my-pages.timer.d/
        systemctl daemon-reload && systemctl enable --now --quiet envsyncd@my-pages.timer",
    );
    until(
        &machine,
        "grep -q '\"state\": \"succeeded\"' /var/lib/envsyncd/status/my-pages.json",
    );
    succeed(&machine, "systemctl stop envsyncd@my-pages.timer");
    assert_eq!(failed_units(&machine), "");
}

#[test]
fn what_root_runs_by_hand_is_seen_by_the_daemon_and_in_nobodys_way_afterwards() {
    let machine = site(
        "[metrics]\ntextfile = \"/var/lib/prometheus/node-exporter/envsyncd.prom\"\n",
        &[("gated", job("staging", "", GATE))],
    );
    succeed(
        &machine,
        "install -d -o envsyncd /var/lib/prometheus/node-exporter && cp /data/production.db /data/staging.db && chown envsyncd: /data/staging.db
        systemctl start envsyncd.service
        systemd-run --quiet --unit=by-hand envsyncd --once -f /etc/envsyncd/config.d/gated.toml",
    );
    until(&machine, "test -e /data/reached");
    until(
        &machine,
        "journalctl --no-pager ENVSYNC_JOB=gated | grep -q 'found a run that is under way'",
    );
    let refused = machine.run("envsyncd trigger gated");
    assert_eq!(
        refused.status.code(),
        Some(75),
        "{}",
        crate::text(&refused.stderr)
    );
    write(&machine, "go", "");
    let succeeded = "grep -q '\"state\": \"succeeded\"' /var/lib/envsyncd/status/gated.json";
    until(&machine, succeeded);
    until(&machine, "! systemctl is-active --quiet by-hand.service");
    succeed(&machine, "envsyncd trigger gated --wait");
    let runs = machine.output("envsyncd history");
    assert_eq!(runs.matches("succeeded").count(), 2, "{runs}");
    until(
        &machine,
        "grep -q 'envsyncd_job_state.*gated.*succeeded.* 1$' /var/lib/prometheus/node-exporter/envsyncd.prom",
    );
}

#[test]
fn a_machine_that_goes_down_ends_a_run_cleanly_first() {
    let gate = GATE.replace(
        "\"/bin/true\"",
        "\"/bin/touch\", \"/data/maintenance-is-off\"",
    );
    let mut machine = site("", &[("gated", job("staging", "", &gate))]);
    succeed(&machine, "systemctl start envsyncd.service");
    begin_gated(&machine);
    // Root insists.
    succeed(&machine, "systemctl poweroff --check-inhibitors=no");
    machine.wait_until_down();
    let mut left: Vec<_> = std::fs::read_dir(machine.directory.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("staging") || name.starts_with("maintenance"))
        .collect();
    left.sort();
    assert_eq!(left, ["maintenance-is-off"]);
}

#[test]
fn roots_daemon_makes_scopes_itself_and_without_the_socket_a_run_stays_where_it_is_and_is_left_alone()
 {
    let machine = site("", &[("gated", job("staging", "", GATE))]);
    succeed(
        &machine,
        "systemctl mask --quiet --now envsyncd-scope.socket && systemctl start envsyncd.service",
    );
    let run = begin_gated(&machine);
    assert!(!is_active(&machine, &scope_of(&run)));
    succeed(&machine, "systemctl restart envsyncd.service");
    until(
        &machine,
        &format!(
            "journalctl --no-pager ENVSYNC_RUN={run} | grep -q 'found a run that is under way'"
        ),
    );
    assert_eq!(status(&machine, "gated")["state"], "running");
    succeed(&machine, "envsyncd cancel gated --wait || test $? = 143");
    assert_eq!(status(&machine, "gated")["state"], "cancelled");
    succeed(
        &machine,
        // Root goes by no directory of somebody else's.
        "systemctl stop envsyncd.service && rm /data/reached && chown -R root: /var/lib/envsyncd \
         && systemd-run --quiet --unit=roots envsyncd daemon",
    );
    until(
        &machine,
        "journalctl --no-pager -u roots | grep -q 'daemon is ready'",
    );
    let run = begin_gated(&machine);
    assert!(is_active(&machine, &scope_of(&run)));
    // A second daemon is told so, and is not started again and again.
    assert!(
        !machine
            .run("systemctl start envsyncd.service")
            .status
            .success()
    );
    let end = |name| property(&machine, "envsyncd.service", name);
    assert_eq!(
        (end("ExecMainStatus"), end("NRestarts"), end("ActiveState")),
        ("75".to_owned(), "0".to_owned(), "failed".to_owned())
    );
    succeed(
        &machine,
        "systemctl kill --signal=TERM roots.service --kill-who=main",
    );
    until(&machine, "! systemctl is-active --quiet roots.service");
    assert!(is_active(&machine, &scope_of(&run)));
    write(&machine, "go", "");
    until(
        &machine,
        "grep -q '\"state\": \"succeeded\"' /var/lib/envsyncd/status/gated.json",
    );
}
