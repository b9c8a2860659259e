//! Trees whose files are exchanged one by one, and what they were before: here, and on another machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::trees::{Trees, exact, lines, named};
use crate::support::job::{Bed, Job, Outcome};
use crate::support::{kills, moments};

/// What a task says so that its files are exchanged one by one, and what they were is kept.
const KEEPS: &str = "publish = \"in_place\"\nprevious = \"keep\"\n";
/// The same of a task that makes an exact copy.
const REPLACES: &str = "mode = \"replace\"\nmax_delete = \"95%\"\n";

/// Where live is, and how a job gets there.
pub(super) struct Case<'a> {
    pub(super) trees: &'a Trees,
    pub(super) job: &'a dyn Fn() -> Job,
    /// The folder with what is kept.
    pub(super) folder: PathBuf,
}

impl Case<'_> {
    fn keeps(&self) -> Job {
        (self.job)().task(KEEPS)
    }

    fn replaces(&self) -> Job {
        self.keeps().task(REPLACES)
    }

    fn exact(&self) -> Vec<String> {
        exact(&self.trees.live(""))
    }

    fn rollback(&self, job: &Job) -> Outcome {
        let bed = &self.trees.bed;
        bed.with_file("rollback", &bed.job("app", job))
    }

    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().expect("text"));
        let mut names: Vec<String> = names
            .filter(|name| name != "mark.json" && name != "lock")
            .collect();
        names.sort();
        names
    }

    /// How far something has come that was cut short; `None`: it has changed nothing.
    fn state(&self, begins: &str) -> Option<String> {
        let mut names = self.beside();
        names.retain(|name| name.starts_with(begins));
        fs::read_to_string(self.folder.join(names.pop()?).join("state")).ok()
    }
}

fn set_time(path: &std::path::Path, ago: u64) {
    let then = SystemTime::now() - Duration::from_secs(ago) + Duration::from_nanos(7);
    let file = fs::File::open(path).expect("it");
    file.set_modified(then).expect("a time");
}

/// A live tree with all that a run changes, and a source.
fn fill(trees: &Trees) {
    trees.write(&[
        "source/same=same",
        "source/changed=new",
        "source/d/e/changed=new",
        "source/d/new=new",
        "source/made/deep/er/file=new",
        "source/was-a-file/inside/it=new",
        "source/was-a-link=a file now",
        "source/kept/x=new",
        "live/same=same",
        "live/changed=old",
        "live/d/e/changed=old",
        "live/d/gone=old",
        "live/was-a-file=old",
        "live/gone/with/all=old",
        "live/gone/in=old",
        "live/kept/deep/y.log=mine",
        "live/kept/deep/old=old",
    ]);
    symlink("changed", trees.live("was-a-link")).expect("a link");
    symlink("nowhere", trees.live("gone/link")).expect("a link");
    symlink("changed", trees.source("now-a-link")).expect("a link");
    trees.write(&["live/now-a-link=old"]);
    for name in [&b"a\nb"[..], b"\xff", b"it's $(id)", b"-rf", b"\\134", b"#"] {
        fs::write(named(&trees.live("d"), name), "odd").expect("a file");
        fs::write(named(&trees.source("d"), name), "odder").expect("a file");
        let gone = [b"gone ", name].concat();
        fs::write(named(&trees.live("d"), &gone), "odd").expect("a file");
        let new = [b"new ", name].concat();
        fs::write(named(&trees.source("d"), &new), "odd").expect("a file");
    }
    let mode = |path: PathBuf, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode(trees.live("changed"), 0o4711);
    chown(trees.live("changed"), Some(12), Some(34)).expect("an owner");
    mode(trees.live("changed"), 0o4711);
    mode(trees.live("gone/with"), 0o1703);
    mode(trees.live("d"), 0o711);
    mode(trees.source("d"), 0o2750);
    mode(trees.source("made/deep"), 0o705);
    for (path, ago) in [
        ("gone/with", 500),
        ("gone", 600),
        ("kept/deep", 700),
        ("kept", 800),
        ("d/e", 900),
        ("d", 1000),
        ("", 1100),
    ] {
        set_time(&trees.live(path), ago);
    }
}

