//! The machine's own log: journald with its fields, else syslog, else nothing.

use std::fmt::Write as _;
use std::os::unix::fs::FileTypeExt as _;

use syslog_tracing::{Facility, Syslog};
use tracing::callsite::{Callsite, Identifier};
use tracing::field::{FieldSet, Value};
use tracing::metadata::Kind;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::MakeWriter as _;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::line::{Line, Lines, RunTag, line};

const IDENTIFIER: &str = "envsyncd";

/// The log that this machine has.
pub(super) enum System {
    Journal(Journal),
    Syslog(Box<Syslog>, Option<RunTag>),
    None,
}

impl System {
    pub(super) fn open(run: Option<&RunTag>) -> Self {
        // It sends an empty datagram: an error where nobody listens.
        if let Ok(journal) = tracing_journald::layer() {
            return Self::Journal(Journal::new(journal, run));
        }
        let dev_log = std::fs::metadata("/dev/log").is_ok_and(|file| file.file_type().is_socket());
        if dev_log
            && let Some(syslog) = Syslog::new(
                c"envsyncd",
                syslog_tracing::Options::LOG_PID,
                Facility::Daemon,
            )
        {
            return Self::Syslog(Box::new(syslog), run.cloned());
        }
        Self::None
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::None
    }

    pub(super) fn is_journal(&self) -> bool {
        matches!(self, Self::Journal(_))
    }

    pub(super) fn layer(self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        match self {
            Self::Journal(journal) => Some(journal.boxed()),
            Self::Syslog(syslog, run) => {
                let output = move |line: &Line| {
                    use std::io::Write as _;
                    let mut writer = syslog.make_writer_for(syslog_level(line.level).metadata());
                    let _ = writer.write_all(tagged(line, run.as_ref()).as_bytes());
                };
                Some(Lines(output).boxed())
            }
            Self::None => None,
        }
    }
}

/// syslog has no fields, so the line carries them.
fn tagged(line: &Line, run: Option<&RunTag>) -> String {
    let mut text = line.message.clone();
    // Writing to a string cannot fail.
    if let Some((job, run)) = &line.job {
        let _ = write!(text, " job={job}");
        if let Some(run) = run {
            let _ = write!(text, " run={run}");
        }
    } else if let Some(run) = run {
        let _ = write!(text, " job={} run={}", run.job, run.run);
    }
    if let Some(task) = &line.task {
        let _ = write!(text, " task={task}");
    }
    text
}

/// journald, with whole lines as messages: `tracing-journald` alone would leave `MESSAGE` without what varies, and
/// would let any field of ours or a library's set any field of the journal.
pub(super) struct Journal(tracing_journald::Layer);

impl Journal {
    fn new(layer: tracing_journald::Layer, run: Option<&RunTag>) -> Self {
        let fields = run.into_iter().flat_map(|run| {
            [
                ("ENVSYNC_JOB", run.job.as_str()),
                ("ENVSYNC_RUN", run.run.as_str()),
            ]
        });
        Self(
            layer
                .with_syslog_identifier(IDENTIFIER.to_owned())
                // A task's span has the field `envsync_task`; the journal gets `ENVSYNC_TASK`.
                .with_field_prefix(None)
                .with_priority_mappings(PriorityMappings {
                    info: Priority::Informational,
                    debug: Priority::Debug,
                    ..PriorityMappings::new()
                })
                .with_custom_fields(fields),
        )
    }
}

impl<S> Layer<S> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let message = line(event, &context).message;
        let site = Site::of(*event.metadata().level());
        let fields = site.metadata().fields();
        if let Some(field) = fields.field("message") {
            let values = [(&field, Some(&message as &dyn Value))];
            self.0.on_event(
                &Event::new(site.metadata(), &fields.value_set(&values)),
                context,
            );
        }
    }
}

/// `syslog-tracing` calls INFO *notice*, and DEBUG *info*: one step down gives each level its own name.
fn syslog_level(level: Level) -> &'static Site {
    Site::of(match level {
        Level::INFO => Level::DEBUG,
        Level::DEBUG => Level::TRACE,
        other => other,
    })
}

/// Where whole lines come from, as tracing sees it: an event needs a place in the program.
struct Site {
    metadata: &'static Metadata<'static>,
}

macro_rules! site {
    ($name:ident, $level:expr) => {
        static $name: Site = {
            static METADATA: Metadata<'static> = Metadata::new(
                "line",
                IDENTIFIER,
                $level,
                None,
                None,
                None,
                FieldSet::new(&["message"], Identifier(&$name)),
                Kind::EVENT,
            );
            Site {
                metadata: &METADATA,
            }
        };
    };
}

site!(ERROR, Level::ERROR);
site!(WARN, Level::WARN);
site!(INFO, Level::INFO);
site!(DEBUG, Level::DEBUG);
site!(TRACE, Level::TRACE);

impl Site {
    fn of(level: Level) -> &'static Self {
        match level {
            Level::ERROR => &ERROR,
            Level::WARN => &WARN,
            Level::INFO => &INFO,
            Level::DEBUG => &DEBUG,
            Level::TRACE => &TRACE,
        }
    }
}

impl Callsite for Site {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_syslog_says_which_job_run_and_task_it_belongs_to() {
        let line = Line {
            at: chrono::Utc::now(),
            level: Level::INFO,
            job: None,
            task: Some("database".to_owned()),
            message: "copied part=users".to_owned(),
        };
        let run = RunTag {
            job: "api".to_owned(),
            run: "0199a".to_owned(),
        };
        assert_eq!(
            tagged(&line, Some(&run)),
            "copied part=users job=api run=0199a task=database"
        );
        let others = Line {
            job: Some(("search".to_owned(), Some("0199b".to_owned()))),
            task: None,
            ..line
        };
        assert_eq!(
            tagged(&others, None),
            "copied part=users job=search run=0199b"
        );
    }
}
