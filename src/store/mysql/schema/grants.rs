//! What a user may do, read from `SHOW GRANTS`. Pure but for the reading.

use crate::error::Result;
use crate::store::catalogue::first_of;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};
use crate::store::mysql::sql::version::Flavour;

/// How many schemas a privilege is said to hold on.
const NAMED: usize = 3;

/// One line: privileges on something, given or (MySQL's partial revokes) taken.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    takes: bool,
    /// In upper case; `ALL PRIVILEGES` as it is.
    privileges: Vec<String>,
    /// `None`: `*.*`; else a pattern over schemas.
    schema: Option<String>,
    /// `None`: `*`.
    table: Option<String>,
}

/// All lines of a user and of the roles that are on.
#[derive(Debug, Clone, Default)]
pub(in crate::store::mysql) struct Grants {
    lines: Vec<Line>,
    /// Privileges under which no privilege is missing are hidden from `SHOW GRANTS` (`--skip-grant-tables`).
    unknown: bool,
}

impl Grants {
    /// Reads those of the session's user, with the roles that are on.
    pub(in crate::store::mysql) async fn read(session: &mut Session) -> Result<Self> {
        let flavour = session.version().flavour;
        let rows = match session.query("SHOW GRANTS").await {
            Ok(rows) => rows,
            // 1290: the server runs without grants at all; 1141: nothing is granted.
            Err(error) if server_error::code(&error) == Some(1290) => {
                return Ok(Self {
                    lines: Vec::new(),
                    unknown: true,
                });
            }
            Err(error) if server_error::code(&error) == Some(1141) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut lines = Vec::new();
        for row in rows {
            lines.push(row.text(0)?);
        }
        // MySQL's line has the privileges of roles only if they are on; so does MariaDB's.
        debug_assert!(matches!(flavour, Flavour::MariaDb | Flavour::MySql));
        Ok(Self::parse(lines.iter().map(String::as_str)))
    }

    /// Reads lines as the server prints them.
    pub(in crate::store::mysql) fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        Self {
            lines: lines.filter_map(line).collect(),
            unknown: false,
        }
    }

    /// Whether the privilege holds on all of a schema.
    pub(in crate::store::mysql) fn has(&self, privilege: &str, schema: &str) -> bool {
        self.holds(privilege, schema, None)
    }

    /// Whether the privilege holds on one table.
    pub(in crate::store::mysql) fn has_on(
        &self,
        privilege: &str,
        schema: &str,
        table: &str,
    ) -> bool {
        self.holds(privilege, schema, Some(table))
    }

    /// Whether the privilege holds everywhere.
    pub(in crate::store::mysql) fn has_everywhere(&self, privilege: &str) -> bool {
        self.unknown
            || self
                .lines
                .iter()
                .any(|line| !line.takes && line.schema.is_none() && line.names(privilege))
    }

    /// What is held beyond these schemas of ours: `FILE, SUPER on all databases`, `SELECT on `mysql``. `others`: what else there
    /// is on the server.
    pub(in crate::store::mysql) fn beyond(&self, own: &[&str], others: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        for line in self.lines.iter().filter(|line| !line.takes) {
            let held: Vec<&str> = line
                .privileges
                .iter()
                .map(String::as_str)
                .filter(|privilege| *privilege != "USAGE")
                .collect();
            if held.is_empty() {
                continue;
            }
            let place = match &line.schema {
                None => Some("all databases".to_owned()),
                Some(pattern) => elsewhere(pattern, own, others),
            };
            found.extend(place.map(|place| format!("{} on {place}", held.join(", "))));
        }
        found
    }

    fn holds(&self, privilege: &str, schema: &str, table: Option<&str>) -> bool {
        let covers = |line: &&Line| {
            line.names(privilege)
                && line
                    .schema
                    .as_ref()
                    .is_none_or(|pattern| matches(pattern, schema))
                && (line.table.is_none() || line.table.as_deref() == table)
        };
        self.unknown
            || (self
                .lines
                .iter()
                .filter(|line| !line.takes)
                .any(|line| covers(&line))
                && !self
                    .lines
                    .iter()
                    .filter(|line| line.takes)
                    .any(|line| covers(&line)))
    }
}

