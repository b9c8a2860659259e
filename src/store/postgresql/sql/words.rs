//! The words of a statement, without its comments.

/// The tag that a string in dollars begins with, and what is behind it.
pub(in crate::store::postgresql) fn dollar_quote(text: &str) -> Option<(&str, &str)> {
    let tag = text.strip_prefix('$')?.split_once('$')?.0;
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !tag.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| text.split_at(tag.len() + 2))
}

/// A statement's first words, in upper case, without comments between them.
pub(in crate::store::postgresql) fn words(statement: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut text = statement;
    while found.len() < 8 && !text.is_empty() {
        if let Some(comment) = text.strip_prefix("--") {
            text = after_line(comment);
        } else if text.starts_with("/*") {
            text = after_comment(text);
        } else {
            let end = text
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
                .unwrap_or(text.len());
            if end > 0 {
                found.push(text[..end].to_ascii_uppercase());
                text = &text[end..];
            } else {
                let mut rest = text.chars();
                rest.next();
                text = rest.as_str();
            }
        }
    }
    found
}

/// What follows a comment's line, which a carriage return ends, too.
pub(in crate::store::postgresql) fn after_line(text: &str) -> &str {
    text.split_once(['\n', '\r']).map_or("", |(_, rest)| rest)
}

/// What follows a comment, which may have others in it.
pub(in crate::store::postgresql) fn after_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return &text[at..];
            }
        } else {
            at += 1;
        }
    }
    ""
}