pub(super) fn a_rollback_restores_exactly_what_was_and_another_one_what_came(case: &Case<'_>) {
    let trees = case.trees;
    fill(trees);
    let job = case.replaces().task("exclude = [\"*.log\"]");
    let before = case.exact();
    trees.once(&job).expect(0);
    let after = case.exact();
    assert_ne!(before, after);
    assert!(!trees.live("gone").exists() && trees.live("kept/deep/y.log").exists());
    assert_eq!(case.beside(), ["previous"]);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
    for _ in 0..2 {
        case.rollback(&job).expect(0);
        assert_eq!(case.exact(), before);
        case.rollback(&job).expect(0);
        let changed_by_deletions = |lines: Vec<String>| -> Vec<String> {
            // Of what only live has, the time is that of its last change.
            let mut lines = lines;
            lines.retain(|line| !line.starts_with("\"kept/deep\" "));
            lines
        };
        assert_eq!(
            changed_by_deletions(case.exact()),
            changed_by_deletions(after.clone())
        );
    }
    assert_eq!(case.beside(), ["previous"]);
    // What is kept is of the last run alone that has changed something, and goes with `drop`.
    trees.write(&["source/changed=newest"]);
    let before = case.exact();
    trees.once(&job).expect(0);
    case.rollback(&job).expect(0);
    assert_eq!(case.exact(), before);
    trees
        .once(&(case.job)().task("publish = \"in_place\""))
        .expect(0);
    assert_eq!(case.beside(), Vec::<String>::new());
}

pub(super) fn without_previous_there_is_nothing_to_go_back_to(case: &Case<'_>) {
    let trees = case.trees;
    trees.write(&["source/a=new", "live/a=old"]);
    case.rollback(&case.keeps())
        .expect(1)
        .says(&["there is no previous copy"]);
    let drops = (case.job)().task("publish = \"in_place\"");
    trees.once(&drops).expect(0);
    case.rollback(&drops)
        .expect(2)
        .says(&["nothing to go back to"]);
    case.rollback(&case.keeps())
        .expect(1)
        .says(&["there is no previous copy"]);
    assert_eq!(lines(&trees.source("")), ["a=new"]);
    assert_eq!(case.beside(), Vec::<String>::new());
}

pub(super) fn what_somebody_has_written_since_is_kept_by_a_rollback(case: &Case<'_>) {
    let trees = case.trees;
    trees.write(&[
        "source/changed=new",
        "source/added=new",
        "source/made/file=new",
        "live/changed=old",
        "live/deleted=old",
        "live/dir/deleted=old",
    ]);
    let job = case.replaces();
    trees.once(&job).expect(0);
    trees.write(&[
        "live/changed=theirs",
        "live/added=theirs",
        "live/made/own=theirs",
        "live/deleted=theirs",
        "live/untouched=theirs",
    ]);
    let theirs = trees.in_live();
    let hidden = |line: &String| !line.starts_with(".envsyncd");
    let theirs: Vec<_> = theirs.into_iter().filter(hidden).collect();
    case.rollback(&job).expect(0);
    let found: Vec<_> = trees.in_live().into_iter().filter(hidden).collect();
    for line in [
        "changed=old",
        "deleted=old",
        "dir/deleted=old",
        "untouched=theirs",
    ] {
        assert!(found.contains(&line.to_owned()), "{line}: {found:?}");
    }
    assert!(!trees.live("added").exists(), "{found:?}");
    // Nothing of it is lost.
    let kept = lines(&case.folder.join("previous/new"));
    for line in ["changed=theirs", "added=theirs", "deleted=theirs"] {
        assert!(kept.contains(&line.to_owned()), "{line}: {kept:?}");
    }
    case.rollback(&job).expect(0);
    let found: Vec<_> = trees.in_live().into_iter().filter(hidden).collect();
    assert_eq!(found, theirs);
}

