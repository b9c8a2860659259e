//! Percent-encoding, as URLs have it.

use std::path::{Component, Path, PathBuf};

/// Control characters and these written as percent escapes.
pub fn percent_encoded(text: &str, reserved: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || reserved.contains(&c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Percent escapes turned into what they stand for; `None` if one is broken.
pub fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            (digit(bytes.next()?)? * 16 + digit(bytes.next()?)?) as u8
        } else {
            byte
        });
    }
    Some(out)
}

/// The same as text; `None` if an escape is broken, or the result is not UTF-8 or has a NUL in it.
pub fn percent_decoded_text(text: &str) -> Option<String> {
    let bytes = percent_decoded(text)?;
    String::from_utf8(bytes).ok().filter(|t| !t.contains('\0'))
}

/// The absolute path of a URL, still with its escapes. A relative one starts from a directory, which has none yet. Without `.` and
/// a slash at the end; `..` stays, because of symbolic links. `None`: the directory's name is not UTF-8.
pub fn absolute_path(path: &str, directory: &Path) -> Option<PathBuf> {
    let whole = if path.starts_with('/') {
        PathBuf::from(path)
    } else {
        let directory = directory.to_str()?.replace('%', "%25");
        let directory = directory.replace('?', "%3F").replace('#', "%23");
        PathBuf::from(directory).join(path)
    };
    let parts = whole.components();
    Some(
        parts
            .filter(|part| !matches!(part, Component::CurDir))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_refused() {
        assert_eq!(percent_decoded("/a%20b%25").as_deref(), Some(&b"/a b%"[..]));
        assert_eq!(percent_decoded("/a%2"), None);
        assert_eq!(percent_decoded_text("%00"), None);
        assert_eq!(percent_decoded_text("%ff"), None);
        assert_eq!(percent_encoded("a %\n", &[' ', '%']), "a%20%25%0A");
    }
}
