//! Many clients at once, and clients that only take up room.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Stand;
use crate::support::origin::{Answer, ask};
use crate::support::postgres::free_port;
use crate::support::wait_until;

#[test]
fn two_thousand_clients_are_served_at_once_and_each_missing_file_is_fetched_once() {
    let stand = Stand::new("");
    let names = ["here.txt", "a.txt", "b.txt", "c.txt"];
    stand.write(names[0], names[0].repeat(1000));
    for name in &names[1..] {
        stand.origin.put(
            &format!("/{name}"),
            Answer::new(200, name.repeat(1000)).late(Duration::from_millis(300)),
        );
    }
    let of = |number: usize| names[number % names.len()];
    let asking: Vec<_> = (0..2000)
        .map(|number| ask(stand.port, "GET", &format!("/{}", of(number)), &[]))
        .collect();
    for (number, one) in asking.into_iter().enumerate() {
        let reply = one.reply("GET");
        assert_eq!((reply.status, reply.is_whole), (200, true), "{number}");
        assert!(reply.text() == of(number).repeat(1000), "{number}");
    }
    for name in &names[1..] {
        assert_eq!(stand.origin.times(&format!("/{name}")), 1, "{name}");
    }
    assert_eq!(stand.origin.asked().len(), 3);
    wait_until("all are kept", || stand.files().len() == names.len());
}

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let stand = Stand::new("");
    stand.write("a.txt", "present");
    let silent: Vec<_> = (0..1500).map(|_| begun(&stand)).collect();
    let since = Instant::now();
    assert_eq!(stand.get("/a.txt").status, 200);
    // By itself a silent one stays for half a minute.
    assert!(since.elapsed() < Duration::from_secs(20));
    drop(silent);
}

/// A client that has sent half a request.
fn begun(stand: &Stand) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", stand.port)).unwrap();
    stream.write_all(b"GET /a.txt HTTP/1.1\r\nHo").unwrap();
    stream
}

/// How many connections there are where a process may have 700 files open.
const SEATS: usize = (700 - 512) / 2;

/// Limits of fetches that are not those of connections.
const LINES: &str = "max_fetches = 64\nrate = 1000\ntimeout = \"60s\"";

/// With so few files that [`SEATS`] connections are all that there are.
fn narrow() -> Stand {
    let mut stand = Stand::still(LINES);
    start_narrow(&mut stand);
    stand
}

/// Has it served so.
fn start_narrow(stand: &mut Stand) {
    let wanted = stand.command("file-proxy");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -n 700 && exec \"$0\" \"$@\""])
        .arg(wanted.get_program())
        .args(wanted.get_args());
    for (name, value) in wanted.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let running = stand.running.insert(stand.bed.spawn(&mut command));
    wait_until("the file proxy was ready", || {
        assert!(running.is_running(), "{}", running.said());
        running.said().contains("file proxy is ready")
    });
}

#[test]
fn where_all_connections_are_taken_a_silent_client_gives_way() {
    let stand = narrow();
    stand.write("a.txt", "present");
    let mut silent: Vec<TcpStream> = (0..SEATS).map(|_| begun(&stand)).collect();
    // Those that dawdle are no better than those that say nothing.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(250));
        for stream in &mut silent {
            stream.write_all(b"o").unwrap();
        }
    }
    let since = Instant::now();
    for number in 0..10 {
        assert_eq!(stand.get("/a.txt").status, 200, "{number}");
    }
    // By itself a silent one stays for half a minute.
    assert!(
        since.elapsed() < Duration::from_secs(20),
        "{:?}",
        since.elapsed()
    );
    let gone = silent.iter().filter(|stream| {
        let mut stream: &TcpStream = stream;
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0; 1]), Ok(0)) || stream.write(b"x").is_err()
    });
    let gone = gone.count();
    // While none has gone yet, one more is told to every tenth of a second.
    assert!((1..SEATS / 2).contains(&gone), "{gone} of them are gone");
}

#[test]
fn where_all_connections_are_taken_by_answers_the_next_client_waits_for_one_to_end() {
    let stand = narrow();
    stand.write("a.txt", "present");
    let content = vec![3; 100_000];
    stand.origin.put(
        "/b.jpg",
        Answer::new(200, content.clone()).still_after(1000),
    );
    let mut waiting: Vec<_> = (0..SEATS)
        .map(|_| ask(stand.port, "GET", "/b.jpg", &[]))
        .collect();
    for one in &mut waiting {
        one.first(1000);
    }
    let late = ask(stand.port, "GET", "/a.txt", &[]);
    std::thread::sleep(Duration::from_secs(4));
    // Nobody was sent away for the one that came last.
    stand.origin.open();
    for one in waiting {
        assert!(one.rest() == content[1000..]);
    }
    assert_eq!(late.reply("GET").text(), "present");
    wait_until("it is kept", || stand.path("b.jpg").is_file());
    assert!(fs::read(stand.path("b.jpg")).unwrap() == content);
}

#[test]
fn file_proxies_of_one_process_have_their_connections_together() {
    let mut stand = Stand::still(LINES);
    let port = free_port();
    let other = format!(
        "[[file_proxy]]\nlisten = \"127.0.0.1:{port}\"\nroot = \"other\"\norigin = \"{}\"\n",
        stand.origin.url()
    );
    fs::create_dir(stand.bed.path("other")).unwrap();
    fs::write(stand.bed.path("other/a.txt"), "present").unwrap();
    let table = stand.table(LINES) + &other;
    fs::write(stand.bed.path("envsyncd.toml"), table).unwrap();
    start_narrow(&mut stand);
    wait_until("both are ready", || {
        stand.said().matches("file proxy is ready").count() == 2
    });
    stand.origin.put(
        "/b.jpg",
        Answer::new(200, vec![3; 100_000]).still_after(1000),
    );
    let mut waiting: Vec<_> = (0..SEATS)
        .map(|_| ask(stand.port, "GET", "/b.jpg", &[]))
        .collect();
    for one in &mut waiting {
        one.first(1000);
    }
    let mut late = TcpStream::connect(("127.0.0.1", port)).unwrap();
    late.write_all(b"GET /a.txt HTTP/1.1\r\nHost: staging\r\nConnection: close\r\n\r\n")
        .unwrap();
    late.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let nothing = late.read(&mut [0; 1]).unwrap_err().kind();
    assert!(matches!(
        nothing,
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    stand.origin.open();
    drop(waiting);
    late.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\npresent"), "{answer}");
}
