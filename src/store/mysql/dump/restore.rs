//! Makes a dump's definitions, statement by statement as they come, in a schema of the run's own on the target's server, and notes
//! where its rows are.

use std::fmt::Write;
use std::sync::Arc;

use super::allowed::{Action, Allowed};
use super::charsets;
use super::noted::{Noted, Reading, Statement};
use super::rows::Rows;
use super::settings::Settings;
use super::staging::Staged;
use super::statement::LONGEST;
use super::stream::{Found, Place, step};
use super::values;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::dump::{Dump, DumpFile};
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::connection::settings::MODE;
use crate::store::mysql::schema::dumped::Dumped;
use crate::store::mysql::schema::primary_key;
use crate::store::mysql::source::Source;
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::mysql::sql::names::{Names, literal, quoted};
use crate::store::mysql::sql::splitter::Scanner;
use crate::store::mysql::sql::version::Version;
use crate::store::mysql::workspace::mark;
use crate::store::mysql::workspace::schemas;
use crate::store::redact;
use crate::store::{self, Context};

/// Makes a dump's definitions, and opens it as a source.
pub(super) async fn restore(
    task: &Task,
    context: &Context,
    file: Arc<dyn DumpFile>,
) -> Result<Box<dyn store::Source>> {
    let address = Address::of(&task.target, context, "target").await?;
    let names = Names::new(address.database(), &context.claim);
    let mut session = Session::open(&address, None).await?;
    make_schema(&mut session, &names).await?;
    let restored = async {
        let running = Restore::begin(session, task, context, &names, file.name()).await?;
        let (dumped, noted) = running.run(file.open().await?).await?;
        let staging = address.in_schema(&names.staging);
        let inner = Source::open_dumped(staging, task, context, dumped).await?;
        Ok(Staged::new(inner, Rows::new(file.clone(), Arc::new(noted))))
    }
    .await;
    match restored {
        Ok(source) => Ok(Box::new(source)),
        Err(error) => {
            clear(&address, &names).await;
            Err(error)
        }
    }
}

/// Drops what was made so far; if that fails, the run's end or the next run does it.
async fn clear(address: &Address, names: &Names) {
    let cleared = async {
        let mut session = Session::open(address, None).await?;
        schemas::stop_sessions(&mut session, &names.staging).await?;
        schemas::drop_schema(&mut session, &names.staging).await
    };
    if let Err(error) = cleared.await {
        tracing::warn!(%error, schema = names.staging, "what a dump's definitions were made in could not be dropped");
    }
}

/// With live's defaults, where there is a live: a dump of one database does not say what the database's were.
async fn make_schema(session: &mut Session, names: &Names) -> Result<()> {
    let (charset, collation) = if schemas::exists(session, &names.live).await? {
        schemas::defaults(session, &names.live).await?
    } else {
        let row = session
            .query_one("SELECT @@GLOBAL.character_set_server, @@GLOBAL.collation_server")
            .await?;
        (row.text(0)?, row.text(1)?)
    };
    mark::create(session, names, &names.staging, &charset, &collation).await?;
    let staging = quoted(&names.staging);
    session.run(&format!("USE {staging}")).await.map(drop)
}

/// A dump whose definitions are being made.
struct Restore<'a> {
    session: Session,
    scanner: Scanner,
    allowed: Allowed<'a>,
    dialect: Dialect,
    /// The `sql_mode` that the dump has set, under which things are made.
    mode: String,
    /// The dump's file.
    file: &'a str,
    /// The server takes names in small letters.
    folded: bool,
    checked: bool,
    noted: Noted,
    /// Views that could not be made yet: the tools write views by their names, and let a view of nothing stand in for each that
    /// is still to come.
    waiting: Vec<View>,
}

/// A view that waits for others.
struct View {
    line: usize,
    text: Vec<u8>,
    /// What the session was set to where it stands.
    settings: String,
    error: Error,
}

/// Views that wait may have so many bytes, all in all.
const WAITING: usize = 64 << 20;

