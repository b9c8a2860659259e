//! What the far shell is given: the one place where words are quoted for it. Pure.

/// A word that a shell reads as these very bytes (POSIX, Shell Command Language, 2.2.2); it may have anything in it but a NUL.
pub(super) fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(word.len() + 2);
    quoted.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// A command that has a POSIX shell run a script with these arguments, whatever the user's own shell is.
pub(super) fn shell(script: &str, arguments: &[&[u8]]) -> Vec<u8> {
    let mut command = b"exec sh -c ".to_vec();
    command.extend(quote(script.as_bytes()));
    for argument in [&b"envsyncd"[..]].iter().chain(arguments) {
        command.push(b' ');
        command.extend(quote(argument));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    /// What a shell makes of a command.
    fn said(command: &[u8]) -> Vec<u8> {
        let mut shell = Command::new("sh");
        let output = shell.arg("-c").arg(OsStr::from_bytes(command)).output();
        output.unwrap().stdout
    }

    #[test]
    fn a_shell_reads_what_was_quoted() {
        for word in [
            &b""[..],
            b"a",
            b"it's",
            b"''",
            b"a b",
            b"a\nb\n",
            b"$(touch x)",
            b"`id`",
            b"-n",
            b"\\",
            b"\\'",
            b"\"$HOME\"",
            b"*",
            b"~",
            b"#",
            b"!x",
            b"\xff\xfe",
            b"a;b|c&d",
            b"\r\t",
        ] {
            let command = [&b"printf %s "[..], &quote(word)].concat();
            assert_eq!(said(&command), word, "{word:?}");
            assert_eq!(said(&shell("printf %s \"$1\"", &[word])), word, "{word:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_any_word_as_it_was(words in proptest::collection::vec(
            proptest::collection::vec(1u8..=255, 0..40), 1..4)
        ) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut expected = Vec::new();
            for word in &words {
                expected.extend_from_slice(word);
                expected.push(0);
            }
            prop_assert_eq!(said(&shell("printf '%s\\0' \"$@\"", &words)), expected);
        }
    }
}
