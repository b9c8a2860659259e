//! What is a directory's own: modes, links, full disks.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use envsyncd::archive::bucket::{Bucket, PIECE};
use envsyncd::error::Kind;

use super::{content, open, paths, read, upload};
use crate::support::postgres::Must as _;

async fn at(path: &Path) -> Bucket {
    let endpoint = crate::support::endpoint(&format!("file://{}", path.display()));
    open(&endpoint).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o777
}

#[tokio::test]
async fn what_is_made_is_for_the_owner_alone_and_only_the_last_directory_is_made() {
    let home = tempfile::tempdir().expect("a directory");
    let archive = home.path().join("archive");
    let bucket = at(&archive).await;
    bucket.put("a/rows/1", "x".into()).await.expect("room");
    for (path, expected) in [
        ("", 0o700),
        ("a", 0o700),
        ("a/rows", 0o700),
        ("a/rows/1", 0o600),
    ] {
        assert_eq!(mode(&archive.join(path)), expected, "{path}");
    }
    let deep = at(&home.path().join("not/there")).await;
    assert!(deep.folders().await.expect("a list").is_empty());
    let error = deep.put("a", "x".into()).await.unwrap_err();
    let parent = home.path().join("not").display().to_string();
    assert!(
        error.kind() == Kind::Absent && error.to_string().contains(&parent),
        "{error}"
    );
    assert!(!home.path().join("not").exists());
}

#[tokio::test]
async fn a_symbolic_link_in_the_archive_leads_nowhere() {
    let home = tempfile::tempdir().expect("a directory");
    let (archive, outside) = (home.path().join("archive"), home.path().join("outside"));
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("secret"), "secret").expect("a file");
    let bucket = at(&archive).await;
    bucket.put("a/1", "x".into()).await.expect("room");
    symlink(&outside, archive.join("linked")).expect("a link");
    symlink(outside.join("secret"), archive.join("a/linked")).expect("a link");
    assert_eq!(bucket.folders().await.expect("a list"), ["a"]);
    assert_eq!(paths(&bucket, "a").await, ["a/1"]);
    for path in ["linked/secret", "a/linked"] {
        let error = bucket.get(path, 9).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert!(read(&bucket, path, 0).await.is_err());
    }
    assert!(bucket.put("linked/new", "x".into()).await.is_err());
    assert!(bucket.list("linked").await.is_err());
    assert!(
        bucket
            .delete(vec!["linked/secret".to_owned()])
            .await
            .is_err()
    );
    // A link in place of a file is replaced, not followed.
    bucket.put("a/linked", "new".into()).await.expect("room");
    assert_eq!(
        fs::read_to_string(outside.join("secret")).unwrap(),
        "secret"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // The archive's own directory may be a link.
    symlink(&archive, home.path().join("by link")).expect("a link");
    let linked = at(&home.path().join("by%20link")).await;
    assert_eq!(
        linked.get("a/linked", 1 << 20).await.unwrap().unwrap(),
        "new"
    );
}

#[tokio::test]
async fn a_full_disk_is_told_as_one_and_leaves_nothing_half() {
    let home = tempfile::tempdir().expect("a directory");
    let disk = home.path().join("disk");
    fs::create_dir(&disk).expect("a directory");
    Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(&disk)
        .must("mount (as root)");
    let bucket = at(&disk).await;
    bucket.put("a/first", "x".into()).await.expect("room");
    let failed = upload(&bucket, "a/second", &content(PIECE), 100_000).await;
    let left = paths(&bucket, "a").await;
    let files = fs::read_dir(disk.join("a")).map(Iterator::count);
    Command::new("umount")
        .arg("--lazy")
        .arg(&disk)
        .must("umount");
    let error = failed.unwrap_err();
    assert_eq!(error.kind(), Kind::Full, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("a/second") && text.contains("free space"),
        "{text}"
    );
    assert_eq!(left, ["a/first"]);
    assert_eq!(files.expect("a folder"), 1);
}

#[tokio::test]
async fn what_a_killed_process_left_is_no_object_and_is_cleared() {
    let home = tempfile::tempdir().expect("a directory");
    let bucket = at(home.path()).await;
    bucket.put("a/rows/1", "x".into()).await.expect("room");
    bucket.put("b/rows/1", "x".into()).await.expect("room");
    let begun = bucket.upload("a/rows/2").await.expect("an upload");
    // As if nobody could tidy up.
    std::mem::forget(begun);
    std::mem::forget(bucket.upload("b/rows/2").await.expect("an upload"));
    assert_eq!(paths(&bucket, "a").await, ["a/rows/1"]);
    let files = |folder: &str| fs::read_dir(home.path().join(folder)).unwrap().count();
    assert_eq!((files("a/rows"), files("b/rows")), (2, 2));
    bucket.clear_uploads("a").await.expect("it clears");
    assert_eq!((files("a/rows"), files("b/rows")), (1, 2));
    bucket.clear_uploads("never").await.expect("nothing to do");
}
