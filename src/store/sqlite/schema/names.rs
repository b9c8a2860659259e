//! Names as SQL spells them. Pure.

/// A name as SQL spells it.
pub(in crate::store::sqlite) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names in a row, quoted.
pub(in crate::store::sqlite) fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}
