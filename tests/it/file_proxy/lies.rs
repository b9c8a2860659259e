//! An origin that is slow, lies, or answers with something else.

use std::time::{Duration, Instant};

use super::Stand;
use crate::support::origin::{Answer, Framing, Origin, ask};
use crate::support::wait_until;

/// Nothing came of it: no file, and nothing on its way.
#[track_caller]
fn nothing_is_kept(stand: &Stand) {
    wait_until("nothing is on its way", || stand.unfinished() == 0);
    assert!(stand.files().is_empty(), "{:?}", stand.files());
}

#[test]
fn an_answer_that_is_cut_short_breaks_off_and_is_not_kept() {
    let stand = Stand::new("");
    let body = vec![7; 100_000];
    stand.origin.put(
        "/length.jpg",
        Answer::new(200, body.clone()).framed(Framing::Lie(200_000)),
    );
    stand.origin.put(
        "/chunks.jpg",
        Answer::new(200, body.clone()).framed(Framing::CutChunks),
    );
    for path in ["/length.jpg", "/chunks.jpg"] {
        let reply = stand.get(path);
        assert!(
            reply.status == 200 && !reply.is_whole && reply.body.len() <= 100_000,
            "{path}"
        );
        wait_until("it is known", || stand.get(path).status == 502);
    }
    // One that ends with its connection looks whole wherever it was cut.
    stand
        .origin
        .put("/close.jpg", Answer::new(200, body).framed(Framing::Close));
    let reply = stand.get("/close.jpg");
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (502, "the origin does not say how long the file is\n")
    );
    nothing_is_kept(&stand);
}

#[test]
fn a_page_of_an_error_is_no_picture_whatever_it_is_called() {
    let stand = Stand::new("");
    let page = "<!DOCTYPE html>\n<html><body>Not found</body></html>";
    stand.origin.put(
        "/said.jpg",
        Answer::new(200, page).header("Content-Type: text/html; charset=utf-8"),
    );
    stand.origin.put(
        "/called.png",
        Answer::new(200, page).header("Content-Type: image/png"),
    );
    stand.origin.put(
        "/silent.pdf",
        Answer::new(200, format!("\n {}", page.to_uppercase())),
    );
    stand.origin.put(
        "/json.zip",
        Answer::new(200, "{\"error\": true}").header("Content-Type: application/json"),
    );
    for path in ["/said.jpg", "/called.png", "/silent.pdf"] {
        assert_eq!(stand.get(path).status, 404, "{path}");
        assert_eq!(
            (stand.get(path).status, stand.origin.times(path)),
            (404, 1),
            "{path}"
        );
    }
    nothing_is_kept(&stand);
    // A page that is called one is one.
    stand.origin.put(
        "/page.html",
        Answer::new(200, page).header("Content-Type: text/html"),
    );
    let reply = stand.get("/page.html");
    assert_eq!(
        (reply.status, reply.header("content-disposition")),
        (200, "attachment")
    );
}

#[test]
fn answers_that_are_no_file_are_not_kept() {
    let stand = Stand::new("");
    let put = |path, status, header: &str| {
        let answer = Answer::new(status, "x");
        stand.origin.put(
            path,
            if header.is_empty() {
                answer
            } else {
                answer.header(header)
            },
        );
    };
    put("/gzip.jpg", 200, "Content-Encoding: gzip");
    put("/br.css", 200, "Content-Encoding: br");
    put("/known.jpg", 304, "");
    put("/nothing.jpg", 204, "");
    put("/part.jpg", 206, "Content-Range: bytes 0-0/9");
    for path in [
        "/gzip.jpg",
        "/br.css",
        "/known.jpg",
        "/nothing.jpg",
        "/part.jpg",
    ] {
        let reply = stand.get(path);
        assert_eq!(
            (reply.status, reply.header("cache-control")),
            (502, "no-store"),
            "{path}"
        );
        assert_eq!(
            (stand.get(path).status, stand.origin.times(path)),
            (502, 1),
            "{path}"
        );
    }
    for (path, status) in [("/login.jpg", 401), ("/no.jpg", 403), ("/gone.jpg", 410)] {
        put(path, status, "");
        assert_eq!(stand.get(path).status, 404, "{path}");
    }
    put("/plain.jpg", 200, "Content-Encoding: identity");
    assert_eq!(stand.get("/plain.jpg").status, 200);
}

