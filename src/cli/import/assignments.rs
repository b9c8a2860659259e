//! Shell files that consist of assignments, as programs `source` them: read as a shell reads them (POSIX.1-2017, "Shell
//! Command Language", 2.2 and 2.3; bash's manual for arrays), and never run. Whatever a shell would do something for
//! (expand, call, redirect) is refused.

#[cfg(test)]
mod tests;

use std::iter::Peekable;
use std::str::Chars;

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `name=value`.
    Text(String),
    /// `name=(value value)`.
    List(Vec<String>),
}

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) value: Value,
    /// Where it stands, 1-based.
    pub(super) line: usize,
}

/// Why a file is not understood. It repeats nothing of the file but a name: there may be passwords in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    /// 1-based.
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads all assignments, in the file's order.
pub(super) fn parse(text: &str) -> Result<Vec<Assignment>, Flaw> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
    };
    let mut all = Vec::new();
    loop {
        reader.skip_blank(true)?;
        match reader.rest.peek() {
            None => return Ok(all),
            Some(_) => reader.statement(&mut all)?,
        }
    }
}

struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.line += 1;
        }
        c
    }

    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, Flaw> {
        wrong_at(self.line, what)
    }

    /// What stands ahead of the character that comes next.
    fn second(&self) -> Option<char> {
        let mut ahead = self.rest.clone();
        ahead.next();
        ahead.next()
    }

    /// Passes over blanks and comments; over ends of lines, too, where a statement may begin.
    fn skip_blank(&mut self, lines: bool) -> Result<(), Flaw> {
        loop {
            match self.rest.peek().copied() {
                Some(' ' | '\t') => {}
                Some('\n') if lines => {}
                Some('\\') if self.second() == Some('\n') => {
                    self.next();
                }
                Some('#') => {
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.next();
                    }
                    continue;
                }
                Some('\r') => {
                    return self.wrong("lines end with carriage returns, which a shell takes for text: write it with line feeds only");
                }
                _ => return Ok(()),
            }
            self.next();
        }
    }

    /// Assignments up to the end of the line or a `;`, behind `export` or `readonly` perhaps.
    fn statement(&mut self, all: &mut Vec<Assignment>) -> Result<(), Flaw> {
        let mut first = true;
        loop {
            let line = self.line;
            let name = self.name();
            if name.is_empty() || self.rest.peek() != Some(&'=') {
                let blank = matches!(self.rest.peek(), Some(' ' | '\t'));
                if first && blank && matches!(name.as_str(), "export" | "readonly") {
                    first = false;
                    self.skip_blank(false)?;
                    continue;
                }
                return wrong_at(line, not_an_assignment(&name, self.rest.peek().copied()));
            }
            self.next();
            let value = if self.rest.peek() == Some(&'(') {
                self.next();
                Value::List(self.list(line)?)
            } else {
                Value::Text(self.word(false)?)
            };
            all.push(Assignment { name, value, line });
            first = false;
            // What comes next belongs to another word.
            if !matches!(self.rest.peek(), None | Some(' ' | '\t' | '\n' | ';')) {
                return self.wrong("something that is no assignment stands here");
            }
            self.skip_blank(false)?;
            match self.rest.peek() {
                None | Some('\n') => return Ok(()),
                Some(';') => {
                    self.next();
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.rest.peek().copied() {
            let fits = c == '_' || c.is_ascii_alphabetic();
            if !fits && (name.is_empty() || !c.is_ascii_digit()) {
                break;
            }
            name.push(c);
            self.next();
        }
        name
    }

    /// The members of an array, up to its parenthesis.
    fn list(&mut self, begin: usize) -> Result<Vec<String>, Flaw> {
        let mut members = Vec::new();
        loop {
            self.skip_blank(true)?;
            match self.rest.peek() {
                None => return wrong_at(begin, "a parenthesis is not closed"),
                Some(')') => {
                    self.next();
                    return Ok(members);
                }
                Some('[') => return self.wrong("a member of an array has an index"),
                Some(_) => members.push(self.word(true)?),
            }
        }
    }

    /// A word with its quotes taken away. In an array, a shell looks for files and braces in it.
    fn word(&mut self, in_list: bool) -> Result<String, Flaw> {
        let mut word = String::new();
        let mut start = true;
        while let Some(c) = self.rest.peek().copied() {
            match c {
                ' ' | '\t' | '\n' => break,
                ';' if !in_list => break,
                ')' if in_list => break,
                '\'' => self.single(&mut word)?,
                '"' => self.double(&mut word)?,
                '\\' => {
                    self.next();
                    match self.next() {
                        // A line that goes on.
                        Some('\n') => continue,
                        Some(c) => word.push(c),
                        None => return self.wrong("the file ends behind a backslash"),
                    }
                }
                '$' | '`' => self.dollar(&mut word, true)?,
                '~' if start || word.ends_with(':') => {
                    return self.wrong("`~` stands for a directory here: write it out");
                }
                '&' | ';' | '|' | '<' | '>' | '(' | ')' => {
                    return self.wrong(format!("`{c}` belongs to a command"));
                }
                '*' | '?' | '[' | '{' if in_list => {
                    return self.wrong(format!(
                        "`{c}` stands for something else here: put quotes around it"
                    ));
                }
                '\r' => self.skip_blank(false)?,
                '\0' => return self.wrong("there is a NUL character"),
                c => {
                    word.push(c);
                    self.next();
                }
            }
            start = false;
        }
        Ok(word)
    }

    fn single(&mut self, word: &mut String) -> Result<(), Flaw> {
        let begin = self.line;
        self.next();
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some('\0') => return self.wrong("there is a NUL character"),
                Some(c) => word.push(c),
                None => return wrong_at(begin, "a quote is not closed"),
            }
        }
    }

    fn double(&mut self, word: &mut String) -> Result<(), Flaw> {
        let begin = self.line;
        self.next();
        loop {
            match self.rest.peek().copied() {
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('$' | '`') => self.dollar(word, false)?,
                Some('\\') => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => word.push(c),
                        Some('\0') => return self.wrong("there is a NUL character"),
                        Some(c) => word.extend(['\\', c]),
                        None => return wrong_at(begin, "a quote is not closed"),
                    }
                }
                Some('\0') => return self.wrong("there is a NUL character"),
                Some(c) => {
                    word.push(c);
                    self.next();
                }
                None => return wrong_at(begin, "a quote is not closed"),
            }
        }
    }

    /// A `$` that stands for itself, or what a shell would replace.
    fn dollar(&mut self, word: &mut String, unquoted: bool) -> Result<(), Flaw> {
        if self.rest.peek() == Some(&'`') {
            return self.wrong("the output of a command stands here (`...`): write what it prints");
        }
        let replaced = match self.second() {
            Some('(') => "the output of a command stands here ($(...)): write what it prints",
            Some('\'' | '"') if unquoted => {
                "$'...' and $\"...\" are not understood: use plain quotes"
            }
            // What the next line begins with might belong to it.
            Some('\\') if self.rest.clone().nth(2) == Some('\n') => {
                "a `$` stands at the end of a line that goes on: write it as one line"
            }
            Some('[') => "a sum stands here ($[...]): write what comes out",
            Some(c) if c.is_ascii_alphanumeric() || "_{*@#?$!-".contains(c) => {
                "the value of a variable stands here: write it out"
            }
            _ => {
                self.next();
                word.push('$');
                return Ok(());
            }
        };
        self.wrong(replaced)
    }
}

fn wrong_at<T>(line: usize, what: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw {
        line,
        what: what.into(),
    })
}

fn not_an_assignment(name: &str, next: Option<char>) -> String {
    match (name, next) {
        ("", _) => "something that is no assignment stands here".to_owned(),
        (name, Some('+')) => format!("`{name}` is appended to: write its whole value"),
        (name, Some('[')) => format!("one member of `{name}` is set: write the whole array"),
        (name, _) => format!("`{name}` is a command, and only assignments are understood"),
    }
}
