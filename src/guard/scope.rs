//! A run in a systemd scope of its own: the daemon's unit can be stopped or upgraded and leaves it alone, it has its own
//! accounting, and systemd ends it in its own right when the machine goes down.
//!
//! Only root may ask systemd for that. A daemon that is not root asks the small root service behind [`SOCKET`]
//! ([`serve`]), which moves nobody but the process that asks, and under properties that are not the caller's to choose.
//! A process that is moved keeps its sandbox, priority and environment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use super::bus::{self, Scope};
use super::process::{Process, runs_us};
use crate::config::job::JobName;
use crate::error::{Error, Kind, Result};

/// Where the root service listens (`systemd/envsyncd-scope.socket`).
pub const SOCKET: &str = "/run/envsyncd-scope.sock";
/// All runs' slice; also that of `envsyncd@.service`, whose name makes it so.
const SLICE: &str = "system-envsyncd.slice";
/// Of the run's part of it all; the service's is shorter.
const PATIENCE: Duration = Duration::from_secs(5);
const SERVICE_PATIENCE: Duration = Duration::from_secs(3);
/// The longest request: version, id, job.
const LINE: u64 = 256;
/// At a shutdown a run drops incoming and turns maintenance off before systemd kills it.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);
/// At a shutdown a run ends before what it works with does.
const AFTER: [&str; 9] = [
    "network.target",
    "network-online.target",
    "remote-fs.target",
    "postgresql.service",
    "mariadb.service",
    "mysql.service",
    "mongod.service",
    "opensearch.service",
    "dbus.service",
];

/// Where a run's process is after [`enter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// In the scope of this name.
    Scope(String),
    /// Where it was.
    Stayed,
}

/// Moves this process with all its threads into `envsyncd-run-RUN.scope`. Never fails a run, and never takes more than
/// five seconds.
pub async fn enter(job: &str, run: &str) -> Entered {
    if !Path::new("/run/systemd/system").exists() {
        tracing::debug!("no scope for this run: systemd does not run here");
        return Entered::Stayed;
    }
    let name = unit(run);
    let moved = tokio::time::timeout(PATIENCE, async {
        if nix::unistd::geteuid().is_root() {
            start(std::process::id(), job, run)
                .await
                .map_err(Refusal::Told)
        } else {
            ask(Path::new(SOCKET), job, run).await
        }
    })
    .await;
    match moved {
        Ok(Ok(())) if is_in(std::process::id(), &name) => {
            tracing::debug!(scope = name, "the run has a scope of its own");
            return Entered::Scope(name);
        }
        Ok(Ok(())) => {
            tracing::warn!(
                scope = name,
                "no scope for this run: systemd made it, but the run is not in it"
            );
        }
        Ok(Err(Refusal::NobodyThere)) => tracing::debug!(
            socket = SOCKET,
            "no scope for this run: this user may not make one, and envsyncd-scope.socket is not started"
        ),
        Ok(Err(Refusal::Told(error))) => tracing::warn!(error, "no scope for this run"),
        Err(_) => tracing::warn!("no scope for this run: systemd did not answer in time"),
    }
    Entered::Stayed
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NobodyThere,
    Told(String),
}

/// Asks the root service.
async fn ask(socket: &Path, job: &str, run: &str) -> std::result::Result<(), Refusal> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let told = |error: std::io::Error| Refusal::Told(format!("{}: {error}", socket.display()));
    let mut stream = match tokio::net::UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => {
            return Err(Refusal::NobodyThere);
        }
        Err(error) => return Err(told(error)),
    };
    let request = format!("1 {run} {job}\n");
    stream.write_all(request.as_bytes()).await.map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(told)?;
    match answer.trim_end() {
        "ok" => Ok(()),
        "" => Err(Refusal::Told(
            "envsyncd-scope.socket gave no answer".to_owned(),
        )),
        why => Err(Refusal::Told(why.to_owned())),
    }
}

fn unit(run: &str) -> String {
    format!("envsyncd-run-{run}.scope")
}

fn is_in(pid: u32, unit: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| has_unit(&text, unit))
}

/// `text` is `/proc/PID/cgroup`, see cgroups(7): `0::/system.slice/NAME`, and more such lines with version 1.
pub(super) fn has_unit(text: &str, unit: &str) -> bool {
    text.lines()
        .any(|line| line.rsplit('/').next() == Some(unit))
}

/// Has systemd make the scope with this one process, and waits until it is in it.
async fn start(pid: u32, job: &str, run: &str) -> std::result::Result<(), String> {
    let name = unit(run);
    let scope = Scope {
        description: format!("envsyncd job {job}, run {run}"),
        pid,
        slice: SLICE,
        stop_timeout: STOP_TIMEOUT,
        after: &AFTER,
    };
    bus::start_scope(&name, scope)
        .await
        .map_err(|error| format!("systemd does not make {name}: {error}"))?;
    // The answer only means that the job is queued; the caller has the timeout.
    while !is_in(pid, &name) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A run's request to the root service: `1 RUN JOB`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) run: String,
    pub(super) job: String,
}

