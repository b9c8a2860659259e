//! `snapshots prune`

use std::path::PathBuf;

use chrono::Utc;

use super::json;
use super::place::{archived, lookup};
use crate::archive::snapshots::{Plan, Pruned, Series, Snapshots, State};
use crate::cli::options::Options;
use crate::cli::terminal;
use crate::error::{Error, Kind, Result};

/// Remove the snapshots that a job's target does not keep, and what dead runs left
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd snapshots prune -f config.d/publishing-api-push.toml --dry-run\n  envsyncd snapshots prune -f config.d/publishing-api-push.toml\n\nThe job's target says what to keep: keep_last, keep_daily, keep_weekly, max_age. The newest good snapshot is always kept, and so is what cannot be read. A push does the same at its end"
)]
pub(super) struct Args {
    /// The job file
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Use the archive of this task, if the job has several
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Say which would be removed, and why the others stay; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = crate::cli::options::settings(options)?;
    let job = crate::cli::options::job(options, &args.file, &settings)?;
    let task = archived(&job, args.task.as_deref())?;
    if task.dumps() {
        return Err(super::dumps::refused("prune"));
    }
    let Some(archive) = &task.target.archive else {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "task `{}` of job `{}` writes to no archive",
                task.name, job.name
            ),
        )
        .hint("name the job that pushes: its target says what is kept"));
    };
    if !archive.retention.is_any() {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "task `{}` of job `{}` keeps all its snapshots",
                task.name, job.name
            ),
        )
        .hint("say in its target what is kept: keep_last, keep_daily, keep_weekly, max_age"));
    }
    let snapshots = Snapshots::open(&task.target, &lookup(&settings)?).await?;
    let series = Series {
        job: job.name.to_string(),
        origin: job.from.to_string(),
        kind: task.kind,
    };
    let plan = snapshots
        .plan(&series, &archive.retention, Utc::now())
        .await?;
    let (pruned, bytes) = if args.dry_run {
        (None, snapshots.would_free(&plan).await?)
    } else {
        let pruned = snapshots.prune(&plan).await?;
        let bytes = pruned.size;
        (Some(pruned), bytes)
    };
    if args.json {
        terminal::print_json(&json::Prune {
            version: json::VERSION,
            archive: snapshots.place(),
            dry_run: args.dry_run,
            snapshots: verdicts(&plan).collect(),
            unfinished: leftovers(&plan).collect(),
            removed_bytes: pruned.is_some().then_some(bytes),
            would_remove_bytes: pruned.is_none().then_some(bytes),
        })?;
        return Ok(0);
    }
    for (snapshot, _) in &plan.snapshots {
        if let State::Flawed(flaw) = &snapshot.state {
            terminal::note(&format!("{}: {flaw}", snapshot.name));
        }
    }
    terminal::print(&told(&plan, pruned.as_ref(), bytes))?;
    Ok(0)
}

/// What is gone, or would go and stay, and how many bytes of the archive's that is.
fn told(plan: &Plan, pruned: Option<&Pruned>, bytes: u64) -> String {
    let mut text = String::new();
    if let Some(pruned) = pruned {
        let gone: Vec<String> = (pruned.snapshots.iter().chain(&pruned.leftovers))
            .map(ToString::to_string)
            .collect();
        for verdict in verdicts(plan).chain(leftovers(plan)) {
            if gone.contains(&verdict.name) {
                text.push_str(&format!("{} is gone: {}\n", verdict.name, verdict.reason));
            }
        }
        text.push_str(&format!(
            "{} snapshots and {} leftovers removed, {}\n",
            pruned.snapshots.len(),
            pruned.leftovers.len(),
            terminal::bytes(bytes)
        ));
    } else {
        text.push_str(&terminal::table(
            &["NAME", "SIZE", "WOULD", "WHY"],
            verdicts(plan).chain(leftovers(plan)).map(|verdict| {
                vec![
                    verdict.name,
                    (verdict.stored_bytes).map_or_else(|| "?".to_owned(), terminal::bytes),
                    if verdict.goes { "go" } else { "stay" }.to_owned(),
                    verdict.reason,
                ]
            }),
        ));
        text.push_str(&format!("{} would be freed\n", terminal::bytes(bytes)));
    }
    text
}

fn verdicts(plan: &Plan) -> impl Iterator<Item = json::Verdict> {
    plan.snapshots.iter().map(|(snapshot, verdict)| {
        let size = match &snapshot.state {
            State::Good(summary) => Some(summary.size),
            State::Flawed(_) => None,
        };
        json::Verdict {
            name: snapshot.name.to_string(),
            goes: verdict.goes(),
            reason: verdict.to_string(),
            stored_bytes: size,
        }
    })
}

fn leftovers(plan: &Plan) -> impl Iterator<Item = json::Verdict> {
    plan.unfinished
        .iter()
        .map(|(folder, abandoned)| json::Verdict {
            name: folder.name.to_string(),
            goes: abandoned.is_some(),
            reason: abandoned.map_or_else(
                || "not finished: it may be being written".to_owned(),
                |why| format!("not finished, and {why}"),
            ),
            stored_bytes: Some(folder.size),
        })
}
