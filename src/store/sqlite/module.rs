//! What a virtual table's definition says: its module, and where a search index has its text. Pure.

/// A virtual table's module and what of its arguments matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// In lower case.
    pub(super) name: String,
    pub(super) content: Content,
}

/// Where a search index has the text that it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// In a table of its own.
    Own,
    /// In this table or view.
    Of(String),
    /// Nowhere.
    None,
}

impl Module {
    /// Reads `CREATE VIRTUAL TABLE name USING module (arguments)`.
    pub(super) fn of(sql: &str) -> Self {
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

    /// Whether it is one of SQLite's full-text indexes.
    pub(super) fn is_search(&self) -> bool {
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

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Other(char),
}

/// Cuts a definition into words; comments and white space are none.
fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            c if c.is_whitespace() => c.len_utf8(),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' | '\'' | '`' | '[' => {
                let close = if first == '[' { ']' } else { first };
                let (text, length) = quoted(&rest[1..], close);
                found.push(Token::Quoted(text));
                1 + length
            }
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                found.push(Token::Word(rest[..end].to_owned()));
                end
            }
            c => {
                found.push(Token::Other(c));
                c.len_utf8()
            }
        };
        rest = &rest[skip..];
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// What is before the closing quote, which stands for itself when it is there twice; and how many bytes that is with it.
fn quoted(text: &str, close: char) -> (String, usize) {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != close {
            out.push(c);
        } else if close != ']' && chars.peek().is_some_and(|(_, next)| *next == close) {
            out.push(c);
            chars.next();
        } else {
            return (out, at + 1);
        }
    }
    (out, text.len())
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
