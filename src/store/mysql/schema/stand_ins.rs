//! Tables, views and functions that stand in for what a broken view mentions, for the moment in which the view is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};
use crate::store::mysql::sql::names::{literal, quoted, within};

/// The tables and views that a view's text mentions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store::mysql) struct Mentioned {
    /// Tables and views of the schema, each with its columns.
    pub(in crate::store::mysql) tables: BTreeMap<String, BTreeSet<String>>,
    /// The views among them, as the server prints them: a view's columns never have its schema.
    views: BTreeSet<String>,
    /// Stored functions, each with its number of arguments.
    pub(in crate::store::mysql) functions: BTreeMap<String, usize>,
}

/// What stand-ins are known by, wherever a killed run left them.
const STAND_IN: &str = "envsyncd: stand-in";

/// Removes what stands in for something in a schema, if a killed run left it there.
pub(in crate::store::mysql) async fn remove_stand_ins(
    session: &mut Session,
    schema: &str,
) -> Result<()> {
    let name = literal(schema);
    let rows = session
        .query(&format!(
            "SELECT 'TABLE', TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name} AND TABLE_COMMENT = '{STAND_IN}' \
             UNION ALL SELECT 'VIEW', TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {name} AND COLUMN_NAME = '{STAND_IN}' \
             UNION ALL SELECT 'FUNCTION', ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name} AND ROUTINE_COMMENT = '{STAND_IN}'"
        ))
        .await?;
    for row in rows {
        let name = within(schema, &row.text(1)?);
        session
            .run(&format!("DROP {} IF EXISTS {name}", row.text(0)?))
            .await?;
    }
    Ok(())
}

/// What stands in for what a view mentions.
#[derive(Default)]
pub(in crate::store::mysql) struct StandIns(Vec<String>);

impl StandIns {
    /// Removes them.
    pub(in crate::store::mysql) async fn run(self, session: &mut Session) -> Result<()> {
        for statement in self.0 {
            session.run(&statement).await?;
        }
        Ok(())
    }
}

/// Makes tables and functions that a view mentions and the schema lacks; the session is in it.
pub(in crate::store::mysql) async fn stand_in(
    session: &mut Session,
    text: &str,
    schema: &str,
) -> Result<StandIns> {
    let mut undo = StandIns::default();
    match make_stand_ins(session, text, schema, &mut undo).await {
        Ok(()) => Ok(undo),
        Err(error) => {
            undo.run(session).await?;
            Err(error)
        }
    }
}

async fn make_stand_ins(
    session: &mut Session,
    text: &str,
    schema: &str,
    undo: &mut StandIns,
) -> Result<()> {
    let mentioned = mentioned(text, schema);
    let schema = literal(schema);
    let mut there = BTreeSet::new();
    for row in session
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} \
             UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} AND ROUTINE_TYPE = 'FUNCTION'"
        ))
        .await?
    {
        there.insert(row.text(0)?);
    }
    for (table, columns) in &mentioned.tables {
        if there.contains(table) {
            continue;
        }
        let is_view = mentioned.views.contains(table);
        let mut columns: Vec<String> = columns
            .iter()
            .map(|column| {
                if is_view {
                    format!("1 AS {}", quoted(column))
                } else {
                    format!("{} INT", quoted(column))
                }
            })
            .collect();
        if columns.is_empty() {
            columns.push("`a` INT".to_owned());
        }
        let (name, columns) = (quoted(table), columns.join(", "));
        session
            .run(&if is_view {
                format!("CREATE VIEW {name} AS SELECT {columns}, '{STAND_IN}' AS `{STAND_IN}`")
            } else {
                format!("CREATE TABLE {name} ({columns}) COMMENT = '{STAND_IN}'")
            })
            .await?;
        let kind = if is_view { "VIEW" } else { "TABLE" };
        undo.0.push(format!("DROP {kind} {name}"));
    }
    for (function, arguments) in &mentioned.functions {
        if there.contains(function) {
            continue;
        }
        let arguments: Vec<String> = (0..*arguments).map(|at| format!("a{at} INT")).collect();
        session
            .run(&format!(
                "CREATE FUNCTION {}({}) RETURNS INT DETERMINISTIC COMMENT '{STAND_IN}' RETURN 1",
                quoted(function),
                arguments.join(", ")
            ))
            .await?;
        undo.0.push(format!("DROP FUNCTION {}", quoted(function)));
    }
    Ok(())
}

