//! Trees of files by envsyncd, beside `rsync -a` and `cp`.
//!
//! `cargo bench --bench files`, with `-- --quick` for a tenth of the files and `-- --rounds N`. Each round gives every contender
//! the same: a first copy of 100,000 files of 4 kB; the same again, where nothing has changed; once one file in a hundred has;
//! and a first copy of 2 GB in 20 files. Nothing of theirs has to reach the disk, nor is it read back; all of ours does, and is
//! held against the source. Each round's copies go to new directories, and small ones are removed at the very end: ext4 is slow
//! to give out inodes again that were freed a moment ago, to whoever asks next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One who copies.
#[derive(Clone, Copy, PartialEq)]
enum Contender {
    Envsyncd,
    Rsync,
    Cp,
}

/// What is copied.
struct Case {
    name: &'static str,
    rivals: &'static [Contender],
    is_changed: bool,
    is_large: bool,
}

const CASES: [Case; 4] = [
    Case {
        name: "100,000 small files, first copy",
        rivals: &[Contender::Rsync, Contender::Cp],
        is_changed: false,
        is_large: false,
    },
    Case {
        name: "the same, nothing changed",
        rivals: &[Contender::Rsync],
        is_changed: false,
        is_large: false,
    },
    Case {
        name: "the same, 1 % changed",
        rivals: &[Contender::Rsync],
        is_changed: true,
        is_large: false,
    },
    Case {
        name: "2 GB in 20 files, first copy",
        rivals: &[Contender::Rsync, Contender::Cp],
        is_changed: false,
        is_large: true,
    },
];

struct Bench {
    directory: tempfile::TempDir,
    files: usize,
    size: usize,
    /// Most resident memory of envsyncd, in KiB.
    memory: u64,
    changes: usize,
    round: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let rounds = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = rounds
        .and_then(|place| arguments.get(place + 1)?.parse().ok())
        .unwrap_or(5);
    let mut bench = Bench::new(
        if is_quick { 10_000 } else { 100_000 },
        if is_quick { 10 << 20 } else { 100 << 20 },
    );
    println!(
        "{} files of 4 kB, 20 of {} MiB, {rounds} rounds",
        bench.files,
        bench.size >> 20
    );
    let mut ratios: Vec<Vec<(Contender, f64, f64)>> = CASES.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        bench.begin(round);
        for (case, ratios) in CASES.iter().zip(&mut ratios) {
            if case.is_changed {
                bench.change();
            }
            let mut all = vec![Contender::Envsyncd];
            all.extend(case.rivals);
            if round % 2 == 1 {
                all.reverse();
            }
            let times: Vec<(Contender, f64)> = (all.into_iter())
                .map(|contender| (contender, bench.time(case, contender)))
                .collect();
            let ours = times.iter().find(|(who, _)| *who == Contender::Envsyncd);
            let ours = ours.expect("it ran").1;
            ratios.extend(times.iter().map(|(who, time)| (*who, *time, time / ours)));
        }
    }
    for (case, ratios) in CASES.iter().zip(&ratios) {
        println!("{}", case.name);
        for who in [Contender::Envsyncd, Contender::Rsync, Contender::Cp] {
            let of = |value: fn(&(Contender, f64, f64)) -> f64| {
                let values = ratios.iter().filter(|(one, ..)| *one == who);
                median(values.map(value).collect())
            };
            if let (Some(time), Some(ratio)) = (of(|it| it.1), of(|it| it.2)) {
                println!("  {:<10}{time:>8.2} s{ratio:>8.2}", who.name());
            }
        }
    }
    println!("most resident memory: {} MiB", bench.memory >> 10);
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Self::Envsyncd => "envsyncd",
            Self::Rsync => "rsync -a",
            Self::Cp => "cp -a",
        }
    }
}

