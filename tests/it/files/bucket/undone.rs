//! Runs into a bucket that fail or are cut short, where what they replace is kept.

use std::fs;
use std::time::{Duration, Instant};

use super::Place;
use super::back::fill;
use crate::files::trees::lines;
use crate::support::network::Fault;
use crate::support::{kills, moments};

#[test]
fn what_cannot_be_kept_is_not_replaced() {
    let place = Place::new();
    fill(&place);
    let job = || place.keeps().task("exclude = [\"skip\"]");
    let before = place.objects();
    let network = &place.remote.network;
    network.fault("PUT", "/old/d/gone", 9, Fault::Answer(403, "AccessDenied"));
    place.trees.once(&job()).expect(1).says(&[
        "d/gone cannot be copied",
        "allow s3:GetObject and s3:PutObject there",
    ]);
    network.forget();
    assert_eq!(place.tree(), before);
    assert_eq!(place.kept(), Vec::<String>::new());
    network.fault("PUT", "/.envsyncd/", 99, Fault::Answer(403, "AccessDenied"));
    place
        .trees
        .once(&job())
        .expect(1)
        .says(&["no permission to write"]);
    network.forget();
    assert_eq!(place.tree(), before);
    // Somebody writes what is to be replaced, right then.
    network.fault(
        "PUT",
        "/old/changed",
        1,
        Fault::Answer(412, "PreconditionFailed"),
    );
    place
        .trees
        .once(&job())
        .expect(1)
        .says(&["changed in s3://", "nothing was changed"]);
    assert_eq!(place.tree(), before);
    place.trees.once(&job()).expect(0);
    // A folder of that name that is not ours.
    let other = Place::new();
    other.put(&[".envsyncd/x=theirs", "a=older"]);
    other.trees.write(&["source/a=new"]);
    other
        .trees
        .once(&other.keeps())
        .expect(3)
        .says(&["does not bear the mark of envsyncd"]);
    assert_eq!(other.objects(), [".envsyncd/x=theirs", "a=older"]);
    other
        .trees
        .once(&other.inward().task("mode = \"replace\""))
        .expect(0);
    assert_eq!(other.objects(), [".envsyncd/x=theirs", "a=new"]);
}

#[test]
fn a_run_that_fails_takes_back_what_it_has_written() {
    let place = Place::new();
    fill(&place);
    let job = || place.keeps().task("exclude = [\"skip\"]\njobs = 1");
    let before = place.tree();
    let network = &place.remote.network;
    network.fault(
        "PUT",
        "/nightly/made/",
        1,
        Fault::Answer(403, "AccessDenied"),
    );
    place
        .trees
        .once(&job())
        .expect(1)
        .says(&["no permission to write made"]);
    assert_eq!(place.tree(), before);
    assert!(place.kept().iter().all(|line| !line.contains("/old/")));
    // One whose deletions fail.
    network.fault("POST", "delete", 1, Fault::Answer(403, "AccessDenied"));
    place.trees.once(&job()).expect(1).says(&["delete"]);
    network.forget();
    assert_eq!(place.tree(), before);
    place.trees.once(&job()).expect(0);
    assert_eq!(place.tree()[0], "changed=new");
    assert!(!place.kept_in("old").is_empty());
}

#[test]
fn a_bucket_is_what_it_was_if_another_task_fails_to_publish() {
    let place = Place::new();
    fill(&place);
    place.trees.write(&["source2/x=new", "live2/x=old"]);
    let script = format!(
        "cd {} && mv live2 away && mkdir live2",
        place.trees.bed.path("").display()
    );
    let hooks =
        format!("maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]");
    let second = format!(
        "[[task]]\nname = \"second\"\nkind = \"files\"\nsource = {}\ntarget = {}",
        place.directory("source2"),
        place.directory("live2")
    );
    let job = place
        .keeps()
        .task("exclude = [\"skip\"]")
        .task(&second)
        .hooks(&hooks);
    let before = place.tree();
    place
        .trees
        .once(&job)
        .expect(1)
        .says(&["another directory"]);
    assert_eq!(place.tree(), before);
    assert_eq!(place.kept_in("old"), Vec::<String>::new());
    place
        .rollback(&place.keeps())
        .expect(1)
        .says(&["there is no previous copy"]);
}

#[test]
fn a_rollback_that_fails_goes_back_to_where_it_began() {
    let place = Place::new();
    // The ETag of what is written in parts is another one after each copy.
    let large = |with: u8| vec![with; 20_000_000];
    let write = |with: u8, content: &str| {
        fs::write(place.trees.source("large"), large(with)).expect("a file");
        place.trees.write(&[&format!("source/z={content}")]);
    };
    let is = |with: u8, content: &str| {
        let object = |key: &str| fs::read(place.object(key)).expect("an object");
        object("large") == large(with) && object("z") == content.as_bytes()
    };
    write(1, "old");
    place.trees.once(&place.keeps()).expect(0);
    write(2, "new");
    place.trees.once(&place.keeps()).expect(0);
    let network = &place.remote.network;
    let denied = || Fault::Answer(403, "AccessDenied");
    for before_any_change in [true, false] {
        let contains = if before_any_change {
            "/new/z"
        } else {
            "/nightly/z"
        };
        network.fault("PUT", contains, 1, denied());
        place
            .rollback(&place.keeps())
            .expect(1)
            .says(&["cannot be copied to"]);
        network.forget();
        assert!(is(2, "new"));
    }
    place.rollback(&place.keeps()).expect(0);
    assert!(is(1, "old"));
    network.fault("PUT", "/nightly/z", 1, denied());
    place.rollback(&place.keeps()).expect(1);
    assert!(is(1, "old"));
    network.forget();
    place.rollback(&place.keeps()).expect(0);
    assert!(is(2, "new"));
}

