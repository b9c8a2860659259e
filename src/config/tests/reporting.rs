//! `[history]` and `[metrics]`.

use super::super::reporting::{Metrics, Retention};
use super::*;

#[test]
fn every_key_of_history_and_metrics_arrives() {
    let files = Files::new();
    let (settings, warnings) = files
        .settings(
            "[history]\nmax_age = \"30d\"\nmax_runs = 7\nlog_max_age = \"12h\"\n[metrics]\ntextfile = \"here/envsyncd.prom\"",
        )
        .unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(warnings, []);
    assert_eq!(
        settings.history,
        Retention {
            max_age: Duration::from_secs(30 * 86_400),
            max_runs: 7,
            log_max_age: Duration::from_secs(12 * 3600),
        }
    );
    let textfile = files.0.path().join("here/envsyncd.prom");
    assert_eq!(settings.metrics.textfile, Some(textfile));
}

#[test]
fn what_is_not_written_is_the_default_that_the_example_shows() {
    let files = Files::new();
    for text in [
        "",
        "[history]\n[metrics]",
        "[history]\nmax_age = \"1y\"\nmax_runs = 1000\nlog_max_age = \"90d\"",
    ] {
        let (settings, warnings) = files.settings(text).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(settings.history, Retention::default(), "{text}");
        assert_eq!(settings.metrics, Metrics::default(), "{text}");
    }
}

#[test]
fn what_is_impossible_in_history_and_metrics_is_an_error() {
    for (text, part) in [
        ("[history]\nmax_age = 30", "write it with a unit: \"30s\""),
        ("[history]\nmax_age = \"0s\"", "a duration of nothing"),
        ("[history]\nmax_runs = 0", "allowed: 1 to 1000000"),
        ("[history]\nlog_age = \"1d\"", "unknown key `log_age`"),
        ("max_runs = 5", "it belongs under [history]"),
        (
            "[metrics]\ntextfile = \"/x/envsyncd.txt\"",
            "must end in `.prom`",
        ),
        ("[metrics]\ntextfile = \"/x/.prom\"", "must end in `.prom`"),
        ("[metrics]\ntextfile = \"\"", "must not be empty"),
        ("[metrics]\nlisten = \":9100\"", "allowed: textfile"),
        ("history = \"1y\"", "expected a table"),
    ] {
        let shown = wrong_settings(text);
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
        assert!(shown.contains(part), "{part} in\n{shown}");
        assert!(shown.contains("envsyncd.toml:"), "{shown}");
    }
    let shown = wrong_job(&job_with("[metrics]\ntextfile = \"/x.prom\"", ""));
    assert!(shown.contains("it belongs in envsyncd.toml"), "{shown}");
}

#[test]
fn a_log_that_is_to_be_kept_for_longer_than_its_run_is_a_warning() {
    let files = Files::new();
    let (settings, warnings) = files
        .settings("[history]\nmax_age = \"30d\"\nlog_max_age = \"60d\"")
        .unwrap();
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    assert!(
        warning.to_string().contains("a log goes with its run"),
        "{warning}"
    );
    assert_eq!(
        settings.history.log_max_age,
        Duration::from_secs(60 * 86_400)
    );
    // Whoever shortens `max_age` alone has said nothing of logs.
    let (_, warnings) = files.settings("[history]\nmax_age = \"30d\"").unwrap();
    assert_eq!(warnings, []);
}
