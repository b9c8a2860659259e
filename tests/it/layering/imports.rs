//! Which modules a file's code names.

use std::fs;
use std::path::PathBuf;

pub(super) fn collect(folder: &std::path::Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `store/sqlite/mod.rs` is `store::sqlite`.
pub(super) fn module_of(file: &std::path::Path) -> Vec<String> {
    let mut module: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// A path in a file's code.
pub(super) struct Path {
    /// Where it begins.
    pub(super) at: usize,
    /// Where it ends, with what is in its braces.
    pub(super) end: usize,
    /// `crate`, `super`, `self`, or a child's name.
    pub(super) anchor: String,
    /// From the crate's root.
    pub(super) names: Vec<String>,
}

/// All paths that begin with `crate::`, `self::` or enough `super::` to leave the module's folder.
pub(super) fn paths(module: &[String], text: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((at, anchor)) = next_anchor(text, from) {
        from = at + anchor.len();
        let mut rest = &text[from..];
        let mut root: Vec<String> = Vec::new();
        if anchor == "self" {
            root = module.to_vec();
        }
        if anchor == "super" {
            root = module.to_vec();
            root.pop();
            while let Some(after) = after_colons(rest).and_then(|rest| rest.strip_prefix("super")) {
                root.pop();
                rest = after;
            }
            from = text.len() - rest.len();
            // Modules in a file go up to the file first (`mod tests`): where that leads is not told apart from here, and a
            // `super::super` that lands on no module of ours is one of them.
        }
        follow(text, rest, at, anchor, &root, &mut found);
    }
    found
}

/// All paths that begin with a module that this one declares.
pub(super) fn into_children(module: &[String], text: &str) -> Vec<Path> {
    let mut found = Vec::new();
    for child in children(text) {
        let mut root = module.to_vec();
        root.push(child.to_owned());
        let mut from = 0;
        while let Some(at) = next_word(text, child, from) {
            from = at + child.len();
            follow(text, &text[from..], at, child, &root, &mut found);
        }
    }
    found
}

/// The modules that are declared in a file and have files of their own.
fn children(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.ends_with(';'));
    lines
        .filter_map(|line| {
            let (before, name) = line.trim_end_matches(';').split_once("mod ")?;
            let is_item = before.is_empty() || before.trim_start().starts_with("pub");
            (is_item && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
        })
        .collect()
}

/// Adds what stands behind an anchor, if that is a path.
fn follow(text: &str, rest: &str, at: usize, anchor: &str, root: &[String], found: &mut Vec<Path>) {
    let Some(rest) = after_colons(rest) else {
        return;
    };
    let mut leaves = Vec::new();
    let end = text.len() - expand(rest, root, &mut leaves).len();
    found.extend(leaves.into_iter().map(|names| Path {
        at,
        end,
        anchor: anchor.to_owned(),
        names,
    }));
}

/// The next `crate`, `super` or `self` that begins a path.
fn next_anchor(text: &str, from: usize) -> Option<(usize, &'static str)> {
    ["crate", "super", "self"]
        .into_iter()
        .filter_map(|anchor| Some((next_word(text, anchor, from)?, anchor)))
        .min()
}

/// The next place where a word stands by itself, and not within a path.
pub(super) fn next_word(text: &str, word: &str, from: usize) -> Option<usize> {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = from;
    loop {
        let next = at + text[at..].find(word)?;
        let before = text[..next].chars().next_back();
        let after = text[next + word.len()..].chars().next();
        let whole = !before.is_some_and(|c| letter(c) || matches!(c, '$' | ':' | '.'))
            && !after.is_some_and(letter);
        if whole {
            return Some(next);
        }
        at = next + word.len();
    }
}

fn after_colons(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix("::").map(str::trim_start)
}

/// Follows a path and the braces in it to its ends; what is left of the text after it is returned.
fn expand<'a>(text: &'a str, root: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            match rest.chars().next() {
                Some('}') => return &rest[1..],
                None => return rest,
                Some(_) => {
                    let before = rest.len();
                    rest = expand(rest, root, found);
                    if rest.len() == before {
                        return rest;
                    }
                }
            }
        }
    }
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '#' || c == '*'))
        .unwrap_or(text.len());
    let mut path = root.to_vec();
    if end > 0 {
        path.push(text[..end].trim_start_matches("r#").to_owned());
    }
    let rest = &text[end..];
    if let Some(inner) = after_colons(rest) {
        return expand(inner, &path, found);
    }
    found.push(path);
    // `as name`
    match rest.trim_start().strip_prefix("as ") {
        Some(alias) => {
            alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ' ')
        }
        None => rest,
    }
}

/// Comments and the insides of literals as blanks; lines stay lines.
pub(super) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let blank = |out: &mut String, piece: &str| {
        out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    };
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if c == '"' {
            string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if length > 0 {
            blank(&mut out, &rest[..length]);
            rest = &rest[length..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = 2 + hashes;
    Some(
        text[begin..]
            .find(&end)
            .map_or(text.len(), |at| begin + at + end.len()),
    )
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal's length; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[2..]
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '\'')
            .map_or(0, |(at, _)| at + 3),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}
