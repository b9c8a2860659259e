//! Files that are missing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Stand;
use crate::support::origin::{Answer, Framing, ask, get};
use crate::support::wait_until;

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number % 253) as u8).collect()
}

#[test]
fn a_missing_file_is_sent_while_it_arrives_and_kept_once_it_is_whole() {
    let stand = Stand::new("");
    let content = bytes(3 << 20);
    let answer = Answer::new(200, content.clone())
        .header("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT")
        .still_after(1 << 20);
    stand.origin.put("/2024/05/a%20b.jpg", answer);
    fs::set_permissions(stand.bed.path("root"), fs::Permissions::from_mode(0o2775)).unwrap();
    let mut one = ask(stand.port, "GET", "/2024/05/a%20b.jpg", &[]);
    let (head, first) = one.first(1 << 20);
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("content-length: 3145728"),
        "{head}"
    );
    assert!(
        head.contains("last-modified: Sun, 06 Nov 1994 08:49:37 GMT")
            && first == content[..1 << 20]
    );
    // Whoever comes meanwhile gets what is there, from its beginning; a range is a matter for later.
    let mut other = ask(
        stand.port,
        "GET",
        "/2024/05/a%20b.jpg",
        &["Range: bytes=5-9"],
    );
    let (head, first) = other.first(1 << 20);
    assert!(
        head.starts_with("HTTP/1.1 200") && first == content[..1 << 20],
        "{head}"
    );
    assert!(stand.files().is_empty() && stand.unfinished() == 1);
    stand.origin.open();
    assert!(one.rest() == content[1 << 20..] && other.rest() == content[1 << 20..]);
    let kept = stand.path("2024/05/a b.jpg");
    wait_until("it is kept", || kept.is_file());
    assert!(fs::read(&kept).unwrap() == content);
    let found = fs::metadata(&kept).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o644, 784_111_777));
    assert_eq!(
        fs::metadata(stand.path("2024")).unwrap().mode() & 0o7777,
        0o2775
    );
    wait_until("nothing is left", || stand.unfinished() == 0);
    let again = get(stand.port, "/2024/05/a%20b.jpg", &["Range: bytes=5-9"]);
    assert_eq!((again.status, &again.body[..]), (206, &content[5..10]));
    assert_eq!(stand.origin.asked().len(), 1);
}

#[test]
fn root_keeps_a_file_as_its_directory_s_owner_would() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let stand = Stand::new("");
    std::os::unix::fs::chown(stand.bed.path("root"), Some(33), Some(33)).unwrap();
    stand.origin.file("/a/b.jpg", "x");
    assert_eq!(stand.get("/a/b.jpg").status, 200);
    wait_until("it is kept", || stand.path("a/b.jpg").is_file());
    for name in ["a", "a/b.jpg"] {
        let found = fs::metadata(stand.path(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (33, 33), "{name}");
    }
}

#[test]
fn a_thousand_requests_for_one_missing_file_are_one_fetch() {
    let stand = Stand::new("");
    let content = bytes(200_000);
    stand.origin.put(
        "/a.jpg",
        Answer::new(200, content.clone())
            .framed(Framing::Chunks)
            .late(Duration::from_millis(300))
            .still_after(70_000),
    );
    let asking: Vec<_> = (0..1000)
        .map(|_| ask(stand.port, "GET", "/a.jpg", &[]))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    stand.origin.open();
    for one in asking {
        let reply = one.reply("GET");
        assert!(reply.status == 200 && reply.is_whole && reply.body == content);
    }
    assert_eq!(stand.origin.asked().len(), 1);
}

#[test]
fn nothing_of_a_request_but_its_path_reaches_the_origin() {
    let stand = Stand::new("");
    stand.origin.file("/a.jpg", "x");
    let reply = get(
        stand.port,
        "/a.jpg?itok=secret",
        &[
            "Cookie: session=secret",
            "Authorization: Basic secret",
            "X-Forwarded-For: 192.0.2.1",
            "Referer: https://secret",
            "Accept-Encoding: gzip",
            "If-None-Match: \"secret\"",
        ],
    );
    assert_eq!(reply.status, 200);
    let asked = stand.origin.asked();
    let [head] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert!(head.starts_with("GET /files/a.jpg HTTP/1.1\r\n"), "{head}");
    assert!(
        !head.contains("secret") && !head.contains("192.0.2.1"),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains("accept-encoding: identity\r\n"),
        "{head}"
    );
    let mut names: Vec<String> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_lowercase())
        .collect();
    names.sort();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
}

