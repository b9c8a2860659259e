//! The API and the control panel with 300 jobs and 100,000 runs: pages, calls a second, a thousand readers of one log, and the
//! daemon's memory and clock meanwhile. `cargo bench --bench http`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::Utc;
use envsyncd::guard::process::Process;
use envsyncd::state::{LogLine, NewRun, State, Trigger, Verb};
use rusqlite::{Connection, params};

const JOBS: usize = 300;
const RUNS: usize = 100_000;
const READERS: usize = 1000;
const ROUNDS: usize = 31;

fn main() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let root = root.path();
    lay_out(root);
    fill(root);
    let daemon = Daemon(start(root));
    let socket = root.join("http.sock");
    let since = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(since.elapsed() < Duration::from_secs(60), "no API");
        std::thread::sleep(Duration::from_millis(20));
    }
    let token = token(root);
    std::thread::sleep(Duration::from_secs(15));
    println!("{JOBS} jobs, {RUNS} runs");
    println!("{:<52} {:>12} {:>12}", "what", "goal", "measured");

    let mut client = Client::new(&socket, &token);
    for (path, what) in [
        ("/", "overview at the server, median"),
        ("/jobs", "jobs' page, median"),
        ("/history", "history's page, median"),
    ] {
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..ROUNDS {
            // What is kept for a moment does not count.
            std::thread::sleep(Duration::from_millis(250));
            let since = Instant::now();
            size = client.get(path);
            times.push(since.elapsed());
        }
        times.sort();
        line(
            what,
            "50 ms",
            format!("{:.1} ms", times[ROUNDS / 2].as_secs_f64() * 1e3),
        );
        line("its size", "100 kB", format!("{:.1} kB", size as f64 / 1e3));
    }

    let calls = 5000;
    let before = cpu(daemon.0.id());
    let since = Instant::now();
    for _ in 0..calls {
        client.get("/api/v1/jobs");
    }
    let seconds = since.elapsed().as_secs_f64();
    let busy = cpu(daemon.0.id()) - before;
    line(
        "GET /api/v1/jobs a second, one client",
        "1000",
        format!("{:.0}", f64::from(calls) / seconds),
    );
    line(
        "the same, a second of the daemon's processor time",
        "1000",
        format!("{:.0}", f64::from(calls) / busy),
    );
    line(
        "resident memory",
        "64 MiB",
        format!("{:.1} MiB", resident(daemon.0.id())),
    );
    readers(root, &socket, &token, daemon.0.id());
}

