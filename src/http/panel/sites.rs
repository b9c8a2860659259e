//! Sites, and a copy from one of their environments into another, now.

use axum::response::Response;

use super::answer::go_to;
use super::facts;
use super::jobs::{RUNS, keeps_previous, run_link};
use super::marks::Mark;
use super::view::{self, Choice, Place, Plan, Side, SiteLine, Sites, Tab};
use super::visitor::{Asked, Fields, Posted, Visitor};
use crate::config::job::Job;
use crate::error::Result;
use crate::http::api::runs::jobs_of_site;
use crate::http::api::sites::{self as api, SyncRequest, last_success};
use crate::http::app::Look;
use crate::http::auth::Identity;
use crate::http::reply::{Named, Problem};
use crate::policy::{self, Environment};
use crate::state::{Page, RunState};

/// `/sites`
pub(super) async fn list(visitor: Visitor) -> Response {
    let made = visitor
        .show(Place::Sites, |look, identity, frame| {
            let all = look.settings().sites.iter();
            let seen =
                all.filter(|(name, _)| identity.site.as_ref().is_none_or(|own| own == *name));
            let line = |(name, site): (&String, &crate::config::sites::Site)| {
                let jobs = jobs_of_site(look, name);
                let last = look.state.page(&Page {
                    jobs: Some(&jobs),
                    to: None,
                    state: Some(RunState::Succeeded),
                    before: None,
                    limit: 1,
                })?;
                Ok(SiteLine {
                    name: name.clone(),
                    environments: (site.environments().into_iter())
                        .map(ToString::to_string)
                        .collect(),
                    tabs: (Tab::ALL.into_iter())
                        .filter(|tab| site.contents.contains_key(tab.word()))
                        .collect(),
                    last: last.first().and_then(|run| run.finished_at),
                })
            };
            Ok(Sites {
                sites: seen.map(line).collect::<Result<_>>()?,
                frame,
            })
        })
        .await;
    visitor.answer(made)
}

/// `/sites/{site}`
pub(super) async fn page(
    visitor: Visitor,
    Named(name): Named<String>,
    Asked(fields): Asked,
) -> Response {
    let made = show(&visitor, name, fields).await;
    visitor.answer(made)
}

async fn show(visitor: &Visitor, name: String, fields: Fields) -> Result<Response, Problem> {
    // Says whether it is there, and theirs to see.
    api::one(&visitor.app, &visitor.identity, name.clone()).await?;
    visitor
        .show(Place::Sites, move |look, identity, frame| {
            site(look, identity, frame, name, &fields)
        })
        .await
}

fn site(
    look: &Look,
    identity: &Identity,
    frame: view::Frame,
    name: String,
    fields: &Fields,
) -> Result<view::Site> {
    let tab = Tab::ALL
        .into_iter()
        .find(|tab| tab.word() == fields.text("tab"))
        .unwrap_or(Tab::Database);
    let jobs = jobs_of_site(look, &name);
    let runs = look.state.page(&Page {
        jobs: Some(&jobs),
        to: Some(&identity.to)
            .filter(|to| !to.is_empty())
            .map(Vec::as_slice),
        state: None,
        before: None,
        limit: RUNS,
    })?;
    let mut page = view::Site {
        tab,
        from: Vec::new(),
        to: Vec::new(),
        way: None,
        plan: None,
        refusal: None,
        runs: runs
            .iter()
            .map(|run| facts::run_line(look, run, frame.now))
            .collect(),
        frame,
        name,
    };
    let there = look
        .settings()
        .site(&page.name)?
        .environments_with(tab.word());
    if there.is_empty() {
        let why = match tab {
            Tab::Index => "envsyncd does not copy a site's index yet".to_owned(),
            _ => format!("this site has no {} in envsyncd.toml", tab.word()),
        };
        page.refusal = Some((why, None));
        page.runs.clear();
        return Ok(page);
    }
    let ways = Ways::of(look, identity, (&page.name, tab), fields)?;
    page.from = ways.from;
    page.to = ways.to;
    if let Some((from, to)) = ways.chosen {
        let job = look.settings().site_job(&page.name, &from, &to)?;
        let job = job.only(&[tab.word().to_owned()])?;
        page.way = Some(facts::way(look, &from, &to));
        page.plan = Some(plan(look, &page.name, &job)?);
        page.refusal = refusal(look, &page.runs, &job)?;
    }
    Ok(page)
}

/// What there is to choose from, and what is chosen.
struct Ways {
    from: Vec<Choice>,
    to: Vec<Choice>,
    chosen: Option<(String, String)>,
}

