//! Push to a bucket and pull from it, side by side with what one would use instead, with a real S3 server on this machine:
//! `cargo bench --bench archive -- [--gb 2] [--mysql 1.5] [--rounds 3] [--quick] [--only postgresql,mysql,govuk,latency]`.
//!
//! - postgresql: `pg_dump -Fc -Z1 | aws s3 cp - s3://...`, and back `aws s3 cp s3://... - | pg_restore -f - | psql`;
//! - mysql: `mydumper -t 2 --compress`, `aws s3 cp --recursive`, and back `aws s3 cp --recursive`, `myloader -t 2`;
//! - govuk: `format = "govuk"`, in which the stores' own tools dump; PostgreSQL against the same as above, MariaDB against
//!   `mariadb-dump | gzip | aws s3 cp`, and back `aws s3 cp | gunzip | mariadb`;
//! - latency: our own push and pull with 30 ms between us and the bucket, against those without.
//!
//! `aws` is Amazon's command line (PyPI: `awscli`) on the PATH; without it there is nothing to compare with. Rounds are
//! interleaved, so that a machine that gets slower or faster does so for all.

// The tests' support serves here, too; not all of it is needed.
#[allow(dead_code)]
#[path = "../tests/it/support/mod.rs"]
mod support;

// Nor is all of this.
#[allow(dead_code)]
mod contest;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use contest::{Cost, arguments, mebibytes, median, once, runs, servers, size_of_tree};
use support::job::{Job, toml};
use support::network::Network;
use support::postgres::{Cluster, Must, client};
use support::s3::{KEY, S3, SECRET};

const DATABASE: &str = "publishing";
const BUCKET: &str = "archive";

struct Options {
    gigabytes: f64,
    mysql: f64,
    rounds: usize,
    only: Option<Vec<String>>,
}

fn options() -> Options {
    let mut options = Options {
        gigabytes: 2.0,
        mysql: 1.5,
        rounds: 3,
        only: None,
    };
    arguments(|name, value| {
        match name {
            "--gb" => options.gigabytes = value.number(),
            "--mysql" => options.mysql = value.number(),
            "--rounds" => options.rounds = value.number(),
            "--only" => options.only = Some(value.list()),
            "--quick" => (options.gigabytes, options.mysql, options.rounds) = (0.1, 0.1, 1),
            _ => return false,
        }
        true
    });
    assert!(options.rounds > 0, "no rounds, no result");
    options
}

fn main() {
    let options = options();
    let wanted = |name: &str| {
        let only = options.only.as_ref();
        only.is_none_or(|only| only.iter().any(|one| one == name))
    };
    let theirs = runs("aws");
    if !theirs {
        println!("without the others: aws is not on the PATH");
    }
    if wanted("postgresql") || wanted("govuk") || wanted("latency") {
        let lab = Postgresql::new(options.gigabytes);
        for form in [Form::Own, Form::Govuk] {
            if wanted(form.or("postgresql")) {
                contest(&lab, "PostgreSQL", form, theirs, options.rounds);
            }
        }
        if wanted("latency") {
            far_away(&lab, options.rounds);
        }
    }
    if wanted("mysql") || wanted("govuk") {
        let lab = Mysql::new(options.mysql);
        for (form, tool) in [(Form::Own, "mydumper"), (Form::Govuk, "mariadb-dump")] {
            let theirs = theirs && runs(tool);
            if wanted(form.or("mysql")) {
                contest(&lab, "MySQL", form, theirs, options.rounds);
            }
        }
    }
}

/// In what form an archive of ours is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Own,
    Govuk,
}

impl Form {
    /// What `--only` calls it.
    fn or(self, store: &'static str) -> &'static str {
        match self {
            Self::Own => store,
            Self::Govuk => "govuk",
        }
    }
}

/// A store with both ways of getting its data into a bucket and out of it.
trait Lab {
    const KIND: &'static str;
    fn s3(&self) -> &Bucket;
    fn source(&self) -> String;
    fn target(&self) -> String;
    /// An empty target, and servers at rest.
    fn prepare(&self);
    /// A fast copy of something else is no copy.
    fn check(&self);
    /// Theirs, into this folder of the bucket.
    fn push(&self, form: Form, prefix: &str);
    /// And back.
    fn pull(&self, form: Form, prefix: &str);
}

/// A server with a bucket.
struct Bucket {
    server: S3,
    folder: std::path::PathBuf,
}

impl Bucket {
    fn new() -> Self {
        let server = S3::start();
        let folder = server.bucket(BUCKET);
        Self { server, folder }
    }

