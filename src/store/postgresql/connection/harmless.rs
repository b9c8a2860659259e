//! Messages of a PostgreSQL server that cannot hold a row's value.
//!
//! Each message comes with the file of the server's source that it is from, which no RAISE of a function and no other
//! language's error can have. In some files all messages are made of the server's own words and the names of what there is;
//! in others a name may come from a value (`mail::regclass`), so that each word has to be known.

use super::harmless_words::{CONSTRAINTS, LIMITS, VOCABULARY, WHOLE, WORDS};
use crate::store::redact::{self, Names};

/// What is known of one message.
pub(in crate::store::postgresql) struct Message<'a> {
    pub(in crate::store::postgresql) code: &'a str,
    pub(in crate::store::postgresql) text: &'a str,
    /// The server's source file.
    pub(in crate::store::postgresql) file: &'a str,
    /// It came up inside of a function, or while a value was read.
    pub(in crate::store::postgresql) has_context: bool,
}

/// What may be told of the message; `None`: nothing but its code.
pub(in crate::store::postgresql) fn told(message: &Message<'_>, names: &Names) -> Option<String> {
    let Message {
        code, text, file, ..
    } = *message;
    let class = code.get(..2)?;
    let is_in = |files: &[&str]| files.contains(&file);
    // Files that a value may name are looked for there, too.
    let is_full = class == "53" && file == "fd.c";
    if is_in(WHOLE) || is_full || (class == "23" && is_in(CONSTRAINTS)) {
        return Some(text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if class == "22" {
        // In other languages it may be quoted by other signs.
        let is_bare = text.is_ascii() && !text.contains(['"', '\'', ':']);
        return (is_in(LIMITS) && is_bare).then(|| text.to_owned());
    }
    if message.has_context || !is_in(WORDS) {
        return None;
    }
    redact::words(text, VOCABULARY, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, file: &str, text: &str) -> Option<String> {
        let names = Names::of("GRANT SELECT ON users TO reader", Dialect::Postgresql);
        let message = Message {
            code,
            text,
            file,
            has_context: false,
        };
        told(&message, &names)
    }

    #[test]
    fn what_names_objects_is_told_and_what_may_quote_a_row_is_not() {
        for (code, file, text) in [
            ("42501", "aclchk.c", "permission denied for table users"),
            (
                "23505",
                "nbtinsert.c",
                "duplicate key value violates unique constraint \"users_pkey\"",
            ),
            ("42704", "acl.c", "role \"reader\" does not exist"),
            (
                "22001",
                "varchar.c",
                "value too long for type character varying(10)",
            ),
            ("42601", "scan.l", "syntax error at or near \"users\""),
        ] {
            assert_eq!(of(code, file, text).as_deref(), Some(text));
        }
        for (code, file, text) in [
            ("42501", "pl_exec.c", "permission denied for table MARKER"),
            ("23505", "pl_exec.c", "duplicate key value MARKER"),
            ("42704", "acl.c", "role \"MARKER\" does not exist"),
            (
                "42P01",
                "namespace.c",
                "relation \"users\" MARKER \"users\" does not exist",
            ),
            (
                "22P02",
                "numutils.c",
                "invalid input syntax for type integer: \"MARKER\"",
            ),
            ("22008", "timestamp.c", "timestamp out of range: \"MARKER\""),
            ("42601", "scan.l", "syntax error at or near \"MARKER\""),
            ("XX000", "dblink.c", "MARKER"),
        ] {
            assert_eq!(of(code, file, text), None, "{text}");
        }
    }
}