impl Line {
    fn names(&self, privilege: &str) -> bool {
        self.privileges.iter().any(|held| {
            held == privilege
                // ALL on a schema has no global privileges in it, which no schema is asked for.
                || held == "ALL PRIVILEGES"
                || held == "ALL"
        })
    }
}

/// One line of `SHOW GRANTS`; nothing for roles, proxies, routines and single columns.
fn line(text: &str) -> Option<Line> {
    let tokens = lexer::tokens(text, Dialect::default());
    let solids: Vec<&Token<'_>> = tokens
        .iter()
        .filter(|token| token.shape != Shape::Blank)
        .collect();
    let takes = solids.first()?.is("REVOKE");
    if !takes && !solids.first()?.is("GRANT") {
        return None;
    }
    let mut depth = 0_usize;
    let on = solids.iter().position(|token| {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is("ON")
    })?;
    let mut privileges = Vec::new();
    for part in solids[1..on].split(|token| token.is_mark(",")) {
        // A privilege on columns is none on the table.
        if part.iter().all(|token| token.shape == Shape::Word) {
            let words: Vec<&str> = part.iter().map(|token| token.text).collect();
            privileges.push(words.join(" ").to_ascii_uppercase());
        }
    }
    let place = &solids[on + 1..];
    if place
        .windows(2)
        .any(|pair| pair[0].is("GRANT") && pair[1].is("OPTION"))
    {
        privileges.push("GRANT OPTION".to_owned());
    }
    let name = |token: &Token<'_>| (!token.is_mark("*")).then(|| token.name()).flatten();
    // `ON FUNCTION a.b` has a word in front and is left out, as are proxies.
    let (schema, table) = match place {
        [schema, dot, table, ..] if dot.is_mark(".") => (name(schema), name(table)),
        _ => return None,
    };
    Some(Line {
        takes,
        privileges,
        schema,
        table,
    })
}

/// Where a pattern means more than schemas of ours.
fn elsewhere(pattern: &str, own: &[&str], others: &[String]) -> Option<String> {
    let means = |schema: &str| matches(pattern, schema);
    let hit: Vec<String> = others
        .iter()
        .filter(|schema| means(schema))
        .map(|schema| format!("`{schema}`"))
        .collect();
    if hit.is_empty() {
        // There may be one tomorrow.
        return (!own.iter().any(|schema| means(schema))).then(|| format!("`{pattern}`"));
    }
    Some(first_of(&hit, NAMED))
}

/// A pattern over schemas: `_` is any character, `%` any number, a backslash takes their meaning.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    fits(&pattern, &name)
}

