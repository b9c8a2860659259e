//! The log: lines on stderr, in the journal (else syslog), and in the run's own record.
//!
//! Event texts are constant and lower case, what varies is a field. One line is made of both, the same for everybody:
//! `text key=value`. Nothing that a program or a server says can break out of its line.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry};

use super::system::System;
use crate::error::{Error, Kind, Result};

/// The run that a process logs for.
#[derive(Debug, Clone)]
pub struct RunTag {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
}

/// One event as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: DateTime<Utc>,
    /// How grave.
    pub level: Level,
    /// The job that it is about, and its run (see [`run_span`]), where the process is not that run itself.
    pub job: Option<(String, Option<String>)>,
    /// The task that it belongs to (see [`task_span`]).
    pub task: Option<String>,
    /// Text and fields, without control characters.
    pub message: String,
}

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
    /// Who draws on the terminal; without it lines go to stderr as they are.
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
        let output = move |line: &Line| printer(&plain(line, colours));
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

fn plain(line: &Line, colours: bool) -> String {
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

/// Hands every line to a function.
pub(super) struct Lines<F>(pub(super) F);

/// What the spans of ours say of the lines inside them.
#[derive(Default, Clone)]
struct Names {
    task: Option<String>,
    job: Option<String>,
    run: Option<String>,
}

impl<S, F> Layer<S> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Fn(&Line) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut names = Names::default();
        attributes.record(&mut names);
        if (names.task.is_some() || names.job.is_some())
            && let Some(span) = context.span(id)
        {
            // Each of the layers comes by here.
            span.extensions_mut().replace(names);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        (self.0)(&line(event, &context));
    }
}

/// What everybody sees of an event.
pub(super) fn line<S>(event: &Event<'_>, context: &Context<'_, S>) -> Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut names = Names::default();
    for span in context.event_scope(event).into_iter().flatten() {
        if let Some(outer) = span.extensions().get::<Names>() {
            names.task = names.task.or_else(|| outer.task.clone());
            names.job = names.job.or_else(|| outer.job.clone());
            names.run = names.run.or_else(|| outer.run.clone());
        }
    }
    let mut text = Text::default();
    event.record(&mut text);
    Line {
        at: Utc::now(),
        level: *event.metadata().level(),
        job: names.job.map(|job| (job, names.run)),
        task: names.task,
        message: text.finish(),
    }
}

