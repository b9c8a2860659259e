use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::mysql::dump::conversion::Conversion;

fn layout(fields: Vec<Option<Form>>, dialect: Dialect) -> Layout {
    Layout {
        fields,
        dialect,
        charset: "utf8mb4".to_owned(),
    }
}

fn text() -> Form {
    Form::Text(Arc::new(Conversion::none()))
}

fn lines(sql: &[u8], layout: &Layout) -> Read<String> {
    let mut out = BytesMut::new();
    let mut inserts = Inserts::new(sql, layout)?;
    while !inserts.is_over() {
        // As if each row filled a chunk.
        let enough = out.len() + 1;
        inserts.fill(&mut out, enough)?;
    }
    Ok(out.iter().map(|byte| char::from(*byte)).collect())
}

fn values(values: &str, fields: Vec<Option<Form>>) -> Read<String> {
    let sql = format!("INSERT INTO `t` VALUES {values}");
    lines(sql.as_bytes(), &layout(fields, Dialect::default()))
}

#[test]
fn each_value_becomes_what_a_select_of_its_column_gives() {
    for (written, form, expected) in [
        ("NULL", Form::Number, "\\N"),
        ("-1.5e+10", Form::Number, "-1.5e+10"),
        ("+.5", Form::Number, ".5"),
        ("007", Form::Number, "007"),
        ("0x00FF", Form::Number, "255"),
        ("TRUE", Form::Number, "1"),
        ("'2021-02-31'", Form::Bytes, "2021-02-31"),
        ("'it''s \\'\\\"\\\\'", text(), "it's '\"\\\\"),
        ("'\\0\\n\\r\\Z\\%\\_\\x'", text(), "\0\\n\r\x1a\\\\%\\\\_x"),
        ("'a\tb\nc'", text(), "a\\tb\\nc"),
        ("\"a'\"\"\"", text(), "a'\""),
        ("_binary 'a\\0\\\\'", Form::Bytes, "a\0\\\\"),
        ("_binary'a'", text(), "a"),
        ("_utf8mb3 'a'", text(), "a"),
        ("N'a'", text(), "a"),
        ("0x61095C", Form::Bytes, "a\\t\\\\"),
        ("x'610A'", Form::Bytes, "a\\n"),
        ("''", Form::Bytes, ""),
        ("b'101'", Form::Bits(1), "\x05"),
        ("0b1000000000", Form::Bits(2), "\x02\0"),
        ("5", Form::Bits(2), "\0\x05"),
        ("_binary '\\0'", Form::Bits(1), "\0"),
        ("'1.2.3.4'", Form::Inet4, "\x01\x02\x03\x04"),
        ("'::61'", Form::Inet6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0a"),
        (
            "'61616161-6161-6161-6161-616161616162'",
            Form::Uuid,
            "aaaaaaaaaaaaaaab",
        ),
    ] {
        let found = values(&format!("({written})"), vec![Some(form)]);
        assert_eq!(found, Ok(format!("{expected}\n")), "{written}");
    }
}

#[test]
fn what_is_not_copied_is_passed_over() {
    let fields = vec![None, Some(Form::Number), None];
    assert_eq!(
        values("('a\\',',1,DEFAULT) ,\n ( _binary 'x', 2 , NULL)", fields),
        Ok("1\n2\n".to_owned())
    );
    assert_eq!(values("(1),(2)", vec![None]), Ok("\\N\n\\N\n".to_owned()));
    assert_eq!(values("(),()", Vec::new()), Ok("\\N\n\\N\n".to_owned()));
}

#[test]
fn what_does_not_fit_is_refused() {
    for (written, form) in [
        ("(1,2)", Form::Number),
        ("()", Form::Number),
        ("(1", Form::Number),
        ("(1) x", Form::Number),
        ("(DEFAULT)", Form::Number),
        ("(sleep(1))", Form::Number),
        ("(@a)", Form::Number),
        ("(`a`)", Form::Number),
        ("('a)", Form::Bytes),
        ("('a' 'b')", Form::Bytes),
        ("(1 + 1)", Form::Number),
        ("(- 1)", Form::Number),
        ("(1e)", Form::Number),
        ("(X'123')", Form::Bytes),
        ("(b'2')", Form::Bits(1)),
        ("(b'111111111')", Form::Bits(1)),
        ("(0x010000000000000000)", Form::Number),
        ("('x')", Form::Uuid),
        ("('1.2.3')", Form::Inet4),
        ("(_latin1 'a')", text()),
        ("(1 -- '\n)", Form::Number),
    ] {
        assert!(values(written, vec![Some(form)]).is_err(), "{written}");
    }
}

#[test]
fn text_is_brought_into_the_column_s_character_set_or_refused() {
    let form = || Form::Text(Arc::new(Conversion::to_one('é', b"\xe9")));
    assert_eq!(
        values("('a\\té\\\\','é')", vec![Some(form()), Some(form())]),
        Ok("a\\t\u{e9}\\\\\t\u{e9}\n".to_owned())
    );
    assert!(values("('ü')", vec![Some(form())]).is_err());
    // Bytes are no text.
    assert_eq!(
        values("(_binary 'é')", vec![Some(form())]),
        Ok("\u{c3}\u{a9}\n".to_owned())
    );
}

/// As `mysql_real_escape_string` does; with `no_backslash` it doubles quotes.
fn quoted(value: &[u8], no_backslash: bool, out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in value {
        let letter = match byte {
            b'\'' if no_backslash => Some(b'\''),
            _ if no_backslash => None,
            0 => Some(b'0'),
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            0x1a => Some(b'Z'),
            b'\'' | b'"' | b'\\' => Some(*byte),
            _ => None,
        };
        match letter {
            Some(letter) if no_backslash => out.extend([b'\'', letter]),
            Some(letter) => out.extend([b'\\', letter]),
            None => out.push(*byte),
        }
    }
    out.push(b'\'');
}

proptest! {
    #[test]
    fn rows_as_the_tools_write_them_are_read_as_what_they_were(
        rows in prop::collection::vec((
            prop::option::of(any::<i64>()),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..12)),
            prop::option::of(prop::collection::vec(prop::sample::select(&b"'\"\\\n\t\r\0\x1a,()a;"[..]), 0..9)),
        ), 1..8),
        is_hex: bool, no_backslash: bool, enough in 1_usize..40,
    ) {
        let mut sql = b"INSERT INTO `t` VALUES ".to_vec();
        let mut expected = BytesMut::new();
        for (place, (number, bytes, letters)) in rows.iter().enumerate() {
            sql.extend_from_slice(if place > 0 { b",\n(" } else { b"(" });
            sql.extend(number.map_or_else(|| "NULL".to_owned(), |number| number.to_string()).bytes());
            expected.extend(number.map_or_else(|| "\\N".to_owned(), |number| number.to_string()).bytes());
            sql.push(b',');
            match bytes {
                None => sql.extend_from_slice(b"NULL"),
                Some(bytes) if is_hex && !bytes.is_empty() => {
                    sql.extend_from_slice(b"0x");
                    sql.extend(bytes.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()));
                }
                Some(bytes) => {
                    sql.extend_from_slice(b"_binary ");
                    quoted(bytes, no_backslash, &mut sql);
                }
            }
            sql.push(b',');
            match letters {
                None => sql.extend_from_slice(b"NULL"),
                Some(letters) => quoted(letters, no_backslash, &mut sql),
            }
            sql.push(b')');
            for field in [bytes, letters] {
                expected.extend_from_slice(b"\t");
                match field {
                    None => expected.extend_from_slice(b"\\N"),
                    Some(field) => escape(field, &mut expected),
                }
            }
            expected.extend_from_slice(b"\n");
        }
        let dialect = Dialect { no_backslash, ..Dialect::default() };
        let layout = layout(vec![Some(Form::Number), Some(Form::Bytes), Some(text())], dialect);
        let mut inserts = Inserts::new(&sql, &layout).expect("an INSERT");
        let (mut made, mut count) = (BytesMut::new(), 0);
        while !inserts.is_over() {
            let mut chunk = BytesMut::new();
            count += inserts.fill(&mut chunk, enough).expect("rows");
            made.extend_from_slice(&chunk);
        }
        prop_assert_eq!(count, rows.len() as u64);
        prop_assert_eq!(made, expected);
    }
}
