//! `/new-job`: a form that becomes a job's file, which is shown, or written where the settings let the panel do so.

use std::path::PathBuf;

use axum::response::{IntoResponse as _, Response};
use chrono_tz::Tz;

use super::answer::go_to;
use super::facts;
use super::job_files::{after, sentences};
use super::view::{Choice, Draft, Frame, NewJob, Place};
use super::visitor::{Asked, Fields, Posted, Visitor};
use crate::config::job::{Endpoint, Job, Settings, Task};
use crate::config::sites::CONTENTS;
use crate::config::{Diagnostic, understand_text};
use crate::control::job_files;
use crate::http::api::job_files::write;
use crate::http::api::jobs::next_times;
use crate::http::api::start::{Wanted, start};
use crate::http::app::Look;
use crate::http::reply::Problem;
use crate::policy::{self, Environment};
use crate::state::Verb;

/// So many next times are told.
const TIMES: usize = 3;

/// The empty form.
pub(super) async fn page(visitor: Visitor, Asked(fields): Asked) -> Response {
    let made = visitor
        .show(Place::Jobs, move |look, _, frame| {
            Ok(form(look, frame, &fields))
        })
        .await;
    visitor.answer(made)
}

/// The form as it was filled in, and the file that it makes; or the job that it has made.
pub(super) async fn draft(Posted { visitor, fields }: Posted) -> Response {
    let made = if fields.text("do") == "write" {
        written(&visitor, fields).await
    } else {
        shown(&visitor, fields, None).await
    };
    visitor.answer(made)
}

/// The form again; `refused`: why its file was not written.
async fn shown(
    visitor: &Visitor,
    fields: Fields,
    refused: Option<Problem>,
) -> Result<Response, Problem> {
    visitor
        .show(Place::Jobs, move |look, _, frame| {
            let mut page = drafted(look, frame, &fields);
            // All that is wrong with the file is there already.
            let more = refused.filter(|_| page.problems.is_empty());
            page.problems.extend(more.iter().flat_map(sentences));
            Ok(page)
        })
        .await
}

/// Writes the file, and where it is to run now, has it run once.
async fn written(visitor: &Visitor, fields: Fields) -> Result<Response, Problem> {
    let (app, identity) = (&visitor.app, &visitor.identity);
    let name = fields.text("name").to_owned();
    let is_now = fields.text("when") == "now";
    let kept = fields.clone();
    let text = app
        .ask(move |look| Ok(text(look.settings(), &kept)))
        .await?;
    let done = match text {
        Ok(text) => write(app, identity, name.clone(), text, None).await,
        Err(problem) => Err(Problem::bad(problem)),
    };
    let known = match done {
        Ok((_, known)) => known,
        Err(problem) => {
            let status = problem.status();
            let page = shown(visitor, fields, Some(problem)).await?;
            return Ok((status, page).into_response());
        }
    };
    if is_now {
        let wanted = Wanted {
            job: name.clone(),
            only: Vec::new(),
            verb: Verb::Run,
        };
        let mut started = start(app, identity, wanted, None).await;
        if let Err(problem) = &mut started {
            let why = &problem.detail;
            problem.detail = format!("job `{name}` is there, and was not started: {why}");
        }
        started?;
    }
    Ok(go_to(&after(&name, known)))
}

fn drafted(look: &Look, frame: Frame, fields: &Fields) -> NewJob {
    let mut page = form(look, frame, fields);
    let settings = look.settings();
    let text = match text(settings, fields) {
        Ok(text) => text,
        Err(problem) => {
            page.problems.push(problem);
            return page;
        }
    };
    let file = match file_of(settings, &page.draft.name) {
        Ok(file) => file,
        Err(problem) => {
            page.problems.push(problem);
            return page;
        }
    };
    if look.view.jobs.contains_key(&page.draft.name) {
        page.problems
            .push(format!("there is a job `{}` already", page.draft.name));
    }
    match understand_text(&file, text.clone(), settings) {
        Ok((job, _)) => told(look, &mut page, &job),
        Err(found) => page.problems.extend(found.iter().map(said)),
    }
    page.path = file.display().to_string();
    page.toml = Some(text);
    page
}

/// Where the file goes: what it may have depends on it.
fn file_of(settings: &Settings, name: &str) -> std::result::Result<PathBuf, String> {
    if job_files::directory(settings).is_ok() {
        return job_files::file_of(settings, name).map_err(|error| error.sentence());
    }
    Ok(settings.job_dir.join(format!("{name}.toml")))
}

