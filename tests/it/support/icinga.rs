//! A real Icinga 2 in a temporary directory, with an authority of its own and what `packaging/icinga2` defines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::job::BINARY;
use super::postgres::free_port;
use super::wait_until;

/// The password of the `ApiUser` that may send check results.
pub(crate) const PASSWORD: &str = "sesame-opens";

/// The daemon; ended when dropped.
pub(crate) struct Icinga {
    site: Site,
    port: u16,
    daemon: Child,
}

/// Directories and certificates, without a daemon.
pub(crate) struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    /// With the authority that all of them share, and its certificate for `localhost`.
    pub(crate) fn new() -> Self {
        // Made once: each of them takes three runs of Icinga 2's, which starts slowly.
        static SHARED: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::of_another_authority().files());
        let site = Self::empty();
        for (name, content) in shared {
            let file = site.directory.path().join(name);
            let folder = file.parent().expect("it is in a directory");
            fs::create_dir_all(folder).expect("a directory");
            fs::write(&file, content).expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
        }
        site
    }

    /// With an authority of its own, likewise.
    pub(crate) fn of_another_authority() -> Self {
        let site = Self::empty();
        site.pki(&["new-ca"]);
        fs::copy(site.path("data/ca/ca.crt"), site.path("data/certs/ca.crt")).expect("a file");
        site.certificate("localhost");
        site
    }

    fn empty() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd-icinga-")
            .tempdir()
            .expect("a temporary directory");
        for name in [
            "data/certs",
            "log",
            "cache",
            "run",
            "spool",
            "conf.d",
            "zones.d/localhost",
        ] {
            fs::create_dir_all(directory.path().join(name)).expect("a directory");
        }
        Self { directory }
    }

    /// What an authority and a certificate consist of: names, and what is in them.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        ["data/ca", "data/certs"]
            .iter()
            .flat_map(|folder| fs::read_dir(self.path(folder)).expect("a directory"))
            .map(|file| {
                let path = file.expect("a file").path();
                let content = fs::read(&path).expect("a file");
                let name = path.strip_prefix(self.directory.path());
                (name.expect("it is in there").to_owned(), content)
            })
            .collect()
    }

    /// A place in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("data/ca/ca.crt")
    }

    /// Makes a certificate with this common name: the certificate's file, and the key's.
    pub(crate) fn certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        let file = |kind: &str| self.path(&format!("data/certs/{name}.{kind}"));
        let (certificate, key, request) = (file("crt"), file("key"), file("csr"));
        let text = |path: &Path| path.to_str().expect("our paths are text").to_owned();
        let (crt, key_file, csr) = (text(&certificate), text(&key), text(&request));
        self.pki(&["new-cert", "--cn", name, "--key", &key_file, "--csr", &csr]);
        self.pki(&["sign-csr", "--csr", &csr, "--cert", &crt]);
        (certificate, key)
    }

    fn pki(&self, arguments: &[&str]) {
        let output = self
            .command(&[&["pki"], arguments].concat())
            .output()
            .expect("icinga2");
        assert!(output.status.success(), "{output:?}");
    }

    /// `icinga2 VERB...`, which knows no other place than this.
    fn command(&self, verb: &[&str]) -> Command {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        let user = user.expect("users").expect("our own").name;
        let group = nix::unistd::Group::from_gid(nix::unistd::getegid());
        let group = group.expect("groups").expect("our own").name;
        let mut command = Command::new("icinga2");
        command.args(verb);
        for (name, value) in [
            ("DataDir", self.path("data").display().to_string()),
            ("LogDir", self.path("log").display().to_string()),
            ("CacheDir", self.path("cache").display().to_string()),
            ("InitRunDir", self.path("run").display().to_string()),
            ("ZonesDir", self.path("zones.d").display().to_string()),
            ("SpoolDir", self.path("spool").display().to_string()),
            ("RunAsUser", user),
            ("RunAsGroup", group),
        ] {
            command.arg("-D").arg(format!("{name}={value}"));
        }
        command.env("HOME", self.directory.path());
        command
    }

    /// Writes the configuration: the package's, with our binary and a password in it, and what a test adds.
    /// `folder` is Icinga's own way to say whose objects they are: `conf.d`, or `zones.d/localhost`.
    fn configure(&self, folder: &str, port: u16, more: &str) -> PathBuf {
        let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/icinga2");
        let mut text = String::new();
        for file in [
            "commands.conf",
            "templates.conf",
            "services.conf",
            "api-user.conf",
        ] {
            text += &fs::read_to_string(packaged.join(file)).expect("a packaged file");
        }
        let replace = |text: String, from: &str, to: &str| {
            assert!(text.contains(from), "{from} in\n{text}");
            text.replace(from, to)
        };
        let text = replace(text, "/usr/bin/envsyncd", BINARY);
        let text = replace(
            text,
            "// password = \"...\"",
            &format!("password = \"{PASSWORD}\""),
        );
        let text = replace(
            text,
            "// client_cn = \"db2.example\"",
            "client_cn = \"db2\"",
        );
        let file = self.path(&format!("{folder}/envsyncd.conf"));
        fs::write(file, format!("{text}\n{more}\n")).expect("a file");
        let file = self.path("icinga2.conf");
        let whole = format!(
            r#"
const NodeName = "localhost"
const ZoneName = NodeName
include <itl>
object Endpoint NodeName {{ }}
object Zone ZoneName {{ endpoints = [ NodeName ] }}
object ApiListener "api" {{ bind_host = "127.0.0.1"; bind_port = {port} }}
object CheckerComponent "checker" {{ }}
object ApiUser "root" {{ password = "root"; permissions = [ "*" ] }}
include_recursive "{}"
"#,
            self.path("conf.d").display()
        );
        fs::write(&file, whole).expect("a file");
        file
    }

    /// `icinga2 daemon -C`: all that it says, and whether the configuration is right.
    pub(crate) fn validate(&self, folder: &str, more: &str) -> (bool, String) {
        let file = self.configure(folder, free_port(), more);
        let output = self
            .command(&["daemon"])
            .arg("-C")
            .arg("-c")
            .arg(file)
            .output()
            .expect("icinga2");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said)
    }
}

