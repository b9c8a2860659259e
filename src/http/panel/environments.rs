//! `/environments`, and who keeps runs out of them.

use axum::response::Response;
use chrono::{DateTime, Utc};

use super::answer::go_to;
use super::facts::{Entry, Facts, held};
use super::view::{EnvironmentLine, Environments, Masking, Place};
use super::visitor::{Fields, Posted, Visitor, paused};
use crate::http::api::environments as api;
use crate::http::api::pauses::{self, PauseRequest};
use crate::http::app::Look;
use crate::http::auth::Identity;
use crate::http::reply::{Named, Problem};
use crate::policy::Environment;
use crate::state::{self, Paused};

/// The page.
pub(super) async fn page(visitor: Visitor) -> Response {
    let made = visitor
        .show(Place::Environments, |look, identity, frame| {
            let facts = Facts::read(look)?;
            Ok(Environments {
                environments: lines(look, &facts, identity),
                frame,
            })
        })
        .await;
    visitor.answer(made)
}

/// The tree: each environment after the one that its data is from.
pub(super) fn lines(look: &Look, facts: &Facts, identity: &Identity) -> Vec<EnvironmentLine> {
    let environments = &look.settings().environments;
    let parent = |name: &Environment| {
        environments
            .get(name)
            .and_then(|rules| rules.parent.clone())
    };
    let names: Vec<&Environment> = environments.names().collect();
    let roots = names.iter().rev().filter(|name| parent(name).is_none());
    // Those whose turn comes, the next one last.
    let mut waiting: Vec<(&Environment, u8)> = roots.map(|name| (*name, 0)).collect();
    let mut lines = Vec::new();
    while let Some((name, depth)) = waiting.pop() {
        lines.push(line(look, facts, identity, name, depth));
        let below = names
            .iter()
            .rev()
            .filter(|other| parent(other).as_ref() == Some(name));
        // As deep as the style can show it.
        waiting.extend(below.map(|below| (*below, depth.saturating_add(1).min(8))));
    }
    lines
}

fn line(
    look: &Look,
    facts: &Facts,
    identity: &Identity,
    name: &Environment,
    depth: u8,
) -> EnvironmentLine {
    let all = facts.entries(look, identity);
    let into: Vec<_> = all
        .filter(|entry| entry.job().is_some_and(|job| job.to == *name))
        .collect();
    let without = into.iter().filter(|entry| {
        let tasks = entry.job().map_or(&[][..], |job| &job.tasks);
        !tasks.iter().all(crate::config::job::Task::masks)
    });
    let successes: Option<Vec<DateTime<Utc>>> = into.iter().map(Entry::last_success).collect();
    let is_it = |what: &Paused| matches!(what, Paused::To(to) if to == name.as_str());
    EnvironmentLine {
        name: name.to_string(),
        depth,
        aliases: environments_of(look, name),
        jobs: into.len(),
        oldest: successes.and_then(|all| all.into_iter().min()),
        masking: match (into.len(), without.count()) {
            (0, _) => Masking::Nothing,
            (_, 0) => Masking::All,
            (_, without) => Masking::Without(without),
        },
        held: facts
            .holds
            .iter()
            .find(|hold| hold.environment == name.as_str())
            .map(held),
        paused: facts
            .pauses
            .iter()
            .find(|pause| is_it(&pause.what))
            .map(paused),
    }
}

fn environments_of(look: &Look, name: &Environment) -> Vec<String> {
    let rules = look.settings().environments.get(name);
    rules.map(|rules| rules.aliases.clone()).unwrap_or_default()
}

pub(super) async fn hold(
    Named(name): Named<String>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let reason = fields.text("reason").to_owned();
    let done = api::take(&visitor.app, &visitor.identity, name, reason).await;
    visitor.answer(done.map(|()| go_to("/environments?done=held")))
}

pub(super) async fn release(
    Named(name): Named<String>,
    Posted { visitor, .. }: Posted,
) -> Response {
    let done = api::let_go(&visitor.app, &visitor.identity, name).await;
    visitor.answer(done.map(|()| go_to("/environments?done=released")))
}

pub(super) async fn pause(
    Named(name): Named<String>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let done = begin(&visitor, Paused::To(name), &fields).await;
    visitor.answer(done.map(|()| go_to("/environments?done=paused")))
}

pub(super) async fn resume(Named(name): Named<String>, Posted { visitor, .. }: Posted) -> Response {
    let done = pauses::resume(&visitor.app, &visitor.identity, Paused::To(name)).await;
    visitor.answer(done.map(|()| go_to("/environments?done=resumed")))
}

pub(super) async fn pause_all(Posted { visitor, fields }: Posted) -> Response {
    let done = begin(&visitor, Paused::All, &fields).await;
    visitor.answer(done.map(|()| go_to("/environments?done=paused")))
}

pub(super) async fn resume_all(Posted { visitor, .. }: Posted) -> Response {
    let done = pauses::resume(&visitor.app, &visitor.identity, Paused::All).await;
    visitor.answer(done.map(|()| go_to("/environments?done=resumed")))
}

/// Pauses something as a form says.
pub(super) async fn begin(
    visitor: &Visitor,
    what: state::Paused,
    fields: &Fields,
) -> Result<(), Problem> {
    let request = PauseRequest {
        reason: fields.text("reason").to_owned(),
        until: fields.some("until"),
        length: fields.some("for"),
    };
    pauses::pause(&visitor.app, &visitor.identity, what, request)
        .await
        .map(drop)
}