#[test]
fn redirects_are_followed_on_the_origin_s_own_host_alone() {
    let stand = Stand::new("");
    let other = Origin::new();
    other.file("/a.jpg", "another server's");
    let to = |path: &str, location: &str| {
        stand.origin.put(
            path,
            Answer::new(302, "").header(&format!("Location: {location}")),
        );
    };
    stand
        .origin
        .put_at("/elsewhere/a.jpg", Answer::new(200, "moved"));
    to("/near.jpg", "/elsewhere/a.jpg");
    to(
        "/whole.jpg",
        &format!("http://127.0.0.1:{}/elsewhere/a.jpg", stand.origin.port),
    );
    to("/port.jpg", &format!("{}/a.jpg", other.url()));
    to(
        "/host.jpg",
        &format!("http://localhost:{}/files/a.jpg", stand.origin.port),
    );
    to(
        "/scheme.jpg",
        &format!("https://127.0.0.1:{}/files/a.jpg", stand.origin.port),
    );
    to("/slashes.jpg", "//192.0.2.1/a.jpg");
    to("/file.jpg", "file:///etc/passwd");
    to(
        "/user.jpg",
        &format!("http://a:b@127.0.0.1:{}/elsewhere/a.jpg", stand.origin.port),
    );
    to("/circle.jpg", "/files/circle.jpg");
    for path in ["/near.jpg", "/whole.jpg"] {
        assert_eq!(stand.get(path).text(), "moved", "{path}");
    }
    for path in [
        "/port.jpg",
        "/host.jpg",
        "/scheme.jpg",
        "/slashes.jpg",
        "/file.jpg",
        "/user.jpg",
        "/circle.jpg",
    ] {
        assert_eq!(stand.get(path).status, 502, "{path}");
    }
    assert!(other.asked().is_empty());
    assert_eq!(stand.origin.times("/circle.jpg"), 4);
    wait_until("both are kept", || {
        stand.files() == ["near.jpg", "whole.jpg"]
    });
}

#[test]
fn an_origin_that_is_silent_is_left_alone_for_a_while() {
    let stand = Stand::new("timeout = \"500ms\"");
    stand.origin.put(
        "/slow.jpg",
        Answer::new(200, "x").late(Duration::from_secs(5)),
    );
    stand.origin.file("/a.jpg", "x");
    let begun = Instant::now();
    let reply = stand.get("/slow.jpg");
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!((reply.status, reply.header("retry-after")), (503, "2"));
    let reply = stand.get("/a.jpg");
    assert_eq!((reply.status, stand.origin.times("/a.jpg")), (503, 0));
    assert!(stand.said().contains("is left alone"));
    // What is there is there.
    stand.write("b.jpg", "x");
    assert_eq!(stand.get("/b.jpg").status, 200);
    wait_until("it is asked again", || stand.get("/a.jpg").status == 200);
}

#[test]
fn an_origin_that_stops_in_mid_file_is_not_waited_for() {
    let stand = Stand::new("timeout = \"500ms\"");
    stand.origin.put(
        "/a.jpg",
        Answer::new(200, vec![1; 100_000]).still_after(50_000),
    );
    let begun = Instant::now();
    let reply = stand.get("/a.jpg");
    assert!(!reply.is_whole && begun.elapsed() < Duration::from_secs(10));
    nothing_is_kept(&stand);
}

#[test]
fn an_origin_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks() {
    let stand = Stand::new("");
    stand
        .origin
        .put("/a.jpg", Answer::new(429, "").header("Retry-After: 100"));
    let reply = stand.get("/a.jpg");
    assert_eq!((reply.status, reply.header("retry-after")), (503, "100"));
    for number in 0..20 {
        assert_eq!(stand.get(&format!("/{number}.jpg")).status, 503);
    }
    assert_eq!(stand.origin.asked().len(), 1);
    let stand = Stand::new("");
    stand.origin.put("/a.jpg", Answer::new(500, ""));
    assert_eq!(
        (stand.get("/a.jpg").status, stand.get("/a.jpg").status),
        (503, 503)
    );
    assert_eq!(stand.origin.asked().len(), 1);
}

#[test]
fn the_first_byte_comes_as_soon_as_the_origin_s() {
    let stand = Stand::new("");
    let mut lates: Vec<Duration> = (0..9)
        .map(|number| {
            let path = format!("/{number}.jpg");
            let late = Duration::from_millis(100);
            stand.origin.put(
                &path,
                Answer::new(200, vec![0; 1 << 20])
                    .late(late)
                    .still_after(1000),
            );
            let begun = Instant::now();
            let mut one = ask(stand.port, "GET", &path, &[]);
            one.first(1);
            begun.elapsed().saturating_sub(late)
        })
        .collect();
    stand.origin.open();
    lates.sort();
    // Far more than it takes, on a machine that does much else, too: without optimization.
    assert!(lates[4] < Duration::from_millis(50), "{lates:?}");
}
