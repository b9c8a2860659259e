//! Chromium, driven by its own chromedriver.

use std::future::Future;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use super::postgres::free_port;

/// Far longer than a page, an element or a script takes, on a machine that is busy, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with a window of its own. When dropped, it is gone.
pub(crate) struct Browser {
    driver: Child,
    runtime: tokio::runtime::Runtime,
    client: Option<Client>,
}

impl Browser {
    /// With a window of this size; `scripts`: whether pages may have any.
    pub(crate) fn new(directory: &Path, (width, height): (u32, u32), scripts: bool) -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: script/install-test-deps installs it");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut browser = Self {
            driver,
            runtime,
            client: None,
        };
        let profile = directory.join(format!("browser-{port}"));
        let mut options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking",
                format!("--user-data-dir={}", profile.display()),
                format!("--window-size={width},{height}"),
            ],
            // A window is not narrower than 500 pixels, a phone is.
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1, "mobile": false, "touch": false}},
        });
        if !scripts {
            options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let limits = json!({"script": PATIENCE.as_secs() * 1000});
        capabilities.insert("timeouts".to_owned(), limits);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let at = format!("http://127.0.0.1:{port}");
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            match browser.runtime.block_on(builder.connect(&at)) {
                Ok(client) => {
                    browser.client = Some(client);
                    return browser;
                }
                Err(error) => {
                    assert!(Instant::now() < deadline, "no browser: {error}");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn client(&self) -> Client {
        self.client.clone().expect("it is there until the end")
    }

    #[track_caller]
    fn wait<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, fantoccini::error::CmdError>>,
    ) -> T {
        match self.runtime.block_on(work) {
            Ok(value) => value,
            Err(error) => panic!("{what}: {error}\n{}", self.text()),
        }
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.wait(url, self.client().goto(url));
    }

    /// Where it is.
    pub(crate) fn path(&self) -> String {
        let url = self
            .runtime
            .block_on(self.client().current_url())
            .expect("a URL");
        url.path().to_owned()
    }

    /// What one can read on the page.
    pub(crate) fn text(&self) -> String {
        let client = self.client();
        self.runtime
            .block_on(async { client.find(Locator::Css("body")).await?.text().await })
            .unwrap_or_default()
    }

    /// The page's source.
    pub(crate) fn source(&self) -> String {
        self.runtime
            .block_on(self.client().source())
            .unwrap_or_default()
    }

    /// Types into a field.
    #[track_caller]
    pub(crate) fn fill(&self, field: &str, text: &str) {
        let client = self.client();
        self.wait(field, async {
            let found = client
                .wait()
                .at_most(PATIENCE)
                .for_element(Locator::Css(field))
                .await?;
            found.clear().await?;
            found.send_keys(text).await
        });
    }

    #[track_caller]
    pub(crate) fn click(&self, what: &str) {
        let client = self.client();
        self.wait(what, async {
            let found = client
                .wait()
                .at_most(PATIENCE)
                .for_element(Locator::Css(what))
                .await?;
            found.click().await
        });
    }

    /// What a script of ours returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> serde_json::Value {
        self.wait("a script", self.client().execute(script, Vec::new()))
    }

    /// The same, of one that calls back.
    #[track_caller]
    pub(crate) fn run_later(&self, script: &str) -> serde_json::Value {
        self.wait("a script", self.client().execute_async(script, Vec::new()))
    }

    /// Waits until the page has this text, without loading it again.
    #[track_caller]
    pub(crate) fn until(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.text().contains(part) {
            assert!(
                Instant::now() < deadline,
                "waited in vain for `{part}` on\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A picture of the page, for a person to look at.
    pub(crate) fn picture(&self, file: &Path) {
        let picture = self
            .runtime
            .block_on(self.client().screenshot())
            .expect("a picture");
        std::fs::write(file, picture).expect("a file");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
