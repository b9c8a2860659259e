//! What somebody may try who should not get in, or should not get further.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::api::{Answer, Api, answer};

#[test]
fn paths_and_names_lead_nowhere_else() {
    let mut api = Api::draft("");
    api.house.job("a");
    api.house.start();
    let token = api.token(&["boss", "--scope", "admin"]);
    let get = |path: &str| api.ask(&token, "GET", path, &[]);
    for path in [
        "/api/v1/jobs/..%2F..%2Fetc%2Fpasswd",
        "/api/v1/jobs/%2e%2e",
        "/api/v1/../../etc/passwd",
        "/../../etc/passwd",
        "/api/v1/runs/%27%20OR%201%3D1",
        "/api/v1/runs/0",
        "/api/v1/runs/%00",
        "/api/v1/jobs/a%0d%0aX-Injected:%201",
        "/api/v1/sites/main%2Fx",
        "/api/v1/environments/%E2%80%AE",
    ] {
        let found: Answer = get(path);
        assert_eq!(found.status, 404, "{path}: {}", found.body);
        assert_eq!(found.header("x-injected"), "", "{path}");
    }
    for path in [
        "/api/v1/jobs/%ff",
        "/api/v1/runs?limit=x",
        "/api/v1/runs?state=odd",
        "/api/v1/runs?limit=-1",
    ] {
        let found = get(path);
        assert!(matches!(found.status, 400 | 404), "{path}: {}", found.body);
    }
    // A name with escapes reaches no log as such.
    let odd = "/api/v1/environments/x%1b%5b31m%0aFAKE/hold";
    let _ = api.post(&token, odd, r#"{"reason": "a\u001b[31m\nb"}"#);
    assert!(!api.house.said().contains('\u{1b}'));
    assert!(
        !api.house
            .said()
            .lines()
            .any(|line| line.starts_with("FAKE"))
    );
    let audit = api.house.run(&["history", "--audit"]).expect(0).stdout;
    assert!(
        !audit.contains('\u{1b}') && !audit.lines().any(|line| line.starts_with("FAKE")),
        "{audit}"
    );
    // And what browsers are told.
    let found = get("/api/v1/jobs");
    assert!(
        found
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    assert_eq!(found.header("x-content-type-options"), "nosniff");
}

#[test]
fn a_name_that_was_made_to_lead_here_is_not_answered() {
    let (api, port) = Api::at_port(false);
    let token = api.token(&["ci", "--scope", "read"]);
    let ask = |host: &str| {
        let mut curl = Command::new("curl");
        curl.arg("-H")
            .arg(format!("Host: {host}"))
            .arg("-H")
            .arg(format!("Authorization: Bearer {token}"));
        answer(curl.arg(format!("http://127.0.0.1:{port}/api/v1/jobs")))
    };
    ask("evil.example").problem(421, "is not called so");
    ask("localhost.evil.example").problem(421, "is not called so");
    ask(&format!("localhost:{port}")).expect(200);
    ask(&format!("127.0.0.1:{port}")).expect(200);
}

#[test]
fn slow_and_silent_clients_hold_nobody_up() {
    let api = Api::new("");
    let token = api.token(&["ci", "--scope", "run"]);
    let connect = || UnixStream::connect(api.socket()).expect("a connection");
    let mut silent: Vec<UnixStream> = (0..200).map(|_| connect()).collect();
    let mut slow = connect();
    write!(
        slow,
        "POST /api/v1/sites/main/database/sync HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{{"
    )
    .unwrap();
    // While they are there, others are answered.
    api.get(&token, "/api/v1/jobs");
    // Those that say nothing are closed after a while, the slow body after half a minute.
    let mut rest = Vec::new();
    silent[0]
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let read = silent[0].read_to_end(&mut rest);
    assert!(read.is_ok(), "it is still open");
    slow.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut said = String::new();
    let _ = slow.read_to_string(&mut said);
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(api.house.runs(None).is_empty());
}

/// So many connections that say nothing.
const FLOOD: usize = 10_000;

/// Lets this process have so many files open.
fn open_many(files: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = files.min(hard);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
    }
}

/// Megabytes of its own that a process has in memory.
fn megabytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<u64>().unwrap() / 1024
}

/// One flood at a time: this process may not have more files open.
static FLOODED: Mutex<()> = Mutex::new(());

