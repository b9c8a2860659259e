//! MariaDB, side by side with what one would use instead, between two private servers on this machine:
//! `cargo bench --bench mysql -- [--size 1.5] [--tables 5000] [--rounds 5] [--quick] [--only envsyncd,limit]`.
//!
//! - dump: `mariadb-dump --single-transaction | mariadb`, as many a nightly script has it;
//! - mydumper: `mydumper -t 2`, then `myloader -t 2` (Debian's package `mydumper`, which nothing else here needs);
//! - limit: no copy, but what none can beat: all rows in files already (`SELECT ... INTO OUTFILE`), then `LOAD DATA` of
//!   all tables, two at a time, into bare tables with checks off, then all their indexes and foreign keys;
//! - envsyncd: `envsyncd --once`, with its default verification;
//! - earlier: another envsyncd, that `EARLIER` names.
//!
//! What is not installed is left out, and said so. Rounds are interleaved, so that a machine that gets slower or faster
//! does so for all. `--size` is in gigabytes; `--tables` has so many small tables in place of a few large ones.

// The tests' support serves here, too; not all of it is needed.
#[allow(dead_code)]
#[path = "../tests/it/support/mod.rs"]
mod support;

// Nor is all of this.
#[allow(dead_code)]
mod contest;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use contest::{
    Cost, arguments, large_tables, named, once, once_masked, report, runs, servers, size_of_tree,
    two_at_a_time,
};
use support::job::Job;
use support::mysql::{Server, quote};
use support::postgres::{Must, bare};

const DATABASE: &str = "publishing";

struct Options {
    gigabytes: f64,
    /// So many small tables in place of large ones.
    small: Option<u32>,
    rounds: usize,
    only: Option<Vec<String>>,
}

