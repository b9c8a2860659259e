//! The monitoring plugin: what status files say, in one line, with perfdata. Pure but for what it is handed.
//!
//! Monitoring Plugins Development Guidelines: the worst state wins, in the order CRITICAL, WARNING, UNKNOWN, OK; a first
//! line of under 80 characters where that can be, then details, then perfdata with thresholds.

use chrono::{DateTime, Utc};

use super::range::Range;
use super::status_file::StatusFile;
use crate::error::Result;

/// Warn when the last success is older than this by default.
pub const WARNING: Range = Range::up_to(28.0 * 3600.0);

/// And this is critical.
pub const CRITICAL: Range = Range::up_to(52.0 * 3600.0);

/// A plugin's states, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All is well.
    Ok,
    /// It cannot be said.
    Unknown,
    /// Someone should look.
    Warning,
    /// Someone has to.
    Critical,
}

impl Verdict {
    /// The plugin's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// When to alert on the age of the last success.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// For a warning.
    pub warning: Range,
    /// For a critical.
    pub critical: Range,
}

/// What is known of one job.
struct Judged {
    job: String,
    verdict: Verdict,
    text: String,
    perfdata: String,
}

/// Judges jobs by their status files; `alive` says whether a process of this machine is there.
pub fn check(
    jobs: &[(String, Result<StatusFile>)],
    thresholds: &Thresholds,
    now: DateTime<Utc>,
    alive: impl Fn(u32) -> bool,
) -> (String, Verdict) {
    let judged: Vec<Judged> = jobs
        .iter()
        .map(|(job, status)| match status {
            Ok(status) => judge(job, status, thresholds, now, &alive),
            Err(error) => Judged {
                job: job.clone(),
                verdict: Verdict::Unknown,
                text: one_line(&error.to_string()),
                perfdata: String::new(),
            },
        })
        .collect();
    let Some(worst) = judged.iter().map(|one| one.verdict).max() else {
        return (
            "ENVSYNCD UNKNOWN - there is no job to check\n".to_owned(),
            Verdict::Unknown,
        );
    };
    let first = if let [only] = &judged[..] {
        format!("{}: {}", only.job, only.text)
    } else {
        let bad: Vec<&Judged> = judged
            .iter()
            .filter(|one| one.verdict != Verdict::Ok)
            .collect();
        match bad.first() {
            None => format!("{} jobs", judged.len()),
            Some(_) => {
                let lead = bad
                    .iter()
                    .find(|one| one.verdict == worst)
                    .expect("the worst is one of them");
                let others = bad.len() - 1;
                let rest = if others > 0 {
                    format!(" (and {others} more)")
                } else {
                    String::new()
                };
                format!("{}: {}{rest}", lead.job, lead.text)
            }
        }
    };
    let head = format!("ENVSYNCD {} - {first}", worst.word());
    let perfdata: Vec<&str> = judged
        .iter()
        .map(|one| one.perfdata.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    let shortened = shorten(&head, 79);
    let mut text = shortened.clone();
    if !perfdata.is_empty() {
        text = format!("{text} | {}", perfdata.join(" "));
    }
    text.push('\n');
    if judged.len() > 1 || shortened != head {
        for one in &judged {
            text.push_str(&format!(
                "{} {}: {}\n",
                one.verdict.word(),
                one.job,
                one.text
            ));
        }
    }
    (text, worst)
}

fn judge(
    job: &str,
    status: &StatusFile,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
    alive: impl Fn(u32) -> bool,
) -> Judged {
    let seconds_since = |time: &Option<String>| {
        let time: DateTime<Utc> = time.as_deref()?.parse().ok()?;
        Some((now - time).num_milliseconds() as f64 / 1000.0)
    };
    let age = seconds_since(&status.last_success_at);
    let (mut verdict, mut text) = match age {
        Some(age) if thresholds.critical.alerts(age) => (
            Verdict::Critical,
            format!("last success {} ago", rough(age)),
        ),
        Some(age) if thresholds.warning.alerts(age) => {
            (Verdict::Warning, format!("last success {} ago", rough(age)))
        }
        Some(age) => (Verdict::Ok, format!("last success {} ago", rough(age))),
        None => (Verdict::Critical, "never succeeded".to_owned()),
    };
    let running = status.state == "running";
    let for_seconds = seconds_since(&status.started_at).unwrap_or(status.duration_seconds);
    let message = one_line(&status.message);
    let (worse, why) = match status.state.as_str() {
        // The process is looked for on the machine that wrote the file: this one, as design has it.
        "running" if !status.pid.is_some_and(alive) => (
            Verdict::Critical,
            format!(
                "says it is running, but its process {} is gone",
                status.pid.unwrap_or(0)
            ),
        ),
        "running"
            if status
                .timeout_seconds
                .is_some_and(|limit| for_seconds > limit) =>
        {
            (
                Verdict::Critical,
                format!(
                    "running for {}, longer than its timeout",
                    rough(for_seconds)
                ),
            )
        }
        "running" => (Verdict::Ok, format!("running for {}", rough(for_seconds))),
        "succeeded" | "pending" => (Verdict::Ok, String::new()),
        // However young the last success is: the newest data is not there, and someone has to look.
        "failed" => (Verdict::Critical, format!("failed: {message}")),
        "refused" => (Verdict::Critical, format!("refused: {message}")),
        // The next run may well come through; its age tells if it never does.
        "busy" => (Verdict::Warning, format!("busy: {message}")),
        "cancelled" => (Verdict::Warning, format!("cancelled: {message}")),
        "never" => (Verdict::Ok, "never ran".to_owned()),
        other => (
            Verdict::Unknown,
            format!("has the unknown state `{}`", one_line(other)),
        ),
    };
    if !why.is_empty() {
        text = if worse >= verdict || running {
            format!("{why}, {text}")
        } else {
            format!("{text}, {why}")
        };
    }
    verdict = verdict.max(worse);
    let bytes: u64 = status.tasks.iter().map(|task| task.bytes).sum();
    let label = job.replace(['\'', '='], "_");
    let age = age.map_or_else(|| "U".to_owned(), |age| format!("{age:.0}s"));
    let limit = status
        .timeout_seconds
        .map_or_else(String::new, |limit| format!("{limit:.0}"));
    let duration = if running {
        for_seconds
    } else {
        status.duration_seconds
    };
    Judged {
        job: job.to_owned(),
        verdict,
        text,
        perfdata: format!(
            "'{label} age'={age};{};{};0 '{label} duration'={duration:.1}s;;{limit};0 '{label} bytes'={bytes}B;;;0",
            thresholds.warning, thresholds.critical
        ),
    }
}

/// A text that cannot be taken for perfdata or for another line.
fn one_line(text: &str) -> String {
    text.replace('|', "/")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 3).collect();
    short.push_str("...");
    short
}

