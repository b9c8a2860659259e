//! Where archives lie: what holds for a directory and for a bucket of a real server alike; then what is each one's own.

mod credentials;
mod directory;
mod faults;
mod refusals;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use envsyncd::archive::bucket::{Bucket, PIECE, Patience};
use envsyncd::config::job::Endpoint;
use envsyncd::error::Result;
use envsyncd::store::Lookup;
use futures_util::TryStreamExt as _;

use crate::support::s3::{self, KEY, S3, SECRET, patience, shared};

/// An archive and where its objects are as files.
struct Place {
    bucket: Bucket,
    files: PathBuf,
    /// The bucket's name, if it is one.
    name: Option<String>,
    _directory: Option<tempfile::TempDir>,
}

/// No variable is set.
fn nothing() -> Lookup {
    Arc::new(|_| None)
}

fn unique() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("bucket-{}-{number}", std::process::id())
}

async fn open(endpoint: &Endpoint) -> Bucket {
    open_with(endpoint, patience()).await
}

async fn open_with(endpoint: &Endpoint, patience: Patience) -> Bucket {
    Bucket::open_with(endpoint, &nothing(), patience)
        .await
        .expect("an archive")
}

/// Opens a bucket's root behind a server's endpoint, as who may do everything.
async fn open_at(name: &str, endpoint: &str) -> Bucket {
    open(&s3::archive(&format!("s3://{name}"), endpoint, KEY, SECRET)).await
}

/// A new directory and a new bucket.
async fn both() -> [Place; 2] {
    let directory = tempfile::tempdir().expect("a directory");
    let files = directory.path().join("the archive");
    let url = format!("file://{}/the%20archive", directory.path().display());
    let endpoint = crate::support::endpoint(&url);
    let local = Place {
        bucket: open(&endpoint).await,
        files,
        name: None,
        _directory: Some(directory),
    };
    [local, remote(shared()).await]
}

/// A new bucket.
async fn remote(server: &S3) -> Place {
    let name = unique();
    Place {
        files: server.bucket(&name),
        bucket: open_at(&name, &server.endpoint()).await,
        name: Some(name),
        _directory: None,
    }
}

