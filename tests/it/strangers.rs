//! What others may write, what lies in wait for us, and what others could write of what we make.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::daemon::House;
use crate::support::job::{Bed, Job, toml};

/// Whoever it is: nobody that this machine has to know.
const STRANGER: u32 = 4_000_001;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

/// A copy of one file, with a hook and a script.
fn files(bed: &Bed) -> Job {
    Connection::open(bed.path("source.db"))
        .and_then(|source| source.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)"))
        .expect("a source");
    let hook = bed.path("hook");
    fs::write(&hook, "#!/bin/sh\n").expect("a file");
    mode(&hook, 0o755);
    bed.file("after.sql", "UPDATE t SET a = 2;");
    let url = |file: &str| format!("sqlite://{}", bed.path(file).display());
    Job::between("sqlite", &url("source.db"), &url("target.db"))
        .task("scripts = [\"after.sql\"]")
        .hooks(&format!(
            "after_publish = [{}]",
            toml(hook.to_str().expect("text"))
        ))
}

#[test]
fn root_goes_by_nothing_that_others_may_write() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let job = bed.job("app", &files(&bed));
    let config = bed.path("envsyncd.toml");
    fs::write(&config, "env_dir = \"env.d\"\njob_dir = \"jobs\"\n").expect("a file");
    fs::create_dir(bed.path("env.d")).expect("a directory");
    fs::write(bed.path("env.d/NAME"), "x").expect("a file");
    let once = || {
        let mut command = bed.command();
        command.arg("--config").arg(&config);
        bed.spawn(command.args(["--once", "-f"]).arg(&job)).end()
    };
    once().expect(0);
    for (name, code) in [
        ("jobs/app.toml", 2),
        ("envsyncd.toml", 2),
        ("jobs/after.sql", 2),
        ("env.d", 2),
        ("env.d/NAME", 1),
        ("hook", 1),
        ("jobs", 2),
        ("state", 1),
        ("status", 1),
        ("lock", 1),
    ] {
        let path = bed.path(name);
        let usual = fs::metadata(&path).expect("it is there").mode() & 0o7777;
        mode(&path, usual | 0o002);
        let advice = format!("chmod o-w {}", path.display());
        once().expect(code).says(&[&advice, "root does not"]);
        mode(&path, usual);
        if name.contains('.') || name == "hook" {
            chown(&path, Some(STRANGER), None).expect("chown");
            let advice = format!("chown root {}", path.display());
            once().expect(code).says(&[&advice, "root does not"]);
            chown(&path, Some(0), None).expect("chown");
        }
        once().expect(0);
    }
    // By hand, over the directories of the service's user.
    mode(&bed.path(""), 0o755);
    let mut theirs = everything(&bed.path("state"));
    theirs.extend(everything(&bed.path("lock")));
    theirs.extend(everything(&bed.path("status")));
    theirs.extend(["state", "status", "lock"].map(|name| bed.path(name)));
    for path in &theirs {
        chown(path, Some(STRANGER), Some(STRANGER)).expect("chown");
    }
    once().expect(0);
    bed.run(&["status"]).expect(0).says(&["app"]);
    for path in everything(&bed.path("state"))
        .iter()
        .chain(&everything(&bed.path("status")))
    {
        let found = fs::metadata(path).expect("it is there");
        assert_eq!(found.uid(), STRANGER, "{}", path.display());
    }
    // Root's daemon would start what is in there.
    let mut command = bed.command();
    command.arg("--config").arg(&config).arg("daemon");
    let daemon = bed.spawn(&mut command).end();
    daemon.expect(2).says(&["belongs to", "chown root "]);
}

