//! Contenders side by side: what each run cost, round by round, and the table at the end.

pub(crate) mod servers;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::job::{Bed, Job};

/// What one run cost.
#[derive(Default)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// Bytes of intermediate files.
    pub(crate) on_disk: u64,
    /// Of the process itself, where it was looked at.
    pub(crate) own: Option<Own>,
}

/// What a process took.
#[derive(Clone, Copy)]
pub(crate) struct Own {
    /// Peak resident memory, in bytes.
    pub(crate) resident: u64,
    /// Seconds of processor time.
    pub(crate) cpu: f64,
    /// Bytes of rows that went through it.
    pub(crate) bytes: u64,
}

/// What comes behind an argument's name.
pub(crate) struct Value<'a> {
    name: &'a str,
    rest: &'a mut dyn Iterator<Item = String>,
}

impl Value<'_> {
    fn text(&mut self) -> String {
        let next = self.rest.next();
        next.unwrap_or_else(|| panic!("{} needs a value", self.name))
    }

    /// A number.
    pub(crate) fn number<T: std::str::FromStr>(&mut self) -> T {
        let text = self.text();
        let parsed = text.parse().ok();
        parsed.unwrap_or_else(|| panic!("{} takes a number, and not {text}", self.name))
    }

    /// Words with commas between.
    pub(crate) fn list(&mut self) -> Vec<String> {
        self.text().split(',').map(str::to_owned).collect()
    }
}

/// Reads the command line: `take` is asked about each argument, and says whether there is such a one.
pub(crate) fn arguments(mut take: impl FnMut(&str, &mut Value<'_>) -> bool) {
    let mut rest = std::env::args().skip(1);
    while let Some(name) = rest.next() {
        let mut value = Value {
            name: &name,
            rest: &mut rest,
        };
        // What cargo itself says.
        assert!(
            name == "--bench" || take(&name, &mut value),
            "unknown argument {name}"
        );
    }
}

/// Whether a program is there.
pub(crate) fn runs(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// The program that a variable of the environment names.
pub(crate) fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|name| !name.is_empty())
}

/// In which order so many contenders run in a round: every other one is the other way round, so that what one leaves to the
/// next (dirty pages, a log to be written out) is not always the same one's to bear.
pub(crate) fn order(round: usize, contenders: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..contenders).collect();
    if round.is_multiple_of(2) {
        all.reverse();
    }
    all
}

/// Medians of all rounds, and ratios to ours.
pub(crate) fn report(names: &[&str], costs: &[Vec<Cost>]) {
    let median_of = |costs: &[Cost]| median(costs.iter().map(|cost| cost.seconds).collect());
    let ours = names.iter().position(|name| *name == "envsyncd");
    println!("\n             median   / envsyncd   on disk   peak memory   processor s/GB");
    for (name, all) in names.iter().zip(costs) {
        // Round by round: what slows a whole round down does not touch its ratios.
        let ratio = ours.map_or_else(String::new, |ours| {
            let each = all.iter().zip(&costs[ours]);
            let ratios = each.map(|(theirs, ours)| theirs.seconds / ours.seconds);
            format!("{:.2}", median(ratios.collect()))
        });
        let on_disk = all.iter().map(|cost| cost.on_disk).max().unwrap_or(0);
        let own: Vec<Own> = all.iter().filter_map(|cost| cost.own).collect();
        let resident = own.iter().map(|own| own.resident).max();
        let cpu = (!own.is_empty()).then(|| {
            let each = own.iter().map(|own| own.cpu / (own.bytes as f64 / 1e9));
            median(each.collect())
        });
        println!(
            "{name:10} {:7.1} s {ratio:>12} {:>9} {:>13} {:>16}",
            median_of(all),
            mebibytes(on_disk),
            resident.map_or_else(|| "-".to_owned(), mebibytes),
            cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2}")),
        );
    }
}

/// The middle one, or the mean of the two.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    if all.len() % 2 == 1 {
        all[middle]
    } else {
        f64::midpoint(all[middle - 1], all[middle])
    }
}

