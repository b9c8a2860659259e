//! Whether a table can hold another one's rows as they are, and whether it does: column by column, then by count and
//! checksum. What `keep` promises is what these say.

use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::rows::checksum;
use crate::store::mysql::schema::create_table::Create;
use crate::store::mysql::schema::definitions::{self, Column, Definitions};
use crate::store::mysql::schema::objects::ObjectKind;
use crate::store::mysql::schema::zones;
use crate::store::mysql::sql::names::{Names, literal, quoted, within};
use crate::store::mysql::sql::version::{Flavour, Version};
use crate::store::{Fate, Selection};

/// A column of a table whose rows are kept, or are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) struct Own {
    /// What `SHOW CREATE TABLE` prints.
    pub(in crate::store::mysql) create: String,
    columns: Vec<Described>,
    /// The columns of its system time (MariaDB).
    period: Option<(String, String)>,
    flavour: Flavour,
}

/// A column with what decides how its values look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Described {
    column: Column,
    /// Digits behind the point, or of a second's fraction.
    scale: u32,
}

/// How rows go from one table to another, and how they are compared.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    /// What is copied, in quotes.
    list: String,
    /// A row as one text, the same on both sides.
    row: String,
    /// With the rows' past.
    is_versioned: bool,
    /// The table has columns that are computed, maybe under a time zone.
    computes: bool,
}

impl Own {
    fn computes(&self) -> bool {
        self.columns.iter().any(|one| one.column.generated)
    }
}

/// Reads a table.
pub(in crate::store::mysql) async fn read(
    session: &mut Session,
    schema: &str,
    table: &str,
) -> Result<Own> {
    let create = session
        .query_one(&format!("SHOW CREATE TABLE {}", within(schema, table)))
        .await?
        .definition(1)?;
    let rows = session
        .query(&format!(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, \
                    COALESCE(GENERATION_EXPRESSION, ''), COALESCE(NUMERIC_SCALE, DATETIME_PRECISION, 0) \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
            literal(schema),
            literal(table)
        ))
        .await?;
    let period = Create::parse(&create)
        .ok()
        .and_then(|create| definitions::versioning(&create));
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row.text(0)?;
        let expression = row.text(5)?;
        let is_period = matches!(expression.as_str(), "ROW START" | "ROW END");
        if is_period && row.text(1)?.eq_ignore_ascii_case("bigint") {
            return Err(by_number(table));
        }
        columns.push(Described {
            scale: u32::try_from(row.number(6)?).unwrap_or(0),
            column: Column {
                name,
                data_type: row.text(1)?.to_ascii_lowercase(),
                column_type: row.text(2)?,
                charset: row.maybe(3)?,
                collation: row.maybe(4)?,
                generated: !expression.is_empty(),
                is_period,
            },
        });
    }
    if period.is_some() && !session.version().takes_past() {
        return Err(no_past(table, session.version()));
    }
    Ok(Own {
        create,
        columns,
        period,
        flavour: session.version().flavour,
    })
}

fn by_number(table: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("`{table}` cannot be kept: the past of its rows goes by transactions, whose numbers no copy has"),
    )
    .hint("take it out of `keep`, or version it by timestamps on the target")
}

fn no_past(table: &str, version: &Version) -> Error {
    Error::new(
        Kind::Verify,
        format!(
            "`{table}` cannot be kept: its rows have a past, which {} {} does not take",
            version.flavour, version.text
        ),
    )
    .hint("use a target of MariaDB 10.11 or later, or take the table out of `keep`")
}

/// Types whose values are written alike.
fn class(data_type: &str) -> &str {
    match data_type {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => "integer",
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => "text",
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => "bytes",
        other => other,
    }
}

impl Fit {
    /// From a table into another one; `Err` says why that cannot be.
    pub(in crate::store::mysql) fn of(from: &Own, into: &Own) -> std::result::Result<Self, String> {
        if from.period.is_some() && from.period != into.period {
            return Err("it keeps no past of its rows, or names it otherwise".to_owned());
        }
        let mut list = Vec::new();
        let mut fields = Vec::new();
        for one in from.columns.iter().filter(|one| !one.column.is_period) {
            let name = &one.column.name;
            let other = into
                .columns
                .iter()
                .find(|other| other.column.name.to_lowercase() == name.to_lowercase())
                .ok_or_else(|| format!("it has no column `{name}`"))?;
            if one.column.generated != other.column.generated || other.column.is_period {
                return Err(format!("the column `{name}` is computed on one side only"));
            }
            if class(&one.column.data_type) != class(&other.column.data_type) {
                return Err(format!(
                    "the column `{name}` is of type {} there and {} on the target",
                    other.column.column_type, one.column.column_type
                ));
            }
            if !one.column.generated {
                list.push(quoted(name));
            }
            fields.push(field(one, other, from.flavour));
        }
        Ok(Self::new(
            list,
            fields,
            from.period.as_ref(),
            from.computes(),
        ))
    }