/// As the package has it: the daemon's user writes job files, and root looks at them.
#[test]
fn root_reads_jobs_that_the_daemons_user_has_written_and_runs_none_of_them() {
    if !is_root() {
        return;
    }
    let house = House::new("");
    let settings = "job_dir = \"jobs\"\nmanaged_job_dir = \"managed\"\n[environments.production]\n[environments.staging]\n\
                    parent = \"production\"\n[endpoints.a]\nenvironment = \"production\"\nurl = \"sqlite:source.db\"\n\
                    [endpoints.b]\nenvironment = \"staging\"\nurl = \"sqlite:target.db\"\n";
    house.raw_settings(settings);
    mode(&house.bed.path(""), 0o755);
    let managed = house.bed.path("managed");
    fs::create_dir(&managed).expect("a directory");
    let job = "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"sqlite\"\nsource = \"a\"\ntarget = \"b\"\n";
    let file = managed.join("app.toml");
    fs::write(&file, job).expect("a file");
    // What it may not read itself, it has root read no more than that.
    let secret = house.bed.path("secret.toml");
    fs::write(&secret, "geheim = 1\n").expect("a file");
    mode(&secret, 0o600);
    for name in ["link.toml", "hard.toml"] {
        let wait = managed.join(name);
        if name == "link.toml" {
            symlink(&secret, &wait).expect("a link");
        } else {
            fs::hard_link(&secret, &wait).expect("a link");
        }
    }
    for path in [&managed, &file] {
        chown(path, Some(STRANGER), Some(STRANGER)).expect("chown");
    }
    let only = file.to_str().expect("text");
    house
        .run(&["validate", "-f", only])
        .expect(0)
        .says(&["app.toml: ok"]);
    house.run(&["status"]).expect(0).says(&["app"]);
    let all = house.run(&["validate"]).expect(2);
    let said = format!("{}{}", all.stdout, all.stderr);
    assert!(!said.contains("geheim"), "{said}");
    all.says(&["app.toml: ok", "link.toml: INVALID", "hard.toml: INVALID"]);
    for verb in [
        ["--once", "-f", only],
        ["plan", "-f", only],
        ["scan", "-f", only],
    ] {
        house
            .run(&verb)
            .expect(2)
            .says(&["belongs to", "envsyncd trigger app"]);
    }
    assert!(!house.bed.path("target.db").exists());
    // Nobody else may write there.
    mode(&managed, 0o777);
    house
        .run(&["validate"])
        .expect(2)
        .says(&["managed_job_dir", "chmod go-w"]);
}

/// All files below a directory.
fn everything(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(everything(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn a_link_that_lies_in_wait_is_not_written_through() {
    let mut house = House::new("");
    house.raw_settings(&format!(
        "job_dir = \"jobs\"\n[reboot_lock]\ninhibit = false\ndirectory = {}\n[metrics]\ntextfile = {}\n",
        toml(house.bed.path("reboot").to_str().expect("text")),
        toml(house.bed.path("metrics.prom").to_str().expect("text")),
    ));
    fs::create_dir(house.bed.path("reboot")).expect("a directory");
    house.job("a");
    let once =
        |house: &House| house.run(&["--once", "-f", house.file("a").to_str().expect("text")]);
    let daemon = |house: &mut House| {
        // It ends by itself if it cannot do its work.
        let times =
            |house: &House| house.times_said("daemon is ready") + house.times_said("daemon ends");
        let before = times(house);
        house.launch();
        house.until("the daemon was ready or gone", |house| {
            times(house) > before
        });
        house.stop();
    };
    once(&house).expect(0);
    daemon(&mut house);
    let mut written = Vec::new();
    for directory in ["state", "status", "lock"] {
        written.extend(everything(&house.bed.path(directory)));
    }
    written.extend(["metrics.prom", "reboot/a"].map(|name| house.bed.path(name)));
    written.retain(|path| !path.is_dir());
    let names = written.len();
    assert!(names >= 7, "{written:?}");
    let victim = house.bed.path("victim");
    for path in written {
        fs::write(&victim, "theirs").expect("a file");
        let before = fs::read(&path).ok();
        let _ = fs::remove_file(&path);
        symlink(&victim, &path).expect("a link");
        once(&house);
        if path.starts_with(house.bed.path("state")) {
            daemon(&mut house);
        }
        let left = fs::read_to_string(&victim).expect("it is there");
        assert_eq!(left, "theirs", "{}", path.display());
        let _ = fs::remove_file(&path);
        if let Some(before) = before {
            fs::write(&path, before).expect("as it was");
        }
    }
}

#[test]
fn nothing_that_is_made_under_umask_0_can_be_written_by_others() {
    let bed = Bed::new();
    let job = bed.job("app", &files(&bed));
    let made = |name: &str| bed.path("new").join(name);
    fs::create_dir(bed.path("archive")).expect("a directory");
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "umask 0; exec \"$0\" \"$@\""])
        .arg(crate::support::job::BINARY)
        .args(["--once", "-f"])
        .arg(&job)
        .env("ENVSYNCD_STATE_DIR", made("state"))
        .env("ENVSYNCD_STATUS_DIR", made("status"))
        .env("ENVSYNCD_LOCK_DIR", made("lock"));
    bed.spawn(&mut command).end().expect(0);
    let all = everything(&bed.path("new"));
    assert!(all.len() >= 6, "{all:?}");
    for path in all {
        let mode = fs::metadata(&path).expect("it is there").mode() & 0o7777;
        assert_eq!(mode & 0o022, 0, "{}: {mode:o}", path.display());
    }
}
