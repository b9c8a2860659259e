//! Pages of a host that never was, for tests and for looking at them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::super::chart::{Bar, Strip};
use super::super::marks::Mark;
use super::super::view::*;
use crate::http::phase::Phase;

/// Names that are in all pages.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) job: String,
    pub(crate) table: String,
    pub(crate) person: String,
    pub(crate) text: String,
}

impl Names {
    pub(crate) fn plain() -> Self {
        Self {
            job: "publishing-api".to_owned(),
            table: "public.users".to_owned(),
            person: "ann".to_owned(),
            text: "wrong password for `reader` on db1.example; set it in the job's file".to_owned(),
        }
    }

    /// So long that a line is not long enough.
    pub(crate) fn long() -> Self {
        Self {
            job: "a-very-long-name-of-a-job-that-somebody-thought-of-late-at-nig".to_owned(),
            table: "customer_communication_preferences_history_archive_2019_to_2024".to_owned(),
            person: "somebody-with-a-name-of-many-parts@department.example.org".to_owned(),
            text: "x".repeat(400),
        }
    }

    /// What would be a script if a page let it.
    pub(crate) fn hostile() -> Self {
        let name = "<script>alert(1)</script>\"'&".to_owned();
        Self {
            job: name.clone(),
            table: name.clone(),
            person: name.clone(),
            text: format!("{name} onload=x {{{{ 7*7 }}}}"),
        }
    }
}

pub(super) fn now() -> DateTime<Utc> {
    "2026-11-29T06:58:00Z".parse().unwrap()
}

pub(super) fn ago(minutes: i64) -> DateTime<Utc> {
    now() - chrono::Duration::minutes(minutes)
}

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn frame(place: Place, names: &Names) -> Frame {
    Frame {
        place,
        host: "db2.example".to_owned(),
        user: Some(User {
            name: names.person.clone(),
            may_run: true,
            may_admin: true,
        }),
        csrf: "0123456789abcdef0123456789abcdef".to_owned(),
        now: now(),
        notice: None,
        paused: None,
        trouble: None,
    }
}

fn pause(names: &Names) -> Paused {
    Paused {
        by: names.person.clone(),
        reason: "load test".to_owned(),
        since: ago(41 * 1440),
        until: Some(now() + chrono::Duration::days(2)),
    }
}

fn hold(names: &Names) -> Held {
    Held {
        by: names.person.clone(),
        host: "web1.example".to_owned(),
        reason: names.text.clone(),
        since: ago(12),
        process: Some(4711),
    }
}

pub(super) fn way(to: &str) -> Way {
    let from = if to == "integration" {
        "staging"
    } else {
        "production"
    };
    Way {
        from: from.to_owned(),
        to: to.to_owned(),
        is_root: from == "production",
    }
}

fn strip(seed: u64) -> Strip {
    let bar = |place: u64| Bar {
        mark: if (seed + place).is_multiple_of(11) {
            Mark::Failed
        } else {
            Mark::Succeeded
        },
        took: seconds(200 + (seed * 7 + place * 31) % 90),
    };
    Strip((0..14).map(bar).collect())
}

pub(super) fn environments(names: &Names) -> Vec<EnvironmentLine> {
    let line = |name: &str, depth, masking| EnvironmentLine {
        name: name.to_owned(),
        depth,
        aliases: vec![],
        jobs: usize::from(depth > 0) * 12,
        oldest: (depth > 0).then(|| ago(1800)),
        masking,
        held: None,
        paused: None,
    };
    let mut production = line("production", 0, Masking::Nothing);
    production.aliases = vec!["prod".to_owned()];
    let mut staging = line("staging", 1, Masking::All);
    staging.aliases = vec!["stage".to_owned()];
    staging.held = Some(hold(names));
    let mut integration = line("integration", 2, Masking::Without(1));
    integration.paused = Some(pause(names));
    vec![
        production,
        staging,
        integration,
        line("training", 1, Masking::All),
    ]
}

pub(super) fn runs(names: &Names) -> Vec<RunLine> {
    let marks = [
        Mark::Running,
        Mark::Succeeded,
        Mark::Failed,
        Mark::Succeeded,
        Mark::Cancelled,
        Mark::Skipped,
    ];
    let lines = marks.iter().enumerate();
    lines
        .map(|(place, mark)| RunLine {
            id: format!("019ad3a4-7c21-7000-8000-00000000000{place}"),
            job: names.job.clone(),
            mark: *mark,
            way: way("staging"),
            is_rollback: place == 3,
            percent: (*mark == Mark::Running).then_some(63),
            bytes: 2_100_000_000 - place as u64,
            took: (*mark != Mark::Skipped).then(|| seconds(251)),
            at: ago(place as i64 * 1440 + 2),
            by: "schedule".to_owned(),
            message: if *mark == Mark::Failed {
                names.text.clone()
            } else {
                String::new()
            },
        })
        .collect()
}

