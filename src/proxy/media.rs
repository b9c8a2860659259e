//! What the ending of a name promises: a media type, and what may come in its place. Pure.

/// What a kind of file is to a browser, and to a server that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Image,
    /// Sound and moving pictures.
    Media,
    Font,
    /// Documents, packed files and the like: bytes that no browser shows by itself.
    Binary,
    /// Read by people or programs; never HTML.
    Text,
    /// XML that is no picture, and SVG, which is both.
    Xml,
    Html,
}

const TYPES: &[(&str, &str, Class)] = &[
    ("7z", "application/x-7z-compressed", Class::Binary),
    ("aac", "audio/aac", Class::Media),
    ("avif", "image/avif", Class::Image),
    ("bmp", "image/bmp", Class::Image),
    ("bz2", "application/x-bzip2", Class::Binary),
    ("css", "text/css", Class::Text),
    ("csv", "text/csv", Class::Text),
    ("doc", "application/msword", Class::Binary),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Class::Binary,
    ),
    ("eot", "application/vnd.ms-fontobject", Class::Font),
    ("epub", "application/epub+zip", Class::Binary),
    ("flac", "audio/flac", Class::Media),
    ("geojson", "application/geo+json", Class::Text),
    ("gif", "image/gif", Class::Image),
    ("gz", "application/gzip", Class::Binary),
    ("heic", "image/heic", Class::Image),
    ("htm", "text/html", Class::Html),
    ("html", "text/html", Class::Html),
    ("ico", "image/x-icon", Class::Image),
    ("ics", "text/calendar", Class::Text),
    ("jpeg", "image/jpeg", Class::Image),
    ("jpg", "image/jpeg", Class::Image),
    ("js", "text/javascript", Class::Text),
    ("json", "application/json", Class::Text),
    ("kml", "application/vnd.google-earth.kml+xml", Class::Xml),
    ("m4a", "audio/mp4", Class::Media),
    ("m4v", "video/mp4", Class::Media),
    ("map", "application/json", Class::Text),
    ("md", "text/markdown", Class::Text),
    ("mht", "multipart/related", Class::Html),
    ("mhtml", "multipart/related", Class::Html),
    ("mjs", "text/javascript", Class::Text),
    ("mov", "video/quicktime", Class::Media),
    ("mp3", "audio/mpeg", Class::Media),
    ("mp4", "video/mp4", Class::Media),
    (
        "odp",
        "application/vnd.oasis.opendocument.presentation",
        Class::Binary,
    ),
    (
        "ods",
        "application/vnd.oasis.opendocument.spreadsheet",
        Class::Binary,
    ),
    (
        "odt",
        "application/vnd.oasis.opendocument.text",
        Class::Binary,
    ),
    ("oga", "audio/ogg", Class::Media),
    ("ogg", "audio/ogg", Class::Media),
    ("ogv", "video/ogg", Class::Media),
    ("otf", "font/otf", Class::Font),
    ("pdf", "application/pdf", Class::Binary),
    ("png", "image/png", Class::Image),
    ("ppt", "application/vnd.ms-powerpoint", Class::Binary),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        Class::Binary,
    ),
    ("rar", "application/vnd.rar", Class::Binary),
    ("rss", "application/rss+xml", Class::Xml),
    ("rtf", "application/rtf", Class::Binary),
    ("svg", "image/svg+xml", Class::Xml),
    ("tar", "application/x-tar", Class::Binary),
    ("tif", "image/tiff", Class::Image),
    ("tiff", "image/tiff", Class::Image),
    ("ttf", "font/ttf", Class::Font),
    ("txt", "text/plain", Class::Text),
    ("vtt", "text/vtt", Class::Text),
    ("wav", "audio/wav", Class::Media),
    ("weba", "audio/webm", Class::Media),
    ("webm", "video/webm", Class::Media),
    ("webmanifest", "application/manifest+json", Class::Text),
    ("webp", "image/webp", Class::Image),
    ("woff", "font/woff", Class::Font),
    ("woff2", "font/woff2", Class::Font),
    ("xht", "application/xhtml+xml", Class::Html),
    ("xhtml", "application/xhtml+xml", Class::Html),
    ("xls", "application/vnd.ms-excel", Class::Binary),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Class::Binary,
    ),
    ("xml", "application/xml", Class::Xml),
    ("xsl", "application/xml", Class::Xml),
    ("xslt", "application/xml", Class::Xml),
    ("zip", "application/zip", Class::Binary),
];