impl Icinga {
    /// Starts it with these objects beside the package's.
    pub(crate) fn start(objects: &str) -> Self {
        let site = Site::new();
        let port = free_port();
        let file = site.configure("conf.d", port, objects);
        let log = fs::File::create(site.path("icinga2.out")).expect("a file");
        let daemon = site
            .command(&["daemon"])
            .arg("-c")
            .arg(file)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("icinga2");
        let mut icinga = Self { site, port, daemon };
        wait_until("Icinga 2 answered", || {
            let ended = icinga.daemon.try_wait().expect("our child");
            let said = || fs::read_to_string(icinga.site.path("icinga2.out")).unwrap_or_default();
            assert!(ended.is_none(), "Icinga 2 did not start:\n{}", said());
            icinga.try_ask("GET", "/v1/status/CIB", None).is_some()
        });
        icinga
    }

    /// Where it keeps what it needs.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Its API's port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lines of `[icinga2]` that reach it by password, as host `db2`.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[icinga2]\nurl = \"https://localhost:{}\"\nuser = \"envsyncd\"\npassword = {{ env = \"ICINGA_PASSWORD\" }}\nca = \"{}\"\nhost = \"db2\"\n",
            self.port,
            self.site.ca().display()
        )
    }

    /// What it knows of a service: its attributes.
    pub(crate) fn service(&self, name: &str) -> Value {
        let path = format!("/v1/objects/services/{}", name.replace(' ', "%20"));
        self.ask("GET", &path, None)["results"][0]["attrs"].clone()
    }

    /// The last check result of a service; null before the first.
    pub(crate) fn result(&self, name: &str) -> Value {
        self.service(name)["last_check_result"].clone()
    }

    /// Runs a service's own check now.
    pub(crate) fn check(&self, name: &str) {
        let body = serde_json::json!({"type": "Service", "service": name, "force": true});
        self.ask("POST", "/v1/actions/reschedule-check", Some(body));
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.try_ask(method, path, body)
            .unwrap_or_else(|| panic!("Icinga 2 does not answer {method} {path}"))
    }

    fn try_ask(&self, method: &str, path: &str, body: Option<Value>) -> Option<Value> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.site.ca()).expect("a certificate");
        roots.add(ca).expect("an authority");
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .no_proxy()
            .build()
            .expect("a client");
        let url = format!("https://localhost:{}{path}", self.port);
        let method = method.parse().expect("a method");
        let mut request = client
            .request(method, url)
            .header("accept", "application/json")
            .basic_auth("root", Some("root"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let response = request.send().await.ok()?;
            assert!(response.status().is_success(), "{response:?}");
            response.json().await.ok()
        })
    }
}

impl Drop for Icinga {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.daemon.id()).expect("a pid"));
        // It ends its own children when it is asked to; what is left after that is killed.
        let _ = kill(pid, Signal::SIGTERM);
        for _ in 0..500 {
            if !matches!(self.daemon.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = self.daemon.wait();
    }
}
