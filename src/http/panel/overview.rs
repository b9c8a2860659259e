//! `/`: what needs somebody, what runs, all jobs, and the environments.

use std::time::Duration;

use axum::response::Response;
use chrono::{DateTime, Utc};

use super::environments;
use super::facts::{self, Entry, Facts};
use super::marks::Mark;
use super::view::{self, Filter, JobLine, Need, Overview, Pages, Place, Running, Step};
use super::visitor::{Asked, Fields, Visitor};
use super::words::encoded;
use crate::error::Result;
use crate::http::api::runs::site_of;
use crate::http::app::Look;
use crate::http::auth::Identity;
use crate::state::{Run, RunState};

/// So many jobs are on a page.
pub(super) const PAGE: usize = 50;

/// A pause or a hold that is older needs somebody.
const LONG_PAUSE: chrono::Duration = chrono::Duration::days(7);
const LONG_HOLD: chrono::Duration = chrono::Duration::hours(4);

/// So many of what needs somebody are told.
const NEEDS: usize = 30;

/// The page.
pub(super) async fn page(visitor: Visitor, Asked(fields): Asked) -> Response {
    let made = visitor
        .show(Place::Overview, move |look, identity, frame| {
            let facts = Facts::read(look)?;
            let filter = filter(&fields);
            let all: Vec<Entry<'_>> = facts.entries(look, identity).collect();
            let chosen: Vec<&Entry<'_>> = all
                .iter()
                .filter(|entry| is_chosen(entry, &filter))
                .collect();
            let (part, pages) = part(&chosen, &fields, "/");
            Ok(Overview {
                needs: needs(look, &facts, &all, identity),
                running: running(look, identity)?,
                jobs: lines(look, part)?,
                environments: environments::lines(look, &facts, identity),
                filter,
                pages,
                frame,
            })
        })
        .await;
    visitor.answer(made)
}

fn filter(fields: &Fields) -> Filter {
    Filter {
        text: fields.text("q").to_owned(),
        state: Mark::parse(fields.text("state")),
        to: fields.text("to").to_owned(),
    }
}

fn is_chosen(entry: &Entry<'_>, filter: &Filter) -> bool {
    let to = entry.job().map_or("", |job| job.to.as_str());
    is_called(entry, &filter.text)
        && filter.state.is_none_or(|mark| entry.mark == mark)
        && (filter.to.is_empty() || filter.to == to)
}

/// Whether a job's name or description has a text in it.
pub(super) fn is_called(entry: &Entry<'_>, text: &str) -> bool {
    let text = text.to_lowercase();
    let description = entry.job().map_or("", |job| &job.description);
    entry.name.to_lowercase().contains(&text) || description.to_lowercase().contains(&text)
}

/// The part of a list that a page shows, and what leads to the others.
pub(super) fn part<'a, T>(all: &'a [T], fields: &Fields, path: &str) -> (&'a [T], Pages) {
    let last = all.len().saturating_sub(1) / PAGE;
    let number = fields
        .text("page")
        .parse()
        .unwrap_or(1_usize)
        .saturating_sub(1)
        .min(last);
    let first = number * PAGE;
    let until = all.len().min(first + PAGE);
    let kept: Vec<String> = ["q", "state", "to"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}&", encoded(&fields.some(name)?))))
        .collect();
    let link = |page: usize| format!("{path}?{}page={page}", kept.concat());
    let pages = Pages {
        total: Some(all.len()),
        back: (number > 0).then(|| link(number)),
        on: (number < last).then(|| link(number + 2)),
    };
    (&all[first..until], pages)
}

