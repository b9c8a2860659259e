//! A real S3 server in a directory of its own: Versity's gateway, for which a bucket is a folder and an object is a file,
//! so that tests can do things to objects behind everybody's back. It goes away with the value, and with the process.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use envsyncd::archive::bucket::Patience;
use envsyncd::config::bucket::BucketAccess;
use envsyncd::config::job::Endpoint;
use envsyncd::config::{ArchiveUrl, percent_decoded_text};
use envsyncd::secret::Secret;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};

use super::certificates;
use super::job::toml;
use super::network::Network;
use super::postgres::{Must, bare, free_port, unique};
use super::wait_until;

/// Ends its program as soon as its standard input closes, which the kernel does for a process that is killed, too; and
/// removes the directory `$1` unless it was told to leave it.
const WATCHER: &str = r#"
directory=$1
shift
"$@" </dev/null &
child=$!
trap '' HUP INT TERM
words=$(cat)
kill -KILL "$child"
wait "$child"
[ -n "$words" ] || rm -rf "$directory"
"#;

/// Who may do everything.
pub(crate) const KEY: &str = "envsyncd-root";
/// Its secret: one that has to be encoded wherever it should not be.
pub(crate) const SECRET: &str = "s3cret/with+odd%characters==";

/// The server.
pub(crate) struct S3 {
    directory: PathBuf,
    port: u16,
    tls: bool,
    process: Option<Child>,
}

impl S3 {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_with(false)
    }

    /// The same with TLS; the authority is [`Self::ca`].
    pub(crate) fn start_tls() -> Self {
        Self::start_with(true)
    }

    fn start_with(tls: bool) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd-s3-")
            .tempdir_in("/tmp")
            .expect("a directory in /tmp")
            .keep();
        for name in ["data", "accounts", "tls"] {
            fs::create_dir(directory.join(name)).expect("a directory");
        }
        if tls {
            certificates::make(&directory.join("tls"));
        }
        let mut server = Self {
            directory,
            port: free_port(),
            tls,
            process: None,
        };
        server.go_on();
        server
    }

    /// Starts it again where it was, after [`Self::stop`].
    pub(crate) fn go_on(&mut self) {
        let program = program();
        assert!(
            program.exists(),
            "{} is missing: script/s3-tools installs it",
            program.display()
        );
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a file");
        let mut command = Command::new("sh");
        command
            .args(["-c", WATCHER, "watcher"])
            .arg(&self.directory);
        command.arg(program);
        command.args([
            "--port",
            &format!("127.0.0.1:{}", self.port),
            "--keep-alive",
        ]);
        if self.tls {
            command.arg("--cert").arg(self.path("tls/server.crt"));
            command.arg("--key").arg(self.path("tls/server.key"));
        }
        command.arg("--iam-dir").arg(self.path("accounts"));
        command
            .arg("--iam-cache-disable")
            .arg("posix")
            .arg(self.path("data"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("ROOT_ACCESS_KEY_ID", KEY)
            .env("ROOT_SECRET_ACCESS_KEY", SECRET)
            .current_dir("/")
            .stdin(Stdio::piped())
            // Out of reach of a terminal's Ctrl-C.
            .process_group(0)
            .stdout(log.try_clone().expect("a file descriptor"))
            .stderr(log);
        self.process = Some(command.spawn().expect("a shell"));
        let port = self.port;
        wait_until("the S3 server listened", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// Ends it; what is in its buckets stays.
    pub(crate) fn stop(&mut self) {
        self.end("keep");
    }

    fn end(&mut self, words: &str) {
        if let Some(mut process) = self.process.take() {
            if let Some(mut watcher) = process.stdin.take() {
                let _ = watcher.write_all(words.as_bytes());
            }
            let _ = process.wait();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What `endpoint` is in a job.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The authority that signed the server's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("tls/ca.crt")
    }

    /// Makes a bucket; returns the folder that holds its objects.
    pub(crate) fn bucket(&self, name: &str) -> PathBuf {
        self.ask(reqwest::Method::PUT, &format!("/{name}"), "");
        let folder = self.path("data").join(name);
        assert!(folder.is_dir(), "{}", folder.display());
        folder
    }

    /// Makes a key that may do so much with a bucket's objects (`s3:GetObject`) and, named apart, with the bucket itself
    /// (`s3:ListBucket`); returns its secret.
    pub(crate) fn key(&self, id: &str, bucket: &str, objects: &[&str], itself: &[&str]) -> String {
        let secret = format!("secret-of-{id}");
        let mut admin = bare(program());
        admin
            .args([
                "admin",
                "--access",
                KEY,
                "--secret",
                SECRET,
                "--endpoint-url",
            ])
            .arg(self.endpoint())
            .args(["--allow-insecure", "create-user", "--role", "user"])
            .args(["--access", id, "--secret", &secret]);
        admin.must("versitygw admin create-user");
        let statement = |actions: &[&str], resource: String| {
            serde_json::json!({
                "Effect": "Allow", "Principal": {"AWS": [id]}, "Action": actions, "Resource": resource,
            })
        };
        let mut statements = Vec::new();
        if !objects.is_empty() {
            statements.push(statement(objects, format!("arn:aws:s3:::{bucket}/*")));
        }
        if !itself.is_empty() {
            statements.push(statement(itself, format!("arn:aws:s3:::{bucket}")));
        }
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements});
        self.ask(
            reqwest::Method::PUT,
            &format!("/{bucket}?policy="),
            &policy.to_string(),
        );
        secret
    }

    /// What uploads somebody has begun and not ended in a bucket, as the server lists them.
    pub(crate) fn uploads(&self, bucket: &str) -> usize {
        let list = self.ask(reqwest::Method::GET, &format!("/{bucket}?uploads="), "");
        assert!(list.contains("ListMultipartUploadsResult"), "{list}");
        list.matches("<UploadId>").count()
    }

    /// Asks as who may do everything; returns the answer's body.
    pub(crate) fn ask(&self, method: reqwest::Method, path: &str, body: &str) -> String {
        let uri = format!("{}{path}", self.endpoint());
        let mut request = HttpRequest::new(HttpRequestBody::from(body.to_owned()));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().expect("a URI");
        self.send(request, body).must("curl")
    }

    /// Writes an object, as who may do everything.
    pub(crate) fn put_file(&self, bucket: &str, key: &str, content: &[u8]) {
        let uri = format!("{}/{bucket}/{key}", self.endpoint());
        let mut request = HttpRequest::new(HttpRequestBody::from(content.to_vec()));
        *request.method_mut() = reqwest::Method::PUT;
        *request.uri_mut() = uri.parse().expect("a URI");
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), content).expect("a file");
        let body = format!("@{}", file.path().display());
        self.send(request, &body).must("curl");
    }

    /// What the server says of an object, in small letters.
    pub(crate) fn head(&self, path: &str) -> String {
        let uri = format!("{}{path}", self.endpoint());
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = reqwest::Method::HEAD;
        *request.uri_mut() = uri.parse().expect("a URI");
        let mut curl = self.send(request, "");
        curl.arg("--head").must("curl").to_ascii_lowercase()
    }

    /// A signed request for curl, with this body, which may be `@FILE`.
    fn send(&self, mut request: HttpRequest, body: &str) -> Command {
        let key = AwsCredential {
            key_id: KEY.to_owned(),
            secret_key: SECRET.to_owned(),
            token: None,
        };
        AwsAuthorizer::new(&key, "s3", "us-east-1")
            .try_authorize(&mut request, None)
            .expect("a signature");
        let method = request.method().clone();
        let mut curl = bare("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body"]);
        if method != reqwest::Method::HEAD {
            curl.args(["--request", method.as_str(), "--data-binary", body]);
        }
        curl.arg("--cacert").arg(self.ca());
        for (name, value) in request.headers() {
            let value = value.to_str().expect("text");
            curl.arg("--header").arg(format!("{name}: {value}"));
        }
        curl.arg(request.uri().to_string());
        curl
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.end("");
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// One for all tests that do nothing to it.
pub(crate) fn shared() -> &'static S3 {
    static SHARED: OnceLock<S3> = OnceLock::new();
    SHARED.get_or_init(S3::start)
}

