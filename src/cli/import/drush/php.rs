//! Drush 8's files of site aliases: PHP that sets `$aliases`, read and never run. What is written out is understood (texts,
//! numbers, arrays, as PHP's manual has them under "Types"); what is computed is passed over, and known not to be known.

mod scanner;

use super::super::assignments::Flaw;
use super::node::{Node, Value};
use scanner::{Scanner, Token, at};

/// How deep arrays may lie in one another.
const DEEPEST: usize = 16;

/// Of how many values a file may consist.
const MOST: usize = 2_000;

/// What a file says.
#[derive(Debug)]
pub(super) struct Read {
    /// What the variable was set to.
    pub(super) node: Node,
    /// What was passed over.
    pub(super) unknown: Vec<Flaw>,
}

const COMPUTED: &str = "it is computed";

/// Reads what a file sets a variable to (`$` left out), member by member or at once.
pub(super) fn parse(text: &str, variable: &str) -> Result<Read, Flaw> {
    let mut reader = Reader {
        scanner: Scanner::new(text)?,
        variable,
        node: Node::new(1, Value::Members(Vec::new())),
        unknown: Vec::new(),
        size: 0,
    };
    while reader.statement()? {}
    Ok(Read {
        node: reader.node,
        unknown: reader.unknown,
    })
}

struct Reader<'t> {
    scanner: Scanner<'t>,
    variable: &'t str,
    node: Node,
    unknown: Vec<Flaw>,
    size: usize,
}

