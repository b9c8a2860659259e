//! A dump's strings in a column's character set. Which bytes a character has is asked of the server, which would have converted
//! them itself; nothing but single characters is sent there.

use std::collections::HashMap;
use std::fmt::Write;

use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::session::Session;

/// Letters one character set to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conversion {
    from: Letters,
    into: Encoded,
    /// The character sets' names.
    names: (String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Letters {
    /// Bytes stay what they are.
    Same,
    Utf8,
    /// One byte a character: those from 0x80 on.
    Bytes(Vec<Option<char>>),
    /// More than that: only ASCII is known.
    Ascii,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Encoded {
    Utf8,
    /// Big-endian or not, of two bytes or four.
    Utf16 {
        is_little: bool,
        is_basic: bool,
    },
    Utf32,
    /// ASCII stays what it is.
    Table(HashMap<char, Vec<u8>>),
    /// It does not.
    Whole(HashMap<char, Vec<u8>>),
}

/// Characters that are asked for at a time.
const AT_ONCE: usize = 8192;

fn is_utf8(charset: &str) -> bool {
    charset.starts_with("utf8")
}

impl Conversion {
    /// Asks for what has to be known of the two.
    pub(super) async fn between(session: &mut Session, from: &str, into: &str) -> Result<Self> {
        let is_same = from == into || from == "binary" || (is_utf8(from) && is_utf8(into));
        let first = match from {
            _ if is_same => Letters::Same,
            "utf8" | "utf8mb3" | "utf8mb4" => Letters::Utf8,
            "eucjpms" | "gb2312" | "ujis" => Letters::Ascii,
            _ => Letters::Bytes(bytes(session, from).await?),
        };
        let second = match into {
            _ if is_same || is_utf8(into) => Encoded::Utf8,
            "ucs2" | "utf16" | "utf16le" => Encoded::Utf16 {
                is_little: into == "utf16le",
                is_basic: into == "ucs2",
            },
            "utf32" => Encoded::Utf32,
            "swe7" => Encoded::Whole(table(session, into).await?),
            _ => Encoded::Table(table(session, into).await?),
        };
        Ok(Self {
            from: first,
            into: second,
            names: (from.to_owned(), into.to_owned()),
        })
    }

    /// Nothing is to be done.
    pub(super) fn is_none(&self) -> bool {
        self.from == Letters::Same
    }

    /// Appends a string. `Err`: it cannot be said in the other character set.
    pub(super) fn put(&self, text: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), String> {
        let keeps_ascii = matches!(self.into, Encoded::Utf8 | Encoded::Table(_));
        if self.from == Letters::Same || (keeps_ascii && text.is_ascii()) {
            out.extend_from_slice(text);
            return Ok(());
        }
        match &self.from {
            Letters::Utf8 => {
                let text = std::str::from_utf8(text).map_err(|_| self.unknown())?;
                for letter in text.chars() {
                    self.letter(letter, out)?;
                }
            }
            Letters::Bytes(high) => {
                for byte in text {
                    let letter = match byte.checked_sub(0x80) {
                        None => Some(char::from(*byte)),
                        Some(high_byte) => high.get(usize::from(high_byte)).copied().flatten(),
                    };
                    self.letter(letter.ok_or_else(|| self.unknown())?, out)?;
                }
            }
            Letters::Ascii | Letters::Same => {
                if !text.is_ascii() {
                    return Err(self.unknown());
                }
                for byte in text {
                    self.letter(char::from(*byte), out)?;
                }
            }
        }
        Ok(())
    }

    fn letter(&self, letter: char, out: &mut Vec<u8>) -> std::result::Result<(), String> {
        match &self.into {
            Encoded::Utf8 => {
                let mut bytes = [0; 4];
                out.extend_from_slice(letter.encode_utf8(&mut bytes).as_bytes());
            }
            Encoded::Utf16 {
                is_little,
                is_basic,
            } => {
                if *is_basic && letter > '\u{ffff}' {
                    return Err(self.unknown());
                }
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let bytes = if *is_little {
                        unit.to_le_bytes()
                    } else {
                        unit.to_be_bytes()
                    };
                    out.extend_from_slice(&bytes);
                }
            }
            Encoded::Utf32 => out.extend_from_slice(&u32::from(letter).to_be_bytes()),
            Encoded::Table(_) if letter.is_ascii() => out.push(letter as u8),
            Encoded::Table(table) | Encoded::Whole(table) => {
                let bytes = table.get(&letter).ok_or_else(|| self.unknown())?;
                out.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    fn unknown(&self) -> String {
        let (from, into) = &self.names;
        format!(
            "text in {from} that cannot be brought into {into}, which its column has: dump with --default-character-set=utf8mb4"
        )
    }
}

/// The characters of a character set's bytes from 0x80 on.
async fn bytes(session: &mut Session, charset: &str) -> Result<Vec<Option<char>>> {
    let mut digits = String::new();
    for byte in 0x80..=0xff_u8 {
        // Writing into a string cannot fail.
        let _ = write!(digits, "{byte:02x}0a");
    }
    let sql = format!(
        "SELECT CAST(CONVERT(CONVERT(X'{digits}' USING {charset}) USING utf8mb4) AS BINARY)"
    );
    let answer = answer(session, &sql, 128, charset).await?;
    let letter = |bytes: &Vec<u8>| {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut letters = text.chars();
        let letter = letters.next().filter(|letter| *letter != '?');
        letter.filter(|_| letters.next().is_none())
    };
    Ok(answer.iter().map(letter).collect())
}

/// The bytes of all characters of the basic plane that a character set has.
async fn table(session: &mut Session, charset: &str) -> Result<HashMap<char, Vec<u8>>> {
    let is_asked = |letter: &char| *letter != '\n' && *letter != '\0';
    let letters: Vec<char> = ('\0'..='\u{ffff}').filter(is_asked).collect();
    let mut table = HashMap::from([('\n', vec![b'\n']), ('\0', vec![0])]);
    for letters in letters.chunks(AT_ONCE) {
        let mut digits = String::with_capacity(letters.len() * 8);
        for letter in letters {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(digits, "{byte:02x}");
            }
            digits.push_str("0a");
        }
        let sql = format!("SELECT CAST(CONVERT(_utf8mb4 X'{digits}' USING {charset}) AS BINARY)");
        let answer = answer(session, &sql, letters.len(), charset).await?;
        for (letter, bytes) in letters.iter().zip(answer) {
            // What the character set does not have.
            if bytes != b"?" || *letter == '?' {
                table.insert(*letter, bytes);
            }
        }
    }
    Ok(table)
}

/// What the server makes of characters that stand in a line each.
async fn answer(
    session: &mut Session,
    sql: &str,
    wanted: usize,
    charset: &str,
) -> Result<Vec<Vec<u8>>> {
    let row = session.query_one(sql).await?;
    let lines: Vec<Vec<u8>> = row
        .bytes(0)
        .unwrap_or_default()
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    // Each has a line feed behind it.
    if lines.len() != wanted + 1 {
        let what = format!("{}: the server does not convert {charset}", session.label());
        return Err(Error::new(Kind::Verify, what)
            .hint("dump with --default-character-set=utf8mb4, and see whether the target's server knows the columns' character sets"));
    }
    Ok(lines)
}

#[cfg(test)]
impl Conversion {
    /// One that leaves bytes what they are.
    pub(super) fn none() -> Self {
        Self {
            from: Letters::Same,
            into: Encoded::Utf8,
            names: (String::new(), String::new()),
        }
    }

    /// Letters UTF-8 to one that has a single character beyond ASCII.
    pub(super) fn to_one(letter: char, bytes: &[u8]) -> Self {
        Self {
            from: Letters::Utf8,
            into: Encoded::Table(HashMap::from([(letter, bytes.to_vec())])),
            names: ("utf8mb4".to_owned(), "one".to_owned()),
        }
    }
}
