//! `[history]` and `[metrics]` of envsyncd.toml.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Table;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the history is kept. A job's last run, its last success and whatever runs stay in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// A run goes so long after its end.
    pub max_age: Duration,
    /// How many runs of a job are kept; as many that were skipped are kept beside them.
    pub max_runs: u32,
    /// A run's log goes so long after the run's end, or with the run.
    pub log_max_age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            // humantime's year: "1y" in a file is the same.
            max_age: Duration::from_secs(31_557_600),
            max_runs: 1000,
            log_max_age: 90 * DAY,
        }
    }
}

/// What Prometheus reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The file for node_exporter's textfile collector, absolute; `None`: no metrics are written.
    pub textfile: Option<PathBuf>,
}

pub(super) fn read_history(table: Table<'_>) -> Retention {
    let mut retention = Retention::default();
    if let Some(age) = table.get("max_age").and_then(|value| value.duration()) {
        retention.max_age = age;
    }
    if let Some(runs) = table
        .get("max_runs")
        .and_then(|value| value.integer(1..=1_000_000))
    {
        retention.max_runs = u32::try_from(runs).unwrap_or(retention.max_runs);
    }
    if let Some(value) = table.get("log_max_age")
        && let Some(age) = value.duration()
    {
        retention.log_max_age = age;
        if age > retention.max_age {
            value.report(
                value
                    .wrong("longer than `max_age`: a log goes with its run")
                    .warning(),
            );
        }
    }
    table.finish();
    retention
}

pub(super) fn read_metrics(table: Table<'_>) -> Metrics {
    let mut metrics = Metrics::default();
    if let Some(value) = table.get("textfile")
        && let Some(path) = value.path()
    {
        // The collector skips every other name, in silence. A file `.prom` has no extension.
        if path.extension().is_some_and(|end| end == "prom") {
            metrics.textfile = Some(path);
        } else {
            value.report(
                value
                    .wrong("the file's name must end in `.prom`: node_exporter reads no other")
                    .allowed("a path like /var/lib/prometheus/node-exporter/envsyncd.prom"),
            );
        }
    }
    table.finish();
    metrics
}
