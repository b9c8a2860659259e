//! Tables without a primary key on servers that want one of every table: MySQL's `sql_require_primary_key` and
//! `sql_generate_invisible_primary_key`, MariaDB's `innodb_force_primary_key`, Galera's `wsrep_mode`.

use super::create_table::{Clause, Create, KeyKind, has_word};
use super::definitions::{Definitions, Table};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::session::Session;

/// The column that MySQL makes ("Generated Invisible Primary Keys", MySQL's manual).
const GENERATED: &str = "my_row_id";

/// How a server treats a table without a primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) enum Demand {
    /// It takes it as it is.
    Nothing,
    /// It gives it a key that nobody sees.
    Generates,
    /// It refuses it, for this setting.
    Refuses(&'static str),
}

/// Asks for it; a key that nobody sees is not made by this session, if it may say so.
pub(in crate::store::mysql) async fn demand(session: &mut Session) -> Result<Demand> {
    let (mut generates, mut requires, mut forces, mut galera, mut mode) =
        (false, false, false, false, String::new());
    for row in session
        .query(
            "SHOW SESSION VARIABLES WHERE Variable_name IN ('sql_generate_invisible_primary_key', \
             'sql_require_primary_key', 'innodb_force_primary_key', 'wsrep_on', 'wsrep_mode')",
        )
        .await?
    {
        let value = row.text(1)?;
        let is_on = value.eq_ignore_ascii_case("on") || value == "1";
        match row.text(0)?.as_str() {
            "sql_generate_invisible_primary_key" => generates = is_on,
            "sql_require_primary_key" => requires = is_on,
            "innodb_force_primary_key" => forces = is_on,
            "wsrep_on" => galera = is_on,
            _ => mode = value.to_ascii_uppercase(),
        }
    }
    if generates {
        // Where a key has to be, the generated one is wanted.
        if !requires
            && session
                .run("SET SESSION sql_generate_invisible_primary_key = 0")
                .await
                .is_ok()
        {
            return Ok(Demand::Nothing);
        }
        return Ok(Demand::Generates);
    }
    Ok(if requires {
        Demand::Refuses("sql_require_primary_key")
    } else if forces {
        Demand::Refuses("innodb_force_primary_key")
    } else if galera && mode.contains("REQUIRED_PRIMARY_KEY") {
        Demand::Refuses("wsrep_mode = REQUIRED_PRIMARY_KEY")
    } else {
        Demand::Nothing
    })
}

/// Refuses tables that the target's server would not take, and tells of those that it gives a key of its own.
pub(in crate::store::mysql) async fn check(
    session: &mut Session,
    definitions: &Definitions,
) -> Result<()> {
    let lacking = definitions
        .tables
        .iter()
        .filter(|table| lacks_key(&table.create));
    let names = |tables: &[&Table]| {
        let names: Vec<String> = tables
            .iter()
            .map(|table| format!("`{}`", table.name))
            .collect();
        names.join(", ")
    };
    let mut lacking: Vec<&Table> = lacking.collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let is_innodb = |table: &&Table| table.engine.eq_ignore_ascii_case("innodb");
    match demand(session).await? {
        Demand::Nothing => Ok(()),
        Demand::Refuses(setting) => {
            if setting != "sql_require_primary_key" {
                lacking.retain(|table| is_innodb(table) && !is_unique(&table.create));
            }
            if lacking.is_empty() {
                return Ok(());
            }
            Err(Error::new(
                Kind::Verify,
                format!(
                    "the target's server takes no tables without a primary key ({setting}): {}",
                    names(&lacking)
                ),
            )
            .hint("switch that off on the target, give the tables a primary key on the source, or put them into the task's `exclude`"))
        }
        Demand::Generates => {
            lacking.retain(is_innodb);
            let impossible: Vec<&Table> = lacking
                .iter()
                .copied()
                .filter(|table| cannot_have(&table.create))
                .collect();
            if !impossible.is_empty() {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "the target's server gives tables without a primary key an invisible one (sql_generate_invisible_primary_key), and cannot do so where a table is partitioned, counts by itself or has a column `{GENERATED}`: {}",
                        names(&impossible)
                    ),
                )
                .hint("switch that off on the target, or grant its user SESSION_VARIABLES_ADMIN to do so for itself"));
            }
            if !lacking.is_empty() {
                tracing::warn!(
                    tables = names(&lacking),
                    "the target's server gives these tables an invisible primary key, which the source's do not have (sql_generate_invisible_primary_key); with SESSION_VARIABLES_ADMIN they would be as on the source"
                );
            }
            Ok(())
        }
    }
}

fn lacks_key(create: &Create) -> bool {
    !create
        .clauses()
        .any(|(clause, _)| *clause == Clause::Primary)
}

/// Whether it has a unique key without NULLs.
fn is_unique(create: &Create) -> bool {
    create.clauses().any(|(clause, _)| match clause {
        Clause::Key(key) => key.kind == KeyKind::Unique && create.is_never_null(key),
        _ => false,
    })
}

fn cannot_have(create: &Create) -> bool {
    has_word(&create.tail, "PARTITION BY")
        || create.counts()
        || create.clauses().any(
            |(clause, _)| matches!(clause, Clause::Column(name) if name.eq_ignore_ascii_case(GENERATED)),
        )
}

/// Takes the key out of a table's definition that the server made, if the source's has none.
pub(in crate::store::mysql) fn without_generated(made: &mut Create, source: &Create) {
    let is_generated = |(clause, text): &(Clause, String)| {
        matches!(clause, Clause::Column(name) if name == GENERATED) && has_word(text, "INVISIBLE")
    };
    if !lacks_key(source) || !made.clauses().any(is_generated) {
        return;
    }
    made.clauses
        .retain(|clause| clause.0 != Clause::Primary && !is_generated(clause));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_taken_out_and_one_of_the_source_is_not() {
        let plain = Create::parse("CREATE TABLE `t` (\n  `a` int DEFAULT NULL\n) ENGINE=InnoDB")
            .expect("a table");
        let keyed = Create::parse(
            "CREATE TABLE `t` (\n  `my_row_id` bigint unsigned NOT NULL AUTO_INCREMENT /*!80023 INVISIBLE */,\n  `a` int DEFAULT NULL,\n  PRIMARY KEY (`my_row_id`)\n) ENGINE=InnoDB",
        )
        .expect("a table");
        let mut made = keyed.clone();
        without_generated(&mut made, &plain);
        assert_eq!(made, plain);
        let mut made = keyed.clone();
        without_generated(&mut made, &keyed);
        assert_eq!(made, keyed);
        assert!(lacks_key(&plain) && !lacks_key(&keyed) && !cannot_have(&plain));
    }
}
