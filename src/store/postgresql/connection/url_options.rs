//! Settings in a URL's `options`.

/// What an URL's `options` set: `-c name=value` and `--name=value`, where a backslash keeps the next character.
pub(in crate::store::postgresql) fn settings_of_url(options: &str) -> Vec<(String, String)> {
    let mut words: Vec<String> = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        let last = words.last_mut().expect("there is one");
        match character {
            '\\' => last.extend(characters.next()),
            c if c.is_whitespace() => {
                if !last.is_empty() {
                    words.push(String::new());
                }
            }
            c => last.push(c),
        }
    }
    let mut found = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let said = if word == "-c" {
            words.next()
        } else {
            let said = word.strip_prefix("--").or(word.strip_prefix("-c"));
            said.map(str::to_owned)
        };
        if let Some((name, value)) = said.as_deref().and_then(|said| said.split_once('=')) {
            // As the server reads it (`ParseLongOption`).
            found.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_url_are_read_as_the_server_reads_them() {
        let words = "-c statement_timeout=5min --search-path=a\\ b -cDateStyle=ISO -e -c x";
        let expected = [
            ("statement_timeout", "5min"),
            ("search_path", "a b"),
            ("DateStyle", "ISO"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings_of_url(words), expected);
        assert_eq!(settings_of_url(""), []);
    }
}
