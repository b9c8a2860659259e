use proptest::prelude::*;

use super::*;

/// Everything in a text that is fed in pieces of this length: statements with their lines, or the flaw.
fn cut(text: &[u8], piece: usize) -> Result<Vec<(usize, Vec<u8>)>, Flaw> {
    let mut scanner = Scanner::of_stream(usize::MAX).with_remarks();
    let mut pieces = text.chunks(piece.max(1));
    let mut found = Vec::new();
    loop {
        match scanner.step()? {
            Step::Statement(line, place) => found.push((line, scanner.text(place).to_vec())),
            Step::Remark(_) => {}
            Step::More => match pieces.next() {
                Some(piece) => scanner.feed(piece),
                None => scanner.end(),
            },
            Step::End => return Ok(found),
        }
    }
}

#[test]
fn a_text_in_pieces_is_cut_as_the_whole_one_is() {
    let text = b"/*M!999999\\- enable the sandbox mode */\n-- a;\nINSERT INTO t VALUES (1,_binary 'a\\'\xff;\n'),(2,\"b;\");\nDELIMITER ;;\n/*!50003 CREATE TRIGGER x BEGIN /* ; */ SET @a = 1; END */;;\ndelimiter ;\n# b\nSELECT 1 -- c;\n, 2";
    let whole = cut(text, text.len()).unwrap();
    assert_eq!(
        whole.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [3, 6, 9]
    );
    for piece in 1..text.len() {
        assert_eq!(cut(text, piece).unwrap(), whole, "{piece}");
    }
}

#[test]
fn a_long_statement_is_refused_before_all_of_it_has_come() {
    let mut scanner = Scanner::of_stream(100);
    scanner.feed(b"SELECT 1;\nINSERT INTO t VALUES ('");
    assert!(matches!(scanner.step().unwrap(), Step::Statement(1, _)));
    let mut fed = 0;
    let flaw = loop {
        match scanner.step() {
            Ok(Step::More) => {
                scanner.feed(&[b'x'; 64]);
                fed += 64;
                assert!(fed < 1000);
            }
            Ok(step) => panic!("{step:?}"),
            Err(flaw) => break flaw,
        }
    };
    assert_eq!(flaw.line, 2);
    assert!(flaw.what.contains("more than 100 bytes"), "{flaw}");
}

#[test]
fn the_sql_mode_says_whether_a_backslash_escapes() {
    let mut scanner = Scanner::new();
    scanner.set_dialect(Dialect::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES"));
    scanner.feed(b"SELECT '\\'; SELECT \"\\\"; x");
    scanner.end();
    let mut found = Vec::new();
    while let Step::Statement(_, place) = scanner.step().unwrap() {
        found.push(String::from_utf8(scanner.text(place).to_vec()).unwrap());
    }
    assert_eq!(found, ["SELECT '\\'", "SELECT \"\\\"", "x"]);
}

#[test]
fn remarks_are_those_before_statements() {
    let mut scanner = Scanner::of_stream(usize::MAX).with_remarks();
    scanner.feed(b"-- one\n# two\nSELECT 1 -- three\n;\n--Dump completed");
    scanner.end();
    let mut found = Vec::new();
    loop {
        match scanner.step().unwrap() {
            Step::Statement(line, _) => found.push(line.to_string()),
            Step::Remark(place) => {
                found.push(String::from_utf8_lossy(scanner.text(place)).into_owned());
            }
            Step::End => break,
            Step::More => panic!("all of it is there"),
        }
    }
    assert_eq!(found, ["-- one", "# two", "3", "--Dump completed"]);
}

#[test]
fn comments_without_end_take_no_memory_and_one_that_does_not_end_is_refused() {
    let mut scanner = Scanner::of_stream(1 << 20).with_remarks();
    let piece = b"-- abcdefghijk\n#\n/* x */\n".repeat(4000);
    let mut told = 0;
    for _ in 0..200 {
        scanner.feed(&piece);
        while let Step::Remark(_) = scanner.step().unwrap() {
            told += 1;
        }
    }
    // The last one that has come whole may wait for more.
    assert!(told >= 200 * 8000 - 2, "{told}");
    assert!(scanner.buffer.capacity() < 4 * piece.len());
    for opening in ["-- ", "/* ", "SELECT /* ", "SELECT '", "DELIMITER ", "a"] {
        let mut scanner = Scanner::of_stream(1 << 20).with_remarks();
        scanner.feed(opening.as_bytes());
        let flaw = (0..100).find_map(|_| {
            let step = scanner.step();
            scanner.feed(&vec![b'x'; 1 << 16]);
            step.err()
        });
        let flaw = flaw.unwrap_or_else(|| panic!("{opening} goes on for ever"));
        assert!(flaw.what.contains("more than 1048576 bytes"), "{flaw}");
        assert!(scanner.buffer.len() < 3 << 20);
    }
}

proptest! {
    #[test]
    fn where_a_text_is_torn_makes_no_difference(
        pieces in prop::collection::vec("([a-z;'\"`$\\\\()/*!# \n-]{0,6}|\ndelimiter [;/$]{1,2}\n|/\\*|\\*/|/\\*!|\\\\g|\u{e9})", 0..20),
        piece in 1_usize..40,
    ) {
        let text = pieces.concat();
        prop_assert_eq!(cut(text.as_bytes(), piece), cut(text.as_bytes(), text.len()));
    }
}
