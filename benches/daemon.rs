//! The daemon with a thousand jobs: start, memory, idle CPU, a due job's start, reload. Side by side with what it is held
//! to; `cargo bench --bench daemon`.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const JOBS: usize = 1000;
/// How long an idle daemon is watched.
const IDLE: Duration = Duration::from_secs(30);
/// Due times that are waited for, every five seconds.
const DUE: usize = 8;

fn main() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let root = root.path();
    lay_out(root);
    let socket = UnixDatagram::bind(root.join("notify")).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");

    println!(
        "{JOBS} jobs, {} cores",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    println!("{:<44} {:>12} {:>12}", "what", "goal", "measured");

    // The first start writes everything for the first time, the others are what a restart is.
    let mut starts = Vec::new();
    let mut daemon = None;
    for _ in 0..4 {
        drop(daemon.take());
        let since = Instant::now();
        daemon = Some(Daemon(start(root)));
        wait_for(&socket, "READY=1");
        starts.push(since.elapsed());
    }
    let Some(daemon) = daemon else { return };
    let first = starts.remove(0);
    starts.sort();
    line("start to READY, the first time", "1 s", seconds(first));
    line(
        "start to READY, again (median of 3)",
        "1 s",
        seconds(starts[1]),
    );

    // Status files of jobs that never ran are written in the first seconds.
    std::thread::sleep(Duration::from_secs(25));
    let pid = daemon.0.id();
    let before = cpu(pid);
    let since = Instant::now();
    std::thread::sleep(IDLE);
    let used = (cpu(pid) - before) / since.elapsed().as_secs_f64() * 100.0;
    line(
        "resident memory",
        "40 MiB",
        format!("{:.1} MiB", resident(pid)),
    );
    line(
        "CPU while idle, of one core",
        "0.5 %",
        format!("{used:.2} %"),
    );

    let mut reloads = Vec::new();
    for _ in 0..3 {
        let since = Instant::now();
        signal(pid, "HUP");
        wait_for(&socket, "RELOADING=1");
        wait_for(&socket, "READY=1");
        reloads.push(since.elapsed());
    }
    reloads.sort();
    line(
        "reload of all files (median of 3)",
        "1 s",
        seconds(reloads[1]),
    );

    fs::write(
        root.join("jobs/due.toml"),
        job(root, "due", "*/5 * * * * *"),
    )
    .expect("a file");
    let state = root.join("state/state.db");
    let mut late: Vec<i64> = Vec::new();
    let since = Instant::now();
    while late.len() < DUE && since.elapsed() < Duration::from_secs(90) {
        std::thread::sleep(Duration::from_secs(2));
        late = begun(&state);
    }
    late.sort_unstable();
    assert!(!late.is_empty(), "nothing was started");
    let ms = |micros: i64| format!("{:.0} ms", micros as f64 / 1000.0);
    line(
        "due to run's begin, median",
        "1.5 s",
        ms(late[late.len() / 2]),
    );
    line(
        "due to run's begin, worst",
        "1.5 s",
        ms(late[late.len() - 1]),
    );
    line(
        "resident memory at the end",
        "40 MiB",
        format!("{:.1} MiB", resident(pid)),
    );
}

fn line(what: &str, goal: &str, measured: String) {
    println!("{what:<44} {goal:>12} {measured:>12}");
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// Killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lay_out(root: &Path) {
    fs::create_dir(root.join("jobs")).expect("a directory");
    fs::write(
        root.join("envsyncd.toml"),
        "job_dir = \"jobs\"\nstate_dir = \"state\"\nlock_dir = \"lock\"\n\
         [environments.production]\n[environments.staging]\nparent = \"production\"\n\
         [metrics]\ntextfile = \"envsyncd.prom\"\n",
    )
    .expect("a file");
    let source = rusqlite::Connection::open(root.join("production.db")).expect("a database");
    source
        .execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1);")
        .expect("a table");
    for number in 0..JOBS {
        let name = format!("job{number}");
        // Due at night, and not while this is measured.
        let schedule = format!("{} {} 1 1 *", number % 60, number % 24);
        fs::write(
            root.join(format!("jobs/{name}.toml")),
            job(root, &name, &schedule),
        )
        .expect("a file");
    }
}

fn job(root: &Path, name: &str, schedule: &str) -> String {
    let root = root.display();
    format!(
        "description = \"one of many\"\nfrom = \"production\"\nto = \"staging\"\nschedule = \"{schedule}\"\n\
         timezone = \"Europe/London\"\ntimeout = \"6h\"\n\
         [[task]]\nkind = \"sqlite\"\nsource = \"sqlite://{root}/production.db\"\ntarget = \"sqlite://{root}/{name}.db\"\n\
         exclude = [\"cache_*\"]\n"
    )
}

fn start(root: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_envsyncd"))
        .arg("--config")
        .arg(root.join("envsyncd.toml"))
        .arg("daemon")
        .env("NOTIFY_SOCKET", root.join("notify"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.join("daemon.log")).expect("a file"))
        .spawn()
        .expect("the daemon")
}

fn wait_for(socket: &UnixDatagram, word: &str) {
    let mut buffer = [0; 4096];
    loop {
        let length = socket
            .recv(&mut buffer)
            .expect("the daemon says so within a minute");
        let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if said.lines().any(|line| line == word) {
            return;
        }
    }
}

fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status()
        .expect("kill");
    assert!(status.success());
}

/// Seconds of CPU so far; a tick is a hundredth of a second on Linux.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    let kib: f64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kib / 1024.0
}

/// How many microseconds after its due second each run's process began.
fn begun(state: &Path) -> Vec<i64> {
    let connection = rusqlite::Connection::open(state).expect("the state store");
    let mut statement = connection
        .prepare("SELECT started_at % 5000000 FROM runs WHERE job = 'due' AND state = 'succeeded'")
        .expect("a query");
    statement
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .expect("rows")
}
