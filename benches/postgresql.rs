//! PostgreSQL, side by side with what one would use instead, between two private clusters on this machine:
//! `cargo bench --bench postgresql -- [--gb 2] [--rounds 3] [--quick] [--only dump,directory,envsyncd,pgcopydb]`.
//!
//! - dump: `pg_dump -Fc -Z1` to a file, then `pg_restore -f - | psql`, as many a nightly script has it;
//! - directory: `pg_dump -Fd -j2`, then `pg_restore -j2`;
//! - envsyncd: `envsyncd --once`, with its default verification;
//! - pgcopydb: where it is in PATH, or in PGCOPYDB.
//!
//! Rounds are interleaved, so that a machine that gets slower or faster does so for all.

// The tests' support serves here, too; not all of it is needed.
#[allow(dead_code)]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::job::{Bed, Job};
use support::postgres::{Builder, Cluster, Must, client};

const DATABASE: &str = "publishing";
const TABLES: [&str; 5] = ["users", "documents", "editions", "links", "events"];

struct Options {
    gigabytes: f64,
    rounds: usize,
    only: Option<Vec<String>>,
}

fn options() -> Options {
    let mut options = Options {
        gigabytes: 2.0,
        rounds: 3,
        only: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .unwrap_or_else(|| panic!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--gb" => options.gigabytes = value().parse().expect("--gb takes a number"),
            "--rounds" => options.rounds = value().parse().expect("--rounds takes a number"),
            "--only" => options.only = Some(value().split(',').map(str::to_owned).collect()),
            "--quick" => (options.gigabytes, options.rounds) = (0.1, 1),
            // What cargo itself says.
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    assert!(options.rounds > 0, "no rounds, no result");
    options
}

/// What one run cost.
#[derive(Default)]
struct Cost {
    seconds: f64,
    /// Bytes of intermediate files.
    on_disk: u64,
    /// Peak resident memory of the process, where it was looked at.
    resident: Option<u64>,
}

struct Bench {
    source: Cluster,
    target: Cluster,
    rows: String,
}

type Contender = (&'static str, fn(&Bench) -> Cost);

fn main() {
    let options = options();
    let bench = Bench::new(options.gigabytes);
    let mut contenders: Vec<Contender> = vec![
        ("dump", Bench::dump),
        ("directory", Bench::directory),
        ("envsyncd", Bench::envsyncd),
    ];
    if pgcopydb().is_some() {
        contenders.push(("pgcopydb", Bench::pgcopydb));
    }
    if let Some(only) = &options.only {
        contenders.retain(|(name, _)| only.iter().any(|wanted| wanted == name));
    }
    let mut costs: Vec<Vec<Cost>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        for ((name, run), costs) in contenders.iter().zip(&mut costs) {
            bench.prepare();
            let cost = run(&bench);
            bench.check(name);
            println!("round {round}: {name:9} {:7.1} s", cost.seconds);
            costs.push(cost);
        }
    }
    report(&contenders, &costs);
}

fn report(contenders: &[Contender], costs: &[Vec<Cost>]) {
    let medians: Vec<f64> = costs
        .iter()
        .map(|costs| median(costs.iter().map(|cost| cost.seconds).collect()))
        .collect();
    let ours = contenders.iter().position(|(name, _)| *name == "envsyncd");
    println!("\n             median   / envsyncd   on disk   peak memory");
    for (((name, _), costs), seconds) in contenders.iter().zip(costs).zip(&medians) {
        let ratio = ours.map_or_else(String::new, |ours| {
            format!("{:.2}", seconds / medians[ours])
        });
        let on_disk = costs.iter().map(|cost| cost.on_disk).max().unwrap_or(0);
        let resident = costs
            .iter()
            .filter_map(|cost| cost.resident)
            .max()
            .map_or_else(|| "-".to_owned(), mebibytes);
        println!(
            "{name:10} {seconds:7.1} s {ratio:>12} {:>9} {resident:>13}",
            mebibytes(on_disk)
        );
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    if all.len() % 2 == 1 {
        all[middle]
    } else {
        f64::midpoint(all[middle - 1], all[middle])
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// One set of settings for both, near to what a database host has: safe against a crash.
fn settings() -> Builder {
    Cluster::builder()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .set("shared_buffers", "1GB")
        .set("max_wal_size", "8GB")
        .set("maintenance_work_mem", "256MB")
        .set("checkpoint_timeout", "30min")
        .set("log_statement", "none")
        // Its moment is another one in each round.
        .set("autovacuum", "off")
}

fn pgcopydb() -> Option<String> {
    let name = std::env::var("PGCOPYDB").unwrap_or_else(|_| "pgcopydb".to_owned());
    let found = Command::new(&name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success()).then_some(name)
}

impl Bench {
    fn new(gigabytes: f64) -> Self {
        let (source, target) = (settings().start(), settings().start());
        source.create_db(DATABASE);
        let started = Instant::now();
        let sql = include_str!("make-database.sql").replace(":scale", &gigabytes.to_string());
        source.psql(DATABASE, &sql);
        let size = source.psql(
            DATABASE,
            "SELECT pg_size_pretty(pg_database_size(current_database()))",
        );
        println!(
            "made a database of {size} in {:.0} s, {} cores",
            started.elapsed().as_secs_f64(),
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        );
        let rows = rows(&source);
        Self {
            source,
            target,
            rows,
        }
    }

    /// Both servers at rest, an empty target.
    fn prepare(&self) {
        for name in self.target.databases() {
            let name = support::postgres::quote(&name);
            self.target
                .psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
        self.target.create_db(DATABASE);
        self.target.psql("postgres", "CHECKPOINT");
        self.source.psql("postgres", "CHECKPOINT");
    }

    /// A fast copy of something else is no copy.
    fn check(&self, name: &str) {
        assert_eq!(rows(&self.target), self.rows, "{name} copied other rows");
        let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'";
        assert_eq!(
            self.target.psql(DATABASE, indexes),
            self.source.psql(DATABASE, indexes),
            "{name} made other indexes"
        );
    }

    fn from(&self) -> String {
        self.source.url("postgres", DATABASE)
    }

    fn to(&self) -> String {
        self.target.url("postgres", DATABASE)
    }

    fn dump(&self) -> Cost {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("dump");
        let started = Instant::now();
        client("pg_dump")
            .args(["-Fc", "-Z1", "-d", &self.from(), "-f"])
            .arg(&file)
            .must("pg_dump");
        let mut restore = client("pg_restore")
            .args(["-f", "-"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("pg_restore");
        client("psql")
            .args([
                "-X",
                "-q",
                "-o",
                "/dev/null",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.to(),
            ])
            .stdin(restore.stdout.take().expect("piped"))
            .must("psql");
        assert!(
            restore.wait().expect("our child").success(),
            "pg_restore failed"
        );
        Cost {
            seconds: started.elapsed().as_secs_f64(),
            on_disk: size_of_tree(place.path()),
            resident: None,
        }
    }

    fn directory(&self) -> Cost {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("dump");
        let started = Instant::now();
        client("pg_dump")
            .args(["-Fd", "-j2", "-d", &self.from(), "-f"])
            .arg(&directory)
            .must("pg_dump");
        client("pg_restore")
            .args(["-j2", "--exit-on-error", "-d", &self.to()])
            .arg(&directory)
            .must("pg_restore");
        Cost {
            seconds: started.elapsed().as_secs_f64(),
            on_disk: size_of_tree(place.path()),
            resident: None,
        }
    }

    fn pgcopydb(&self) -> Cost {
        let place = tempfile::tempdir().expect("a directory");
        let started = Instant::now();
        Command::new(pgcopydb().expect("it was there a moment ago"))
            .args([
                "clone",
                "--table-jobs",
                "2",
                "--index-jobs",
                "2",
                "--source",
                &self.from(),
                "--target",
                &self.to(),
                "--dir",
            ])
            .arg(place.path().join("work"))
            .must("pgcopydb");
        Cost {
            seconds: started.elapsed().as_secs_f64(),
            on_disk: size_of_tree(place.path()),
            resident: None,
        }
    }

    fn envsyncd(&self) -> Cost {
        let bed = Bed::new();
        let temporary = bed.path("tmp");
        fs::create_dir(&temporary).expect("a directory");
        let job = bed.job(
            "bench",
            &Job::between("postgresql", &self.from(), &self.to()),
        );
        let mut command = bed.command();
        command
            .env("TMPDIR", &temporary)
            .args(["--once", "-f"])
            .arg(&job);
        let started = Instant::now();
        let mut running = bed.spawn(&mut command);
        let (mut resident, mut on_disk) = (0, 0);
        while running.is_running() {
            resident = resident.max(peak_memory(running.pid().as_raw()));
            on_disk = on_disk.max(size_of_tree(&temporary));
            std::thread::sleep(Duration::from_millis(10));
        }
        let seconds = started.elapsed().as_secs_f64();
        running.end().expect(0);
        Cost {
            seconds,
            on_disk,
            resident: Some(resident),
        }
    }
}

fn rows(cluster: &Cluster) -> String {
    let counts = TABLES.map(|table| format!("(SELECT count(*) FROM {table})"));
    cluster.psql(DATABASE, &format!("SELECT {}", counts.join(", ")))
}

/// The kernel's own high-water mark (`VmHWM` in proc_pid_status(5)); 0 once the process is gone.
fn peak_memory(pid: i32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kibibytes| kibibytes * 1024)
}

fn size_of_tree(place: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(place) else {
        return fs::metadata(place).map_or(0, |found| found.len());
    };
    entries
        .flatten()
        .map(|entry| size_of_tree(&entry.path()))
        .sum()
}