    fn aws(&self) -> Command {
        let mut aws = Command::new("aws");
        aws.args(["--endpoint-url", &self.server.endpoint()])
            .args(["--region", "us-east-1", "s3", "cp", "--quiet"])
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        aws
    }

    /// Our archive, as a job's file has it.
    fn archive(endpoint: &str, prefix: &str, form: Form) -> String {
        let form = match form {
            Form::Own => String::new(),
            Form::Govuk => format!("format = \"govuk\", database = \"{DATABASE}\", "),
        };
        format!(
            "{{ url = \"s3://{BUCKET}/{prefix}\", {form}endpoint = {}, access_key_id = {}, secret_access_key = {{ command = [\"echo\", {}] }} }}",
            toml(endpoint),
            toml(KEY),
            toml(SECRET)
        )
    }

    fn clear(&self) {
        let _ = std::fs::remove_dir_all(self.folder.join("ours"));
        let _ = std::fs::remove_dir_all(self.folder.join("theirs"));
    }
}

fn ours<L: Lab>(lab: &L, endpoint: &str, form: Form, pull: bool) -> Cost {
    let archive = Bucket::archive(endpoint, "ours", form);
    let job = if pull {
        Job::new(L::KIND, &archive, &toml(&lab.target()))
    } else {
        Job::new(L::KIND, &toml(&lab.source()), &archive)
    };
    once(&job, None)
}

fn timed(work: impl FnOnce()) -> Cost {
    let started = Instant::now();
    work();
    Cost {
        seconds: started.elapsed().as_secs_f64(),
        ..Cost::default()
    }
}

fn contest<L: Lab>(lab: &L, store: &str, form: Form, theirs: bool, rounds: usize) {
    let name = match form {
        Form::Own => store.to_owned(),
        Form::Govuk => format!("{store}, format = \"govuk\""),
    };
    let endpoint = lab.s3().server.endpoint();
    let [mut their_push, mut their_pull, mut our_push, mut our_pull] = [(); 4].map(|()| Vec::new());
    let (mut their_size, mut our_size) = (0, 0);
    for round in 1..=rounds {
        lab.s3().clear();
        if theirs {
            lab.prepare();
            their_push.push(timed(|| lab.push(form, "theirs")));
            their_size = size_of_tree(&lab.s3().folder.join("theirs"));
            lab.prepare();
            their_pull.push(timed(|| lab.pull(form, "theirs")));
            lab.check();
        }
        lab.prepare();
        our_push.push(ours(lab, &endpoint, form, false));
        our_size = size_of_tree(&lab.s3().folder.join("ours"));
        lab.prepare();
        our_pull.push(ours(lab, &endpoint, form, true));
        lab.check();
        let last = |all: &[Cost]| all.last().map_or(f64::NAN, |cost| cost.seconds);
        println!(
            "{name}, round {round}: push {:.1} s, theirs {:.1} s; pull {:.1} s, theirs {:.1} s",
            last(&our_push),
            last(&their_push),
            last(&our_pull),
            last(&their_pull)
        );
    }
    println!("\n{name}     envsyncd     theirs / envsyncd   peak memory");
    for (way, ours, theirs) in [
        ("push", &our_push, &their_push),
        ("pull", &our_pull, &their_pull),
    ] {
        let seconds = median(ours.iter().map(|cost| cost.seconds).collect());
        let resident = ours
            .iter()
            .filter_map(|cost| cost.own)
            .map(|own| own.resident)
            .max();
        let ratio = if theirs.is_empty() {
            "-".to_owned()
        } else {
            let each = theirs
                .iter()
                .zip(ours)
                .map(|(theirs, ours)| theirs.seconds / ours.seconds);
            format!("{:.2}", median(each.collect()))
        };
        println!(
            "{way:12} {seconds:6.1} s {ratio:>20} {:>13}",
            mebibytes(resident.unwrap_or(0))
        );
    }
    println!(
        "stored: {}, theirs {}\n",
        mebibytes(our_size),
        mebibytes(their_size)
    );
}

/// Our own push and pull through a network with latency, and without.
fn far_away<L: Lab>(lab: &L, rounds: usize) {
    let network = Network::before(&lab.s3().server.address());
    let mut ratios = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (pull, ratios) in [false, true].into_iter().zip(&mut ratios) {
            let mut seconds = [0.0; 2];
            // Through the same network, so that it is latency alone that makes the difference.
            for (latency, seconds) in [0, 30].into_iter().zip(&mut seconds) {
                network.latency(Duration::from_millis(latency));
                lab.prepare();
                if !pull {
                    lab.s3().clear();
                }
                *seconds = ours(lab, &network.endpoint(), Form::Own, pull).seconds;
            }
            println!(
                "latency, round {round}: {} {:.1} s, with 30 ms {:.1} s",
                if pull { "pull" } else { "push" },
                seconds[0],
                seconds[1]
            );
            ratios.push(seconds[1] / seconds[0]);
        }
    }
    let [push, pull] = ratios.map(median);
    println!("with 30 ms of latency: push {push:.2} times as long, pull {pull:.2} times\n");
}

