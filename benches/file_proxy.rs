//! A file proxy beside nginx: files that are there, and missing ones beside the origin that they come from.
//!
//! `cargo bench --bench file_proxy`, with `-- --rounds N` and `-- --seconds N`. nginx has two processes, `sendfile`, and writes
//! no log. Both send the same directory to 64 connections that are kept; `wrk` asks, or a client of our own where there is
//! none. Beside requests a second stands the processor time of one: what asks takes its part of the machine, too. Missing files
//! are timed from the request to the body's first byte, each at the origin and then at the file proxy, on connections that are kept.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const CONNECTIONS: usize = 64;
const SIZES: [(&str, usize); 2] = [("4 kB", 4096), ("1 MiB", 1 << 20)];
/// Missing files of a size in a round.
const MISSING: usize = 200;

fn main() {
    let number = |name: &str, default: usize| {
        let mut arguments = std::env::args().skip_while(|argument| argument != name);
        let given = arguments.nth(1).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let rounds = number("--rounds", 5);
    let seconds = number("--seconds", 3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bench = Bench::start(directory.path(), rounds);
    let client = if bench.has_wrk {
        "wrk"
    } else {
        "a client of our own: there is no wrk"
    };
    println!("{rounds} rounds of {seconds} s, {CONNECTIONS} connections; {client}");
    for (name, _) in SIZES {
        bench.present(name, rounds, seconds);
    }
    for (name, size) in SIZES {
        bench.missing(name, size, rounds);
    }
}

/// Both servers, and what they send.
struct Bench {
    ours: Server,
    nginx: Server,
    origin_port: u16,
    has_wrk: bool,
}

/// Ended with its children.
struct Server {
    child: Child,
    port: u16,
}

impl Bench {
    fn start(at: &Path, rounds: usize) -> Self {
        let [ours, theirs, origin] = [free_port(), free_port(), free_port()];
        fs::create_dir_all(at.join("root")).expect("a directory");
        fs::create_dir_all(at.join("origin")).expect("a directory");
        for (name, size) in SIZES {
            fs::write(at.join("root").join(file(name)), vec![7; size]).expect("a file");
            for number in 0..rounds * MISSING {
                let path = at.join("origin").join(format!("{number}-{}", file(name)));
                fs::write(path, vec![7; size]).expect("a file");
            }
        }
        let user = if nix::unistd::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let place = at.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
            .concat();
        let settings = format!(
            "{user} daemon off; worker_processes 2; pid {place}/nginx.pid; error_log stderr;
             events {{ worker_connections 1024; }}
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; {temporary}
               types {{ image/jpeg jpg; }}
               server {{ listen 127.0.0.1:{theirs}; root {place}/root; }}
               server {{ listen 127.0.0.1:{origin}; root {place}/origin; }} }}"
        );
        fs::write(at.join("nginx.conf"), settings).expect("a file");
        fs::write(
            at.join("envsyncd.toml"),
            format!(
                "host_environment = \"staging\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n\
                 [[file_proxy]]\nlisten = \"127.0.0.1:{ours}\"\nroot = \"root\"\norigin = \"http://127.0.0.1:{origin}\"\nrate = 10000\n"
            ),
        )
        .expect("a file");
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.args(["-e", "stderr", "-p"]).arg(at);
        nginx.arg("-c").arg(at.join("nginx.conf"));
        let mut proxy = Command::new(env!("CARGO_BIN_EXE_envsyncd"));
        proxy.arg("--config").arg(at.join("envsyncd.toml"));
        proxy.arg("file-proxy");
        Self {
            nginx: Server::start(nginx, theirs, &at.join("nginx.log")),
            ours: Server::start(proxy, ours, &at.join("proxy.log")),
            origin_port: origin,
            has_wrk: Command::new("wrk")
                .arg("-v")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok(),
        }
    }

    /// Requests a second for a file that is there.
    fn present(&self, name: &str, rounds: usize, seconds: usize) {
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let one = |server: &Server, all: &mut Vec<(f64, f64)>| {
                let url = format!("http://127.0.0.1:{}/{}", server.port, file(name));
                let before = server.processor();
                let requests = if self.has_wrk {
                    wrk(&url, seconds)
                } else {
                    own(server.port, &file(name), seconds)
                };
                let each = (server.processor() - before) / (requests * seconds as f64);
                all.push((requests, each * 1e6));
            };
            if round % 2 == 0 {
                one(&self.nginx, &mut theirs);
                one(&self.ours, &mut ours);
            } else {
                one(&self.ours, &mut ours);
                one(&self.nginx, &mut theirs);
            }
            ratios.push(ours[round].0 / theirs[round].0);
        }
        println!("files of {name} that are there");
        for (who, all) in [("envsyncd", ours), ("nginx", theirs)] {
            let requests = median(all.iter().map(|one| one.0).collect());
            let processor = median(all.iter().map(|one| one.1).collect());
            println!(
                "  {who:<10}{requests:>9.0} a second{processor:>9.1} µs of processor time each"
            );
        }
        println!("  {:<10}{:>9.2}", "ratio", median(ratios));
    }

    /// How much later than the origin's the first byte of a missing file comes.
    fn missing(&self, name: &str, size: usize, rounds: usize) {
        let mut origin = connect(self.origin_port);
        let mut ours = connect(self.ours.port);
        let (mut direct, mut proxied, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..rounds * MISSING {
            let path = format!("{number}-{}", file(name));
            let [there, here] = [&mut origin, &mut ours].map(|stream| {
                let (first, length) = first_byte(stream, &path);
                assert_eq!(length, size, "{path}");
                first.as_secs_f64() * 1e3
            });
            direct.push(there);
            proxied.push(here);
            later.push(here - there);
        }
        later.sort_by(f64::total_cmp);
        println!(
            "first byte of a missing file of {name}: origin {:.2} ms, envsyncd {:.2} ms; later by {:.2} ms, 95 of 100 by {:.2} ms at most",
            median(direct),
            median(proxied),
            median(later.clone()),
            later[later.len() * 95 / 100]
        );
    }
}

