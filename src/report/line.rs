//! A line of the log: what everybody sees of an event, and of the spans around it.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

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
    /// The job that it is about, and its run (see [`run_span`](super::log::run_span)), where the process is not that run itself.
    pub job: Option<(String, Option<String>)>,
    /// The task that it belongs to (see [`task_span`](super::log::task_span)).
    pub task: Option<String>,
    /// Text and fields, without control characters.
    pub message: String,
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
