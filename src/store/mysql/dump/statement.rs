//! A dump's statement as tokens, whatever its character set: it is read as Latin-1, and each byte is put back as it was.

use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};
use crate::store::mysql::sql::names::quoted;

/// The longest statement that is taken of a dump, in bytes: one is held whole, and the next one while the server is at it. The tools
/// end an INSERT at a megabyte, or after one row if that is longer.
pub(super) const LONGEST: usize = 256 << 20;

/// Bytes as text, each of them one character (Latin-1). All that SQL consists of is ASCII.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// The bytes of such a text.
pub(super) fn bytes(latin1: &str) -> Vec<u8> {
    latin1
        .chars()
        .map(|character| u8::try_from(character).unwrap_or(b'?'))
        .collect()
}

/// A name as people read it.
pub(super) fn readable(latin1: &str) -> String {
    String::from_utf8_lossy(&bytes(latin1)).into_owned()
}

/// A statement's tokens that say something: no blanks, and no marks of comments that are executed. What stands in those is
/// taken for executed, whatever the server's version.
pub(super) fn telling<'a, 'b>(tokens: &'b [Token<'a>]) -> Vec<&'b Token<'a>> {
    tokens
        .iter()
        .filter(|token| {
            let is_mark = token.shape == Shape::Mark;
            token.shape != Shape::Blank
                && !(is_mark && (token.text.starts_with("/*") || token.text == "*/"))
        })
        .collect()
}

/// A name, perhaps with a database's before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// What is left of a statement's tokens.
pub(super) struct Rest<'a, 'b> {
    tokens: &'b [&'b Token<'a>],
}

impl<'a, 'b> Rest<'a, 'b> {
    pub(super) fn new(tokens: &'b [&'b Token<'a>]) -> Self {
        Self { tokens }
    }

    pub(super) fn tokens(&self) -> &'b [&'b Token<'a>] {
        self.tokens
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Option<&'b Token<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Takes these keywords, if they are next.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let found = self.tokens.len() >= words.len()
            && self
                .tokens
                .iter()
                .zip(words)
                .all(|(token, word)| token.is(word));
        if found {
            self.tokens = &self.tokens[words.len()..];
        }
        found
    }

    /// Takes this mark, if it is next.
    pub(super) fn mark(&mut self, mark: &str) -> bool {
        let found = self.tokens.first().is_some_and(|token| token.is_mark(mark));
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    /// Takes a name.
    pub(super) fn named(&mut self) -> Result<Named, String> {
        let mut part = || {
            self.take()
                .and_then(Token::name)
                .ok_or_else(|| "a name is missing".to_owned())
        };
        let first = part()?;
        if !self.mark(".") {
            return Ok(Named {
                schema: None,
                name: first,
            });
        }
        let name = self.take().and_then(Token::name).unwrap_or_default();
        Ok(Named {
            schema: Some(first),
            name,
        })
    }

    /// Takes all of a list of names, to the end.
    pub(super) fn all_named(&mut self) -> Result<Vec<Named>, String> {
        let mut found = vec![self.named()?];
        while self.mark(",") {
            found.push(self.named()?);
        }
        if self.tokens.is_empty() {
            Ok(found)
        } else {
            Err("there is more in it than dumps have".to_owned())
        }
    }

    /// Takes an account behind DEFINER: `= user@host`, `= CURRENT_USER()`, `= role`.
    pub(super) fn account(&mut self) -> bool {
        let begins = self.mark("=") && self.take().is_some();
        if begins && self.mark("@") {
            return self.take().is_some();
        }
        if begins && self.mark("(") {
            return self.mark(")");
        }
        begins
    }
}

/// Lets whatever names one database before a dot name another one; for statements in which nothing else stands there.
pub(super) fn moved(
    text: &str,
    dialect: Dialect,
    is_from: impl Fn(&str) -> bool,
    to: &str,
) -> String {
    let tokens = lexer::tokens(text, dialect);
    let mut made = String::with_capacity(text.len());
    for (at, token) in tokens.iter().enumerate() {
        let is_schema = token.name().is_some_and(|name| is_from(&name))
            && lexer::solid(&tokens, at + 1).is_some_and(|(_, next)| next.is_mark("."))
            && lexer::before(&tokens, at).is_none_or(|(_, before)| !before.is_mark("."));
        if is_schema {
            made.push_str(&name_of(to, dialect));
        } else {
            made.push_str(token.text);
        }
    }
    made
}

/// A name as a statement of this dialect writes it.
fn name_of(name: &str, dialect: Dialect) -> String {
    if dialect.ansi_quotes {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        quoted(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_character_set_are_what_they_were() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes(&latin1(&all)), all);
        assert_eq!(readable(&latin1("größe".as_bytes())), "größe");
    }

    #[test]
    fn a_database_before_a_dot_is_another_one_and_nothing_else_is() {
        assert_eq!(
            moved(
                "CREATE TABLE `app` (`app` bigint DEFAULT nextval(`app`.`app`), x varchar(9) DEFAULT 'app.x') /* app.y */",
                Dialect::default(),
                |name| name == "app",
                "new"
            ),
            "CREATE TABLE `app` (`app` bigint DEFAULT nextval(`new`.`app`), x varchar(9) DEFAULT 'app.x') /* app.y */"
        );
    }

    #[test]
    fn names_and_accounts_are_read_in_every_spelling() {
        let tokens = lexer::tokens("DEFINER = `a`@'%' x.`y``z`, w", Dialect::default());
        let solid = telling(&tokens);
        let mut rest = Rest::new(&solid);
        assert!(rest.words(&["definer"]) && rest.account());
        let found = rest.all_named().unwrap();
        assert_eq!(found[0].schema.as_deref(), Some("x"));
        assert_eq!(
            (found[0].name.as_str(), found[1].name.as_str()),
            ("y`z", "w")
        );
    }
}
