//! Hooks, as an operator meets them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;

use crate::support::job::{Bed, Job, Running};
use crate::support::wait_until;

struct Scene {
    bed: Bed,
}

impl Scene {
    fn new() -> Self {
        let bed = Bed::new();
        for (name, word) in [("source.db", "new"), ("target.db", "old")] {
            let file = Connection::open(bed.path(name)).unwrap();
            file.execute_batch(&format!(
                "CREATE TABLE t (a); INSERT INTO t VALUES ('{word}')"
            ))
            .unwrap();
        }
        Self { bed }
    }

    fn job(&self, hooks: &str) -> std::path::PathBuf {
        let url = |name: &str| format!("sqlite://{}", self.bed.path(name).display());
        let job = Job::between("sqlite", &url("source.db"), &url("target.db")).hooks(hooks);
        self.bed.job("app", &job)
    }

    fn live(&self) -> String {
        let file = Connection::open(self.bed.path("target.db")).unwrap();
        file.query_row("SELECT a FROM t", [], |row| row.get(0))
            .unwrap()
    }
}

#[test]
fn a_hook_whose_program_is_missing_is_found_before_anything_is_copied() {
    let scene = Scene::new();
    for key in ["maintenance_on", "maintenance_off", "after_publish"] {
        let off = if key == "maintenance_on" {
            "maintenance_off = [\"true\"]"
        } else {
            ""
        };
        let job = scene.job(&format!("{key} = [\"/nonexistent/hook\", \"x\"]\n{off}"));
        let says = [
            &format!("hook {key} (`/nonexistent/hook`) is not there") as &str,
            "check the program's path",
        ];
        let invalid = scene.bed.with_file("validate", &job).expect(2).says(&says);
        // With its place in the file.
        invalid.says(&["app.toml:", &format!("key: hooks.{key}")]);
        scene.bed.with_file("plan", &job).expect(1).says(&says);
        let failed = scene.bed.once(&job).expect(1).says(&says);
        assert!(!failed.stderr.contains("incoming"), "{}", failed.stderr);
        // What was never turned on is not said to be on.
        assert!(
            !failed.stderr.contains("may still be on"),
            "{}",
            failed.stderr
        );
        assert_eq!(scene.live(), "old");
    }
}

#[test]
fn a_hook_that_prints_without_end_neither_fills_the_history_nor_hides_how_it_ended() {
    let scene = Scene::new();
    let script = "yes hello | head -n 200000; echo the end; echo broken >&2; exit 3";
    let job = scene.job(&format!(
        "after_publish = [\"/bin/sh\", \"-c\", \"{script}\"]"
    ));
    scene
        .bed
        .once(&job)
        .expect(1)
        .says(&["ended with exit code 3: broken", "the end"]);
    let history = std::fs::metadata(scene.bed.path("state/state.db")).unwrap();
    assert!(history.len() < 1_000_000, "{}", history.len());
    let log = scene
        .bed
        .run(&["logs", "app"])
        .expect(0)
        .says(&["left out", "the end"]);
    assert!(
        log.stdout.lines().count() < 1_200,
        "{}",
        log.stdout.lines().count()
    );
}

/// Whatever stood in our environment, or was open in who started us.
#[test]
fn a_program_finds_what_is_documented_and_no_open_file() {
    let scene = Scene::new();
    let found = scene.bed.path("found");
    let script = format!(
        "env | cut -d= -f1 > '{0}'; ls -l /proc/self/fd >> '{0}'",
        found.display()
    );
    let job = scene.job(&format!(
        "after_publish = [\"/bin/sh\", \"-c\", \"{script}\"]"
    ));
    std::fs::create_dir(scene.bed.path("env.d")).unwrap();
    std::fs::write(scene.bed.path("env.d/OF_ENV_DIR"), "x").unwrap();
    let binary = scene.bed.command();
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", "exec 9< /etc/passwd; exec \"$0\" \"$@\""])
        .arg(binary.get_program())
        .args(["--once", "-f"])
        .arg(&job);
    for (name, value) in binary.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .env("ENVSYNCD_ENV_DIR", scene.bed.path("env.d"))
        .env("PGHOSTADDR", "192.0.2.1")
        .env("A_PASSWORD", "hunter2")
        .env("CREDENTIALS_DIRECTORY", "/nonexistent");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found = std::fs::read_to_string(found).unwrap();
    for name in [
        "PATH",
        "OF_ENV_DIR",
        "ENVSYNC_JOB",
        "ENVSYNC_RUN",
        "CREDENTIALS_DIRECTORY",
    ] {
        assert!(found.lines().any(|line| line == name), "{name}: {found}");
    }
    for absent in ["PGHOSTADDR", "A_PASSWORD", "ENVSYNCD_", "CARGO", "passwd"] {
        assert!(!found.contains(absent), "{absent}: {found}");
    }
}

#[test]
fn hooks_are_told_which_tasks_a_run_has() {
    let scene = Scene::new();
    let job = scene.job("after_publish = [\"/bin/sh\", \"-c\", \"echo tasks are $ENVSYNC_TASKS\"]");
    scene.bed.once(&job).expect(0).says(&["tasks are sqlite"]);
}

/// Who stops a unit tells its processes one after another: the hook that wrote its number into `hook` has ended first, and the
/// run is told when it has noticed. Not by the hook's own children: they have a low priority, and a run waits two seconds.
fn tell_after_the_hook(scene: &Scene, running: &Running) {
    let file = scene.bed.path("hook");
    let number = || -> Option<i32> { std::fs::read_to_string(&file).ok()?.trim().parse().ok() };
    wait_until("the hook had ended", || {
        number().is_some_and(|hook| kill(Pid::from_raw(hook), None).is_err())
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    running.signal(Signal::SIGTERM);
}

/// A line of a hook's shell: it writes down its number, in one step.
fn number(scene: &Scene) -> String {
    let file = scene.bed.path("hook");
    format!("echo $$ > '{0}.new'; mv '{0}.new' '{0}'", file.display())
}

#[test]
fn a_run_whose_hook_is_told_to_end_before_itself_is_cancelled_and_not_failed() {
    for first in ["kill -TERM $$", "exit 143"] {
        let scene = Scene::new();
        let off = scene.bed.path("off");
        let told = format!("{}; {first}", number(&scene));
        let job = scene.job(&format!(
            "maintenance_on = [\"/bin/sh\", \"-c\", \"{told}\"]\nmaintenance_off = [\"touch\", \"{}\"]",
            off.display()
        ));
        let running = scene.bed.start(&job);
        tell_after_the_hook(&scene, &running);
        running.end().expect(143).says(&["cancelled by SIGTERM"]);
        assert_eq!(scene.bed.status_text("app", "state"), "cancelled");
        assert!(off.exists(), "maintenance is off");
        assert_eq!(scene.live(), "old");
    }
}

#[test]
fn maintenance_off_that_is_told_to_end_before_the_run_is_called_again() {
    let scene = Scene::new();
    let tried = scene.bed.path("tried");
    let off = scene.bed.path("off");
    let told = format!(
        "test -e {0} && exec touch {1}; touch {0}; {2}; kill -TERM $$",
        tried.display(),
        off.display(),
        number(&scene)
    );
    let job = scene.job(&format!(
        "maintenance_on = [\"false\"]\nmaintenance_off = [\"/bin/sh\", \"-c\", \"{told}\"]"
    ));
    let running = scene.bed.start(&job);
    tell_after_the_hook(&scene, &running);
    running.end().expect(1).says(&["called again"]);
    assert!(off.exists(), "maintenance is off");
}
