//! Modules of virtual tables: which one a definition names, and where a search index has its text. Pure.

use super::tokens::{Token, tokens};

/// A virtual table's module and what of its arguments matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) struct Module {
    /// In lower case.
    pub(in crate::store::sqlite) name: String,
    pub(in crate::store::sqlite) content: Content,
}

/// Where a search index has the text that it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) enum Content {
    /// In a table of its own.
    Own,
    /// In this table or view.
    Of(String),
    /// Nowhere.
    None,
}

/// Modules that reach no file and no other database, whatever their arguments are.
const HARMLESS: [&str; 9] = [
    "dbstat",
    "fts3",
    "fts3tokenize",
    "fts4",
    "fts4aux",
    "fts5",
    "fts5vocab",
    "rtree",
    "rtree_i32",
];

/// Whether a module may be called to make a table of somebody else's.
pub(super) fn is_harmless(module: &str) -> bool {
    HARMLESS
        .iter()
        .any(|name| module.eq_ignore_ascii_case(name))
}

impl Module {
    /// Reads `CREATE VIRTUAL TABLE name USING module (arguments)`.
    pub(in crate::store::sqlite) fn of(sql: &str) -> Self {
        let tokens = tokens(sql);
        let after = tokens
            .iter()
            .position(
                |token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("using")),
            )
            .map_or(tokens.len(), |at| at + 1);
        let name = match tokens.get(after) {
            Some(Token::Word(name) | Token::Quoted(name)) => name.to_lowercase(),
            _ => String::new(),
        };
        Self {
            name,
            content: content(tokens.get(after + 1..).unwrap_or_default()),
        }
    }

    /// Whether it keeps rows in a table that is called like its own with this behind it, and an underscore between (`xShadowName` of
    /// SQLite's modules). To ask SQLite itself, every view of the file would have to be prepared.
    pub(in crate::store::sqlite) fn keeps(&self, end: &str) -> bool {
        let ends: &[&str] = match &self.name[..] {
            "fts3" | "fts4" => &["content", "docsize", "segdir", "segments", "stat"],
            "fts5" => &["config", "content", "data", "docsize", "idx"],
            "rtree" | "rtree_i32" => &["node", "parent", "rowid"],
            _ => &[],
        };
        ends.iter().any(|known| end.eq_ignore_ascii_case(known))
    }

    /// Whether it is one of SQLite's full-text indexes.
    pub(in crate::store::sqlite) fn is_search(&self) -> bool {
        matches!(&self.name[..], "fts3" | "fts4" | "fts5")
    }
}

/// The argument `content = ...` of a search index.
fn content(arguments: &[Token]) -> Content {
    let mut found = Content::Own;
    for window in arguments.windows(2) {
        if let [Token::Word(key), Token::Other('=')] = window
            && key.eq_ignore_ascii_case("content")
        {
            // Nothing behind it until the next argument is nothing at all.
            found = Content::None;
        }
    }
    if found == Content::Own {
        return found;
    }
    arguments
        .windows(3)
        .find_map(|window| match window {
            [
                Token::Word(key),
                Token::Other('='),
                Token::Word(value) | Token::Quoted(value),
            ] if key.eq_ignore_ascii_case("content") && !value.is_empty() => {
                Some(Content::Of(value.clone()))
            }
            _ => None,
        })
        .unwrap_or(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_and_its_content_are_read_as_sqlite_reads_them() {
        let own = Content::Own;
        let of = |name: &str| Content::Of(name.to_owned());
        for (sql, name, content) in [
            (
                "CREATE VIRTUAL TABLE docs USING fts5 (title, body)",
                "fts5",
                own.clone(),
            ),
            (
                "CREATE VIRTUAL TABLE IF NOT EXISTS s USING FTS4(content=\"\", a)",
                "fts4",
                Content::None,
            ),
            (
                "CREATE VIRTUAL TABLE s USING fts5(a, content='')",
                "fts5",
                Content::None,
            ),
            (
                "CREATE VIRTUAL TABLE s USING fts5(content=, a)",
                "fts5",
                Content::None,
            ),
            (
                "CREATE VIRTUAL TABLE s USING fts5(a, content = 'my ''posts''', content_rowid=id)",
                "fts5",
                of("my 'posts'"),
            ),
            (
                "CREATE VIRTUAL TABLE s USING fts5(a, content=posts)",
                "fts5",
                of("posts"),
            ),
            (
                "CREATE VIRTUAL TABLE \"a using b\" /* using x */ using [rtree] (id, x0, x1)",
                "rtree",
                own.clone(),
            ),
            (
                "CREATE VIRTUAL TABLE using_it -- fts4(\n USING fts3(content TEXT)",
                "fts3",
                own.clone(),
            ),
            ("CREATE VIRTUAL TABLE v USING dbstat", "dbstat", own.clone()),
            ("CREATE VIRTUAL TABLE v", "", own),
        ] {
            let module = Module::of(sql);
            assert_eq!((&module.name[..], module.content), (name, content), "{sql}");
        }
    }
}