pub(super) fn what_is_in_the_place_of_a_directory_makes_way_for_a_rollback_and_no_other(
    case: &Case<'_>,
) {
    let trees = case.trees;
    trees.write(&["source/z=z", "live/d/e/x=old", "live/z=z"]);
    let in_place_of = |path: &str, is_link: bool| {
        fs::remove_dir_all(trees.live(path)).expect("a directory");
        if is_link {
            symlink("nowhere", trees.live(path)).expect("a link");
        } else {
            trees.write(&[&format!("live/{path}=theirs")]);
        }
    };
    let read = |path: PathBuf| fs::read_to_string(path).expect("a file");
    let job = case.keeps();
    let mut before = "old".to_owned();
    for (path, is_link) in [("d", false), ("d/e", true)] {
        let new = format!("new {path}");
        trees.write(&[&format!("source/d/e/x={new}")]);
        trees.once(&job).expect(0);
        in_place_of(path, is_link);
        case.rollback(&job).expect(0);
        assert_eq!(read(trees.live("d/e/x")), before, "{path}");
        let kept = case.folder.join("previous/new").join(path);
        assert_eq!(kept.is_symlink(), is_link, "{path}");
        assert!(is_link || read(kept) == "theirs", "{path}");
        trees.once(&job).expect(0);
        assert_eq!(read(trees.live("d/e/x")), new, "{path}");
        before = new;
    }
    // A run that was cut short is taken back around it.
    trees.write(&["source/d/e/x=newest"]);
    trees.once(&job).expect(0);
    let cut_short = case.folder.join("replaced-0123456789ab");
    fs::rename(case.folder.join("previous"), &cut_short).expect("it");
    let state = read(cut_short.join("state"));
    fs::write(cut_short.join("state"), format!("to {state}")).expect("a file");
    in_place_of("d", false);
    let refused = trees.once(&case.keeps().task("marker = \"missing\""));
    refused.expect(1).says(&["missing"]);
    assert_eq!(read(trees.live("d")), "theirs");
    let left = case.folder.join("left-0123456789ab/old/d/e/x");
    assert_eq!(read(left), before);
    trees.once(&job).expect(0);
    assert_eq!(read(trees.live("d/e/x")), "newest");
}

pub(super) fn a_task_that_fails_to_publish_undoes_the_one_before(case: &Case<'_>) {
    let trees = case.trees;
    fill(trees);
    trees.write(&["source2/x=new", "live2/x=old"]);
    let url = |path: &str| format!("dir://{}", trees.bed.path(path).display());
    let script = format!(
        "cd {} && mv live2 away && mkdir live2 && touch live/d/theirs",
        trees.bed.path("").display()
    );
    let hooks =
        format!("maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]");
    let second = format!(
        "[[task]]\nname = \"second\"\nkind = \"files\"\nsource = \"{}\"\ntarget = \"{}\"",
        url("source2"),
        url("live2")
    );
    for previous in ["keep", "drop"] {
        let before = case.exact();
        let job = (case.job)()
            .task(REPLACES)
            .task("publish = \"in_place\"\nexclude = [\"*.log\", \"theirs\"]")
            .task(&format!("previous = \"{previous}\""))
            .task(&second)
            .hooks(&hooks);
        trees.once(&job).expect(1).says(&["another directory"]);
        fs::remove_file(trees.live("d/theirs")).expect("a file");
        set_time(&trees.live("d"), 50);
        let is_d = |line: &String| line.starts_with("\"d\" ");
        let without = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().filter(|line| !is_d(line)).collect()
        };
        assert_eq!(without(case.exact()), without(before), "{previous}");
        assert_eq!(case.beside(), Vec::<String>::new());
        fs::remove_dir(trees.bed.path("live2")).expect("a directory");
        fs::rename(trees.bed.path("away"), trees.bed.path("live2")).expect("a directory");
    }
}

/// A run, or a rollback, that is killed so long after it has begun to change live.
fn killed(bed: &Bed, verb: &str, job: &Job, round: usize, after: Duration) {
    let gate = bed.gate(&format!("gate-{verb}-{round}"));
    let text = job.to_string();
    let (top, rest) = text.split_once("[environments").expect("environments");
    let text = format!("{top}[hooks]\n{}\n[environments{rest}", gate.maintenance());
    let file = bed.file("app.toml", &text);
    let mut command = bed.command();
    command.args([verb, "-f"]).arg(&file);
    let mut running = bed.spawn(&mut command);
    gate.wait(&mut running);
    gate.open();
    std::thread::sleep(after);
    running.kill();
    bed.job("app", job);
}

