//! The tables, sequences and routines that the body of a trigger, routine or event, or a script's statement, refers to. Pure.
//!
//! A name is a table's where it stands as one: behind FROM, JOIN, INTO, UPDATE and their like, and behind the commas of such a
//! list. A column or a variable that is called like a table is none. What a statement puts together in strings is not seen.

use super::lexer::{Dialect, Shape, Token, tokens};

/// A name with the schema in front of it, if there is one.
pub(in crate::store::mysql) type Path = (Option<String>, String);

/// What a statement or a body refers to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) struct References {
    /// Tables, views and sequences.
    pub(in crate::store::mysql) tables: Vec<Path>,
    /// Whatever is called: functions of the server's, too.
    pub(in crate::store::mysql) routines: Vec<Path>,
    /// It can refuse what it is asked (SIGNAL).
    pub(in crate::store::mysql) refuses: bool,
    /// It puts statements together (PREPARE, EXECUTE).
    pub(in crate::store::mysql) is_dynamic: bool,
}

/// Where in a list a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// In none.
    Else,
    /// Among tables: behind a comma comes another one.
    Tables,
    /// In the condition of a join: the same.
    Condition,
}

/// What is open.
#[derive(Debug, Clone, Copy)]
struct Level {
    mode: Mode,
    /// The parentheses of a function whose arguments may have a FROM: `TRIM('x' FROM a)`.
    is_call: bool,
}

const OUTSIDE: Level = Level {
    mode: Mode::Else,
    is_call: false,
};

/// Words that may stand between a verb and its table.
const BETWEEN: [&str; 17] = [
    "LOW_PRIORITY",
    "HIGH_PRIORITY",
    "DELAYED",
    "QUICK",
    "IGNORE",
    "INTO",
    "TABLE",
    "TABLES",
    "ONLY",
    "LATERAL",
    "TEMPORARY",
    "IF",
    "EXISTS",
    "NOT",
    "FOR",
    "ONLINE",
    "SEQUENCE",
];

/// Words that end a list of tables.
const ENDS: [&str; 22] = [
    "WHERE",
    "SET",
    "GROUP",
    "ORDER",
    "HAVING",
    "LIMIT",
    "VALUES",
    "VALUE",
    "SELECT",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "RETURNING",
    "WINDOW",
    "THEN",
    "DO",
    "LOOP",
    "BEGIN",
    "END",
    "CALL",
    "DECLARE",
    "OPEN",
];

/// Functions whose arguments may have a FROM that is none of a query's.
const WITH_FROM: [&str; 7] = [
    "EXTRACT",
    "TRIM",
    "SUBSTRING",
    "SUBSTR",
    "MID",
    "OVERLAY",
    "TRIM_ORACLE",
];

/// Finds the references of a statement or a body.
pub(in crate::store::mysql) fn of(sql: &str, dialect: Dialect) -> References {
    let all: Vec<Token<'_>> = tokens(sql, dialect)
        .into_iter()
        .filter(|token| token.shape != Shape::Blank)
        .collect();
    Reader {
        all: &all,
        levels: vec![OUTSIDE],
        expects: false,
        found: References::default(),
    }
    .read()
}

struct Reader<'a> {
    all: &'a [Token<'a>],
    levels: Vec<Level>,
    /// The next name is a table's.
    expects: bool,
    found: References,
}