/// So many bytes of which no two places look alike.
fn content(length: usize) -> Bytes {
    let words =
        (0..length.div_ceil(4) as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(length).collect::<Vec<u8>>().into()
}

async fn read(bucket: &Bucket, path: &str, from: u64) -> Result<Vec<u8>> {
    let chunks = bucket.read(path, from).await?;
    chunks
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

async fn upload(bucket: &Bucket, path: &str, content: &Bytes, chunk: usize) -> Result<u64> {
    let mut upload = bucket.upload(path).await?;
    for chunk in content.chunks(chunk) {
        upload.write(content.slice_ref(chunk)).await?;
    }
    upload.finish().await
}

async fn paths(bucket: &Bucket, folder: &str) -> Vec<String> {
    let listed = bucket.list(folder).await.expect("a list");
    let mut paths: Vec<String> = listed.into_iter().map(|object| object.path).collect();
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_back_from_any_byte_on() {
    for place in both().await {
        let bucket = &place.bucket;
        for (length, chunk) in [
            (0, 1),
            (1, 1),
            (PIECE - 1, 700_001),
            (PIECE, PIECE),
            (PIECE + 1, 64 * 1024),
            (3 * PIECE + 5, 2 * PIECE + 1),
        ] {
            let content = content(length);
            let path = format!("folder/rows/{length}.zst");
            let written = upload(bucket, &path, &content, chunk).await;
            assert_eq!(written.expect("a length"), length as u64);
            for from in [
                0,
                1,
                length / 2,
                length.saturating_sub(1),
                length,
                length + 7,
            ] {
                let rest = &content[from.min(length)..];
                let read = read(bucket, &path, from as u64).await.expect("bytes");
                assert!(read == rest, "{} {path} from {from}", bucket.place());
            }
            let size = bucket.list("folder").await.expect("a list");
            let object = size.iter().find(|object| object.path == path).expect("it");
            assert_eq!(object.size, length as u64);
            let age = chrono::Utc::now() - object.modified;
            assert!(age.num_seconds().abs() < 60, "{age}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_object_is_there_or_not_and_is_replaced_in_one_step() {
    for place in both().await {
        let bucket = &place.bucket;
        assert_eq!(
            bucket
                .get("a/manifest.json", 1 << 20)
                .await
                .expect("an answer"),
            None
        );
        for text in ["one", "", "another"] {
            let put = bucket.put("a/manifest.json", text.into()).await;
            put.expect("room");
            let got = bucket
                .get("a/manifest.json", 1 << 20)
                .await
                .expect("an answer");
            assert_eq!(got.expect("it is there"), text);
        }
        let gone = read(bucket, "a/other", 0).await.unwrap_err().to_string();
        assert!(
            gone.contains("there is no") && gone.contains("a/other"),
            "{gone}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_not_there_yet_has_no_folders_and_folders_are_whole_names() {
    for place in both().await {
        let bucket = &place.bucket;
        assert!(bucket.folders().await.expect("a list").is_empty());
        for path in ["a/x", "a-b/x/y", "ab/x", "file"] {
            bucket.put(path, "x".into()).await.expect("room");
        }
        let mut folders = bucket.folders().await.expect("a list");
        folders.sort();
        assert_eq!(folders, ["a", "a-b", "ab"]);
        assert_eq!(paths(bucket, "a").await, ["a/x"]);
        assert_eq!(paths(bucket, "a-b").await, ["a-b/x/y"]);
        assert!(paths(bucket, "nothing").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_not_there_before_its_end_and_a_dropped_upload_leaves_nothing() {
    for place in both().await {
        let bucket = &place.bucket;
        bucket.put("a/first", "x".into()).await.expect("room");
        let mut begun = bucket.upload("a/second").await.expect("an upload");
        // More than what waits for company.
        for _ in 0..3 {
            begun.write(content(PIECE)).await.expect("room");
        }
        assert_eq!(paths(bucket, "a").await, ["a/first"]);
        assert_eq!(
            bucket.get("a/second", 1 << 20).await.expect("an answer"),
            None
        );
        if let Some(name) = &place.name {
            assert_eq!(shared().uploads(name), 1);
        }
        drop(begun);
        bucket.settle().await;
        assert_eq!(paths(bucket, "a").await, ["a/first"]);
        match &place.name {
            Some(name) => assert_eq!(shared().uploads(name), 0),
            None => assert_eq!(std::fs::read_dir(place.files.join("a")).unwrap().count(), 1),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects_are_listed_and_deleted_to_the_last_one() {
    for place in both().await {
        let bucket = &place.bucket;
        bucket.put("keep/x", "x".into()).await.expect("room");
        let folder = place.files.join("many/rows");
        std::fs::create_dir_all(&folder).expect("a folder");
        // More than a page of a list, and than one request deletes.
        for number in 0..2100 {
            std::fs::write(folder.join(number.to_string()), "x").expect("a file");
        }
        let mut listed = paths(bucket, "many").await;
        assert_eq!(listed.len(), 2100);
        listed.push("many/rows/never".to_owned());
        bucket.delete(listed).await.expect("it deletes");
        assert!(paths(bucket, "many").await.is_empty());
        assert_eq!(bucket.folders().await.expect("a list"), ["keep"]);
        bucket.delete(Vec::new()).await.expect("nothing to do");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_odd_characters_are_the_same_in_and_out() {
    let server = shared();
    let name = unique();
    let folder = server.bucket(&name);
    let directory = tempfile::tempdir().expect("a directory");
    let odd = "ä b+&=/100%/'(1)!*~#?;:@$,[x]^`{|}\\\"<>";
    let encoded: String = odd
        .bytes()
        .map(|byte| match byte {
            b'/' => "/".to_owned(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let endpoint = s3::archive(
        &format!("s3://{name}/{encoded}"),
        &server.endpoint(),
        KEY,
        SECRET,
    );
    let remote = open(&endpoint).await;
    std::fs::create_dir_all(directory.path().join(odd).parent().expect("a parent"))
        .expect("folders");
    let local = format!("file://{}/{encoded}", directory.path().display());
    let local = crate::support::endpoint(&local);
    for (bucket, files) in [
        (remote, folder.join(odd)),
        (open(&local).await, directory.path().join(odd)),
    ] {
        let path = "20260102T030405Z-my job 100%+ü-0123456789ab/rows/000001-a b%2F+&.zst";
        bucket.put(path, "x".into()).await.expect("room");
        let large = content(PIECE + 1);
        let other = path.replace("000001", "000002");
        upload(&bucket, &other, &large, PIECE).await.expect("room");
        assert_eq!(std::fs::read(files.join(path)).expect("the file"), b"x");
        let folders = bucket.folders().await.expect("a list");
        assert_eq!(folders, ["20260102T030405Z-my job 100%+ü-0123456789ab"]);
        assert_eq!(paths(&bucket, &folders[0]).await, [path, &other]);
        assert_eq!(
            bucket.get(path, 9).await.expect("an answer").expect("it"),
            "x"
        );
        assert!(read(&bucket, &other, 3).await.expect("bytes") == large[3..]);
        bucket
            .clear_uploads(&folders[0])
            .await
            .expect("nothing to do");
        bucket
            .delete(vec![path.to_owned(), other])
            .await
            .expect("it deletes");
        assert!(bucket.folders().await.expect("a list").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_interrupted_uploads_left_below_a_folder_is_cleared_and_what_is_elsewhere_stays() {
    let server = shared();
    let place = remote(server).await;
    let name = place.name.as_deref().expect("a bucket");
    for key in ["a/rows/1", "a/rows/2", "ab/rows/1", "b"] {
        let begun = server.ask(
            reqwest::Method::POST,
            &format!("/{name}/{key}?uploads="),
            "",
        );
        assert!(begun.contains("<UploadId>"), "{begun}");
    }
    place.bucket.clear_uploads("a").await.expect("it clears");
    assert_eq!(server.uploads(name), 2);
    place
        .bucket
        .clear_uploads("never")
        .await
        .expect("nothing to do");
    assert_eq!(server.uploads(name), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_out_of_the_archive_is_refused() {
    for place in both().await {
        let bucket = &place.bucket;
        for path in ["../x", "a/../../x", "/etc/passwd", "a//b", ""] {
            for error in [
                bucket.get(path, 9).await.map(drop).unwrap_err(),
                bucket.put(path, Bytes::new()).await.unwrap_err(),
                bucket.read(path, 0).await.map(drop).unwrap_err(),
                bucket.upload(path).await.map(drop).unwrap_err(),
                bucket.list(path).await.map(drop).unwrap_err(),
                bucket.delete(vec![path.to_owned()]).await.unwrap_err(),
            ] {
                assert!(error.to_string().contains("is not the path"), "{error}");
            }
        }
    }
}
