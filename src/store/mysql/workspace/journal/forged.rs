//! What a journal says is looked at before anything is done by it, and before it is written. It lies beside live, and has
//! statements in it: whoever may write there must not have them run by the target's user. Pure.

use crate::store::mysql::sql::lexer::{Shape, plain_tokens};

/// `CHARACTER SET x COLLATE y`, and a comment.
pub(super) fn are_options(text: &str) -> bool {
    let Some(tokens) = plain_tokens(text) else {
        return false;
    };
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    let is_of = |at: usize, shape| tokens.get(at).is_some_and(|token| token.shape == shape);
    let begins = is(0, "CHARACTER") && is(1, "SET") && is_of(2, Shape::Word);
    let collates = is(3, "COLLATE") && is_of(4, Shape::Word);
    let ends = tokens.len() == 5 || tokens.len() == 7 && is(5, "COMMENT") && is_of(6, Shape::Text);
    begins && collates && ends
}

/// One clause of a table's, behind the key's name.
pub(super) fn is_foreign_key(rest: &str) -> bool {
    let Some(tokens) = plain_tokens(rest) else {
        return false;
    };
    let mut depth = 0_usize;
    for token in &tokens {
        match token.text {
            "(" => depth += 1,
            ")" | "," if depth == 0 => return false,
            ")" => depth -= 1,
            _ => {}
        }
    }
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    depth == 0 && is(0, "FOREIGN") && is(1, "KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_s_defaults_are_a_character_set_a_collation_and_a_comment() {
        for (text, is_fine) in [
            ("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", true),
            (
                "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT 'it''s; \\\\'",
                true,
            ),
            ("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin READ ONLY", false),
            (
                "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; CREATE USER eve",
                false,
            ),
            (
                "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT 'a\\'",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(are_options(text), is_fine, "{text}");
        }
    }

    #[test]
    fn a_foreign_key_is_one_clause() {
        for (rest, is_fine) in [
            (
                " FOREIGN KEY (`a`, `b;`) REFERENCES `p` (`a`, `b`) ON DELETE SET NULL",
                true,
            ),
            (" FOREIGN KEY (`a`) REFERENCES `o`.`p` (`a`)", true),
            (
                " FOREIGN KEY (`a`) REFERENCES `p` (`a`), ADD COLUMN eve int",
                false,
            ),
            (
                " FOREIGN KEY (`a`) REFERENCES `p` (`a`); DROP DATABASE live",
                false,
            ),
            (
                " FOREIGN KEY (`a`) REFERENCES `p` (`a`) /*!99999 , DROP COLUMN b */",
                false,
            ),
            (
                " FOREIGN KEY (`a`) REFERENCES `p` (`a`) # , DROP COLUMN b",
                false,
            ),
            (" FOREIGN KEY (`a` REFERENCES `p` (`a`)", false),
            (" FOREIGN KEY (`a`) REFERENCES `p (`a`)", false),
            (" CHECK (1)", false),
        ] {
            assert_eq!(is_foreign_key(rest), is_fine, "{rest}");
        }
    }
}