/// What is said where the ending says nothing.
const UNKNOWN: &str = "application/octet-stream";

/// What a name's ending promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    /// The media type that is said.
    pub(super) media_type: &'static str,
    class: Class,
}

impl Promise {
    /// Of an ending in small letters.
    pub(super) fn of(ending: Option<&str>) -> Self {
        let found = ending.and_then(|ending| {
            let at = TYPES.binary_search_by(|(known, _, _)| (*known).cmp(ending));
            at.ok().map(|at| TYPES[at])
        });
        let (_, media_type, class) = found.unwrap_or(("", UNKNOWN, Class::Binary));
        Self { media_type, class }
    }

    /// Whether a browser could run what is in it, in the site's name: it is to be saved, not shown.
    pub(super) fn is_active(self) -> bool {
        matches!(self.class, Class::Html | Class::Xml)
    }

    /// Whether an image style can be made of it, or is one.
    pub(super) fn is_image(self) -> bool {
        self.class == Class::Image
    }

    /// Whether what an origin calls its answer fits. Where it does not know it says nothing, or that it is bytes.
    pub(super) fn is_kept_by(self, content_type: Option<&str>) -> bool {
        let said = content_type.unwrap_or_default();
        let said = said
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let (kind, detail) = said.split_once('/').unwrap_or((said.as_str(), ""));
        if said.is_empty()
            || matches!(
                said.as_str(),
                "application/octet-stream" | "binary/octet-stream"
            )
        {
            return true;
        }
        // An error by its type (RFC 9457), whatever the ending.
        if matches!(detail, "problem+json" | "problem+xml") {
            return false;
        }
        let is_html = matches!(detail, "html" | "xhtml+xml");
        let is_xml = detail == "xml" || detail.ends_with("+xml");
        let is_json = detail == "json" || detail.ends_with("+json");
        let is_opaque = kind == "application" && !is_html && !is_xml && !is_json;
        match self.class {
            Class::Html => is_html || kind == "multipart" || is_xml || said == "text/plain",
            Class::Xml => !is_html && (is_xml || said == "text/plain"),
            Class::Text => !is_html && matches!(kind, "text" | "application"),
            Class::Image => kind == "image",
            Class::Media => matches!(kind, "audio" | "video") || is_opaque,
            Class::Font => kind == "font" || is_opaque,
            // What we know no type of may be anything but a page: an ending of somebody's own.
            Class::Binary if self.media_type == UNKNOWN => !is_html,
            // Servers have many names for these: `application/x-zip-compressed`.
            Class::Binary => is_opaque,
        }
    }

    /// Whether a file may begin so. Pages of errors are called pictures, too. `None`: more of it has to be there to say so.
    pub(super) fn may_begin_with(self, bytes: &[u8]) -> Option<bool> {
        if self.class == Class::Html {
            return Some(true);
        }
        let Some(begin) = without_blanks(bytes) else {
            // So many blanks are no page's.
            return (bytes.len() >= LONGEST_BLANKS).then_some(true);
        };
        // No picture, sound or font begins as a page does, whatever kind of page that is.
        if matches!(self.class, Class::Image | Class::Media | Class::Font) {
            return Some(begin[0] != b'<');
        }
        let agrees = |tag: &&[u8]| {
            let both = tag.len().min(begin.len());
            begin[..both].eq_ignore_ascii_case(&tag[..both])
        };
        let found: Vec<&[u8]> = PAGES.into_iter().filter(agrees).collect();
        match found.as_slice() {
            [] => Some(true),
            tags if tags.iter().any(|tag| tag.len() <= begin.len()) => Some(false),
            _ => None,
        }
    }
}

/// How pages begin.
const PAGES: [&[u8]; 5] = [b"<!doctype html", b"<html", b"<head", b"<body", b"<?php"];

/// So many bytes of a file may be blanks before it is said what it is.
const LONGEST_BLANKS: usize = 1024;

