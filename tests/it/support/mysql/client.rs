//! SQL on a private server: by a connection, or by the `mariadb` client where that has to tell statements apart, or to say
//! a password.

use std::io::Write;
use std::process::{Command, Stdio};

use super::connection::{Connection, Rows, statements};
use super::place::bare;
use super::{PASSWORD, Server, quote};

/// Between the server's default mode and what other stores' SQL expects: "identifiers", and \ as any other character.
pub(crate) const ANSI: &str =
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION";

impl Server {
    /// Runs SQL as `root`; rows as lines, columns between `|`, NULL as nothing. `DELIMITER` is understood. Panics at
    /// the first error.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql("root", database, sql)
            .unwrap_or_else(|error| panic!("in {database}: {error}"))
    }

    /// Runs SQL as anyone.
    pub(crate) fn try_sql(&self, user: &str, database: &str, sql: &str) -> Result<String, String> {
        self.run(user, database, None, sql)
    }

    /// The same in the mode [`ANSI`].
    #[track_caller]
    pub(crate) fn ansi(&self, database: &str, sql: &str) -> String {
        let mode = format!("SET sql_mode = '{ANSI}'");
        self.run("root", database, Some(&mode), sql)
            .unwrap_or_else(|error| panic!("in {database}: {error}"))
    }

    /// Runs SQL in a new session, after this one statement.
    fn run(
        &self,
        user: &str,
        database: &str,
        first: Option<&str>,
        sql: &str,
    ) -> Result<String, String> {
        let rows = match statements(sql) {
            Some(statements) if !has_password(user) => {
                let mut session = Connection::open(&self.socket(), user, database)?;
                let mut rows = Rows::new();
                for statement in first.into_iter().chain(statements) {
                    rows.extend(session.query(statement)?);
                }
                rows
            }
            _ => {
                let mut client = self.client(user, database);
                client.args(first.map(|first| format!("--init-command={first}")));
                feed(&mut client, sql.as_bytes())?
            }
        };
        Ok(show(&rows))
    }

    /// A `mariadb` to feed by hand: for sessions that stay open.
    pub(crate) fn client(&self, user: &str, database: &str) -> Command {
        let mut command = bare("mariadb");
        command
            .args(["--no-defaults", "--default-character-set=utf8mb4"])
            .args(["--xml", "--unbuffered", "--binary-mode"])
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--user={user}"))
            .env("MYSQL_PWD", if has_password(user) { PASSWORD } else { "" });
        if !database.is_empty() {
            command.arg(format!("--database={database}"));
        }
        command
    }

    /// Whether it lets anyone in.
    pub(super) fn answers(&self) -> bool {
        self.socket().exists() && self.try_sql("root", "", "SELECT 1").is_ok()
    }

    /// Makes a database.
    pub(crate) fn create_db(&self, name: &str) {
        self.sql("", &format!("CREATE DATABASE {}", quote(name)));
    }

    /// All databases but the server's own, in order.
    pub(crate) fn databases(&self) -> Vec<String> {
        let sql = "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN
            ('information_schema', 'performance_schema', 'mysql', 'sys') ORDER BY schema_name";
        lines(&self.sql("", sql))
    }

    /// The tables of a database, in order; no views, no sequences.
    pub(crate) fn tables(&self, database: &str) -> Vec<String> {
        let sql = format!(
            "SELECT table_name FROM information_schema.tables
             WHERE {} AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY BINARY table_name",
            super::contents::is("table_schema", database)
        );
        lines(&self.sql("", &sql))
    }
}

/// Whether a user of ours has to say [`PASSWORD`].
fn has_password(user: &str) -> bool {
    user != "root" && !user.starts_with("modest_")
}

/// Feeds a client and reads what it prints.
fn feed(client: &mut Command, sql: &[u8]) -> Result<Rows, String> {
    let mut child = client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script/install-test-deps installs mariadb");
    let mut stdin = child.stdin.take().expect("piped");
    let sql = sql.to_owned();
    // The client may print before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&sql));
    let output = child.wait_with_output().expect("mariadb");
    // At an error the client stops reading: a broken pipe here is no news.
    let _ = writer.join().expect("no panic");
    if output.status.success() {
        Ok(rows(&String::from_utf8_lossy(&output.stdout)))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn show(rows: &[Vec<Option<String>>]) -> String {
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let columns: Vec<&str> = row
                .iter()
                .map(|value| value.as_deref().unwrap_or_default())
                .collect();
            columns.join("|")
        })
        .collect();
    lines.join("\n")
}

/// The rows in what `mariadb --xml` prints. It is the only one of its formats that keeps NULL, '', 'NULL' and line ends
/// apart.
fn rows(xml: &str) -> Rows {
    xml.split("\n  <row>\n")
        .skip(1)
        .map(|row| {
            let end = row.find("\n  </row>").unwrap_or(row.len());
            row[..end]
                .split("\t<field name=\"")
                .skip(1)
                .map(|field| {
                    let (attributes, value) = field.split_once('>').expect("a tag");
                    if attributes.ends_with("xsi:nil=\"true\" /") {
                        return None;
                    }
                    let (value, _) = value.rsplit_once("</field>").expect("a closing tag");
                    Some(decode(value))
                })
                .collect()
        })
        .collect()
}

fn decode(value: &str) -> String {
    value
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
