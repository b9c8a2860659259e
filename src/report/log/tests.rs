use chrono::{DateTime, Utc};

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
    let (subscriber, counts) = subscriber(&options, Some(printer), false, System::none()).unwrap();
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
        let text = r#"copy failed part=public.users rows=5 reason="no route" path="a b" empty="""#;
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
    assert_eq!(text(&line, false), "2026-01-01T00:18:00Z WARN  slow");
    assert_eq!(
        text(&line, true),
        "2026-01-01T00:18:00Z \x1b[33mWARN \x1b[0m slow"
    );
}
