//! What a run into a bucket has replaced, and how it comes back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::Place;
use crate::files::trees::lines;
use crate::support::job::{Job, Outcome};
use crate::support::network::Fault;

/// What a task says so that what it replaces is kept, and all that the source has not goes.
const KEEPS: &str = "previous = \"keep\"\nmode = \"replace\"\nmax_delete = \"95%\"\n";

impl Place {
    pub(super) fn keeps(&self) -> Job {
        self.inward().task(KEEPS)
    }

    pub(super) fn rollback(&self, job: &Job) -> Outcome {
        let bed = &self.trees.bed;
        bed.with_file("rollback", &bed.job("app", job))
    }

    /// The tree's objects, without the folder of what is kept.
    pub(super) fn tree(&self) -> Vec<String> {
        let mut objects = self.objects();
        objects.retain(|line| !line.starts_with(".envsyncd"));
        objects
    }

    /// All that is kept, without the mark.
    pub(super) fn kept(&self) -> Vec<String> {
        let mut objects = self.objects();
        objects.retain(|line| line.starts_with(".envsyncd") && !line.contains("mark.json"));
        objects
    }

    /// Runs that have something there, and how far they have come.
    pub(super) fn states(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.object(".envsyncd"))
            .into_iter()
            .flatten()
            .flatten();
        let states = entries.filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("state")).ok()?;
            let run = entry.file_name().into_string().expect("text");
            Some((run, text.lines().next().unwrap_or_default().to_owned()))
        });
        states.collect()
    }

    /// The run whose replaced objects are previous.
    pub(super) fn previous(&self) -> String {
        let text = fs::read_to_string(self.object(".envsyncd/previous"));
        text.unwrap_or_default().trim().to_owned()
    }

    /// What is kept of the last run below one of its folders, as lines.
    pub(super) fn kept_in(&self, which: &str) -> Vec<String> {
        let inside = format!("/{which}/");
        let kept = self.kept().into_iter();
        let mut found: Vec<String> = kept
            .filter_map(|line| Some(line.split_once(&inside)?.1.to_owned()))
            .collect();
        found.sort();
        found
    }

    /// What makes an object what it is beside its content.
    fn traits(&self, key: &str) -> Vec<String> {
        let headers = self.headers(key);
        let mut lines: Vec<String> = (headers.lines())
            .filter(|line| line.starts_with("content-") || line.starts_with("x-amz-meta-"))
            .map(|line| line.trim().to_owned())
            .collect();
        lines.sort();
        lines
    }
}

/// A tree of objects and one of files that differ in all ways.
pub(super) fn fill(place: &Place) {
    place.put(&[
        "same=same",
        "changed=old",
        "d/e/changed=older one",
        "d/gone=old",
        "gone/with/all=old",
        "gone/in%20%2B%20%C3%A4%0A%25=old",
        "skip/x=theirs",
    ]);
    place.trees.write(&[
        "source/same=same",
        "source/changed=new",
        "source/d/e/changed=new",
        "source/d/new=new",
        "source/made/deep/er/it's $(id)=new",
    ]);
}

#[test]
fn a_rollback_restores_what_was_and_another_one_what_came() {
    let place = Place::new();
    fill(&place);
    let job = || place.keeps().task("exclude = [\"skip\"]");
    let (before, content_type) = (place.tree(), place.traits("changed"));
    place.trees.once(&job()).expect(0);
    let after = place.tree();
    let same = ["changed=new", "d/e/changed=new", "d/new=new"];
    assert_eq!(after[..3], same);
    assert_eq!(after.len(), 6, "{after:?}");
    assert_ne!(place.traits("changed"), content_type);
    place
        .trees
        .once(&job())
        .expect(0)
        .says(&["nothing has changed"]);
    for _ in 0..2 {
        place.rollback(&job()).expect(0);
        assert_eq!(place.tree(), before);
        assert_eq!(place.traits("changed"), content_type);
        place.rollback(&job()).expect(0);
        assert_eq!(place.tree(), after);
        assert!(
            place
                .traits("changed")
                .iter()
                .any(|line| line.contains("envsyncd-mtime"))
        );
    }
    // What is kept is of the last run alone that has changed something.
    place.trees.write(&["source/changed=newest"]);
    place.trees.once(&job()).expect(0);
    assert_eq!(place.kept_in("old"), ["changed=new"]);
    assert_eq!(place.kept_in("new"), Vec::<String>::new());
    place.rollback(&job()).expect(0);
    assert_eq!(place.tree(), after);
    // It goes with a run that keeps nothing.
    place
        .trees
        .once(&place.inward().task("previous = \"drop\""))
        .expect(0);
    assert_eq!(place.tree()[0], "changed=newest");
    assert_eq!(place.kept(), Vec::<String>::new());
    place
        .rollback(&job())
        .expect(1)
        .says(&["there is no previous copy"]);
}

