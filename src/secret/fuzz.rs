//! Fuzz targets: what programs print, before it is shown. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::redaction::Redaction;
use crate::fuzz::{bytes, config};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn redaction(said in bytes(&["tests/corpus/program_output"]), secret in "[!-)+-~]{8,20}", at: u16) {
        let mut redaction = Redaction::of(["s3cret-and-more", &secret].into_iter());
        prop_assert!(redaction.longest() >= secret.len());
        for line in said.split(|byte| *byte == b'\n') {
            let shown = redaction.line(line);
            prop_assert!(!shown.contains("s3cret-and-more"), "{}", shown);
            prop_assert!(shown.len() <= 3 * line.len() + 3);
        }
        // Wherever it stands, it is struck out.
        let at = usize::from(at) % (said.len() + 1);
        let with = [&said[..at], secret.as_bytes(), &said[at..]].concat();
        let shown = Redaction::of(std::iter::once(&secret[..])).text(&String::from_utf8_lossy(&with));
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}
