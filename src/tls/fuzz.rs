//! Fuzz targets: certificates and keys in files that people give. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::{authorities_in, certificates_in, key_in};
use crate::fuzz::{bytes, config};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn file(pem in bytes(&["tests/corpus/tls_file"])) {
        if let Ok(found) = certificates_in(&pem) {
            // Four letters of Base64 make three bytes.
            let length: usize = found.iter().map(|one| one.len()).sum();
            prop_assert!(!found.is_empty() && length <= pem.len());
            let trusted = authorities_in(&pem);
            prop_assert!(trusted.is_err() || trusted.unwrap().len() == found.len());
        } else {
            prop_assert!(authorities_in(&pem).is_err());
        }
        if let Ok(key) = key_in(&pem) {
            prop_assert!(key.secret_der().len() <= pem.len());
        }
    }
}