#[test]
fn what_somebody_writes_while_a_run_works_stays_when_it_fails() {
    let place = Place::new();
    fill(&place);
    let gate = place.trees.bed.gate("on");
    let job = place
        .keeps()
        .task("exclude = [\"skip\"]")
        .hooks(&gate.maintenance());
    let before = place.tree();
    let network = &place.remote.network;
    let denied = Fault::Answer(403, "AccessDenied");
    network.fault("POST", "delete", 1, denied);
    let mut running = place.trees.bed.start(&place.trees.bed.job("app", &job));
    gate.wait(&mut running);
    place.put(&["changed=theirs"]);
    gate.open();
    running
        .end()
        .expect(1)
        .says(&["somebody has written or deleted it since", "left-"]);
    let mut expected = before;
    expected[0] = "changed=theirs".to_owned();
    assert_eq!(place.tree(), expected);
    let kept = place.kept();
    let is_left = |line: &String| line.contains("/left-") && line.ends_with("/changed=old");
    assert!(kept.iter().any(is_left), "{kept:?}");
    // It is nobody's but the reader's, and no run removes it.
    place
        .trees
        .once(&place.keeps().task("exclude = [\"skip\"]"))
        .expect(0);
    assert_eq!(place.tree()[0], "changed=new");
    assert!(place.kept().iter().any(is_left));
}

#[test]
fn a_run_that_is_told_to_stop_takes_back_what_it_has_written() {
    let place = Place::new();
    fill(&place);
    let job = place.keeps().task("exclude = [\"skip\"]\njobs = 1");
    let before = place.tree();
    let network = &place.remote.network;
    let late = Fault::Late(Duration::from_secs(2));
    network.fault("PUT", "/nightly/changed", 1, late);
    let running = place.trees.bed.start(&place.trees.bed.job("app", &job));
    crate::support::wait_until("an object is written, and nobody has said so", || {
        fs::read(place.object("changed")).is_ok_and(|content| content == b"new")
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.end().expect(143);
    assert_eq!(place.tree(), before);
    place.trees.once(&job).expect(0);
    assert_eq!(place.tree()[0], "changed=new");
}

#[test]
fn whenever_a_run_or_a_rollback_is_killed_what_was_is_had_again() {
    let place = Place::new();
    let files = 150;
    let write = |content: &str| {
        let _ = fs::remove_dir_all(place.trees.source(""));
        for number in 0..files {
            // Some come, some go, some change.
            let path = match number % 5 {
                0 => format!("source/{content}/{number}"),
                other => format!("source/{other}/{number}"),
            };
            place.trees.write(&[&format!("{path}={content}")]);
        }
    };
    let job = place.keeps();
    let killed = |verb: &str, after: Duration| {
        let mut command = place.trees.bed.command();
        command
            .args([verb, "-f"])
            .arg(place.trees.bed.job("app", &job));
        let running = place.trees.bed.spawn(&mut command);
        std::thread::sleep(after);
        running.kill();
        // What the server has been asked for by then is done.
        place.remote.network.settle();
    };
    write("first");
    place.trees.once(&job).expect(0);
    write("old");
    let begun = Instant::now();
    place.trees.once(&job).expect(0);
    let all = begun.elapsed();
    for (round, moment) in moments(kills(18), all).enumerate() {
        let before = place.tree();
        write(&format!("new{round}"));
        killed("run", moment);
        for line in place.tree() {
            let (_, content) = line.split_once('=').expect("an object");
            assert!(
                content == "old" || content.starts_with("new"),
                "round {round}: {line}"
            );
        }
        // The next run takes it back first, even if it goes no further.
        let previous = place.previous();
        if place.states().iter().any(|state| state.1 == "to new") {
            place
                .trees
                .once(&place.keeps().task("marker = \"missing\""))
                .expect(1);
            assert_eq!(place.tree(), before, "round {round}");
            assert_eq!(place.previous(), previous, "round {round}");
        }
        place.trees.once(&job).expect(0);
        assert_eq!(place.tree(), lines_of(&place), "round {round}");
        let after = place.tree();
        killed("rollback", moment / 4);
        let previous = place.previous();
        let is_back = place.states().contains(&(previous, "old".to_owned()));
        if !is_back {
            place.rollback(&job).expect(0);
        }
        assert_eq!(place.tree(), before, "round {round}");
        if round % 2 == 1 {
            place.rollback(&job).expect(0);
            assert_eq!(place.tree(), after, "round {round}");
        }
        assert_eq!(
            place.states().len(),
            1,
            "round {round}: {:?}",
            place.states()
        );
    }
}

/// The source's files as lines, as objects are.
fn lines_of(place: &Place) -> Vec<String> {
    let found = lines(&place.trees.source("")).into_iter();
    found.filter(|line| !line.ends_with('/')).collect()
}
