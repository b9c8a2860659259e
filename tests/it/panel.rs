//! The control panel in a browser, over a real daemon.

mod job_files;

use std::fs;
use std::path::{Path, PathBuf};

use envsyncd::state::{LogLine, RunState};

use crate::support::api::Api;
use crate::support::browser::Browser;
use crate::support::job::Gate;

const DESKTOP: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (375, 800);

/// A daemon with a site and two jobs, one of which is slow, and a browser that has logged in.
struct Panel {
    api: Api,
    port: u16,
    gate: Gate,
}

impl Panel {
    fn new() -> Self {
        let (api, port) = Api::at_port(false);
        let gate = api.house.bed.gate("slow");
        rusqlite::Connection::open(api.house.target("slow"))
            .and_then(|target| target.execute_batch("CREATE TABLE old (a)"))
            .unwrap();
        api.house
            .put("slow", &api.house.draft("slow").hooks(&gate.maintenance()));
        api.house.until("the daemon knew the job", |house| {
            house.state().known_job("slow").unwrap().is_some()
        });
        Self { api, port, gate }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A browser that followed the link of `envsyncd panel`.
    fn browser(&self, size: (u32, u32), scripts: bool) -> Browser {
        let link = self
            .api
            .house
            .run(&["panel"])
            .expect(0)
            .stdout
            .trim()
            .to_owned();
        let browser = Browser::new(&self.api.house.bed.path(""), size, scripts);
        browser.open(&link);
        browser.until("All jobs");
        // It is of no use to whoever finds it in a history.
        let other = Browser::new(&self.api.house.bed.path(""), size, true);
        other.open(&link);
        other.until("used already");
        browser
    }
}

/// Starts the slow job by its page's button, and waits until it is under way.
fn run_slow(panel: &Panel, browser: &Browser) -> String {
    browser.open(&panel.url("/jobs/slow"));
    browser.click("form[action='/jobs/slow/run'] button");
    browser.until("Elapsed");
    panel
        .api
        .house
        .until("the run was under way", |_| panel.gate.is_reached());
    panel.api.house.last("slow").unwrap().id
}

#[test]
fn a_run_is_started_watched_without_reloading_cancelled_and_rolled_back() {
    let panel = Panel::new();
    let browser = panel.browser(DESKTOP, true);
    let run = run_slow(&panel, &browser);
    assert_eq!(browser.path(), format!("/runs/{run}"));
    // What only this page, loaded once, has.
    browser.run("window.loadedOnce = true");
    browser.until("running");
    let line = LogLine {
        at: chrono::Utc::now(),
        level: "warn".to_owned(),
        task: String::new(),
        message: "a line <b>that</b> comes late".to_owned(),
    };
    panel.api.house.state().add_logs(&run, &[line]).unwrap();
    browser.until("a line <b>that</b> comes late");
    browser.click(&format!("form[action='/runs/{run}/cancel'] button"));
    browser.until("cancelled");
    let ended = panel.api.house.until_run("slow", RunState::Cancelled);
    assert!(ended.message.contains("cancelled by"), "{}", ended.message);
    // To its end, seen without a reload.
    let run = run_slow_again(&panel, &browser);
    browser.run("window.loadedOnce = true");
    panel.gate.open();
    browser.until("Replication completed successfully");
    // Its steps with it, to the last.
    panel.api.house.until("its steps were drawn", |_| {
        browser.run(
            "const drawn = document.querySelectorAll('.steps rect').length;
             const told = [...document.querySelectorAll('.steps li')].map(it => it.textContent.split(' ')[0]);
             return drawn === told.length && told[0] === 'survey' && told[drawn - 1] === 'publish'",
        ) == true
    });
    assert_eq!(
        browser.run("return window.loadedOnce === true"),
        true,
        "the page was loaded again"
    );
    panel.api.house.until_run("slow", RunState::Succeeded);
    // Once more, and back.
    browser.open(&panel.url("/jobs/slow"));
    browser.click("form[action='/jobs/slow/run'] button");
    panel.api.house.until("it had run again", |house| {
        house
            .last("slow")
            .is_some_and(|last| last.id != run && last.state == RunState::Succeeded)
    });
    browser.open(&panel.url("/jobs/slow"));
    browser.fill(
        "form[action='/jobs/slow/rollback'] input[name=confirm]",
        "production",
    );
    browser.click("form[action='/jobs/slow/rollback'] button");
    browser.until("this changes `staging`");
    browser.open(&panel.url("/jobs/slow"));
    browser.fill(
        "form[action='/jobs/slow/rollback'] input[name=confirm]",
        "staging",
    );
    browser.click("form[action='/jobs/slow/rollback'] button");
    browser.until("rollback");
    panel.api.house.until("it was rolled back", |house| {
        house.last("slow").is_some_and(|last| {
            last.verb == envsyncd::state::Verb::Rollback && last.state == RunState::Succeeded
        })
    });
}

fn run_slow_again(panel: &Panel, browser: &Browser) -> String {
    panel.gate.close();
    run_slow(panel, browser)
}

#[test]
fn a_site_is_copied_by_choosing_and_typing_its_target() {
    site(true);
}

#[test]
fn the_same_works_without_scripts() {
    site(false);
    let panel = Panel::new();
    let browser = panel.browser(DESKTOP, false);
    let run = run_slow(&panel, &browser);
    browser.click(&format!("form[action='/runs/{run}/cancel'] button"));
    panel.api.house.until_run("slow", RunState::Cancelled);
    browser.open(&panel.url(&format!("/runs/{run}")));
    browser.until("cancelled");
    browser.open(&panel.url("/jobs/a"));
    browser.click("#pause summary");
    browser.fill(
        "form[action='/jobs/a/pause'] input[name=reason]",
        "load test",
    );
    browser.click("form[action='/jobs/a/pause'] button");
    browser.until("load test");
    assert!(
        panel
            .api
            .house
            .state()
            .pauses()
            .unwrap()
            .iter()
            .any(|pause| pause.reason == "load test")
    );
    browser.open(&panel.url("/jobs/a"));
    browser.click("form[action='/jobs/a/resume'] button");
    panel.api.house.until("it was resumed", |house| {
        house.state().pauses().unwrap().is_empty()
    });
    browser.until("Pause");
}

fn site(scripts: bool) {
    let panel = Panel::new();
    let browser = panel.browser(DESKTOP, scripts);
    browser.open(&panel.url("/sites/main?from=production&to=staging"));
    // What policy forbids is there, with its reason.
    browser.until("is a root environment");
    browser.until("This overwrites staging's main");
    browser.fill("input[name=confirm]", "integration");
    browser.click("form[action='/sites/main/database/sync'] button");
    browser.until("staging");
    assert!(
        panel
            .api
            .house
            .runs(Some("site:main production->staging"))
            .is_empty()
    );
    browser.open(&panel.url("/sites/main?from=production&to=staging"));
    browser.fill("input[name=confirm]", "staging");
    browser.click("form[action='/sites/main/database/sync'] button");
    browser.until("Elapsed");
    panel
        .api
        .house
        .until_run("site:main production->staging", RunState::Succeeded);
    browser.open(&panel.url("/sites/main"));
    browser.until("succeeded");
}

#[test]
fn a_job_is_described_and_shown_as_a_file_with_its_next_times() {
    let panel = Panel::new();
    let browser = panel.browser(DESKTOP, true);
    browser.open(&panel.url("/new-job"));
    browser.fill("input[name=name]", "nightly-main");
    browser.click("input[name=from][value=production]");
    browser.click("input[name=to][value=staging]");
    browser.run("document.querySelector('select[name=site]').value = 'main'; const it = document.querySelector('input[name=database]'); if (!it.checked) it.click();");
    browser.click("input[name=when][value=daily]");
    browser.click("button[value=show]");
    browser.until("[[task]]");
    let text = browser.text();
    assert!(
        text.contains("from = \"production\"") && text.contains("schedule = \"daily\""),
        "{text}"
    );
    assert!(text.contains("Next times"), "{text}");
    // What is shown is right as a file.
    let toml = browser.run("return document.querySelector('pre code').textContent");
    let file = panel.api.house.file("nightly-main");
    fs::write(&file, toml.as_str().unwrap()).unwrap();
    panel
        .api
        .house
        .run(&["validate", "-f", file.to_str().unwrap()])
        .expect(0);
    // Uphill, the same, and a root are refused in words.
    browser.open(&panel.url("/new-job"));
    browser.until("a root");
}

#[test]
fn a_form_of_another_page_and_a_stranger_change_nothing() {
    let panel = Panel::new();
    let token = panel.api.token(&["boss", "--scope", "admin"]);
    // Logged in by a token.
    let browser = Browser::new(&panel.api.house.bed.path(""), DESKTOP, true);
    browser.open(&panel.url("/jobs/a"));
    browser.until("Log in");
    browser.fill("input[name=token]", "envsyncd_wrong");
    browser.click("main form button");
    browser.until("unknown");
    browser.fill("input[name=token]", &token);
    browser.click("main form button");
    browser.until("What it copies");
    // Where it wanted to go, with a cookie that no script sees.
    assert_eq!(browser.path(), "/jobs/a");
    assert_eq!(browser.run("return document.cookie"), "");
    // A page elsewhere that knows everything but the form's secret.
    let evil = panel.api.house.bed.file(
        "evil.html",
        &format!(
            "<form id=f method=post action='{}'><input name=csrf value=guess></form>",
            panel.url("/jobs/a/run")
        ),
    );
    browser.open(&format!("file://{}", evil.display()));
    browser.run("document.getElementById('f').submit()");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let status = browser.run_later(
        "const done = arguments[arguments.length - 1]; done(document.body ? document.body.textContent.slice(0, 200) : '')",
    );
    assert!(panel.api.house.runs(Some("a")).is_empty(), "{status}");
    // Not even a page of ours without it, over the API.
    browser.open(&panel.url("/jobs/a"));
    let script = "const done = arguments[arguments.length - 1]; fetch('/api/v1/jobs/a/runs', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'}).then(r => done(r.status))";
    assert_eq!(browser.run_later(script), 403);
    // Out, and the cookie is of no use.
    browser.click("form[action='/logout'] button");
    browser.until("Log in");
    browser.open(&panel.url("/jobs/a"));
    browser.until("Log in");
    assert!(panel.api.house.runs(Some("a")).is_empty());
}

/// Every page, as it is with names that are meant to break it.
fn pages(panel: &Panel) -> Vec<(&'static str, String)> {
    let run = panel.api.house.last("slow").unwrap().id;
    let ended = panel.api.house.last("a").unwrap().id;
    vec![
        ("overview", "/".to_owned()),
        ("jobs", "/jobs".to_owned()),
        ("job", "/jobs/slow".to_owned()),
        ("recurring", "/recurring".to_owned()),
        ("new-job", "/new-job".to_owned()),
        ("job-file", "/jobs/app/file".to_owned()),
        ("sites", "/sites".to_owned()),
        ("site", "/sites/main?from=production&to=staging".to_owned()),
        ("run", format!("/runs/{run}")),
        ("run-ended", format!("/runs/{ended}")),
        ("run-searched", format!("/runs/{ended}?search=copied")),
        ("history", "/history".to_owned()),
        ("environments", "/environments".to_owned()),
        ("snapshots", "/snapshots".to_owned()),
        ("tokens", "/tokens".to_owned()),
        ("audit", "/audit".to_owned()),
    ]
}

/// Runs the job `a` with thirty tables more in its source.
fn many_tables(panel: &Panel) {
    let prefix = "customer_communication_preferences";
    panel.api.house.add_tables(prefix, 30, 100);
    let job = panel.api.house.draft("a").task("exclude = [\"t\"]");
    panel.api.house.put("a", &job);
    panel.api.house.run(&["trigger", "a", "--wait"]).expect(0);
}

#[test]
fn every_page_is_for_everybody_on_a_phone_and_on_a_desk() {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/http/axe.min.js");
    let axe = fs::read_to_string(axe).expect("script/http-tools puts it there");
    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("panel");
    fs::create_dir_all(&pictures).unwrap();
    let panel = job_files::writer();
    let hostile = "<script>document.title='owned'</script>";
    let job = "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"sqlite\"\nsource = \"app-production\"\ntarget = \"app-staging\"\n";
    let job = format!("description = \"</textarea>{hostile}\"\n{job}");
    fs::write(panel.api.managed("app.toml"), job).unwrap();
    panel.api.house.until("the daemon knew the job", |house| {
        house.state().known_job("app").unwrap().is_some()
    });
    panel
        .api
        .house
        .run(&["hold", "integration", "--reason", hostile])
        .expect(0);
    panel
        .api
        .house
        .run(&["pause", "b", "--reason", hostile])
        .expect(0);
    many_tables(&panel);
    let desk = panel.browser(DESKTOP, true);
    let run = run_slow(&panel, &desk);
    let line = LogLine {
        at: chrono::Utc::now(),
        level: "error".to_owned(),
        task: "sqlite".to_owned(),
        message: format!("{hostile}{}", "x".repeat(300)),
    };
    panel.api.house.state().add_logs(&run, &[line]).unwrap();
    let phone = panel.browser(PHONE, true);
    for (name, path) in pages(&panel) {
        for (size, browser) in [("desk", &desk), ("phone", &phone)] {
            browser.open(&panel.url(&path));
            browser.until("envsyncd");
            assert_ne!(browser.run("return document.title"), "owned", "{name}");
            assert!(
                browser.source().len() < 100_000,
                "{name}: {}",
                browser.source().len()
            );
            let overflow = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert!(
                overflow.as_i64().unwrap() <= 0,
                "{name} on a {size} scrolls sideways by {overflow}"
            );
            browser.picture(&pictures.join(format!("{name}-{size}.png")));
            // By the protocol, which no policy of the page's keeps out.
            browser.run(&axe);
            let found = browser.run_later(
                "const done = arguments[arguments.length - 1];
                 axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations
                    .filter(it => ['serious', 'critical'].includes(it.impact))
                    .map(it => it.id + ': ' + it.help + ' ' + it.nodes.map(node => node.html.slice(0, 120)).join(' | '))))",
            );
            assert_eq!(found, serde_json::json!([]), "{name} on a {size}");
        }
    }
    panel.gate.open();
}
