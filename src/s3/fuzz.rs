//! Fuzz targets: what an S3 server answers, and the files that its keys are in. See `docs/fuzzing.md`.

use object_store::aws::AwsCredential;
use proptest::prelude::*;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

use super::credentials;
use super::listing::{self, Objects, Uploads};
use super::profile;
use super::refusal::Refusal;
use super::request;
use crate::config::percent_decoded;
use crate::fuzz::{bytes, config, texts};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn list(body in bytes(&["tests/corpus/s3_list"])) {
        if let Some(page) = request::read::<Objects>(&body) {
            prop_assert!(page.contents.len() + page.common_prefixes.len() <= body.len());
            for content in page.contents {
                prop_assert!(content.key.len() <= 4 * body.len());
                let _ = listing::name(content.key, true);
            }
        }
        if let Some(page) = request::read::<Uploads>(&body) {
            prop_assert!(page.upload.len() <= body.len());
        }
    }

    #[test]
    fn key(key in texts(&["tests/corpus/s3_key"])) {
        let mut encoded = String::new();
        request::encode(&key, &mut encoded);
        prop_assert!(encoded.is_ascii() && encoded.len() <= 3 * key.len());
        prop_assert_eq!(percent_decoded(&encoded), Some(key.clone().into_bytes()));
        prop_assert_eq!(listing::name(encoded, true), key.clone());
        let _ = listing::name(key, true);
    }

    #[test]
    fn refusal(status in 100_u16..600, body in bytes(&["tests/corpus/s3_refusal"]), header in bytes(&["tests/corpus/s3_header"])) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&header) {
            headers.insert(DATE, value.clone());
            headers.insert(RETRY_AFTER, value.clone());
            headers.insert("x-amz-bucket-region", value);
        }
        let _ = Refusal::is_in(&body);
        let refusal = Refusal::read(status, &headers, &body);
        prop_assert!(refusal.message.chars().count() <= 200 && refusal.code.chars().count() <= 200);
        prop_assert!(!refusal.to_string().is_empty());
        let _ = (refusal.may_pass(), refusal.takes_no_list());
    }

    /// The library panics at what no request can be made with.
    #[test]
    fn keys_and_servers_that_are_given(text in texts(&["tests/corpus/s3_given"])) {
        let keys = AwsCredential {
            key_id: text.clone(),
            secret_key: text.clone(),
            token: Some(text.clone()),
        };
        match credentials::refuse_unsendable_keys(&keys, "the environment") {
            Ok(()) => prop_assert!(HeaderValue::from_str(&text).is_ok()),
            Err(error) => {
                let told = error.to_string();
                prop_assert!(!told.contains('\n') && (text.len() < 20 || !told.contains(&text)), "{}", told);
            }
        }
        if credentials::is_sendable(&text) {
            prop_assert!(http::Request::builder().uri(&text).body(()).is_ok());
            prop_assert!(reqwest::Url::parse(&text).is_ok_and(|url| url.has_host()));
        }
    }

    #[test]
    fn profiles(text in texts(&["tests/corpus/s3_profiles"])) {
        let found = profile::parse(&text);
        let settings: usize = found.values().map(std::collections::BTreeMap::len).sum();
        prop_assert!(settings <= text.lines().count());
    }
}
