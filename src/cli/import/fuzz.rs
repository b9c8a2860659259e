//! Fuzz targets: other tools' files. See `docs/fuzzing.md`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::assignments;
use super::drush;
use super::govuk::{self, Around, Format, USER};
use crate::fuzz::{config, texts};
use crate::policy::{Environment, Environments, Rules};

fn environments() -> Environments {
    let rules = |parent: Option<&str>| Rules {
        parent: parent.map(Environment::new),
        ..Rules::default()
    };
    let all = [
        ("production", None),
        ("staging", Some("production")),
        ("integration", Some("staging")),
    ];
    let all: BTreeMap<Environment, Rules> = all
        .into_iter()
        .map(|(name, parent)| (Environment::new(name), rules(parent)))
        .collect();
    Environments::new(all).unwrap()
}

/// Reads a file of site aliases; what is put into another is TOML, with places that are in the file.
fn aliases(text: &str, name: &str) -> Result<(), TestCaseError> {
    let lines = text.matches('\n').count() + 1;
    let read = match drush::read(text, &drush::kind(name).unwrap(), "main") {
        Ok(read) => read,
        Err(flaw) => {
            prop_assert!(
                flaw.line > 0 && flaw.line <= lines,
                "{}: {}",
                flaw.line,
                flaw.what
            );
            prop_assert!(!flaw.what.contains(char::is_control), "{:?}", flaw.what);
            return Ok(());
        }
    };
    for one in &read.said {
        prop_assert!(
            one.line > 0 && one.line <= lines,
            "{}: {}",
            one.line,
            one.what
        );
        prop_assert!(!one.what.contains(char::is_control), "{:?}", one.what);
    }
    for environments in [environments(), Environments::default()] {
        let around = drush::Around {
            files: vec![name.to_owned()],
            environments: &environments,
            sites: ["there"].into(),
            host: None,
            stores: crate::fuzz::stores(),
        };
        let turned = drush::turn(&read.aliases, &around);
        let toml: Result<toml::Table, _> = toml::from_str(&turned.text);
        prop_assert!(toml.is_ok(), "{}", turned.text);
        prop_assert!(
            turned
                .remarks
                .iter()
                .all(|one| !one.contains(char::is_control))
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn drush_site_file(text in texts(&["tests/corpus/drush_site_file"])) {
        aliases(&text, "main.site.yml")?;
    }

    #[test]
    fn drush_php_file(
        text in texts(&["tests/corpus/drush_php_file"]),
        name in prop::sample::select(vec!["x.aliases.drushrc.php", "aliases.drushrc.php", "x.prod.alias.drushrc.php"]),
    ) {
        aliases(&text, name)?;
    }

    #[test]
    fn govuk_file(text in texts(&["tests/corpus/govuk_file"]), format in prop::sample::select(vec![Format::Govuk, Format::Envsyncd])) {
        let lines = text.matches('\n').count() + 1;
        let all = match assignments::parse(&text) {
            Ok(all) => all,
            Err(flaw) => {
                prop_assert!(flaw.line > 0 && flaw.line <= lines, "{}: {}", flaw.line, flaw.what);
                return Ok(());
            }
        };
        prop_assert!(all.iter().all(|one| one.line > 0 && one.line <= lines && !one.name.is_empty()));
        let environments = environments();
        let host = Environment::new("staging");
        let around = Around {
            file: "/etc/govuk_env_sync/x.cfg".to_owned(),
            environments: &environments,
            host: Some(&host),
            from: None,
            to: None,
            user: USER,
            format,
            env_dir: Some("/etc/env.d".to_owned()),
            region: None,
        };
        if let Ok(turned) = govuk::turn(&all, &around) {
            // What is put into a file is TOML, whatever was in the other one.
            let read: Result<toml::Table, _> = toml::from_str(&turned.text);
            prop_assert!(read.is_ok(), "{}", turned.text);
        }
    }
}
