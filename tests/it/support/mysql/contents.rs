//! All that a database holds, to be compared with another one's.

use super::client::ANSI;
use super::place::bare;
use super::{Server, Version, quote};

impl Server {
    /// Every definition in a database as `mariadb-dump` writes it, one entry a statement, in an order that depends on
    /// nothing but itself, and the database's own name left out. Two databases have the same definitions when these
    /// are equal.
    pub(crate) fn definitions(&self, database: &str) -> Vec<String> {
        let output = self.dump_command(database).output().expect("mariadb-dump");
        let own = quote(database);
        let mut entries: Vec<String> = statements(&String::from_utf8_lossy(&output.stdout));
        // About a view that is broken it complains, and goes on.
        let complaints = String::from_utf8_lossy(&output.stderr);
        entries.extend(complaints.lines().map(str::to_owned));
        // What it does not write, or only as an order of statements.
        for (asked, named) in [
            ("SELECT 'database', default_character_set_name, default_collation_name, schema_comment
             FROM information_schema.schemata WHERE ", "schema_name"),
            ("SELECT 'view', table_name, view_definition, check_option, is_updatable, definer, security_type,
                    character_set_client, collation_connection, algorithm
             FROM information_schema.views WHERE ", "table_schema"),
            ("SELECT 'trigger', trigger_name, event_object_table, action_timing, event_manipulation, action_order
             FROM information_schema.triggers WHERE ", "trigger_schema"),
        ] {
            let mut asked = asked.to_owned() + &is(named, database);
            if self.version() == Version::Oracle {
                // MariaDB's alone.
                asked = asked.replace(", schema_comment", "").replace(", algorithm", "");
            }
            let found = self.sql("", &asked);
            entries.extend(found.lines().map(str::to_owned));
        }
        for entry in &mut entries {
            *entry = entry
                .replace(&own, "`THIS`")
                .replace(&format!("'{database}."), "'THIS.");
            // A trigger's text is as it was written, and whoever makes it anew may quote its table.
            if entry.contains(" TRIGGER ") || entry.contains(" trigger ") {
                *entry = entry.replace(['`', '"'], "");
            }
            // A copy has its own events: none of them is another server's.
            *entry = entry.replace(" DISABLE ON SLAVE ", " DISABLE ");
        }
        entries.sort();
        entries
    }

    /// `mariadb-dump` as `root`, with everything but rows.
    fn dump_command(&self, database: &str) -> std::process::Command {
        let mut command = bare("mariadb-dump");
        command
            .args(["--no-defaults", "--default-character-set=utf8mb4"])
            .arg(format!("--socket={}", self.socket().display()))
            .args(["--user=root", "--no-data", "--routines", "--triggers"])
            // A broken view is an entry, too.
            .args(["--events", "--skip-comments", "--skip-opt", "--force"])
            .args(["--quote-names", "--create-options", "--"])
            .arg(database);
        command
    }

    /// Every row of every table, byte by byte: `table: COLUMN=BYTES ...`, sorted. Generated columns are in it.
    pub(crate) fn rows(&self, database: &str) -> Vec<String> {
        let mut all = Vec::new();
        for table in self.tables(database) {
            let mut rows = self.rows_of(database, &table);
            rows.sort();
            all.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        all
    }

    /// The rows of one table, likewise, as they come.
    pub(crate) fn rows_of(&self, database: &str, table: &str) -> Vec<String> {
        let columns = self.sql(
            "",
            &format!(
                "SELECT HEX(column_name), data_type FROM information_schema.columns
                 WHERE {} AND {} ORDER BY ordinal_position",
                is("table_schema", database),
                is("table_name", table)
            ),
        );
        let shown: Vec<String> = columns
            .lines()
            .map(|column| {
                let (name, kind) = column.split_once('|').expect("two columns");
                let name = quote(&unhex(name));
                let bytes = match kind {
                    // Their text is shorter than they are.
                    "float" => format!("CAST({name} AS DOUBLE)"),
                    "double" | "decimal" | "bit" => format!("CONCAT({name} + 0)"),
                    "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => {
                        format!("CONCAT({name})")
                    }
                    "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => {
                        format!("CAST({name} AS CHAR)")
                    }
                    // With its number: one that is no member shows as the empty string.
                    "enum" | "set" => format!("CONCAT({name} + 0, ':', HEX({name}))"),
                    _ => format!("HEX({name})"),
                };
                format!("IFNULL({bytes}, 'NULL')")
            })
            .collect();
        let sql = format!(
            "SET time_zone = '+00:00', sql_mode = ''; SELECT CONCAT_WS(' ', {}) FROM {}",
            shown.join(", "),
            quote(table)
        );
        let rows = self.sql(database, &sql);
        rows.lines().map(str::to_owned).collect()
    }

    /// Equal in every definition and every row, or a panic that says where they differ.
    #[track_caller]
    pub(crate) fn assert_same(&self, database: &str, other: &Self, its: &str) {
        let both = |server: &Self, database: &str| {
            let mut all = server.definitions(database);
            all.extend(server.rows(database));
            all
        };
        super::super::dump::assert_equal(&both(self, database), &both(other, its));
    }

    /// One column of a query, byte by byte, whatever its character set.
    pub(crate) fn hex_of(&self, database: &str, expression: &str, rest: &str) -> String {
        self.sql(
            database,
            &format!("SET sql_mode = '{ANSI}'; SELECT HEX({expression}) {rest}"),
        )
    }
}

/// Whether a column of the server's catalogue is this name: its collation takes A for a.
pub(super) fn is(column: &str, name: &str) -> String {
    let digits = name.bytes().fold(String::new(), |digits, byte| {
        digits + &format!("{byte:02X}")
    });
    format!("{column} = CONVERT(X'{digits}' USING utf8mb3) AND BINARY {column} = X'{digits}'")
}

fn unhex(digits: &str) -> String {
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("HEX()"))
        .collect();
    String::from_utf8(bytes).expect("a name")
}

/// A dump's statements, each that creates something with the settings of the session before it: a routine's time zone,
/// character set and mode are its own. `DELIMITER` lines are the dump's own.
fn statements(dump: &str) -> Vec<String> {
    let (mut delimiter, mut statement) = (";", String::new());
    let (mut settings, mut entries) = (Vec::<String>::new(), Vec::new());
    for line in dump.lines() {
        if let Some(next) = line.strip_prefix("DELIMITER ") {
            delimiter = if next == ";;" { ";;" } else { ";" };
            continue;
        }
        statement += line;
        statement.push('\n');
        if !line.ends_with(delimiter) {
            continue;
        }
        let whole = std::mem::take(&mut statement);
        let words = whole
            .trim_start()
            .trim_start_matches(|c: char| "/*!".contains(c) || c.is_ascii_digit())
            .trim_start();
        if !words.starts_with("SET ") {
            entries.push(settings.concat() + whole.as_str());
        } else if !whole.to_lowercase().contains("@save") && !whole.contains("@OLD_") {
            settings.push(whole.replace(";;", ";"));
        } else if whole.contains("= @saved_") {
            // Back to the session's own.
            settings.clear();
        }
    }
    if !statement.trim().is_empty() {
        entries.push(statement);
    }
    entries
}
