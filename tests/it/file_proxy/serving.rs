//! Files that are there.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::Stand;
use crate::support::origin::{ask, get};
use crate::support::wait_until;

#[test]
fn a_file_that_is_there_is_sent_with_its_validators_and_nothing_may_run_in_it() {
    let stand = Stand::new("");
    stand.write("2024-01/a b.jpg", "a picture");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    fs::File::open(stand.path("2024-01/a b.jpg"))
        .and_then(|file| file.set_modified(time))
        .unwrap();
    let reply = stand.get("/2024-01/a%20b.jpg?itok=1");
    assert_eq!((reply.status, reply.text().as_str()), (200, "a picture"));
    assert_eq!(reply.header("content-type"), "image/jpeg");
    assert_eq!(
        reply.header("last-modified"),
        "Sun, 06 Nov 1994 08:49:37 GMT"
    );
    assert_eq!(reply.header("accept-ranges"), "bytes");
    assert!(reply.header("etag").starts_with('"'));
    assert!(!reply.headers.contains_key("content-disposition"));
    for (name, content_type) in [
        ("a.svg", "image/svg+xml"),
        ("a.html", "text/html"),
        ("a.XHTML", "application/xhtml+xml"),
        ("a.xml", "application/xml"),
    ] {
        stand.write(name, "<x onload=\"alert(1)\"/>");
        let reply = stand.get(&format!("/{name}"));
        assert_eq!(reply.header("content-disposition"), "attachment", "{name}");
        assert_eq!(reply.header("content-type"), content_type);
    }
    for path in [
        "/a.svg",
        "/2024-01/a%20b.jpg",
        "/missing.jpg",
        "/.htaccess",
        "/%2e%2e/x",
    ] {
        let reply = stand.get(path);
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(
            reply.header("content-security-policy"),
            "sandbox; default-src 'none'",
            "{path}"
        );
        assert!(!reply.headers.contains_key("set-cookie"));
    }
    assert_eq!(stand.origin.asked().len(), 1, "{:?}", stand.origin.asked());
}

#[test]
fn head_says_what_get_would_and_other_methods_are_refused() {
    let stand = Stand::new("");
    stand.write("a.txt", "text");
    let head = ask(stand.port, "HEAD", "/a.txt", &[]).reply("HEAD");
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, "4", 0)
    );
    assert_eq!(head.header("etag"), stand.get("/a.txt").header("etag"));
    stand.origin.file("/b.txt", "far");
    let head = ask(stand.port, "HEAD", "/b.txt", &[]).reply("HEAD");
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, "3", 0)
    );
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "TRACE"] {
        let reply = ask(stand.port, method, "/a.txt", &[]).reply(method);
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, "GET, HEAD"),
            "{method}"
        );
    }
    assert_eq!(fs::read(stand.path("a.txt")).unwrap(), b"text");
}

#[test]
fn a_part_is_sent_where_one_is_asked_for_and_nothing_of_what_is_known() {
    let stand = Stand::new("");
    let content: Vec<u8> = (0..300_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    stand.write("a.mp4", &content);
    let whole = stand.get("/a.mp4");
    assert!(whole.body == content && whole.is_whole);
    let (etag, date) = (
        whole.header("etag").to_owned(),
        whole.header("last-modified").to_owned(),
    );
    let asks = |headers: &[&str]| get(stand.port, "/a.mp4", headers);
    let part = asks(&["Range: bytes=100000-299998"]);
    assert_eq!(
        (part.status, part.header("content-range")),
        (206, "bytes 100000-299998/300000")
    );
    assert!(part.is_whole && part.body == content[100_000..299_999]);
    let tail = asks(&["Range: bytes=-5", &format!("If-Range: {etag}")]);
    assert_eq!((tail.status, &tail.body[..]), (206, &content[299_995..]));
    let beyond = asks(&["Range: bytes=300000-"]);
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, "bytes */300000")
    );
    for headers in [
        &["Range: bytes=0-1,4-5"][..],
        &["Range: bytes=0-1", "If-Range: \"other\""],
        &["Range: pages=1-2"],
    ] {
        let reply = asks(headers);
        assert!(reply.status == 200 && reply.body == content, "{headers:?}");
    }
    for header in [
        format!("If-None-Match: {etag}"),
        format!("If-None-Match: W/{etag}"),
        format!("If-Modified-Since: {date}"),
    ] {
        let reply = asks(&[&header]);
        assert_eq!(
            (reply.status, reply.header("etag"), reply.body.len()),
            (304, etag.as_str(), 0),
            "{header}"
        );
    }
    assert_eq!(asks(&["If-Match: \"other\""]).status, 412);
    // Another content of the same size and name is another file.
    let changed: Vec<u8> = content.iter().map(|byte| byte ^ 1).collect();
    stand.write("a.mp4", &changed);
    let reply = asks(&["Range: bytes=0-9", &format!("If-Range: {etag}")]);
    assert!(reply.status == 200 && reply.body == changed);
}

#[test]
fn a_file_that_is_cut_short_while_it_is_sent_is_seen_to_be() {
    let stand = Stand::new("");
    let file = fs::File::create(stand.path("a.bin")).unwrap();
    file.set_len(200 << 20).unwrap();
    let mut asking = ask(stand.port, "GET", "/a.bin", &[]);
    let (head, _) = asking.first(1000);
    assert!(head.contains("content-length: 209715200"), "{head}");
    file.set_len(1 << 20).unwrap();
    let rest = asking.rest();
    assert!(rest.len() + 1000 < 200 << 20, "{}", rest.len());
}

#[test]
fn a_directory_that_a_run_puts_in_its_place_is_served_from_then_on() {
    let stand = Stand::new("");
    stand.write("a.txt", "old");
    stand.origin.file("/b.txt", "fetched");
    assert_eq!(stand.get("/a.txt").text(), "old");
    let copied = Command::new("cp")
        .arg("-al")
        .arg(stand.bed.path("root"))
        .arg(stand.bed.path("new"))
        .status()
        .unwrap();
    assert!(copied.success());
    fs::remove_file(stand.bed.path("new/a.txt")).unwrap();
    fs::write(stand.bed.path("new/a.txt"), "new").unwrap();
    fs::rename(stand.bed.path("root"), stand.bed.path("previous")).unwrap();
    fs::rename(stand.bed.path("new"), stand.bed.path("root")).unwrap();
    wait_until("the new directory is served", || {
        stand.get("/a.txt").text() == "new"
    });
    assert_eq!(stand.get("/b.txt").text(), "fetched");
    wait_until("the file is kept", || stand.path("b.txt").is_file());
    assert!(!stand.bed.path("previous/b.txt").exists());
}
