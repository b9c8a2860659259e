//! Requests that are none, that are two, or that are too much.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::Stand;
use crate::support::origin::{ask, get};

/// All that is answered to these bytes, until nothing more comes for a moment or the connection ends.
fn answered(stand: &Stand, bytes: &[u8]) -> String {
    answered_within(stand, bytes, Duration::from_millis(700))
}

/// The same, where a moment is so long.
fn answered_within(stand: &Stand, bytes: &[u8], moment: Duration) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", stand.port)).unwrap();
    // It may be closed before all is sent.
    let _ = stream.write_all(bytes);
    stream.set_read_timeout(Some(moment)).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        all.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_request_s_body_is_never_another_request() {
    let stand = Stand::new("");
    stand.write("a.txt", "present");
    let hidden = "GET /hidden.jpg HTTP/1.1\r\nHost: x\r\n\r\n";
    stand.origin.file("/hidden.jpg", "from production");
    let length = hidden.len();
    let chunk = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    for head in [
        format!("Content-Length: {length}\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{chunk}"),
        // Two ways to tell a length, of which two servers could take one each.
        format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunk}"),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"),
        format!("Content-Length: {length}, 0\r\n\r\n{hidden}"),
        format!("Content-Length: +0\r\n\r\n{hidden}"),
        format!("Content-Length: 0x0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: xchunked\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n{hidden}"),
        format!("Transfer-Encoding : chunked\r\n\r\n{hidden}"),
        format!("X: y\r\n Content-Length: 0\r\n\tX\r\nTransfer-Encoding: x\r\n\r\n{hidden}"),
        format!("X: y\0\r\n\r\n{hidden}"),
    ] {
        for method in ["GET", "POST"] {
            let request = format!("{method} /a.txt HTTP/1.1\r\nHost: x\r\n{head}");
            let answer = answered(&stand, request.as_bytes());
            assert!(!answer.contains("from production"), "{request}: {answer}");
            assert!(
                answer.matches("HTTP/1.1 ").count() <= 1,
                "{request}: {answer}"
            );
        }
    }
    assert!(
        stand.origin.asked().is_empty(),
        "{:?}",
        stand.origin.asked()
    );
    // Two that are two are answered one after the other.
    let one = "GET /a.txt HTTP/1.1\r\nHost: x\r\n";
    let two = format!("{one}\r\n{one}Connection: close\r\n\r\n");
    let answer = answered_within(&stand, two.as_bytes(), Duration::from_secs(60));
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
}

#[test]
fn what_is_no_request_is_refused_and_changes_nothing() {
    let stand = Stand::new("");
    stand.write("a.txt", "present");
    let long = "a".repeat(100_000);
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /a.txt\r\n\r\n".to_vec(),
        b"GET /a.txt HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /a.txt\nx: y HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /a b.txt HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"GET a.txt HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(),
        vec![0; 1000],
    ] {
        let answer = answered(&stand, &bytes);
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(
            !answer.contains("present") && !answer.contains(" 200 "),
            "{begin:?}: {answer}"
        );
    }
    assert!(
        stand.origin.asked().is_empty(),
        "{:?}",
        stand.origin.asked()
    );
    assert_eq!(stand.get("/a.txt").text(), "present");
}

#[test]
fn headers_without_end_are_refused() {
    let stand = Stand::new("");
    stand.write("a.txt", "present");
    let cookies = |bytes: usize| format!("Cookie: {}", "c".repeat(bytes));
    assert_eq!(get(stand.port, "/a.txt", &[&cookies(8000)]).status, 200);
    let many: Vec<String> = (0..200).map(|number| format!("X-{number}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for headers in [&[cookies(64 << 10).as_str()][..], &many] {
        let mut head = String::from("GET /a.txt HTTP/1.1\r\nHost: x\r\n");
        for line in headers {
            head += &format!("{line}\r\n");
        }
        let answer = answered(&stand, format!("{head}\r\n").as_bytes());
        assert!(
            !answer.contains("present") && !answer.contains(" 200 "),
            "{answer}"
        );
    }
    assert_eq!(
        ask(stand.port, "GET", "/a.txt", &[]).reply("GET").status,
        200
    );
}

#[test]
fn a_whole_url_in_a_request_names_a_file_here_and_no_other_host() {
    let stand = Stand::new("");
    stand.write("a.txt", "present");
    stand.origin.file("/b.jpg", "from production");
    assert_eq!(stand.get("http://192.0.2.1/a.txt").text(), "present");
    assert_eq!(
        stand.get("http://user:secret@192.0.2.1:99/b.jpg").text(),
        "from production"
    );
    for path in [
        "http://192.0.2.1",
        "http://192.0.2.1/%2e%2e/a.txt",
        "file:///etc/passwd",
    ] {
        let reply = stand.get(path);
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
    }
    let asked = stand.origin.asked();
    assert!(
        asked[0].starts_with("GET /files/b.jpg HTTP/1.1\r\n"),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .all(|head| !head.contains("192.0.2.1") && !head.contains("secret"))
    );
}
