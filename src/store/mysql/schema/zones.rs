//! What a server computes under a session's time zone and stores: generated columns, and indexes over columns and expressions
//! that are computed. Rows travel in UTC; so these are computed anew in the zone that sessions of the target's applications have.

use std::collections::BTreeSet;

use super::create_table::Clause;
use super::definitions::{Definitions, Table};
use crate::error::Result;
use crate::store::Fate;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};

/// Functions whose result depends on the zone, whatever they are given.
const ALWAYS: [&str; 3] = ["FROM_UNIXTIME", "CONVERT_TZ", "UNIX_TIMESTAMP"];

/// Words of expressions that make a moment of a text, which may have a zone of its own: `2024-01-01 10:00:00+05:00`.
const MOMENTS: &str = "DATE DATETIME TIMESTAMP TIME YEAR MONTH DAY DAYOFMONTH DAYOFWEEK DAYOFYEAR HOUR MINUTE SECOND MICROSECOND \
    WEEK WEEKDAY WEEKOFYEAR YEARWEEK QUARTER TO_DAYS TO_SECONDS TIME_TO_SEC DATE_FORMAT TIME_FORMAT DATEDIFF TIMEDIFF \
    TIMESTAMPDIFF TIMESTAMPADD ADDTIME SUBTIME LAST_DAY EXTRACT INTERVAL MONTHNAME DAYNAME";

/// The parts of a table's definition that depend on the time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store::mysql) struct Zoned {
    /// Stored columns.
    pub(in crate::store::mysql) stored: BTreeSet<String>,
    /// The places of keys among its clauses.
    pub(in crate::store::mysql) keys: Vec<usize>,
}

impl Zoned {
    /// Looks for it in a table's definition.
    pub(in crate::store::mysql) fn of(table: &Table) -> Self {
        let mut found = Self::default();
        let may_be = table.columns.iter().any(|column| column.generated)
            || table
                .create
                .clauses()
                .any(|(clause, text)| matches!(clause, Clause::Key(_)) && text.contains("(("));
        if !may_be {
            return found;
        }
        // Columns that are moments, or depend on the zone; and those that are computed among them.
        let mut names: BTreeSet<String> = table
            .columns
            .iter()
            .filter(|column| column.data_type == "timestamp")
            .map(|column| column.name.clone())
            .collect();
        let mut computed = BTreeSet::new();
        let texts: BTreeSet<String> = table
            .columns
            .iter()
            .filter(|column| column.charset.is_some() || is_text(&column.data_type))
            .map(|column| column.name.clone())
            .collect();
        for (clause, text) in table.create.clauses() {
            let Clause::Column(name) = clause else {
                continue;
            };
            let tokens = lexer::tokens(text, Dialect::default());
            let Some((expression, rest)) = generated(&tokens) else {
                continue;
            };
            if depends(expression, &names, &texts) {
                names.insert(name.clone());
                computed.insert(name.clone());
                if rest
                    .iter()
                    .any(|token| token.is("STORED") || token.is("PERSISTENT"))
                {
                    found.stored.insert(name.clone());
                }
            }
        }
        for (place, (clause, text)) in table.create.clauses().enumerate() {
            let Clause::Key(key) = clause else { continue };
            let is_over = key.columns.iter().any(|name| computed.contains(name));
            if is_over || has_expression_that_depends(text, &names, &texts) {
                found.keys.push(place);
            }
        }
        found
    }

    /// Whether there is anything.
    pub(in crate::store::mysql) fn is_some(&self) -> bool {
        !self.stored.is_empty() || !self.keys.is_empty()
    }
}

/// Gives a session the zone that an application's has.
pub(in crate::store::mysql) const ORDINARY: &str = "SET SESSION time_zone = @@GLOBAL.time_zone";

/// Gives it back the one in which rows travel.
pub(in crate::store::mysql) const TRAVELLING: &str = "SET SESSION time_zone = '+00:00'";

/// The zone that a server's sessions have: `SYSTEM` is its machine's.
pub(super) const OF_SERVER: &str =
    "IF(@@GLOBAL.time_zone = 'SYSTEM', @@system_time_zone, @@GLOBAL.time_zone)";

