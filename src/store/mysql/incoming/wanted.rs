//! What a task asks of the copy, for the checks before it is made.

use crate::config::job::{Definer, Events};
use crate::store::Selection;
use crate::store::mysql::sql::names::Names;

/// What the task and the run say.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::mysql) struct Wanted<'a> {
    pub(in crate::store::mysql) names: &'a Names,
    pub(in crate::store::mysql) definer: Definer,
    pub(in crate::store::mysql) events: Events,
    /// Whether live is there already.
    pub(in crate::store::mysql) has_live: bool,
    /// The selection that says what of live stays.
    pub(in crate::store::mysql) selection: &'a Selection,
}
