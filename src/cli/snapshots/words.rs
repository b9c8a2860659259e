//! Positional arguments.

use crate::error::{Error, Kind, Result};

/// The word for the newest snapshot.
pub(super) const NEWEST: &str = "newest";

/// What is left of the words, by what is to be there.
pub(super) fn words<'w, const N: usize>(
    words: &'w [String],
    what: [&str; N],
) -> Result<[&'w str; N]> {
    let given: Vec<&str> = words.iter().map(String::as_str).collect();
    <[&str; N]>::try_from(given).map_err(|given| {
        let error = match what.get(given.len()) {
            Some(missing) => Error::new(Kind::Usage, format!("{missing} is missing")),
            None => Error::new(Kind::Usage, format!("`{}` is one word too many", given[N])),
        };
        error.hint(format!(
            "without -f: ARCHIVE {}; with it: {0}",
            what.join(" ")
        ))
    })
}
