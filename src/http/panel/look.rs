//! The style and the script, and the policy that lets a page use these alone.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// In every page.
pub(super) const STYLE: &str = include_str!("style.css");

/// Fetched once.
pub(super) const SCRIPT: &str = include_str!("panel.js");

/// The script's path: it changes with the script, so that browsers may keep it forever.
pub(super) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(SCRIPT);
    let mut short = String::new();
    for byte in hash.iter().take(8) {
        short.push_str(&format!("{byte:02x}"));
    }
    format!("/static/panel-{short}.js")
});

/// The pages' `Content-Security-Policy`.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = base64(&Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
});

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..4 {
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(DIGITS[(group >> (18 - 6 * place) & 63) as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_the_standard_has_it() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn style_and_script_are_small() {
        assert!(STYLE.len() < 20_000, "{}", STYLE.len());
        assert!(SCRIPT.len() < 10_000, "{}", SCRIPT.len());
        assert!(!STYLE.contains('<'));
    }
}
