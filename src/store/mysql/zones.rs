//! What a server computes under a session's time zone and stores: generated columns, and indexes over columns and expressions
//! that are computed. Rows travel in UTC; so these are computed anew in the zone that sessions of the target's applications have.

use std::collections::BTreeSet;

use super::connection::Session;
use super::ddl::{Clause, has_word};
use super::definitions::{Definitions, Table};
use super::incoming;
use super::lexer::{self, Dialect, Shape, Token};
use super::names::{quoted, within};
use crate::error::Result;
use crate::store::Fate;

/// Functions whose result depends on the zone, whatever they are given.
const ALWAYS: [&str; 3] = ["FROM_UNIXTIME", "CONVERT_TZ", "UNIX_TIMESTAMP"];

/// Words of expressions that make a moment of a text, which may have a zone of its own: `2024-01-01 10:00:00+05:00`.
const MOMENTS: &str = "DATE DATETIME TIMESTAMP TIME YEAR MONTH DAY DAYOFMONTH DAYOFWEEK DAYOFYEAR HOUR MINUTE SECOND MICROSECOND \
    WEEK WEEKDAY WEEKOFYEAR YEARWEEK QUARTER TO_DAYS TO_SECONDS TIME_TO_SEC DATE_FORMAT TIME_FORMAT DATEDIFF TIMEDIFF \
    TIMESTAMPDIFF TIMESTAMPADD ADDTIME SUBTIME LAST_DAY EXTRACT INTERVAL MONTHNAME DAYNAME";

/// What of a table depends on the zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Zoned {
    /// Stored columns.
    stored: BTreeSet<String>,
    /// The places of keys among its clauses.
    keys: Vec<usize>,
}

impl Zoned {
    /// Looks for it in a table's definition.
    pub(super) fn of(table: &Table) -> Self {
        let mut found = Self::default();
        let may_be = table.columns.iter().any(|column| column.generated)
            || table
                .create
                .clauses
                .iter()
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
        for (clause, text) in &table.create.clauses {
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
        for (place, (clause, text)) in table.create.clauses.iter().enumerate() {
            let Clause::Key(key) = clause else { continue };
            let is_over = key.columns.iter().any(|name| computed.contains(name));
            if is_over || has_expression_that_depends(text, &names, &texts) {
                found.keys.push(place);
            }
        }
        found
    }

    /// Whether there is anything.
    pub(super) fn is_some(&self) -> bool {
        !self.stored.is_empty() || !self.keys.is_empty()
    }

    /// What computes the stored columns anew, and leaves all others as they are. Not an ALTER TABLE that copies the table: it
    /// takes an hour that there is twice for the later one.
    fn assignments(&self, table: &Table) -> String {
        let computed = self.stored.iter().map(|name| (quoted(name), "DEFAULT"));
        let updated = table.create.clauses.iter().filter_map(|(clause, text)| {
            let is_updated = has_word(text, "ON UPDATE");
            match clause {
                Clause::Column(name) if is_updated => Some(quoted(name)),
                _ => None,
            }
        });
        let mut all: Vec<String> = computed
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        all.extend(updated.map(|name| format!("{name} = {name}")));
        all.join(", ")
    }

    /// Keys that were there before the rows, from the first on whose entries depend on the zone, so that their order stays: their
    /// names and texts.
    fn made_before<'a>(&self, table: &'a Table) -> Vec<(String, &'a str)> {
        let later = incoming::index_clauses(table);
        let was_there = |text: &str| {
            let added = format!("ADD {text}");
            !later.iter().any(|clauses| clauses.contains(&added))
        };
        let clauses = &table.create.clauses;
        let first = self
            .keys
            .iter()
            .copied()
            .find(|place| was_there(&clauses[*place].1));
        let Some(first) = first else {
            return Vec::new();
        };
        clauses[first..]
            .iter()
            .filter(|(clause, text)| matches!(clause, Clause::Key(_)) && was_there(text))
            .filter_map(|(_, text)| {
                let tokens = lexer::tokens(text, Dialect::default());
                let name = tokens.iter().find(|token| token.shape == Shape::Quoted)?;
                Some((name.text.to_owned(), text.as_str()))
            })
            .collect()
    }
}

/// What makes a table's rows be what sessions of the target's applications would have written, and `indexes`, which come after
/// rows, be of that; all in order. Of a table that has nothing to do with zones, or where the zone is UTC, nothing but these.
pub(super) fn statements(
    table: &Table,
    schema: &str,
    zone: &str,
    indexes: Vec<String>,
) -> Vec<String> {
    let zoned = Zoned::of(table);
    if is_utc(zone) || !zoned.is_some() {
        return indexes;
    }
    let mut all = vec![ORDINARY.to_owned()];
    if !zoned.stored.is_empty() {
        all.push(format!(
            "UPDATE {} SET {}",
            within(schema, &table.name),
            zoned.assignments(table)
        ));
    }
    let made_before = zoned.made_before(table);
    for word in ["DROP", "ADD"] {
        let clauses: Vec<String> = made_before
            .iter()
            .map(|(name, text)| match word {
                "DROP" => format!("DROP KEY {name}"),
                _ => format!("ADD {text}"),
            })
            .collect();
        if !clauses.is_empty() {
            let table = within(schema, &table.name);
            all.push(format!("ALTER TABLE {table} {}", clauses.join(", ")));
        }
    }
    all.extend(indexes);
    all.push(TRAVELLING.to_owned());
    all
}

