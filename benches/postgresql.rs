//! PostgreSQL, side by side with what one would use instead, between two private clusters on this machine:
//! `cargo bench --bench postgresql -- [--small] [--gb 2] [--tables 20000] [--rounds 5] [--quick] [--only envsyncd,limit]`.
//!
//! - dump: `pg_dump -Fc -Z1` to a file, then `pg_restore -f - | psql`, as many a nightly script has it;
//! - directory: `pg_dump -Fd -j2`, then `pg_restore -j2`;
//! - pgcopydb: `pgcopydb clone` with two table and two index jobs (Debian's package `pgcopydb`);
//! - binary: the pgcopydb that `PGCOPYDB` names, with binary COPY and without vacuum and analyze (0.17 and newer);
//! - limit: no copy, but what none can beat: binary COPY piped table by table into tables that are there already, two at
//!   a time, then all indexes, two at a time; no foreign keys, no checks;
//! - update: dump, then an UPDATE of four columns of the largest table, and VACUUM;
//! - masked: `envsyncd --once` with masks for these columns;
//! - canary: the same, with a search for raw values in the copy before it is published;
//! - envsyncd: `envsyncd --once`, with its default verification;
//! - earlier: another envsyncd, that `EARLIER` names.
//!
//! What is not installed is left out, and said so. Rounds are interleaved, so that a machine that gets slower or faster
//! does so for all. `--small` has many small tables in place of a few large ones. At the end, a client asks for one row
//! all the time while envsyncd publishes, and tells how long it had no answer.

// The tests' support serves here, too; not all of it is needed.
#[allow(dead_code)]
#[path = "../tests/it/support/mod.rs"]
mod support;

// Nor is all of this.
#[allow(dead_code)]
mod contest;

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use contest::{
    Cost, arguments, median, named, once, once_masked, report, runs, servers, size_of_tree,
    two_at_a_time,
};
use support::job::Job;
use support::postgres::{Cluster, Must, client};

const DATABASE: &str = "publishing";
const TABLES: [&str; 5] = ["users", "documents", "editions", "links", "events"];

struct Options {
    gigabytes: f64,
    /// So many small tables in place of large ones.
    small: Option<u32>,
    rounds: usize,
    only: Option<Vec<String>>,
}

fn options() -> Options {
    let mut options = Options {
        gigabytes: 2.0,
        small: None,
        rounds: 5,
        only: None,
    };
    arguments(|name, value| {
        match name {
            "--gb" => options.gigabytes = value.number(),
            "--small" => options.small = options.small.or(Some(20_000)),
            "--tables" => options.small = Some(value.number()),
            "--rounds" => options.rounds = value.number(),
            "--only" => options.only = Some(value.list()),
            "--quick" => (options.gigabytes, options.rounds) = (0.1, 1),
            _ => return false,
        }
        true
    });
    assert!(options.rounds > 0, "no rounds, no result");
    options
}

struct Bench {
    source: Cluster,
    target: Cluster,
    counts: String,
    rows: String,
}

type Contender = (&'static str, fn(&Bench) -> Cost);

fn main() {
    let options = options();
    let bench = Bench::new(&options);
    let mut contenders: Vec<Contender> = vec![
        ("dump", Bench::dump),
        ("directory", Bench::directory),
        ("pgcopydb", Bench::pgcopydb),
        ("binary", Bench::pgcopydb_binary),
        ("limit", Bench::limit),
        ("earlier", Bench::earlier),
        ("checksum", Bench::checksum),
        ("update", Bench::update),
        ("masked", Bench::masked),
        ("canary", Bench::canary),
        ("envsyncd", Bench::envsyncd),
    ];
    if let Some(only) = &options.only {
        contenders.retain(|(name, _)| only.iter().any(|wanted| wanted == name));
    }
    contenders.retain(|(name, _)| {
        let missing = match *name {
            "pgcopydb" if !runs("pgcopydb") => "the package pgcopydb is not installed",
            "binary" if !named("PGCOPYDB").is_some_and(|program| runs(&program)) => {
                "PGCOPYDB names no pgcopydb"
            }
            "earlier" if !named("EARLIER").is_some_and(|program| runs(&program)) => {
                "EARLIER names no envsyncd"
            }
            "limit" if options.small.is_some() => "it is for large tables",
            _ => return true,
        };
        println!("without {name}: {missing}");
        false
    });
    let mut costs: Vec<Vec<Cost>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        for place in contest::order(round, contenders.len()) {
            let (name, run) = &contenders[place];
            bench.prepare(*name == "limit");
            let cost = run(&bench);
            bench.check(name);
            println!("round {round}: {name:9} {:7.1} s", cost.seconds);
            costs[place].push(cost);
        }
    }
    let names: Vec<&str> = contenders.iter().map(|(name, _)| *name).collect();
    report(&names, &costs);
    if contenders.iter().any(|(name, _)| *name == "envsyncd") {
        let away: Vec<f64> = (0..options.rounds).map(|_| bench.outage()).collect();
        println!(
            "\noutage at publish, seen by a client: median {:.0} ms, longest {:.0} ms",
            median(away.clone()),
            away.iter().copied().fold(0.0, f64::max)
        );
    }
}