impl Server {
    fn start(mut command: Command, port: u16, log: &Path) -> Self {
        let said = fs::File::create(log).expect("a file");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let mut server = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = || fs::read_to_string(log).unwrap_or_default();
            let ended = server.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(20),
                "{}",
                said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Seconds of processor time that it and its children have used.
    fn processor(&self) -> f64 {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let children = children.unwrap_or_default();
        let each = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        each.chain([own]).map(processor).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// User and system time (fields 14 and 15 of `/proc/PID/stat`), in seconds; there are 100 ticks in one.
fn processor(pid: u32) -> f64 {
    let stat = PathBuf::from(format!("/proc/{pid}/stat"));
    let stat = fs::read_to_string(stat).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// A size as it is part of a file's name.
fn file(name: &str) -> String {
    format!("{}.jpg", name.replace(' ', ""))
}

/// Requests a second by wrk.
fn wrk(url: &str, seconds: usize) -> f64 {
    let done = Command::new("wrk")
        .args([
            "-t1",
            &format!("-c{CONNECTIONS}"),
            &format!("-d{seconds}s"),
            url,
        ])
        .output()
        .expect("wrk");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );
    let rate = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate = rate.and_then(|rate| rate.trim().parse().ok());
    rate.unwrap_or_else(|| panic!("{text}"))
}

/// Requests a second by as many threads as there are connections.
fn own(port: u16, path: &str, seconds: usize) -> f64 {
    let answered = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut stream = connect(port);
                while begun.elapsed() < Duration::from_secs(seconds as u64) {
                    first_byte(&mut stream, path);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    answered.into_inner() as f64 / begun.elapsed().as_secs_f64()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Asks for a file, reads it to its end, and says when its first byte had come, and how long it is.
fn first_byte(stream: &mut TcpStream, path: &str) -> (Duration, usize) {
    let begun = Instant::now();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut buffer = vec![0; 64 << 10];
    let mut so_far = 0;
    // The head, and a byte more.
    let head = loop {
        let read = stream.read(&mut buffer[so_far..]).expect("an answer");
        assert!(read > 0, "{path}: the connection was closed");
        so_far += read;
        let end = memchr::memmem::find(&buffer[..so_far], b"\r\n\r\n");
        if let Some(end) = end.filter(|end| end + 4 < so_far) {
            break end;
        }
    };
    let first = begun.elapsed();
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{path}: {text}");
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.trim().parse::<usize>().ok())
        .expect("a length");
    let mut left = length - (so_far - head - 4);
    while left > 0 {
        let most = left.min(buffer.len());
        let read = stream.read(&mut buffer[..most]).expect("an answer");
        assert!(read > 0, "{path}: cut short");
        left -= read;
    }
    (first, length)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("an address").port()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
