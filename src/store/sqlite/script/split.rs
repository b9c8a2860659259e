//! Finds where a script's next statement ends. Pure.
//!
//! SQLite copies all the text that it is handed for each statement that it prepares, so that a long script would take time
//! with the square of its length. This is `sqlite3_complete` (<https://sqlite.org/c3ref/complete.html>); where it and the
//! parser differ, the parser has the last word.

/// How far a statement has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Normal,
    Explain,
    Create,
    /// In a trigger's body, which ends with `; END;`.
    Trigger,
    Semicolon,
    End,
}

/// The length of the first statement with its semicolon, or of all the text.
pub(in crate::store::sqlite) fn first(text: &str) -> usize {
    let bytes = text.as_bytes();
    let find = |from: usize, what: u8| {
        bytes[from.min(bytes.len())..]
            .iter()
            .position(|byte| *byte == what)
            .map_or(bytes.len(), |found| from + found + 1)
    };
    let mut state = State::Start;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        let mut word = "";
        let end = match byte {
            b';' => {
                state = match state {
                    State::Trigger | State::Semicolon => State::Semicolon,
                    _ => return at + 1,
                };
                at += 1;
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' | 0x0c => {
                at += 1;
                continue;
            }
            b'/' if next == Some(&b'*') => {
                at = text[at + 2..]
                    .find("*/")
                    .map_or(bytes.len(), |found| at + 2 + found + 2);
                continue;
            }
            b'-' if next == Some(&b'-') => {
                at = find(at, b'\n');
                continue;
            }
            b'[' => find(at, b']'),
            b'`' | b'"' | b'\'' => find(at + 1, *byte),
            _ if is_word(*byte) => {
                let end = bytes[at..]
                    .iter()
                    .position(|byte| !is_word(*byte))
                    .map_or(bytes.len(), |found| at + found);
                word = &text[at..end];
                end
            }
            _ => at + 1,
        };
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        state = match state {
            State::Start | State::Explain if is("create") => State::Create,
            State::Start if is("explain") => State::Explain,
            State::Create if is("temp") || is("temporary") => State::Create,
            State::Create if is("trigger") => State::Trigger,
            State::Start | State::Normal | State::Explain | State::Create => State::Normal,
            State::Semicolon if is("end") => State::End,
            State::Trigger | State::Semicolon | State::End => State::Trigger,
        };
        at = end;
    }
    bytes.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_at_its_own_semicolon_and_a_trigger_at_that_of_its_end() {
        for whole in [
            "SELECT 1;",
            ";",
            "-- ; a\n/* ; */ SELECT ';', \"a;b\", `;`, [;] -- ;\n;",
            "CREATE TABLE trigger_ (a);",
            "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT CASE WHEN 1 THEN 2 END; END;",
            "EXPLAIN CREATE TRIGGER \"ä;\" AFTER INSERT ON a BEGIN SELECT 'end;'; ; END ;",
            "INSERT INTO t VALUES ('it''s; a');",
        ] {
            assert_eq!(first(whole), whole.len(), "{whole}");
            assert_eq!(first(&format!("{whole} SELECT 2;")), whole.len(), "{whole}");
        }
        for open in [
            "",
            "SELECT 1",
            "SELECT 'a;",
            "/* ;",
            "/*",
            "[a;",
            "-- ;",
            "-",
        ] {
            assert_eq!(first(open), open.len(), "{open}");
        }
    }
}