impl<'a> Restore<'a> {
    async fn begin(
        mut session: Session,
        task: &Task,
        context: &'a Context,
        names: &Names,
        file: &'a str,
    ) -> Result<Self> {
        session.run("SET SESSION foreign_key_checks = 0").await?;
        if session.version().is_mysql(8, 0) {
            primary_key::demand(&mut session).await?;
        }
        let folded = session
            .query_one("SELECT @@lower_case_table_names")
            .await?
            .number(0)?
            != 0;
        let mut values = Vec::new();
        for row in session.query(&Settings::question()).await? {
            values.push((row.text(0)?, row.text(1)?));
        }
        // From here on the server sees of what it gets one statement, or an error.
        session.take_one_at_a_time().await?;
        let allowed = Allowed::new(
            &names.staging,
            folded,
            task.definer,
            &context.selection,
            session.version().clone(),
            Settings::of(values),
        );
        Ok(Self {
            session,
            scanner: Scanner::of_stream(LONGEST).with_remarks(),
            allowed,
            dialect: Dialect::default(),
            mode: MODE.to_owned(),
            file,
            folded,
            checked: false,
            noted: Noted::default(),
            waiting: Vec::new(),
        })
    }

    async fn run(mut self, mut dump: Dump) -> Result<(Dumped, Noted)> {
        while let Some(found) = step(&mut self.scanner, &mut dump, self.file).await? {
            match found {
                Found::Remark(remark) => self.allowed.remark(&remark),
                Found::Statement(place) => {
                    self.check_server()?;
                    self.statement(place).await?;
                    self.noted.statements += 1;
                }
            }
        }
        self.allowed.whole().map_err(|why| {
            Error::new(
                Kind::Verify,
                format!("the dump {} is not restored: {why}", self.file),
            )
            .hint("look at how it was made, and take another one")
        })?;
        self.make_waiting().await?;
        let there = self.allowed.numbers();
        self.noted
            .end(|number| there.contains(&number), self.folded);
        tracing::info!(
            file = self.file,
            rows = self.noted.rows(),
            "the dump's definitions are made beside incoming"
        );
        let dumped = Dumped {
            awake: self.allowed.awake(),
            rows: self.noted.told(),
        };
        Ok((dumped, self.noted))
    }

    /// Runs one statement, or notes its rows.
    async fn statement(&mut self, place: Place) -> Result<()> {
        let Place { line, range } = place;
        let sql = self.scanner.text(range.clone());
        let refused = |why: String, sql: &[u8], file: &str| {
            let hint = format!("the statement was: {}", told(sql));
            Error::new(Kind::Verify, format!("{file}:{line} is refused: {why}")).hint(hint)
        };
        let action = self.allowed.decide(sql, self.dialect);
        let action = action.map_err(|why| refused(why, sql, self.file))?;
        if let Action::Rows(table, rows) = action {
            let bytes = sql.len() as u64;
            let noted = self.note(table, rows, bytes).await?;
            return noted.map_err(|why| refused(why, self.scanner.text(range), self.file));
        }
        let sql = sql.to_vec();
        let file = self.file;
        let done = self.run_one(action, line).await;
        done.map_err(|error| {
            redact::about(error, &head(&sql), redact::Dialect::Mysql)
                .within(format!("{file}:{line}"))
        })
    }

    /// Notes rows. The inner error is why they are refused.
    async fn note(
        &mut self,
        table: usize,
        rows: values::Rows,
        bytes: u64,
    ) -> Result<std::result::Result<(), String>> {
        let settings = self.allowed.settings();
        let charset = match settings.strings() {
            Ok(charset) => charset,
            Err(why) => return Ok(Err(why)),
        };
        let reading = Reading {
            dialect: self.dialect,
            charset: charset.clone(),
            zone: settings.zone().map(str::to_owned),
            has_past: settings.has_past(),
        };
        let mut names = None;
        if self.noted.is_new(table) {
            let name = self.named(&rows.table, &charset).await?;
            let mut columns = None;
            if let Some(listed) = &rows.columns {
                let mut all = Vec::with_capacity(listed.len());
                for column in listed {
                    all.push(self.named(column, &charset).await?);
                }
                columns = Some(all);
            }
            names = Some((name, columns));
        }
        let statement = Statement {
            number: self.noted.statements,
            rows,
            bytes,
            reading,
        };
        Ok(self.noted.add(table, statement, names))
    }