/// Gives a session the zone that an application's has.
pub(super) const ORDINARY: &str = "SET SESSION time_zone = @@GLOBAL.time_zone";

/// Gives it back the one in which rows travel.
pub(super) const TRAVELLING: &str = "SET SESSION time_zone = '+00:00'";

/// The zone that a server's sessions have: `SYSTEM` is its machine's.
pub(super) const OF_SERVER: &str =
    "IF(@@GLOBAL.time_zone = 'SYSTEM', @@system_time_zone, @@GLOBAL.time_zone)";

/// Asks for it.
pub(super) async fn of(session: &mut Session) -> Result<String> {
    session
        .query_one(&format!("SELECT {OF_SERVER}"))
        .await?
        .text(0)
}

/// Whether this is UTC for sure. `GMT` is not: it is what some call their winter.
fn is_utc(zone: &str) -> bool {
    matches!(zone, "+00:00" | "UTC")
}

/// Tells of what will be another value than the source's.
pub(super) async fn warn(session: &mut Session, definitions: &Definitions) -> Result<()> {
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
pub(super) fn generated<'a, 'b>(
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

#[cfg(test)]
mod tests {
    use super::super::ddl::Create;
    use super::super::definitions::Column;
    use super::*;

    fn table(clauses: &str, columns: &[(&str, &str)]) -> Table {
        let create = Create::parse(&format!("CREATE TABLE `t` (\n{clauses}\n) ENGINE=InnoDB"))
            .expect("a table");
        let columns = columns
            .iter()
            .map(|(name, kind)| Column {
                name: (*name).to_owned(),
                data_type: (*kind).to_owned(),
                column_type: (*kind).to_owned(),
                charset: (*kind == "varchar").then(|| "utf8mb4".to_owned()),
                collation: None,
                generated: name.starts_with('g'),
                is_period: false,
            })
            .collect();
        Table {
            name: "t".to_owned(),
            create,
            engine: "InnoDB".to_owned(),
            columns,
            auto_increment: None,
            rows: 0,
            bytes: 0,
            transactional: true,
            split_key: None,
            versioning: None,
            fate: Fate::Copy,
        }
    }

    #[test]
    fn what_depends_on_the_zone_is_found() {
        for (expression, depends) in [
            ("hour(`ts`)", true),
            ("from_unixtime(`n`)", true),
            ("year(`dt`)", false),
            ("year(`s`)", true),
            ("concat(`s`,'2')", false),
            ("cast('2024-01-01 10:00:00+05:00' as datetime)", true),
            ("date_format(`dt`,_utf8mb4'%Y')", false),
            ("(`n` * 2)", false),
        ] {
            let columns = [
                ("id", "int"),
                ("ts", "timestamp"),
                ("dt", "datetime"),
                ("n", "int"),
                ("s", "varchar"),
                ("g1", "int"),
                ("g2", "int"),
            ];
            let clauses = |kind: &str, key: &str| {
                table(
                    &format!(
                        "  `id` int NOT NULL,\n  `ts` timestamp NULL,\n  `g1` int GENERATED ALWAYS AS ({expression}) VIRTUAL COMMENT 'hour 1',\n  `g2` int GENERATED ALWAYS AS ((`g1` + 1)) {kind},\n  PRIMARY KEY (`id`),\n  KEY `k` {key}"
                    ),
                    &columns,
                )
            };
            let zoned = Zoned::of(&clauses("STORED", "(`ts`)"));
            assert_eq!(zoned.stored.contains("g2"), depends, "{expression}");
            assert!(zoned.keys.is_empty());
            assert_eq!(
                Zoned::of(&clauses("VIRTUAL", "(`g2`)")).keys.len() == 1,
                depends,
                "{expression}"
            );
            let key = format!("((({expression})))");
            assert_eq!(
                Zoned::of(&clauses("VIRTUAL", &key)).keys.len() == 1,
                depends,
                "{expression}"
            );
            let made = |kind: &str, key: &str, zone: &str| {
                statements(&clauses(kind, key), "inc", zone, vec!["ADD".to_owned()]).len()
            };
            let of = |zoned: usize| if depends { zoned } else { 1 };
            assert_eq!(
                made("STORED", "(`ts`)", "Europe/London"),
                of(4),
                "{expression}"
            );
            assert_eq!(made("STORED", "(`ts`)", "UTC"), 1);
            // An index that comes after the rows is right by itself.
            assert_eq!(made("VIRTUAL", "(`g2`)", "CET"), of(3), "{expression}");
            // One that has to be there before is made anew.
            let unique = table(
                &format!(
                    "  `ts` timestamp NOT NULL,\n  `g1` int GENERATED ALWAYS AS ({expression}) VIRTUAL NOT NULL,\n  UNIQUE KEY `u` (`g1`)"
                ),
                &columns,
            );
            let all = statements(&unique, "inc", "CET", Vec::new());
            assert_eq!(all.len(), if depends { 4 } else { 0 }, "{all:?}");
        }
    }
}
