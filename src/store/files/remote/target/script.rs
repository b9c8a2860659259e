//! Lines for a shell on the other machine: how they begin, how many names are in one, and what each is told of a path.

use crate::store::files::remote::quote::quote;

/// So many names are in a line.
pub(super) const TOGETHER: usize = 200;
/// So many bytes of lines are sent at a time.
pub(super) const PIECE: usize = 64 * 1024;

/// What all lines are made of, beside words of their own. `$F` is the folder, which nobody else may work in meanwhile, and `$R` the
/// tree. `$1` of each word is the directory's path in the tree, which is empty or begins with a slash; the others are names in it.
const WORDS: &str = r#"
set -u; LC_ALL=C; export LC_ALL; umask 077
die() { printf '%s\n' "$*" >&2; exit 7; }
exec 8<"$F" && flock -n 8 || die "$F: a run that was cut off still works there"
at() {
  cd -P -- "$R$1" 2>/dev/null || die "$1: cannot be entered any more"
  [ "$PWD" = "$R$1" ] || die "$1: there is a link in the way now"
}
there() { [ -e "$1" ] || [ -L "$1" ]; }
"#;

/// What comes before all lines: variables with their paths, and words. Among the variables are `F` and `R`.
pub(super) fn beginning(variables: &[(&str, &[u8])], words: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, path) in variables {
        text.extend(format!("{name}=").as_bytes());
        text.extend(quote(path));
        text.push(b'\n');
    }
    text.extend(WORDS.as_bytes());
    text.extend(words.as_bytes());
    text
}

/// Adds a line that calls a word with arguments, which are quoted. A shell that gets a part of it and no more, as the connection was
/// lost, does nothing: all that it could have of a name would be another name. What begins with a brace is no command before the
/// other one (POSIX, Shell Command Language, 2.9.4.1).
pub(super) fn call(text: &mut Vec<u8>, word: &str, arguments: impl IntoIterator<Item = Vec<u8>>) {
    text.extend(b"{ ");
    text.extend(word.as_bytes());
    for argument in arguments {
        text.push(b' ');
        text.extend(argument);
    }
    text.extend(b"; }\n");
}

/// A word with the names of one directory, as long as it grows.
pub(super) struct Line<W> {
    pub(super) word: W,
    /// The directory's path, as a word is told it.
    pub(super) above: Vec<u8>,
    pub(super) names: Vec<Vec<u8>>,
}

impl<W: PartialEq> Line<W> {
    /// Takes a path, if the line may have it, too; else it is given back as one of its own.
    pub(super) fn add(line: Option<&mut Self>, word: W, path: &[u8]) -> Option<Self> {
        let (above, name) = split(path);
        match line {
            Some(line)
                if line.word == word && line.above == above && line.names.len() < TOGETHER =>
            {
                line.names.push(name.to_vec());
                None
            }
            _ => Some(Self {
                word,
                above,
                names: vec![name.to_vec()],
            }),
        }
    }
}

/// The path of the directory that a path is in, with a slash before it if it is not the tree itself, and the name.
pub(super) fn split(path: &[u8]) -> (Vec<u8>, &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(end) => ([&b"/"[..], &path[..end]].concat(), &path[end + 1..]),
        None => (Vec::new(), path),
    }
}

/// A name that no program takes for an option.
pub(super) fn here(name: &[u8]) -> Vec<u8> {
    [&b"./"[..], name].concat()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a shell prints that is given this.
    fn said(text: &[u8]) -> Vec<u8> {
        let mut shell = Command::new("sh")
            .arg("-s")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        stdin.write_all(text).unwrap();
        drop(stdin);
        shell.wait_with_output().unwrap().stdout
    }

    #[test]
    fn a_line_that_was_cut_off_does_nothing_wherever_that_was() {
        let mut text = b"act() { printf '<%s>' \"$@\"; }\n".to_vec();
        let mut printed = String::new();
        // How far the text has to come for each line, and what is printed by then.
        let mut whole = Vec::new();
        for name in ["./it's", "./a b", "./a\nb", "./; } {", "./'"] {
            call(&mut text, "act", [quote(b"/d"), quote(name.as_bytes())]);
            printed.push_str(&format!("</d><{name}>"));
            whole.push((text.len() - 1, printed.clone()));
        }
        for length in 0..=text.len() {
            let by_then = whole.iter().rev().find(|(end, _)| *end <= length);
            let expected = by_then.map_or("", |(_, printed)| printed.as_str());
            let found = said(&text[..length]);
            assert_eq!(String::from_utf8_lossy(&found), expected, "{length} bytes");
        }
    }
}
