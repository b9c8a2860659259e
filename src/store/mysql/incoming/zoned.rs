//! What is computed under a session's time zone is computed anew in incoming, in the zone that sessions of its applications have:
//! rows travel in UTC.

use super::create::index_clauses;
use crate::store::mysql::schema::create_table::{Clause, has_word};
use crate::store::mysql::schema::definitions::Table;
use crate::store::mysql::schema::zones::{self, Zoned};
use crate::store::mysql::sql::lexer::{self, Dialect, Shape};
use crate::store::mysql::sql::names::{quoted, within};

/// What makes a table's rows be what sessions of the target's applications would have written, and `indexes`, which come after
/// rows, be of that; all in order. Of a table that has nothing to do with zones, or where the zone is UTC, nothing but these.
pub(in crate::store::mysql) fn statements(
    table: &Table,
    schema: &str,
    zone: &str,
    indexes: Vec<String>,
) -> Vec<String> {
    let zoned = Zoned::of(table);
    if zones::is_utc(zone) || !zoned.is_some() {
        return indexes;
    }
    let mut all = vec![zones::ORDINARY.to_owned()];
    if !zoned.stored.is_empty() {
        all.push(format!(
            "UPDATE {} SET {}",
            within(schema, &table.name),
            assignments(&zoned, table)
        ));
    }
    let made_before = made_before(&zoned, table);
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
    all.push(zones::TRAVELLING.to_owned());
    all
}

/// What computes the stored columns anew, and leaves all others as they are. Not an ALTER TABLE that copies the table: it
/// takes an hour that there is twice for the later one.
fn assignments(zoned: &Zoned, table: &Table) -> String {
    let computed = zoned.stored.iter().map(|name| (quoted(name), "DEFAULT"));
    let updated = table.create.clauses().filter_map(|(clause, text)| {
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
fn made_before<'a>(zoned: &Zoned, table: &'a Table) -> Vec<(String, &'a str)> {
    let later = index_clauses(table);
    let was_there = |text: &str| {
        let added = format!("ADD {text}");
        !later.iter().any(|clauses| clauses.contains(&added))
    };
    let clauses: Vec<&(Clause, String)> = table.create.clauses().collect();
    let first = zoned
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Fate;
    use crate::store::mysql::schema::create_table::Create;
    use crate::store::mysql::schema::definitions::Column;

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
