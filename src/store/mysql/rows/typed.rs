//! Values in MySQL's JSON columns of types that JSON's text does not have, on their way: beside a document travels a list of them,
//! by their numbers ([`json_values`]), and the target sets them in it.
//!
//! The list says how many values it was made of, which are as many as the document's text has, or the rows are refused: servers
//! have lost rows of temporary tables that became too large for memory. So no query here is a recursive one, either.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};

use super::codec::LINES;
use super::json_values::{self, Found};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::names::{literal, quoted};
use crate::store::{RowCodec, Value};

/// What stands in front of a document that has a list: no JSON begins with it.
const MARK: u8 = 1;

/// The digits that a DECIMAL can have, and those of them behind its point ("Fixed-Point Types", MySQL's manual).
const DIGITS: (usize, usize) = (65, 30);

/// Whether values of a type of JSON's can be made by SQL again.
pub(super) fn can_be_made(kind: &str) -> bool {
    kind != "OPAQUE"
}

/// All values below a document's root, with their numbers.
fn values(document: &str) -> String {
    format!(
        "JSON_TABLE(JSON_EXTRACT({document}, '$**.*', '$**[*]'), '$[*]' COLUMNS (n FOR ORDINALITY, v JSON PATH '$')) AS `envsyncd~v`"
    )
}

/// Whether one can be made again.
fn is_wanted(value: &str) -> String {
    format!(
        "(JSON_TYPE({value}) IN ('DECIMAL', 'DATETIME', 'TIMESTAMP', 'DATE', 'TIME') \
         OR (JSON_TYPE({value}) IN ('BLOB', 'BIT') AND JSON_UNQUOTE({value}) REGEXP '^base64:type(15|16|249|250|251|252|254):'))"
    )
}

/// The expression that gives a document's bytes with its list: the root's type, how many values there are below it, and those
/// of them that have a type, by number.
pub(in crate::store::mysql) fn value(table: &str, column: &str) -> String {
    let document = format!("{}.{}", quoted(table), quoted(column));
    let (root, wanted) = (is_wanted(&document), is_wanted("v"));
    format!(
        "CONCAT(_utf8mb4 0x{MARK:02x}, IF({root}, JSON_TYPE({document}), ''), ' ', (SELECT CONCAT(COUNT(*), ' ', \
         IFNULL(JSON_OBJECTAGG(IF({wanted}, n, 0), IF({wanted}, JSON_ARRAY(JSON_TYPE(v), JSON_UNQUOTE(v)), NULL)), '{{}}')) FROM {}), {document})",
        values(&document)
    )
}

/// The expression that sums up a document's list.
pub(in crate::store::mysql) fn sum(table: &str, column: &str) -> String {
    let document = format!("{}.{}", quoted(table), quoted(column));
    let (root, wanted) = (is_wanted(&document), is_wanted("v"));
    format!(
        "(SELECT CONCAT(IF({root}, CONCAT(JSON_TYPE({document}), JSON_UNQUOTE({document})), ''), ' ', COUNT(*), ' ', \
         BIT_XOR(IF({wanted}, CAST(CONV(LEFT(SHA2(CONCAT(n, ' ', JSON_TYPE(v), ' ', JSON_UNQUOTE(v)), 256), 16), 16, 10) AS UNSIGNED), 0))) FROM {})",
        values(&document)
    )
}

/// Writes a field of a line for LOAD DATA as an expression that makes the document, if it has a list.
pub(in crate::store::mysql) fn put(field: &[u8], out: &mut BytesMut) -> Result<bool> {
    if field.first() != Some(&MARK) {
        return Ok(false);
    }
    let Value::Text(field) = LINES.decode(&field[1..])? else {
        return Err(incomplete());
    };
    let field = std::str::from_utf8(&field).map_err(|_| incomplete())?;
    let (document, values) = read(field).ok_or_else(incomplete)?;
    // What cannot be made stays the string or number that it is in the text.
    let values: String = values
        .iter()
        .filter_map(|(path, kind, text)| Some(format!(",{},{}", literal(path), made(kind, text)?)))
        .collect();
    if values.is_empty() {
        out.put_slice(literal(document).as_bytes());
    } else {
        out.put_slice(format!("JSON_SET({}{values})", literal(document)).as_bytes());
    }
    Ok(true)
}

/// A value's path, type and text.
type Typed = (String, String, String);

/// The document, and the values of its list. `None`: the list is of another document, or not of all of it.
fn read(field: &str) -> Option<(&str, Vec<Typed>)> {
    let (root, rest) = field.split_once(' ')?;
    let (count, rest) = rest.split_once(' ')?;
    let mut reader =
        serde_json::Deserializer::from_str(rest).into_iter::<BTreeMap<u64, Option<[String; 2]>>>();
    let mut list = reader.next()?.ok()?;
    let document = &rest[reader.byte_offset()..];
    list.retain(|_, value| value.is_some());
    let (has, found) = if list.is_empty() {
        (json_values::count(document)?, Vec::new())
    } else {
        json_values::find(document, &list)?
    };
    if count.parse() != Ok(has) || found.len() != list.len() {
        return None;
    }
    let mut values = Vec::with_capacity(found.len());
    if !root.is_empty() {
        values.push(("$".to_owned(), root.to_owned(), plain(document)?));
    }
    for Found { number, path, text } in found {
        let [kind, said] = list.remove(&number)??;
        // Both are the server's: that they are the same says that we count as it does.
        if plain(text)? != said {
            return None;
        }
        values.push((path, kind, said));
    }
    Some((document, values))
}

/// What `JSON_UNQUOTE` makes of a scalar.
fn plain(text: &str) -> Option<String> {
    if text.starts_with('"') {
        serde_json::from_str(text).ok()
    } else {
        Some(text.to_owned())
    }
}