fn options() -> Options {
    let mut options = Options {
        gigabytes: 1.5,
        small: None,
        rounds: 5,
        only: None,
    };
    arguments(|name, value| {
        match name {
            "--size" => options.gigabytes = value.number(),
            "--small" => options.small = options.small.or(Some(5000)),
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
    source: Server,
    target: Server,
    /// Where the source wrote the tables' rows, for `limit`.
    files: PathBuf,
    tables: Vec<String>,
    checked: String,
    checksums: String,
}

type Contender = (&'static str, fn(&Bench) -> Cost);

fn main() {
    let options = options();
    let mut contenders: Vec<Contender> = vec![
        ("dump", Bench::dump),
        ("mydumper", Bench::mydumper),
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
            "mydumper" if !runs("mydumper") => "the package mydumper is not installed",
            "earlier" if !named("EARLIER").is_some_and(|program| runs(&program)) => {
                "EARLIER names no envsyncd"
            }
            "limit" if options.small.is_some() => "it is for large tables",
            _ => return true,
        };
        println!("without {name}: {missing}");
        false
    });
    let bench = Bench::new(&options);
    if contenders.iter().any(|(name, _)| *name == "limit") {
        bench.write_files();
    }
    let names: Vec<&str> = contenders.iter().map(|(name, _)| *name).collect();
    let mut costs: Vec<Vec<Cost>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        for place in contest::order(round, contenders.len()) {
            let (name, run) = &contenders[place];
            bench.prepare();
            let cost = run(&bench);
            bench.check(name);
            println!("round {round}: {name:9} {:7.1} s", cost.seconds);
            costs[place].push(cost);
        }
    }
    report(&names, &costs);
}

impl Bench {
    fn new(options: &Options) -> Self {
        let (source, target) = (servers::mariadb().start(), servers::mariadb().start());
        source.create_db(DATABASE);
        let started = Instant::now();
        // Thousands of tables would wait for the disk, each several times.
        let global = |commit, sync| {
            source.sql(
                "",
                &format!("SET GLOBAL innodb_flush_log_at_trx_commit = {commit}, sync_frm = {sync}"),
            );
        };
        global(0, 0);
        match options.small {
            None => source.sql(DATABASE, &large_tables(options.gigabytes)),
            Some(tables) => source.sql(DATABASE, &small_tables(tables)),
        };
        global(1, 1);
        let size = source.sql(
            "",
            "SELECT ROUND(SUM(data_length + index_length) / 1e9, 2) FROM information_schema.tables WHERE table_schema = 'publishing'",
        );
        println!(
            "made a database of {size} GB in {:.0} s, {} cores",
            started.elapsed().as_secs_f64(),
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        );
        // The biggest first.
        let sizes = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'publishing' AND table_type = 'BASE TABLE' ORDER BY data_length DESC";
        let tables: Vec<String> = source.sql("", sizes).lines().map(str::to_owned).collect();
        let step = if options.small.is_some() { 97 } else { 1 };
        let sample: Vec<String> = tables
            .iter()
            .step_by(step)
            .map(|name| quote(name))
            .collect();
        let checked = format!("CHECKSUM TABLE {}", sample.join(", "));
        let checksums = source.sql(DATABASE, &checked);
        let files = source.data().with_file_name("tmp");
        Self {
            source,
            target,
            files,
            tables,
            checked,
            checksums,
        }
    }

    /// Every table's rows as the source itself writes them.
    fn write_files(&self) {
        for table in &self.tables {
            let file = self.files.join(table);
            self.source.sql(
                DATABASE,
                &format!(
                    "SELECT * FROM {} INTO OUTFILE '{}' CHARACTER SET binary",
                    quote(table),
                    file.display()
                ),
            );
        }
    }

    /// Both servers at rest, an empty target.
    fn prepare(&self) {
        for name in self.target.databases() {
            self.target
                .sql("", &format!("DROP DATABASE {}", quote(&name)));
        }
        self.target.create_db(DATABASE);
        for server in [&self.source, &self.target] {
            // What a round left to be written belongs to that round.
            server.sql(
                "",
                "SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0, innodb_max_dirty_pages_pct = 0",
            );
            let started = Instant::now();
            let dirty = "SELECT variable_value < 100 FROM information_schema.global_status WHERE variable_name = 'Innodb_buffer_pool_pages_dirty'";
            while server.sql("", dirty) != "1" && started.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(100));
            }
            server.sql("", "SET GLOBAL innodb_max_dirty_pages_pct = 90");
        }
    }

    /// A fast copy of something else is no copy.
    fn check(&self, name: &str) {
        if ["update", "masked", "canary"].contains(&name) {
            let count = "SELECT COUNT(*) FROM documents";
            assert_eq!(
                self.target.sql(DATABASE, count),
                self.source.sql(DATABASE, count),
                "{name} copied other rows"
            );
        } else {
            let checksums = self.target.sql(DATABASE, &self.checked);
            assert_eq!(checksums, self.checksums, "{name} copied other rows");
        }
        for things in [
            "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = 'publishing'",
            "SELECT COUNT(*) FROM information_schema.referential_constraints WHERE constraint_schema = 'publishing'",
        ] {
            assert_eq!(
                self.target.sql("", things),
                self.source.sql("", things),
                "{name} made other indexes or keys"
            );
        }
    }

    fn dump(&self) -> Cost {
        let started = Instant::now();
        let mut dump = bare("mariadb-dump")
            .args(["--no-defaults", "--single-transaction", "--user=root"])
            .args(["--routines", "--triggers", "--events"])
            .arg(socket(&self.source))
            .arg(DATABASE)
            .stdout(Stdio::piped())
            .spawn()
            .expect("mariadb-dump");
        bare("mariadb")
            .args(["--no-defaults", "--user=root"])
            .arg(socket(&self.target))
            .arg(DATABASE)
            .stdin(dump.stdout.take().expect("piped"))
            .must("mariadb");
        assert!(
            dump.wait().expect("our child").success(),
            "mariadb-dump failed"
        );
        Cost {
            seconds: started.elapsed().as_secs_f64(),
            ..Cost::default()
        }
    }

    fn mydumper(&self) -> Cost {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("dump");
        let started = Instant::now();
        Command::new("mydumper")
            .args(["-t", "2", "-G", "-E", "-R", "-u", "root", "-B", DATABASE])
            .arg("-S")
            .arg(self.source.socket())
            .arg("-o")
            .arg(&directory)
            .must("mydumper");
        Command::new("myloader")
            .args(["-t", "2", "-u", "root", "-B", DATABASE, "-o"])
            .arg("-S")
            .arg(self.target.socket())
            .arg("-d")
            .arg(&directory)
            .must("myloader");
        Cost {
            seconds: started.elapsed().as_secs_f64(),
            on_disk: size_of_tree(place.path()),
            own: None,
        }
    }

    fn limit(&self) -> Cost {
        let definitions: Vec<Definition> = self
            .tables
            .iter()
            .map(|table| Definition::of(&self.source, table))
            .collect();
        let off = "SET foreign_key_checks = 0, unique_checks = 0";
        for definition in &definitions {
            self.target
                .sql(DATABASE, &format!("{off}; {}", definition.bare));
        }
        let started = Instant::now();
        two_at_a_time(&self.tables, |table| {
            let file = self.files.join(table);
            self.target.sql(
                DATABASE,
                &format!(
                    "{off}, autocommit = 0; LOAD DATA INFILE '{}' INTO TABLE {} CHARACTER SET binary; COMMIT",
                    file.display(),
                    quote(table)
                ),
            );
        });
        let alters = |wanted: fn(&Definition) -> &Vec<String>| -> Vec<String> {
            definitions
                .iter()
                .filter(|definition| !wanted(definition).is_empty())
                .map(|definition| {
                    let added: Vec<String> = wanted(definition)
                        .iter()
                        .map(|line| format!("ADD {line}"))
                        .collect();
                    format!(
                        "{off}; ALTER TABLE {} {}",
                        quote(&definition.table),
                        added.join(", ")
                    )
                })
                .collect()
        };
        for step in [alters(|it| &it.indexes), alters(|it| &it.keys)] {
            two_at_a_time(&step, |alter| {
                self.target.sql(DATABASE, alter);
            });
        }
        let seconds = started.elapsed().as_secs_f64();
        self.target.sql(
            DATABASE,
            "CREATE VIEW published AS SELECT e.id, d.title, e.base_path FROM editions e JOIN documents d ON d.id = e.document_id WHERE e.state = 'published'",
        );
        Cost {
            seconds,
            ..Cost::default()
        }
    }

    fn job(&self) -> Job {
        Job::between(
            "mysql",
            &self.source.url("root", DATABASE),
            &self.target.url("root", DATABASE),
        )
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
        self.target.sql(
            DATABASE,
            "UPDATE documents SET title = CONCAT('title ', MD5(title)), body = CONCAT(MD5(body), REPEAT(MD5(body), LENGTH(body) DIV 32)),
                 details = JSON_SET(details, '$.change_note', MD5(JSON_VALUE(details, '$.change_note'))),
                 updated_at = updated_at - INTERVAL 7 DAY",
        );
        Cost {
            seconds: cost.seconds + started.elapsed().as_secs_f64(),
            ..cost
        }
    }

    fn earlier(&self) -> Cost {
        once(&self.job(), named("EARLIER").as_deref())
    }
}

