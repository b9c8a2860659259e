//! The daemon serves file proxies, too.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;

use super::Stand;
use crate::support::origin::{get, try_get};
use crate::support::postgres::free_port;
use crate::support::wait_until;

fn daemon(stand: &mut Stand) {
    let running = stand.bed.spawn(&mut stand.command("daemon"));
    let running = stand.running.insert(running);
    wait_until("the daemon was ready", || {
        assert!(running.is_running(), "{}", running.said());
        running.said().contains("daemon is ready")
    });
}

#[test]
fn the_daemon_serves_them_follows_its_settings_and_ends_with_them() {
    let mut stand = Stand::still("");
    stand.write("a.txt", "x");
    stand.origin.file("/b.txt", "y");
    daemon(&mut stand);
    assert_eq!(stand.get("/a.txt").text(), "x");
    assert_eq!(stand.get("/b.txt").text(), "y");
    // Another address, and another rule.
    let before = stand.port;
    stand.port = free_port();
    stand.configure("exclude = [\"b.txt\"]");
    wait_until("the new one is served", || {
        std::net::TcpStream::connect(("127.0.0.1", stand.port)).is_ok()
    });
    assert_eq!(
        (stand.get("/a.txt").status, stand.get("/b.txt").status),
        (200, 404)
    );
    wait_until("the old one is not", || {
        std::net::TcpStream::connect(("127.0.0.1", before)).is_err()
    });
    // The same address, another rule again.
    stand.configure("");
    wait_until("the rule is gone", || {
        try_get(stand.port, "/b.txt").is_some_and(|reply| reply.status == 200)
    });
    // Settings that make no sense change nothing.
    stand.configure("nonsense = 1");
    wait_until("that is said", || {
        stand.said().contains("the settings' file is broken")
    });
    assert_eq!(stand.get("/a.txt").status, 200);
    // A root is nobody's proxy, as little as none is.
    let text = stand.table("");
    let (without, _) = text.split_once("[[file_proxy]]").unwrap();
    fs::write(stand.bed.path("envsyncd.toml"), without).unwrap();
    wait_until("there is none", || {
        std::net::TcpStream::connect(("127.0.0.1", stand.port)).is_err()
    });
    stand.configure("");
    wait_until("there is one", || {
        std::net::TcpStream::connect(("127.0.0.1", stand.port)).is_ok()
    });
    stand.stop().expect(0);
    assert!(std::net::TcpStream::connect(("127.0.0.1", stand.port)).is_err());
}

#[test]
fn a_unix_socket_is_listened_at_as_well_and_a_sighup_reads_the_settings_again() {
    let mut stand = Stand::still("");
    stand.write("a.txt", "x");
    let table = stand
        .table("")
        .replace(&format!("127.0.0.1:{}", stand.port), "unix:files.sock");
    fs::write(stand.bed.path("envsyncd.toml"), table).unwrap();
    stand.start();
    let ask = || -> Option<String> {
        let mut stream = UnixStream::connect(stand.bed.path("files.sock")).ok()?;
        // Who listens may leave before it has answered.
        stream
            .write_all(b"GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    assert!(ask().unwrap().ends_with("\r\n\r\nx"));
    stand.configure("");
    stand.running.as_ref().unwrap().signal(Signal::SIGHUP);
    wait_until("the port is served", || {
        std::net::TcpStream::connect(("127.0.0.1", stand.port)).is_ok()
    });
    assert_eq!(get(stand.port, "/a.txt", &[]).text(), "x");
    wait_until("the socket is not", || ask().is_none());
}
