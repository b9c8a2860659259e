//! Fuzz targets: what programs print, before it is shown. See `docs/fuzzing.md`.

use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::redaction::Redaction;
use super::{in_file, printed};
use crate::fuzz::{bytes, config};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn content_of_a_file(content in bytes(&["tests/corpus/secret_file"])) {
        let read = |read: Result<secrecy::SecretString, &'static str>| {
            read.map(|secret| secret.expose_secret().to_owned())
        };
        if let Ok(secret) = read(in_file(&content)) {
            prop_assert!(!secret.is_empty() && !secret.contains('\0'));
            let rest = content.strip_prefix(secret.as_bytes());
            prop_assert!(matches!(rest, Some(b"" | b"\n")));
        }
        let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        prop_assert_eq!(read(printed(&content)).ok(), read(in_file(first)).ok());
    }

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
