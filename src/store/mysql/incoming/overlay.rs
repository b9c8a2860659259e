//! What only the target has and keeps (`mode = "overlay"`, `keep`) stays as it is, with the source's tables around it. Whether
//! it can is tried in incoming, before anything of live is touched.

use std::collections::BTreeSet;

use super::preserve::Preserved;
use crate::config::job::{Definer, Events};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::create_objects;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::objects::{self, Creation, Object, ObjectKind};
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::mysql::sql::names::{Names, literal, quoted, within};
use crate::store::mysql::sql::references;
use crate::store::mysql::workspace::schemas;

/// What stays.
pub(in crate::store::mysql) struct Staying<'a> {
    pub(in crate::store::mysql) definitions: &'a Definitions,
    pub(in crate::store::mysql) preserved: &'a Preserved,
    pub(in crate::store::mysql) overlay: bool,
}

impl Staying<'_> {
    /// Fails if something of live's cannot stay, by its name. Incoming is complete; the session is left in it.
    pub(in crate::store::mysql) async fn check(
        &self,
        session: &mut Session,
        names: &Names,
    ) -> Result<()> {
        let is_all_gone = !self.overlay && self.preserved.extra().next().is_none();
        if is_all_gone || !schemas::exists(session, &names.live).await? {
            return Ok(());
        }
        let mut staying = objects::read(session, &names.live).await?;
        staying.retain(|object| self.stays(object) && !object.broken);
        self.refuse_homonyms(&staying)?;
        staying.retain(|object| !self.has_same(object));
        let (in_live, here) = (
            relations(session, &names.live).await?,
            relations(session, &names.incoming).await?,
        );
        for object in staying
            .iter()
            .filter(|object| object.kind == ObjectKind::Trigger || object.kind == ObjectKind::View)
        {
            let used = references::of(&object.definition, Dialect::of(&object.sql_mode));
            let views = |name: &String| {
                staying
                    .iter()
                    .any(|other| other.kind == ObjectKind::View && other.name == *name)
            };
            let gone = used.tables.iter().find(|(schema, name)| {
                schema.as_ref().is_none_or(|schema| *schema == names.live)
                    && in_live.contains(name)
                    && !here.contains(name)
                    && !views(name)
            });
            if let Some((_, gone)) = gone {
                return Err(cannot_stay(object).because(format!("`{gone}` is not in the copy")));
            }
        }
        self.try_out(session, names, &staying).await
    }

    fn stays(&self, object: &Object) -> bool {
        match &object.table {
            Some(table) => self.preserved.extra().any(|extra| extra == table),
            None => self.overlay,
        }
    }

    fn has_same(&self, object: &Object) -> bool {
        self.definitions
            .objects
            .iter()
            .any(|other| other.kind == object.kind && other.name.eq_ignore_ascii_case(&object.name))
    }

    /// A trigger's name is the database's, and it would be on one table only.
    fn refuse_homonyms(&self, staying: &[Object]) -> Result<()> {
        let same = staying
            .iter()
            .find(|object| object.kind == ObjectKind::Trigger && self.has_same(object));
        match same {
            None => Ok(()),
            Some(object) => Err(cannot_stay(object)
                .because("a trigger of the source has the same name, which a database has once")),
        }
    }

    /// Makes views and triggers, with the functions that they call, and removes them again.
    async fn try_out(
        &self,
        session: &mut Session,
        names: &Names,
        staying: &[Object],
    ) -> Result<()> {
        let making = Creation {
            from: &names.live,
            to: &names.incoming,
            definer: Definer::Map,
            events: Events::Disabled,
        };
        let tried: Vec<&Object> = staying
            .iter()
            .filter(|object| {
                !matches!(object.kind, ObjectKind::Event | ObjectKind::Procedure)
                    // What cannot be told from its text does not move, either.
                    && object.rewritten(&making).is_ok()
            })
            .collect();
        let (needing, called): (Vec<&Object>, Vec<&Object>) = tried
            .into_iter()
            .partition(|object| matches!(object.kind, ObjectKind::View | ObjectKind::Trigger));
        session
            .run(&format!("USE {}", quoted(&names.incoming)))
            .await?;
        let mut made = Vec::new();
        let mut is_whole = true;
        for object in called {
            // Code is made without a look at what it uses: if that fails, it is for want of a right that staying needs not.
            match create_objects::make(session, std::slice::from_ref(object), &making).await {
                Ok(_) => made.push(object),
                Err(error) if session.is_usable() => {
                    is_whole = false;
                    tracing::debug!(%error, object = object.label(), "cannot be tried out");
                }
                Err(error) => return Err(error),
            }
        }
        let mut failed = None;
        for object in needing {
            match create_objects::make(session, std::slice::from_ref(object), &making).await {
                Ok(_) => made.push(object),
                Err(error) if !session.is_usable() => return Err(error),
                Err(_) if !is_whole && object.kind == ObjectKind::View => {}
                Err(error) => {
                    failed = Some(cannot_stay(object).because(error));
                    break;
                }
            }
        }
        for object in made.into_iter().rev() {
            session
                .run(&format!(
                    "DROP {} IF EXISTS {}",
                    object.kind.keyword(),
                    within(&names.incoming, &object.name)
                ))
                .await?;
        }
        failed.map_or(Ok(()), Err)
    }
}

fn cannot_stay(object: &Object) -> Error {
    Error::new(
        Kind::Verify,
        format!(
            "{}, which only the target has, cannot stay with the source's tables",
            object.label()
        ),
    )
    .hint("alter or drop it on the target")
}

/// Names of tables, views and sequences.
async fn relations(session: &mut Session, schema: &str) -> Result<BTreeSet<String>> {
    let rows = session
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
            literal(schema)
        ))
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}
