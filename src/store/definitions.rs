//! Definitions: everything in a source but rows, as a value of the store's own, on its way to a target or into an archive.

use std::any::Any;
use std::fmt::Debug;

use super::catalogue::Catalogue;
use super::part::Part;
use super::selection::Fate;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};

/// How to make the tables of a survey and all around them. Each store has a type of its own; [`own`] gives it back.
pub trait Definitions: Any + Debug + Send + Sync {
    /// As JSON, for an archive ([`super::envelope`]); what [`super::Driver::read_definitions`] makes of it is the same to a
    /// target.
    fn to_json(&self) -> Result<Vec<u8>>;

    /// As SQL (or the like), for people who have nothing but the store's own client.
    fn scripts(&self) -> Result<Vec<Script>> {
        Ok(Vec::new())
    }

    /// The statement with which the store's own client loads a part's file from its standard input; empty, where the file is
    /// statements itself.
    fn load_statement(&self, _part: &Part) -> Result<String> {
        Ok(String::new())
    }

    /// A hash of all that is known of a part without reading it; as long as that is the same, its content is. `None`: nothing
    /// can be said.
    fn likeness(&self, _part: &Part) -> Option<[u8; 32]> {
        None
    }

    /// Whether a part is for who restores by hand, too.
    fn is_for_people(&self, _part: &Part) -> bool {
        true
    }

    /// Refuses those in which something needs what is excluded, where a pull would have to refuse them: in the words of a
    /// sync.
    fn refuse_gaps(&self) -> Result<()> {
        Ok(())
    }

    /// The catalogue of what is left of these after a pull's selection, to be compared with a copy that this task makes;
    /// `stored` is the one that was put away with them.
    fn catalogue(&self, stored: Catalogue, task: &Task) -> Result<Catalogue>;
}

/// A store's own definitions. Another store's are an error.
pub fn own<T: Definitions>(definitions: &dyn Definitions) -> Result<&T> {
    let any: &dyn Any = definitions;
    any.downcast_ref::<T>()
        .ok_or_else(|| Error::new(Kind::Internal, "these are another store's definitions"))
}

/// SQL that makes what rows need or what needs rows, for people who have nothing but the store's own client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its file's name without an ending; files are to be run in the order of their names: `1-before-rows`.
    pub name: String,
    /// The statements.
    pub text: String,
}

/// What was taken out of an archive, as a survey wants it.
#[derive(Debug)]
pub struct Restored {
    /// The definitions of what the selection leaves.
    pub definitions: std::sync::Arc<dyn Definitions>,
    /// The parts whose rows it wants; each as it was put away.
    pub parts: Vec<Part>,
    /// What is there and is not copied, or only its structure, or the target's own.
    pub left_out: Vec<(String, Fate)>,
}

impl Restored {
    /// These.
    pub fn new(
        definitions: std::sync::Arc<dyn Definitions>,
        parts: Vec<Part>,
        left_out: Vec<(String, Fate)>,
    ) -> Self {
        Self {
            definitions,
            parts,
            left_out,
        }
    }
}