/// The first page, with so many jobs.
pub(super) fn overview(names: &Names, count: usize) -> Overview {
    let job = |place: usize| JobLine {
        name: if place == 0 {
            names.job.clone()
        } else {
            format!("{}-{place}", &names.job)
        },
        mark: Mark::ALL[place * place % Mark::ALL.len()],
        way: way(["staging", "integration", "staging", "training"][place % 4]),
        last_success: (place % 9 != 4).then(|| ago(400 + place as i64)),
        next: (place % 5 != 4).then(|| Next {
            at: now() + chrono::Duration::minutes(1040 + place as i64),
            zone: Tz::Europe__London,
        }),
        bytes: Some(2_100_000_000 / (place as u64 + 1)),
        took: Some(seconds(251 - place as u64 % 200)),
        strip: strip(place as u64),
    };
    Overview {
        frame: frame(Place::Overview, names),
        needs: needs(names),
        running: running(names),
        filter: Filter::default(),
        jobs: (0..count.min(50)).map(job).collect(),
        pages: Pages {
            total: Some(count),
            back: None,
            on: (count > 50).then(|| "/?page=2".to_owned()),
        },
        environments: environments(names),
    }
}

fn needs(names: &Names) -> Vec<Need> {
    vec![
        Need {
            mark: Mark::Failed,
            name: "accounts".to_owned(),
            way: Some(way("staging")),
            since: Some(ago(125)),
            sentence: names.text.clone(),
            steps: vec![Step::Look("019ad3a4".to_owned()), Step::Again],
        },
        Need {
            mark: Mark::Broken,
            name: names.job.clone(),
            way: Some(way("staging")),
            since: None,
            sentence: "line 4: `tasks` is not a key; did you mean `task`?".to_owned(),
            steps: vec![],
        },
        Need {
            mark: Mark::Paused,
            name: "search-index".to_owned(),
            way: Some(way("integration")),
            since: Some(ago(41 * 1440)),
            sentence: format!("by {}: load test", names.person),
            steps: vec![Step::Resume],
        },
        Need {
            mark: Mark::Held,
            name: "staging".to_owned(),
            way: None,
            since: Some(ago(500)),
            sentence: format!("by {}: release 42", names.person),
            steps: vec![Step::Environment("staging".to_owned())],
        },
    ]
}

fn running(names: &Names) -> Vec<Running> {
    let one = |mark, percent| Running {
        id: "019ad3a4-7c21-7000-8000-000000000000".to_owned(),
        job: names.job.clone(),
        way: way("staging"),
        mark,
        step: if percent > 0 {
            "copy".to_owned()
        } else {
            String::new()
        },
        percent,
        speed: (percent > 0).then_some(41_000_000),
        left: (percent > 0).then(|| seconds(240)),
        elapsed: seconds(251),
    };
    vec![one(Mark::Running, 63), one(Mark::Waiting, 0)]
}

pub(super) fn listings(names: &Names) -> Vec<JobListing> {
    let one = |place: usize| JobListing {
        name: if place == 0 {
            names.job.clone()
        } else {
            format!("content-{place}")
        },
        description: names.text.clone(),
        mark: Mark::ALL[place],
        way: way("staging"),
        kinds: vec!["postgresql".to_owned(), "files".to_owned()],
        schedule: (place != 2).then(schedule),
        paused: (place == 1).then(|| pause(names)),
        is_under_way: place == 1,
    };
    (0..4).map(one).collect()
}

pub(super) fn schedule() -> Schedule {
    Schedule {
        text: "18 0 * * *".to_owned(),
        zone: Tz::Europe__London,
        next: (1..4)
            .map(|day| now() + chrono::Duration::minutes(day * 1440 - 400))
            .collect(),
    }
}

