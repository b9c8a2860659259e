use super::*;
use proptest::prelude::*;

fn texts(script: &str) -> Vec<&str> {
    split(script)
        .unwrap()
        .into_iter()
        .map(|statement| statement.text)
        .collect()
}

fn is_one(script: &str) {
    assert_eq!(
        texts(&format!("{script}; SELECT 2")),
        [script, "SELECT 2"],
        "in {script}"
    );
}

#[test]
fn statements_end_at_semicolons_and_carry_their_own_line() {
    let script = "\u{feff}-- first\n\nSELECT 1;\n/* two\nlines */ SELECT\n 2 ;;\n ; -- nothing\n SELECT 3 -- end";
    assert_eq!(
        split(script).unwrap(),
        [
            Statement {
                text: "SELECT 1",
                line: 3
            },
            Statement {
                text: "SELECT\n 2",
                line: 5
            },
            Statement {
                text: "SELECT 3 -- end",
                line: 8
            },
        ]
    );
}

#[test]
fn a_script_of_comments_and_blanks_has_no_statement() {
    assert!(texts("").is_empty());
    assert!(texts(" ; ;\n-- a;\n/* b; /* c; */ d; */ ;").is_empty());
}

#[test]
fn semicolons_inside_quotes_and_comments_end_nothing() {
    for script in [
        "SELECT ';', 'it''s;'",
        r"SELECT 'a\', 'b;c'",
        r"SELECT E'a\';b', e'\\;'",
        "SELECT E'a'\n  'b\\';c'",
        "SELECT E'a' -- and so on;\n  'b\\';c'",
        r"SELECT U&'\0041;' UESCAPE '!'",
        "SELECT N'a;', B'1', X'1f'",
        "SELECT \"a;\"\"b;\"",
        "SELECT U&\"d\\0061t;\"",
        "SELECT $$a;'b$$, $t$;$$;$T$;$t$",
        "SELECT $größe$;$größe$",
        "SELECT 1 /* ; /* ; */ ; */ + 1 -- ;\n + 2",
        "SELECT 1$$;$$",
        "SELECT name$1, $1, $2 FROM t$x",
        "SELECT 'grüße; 世界'",
        "SELECT 1 - -1, 4/2, a->'$.b;'",
    ] {
        is_one(script);
    }
}

#[test]
fn the_body_of_a_routine_is_one_with_its_head() {
    for script in [
        "CREATE FUNCTION f(a int DEFAULT 1) RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 ELSE 2 END; SELECT 3; END",
        "create or replace procedure p(x int) begin atomic insert into t values (x); update t set a = case x when 1 then 2 end; end",
        "CREATE FUNCTION f() RETURNS int\nBEGIN /* and */ ATOMIC\n SELECT (CASE WHEN true THEN 1 END);\nEND",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC END",
    ] {
        is_one(script);
    }
}

#[test]
fn begin_and_end_elsewhere_are_statements_of_their_own() {
    assert_eq!(
        texts("BEGIN; UPDATE t SET a = CASE WHEN b THEN 1 END; END; SELECT 1"),
        [
            "BEGIN",
            "UPDATE t SET a = CASE WHEN b THEN 1 END",
            "END",
            "SELECT 1"
        ]
    );
    assert_eq!(
        texts("CREATE TABLE function (begin int, atomic int); SELECT 1").len(),
        2
    );
    assert_eq!(
        texts(
            "CREATE FUNCTION \"begin\".atomic() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT 1"
        )
        .len(),
        2
    );
}

#[test]
fn a_rule_with_several_actions_is_one_statement() {
    is_one("CREATE RULE r AS ON UPDATE TO v DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b)");
}

