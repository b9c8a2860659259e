//! The log: lines on stderr, in the journal (else syslog), and in the run's own record.
//!
//! Event texts are constant and lower case, what varies is a field. One line is made of both, the same for everybody:
//! `text key=value`. Nothing that a program or a server says can break out of its line.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::SecondsFormat;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry};

use super::line::Lines;
pub use super::line::{Line, RunTag, spelt_out, steers};
use super::system::System;
use crate::error::{Error, Kind, Result};

/// Prints one line on stderr without tearing what else is drawn there.
pub type Printer = Arc<dyn Fn(&str) + Send + Sync>;
/// Takes the lines of the run's own record. What it logs itself goes everywhere but back to it.
pub type Sink = Arc<dyn Fn(Line) + Send + Sync>;

/// Where lines go, and which.
#[derive(Default)]
pub struct Options {
    /// -2 (`-qq`): errors; -1: warnings; 0: information; 1 (`-v`): debug; 2: all of ours.
    pub verbosity: i8,
    /// `ENVSYNCD_LOG`: directives of tracing's EnvFilter. `-v` adds to it, `-q` takes away from it.
    pub filter: Option<String>,
    /// The run, if it is known.
    pub run: Option<RunTag>,
    /// What prints lines while something else is drawn on the terminal; without it they go to stderr.
    pub printer: Option<Printer>,
    /// The run's own record.
    pub sink: Option<Sink>,
}

/// How many warnings and errors this process has logged; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicU64; 2]>);

impl Counts {
    /// Warnings so far.
    pub fn warnings(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Errors so far.
    pub fn errors(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }
}

/// The span of one task: every line inside it carries the task's name. The only way to make one.
pub fn task_span(name: &str) -> Span {
    // Of the gravest level, since a filter that hides a span hides the name from the errors inside it.
    tracing::error_span!("task", envsync_task = name)
}

/// The span of a run that this process looks after: every line inside it carries the job's name and the run's id.
pub fn run_span(job: &str, run: &str) -> Span {
    tracing::error_span!("run", envsync_job = job, envsync_run = run)
}

/// The span of a job, where there is no run to speak of.
pub fn job_span(job: &str) -> Span {
    tracing::error_span!("job", envsync_job = job)
}

/// Starts logging for this process; once. `Kind::Usage` if the filter is malformed.
pub fn init(options: &Options) -> Result<Counts> {
    let journal_or_syslog = System::open(options.run.as_ref());
    // Under systemd stderr is the journal too: each line once.
    let stderr_too = !(journal_or_syslog.is_journal() && stderr_is_the_journal());
    let stderr: Option<Printer> =
        stderr_too.then(|| options.printer.clone().unwrap_or_else(|| Arc::new(print)));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (subscriber, counts) = subscriber(options, stderr, colours, journal_or_syslog)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Error::new(Kind::Internal, "the log was started twice").because(error))?;
    Ok(counts)
}

fn subscriber(
    options: &Options,
    stderr: Option<Printer>,
    colours: bool,
    system: System,
) -> Result<(impl Subscriber + Send + Sync, Counts)> {
    let counts = Counts::default();
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![
        Counter(counts.clone())
            .with_filter(LevelFilter::WARN)
            .boxed(),
    ];
    if let Some(printer) = stderr {
        let output = move |line: &Line| printer(&text(line, colours));
        layers.push(Lines(output).with_filter(for_people(options)?).boxed());
    }
    if let Some(sink) = options.sink.clone() {
        let output = move |line: &Line| once_inside(&sink, line);
        layers.push(Lines(output).with_filter(for_the_record(options)?).boxed());
    }
    layers.extend(
        system
            .layer()
            .map(|layer| -> Result<_> { Ok(layer.with_filter(for_the_record(options)?).boxed()) })
            .transpose()?,
    );
    Ok((tracing_subscriber::registry().with(layers), counts))
}

type Choice = Box<dyn Filter<Registry> + Send + Sync>;

/// Libraries say nothing below a warning unless they are asked by name.
fn ours(verbosity: i8) -> Choice {
    let (others, own) = match verbosity {
        ..=-2 => (LevelFilter::ERROR, LevelFilter::ERROR),
        -1 => (LevelFilter::WARN, LevelFilter::WARN),
        0 => (LevelFilter::WARN, LevelFilter::INFO),
        1 => (LevelFilter::WARN, LevelFilter::DEBUG),
        2.. => (LevelFilter::WARN, LevelFilter::TRACE),
    };
    let targets = tracing_subscriber::filter::Targets::new()
        .with_default(others)
        .with_target("envsyncd", own);
    Box::new(targets)
}

fn asked(options: &Options) -> Result<Option<EnvFilter>> {
    let Some(text) = options
        .filter
        .as_deref()
        .filter(|text| !text.trim().is_empty())
    else {
        return Ok(None);
    };
    EnvFilter::builder().parse(text).map(Some).map_err(|error| {
        Error::new(
            Kind::Usage,
            format!("ENVSYNCD_LOG `{text}` is no log filter"),
        )
        .because(error)
        .hint("write a level (`debug`) or TARGET=LEVEL pairs (`envsyncd=debug,zbus=info`)")
    })
}

fn for_people(options: &Options) -> Result<Choice> {
    Ok(match (asked(options)?, options.verbosity) {
        (None, verbosity) => ours(verbosity),
        (Some(asked), 0) => Box::new(asked),
        (Some(asked), verbosity @ 1..) => Box::new(asked.or(ours(verbosity))),
        (Some(asked), verbosity) => Box::new(asked.and(ours(verbosity))),
    })
}

/// `-q` on a terminal must not make a hole in the journal.
fn for_the_record(options: &Options) -> Result<Choice> {
    let least = ours(options.verbosity.max(0));
    Ok(match asked(options)? {
        None => least,
        Some(asked) => Box::new(asked.or(least)),
    })
}

/// Whether stderr is the very stream that systemd connected to the journal, see systemd.exec(5), `$JOURNAL_STREAM`.
fn stderr_is_the_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    nix::sys::stat::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn print(line: &str) {
    // `eprintln!` would panic where the terminal is gone.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn text(line: &Line, colours: bool) -> String {
    let at = line.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (on, off) = match (colours, line.level) {
        (false, _) => ("", ""),
        (true, Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
        (true, Level::WARN) => ("\x1b[33m", "\x1b[0m"),
        (true, _) => ("\x1b[2m", "\x1b[0m"),
    };
    let name = line.job.as_ref().map(|(job, _)| job).or(line.task.as_ref());
    let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
    format!(
        "{at} {on}{:5}{off} {name}{}",
        line.level.as_str(),
        line.message
    )
}

/// A sink that cannot write (a full disk, say) and logs so would come back to itself for ever.
fn once_inside(sink: &Sink, line: &Line) {
    thread_local! { static INSIDE: Cell<bool> = const { Cell::new(false) }; }
    if !INSIDE.replace(true) {
        sink(line.clone());
        INSIDE.set(false);
    }
}

struct Counter(Counts);

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let place = usize::from(*event.metadata().level() == Level::ERROR);
        self.0.0[place].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