#[test]
fn without_previous_there_is_nothing_to_go_back_to() {
    let place = Place::new();
    place.trees.write(&["source/a=new"]);
    place.put(&["a=older"]);
    place
        .rollback(&place.keeps())
        .expect(1)
        .says(&["there is no previous copy", "previous = \"keep\""]);
    place.trees.once(&place.inward()).expect(0);
    place
        .rollback(&place.inward())
        .expect(1)
        .says(&["there is no previous copy"]);
    assert_eq!(place.objects(), ["a=new"]);
}

#[test]
fn what_somebody_has_written_since_is_named_and_stays() {
    let place = Place::new();
    place.put(&["changed=old", "other=old", "deleted=old", "lost=old"]);
    place.trees.write(&[
        "source/changed=new",
        "source/other=new",
        "source/added=new",
        "source/lost=new",
    ]);
    place.trees.once(&place.keeps()).expect(0);
    place.put(&[
        "changed=theirs",
        "added=theirs",
        "deleted=theirs",
        "more=theirs",
    ]);
    place.delete("lost");
    place.rollback(&place.keeps()).expect(0).says(&[
        "somebody has written or deleted it since",
        "changed",
        "added",
        "deleted",
        "lost",
    ]);
    let theirs = [
        "added=theirs",
        "changed=theirs",
        "deleted=theirs",
        "more=theirs",
    ];
    assert_eq!(place.tree(), [&theirs[..], &["other=old"]].concat());
    place.rollback(&place.keeps()).expect(0);
    assert_eq!(place.tree(), [&theirs[..], &["other=new"]].concat());
    // What it was is still there.
    assert!(place.kept_in("old").contains(&"changed=old".to_owned()));
}

#[test]
fn objects_that_came_back_are_not_taken_to_be_new_for_their_time() {
    let place = Place::new();
    let put = |key: &str| {
        let (key, content) = key.split_once('=').expect("KEY=CONTENT");
        let path = format!("/{}/copy/{key}", place.remote.bucket);
        place.server.ask(reqwest::Method::PUT, &path, content);
    };
    put("a=old");
    put("b=old");
    std::thread::sleep(Duration::from_millis(1100));
    place.put(&["a=new", "b=new"]);
    let job = |lines: &str| {
        let job = Job::new("files", &place.bucket(), &place.prefix("copy"));
        job.task(&format!("previous = \"keep\"\n{lines}"))
    };
    let copied = || {
        let mut objects = place.objects_in("copy");
        objects.retain(|line| !line.starts_with(".envsyncd"));
        objects
    };
    place.trees.once(&job("")).expect(0);
    assert_eq!(copied(), ["a=new", "b=new"]);
    place.rollback(&job("")).expect(0);
    assert_eq!(copied(), ["a=old", "b=old"]);
    // They are newer than the source's, and as long.
    place.trees.once(&job("")).expect(0);
    assert_eq!(copied(), ["a=new", "b=new"]);
    // The same of what a run that fails takes back.
    std::thread::sleep(Duration::from_millis(1100));
    place.put(&["a=wow", "b=wow"]);
    let network = &place.remote.network;
    network.fault(
        "PUT",
        "/copy/b",
        1,
        Fault::Answer(403, "SignatureDoesNotMatch"),
    );
    let outcome = place.trees.once(&job("jobs = 1")).expect(1);
    assert_eq!(copied(), ["a=new", "b=new"], "{}", outcome.stderr);
    place.trees.once(&job("")).expect(0);
    assert_eq!(copied(), ["a=wow", "b=wow"]);
    // Of two trees, one below the other, what is kept belongs to neither.
    place.rollback(&job("")).expect(0);
    assert_eq!(copied(), ["a=new", "b=new"]);
}

