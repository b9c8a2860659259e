//! Reads what a schema consists of from its server.

use std::collections::{BTreeSet, HashMap};

use super::create_table::{Alike, Create};
use super::definitions::{Column, Definitions, Table, versioning};
use super::engines::{self, Engine};
use super::grants::Grants;
use super::objects::{self, ObjectKind};
use super::typed_columns::Typed;
use super::{exclusion, sequences, zones};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::row::Row;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::marks;
use crate::store::mysql::sql::names::{literal, quoted};
use crate::store::mysql::sql::version::Flavour;
use crate::store::{Fate, Interner, List, Selection};

/// A table as the list of tables has it.
struct Listed {
    name: String,
    kind: String,
    engine: Option<String>,
    rows: u64,
    bytes: u64,
    comment: String,
}

/// Reads a schema, in the session's snapshot if it has one. The session is left in the schema.
pub(in crate::store::mysql) async fn read(
    session: &mut Session,
    schema: &str,
    selection: &Selection,
) -> Result<Definitions> {
    let (mut tables, mut alike) = (Vec::new(), Alike::default());
    let keep = |mut table: Table| {
        table.create.share(&mut alike);
        tables.push(table);
    };
    let (mut found, homonym) = read_each(session, schema, selection, keep).await?;
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables.shrink_to_fit();
    found.tables = tables;
    exclusion::leave_out(&mut found, selection)?;
    note_homonym(&mut found, homonym, schema);
    Ok(found)
}

/// The same of all that is in a schema, but its tables are shown one by one, in no order, and none of them is kept.
pub(in crate::store::mysql) async fn read_apart(
    session: &mut Session,
    schema: &str,
    show: impl FnMut(Table),
) -> Result<Definitions> {
    let (mut found, homonym) = read_each(session, schema, &Selection::everything(), show).await?;
    note_homonym(&mut found, homonym, schema);
    Ok(found)
}

/// Reads all but tables, which it shows; and whether one of them, or a sequence, is called like the schema.
async fn read_each(
    session: &mut Session,
    schema: &str,
    selection: &Selection,
    mut show: impl FnMut(Table),
) -> Result<(Definitions, bool)> {
    let mut found = settings(session, schema).await?;
    refuse_hidden(session, schema).await?;
    session.run(&format!("USE {}", quoted(schema))).await?;
    show_generated_keys(session).await?;
    let listed = list(session, schema).await?;
    let transactional = engines::transactional(session).await?;
    let mut columns = columns(session, schema).await?;
    let mut sequences = Vec::new();
    let mut homonym = false;
    for listed in listed {
        homonym |= listed.name.eq_ignore_ascii_case(schema);
        let Some(fate) = wanted(&listed, selection, &mut found) else {
            continue;
        };
        if listed.kind == "SEQUENCE" {
            sequences.push((listed.name, fate));
            continue;
        }
        let (engine, fate) = engine(&listed, fate)?;
        if fate != Fate::Copy {
            found.left_out.push((listed.name.clone(), fate));
        }
        let is_transactional = transactional.contains(&engine.to_ascii_lowercase());
        let columns = columns.remove(&listed.name).unwrap_or_default();
        let table = table(session, listed, columns).await?;
        show(Table {
            transactional: is_transactional,
            engine,
            fate,
            ..table
        });
    }
    found.sequences = sequences::read(session, sequences).await?;
    found.objects = objects::read(session, schema).await?;
    for view in &found.objects {
        if view.kind == ObjectKind::View && selection.fate(None, &view.name) == Fate::Exclude {
            found.left_out.push((view.name.clone(), Fate::Exclude));
            found.excluded.insert(view.name.clone());
        }
    }
    found.retain_objects();
    Ok((found, homonym))
}

/// Lets objects know whether something is called like their schema.
fn note_homonym(found: &mut Definitions, mut homonym: bool, schema: &str) {
    homonym |= found.objects.iter().any(|object| {
        matches!(object.kind, ObjectKind::View | ObjectKind::Package)
            && object.name.eq_ignore_ascii_case(schema)
    });
    for object in &mut found.objects {
        object.homonym = homonym;
    }
}

