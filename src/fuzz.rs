//! Inputs for the targets of `script/fuzz`: every parser of what others wrote has a property test that is fed with them. The
//! targets lie beside their parsers, in the `fuzz` module of each folder, and are listed in `docs/fuzzing.md`.
//!
//! An input is arbitrary, or put together from pieces that parsers look for, or a seed of `tests/corpus` that was changed in
//! a few places: bits flipped, bytes put in and taken out, pieces moved, repeated and mixed with another seed's, numbers made
//! huge, ends cut off.

use std::fmt;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// No input is longer.
const LONGEST: usize = 16 * 1024;

/// How many inputs a target gets where nobody says so (`PROPTEST_CASES`).
const CASES: u32 = 300;

/// The same inputs in each run of the tests, so that none fails by chance. `script/fuzz` takes others each time.
const SEED: u64 = 20_260_101;

/// All stores, for whoever reads configuration files below them.
pub(crate) fn stores() -> crate::config::Stores {
    crate::store::registry::formats()
}

/// How a target is run.
pub(crate) fn config() -> ProptestConfig {
    let set = |name| std::env::var_os(name).is_some();
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    if !set("PROPTEST_CASES") {
        config.cases = CASES;
        if !set("PROPTEST_RNG_SEED") {
            config.rng_seed = RngSeed::Fixed(SEED);
        }
    }
    config
}

/// Bytes that are printed as a literal.
#[derive(Clone)]
pub(crate) struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The seeds of a file or folder, named from the repository's root. `NAME.lines` has a seed a line, `NAME.hex` one in
/// hexadecimal digits, blanks and lines with `#` left out; all others are one seed each.
pub(crate) fn seeds(place: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    let mut files = vec![path.clone()];
    if path.is_dir() {
        let listed = fs::read_dir(&path).unwrap_or_else(|error| panic!("{place}: {error}"));
        files = listed.map(|entry| entry.unwrap().path()).collect();
        files.sort();
    }
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("lines") => found.extend(
                bytes
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(<[u8]>::to_vec),
            ),
            Some("hex") => found.push(unhex(&String::from_utf8(bytes).unwrap())),
            _ => found.push(bytes),
        }
    }
    assert!(!found.is_empty(), "there is no seed in {place}");
    found
}

fn unhex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<u32> = lines
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hexadecimal digit"))
        .collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

/// Inputs from the seeds of these places.
pub(crate) fn bytes(places: &[&str]) -> impl Strategy<Value = Input> + use<> {
    let seeds: Vec<Vec<u8>> = places.iter().flat_map(|place| seeds(place)).collect();
    let seeds = Arc::new(seeds);
    let count = seeds.len();
    let changed = (0..count, prop::collection::vec(change(count), 0..6)).prop_map({
        let seeds = Arc::clone(&seeds);
        move |(seed, changes)| {
            let mut bytes = seeds[seed].clone();
            for change in &changes {
                change.make(&mut bytes, &seeds);
                bytes.truncate(LONGEST);
            }
            bytes
        }
    });
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::collection::vec(0..PIECES.len(), 0..30)
            .prop_map(|pieces| pieces.into_iter().flat_map(|at| PIECES[at].to_vec()).collect()),
        6 => changed,
    ]
    .prop_map(Input)
}

/// The same as text; bytes that are none become the character for that.
pub(crate) fn texts(places: &[&str]) -> impl Strategy<Value = String> + use<> {
    bytes(places).prop_map(|input| String::from_utf8_lossy(&input).into_owned())
}

/// Lengths of the pieces that an input comes in, over and over.
pub(crate) fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![4 => 1_usize..20, 1 => 20_usize..5000], 1..6)
}

/// An input in pieces of these lengths.
pub(crate) fn pieces<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        found.push(piece);
        bytes = rest;
    }
    found
}

/// What readers that wait run in.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread")
}

/// Whether a text is one that a terminal shows and does not obey, but for these.
pub(crate) fn steers_no_terminal(text: &str, keep: &[char]) -> bool {
    let bidi = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .all(|c| keep.contains(&c) || !(c.is_control() || bidi(c)))
}

