//! The style and the script, and the policy that lets a page use these alone.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_small() {
        assert!(STYLE.len() < 20_000, "{}", STYLE.len());
        assert!(SCRIPT.len() < 10_000, "{}", SCRIPT.len());
        assert!(!STYLE.contains('<'));
    }
}