impl Reader<'_> {
    fn read(mut self) -> References {
        let mut at = 0;
        while at < self.all.len() {
            at = self.step(at);
        }
        self.found
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.all.get(at).is_some_and(|token| token.is(word))
    }

    fn is_mark(&self, at: usize, mark: &str) -> bool {
        self.all.get(at).is_some_and(|token| token.is_mark(mark))
    }

    fn enter(&mut self, mode: Mode) {
        if let Some(level) = self.levels.last_mut() {
            level.mode = mode;
        }
    }

    fn level(&self) -> Level {
        self.levels.last().copied().unwrap_or(OUTSIDE)
    }

    /// Reads from one token on; returns where to go on.
    fn step(&mut self, at: usize) -> usize {
        let token = &self.all[at];
        if token.shape == Shape::Mark {
            self.mark(at);
            return at + 1;
        }
        let behind_dot = at > 0 && self.is_mark(at - 1, ".");
        if token.shape == Shape::Word && !behind_dot && !self.is_mark(at + 1, ".") && self.word(at)
        {
            return at + 1;
        }
        if token.name().is_none() || behind_dot {
            return at + 1;
        }
        self.name(at)
    }

    fn mark(&mut self, at: usize) {
        match self.all[at].text {
            "(" => {
                let is_call = at > 0 && WITH_FROM.iter().any(|word| self.is(at - 1, word));
                // Of a join, or of a sequence's next value.
                let mode = if self.expects {
                    Mode::Tables
                } else {
                    Mode::Else
                };
                self.levels.push(Level { mode, is_call });
            }
            ")" => {
                self.levels.pop();
                if self.levels.is_empty() {
                    self.levels.push(OUTSIDE);
                }
                self.expects = false;
            }
            "," => self.expects = self.level().mode != Mode::Else,
            ";" => {
                self.levels = vec![OUTSIDE];
                self.expects = false;
            }
            _ => {}
        }
    }

    /// Whether a word is one of the language's, and what follows from it.
    fn word(&mut self, at: usize) -> bool {
        let is = |words: &[&str]| words.iter().any(|word| self.all[at].is(word));
        let before = |word: &str| at > 0 && self.is(at - 1, word);
        let calls = self.is_mark(at + 1, "(");
        if is(&["SIGNAL", "RESIGNAL"]) {
            self.found.refuses = true;
            return true;
        }
        if is(&["PREPARE", "EXECUTE"]) {
            self.found.is_dynamic = true;
            return true;
        }
        let starts = if is(&["FROM"]) {
            !self.level().is_call
        } else if is(&["JOIN", "STRAIGHT_JOIN", "TABLE", "TABLES", "REFERENCES"]) {
            true
        } else if is(&["UPDATE"]) {
            !before("KEY") && !before("FOR")
        } else if is(&["INSERT", "REPLACE", "TRUNCATE", "DELETE"]) {
            !calls
        } else {
            false
        };
        // A sequence's: no list of them follows.
        let is_next =
            (is(&["NEXTVAL", "LASTVAL", "SETVAL"]) && calls) || (is(&["FOR"]) && before("VALUE"));
        if is_next {
            self.expects = true;
            return true;
        }
        if starts {
            self.enter(Mode::Tables);
            self.expects = true;
            return true;
        }
        if self.expects && BETWEEN.iter().any(|word| self.all[at].is(word)) {
            return true;
        }
        if is(&["ON", "USING"]) {
            if self.level().mode == Mode::Tables {
                self.enter(Mode::Condition);
            }
            self.expects = false;
            return true;
        }
        if ENDS.iter().any(|word| self.all[at].is(word)) {
            self.enter(Mode::Else);
            self.expects = false;
            return !calls;
        }
        false
    }

    /// A name, and what follows it behind dots.
    fn name(&mut self, at: usize) -> usize {
        let mut path: Vec<String> = self.all[at].name().into_iter().collect();
        let mut end = at + 1;
        while self.is_mark(end, ".") {
            let Some(next) = self.all.get(end + 1).and_then(Token::name) else {
                break;
            };
            path.push(next);
            end += 2;
        }
        let of_two = |mut path: Vec<String>| -> Option<Path> {
            let name = path.pop()?;
            Some((path.pop(), name))
        };
        let is_call = at > 0 && self.is(at - 1, "CALL");
        if self.expects {
            self.expects = false;
            // `sequence.nextval`, in Oracle's mode.
            self.found.tables.extend(of_two(path));
        } else if is_call || self.is_mark(end, "(") {
            self.found.routines.extend(of_two(path));
        } else if path.len() > 2 {
            // A column with its table and schema.
            path.pop();
            self.found.tables.extend(of_two(path));
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sql: &str) -> Vec<String> {
        of(sql, Dialect::default())
            .tables
            .into_iter()
            .map(|(schema, name)| match schema {
                Some(schema) => format!("{schema}.{name}"),
                None => name,
            })
            .collect()
    }

    #[test]
    fn tables_are_found_where_a_table_stands() {
        for (sql, wanted) in [
            (
                "CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO log (log, t) VALUES (NEW.log, log)",
                vec!["log"],
            ),
            (
                "BEGIN UPDATE LOW_PRIORITY a, `b` SET a.x = c; DELETE FROM d WHERE e = 1; END",
                vec!["a", "b", "d"],
            ),
            (
                "SELECT x, y FROM a JOIN (b, c) ON a.i = b.i AND f(a, e), d WHERE z IN (SELECT 1 FROM s.e AS q)",
                vec!["a", "b", "c", "d", "s.e"],
            ),
            (
                "SET x = TRIM(LEADING '0' FROM a), y = EXTRACT(YEAR FROM b)",
                vec![],
            ),
            (
                "INSERT INTO a (x) VALUES (REPLACE(b, 'c', 'd')) ON DUPLICATE KEY UPDATE c = INSERT(d, 1, 2, 'x')",
                vec!["a"],
            ),
            ("SELECT v INTO w FROM a FOR UPDATE", vec!["a"]),
            (
                "SET NEW.id = NEXTVAL(s), NEW.b = NEXT VALUE FOR q, NEW.c = (SELECT MAX(u.r.i))",
                vec!["s", "q", "u.r"],
            ),
            (
                "TRUNCATE TABLE a; TRUNCATE b; SET c = TRUNCATE(d, 1)",
                vec!["a", "b"],
            ),
            (
                "REPLACE a SELECT * FROM (SELECT 1 FROM b) AS c, d",
                vec!["a", "b", "d"],
            ),
            (
                "DELETE a FROM a INNER JOIN b USING (id)",
                vec!["a", "a", "b"],
            ),
            ("SELECT 'FROM a' /* FROM b */ -- FROM c", vec![]),
            (
                "IF EXISTS (SELECT 1 FROM a) THEN SET b = 1; END IF",
                vec!["a"],
            ),
        ] {
            assert_eq!(tables(sql), wanted, "{sql}");
        }
    }

    #[test]
    fn calls_refusals_and_statements_in_strings_are_found() {
        let found = of(
            "BEGIN CALL p(f(1)); CALL s.q; SIGNAL SQLSTATE '45000'; END",
            Dialect::default(),
        );
        let names: Vec<&str> = found
            .routines
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        assert_eq!(names, ["p", "f", "q"]);
        assert!(found.refuses && !found.is_dynamic);
        assert!(of("PREPARE s FROM @a", Dialect::default()).is_dynamic);
    }
}
