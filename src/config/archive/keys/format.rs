//! What lies in an archive, and what does not go with dumps of others.

use super::refuse::refuse;
use crate::config::archive::{Archive, Format, Govuk};
use crate::config::document::quote;
use crate::config::reader::{Table, Value, optional};

/// The formats there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Envsyncd,
    Govuk,
}

const WORDS: &[(&str, Word)] = &[("envsyncd", Word::Envsyncd), ("govuk", Word::Govuk)];

/// Whether the table, right or wrong, is about dumps of others.
pub(super) fn means_govuk(table: &Table<'_>) -> bool {
    let format = table.keys.get("format");
    format.and_then(|format| format.get_ref().as_str()) == Some("govuk")
}

/// Reads `format`, and `database` beside it.
pub(super) fn read(table: &Table<'_>, archive: &mut Archive) -> Option<()> {
    let Some(format) = table.choice("format", WORDS, Word::Envsyncd) else {
        // Whether it belongs there depends on the format.
        table.get("database");
        return None;
    };
    if format == Word::Envsyncd {
        refuse(table, &["database"], |_| {
            (
                "`database` is for format = \"govuk\": what a snapshot is of stands in its manifest"
                    .to_owned(),
                "leave `database` out, or write format = \"govuk\" beside it",
            )
        });
        return Some(());
    }
    for (keys, why, help) in REFUSED {
        refuse(table, keys, |key| {
            (
                format!("`{key}` does not go with format = \"govuk\": {why}"),
                help,
            )
        });
    }
    let database = table.get("database").map(|value| read_database(&value));
    archive.format = Format::Govuk(Govuk {
        database: optional(database)?,
    });
    Some(())
}

/// What such dumps do not have.
const REFUSED: [(&[&str], &str, &str); 4] = [
    (
        &["key"],
        "there is no manifest that could be authenticated",
        "leave it out: who may write there has to be decided by the bucket's or the directory's own permissions",
    ),
    (
        &["recipients", "identity"],
        "others could not read what is encrypted",
        "leave it out, or take format = \"envsyncd\"",
    ),
    (
        &["job"],
        "a dump does not say what job has made it",
        "write database = \"NAME\", as it stands in the files' names",
    ),
    (
        &["keep_daily", "keep_last", "keep_weekly", "max_age"],
        "what is kept there is decided by those who share it",
        "leave it out, and give the bucket a lifecycle rule",
    ),
];

fn read_database(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fine = !text.is_empty() && !text.contains('/') && !text.chars().any(char::is_control);
    if !fine {
        value.report(
            value
                .wrong(format!("{} cannot stand in a file's name", quote(text)))
                .allowed("the database as it stands in TIME-DATABASE.gz"),
        );
        return None;
    }
    Some(text.to_owned())
}