/// Bytes as people read them.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// A run of ours, by another program of ours if there is one.
pub(crate) fn once(job: &Job, program: Option<&str>) -> Cost {
    timed(&Bed::new(), job, program, None)
}

/// Four columns of the largest table: three texts, one of them in JSON, and a time.
const MASKS: &str = "[[task.mask]]
table = \"documents\"
columns = { title = \"text\", body = \"text\", details = { kind = \"json\", paths = { change_note = \"text\" } }, updated_at = \"date_shift\" }";

/// The same with masks.
pub(crate) fn once_masked(job: Job) -> Cost {
    let bed = Bed::new();
    bed.file("mask.key", "a key of the benchmarks that is long enough");
    let key = bed.path("jobs").join("mask.key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("our file");
    let settings = bed.file(
        "envsyncd.toml",
        "[masking]\nkey = { file = \"mask.key\" }\n",
    );
    timed(&bed, &job.task(MASKS), None, Some(&settings))
}

fn timed(bed: &Bed, job: &Job, program: Option<&str>, settings: Option<&Path>) -> Cost {
    let temporary = bed.path("tmp");
    fs::create_dir(&temporary).expect("a directory");
    let job = bed.job("bench", job);
    let ours = bed.command();
    let mut command = match program {
        None => ours,
        Some(program) => {
            let mut other = Command::new(program);
            other.args(ours.get_args());
            for (name, value) in ours.get_envs() {
                match value {
                    Some(value) => other.env(name, value),
                    None => other.env_remove(name),
                };
            }
            other
        }
    };
    command
        .env("TMPDIR", &temporary)
        .args(["--once", "-f"])
        .arg(&job);
    if let Some(settings) = settings {
        command.arg("--config").arg(settings);
    }
    let started = Instant::now();
    let mut running = bed.spawn(&mut command);
    let (mut resident, mut cpu, mut on_disk) = (0, 0.0, 0);
    while running.is_running() {
        let pid = running.pid().as_raw();
        resident = resident.max(running.memory("VmHWM:"));
        cpu = processor_time(pid).max(cpu);
        on_disk = on_disk.max(size_of_tree(&temporary));
        std::thread::sleep(Duration::from_millis(10));
    }
    let seconds = started.elapsed().as_secs_f64();
    running.end().expect(0);
    let bytes = bed.status("bench")["tasks"][0]["bytes"].as_u64();
    Cost {
        seconds,
        on_disk,
        own: Some(Own {
            resident,
            cpu,
            bytes: bytes.expect("the status file counts bytes"),
        }),
    }
}

/// Works through a list with two threads.
pub(crate) fn two_at_a_time(list: &[String], work: impl Fn(&str) + Sync) {
    let left = Mutex::new(list.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("no panic").next();
                    let Some(next) = next else { return };
                    work(next);
                }
            });
        }
    });
}

/// User and system time (fields 14 and 15 of `/proc/PID/stat`, proc_pid_stat(5)), in seconds.
fn processor_time(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // USER_HZ is 100 on every machine that Linux runs on today.
    ticks as f64 / 100.0
}

/// All bytes of files below a place.
pub(crate) fn size_of_tree(place: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(place) else {
        return fs::metadata(place).map_or(0, |found| found.len());
    };
    entries
        .flatten()
        .map(|entry| size_of_tree(&entry.path()))
        .sum()
}

/// MySQL's tables whose size grows with what is asked for, each row of them the same at every call.
pub(crate) fn large_tables(gigabytes: f64) -> String {
    [
        ("users", 52_000.0),
        ("documents", 245_000.0),
        ("editions", 480_000.0),
        ("links", 1_350_000.0),
        ("events", 820_000.0),
    ]
    .into_iter()
    .fold(
        include_str!("../make-mysql-database.sql").to_owned(),
        |sql, (table, rows)| {
            let rows = f64::max(rows * gigabytes, 20.0);
            sql.replace(&format!(":{table}"), &format!("{rows:.0}"))
        },
    )
}