/// What follows the blanks that a page may begin with; `None`: nothing does, or nobody can say yet.
fn without_blanks(bytes: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if bytes.len() < MARK.len() && MARK.starts_with(bytes) {
        return None;
    }
    let begin = bytes.strip_prefix(MARK).unwrap_or(bytes).trim_ascii_start();
    (!begin.is_empty()).then_some(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_of_small_letters() {
        assert!(TYPES.is_sorted_by(|one, next| one.0 < next.0));
        assert!(
            TYPES
                .iter()
                .all(|(ending, _, _)| *ending == ending.to_ascii_lowercase())
        );
    }

    #[test]
    fn a_page_is_no_picture_and_bytes_are_anything() {
        let kept = |ending, said| Promise::of(Some(ending)).is_kept_by(said);
        for (ending, said) in [
            ("jpg", "image/jpeg"),
            ("jpg", "image/webp"),
            ("jpg", "application/octet-stream"),
            ("svg", "image/svg+xml"),
            ("css", "text/css; charset=utf-8"),
            ("js", "application/javascript"),
            ("json", "application/json"),
            ("woff", "application/font-woff"),
            ("pdf", "application/pdf"),
            ("mp4", "video/mp4"),
            ("html", "text/html"),
            ("zip", "application/x-zip-compressed"),
            ("docx", "application/zip"),
            ("docx", "binary/octet-stream"),
            ("pptx", Promise::of(Some("pptx")).media_type),
            ("own", "text/plain"),
            ("own", "application/json"),
            ("own", "image/x-own"),
            ("ogg", "application/ogg"),
        ] {
            assert!(kept(ending, Some(said)), "{ending} {said}");
        }
        for (ending, said) in [
            ("jpg", "text/html; charset=UTF-8"),
            ("jpg", "TEXT/HTML"),
            ("jpg", "application/json"),
            ("pdf", "text/html"),
            ("css", "text/html"),
            ("svg", "text/html"),
            ("xml", "application/xhtml+xml"),
            ("own", "text/html"),
            ("mp4", "application/json"),
            ("mp4", "application/vnd.api+json"),
            ("zip", "text/plain"),
            ("zip", "application/json"),
            ("pdf", "application/vnd.api+json"),
            ("docx", "application/xml"),
            ("docx", "application/soap+xml"),
            ("pdf", "image/png"),
            ("pdf", "audio/mpeg"),
            ("zip", "video/mp4"),
            ("xlsx", "text/xml"),
            ("own", "application/problem+json"),
            ("json", "application/problem+json; charset=utf-8"),
            ("xml", "application/problem+xml"),
            ("woff2", "text/plain"),
        ] {
            assert!(!kept(ending, Some(said)), "{ending} {said}");
        }
        assert!(kept("jpg", None));
    }

    #[test]
    fn a_page_is_known_by_its_first_bytes() {
        let jpg = Promise::of(Some("jpg"));
        let [css, svg, html] = ["css", "svg", "html"].map(|ending| Promise::of(Some(ending)));
        for page in [
            &b"\xef\xbb\xbf\n <!DOCTYPE HTML PUBLIC"[..],
            b"<html lang=en>",
            b"  <",
            b"<?xml version",
            b"<!-- an error -->",
        ] {
            assert_eq!(jpg.may_begin_with(page), Some(false), "{page:?}");
            assert_eq!(html.may_begin_with(page), Some(true), "{page:?}");
        }
        assert_eq!(jpg.may_begin_with(b"\xff\xd8\xff"), Some(true));
        assert_eq!(svg.may_begin_with(b"<?xml version"), Some(true));
        assert_eq!(css.may_begin_with(b"<!-- of old -->"), Some(true));
        for page in [&b"<HTML>"[..], b"\n<!DOCTYPE html>", b"<?php"] {
            assert_eq!(css.may_begin_with(page), Some(false), "{page:?}");
        }
        // In pieces nobody knows yet.
        for begin in [
            &b""[..],
            b"\xef",
            b"\xef\xbb\xbf",
            b" \n",
            b"<",
            b"<!docty",
            b"<h",
        ] {
            assert_eq!(css.may_begin_with(begin), None, "{begin:?}");
        }
        assert_eq!(jpg.may_begin_with(b"\n"), None);
        assert_eq!(jpg.may_begin_with(&[b' '; LONGEST_BLANKS]), Some(true));
    }

    #[test]
    fn html_svg_and_xml_are_saved_and_not_shown() {
        for (ending, active) in [
            ("html", true),
            ("svg", true),
            ("xml", true),
            ("xhtml", true),
            ("png", false),
            ("css", false),
            ("exe", false),
        ] {
            assert_eq!(Promise::of(Some(ending)).is_active(), active, "{ending}");
        }
    }
}
