//! What systemd is told.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envsyncd::state::RunState;
use nix::sys::signal::Signal;

use super::gated;
use crate::support::daemon::{House, process_of};

/// A service manager's ear. It listens all the time: a socket takes ten messages, and then who speaks has to wait.
pub(super) struct Ear(Arc<Mutex<Heard>>);

struct Heard {
    socket: UnixDatagram,
    words: Vec<String>,
}

impl Heard {
    /// Takes what was said since.
    fn listen(&mut self) {
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            self.words
                .push(String::from_utf8_lossy(&message[..length]).into_owned());
        }
    }
}

impl Ear {
    /// At a house, before its daemon starts; with a watchdog that wants a word every so often.
    pub(super) fn at(house: &mut House, watchdog: Option<Duration>) -> Self {
        let path = house.bed.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        house.variable("NOTIFY_SOCKET", path.to_str().expect("text"));
        if let Some(watchdog) = watchdog {
            house.variable("WATCHDOG_USEC", &watchdog.as_micros().to_string());
        }
        let heard = Arc::new(Mutex::new(Heard {
            socket,
            words: Vec::new(),
        }));
        let listening = Arc::downgrade(&heard);
        std::thread::spawn(move || {
            while let Some(heard) = listening.upgrade() {
                heard.lock().expect("no panic").listen();
                drop(heard);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self(heard)
    }

    /// All that was said so far, message by message.
    pub(super) fn heard(&self) -> Vec<String> {
        let mut heard = self.0.lock().expect("no panic");
        heard.listen();
        heard.words.clone()
    }

    /// How many messages have this line.
    pub(super) fn times(&self, line: &str) -> usize {
        self.heard()
            .iter()
            .filter(|message| message.lines().any(|other| other == line))
            .count()
    }

    /// Waits for so many more beats of the watchdog.
    #[track_caller]
    pub(super) fn beats(&self, house: &House, count: usize) {
        let before = self.times("WATCHDOG=1");
        house.until("the watchdog was fed", |_| {
            self.times("WATCHDOG=1") >= before + count
        });
    }
}

#[test]
fn systemd_hears_of_readiness_of_reloads_of_what_runs_and_of_the_end() {
    let mut house = House::new("");
    let ear = Ear::at(&mut house, Some(Duration::from_secs(30)));
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    house.put("daily", &house.draft("daily").top("schedule = \"daily\""));
    house.start();
    house.until("systemd was told that it is ready", |_| {
        ear.times("READY=1") == 1
    });
    ear.beats(&house, 3);
    house.trigger("a");
    house.until("what runs was told", |_| {
        ear.heard()
            .iter()
            .any(|said| said.starts_with("STATUS=running: a; waiting: none; next: daily at "))
    });
    house.until("the run was under way", |_| gate.is_reached());
    let run = house.last("a").unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", process_of(&run))).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    // An environment may hold secrets: it is not shown.
    assert!(environment.contains("ENVSYNCD_STATE_DIR="));
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        assert!(!environment.contains(variable), "{variable}");
    }

    house.signal(Signal::SIGHUP);
    house.until("the reload was told", |_| ear.times("READY=1") == 2);
    let heard = ear.heard();
    let reloading = heard
        .iter()
        .position(|said| said.lines().any(|line| line == "RELOADING=1"))
        .expect("told");
    let since: u64 = heard[reloading]
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
        .and_then(|since| since.parse().ok())
        .expect("systemd asks for it");
    assert!(since > 0);
    let ready = heard
        .iter()
        .rposition(|said| said.lines().any(|line| line == "READY=1"))
        .expect("told");
    assert!(reloading < ready, "{heard:?}");

    gate.open();
    house.until_run("a", RunState::Succeeded);
    house.until("that nothing runs was told", |_| {
        let heard = ear.heard();
        let last = heard.iter().rfind(|said| said.starts_with("STATUS="));
        last.is_some_and(|said| said.starts_with("STATUS=running: none; waiting: none"))
    });
    assert_eq!(ear.times("STOPPING=1"), 0);
    house.stop().expect(0);
    assert_eq!(ear.times("STOPPING=1"), 1);
    assert_eq!(
        ear.times("READY=1"),
        2,
        "a run has nothing to say to systemd"
    );
}

#[test]
fn nobody_is_fed_where_there_is_no_watchdog() {
    let mut house = House::new("");
    let ear = Ear::at(&mut house, None);
    house.put("a", &house.draft("a").top("schedule = \"* * * * * *\""));
    house.start();
    house.until("it ran twice", |house| house.runs(Some("a")).len() > 2);
    assert_eq!(ear.times("READY=1"), 1);
    assert_eq!(ear.times("WATCHDOG=1"), 0);
}