pub(super) fn job(names: &Names) -> Job {
    Job {
        frame: frame(Place::Jobs, names),
        name: names.job.clone(),
        description: "Refresh staging's publishing-api from production".to_owned(),
        mark: Mark::Succeeded,
        way: way("staging"),
        file: "/etc/envsyncd/jobs.d/publishing-api.toml".to_owned(),
        edited: Edited::Here,
        problem: Some(names.text.clone()),
        schedule: Some(schedule()),
        paused: None,
        held: Some(hold(names)),
        tasks: vec![TaskDefinition {
            name: names.job.clone(),
            kind: "postgresql".to_owned(),
            source: "postgresql://reader@db1.example/publishing_api".to_owned(),
            target: "postgresql://owner@db2.example/publishing_api".to_owned(),
            options: vec![
                ("verify".to_owned(), "rows".to_owned()),
                ("scripts".to_owned(), names.table.clone()),
            ],
            coverage: Some(Coverage {
                masked: 4,
                passed: 12,
            }),
        }],
        last_success: Some(ago(400)),
        strip: strip(3),
        runs: runs(names),
        is_under_way: false,
        has_previous: true,
    }
}

fn line(seq: i64, level: &str, message: &str) -> Line {
    Line {
        seq,
        at: ago(5),
        level: level.to_owned(),
        message: message.to_owned(),
    }
}

/// A run that is over, or under way.
pub(super) fn run(names: &Names, is_over: bool) -> Run {
    let mark = if is_over {
        Mark::Succeeded
    } else {
        Mark::Running
    };
    let task = |name: &str, kind: &str, percent, mark, seq| Task {
        name: name.to_owned(),
        kind: kind.to_owned(),
        mark,
        percent,
        phases: Phase::all(kind, mark == Mark::Succeeded, percent),
        rows: 8_650_660,
        bytes: 1_500_000_000,
        took: seconds(190),
        surveyed: Some(ago(5)),
        message: String::new(),
        masks: (kind == "postgresql").then(|| Masks {
            columns: 4,
            rows: 200_000,
            key: "483dc7ea4e3b0ab5".to_owned(),
            tables: vec![Table {
                name: names.table.clone(),
                rows: 200_000,
                columns: vec![
                    ("email".to_owned(), "email".to_owned()),
                    (names.table.clone(), "full_name".to_owned()),
                ],
            }],
        }),
        stages: [
            ("survey", 400),
            ("copy", 130_000),
            ("verify", 9000),
            ("derive", 20_000),
        ]
        .into_iter()
        .enumerate()
        .map(|(place, (name, milliseconds))| Stage {
            name: name.to_owned(),
            took: Duration::from_millis(milliseconds),
            place,
        })
        .collect(),
        copied: Copied {
            tables: (0..50)
                .map(|number| CopiedLine {
                    name: format!("{}{number}", names.table),
                    rows: 1_000_000 / (number + 1),
                    bytes: 700_000_000 / (number + 1),
                    took: (number < 40).then(|| seconds(60 / (number + 1))),
                })
                .collect(),
            more: 1_200,
            more_rows: 99_000,
            more_bytes: 5_000_000,
        },
        log: vec![
            line(seq, "info", "survey done"),
            line(seq + 1, "warn", &names.text),
            line(seq + 2, "info", "copied 41 tables"),
        ],
    };
    Run {
        frame: frame(Place::Elsewhere, names),
        id: "019ad3a4-7c21-7000-8000-0000000e76aa".to_owned(),
        job: names.job.clone(),
        way: way("staging"),
        mark,
        is_rollback: false,
        is_over,
        step: "copy".to_owned(),
        percent: if is_over { 100 } else { 63 },
        started: ago(6),
        finished: is_over.then(|| ago(2)),
        elapsed: seconds(251),
        by: names.person.clone(),
        host: "db2.example".to_owned(),
        cancelled_by: None,
        only: vec![],
        message: String::new(),
        errors: 0,
        warnings: 1,
        lines: 214,
        tasks: vec![
            task(
                "database",
                "postgresql",
                if is_over { 100 } else { 63 },
                mark,
                10,
            ),
            task("index", "search", if is_over { 100 } else { 26 }, mark, 20),
        ],
        log: vec![line(1, "info", "run began"), line(2, "info", "locks taken")],
        last: 30,
        is_cut: true,
        search: is_over.then(|| Search {
            text: names.text.clone(),
            found: 12,
            shown: 6,
        }),
        has_previous: is_over,
    }
}

pub(super) fn with_banners(mut overview: Overview, names: &Names) -> Overview {
    overview.frame.paused = Some(pause(names));
    overview.frame.trouble = Some(names.text.clone());
    overview.frame.notice = Some(Notice {
        is_good: true,
        sentence: format!("{} is asked for", names.job),
        hint: Some(names.text.clone()),
    });
    overview
}
