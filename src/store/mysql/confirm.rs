//! Live right after a publish: it has to be what incoming was. Tables have changed their schema since incoming was verified, and
//! views, routines, triggers and events were made once more.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::address::Address;
use super::catalogue;
use super::connection::Session;
use super::definitions::{self, Definitions};
use super::names::Names;
use super::objects::ObjectKind;
use super::references;
use crate::config::job::Definer;
use crate::error::{Error, Kind, Result};
use crate::store::{Catalogue, Fate, Selection};

/// How many differences an error names.
const NAMED: usize = 3;

/// Incoming as it was when it was looked at last.
#[derive(Clone)]
pub(super) struct Seen {
    catalogue: Arc<Catalogue>,
    /// Tables with foreign keys to what is not there.
    pub(super) dangling: BTreeSet<String>,
    /// Views of what is not there: not every server makes them again.
    broken: BTreeSet<String>,
}

impl Seen {
    pub(super) fn new(there: &Definitions, definer: Definer) -> Self {
        let is_broken_view =
            |object: &&super::objects::Object| object.kind == ObjectKind::View && object.broken;
        Self {
            catalogue: Arc::new(fixed(there, definer)),
            dangling: references::dangling(there),
            broken: there
                .objects
                .iter()
                .filter(is_broken_view)
                .map(super::objects::Object::label)
                .collect(),
        }
    }
}

/// A schema's catalogue without what moves on as soon as somebody uses it: where counters and sequences stand.
fn fixed(definitions: &Definitions, definer: Definer) -> Catalogue {
    let mut definitions = definitions.clone();
    for sequence in &mut definitions.sequences {
        sequence.fate = Fate::SchemaOnly;
    }
    let mut catalogue = catalogue::of(&definitions, definer);
    catalogue
        .0
        .retain(|name, _| !name.starts_with("counter of "));
    catalogue
}

/// Holds live against what incoming was.
pub(super) async fn confirm(
    address: &Address,
    names: &Names,
    definer: Definer,
    seen: &Seen,
) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    let everything = Selection::everything();
    let live = definitions::read(&mut session, &names.live, &everything).await?;
    let live = fixed(&live, definer);
    let mut wrong = Vec::new();
    for (name, wanted) in &seen.catalogue.0 {
        match live.0.get(name) {
            Some(found) if found == wanted => {}
            Some(found) => {
                tracing::error!(
                    object = name,
                    wanted,
                    found,
                    "live is not what was verified"
                );
                wrong.push(format!("{name} is defined otherwise"));
            }
            None if seen.broken.contains(name) => {}
            None => wrong.push(format!("{name} is missing")),
        }
    }
    for (name, found) in &live.0 {
        if found.contains(&names.incoming) && !wrong.iter().any(|told| told.starts_with(name)) {
            wrong.push(format!("{name} names {}", names.incoming));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(NAMED);
    wrong.truncate(NAMED);
    let rest = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    Err(Error::new(
        Kind::Verify,
        format!(
            "what was published is not what was verified: {}{rest}",
            wrong.join("; ")
        ),
    )
    .hint("the run's log has the definitions; does anything alter the target's tables meanwhile?"))
}
