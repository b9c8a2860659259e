//! Assignments, as a shell reads them.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Vec<(String, Value)> {
    match parse(text) {
        Ok(all) => all.into_iter().map(|one| (one.name, one.value)).collect(),
        Err(flaw) => panic!("{text:?}: line {}: {}", flaw.line, flaw.what),
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn quotes_escapes_and_comments_are_read_as_a_shell_reads_them() {
    for (source, value) in [
        ("a=b", "b"),
        ("a=", ""),
        ("a=''", ""),
        ("a=\"\"", ""),
        ("a='b c' # d", "b c"),
        ("a=\"b c\"", "b c"),
        ("a=b\\ c", "b c"),
        ("a=b'c'\"d\"\\e", "bcde"),
        ("a=b#c", "b#c"),
        ("a='b\nc'", "b\nc"),
        ("a=b\\\nc", "bc"),
        ("a=\"b\\\nc\"", "bc"),
        ("a='$b `c` \\'", "$b `c` \\"),
        ("a=\"\\$b \\` \\\" \\\\ \\d\"", "$b ` \" \\ \\d"),
        ("a=\\$b", "$b"),
        ("a=\"b$\"", "b$"),
        ("a=b$", "b$"),
        ("a=b=c", "b=c"),
        ("a=*?[x]{1,2}", "*?[x]{1,2}"),
        ("a=b~", "b~"),
        ("a='~/x'", "~/x"),
        ("  export a=b;", "b"),
        ("readonly a='b'", "b"),
        ("# a=c\n\n\ta=b\t# d\n", "b"),
        ("a=b", "b"),
        ("a=näme", "näme"),
    ] {
        assert_eq!(read(source), [("a".to_owned(), text(value))], "{source:?}");
    }
}

#[test]
fn several_assignments_and_arrays_arrive_with_their_lines() {
    let all = parse("a=1 b='2'\nc=(x \"y z\" # w\n  'v'\n)\nd=;\nexport e=5 f=6; g=7\n").unwrap();
    let list = Value::List(vec!["x".to_owned(), "y z".to_owned(), "v".to_owned()]);
    let found: Vec<(&str, &Value, usize)> = all
        .iter()
        .map(|one| (one.name.as_str(), &one.value, one.line))
        .collect();
    assert_eq!(
        found,
        [
            ("a", &text("1"), 1),
            ("b", &text("2"), 1),
            ("c", &list, 2),
            ("d", &text(""), 5),
            ("e", &text("5"), 6),
            ("f", &text("6"), 6),
            ("g", &text("7"), 6),
        ]
    );
    assert_eq!(read("a=()"), [("a".to_owned(), Value::List(Vec::new()))]);
}

#[test]
fn what_a_shell_would_do_something_for_is_refused_at_its_line() {
    for (source, line, why) in [
        ("a=1\nb=$HOME", 2, "the value of a variable"),
        ("b=\"x${HOME}\"", 1, "the value of a variable"),
        ("b=$1", 1, "the value of a variable"),
        ("b=$$", 1, "the value of a variable"),
        ("\n\nb=$(hunter2)", 3, "the output of a command"),
        ("b=\"$(hunter2)\"", 1, "the output of a command"),
        ("b=`hunter2`", 1, "the output of a command"),
        ("b=\"a\n`hunter2`\"", 2, "the output of a command"),
        ("b=$((1+2))", 1, "the output of a command"),
        ("b=$\\\n(hunter2)", 1, "a line that goes on"),
        ("b=\"$\\\n(hunter2)\"", 1, "a line that goes on"),
        ("b=$'hunter2'", 1, "are not understood"),
        ("b=~/hunter2", 1, "`~` stands for a directory"),
        ("b=x:~/hunter2", 1, "`~` stands for a directory"),
        ("b='hunter2", 1, "a quote is not closed"),
        ("b=1\nc=\"hunter2\n\n", 2, "a quote is not closed"),
        ("b=\\", 1, "behind a backslash"),
        ("b=(1 2\n", 1, "a parenthesis is not closed"),
        ("b=(*.sql)", 1, "put quotes around it"),
        ("b=({a,b})", 1, "put quotes around it"),
        ("b=(1;2)", 1, "`;` belongs to a command"),
        ("b=(1\n;2)", 2, "`;` belongs to a command"),
        ("b=([3]=x)", 1, "has an index"),
        ("b=(1)2", 1, "no assignment"),
        ("b=1; rm -rf hunter2", 1, "`rm` is a command"),
        ("b=1 true", 1, "`true` is a command"),
        ("source hunter2", 1, "`source` is a command"),
        (". hunter2", 1, "no assignment"),
        ("export b", 1, "`b` is a command"),
        ("export export b=1", 1, "`export` is a command"),
        ("b+=1", 1, "`b` is appended to"),
        ("b[0]=1", 1, "one member of `b`"),
        ("b = 1", 1, "`b` is a command"),
        ("1b=1", 1, "no assignment"),
        ("b= =1", 1, "no assignment"),
        ("b=1&", 1, "`&` belongs to a command"),
        ("b=1|c", 1, "`|` belongs to a command"),
        ("b=>hunter2", 1, "`>` belongs to a command"),
        ("b=<hunter2", 1, "`<` belongs to a command"),
        ("b=1)", 1, "`)` belongs to a command"),
        ("b=1;;c=2", 1, "no assignment"),
        ("b=1\n;c=2", 2, "no assignment"),
        ("if b=1; then", 1, "`if` is a command"),
        ("a=1\r\nb=2\r\n", 1, "carriage returns"),
        ("a='x\0'", 1, "NUL"),
    ] {
        let flaw = parse(source).expect_err(source);
        assert_eq!(flaw.line, line, "{source:?}: {}", flaw.what);
        assert!(flaw.what.contains(why), "{why} in {}", flaw.what);
        assert!(!flaw.what.contains("hunter2"), "{}", flaw.what);
    }
}

/// What bash makes of a file that has been found to be nothing but assignments.
fn by_bash(source: &str, name: &str) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), source).unwrap();
    let script = format!(
        "set -e; source ./file; declare -p {name} | grep -q '^declare -[a-z]*a' && printf 'list\\0' || printf 'text\\0'; printf '%s\\0' \"${{{name}[@]}}\""
    );
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", &script])
        .current_dir(directory.path())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let mut words: Vec<String> = String::from_utf8(output.stdout)
        .ok()?
        .split('\0')
        .map(str::to_owned)
        .collect();
    words.pop();
    output.status.success().then_some(words)
}

