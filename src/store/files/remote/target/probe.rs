//! Finds out what a target's file system there keeps, by giving it to a file beside live and reading it back.

use crate::store::files::remote::listing::moment;
use crate::store::files::rows::precision::{Kept, TELLING};

/// Its first argument is the folder. Prints what came of two files that were given a time, permissions of two kinds and, by root, an
/// owner. What cannot be asked so is taken to be kept.
const SCRIPT: &str = r#"cd -- "$1" || exit 9
rm -f ./probe ./probe.2 && : >./probe && : >./probe.2 || exit 0
touch -d "@$2" ./probe && chmod 640 ./probe && chmod 701 ./probe.2 && {
  [ "$4" = root ] && chown "$3:$3" ./probe.2
  find ./probe ./probe.2 -name probe -printf 'kept %T@ %m ' -o -printf '%m %U\n'
} 2>/dev/null
rm -f ./probe ./probe.2"#;

/// An owner that no file has by itself.
const SOMEBODY: &str = "54321";

/// The script, and what it is given beside the folder.
pub(super) fn script(is_root: bool) -> (&'static str, [Vec<u8>; 3]) {
    let (seconds, nanoseconds) = TELLING;
    let time = format!("{seconds}.{nanoseconds:09}").into_bytes();
    let who = if is_root { "root" } else { "" };
    (SCRIPT, [time, SOMEBODY.into(), who.into()])
}

/// What it said.
pub(super) fn read(said: &[u8], is_root: bool) -> Kept {
    let text = String::from_utf8_lossy(said);
    kept_by(text.trim_end(), is_root).unwrap_or_default()
}

fn kept_by(line: &str, is_root: bool) -> Option<Kept> {
    let mut words = line.strip_prefix("kept ")?.split(' ');
    let time = moment(words.next()?.as_bytes())?;
    let modes = [words.next()?, words.next()?] == ["640", "701"];
    let owner = words.next()?;
    Some(Kept::of(time, modes, !is_root || owner == SOMEBODY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_system_keeps_is_told_by_what_came_of_a_file() {
        let all = b"kept 1000000001.9999999990 640 701 54321\n";
        assert_eq!(read(all, true), Kept::default());
        let fat = read(b"kept 1000000000.0000000000 755 755 0\n", true);
        assert!(fat.is_coarse() && !fat.modes && !fat.owners);
        let own = read(b"kept 1000000001.0000000000 640 701 1000\n", false);
        assert!(own.is_coarse() && own.modes && own.owners);
        for nothing in [&b""[..], b"kept", b"kept x 640 701 0", b"kept 1.5 640"] {
            assert_eq!(read(nothing, true), Kept::default());
        }
    }
}
