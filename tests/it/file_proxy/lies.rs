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
    let begin = |path: &str, framing| {
        let answer = Answer::new(200, body.clone()).framed(framing);
        stand.origin.put(path, answer.still_after(50_000));
        let mut one = ask(stand.port, "GET", path, &[]);
        one.head();
        one
    };
    // Who asks once it is known what comes of it gets an error in place of a part.
    let length = begin("/length.jpg", Framing::Lie(200_000));
    let chunks = begin("/chunks.jpg", Framing::CutChunks);
    stand.origin.open();
    for (path, one) in [("/length.jpg", length), ("/chunks.jpg", chunks)] {
        let reply = one.reply("GET");
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
fn an_answer_in_another_transfer_coding_than_chunks_is_not_kept() {
    let stand = Stand::new("");
    let why = "the origin sends the file in another transfer coding than chunks\n";
    let coded = |coding: &str, framing, body: &str| {
        let answer = Answer::new(200, body).framed(framing);
        answer.header(&format!("Transfer-Encoding: {coding}"))
    };
    let chunks = "4\r\nbody\r\n0\r\n\r\n";
    for (path, answer) in [
        // They end with their connection, wherever that is.
        (
            "/identity.jpg",
            coded("identity", Framing::Close, "half a fi"),
        ),
        ("/gzip.jpg", coded("gzip", Framing::Close, "half a fi")),
        (
            "/last.jpg",
            coded("chunked, identity", Framing::Close, chunks),
        ),
        (
            "/length.jpg",
            coded("identity", Framing::Lie(20), "half a fi"),
        ),
        // These come in chunks, and what is in them is not the file.
        ("/both.jpg", coded("gzip, chunked", Framing::Close, chunks)),
        ("/lines.jpg", coded("gzip", Framing::Chunks, "packed")),
    ] {
        stand.origin.put(path, answer);
        let reply = stand.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (502, why), "{path}");
    }
    nothing_is_kept(&stand);
    stand
        .origin
        .put("/large.jpg", coded(" Chunked ", Framing::Close, chunks));
    assert_eq!(stand.get("/large.jpg").text(), "body");
}

