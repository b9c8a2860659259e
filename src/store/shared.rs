//! What many things have alike is kept once: a database of twenty thousand tables has few lists of columns that differ.

use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list that does not change. A clone of it is the same list.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct List<T>(Arc<[T]>);

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(all: Vec<T>) -> Self {
        Self(all.into())
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self::from)
    }
}

/// Values that were met before: of those that are equal, one is kept.
#[derive(Debug)]
pub struct Interner<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash + ?Sized> Interner<T> {
    /// Gives back the one that was met first among those that are equal to this.
    pub fn intern(&mut self, value: &mut Arc<T>) {
        match self.0.get(&**value) {
            Some(known) => *value = Arc::clone(known),
            None => {
                self.0.insert(Arc::clone(value));
            }
        }
    }
}

impl<T: Eq + Hash> Interner<[T]> {
    /// The same for a list.
    pub fn intern_list(&mut self, list: &mut List<T>) {
        self.intern(&mut list.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_lists_one_is_kept_and_others_are_what_they_were() {
        let list = |names: &[&str]| -> List<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let mut all = [list(&["a", "b"]), list(&["a"]), list(&["a", "b"])];
        let before = all.clone();
        let mut interner = Interner::default();
        for one in &mut all {
            interner.intern_list(one);
        }
        assert_eq!(all, before);
        assert!(Arc::ptr_eq(&all[0].0, &all[2].0));
        assert!(!Arc::ptr_eq(&before[0].0, &before[2].0));
    }

    #[test]
    fn a_list_is_put_away_as_any_other() {
        let list: List<u8> = serde_json::from_str("[1,2]").unwrap();
        assert_eq!(*list, [1, 2]);
        assert_eq!(serde_json::to_string(&list).unwrap(), "[1,2]");
    }
}