#[test]
fn commands_of_psql_are_flaws_with_their_line_and_name() {
    for (script, line, command) in [
        ("SELECT 1;\n\n  \\i other.sql\n", 3, "`\\i`"),
        ("\\connect app", 1, "`\\connect`"),
        ("-- x\nSELECT 1 \\gset", 2, "`\\gset`"),
        ("\\.\n", 1, "`\\.`"),
    ] {
        let flaw = split(script).unwrap_err();
        assert_eq!(flaw.line, line, "in {script}");
        assert!(flaw.what.contains(command), "{flaw}");
    }
}

#[test]
fn copy_with_its_data_inline_is_a_flaw_and_other_copies_are_not() {
    let flaw = split("SELECT 1;\nCOPY app.t (a, b)\nFROM stdin WITH (FORMAT csv);\n1\t2\n\\.\n")
        .unwrap_err();
    assert_eq!(flaw.line, 2);
    assert!(flaw.what.contains("inline COPY data"), "{flaw}");
    assert!(split("copy t from /* here */ STDIN").is_err());
    for script in [
        "COPY t FROM '/tmp/stdin'",
        "COPY t TO STDOUT",
        "COPY (SELECT a FROM stdin) TO '/tmp/x'",
        "SELECT a FROM stdin",
        "COPY stdin FROM PROGRAM 'cat'",
    ] {
        is_one(script);
    }
}

#[test]
fn whatever_is_never_closed_is_a_flaw_at_the_line_where_it_opens() {
    for (script, line) in [
        ("SELECT 1;\nSELECT 'a;\nb", 2),
        ("SELECT \"a;", 1),
        ("SELECT 1;\n\nSELECT $f$a;$g$;\n", 3),
        ("/* a /* b */;\nSELECT 1", 1),
        ("SELECT E'a\\';", 1),
        ("SELECT E'a\\", 1),
    ] {
        assert_eq!(split(script).unwrap_err().line, line, "in {script}");
    }
}

/// Pieces of which every sequence, with blanks between, is one statement.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_é][a-z0-9_]{0,5}".prop_map(|word| format!("x{word}")),
        "[0-9]{1,4}",
        "[ a-z;\\\\$\"é-]{0,8}".prop_map(|inner| format!("'{inner}'")),
        "[ a-z;$'é-]{0,8}".prop_map(|inner| format!("\"{inner}\"")),
        // With an operator behind, for a string on the next line would go on with it.
        "[ a-z;\"$-]{0,8}".prop_map(|inner| format!("E'\\'{inner}\\\\' ||")),
        "[ a-z;'\"\\\\]{0,8}".prop_map(|inner| format!("$t${inner}$t$")),
        "[ a-z;'\"$\\\\]{0,8}".prop_map(|inner| format!("/* {inner} /* ; */ */")),
        "[ a-z;'\"$/*\\\\]{0,8}".prop_map(|inner| format!("-- {inner}\n")),
        "[ a-z;]{0,8}".prop_map(|inner| format!("( {inner} )")),
        Just("+".to_owned()),
    ]
}

proptest! {
    #[test]
    fn statements_put_together_come_apart_again(
        statements in prop::collection::vec(prop::collection::vec(piece(), 0..6), 0..6)
    ) {
        let statements: Vec<String> = statements
            .into_iter()
            .map(|pieces| format!("SELECT {}", pieces.join(" ")).trim_end().to_owned())
            .collect();
        let script: String = statements.iter().fold(String::new(), |script, s| script + s + "\n;\n");
        prop_assert_eq!(texts(&script), statements);
    }

    #[test]
    fn any_text_is_cut_without_losing_its_place(script in "[a-z;'\"$\\\\()/*é \n-]{0,60}") {
        let mut from = 0;
        for statement in split(&script).unwrap_or_default() {
            prop_assert!(!statement.text.trim().is_empty());
            let at = statement.text.as_ptr() as usize - script.as_ptr() as usize;
            prop_assert!(at >= from);
            prop_assert_eq!(script[..at].matches('\n').count() + 1, statement.line);
            from = at + statement.text.len();
        }
    }
}
