//! What every store refuses, with live as it was.

use super::{Lab, Scene};
use crate::support::job::Job;

pub(super) fn a_second_run_of_one_target_is_turned_away<L: Lab>() {
    let scene = Scene::<L>::new();
    let gate = scene.bed.gate("on");
    let slow = scene.job().hooks(&gate.maintenance());
    let mut running = scene.start(&scene.write(&slow));
    gate.wait(&mut running);
    let other = scene.bed.job("other", &scene.job());
    scene
        .once(&other)
        .expect(75)
        .says(&[&running.pid().to_string()]);
    scene.live_is_old();
    assert_eq!(scene.bed.status_text("other", "state"), "busy");
    gate.open();
    running.end().expect(0);
    scene.live_is_the_source();
}

pub(super) fn a_held_environment_is_left_alone<L: Lab>() {
    let scene = Scene::<L>::new();
    let file = scene.file();
    scene
        .bed
        .run(&["hold", "staging", "--reason", "deploying"])
        .expect(0);
    scene.once(&file).expect(75).says(&["deploying"]);
    scene.live_is_old();
    scene.nothing_is_beside();
    scene.bed.run(&["release", "staging"]).expect(0);
    scene.once(&file).expect(0);
    scene.live_is_new();
}

pub(super) fn data_never_flows_uphill<L: Lab>() {
    let scene = Scene::<L>::new();
    let job = scene.job().flow("staging", "production");
    scene.once(&scene.write(&job)).expect(3);
    scene.live_is_old();
    scene.nothing_is_beside();
    assert_eq!(scene.bed.status_text("app", "state"), "refused");
}

pub(super) fn a_thing_is_never_copied_onto_itself<L: Lab>() {
    let scene = Scene::<L>::new();
    let job = Job::between(L::KIND, &scene.lab.target_url(), &scene.lab.target_url());
    scene.once(&scene.write(&job)).expect(3);
    scene.live_is_old();
    scene.nothing_is_beside();
}

pub(super) fn a_source_that_is_missing_fails_the_run_and_is_named<L: Lab>() {
    let scene = Scene::<L>::new();
    let (url, name) = scene.lab.missing();
    let job = Job::between(L::KIND, &url, &scene.lab.target_url());
    scene.once(&scene.write(&job)).expect(1).says(&[&name]);
    scene.live_is_old();
    scene.nothing_is_beside();
}