    /// Into a table of the same definition. What is computed is computed there once more, and not compared: it may depend on
    /// when.
    pub(in crate::store::mysql) fn same(own: &Own) -> Self {
        let copied = || own.columns.iter().filter(|one| !one.column.generated);
        let list = copied().map(|one| quoted(&one.column.name)).collect();
        let fields = copied().map(|one| field(one, one, own.flavour)).collect();
        Self::new(list, fields, own.period.as_ref(), own.computes())
    }

    fn new(
        mut list: Vec<String>,
        mut fields: Vec<String>,
        period: Option<&(String, String)>,
        computes: bool,
    ) -> Self {
        if let Some((start, end)) = period {
            for name in [start, end] {
                list.push(quoted(name));
                fields.push(text(&quoted(name)));
            }
        }
        Self {
            list: list.join(", "),
            row: if fields.is_empty() {
                "''".to_owned()
            } else {
                format!("CONCAT({})", fields.join(", "))
            },
            is_versioned: period.is_some(),
            computes,
        }
    }

    fn rows_of(&self, schema: &str, table: &str) -> String {
        let name = within(schema, table);
        if self.is_versioned {
            format!("{name} FOR SYSTEM_TIME ALL")
        } else {
            name
        }
    }

    /// Copies all rows; those that are there go first.
    pub(in crate::store::mysql) async fn copy(
        &self,
        session: &mut Session,
        from: (&str, &str),
        to: (&str, &str),
    ) -> Result<()> {
        let (rows, into) = (self.rows_of(from.0, from.1), within(to.0, to.1));
        let list = &self.list;
        let copied = async {
            session.run("START TRANSACTION").await?;
            if self.has_rows(session, to).await? {
                session.run(&format!("DELETE FROM {into}")).await?;
                if self.is_versioned {
                    // They have become history.
                    session.run(&format!("DELETE HISTORY FROM {into}")).await?;
                }
            }
            if self.computes {
                session.run(zones::ORDINARY).await?;
            }
            session
                .run(&format!(
                    "INSERT INTO {into} ({list}) SELECT {list} FROM {rows}"
                ))
                .await?;
            session.run("COMMIT").await
        };
        let copied = copied.await;
        if self.computes && session.is_usable() {
            session.run(zones::TRAVELLING).await?;
        }
        if let Err(error) = copied {
            if session.is_usable() {
                let _ = session.run("ROLLBACK").await;
            }
            return Err(error);
        }
        Ok(())
    }

    async fn has_rows(&self, session: &mut Session, table: (&str, &str)) -> Result<bool> {
        let rows = self.rows_of(table.0, table.1);
        let row = session
            .query_opt(&format!("SELECT 1 FROM {rows} LIMIT 1"))
            .await?;
        Ok(row.is_some())
    }

    /// Its rows' number and sum, comparable between both sides.
    pub(in crate::store::mysql) async fn sum(
        &self,
        session: &mut Session,
        schema: &str,
        table: &str,
    ) -> Result<String> {
        checksum::over(session, &self.row, &self.rows_of(schema, table), table).await
    }

    /// What is another as soon as a table's rows are others, to be compared with the same table's.
    pub(in crate::store::mysql) async fn state(
        &self,
        session: &mut Session,
        schema: &str,
        table: &str,
    ) -> Result<String> {
        if self.is_versioned {
            return self.sum(session, schema, table).await;
        }
        let row = session
            .query_one(&format!("CHECKSUM TABLE {}", within(schema, table)))
            .await?;
        // One that the server does not say is equal to no other.
        row.maybe(1)?.ok_or_else(|| {
            Error::new(
                Kind::Verify,
                format!("the server does not sum up the rows of {schema}.{table}"),
            )
            .hint("see what CHECK TABLE says of it")
        })
    }
}

/// A value with its length, so that no two rows make one text; NULL if the server cannot make it.
fn text(value: &str) -> String {
    let bytes = format!("CAST({value} AS BINARY)");
    format!("IF({value} IS NULL, '-', CONCAT(LENGTH({bytes}), ':', {bytes}))")
}

