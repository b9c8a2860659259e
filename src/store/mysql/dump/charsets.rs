//! The character sets that a dump's session may have. Pure.

use crate::store::mysql::sql::lexical::is_plain_name;

/// Those in which a byte below 0x80 is ASCII, wherever it stands, and every letter and blank of ASCII is that byte. In all others
/// (big5, cp932, euckr, gb18030, gbk, sjis, swe7; ucs2, utf16 and utf32 are no client's) a quote may be half of a letter.
const ALLOWED: [&str; 31] = [
    "armscii8", "ascii", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852",
    "cp866", "dec8", "eucjpms", "gb2312", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r",
    "koi8u", "latin1", "latin2", "latin5", "latin7", "macce", "macroman", "tis620", "ujis", "utf8",
    "utf8mb3", "utf8mb4",
];

/// A character set's name as we send it. `Err`: why it is refused.
pub(super) fn charset(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    if ALLOWED.contains(&lower.as_str()) {
        return Ok(lower);
    }
    Err(format!(
        "the dump is in the character set `{}`, whose characters may contain quotes: dump it with --default-character-set=utf8mb4",
        shown(name)
    ))
}

/// A collation's name as we send it.
pub(super) fn collation(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    let (set, _) = lower.split_once('_').unwrap_or((&lower, ""));
    if is_plain_name(&lower) && ALLOWED.contains(&set) {
        return Ok(lower);
    }
    Err(format!(
        "it sets the collation `{}`, of a character set whose characters may contain quotes",
        shown(name)
    ))
}

/// Whether letters of this character set are UTF-8.
pub(super) fn is_utf8(charset: &str) -> bool {
    charset.starts_with("utf8")
}

/// Whether the server's name for a character set is what was asked for: `utf8` is one of two.
pub(super) fn is_same(asked: &str, answered: &str) -> bool {
    asked == answered
        || (asked == "utf8" && is_utf8(answered))
        || (answered == "utf8" && is_utf8(asked))
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_pass_in_which_a_quote_is_a_quote() {
        for name in ["utf8mb4", "UTF8", "latin1", "binary", "ujis"] {
            assert!(charset(name).is_ok(), "{name}");
        }
        for name in [
            "gbk", "GBK", "big5", "sjis", "cp932", "gb18030", "euckr", "swe7", "ucs2", "utf16",
            "utf16le", "utf32", "filename", "28", "0x67626B", "default", "",
        ] {
            assert!(charset(name).is_err(), "{name}");
        }
        assert!(collation("utf8mb4_uca1400_ai_ci").is_ok() && collation("binary").is_ok());
        assert!(collation("gbk_chinese_ci").is_err() && collation("latin1_x; DROP").is_err());
        assert!(
            is_same("utf8", "utf8mb3")
                && !is_same("utf8mb4", "utf8mb3")
                && !is_same("latin1", "utf8")
        );
    }
}