struct Postgresql {
    source: Cluster,
    target: Cluster,
    bucket: Bucket,
    rows: String,
}

const ROWS: &str = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM documents), (SELECT count(*) FROM editions), (SELECT count(*) FROM links), (SELECT count(*) FROM events)";

impl Postgresql {
    fn new(gigabytes: f64) -> Self {
        let (source, target) = (servers::postgresql().start(), servers::postgresql().start());
        source.create_db(DATABASE);
        let sql = include_str!("make-database.sql").replace(":scale", &gigabytes.to_string());
        source.psql(DATABASE, &sql);
        let rows = source.psql(DATABASE, ROWS);
        let size = source.psql(
            DATABASE,
            "SELECT pg_size_pretty(pg_database_size(current_database()))",
        );
        println!("made a PostgreSQL database of {size}");
        Self {
            source,
            target,
            bucket: Bucket::new(),
            rows,
        }
    }
}

impl Lab for Postgresql {
    const KIND: &'static str = "postgresql";

    fn s3(&self) -> &Bucket {
        &self.bucket
    }

    fn source(&self) -> String {
        self.source.url("postgres", DATABASE)
    }

    fn target(&self) -> String {
        self.target.url("postgres", DATABASE)
    }

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

    fn check(&self) {
        assert_eq!(self.target.psql(DATABASE, ROWS), self.rows);
        let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'";
        assert_eq!(
            self.target.psql(DATABASE, indexes),
            self.source.psql(DATABASE, indexes)
        );
    }