/// The settings of a schema, as definitions without objects.
async fn settings(session: &mut Session, schema: &str) -> Result<Definitions> {
    let version = session.version().clone();
    let comment = if version.is_mariadb(10, 5) {
        "SCHEMA_COMMENT"
    } else {
        "''"
    };
    let row = session
        .query_opt(&format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME, {comment}, @@lower_case_table_names, {} \
             FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            zones::OF_SERVER,
            literal(schema)
        ))
        .await?
        .ok_or_else(|| {
            Error::new(Kind::Absent, format!("there is no database `{schema}`"))
                .hint("check the database's name in the URL, and that the endpoint's user may use it")
        })?;
    Ok(Definitions {
        schema: schema.to_owned(),
        version,
        charset: row.text(0)?,
        collation: row.text(1)?,
        // Of a schema that a run made, ours.
        comment: row
            .maybe(2)?
            .filter(|comment| !marks::is_mark(comment))
            .unwrap_or_default(),
        folding: row.number(3)?,
        zone: row.text(4)?,
        tables: Vec::new(),
        sequences: Vec::new(),
        objects: Vec::new(),
        left_out: Vec::new(),
        excluded: BTreeSet::new(),
        typed: Typed::default(),
        is_dumped: false,
    })
}

/// A primary key that the server made is a key like any other.
async fn show_generated_keys(session: &mut Session) -> Result<()> {
    if !session.version().is_mysql(8, 0) {
        return Ok(());
    }
    let shown = session
        .run("SET SESSION show_gipk_in_create_table_and_information_schema = 1")
        .await;
    match shown {
        // Unknown to servers that make none (1193).
        Err(error) if server_error::code(&error) != Some(1193) => Err(error),
        _ => Ok(()),
    }
}

/// What becomes of a table or sequence; `None`: it is neither, or is left out.
fn wanted(listed: &Listed, selection: &Selection, found: &mut Definitions) -> Option<Fate> {
    if ["VIEW", "SYSTEM VIEW", "TEMPORARY"].contains(&listed.kind.as_str()) {
        return None;
    }
    if marks::is_own(&listed.name, &listed.comment) {
        found.left_out.push((listed.name.clone(), Fate::Exclude));
        return None;
    }
    let fate = selection.fate(None, &listed.name);
    if fate == Fate::Exclude {
        found.left_out.push((listed.name.clone(), fate));
        found.excluded.insert(listed.name.clone());
        return None;
    }
    Some(fate)
}

/// A table's engine, and what becomes of the table where that has no rows to copy. One that cannot be copied is refused.
fn engine(listed: &Listed, fate: Fate) -> Result<(String, Fate)> {
    if !["BASE TABLE", "SYSTEM VERSIONED"].contains(&listed.kind.as_str()) {
        let why = format!(
            "what the server calls a {} is not known to envsyncd",
            listed.kind
        );
        return Err(engines::refusal(&listed.name, &why));
    }
    let engine = listed.engine.clone();
    let engine = engine.ok_or_else(|| unreadable(&listed.name))?;
    let fate = match engines::of(&engine, fate) {
        Engine::Empty if fate == Fate::Copy => Fate::SchemaOnly,
        Engine::Copied | Engine::Empty => fate,
        Engine::Refused(why) => return Err(engines::refusal(&listed.name, why)),
    };
    Ok((engine, fate))
}

/// Reads a table's definition; what it is stored in, and what becomes of it, is for the caller to say.
async fn table(session: &mut Session, listed: Listed, mut columns: List<Column>) -> Result<Table> {
    let text = session
        .query_one(&format!("SHOW CREATE TABLE {}", quoted(&listed.name)))
        .await
        .map_err(|error| error.within(format!("table `{}`", listed.name)))?
        .definition(1)?;
    let create = Create::parse(&text)?;
    let versioning = versioning(&create);
    if let Some((start, end)) = &versioning
        && !columns.iter().any(|column| column.is_period)
    {
        // Nobody named them, and information_schema does not list them.
        let hidden = [period(start), period(end)];
        columns = columns.iter().cloned().chain(hidden).collect();
    }
    Ok(Table {
        auto_increment: create.auto_increment(),
        versioning,
        split_key: create.split_key(),
        columns,
        transactional: false,
        name: listed.name,
        create,
        engine: String::new(),
        rows: listed.rows,
        bytes: listed.bytes,
        fate: Fate::Copy,
    })
}

fn unreadable(table: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("table `{table}` cannot be opened by the server"),
    )
    .hint("see what CHECK TABLE says of it, repair or drop it, or put it into the task's `exclude`")
}

