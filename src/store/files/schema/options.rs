//! The options of `[[task]]` that are for trees of files alone. Pure.

use std::time::Duration;

use crate::config::globs::Globs;
use crate::config::{Flaw, OwnKey, size_in_bytes};

/// Why a push has no use for what is about live.
const LIVE: &str = "an archive has no live tree that a snapshot would be compared with";

/// The keys.
pub(in crate::store::files) const OWN_KEYS: [OwnKey; 7] = [
    own("compare", Some(LIVE)),
    own("link", Some(LIVE)),
    own("marker", None),
    own("max_delete", Some(LIVE)),
    own("max_size", None),
    own("newer_than", None),
    own("preset", None),
];

/// Of databases it names files with masks.
const INCLUDE: &str = "include";

const fn own(name: &'static str, not_in_a_push: Option<&'static str>) -> OwnKey {
    OwnKey {
        name,
        not_in_a_push,
    }
}

/// How a file that has not changed comes into the new tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Link {
    /// As a second name of live's.
    Hard,
    /// As a copy that shares its blocks until one of them is written; where the file system cannot, as a copy.
    Reflink,
    /// As a copy.
    Copy,
}

/// How many of live's files a run may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum MaxDelete {
    /// So many.
    Files(u64),
    /// So many of a hundred.
    Percent(u64),
}

impl MaxDelete {
    /// Whether so many of so many are too many.
    pub(in crate::store::files) fn is_exceeded_by(self, deleted: u64, of: u64) -> bool {
        match self {
            Self::Files(most) => deleted > most,
            Self::Percent(most) => u128::from(deleted) * 100 > u128::from(of) * u128::from(most),
        }
    }
}

impl std::fmt::Display for MaxDelete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most} %"),
        }
    }
}

/// What a task says of its files beside `mode` and `exclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::files) struct Options {
    /// Globs of directories that an application makes by itself.
    pub(in crate::store::files) generated: &'static [&'static str],
    /// Globs of what is copied; none: everything.
    pub(in crate::store::files) include: Vec<String>,
    /// Larger files are not copied.
    pub(in crate::store::files) max_size: Option<u64>,
    /// Files that were changed longer ago are not copied.
    pub(in crate::store::files) newer_than: Option<Duration>,
    /// More are not removed.
    pub(in crate::store::files) max_delete: MaxDelete,
    /// A file that the source has to have.
    pub(in crate::store::files) marker: Option<String>,
    /// How what has not changed is taken over.
    pub(in crate::store::files) link: Link,
    /// Whether a file's content says if it has changed, and not its size and time.
    pub(in crate::store::files) by_content: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            generated: &[],
            include: Vec::new(),
            max_size: None,
            newer_than: None,
            max_delete: MaxDelete::Percent(50),
            marker: None,
            link: Link::Hard,
            by_content: false,
        }
    }
}

/// What Drupal generates in its directory of files.
const DRUPAL: &[&str] = &["/css/", "/js/", "/styles/", "/php/"];

/// Reads them; each flaw with its key.
pub(in crate::store::files) fn read(
    given: &toml::Table,
) -> Result<Options, Vec<(&'static str, Flaw)>> {
    let mut options = Options::default();
    let mut flaws = Vec::new();
    for key in OWN_KEYS.iter().map(|key| key.name).chain([INCLUDE]) {
        if let Some(value) = given.get(key)
            && let Err(flaw) = set(&mut options, key, value)
        {
            flaws.push((key, flaw));
        }
    }
    if flaws.is_empty() {
        Ok(options)
    } else {
        Err(flaws)
    }
}

fn set(options: &mut Options, key: &str, value: &toml::Value) -> Result<(), Flaw> {
    match key {
        "compare" => options.by_content = word(value, &[("time", false), ("checksum", true)])?,
        "link" => {
            let links = [
                ("hard", Link::Hard),
                ("reflink", Link::Reflink),
                ("copy", Link::Copy),
            ];
            options.link = word(value, &links)?;
        }
        INCLUDE => options.include = globs(value)?,
        "marker" => options.marker = Some(marker(value)?),
        "max_delete" => options.max_delete = max_delete(value)?,
        "max_size" => options.max_size = Some(size(value)?),
        "newer_than" => options.newer_than = Some(age(value)?),
        _ => options.generated = word(value, &[("drupal", DRUPAL)])?,
    }
    Ok(())
}

fn word<T: Copy>(value: &toml::Value, all: &[(&'static str, T)]) -> Result<T, Flaw> {
    let found = all.iter().find(|(word, _)| value.as_str() == Some(word));
    let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        Flaw::new("this is not one of the words that are possible here").allowed(words.join(" | "))
    })
}

