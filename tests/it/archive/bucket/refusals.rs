//! A server that says no: each time the line says what is wrong and what to do, and no secret.

use std::process::Command;

use envsyncd::archive::bucket::{Bucket, PIECE};
use envsyncd::config::archive_at;
use envsyncd::config::job::Endpoint;
use envsyncd::error::{Error, Kind};

use super::{content, nothing, open, open_at, paths, remote, unique, upload};
use crate::support::postgres::{Must as _, free_port};
use crate::support::s3::{self, KEY, S3, SECRET, patience, shared};

fn says(error: &Error, kind: Kind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{word} in: {text}");
    }
    assert!(!text.contains('\n'), "{text}");
    assert!(
        !text.contains(SECRET) && !text.contains("ignature="),
        "{text}"
    );
}

async fn with(name: &str, id: &str, secret: &str) -> Bucket {
    let endpoint = shared().endpoint();
    open(&s3::archive(
        &format!("s3://{name}/p"),
        &endpoint,
        id,
        secret,
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_told_from_one_another_and_a_missing_bucket_from_both() {
    let name = unique();
    shared().bucket(&name);
    let error = with(&name, "nobody", SECRET)
        .await
        .folders()
        .await
        .unwrap_err();
    says(
        &error,
        Kind::Permission,
        &["does not know the access key", "access_key_id"],
    );
    let wrong = with(&name, KEY, "wrong/secret").await;
    let error = wrong.put("a", "x".into()).await.unwrap_err();
    says(
        &error,
        Kind::Permission,
        &["secret access key", "is wrong", &name],
    );
    assert!(!error.to_string().contains("wrong/secret"), "{error}");
    let gone = with("no-such-bucket", KEY, SECRET).await;
    for error in [
        gone.folders().await.unwrap_err(),
        gone.put("a", "x".into()).await.unwrap_err(),
        gone.get("a", 1 << 20).await.unwrap_err(),
        upload(&gone, "a", &content(2 * PIECE), PIECE)
            .await
            .unwrap_err(),
    ] {
        says(&error, Kind::Absent, &["no bucket `no-such-bucket`"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named() {
    let (server, name) = (shared(), unique());
    server.bucket(&name);
    let secret = server.key("writer", &name, &["s3:PutObject"], &[]);
    let writer = with(&name, "writer", &secret).await;
    writer.put("a/1", "x".into()).await.expect("it may");
    upload(&writer, "a/2", &content(2 * PIECE), PIECE)
        .await
        .expect("it may");
    let error = writer.folders().await.unwrap_err();
    says(
        &error,
        Kind::Permission,
        &["no permission to list", &name, "s3:ListBucket"],
    );
    let error = writer.get("a/1", 1 << 20).await.unwrap_err();
    says(
        &error,
        Kind::Permission,
        &["no permission to read a/1", "s3:GetObject"],
    );
    let error = writer.delete(vec!["a/1".to_owned()]).await.unwrap_err();
    says(
        &error,
        Kind::Permission,
        &["no permission to delete", "s3:DeleteObject"],
    );
    // Nobody would be helped by an error here.
    writer
        .clear_uploads("a")
        .await
        .expect("it only may not see them");

    let other = unique();
    server.bucket(&other);
    let secret = server.key("reader", &other, &["s3:GetObject"], &["s3:ListBucket"]);
    let reader = with(&other, "reader", &secret).await;
    assert!(reader.folders().await.expect("it may").is_empty());
    assert_eq!(reader.get("a", 1 << 20).await.expect("it may"), None);
    let error = reader.put("a/1", "x".into()).await.unwrap_err();
    says(
        &error,
        Kind::Permission,
        &["no permission to write a/1", "s3:PutObject"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_none_is_told() {
    let place =
        |port: u16| s3::archive("s3://b/p", &format!("http://127.0.0.1:{port}"), KEY, SECRET);
    let error = open(&place(free_port())).await.folders().await.unwrap_err();
    says(
        &error,
        Kind::Connection,
        &["cannot be reached", "Connection refused", "`endpoint`"],
    );
    let unknown = s3::archive("s3://b/p", "http://no-such-host.invalid", KEY, SECRET);
    let error = open(&unknown).await.folders().await.unwrap_err();
    says(
        &error,
        Kind::Connection,
        &["cannot be reached", "no-such-host.invalid"],
    );
    // Some web server.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback");
    let port = listener.local_addr().expect("an address").port();
    let web = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for answer in ["404 Not Found", "200 OK", "404 Not Found"] {
            let (mut client, _) = listener.accept().await.expect("a client");
            let _ = client.read(&mut [0; 4096]).await;
            let page = "<html>hello</html>";
            let text = format!(
                "HTTP/1.1 {answer}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            client.write_all(text.as_bytes()).await.expect("a client");
        }
    });
    let bucket = open(&place(port)).await;
    for error in [
        bucket.folders().await.unwrap_err(),
        bucket.folders().await.unwrap_err(),
        bucket.get("a", 1 << 20).await.unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("does not seem to be an S3 server"), "{text}");
    }
    web.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_that_is_named_is_trusted_and_no_other() {
    let server = S3::start_tls();
    let name = unique();
    server.bucket(&name);
    let mut endpoint = s3::archive(&format!("s3://{name}"), &server.endpoint(), KEY, SECRET);
    let error = open(&endpoint).await.folders().await.unwrap_err();
    says(&error, Kind::Connection, &["cannot be trusted", "`ca`"]);
    if let Some(access) = &mut endpoint.access {
        access.ca = Some(server.ca());
    }
    let bucket = open(&endpoint).await;
    let large = content(2 * PIECE + 1);
    upload(&bucket, "a/large", &large, PIECE)
        .await
        .expect("room");
    assert!(super::read(&bucket, "a/large", 0).await.expect("bytes") == large);
    assert_eq!(paths(&bucket, "a").await, ["a/large"]);
    if let Some(access) = &mut endpoint.access {
        access.ca = Some("/nonexistent/ca.pem".into());
    }
    let error = Bucket::open_with(&endpoint, &nothing(), patience()).await;
    says(
        &error.err().expect("an error"),
        Kind::Config,
        &["/nonexistent/ca.pem"],
    );
}

const CHILD: &str = "ENVSYNCD_TEST_ARCHIVE_AT";

/// The test starts itself with another clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_is_told_with_its_side() {
    if let Ok(at) = std::env::var(CHILD) {
        let (endpoint, name) = at.split_once(' ').expect("two words");
        let bucket = open_at(name, endpoint).await;
        let error = bucket.folders().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Permission);
        println!("said: {error}");
        return;
    }
    let (server, place) = (shared(), remote(shared()).await);
    let name = place.name.expect("a bucket");
    for (shift, side) in [("+1h", "ahead of"), ("-1h", "behind")] {
        let said = Command::new("faketime")
            .args(["-f", shift])
            .arg(std::env::current_exe().expect("ourselves"))
            .args(["--exact", "--nocapture"])
            .arg("archive::bucket::refusals::a_clock_that_is_an_hour_off_is_told_with_its_side")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env(CHILD, format!("{} {name}", server.endpoint()))
            .must("the test itself");
        let line = said
            .lines()
            .find(|line| line.contains("said: "))
            .expect("it said it");
        assert!(line.contains("this machine's clock is wrong"), "{line}");
        assert!(
            line.contains(side) && line.contains("set the clock"),
            "{line}"
        );
        assert!(line.contains("1h") || line.contains("59m"), "{line}");
    }
}

#[tokio::test]
async fn what_makes_no_archive_is_refused_before_anything_is_asked() {
    let refuse = async |change: fn(&mut Endpoint)| {
        let mut endpoint = s3::archive("s3://b/p", "http://127.0.0.1:1", KEY, SECRET);
        change(&mut endpoint);
        let opened = Bucket::open_with(&endpoint, &nothing(), patience()).await;
        let error = opened.err().expect("it is refused");
        assert_eq!(error.kind(), Kind::Config, "{error}");
        error.to_string()
    };
    let store = |endpoint: &mut Endpoint| *endpoint = crate::support::endpoint("sqlite:///p");
    let error = refuse(store).await;
    assert!(error.contains("not the URL of an archive"), "{error}");
    for (url, why) in [
        ("s3:///p", "names no bucket"),
        ("http://b/p", "not supported"),
        ("file://p", "on this machine"),
    ] {
        let refused = archive_at(url, envsyncd::store::registry::formats());
        let error = refused.expect_err("it is refused").to_string();
        assert!(error.contains(why), "{error}");
    }
    let error = refuse(|endpoint| {
        if let Some(access) = &mut endpoint.access {
            access.endpoint = Some("https://u:hunter2@h".to_owned());
        }
    })
    .await;
    assert!(!error.contains("hunter2"), "{error}");
    let error = refuse(|endpoint| {
        if let Some(access) = &mut endpoint.access {
            access.secret_access_key = None;
        }
    })
    .await;
    assert!(error.contains("no secret_access_key"), "{error}");
}
