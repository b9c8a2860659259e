//! Jobs that are made, changed and removed in a browser.

use std::fs;

use envsyncd::state::RunState;

use super::{DESKTOP, Panel};
use crate::support::browser::Browser;

/// A panel that may write job files, by what a running daemon has read.
pub(super) fn writer() -> Panel {
    let panel = Panel::new();
    panel.api.let_write();
    let token = panel.api.token(&["probe", "--scope", "admin"]);
    panel.api.until_it_writes(Some(panel.port), &token, true);
    panel.api.house.run(&["token", "revoke", "probe"]).expect(0);
    panel
}

/// Fills in the form, and presses one of its buttons.
fn describe(panel: &Panel, browser: &Browser, name: &str, when: &str, button: &str) {
    browser.open(&panel.url("/new-job"));
    browser.fill("input[name=name]", name);
    browser.click("input[name=from][value=production]");
    browser.click("input[name=to][value=staging]");
    browser.fill("input[name=source]", "app-production");
    browser.fill("input[name=target]", "app-staging");
    browser.click("select[name=kind] option[value=sqlite]");
    browser.click(&format!("input[name=when][value={when}]"));
    browser.click(&format!("button[value={button}]"));
}

#[test]
fn a_job_is_made_seen_run_changed_and_removed_in_a_browser() {
    made_and_removed(true);
}

#[test]
fn a_job_is_made_seen_run_changed_and_removed_without_scripts() {
    made_and_removed(false);
}

fn made_and_removed(scripts: bool) {
    let panel = writer();
    let house = &panel.api.house;
    let browser = panel.browser(DESKTOP, scripts);
    // Shown first, with its next times and the place that it goes to.
    describe(&panel, &browser, "nightly", "daily", "show");
    browser.until("Next times");
    let place = panel.api.managed("nightly.toml");
    browser.until(&place.display().to_string());
    assert!(!place.exists());
    browser.click("button[value=write]");
    browser.until("The job's file is written");
    assert_eq!(browser.path(), "/jobs/nightly");
    browser.until("Next times");
    let text = fs::read_to_string(&place).unwrap();
    assert!(
        text.contains("schedule = \"daily\"") && text.contains("source = \"app-production\""),
        "{text}"
    );
    assert!(house.runs(Some("nightly")).is_empty());
    for page in ["/jobs", "/recurring"] {
        browser.open(&panel.url(page));
        browser.until("nightly");
    }
    // Run, as any other.
    browser.open(&panel.url("/jobs/nightly"));
    browser.click("form[action='/jobs/nightly/run'] button");
    house.until_run("nightly", RunState::Succeeded);
    // Its name is taken.
    describe(&panel, &browser, "nightly", "daily", "write");
    browser.until("there is a job `nightly`");
    // Changed: what is wrong is said, with its line, and nothing changes.
    browser.open(&panel.url("/jobs/nightly"));
    browser.click("a[href='/jobs/nightly/file']");
    browser.fill("textarea", &text.replace("daily", "dayly"));
    browser.click("form[action='/jobs/nightly/file'] button");
    browser.until("line 3, schedule");
    assert_eq!(fs::read_to_string(&place).unwrap(), text);
    browser.fill("textarea", &text.replace("daily", "weekly"));
    browser.click("form[action='/jobs/nightly/file'] button");
    browser.until("The job's file is written");
    browser.until("weekly");
    assert_eq!(
        fs::read_to_string(&place).unwrap(),
        text.replace("daily", "weekly")
    );
    // Removed, once it is named.
    browser.open(&panel.url("/jobs/nightly/file"));
    browser.fill("input[name=confirm]", "nightl");
    browser.click("form[action='/jobs/nightly/remove'] button");
    browser.until("this removes `nightly`");
    assert!(place.exists());
    browser.open(&panel.url("/jobs/nightly/file"));
    browser.fill("input[name=confirm]", "nightly");
    browser.click("form[action='/jobs/nightly/remove'] button");
    browser.until("The job is removed");
    assert!(!place.exists());
    assert_eq!(
        house
            .state()
            .known_job("nightly")
            .unwrap()
            .map(|job| job.job),
        None
    );
    browser.open(&panel.url("/jobs/nightly"));
    browser.until("has no file any more");
}

#[test]
fn run_now_makes_the_job_and_runs_it_once() {
    let panel = writer();
    let browser = panel.browser(DESKTOP, true);
    describe(&panel, &browser, "once", "now", "write");
    browser.until("The job's file is written");
    assert_eq!(browser.path(), "/jobs/once");
    let run = panel.api.house.until_run("once", RunState::Succeeded);
    assert_eq!(run.id, panel.api.house.runs(Some("once"))[0].id);
    assert_eq!(panel.api.house.runs(Some("once")).len(), 1);
    let text = fs::read_to_string(panel.api.managed("once.toml")).unwrap();
    assert!(!text.contains("schedule"), "{text}");
    // Where the target is held, the job is there all the same, and why it did not start is said.
    panel
        .api
        .house
        .run(&["hold", "staging", "--reason", "release 42"])
        .expect(0);
    describe(&panel, &browser, "later", "now", "write");
    browser.until("job `later` is there, and was not started");
    browser.until("release 42");
    assert!(panel.api.managed("later.toml").exists());
}

#[test]
fn a_site_is_made_a_job_and_a_job_written_by_hand_is_left_to_hands() {
    let panel = writer();
    let browser = panel.browser(DESKTOP, true);
    browser.open(&panel.url("/new-job"));
    // A root is there, and cannot be chosen; the same is refused in words.
    browser.until("a root is never a target");
    browser.fill("input[name=name]", "circle");
    browser.click("input[name=from][value=staging]");
    browser.click("input[name=to][value=staging]");
    browser.fill("input[name=source]", "app-staging");
    browser.fill("input[name=target]", "app-staging");
    browser.click("select[name=kind] option[value=sqlite]");
    browser.click("button[value=write]");
    browser.until("into itself");
    assert!(!panel.api.managed("circle.toml").exists());
    browser.open(&panel.url("/new-job"));
    browser.fill("input[name=name]", "nightly-main");
    browser.click("input[name=from][value=production]");
    browser.click("input[name=to][value=staging]");
    browser.run("document.querySelector('select[name=site]').value = 'main'");
    browser.click("input[name=database]");
    browser.click("input[name=when][value=custom]");
    browser.fill("input[name=custom]", "18 0 * * *");
    browser.click("button[value=write]");
    browser.until("The job's file is written");
    panel
        .api
        .house
        .run(&["trigger", "nightly-main", "--wait"])
        .expect(0);
    assert!(panel.api.house.bed.path("site-staging.db").exists());
    browser.open(&panel.url("/jobs/a"));
    browser.until("written by hand: edit it there");
    browser.open(&panel.url("/jobs/a/file"));
    browser.until("a file of job_dir is changed and removed there");
    // Who may not write sees no button that does.
    let token = panel.api.token(&["ops", "--scope", "run"]);
    let other = Browser::new(&panel.api.house.bed.path(""), DESKTOP, true);
    other.open(&panel.url("/new-job"));
    other.fill("input[name=token]", &token);
    other.click("main form button");
    other.until("Show the file");
    assert!(!other.text().contains("Write the file"));
    other.open(&panel.url("/jobs/nightly-main"));
    other.until("What it copies");
    assert!(!other.text().contains("Change or remove"));
    other.open(&panel.url("/jobs/nightly-main/file"));
    other.until("takes `admin`");
}
