//! A server and a network that have trouble.

use std::time::{Duration, Instant};

use envsyncd::archive::bucket::{Bucket, PIECE, Patience};
use envsyncd::error::Kind;

use super::{content, open_at, open_with, paths, read, remote, unique, upload};
use crate::support::network::{Fault, Network};
use crate::support::s3::{self, KEY, S3, SECRET, impatience, patience, shared};

/// Sooner than somebody who waits for good, and later than who gives up, however busy the machine is.
const LATE: Duration = Duration::from_secs(60);

/// A new bucket behind a network; what it is called.
async fn behind() -> (Bucket, Network, String) {
    behind_with(patience()).await
}

/// The same with other limits of time.
async fn behind_with(patience: Patience) -> (Bucket, Network, String) {
    let server = shared();
    let name = unique();
    server.bucket(&name);
    let network = Network::before(&server.address());
    let url = format!("s3://{name}");
    let endpoint = s3::archive(&url, &network.endpoint(), KEY, SECRET);
    (open_with(&endpoint, patience).await, network, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_trouble_or_too_much_to_do_is_asked_again() {
    let (bucket, network, name) = behind().await;
    for (status, code) in [
        (500, "InternalError"),
        (503, "SlowDown"),
        (429, "TooManyRequests"),
        (502, ""),
    ] {
        for begins in ["PUT", "GET", "POST", "DELETE"] {
            let fault = Fault::Answer(status, code);
            network.fault(&format!("{begins} /{name}"), "", 1, fault);
        }
        let large = content(2 * PIECE);
        upload(&bucket, "a/large", &large, PIECE)
            .await
            .expect("room");
        bucket.put("a/small", "x".into()).await.expect("room");
        assert_eq!(paths(&bucket, "a").await, ["a/large", "a/small"]);
        assert!(read(&bucket, "a/large", 0).await.expect("bytes") == large);
        let both = vec!["a/large".to_owned(), "a/small".to_owned()];
        bucket.delete(both).await.expect("it deletes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_recovers_is_not_asked_for_ever() {
    let patience = Patience {
        total: impatience().total,
        ..patience()
    };
    let (bucket, network, name) = behind_with(patience).await;
    for (status, code, words) in [
        (503, "SlowDown", "fewer requests"),
        (500, "InternalError", "has trouble"),
    ] {
        let begun = Instant::now();
        network.fault(
            &format!("PUT /{name}/{code}"),
            "",
            1000,
            Fault::Answer(status, code),
        );
        let error = bucket.put(code, "x".into()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(code), "{text}");
        assert_eq!(error.kind(), Kind::Connection);
        let (took, tries) = (begun.elapsed(), network.asked("PUT", code));
        assert!(took < LATE, "{took:?}");
        assert!((3..20).contains(&tries), "{tries}");
    }
    // What will not change is not asked for again.
    network.fault(
        &format!("PUT /{name}/no"),
        "",
        1000,
        Fault::Answer(403, "AccessDenied"),
    );
    bucket.put("no", "x".into()).await.unwrap_err();
    assert_eq!(network.asked("PUT", "/no "), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_are_waited_for() {
    let (bucket, network, _) = behind().await;
    network.latency(Duration::from_millis(1500));
    let large = content(2 * PIECE);
    upload(&bucket, "large", &large, PIECE).await.expect("room");
    assert!(read(&bucket, "large", 0).await.expect("bytes") == large);
    // Nothing was asked for twice.
    assert_eq!(network.asked("PUT", "partNumber="), 2);
    assert_eq!(network.asked("GET", ""), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up() {
    let (bucket, network, name) = behind_with(impatience()).await;
    let begun = Instant::now();
    let dead = Fault::Late(LATE * 10);
    network.fault(&format!("PUT /{name}"), "", 1000, dead);
    let text = bucket.put("a", "x".into()).await.unwrap_err().to_string();
    assert!(text.contains("nothing came for 2s"), "{text}");
    assert!(begun.elapsed() < LATE, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_where_the_connection_was_cut_or_stood_still_without_a_byte_doubled() {
    let patience = Patience {
        still: Duration::from_secs(5),
        ..patience()
    };
    let (bucket, network, name) = behind_with(patience).await;
    let large = content(3 * PIECE + 17);
    upload(&bucket, "a/large", &large, PIECE)
        .await
        .expect("room");
    let begins = format!("GET /{name}/a/large");
    for (times, fault) in [
        (1, Fault::CutAnswer(0)),
        (5, Fault::CutAnswer(1_000_003)),
        (1, Fault::StillAnswer(0)),
        (1, Fault::StillAnswer(2_000_003)),
    ] {
        let before = network.asked(&begins, "");
        network.fault(&begins, "", times, fault.clone());
        assert!(
            read(&bucket, "a/large", 5).await.expect("bytes") == large[5..],
            "{fault:?}"
        );
        assert_eq!(network.asked(&begins, "") - before, times + 1, "{fault:?}");
    }
    // A list and a small object, too.
    bucket
        .put("a/small", "something".into())
        .await
        .expect("room");
    network.fault(&format!("GET /{name}/?"), "", 1, Fault::CutAnswer(40));
    network.fault(&format!("GET /{name}/a/small"), "", 1, Fault::CutAnswer(4));
    assert_eq!(paths(&bucket, "a").await, ["a/large", "a/small"]);
    let small = bucket.get("a/small", 1 << 20).await.expect("an answer");
    assert_eq!(small.expect("it"), "something");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_that_never_gets_on_ends() {
    let (bucket, network, name) = behind_with(impatience()).await;
    for (path, fault) in [
        ("cut", Fault::CutAnswer(0)),
        ("still", Fault::StillAnswer(0)),
    ] {
        let patient = open_at(&name, &network.endpoint()).await;
        upload(&patient, path, &content(PIECE), PIECE)
            .await
            .expect("room");
        let begun = Instant::now();
        network.fault(&format!("GET /{name}/{path}"), "", 1000, fault);
        let error = read(&bucket, path, 0).await.unwrap_err();
        assert!(error.to_string().contains("no byte came"), "{error}");
        assert!(begun.elapsed() < LATE, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_written_anew_while_it_is_read_is_refused() {
    let (bucket, network, name) = behind().await;
    upload(&bucket, "large", &content(2 * PIECE), PIECE)
        .await
        .expect("room");
    network.fault(
        &format!("GET /{name}/large"),
        "",
        1,
        Fault::CutAnswer(1_000_000),
    );
    let mut chunks = bucket.read("large", 0).await.expect("chunks");
    upload(&bucket, "large", &content(2 * PIECE + 1), PIECE)
        .await
        .expect("room");
    let error = loop {
        match futures_util::StreamExt::next(&mut chunks).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("two objects were read as one"),
        }
    };
    assert_eq!(error.kind(), Kind::Verify, "{error}");
    assert!(error.to_string().contains("written anew"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_outlives_connections_that_are_cut_and_answers_that_are_lost() {
    let (bucket, network, name) = behind().await;
    let large = content(3 * PIECE + 17);
    for (begins, contains, fault) in [
        ("PUT", "partNumber=2", Fault::CutAsking(1_000_003)),
        ("PUT", "partNumber=1", Fault::Deaf),
        ("POST", "uploads=", Fault::Deaf),
        // The server has the object and no upload any more when it is asked again.
        ("POST", "uploadId=", Fault::Deaf),
        ("PUT", "small", Fault::CutAsking(3)),
    ] {
        let before = network.asked(begins, contains);
        network.fault(&format!("{begins} /{name}"), contains, 1, fault.clone());
        upload(&bucket, "large", &large, 100_000)
            .await
            .expect("room");
        bucket.put("small", "something".into()).await.expect("room");
        assert!(
            read(&bucket, "large", 0).await.expect("bytes") == large,
            "{contains}"
        );
        let small = bucket.get("small", 1 << 20).await.expect("an answer");
        assert_eq!(small.expect("it"), "something");
        assert_eq!(network.asked(begins, contains) - before, 2, "{contains}");
        bucket
            .delete(vec!["large".to_owned(), "small".to_owned()])
            .await
            .expect("it deletes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_for_good_leaves_nothing() {
    let (bucket, network, name) = behind().await;
    let denied = Fault::Answer(403, "AccessDenied");
    network.fault(&format!("PUT /{name}"), "partNumber=3", 1, denied.clone());
    let error = upload(&bucket, "a/large", &content(5 * PIECE), PIECE)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no permission to write a/large"),
        "{error}"
    );
    network.fault(&format!("POST /{name}"), "uploadId=", 1, denied);
    upload(&bucket, "a/large", &content(2 * PIECE), PIECE)
        .await
        .unwrap_err();
    bucket.settle().await;
    assert!(paths(&bucket, "a").await.is_empty());
    assert_eq!(shared().uploads(&name), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for_only_once_it_was_there() {
    let mut server = S3::start();
    let place = remote(&server).await;
    place.bucket.put("a", "x".into()).await.expect("room");
    server.stop();
    let put = {
        let bucket = place.bucket.clone();
        tokio::spawn(async move { bucket.put("b", "x".into()).await })
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.go_on();
    put.await.expect("no panic").expect("it is there again");
    server.stop();
    let fresh = open_at(place.name.as_deref().expect("a bucket"), &server.endpoint()).await;
    let begun = Instant::now();
    let text = fresh.folders().await.unwrap_err().to_string();
    assert!(
        text.contains("cannot be reached") && text.contains(&server.address()),
        "{text}"
    );
    assert!(begun.elapsed() < LATE, "{text}");
}
