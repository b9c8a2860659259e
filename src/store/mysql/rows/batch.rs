//! Batches: small tables that are copied in one go.

use crate::store::Part;

/// `small and 9 more tables`.
pub(in crate::store::mysql) fn label(parts: &[Part]) -> String {
    match parts {
        [one] => one.label(),
        [first, rest @ ..] => format!("{} and {} more tables", first.label(), rest.len()),
        [] => "no tables".to_owned(),
    }
}
