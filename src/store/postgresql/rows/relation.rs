//! Tables and their columns as SQL wants them.

use crate::store::Part;
use crate::store::postgresql::sql::quoting::quoted;

/// A part's table, quoted.
pub(in crate::store::postgresql) fn table_name(part: &Part) -> String {
    match &part.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&part.name)),
        None => quoted(&part.name),
    }
}

/// Columns, quoted, with commas between them.
pub(in crate::store::postgresql) fn column_list(columns: &[String]) -> String {
    columns
        .iter()
        .map(|column| quoted(column))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Where a part's rows are, to be compared.
pub(in crate::store::postgresql) fn rows_of(
    part: &Part,
    condition: &str,
    root: Option<&(String, String)>,
) -> String {
    // Rows that were sorted out anew can only be compared all together.
    let from = root.map_or_else(
        || format!("ONLY {}", table_name(part)),
        |(schema, name)| format!("{}.{}", quoted(schema), quoted(name)),
    );
    format!("{from} {condition}")
}

/// A table with the columns that a COPY moves.
pub(in crate::store::postgresql) fn rows_in(part: &Part) -> String {
    let name = table_name(part);
    if part.columns.is_empty() {
        name
    } else {
        format!("{name} ({})", column_list(&part.columns))
    }
}

/// A query over a table's rows for which a condition is true.
pub(in crate::store::postgresql) fn rows_with(
    part: &Part,
    values: &str,
    condition: &str,
    rest: &str,
) -> String {
    // A comment at a condition's end ends with its line.
    format!(
        "SELECT {values} FROM ONLY {} WHERE (\n{condition}\n) IS TRUE {rest}",
        table_name(part)
    )
}