/// What parsers look for, and what they trip over.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b"\t",
    b" ",
    b"\x0b",
    b"\x1b[2J\x1b]0;x\x07",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\x04",
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xfd\xff\xff\xff",
    b"\xfb",
    b"\xc3",
    b"\xe2\x80",
    "é".as_bytes(),
    "ß".as_bytes(),
    "İ".as_bytes(),
    "😀".as_bytes(),
    "e\u{301}".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{a0}".as_bytes(),
    "\u{85}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{10ff80}".as_bytes(),
    "\u{fffd}".as_bytes(),
    b"'",
    b"''",
    b"\"",
    b"\"\"",
    b"\"\"\"",
    b"'''",
    b"`",
    b"``",
    b"\\",
    b"\\'",
    b"\\\"",
    b"\\\\",
    b"(",
    b")",
    b"()",
    b"((((((((",
    b"))))",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b"<",
    b">",
    b"</",
    b"&",
    b"&amp;",
    b";",
    b":",
    b"://",
    b",",
    b".",
    b"..",
    b"/",
    b"//",
    b"/*",
    b"*/",
    b"/*/",
    b"/*!",
    b"/*!50000 ",
    b"/*M!",
    b"--",
    b"-- ",
    b"#",
    b"$",
    b"$$",
    b"$a$",
    b"%",
    b"%00",
    b"%zz",
    b"%ff",
    b"@",
    b"@@",
    b"=",
    b"==",
    b"?",
    b"*",
    b"**",
    b"+",
    b"-",
    b"_",
    b"~",
    b"^",
    b"!",
    b"|",
    b"\\N",
    b"\\.",
    b"\\g",
    b"0",
    b"1",
    b"-1",
    b"00",
    b"255",
    b"65536",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"99999999999999999999999999999999",
    b"1e308",
    b"1e999",
    b"-1e308",
    b"0x",
    b"0.1",
    b"NaN",
    b"inf",
    b"true",
    b"null",
    b"NULL",
    b"+262142-12-31T23:59:59Z",
    b"-262143-01-01T00:00:00Z",
    b"9999-12-31T23:59:59Z",
    b"e'",
    b"E'",
    b"N'",
    b"X'",
    b"BEGIN ATOMIC ",
    b"END",
    b"DELIMITER ",
    b"CREATE ",
    b"TABLE ",
    b"REFERENCES ",
    b"INSERT INTO ",
    b"VALUES ",
    b"SET ",
    b"DEFINER",
    b"CASE ",
    b"replace(",
    b"CAST(",
    b"ON ",
    b"FROM stdin;",
];

/// One change of an input. Places are parts of 65,536 of its length, so that a change means something for any.
#[derive(Debug, Clone)]
enum Change {
    Flip(u16, u8),
    Put(u16, u8),
    Insert(u16, usize),
    Replace(u16, u8, usize),
    Remove(u16, u8),
    Cut(u16),
    Behead(u16),
    Move(u16, u8, u16),
    Repeat(u16, u8, u8),
    Splice(u16, usize, u16, u8),
    Number(u16, usize),
    Fill(u16, u8, u16),
}