fn long(value: &str, flavour: Flavour) -> String {
    let hash = checksum::hash(value, flavour);
    format!("IF({value} IS NULL, '-', CONCAT(LENGTH({value}), '#', {hash}))")
}

/// A column's value, in words that are the same on both sides if both hold the same.
fn field(one: &Described, other: &Described, flavour: Flavour) -> String {
    let name = quoted(&one.column.name);
    let scale = one.scale.max(other.scale);
    match one.column.data_type.as_str() {
        // Wider columns write more digits.
        "decimal" if one.scale != other.scale => {
            text(&format!("CAST({name} AS DECIMAL(65, {scale}))"))
        }
        "datetime" | "timestamp" if one.scale != other.scale => {
            text(&format!("CAST({name} AS DATETIME({scale}))"))
        }
        "time" if one.scale != other.scale => text(&format!("CAST({name} AS TIME({scale}))")),
        "enum" => format!(
            "IF({name} IS NULL, '-', IF({name} + 0 = 0, '!', CONCAT(LENGTH(CAST({name} AS BINARY)), ':', CAST({name} AS BINARY))))"
        ),
        // Printed with six digits otherwise.
        "float" => text(&format!("{name} * 1e0")),
        "bit" => text(&format!("BIN({name})")),
        "char" | "varchar" | "set" | "date" | "datetime" | "timestamp" | "time" | "year"
        | "decimal" | "double" | "tinyint" | "smallint" | "mediumint" | "int" | "bigint"
        | "binary" | "varbinary"
            if class_is_short(other) =>
        {
            text(&in_one_charset(&name, one, other))
        }
        "uuid" | "inet4" | "inet6" => text(&format!("CAST({name} AS CHAR)")),
        _ => long(&in_one_charset(&name, one, other), flavour),
    }
}

/// The other side's value is no longer than a row.
fn class_is_short(other: &Described) -> bool {
    let kind = other.column.data_type.as_str();
    !(kind.ends_with("text") || kind.ends_with("blob"))
}

fn in_one_charset(name: &str, one: &Described, other: &Described) -> String {
    if one.column.charset == other.column.charset {
        name.to_owned()
    } else {
        format!("CONVERT({name} USING utf8mb4)")
    }
}

/// What is a table on one side and something else on the other can be neither kept nor replaced by what it is not; and what
/// no copy could hold is not to be kept. Writes nothing.
pub(in crate::store::mysql) async fn refuse(
    session: &mut Session,
    definitions: &Definitions,
    names: &Names,
    selection: &Selection,
) -> Result<()> {
    let folded = session
        .query_one("SELECT @@lower_case_table_names")
        .await?
        .number(0)?
        != 0;
    let same = |one: &str, other: &str| {
        one == other || (folded && one.to_lowercase() == other.to_lowercase())
    };
    let tables = definitions
        .tables
        .iter()
        .map(|t| (t.name.as_str(), "table"));
    let sequences = definitions
        .sequences
        .iter()
        .map(|s| (s.name.as_str(), "sequence"));
    let views = definitions
        .objects
        .iter()
        .filter(|object| object.kind == ObjectKind::View)
        .map(|view| (view.name.as_str(), "view"));
    let theirs: Vec<(&str, &str)> = tables.chain(sequences).chain(views).collect();
    let live = session
        .query(&format!(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
            literal(&names.live)
        ))
        .await?;
    for row in live {
        let name = row.text(0)?;
        let kind = match row.text(1)?.as_str() {
            "VIEW" => "view",
            "SEQUENCE" => "sequence",
            _ => "table",
        };
        let is_kept = selection.fate(None, &name) == Fate::Keep;
        if !is_kept && !selection.overlay {
            continue;
        }
        let there = theirs.iter().find(|(other, _)| same(&name, other));
        if let Some((_, other)) = there
            && *other != kind
        {
            let option = if is_kept {
                "keep"
            } else {
                "mode = \"overlay\""
            };
            return Err(Error::new(
                Kind::Verify,
                format!("`{name}` is a {kind} on the target and a {other} on the source: `{option}` cannot have both"),
            )
            .hint("rename or drop one of them, or take it out of `keep`"));
        }
        // Whether it would be taken: what only one of both has.
        let is_preserved = is_kept || there.is_none();
        if kind == "table" && is_preserved && row.text(1)? == "SYSTEM VERSIONED" {
            read(session, &names.live, &name).await?;
        }
    }
    Ok(())
}
