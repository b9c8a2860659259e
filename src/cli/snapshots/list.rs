//! `snapshots list`

use chrono::Utc;

use super::place::{Found, Place};
use super::{dumps, json};
use crate::archive::snapshots::{Listing, Snapshot, State, Summary, Unfinished};
use crate::cli::options::Options;
use crate::cli::terminal;
use crate::error::Result;

/// List an archive's snapshots, newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd snapshots list -f config.d/publishing-api-push.toml\n  envsyncd snapshots list s3://backups/publishing-api\n  envsyncd snapshots list file:///srv/backups --job publishing-api-push --json\n\n`complete` means that the manifest is good; `snapshots verify` reads all the files"
)]
pub(super) struct Args {
    /// An endpoint's name or a URL, without -f
    #[arg(value_name = "ARCHIVE", conflicts_with = "file")]
    archive: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn main(options: &Options, args: &Args) -> Result<u8> {
    let (found, _) = Found::open(options, &args.place, args.archive.as_slice())?;
    if let Some(dumps) = found.dumps(None).await? {
        return dumps.list(args.place.json).await;
    }
    let unsaid = found.task.is_none().then(|| found.endpoint.clone());
    let site = found.into_snapshots(&args.place).await?;
    let mut listing = site.snapshots.list().await?;
    // A URL alone does not say what lies there.
    if let Some(endpoint) = unsaid
        && !args.place.json
        && listing.snapshots.is_empty()
        && listing.unfinished.is_empty()
    {
        let dumps = dumps::Site::open(&endpoint, None, site.lookup.clone()).await?;
        if dumps.has_any().await? {
            return dumps.list(false).await;
        }
    }
    // A job's file says where; what else lies there is worth knowing.
    if let Some(job) = &args.place.job {
        listing.snapshots.retain(|it| it.name.job == *job);
        listing.unfinished.retain(|it| it.name.job == *job);
    }
    let has_key = site.snapshots.has_key();
    if args.place.json {
        let snapshots = listing.snapshots.iter();
        terminal::print_json(&json::List {
            version: json::VERSION,
            archive: site.snapshots.place(),
            snapshots: snapshots
                .map(|snapshot| json::Snapshot::new(snapshot, has_key))
                .collect(),
            unfinished: (listing.unfinished.iter())
                .map(json::Unfinished::new)
                .collect(),
        })?;
        return Ok(0);
    }
    if listing.snapshots.is_empty() {
        terminal::note(&format!("no snapshots in {}", site.snapshots.place()));
    }
    terminal::print(&text(&listing))?;
    Ok(0)
}

fn text(listing: &Listing) -> String {
    let mut text = String::new();
    if !listing.snapshots.is_empty() {
        text = terminal::table(
            &[
                "NAME", "JOB", "ORIGIN", "STORE", "AGE", "ROWS", "SIZE", "STATE",
            ],
            listing.snapshots.iter().map(row),
        );
    }
    let flaws = listing.snapshots.iter().filter_map(|snapshot| {
        let State::Flawed(flaw) = &snapshot.state else {
            return None;
        };
        Some(format!("{}: {flaw}\n", snapshot.name))
    });
    let below: String = flaws
        .chain(listing.unfinished.iter().map(unfinished))
        .collect();
    if !text.is_empty() && !below.is_empty() {
        text.push('\n');
    }
    text + &below
}

fn row(snapshot: &Snapshot) -> Vec<String> {
    let (name, now) = (&snapshot.name, Utc::now());
    let state = json::word(&snapshot.state).to_owned();
    match &snapshot.state {
        State::Good(summary) => vec![
            name.to_string(),
            name.job.clone(),
            summary.series.origin.clone(),
            format!("{} {}", summary.series.kind, summary.server_version),
            terminal::relative(summary.taken_at, now),
            terminal::number(summary.rows),
            size(summary),
            state,
        ],
        State::Flawed(_) => {
            let mut row = vec![name.to_string(), name.job.clone()];
            row.extend(["?", "?"].map(str::to_owned));
            row.push(terminal::relative(name.at, now));
            row.extend(["?", "?"].map(str::to_owned));
            row.push(state);
            row
        }
    }
}

/// What is stored, and what of that is not an older snapshot's, too.
pub(super) fn size(summary: &Summary) -> String {
    let all = terminal::bytes(summary.size);
    if summary.own_size == summary.size {
        return all;
    }
    format!("{all}, {} of it new", terminal::bytes(summary.own_size))
}

/// One line of a folder that is no snapshot, or not yet.
pub(super) fn unfinished(folder: &Unfinished) -> String {
    let who = folder.writer.as_ref().map_or_else(
        || "nobody knows by whom".to_owned(),
        |writer| {
            format!(
                "process {} on {}, run {}",
                writer.pid, writer.host, writer.run
            )
        },
    );
    let when = folder.newest.map_or_else(String::new, |at| {
        format!(", last written to {}", terminal::relative(at, Utc::now()))
    });
    format!(
        "{}: not finished: {who}, {}{when}\n",
        folder.name,
        terminal::bytes(folder.size)
    )
}