/// A table's definition in the parts that one makes one after the other.
struct Definition {
    table: String,
    bare: String,
    indexes: Vec<String>,
    keys: Vec<String>,
}

impl Definition {
    fn of(server: &Server, table: &str) -> Self {
        let all = server.sql(DATABASE, &format!("SHOW CREATE TABLE {}", quote(table)));
        let (_, text) = all.split_once('|').expect("two columns");
        let (mut columns, mut indexes, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut lines = text.lines();
        let first = lines.next().expect("CREATE TABLE");
        let mut last = "";
        for line in lines {
            last = line;
            let line = line.trim_end_matches(',');
            match line.trim_start() {
                key if key.starts_with("KEY ") || key.starts_with("UNIQUE KEY ") => {
                    indexes.push(key.to_owned());
                }
                key if key.starts_with("CONSTRAINT ") && key.contains(" FOREIGN KEY ") => {
                    keys.push(key.to_owned());
                }
                _ if line.starts_with(')') => {}
                _ => columns.push(line),
            }
        }
        Self {
            table: table.to_owned(),
            bare: format!("{first}\n{}\n{last}", columns.join(",\n")),
            indexes,
            keys,
        }
    }
}

fn socket(server: &Server) -> String {
    format!("--socket={}", Path::display(&server.socket()))
}

/// Tables as an application with a schema a customer has them: ten rows, three indexes, a counter.
fn small_tables(count: u32) -> String {
    let mut sql = String::new();
    for n in 1..=count {
        sql += &format!(
            "CREATE TABLE small_{n} (id int AUTO_INCREMENT PRIMARY KEY, name varchar(100) NOT NULL UNIQUE, amount decimal(12,4), at datetime, KEY (at));
             INSERT INTO small_{n} (name, amount, at) SELECT CONCAT('row ', seq), seq / 3, '2024-01-01' + INTERVAL seq HOUR FROM seq_1_to_10;\n"
        );
    }
    sql
}
