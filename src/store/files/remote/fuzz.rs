//! Fuzz targets: ssh URLs, and what another machine says: its list of files, and what it has. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::facts::Facts;
use super::listing::{Listed, Reader};
use super::url;
use crate::fuzz::{bytes, config, texts};

const SEEDS: &[&str] = &["tests/corpus/far"];

proptest! {
    #![proptest_config(config())]

    /// What is read is read again as the same, and is nothing that ssh takes for an option.
    #[test]
    fn ssh_url(text in texts(SEEDS)) {
        let rest = text.strip_prefix("ssh:").unwrap_or(&text);
        if let Ok(read) = url::read(rest) {
            let again = url::read(read.text.strip_prefix("ssh:").unwrap()).unwrap();
            prop_assert_eq!(&again.url, &read.url);
            prop_assert!(!read.url.host.starts_with('-'));
            prop_assert!(read.url.path.starts_with(b"/") && !read.url.path.contains(&0));
        }
    }

    /// Every path of a list stays in the tree, or the list is refused.
    #[test]
    fn far_list(text in bytes(SEEDS)) {
        let mut reader = Reader::default();
        let mut names = Vec::new();
        let read = reader.give(&text, &mut |listed: &Listed<'_>| {
            names.push(listed.path.to_vec());
            Ok(())
        });
        if read.is_ok() {
            for name in names {
                prop_assert!(!name.starts_with(b"/"));
                prop_assert!(name.split(|byte| *byte == b'/').all(|part| part != b".."));
            }
        }
    }

    /// Whatever a machine says of itself is read.
    #[test]
    fn far_facts(text in bytes(SEEDS)) {
        let _ = Facts::read(&text);
    }
}