pub(super) fn whenever_it_is_killed_files_are_whole_and_what_was_is_had_again(
    case: &Case<'_>,
    (files, rounds): (usize, u32),
    settles: &dyn Fn(),
) {
    let trees = case.trees;
    let job = case.replaces();
    let write = |tree: &str, content: &str| {
        for number in 0..files {
            let path = match number % 10 {
                0 => format!("{tree}/{content}/{number}"),
                other => format!("{tree}/{other}/{number}"),
            };
            trees.write(&[&format!("{path}={content}")]);
        }
    };
    write("live", "old");
    write("source", "new");
    let begun = Instant::now();
    trees.once(&job).expect(0);
    let all = begun.elapsed();
    for (round, moment) in moments(kills(rounds), all / 3).enumerate() {
        let before = case.exact();
        fs::remove_dir_all(trees.source("")).expect("a directory");
        write("source", &format!("new{round}"));
        killed(&trees.bed, "run", &job, round, moment);
        settles();
        let live = trees.in_live();
        let files = live
            .iter()
            .filter(|line| line.contains('=') && !line.starts_with(".envsyncd"));
        for line in files {
            let (_, content) = line.split_once('=').expect("a file");
            assert!(
                content == "old" || content.starts_with("new"),
                "round {round}: {line}"
            );
        }
        // The next run takes it back first, even if it goes no further.
        if let Some("to new") = case.state("replaced-").as_deref() {
            trees
                .once(&case.replaces().task("marker = \"missing\""))
                .expect(1);
            assert_eq!(case.exact(), before, "round {round}");
        }
        trees.once(&job).expect(0);
        let mut live = trees.in_live();
        live.retain(|line| !line.starts_with(".envsyncd"));
        assert_eq!(live, lines(&trees.source("")), "round {round}");
        let after = case.exact();
        killed(&trees.bed, "rollback", &job, round, moment / 4);
        settles();
        let is_back = case.state("previous").as_deref() == Some("old");
        if !is_back {
            case.rollback(&job).expect(0);
        }
        assert_eq!(case.exact(), before, "round {round}");
        if round % 2 == 1 {
            case.rollback(&job).expect(0);
            assert_eq!(case.exact(), after, "round {round}");
        }
        assert_eq!(case.beside(), ["previous"]);
    }
}

mod here {
    use super::{Case, Trees};
    use crate::files::trees::Disk;

    fn with(test: impl Fn(&Case<'_>)) {
        let trees = Trees::new();
        let _disk = Disk::new(&trees.live(""), "size=64m");
        test(&Case {
            trees: &trees,
            job: &|| trees.job(),
            folder: trees.live(".envsyncd"),
        });
    }

    #[test]
    fn a_rollback_in_place_restores_exactly_what_was() {
        with(super::a_rollback_restores_exactly_what_was_and_another_one_what_came);
    }

    #[test]
    fn without_previous_in_place_there_is_nothing_to_go_back_to() {
        with(super::without_previous_there_is_nothing_to_go_back_to);
    }

    #[test]
    fn what_somebody_has_written_since_is_kept_by_a_rollback_in_place() {
        with(super::what_somebody_has_written_since_is_kept_by_a_rollback);
    }

    #[test]
    fn what_is_in_the_place_of_a_directory_makes_way_in_place() {
        with(super::what_is_in_the_place_of_a_directory_makes_way_for_a_rollback_and_no_other);
    }

    #[test]
    fn a_tree_in_place_is_what_it_was_if_another_task_fails_to_publish() {
        with(super::a_task_that_fails_to_publish_undoes_the_one_before);
    }

    #[test]
    fn whenever_a_run_or_a_rollback_in_place_is_killed_what_was_is_had_again() {
        with(|case| {
            super::whenever_it_is_killed_files_are_whole_and_what_was_is_had_again(
                case,
                (600, 18),
                &|| {},
            );
        });
    }
}
