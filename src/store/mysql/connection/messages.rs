//! What may be told of MySQL's and MariaDB's messages: they have values in them, and no field of their own for names; and
//! SIGNAL may say anything with any number. So each known number has its templates (MariaDB's `errmsg-utf8.txt`, MySQL's
//! "Server Error Message Reference"), and a name is told where the statement or the schema has one.

use std::sync::LazyLock;

use crate::store::redact;
use crate::store::redact::Names;

/// What is known of a number.
struct Known {
    code: u16,
    /// Its symbol: `ER_NO_SUCH_TABLE`.
    symbol: &'static str,
    /// How it is worded.
    templates: Vec<&'static str>,
}

/// A number's symbol, as both servers' manuals have it.
pub(in crate::store::mysql) fn symbol(code: u16) -> Option<&'static str> {
    known(code).map(|known| known.symbol)
}

/// What may be told of a message; `None`: nothing of it.
pub(in crate::store::mysql) fn told(code: u16, message: &str, names: &Names) -> Option<String> {
    let known = known(code)?;
    redact::filled(message, &known.templates, &with_own(names))
}

/// Names in a message that are not known yet.
pub(in crate::store::mysql) fn unknown(code: u16, message: &str, names: &Names) -> Vec<String> {
    let Some(known) = known(code) else {
        return Vec::new();
    };
    let found = redact::unknown(message, &known.templates, &with_own(names));
    found.into_iter().map(str::to_owned).collect()
}

fn known(code: u16) -> Option<&'static Known> {
    let place = KNOWN.binary_search_by_key(&code, |known| known.code);
    place.ok().map(|place| &KNOWN[place])
}

/// With the words that servers put in a name's place.
fn with_own(names: &Names) -> Names {
    let mut all = names.clone();
    all.add_words(OWN);
    all
}

const OWN: &str = "MariaDB MySQL PRIMARY NEW OLD GROUP ORDER FROM BY \
    bit tinyint smallint mediumint int integer bigint decimal numeric float double real date time datetime timestamp year char \
    varchar text tinytext mediumtext longtext blob tinyblob mediumblob longblob binary varbinary enum set json uuid inet4 inet6 \
    string point geometry linestring polygon interval unsigned signed boolean \
    where clause field list having on group order statement function procedure trigger view event table sequence package \
    InnoDB MyISAM Aria MEMORY MERGE CSV ARCHIVE SEQUENCE RocksDB partition \
    ALL ALTER ROUTINE CREATE DELETE DROP EXECUTE INDEX INSERT LOCK TABLES REFERENCES SELECT SHOW VIEW TRIGGER UPDATE FILE PROCESS \
    RELOAD SUPER EVENT GRANT OPTION USAGE SHUTDOWN REPLICATION CLIENT SLAVE USER BINLOG ADMIN MONITOR READ_ONLY CONNECTION \
    SET_USER SET_USER_ID SET_ANY_DEFINER ALLOW_NONEXISTENT_DEFINER SYSTEM_VARIABLES_ADMIN SESSION_VARIABLES_ADMIN SYSTEM_USER \
    BACKUP_ADMIN BINLOG_ADMIN CONNECTION_ADMIN SHOW_ROUTINE FLUSH_TABLES ROLE_ADMIN LIBRARY HISTORY ONLY or \
    utf8 utf8mb3 utf8mb4 latin1 ascii ucs2 utf16 utf32 cp1250 cp1251 cp1252 YES NO";

/// All of them, in the order of their numbers.
static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let mut all: Vec<Known> = Vec::new();
    for line in include_str!("messages/templates.txt").lines() {
        if let Some(template) = line.strip_prefix("    ") {
            let last = all.last_mut().expect("a template has its number above it");
            last.templates.push(template);
        } else if let Some((code, symbol)) = line.split_once(' ')
            && let Ok(code) = code.parse()
        {
            all.push(Known {
                code,
                symbol,
                templates: Vec::new(),
            });
        }
    }
    all
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redact::Dialect;

    #[test]
    fn numbers_are_in_order_and_there_once() {
        assert!(KNOWN.len() > 150);
        assert!(KNOWN.is_sorted_by(|one, next| one.code < next.code));
    }

    #[test]
    fn values_are_left_open_and_names_of_the_statement_are_told() {
        let names = Names::of(
            "UPDATE `users` SET mail = 'MARKER', id = mail",
            Dialect::Mysql,
        );
        for (code, message, text) in [
            (
                1062,
                "Duplicate entry 'MARKER' for key 'users.mail'",
                Some("Duplicate entry '?' for key 'users.mail'"),
            ),
            (
                1366,
                "Incorrect integer value: 'MARKER' for column `app`.`users`.`id` at row 1",
                Some("Incorrect integer value: '?' for column ? at row ?"),
            ),
            (
                1292,
                "Truncated incorrect INTEGER value: 'MARKER'",
                Some("Truncated incorrect INTEGER value: '?'"),
            ),
            (
                1146,
                "Table 'app.MARKER' doesn't exist",
                Some("Table '?' doesn't exist"),
            ),
            (1644, "MARKER is no address", None),
            (1105, "XPATH syntax error: '\\MARKER'", None),
            (9999, "MARKER", None),
        ] {
            assert_eq!(told(code, message, &names).as_deref(), text, "{message}");
        }
    }
}