/// Reads the server's own text of a view: names are quoted, functions of the server's are not.
pub(in crate::store::mysql) fn mentioned(text: &str, schema: &str) -> Mentioned {
    let tokens: Vec<Token<'_>> = lexer::tokens(text, Dialect::default())
        .into_iter()
        .filter(|token| token.shape != Shape::Blank)
        .collect();
    let mut found = Mentioned::default();
    let mut aliases: BTreeMap<String, String> = BTreeMap::new();
    let mut columns: Vec<(String, String, bool)> = Vec::new();
    let start = tokens
        .iter()
        .position(|token| token.is("AS"))
        .unwrap_or(tokens.len());
    let mut at = start;
    while at < tokens.len() {
        let first = at;
        let mut path: Vec<String> = Vec::new();
        while at < tokens.len() && tokens[at].shape == Shape::Quoted {
            path.extend(tokens[at].name());
            at += 1;
            if !tokens.get(at).is_some_and(|token| token.is_mark(".")) {
                break;
            }
            at += 1;
        }
        if path.is_empty() {
            at += 1;
            continue;
        }
        let is_qualified = path.len() > 1 && path[0] == schema;
        if is_qualified {
            path.remove(0);
        }
        let follows = tokens.get(at);
        if tokens[first - 1].is("AS") {
            continue;
        }
        let in_from = is_in_from(&tokens[start..first]);
        match path.as_slice() {
            [name] if follows.is_some_and(|token| token.is_mark("(")) => {
                found
                    .functions
                    .insert(name.clone(), arguments(&tokens[at..]));
            }
            [table] if in_from => {
                let alias = follows
                    .filter(|token| token.shape == Shape::Quoted)
                    .and_then(Token::name);
                if alias.is_some() {
                    at += 1;
                }
                aliases.insert(alias.unwrap_or_else(|| table.clone()), table.clone());
                found.tables.entry(table.clone()).or_default();
            }
            [table, column] if !in_from => {
                columns.push((table.clone(), column.clone(), is_qualified));
            }
            _ => {}
        }
    }
    for (table, column, is_qualified) in columns {
        if !is_qualified && aliases.get(&table) == Some(&table) {
            found.views.insert(table.clone());
        }
        if let Some(columns) = aliases
            .get(&table)
            .and_then(|table| found.tables.get_mut(table))
        {
            columns.insert(column);
        }
    }
    found
}

/// Whether what follows these tokens is a table: in front of one is FROM, JOIN, or the parenthesis that opens a join.
fn is_in_from(before: &[Token<'_>]) -> bool {
    let opens = |token: &Token<'_>| token.is_mark("(");
    let leads = before.iter().rev().find(|token| !opens(token));
    leads.is_some_and(|token| token.is("FROM") || token.is("JOIN"))
}

/// How many arguments stand in the parentheses that come first.
fn arguments(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    let mut commas = 0;
    for (at, token) in tokens.iter().enumerate() {
        if token.is_mark("(") {
            depth += 1;
        } else if token.is_mark(")") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return if at == 1 { 0 } else { commas + 1 };
            }
        } else if token.is_mark(",") && depth == 1 {
            commas += 1;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_columns_and_functions_of_a_view_are_found() {
        let found = mentioned(
            "CREATE VIEW `v` AS select `inc`.`gone`.`a` AS `x`,`g`.`b` AS `b`,`users`.`id` AS `id`,`f`(`g`.`c`,lower('a,b')) AS `f`,`o`.`n` AS `n` from (((`inc`.`gone` join `inc`.`lost` `g`) join `users`) join `other`.`o`)",
            "inc",
        );
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            found.tables,
            BTreeMap::from([
                ("gone".to_owned(), columns(&["a"])),
                ("lost".to_owned(), columns(&["b", "c"])),
                ("users".to_owned(), columns(&["id"])),
            ])
        );
        assert_eq!(found.functions, BTreeMap::from([("f".to_owned(), 2)]));
    }
}
