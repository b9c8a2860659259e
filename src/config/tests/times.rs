//! When a job runs by itself.

use super::*;

#[test]
fn what_a_job_says_about_its_times_in_vain_is_a_warning() {
    let warnings = |top: &str| -> Vec<String> {
        let (_, warnings) = Files::new()
            .job(ENVIRONMENTS, &job_with(top, ""))
            .unwrap_or_else(|all| panic!("{all}"));
        warnings.iter().map(ToString::to_string).collect()
    };
    for key in [
        "timezone = \"Europe/London\"",
        "jitter = \"5m\"",
        "catch_up = false",
    ] {
        let found = warnings(key);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("no effect without a `schedule`"));
    }
    for (schedule, jitter, part) in [
        ("hourly", "59m 59s", None),
        ("hourly", "1h", Some("lie 1h apart")),
        ("0 9,10 * * *", "2h", Some("lie 1h apart")),
        ("0 0 29 2 *", "31days", None),
        ("daily", "1s", Some("it moves nothing")),
        ("daily", "2s", None),
    ] {
        let found = warnings(&format!("schedule = \"{schedule}\"\njitter = \"{jitter}\""));
        assert_eq!(found.len(), usize::from(part.is_some()), "{found:?}");
        assert!(part.is_none_or(|part| found[0].contains(part)), "{found:?}");
    }
}

#[test]
fn a_jobs_timetable_is_in_its_own_zone_or_else_the_hosts() {
    let files = Files::new();
    let (settings, _) = files
        .settings(&format!(
            "{ENVIRONMENTS}[scheduler]\ntimezone = \"Europe/London\"\n"
        ))
        .unwrap();
    let next = |top: &str| {
        let job = files.put("job.toml", &job_with(top, ""));
        let (job, _) = load_job(&job, &settings).unwrap_or_else(|all| panic!("{all}"));
        let after = "2026-07-01T12:00:00Z".parse().unwrap();
        let timetable = job.timetable(&settings, "db1")?;
        Some(timetable.next_after(after)?.to_rfc3339())
    };
    assert_eq!(next(""), None);
    let london = next("schedule = \"30 2 * * *\"").unwrap();
    assert_eq!(london, "2026-07-02T01:30:00+00:00");
    let own = next("schedule = \"30 2 * * *\"\ntimezone = \"Asia/Kathmandu\"").unwrap();
    assert_eq!(own, "2026-07-01T20:45:00+00:00");
    let moved = next("schedule = \"30 2 * * *\"\njitter = \"1h\"").unwrap();
    assert!(
        moved > london && moved.as_str() < "2026-07-02T02:30",
        "{moved}"
    );
}
