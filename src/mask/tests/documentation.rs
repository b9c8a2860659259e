//! The page on kinds is made from the code.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::mask::kind::ALL;

/// Set to write the page.
const WRITE: &str = "ENVSYNCD_WRITE_DOCS";

const HEAD: &str = "\
# Kinds of masks

<!-- Made from src/mask/kind by a test: `ENVSYNCD_WRITE_DOCS=1 cargo test --lib mask::tests::documentation`. -->

A mask says what becomes of a column's values on their way to the target. It has a kind, and the kind may have options:

```toml
columns = { email = \"email\", phone = { kind = \"digits\", keep_last = 2 } }
```

- **NULL and empty values** stay what they are. `fixed` and `template` replace them, too, unless told otherwise.
- **The same value becomes the same** wherever a kind is used with the same options and the same key: in every table, store, job and
  host. Columns that are too short for what a kind makes get less of it.
- **A value that is not of the kind** is masked all the same: a telephone number that is a word gets other letters.
- **Unique** says whether two values stay two. *Injective*: always. *Keeps distinct in practice*: two given values become one with a
  probability of one in two to the power of the bits. *Lossy*: values become one, and a unique index refuses them.
- **Reversible** kinds are ciphers: who has the key can have the values back. `one_way` makes them hashes. All others have no way
  back, with or without the key.
- **By which functions**: each kind has a key of its own, derived from yours by HKDF with SHA-256 (RFC 5869). Under it, values are
  hashed by CMAC with AES-256 (NIST SP 800-38B), to whose tag the block that was encrypted last is added (Davies-Meyer): with the
  key, too, there is no way back but to try out values. Numbers are encrypted by FF1 with AES-128 (NIST SP 800-38G).

What becomes of the values below was made with a key of the documentation's; another key makes other values.
";

fn cell(text: &str) -> String {
    let text = text.replace('\n', "\\n").replace('|', "\\|");
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

/// What a kind is for, in words.
fn fits(kinds: &[Kind]) -> String {
    let words = [
        ("text", Type::TEXT),
        (
            "whole numbers",
            Type::Integer {
                bits: 64,
                is_signed: true,
            },
        ),
        (
            "decimal numbers",
            Type::Decimal {
                precision: Some(20),
                scale: 4,
            },
        ),
        ("floating-point numbers", Type::Real),
        ("dates", Type::Date),
        ("timestamps", Type::Timestamp),
        ("times", Type::Time),
        ("booleans", Type::Boolean),
        ("UUIDs", Type::Uuid),
        ("JSON", Type::Json),
        ("bytes", Type::Bytes { longest: None }),
        ("IP addresses", Type::Inet { is_network: false }),
        ("hardware addresses", Type::Mac),
        ("others", Type::Other("other".to_owned())),
    ];
    let of: Vec<&str> = words
        .iter()
        .filter(|(_, of)| {
            let column = column(of.clone());
            let fits = |kind: &Kind| !matches!(kind.fit(&column), Fit::Not { .. });
            kinds.iter().any(fits)
        })
        .map(|(word, _)| *word)
        .collect();
    if of.len() == words.len() {
        "columns of all types".to_owned()
    } else {
        of.join(", ")
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| kind | makes | unique | reversible |\n| --- | --- | --- | --- |\n");
    for about in ALL {
        let first = kind(about.examples[0].0);
        let _ = writeln!(
            page,
            "| [`{0}`](#{0}) | {1} | {2} | {3} |",
            about.name,
            about.what,
            first.uniqueness(&column(Type::TEXT)),
            if first.is_reversible() {
                "with the key"
            } else {
                "no"
            }
        );
    }
    for about in ALL {
        let first = kind(about.examples[0].0);
        let _ = write!(page, "\n## {}\n\n{}\n\n", about.name, about.what);
        let _ = writeln!(
            page,
            "- For: {}.",
            fits(
                &about
                    .examples
                    .iter()
                    .map(|(written, _)| kind(written))
                    .collect::<Vec<_>>()
            )
        );
        let mut unique = first.uniqueness(&column(Type::TEXT)).to_string();
        let numbers = column(Type::Integer {
            bits: 64,
            is_signed: true,
        });
        if !matches!(first.fit(&numbers), Fit::Not { .. })
            && first.uniqueness(&numbers).to_string() != unique
        {
            let _ = write!(unique, "; of whole numbers {}", first.uniqueness(&numbers));
        }
        if about.options.iter().any(|(name, ..)| *name == "strict") {
            unique.push_str("; of texts with `strict` injective");
        }
        let uuids = column(Type::Uuid);
        if !matches!(first.fit(&uuids), Fit::Not { .. })
            && first.uniqueness(&uuids) == Uniqueness::Injective
        {
            unique.push_str("; in columns of UUIDs injective");
        }
        let _ = writeln!(page, "- Unique: {unique}.");
        let _ = writeln!(
            page,
            "- Reversible: {}.",
            match first.is_reversible() {
                true if about.options.iter().any(|(name, ..)| *name == "one_way") =>
                    "with the key, unless `one_way`",
                true => "with the key, as far as kinds inside it are",
                false => "no",
            }
        );
        if !about.options.is_empty() {
            page.push_str("\n| option | allowed | what it does |\n| --- | --- | --- |\n");
            for (name, allowed, what) in about.options {
                let _ = writeln!(page, "| `{name}` | {allowed} | {what} |");
            }
        }
        page.push_str("\n| written | a value | becomes |\n| --- | --- | --- |\n");
        for (written, value) in about.examples {
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                cell(written),
                cell(value),
                cell(&masked(written, value))
            );
        }
        if !about.note.is_empty() {
            let _ = write!(page, "\n{}\n", about.note);
        }
    }
    page
}

#[test]
fn the_page_on_kinds_says_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/masks.md");
    let page = page();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = page
        .lines()
        .zip(written.lines())
        .find(|(ours, theirs)| ours != theirs);
    assert!(
        written == page,
        "{WRITE}=1 writes the page anew; it differs at {differing:?}"
    );
}

/// serde says which options a kind knows when it meets one that it does not.
#[test]
fn the_options_that_are_documented_are_those_that_there_are() {
    for about in ALL {
        let written = format!("{{ kind = \"{}\", no_such_option = 1 }}", about.name);
        let error = read(&written).unwrap_err().to_string();
        assert!(error.contains("no_such_option"), "{}: {error}", about.name);
        let (_, known) = error.split_once("expected ").unwrap_or((&error, ""));
        let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let mut documented: Vec<&str> = about.options.iter().map(|(name, ..)| *name).collect();
        known.sort_unstable();
        documented.sort_unstable();
        assert_eq!(known, documented, "{}", about.name);
    }
}
