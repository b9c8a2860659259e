//! Whether tables are encrypted (MySQL 8.0.16): by what their definition says, or else by a rule, which is live's DEFAULT
//! ENCRYPTION or the server's `default_table_encryption` ("InnoDB Data-at-Rest Encryption", MySQL's manual).
//!
//! What the source encrypts says so in its definition, and is encrypted in the copy. What it does not encrypt follows the target's
//! rule. Schemas of a run's own have live's rule: their tables become live's.

use super::create_table::Create;
use super::definitions::Definitions;
use crate::error::Result;
use crate::store::Fate;
use crate::store::catalogue::first_of;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::lexer::{self, Dialect, Token};
use crate::store::mysql::sql::names::{Names, literal};
use crate::store::mysql::sql::version::Flavour;

/// How many tables a warning names.
const NAMED: usize = 5;

/// How a server encrypts tables whose definition does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    /// Of a schema that has no other rule.
    server: bool,
    /// Of live, if there is one.
    live: Option<bool>,
}

async fn rule(session: &mut Session, live: &str) -> Result<Option<Rule>> {
    let version = session.version();
    if version.flavour != Flavour::MySql || version.number < (8, 0, 16) {
        return Ok(None);
    }
    let row = session
        .query_one(&format!(
            "SELECT @@default_table_encryption, (SELECT DEFAULT_ENCRYPTION = 'YES' FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {})",
            literal(live)
        ))
        .await?;
    Ok(Some(Rule {
        server: row.number(0)? != 0,
        live: row.maybe(1)?.map(|text| text == "1"),
    }))
}

/// The ENCRYPTION clause for a schema of the run's own; empty, where the server's default is live's setting.
pub(in crate::store::mysql) async fn clause(
    session: &mut Session,
    names: &Names,
) -> Result<&'static str> {
    let rule = rule(session, &names.live).await?;
    let other = rule.and_then(|rule| rule.live.filter(|live| *live != rule.server));
    Ok(match other {
        None => "",
        Some(true) => " DEFAULT ENCRYPTION = 'Y'",
        Some(false) => " DEFAULT ENCRYPTION = 'N'",
    })
}

/// Tells of tables that are encrypted by the target's rule and not on the source, and of those that the rule does not reach.
pub(in crate::store::mysql) async fn warn(
    session: &mut Session,
    definitions: &Definitions,
    names: &Names,
) -> Result<()> {
    let rule = rule(session, &names.live).await?;
    if !rule.is_some_and(|rule| rule.live.unwrap_or(rule.server)) {
        return Ok(());
    }
    let (mut more, mut less) = (Vec::new(), Vec::new());
    for table in &definitions.tables {
        match said(&table.create) {
            _ if table.fate == Fate::Keep => {}
            Some(true) => {}
            Some(false) => less.push(format!("`{}`", table.name)),
            None => more.push(format!("`{}`", table.name)),
        }
    }
    if !more.is_empty() {
        tracing::warn!(
            tables = first_of(&more, NAMED),
            "these tables are encrypted on the target, as its rule says (DEFAULT ENCRYPTION of the database, default_table_encryption), and are not on the source"
        );
    }
    if !less.is_empty() {
        tracing::warn!(
            tables = first_of(&less, NAMED),
            "these tables say ENCRYPTION='N' on the source, and so they are not encrypted on the target, against its rule (DEFAULT ENCRYPTION of the database, default_table_encryption)"
        );
    }
    Ok(())
}

/// The ENCRYPTION option of a definition.
fn said(create: &Create) -> Option<bool> {
    let tokens = lexer::tokens(&create.tail, Dialect::default());
    let (_, value) = place(&tokens)?;
    Some(tokens[value].text.eq_ignore_ascii_case("'Y'"))
}

/// The word's place and its value's.
fn place(tokens: &[Token<'_>]) -> Option<(usize, usize)> {
    let word = tokens.iter().position(|token| token.is("ENCRYPTION"))?;
    let (sign, _) = lexer::solid(tokens, word + 1).filter(|(_, token)| token.is_mark("="))?;
    let (value, _) = lexer::solid(tokens, sign + 1)?;
    Some((word, value))
}

/// Takes out of a table's definition what it only has by the target's rule.
pub(in crate::store::mysql) fn without_inherited(made: &mut Create, source: &Create) {
    if said(source).is_some() || said(made) != Some(true) {
        return;
    }
    let tokens = lexer::tokens(&made.tail, Dialect::default());
    let Some((mut start, mut end)) = place(&tokens) else {
        return;
    };
    // With the comment that it is printed in.
    let opening = lexer::before(&tokens, start).filter(|(_, token)| token.text.starts_with("/*!"));
    let closing = lexer::solid(&tokens, end + 1).filter(|(_, token)| token.text == "*/");
    if let (Some((opening, _)), Some((closing, _))) = (opening, closing) {
        (start, end) = (opening, closing);
    }
    let text = |tokens: &[Token<'_>]| tokens.iter().map(|token| token.text).collect::<String>();
    let mut tail = text(&tokens[..start]).trim_end().to_owned();
    tail.push_str(&text(&tokens[end + 1..]));
    made.tail = tail.trim().into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(tail: &str) -> Create {
        Create::parse(&format!("CREATE TABLE `t` (\n  `a` int\n) {tail}")).expect("a table")
    }

    #[test]
    fn what_a_table_has_by_the_rule_alone_is_no_difference() {
        let plain = table("ENGINE=InnoDB COMMENT='ENCRYPTION'");
        for (tail, rest) in [
            (
                "ENGINE=InnoDB COMMENT='ENCRYPTION' /*!80016 ENCRYPTION='Y' */",
                "ENGINE=InnoDB COMMENT='ENCRYPTION'",
            ),
            (
                "ENGINE=InnoDB ENCRYPTION='Y' COMMENT='x'\n/*!50100 PARTITION BY HASH (`a`) */",
                "ENGINE=InnoDB COMMENT='x'\n/*!50100 PARTITION BY HASH (`a`) */",
            ),
            (
                "ENGINE=InnoDB /*!80016 ENCRYPTION='N' */",
                "ENGINE=InnoDB /*!80016 ENCRYPTION='N' */",
            ),
        ] {
            let mut made = table(tail);
            without_inherited(&mut made, &plain);
            assert_eq!(&*made.tail, rest);
        }
        // What the source says is a difference if it is not so.
        let encrypted = table("ENGINE=InnoDB /*!80016 ENCRYPTION='Y' */");
        let mut made = encrypted.clone();
        without_inherited(&mut made, &encrypted);
        assert_eq!(made, encrypted);
        assert_eq!([said(&plain), said(&encrypted)], [None, Some(true)]);
    }
}