    /// A name in the dump's character set, as the server reads it.
    async fn named(&mut self, raw: &[u8], charset: &str) -> Result<String> {
        let is_plain = raw.is_ascii() || charsets::is_utf8(charset) || charset == "binary";
        if is_plain && let Ok(name) = std::str::from_utf8(raw) {
            return Ok(name.to_owned());
        }
        let mut digits = String::with_capacity(2 * raw.len());
        for byte in raw {
            // Writing into a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        let sql = format!("SELECT CONVERT(CONVERT(X'{digits}' USING {charset}) USING utf8mb4)");
        self.session.query_one(&sql).await?.text(0)
    }

    async fn run_one(&mut self, action: Action, line: usize) -> Result<()> {
        match action {
            Action::Skip | Action::Rows(..) => {}
            Action::Told(why) => tracing::info!(file = self.file, line, "{why}"),
            Action::View(text) => match self.execute(&text).await {
                Ok(()) => {}
                // No such table, a stand-in that cannot be checked, a view of what is not there.
                Err(error) if matches!(server_error::code(&error), Some(1146 | 1356 | 1368)) => {
                    let settings = self.settings().await?;
                    let waiting: usize = self.waiting.iter().map(|view| view.text.len()).sum();
                    if waiting + text.len() > WAITING {
                        return Err(error);
                    }
                    self.waiting.push(View {
                        line,
                        text,
                        settings,
                        error,
                    });
                }
                Err(error) => return Err(error),
            },
            Action::Run(text) => match self.execute(&text).await {
                // A default that is a date which no calendar has.
                Err(error) if server_error::code(&error) == Some(1067) => {
                    self.execute_loosely(&text).await?;
                }
                done => done?,
            },
            Action::Early(text) => {
                self.session.run("SET SESSION timestamp = 1").await?;
                self.execute(&text).await?;
                self.session.run("SET SESSION timestamp = DEFAULT").await?;
            }
            Action::Set(text) => {
                self.execute(text.as_bytes()).await?;
                self.ask_back().await?;
            }
        }
        Ok(())
    }

    async fn execute(&mut self, sql: &[u8]) -> Result<()> {
        // The command's number is in the packet, too.
        if sql.len() + 1 >= self.session.packet() {
            let what = format!(
                "a statement is longer than the target's max_allowed_packet of {} bytes",
                self.session.packet()
            );
            return Err(
                Error::new(Kind::Statement, what).hint("raise max_allowed_packet on the target")
            );
        }
        run(&mut self.session, sql).await
    }

    /// Where values are taken as they are, dates that no calendar has among them; strings end as before.
    async fn execute_loosely(&mut self, sql: &[u8]) -> Result<()> {
        let kept = ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"];
        let words = self.mode.split(',').filter(|word| kept.contains(word));
        let mode = words.chain([MODE]).collect::<Vec<_>>().join(",");
        self.set_mode(&mode).await?;
        self.execute(sql).await?;
        let mode = self.mode.clone();
        self.set_mode(&mode).await
    }

    /// Asks back what the session is set to, and reads on as it says.
    async fn ask_back(&mut self) -> Result<()> {
        let row = self.session.query_one(Settings::ASK).await?;
        let mode = row.text(2)?;
        self.dialect = Dialect::of(&mode);
        let settings = self.allowed.settings();
        let is_so = settings.are(row.text(0)?, row.text(1)?, mode.clone())
            && self.dialect.no_backslash == self.session.has_no_backslash();
        if !is_so {
            return Err(Error::new(
                Kind::Connection,
                format!(
                    "{}: the session's character set or sql_mode is not what it was set to",
                    self.session.label()
                ),
            )
            .hint("is there a proxy in between, which shares or resets sessions? connect to the server directly"));
        }
        self.mode = mode;
        self.scanner.set_dialect(self.dialect);
        self.noted.set_dialect(self.noted.statements, self.dialect);
        Ok(())
    }

    async fn set_mode(&mut self, mode: &str) -> Result<()> {
        // A mode has no letter that would have to be escaped.
        let sql = format!("SET SESSION sql_mode = '{mode}'");
        self.session.run(&sql).await.map(drop)
    }

    /// The SET statement for the settings that a view is created with.
    async fn settings(&mut self) -> Result<String> {
        let row = self
            .session
            .query_one("SELECT @@character_set_client, @@collation_connection, @@sql_mode")
            .await?;
        Ok(format!(
            "SET SESSION character_set_client = {}, collation_connection = {}, sql_mode = {}",
            row.text(0)?,
            row.text(1)?,
            literal(&row.text(2)?)
        ))
    }

    /// Makes the views that were waiting, as long as any can be made.
    async fn make_waiting(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut failed = Vec::new();
            for mut view in waiting {
                self.session.run(&view.settings).await?;
                if let Err(error) = run(&mut self.session, &view.text).await {
                    view.error = error;
                    failed.push(view);
                }
            }
            if failed.len() == before {
                let Some(View {
                    line, text, error, ..
                }) = failed.into_iter().next()
                else {
                    break;
                };
                let shown = String::from_utf8_lossy(&text).into_owned();
                return Err(redact::about(error, &shown, redact::Dialect::Mysql)
                    .within(format!("{}:{line}", self.file)));
            }
            waiting = failed;
        }
        Ok(())
    }

