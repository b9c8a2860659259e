//! A daemon with the API, asked by curl.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::certificates;
use super::daemon::House;
use super::postgres::free_port;

/// A house whose daemon serves the API at a unix socket.
pub(crate) struct Api {
    pub(crate) house: House,
}

/// What curl was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lines of the answer's head, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Two environments below production, and a site that is in all three.
pub(crate) const ENVIRONMENTS: &str = r#"
[environments.production]
aliases = ["prod"]
[environments.staging]
aliases = ["stage"]
parent = "production"
[environments.integration]
parent = "staging"
"#;

impl Api {
    /// With a daemon that is ready; `more` are lines of its settings.
    pub(crate) fn new(more: &str) -> Self {
        let mut api = Self::draft(more);
        api.house.start();
        api
    }

    /// The same, before its daemon is started.
    pub(crate) fn draft(more: &str) -> Self {
        let house = House::new("");
        let site = |environment: &str, file: &str| {
            format!(
                "{environment} = {{ database = \"sqlite://{}\" }}\n",
                house.bed.path(file).display()
            )
        };
        let text = format!(
            "job_dir = \"jobs\"\n{ENVIRONMENTS}\n[reboot_lock]\ninhibit = false\n[http]\nlisten = \"unix:http.sock\"\n{more}\n[sites.main]\n{}{}{}",
            site("production", "source.db"),
            site("staging", "site-staging.db"),
            site("integration", "site-integration.db"),
        );
        house.raw_settings(&text);
        Self { house }
    }

    /// The same at a port of loopback, with TLS by a certificate beside the settings or without.
    pub(crate) fn at_port(tls: bool) -> (Self, u16) {
        let port = free_port();
        let mut text = format!("listen = \"127.0.0.1:{port}\"\n");
        if tls {
            text += "tls = { certificate = \"server.crt\", key = \"server.key\" }\n";
        }
        let mut api = Self::draft("");
        let settings = fs::read_to_string(api.house.config()).expect("settings");
        api.house
            .raw_settings(&settings.replace("listen = \"unix:http.sock\"\n", &text));
        if tls {
            certificates::make(&api.house.bed.path(""));
        }
        for job in ["a", "b"] {
            api.house.job(job);
        }
        api.house.start();
        (api, port)
    }

    /// Has it write job files of its own, into a directory of their own, and gives the site's databases names.
    pub(crate) fn let_write(&self) {
        fs::create_dir(self.managed("")).expect("a directory");
        let settings = fs::read_to_string(self.house.config()).expect("settings");
        let endpoint = |name: &str, environment: &str, file: &str| {
            format!(
                "[endpoints.{name}]\nenvironment = \"{environment}\"\nurl = \"sqlite://{}\"\n",
                self.house.bed.path(file).display()
            )
        };
        let settings = settings
            .replace(
                "job_dir = \"jobs\"\n",
                "job_dir = \"jobs\"\nmanaged_job_dir = \"managed\"\n",
            )
            .replace("[http]\n", "[http]\nedit_jobs = true\n");
        self.house.raw_settings(&format!(
            "{settings}{}{}",
            endpoint("app-production", "production", "source.db"),
            endpoint("app-staging", "staging", "app-staging.db"),
        ));
    }

    /// Waits until a daemon, at its socket or at a port, goes by settings under which it writes job files, or does not: a page
    /// tells an administrator. That it has read files says nothing, it may have been for another reason.
    #[track_caller]
    pub(crate) fn until_it_writes(&self, port: Option<u16>, token: &str, does: bool) {
        let ask = || match port {
            None => self.ask(token, "GET", "/new-job", &[]),
            Some(port) => answer(
                Command::new("curl")
                    .arg("-H")
                    .arg(format!("Authorization: Bearer {token}"))
                    .arg(format!("http://127.0.0.1:{port}/new-job")),
            ),
        };
        self.house.until("it went by the settings", |_| {
            ask().expect(200).body.contains("Write the file") == does
        });
    }

    /// A file of that directory.
    pub(crate) fn managed(&self, file: &str) -> PathBuf {
        self.house.bed.path("managed").join(file)
    }

    /// Sends a job's file.
    pub(crate) fn put(&self, token: &str, job: &str, text: &str, more: &[&str]) -> Answer {
        let mut all = vec![
            "-H",
            "Content-Type: application/toml",
            "--data-binary",
            text,
        ];
        all.extend(more);
        self.ask(token, "PUT", &format!("/api/v1/jobs/{job}"), &all)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.house.bed.path("http.sock")
    }

    /// A new token: `token create`'s arguments.
    #[track_caller]
    pub(crate) fn token(&self, arguments: &[&str]) -> String {
        let mut all = vec!["token", "create"];
        all.extend(arguments);
        let made = self.house.run(&all).expect(0);
        made.stdout.trim().to_owned()
    }

    /// A request over the socket.
    pub(crate) fn ask(&self, token: &str, method: &str, path: &str, more: &[&str]) -> Answer {
        let mut command = Command::new("curl");
        command.arg("--unix-socket").arg(self.socket());
        command.args(more);
        if !token.is_empty() {
            command
                .arg("-H")
                .arg(format!("Authorization: Bearer {token}"));
        }
        answer(command.args(["-X", method, &format!("http://localhost{path}")]))
    }

    #[track_caller]
    pub(crate) fn get(&self, token: &str, path: &str) -> Value {
        self.ask(token, "GET", path, &[]).expect(200).json()
    }

    /// A request with a body of JSON.
    pub(crate) fn post(&self, token: &str, path: &str, body: &str) -> Answer {
        self.ask(
            token,
            "POST",
            path,
            &["-H", "Content-Type: application/json", "-d", body],
        )
    }
}

/// Has curl ask.
#[track_caller]
pub(crate) fn answer(curl: &mut Command) -> Answer {
    let output = curl
        .args(["-sS", "-i", "--max-time", "120", "--path-as-is"])
        .output()
        .expect("curl: script/install-test-deps installs it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !text.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (mut head, mut body) = text.split_once("\r\n\r\n").expect("a head");
    // 100 Continue, say.
    while head.starts_with("HTTP/1.1 1") {
        (head, body) = body.split_once("\r\n\r\n").expect("a head");
    }
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    Answer {
        status: status
            .and_then(|status| status.parse().ok())
            .expect("a status"),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value)
    }

    /// A problem of this status whose sentence or hint has this.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, part: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
        answer
    }
}

/// Whether a file in a state directory has this text anywhere.
pub(crate) fn is_in(directory: &std::path::Path, text: &str) -> bool {
    fs::read_dir(directory)
        .expect("a directory")
        .flatten()
        .any(|entry| {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        })
}