fn incomplete() -> Error {
    Error::new(
        Kind::Verify,
        "the source's server did not tell the types of all values in a JSON document",
    )
    .hint("raise tmp_table_size and temptable_max_ram there; nothing was published")
}

/// The expression whose value has this type and text.
fn made(kind: &str, text: &str) -> Option<String> {
    let is_of = |more: &str| text.chars().all(|c| c.is_ascii_digit() || more.contains(c));
    match kind {
        "DECIMAL" if is_of("-.") => {
            let scale = text.split_once('.').map_or(0, |(_, behind)| behind.len());
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            (digits <= DIGITS.0 && scale <= DIGITS.1)
                .then(|| format!("CAST('{text}' AS DECIMAL({},{scale}))", DIGITS.0))
        }
        "DATETIME" if is_of("-:. ") => Some(format!("CAST('{text}' AS DATETIME(6))")),
        // The moment is of no zone any more: ours takes it as it is.
        "TIMESTAMP" if is_of("-:. ") => Some(of_type("TIMESTAMP(6)", &format!("'{text}'"))),
        "DATE" if is_of("-") => Some(format!("CAST('{text}' AS DATE)")),
        "TIME" if is_of("-:.") => Some(format!("CAST('{text}' AS TIME(6))")),
        "BLOB" | "BIT" => {
            let (kind, data) = text.strip_prefix("base64:type")?.split_once(':')?;
            opaque(kind, data)
        }
        _ => None,
    }
}

/// Bytes of a type, which is told by the number that the server has for it (`enum_field_types` in `field_types.h`).
fn opaque(kind: &str, data: &str) -> Option<String> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\n".contains(&byte);
    if !data.bytes().all(is_base64) {
        return None;
    }
    let symbols = data.bytes().filter(u8::is_ascii_alphanumeric).count()
        + data.bytes().filter(|byte| b"+/".contains(byte)).count();
    let bytes = symbols * 3 / 4;
    let sized = |name: &str| format!("{name}({bytes})");
    let made = format!("FROM_BASE64('{data}')");
    Some(match kind {
        "15" => of_type(&sized("VARBINARY"), &made),
        "16" if bytes <= 8 => of_type(
            &format!("BIT({})", bytes * 8),
            &format!("CAST(CONV(HEX({made}), 16, 10) AS UNSIGNED)"),
        ),
        "249" => of_type("TINYBLOB", &made),
        "250" => of_type("MEDIUMBLOB", &made),
        "251" => of_type("LONGBLOB", &made),
        "252" => of_type("BLOB", &made),
        "254" if bytes <= 255 => of_type(&sized("BINARY"), &made),
        _ => return None,
    })
}

/// A value as a column of a type has it: what a function returns is of types of its own.
fn of_type(kind: &str, value: &str) -> String {
    format!(
        "(SELECT v FROM JSON_TABLE(JSON_ARRAY({value}), '$[0]' COLUMNS (v {kind} PATH '$' ERROR ON ERROR)) AS j)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(list: &str, document: &str) -> Result<String> {
        let mut field = vec![MARK];
        field.extend(format!("{list}{document}").replace('\\', r"\\").bytes());
        let mut out = BytesMut::new();
        assert!(super::put(&field, &mut out)?);
        Ok(String::from_utf8(out.to_vec()).expect("text"))
    }

    #[test]
    fn a_document_with_a_list_is_made_of_its_text_and_its_values() {
        assert!(!super::put(b"{}", &mut BytesMut::new()).expect("a document"));
        let document =
            r#"{"it's": -1.10, "\\": ["2024-01-01 10:00:00.000000"], "x": "base64:type13:AQ=="}"#;
        assert_eq!(
            put(
                r#" 4 {"0": null, "1": ["DECIMAL", "-1.10"], "3": ["OPAQUE", "base64:type13:AQ=="], "4": ["DATETIME", "2024-01-01 10:00:00.000000"]}"#,
                document
            )
            .expect("a document"),
            r#"JSON_SET('{"it''s": -1.10, "\\\\": ["2024-01-01 10:00:00.000000"], "x": "base64:type13:AQ=="}','$."it''s"',CAST('-1.10' AS DECIMAL(65,2)),'$."\\\\"[0]',CAST('2024-01-01 10:00:00.000000' AS DATETIME(6)))"#
        );
        assert_eq!(
            put("DATE 0 {}", "\"2024-01-01\"").expect("a document"),
            r#"JSON_SET('"2024-01-01"','$',CAST('2024-01-01' AS DATE))"#
        );
        assert_eq!(
            put(r#" 1 {"0": null}"#, "[1]").expect("a document"),
            "'[1]'"
        );
        // Nothing but digits and their marks gets into a statement so.
        assert_eq!(
            put("TIME 0 {}", "\"1' OR '1\"").expect("a document"),
            r#"'"1'' OR ''1"'"#
        );
    }

    #[test]
    fn a_list_that_is_not_of_the_whole_document_is_refused() {
        for (list, document) in [
            (r#" 1 {"0": null}"#, "[1, 0.50]"),
            (r#" 3 {"0": null}"#, "[1, 0.50]"),
            (" 0 {}", "[1, 0.50]"),
            (r#" 2 {"3": ["DECIMAL", "0.50"]}"#, "[1, 0.50]"),
            (r#" 2 {"1": ["DECIMAL", "0.50"]}"#, "[1, 0.50]"),
            (r#" 2 {"2": ["DECIMAL", "0.50"]}"#, "[1, 0.5"),
            (" 2 {", "[1, 0.50]"),
            ("", "[1, 0.50]"),
        ] {
            let error = put(list, document).expect_err(list);
            assert_eq!(error.kind(), Kind::Verify, "{list}");
        }
    }
}