#[test]
fn a_client_that_goes_away_ends_no_fetch() {
    let stand = Stand::new("");
    let content = bytes(400_000);
    stand.origin.put(
        "/a.jpg",
        Answer::new(200, content.clone()).still_after(100_000),
    );
    let mut one = ask(stand.port, "GET", "/a.jpg", &[]);
    one.first(10);
    let mut two = ask(stand.port, "GET", "/a.jpg", &[]);
    two.first(10);
    drop(one);
    std::thread::sleep(Duration::from_millis(200));
    stand.origin.open();
    assert!(two.rest() == content[10..]);
    // And where all have gone.
    let origin = &stand.origin;
    origin.put(
        "/b.jpg",
        Answer::new(200, content.clone()).late(Duration::from_millis(500)),
    );
    let alone = ask(stand.port, "GET", "/b.jpg", &[]);
    wait_until("the origin is asked", || origin.times("/b.jpg") == 1);
    drop(alone);
    wait_until("it is kept all the same", || stand.path("b.jpg").is_file());
    assert!(fs::read(stand.path("b.jpg")).unwrap() == content);
    assert_eq!(origin.asked().len(), 2);
}

#[test]
fn a_file_that_the_site_writes_meanwhile_wins() {
    let stand = Stand::new("");
    stand
        .origin
        .put("/a.txt", Answer::new(200, "from production").still_after(5));
    let mut one = ask(stand.port, "GET", "/a.txt", &[]);
    one.first(5);
    stand.write("a.txt", "the site's own");
    assert_eq!(stand.get("/a.txt").text(), "the site's own");
    stand.origin.open();
    assert_eq!(one.rest(), b"production");
    wait_until("the fetch is over", || stand.unfinished() == 0);
    assert_eq!(fs::read(stand.path("a.txt")).unwrap(), b"the site's own");
}

#[test]
fn who_asks_is_sent_to_the_origin_where_that_is_wanted() {
    let mut stand = Stand::still("mode = \"redirect\"");
    stand.write("here.jpg", "x");
    stand.start();
    assert_eq!(stand.get("/here.jpg").status, 200);
    let reply = stand.get("/2024/a%20b.jpg?x=1");
    assert_eq!(
        (reply.status, reply.header("cache-control")),
        (302, "no-store")
    );
    assert_eq!(
        reply.header("location"),
        format!("{}/2024/a%20b.jpg", stand.origin.url())
    );
    assert_eq!(stand.get("/private/a.jpg").status, 404);
    assert!(stand.origin.asked().is_empty());
    assert_eq!(stand.files(), ["here.jpg"]);
    assert!(!stand.path(".envsyncd-proxy").exists());
}

#[test]
fn what_a_killed_process_left_is_removed_and_one_directory_has_one_process() {
    let mut stand = Stand::new("");
    stand.origin.put(
        "/a.jpg",
        Answer::new(200, bytes(100_000)).still_after(50_000),
    );
    let mut one = ask(stand.port, "GET", "/a.jpg", &[]);
    one.first(10_000);
    assert_eq!(stand.unfinished(), 1);
    let other = stand.launch().end().expect(75);
    assert!(
        other.stderr.contains("another process serves root"),
        "{}",
        other.stderr
    );
    assert_eq!(stand.unfinished(), 1);
    stand.running.take().unwrap().kill();
    assert!(one.rest().len() < 100_000 && stand.files().is_empty());
    stand.start();
    assert_eq!(stand.unfinished(), 0);
    stand.origin.open();
    assert!(stand.get("/a.jpg").body == bytes(100_000));
}

#[test]
fn a_sigterm_ends_it_once_the_open_answers_are_sent() {
    let mut stand = Stand::new("");
    let content = bytes(300_000);
    stand.origin.put(
        "/a.jpg",
        Answer::new(200, content.clone()).still_after(100_000),
    );
    let mut one = ask(stand.port, "GET", "/a.jpg", &[]);
    one.first(10);
    let mut running = stand.running.take().unwrap();
    running.signal(Signal::SIGTERM);
    wait_until("nobody is let in", || {
        std::net::TcpStream::connect(("127.0.0.1", stand.port)).is_err()
    });
    assert!(running.is_running());
    stand.origin.open();
    assert!(one.rest() == content[10..]);
    running.end().expect(0);
    assert!(fs::read(stand.path("a.jpg")).unwrap() == content && stand.unfinished() == 0);
}

#[test]
fn an_empty_file_is_a_file() {
    let stand = Stand::new("");
    stand.origin.file("/empty.txt", "");
    let reply = stand.get("/empty.txt");
    assert_eq!(
        (reply.status, reply.header("content-length"), reply.is_whole),
        (200, "0", true)
    );
    wait_until("it is kept", || stand.path("empty.txt").is_file());
    assert_eq!(stand.get("/empty.txt").status, 200);
}
