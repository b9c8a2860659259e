//! Values in MySQL's JSON columns of types that JSON's text does not have, on their way: beside a document travels a list of them,
//! with their paths, and the target sets them in it.

use bytes::{BufMut, BytesMut};

use super::codec::LINES;
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

/// All values of a document that can be made again, with their paths: `WITH ... ` in front of a SELECT from `w`.
fn walk(table: &str, column: &str) -> String {
    let document = format!("{}.{}", quoted(table), quoted(column));
    format!(
        "WITH RECURSIVE `envsyncd~w` (p, v) AS (SELECT CAST('$' AS CHAR(100000)), {document} \
         UNION ALL SELECT CONCAT(o.p, '.', k.k), JSON_EXTRACT(o.v, CONCAT('$.', k.k)) FROM `envsyncd~w` AS o, \
         JSON_TABLE(JSON_KEYS(o.v), '$[*]' COLUMNS (k JSON PATH '$')) AS k WHERE JSON_TYPE(o.v) = 'OBJECT' \
         UNION ALL SELECT CONCAT(a.p, '[', e.n - 1, ']'), e.v FROM `envsyncd~w` AS a, \
         JSON_TABLE(a.v, '$[*]' COLUMNS (n FOR ORDINALITY, v JSON PATH '$')) AS e WHERE JSON_TYPE(a.v) = 'ARRAY')"
    )
}

/// Which of them.
const WANTED: &str = "FROM `envsyncd~w` WHERE JSON_TYPE(v) IN ('DECIMAL', 'DATETIME', 'TIMESTAMP', 'DATE', 'TIME') \
    OR (JSON_TYPE(v) IN ('BLOB', 'BIT') AND JSON_UNQUOTE(v) REGEXP '^base64:type(15|16|249|250|251|252|254):')";

/// The expression that gives a document's bytes with its list; without one, those of the document.
pub(in crate::store::mysql) fn value(table: &str, column: &str) -> String {
    let document = format!("{}.{}", quoted(table), quoted(column));
    format!(
        "IFNULL(CONCAT(_utf8mb4 0x{MARK:02x}, ({} SELECT JSON_ARRAYAGG(JSON_ARRAY(p, JSON_TYPE(v), JSON_UNQUOTE(v))) {WANTED}), {document}), {document})",
        walk(table, column)
    )
}

/// The expression that sums up a document's list.
pub(in crate::store::mysql) fn sum(table: &str, column: &str) -> String {
    format!(
        "({} SELECT IFNULL(BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT(p, ' ', JSON_TYPE(v), ' ', JSON_UNQUOTE(v)), 256), 16), 16, 10) AS UNSIGNED)), 0) {WANTED})",
        walk(table, column)
    )
}

/// Writes a field of a line for LOAD DATA as an expression that makes the document, if it has a list.
pub(in crate::store::mysql) fn put(field: &[u8], out: &mut BytesMut) -> bool {
    if field.first() != Some(&MARK) {
        return false;
    }
    let Ok(Value::Text(field)) = LINES.decode(&field[1..]) else {
        return false;
    };
    let mut reader = serde_json::Deserializer::from_slice(&field).into_iter::<Vec<[String; 3]>>();
    let Some(Ok(list)) = reader.next() else {
        return false;
    };
    let Ok(document) = std::str::from_utf8(&field[reader.byte_offset()..]) else {
        return false;
    };
    // What cannot be made stays the string or number that it is in the text.
    let values: String = list
        .iter()
        .filter_map(|[path, kind, text]| Some(format!(",{},{}", literal(path), made(kind, text)?)))
        .collect();
    if values.is_empty() {
        out.put_slice(literal(document).as_bytes());
    } else {
        out.put_slice(format!("JSON_SET({}{values})", literal(document)).as_bytes());
    }
    true
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

    #[test]
    fn a_document_with_a_list_is_made_of_its_text_and_its_values() {
        let put = |list: &str, document: &str| {
            let mut field = vec![MARK];
            field.extend(format!("{list}{document}").replace('\\', r"\\").bytes());
            let mut out = BytesMut::new();
            super::put(&field, &mut out).then(|| String::from_utf8(out.to_vec()).expect("text"))
        };
        assert!(!super::put(b"{}", &mut BytesMut::new()));
        assert_eq!(
            put(
                r#"[["$.\"it's\"", "DECIMAL", "-1.10"], ["$[0]", "DATETIME", "2024-01-01 10:00:00.000000"], ["$.x", "OPAQUE", "base64:type13:AQ=="]]"#,
                r#"{"it's": 1.1, "\\": 1}"#
            )
            .as_deref(),
            Some(
                r#"JSON_SET('{"it''s": 1.1, "\\\\": 1}','$."it''s"',CAST('-1.10' AS DECIMAL(65,2)),'$[0]',CAST('2024-01-01 10:00:00.000000' AS DATETIME(6)))"#
            )
        );
        // Nothing but digits and their marks gets into a statement so.
        assert_eq!(
            put(r#"[["$", "DECIMAL", "1' OR '1"], ["$", "TIME", "x"]]"#, "1").as_deref(),
            Some("'1'")
        );
    }
}