/// A bucket of a server behind a network that can have trouble.
pub(crate) struct Remote {
    pub(crate) bucket: String,
    /// Where the archive's objects lie for the server.
    pub(crate) folder: PathBuf,
    pub(crate) network: Network,
}

impl Remote {
    /// A new one.
    pub(crate) fn new(server: &S3) -> Self {
        let bucket = unique("bucket").replace('_', "-");
        Self {
            folder: server.bucket(&bucket).join("nightly"),
            bucket,
            network: Network::before(&server.address()),
        }
    }

    /// What a job has for it as an endpoint, as who may do everything, whose secret is in this file; and more keys.
    pub(crate) fn endpoint(&self, secret: &str, more: &str) -> String {
        self.endpoint_of(KEY, secret, more)
    }

    /// The same as somebody else.
    pub(crate) fn endpoint_of(&self, key: &str, secret: &str, more: &str) -> String {
        format!(
            "{{ url = \"s3://{}/nightly\", endpoint = {}, access_key_id = {}, secret_access_key = {{ file = \"{secret}\" }}{more} }}",
            self.bucket,
            toml(&self.network.endpoint()),
            toml(key)
        )
    }
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/s3/bin/versitygw")
}

/// An archive at this URL (`s3://bucket/prefix`) of a server, with a key.
pub(crate) fn archive(url: &str, server: &str, id: &str, secret: &str) -> Endpoint {
    let rest = url.strip_prefix("s3://").expect("a bucket's URL");
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // Servers know prefixes that no file may have.
    let prefix = percent_decoded_text(prefix).expect("it is well encoded");
    Endpoint {
        access: Some(Box::new(BucketAccess {
            endpoint: Some(server.to_owned()),
            access_key_id: Some(id.to_owned()),
            secret_access_key: Some(Secret::Inline(secret.to_owned().into())),
            ..BucketAccess::default()
        })),
        ..Endpoint::of(ArchiveUrl::bucket(bucket, &prefix).into())
    }
}

/// Limits of time for tests: longer than a server that is there ever takes where many tests run. One that is not there is known
/// by its refusal.
pub(crate) fn patience() -> Patience {
    Patience {
        total: Duration::from_secs(120),
        first: Duration::from_secs(1),
        still: Duration::from_secs(60),
        connect: Duration::from_secs(10),
    }
}

/// The same for who tests that a server without a word is given up.
pub(crate) fn impatience() -> Patience {
    Patience {
        total: Duration::from_secs(6),
        still: Duration::from_secs(2),
        ..patience()
    }
}
