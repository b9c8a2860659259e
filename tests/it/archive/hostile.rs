//! Archives that want more than to be read: what a bucket's server, or whoever can write into an archive, can make us do.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use envsyncd::archive::bucket::Bucket;
use envsyncd::archive::snapshots::{Snapshots, State};
use envsyncd::error::{Error, Kind};
use envsyncd::store::Lookup;
use rusqlite::Connection;

use crate::support::hostile::http::{Answer, Asked};
use crate::support::hostile::s3::{S3, object, page};
use crate::support::hostile::snapshot::{Snapshot, zeros};
use crate::support::job::{Bed, Job, Outcome, toml};
use crate::support::s3::impatience;

/// What a list ends with.
async fn folders(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Error {
    let server = S3::start(answer);
    server.bucket().await.folders().await.unwrap_err()
}

#[tokio::test]
async fn a_list_that_goes_on_for_ever_is_an_error() {
    let same = |_: &Asked| page(&["x/a/".to_owned()], Some("again"));
    let empty = |asked: &Asked| {
        let token = asked.parameter("continuation-token").unwrap_or("");
        // Another one each time.
        page(&[], Some(&format!("{}x", &token[..token.len() % 1000])))
    };
    for error in [folders(same).await, folders(empty).await] {
        assert!(error.to_string().contains("has no end"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_says_so_whatever_it_is() {
    let long = |_: &Asked| Answer::endless(200, "", "x".repeat(65536).as_bytes());
    let error = folders(long).await.to_string();
    assert!(error.contains("the answer is longer than"), "{error}");

    let head = format!("x-long: {}\r\n", "x".repeat(40_000));
    let error = folders(move |_| Answer::of(200, &head, b"")).await;
    let error = error.to_string();
    assert!(error.contains("headers are longer than"), "{error}");

    for body in [
        "",
        "no list",
        "<html>",
        "<ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><ListBucketResult><IsTruncated>&a;</IsTruncated></ListBucketResult>",
    ] {
        let error = folders(move |_| Answer::of(200, "", body.as_bytes())).await;
        assert!(
            error.to_string().contains("cannot be read"),
            "{body}: {error}"
        );
    }
    let deep = "<a>".repeat(1_000_000);
    let error = folders(move |_| Answer::of(200, "", deep.as_bytes())).await;
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn a_refusal_without_end_is_read_as_far_as_it_says_why() {
    let refusal = "<Error><Code>AccessDenied</Code><Message>no\u{1b}[2J\u{7}</Message>";
    let error = folders(move |_| {
        let mut chunk = refusal.as_bytes().to_vec();
        chunk.resize(65536, b' ');
        Answer::endless(403, "", &chunk)
    });
    let error = error.await;
    assert_eq!(error.kind(), Kind::Permission, "{error}");
    let error = error.to_string();
    assert!(
        error.contains("AccessDenied") && !error.contains('\u{1b}'),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<"] {
        let server = S3::start(move |_| Answer::raw(answer).then_silence());
        let bucket = server.bucket_with(impatience()).await;
        let error = bucket.folders().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Connection);
        assert!(error.to_string().contains("nothing came for 2s"), "{error}");
    }
}

#[tokio::test]
async fn of_a_small_object_no_more_is_read_than_a_small_one_has() {
    let server = S3::start(|_| {
        let head = object(b"");
        Answer::raw(format!(
            "HTTP/1.1 200 OK\r\n{head}content-length: 3000000000\r\n\r\n"
        ))
        .then_for_ever("x".repeat(65536))
    });
    let bucket = server.bucket().await;
    let error = bucket.get("a/manifest.json", 100_000).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    let error = error.to_string();
    assert!(error.contains("longer than the 100000 bytes"), "{error}");
    assert!(bucket.has("a/manifest.json").await.unwrap());

    // One that says it is short is as short as it says.
    let server = S3::start(|_| {
        let head = object(b"");
        Answer::raw(format!(
            "HTTP/1.1 200 OK\r\n{head}content-length: 5\r\n\r\n12345678"
        ))
    });
    let got = server.bucket().await.get("a", 5).await.unwrap();
    assert_eq!(got.unwrap(), "12345");
}

#[tokio::test]
async fn names_and_ids_that_no_request_can_be_made_with_are_refused() {
    let server = S3::start(|asked| {
        match asked.method.as_str() {
        "POST" if asked.path.contains("uploads") => {
            let id = "i".repeat(100_000);
            let body = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            );
            Answer::of(200, "", body.as_bytes())
        }
        "POST" => Answer::of(
            200,
            "",
            b"<DeleteResult><Error><Key>another</Key><Code>X</Code><Message>m</Message></Error></DeleteResult>",
        ),
        _ => Answer::of(200, "", b""),
    }
    });
    let bucket: Bucket = server.bucket().await;
    let mut upload = bucket.upload("a").await.unwrap();
    let piece = bytes::Bytes::from(vec![0; 9 << 20]);
    let error = upload.write(piece).await.unwrap_err();
    assert!(error.to_string().contains("ids of more than"), "{error}");

    let error = bucket.delete(vec!["a".to_owned()]).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("not asked to delete"), "{error}");

    let error = bucket.get(&"a".repeat(100_000), 1).await.unwrap_err();
    assert!(error.to_string().contains("is too long"), "{error}");
}

/// SQLite databases, and an archive between them.
struct Shop {
    bed: Bed,
}

impl Shop {
    /// Pushed once.
    fn new() -> Self {
        let shop = Self { bed: Bed::new() };
        for (name, rows) in [("source", 1000), ("live", 1)] {
            let sql = format!(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO t SELECT i, 'row ' || i FROM n"
            );
            shop.database(name).execute_batch(&sql).unwrap();
        }
        let push = Job::between("sqlite", &shop.url("source"), &shop.archive_url());
        let push = shop.bed.job("push", &push);
        shop.bed.once(&push).expect(0);
        shop
    }

    fn database(&self, name: &str) -> Connection {
        Connection::open(self.bed.path(&format!("{name}.db"))).unwrap()
    }

    fn url(&self, name: &str) -> String {
        format!(
            "sqlite://{}",
            self.bed.path(&format!("{name}.db")).display()
        )
    }

    fn archive(&self) -> PathBuf {
        self.bed.path("archive")
    }

    fn archive_url(&self) -> String {
        format!("file://{}", self.archive().display())
    }

    fn pull(&self) -> Outcome {
        let pull = Job::between("sqlite", &self.archive_url(), &self.url("live"));
        self.bed.once(&self.bed.job("pull", &pull))
    }

    /// Nothing has changed, and nothing is beside it.
    fn live_is_old(&self) {
        let rows = "SELECT count(*) FROM t";
        let rows: u32 = self
            .database("live")
            .query_row(rows, [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 1);
        let names = fs::read_dir(self.bed.path("")).unwrap();
        let names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("incoming") || name.contains("previous"))
            .collect();
        assert_eq!(names, [""; 0]);
    }
}

#[test]
fn what_a_snapshots_files_hold_is_no_more_than_its_manifest_says() {
    let shop = Shop::new();
    // Much in some kilobytes.
    let mut snapshot = Snapshot::of(&shop.archive());
    snapshot.rows(&zeros(64 << 20, 19));
    snapshot.write();
    shop.pull()
        .expect(1)
        .says(&["t: its files have more bytes than the manifest says"]);
    shop.live_is_old();

    // One that says so, and is one row.
    snapshot.manifest.parts[0].bytes = 1 << 30;
    let mut row = b"BEGIN;\nINSERT INTO \"t\" (\"id\", \"a\") VALUES (1,'".to_vec();
    row.resize(140 << 20, b'x');
    snapshot.rows(&zstd::stream::encode_all(&row[..], 1).unwrap());
    snapshot.write();
    shop.pull().expect(1).says(&[
        "the snapshot's t has a row of more than 67108864 bytes",
        "memory_max",
    ]);
    shop.live_is_old();
}

#[test]
fn a_frame_whose_window_is_larger_than_any_of_ours_is_refused() {
    let shop = Shop::new();
    let mut snapshot = Snapshot::of(&shop.archive());
    snapshot.rows(&zeros(64 << 20, 26));
    snapshot.manifest.parts[0].bytes = 1 << 30;
    snapshot.write();
    shop.pull().expect(1).says(&["cannot be decompressed"]);
    shop.live_is_old();
}

#[test]
fn definitions_without_end_are_refused() {
    let shop = Shop::new();
    let mut snapshot = Snapshot::of(&shop.archive());
    snapshot.definitions(&zeros(300 << 20, 19), 4 << 20);
    snapshot.write();
    shop.pull()
        .expect(1)
        .says(&["envsyncd.json", "has more than 268435456 bytes"]);
    shop.live_is_old();
}

#[tokio::test]
async fn a_manifest_without_end_and_one_that_is_all_commas_are_damaged_and_nothing_more() {
    let shop = tokio::task::spawn_blocking(Shop::new).await.unwrap();
    let snapshot = Snapshot::of(&shop.archive());
    let endpoint = crate::support::endpoint(&shop.archive_url());
    let nothing: Lookup = Arc::new(|_| None);
    let bucket = Bucket::open(&endpoint, &nothing).await;
    let snapshots = Snapshots::new(bucket.unwrap(), None);
    let flaw = async || {
        let listing = snapshots.list().await.unwrap();
        match &listing.snapshots[0].state {
            State::Good(_) => "none".to_owned(),
            State::Flawed(flaw) => flaw.to_string(),
        }
    };
    assert_eq!(flaw().await, "none");
    let manifest = snapshot.folder().join("manifest.json");
    let honest = fs::read_to_string(&manifest).unwrap();
    let empty = format!("\"blocks\": [\"\"{}", ",\"\"".repeat(5_000_000));
    let commas = honest.replacen("\"blocks\": [", &format!("{empty},"), 1);
    fs::write(&manifest, commas).unwrap();
    let said = flaw().await;
    assert!(said.contains("a block has no hash"), "{said}");
    // Three gigabytes that take no room on the disk.
    fs::File::create(&manifest)
        .unwrap()
        .set_len(3 << 30)
        .unwrap();
    let said = flaw().await;
    assert!(said.contains("is longer than 67108864 bytes"), "{said}");
    fs::remove_file(&manifest).unwrap();
    let writer = snapshot.folder().join("writer.json");
    fs::File::create(&writer).unwrap().set_len(3 << 30).unwrap();
    let unfinished = snapshots.list().await.unwrap().unfinished;
    assert!(unfinished[0].writer.is_none() && unfinished[0].size >= 3 << 30);
}

#[test]
fn folders_in_folders_without_end_are_an_error() {
    let shop = Shop::new();
    let snapshot = Snapshot::of(&shop.archive());
    let deep = "d/".repeat(40);
    fs::create_dir_all(snapshot.folder().join(&deep)).unwrap();
    fs::write(snapshot.folder().join(deep).join("file"), "x").unwrap();
    let name = snapshot.name();
    shop.bed
        .run(&["snapshots", "verify", &shop.archive_url(), &name])
        .expect(1)
        .says(&["lies deeper than 16 folders"]);
}

#[test]
fn what_is_made_is_for_its_owner_alone_under_a_careless_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let shop = Shop::new();
    fs::remove_dir_all(shop.archive()).unwrap();
    let push = shop.bed.path("jobs/push.toml");
    let mut careless = std::process::Command::new("sh");
    careless.args([
        "-c",
        r#"umask 0; exec "$0" "$@""#,
        crate::support::job::BINARY,
    ]);
    careless.args(["--once", "-f"]).arg(&push);
    for (name, value) in shop.bed.command().get_envs() {
        if let Some(value) = value {
            careless.env(name, value);
        }
    }
    shop.bed.spawn(&mut careless).end().expect(0);
    let mut waiting = vec![shop.archive()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let found = path.symlink_metadata().unwrap();
        let mode = found.permissions().mode() & 0o7777;
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{} {mode:o}", path.display());
        if found.is_dir() {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn a_run_that_takes_too_much_memory_fails_for_that_and_leaves_nothing_behind() {
    let shop = Shop::new();
    // Definitions that would fit, and whose end never comes: until then they are in memory.
    let mut snapshot = Snapshot::of(&shop.archive());
    let block = 512;
    let path = snapshot.definitions(&zeros(250 << 20, 19), block);
    snapshot.write();
    let held = format!("/{}", path.strip_prefix(shop.archive()).unwrap().display());
    let (root, name) = (shop.archive(), snapshot.name());
    let server = S3::start(move |asked| {
        let (path, _) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        if asked.parameter("list-type").is_some() {
            return page(&[format!("x/{name}/")], None);
        }
        if asked.method != "GET" {
            return Answer::of(200, &object(b""), b"");
        }
        let path = path.trim_start_matches("/bucket/x");
        let content = fs::read(root.join(path.trim_start_matches('/'))).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 200 OK\r\n{}content-length: {}\r\n\r\n",
            object(&content),
            content.len()
        );
        let is_held = path == held;
        let end = content.len() - if is_held { block } else { 0 };
        let answer = Answer::raw([head.as_bytes(), &content[..end]].concat());
        if is_held {
            answer.then_silence()
        } else {
            answer
        }
    });
    let job = format!(
        "from = \"production\"\nto = \"staging\"\npoint_in_time = \"task\"\n\
         [[task]]\nname = \"first\"\nkind = \"sqlite\"\nsource = {}\ntarget = {}\n\
         [[task]]\nname = \"second\"\nkind = \"sqlite\"\ntarget = {}\n\
         source = {{ url = \"s3://bucket/x\", endpoint = {}, region = \"eu-west-1\", access_key_id = \"a\", secret_access_key = {{ env = \"SECRET\" }} }}\n",
        toml(&shop.url("source")),
        toml(&shop.url("live")),
        toml(&shop.url("other")),
        toml(&server.endpoint()),
    );
    let job = shop.bed.file("small.toml", &job);
    let settings = "[environments.production]\n[environments.staging]\nparent = \"production\"\n[priority]\nmemory_max = \"128MiB\"\n";
    let settings = shop.bed.file("../envsyncd.toml", settings);
    let mut run = shop.bed.command();
    run.arg("--config")
        .arg(settings)
        .args(["--once", "-f"])
        .arg(job)
        .env("SECRET", "b");
    shop.bed.spawn(&mut run).end().expect(1).says(&[
        "MiB of memory, and may have 128 MiB",
        "`memory_max` in [priority]",
    ]);
    let message = shop.bed.status_text("small", "message");
    assert!(message.contains("and may have 128 MiB"), "{message}");
    shop.live_is_old();
}

#[test]
fn a_run_that_asks_for_too_much_at_once_ends_with_a_line_that_says_so_and_the_next_one_clears_up() {
    let shop = Shop::new();
    let snapshot = Snapshot::of(&shop.archive());
    let manifest = snapshot.folder().join("manifest.json");
    let honest = fs::read_to_string(&manifest).unwrap();
    // Three bytes each there, and eight times as much in memory.
    let names = format!("\"columns\": [{}", "\"\",".repeat(20_000_000));
    fs::write(&manifest, honest.replacen("\"columns\": [", &names, 1)).unwrap();
    let settings = shop.bed.file(
        "../envsyncd.toml",
        "[environments.production]\n[environments.staging]\nparent = \"production\"\n[priority]\nmemory_max = \"128MiB\"\n",
    );
    let pull = Job::between("sqlite", &shop.archive_url(), &shop.url("live"));
    let pull = shop.bed.job("pull", &pull);
    let once = || {
        let mut run = shop.bed.command();
        run.arg("--config")
            .arg(&settings)
            .args(["--once", "-f"])
            .arg(&pull);
        shop.bed.spawn(&mut run).end()
    };
    let killed = once();
    assert_eq!(killed.code, None, "{}", killed.stderr);
    killed.says(&["envsyncd: there is no memory for", "memory_max"]);
    shop.live_is_old();
    fs::write(&manifest, honest).unwrap();
    once().expect(0).says(&["found a dead run"]);
    shop.bed
        .run(&["history", "pull"])
        .expect(0)
        .says(&["out of memory"]);
}
