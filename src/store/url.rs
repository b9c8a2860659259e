//! What URLs of database servers have in common.

use crate::config::Risk;

/// What to write for a character that splits a URL.
pub(super) const ENCODE: &str = "write `/`, `?`, `#`, `@`, `%` and spaces in a user's name, password or database as %2F, %3F, %23, %40, %25, %20";

/// What is at risk because a server on another machine is reached with the parameter `key=word`, which lets it do without TLS.
pub(super) fn risk_without_tls(key: &str, word: &str) -> Risk {
    let what = match word {
        "disable" => format!(
            "{key}=disable: anyone on the way to this server can read and change the rows, and see the login"
        ),
        word => format!(
            "{key}={word}: anyone on the way to this server can take TLS away, and then read and change the rows, and see the login"
        ),
    };
    Risk {
        what,
        help: format!(
            "write {key}=require, or better {key}=verify-full; without `{key}`, TLS is required"
        ),
    }
}
