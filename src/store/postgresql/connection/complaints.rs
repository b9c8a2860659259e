//! What `pg_dump` and `pg_restore` complain of, without what may be a row's value: they repeat what the server says, in its
//! language, and name neither its code nor where it comes from.

use super::harmless_words::VOCABULARY;
use crate::store::redact::{self, Names};

/// What they say of themselves and of files, which have no rows' values in them.
const OWN: &[&str] = &[
    "aborting because of server version mismatch",
    "connection to ",
    "could not find block",
    "could not find entry",
    "could not read from input file",
    "could not uncompress data",
    "found unexpected block ID",
    "input file ",
    "unexpected end of file",
    "unrecognized data block type",
    "unsupported version ",
];

/// What the server says most, with the places of values.
const TEMPLATES: &[&str] = &[
    "Dumping the contents of table \"{}\" failed: PQgetCopyData() failed.",
    "Dumping the contents of table \"{}\" failed: PQgetResult() failed.",
    "could not create unique index \"{}\"",
    "could not extend file \"{*}\": No space left on device",
    "could not write to file \"{*}\": No space left on device",
    "date/time field value out of range: \"{*}\"",
    "duplicate key value violates unique constraint \"{}\"",
    "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
    "invalid byte sequence for encoding \"{*}\": {*}",
    "invalid input syntax for type {}: \"{*}\"",
    "invalid input value for enum {}: \"{*}\"",
    "new row for relation \"{}\" violates check constraint \"{}\"",
    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
    "value \"{*}\" is out of range for type {}",
    "value for domain {} violates check constraint \"{}\"",
    "value too long for type {}({#})",
];

/// What stands for all that may not be told.
pub(super) const REFUSED: &str = "the server refused it";

/// Where the rest is to be read: servers log what is an error, unless `log_min_messages` is above it.
pub(in crate::store::postgresql) const ELSEWHERE: &str =
    "what the server said may quote a row's content: it is in the server's log, and nowhere here";

/// A complaint, without the program's name before it. `names` are those of what it works on.
pub(in crate::store::postgresql) struct Complaint {
    /// What may be told.
    pub(in crate::store::postgresql) text: String,
    /// That is all of it.
    pub(in crate::store::postgresql) is_whole: bool,
}

/// Reads a line that an error begins with.
pub(in crate::store::postgresql) fn complaint(line: &str, names: &Names) -> Complaint {
    let line = line.trim();
    if let Some(said) = line.strip_prefix("could not execute query: ") {
        return of_server(said, names);
    }
    let said = line.strip_prefix("COPY failed for table \"");
    if let Some((table, said)) = said.and_then(|said| said.split_once("\": ")) {
        let Complaint { text, is_whole } = of_server(said, names);
        let table = if names.has(table) { table } else { "?" };
        return Complaint {
            text: format!("COPY failed for table \"{table}\": {text}"),
            is_whole,
        };
    }
    if OWN.iter().any(|start| line.starts_with(start)) && !line.contains("ERROR:") {
        return Complaint {
            text: line.to_owned(),
            is_whole: true,
        };
    }
    of_server(line, names)
}

/// What the server says, with its word for how grave it is.
fn of_server(said: &str, names: &Names) -> Complaint {
    let said = match said.split_once(':') {
        Some((severity, said)) if !severity.contains(' ') => said.trim_start(),
        _ => said,
    };
    let mut known = names.clone();
    for word in VOCABULARY {
        known.add(word);
    }
    let text =
        redact::filled(said, TEMPLATES, &known).or_else(|| redact::words(said, VOCABULARY, names));
    Complaint {
        is_whole: text.is_some(),
        text: text.unwrap_or_else(|| REFUSED.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redact::Dialect;

    #[test]
    fn names_are_told_and_values_are_not() {
        let names = Names::of("CREATE TABLE public.users (mail text)", Dialect::Postgresql);
        for (line, text) in [
            (
                "could not execute query: ERROR:  relation \"users\" already exists",
                "relation \"users\" already exists",
            ),
            (
                "COPY failed for table \"users\": ERROR:  invalid input syntax for type integer: \"MARKER\"",
                "COPY failed for table \"users\": invalid input syntax for type integer: \"?\"",
            ),
            (
                "COPY failed for table \"users\": FEHLER:  ung\u{fc}ltig: \u{bb}MARKER\u{ab}",
                "COPY failed for table \"users\": the server refused it",
            ),
            (
                "could not execute query: ERROR:  MARKER: ERROR:  relation \"users\" already exists",
                "the server refused it",
            ),
            (
                "could not execute query: ERROR:  relation \"MARKER\" does not exist",
                "the server refused it",
            ),
            ("MARKER: x", "the server refused it"),
            (
                "could not read from input file: end of file",
                "could not read from input file: end of file",
            ),
        ] {
            assert_eq!(complaint(line, &names).text, text, "{line}");
        }
    }
}