/// Connects ten thousand times, asks in between as somebody else, and looks how the daemon does.
#[track_caller]
fn flooded<S>(api: &mut Api, mut connect: impl FnMut(usize) -> S, ask: impl Fn()) {
    let _one = FLOODED.lock().unwrap_or_else(PoisonError::into_inner);
    open_many(FLOOD as u64 + 8000);
    let pid = api.house.pid();
    let before = megabytes(pid);
    let mut silent = Vec::new();
    for number in 0..FLOOD {
        silent.push(connect(number));
        if number % 1000 == 999 {
            ask();
        }
    }
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    assert!(files < 4096 + 160, "{files} files are open");
    let more = megabytes(pid).saturating_sub(before);
    assert!(more < 150, "{more} MB more than before");
    // Its clock goes on.
    let ready = || {
        let ready = api.house.state().daemon().unwrap().unwrap();
        (ready.is_alive(), ready.seen_at)
    };
    let (_, then) = ready();
    api.house.until("the daemon had looked at its clock", |_| {
        let (alive, now) = ready();
        alive && now > then
    });
    ask();
    // And it works.
    let last = api.house.runs(Some("a")).len();
    api.house.run(&["trigger", "a", "--wait"]).expect(0);
    assert_eq!(api.house.runs(Some("a")).len(), last + 1);
    drop(silent);
    ask();
}

#[test]
fn ten_thousand_silent_connections_of_one_user_lock_nobody_out() {
    let mut api = Api::draft("");
    api.house.job("a");
    api.house.start();
    let token = api.token(&["ci", "--scope", "read"]);
    let socket = api.socket();
    let asked = socket.clone();
    let ask = || {
        let mut curl = Command::new("curl");
        curl.arg("--unix-socket")
            .arg(&asked)
            .arg("-H")
            .arg(format!("Authorization: Bearer {token}"));
        answer(curl.arg("http://localhost/api/v1/jobs")).expect(200);
    };
    flooded(
        &mut api,
        |_| UnixStream::connect(&socket).expect("a connection"),
        ask,
    );
}

#[test]
fn ten_thousand_silent_connections_from_many_addresses_lock_nobody_out() {
    let (mut api, port) = Api::at_port(false);
    let token = api.token(&["ci", "--scope", "read"]);
    let ask = || {
        let mut curl = Command::new("curl");
        curl.arg("-H").arg(format!("Authorization: Bearer {token}"));
        answer(curl.arg(format!("http://127.0.0.1:{port}/api/v1/jobs"))).expect(200);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let connect = |number: usize| {
        let from = format!("127.0.0.{}:0", 2 + number % 40);
        runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(from.parse().unwrap()).unwrap();
            let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
            socket.connect(to).await.expect("a connection")
        })
    };
    flooded(&mut api, connect, ask);
}

#[test]
fn endless_headers_and_many_of_them_are_refused() {
    let api = Api::new("");
    for head in [
        format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}",
            "x".repeat(100_000)
        ),
        format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}",
            "X-A: 1\r\n".repeat(2000)
        ),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(),
    ] {
        let mut stream = UnixStream::connect(api.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(b"\r\n\r\n");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    api.ask("", "GET", "/healthz", &[]).expect(200);
}

#[test]
fn tls_is_1_2_or_1_3_and_speaks_http_2() {
    let (api, port) = Api::at_port(true);
    let token = api.token(&["ci", "--scope", "read"]);
    let ask = |more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.arg("--cacert")
            .arg(api.house.bed.path("ca.crt"))
            .args(more);
        curl.arg("-H").arg(format!("Authorization: Bearer {token}"));
        curl.arg("--resolve")
            .arg(format!("localhost:{port}:127.0.0.1"));
        curl.arg(format!("https://localhost:{port}/api/v1/jobs"));
        curl
    };
    let found = answer(&mut ask(&["--http2"])).expect(200);
    assert!(
        found
            .header("strict-transport-security")
            .starts_with("max-age=")
    );
    answer(&mut ask(&["--http1.1", "--tls-max", "1.2"])).expect(200);
    for old in [
        ["--tlsv1.0", "--tls-max", "1.0"],
        ["--tlsv1.1", "--tls-max", "1.1"],
    ] {
        let output = ask(&old).arg("-sS").output().unwrap();
        assert!(!output.status.success(), "{old:?}");
    }
    // Somebody who speaks no TLS at all.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("200"));
}

#[test]
fn an_api_that_cannot_listen_keeps_the_daemon_from_starting_and_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut api = Api::draft("");
    let settings = std::fs::read_to_string(api.house.config()).unwrap();
    let at = format!("listen = \"127.0.0.1:{port}\"\n");
    api.house
        .raw_settings(&settings.replace("listen = \"unix:http.sock\"\n", &at));
    api.house.launch();
    api.house.stopped().expect(1).says(&[
        &format!("cannot listen at 127.0.0.1:{port}"),
        "another program",
    ]);
    // What a killed daemon left is taken over; what is no socket is not. A second daemon takes nothing from the first.
    api.house.raw_settings(&settings);
    api.house.start();
    api.house.run(&["daemon"]).expect(75);
    api.ask("", "GET", "/healthz", &[]).expect(200);
    api.house.kill();
    api.house.start();
    api.house.kill();
    std::fs::remove_file(api.socket()).unwrap();
    std::fs::write(api.socket(), "precious").unwrap();
    api.house.launch();
    api.house.stopped().expect(1).says(&["http.sock"]);
    assert_eq!(std::fs::read_to_string(api.socket()).unwrap(), "precious");
}
