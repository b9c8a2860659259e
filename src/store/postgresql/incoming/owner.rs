//! What sessions of live's owner have otherwise than ours, and what definitions and rows are written for.

use crate::store::Encoding;
use crate::store::postgresql::schema::row_encodings::COPY_TEXT;

/// What definitions and rows are written for, and what has to be so where they are read: `pg_dump` has written them so,
/// places of things are in what it writes, and rows come as they travel.
pub(super) const WRITTEN: [(&str, &str); 5] = [
    ("standard_conforming_strings", "on"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
];

/// The same, for what computes nothing.
pub(super) const PLACED: &[(&str, &str)] = &[
    ("default_tablespace", ""),
    ("default_table_access_method", "heap"),
    ("check_function_bodies", "off"),
    ("client_min_messages", "warning"),
    ("jit", "off"),
];

/// Locales in which money is written alike.
pub(super) const PLAIN: [&str; 4] = ["C", "POSIX", "C.UTF-8", "C.utf8"];

/// The settings under which a step's SQL was written.
pub(in crate::store::postgresql) enum Writing<'a> {
    Rows(&'a Encoding),
    Definition(&'a str),
    /// Nothing but names.
    Names,
}

impl Writing<'_> {
    /// Whether a setting has to be as it was written for.
    pub(in crate::store::postgresql) fn needs(&self, name: &str) -> bool {
        match self {
            Self::Rows(encoding) if **encoding == COPY_TEXT => {
                matches!(name, "array_nulls" | "xmloption" | "lc_monetary")
            }
            Self::Rows(_) | Self::Names => false,
            Self::Definition(text) => match name {
                "standard_conforming_strings" => text.contains('\\'),
                "array_nulls" => text.contains('{'),
                "transform_null_equals" => text.to_ascii_uppercase().contains("NULL"),
                "xmloption" => text.contains("xml"),
                _ => text.contains("money"),
            },
        }
    }
}

/// The settings of a session of live's owner in incoming.
#[derive(Debug, Default)]
pub(in crate::store::postgresql) struct Own {
    /// Settings in addition to those of the target's user.
    pub(in crate::store::postgresql) on_top: Vec<(String, String)>,
    /// Its search path, or the source's where live says nothing of it: functions in indexes may count on it.
    pub(in crate::store::postgresql) path: String,
    /// The same for scripts, which count on what live has.
    pub(super) path_of_scripts: String,
    /// The settings of [`WRITTEN`] that differ.
    pub(in crate::store::postgresql) others: Vec<(&'static str, String)>,
}

impl Own {
    /// Names and values of what it has besides.
    pub(in crate::store::postgresql) fn on_top(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.on_top.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgresql::schema::row_encodings::COPY_BINARY;

    #[test]
    fn rows_in_binary_need_nothing_and_text_what_it_is_read_under() {
        let text = Writing::Rows(&COPY_TEXT);
        assert!(text.needs("lc_monetary") && !text.needs("standard_conforming_strings"));
        assert!(!Writing::Rows(&COPY_BINARY).needs("lc_monetary"));
        let plain = Writing::Definition("CREATE INDEX i ON t (f(a))");
        assert!(WRITTEN.iter().all(|(name, _)| !plain.needs(name)));
        assert!(Writing::Definition("a = '\\'").needs("standard_conforming_strings"));
    }
}
