//! `/jobs/{job}/file`: the file of a job that the panel or the API has written.

use axum::response::{IntoResponse as _, Response};

use super::answer::go_to;
use super::view::{JobFile, Place};
use super::visitor::{Posted, Visitor};
use super::words::encoded;
use crate::config::quote;
use crate::http::api::job_files::{end, read, write};
use crate::http::reply::{Named, Problem};

/// The file as it is.
pub(super) async fn page(visitor: Visitor, Named(name): Named<String>) -> Response {
    let made = show(&visitor, name).await;
    visitor.answer(made)
}

async fn show(visitor: &Visitor, name: String) -> Result<Response, Problem> {
    let found = read(&visitor.app, &visitor.identity, name.clone()).await?;
    visitor
        .show(Place::Jobs, move |_, _, frame| {
            Ok(JobFile {
                file: found.file.display().to_string(),
                toml: found.text,
                tag: found.tag,
                problems: Vec::new(),
                name,
                frame,
            })
        })
        .await
}

/// The file as it is to be.
pub(super) async fn save(
    Named(name): Named<String>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let text = unix(fields.text("text"));
    let tag = fields.text("tag").to_owned();
    let (app, identity) = (&visitor.app, &visitor.identity);
    // A form is of one version: `*` would be any.
    let over = Some(tag.replace('*', ""));
    let done = write(app, identity, name.clone(), text.clone(), over).await;
    let problem = match done {
        Ok((_, known)) => return go_to(&after(&name, known)),
        Err(problem) => problem,
    };
    let status = problem.status();
    match again(&visitor, name, text, tag, problem).await {
        Ok(page) => (status, page).into_response(),
        Err(problem) => visitor.answer(Err(problem)),
    }
}

/// Where to go once a file is written: to its job, as soon as the daemon has it.
pub(super) fn after(name: &str, known: bool) -> String {
    if known {
        format!("/jobs/{}?done=written", encoded(name))
    } else {
        "/jobs?done=later".to_owned()
    }
}

/// The form as it was sent, with what is wrong with it.
async fn again(
    visitor: &Visitor,
    name: String,
    toml: String,
    tag: String,
    problem: Problem,
) -> Result<Response, Problem> {
    let Ok(found) = read(&visitor.app, &visitor.identity, name.clone()).await else {
        // There is no such file, or they may not see it.
        return Err(problem);
    };
    visitor
        .show(Place::Jobs, move |_, _, frame| {
            Ok(JobFile {
                file: found.file.display().to_string(),
                problems: sentences(&problem),
                toml,
                tag,
                name,
                frame,
            })
        })
        .await
}

/// The job is removed, if it was named.
pub(super) async fn remove(
    Named(name): Named<String>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let confirm = fields.text("confirm");
    let done = if confirm == name {
        end(&visitor.app, &visitor.identity, name, None).await
    } else {
        let what = format!(
            "this removes `{name}`, and {} was confirmed",
            quote(confirm)
        );
        Err(Problem::bad(what).hint("type the job's name"))
    };
    visitor.answer(done.map(|()| go_to("/jobs?done=removed")))
}

/// What is wrong, a sentence each, with the line where it stands.
pub(super) fn sentences(problem: &Problem) -> Vec<String> {
    let mut all = vec![match &problem.hint {
        Some(hint) => format!("{}: {hint}", problem.detail),
        None => problem.detail.clone(),
    }];
    for found in &problem.problems {
        let place = match (found.line, found.key.as_str()) {
            (Some(line), "") => format!("line {line}: "),
            (Some(line), key) => format!("line {line}, {key}: "),
            (None, "") => String::new(),
            (None, key) => format!("{key}: "),
        };
        let mut text = format!("{place}{}", found.message);
        for more in [&found.allowed, &found.help].into_iter().flatten() {
            text.push_str("; ");
            text.push_str(more);
        }
        all.push(text);
    }
    all
}

/// Forms have lines that end as those of mails do.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end().to_owned() + "\n"
}
