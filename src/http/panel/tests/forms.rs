//! Pages of sites, forms, tokens and lists.

use chrono_tz::Tz;

use super::samples::{Names, ago, frame, now, runs, schedule, seconds, way};
use crate::http::panel::view::*;

fn choice(value: &str, why_not: Option<&str>) -> Choice {
    Choice {
        value: value.to_owned(),
        is_chosen: matches!(value, "staging"),
        why_not: why_not.map(str::to_owned),
    }
}

fn targets() -> Vec<Choice> {
    vec![
        choice("staging", None),
        choice("integration", Some("the site has no database there")),
        choice("production", Some("a root environment is never a target")),
    ]
}

fn sources() -> Vec<Choice> {
    let mut all = vec![
        choice("production", None),
        choice("integration", Some("nothing is below it")),
    ];
    all[0].is_chosen = true;
    all
}

pub(super) fn site(names: &Names) -> Site {
    Site {
        frame: frame(Place::Sites, names),
        name: names.job.clone(),
        tab: Tab::Database,
        from: sources(),
        to: targets(),
        way: Some(way("staging")),
        plan: Some(Plan {
            source: Side {
                words: "postgresql on db1.example".to_owned(),
                bytes: Some(2_100_000_000),
                filled: None,
            },
            target: Side {
                words: "postgresql on db2.example".to_owned(),
                bytes: Some(2_000_000_000),
                filled: Some(ago(400)),
            },
            masked: Some(4),
            undecided: Some(0),
            kept: vec![names.table.clone()],
            takes: Some(seconds(240)),
            has_rollback: true,
        }),
        refusal: None,
        runs: runs(names),
    }
}

pub(super) fn new_job(names: &Names) -> NewJob {
    NewJob {
        frame: frame(Place::Jobs, names),
        draft: Draft {
            name: names.job.clone(),
            description: names.text.clone(),
            database: true,
            when: "custom".to_owned(),
            custom: "18 0 * * *".to_owned(),
            zone: "Europe/London".to_owned(),
            ..Draft::default()
        },
        from: sources(),
        to: targets(),
        sites: vec![choice("main", None)],
        kinds: vec![choice("postgresql", None), choice("mysql", None)],
        endpoints: vec![names.table.clone()],
        problems: vec!["`from` and `to` look swapped".to_owned()],
        toml: Some(format!(
            "description = \"{}\"\nfrom = \"production\"\nto = \"staging\"\n",
            names.text
        )),
        path: "/etc/envsyncd/jobs.d/publishing-api.toml".to_owned(),
        next: schedule().next,
        zone: Tz::Europe__London,
        may_write: true,
    }
}

pub(super) fn job_file(names: &Names) -> JobFile {
    JobFile {
        frame: frame(Place::Jobs, names),
        name: names.job.clone(),
        file: "/var/lib/envsyncd/jobs/publishing-api.toml".to_owned(),
        toml: format!("description = \"{}\"\n</textarea>", names.text),
        tag: "0123456789abcdef".to_owned(),
        problems: vec![names.text.clone()],
    }
}

pub(super) fn tokens(names: &Names) -> Tokens {
    let one = |place: i64| TokenLine {
        name: names.job.clone(),
        scope: "run".to_owned(),
        to: if place == 0 {
            vec!["staging".to_owned()]
        } else {
            vec![]
        },
        site: (place == 0).then(|| "main".to_owned()),
        by: names.person.clone(),
        created: ago(9000),
        expires: (place == 0).then(|| now() + chrono::Duration::days(81)),
        used: (place == 0).then(|| ago(3)),
    };
    Tokens {
        frame: frame(Place::Tokens, names),
        all: vec![one(0), one(1)],
        fresh: Some(Fresh {
            name: names.job.clone(),
            secret: format!("envsyncd_{}", "0123456789abcdef".repeat(4)),
        }),
        environments: vec!["staging".to_owned(), "integration".to_owned()],
        sites: vec!["main".to_owned()],
    }
}

pub(super) fn audit(names: &Names) -> Audit {
    let one = |place: i64| AuditLine {
        at: ago(place * 60),
        who: names.person.clone(),
        via: "panel".to_owned(),
        address: "192.0.2.7".to_owned(),
        action: "pause".to_owned(),
        object: names.job.clone(),
        outcome: if place == 1 {
            names.text.clone()
        } else {
            "ok".to_owned()
        },
    };
    Audit {
        frame: frame(Place::Audit, names),
        lines: (0..5).map(one).collect(),
        pages: Pages {
            total: None,
            back: None,
            on: Some("/audit?before=3".to_owned()),
        },
    }
}

pub(super) fn snapshots(names: &Names) -> Snapshots {
    Snapshots {
        frame: frame(Place::Snapshots, names),
        all: vec![SnapshotLine {
            id: "2026-11-29T00-18-00Z-7c21".to_owned(),
            job: names.job.clone(),
            origin: "production".to_owned(),
            at: ago(400),
            bytes: 640_000_000,
            place: "s3://backups.example/envsyncd".to_owned(),
        }],
    }
}
