//! `require_auth`: how a server may ask for the password.

/// How a server may ask for the password: libpq's `require_auth`
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::postgresql) struct AuthMethods {
    methods: Vec<&'static str>,
    /// They are the ones that may not be.
    are_refused: bool,
}

impl AuthMethods {
    /// Its words.
    pub(in crate::store::postgresql) const WORDS: [&str; 6] =
        ["password", "md5", "gss", "sspi", "scram-sha-256", "none"];

    /// Words with commas between, all of them with a `!` before or none; each once.
    pub(in crate::store::postgresql) fn parse(text: &str) -> Option<Self> {
        let are_refused = text.starts_with('!');
        let mut methods = Vec::new();
        for word in text.split(',') {
            let bare = word.strip_prefix('!');
            if bare.is_some() != are_refused {
                return None;
            }
            let bare = bare.unwrap_or(word);
            let known = Self::WORDS.into_iter().find(|known| *known == bare)?;
            if methods.contains(&known) {
                return None;
            }
            methods.push(known);
        }
        Some(Self {
            methods,
            are_refused,
        })
    }

    /// Whether the server may ask by this one of [`Self::WORDS`].
    pub(in crate::store::postgresql) fn allow(&self, method: &str) -> bool {
        self.methods.contains(&method) != self.are_refused
    }
}

impl std::fmt::Display for AuthMethods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.are_refused { "!" } else { "" };
        let words: Vec<String> = self
            .methods
            .iter()
            .map(|method| format!("{sign}{method}"))
            .collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn require_auth_allows_what_it_names_or_all_but_that() {
        let allowed = |text: &str| -> Vec<&str> {
            let methods = AuthMethods::parse(text).unwrap();
            assert_eq!(methods.to_string(), text);
            AuthMethods::WORDS
                .into_iter()
                .filter(|word| methods.allow(word))
                .collect()
        };
        assert_eq!(allowed("scram-sha-256"), ["scram-sha-256"]);
        assert_eq!(allowed("md5,none"), ["md5", "none"]);
        assert_eq!(
            allowed("!password,!md5"),
            ["gss", "sspi", "scram-sha-256", "none"]
        );
        for text in ["", ",", "md5,md5", "!md5,none", "md5,", "MD5", "! md5"] {
            assert_eq!(AuthMethods::parse(text), None, "{text}");
        }
    }
}
