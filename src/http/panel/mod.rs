//! The control panel: pages made on the server, which work without a script and are kept up to date by a small one.
//!
//! | module | what it is |
//! | --- | --- |
//! | `overview`, `jobs`, `runs`, `sites`, `environments`, `access`, `drafts`, `job_files`, `login` | what each page shows, and what its forms do |
//! | `live` | what runs, to those who watch the first page |
//! | `facts` | what the state store and the files say of all jobs |
//! | `visitor` | who looks, and the forms that they send |
//! | `answer` | pages as answers, and where to go on |
//! | `view` | a page as a structure of plain values, and its template |
//! | `look` | the style, the script, and the policy that lets a page use these alone |
//! | `marks`, `chart`, `words` | states, durations and times as the pages show them |
//!
//! Every value is escaped by the templates. What is written as HTML in Rust is made of numbers and words of ours.

mod access;
mod answer;
mod chart;
mod drafts;
mod environments;
mod facts;
mod job_files;
mod jobs;
mod live;
mod login;
mod look;
mod marks;
mod overview;
mod runs;
mod sites;
#[cfg(test)]
mod tests;
mod view;
mod visitor;
mod words;

use axum::Router;
use axum::routing::{get, post};

use super::app::App;

pub(super) use visitor::nothing;

/// All pages, and their forms.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(overview::page))
        .route("/live", get(live::overview))
        .route("/login", get(login::page).post(login::login))
        .route("/logout", post(login::logout))
        .route("/jobs", get(jobs::list))
        .route("/new-job", get(drafts::page).post(drafts::draft))
        .route("/jobs/{job}", get(jobs::page))
        .route(
            "/jobs/{job}/file",
            get(job_files::page).post(job_files::save),
        )
        .route("/jobs/{job}/remove", post(job_files::remove))
        .route("/jobs/{job}/run", post(jobs::run))
        .route("/jobs/{job}/pause", post(jobs::pause))
        .route("/jobs/{job}/resume", post(jobs::resume))
        .route("/jobs/{job}/rollback", post(jobs::rollback))
        .route("/recurring", get(jobs::recurring))
        .route("/sites", get(sites::list))
        .route("/sites/{site}", get(sites::page))
        .route("/sites/{site}/{content}/sync", post(sites::sync))
        .route("/runs/{run}", get(runs::page))
        .route("/runs/{run}/live", get(runs::live))
        .route("/runs/{run}/log.txt", get(runs::log))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/again", post(runs::again))
        .route("/runs/{run}/rollback", post(runs::rollback))
        .route("/history", get(runs::history))
        .route("/environments", get(environments::page))
        .route("/environments/{environment}/hold", post(environments::hold))
        .route(
            "/environments/{environment}/release",
            post(environments::release),
        )
        .route(
            "/environments/{environment}/pause",
            post(environments::pause),
        )
        .route(
            "/environments/{environment}/resume",
            post(environments::resume),
        )
        .route("/pause", post(environments::pause_all))
        .route("/resume", post(environments::resume_all))
        .route("/snapshots", get(access::snapshots))
        .route("/tokens", get(access::tokens).post(access::make_token))
        .route("/tokens/{name}/revoke", post(access::revoke))
        .route("/audit", get(access::audit))
        .route(&look::SCRIPT_PATH, get(answer::script))
}