/// All tables, views and sequences.
async fn list(session: &mut Session, schema: &str) -> Result<Vec<Listed>> {
    let query = format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_COMMENT FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME",
        literal(schema)
    );
    let mut all = Vec::new();
    let take = |row: Row| {
        let number = |at| -> Result<u64> {
            Ok(row
                .maybe(at)?
                .and_then(|text| text.parse().ok())
                .unwrap_or(0))
        };
        all.push(Listed {
            name: row.text(0)?,
            kind: row.text(1)?.to_ascii_uppercase(),
            engine: row.maybe(2)?,
            rows: number(3)?,
            bytes: number(4)?,
            comment: row.maybe(5)?.unwrap_or_default(),
        });
        Ok(())
    };
    session.each(&query, take).await?;
    Ok(all)
}

/// The columns of tables, of which many have the same.
#[derive(Default)]
struct Columns {
    of: HashMap<String, List<Column>>,
    alike: Interner<[Column]>,
    /// The table whose columns are just coming, with those that are there.
    coming: (String, Vec<Column>),
}

impl Columns {
    fn add(&mut self, table: String, column: Column) {
        if self.coming.0 != table {
            self.put_away();
            self.coming.0 = table;
        }
        self.coming.1.push(column);
    }

    fn put_away(&mut self) {
        let (table, coming) = std::mem::take(&mut self.coming);
        if coming.is_empty() {
            return;
        }
        // To the server's order, names that differ in case alone are the same: their columns come mixed.
        let mut all: List<Column> = match self.of.remove(&table) {
            Some(known) => known.iter().cloned().chain(coming).collect(),
            None => coming.into(),
        };
        self.alike.intern_list(&mut all);
        self.of.insert(table, all);
    }
}

/// The columns of all tables.
async fn columns(session: &mut Session, schema: &str) -> Result<HashMap<String, List<Column>>> {
    let query = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, \
                    GENERATION_EXPRESSION, EXTRA \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
        literal(schema)
    );
    let mut found = Columns::default();
    let take = |row: Row| {
        let expression = row.maybe(6)?.unwrap_or_default();
        // Not DEFAULT_GENERATED, which is MySQL's word for a default that is an expression.
        let extra = row.maybe(7)?.unwrap_or_default().to_ascii_uppercase();
        let is_period = matches!(expression.as_str(), "ROW START" | "ROW END");
        let generated = extra.contains("VIRTUAL GENERATED")
            || extra.contains("STORED GENERATED")
            || extra.contains("PERSISTENT");
        let column = Column {
            name: row.text(1)?,
            data_type: row.text(2)?.to_ascii_lowercase(),
            column_type: row.text(3)?,
            charset: row.maybe(4)?,
            collation: row.maybe(5)?,
            generated: generated || is_period,
            is_period,
        };
        found.add(row.text(0)?, column);
        Ok(())
    };
    session.each(&query, take).await?;
    found.put_away();
    Ok(found.of)
}

fn period(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: "timestamp".to_owned(),
        column_type: "timestamp(6)".to_owned(),
        charset: None,
        collation: None,
        generated: true,
        is_period: true,
    }
}

/// Without some privileges the server answers as if things were not there: those are asked for, since a copy would lack
/// what nobody saw.
async fn refuse_hidden(session: &mut Session, schema: &str) -> Result<()> {
    let grants = Grants::read(session).await?;
    let mut missing: Vec<&str> = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"]
        .into_iter()
        .filter(|privilege| !grants.has(privilege, schema))
        .collect();
    let (reveals, hint) = match session.version() {
        version if version.is_mysql(8, 0) => ("SHOW_ROUTINE", "SHOW_ROUTINE ON *.*"),
        version if version.is_mariadb(11, 3) => {
            ("SHOW CREATE ROUTINE", "SHOW CREATE ROUTINE ON the schema")
        }
        _ => ("EXECUTE", "EXECUTE ON the schema and SELECT ON mysql.proc"),
    };
    let sees_routines = grants.has(reveals, schema)
        || ["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE"]
            .iter()
            .any(|privilege| grants.has(privilege, schema))
        || (session.version().flavour == Flavour::MariaDb
            && grants.has_on("SELECT", "mysql", "proc"))
        || grants.has_everywhere("SELECT");
    if !sees_routines {
        missing.push(reveals);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut hint = format!(
        "GRANT {} ON {}.* TO the endpoint's user",
        missing.join(", "),
        quoted(schema)
    ) + if sees_routines {
        ""
    } else {
        "; for routines: "
    } + if sees_routines { "" } else { hint };
    hint.push_str(" (without them the server hides what is there)");
    Err(Error::new(
        Kind::Permission,
        format!(
            "the user lacks {} on the database `{schema}`",
            missing.join(", ")
        ),
    )
    .hint(hint))
}