impl Bench {
    fn new(options: &Options) -> Self {
        let (source, target) = (servers::postgresql().start(), servers::postgresql().start());
        source.create_db(DATABASE);
        let started = Instant::now();
        let counts = match options.small {
            None => {
                let scale = options.gigabytes.to_string();
                let sql = include_str!("make-database.sql").replace(":scale", &scale);
                source.psql(DATABASE, &sql);
                TABLES
                    .map(|table| format!("(SELECT count(*) FROM {table})"))
                    .join(", ")
            }
            Some(tables) => {
                source.psql(DATABASE, &small_tables(tables));
                let sample = (1..=tables).step_by(97);
                let counts: Vec<String> = sample
                    .map(|table| format!("(SELECT sum(hashtext(t::text)) FROM small_{table} AS t)"))
                    .collect();
                format!("concat_ws(' ', {})", counts.join(" + "))
            }
        };
        let size = source.psql(
            DATABASE,
            "SELECT pg_size_pretty(pg_database_size(current_database()))",
        );
        println!(
            "made a database of {size} in {:.0} s, {} cores",
            started.elapsed().as_secs_f64(),
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        );
        let rows = source.psql(DATABASE, &format!("SELECT {counts}"));
        Self {
            source,
            target,
            counts,
            rows,
        }
    }

    /// Both servers at rest, an empty target, or one with bare tables.
    fn prepare(&self, bare: bool) {
        for name in self.target.databases() {
            let name = support::postgres::quote(&name);
            self.target
                .psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
        self.target.create_db(DATABASE);
        if bare {
            let place = tempfile::tempdir().expect("a directory");
            let file = place.path().join("tables.sql");
            client("pg_dump")
                .args(["--section=pre-data", "-d", &self.from(), "-f"])
                .arg(&file)
                .must("pg_dump");
            let sql = fs::read_to_string(&file).expect("what pg_dump wrote");
            self.target.psql(DATABASE, &sql);
        }
        self.target.psql("postgres", "CHECKPOINT");
        self.source.psql("postgres", "CHECKPOINT");
    }

    /// A fast copy of something else is no copy.
    fn check(&self, name: &str) {
        let rows = self
            .target
            .psql(DATABASE, &format!("SELECT {}", self.counts));
        assert_eq!(rows, self.rows, "{name} copied other rows");
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
            own: None,
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
            own: None,
        }
    }

    fn pgcopydb(&self) -> Cost {
        self.clone_by("pgcopydb", &[])
    }

    fn pgcopydb_binary(&self) -> Cost {
        let program = named("PGCOPYDB").expect("it was there a moment ago");
        let options = ["--use-copy-binary", "--skip-vacuum", "--skip-analyze"];
        self.clone_by(&program, &options)
    }

    fn clone_by(&self, program: &str, options: &[&str]) -> Cost {
        let place = tempfile::tempdir().expect("a directory");
        let started = Instant::now();
        Command::new(program)
            .args(["clone", "--table-jobs", "2", "--index-jobs", "2"])
            .args(options)
            .args(["--source", &self.from(), "--target", &self.to(), "--dir"])
            .arg(place.path().join("work"))
            .must("pgcopydb");
        Cost {
            seconds: started.elapsed().as_secs_f64(),
            on_disk: size_of_tree(place.path()),
            own: None,
        }
    }

