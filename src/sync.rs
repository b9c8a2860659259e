//! A mutex whose lock is simply there.

use std::sync::{self, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// [`std::sync::Mutex`] without poisoning. A thread that panics while it holds the lock ends its run as failed, and what
/// the run holds is freed by guards that take the same lock: they must get it, and a second panic there would end the
/// process. Nobody publishes what a panic left half done.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex that nobody has.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// The value, while nobody shares it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, once nobody shares it.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock. As with the standard library's, the thread that has it already must not ask again.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Serialize> Serialize for Mutex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.lock().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mutex<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::Mutex;

    #[test]
    fn a_panic_with_the_lock_leaves_it_usable() {
        let mutex = Arc::new(Mutex::new(1));
        let theirs = mutex.clone();
        let ended = thread::spawn(move || {
            let mut value = theirs.lock();
            *value = 2;
            panic!("with the lock");
        })
        .join();
        assert!(ended.is_err());
        assert_eq!(*mutex.lock(), 2);
    }
}