proptest! {
    #[test]
    fn no_text_makes_a_panic(text in "(?s).{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_a_shells_own_characters_makes_a_panic(text in "[a-c=$`\"'\\\\ \t\n\r;&|<>(){}\\[\\]*?~#!:0-9+]{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_quoted_value_is_itself(value in "[^\0]{0,40}") {
        let single = format!("a='{}'", value.replace('\'', "'\\''"));
        prop_assert_eq!(read(&single), [("a".to_owned(), text(&value))]);
        let double: String = value
            .chars()
            .flat_map(|c| if "\\\"$`".contains(c) { vec!['\\', c] } else { vec![c] })
            .collect();
        prop_assert_eq!(read(&format!("a=\"{double}\"")), [("a".to_owned(), text(&value))]);
    }

    /// Whatever is understood is understood as bash does. What is not is never given to it.
    #[test]
    fn bash_reads_the_same(word in "[a-c$\"'\\\\ \n;(){}*?~#:=]{0,14}") {
        for source in [format!("x={word}"), format!("x=({word})")] {
            let Ok(all) = parse(&source) else { continue };
            let Some(last) = all.iter().rev().find(|one| one.name == "x") else { continue };
            let expected = match &last.value {
                Value::Text(value) => vec!["text".to_owned(), value.clone()],
                Value::List(members) => {
                    let mut words = vec!["list".to_owned()];
                    // printf says its format once even for nothing.
                    words.extend(if members.is_empty() { vec![String::new()] } else { members.clone() });
                    words
                }
            };
            prop_assert_eq!(by_bash(&source, "x"), Some(expected), "{:?}", source);
        }
    }
}
