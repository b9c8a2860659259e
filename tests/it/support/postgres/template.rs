//! What a cluster starts from: a directory of initdb's, made once of each kind, since that takes as long as a test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use super::{Cluster, Must};

/// Whose programs, and initdb's options.
type Kind = (Option<PathBuf>, &'static [&'static str]);

/// Gives a cluster's place its data directory.
pub(super) fn fill(cluster: &Cluster, options: &'static [&'static str]) {
    static ALL: Mutex<BTreeMap<Kind, Arc<OnceLock<Cluster>>>> = Mutex::new(BTreeMap::new());
    let kind = (cluster.programs.clone(), options);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let template = Arc::clone(all.entry(kind).or_default());
    drop(all);
    let template = template.get_or_init(|| make(cluster.programs.clone(), options));
    Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(template.data())
        .arg(&cluster.root)
        .must("cp");
    give_identity(&cluster.data());
}

/// On the disk: what is read often is in memory anyway.
fn make(programs: Option<PathBuf>, options: &[&str]) -> Cluster {
    let mut template = Cluster::empty_place(Path::new("/tmp"), false);
    template.programs = programs;
    template
        .tool("initdb")
        .args(["--no-sync", "--no-instructions", "--username=postgres"])
        .arg("--wal-segsize=1")
        .args(["--locale=C.UTF-8", "--encoding=UTF8"])
        .args(options)
        .arg("--pgdata")
        .arg(template.data())
        .must("initdb");
    template
}

/// A system identifier of its own, as initdb gives each: envsyncd tells servers apart by it. It is in the control file and
/// at the begin of each segment of the log (`ControlFileData` and `XLogLongPageHeaderData` in PostgreSQL's source).
fn give_identity(data: &Path) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.expect("after 1970").as_secs();
    let number = (u64::from(std::process::id()) << 16) | NEXT.fetch_add(1, Ordering::Relaxed);
    let identity = ((seconds << 32) | (number & 0xffff_ffff)).to_ne_bytes();

    let path = data.join("global/pg_control");
    let mut control = fs::read(&path).expect("initdb made it");
    let end = end_of(&control).expect("a sum ends what the control file says");
    control[..8].copy_from_slice(&identity);
    let sum = control[..end].iter().fold(!0, |sum, byte| add(sum, *byte));
    control[end..end + 4].copy_from_slice(&u32::to_ne_bytes(!sum));
    fs::write(path, control).expect("a file of the cluster");

    for segment in fs::read_dir(data.join("pg_wal")).expect("initdb made it") {
        let segment = segment.expect("initdb made it").path();
        if segment.is_file() {
            let file = fs::OpenOptions::new().write(true).open(segment);
            let written = file.and_then(|file| file.write_all_at(&identity, 24));
            written.expect("a file of the cluster");
        }
    }
}

/// Where the control file's own sum is: it follows what it is of, whose length is each version's own.
fn end_of(control: &[u8]) -> Option<usize> {
    let mut sum = !0;
    (0..control.len().min(512) - 4).find(|&at| {
        let found = at >= 8 && control[at..at + 4] == u32::to_ne_bytes(!sum);
        sum = add(sum, control[at]);
        found
    })
}

/// One byte more in a CRC-32C.
fn add(sum: u32, byte: u8) -> u32 {
    (0..8).fold(sum ^ u32::from(byte), |sum, _| {
        (sum >> 1) ^ ((sum & 1) * 0x82f6_3b78)
    })
}

#[test]
fn clusters_of_one_kind_have_identities_of_their_own_and_are_whole() {
    let asked = "SELECT system_identifier FROM pg_control_system()";
    let identities: std::collections::BTreeSet<String> = (0..3)
        .map(|_| {
            let cluster = Cluster::builder().start();
            let before = cluster.psql("postgres", asked);
            // The log is read again, and written on.
            cluster.psql("postgres", "CREATE TABLE a AS SELECT 'kept' AS b");
            cluster.crash();
            cluster.start_again();
            assert_eq!(cluster.psql("postgres", "SELECT b FROM a"), "kept");
            assert_eq!(cluster.psql("postgres", asked), before);
            before
        })
        .collect();
    assert_eq!(identities.len(), 3);
    assert_eq!(
        !b"123456789".iter().fold(!0, |sum, byte| add(sum, *byte)),
        0xe306_9283
    );
}