impl Ways {
    fn of(
        look: &Look,
        identity: &Identity,
        (name, tab): (&str, Tab),
        fields: &Fields,
    ) -> Result<Self> {
        let settings = look.settings();
        let all = settings.site(name)?.environments_with(tab.word());
        let why = |from: &Environment, to: &Environment| why_not(look, identity, name, from, to);
        let asked = |key: &str| {
            let named = settings.environments.named(fields.text(key));
            named.filter(|it| all.contains(it))
        };
        let leads_on = |from: &&Environment| all.iter().any(|to| why(from, to).is_none());
        let from = asked("from").or_else(|| all.iter().find(leads_on));
        let fits = |to: &&Environment| from.is_some_and(|from| why(from, to).is_none());
        let to = asked("to")
            .filter(|to| fits(to))
            .or_else(|| all.iter().find(fits));
        let choice = |name: &Environment, is_chosen, why_not| Choice {
            value: name.to_string(),
            is_chosen,
            why_not,
        };
        let sources = all.iter().map(|it| {
            let why = "nothing that is below it can be written to";
            choice(
                it,
                Some(it) == from,
                (!leads_on(&it)).then(|| why.to_owned()),
            )
        });
        let targets = all.iter().map(|it| {
            let why = from.and_then(|from| why(from, it));
            choice(it, Some(it) == to, why)
        });
        Ok(Self {
            from: sources.collect(),
            to: targets.collect(),
            chosen: from
                .zip(to)
                .map(|(from, to)| (from.to_string(), to.to_string())),
        })
    }
}

/// Why a site's data may not flow this way.
fn why_not(
    look: &Look,
    identity: &Identity,
    site: &str,
    from: &Environment,
    to: &Environment,
) -> Option<String> {
    let environments = &look.settings().environments;
    // Of a root, from whichever side it is looked at.
    if environments
        .get(to)
        .is_some_and(|rules| rules.parent.is_none())
    {
        return Some(format!(
            "`{to}` is a root environment and is never a target"
        ));
    }
    match policy::permit(environments, from, to) {
        Err(error) => Some(error.sentence()),
        Ok(()) if !identity.covers(to.as_str(), Some(site)) => {
            Some(format!("`{}` may not write to it", identity.name))
        }
        Ok(()) => None,
    }
}

fn plan(look: &Look, site: &str, job: &Job) -> Result<Plan> {
    let filled = last_success(look, site, job.to.as_str())?;
    let name = job.name.to_string();
    let before = look.state.page(&Page {
        jobs: Some(&[name]),
        to: None,
        state: Some(RunState::Succeeded),
        before: None,
        limit: 1,
    })?;
    let before = before.first();
    let tasks = || job.tasks.iter();
    let words = |sides: Vec<String>| sides.join(", ");
    let masked: usize = tasks()
        .flat_map(|task| &task.masks)
        .map(|rule| rule.columns.len())
        .sum();
    Ok(Plan {
        source: Side {
            words: words(tasks().map(|task| task.source.url.to_string()).collect()),
            bytes: before.map(crate::state::Run::bytes),
            filled: None,
        },
        target: Side {
            words: words(tasks().map(|task| task.target.url.to_string()).collect()),
            bytes: filled.as_ref().map(crate::state::Run::bytes),
            filled: filled.and_then(|run| run.finished_at),
        },
        masked: tasks()
            .any(crate::config::job::Task::masks)
            .then_some(masked),
        undecided: None,
        kept: tasks().flat_map(|task| task.keep.clone()).collect(),
        takes: before.map(|run| run.duration(chrono::Utc::now())),
        has_rollback: keeps_previous(job),
    })
}

/// Why a copy would be refused just now.
fn refusal(
    look: &Look,
    runs: &[view::RunLine],
    job: &Job,
) -> Result<Option<(String, Option<String>)>> {
    if let Some(hold) = look.state.hold_on(job.to.as_str())? {
        let hint = format!("wait, or release {} on the page of environments", job.to);
        return Ok(Some((hold.sentence(), Some(hint))));
    }
    if let Some(pause) = look
        .state
        .pause_of(job.name.as_str(), Some(job.to.as_str()))?
    {
        return Ok(Some((pause.sentence(), None)));
    }
    let is_busy = |run: &&view::RunLine| {
        run.way.to == job.to.as_str() && matches!(run.mark, Mark::Running | Mark::Waiting)
    };
    Ok(runs.iter().find(is_busy).map(|run| {
        let sentence = format!(
            "a copy into {} is under way already: run {}",
            job.to, run.id
        );
        (sentence, Some("wait for its end, or cancel it".to_owned()))
    }))
}

/// `/sites/{site}/{database|files|index}/sync`
pub(super) async fn sync(
    Named((site, kind)): Named<(String, String)>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let done = copy(&visitor, &site, &kind, &fields).await;
    visitor.answer(done)
}

async fn copy(
    visitor: &Visitor,
    site: &str,
    kind: &str,
    fields: &Fields,
) -> Result<Response, Problem> {
    api::content(site, kind)?;
    let request = SyncRequest {
        from: fields.text("from").to_owned(),
        to: fields.text("to").to_owned(),
    };
    if request.to.is_empty() || fields.text("confirm") != request.to {
        return Err(Problem::bad(format!(
            "this overwrites `{}`, and {} was confirmed",
            request.to,
            crate::config::quote(fields.text("confirm"))
        ))
        .hint("type the target environment's name"));
    }
    let run = api::copy(
        &visitor.app,
        &visitor.identity,
        (site, kind),
        &request,
        None,
    )
    .await?;
    Ok(go_to(&run_link(&run)))
}