impl Request {
    pub(super) fn parse(line: &str) -> std::result::Result<Self, String> {
        let line = line
            .strip_suffix('\n')
            .ok_or("the request is not one line")?;
        // The name of a site's job has a space in it.
        let mut words = line.splitn(3, ' ');
        let (Some("1"), Some(run), Some(job)) = (words.next(), words.next(), words.next()) else {
            return Err("the request is not `1 RUN JOB`".to_owned());
        };
        // As it is spelt by us, and so fit for a unit's name.
        if Uuid::try_parse(run).map(|id| id.to_string()).as_deref() != Ok(run) {
            return Err("the run's id is not a UUID".to_owned());
        }
        let job = JobName::known(job)
            .map_err(|_| "the job's name is not valid".to_owned())?
            .to_string();
        Ok(Self {
            run: run.to_owned(),
            job,
        })
    }
}

/// Serves the one connection that is this process's standard input, as systemd's `Accept=yes` starts it; the answer
/// is `ok` or a line that says why not.
///
/// `Kind::Usage` if standard input is no such connection, `Kind::Internal` if the answer cannot be sent.
pub fn serve() -> Result<()> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let peer = stdin.and_then(|fd| Ok((getsockopt(&fd, PeerCredentials)?, fd)));
    let (peer, fd) = peer.map_err(|error| {
        Error::new(Kind::Usage, "standard input is not a unix socket")
            .because(error)
            .hint("systemd starts this: systemctl start envsyncd-scope.socket")
    })?;
    let mut stream = UnixStream::from(fd);
    let outcome = read_request(&stream).and_then(|request| {
        let peer = Peer {
            pid: u32::try_from(peer.pid()).unwrap_or(0),
            user: peer.uid(),
        };
        grant(&peer, &request).map(|()| request)
    });
    let answer = match &outcome {
        Ok(request) => {
            tracing::info!(
                pid = peer.pid(),
                job = request.job,
                run = request.run,
                "made a scope"
            );
            "ok\n".to_owned()
        }
        Err(why) => {
            tracing::warn!(pid = peer.pid(), user = peer.uid(), why, "made no scope");
            format!("{why}\n")
        }
    };
    stream
        .write_all(answer.as_bytes())
        .map_err(|error| Error::new(Kind::Internal, "the answer was not sent").because(error))
}

fn read_request(stream: &UnixStream) -> std::result::Result<Request, String> {
    let mut line = String::new();
    stream
        .set_read_timeout(Some(SERVICE_PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(SERVICE_PATIENCE)))
        .and_then(|()| BufReader::new(stream.take(LINE)).read_line(&mut line))
        .map_err(|error| format!("the request cannot be read: {error}"))?;
    Request::parse(&line)
}

/// The process at the other end, according to the kernel (unix(7), `SO_PEERCRED`).
#[derive(Debug)]
struct Peer {
    pid: u32,
    user: u32,
}

impl Peer {
    /// The process behind the id, if it is one that may ask. It could have ended, and its id be another's by now.
    fn process(&self) -> std::result::Result<Process, String> {
        if self.user == 0 {
            return Err("root asks systemd itself".to_owned());
        }
        let directory = format!("/proc/{}", self.pid);
        let owner = std::fs::metadata(&directory).map(|found| found.uid());
        let is_theirs = owner.is_ok_and(|owner| owner == self.user);
        let process = Process::of(self.pid).filter(|_| is_theirs && runs_us(self.pid));
        process.ok_or_else(|| "the caller is not envsyncd".to_owned())
    }

    /// Refuses whom the daemon has not started. Once it is in its scope, that cannot be told any more.
    fn check_service(&self) -> std::result::Result<(), String> {
        let group = |process: &str| {
            std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default()
        };
        if is_in_service(&group(&self.pid.to_string()), &group("self")) {
            Ok(())
        } else {
            Err("the caller was not started by envsyncd's daemon".to_owned())
        }
    }
}

/// Whether a process is in the control group of a service whose name begins with `envsyncd`, or in one below it. `own` is the
/// control group of this process, a service of the same manager. Only systemd puts anybody there; a user's own manager
/// (`user@1000.service`) has names of its user's choice, and does not count.
fn is_in_service(theirs: &str, own: &str) -> bool {
    // `HIERARCHY:CONTROLLERS:PATH`, see cgroups(7).
    fn split(line: &str) -> Option<(&str, &str)> {
        let at = line.find('/')?;
        Some((&line[..at], &line[at..]))
    }
    let ends = |name: &str, end: &str| name.strip_suffix(end).is_some();
    let is_unit = |name: &&str| ends(name, ".service") || ends(name, ".scope");
    theirs.lines().filter_map(split).any(|(hierarchy, path)| {
        let ours = own.lines().filter_map(split);
        ours.filter(|(other, _)| *other == hierarchy)
            // In a container the manager may not be at the root.
            .filter_map(|(_, ours)| path.strip_prefix(&ours[..ours.rfind("/system.slice/")?]))
            .any(|path| {
                let unit = path.split('/').find(is_unit).unwrap_or_default();
                !path.starts_with("/user.slice/")
                    && unit.starts_with("envsyncd")
                    && ends(unit, ".service")
            })
    })
}

