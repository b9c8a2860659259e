//! A copy of an SQLite database by envsyncd, beside `cp` and an integrity check.
//!
//! `cargo bench --bench sqlite`, with `-- --quick` for a small file. Each round times, one after the other: `cp` and
//! `PRAGMA integrity_check`; a first copy; a refresh of a live file, with previous kept; the same in WAL mode. Nothing of
//! `cp`'s has to reach the disk; all of ours does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use envsyncd::config::endpoint_at;
use envsyncd::config::job::{KeepPrevious, Mode, Publish, Task, Unlisted, Verify};
use envsyncd::store::registry::{formats, open_source, open_target};
use envsyncd::store::{Claim, Context, Meter, Part, Selection};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 3;

struct Silent;

impl Meter for Silent {
    fn add(&self, _part: &Part, _rows: u64, _bytes: u64) {}
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = directory.path().join("source.db");
    let rows = if is_quick { 100_000 } else { 2_300_000 };
    make(&source, rows);
    let size = source.metadata().expect("the source is there").len();
    println!("{rows} rows, {:.0} MB", size as f64 / 1e6);

    let mut copied = Vec::new();
    let lines = [
        ("first copy", None),
        ("refresh", Some("DELETE")),
        ("refresh, WAL", Some("WAL")),
    ];
    let mut memory = 0;
    let mut ours = vec![Vec::new(); lines.len()];
    for _ in 0..ROUNDS {
        copied.push(copy_and_check(&source, &directory.path().join("copy.db")));
        for ((_, mode), times) in lines.iter().zip(&mut ours) {
            let live = directory.path().join("live.db");
            if let Some(mode) = mode {
                std::fs::copy(&source, &live).expect("a live file");
                Connection::open(&live)
                    .and_then(|connection| {
                        connection.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))
                    })
                    .expect("a journal mode");
            }
            // Resets the peak (proc(5)), so that it is ours alone.
            let _ = std::fs::write("/proc/self/clear_refs", "5");
            times.push(line(&source, &live));
            memory = memory.max(peak());
            for end in ["", ".envsyncd-previous"] {
                let _ = std::fs::remove_file(PathBuf::from(format!("{}{end}", live.display())));
            }
        }
    }
    let base = median(&mut copied);
    println!("{:<28}{base:>8.2} s", "cp and integrity_check");
    for ((name, _), times) in lines.iter().zip(&mut ours) {
        let time = median(times);
        println!(
            "{:<28}{time:>8.2} s   {:.2} times",
            format!("envsyncd, {name}"),
            time / base
        );
    }
    println!("most resident memory: {} MiB", memory / 1024);
}

fn make(path: &Path, rows: u64) {
    let connection = Connection::open(path).expect("the source");
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;
             CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT);
             CREATE TABLE items (id INTEGER PRIMARY KEY, account INTEGER REFERENCES accounts (id), email TEXT, body TEXT);
             INSERT INTO accounts WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows} / 10)
                SELECT i, 'account ' || i FROM n;
             INSERT INTO items WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                SELECT i, i * 7919 % ({rows} / 10) + 1, hex(randomblob(8)) || '@example.org', hex(randomblob(150)) FROM n;
             CREATE INDEX items_account ON items (account);
             CREATE INDEX items_email ON items (email);
             COMMIT;"
        ))
        .expect("the source's rows");
}

fn copy_and_check(source: &Path, to: &Path) -> f64 {
    let start = Instant::now();
    assert!(
        Command::new("cp")
            .arg(source)
            .arg(to)
            .status()
            .expect("cp")
            .success()
    );
    let said: String = Connection::open(to)
        .and_then(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)))
        .expect("an integrity check");
    assert_eq!(said, "ok");
    let time = start.elapsed().as_secs_f64();
    std::fs::remove_file(to).expect("the copy is there");
    time
}

/// All that a run does with the two files.
fn line(source: &Path, live: &Path) -> f64 {
    let endpoint = |path: &Path| {
        let url = format!("sqlite://{}", path.display());
        endpoint_at(&url, formats()).expect("a URL")
    };
    let task = Task {
        name: "bench".to_owned(),
        kind: envsyncd::store::sqlite::KIND,
        source: endpoint(source),
        target: endpoint(live),
        mode: Mode::Replace,
        jobs: None,
        exclude: Vec::new(),
        schema_only: Vec::new(),
        leave_out: Vec::new(),
        keep: Vec::new(),
        scripts: Vec::new(),
        publish: Publish::Swap,
        throttle: None,
        max_replication_lag: None,
        verify: Verify::Rows,
        previous: KeepPrevious::Keep,
        roles: envsyncd::config::job::Roles::Map,
        definer: envsyncd::config::job::Definer::Map,
        events: envsyncd::config::job::Events::Disabled,
        trust_source: false,
        masks: Vec::new(),
        passes: Vec::new(),
        path_passes: Vec::new(),
        rows: Vec::new(),
        references: Vec::new(),
        unlisted: Unlisted::default(),
        included: Vec::new(),
        canary: None,
        options: envsyncd::config::OwnOptions::default(),
        places: BTreeMap::new(),
    };
    let context = Context {
        claim: Claim {
            job: "bench".to_owned(),
            run: "01990000-0000-7000-8000-0123456789ab".to_owned(),
            host: "here".to_owned(),
        },
        cancel: CancellationToken::new(),
        selection: Arc::new(Selection::of(&task, true).expect("no globs")),
        workers: 1,
        lookup: std::sync::Arc::new(|_| None),
    };
    let start = Instant::now();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            let source = open_source(&task, &context).await?;
            let target = open_target(&task, &context).await?;
            target.lock().await?;
            target.sweep().await?;
            let survey = source.survey(&target.taker().await?).await?;
            target.check(&survey).await?;
            let incoming = target.prepare(&survey).await?;
            let transfer = incoming.transfer().expect("pages can be copied");
            assert!(transfer.transfer(&*source, &survey, &Silent).await?);
            let complete = incoming.complete().await?;
            assert!(
                source
                    .catalogue()
                    .await?
                    .differences(&complete.catalogue().await?)
                    .is_empty()
            );
            source.close().await;
            complete.publish().await?.settle().await?;
            target.close().await;
            Ok::<(), envsyncd::error::Error>(())
        })
        .expect("a copy");
    start.elapsed().as_secs_f64()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The process's peak of resident memory in KiB, as Linux counts it.
fn peak() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|text| text.trim_end_matches("kB").trim().parse().ok())
        .unwrap_or(0)
}
