//! Fuzz targets: what Icinga 2 answers. See `docs/fuzzing.md`.

use proptest::prelude::*;

#[cfg(feature = "icinga")]
use super::icinga2;
use super::message::parts;
use crate::fuzz::{config, texts};

proptest! {
    #![proptest_config(config())]

    #[cfg(feature = "icinga")]
    #[test]
    fn answer(http in 100_u16..600, body in texts(&["tests/corpus/icinga_answer"])) {
        match icinga2::answer(http, &body, "envsyncd app") {
            Ok(()) => prop_assert!((200..300).contains(&http)),
            Err(failure) => {
                let error = failure.error.to_string();
                prop_assert!(!error.contains('\n') && error.chars().count() <= 1000, "{}", error);
            }
        }
    }

    #[test]
    fn text_of_the_plugin(text in texts(&["tests/corpus/plugin_text"])) {
        let (output, data) = parts(&text);
        prop_assert!(output.len() + data.iter().map(String::len).sum::<usize>() <= text.len());
        prop_assert!(data.iter().all(|item| !item.is_empty()));
    }
}
