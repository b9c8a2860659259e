//! Paths as one word of ASCII, as `mtree` has them: other bytes, spaces and backslashes are `\` and three octal digits. Pure.

/// Appends a path as a word.
pub(in crate::store::files) fn escape(path: &[u8], out: &mut Vec<u8>) {
    for byte in path {
        if byte.is_ascii_graphic() && *byte != b'\\' {
            out.push(*byte);
        } else {
            out.extend(format!("\\{byte:03o}").as_bytes());
        }
    }
}

/// The path that a word stands for; `None`: it is not one that [`escape`] writes.
pub(in crate::store::files) fn unescape(word: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            path.push(Some(*byte).filter(u8::is_ascii_graphic)?);
            continue;
        }
        let mut number = 0_u32;
        for _ in 0..3 {
            let digit = rest.next()?.wrapping_sub(b'0');
            number = number << 3 | u32::from(Some(digit).filter(|digit| *digit < 8)?);
        }
        path.push(u8::try_from(number).ok()?);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_path_is_read_as_it_was_written(path: Vec<u8>) {
            let mut word = Vec::new();
            escape(&path, &mut word);
            prop_assert!(word.iter().all(u8::is_ascii_graphic));
            prop_assert_eq!(unescape(&word), Some(path));
        }

        #[test]
        fn what_is_no_word_is_none(word: Vec<u8>) {
            if let Some(path) = unescape(&word) {
                prop_assert!(path.len() <= word.len());
            }
        }
    }
}