/// Only the last `%` is ever taken back: what an earlier one could skip, it can, too.
fn fits(mut pattern: &[char], mut name: &[char]) -> bool {
    let mut back: Option<(&[char], &[char])> = None;
    loop {
        let rest = match (pattern, name) {
            ([], []) => return true,
            (['%', rest @ ..], _) => {
                back = Some((rest, name));
                pattern = rest;
                continue;
            }
            (['_', rest @ ..], [_, ..]) => Some(rest),
            (['\\', c, rest @ ..] | [c, rest @ ..], _) => (name.first() == Some(c)).then_some(rest),
            ([], _) => None,
        };
        match (rest, back) {
            (Some(rest), _) => (pattern, name) = (rest, &name[1..]),
            (None, Some((after, [_, skipped @ ..]))) => {
                back = Some((after, skipped));
                (pattern, name) = (after, skipped);
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::parse(lines.iter().copied())
    }

    #[test]
    fn privileges_count_on_the_schemas_that_their_pattern_means() {
        let held = grants(&[
            "GRANT USAGE ON *.* TO `u`@`h` IDENTIFIED BY PASSWORD '*A ON B'",
            "GRANT SELECT, SHOW VIEW ON `app\\_%`.* TO `u`@`h`",
            "GRANT ALL PRIVILEGES ON `b_d`.* TO `u`@`h` WITH GRANT OPTION",
            "GRANT `role` TO `u`@`h`",
            "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION",
        ]);
        assert!(held.has("SELECT", "app_incoming") && held.has("SHOW VIEW", "app_"));
        assert!(!held.has("SELECT", "app") && !held.has("INSERT", "app_x"));
        assert!(held.has("TRIGGER", "bad") && held.has("TRIGGER", "b_d"));
        assert!(!held.has_everywhere("SELECT"));
    }

    #[test]
    fn a_column_a_table_or_a_routine_is_not_the_schema() {
        let held = grants(&[
            "GRANT SELECT (`id`), INSERT ON `app`.`child` TO `u`@`h`",
            "GRANT SELECT ON `app`.`users` TO `u`@`h`",
            "GRANT EXECUTE ON PROCEDURE `app`.`p` TO `u`@`h`",
        ]);
        assert!(!held.has("SELECT", "app") && !held.has("EXECUTE", "app"));
        assert!(held.has_on("SELECT", "app", "users"));
        assert!(!held.has_on("SELECT", "app", "child"));
        assert!(held.has_on("INSERT", "app", "child"));
    }

    #[test]
    fn what_reaches_beyond_our_schemas_is_named() {
        let own = ["app", "app_incoming_1", "app_previous"];
        let others = ["app2", "mysql", "other"].map(str::to_owned);
        let beyond = |line: &str| grants(&[line]).beyond(&own, &others).join("; ");
        for fine in [
            "GRANT USAGE ON *.* TO `u`@`h` IDENTIFIED BY PASSWORD '*A'",
            "GRANT ALL PRIVILEGES ON `app`.* TO `u`@`h` WITH GRANT OPTION",
            "GRANT ALL PRIVILEGES ON `app\\_%`.* TO `u`@`h`",
            "GRANT SELECT ON `app`.`users` TO `u`@`h`",
            "GRANT `role` TO `u`@`h`",
        ] {
            assert_eq!(beyond(fine), "", "{fine}");
        }
        for (line, said) in [
            (
                "GRANT FILE, SUPER ON *.* TO `u`@`h`",
                "FILE, SUPER on all databases",
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u`@`h` WITH GRANT OPTION",
                "ALL PRIVILEGES, GRANT OPTION on all databases",
            ),
            (
                "GRANT USAGE ON *.* TO `u`@`h` WITH GRANT OPTION",
                "GRANT OPTION on all databases",
            ),
            (
                "GRANT BINLOG_ADMIN,ROLE_ADMIN ON *.* TO `u`@`h`",
                "BINLOG_ADMIN, ROLE_ADMIN on all databases",
            ),
            (
                "GRANT SELECT ON `mysql`.`proc` TO `u`@`h`",
                "SELECT on `mysql`",
            ),
            (
                "GRANT ALL PRIVILEGES ON `app%`.* TO `u`@`h`",
                "ALL PRIVILEGES on `app2`",
            ),
            (
                "GRANT INSERT ON `not_yet`.* TO `u`@`h`",
                "INSERT on `not_yet`",
            ),
        ] {
            assert_eq!(beyond(line), said, "{line}");
        }
    }

    #[test]
    fn what_was_taken_is_not_held() {
        let held = grants(&[
            "GRANT SELECT, EVENT ON *.* TO `u`@`%`",
            "REVOKE SELECT ON `app`.* FROM `u`@`%`",
        ]);
        assert!(!held.has("SELECT", "app") && held.has("SELECT", "other"));
        assert!(held.has("EVENT", "app") && held.has_everywhere("SELECT"));
    }
}
