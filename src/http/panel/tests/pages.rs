//! Every page.

use askama::Template as _;

use super::forms::{audit, job_file, new_job, site, snapshots, tokens};
use super::samples::{
    Names, ago, environments, frame, job, listings, overview, run, runs, with_banners,
};
use crate::http::panel::view::*;

/// Every page, by name.
pub(super) fn all(names: &Names) -> Vec<(&'static str, String)> {
    let mut stranger = frame(Place::Elsewhere, names);
    stranger.user = None;
    let login = Login {
        frame: stranger,
        then: format!("/jobs/{}", names.job),
    };
    let failed = Failed {
        frame: frame(Place::Elsewhere, names),
        title: "Conflict".to_owned(),
        sentence: names.text.clone(),
        hint: Some(format!("wait, or `envsyncd release {}`", names.job)),
    };
    let jobs = Jobs {
        frame: frame(Place::Jobs, names),
        text: names.job.clone(),
        all: listings(names),
        pages: Pages::default(),
    };
    let recurring = Recurring {
        frame: frame(Place::Recurring, names),
        all: listings(names),
        pages: Pages {
            total: Some(4),
            ..Pages::default()
        },
    };
    let sites = Sites {
        frame: frame(Place::Sites, names),
        sites: vec![SiteLine {
            name: names.job.clone(),
            environments: vec!["production".to_owned(), "staging".to_owned()],
            tabs: vec![Tab::Database, Tab::Files],
            last: Some(ago(400)),
        }],
    };
    let history = History {
        frame: frame(Place::History, names),
        runs: runs(names),
        pages: Pages {
            total: None,
            back: None,
            on: Some("/history?before=9".to_owned()),
        },
    };
    let places = Environments {
        frame: frame(Place::Environments, names),
        environments: environments(names),
    };
    let banners = with_banners(overview(names, 2), names);
    vec![
        ("overview", overview(names, 3).render().unwrap()),
        ("overview-300", overview(names, 300).render().unwrap()),
        ("overview-banners", banners.render().unwrap()),
        ("login", login.render().unwrap()),
        ("failed", failed.render().unwrap()),
        ("jobs", jobs.render().unwrap()),
        ("recurring", recurring.render().unwrap()),
        ("job", job(names).render().unwrap()),
        ("run", run(names, true).render().unwrap()),
        ("run-live", run(names, false).render().unwrap()),
        ("sites", sites.render().unwrap()),
        ("site", site(names).render().unwrap()),
        ("new-job", new_job(names).render().unwrap()),
        ("job-file", job_file(names).render().unwrap()),
        ("history", history.render().unwrap()),
        ("environments", places.render().unwrap()),
        ("tokens", tokens(names).render().unwrap()),
        ("audit", audit(names).render().unwrap()),
        ("snapshots", snapshots(names).render().unwrap()),
    ]
}
