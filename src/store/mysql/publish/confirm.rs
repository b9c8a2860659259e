//! Live right after a publish: it has to be what incoming was. Tables have changed their schema since incoming was verified, and
//! views, routines, triggers and events were made once more.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::job::Definer;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::catalogue;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::foreign_keys;
use crate::store::mysql::schema::objects::{Object, ObjectKind};
use crate::store::mysql::schema::reader;
use crate::store::mysql::sql::lexer::{self, Dialect};
use crate::store::mysql::sql::names::{Names, quoted};
use crate::store::{Catalogue, Fate, Selection};

/// How many differences an error names.
const NAMED: usize = 3;

/// Incoming as it was when it was looked at last.
#[derive(Clone)]
pub(in crate::store::mysql) struct Seen {
    catalogue: Arc<Catalogue>,
    /// Tables with foreign keys to what is not there.
    pub(in crate::store::mysql) dangling: BTreeSet<String>,
    /// Views of what is not there on the source, either: not every server makes them again.
    broken: BTreeSet<String>,
}

impl Seen {
    pub(in crate::store::mysql) fn new(
        there: &Definitions,
        source: &Definitions,
        definer: Definer,
    ) -> Self {
        let is_broken = |object: &Object| object.kind == ObjectKind::View && object.broken;
        let is_broken_view = |object: &&Object| {
            let mut originals = source.objects.iter();
            is_broken(object)
                && originals.any(|view| is_broken(view) && view.label() == object.label())
        };
        Self {
            catalogue: Arc::new(fixed(there, definer)),
            dangling: foreign_keys::dangling(there),
            broken: there
                .objects
                .iter()
                .filter(is_broken_view)
                .map(Object::label)
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
    for object in &mut definitions.objects {
        if object.kind == ObjectKind::Trigger {
            object.definition = on_its_table(object);
            // Triggers of a schema may have to share one; of those that do, a warning was given.
            object.database_collation = None;
        }
    }
    let mut catalogue = catalogue::of(&definitions, definer);
    catalogue
        .0
        .retain(|name, _| !name.starts_with("counter of "));
    catalogue
}

/// A trigger's definition with its table's name alone, in quotes: so MariaDB writes it where the table is renamed.
fn on_its_table(object: &Object) -> String {
    let sql = &object.definition;
    let tokens = lexer::tokens(sql, Dialect::of(&object.sql_mode));
    let place = || {
        let trigger = tokens.iter().position(|token| token.is("TRIGGER"))?;
        // A reserved word.
        let on = trigger + tokens[trigger..].iter().position(|token| token.is("ON"))?;
        let (mut end, _) = lexer::solid(&tokens, on + 1)?;
        while let Some((dot, _)) =
            lexer::solid(&tokens, end + 1).filter(|(_, token)| token.is_mark("."))
        {
            end = lexer::solid(&tokens, dot + 1)?.0;
        }
        Some((on, end))
    };
    let (Some((on, end)), Some(table)) = (place(), &object.table) else {
        return sql.clone();
    };
    let text =
        |tokens: &[lexer::Token<'_>]| tokens.iter().map(|token| token.text).collect::<String>();
    format!(
        "{}ON {}{}",
        text(&tokens[..on]),
        quoted(table),
        text(&tokens[end + 1..])
    )
}

/// Holds live against what incoming was.
pub(in crate::store::mysql) async fn confirm(
    address: &Address,
    names: &Names,
    definer: Definer,
    seen: &Seen,
) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    let everything = Selection::everything();
    let live = reader::read(&mut session, &names.live, &everything).await?;
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
    Err(Error::new(
        Kind::Verify,
        format!(
            "what was published is not what was verified: {}",
            first_of(&wrong, NAMED)
        ),
    )
    .hint("the run's log has the definitions; does anything alter the target's tables at the same time?"))
}
