//! Servers that tests share. A test has what it asked for until its thread ends; of what nobody has, the few that were used
//! last are kept for the next test, and the others are stopped, with all that they have in memory and on the disk.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What can be shared.
pub(crate) trait Leased: Any + Send + Sync {
    /// Ends it, and removes what it has written. Nobody uses it any more.
    fn stop(&self);
}

/// How many are kept that nobody has. The tests that are next to each other in the alphabet have the same ones.
const KEPT: usize = 6;

/// By how many tests one is used: their databases stay where they are, and so the next tests have a new one.
const WORN: usize = 60;

/// Whose, and what it is called there.
type Name = (&'static str, &'static str);

struct Shared {
    name: Name,
    /// Leaked, but stopped: what is left of it are some hundred bytes.
    value: OnceLock<&'static dyn Leased>,
}

struct Entry {
    shared: Arc<Shared>,
    users: usize,
    /// How many there have been.
    served: usize,
}

/// What is there, in the order of its last use.
struct Registry(Mutex<Vec<Entry>>);

static ALL: Registry = Registry(Mutex::new(Vec::new()));

thread_local! {
    /// What the running test has.
    static HELD: RefCell<Vec<Lease>> = const { RefCell::new(Vec::new()) };
}

/// One thread's.
struct Lease(&'static Registry, Arc<Shared>);

/// What has this name, started now if it is not there.
pub(crate) fn lease<T: Leased>(name: Name, start: impl FnOnce() -> T) -> &'static T {
    ALL.lease(name, start)
}

impl Registry {
    fn lease<T: Leased>(&'static self, name: Name, start: impl FnOnce() -> T) -> &'static T {
        let shared = self.hold(name);
        let value: &'static dyn Any = *shared.value.get_or_init(|| Box::leak(Box::new(start())));
        value.downcast_ref().expect("a name is of one kind")
    }

    fn hold(&'static self, name: Name) -> Arc<Shared> {
        HELD.with_borrow_mut(|held| {
            if let Some(lease) = held.iter().find(|lease| lease.1.name == name) {
                return Arc::clone(&lease.1);
            }
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all
                .iter()
                .position(|entry| entry.shared.name == name && !entry.is_worn());
            let mut entry = known.map_or_else(|| Entry::new(name), |place| all.remove(place));
            entry.users += 1;
            entry.served += 1;
            let shared = Arc::clone(&entry.shared);
            all.push(entry);
            held.push(Lease(self, Arc::clone(&shared)));
            shared
        })
    }

    /// One user less; what is to be stopped for it.
    fn give_back(&self, shared: &Arc<Shared>) -> Vec<Arc<Shared>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all
            .iter()
            .position(|entry| Arc::ptr_eq(&entry.shared, shared));
        let mut entry = all.remove(place.expect("it has a user"));
        entry.users -= 1;
        if entry.users == 0 && entry.is_worn() {
            return vec![entry.shared];
        }
        all.push(entry);
        let mut ended = Vec::new();
        while all.iter().filter(|entry| entry.users == 0).count() > KEPT {
            let oldest = all.iter().position(|entry| entry.users == 0);
            ended.push(all.remove(oldest.expect("there are some")).shared);
        }
        ended
    }
}

impl Entry {
    fn new(name: Name) -> Self {
        let value = OnceLock::new();
        Self {
            shared: Arc::new(Shared { name, value }),
            users: 0,
            served: 0,
        }
    }

    fn is_worn(&self) -> bool {
        self.served >= WORN
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        for shared in self.0.give_back(&self.1) {
            if let Some(value) = shared.value.get() {
                value.stop();
            }
        }
    }
}

#[test]
fn what_nobody_has_is_stopped_when_others_have_been_used_since_and_what_somebody_has_is_not() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static OURS: Registry = Registry(Mutex::new(Vec::new()));
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    static STOPPED: AtomicUsize = AtomicUsize::new(0);
    struct Thing;
    impl Leased for Thing {
        fn stop(&self) {
            STOPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let take = |name: &'static str| {
        OURS.lease(("lease", name), || {
            STARTED.fetch_add(1, Ordering::SeqCst);
            Thing
        });
    };
    let elsewhere = |name: &'static str| {
        std::thread::spawn(move || take(name))
            .join()
            .expect("no panic");
    };
    let counts = || {
        (
            STARTED.load(Ordering::SeqCst),
            STOPPED.load(Ordering::SeqCst),
        )
    };
    take("a");
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        elsewhere(name);
        elsewhere(name);
    }
    assert_eq!(counts(), (7, 0));
    elsewhere("h");
    elsewhere("i");
    assert_eq!(counts(), (9, 2));
    elsewhere("a");
    elsewhere("d");
    assert_eq!(counts(), (9, 2));
    elsewhere("b");
    assert_eq!(counts(), (10, 3));
}

#[test]
fn what_many_tests_have_used_is_stopped_after_the_last_of_them_and_a_new_one_is_started() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static OURS: Registry = Registry(Mutex::new(Vec::new()));
    static STOPPED: AtomicUsize = AtomicUsize::new(0);
    struct Thing(usize);
    impl Leased for Thing {
        fn stop(&self) {
            STOPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let elsewhere = |number: usize| {
        std::thread::spawn(move || OURS.lease(("lease", "worn"), || Thing(number)).0)
            .join()
            .expect("no panic")
    };
    for number in 1..WORN {
        assert_eq!(elsewhere(number), 1);
    }
    let last = OURS.lease(("lease", "worn"), || Thing(WORN));
    assert_eq!((last.0, elsewhere(WORN + 1)), (1, WORN + 1));
    assert_eq!(OURS.lease(("lease", "worn"), || Thing(WORN + 2)).0, 1);
    assert_eq!(STOPPED.load(Ordering::SeqCst), 0);
    for lease in HELD.take() {
        drop(lease);
    }
    assert_eq!(STOPPED.load(Ordering::SeqCst), 1);
}