/// One line of what is wrong.
fn said(found: &Diagnostic) -> String {
    let flaw = &found.flaw;
    let mut text = match &found.key {
        Some(key) => format!("{key}: {}", flaw.message),
        None => flaw.message.clone(),
    };
    for more in [flaw.allowed.as_deref(), flaw.help.as_deref()]
        .into_iter()
        .flatten()
    {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

fn told(look: &Look, page: &mut NewJob, job: &Job) {
    page.zone = facts::zone(look, job);
    page.next = next_times(look, job, TIMES);
    if let Err(refused) = policy::permit(&look.settings().environments, &job.from, &job.to) {
        page.problems.push(refused.to_string());
    }
}

/// The job's file.
fn text(settings: &Settings, fields: &Fields) -> std::result::Result<String, String> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut lines = Vec::new();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{key} = {}", quoted(value)));
        }
    };
    add("description", fields.text("description"));
    add("from", fields.text("from"));
    add("to", fields.text("to"));
    add("site", fields.text("site"));
    let schedule = match fields.text("when") {
        "now" | "" => "",
        "custom" => fields.text("custom"),
        often => often,
    };
    if !schedule.is_empty() {
        add("schedule", schedule);
        add("timezone", fields.text("zone"));
    }
    let given = |key: &'static str| (key, fields.text(key).to_owned());
    let tasks = match fields.some("site") {
        Some(site) => of_site(settings, &site, fields)?,
        None => vec![["kind", "source", "target"].map(given).to_vec()],
    };
    for task in tasks {
        lines.push("\n[[task]]".to_owned());
        let keys = task.iter();
        lines.extend(keys.map(|(key, value)| format!("{key} = {}", quoted(value))));
    }
    Ok(lines.join("\n") + "\n")
}

/// A task's keys.
type Keys = Vec<(&'static str, String)>;

/// Of what a site has, what is ticked: a task of each.
fn of_site(
    settings: &Settings,
    site: &str,
    fields: &Fields,
) -> std::result::Result<Vec<Keys>, String> {
    if fields.some("index").is_some() {
        return Err("envsyncd does not copy a site's index yet".to_owned());
    }
    let ticked = |kind: &&str| fields.some(kind).is_some();
    let only: Vec<String> = (CONTENTS.into_iter().filter(ticked))
        .map(str::to_owned)
        .collect();
    if only.is_empty() {
        return Err(format!("choose what to copy of `{site}`"));
    }
    let job = settings.site_job(site, fields.text("from"), fields.text("to"));
    let job = job
        .and_then(|job| job.only(&only))
        .map_err(|error| error.to_string())?;
    job.tasks.iter().map(|task| keys_of(site, task)).collect()
}

/// A site's task, as it stands in a file.
fn keys_of(site: &str, task: &Task) -> std::result::Result<Keys, String> {
    // What masks its rows, say, must not be missing in a file that is taken for the same.
    if has_options(task) {
        return Err(format!(
            "`{site}` is copied with options that this form does not write: put those under [sites.{site}.tasks.{}] into a file's [[task]] by hand",
            task.name
        ));
    }
    let side = |endpoint: &Endpoint| match (&endpoint.name, &endpoint.password) {
        (Some(name), _) => Ok(name.clone()),
        (None, None) => Ok(endpoint.url.to_string()),
        // It is not repeated in another file.
        (None, Some(_)) => Err(format!(
            "{} has a password: name it as an endpoint in envsyncd.toml, and `{site}` by that name",
            endpoint.url
        )),
    };
    Ok(vec![
        ("name", task.name.clone()),
        ("kind", task.kind.to_string()),
        ("source", side(&task.source)?),
        ("target", side(&task.target)?),
    ])
}

/// Whether more is said of a task than where from and where to.
fn has_options(task: &Task) -> bool {
    let plain = ["", "source", "target", "name", "kind"];
    task.places.keys().any(|key| !plain.contains(&key.as_str()))
}

fn form(look: &Look, frame: Frame, fields: &Fields) -> NewJob {
    let settings = look.settings();
    let environments = &settings.environments;
    let names: Vec<&Environment> = environments.names().collect();
    let asked = |key: &str| environments.named(fields.text(key));
    let choice = |value: &str, is_chosen, why_not| Choice {
        value: value.to_owned(),
        is_chosen,
        why_not,
    };
    let from = names.iter().map(|name| {
        let leads_on = names.iter().any(|to| environments.is_ancestor(name, to));
        let why = (!leads_on).then(|| "nothing is below it".to_owned());
        choice(name.as_str(), asked("from") == Some(*name), why)
    });
    let to = names.iter().map(|name| {
        let is_root = environments
            .get(name)
            .is_none_or(|rules| rules.parent.is_none());
        let why = is_root.then(|| "a root is never a target".to_owned());
        choice(name.as_str(), asked("to") == Some(*name), why)
    });
    let sites = settings
        .sites
        .keys()
        .map(|name| choice(name, fields.text("site") == name, None));
    let kinds = settings.stores.all().map(|store| {
        let kind = store.kind().to_string();
        choice(&kind, fields.text("kind") == kind, None)
    });
    NewJob {
        from: from.collect(),
        to: to.collect(),
        sites: sites.collect(),
        kinds: kinds.collect(),
        endpoints: settings.endpoints.keys().cloned().collect(),
        problems: Vec::new(),
        toml: None,
        path: String::new(),
        next: Vec::new(),
        zone: settings.timezone,
        may_write: job_files::directory(settings).is_ok(),
        draft: kept(fields, settings.timezone),
        frame,
    }
}

/// What is in the form already.
fn kept(fields: &Fields, zone: Tz) -> Draft {
    let text = |name: &str| fields.text(name).to_owned();
    Draft {
        name: text("name"),
        description: text("description"),
        database: fields.some("database").is_some(),
        files: fields.some("files").is_some(),
        index: fields.some("index").is_some(),
        source: text("source"),
        target: text("target"),
        when: text("when"),
        custom: text("custom"),
        zone: fields
            .some("zone")
            .unwrap_or_else(|| zone.name().to_owned()),
    }
}
