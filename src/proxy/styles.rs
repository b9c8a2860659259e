//! Drupal's image styles: `styles/NAME/SCHEME/PATH` is made out of `PATH` by the site, on the first request for it. Pure.

use super::media::Promise;
use super::name::Name;

/// The originals that a style's file may be made of, the likeliest first; none: this is no style's file. Where a style changes
/// the format, its ending follows the original's: `a.jpg.webp`.
pub(super) fn originals(name: &Name) -> Vec<Name> {
    let parts: Vec<&str> = name.parts().collect();
    let Some(at) = parts.iter().position(|part| *part == "styles") else {
        return Vec::new();
    };
    // Private files have no public original.
    let ["styles", _, "public", path @ ..] = &parts[at..] else {
        return Vec::new();
    };
    let Some((last, folders)) = path.split_last() else {
        return Vec::new();
    };
    let within = [&parts[..at], folders].concat();
    let named = |last: &str| Name::of_parts(&[&within[..], &[last]].concat());
    let mut found = Vec::new();
    if let Some((bare, _)) = last.rsplit_once('.')
        && let Some((_, ending)) = bare.rsplit_once('.')
        && Promise::of(Some(&ending.to_ascii_lowercase())).is_image()
    {
        found.push(named(bare));
    }
    found.push(named(last));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_styles_file_names_its_original() {
        let of = |path: &str| -> Vec<String> {
            let found = originals(&Name::parse(path.as_bytes()).unwrap());
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("/styles/large/public/2024-01/a.jpg"), ["2024-01/a.jpg"]);
        assert_eq!(
            of("/styles/large/public/a.jpg.webp"),
            ["a.jpg", "a.jpg.webp"]
        );
        assert_eq!(of("/styles/large/public/v1.2.png"), ["v1.2.png"]);
        assert_eq!(
            of("/default/files/styles/x/public/a.png"),
            ["default/files/a.png"]
        );
        for path in [
            "/a.jpg",
            "/styles/large/private/a.jpg",
            "/styles/large/public",
            "/styles/large",
            "/styles/a.jpg",
        ] {
            assert!(of(path).is_empty(), "{path}");
        }
    }
}
