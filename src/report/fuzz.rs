//! Fuzz targets: what the monitoring plugin reads and is told. See `docs/fuzzing.md`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::check::{Thresholds, check};
use super::range::Range;
use super::{log, status_file};
use crate::fuzz::{bytes, config, steers_no_terminal, texts};
use crate::guard::process::Sight;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn status(text in bytes(&["tests/corpus/status"]), range in texts(&["tests/corpus/range"]), seen in 0..3) {
        let now: DateTime<Utc> = "2026-01-02T12:00:00Z".parse().unwrap();
        let path = PathBuf::from("/var/lib/envsyncd/status/publishing-api.json");
        let reading = status_file::understand(path, "publishing-api", &text);
        let mut thresholds = Thresholds::default();
        if let Ok(range) = range.parse() {
            thresholds.warning = range;
        }
        let look = |_: &_| match seen {
            0 => Sight::Alive,
            1 => Sight::Gone,
            _ => Sight::Unseen,
        };
        if let Ok(status) = &reading {
            let written = serde_json::to_vec(status).unwrap();
            prop_assert!(serde_json::from_slice::<status_file::StatusFile>(&written).is_ok());
        }
        let verdict = check(&[("publishing-api".to_owned(), reading)], &thresholds, now, &look);
        prop_assert!(verdict.exit_code() <= 3 && verdict.text.starts_with("ENVSYNCD "));
        prop_assert!(steers_no_terminal(&verdict.text, &['\n']), "{:?}", verdict.text);
        // A bar begins performance data, and there is one at the most.
        let first = verdict.text.lines().next().unwrap_or_default();
        prop_assert!(verdict.text.matches('|').count() <= 1 && first.matches('|').count() == verdict.text.matches('|').count());
    }

    #[test]
    fn range(text in texts(&["tests/corpus/range"]), value: f64) {
        if let Ok(range) = text.parse::<Range>() {
            let _ = range.alerts(value);
            let again = range.to_string().parse::<Range>();
            prop_assert_eq!(again, Ok(range), "{}", range);
        }
    }

    #[test]
    fn log_text(text in texts(&["tests/corpus/terminal"])) {
        let shown = log::spelt_out(&text, |_| false);
        prop_assert!(steers_no_terminal(&shown, &[]), "{:?}", shown);
        prop_assert!(shown.len() <= 8 * text.len());
        let shown = log::spelt_out(&text, |c| c == '\n');
        prop_assert!(steers_no_terminal(&shown, &['\n']), "{:?}", shown);
    }
}

#[test]
fn a_number_that_its_unit_makes_endless_is_none() {
    for text in ["1e308w", "1e308w:", "-1e308w:1", "1:1e308d"] {
        assert!(text.parse::<Range>().is_err(), "{text}");
    }
}

#[test]
fn what_turns_the_direction_of_writing_is_not_shown() {
    for c in [
        '\u{61c}', '\u{200e}', '\u{202e}', '\u{2066}', '\u{85}', '\u{9b}',
    ] {
        assert!(log::steers(c), "{c:?}");
    }
}