#[test]
fn a_page_of_an_error_is_no_picture_nor_document_whatever_it_is_called() {
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
    let said = [
        ("/json.zip", "application/json"),
        ("/json.pdf", "application/json; charset=utf-8"),
        ("/problem.docx", "application/problem+json"),
        ("/problem.own", "application/problem+json"),
        ("/xml.xlsx", "application/xml"),
        ("/picture.pdf", "image/png"),
        ("/sound.zip", "audio/mpeg"),
    ];
    for (path, media_type) in said {
        let answer = Answer::new(200, "{\"error\": true}");
        stand
            .origin
            .put(path, answer.header(&format!("Content-Type: {media_type}")));
    }
    let paths = said.map(|(path, _)| path);
    for path in ["/said.jpg", "/called.png", "/silent.pdf"]
        .into_iter()
        .chain(paths)
    {
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
fn a_page_that_comes_in_pieces_is_no_file_either() {
    let stand = Stand::new("");
    let page = "<!DOCTYPE html>\n<html><body>Not found</body></html>";
    let pieces = |body: &str| Answer::new(200, body).dripping(Duration::from_millis(1));
    for (path, body) in [
        ("/a.jpg", page),
        ("/a.css", page),
        ("/a.own", &format!("\n\n{page}")),
        ("/xml.png", "<?xml version=\"1.0\"?><html></html>"),
        ("/comment.webp", "<!-- an error --><html></html>"),
    ] {
        for framing in [Framing::Length, Framing::Chunks] {
            let path = format!("/{framing:?}{path}").to_lowercase();
            stand.origin.put(&path, pieces(body).framed(framing));
            assert_eq!(stand.get(&path).status, 404, "{path}");
        }
    }
    nothing_is_kept(&stand);
    // What only begins so is a file, as is one that is too short to say.
    for (path, body) in [
        ("/b.css", "<"),
        ("/c.own", "<!doc type>"),
        ("/d.txt", " \n"),
    ] {
        stand.origin.put(path, pieces(body));
        assert_eq!(stand.get(path).text(), body, "{path}");
        assert_eq!(stand.get(path).text(), body, "{path}, kept");
    }
}

#[test]
fn an_answer_that_is_no_http_is_that_name_s_trouble_alone() {
    let stand = Stand::new("");
    let two_lengths = Answer::new(200, "body").header("Content-Length: 5");
    stand.origin.put("/two.jpg", two_lengths);
    stand.origin.file("/good.jpg", "good");
    for _ in 0..2 {
        assert_eq!(stand.get("/two.jpg").status, 502);
        assert_eq!(stand.get("/good.jpg").text(), "good");
    }
    assert_eq!(stand.origin.times("/two.jpg"), 1);
    wait_until("it is kept", || stand.files() == ["good.jpg"]);
}

#[test]
fn redirects_lead_to_no_name_that_is_not_served() {
    let stand = Stand::new("exclude = [\"/secret/\"]");
    for (number, to) in [
        "/files/private/a.jpg",
        "/files/%70rivate/a.jpg",
        "/files//private/a.jpg",
        "/files/secret/a.jpg",
        "/elsewhere/.git/a.jpg",
        "/elsewhere/a.php?b=c",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{number}.jpg");
        let location = format!("Location: {to}");
        stand.origin.put_at(to, Answer::new(200, "secret"));
        stand
            .origin
            .put(&path, Answer::new(302, "").header(&location));
        assert_eq!(stand.get(&path).status, 502, "{to}");
    }
    let asked = stand.origin.asked();
    assert!(
        asked
            .iter()
            .all(|head| head.contains(".jpg HTTP") && !head.contains("/a.jpg"))
    );
    nothing_is_kept(&stand);
}

#[test]
fn redirects_are_followed_to_names_of_the_same_ending_alone() {
    let stand = Stand::new("");
    let page = || Answer::new(200, "<html>log in</html>").header("Content-Type: text/html");
    for (path, to) in [
        ("/a.html", "/user/login"),
        ("/b.html", "/"),
        ("/c.html", "/login.htm?to=c.html"),
        ("/d.html", "/html"),
        ("/e.zip", "/elsewhere/e.pdf"),
        ("/f", "/elsewhere/f.zip"),
    ] {
        stand.origin.put_at(to, page());
        let location = format!("Location: {to}");
        stand
            .origin
            .put(path, Answer::new(302, "").header(&location));
        assert_eq!(stand.get(path).status, 502, "{path}");
    }
    assert_eq!(stand.origin.asked().len(), 6);
    nothing_is_kept(&stand);
    for (path, to) in [("/g.html", "/new/g.HTML?v=1"), ("/h", "/new/h")] {
        stand.origin.put_at(to, Answer::new(200, "moved"));
        let location = format!("Location: {to}");
        stand
            .origin
            .put(path, Answer::new(301, "").header(&location));
        assert_eq!(stand.get(path).text(), "moved", "{path}");
    }
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
        Answer::new(200, "x").late(Duration::from_secs(600)),
    );
    stand.origin.file("/a.jpg", "x");
    let begun = Instant::now();
    let reply = stand.get("/slow.jpg");
    assert!(begun.elapsed() < Duration::from_secs(60));
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
    assert!(!reply.is_whole_file() && begun.elapsed() < Duration::from_secs(50));
    nothing_is_kept(&stand);
}

#[test]
fn what_follows_an_answer_is_no_part_of_it_nor_the_next_answer() {
    let stand = Stand::new("");
    let more = "12345HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    stand
        .origin
        .put("/a.jpg", Answer::new(200, more).framed(Framing::Lie(5)));
    stand.origin.file("/b.jpg", "its own");
    let reply = stand.get("/a.jpg");
    assert_eq!((reply.text().as_str(), reply.is_whole), ("12345", true));
    assert_eq!(stand.get("/b.jpg").text(), "its own");
    wait_until("both are kept", || stand.files() == ["a.jpg", "b.jpg"]);
    assert_eq!(std::fs::read(stand.path("a.jpg")).unwrap(), b"12345");
}

#[test]
fn an_origin_that_sends_a_byte_at_a_time_is_given_up_in_time() {
    // The other file has to arrive in that time, too.
    let stand = Stand::new("max_time = \"5s\"");
    let drip = Answer::new(200, vec![1; 1000]).dripping(Duration::from_millis(100));
    stand.origin.put("/a.jpg", drip);
    stand.origin.file("/b.jpg", "x");
    let begun = Instant::now();
    let one = ask(stand.port, "GET", "/a.jpg", &[]);
    // Others need not wait for it.
    assert_eq!(stand.get("/b.jpg").text(), "x");
    assert!(!one.reply("GET").is_whole_file() && begun.elapsed() < Duration::from_secs(60));
    wait_until("it is known", || {
        stand.get("/a.jpg").text() == "the file takes longer than `max_time`\n"
    });
    wait_until("nothing is on its way", || stand.unfinished() == 0);
    assert_eq!(stand.files(), ["b.jpg"]);
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