impl Bench {
    fn new(files: usize, size: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let small = directory.path().join("small");
        let mut content = vec![0_u8; 4096];
        for number in 0..files {
            let inside = small.join(format!("{:03}", number / 500));
            if number % 500 == 0 {
                fs::create_dir_all(&inside).expect("a directory");
            }
            fill(&mut content, number as u64);
            fs::write(inside.join(format!("file-{number}.txt")), &content).expect("a file");
        }
        let large = directory.path().join("large");
        fs::create_dir(&large).expect("a directory");
        let mut content = vec![0_u8; size];
        for number in 0..20 {
            fill(&mut content, number);
            fs::write(large.join(format!("{number}.bin")), &content).expect("a file");
        }
        let bench = Self {
            directory,
            files,
            size,
            memory: 0,
            changes: 0,
            round: 0,
        };
        fs::create_dir_all(bench.path("to")).expect("a directory");
        let settings = "[priority]\nnice = 0\nio_class = \"none\"\n";
        fs::write(bench.path("envsyncd.toml"), settings).expect("settings");
        bench
    }

    fn begin(&mut self, round: usize) {
        self.round = round;
        for name in ["small", "large"] {
            self.write_job(name);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_job(&self, name: &str) {
        let round = self.round;
        let text = format!(
            "from = \"production\"\nto = \"staging\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n[[task]]\nkind = \"files\"\nmode = \"replace\"\nsource = \"dir:{name}\"\ntarget = \"dir:to/envsyncd-{name}-{round}\"\n"
        );
        fs::write(self.path(&format!("{name}.toml")), text).expect("a job");
    }

    /// One file in a hundred gets other content.
    fn change(&mut self) {
        self.changes += 1;
        let mut content = vec![0_u8; 4096];
        for number in (0..self.files).step_by(100) {
            fill(&mut content, (self.changes * self.files + number) as u64);
            let inside = self.path("small").join(format!("{:03}", number / 500));
            fs::write(inside.join(format!("file-{number}.txt")), &content).expect("a file");
        }
    }

    /// Seconds that one takes.
    fn time(&mut self, case: &Case, who: Contender) -> f64 {
        let name = if case.is_large { "large" } else { "small" };
        let word = match who {
            Contender::Envsyncd => "envsyncd",
            Contender::Rsync => "rsync",
            Contender::Cp => "cp",
        };
        let to = self
            .path("to")
            .join(format!("{word}-{name}-{}", self.round));
        // What others have written does not count for this one.
        rustix::fs::sync();
        let from = self.path(name);
        let mut command = match who {
            Contender::Envsyncd => self.envsyncd(name),
            Contender::Rsync => {
                let mut command = Command::new("rsync");
                command.args(["-a", "--delete"]);
                command.arg(format!("{}/", from.display())).arg(&to);
                command
            }
            Contender::Cp => {
                let mut command = Command::new("cp");
                command.args(["-a", "--reflink=never"]).arg(&from).arg(&to);
                command
            }
        };
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).spawn().expect("it starts");
        let mut peak = 0;
        let status = loop {
            if let Some(status) = child.try_wait().expect("our child") {
                break status;
            }
            peak = peak.max(resident(child.id()));
            std::thread::sleep(Duration::from_millis(2));
        };
        let time = started.elapsed().as_secs_f64();
        assert!(status.success(), "{word}");
        if who == Contender::Envsyncd {
            self.memory = self.memory.max(peak);
        }
        assert_eq!(count(&to), count(&from), "{word}");
        if case.is_large {
            for end in ["", ".envsyncd"] {
                let _ = fs::remove_dir_all(PathBuf::from(format!("{}{end}", to.display())));
            }
        }
        time
    }

    fn envsyncd(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsyncd"));
        command
            .args(["-qq", "--config"])
            .arg(self.path("envsyncd.toml"))
            .args(["--once", "-f"])
            .arg(self.path(&format!("{name}.toml")))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for directory in ["STATE", "STATUS", "LOCK"] {
            let path = self.path(&directory.to_lowercase());
            fs::create_dir_all(&path).expect("a directory");
            command.env(format!("ENVSYNCD_{directory}_DIR"), path);
        }
        command
    }
}

/// Content that no other file has and nobody compresses.
fn fill(content: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for bytes in content.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.copy_from_slice(&state.to_le_bytes()[..bytes.len()]);
    }
}

fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                count(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

/// The most resident memory of a process so far, in KiB (`VmHWM` in proc_pid_status(5)).
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