fn change(seeds: usize) -> impl Strategy<Value = Change> {
    let at = any::<u16>;
    let piece = || 0..PIECES.len();
    prop_oneof![
        3 => (at(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Put(at, byte)),
        5 => (at(), piece()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        3 => (at(), any::<u8>(), piece()).prop_map(|(at, length, piece)| Change::Replace(at, length % 12, piece)),
        3 => (at(), any::<u8>()).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => at().prop_map(Change::Cut),
        1 => at().prop_map(Change::Behead),
        2 => (at(), any::<u8>(), at()).prop_map(|(from, length, to)| Change::Move(from, length, to)),
        2 => (at(), any::<u8>(), 1_u8..20).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        2 => (at(), 0..seeds, at(), any::<u8>()).prop_map(|(at, seed, from, length)| Change::Splice(at, seed, from, length)),
        3 => (at(), piece()).prop_map(|(at, piece)| Change::Number(at, piece)),
        1 => (at(), any::<u8>(), 1_u16..2000).prop_map(|(at, byte, times)| Change::Fill(at, byte, times)),
    ]
}

/// A place in so many bytes, their end included.
fn place(at: u16, length: usize) -> usize {
    (usize::from(at) * (length + 1)) >> 16
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let length = bytes.len();
        let range = |bytes: &[u8], at: u16, count: u8| {
            let from = place(at, bytes.len());
            from..(from + usize::from(count)).min(bytes.len())
        };
        match *self {
            Self::Flip(at, bit) => {
                if let Some(byte) = bytes.get_mut(place(at, length)) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Put(at, new) => {
                if let Some(byte) = bytes.get_mut(place(at, length)) {
                    *byte = new;
                }
            }
            Self::Insert(at, piece) => {
                let at = place(at, length);
                bytes.splice(at..at, PIECES[piece].iter().copied());
            }
            Self::Replace(at, count, piece) => {
                bytes.splice(range(bytes, at, count), PIECES[piece].iter().copied());
            }
            Self::Remove(at, count) => drop(bytes.drain(range(bytes, at, count))),
            Self::Cut(at) => bytes.truncate(place(at, length)),
            Self::Behead(at) => drop(bytes.drain(..place(at, length))),
            Self::Move(from, count, to) => {
                let moved: Vec<u8> = bytes[range(bytes, from, count)].to_vec();
                let to = place(to, length);
                bytes.splice(to..to, moved);
            }
            Self::Repeat(at, count, times) => {
                let range = range(bytes, at, count);
                let repeated = bytes[range.clone()].repeat(usize::from(times));
                bytes.splice(range, repeated);
            }
            Self::Splice(at, seed, from, count) => {
                let other = &seeds[seed];
                let piece = other[range(other, from, count)].to_vec();
                let at = place(at, length);
                bytes.splice(at..at, piece);
            }
            Self::Number(at, piece) => {
                let at = place(at, length);
                let is_digit = |at: &usize| bytes[*at].is_ascii_digit();
                if let Some(from) = (at..length).find(is_digit) {
                    let until = (from..length).find(|at| !is_digit(at)).unwrap_or(length);
                    bytes.splice(from..until, PIECES[piece].iter().copied());
                }
            }
            Self::Fill(at, byte, times) => {
                let at = place(at, length);
                bytes.splice(at..at, std::iter::repeat_n(byte, usize::from(times)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn modules(folder: &Path, path: &str, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            let name = entry.file_stem().unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                modules(&entry, &format!("{path}{name}::"), found);
            } else if name == "fuzz" && !path.is_empty() {
                found.push((format!("{path}fuzz"), read(&entry)));
            }
        }
    }

    /// The property tests in all modules of this name, by their paths.
    fn targets() -> BTreeSet<String> {
        let mut found = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        modules(&root.join("src"), "", &mut found);
        let of = |(module, text): &(String, String)| {
            let tests = text.split("#[test]").skip(1).filter_map(|after| {
                let (_, name) = after.split_once("fn ")?;
                let (name, arguments) = name.split_once('(')?;
                // Those without arguments are what was found once.
                (!arguments.starts_with(')')).then(|| format!("{module}::{name}"))
            });
            tests.collect::<Vec<_>>()
        };
        found.iter().flat_map(of).collect()
    }

    #[test]
    fn the_table_names_every_target_and_no_other() {
        let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fuzzing.md"));
        let listed: BTreeSet<String> = page
            .split('`')
            .filter(|word| word.contains("::fuzz::") && !word.contains(char::is_whitespace))
            .map(str::to_owned)
            .collect();
        assert!(listed.len() > 40, "{listed:?}");
        let targets = targets();
        let unlisted: Vec<_> = targets.difference(&listed).collect();
        let missing: Vec<_> = listed.difference(&targets).collect();
        assert!(
            unlisted.is_empty() && missing.is_empty(),
            "not in the table: {unlisted:?}; in it and not there: {missing:?}"
        );
    }

    #[test]
    fn an_input_is_of_a_seed_and_changes_do_what_they_are_called() {
        let seeds = vec![b"abc".to_vec(), b"12".to_vec()];
        let made = |change: Change| {
            let mut bytes = b"key = 77;".to_vec();
            change.make(&mut bytes, &seeds);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        assert_eq!(made(Change::Flip(0, 0)), "jey = 77;");
        assert_eq!(made(Change::Cut(u16::MAX)), "key = 77;");
        assert_eq!(made(Change::Cut(u16::MAX / 2)), "key ");
        assert_eq!(made(Change::Behead(u16::MAX / 2)), "= 77;");
        assert_eq!(made(Change::Remove(0, 255)), "");
        assert_eq!(made(Change::Repeat(0, 3, 2)), "keykey = 77;");
        assert_eq!(made(Change::Move(0, 3, u16::MAX)), "key = 77;key");
        assert_eq!(made(Change::Splice(0, 0, 0, 2)), "abkey = 77;");
        assert_eq!(made(Change::Fill(0, b'x', 3)), "xxxkey = 77;");
        let huge = PIECES.iter().position(|piece| *piece == b"65536").unwrap();
        assert_eq!(made(Change::Number(0, huge)), "key = 65536;");
        assert_eq!(unhex("# one\n0a ff\n"), [0x0a, 0xff]);
    }
}
