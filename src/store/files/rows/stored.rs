//! What is put away of a tree beside its files: how it was cut into parts.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::listing::order;
use crate::error::{Error, Kind, Result};
use crate::store::envelope;
use crate::store::files::connection::escape::{escape, unescape};
use crate::store::files::url::KIND;

/// The format that this envsyncd writes, and the newest that it reads.
const VERSION: u32 = 1;
/// A snapshot has no more parts.
const MOST: usize = 1_000_000;

/// A tree in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::files) struct Stored {
    /// Its name on the source, as people know it.
    pub(in crate::store::files) told: String,
    /// Files and links in it.
    pub(in crate::store::files) files: u64,
    /// Where each part begins, by its number.
    pub(in crate::store::files) starts: Vec<Box<[u8]>>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    source: String,
    files: u64,
    /// The first path of each part, escaped as in the list.
    parts: Vec<String>,
}

impl Stored {
    /// As it is put away.
    pub(in crate::store::files) fn to_json(&self) -> Result<Vec<u8>> {
        let mut parts = Vec::with_capacity(self.starts.len());
        for start in &self.starts {
            let mut word = Vec::new();
            escape(start, &mut word);
            parts.push(String::from_utf8_lossy(&word).into_owned());
        }
        let written = Written {
            source: self.told.clone(),
            files: self.files,
            parts,
        };
        envelope::seal(KIND, VERSION, &written)
    }

    /// The way back.
    pub(in crate::store::files) fn read(json: &[u8]) -> Result<Self> {
        let written: Written = envelope::open(KIND, VERSION, json)?;
        let starts: Option<Vec<Box<[u8]>>> = (written.parts.iter())
            .map(|word| unescape(word.as_bytes()).map(Vec::into_boxed_slice))
            .collect();
        let is_right = |starts: &Vec<Box<[u8]>>| {
            starts.len() <= MOST
                && starts.is_sorted_by(|one, other| order(one, other) == Ordering::Less)
        };
        let starts = starts.filter(is_right).ok_or_else(|| {
            let what = "the definitions are damaged: the parts of the tree are not in their order";
            Error::new(Kind::Verify, what)
        })?;
        Ok(Self {
            told: written.source.escape_debug().to_string(),
            files: written.files,
            starts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_what_is_out_of_order_is_refused() {
        let mut stored = Stored {
            told: "/srv/files".to_owned(),
            files: 7,
            starts: vec![(*b"a \xff").into(), (*b"b").into()],
        };
        let json = stored.to_json().unwrap();
        assert_eq!(Stored::read(&json).unwrap(), stored);
        stored.starts.reverse();
        assert!(Stored::read(&stored.to_json().unwrap()).is_err());
    }
}