/// A thousand readers of one run's log, to which a line is added ten times a second.
fn readers(root: &Path, socket: &Path, token: &str, pid: u32) {
    let state = State::open(&root.join("state")).expect("a store");
    let run = "0199ffff-0000-7000-8000-000000000001";
    let own = Process::own();
    state
        .begin(&NewRun {
            id: run,
            job: "job0",
            file: &root.join("jobs/job0.toml"),
            verb: Verb::Run,
            from: "production",
            to: "staging",
            trigger: Trigger::Manual,
            by: "bench",
            host: "here",
            process: &own,
            timeout: None,
            tasks: &[("sqlite".to_owned(), "sqlite".to_owned())],
            only: &[],
        })
        .expect("a run");
    let streams: Vec<UnixStream> = (0..READERS)
        .map(|_| {
            let mut stream = UnixStream::connect(socket).expect("a connection");
            write!(
                stream,
                "GET /api/v1/runs/{run}/log HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            .expect("a request");
            stream.set_nonblocking(true).expect("no waiting");
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_secs(3));
    let before = cpu(pid);
    let since = Instant::now();
    let mut number = 0;
    let mut late: Vec<Duration> = Vec::new();
    let mut written = Instant::now();
    let mut buffer = vec![0; 1 << 16];
    let mut last = streams
        .last()
        .expect("readers")
        .try_clone()
        .expect("a descriptor");
    let mut waiting = false;
    while since.elapsed() < Duration::from_secs(20) {
        if !waiting {
            number += 1;
            let line = LogLine {
                at: Utc::now(),
                level: "info".to_owned(),
                task: "sqlite".to_owned(),
                message: format!("line {number} of many"),
            };
            state.add_logs(run, &[line]).expect("a line");
            (written, waiting) = (Instant::now(), true);
        }
        for mut stream in &streams {
            while matches!(stream.read(&mut buffer), Ok(read) if read == buffer.len()) {}
        }
        if let Ok(read) = last.read(&mut buffer)
            && read > 0
        {
            late.push(written.elapsed());
            waiting = false;
        }
        // The last one's lines are read with the others', too.
        if written.elapsed() > Duration::from_secs(1) {
            waiting = false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let used = (cpu(pid) - before) / since.elapsed().as_secs_f64() * 100.0;
    line(
        "a thousand readers of one log, of one core",
        "10 %",
        format!("{used:.1} %"),
    );
    line(
        "resident memory with them",
        "64 MiB",
        format!("{:.1} MiB", resident(pid)),
    );
    let seen = state.daemon().expect("a store").expect("a daemon").seen_at;
    line(
        "the daemon's last sign of life",
        "30 s",
        format!("{} s", (Utc::now() - seen).num_seconds()),
    );
    let log = fs::read_to_string(root.join("daemon.log")).expect("a log");
    line(
        "late beats",
        "0",
        format!("{}", log.matches("very busy").count()),
    );
    drop(late);
}

fn line(what: &str, goal: &str, measured: String) {
    println!("{what:<52} {goal:>12} {measured:>12}");
}

/// A connection that is kept.
struct Client {
    stream: UnixStream,
    token: String,
}

impl Client {
    fn new(socket: &Path, token: &str) -> Self {
        Self {
            stream: UnixStream::connect(socket).expect("a connection"),
            token: token.to_owned(),
        }
    }

    /// Bytes of the answer's body.
    fn get(&mut self, path: &str) -> usize {
        write!(
            self.stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        )
        .expect("a request");
        let mut answer = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = self.stream.read(&mut buffer).expect("an answer");
            assert!(read > 0, "the connection was closed");
            answer.extend_from_slice(&buffer[..read]);
            let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|length| length.trim().parse::<usize>().ok())
                .expect("a length");
            if answer.len() >= end + 4 + length {
                return length;
            }
        }
    }
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
         [http]\nlisten = \"unix:http.sock\"\n",
    )
    .expect("a file");
    let at = root.display();
    for number in 0..JOBS {
        let text = format!(
            "description = \"one of many\"\nfrom = \"production\"\nto = \"staging\"\nschedule = \"{} {} 1 1 *\"\n\
             [[task]]\nkind = \"sqlite\"\nsource = \"sqlite://{at}/production.db\"\ntarget = \"sqlite://{at}/{number}.db\"\n",
            number % 60,
            number % 24
        );
        fs::write(root.join(format!("jobs/job{number}.toml")), text).expect("a file");
    }
}

/// A history of a year.
fn fill(root: &Path) {
    drop(State::open(&root.join("state")).expect("a store"));
    let mut store = Connection::open(root.join("state/state.db")).expect("the store's file");
    let transaction = store.transaction().expect("a transaction");
    let now = Utc::now().timestamp_micros();
    {
        let mut run = transaction
            .prepare(
                "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state, step, started_at, finished_at, exit_code)
                 VALUES (?1, ?2, ?3, 'run', 'production', 'staging', 'schedule', '', 'here', ?4, 'record', ?5, ?6, 0)",
            )
            .expect("our own SQL");
        let mut task = transaction
            .prepare("INSERT INTO tasks (run, position, name, kind, state, progress_percent, rows, bytes, duration_seconds) VALUES (?1, 0, 'sqlite', 'sqlite', ?2, 100, 1000, 100000, 12)")
            .expect("our own SQL");
        for number in 0..RUNS {
            let job = format!("job{}", number % JOBS);
            let state = if number % 10 == 9 {
                "failed"
            } else {
                "succeeded"
            };
            let began = now - ((RUNS - number) as i64) * 60_000_000;
            let file = root
                .join(format!("jobs/{job}.toml"))
                .display()
                .to_string()
                .into_bytes();
            let id = format!("0198{number:04x}-0000-7000-8000-{number:012x}");
            run.execute(params![id, job, file, state, began, began + 12_000_000])
                .expect("a run");
            task.execute(params![transaction.last_insert_rowid(), state])
                .expect("a task");
        }
    }
    transaction.commit().expect("a commit");
}

fn start(root: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_envsyncd"))
        .arg("--config")
        .arg(root.join("envsyncd.toml"))
        .arg("daemon")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.join("daemon.log")).expect("a file"))
        .spawn()
        .expect("the daemon")
}

fn token(root: &Path) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_envsyncd"))
        .arg("--config")
        .arg(root.join("envsyncd.toml"))
        .args(["token", "create", "bench", "--scope", "admin"])
        .output()
        .expect("a token");
    String::from_utf8_lossy(&made.stdout).trim().to_owned()
}

/// Seconds of processor time that a process has used.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).expect("it runs");
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks: f64 = [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// MiB of memory that a process has.
fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
