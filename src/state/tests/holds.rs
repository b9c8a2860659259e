//! Environments that are held.

use super::*;

#[test]
fn an_environment_is_held_once_until_it_is_released() {
    let (_dir, state) = store();
    let first = hold("staging", None);
    state.hold(&first).unwrap();
    let error = state.hold(&hold("staging", None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    let said = error.to_string();
    assert!(
        said.contains("deploy") && said.contains("release 42"),
        "{said}"
    );
    state.hold(&hold("integration", None)).unwrap();
    assert_eq!(state.hold_on("staging").unwrap().as_ref(), Some(&first));
    assert_eq!(state.hold_on("production").unwrap(), None);
    assert_eq!(state.holds().unwrap().len(), 2);
    assert_eq!(state.release("staging").unwrap(), Some(first));
    assert_eq!(state.release("staging").unwrap(), None);
    state.hold(&hold("staging", None)).unwrap();
}

#[test]
fn a_hold_dies_with_its_process_and_leaves_the_next_one_alone() {
    let (_dir, state) = store();
    let (child, process) = sleeper();
    state.hold(&hold("staging", Some(process.clone()))).unwrap();
    state.hold(&hold("qa", Some(process.clone()))).unwrap();
    state.hold(&hold("load", Some(process.clone()))).unwrap();
    assert!(state.hold_on("staging").unwrap().is_some());
    end_process(child);
    assert_eq!(state.hold_on("staging").unwrap(), None);
    assert_eq!(state.release("load").unwrap(), None);
    let own = Process::own();
    state.hold(&hold("qa", Some(own.clone()))).unwrap();
    assert!(!state.release_own("qa", &process).unwrap());
    assert_eq!(state.holds().unwrap().len(), 1);
    assert!(state.release_own("qa", &own).unwrap());
    assert_eq!(state.holds().unwrap(), []);
}

#[test]
fn an_environment_that_a_run_is_writing_into_cannot_be_held() {
    let (_dir, state) = store();
    let (child, process) = sleeper();
    begin(&state, "a", "app", &process);
    let error = state.hold(&hold("staging", None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.to_string().contains("job `app`"), "{error}");
    state.hold(&hold("production", None)).unwrap();
    // The run of a process that is gone writes nothing.
    end_process(child);
    state.hold(&hold("staging", None)).unwrap();
}

#[test]
fn of_many_that_open_a_new_store_and_claim_at_once_one_gets_the_hold_and_no_line_is_lost() {
    let dir = TempDir::new().unwrap();
    let barrier = Barrier::new(8);
    let won: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let (dir, barrier) = (dir.path(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let state = State::open(dir).unwrap();
                    let id = format!("run-{worker}");
                    state
                        .begin(&NewRun {
                            to: "integration",
                            ..new_run(&id)
                        })
                        .unwrap();
                    for number in 0..20 {
                        state.add_logs(&id, &[line(&number.to_string())]).unwrap();
                    }
                    usize::from(state.hold(&hold("staging", None)).is_ok())
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
    let state = State::open(dir.path()).unwrap();
    assert_eq!(state.runs(None, 100).unwrap().len(), 8);
    for worker in 0..8 {
        assert_eq!(state.last_log(&format!("run-{worker}")).unwrap(), 20);
    }
}