fn lines(look: &Look, entries: &[&Entry<'_>]) -> Result<Vec<JobLine>> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    let lengths = look.state.last_lengths(&names, facts::STRIP)?;
    let line = |(entry, lengths): (&&Entry<'_>, Vec<(RunState, Duration)>)| {
        let last = entry.last_run().filter(|run| run.state.is_final());
        JobLine {
            name: entry.name.to_owned(),
            mark: entry.mark,
            way: entry.way(look),
            last_success: entry.last_success(),
            next: entry.next(look),
            bytes: last.map(Run::bytes),
            took: last.map(|run| run.duration(Utc::now())),
            strip: facts::strip(&lengths),
        }
    };
    Ok(entries.iter().zip(lengths).map(line).collect())
}

/// What needs somebody: the worst first.
fn needs(look: &Look, facts: &Facts, all: &[Entry<'_>], identity: &Identity) -> Vec<Need> {
    let mut needs: Vec<(u8, Need)> = all
        .iter()
        .filter_map(|entry| need(look, facts, entry))
        .collect();
    for hold in &facts.holds {
        if identity.covers(&hold.environment, None) && hold.since + LONG_HOLD < facts.now {
            needs.push((
                4,
                Need {
                    mark: Mark::Held,
                    name: hold.environment.clone(),
                    way: None,
                    since: Some(hold.since),
                    sentence: format!("by {}: {}", hold.by, hold.reason),
                    steps: vec![Step::Environment(hold.environment.clone())],
                },
            ));
        }
    }
    needs.sort_by_key(|(rank, need)| (*rank, std::cmp::Reverse(need.since)));
    needs
        .into_iter()
        .map(|(_, need)| need)
        .take(NEEDS)
        .collect()
}

fn need(look: &Look, facts: &Facts, entry: &Entry<'_>) -> Option<(u8, Need)> {
    let need = |rank: u8, mark, since: Option<DateTime<Utc>>, sentence: String, steps| {
        let way = Some(entry.way(look));
        let name = entry.name.to_owned();
        (
            rank,
            Need {
                mark,
                name,
                way,
                since,
                sentence,
                steps,
            },
        )
    };
    let made = match (entry.mark, entry.last_run()) {
        (Mark::Broken, _) => need(1, Mark::Broken, None, entry.view.problem.clone(), vec![]),
        (Mark::Failed | Mark::Refused, Some(run)) => {
            let count = entry
                .history
                .map_or(0, |history| history.consecutive_failures);
            let sentence = match (run.is_dead(), count) {
                (true, _) => {
                    "its process is gone; the next start records it as failed and clears up"
                        .to_owned()
                }
                (false, 0 | 1) => run.message.clone(),
                (false, count) => format!("{} ({count} failures in a row)", run.message),
            };
            let since = run.finished_at.or(Some(run.started_at));
            need(
                0,
                entry.mark,
                since,
                sentence,
                vec![Step::Look(run.id.clone()), Step::Again],
            )
        }
        (Mark::Overdue, _) => {
            let due = entry.known.and_then(|known| known.next_run_at);
            need(
                2,
                Mark::Overdue,
                due,
                "it was due, and was not started".to_owned(),
                vec![Step::Again],
            )
        }
        (Mark::Paused, _) => {
            let pause = facts::own_pause(&facts.pauses, entry.name)?;
            if pause.since + LONG_PAUSE > facts.now {
                return None;
            }
            let sentence = format!("by {}: {}", pause.by, pause.reason);
            need(
                3,
                Mark::Paused,
                Some(pause.since),
                sentence,
                vec![Step::Resume],
            )
        }
        _ => return None,
    };
    Some(made)
}

/// The runs that are under way or wait, and that somebody may see.
pub(super) fn running(look: &Look, identity: &Identity) -> Result<Vec<Running>> {
    let now = Utc::now();
    let all = look.state.unfinished()?.into_iter();
    let seen = all.filter(|run| identity.covers(&run.to, site_of(look, &run.job).as_deref()));
    Ok(seen.map(|run| under_way(look, &run, now)).collect())
}

fn under_way(look: &Look, run: &Run, now: DateTime<Utc>) -> view::Running {
    let elapsed = run.duration(now);
    let percent = run.progress_percent();
    let has_begun = run.state == RunState::Running;
    let speed = run.bytes() as f64 / elapsed.as_secs_f64().max(1.0);
    let left = elapsed.as_secs_f64() * (100.0 - percent) / percent.max(1.0);
    Running {
        id: run.id.clone(),
        job: run.job.clone(),
        way: facts::way(look, &run.from, &run.to),
        mark: facts::mark_of(run),
        step: run.step.clone(),
        percent: facts::whole(percent),
        speed: (has_begun && run.bytes() > 0).then_some(speed as u64),
        // Before that it would be a guess.
        left: (has_begun && percent >= 5.0).then(|| Duration::from_secs(left as u64)),
        elapsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_into_pages_that_keep_the_filter() {
        let all: Vec<usize> = (0..120).collect();
        let (shown, pages) = part(&all, &Fields::parse(b"q=a%26b&page=2"), "/jobs");
        assert_eq!((shown.first(), shown.len()), (Some(&50), 50));
        assert_eq!(pages.back.as_deref(), Some("/jobs?q=a%26b&page=1"));
        assert_eq!(pages.on.as_deref(), Some("/jobs?q=a%26b&page=3"));
        let (shown, pages) = part(&all, &Fields::parse(b"page=99"), "/");
        assert_eq!((shown.len(), pages.on), (20, None));
        let (shown, pages) = part(&all[..0], &Fields::default(), "/");
        assert_eq!((shown.len(), pages.back, pages.on), (0, None, None));
    }
}