impl Visit for Names {
    fn record_str(&mut self, field: &Field, value: &str) {
        let place = match field.name() {
            "envsync_task" => &mut self.task,
            "envsync_job" => &mut self.job,
            "envsync_run" => &mut self.run,
            _ => return,
        };
        *place = Some(one_line(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(self) -> String {
        if self.message.is_empty() {
            self.fields.trim_start().to_owned()
        } else {
            self.message + &self.fields
        }
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = one_line(value);
            return;
        }
        let value = one_line(value);
        let bare = !value.is_empty()
            && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
        // What came through Debug has its quotes already.
        let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        let _ = if bare || quoted {
            write!(self.fields, " {}={value}", field.name())
        } else {
            write!(
                self.fields,
                " {}=\"{}\"",
                field.name(),
                value.replace('"', "\\\"")
            )
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Line breaks, escape sequences and the like, spelled out: a line stays one line, and no terminal obeys a hook.
fn one_line(text: &str) -> String {
    spelt_out(text.trim_end(), |_| false).into_owned()
}

/// Whether a terminal does something at it instead of showing it: control characters, breaks, and what turns the direction of
/// writing (UAX #9), which makes a text look like another one.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in which all that steers a terminal is spelt out, but for what is to be kept.
pub fn spelt_out(text: &str, keep: impl Fn(char) -> bool) -> std::borrow::Cow<'_, str> {
    let steers = |c: char| steers(c) && !keep(c);
    if !text.contains(steers) {
        return text.into();
    }
    text.chars()
        .flat_map(|c| {
            let escaped = steers(c).then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    type Seen<T> = Arc<Mutex<Vec<T>>>;

    /// What stderr and the run's record got of what `say` logged.
    fn logged(mut options: Options, say: impl FnOnce()) -> (Vec<String>, Vec<Line>, Counts) {
        let printed: Seen<String> = Arc::default();
        let recorded: Seen<Line> = Arc::default();
        let (to_print, to_record) = (Arc::clone(&printed), Arc::clone(&recorded));
        options.sink = Some(Arc::new(move |line| {
            to_record.lock().push(line);
        }));
        let printer: Printer = Arc::new(move |line| {
            let (at, rest) = line.split_once(' ').unwrap();
            at.parse::<DateTime<Utc>>().unwrap();
            to_print.lock().push(rest.to_owned());
        });
        let (subscriber, counts) =
            subscriber(&options, Some(printer), false, System::none()).unwrap();
        tracing::subscriber::with_default(subscriber, say);
        let printed = printed.lock().clone();
        let recorded = recorded.lock().clone();
        (printed, recorded, counts)
    }

    fn say_one_of_each() {
        tracing::error!("an error");
        tracing::warn!("a warning");
        tracing::info!("information");
        tracing::debug!("debugging");
        tracing::trace!("tracing");
        tracing::error!(target: "zbus", "a library's error");
        tracing::info!(target: "zbus", "a library's chatter");
    }

    fn with(verbosity: i8, filter: Option<&str>) -> (usize, usize) {
        let options = Options {
            verbosity,
            filter: filter.map(str::to_owned),
            ..Options::default()
        };
        let (printed, recorded, _) = logged(options, say_one_of_each);
        (printed.len(), recorded.len())
    }

    #[test]
    fn verbosity_moves_stderr_both_ways_and_the_record_only_up() {
        let seen = [-3, -2, -1, 0, 1, 2].map(|verbosity| with(verbosity, None));
        assert_eq!(seen, [(2, 4), (2, 4), (3, 4), (4, 4), (5, 5), (6, 6)]);
    }

    #[test]
    fn a_filter_rules_stderr_and_only_adds_to_the_record() {
        assert_eq!(with(0, Some("off")), (0, 4));
        assert_eq!(with(0, Some("trace")), (7, 7));
        assert_eq!(with(0, Some("zbus=info")), (2, 5));
        assert_eq!(with(1, Some("zbus=info")), (6, 6), "-v adds");
        assert_eq!(with(-1, Some("trace")), (3, 7), "-q takes away");
        assert_eq!(with(0, Some("  ")), (4, 4));
    }

    #[test]
    fn a_malformed_filter_is_a_usage_error() {
        let options = Options {
            filter: Some("envsyncd=loud".to_owned()),
            ..Options::default()
        };
        let error = subscriber(&options, Some(Arc::new(print)), false, System::none())
            .err()
            .unwrap();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(
            error.to_string().contains("ENVSYNCD_LOG `envsyncd=loud`"),
            "{error}"
        );
    }

    #[test]
    fn a_line_has_its_level_its_task_and_its_fields_even_when_quiet() {
        for verbosity in [0, -2] {
            let options = Options {
                verbosity,
                ..Options::default()
            };
            let (printed, recorded, _) = logged(options, || {
                let _in_task = task_span("database").entered();
                tracing::error!(part = "public.users", rows = 5, reason = %"no route", path = ?"a b", empty = "", "copy failed");
            });
            let text =
                r#"copy failed part=public.users rows=5 reason="no route" path="a b" empty="""#;
            assert_eq!(printed, [format!("ERROR database: {text}")]);
            assert_eq!(recorded.len(), 1);
            assert_eq!(recorded[0].task.as_deref(), Some("database"));
            assert_eq!(
                (recorded[0].level, recorded[0].message.as_str()),
                (Level::ERROR, text)
            );
        }
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let (printed, _, _) = logged(Options::default(), || {
            tracing::info!(output = "one\ntwo \x1b[2Jthree\u{2028}four", "hook\nsaid");
        });
        assert_eq!(
            printed,
            [r#"INFO  hook\nsaid output="one\ntwo \u{1b}[2Jthree\u{2028}four""#]
        );
    }

    #[test]
    fn warnings_and_errors_are_counted_even_if_nobody_sees_them() {
        let options = Options {
            verbosity: -2,
            ..Options::default()
        };
        let (_, _, counts) = logged(options, || {
            tracing::warn!("one");
            tracing::warn!("two");
            tracing::error!("three");
            tracing::info!("four");
        });
        assert_eq!((counts.warnings(), counts.errors()), (2, 1));
    }

    /// The process's own log can be started once, so it is in a process of its own: this test binary again.
    const MARK: &str = "ENVSYNCD_TEST_LOG";

    #[test]
    fn a_sink_that_logs_does_not_go_round_in_circles() {
        if std::env::var_os(MARK).is_some() {
            let sink: Sink = Arc::new(|_| tracing::error!("record is not writable"));
            let options = Options {
                sink: Some(sink),
                ..Options::default()
            };
            let counts = init(&options).unwrap();
            tracing::info!(rows = 3, "copied");
            tracing::info!(rows = 4, "copied");
            assert_eq!(counts.errors(), 2);
            assert_eq!(
                init(&Options::default()).unwrap_err().kind(),
                Kind::Internal
            );
            return;
        }
        let name = "report::log::tests::a_sink_that_logs_does_not_go_round_in_circles";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(MARK, "1")
            .env_remove("JOURNAL_STREAM")
            .output()
            .unwrap();
        let said = String::from_utf8(child.stderr).unwrap();
        assert!(child.status.success(), "{said}");
        let lines: Vec<_> = said
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(at, _)| at.parse::<DateTime<Utc>>().is_ok())
            .map(|(_, rest)| rest)
            .collect();
        assert_eq!(
            lines,
            [
                "INFO  copied rows=3",
                "ERROR record is not writable",
                "INFO  copied rows=4",
                "ERROR record is not writable"
            ]
        );
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        let line = Line {
            job: None,
            at: "2026-01-01T00:18:00Z".parse().unwrap(),
            level: Level::WARN,
            task: None,
            message: "slow".to_owned(),
        };
        assert_eq!(plain(&line, false), "2026-01-01T00:18:00Z WARN  slow");
        assert_eq!(
            plain(&line, true),
            "2026-01-01T00:18:00Z \x1b[33mWARN \x1b[0m slow"
        );
    }
}