fn grant(peer: &Peer, request: &Request) -> std::result::Result<(), String> {
    let process = peer.process()?;
    peer.check_service()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        tokio::time::timeout(
            SERVICE_PATIENCE,
            start(peer.pid, &request.job, &request.run),
        )
        .await
        .map_err(|_| "systemd did not answer in time".to_owned())?
    })?;
    if peer.process()? == process {
        Ok(())
    } else {
        Err("the caller is gone".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "019aa3f0-7d2c-7e11-8a35-1f2e3d4c5b6a";

    #[test]
    fn a_request_is_a_version_a_run_and_a_job() {
        let request = Request::parse(&format!("1 {RUN} publishing-api\n")).unwrap();
        assert_eq!(
            (request.run.as_str(), request.job.as_str()),
            (RUN, "publishing-api")
        );
    }

    #[test]
    fn nothing_else_is_a_request() {
        for line in [
            String::new(),
            "\n".to_owned(),
            format!("1 {RUN} api"),
            format!("2 {RUN} api\n"),
            format!("1 {RUN}\n"),
            format!("1 {RUN} api more\n"),
            format!("1 {RUN}  api\n"),
            format!("1 {} api\n", RUN.to_uppercase()),
            format!("1 {} api\n", RUN.replace('-', "")),
            format!("1 {{{RUN}}} api\n"),
            "1 ../../init api\n".to_owned(),
            format!("1 {RUN} ../api\n"),
            format!("1 {RUN} api\nx\n"),
            format!("1 {RUN} {}\n", "a".repeat(300)),
        ] {
            assert!(Request::parse(&line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_longest_request_there_can_be_fits() {
        let line = format!("1 {RUN} {}\n", "a".repeat(128));
        assert!(Request::parse(&line).is_ok() && (line.len() as u64) < LINE);
    }

    #[test]
    fn a_request_that_never_ends_is_cut_off() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(&[b'1'; 1000]).unwrap();
        assert!(read_request(&server).is_err());
    }

    #[test]
    fn neither_root_nor_another_program_nor_another_users_process_is_moved() {
        let own = std::process::id();
        let user = nix::unistd::geteuid().as_raw();
        for peer in [
            Peer { pid: own, user: 0 },
            // The test is what this program is, and no service of envsyncd's has started it.
            Peer { pid: own, user },
            Peer {
                pid: own,
                user: user + 1,
            },
            Peer {
                pid: 0,
                user: user + 1,
            },
        ] {
            let asked = peer.process().and_then(|_| peer.check_service());
            assert!(asked.is_err(), "{peer:?}");
        }
    }

    #[test]
    fn who_may_ask_is_in_the_daemons_control_group() {
        let own = "system.slice/system-envsyncd.slice/envsyncd-scope@1-2-3.service";
        for (group, may) in [
            ("/system.slice/envsyncd.service", true),
            ("/system.slice/envsyncd-two.service", true),
            ("/batch.slice/envsyncd.service", true),
            ("/system.slice/envsyncd.service/below", true),
            ("/user.slice/user-7.slice/session-1.scope", false),
            (
                "/user.slice/user-7.slice/user@7.service/app.slice/envsyncd.service",
                false,
            ),
            ("/user.slice/envsyncd.service", false),
            ("/system.slice/cron.service", false),
            ("/system.slice/cron.service/envsyncd.service", false),
            ("/system.slice/xenvsyncd.service", false),
            (
                "/system.slice/system-envsyncd.slice/envsyncd-run-1.scope",
                false,
            ),
            ("/", false),
        ] {
            for manager in ["", "/docker/0a1b", "/system.slice/docker-0a1b.scope"] {
                let own = format!("2:cpu:/\n0::{manager}/{own}\n");
                let theirs = format!("2:cpu:/\n0::{manager}{group}\n");
                assert_eq!(is_in_service(&theirs, &own), may, "{theirs:?}");
            }
            assert!(!is_in_service(&format!("0::{group}\n"), ""));
        }
    }

    #[test]
    fn a_unit_is_found_as_the_last_part_of_a_cgroup_and_nowhere_else() {
        let unit = unit(RUN);
        assert!(has_unit(
            &format!("0::/system.slice/x.slice/{unit}\n"),
            &unit
        ));
        assert!(has_unit(
            &format!("2:cpu:/\n1:name=systemd:/system.slice/{unit}\n"),
            &unit
        ));
        assert!(!has_unit(
            &format!("0::/system.slice/{unit}/child\n"),
            &unit
        ));
        assert!(!has_unit("0::/\n", &unit));
        assert!(!has_unit(&format!("0::/system.slice/x{unit}\n"), &unit));
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_no_refusal() {
        let dir = tempfile::tempdir().unwrap();
        let nobody = ask(&dir.path().join("sock"), "api", RUN).await;
        assert_eq!(nobody, Err(Refusal::NobodyThere));
    }
}