fn rough(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0}s"),
        s if s < 7200.0 => format!("{:.0}m", s / 60.0),
        s if s < 172_800.0 => format!("{:.0}h", s / 3600.0),
        s => format!("{:.0}d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::report::status_file::{self, TaskStatus};

    fn now() -> DateTime<Utc> {
        "2026-01-02T00:00:00Z".parse().unwrap()
    }

    fn status(state: &str, last_success: Option<&str>) -> StatusFile {
        StatusFile {
            version: 1,
            job: "app".into(),
            host: "db2".into(),
            from: "production".into(),
            to: "staging".into(),
            state: state.into(),
            run_id: Some("0199".into()),
            pid: (state == "running").then_some(42),
            trigger: "manual".into(),
            by: String::new(),
            started_at: Some("2026-01-01T23:00:00Z".into()),
            finished_at: None,
            duration_seconds: 60.0,
            last_success_at: last_success.map(Into::into),
            next_run_at: None,
            consecutive_failures: 0,
            errors: 0,
            warnings: 0,
            message: "disk | full\nreally".into(),
            timeout_seconds: Some(7200.0),
            tasks: vec![TaskStatus {
                name: "database".into(),
                kind: "sqlite".into(),
                state: state.into(),
                progress_percent: 100,
                rows: 1,
                bytes: 99,
                duration_seconds: 1.0,
                message: String::new(),
            }],
        }
    }

    fn judged(status: StatusFile, alive: bool) -> (String, Verdict) {
        let thresholds = Thresholds {
            warning: WARNING,
            critical: CRITICAL,
        };
        check(&[("app".into(), Ok(status))], &thresholds, now(), |_| alive)
    }

    const YOUNG: Option<&str> = Some("2026-01-01T21:00:00Z");

    #[test]
    fn a_young_success_is_ok_with_perfdata_and_its_thresholds() {
        let (text, verdict) = judged(status("succeeded", YOUNG), true);
        assert_eq!(verdict, Verdict::Ok);
        assert_eq!(
            text,
            "ENVSYNCD OK - app: last success 3h ago | 'app age'=10800s;100800;187200;0 'app duration'=60.0s;;7200;0 'app bytes'=99B;;;0\n"
        );
    }

    #[test]
    fn an_old_success_warns_and_a_very_old_one_is_critical() {
        assert_eq!(
            judged(status("succeeded", Some("2025-12-31T19:00:00Z")), true).1,
            Verdict::Warning
        );
        assert_eq!(
            judged(status("succeeded", Some("2025-12-30T19:00:00Z")), true).1,
            Verdict::Critical
        );
        assert_eq!(judged(status("succeeded", None), true).1, Verdict::Critical);
    }

    #[test]
    fn states_are_judged_whatever_the_age() {
        for (state, verdict) in [
            ("failed", Verdict::Critical),
            ("refused", Verdict::Critical),
            ("busy", Verdict::Warning),
            ("cancelled", Verdict::Warning),
            ("running", Verdict::Ok),
            ("dancing", Verdict::Unknown),
        ] {
            assert_eq!(judged(status(state, YOUNG), true).1, verdict, "{state}");
        }
    }

    #[test]
    fn a_run_whose_process_is_gone_or_that_is_over_its_timeout_is_critical() {
        let (text, verdict) = judged(status("running", YOUNG), false);
        assert_eq!(verdict, Verdict::Critical);
        assert!(text.contains("process 42 is gone"), "{text}");
        let mut long = status("running", YOUNG);
        long.timeout_seconds = Some(60.0);
        let (text, verdict) = judged(long, true);
        assert_eq!(verdict, Verdict::Critical);
        assert!(text.contains("longer than its timeout"), "{text}");
    }

    #[test]
    fn a_message_breaks_neither_the_line_nor_the_perfdata() {
        let (text, _) = judged(status("failed", YOUNG), true);
        let first = text.lines().next().unwrap();
        assert_eq!(first.matches('|').count(), 1);
        assert!(first.contains("disk / full really"), "{first}");
    }

    #[test]
    fn a_missing_file_is_unknown_and_a_critical_job_is_worse() {
        let thresholds = Thresholds {
            warning: WARNING,
            critical: CRITICAL,
        };
        let missing = || Err(Error::new(Kind::State, "no such file"));
        let (_, verdict) = check(&[("a".into(), missing())], &thresholds, now(), |_| true);
        assert_eq!(verdict, Verdict::Unknown);
        let all = [
            ("a".into(), missing()),
            ("b".into(), Ok(status("failed", YOUNG))),
        ];
        let (text, verdict) = check(&all, &thresholds, now(), |_| true);
        assert_eq!(verdict, Verdict::Critical);
        assert!(text.contains("\nUNKNOWN a: no such file\n"), "{text}");
        assert_eq!(check(&[], &thresholds, now(), |_| true).1, Verdict::Unknown);
    }

    #[test]
    fn a_status_file_is_read_back_and_a_newer_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        status_file::write(dir.path(), &status("succeeded", YOUNG)).unwrap();
        let path = status_file::path_of(dir.path(), "app");
        assert_eq!(
            status_file::read(&path).unwrap(),
            status("succeeded", YOUNG)
        );
        std::fs::write(&path, "{\"version\": 2}").unwrap();
        assert!(
            status_file::read(&path)
                .unwrap_err()
                .to_string()
                .contains("version 2")
        );
        std::fs::write(&path, "{").unwrap();
        assert!(status_file::read(&path).is_err());
    }
}