#[test]
fn what_goes_from_bucket_to_bucket_through_us_comes_back_too() {
    let place = Place::new();
    let large = |with: u8| vec![with; 18_000_000];
    let (server, bucket) = (place.server, &place.remote.bucket);
    let write = |prefix: &str, with: u8, content: &str| {
        server.put_file(bucket, &format!("{prefix}/large"), &large(with));
        let path = format!("/{bucket}/{prefix}/small");
        server.ask(reqwest::Method::PUT, &path, content);
    };
    let copy = |key: &str| place.remote.folder.with_file_name("copy").join(key);
    let is = |with: u8, content: &str| {
        fs::read(copy("large")).expect("an object") == large(with)
            && fs::read(copy("small")).expect("an object") == content.as_bytes()
    };
    write("copy", 1, "old");
    write("nightly", 2, "newer");
    let network = &place.remote.network;
    // The first that it is to copy is the large one: from then on nothing is asked of it.
    network.fault(
        "PUT",
        "/copy/large",
        1,
        Fault::Answer(501, "NotImplemented"),
    );
    let job = Job::new("files", &place.bucket(), &place.prefix("copy"));
    let job = job.task("previous = \"keep\"\ncompare = \"checksum\"\njobs = 1");
    place.trees.once(&job).expect(0);
    assert_eq!(network.asked("PUT", "partNumber=3"), 1);
    assert!(is(2, "newer"));
    for _ in 0..2 {
        place.rollback(&job).expect(0);
        assert!(is(1, "old"));
        place.rollback(&job).expect(0);
        assert!(is(2, "newer"));
    }
}

#[test]
fn an_object_that_is_replaced_before_it_is_copied_is_known_as_what_it_was_copied_as() {
    let place = Place::new();
    place.put(&["a=newer"]);
    let (server, bucket) = (place.server, &place.remote.bucket);
    let write = |key: &str, content: &str| {
        let path = format!("/{bucket}/{key}");
        server.ask(reqwest::Method::PUT, &path, content);
    };
    write("copy/a", "old");
    let network = &place.remote.network;
    network.fault("PUT", "/copy/a", 1, Fault::Held);
    let job = Job::new("files", &place.bucket(), &place.prefix("copy"));
    let job = job.task("previous = \"keep\"");
    let running = (place.trees.bed).start(&place.trees.bed.job("app", &job));
    crate::support::wait_until("it is to be copied", || network.asked("PUT", "/copy/a") > 0);
    write("nightly/a", "newest of all");
    network.forget();
    running.end().expect(0);
    let copy = || {
        let file = place.remote.folder.with_file_name("copy").join("a");
        fs::read_to_string(file).expect("an object")
    };
    assert_eq!(copy(), "newest of all");
    place.rollback(&job).expect(0);
    assert_eq!(copy(), "old");
}

#[test]
fn large_objects_and_all_that_objects_have_come_back() {
    let place = Place::new();
    let content =
        |with: u8| -> Vec<u8> { (0..20_000_000_u32).map(|n| (n / 7) as u8 ^ with).collect() };
    fs::write(place.trees.source("large"), content(1)).expect("a file");
    place.trees.write(&["source/tool=#!"]);
    let tool = place.trees.source("tool");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o2750)).expect("it");
    place.trees.once(&place.keeps()).expect(0);
    let before = [place.traits("tool"), place.traits("large")];
    fs::write(place.trees.source("large"), content(2)).expect("a file");
    fs::write(&tool, "#!/bin/sh").expect("a file");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("it");
    let job = || place.keeps().task("verify = \"checksum\"");
    place.trees.once(&job()).expect(0);
    let after = [place.traits("tool"), place.traits("large")];
    assert_ne!(before, after);
    let large = |with| fs::read(place.object("large")).expect("an object") == content(with);
    let gets = place.gets();
    for _ in 0..2 {
        place.rollback(&job()).expect(0);
        assert!(large(1));
        assert_eq!([place.traits("tool"), place.traits("large")], before);
        place.rollback(&job()).expect(0);
        assert!(large(2));
        assert_eq!([place.traits("tool"), place.traits("large")], after);
    }
    let network = &place.remote.network;
    assert_eq!(
        network.asked("GET", "/nightly/large"),
        0,
        "no content goes through us"
    );
    assert!(place.gets() > gets);
}