/// Asks for it.
pub(in crate::store::mysql) async fn of(session: &mut Session) -> Result<String> {
    session
        .query_one(&format!("SELECT {OF_SERVER}"))
        .await?
        .text(0)
}

/// Whether this is UTC for sure. `GMT` is not: it is what some call their winter.
pub(in crate::store::mysql) fn is_utc(zone: &str) -> bool {
    matches!(zone, "+00:00" | "UTC")
}

/// Tells of what will be another value than the source's.
pub(in crate::store::mysql) async fn warn(
    session: &mut Session,
    definitions: &Definitions,
) -> Result<()> {
    if definitions.zone.is_empty() {
        // An older archive's.
        return Ok(());
    }
    let zoned: Vec<String> = definitions
        .tables
        .iter()
        .filter(|table| table.fate == Fate::Copy)
        .flat_map(|table| {
            let stored = Zoned::of(table).stored.into_iter();
            stored.map(|column| format!("{}.{column}", table.name))
        })
        .collect();
    if zoned.is_empty() {
        return Ok(());
    }
    let here = of(session).await?;
    if here != definitions.zone && !(is_utc(&here) && is_utc(&definitions.zone)) {
        tracing::warn!(
            columns = zoned.join(", "),
            source = definitions.zone,
            target = here,
            "stored generated columns depend on the time zone, which is another one on the target: they are what its sessions compute, and verify = \"checksum\" finds them different"
        );
    }
    Ok(())
}

fn is_text(data_type: &str) -> bool {
    data_type == "json" || data_type.ends_with("blob") || data_type.ends_with("binary")
}

/// A generated column's expression, and what comes behind it.
pub(in crate::store::mysql) fn generated<'a, 'b>(
    tokens: &'b [Token<'a>],
) -> Option<(&'b [Token<'a>], &'b [Token<'a>])> {
    let at = tokens.iter().position(|token| token.is("GENERATED"))?;
    let (always, _) = lexer::solid(tokens, at + 1)?;
    let (as_, _) = lexer::solid(tokens, always + 1).filter(|(_, token)| token.is("AS"))?;
    let (open, _) = lexer::solid(tokens, as_ + 1).filter(|(_, token)| token.is_mark("("))?;
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(open) {
        if token.is_mark("(") {
            depth += 1;
        } else if token.is_mark(")") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Some((&tokens[open + 1..place], &tokens[place + 1..]));
            }
        }
    }
    None
}

/// Whether an expression's value depends on the zone; `names` are columns that do, or are moments themselves.
fn depends(expression: &[Token<'_>], names: &BTreeSet<String>, texts: &BTreeSet<String>) -> bool {
    let is_moment = |token: &Token<'_>| {
        token.shape == Shape::Word && MOMENTS.split_ascii_whitespace().any(|word| token.is(word))
    };
    let is_in = |token: &Token<'_>, names: &BTreeSet<String>| {
        token.shape == Shape::Quoted && token.name().is_some_and(|name| names.contains(&name))
    };
    let has_date = |token: &Token<'_>| {
        token.shape == Shape::Text
            && token.text[1..]
                .chars()
                .next()
                .is_some_and(|first| first.is_ascii_digit())
    };
    expression
        .iter()
        .any(|token| ALWAYS.iter().any(|word| token.is(word)) || is_in(token, names))
        || (expression.iter().any(is_moment)
            && expression
                .iter()
                .any(|token| is_in(token, texts) || has_date(token)))
}

/// Whether one of a key's parts is an expression that does.
fn has_expression_that_depends(
    key: &str,
    names: &BTreeSet<String>,
    texts: &BTreeSet<String>,
) -> bool {
    if !key.contains("((") {
        return false;
    }
    let tokens = lexer::tokens(key, Dialect::default());
    let mut depth = 0_usize;
    let inner: Vec<Token<'_>> = tokens
        .into_iter()
        .filter(|token| {
            if token.is_mark("(") {
                depth += 1;
            } else if token.is_mark(")") {
                depth = depth.saturating_sub(1);
            }
            depth > 1
        })
        .collect();
    depends(&inner, names, texts)
}