    fn push(&self, _form: Form, prefix: &str) {
        let mut dump = client("pg_dump")
            .args(["-Fc", "-Z1", "-d", &self.source()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("pg_dump");
        self.bucket
            .aws()
            .args(["-", &format!("s3://{BUCKET}/{prefix}/dump")])
            .stdin(dump.stdout.take().expect("piped"))
            .must("aws");
        assert!(dump.wait().expect("our child").success(), "pg_dump failed");
    }

    fn pull(&self, _form: Form, prefix: &str) {
        let mut download = self
            .bucket
            .aws()
            .args([&format!("s3://{BUCKET}/{prefix}/dump"), "-"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("aws");
        let mut restore = client("pg_restore")
            .args(["-f", "-"])
            .stdin(download.stdout.take().expect("piped"))
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
                &self.target(),
            ])
            .stdin(restore.stdout.take().expect("piped"))
            .must("psql");
        assert!(
            restore.wait().expect("our child").success(),
            "pg_restore failed"
        );
        assert!(download.wait().expect("our child").success(), "aws failed");
    }
}

struct Mysql {
    source: support::mysql::Server,
    target: support::mysql::Server,
    bucket: Bucket,
    rows: String,
}

const CHECKSUMS: &str = "CHECKSUM TABLE users, documents, editions, links, events";

impl Mysql {
    fn new(gigabytes: f64) -> Self {
        let (source, target) = (servers::mariadb().start(), servers::mariadb().start());
        source.create_db(DATABASE);
        source.sql(DATABASE, &contest::large_tables(gigabytes));
        let rows = source.sql(DATABASE, CHECKSUMS);
        println!("made a MariaDB database of about {gigabytes} GB");
        Self {
            source,
            target,
            bucket: Bucket::new(),
            rows,
        }
    }

    /// As GOV.UK's script does it.
    fn push_sql(&self, prefix: &str) {
        let script = "set -o pipefail; mariadb-dump --no-defaults -u root -S \"$1\" \"$2\" | gzip";
        let mut dump = Command::new("bash")
            .args(["-c", script, "dump"])
            .arg(self.source.socket())
            .arg(DATABASE)
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        self.bucket
            .aws()
            .args(["-", &format!("s3://{BUCKET}/{prefix}/dump.gz")])
            .stdin(dump.stdout.take().expect("piped"))
            .must("aws");
        assert!(dump.wait().expect("our child").success(), "the dump failed");
    }

    fn pull_sql(&self, prefix: &str) {
        let mut download = self
            .bucket
            .aws()
            .args([&format!("s3://{BUCKET}/{prefix}/dump.gz"), "-"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("aws");
        let script = "set -o pipefail; gunzip | mariadb --no-defaults -u root -S \"$1\" \"$2\"";
        Command::new("bash")
            .args(["-c", script, "restore"])
            .arg(self.target.socket())
            .arg(DATABASE)
            .stdin(download.stdout.take().expect("piped"))
            .must("mariadb");
        assert!(download.wait().expect("our child").success(), "aws failed");
    }

    fn with_directory(work: impl FnOnce(&Path)) {
        let place = tempfile::tempdir().expect("a directory");
        work(&place.path().join("dump"));
    }
}

impl Lab for Mysql {
    const KIND: &'static str = "mysql";

    fn s3(&self) -> &Bucket {
        &self.bucket
    }

    fn source(&self) -> String {
        self.source.url("root", DATABASE)
    }

    fn target(&self) -> String {
        self.target.url("root", DATABASE)
    }

    fn prepare(&self) {
        for name in self.target.databases() {
            let name = support::mysql::quote(&name);
            self.target.sql("", &format!("DROP DATABASE {name}"));
        }
        self.target.create_db(DATABASE);
    }

    fn check(&self) {
        assert_eq!(self.target.sql(DATABASE, CHECKSUMS), self.rows);
    }

    fn push(&self, form: Form, prefix: &str) {
        if form == Form::Govuk {
            return self.push_sql(prefix);
        }
        Self::with_directory(|directory| {
            Command::new("mydumper")
                .args([
                    "-t",
                    "2",
                    "--compress",
                    "-G",
                    "-E",
                    "-R",
                    "-u",
                    "root",
                    "-B",
                    DATABASE,
                ])
                .arg("-S")
                .arg(self.source.socket())
                .arg("-o")
                .arg(directory)
                .must("mydumper");
            self.bucket
                .aws()
                .arg("--recursive")
                .arg(directory)
                .arg(format!("s3://{BUCKET}/{prefix}"))
                .must("aws");
        });
    }

    fn pull(&self, form: Form, prefix: &str) {
        if form == Form::Govuk {
            return self.pull_sql(prefix);
        }
        Self::with_directory(|directory| {
            self.bucket
                .aws()
                .arg("--recursive")
                .arg(format!("s3://{BUCKET}/{prefix}"))
                .arg(directory)
                .must("aws");
            Command::new("myloader")
                .args(["-t", "2", "-u", "root", "-B", DATABASE, "-o"])
                .arg("-S")
                .arg(self.target.socket())
                .arg("-d")
                .arg(directory)
                .must("myloader");
        });
    }
}