    /// A dump of the other line of servers would lose what this one does not know, in comments that it skips.
    fn check_server(&mut self) -> Result<()> {
        if self.checked {
            return Ok(());
        }
        let Some(text) = self.allowed.server() else {
            return Ok(());
        };
        self.checked = true;
        let Ok(dumped) = Version::parse(text) else {
            return Ok(());
        };
        let here = self.session.version();
        if dumped.flavour != here.flavour {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "the dump {} is of {} {} and the target {} {}: their definitions differ (JSON, collations, sequences, system versioning, accounts), so a copy cannot be equal",
                    self.file, dumped.flavour, dumped.text, here.flavour, here.text
                ),
            )
            .hint("use a target of the dump's kind"));
        }
        if (here.number.0, here.number.1) < (dumped.number.0, dumped.number.1) {
            tracing::warn!(
                dump = dumped.text,
                target = here.text,
                "the target's server is older than the dump's: what it does not know is refused"
            );
        }
        Ok(())
    }
}

/// A statement for an error. Rows are nobody's business.
fn told(sql: &[u8]) -> String {
    redact::statement(&head(sql), redact::Dialect::Mysql)
}

/// The beginning of a statement; of one of rows, what comes before them: where it is damaged, it cannot be told what a literal
/// is.
fn head(sql: &[u8]) -> String {
    let text = String::from_utf8_lossy(&sql[..sql.len().min(4000)]).into_owned();
    if !values::begins_rows(sql) {
        return text;
    }
    let end = text.to_ascii_uppercase().find("VALUE");
    format!("{} VALUES ...", text[..end.unwrap_or(0)].trim_end())
}

async fn run(session: &mut Session, sql: &[u8]) -> Result<()> {
    match session.execute_one(sql).await {
        Ok(_) => Ok(()),
        // A comment that is nothing to this server.
        Err(error) if server_error::code(&error) == Some(1065) => Ok(()),
        // Options or rows that InnoDB's strict mode refuses, which the source's did not.
        Err(error) if matches!(server_error::code(&error), Some(1005 | 1031 | 1118 | 1478)) => {
            let loosened = session.run("SET SESSION innodb_strict_mode = OFF").await;
            if loosened.is_err() {
                return Err(error);
            }
            let made = session.execute_one(sql).await;
            session
                .run("SET SESSION innodb_strict_mode = DEFAULT")
                .await?;
            made.map(drop)
        }
        Err(error) => Err(error),
    }
}
