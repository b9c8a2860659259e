//! Fuzz targets: what was encrypted for us. See `docs/fuzzing.md`.

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::fuzz::{bytes, config, lengths, pieces, seeds};

/// What the seeds are encrypted for.
const IDENTITY: &str = "tests/corpus/age_identity";

/// What is in them.
const PLAINS: &str = "tests/corpus/age_plain";

proptest! {
    #![proptest_config(config())]

    /// Nobody who has not the plain text makes us take in anything else than it, or a part of it and an error.
    #[test]
    fn sealed(sealed in bytes(&["tests/corpus/age"]), lengths in lengths()) {
        thread_local!(static KNOWN: (Identity, Vec<Vec<u8>>) = {
            let text = String::from_utf8(seeds(IDENTITY).remove(0)).unwrap();
            (Identity::parse(&SecretString::from(text)).unwrap(), seeds(PLAINS))
        });
        KNOWN.with(|(identity, plains)| {
            let opened = |lengths: &[usize]| {
                let pieces: Vec<Result<Bytes>> = pieces(&sealed, lengths)
                    .into_iter()
                    .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                    .collect();
                let mut plain = identity.open(stream::iter(pieces).boxed(), "rows/x");
                let mut made = Vec::new();
                loop {
                    match plain.try_next().now_or_never().expect("nothing to wait for") {
                        Ok(Some(piece)) => made.extend_from_slice(&piece),
                        Ok(None) => return (made, None),
                        Err(error) => return (made, Some((error.kind(), error.to_string()))),
                    }
                }
            };
            let (made, error) = opened(&lengths);
            prop_assert_eq!(&(made.clone(), error.clone()), &opened(&[usize::MAX]));
            match error {
                None => prop_assert!(plains.contains(&made)),
                Some((kind, text)) => {
                    prop_assert!(plains.iter().any(|plain| plain.starts_with(&made)));
                    prop_assert!(matches!(kind, Kind::Verify | Kind::Permission));
                    prop_assert!(text.starts_with("rows/x ") && !text.contains('\n'), "{}", text);
                }
            }
            Ok(())
        })?;
    }
}
