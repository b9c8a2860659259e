//! `scan`: what looks personal, what covers it, and what of it is still to be seen in the target.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::{Local, NaiveDate};

use super::options::{Options, asker, job, settings};
use super::runtime::runtime;
use super::state::state_to_read;
use super::terminal;
use crate::error::{Error, Kind, Result, io};
use crate::guard::memory;
use crate::report::log;
use crate::run::scan::target::TargetScan;
use crate::run::scan::{self, Covered, Scan};
use crate::run::start;
use crate::state::State;

/// Show what looks personal in a job's sources, and what masks it; change nothing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd scan -f config.d/publishing-api.toml\n  envsyncd scan -f config.d/publishing-api.toml --only database --write masks/publishing-api.toml\n  envsyncd scan -f config.d/publishing-api.toml --target\n  envsyncd scan -f config.d/publishing-api.toml --json\n\nNo value is shown. Exit codes: 0 all that looks personal is masked or passed (with --target: nothing was seen), 1 something is not, or a server refuses, 2 usage or configuration, 3 refused by policy"
)]
pub(super) struct Args {
    /// The job file
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Scan this task alone (may be given more than once)
    #[arg(long, value_name = "TASK")]
    only: Vec<String>,
    /// Look at so many rows of each table [default: 1000; with --target 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    sample: Option<u64>,
    /// Look for values of the source's masked columns in the target, as it stands
    #[arg(long, conflicts_with = "write")]
    target: bool,
    /// Add masks and passes for all columns of which nothing is said to this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let job = job(options, &args.file, &settings)?.only(&args.only)?;
    if args.write.is_some() && job.tasks.len() > 1 {
        return Err(Error::new(
            Kind::Usage,
            "masks are written for one task at a time, and the job has several",
        )
        .hint("name one: --only TASK"));
    }
    let counts = log::init(&options.log()).unwrap_or_default();
    let history = state_to_read(options, &settings)?;
    memory::bound(settings.priority.memory_max);
    // A scan records nothing: its order has a state store that goes with it.
    let scratch = State::in_memory()?;
    let runtime = runtime(2)?;
    let scanned = runtime.block_on(async {
        let id = uuid::Uuid::now_v7().to_string();
        let context = start::run_context(job, settings, scratch, id, asker(), counts)?;
        Ok::<_, Error>(if args.target {
            let rows = args.sample.unwrap_or(scan::target::ROWS);
            Scanned::Target(scan::target::scan(&context, history.as_ref(), rows).await?)
        } else {
            let rows = args.sample.unwrap_or(scan::ROWS);
            Scanned::Source(scan::scan(&context, history.as_ref(), rows).await?)
        })
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match scanned? {
        Scanned::Target(found) => {
            if args.json {
                terminal::print_json(&found)?;
            } else {
                terminal::print(&seen(&found))?;
            }
            Ok(u8::from(found.seen() > 0))
        }
        Scanned::Source(found) => {
            if args.json {
                terminal::print_json(&found)?;
            } else {
                terminal::print(&looks(&found))?;
            }
            if let Some(file) = &args.write {
                let told = write(&found, file, Local::now().date_naive())?;
                terminal::note(&told);
            }
            Ok(u8::from(found.uncovered() > 0))
        }
    }
}

enum Scanned {
    Source(Scan),
    Target(TargetScan),
}

/// Adds what is new to the file.
fn write(scan: &Scan, file: &Path, today: NaiveDate) -> Result<String> {
    let shown = file.display();
    let existing = match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(Error::new(Kind::Usage, format!("cannot read {shown}")).because(error));
        }
    };
    let mut told = String::new();
    for task in &scan.tasks {
        let (text, masked, passed) =
            scan::write::addition(task, existing.as_deref().unwrap_or(""), today)
                .map_err(|error| error.within(shown.to_string()))?;
        if text.is_empty() {
            told.push_str(&format!(
                "{shown}: nothing to add, something is said of every column\n"
            ));
            continue;
        }
        let opened = match existing {
            None => File::create_new(file),
            Some(_) => OpenOptions::new().append(true).open(file),
        };
        opened
            .and_then(|mut opened| {
                opened
                    .write_all(text.as_bytes())
                    .and_then(|()| opened.sync_all())
            })
            .map_err(io(format!("cannot write {shown}")))?;
        told.push_str(&format!(
            "{shown}: {} and {} added; review them\n",
            terminal::count(masked as u64, "mask"),
            terminal::number(passed as u64) + if passed == 1 { " pass" } else { " passes" },
        ));
    }
    Ok(told)
}

fn looks(scan: &Scan) -> String {
    let mut text = format!("job {}\n", scan.job);
    for task in &scan.tasks {
        text.push_str(&format!("\ntask {}: {}\n", task.name, task.kind));
        let rows = task.tables.iter().flat_map(|table| {
            table.columns.iter().filter_map(|column| {
                let found = column.found.as_ref()?;
                Some(vec![
                    format!("{}.{}", table.name, column.name),
                    found.looks_like.to_string(),
                    found.confidence.to_string(),
                    found.why.join("; "),
                    told(&column.covered, &found.kind),
                ])
            })
        });
        let rows: Vec<Vec<String>> = rows.collect();
        if rows.is_empty() {
            text.push_str("nothing looks personal\n");
        } else {
            let heads = ["COLUMN", "LOOKS LIKE", "CONFIDENCE", "WHY", "COVERED BY"];
            text.push_str(&terminal::table(&heads, rows));
        }
        for name in &task.left_out {
            text.push_str(&format!("its rows are not copied: {name}\n"));
        }
    }
    let tables = || scan.tasks.iter().flat_map(|task| &task.tables);
    let columns = || tables().flat_map(|table| &table.columns);
    let personal = columns().filter(|column| column.found.is_some()).count();
    text.push_str(&format!(
        "\n{} of {} looked at: {personal} look personal, {} of them are not covered\n",
        terminal::count(columns().count() as u64, "column"),
        terminal::count(tables().count() as u64, "table"),
        scan.uncovered()
    ));
    text
}

fn told(covered: &Covered, suggested: &str) -> String {
    match covered {
        Covered::Mask { kind } => format!("mask: {kind}"),
        Covered::Part { kind } => format!("in part: {kind}"),
        Covered::Pass { reason } => format!("pass: {reason}"),
        Covered::Before => "masked before".to_owned(),
        Covered::Nothing => format!("NOTHING; fits: {suggested}"),
    }
}

fn seen(scan: &TargetScan) -> String {
    let mut text = format!("job {}\n", scan.job);
    for task in &scan.tasks {
        text.push_str(&format!(
            "\ntask {}: values of {} looked for in {}\n",
            task.name,
            terminal::count(task.looked_for as u64, "masked column"),
            terminal::count(task.tables as u64, "table"),
        ));
        if task.seen.is_empty() {
            text.push_str("none was seen\n");
            continue;
        }
        let rows = task.seen.iter().map(|seen| {
            vec![
                seen.column.clone(),
                seen.of.clone(),
                format!(
                    "{} of {}",
                    terminal::number(seen.rows),
                    terminal::number(seen.sampled)
                ),
            ]
        });
        text.push_str(&terminal::table(
            &["TARGET'S COLUMN", "HAS VALUES OF", "IN ROWS"],
            rows,
        ));
    }
    text
}
