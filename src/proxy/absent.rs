//! Names that the origin has not, or has nothing of that could be kept: they are not asked for again for a while.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::name::Name;
use super::reply::Refusal;
use crate::sync::Mutex;

/// So many names at the most; the one that was asked for longest ago goes first.
pub(super) struct Absent {
    most: usize,
    lasting: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    names: HashMap<Name, Entry>,
    /// Names in the order in which they were last asked for.
    order: BTreeMap<u64, Name>,
}

struct Entry {
    until: Instant,
    asked: u64,
    refusal: Refusal,
}

impl Absent {
    pub(super) fn new(most: usize, lasting: Duration) -> Self {
        Self {
            most,
            lasting,
            inner: Mutex::default(),
        }
    }

    /// What is answered for a name, if that is known.
    pub(super) fn get(&self, name: &Name, now: Instant) -> Option<Refusal> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let entry = inner.names.get_mut(name)?;
        if entry.until <= now {
            let asked = entry.asked;
            inner.names.remove(name);
            inner.order.remove(&asked);
            return None;
        }
        let name = inner.order.remove(&entry.asked)?;
        entry.asked = inner.next;
        inner.order.insert(inner.next, name);
        inner.next += 1;
        Some(entry.refusal.clone())
    }

    pub(super) fn put(&self, name: &Name, refusal: Refusal, now: Instant) {
        let mut inner = self.inner.lock();
        let asked = inner.next;
        inner.next += 1;
        let entry = Entry {
            until: now + self.lasting,
            asked,
            refusal,
        };
        if let Some(before) = inner.names.insert(name.clone(), entry) {
            inner.order.remove(&before.asked);
        }
        inner.order.insert(asked, name.clone());
        while inner.names.len() > self.most
            && let Some((_, oldest)) = inner.order.pop_first()
        {
            inner.names.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_asked_for_longest_ago_goes_first_and_all_go_in_time() {
        let absent = Absent::new(2, Duration::from_secs(10));
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        let (a, b, c) = (name("/a"), name("/b"), name("/c"));
        let now = Instant::now();
        let no = Refusal::Absent("no");
        absent.put(&a, no.clone(), now);
        absent.put(&b, no.clone(), now);
        assert_eq!(absent.get(&a, now), Some(no.clone()));
        absent.put(&c, no.clone(), now);
        assert_eq!(absent.get(&b, now), None);
        assert!(absent.get(&a, now).is_some() && absent.get(&c, now).is_some());
        assert_eq!(absent.get(&a, now + Duration::from_secs(10)), None);
        absent.put(&c, no.clone(), now);
        absent.put(&c, no, now);
        let inner = absent.inner.lock();
        assert_eq!((inner.names.len(), inner.order.len()), (1, 1));
    }
}