#[test]
fn a_whole_bucket_has_what_is_kept_in_it_and_nobody_copies_that() {
    let place = Place::new();
    let root = |more: &str| {
        let target = place.bucket().replace("/nightly\"", "\"");
        Job::new("files", &place.directory("source"), &target).task(more)
    };
    let bucket = place.remote.folder.with_file_name("");
    let tree = || {
        let mut found = lines(&bucket);
        found.retain(|line| !line.starts_with(".envsyncd") && !line.ends_with('/'));
        found
    };
    place.put(&["a=old"]);
    place
        .trees
        .write(&["source/nightly/a=newer", "source/b=new"]);
    place.trees.once(&root(KEEPS)).expect(0);
    assert_eq!(tree(), ["b=new", "nightly/a=newer"]);
    place
        .trees
        .once(&root(KEEPS))
        .expect(0)
        .says(&["nothing has changed"]);
    let out = Job::new(
        "files",
        &place.bucket().replace("/nightly\"", "\""),
        &place.directory("live"),
    );
    place.trees.once(&out).expect(0);
    assert_eq!(
        place.trees.in_live(),
        ["b=new", "nightly/", "nightly/a=newer"]
    );
    place.rollback(&root(KEEPS)).expect(0);
    assert_eq!(tree(), ["nightly/a=old"]);
}

#[test]
fn objects_that_stand_for_directories_come_back() {
    let place = Place::new();
    place.put(&["gone/=", "gone/deep/=", "gone/deep/x=old", "a=older"]);
    place.trees.write(&["source/a=new"]);
    place.trees.once(&place.keeps()).expect(0);
    assert!(!place.object("gone").exists());
    place.rollback(&place.keeps()).expect(0);
    assert_eq!(place.tree(), ["a=older", "gone/deep/x=old"]);
    let list = format!("/{}?list-type=2&prefix=nightly%2Fgone", place.remote.bucket);
    let listed = place.server.ask(reqwest::Method::GET, &list, "");
    for key in ["nightly/gone/<", "nightly/gone/deep/<"] {
        assert!(listed.contains(key), "{key} in {listed}");
    }
    place.rollback(&place.keeps()).expect(0);
    assert!(!place.object("gone").exists());
}

#[test]
fn what_is_kept_costs_a_copy_for_each_object_that_is_replaced_and_a_few_requests() {
    let place = Place::new();
    for number in 0..40 {
        place.put(&[&format!("a/{number}=old")]);
        place.trees.write(&[&format!("source/b/{number}=new")]);
    }
    for number in 0..20 {
        place.trees.write(&[&format!("source/a/{number}=newer")]);
    }
    let network = &place.remote.network;
    let all = || network.asked("", "");
    place.trees.once(&place.keeps()).expect(0);
    assert_eq!(network.asked("PUT", "/old/"), 40);
    assert_eq!(
        network.asked("PUT", "/nightly/a/") + network.asked("PUT", "/nightly/b/"),
        60
    );
    let once = all() - 100;
    assert!(once <= 20, "{once}");
    let before = all();
    place.trees.once(&place.keeps()).expect(0);
    let unchanged = all() - before;
    assert!(unchanged <= 10, "{unchanged}");
    let before = all();
    place.rollback(&place.keeps()).expect(0);
    let back = all() - before;
    // Sixty that make way and forty that come back are copied, and each is looked at.
    assert!(back <= 100 + 60 + 80 + 20, "{back}");
}

#[test]
fn what_goes_through_us_keeps_to_its_pace() {
    let place = Place::new();
    fs::write(place.trees.source("large"), vec![7; 600 << 10]).expect("a file");
    let slow = |job: Job| {
        let began = Instant::now();
        place
            .trees
            .once(&job.task("throttle = \"300kB/s\""))
            .expect(0);
        // 614 kB at 300 kB a second.
        assert!(began.elapsed() >= Duration::from_secs(2));
    };
    slow(place.inward());
    slow(place.out());
    assert_eq!(
        fs::read(place.trees.live("large")).expect("it"),
        vec![7; 600 << 10]
    );
    // Where the server does not copy by itself.
    let network = &place.remote.network;
    let copied = Job::new("files", &place.bucket(), &place.prefix("copy"));
    network.fault("PUT", "copy/large", 1, Fault::Answer(501, "NotImplemented"));
    slow(copied.task("jobs = 1"));
    let copy = place.remote.folder.with_file_name("copy").join("large");
    assert_eq!(fs::read(copy).expect("it"), vec![7; 600 << 10]);
}
