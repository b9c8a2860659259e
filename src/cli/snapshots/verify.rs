//! `snapshots verify [NAME | --all]`

use super::bar::Bar;
use super::json;
use super::place::{Place, Site};
use super::words::{NEWEST, words};
use crate::archive::snapshots::{Problem, Report};
use crate::cli::options::Options;
use crate::cli::terminal;
use crate::config::archive::Wanted;
use crate::error::{Error, Kind, Result};

/// Read all of a snapshot and report what is wrong with it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd snapshots verify -f config.d/publishing-api-push.toml\n  envsyncd snapshots verify -f config.d/publishing-api-push.toml --all\n  envsyncd snapshots verify s3://backups/publishing-api 20260102T001800Z\n\nExit codes: 0 everything is good, 1 something is not, or the archive cannot be read, 2 usage or configuration",
    override_usage = "envsyncd snapshots verify [OPTIONS] -f <FILE> [NAME]\n       envsyncd snapshots verify [OPTIONS] <ARCHIVE> [NAME]"
)]
pub(super) struct Args {
    /// Without -f, an endpoint's name or a URL; then the snapshot's name [default: newest]
    #[arg(value_name = "[ARCHIVE] NAME", num_args = 0..=2)]
    words: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Verify all snapshots; with --job, those of that job
    #[arg(long)]
    all: bool,
}

pub(super) async fn main(options: &Options, args: &Args) -> Result<u8> {
    let (site, rest) = Site::open_for(options, &args.place, &args.words, "verify").await?;
    let names = if args.all {
        let [] = words(rest, [])?;
        let mut names = Vec::new();
        for snapshot in site.snapshots.list().await?.snapshots {
            let job = args.place.job.as_ref();
            if job.is_none_or(|job| *job == snapshot.name.job) {
                names.push(snapshot.name);
            }
        }
        if names.is_empty() {
            return Err(Error::new(
                Kind::Absent,
                format!("there is no snapshot in {}", site.snapshots.place()),
            ));
        }
        names
    } else {
        let [word] = if rest.is_empty() {
            [NEWEST]
        } else {
            words(rest, ["NAME"])?
        };
        if word == NEWEST {
            // Whoever asks for the newest wants to hear of the one that should be it.
            let which = site.which();
            let chosen = site.snapshots.choose(&Wanted::Newest, &which).await?;
            let passed_over = chosen.passed_over.into_iter().map(|(name, _)| name);
            passed_over.chain([chosen.name]).collect()
        } else {
            vec![site.name(word).await?]
        }
    };
    let mut reports = Vec::new();
    for name in &names {
        let bar = Bar::new(options, "verify");
        let report = site.snapshots.verify(name, bar.clone()).await;
        bar.end();
        let report = report?;
        if !args.place.json {
            terminal::print(&lines(&report))?;
        }
        reports.push(report);
    }
    let bad = reports.iter().any(|report| !report.is_good());
    if args.place.json {
        terminal::print_json(&json::Verify {
            version: json::VERSION,
            archive: site.snapshots.place(),
            snapshots: reports.into_iter().map(document).collect(),
        })?;
    }
    Ok(u8::from(bad))
}

/// A line for all that is good, or one for each thing that is not.
fn lines(report: &Report) -> String {
    let name = &report.name;
    let mut text = String::new();
    for Problem { path, what } in &report.problems {
        text.push_str(&format!("{name}: BAD: {path}: {what}\n"));
    }
    for Problem { path, what } in &report.warnings {
        text.push_str(&format!("{name}: warning: {path}: {what}\n"));
    }
    if report.is_good() {
        text.push_str(&format!(
            "{name}: good: {} files, {}, {}\n",
            terminal::number(report.files as u64),
            terminal::bytes(report.size),
            if report.authentic {
                "authentic"
            } else {
                "no key to check who wrote it"
            }
        ));
    }
    text
}

fn document(report: Report) -> json::Verified {
    let problems = |all: Vec<Problem>| {
        all.into_iter()
            .map(|Problem { path, what }| json::Problem {
                path,
                message: what,
            })
            .collect()
    };
    json::Verified {
        name: report.name.to_string(),
        good: report.is_good(),
        authentic: report.authentic.then_some(true),
        files: report.files,
        stored_bytes: report.size,
        problems: problems(report.problems),
        warnings: problems(report.warnings),
    }
}
