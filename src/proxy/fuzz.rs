//! Fuzz targets: paths of requests. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::media::Promise;
use super::name::Name;
use super::styles;
use crate::fuzz::{bytes, config};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn path_of_a_request(path in bytes(&["tests/corpus/file_proxy_path"])) {
        if let Ok(name) = Name::parse(&path) {
            let parts: Vec<&str> = name.parts().collect();
            for part in &parts {
                prop_assert!(!part.is_empty() && *part != "." && *part != ".." && part.len() <= 255);
                prop_assert!(!part.contains(['\0', '\\', '\n']));
            }
            prop_assert!(name.as_path().is_relative() && name.as_str().len() <= 4095);
            // Another server sees the same name.
            let again = Name::parse(format!("/{}", name.in_url()).as_bytes());
            prop_assert_eq!(again.as_ref(), Ok(&name));
            prop_assert!(name.in_url().bytes().all(|byte| byte.is_ascii_graphic()));
            let _ = Promise::of(name.ending().as_deref());
            for original in styles::originals(&name) {
                let read = Name::parse(format!("/{}", original.in_url()).as_bytes());
                prop_assert_eq!(read, Ok(original));
            }
        }
    }
}