    fn limit(&self) -> Cost {
        let lines = |sql: &str| -> Vec<String> {
            let all = self.source.psql(DATABASE, sql);
            all.lines().map(str::to_owned).collect()
        };
        let tables = lines(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
             ORDER BY pg_table_size(oid) DESC",
        );
        let indexes = lines(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = indrelid
             WHERE relnamespace = 'public'::regnamespace ORDER BY pg_relation_size(indexrelid) DESC",
        );
        let started = Instant::now();
        two_at_a_time(&tables, |table| {
            let mut reader = client("psql")
                .args(["-X", "-q", "-d", &self.from(), "-c"])
                .arg(format!("COPY {table} TO STDOUT (FORMAT binary)"))
                .stdout(Stdio::piped())
                .spawn()
                .expect("psql");
            client("psql")
                .args(["-X", "-q", "-d", &self.to(), "-c"])
                .arg(format!("COPY {table} FROM STDIN (FORMAT binary)"))
                .stdin(reader.stdout.take().expect("piped"))
                .must("psql");
            assert!(reader.wait().expect("our child").success(), "psql failed");
        });
        two_at_a_time(&indexes, |index| {
            self.target.psql(DATABASE, index);
        });
        Cost {
            seconds: started.elapsed().as_secs_f64(),
            ..Cost::default()
        }
    }

    fn job(&self) -> Job {
        Job::between("postgresql", &self.from(), &self.to()).wary()
    }

    fn envsyncd(&self) -> Cost {
        once(&self.job(), None)
    }

    /// Every row read back and compared.
    fn checksum(&self) -> Cost {
        once(&self.job().task("verify = \"checksum\""), None)
    }

    /// Four columns of the largest table masked.
    fn masked(&self) -> Cost {
        once_masked(self.job())
    }

    /// The same, and the copy is searched for raw values.
    fn canary(&self) -> Cost {
        once_masked(self.job().task("canary = true"))
    }

    /// The same columns changed after a restore, as many a nightly script has it.
    fn update(&self) -> Cost {
        let cost = self.dump();
        let started = Instant::now();
        self.target.psql(
            DATABASE,
            "UPDATE documents SET title = 'title ' || md5(title), body = md5(body) || repeat(md5(body), length(body) / 32),
                 details = jsonb_set(details, '{change_note}', to_jsonb(md5(details->>'change_note'))),
                 updated_at = updated_at - interval '7 days'",
        );
        self.target.psql(DATABASE, "VACUUM ANALYZE documents");
        Cost {
            seconds: cost.seconds + started.elapsed().as_secs_f64(),
            ..cost
        }
    }

    fn earlier(&self) -> Cost {
        once(&self.job(), named("EARLIER").as_deref())
    }

    /// For how many milliseconds a client of the target that asks all the time had no answer.
    fn outage(&self) -> f64 {
        self.prepare(false);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let client = scope.spawn(|| longest_silence(&self.to(), &done));
            once(&self.job(), None);
            done.store(true, Ordering::SeqCst);
            client.join().expect("no panic").as_secs_f64() * 1000.0
        })
    }
}

/// From the last answer before an error to the first one after it.
fn longest_silence(url: &str, done: &AtomicBool) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut longest, mut last, mut failed) = (Duration::ZERO, Instant::now(), false);
        while !done.load(Ordering::SeqCst) {
            let Ok((session, connection)) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await
            else {
                failed = true;
                continue;
            };
            let driven = tokio::spawn(connection);
            while !done.load(Ordering::SeqCst) {
                if session.query_one("SELECT 1", &[]).await.is_err() {
                    failed = true;
                    break;
                }
                if failed {
                    longest = longest.max(last.elapsed());
                }
                (last, failed) = (Instant::now(), false);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            driven.abort();
        }
        longest
    })
}

/// Tables as an application with a schema a customer has them: ten rows, three indexes, a sequence.
fn small_tables(count: u32) -> String {
    // Each lot is a transaction: one of all would need too many locks.
    let lots: Vec<String> = (1..=count)
        .step_by(500)
        .map(|first| {
            let last = count.min(first + 499);
            format!(
                "DO $$BEGIN FOR n IN {first}..{last} LOOP
                     EXECUTE format('CREATE TABLE small_%s (id serial PRIMARY KEY, name text NOT NULL UNIQUE, amount numeric, at timestamptz)', n);
                     EXECUTE format('INSERT INTO small_%s (name, amount, at) SELECT %L || g, g / 3.0, timestamptz ''2024-01-01'' + g * interval ''1 hour'' FROM generate_series(1, 10) g', n, 'row ');
                     EXECUTE format('CREATE INDEX ON small_%s (at)', n);
                 END LOOP; END$$;"
            )
        })
        .collect();
    lots.join("\n")
}
