//! Creation views, routines, triggers and events in a schema.

use super::objects::{Creation, Object};
use super::{charsets, stand_ins};
use crate::error::Result;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::quoted;

/// Makes all of these in `making.to`, where their tables are. Returns the broken views that could not be made; any other
/// failure is an error. The session is left in the schema.
pub(in crate::store::mysql) async fn make(
    session: &mut Session,
    objects: &[Object],
    making: &Creation<'_>,
) -> Result<Vec<Object>> {
    session.run(&format!("USE {}", quoted(making.to))).await?;
    let mut default = charsets::Default::of(session, making.to, None).await?;
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    // What somebody else wrote is one statement, whatever is in it.
    session.take_one_at_a_time().await?;
    let left = make_all(session, objects, making, &mut default).await;
    if session.is_usable() {
        session.take_several_at_a_time().await?;
    }
    let left = left?;
    default.be(session, None).await?;
    Ok(left)
}

async fn make_all(
    session: &mut Session,
    objects: &[Object],
    making: &Creation<'_>,
    default: &mut charsets::Default<'_>,
) -> Result<Vec<Object>> {
    let mut waiting: Vec<&Object> = objects.iter().collect();
    // The order is by what can be told from names; whatever it got wrong is tried again while anything moves.
    loop {
        let mut failed = Vec::new();
        for object in &waiting {
            default
                .be(session, object.database_collation.as_deref())
                .await?;
            if let Err(error) = make_one(session, object, making).await {
                if !session.is_usable() {
                    return Err(error.within(object.label()));
                }
                failed.push((*object, error));
            }
        }
        if failed.len() == waiting.len() || failed.is_empty() {
            return settle(session, failed, making).await;
        }
        waiting = failed.into_iter().map(|(object, _)| object).collect();
    }
}

/// What could not be made: of a view that is broken on the source, too, its text is kept.
async fn settle(
    session: &mut Session,
    failed: Vec<(&Object, crate::error::Error)>,
    making: &Creation<'_>,
) -> Result<Vec<Object>> {
    let mut left = Vec::new();
    // Those on top of others first: while these are not there, something can stand in for them.
    for (object, error) in failed.into_iter().rev() {
        if !object.broken {
            return Err(error.within(object.label()));
        }
        if make_broken(session, object, making).await.is_ok() {
            tracing::warn!(
                view = object.name,
                "a view that is broken on the source is broken in the copy"
            );
        } else {
            tracing::warn!(
                view = object.name,
                error = %error,
                "a view that is broken on the source, and whose tables are there, cannot be made over stand-ins; it is tried again before they become live"
            );
            left.push(object.clone());
        }
    }
    Ok(left)
}

async fn make_one(session: &mut Session, object: &Object, making: &Creation<'_>) -> Result<()> {
    let [settings, text, restore] = object.statements(making)?;
    let text = charsets::encoded(session, &text, &object.charset_client).await?;
    session.run(&settings).await?;
    let made = session.execute_bytes(&text).await;
    if session.is_usable() {
        session.run(&restore).await?;
    }
    made.map(drop)
}

/// Makes a view over what is not there: stand-ins are made for that moment. (What `mariadb-dump` makes of such a view
/// cannot be restored at all.)
async fn make_broken(session: &mut Session, object: &Object, making: &Creation<'_>) -> Result<()> {
    let undo = stand_ins::stand_in(session, &object.rewritten(making)?, making.to).await?;
    let made = make_one(session, object, making).await;
    undo.run(session).await?;
    made
}