fn globs(value: &toml::Value) -> Result<Vec<String>, Flaw> {
    let all: Option<Vec<String>> = value.as_array().and_then(|all| {
        let texts = all.iter().map(|glob| glob.as_str().map(str::to_owned));
        texts.collect()
    });
    let all = all.filter(|all| !all.is_empty()).ok_or_else(|| {
        Flaw::new("this is no list of globs").allowed("[\"*.pdf\"], [\"/public/\"]")
    })?;
    if let Some(back) = all.iter().find(|glob| glob.starts_with('!')) {
        let why = format!("`{back}` takes something back");
        return Err(Flaw::with_help(
            why,
            "write what is not copied into `exclude`",
        ));
    }
    Globs::new(all.iter().map(String::as_str)).map_err(|error| Flaw::new(error.to_string()))?;
    Ok(all)
}

fn marker(value: &toml::Value) -> Result<String, Flaw> {
    let is_path = |text: &&str| {
        !text.is_empty()
            && !text.contains('\0')
            && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
    };
    value
        .as_str()
        .filter(is_path)
        .map(str::to_owned)
        .ok_or_else(|| {
            Flaw::new("this is no path inside of the tree").allowed("\".is-mounted\", \"a/b\"")
        })
}

fn max_delete(value: &toml::Value) -> Result<MaxDelete, Flaw> {
    let found = match value {
        toml::Value::Integer(number) => u64::try_from(*number).ok().map(MaxDelete::Files),
        toml::Value::String(text) => text
            .strip_suffix('%')
            .and_then(|number| number.trim().parse().ok())
            .filter(|percent| *percent <= 100)
            .map(MaxDelete::Percent),
        _ => None,
    };
    found.ok_or_else(|| {
        Flaw::new("this is neither a number of files nor a percentage").allowed("1000, \"10%\"")
    })
}

fn size(value: &toml::Value) -> Result<u64, Flaw> {
    value.as_str().and_then(size_in_bytes).ok_or_else(|| {
        Flaw::new("this is not a size")
            .allowed("a number with a unit: \"500kB\", \"20MB\", \"1GiB\"")
    })
}

fn age(value: &toml::Value) -> Result<Duration, Flaw> {
    let parsed = value
        .as_str()
        .and_then(|text| humantime::parse_duration(text.trim()).ok());
    parsed.filter(|age| !age.is_zero()).ok_or_else(|| {
        Flaw::new("this is not a duration")
            .allowed("a number with a unit: \"12h\", \"30days\", \"1year\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_included_is_globs_that_take_nothing_back() {
        let read = |text: &str| read_text(text).map(|options| options.include);
        assert_eq!(read("include = [\"*.pdf\"]").unwrap(), ["*.pdf"]);
        for wrong in ["[]", "[\"!a\"]", "\"*.pdf\"", "[1]", "[\"[\"]"] {
            assert_eq!(
                read(&format!("include = {wrong}")).unwrap_err(),
                ["include"],
                "{wrong}"
            );
        }
    }

    fn read_text(text: &str) -> Result<Options, Vec<&'static str>> {
        let flaws = |flaws: Vec<(&'static str, Flaw)>| flaws.into_iter().map(|(key, _)| key);
        read(&text.parse().unwrap()).map_err(|all| flaws(all).collect())
    }

    #[test]
    fn all_that_is_wrong_is_found_at_once() {
        let text = "compare = \"size\"\nlink = 1\nmarker = \"../x\"\nmax_delete = \"200%\"\nmax_size = 5\nnewer_than = \"0s\"\npreset = \"x\"";
        let keys: Vec<_> = OWN_KEYS.iter().map(|key| key.name).collect();
        assert_eq!(read_text(text).unwrap_err(), keys);
    }

    #[test]
    fn what_is_right_is_read() {
        let text = "compare = \"checksum\"\nlink = \"copy\"\nmarker = \"a/b\"\nmax_delete = 3\nmax_size = \"1 MiB\"\nnewer_than = \"1day\"\npreset = \"drupal\"";
        let options = read_text(text).unwrap();
        assert!(options.by_content && options.generated == DRUPAL);
        assert_eq!(
            (options.link, options.max_delete),
            (Link::Copy, MaxDelete::Files(3))
        );
        assert_eq!(options.max_size, Some(1 << 20));
        assert_eq!(read_text("").unwrap(), Options::default());
    }

    #[test]
    fn half_is_not_more_than_half() {
        let half = MaxDelete::Percent(50);
        assert!(!half.is_exceeded_by(5, 10) && half.is_exceeded_by(6, 10));
        assert!(!half.is_exceeded_by(0, 0) && MaxDelete::Files(0).is_exceeded_by(1, 9));
    }
}