impl Reader<'_> {
    /// False at the file's end.
    fn statement(&mut self) -> Result<bool, Flaw> {
        let (line, token) = self.scanner.next()?;
        match token {
            Token::End => return Ok(false),
            Token::Sign(';') => {}
            Token::Variable(name) if name == self.variable => {
                let names = self.names()?;
                self.sign('=')?;
                let value = self.value(0)?;
                self.sign(';')?;
                self.node.set(&names, value);
            }
            Token::Variable("") => {
                return Err(at(line, "the name of a variable is computed here"));
            }
            Token::Variable(name) => {
                let what = format!("`${name}` is not looked at, nor what is made of it");
                self.unknown.push(at(line, what));
                self.pass_over(line, |token| *token == Token::Sign(';'))?;
            }
            Token::Word("if" | "elseif" | "else") => {
                let what = "what is done only if something is so is not looked at";
                self.unknown.push(at(line, what));
                self.pass_over(line, |token| *token == Token::Sign('{'))?;
                self.pass_over(line, |token| *token == Token::Sign('}'))?;
            }
            Token::Word(word) => {
                let what = format!("`{word}` stands here, and only assignments are understood");
                return Err(at(line, what));
            }
            _ => return Err(at(line, "something that is no assignment stands here")),
        }
        Ok(true)
    }

    /// `['x']['y']`.
    fn names(&mut self) -> Result<Vec<String>, Flaw> {
        let mut names = Vec::new();
        while *self.scanner.peek()? == Token::Sign('[') {
            self.scanner.next()?;
            let (line, token) = self.scanner.next()?;
            let (Token::Text(name) | Token::Number(name)) = token else {
                return Err(at(line, "which member is set here is computed"));
            };
            if names.len() == DEEPEST {
                return Err(at(line, "arrays lie too deep in one another"));
            }
            names.push(name);
            self.sign(']')?;
        }
        Ok(names)
    }

    fn sign(&mut self, sign: char) -> Result<(), Flaw> {
        let (line, token) = self.scanner.next()?;
        if token == Token::Sign(sign) {
            return Ok(());
        }
        Err(at(line, format!("`{sign}` was expected here")))
    }

    /// A value, up to what stands behind it.
    fn value(&mut self, depth: usize) -> Result<Node, Flaw> {
        let (line, token) = self.scanner.next()?;
        self.size += 1;
        if self.size > MOST {
            return Err(at(line, "there are too many values"));
        }
        let value = match token {
            Token::Text(text) | Token::Number(text) => Value::Text(text),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "null" => Value::Nothing,
                // As PHP turns them into texts.
                "true" => Value::Text("1".to_owned()),
                "false" => Value::Text(String::new()),
                "array" if *self.scanner.peek()? == Token::Sign('(') => {
                    self.scanner.next()?;
                    self.members(line, ')', depth)?
                }
                _ => return self.computed(line, None),
            },
            Token::Sign('[') => self.members(line, ']', depth)?,
            Token::Sign(c @ (',' | ';' | ')' | ']')) => {
                return Err(at(line, format!("a value was expected in front of `{c}`")));
            }
            Token::End => return Err(at(line, "the file ends in a value")),
            other => return self.computed(line, Some(other)),
        };
        if self.ends()? {
            return Ok(Node::new(line, value));
        }
        self.computed(line, None)
    }

    /// Whether what comes next ends a value.
    fn ends(&mut self) -> Result<bool, Flaw> {
        let next = self.scanner.peek()?;
        Ok(matches!(
            next,
            Token::Arrow | Token::Sign(',' | ';' | ')' | ']')
        ))
    }

    fn computed(&mut self, line: usize, first: Option<Token<'_>>) -> Result<Node, Flaw> {
        let closing = match first {
            Some(Token::Sign('(')) => Some(')'),
            Some(Token::Sign('{' | '}')) => return Err(at(line, "a block stands here")),
            _ => None,
        };
        if let Some(closing) = closing {
            self.pass_over(line, |token| *token == Token::Sign(closing))?;
        }
        while !self.ends()? {
            let (line, token) = self.scanner.next()?;
            match token {
                Token::Sign('(') => {
                    self.pass_over(line, |token| *token == Token::Sign(')'))?;
                }
                Token::Sign('[') => {
                    self.pass_over(line, |token| *token == Token::Sign(']'))?;
                }
                Token::Sign('{' | '}') => return Err(at(line, "a block stands here")),
                Token::Sign('=') => return Err(at(line, "something is set inside of a value")),
                Token::End => return Err(at(line, "the file ends in a value")),
                _ => {}
            }
        }
        Ok(Node::new(line, Value::Unknown(COMPUTED)))
    }

    /// An array's members, up to its end.
    fn members(&mut self, begin: usize, closing: char, depth: usize) -> Result<Value, Flaw> {
        if depth == DEEPEST {
            return Err(at(begin, "arrays lie too deep in one another"));
        }
        let mut node = Node::new(begin, Value::Members(Vec::new()));
        let mut number = 0;
        loop {
            match self.scanner.peek()? {
                Token::Sign(c) if *c == closing => {
                    self.scanner.next()?;
                    return Ok(node.value);
                }
                Token::End => return Err(at(begin, "an array is not closed")),
                _ => {}
            }
            let value = self.value(depth + 1)?;
            if *self.scanner.peek()? == Token::Arrow {
                self.scanner.next()?;
                let named = self.value(depth + 1)?;
                match value.value {
                    Value::Text(name) => node.set(&[name], named),
                    _ => self.unknown.push(at(
                        value.line,
                        "the name of a member is computed, and the member is left out",
                    )),
                }
            } else {
                node.set(&[number.to_string()], value);
                number += 1;
            }
            match self.scanner.next()? {
                (_, Token::Sign(',')) => {}
                (_, Token::Sign(c)) if c == closing => return Ok(node.value),
                (line, _) => return Err(at(line, "`,` was expected here")),
            }
        }
    }

    /// Passes over what is computed, up to a token that is not inside of anything. What could set the variable is refused.
    fn pass_over(&mut self, begin: usize, is_end: impl Fn(&Token<'_>) -> bool) -> Result<(), Flaw> {
        let mut open = Vec::new();
        loop {
            let (line, token) = self.scanner.next()?;
            if open.is_empty() && is_end(&token) {
                return Ok(());
            }
            match token {
                Token::End => return Err(at(begin, "what begins here does not end")),
                Token::Sign(c @ ('(' | '[' | '{')) => {
                    if open.len() == DEEPEST {
                        return Err(at(line, "brackets lie too deep in one another"));
                    }
                    open.push(c);
                }
                Token::Sign(c @ (')' | ']' | '}')) => {
                    let opened = match c {
                        ')' => '(',
                        ']' => '[',
                        _ => '{',
                    };
                    if open.pop() != Some(opened) {
                        return Err(at(line, format!("`{c}` closes nothing")));
                    }
                }
                Token::Variable(name) if name == self.variable || name.is_empty() => {
                    return Err(at(
                        line,
                        format!("`${}` is changed here in a way that depends", self.variable),
                    ));
                }
                Token::Word(word) if sets_variables(word) => {
                    return Err(at(line, format!("`{word}` may change everything")));
                }
                _ => {}
            }
        }
    }
}

/// Whether a word brings other code, or variables by their names.
fn sets_variables(word: &str) -> bool {
    const WORDS: [&str; 9] = [
        "eval",
        "extract",
        "global",
        "globals",
        "include",
        "include_once",
        "parse_str",
        "require",
        "require_once",
    ];
    WORDS.contains(&word.to_ascii_lowercase().as_str())
}
