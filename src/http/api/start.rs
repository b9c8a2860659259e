//! Starts a run: one way for jobs, sites and rollbacks.

use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::config::http::Scope;
use crate::config::job::Job;
use crate::control::{Caller, runs};
use crate::error::{Error, Kind, Result};
use crate::http::app::{App, Look};
use crate::http::auth::{How, Identity};
use crate::http::reply::Problem;
use crate::state::{Run, Trigger, Verb};

/// The header that makes a request that is sent again do nothing new.
const KEY: &str = "idempotency-key";

/// What a run is asked for by.
pub(in crate::http) struct Wanted {
    /// A job's name, `site:main production->staging` among them.
    pub(in crate::http) job: String,
    /// Only these tasks; empty: all.
    pub(in crate::http) only: Vec<String>,
    pub(in crate::http) verb: Verb,
}

/// Who asks, for the audit list and the run's record.
pub(in crate::http) fn caller(identity: &Identity) -> Caller {
    Caller {
        name: identity.name.clone(),
        trigger: Trigger::Api,
        via: match identity.how {
            How::Session(_) => "panel",
            _ => "api",
        },
        address: identity.address.clone(),
    }
}

/// A job of this name: of a file, or of a site.
pub(in crate::http) fn job(look: &Look, name: &str) -> Result<Job> {
    let (job, ..) = crate::control::jobs::job_named(look.settings(), &look.state, name)?;
    Ok(job)
}

/// The `Idempotency-Key` of a request, and what the request is.
pub(in crate::http) fn key(
    headers: &HeaderMap,
    request: &impl Serialize,
) -> Result<Option<(String, String)>, Problem> {
    let Some(value) = headers.get(KEY) else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=128).contains(&key.len()) && key.chars().all(|c| c.is_ascii_graphic()));
    let Some(key) = key else {
        return Err(Problem::bad(
            "`Idempotency-Key` is not 1 to 128 characters without spaces",
        ));
    };
    let text = serde_json::to_string(request).unwrap_or_default();
    let hash = Sha256::digest(text);
    Ok(Some((key.to_owned(), format!("{hash:x}"))))
}

/// Puts a run in the queue, and says which one it is. With a key that was used before, that is the run of before.
pub(in crate::http) async fn start(
    app: &App,
    identity: &Identity,
    wanted: Wanted,
    key: Option<(String, String)>,
) -> Result<Run, Problem> {
    identity.may(Scope::Run)?;
    // One after the other: the second of two with one key finds the first's answer.
    let _one = match &key {
        Some(_) => Some(app.keyed().lock().await),
        None => None,
    };
    let who = identity.clone();
    let (name, verb, asker) = (wanted.job.clone(), wanted.verb, caller(identity));
    let found = app.ask(move |look| {
        let found = runs::job_named(look.settings(), &look.state, &name, verb, &asker);
        Ok(found?.0)
    });
    let job = found.await?;
    if let Err(problem) = identity.within(job.to.as_str(), job.site.as_deref()) {
        let (asker, object) = (caller(identity), format!("job `{}`", job.name));
        let why = problem.detail.clone();
        app.ask(move |look| {
            asker.refused(&look.state, verb.as_str(), &object, why);
            Ok(())
        })
        .await?;
        return Err(problem);
    }
    let outcome = app
        .ask(move |look| {
            if let Some((key, fingerprint)) = &key
                && let Some((known, run)) = look.state.answer(&who.name, key)?
            {
                if known != *fingerprint {
                    let what = "this `Idempotency-Key` was used for another request";
                    return Err(
                        Error::new(Kind::Config, what).hint("use a new one for each request")
                    );
                }
                return look.state.run(&run)?.ok_or_else(|| gone(&run));
            }
            let is_of_file = job.name.site().is_none();
            let asked = runs::Wanted {
                job: &job,
                only: &wanted.only,
                verb: wanted.verb,
                // A file that was written a moment ago: the daemon reads it for this run.
                is_new: is_of_file && look.state.known_job(&wanted.job)?.is_none(),
            };
            let id = runs::trigger(look.settings(), &look.state, &asked, &caller(&who))?;
            if let Some((key, fingerprint)) = &key {
                look.state.keep_answer(&who.name, key, fingerprint, &id)?;
            }
            look.state.run(&id)?.ok_or_else(|| gone(&id))
        })
        .await?;
    Ok(outcome)
}

fn gone(run: &str) -> Error {
    Error::new(
        Kind::Unknown,
        format!("run {run} is not in the history any more"),
    )
}

/// 202, and where to look how it goes on.
pub(in crate::http) fn accepted(place: &str, body: &impl Serialize) -> Response {
    let mut response = (StatusCode::ACCEPTED, axum::Json(body)).into_response();
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}
