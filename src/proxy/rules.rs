//! Which names are served, and which are fetched. Pure.

use std::collections::BTreeSet;

use super::name::Name;
use crate::config::file_proxy::FileProxy;
use crate::config::globs::Globs;
use crate::error::Result;

/// What is never sent and never asked for, whatever the settings say, in small letters and in capitals: what is private in
/// Drupal, programs, dumps, and hidden files, `.htaccess` and our own directory among them. A server with a handler for
/// `.php` anywhere in a name would run `a.php.jpg`.
const NEVER: [&str; 18] = [
    ".*",
    "private/",
    "*.php",
    "*.php.*",
    "*.php~",
    "*.php[0-9]",
    "*.php[0-9].*",
    "*.phtml",
    "*.phtml.*",
    "*.pht",
    "*.pht.*",
    "*.phar",
    "*.phar.*",
    "*.phps",
    "*.phps.*",
    "*.sql",
    "*.sql.*",
    "*.sql~",
];

/// Which names are served, and which are fetched.
pub(super) struct Rules {
    never: Globs,
    excluded: Globs,
    types: Option<BTreeSet<String>>,
}

impl Rules {
    pub(super) fn new(proxy: &FileProxy) -> Result<Self> {
        let excluded = proxy.exclude.iter().map(String::as_str);
        Ok(Self {
            never: Globs::of_any_case(NEVER)?,
            excluded: Globs::of_any_case(excluded).map_err(|error| error.within("`exclude`"))?,
            types: proxy.types.clone(),
        })
    }

    /// Whether a file of this name may be sent.
    pub(super) fn serve(&self, name: &Name) -> bool {
        let path = name.as_str();
        let within = path.match_indices('/').map(|(at, _)| &path[..at]);
        let is_meant = |path: &str, is_directory| {
            [&self.never, &self.excluded]
                .iter()
                .any(|globs| globs.are_for(path.as_bytes(), is_directory))
        };
        // `private` is no less private where it is a file.
        !within.chain([path]).any(|path| is_meant(path, true)) && !is_meant(path, false)
    }

    /// Whether it may be fetched, too.
    pub(super) fn fetch(&self, name: &Name) -> bool {
        let Some(types) = &self.types else {
            return true;
        };
        name.ending().is_some_and(|ending| types.contains(&ending))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::file_proxy::{Limits, Mode};
    use crate::config::http::Listen;

    fn rules(exclude: &[&str], types: Option<&[&str]>) -> Rules {
        Rules::new(&FileProxy {
            listen: Listen::Unix(PathBuf::from("/x")),
            root: PathBuf::from("/x"),
            origin: url::Url::parse("https://www.example.org/files").unwrap(),
            mode: Mode::Fetch,
            original_first: false,
            exclude: exclude.iter().map(|&glob| glob.to_owned()).collect(),
            types: types.map(|types| types.iter().map(|&one| one.to_owned()).collect()),
            ca_file: None,
            limits: Limits::default(),
        })
        .unwrap()
    }

    fn name(path: &str) -> Name {
        Name::parse(format!("/{path}").as_bytes()).unwrap()
    }

    #[test]
    fn private_names_programs_dumps_and_hidden_files_are_never_served() {
        let rules = rules(&["!*", "!private/", "!*.php"], None);
        for path in [
            "private/a.jpg",
            "Private/a.jpg",
            "a/PRIVATE/b/c.jpg",
            "private",
            ".htaccess",
            "a/.git/config",
            ".envsyncd-proxy/x",
            "a.php",
            "a.PHP",
            "b/a.pHp5",
            "a.php.jpg",
            "a.php5.jpg",
            "a.PHTML.jpg",
            "a.phar.jpg",
            "a.pht",
            "a.php~",
            "dump.sql~",
            "a.phtml",
            "a.phar",
            "dump.sql",
            "dump.SQL.gz",
            "x.php/a.jpg",
            "...",
        ] {
            assert!(!rules.serve(&name(path)), "{path}");
        }
        for path in [
            "a.jpg",
            "privates/a.jpg",
            "a.phpx",
            "sql/a.jpg",
            "php.jpg",
            "a.sqlite",
        ] {
            assert!(rules.serve(&name(path)), "{path}");
        }
    }

    #[test]
    fn what_is_excluded_is_not_served_and_other_types_are_not_fetched() {
        let rules = rules(&["secret-*", "/webform/"], Some(&["jpg"]));
        assert!(!rules.serve(&name("a/secret-b.jpg")) && !rules.serve(&name("Webform/a.jpg")));
        assert!(rules.serve(&name("a/webform/a.jpg")));
        assert!(
            rules.fetch(&name("a.JPG"))
                && !rules.fetch(&name("a.png"))
                && !rules.fetch(&name("jpg"))
        );
    }
}
